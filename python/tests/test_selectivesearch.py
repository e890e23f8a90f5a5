"""proposer.compat.selectivesearch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import proposer
from proposer._image import to_pixels
from proposer.compat import selectivesearch


def scene(dtype: Any = np.uint8) -> NDArray[Any]:
    rng = np.random.default_rng(4)
    image = np.full((90, 120, 3), 0.8)
    image[20:60, 30:70] = 0.7, 0.1, 0.2
    image[40:80, 60:110] = 0.1, 0.4, 0.7
    image = np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1)
    return image.astype(dtype) if np.dtype(dtype).kind == "f" else (image * 255).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_image_has_the_labels_as_fourth_channel(dtype: Any) -> None:
    image = scene(dtype)
    labeled, _ = selectivesearch.selective_search(image, scale=50, sigma=0.9, min_size=10)
    assert labeled.shape == (90, 120, 4) and labeled.dtype == np.float64
    assert np.array_equal(labeled[:, :, :3], image)
    assert np.array_equal(labeled[:, :, 3], proposer.felzenszwalb(image, scale=50, sigma=0.9, min_size=10))


def test_regions() -> None:
    labeled, regions = selectivesearch.selective_search(scene(), scale=50, sigma=0.9, min_size=10)
    labels = labeled[:, :, 3]
    initial = int(labels.max()) + 1
    assert initial > 3 and len(regions) == 2 * initial - 1
    for i, region in enumerate(regions):
        rows, columns = np.nonzero(np.isin(labels, region["labels"]))
        x, y, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
        assert region["rect"] == (x, y, right - x, bottom - y)
        assert region["size"] == len(rows)
        assert len(set(region["labels"])) == len(region["labels"])
        if i < initial:
            assert region["labels"] == [i]
    assert regions[-1]["rect"] == (0, 0, 119, 89)
    assert {type(v) for v in (*regions[0]["rect"], regions[0]["size"])} == {int}


def test_merged_regions_follow_objects() -> None:
    _, regions = selectivesearch.selective_search(scene(), scale=50, sigma=0.9, min_size=10)
    rects = np.array([r["rect"] for r in regions])
    for expected in [(30, 20, 39, 39), (60, 40, 49, 39)]:
        assert (abs(rects - expected).max(axis=1) <= 2).any()


def test_one_region() -> None:
    labeled, regions = selectivesearch.selective_search(np.zeros((6, 8, 3), np.uint8))
    assert regions == [{"rect": (0, 0, 7, 5), "size": 48, "labels": [0.0]}]
    assert not labeled.any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5)), r"image of shape \(4, 5\): want \(H, W, 3\)"),
        (np.zeros((4, 5, 4)), r"image of shape \(4, 5, 4\): want \(H, W, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), "image of shape"),
        (np.full((4, 5, 3), 7.0), "want values from 0 to 1"),
        (np.full((4, 5, 3), np.nan), "NaN"),
        (None, "image is None: want an array"),
    ],
)
def test_errors(image: Any, message: str) -> None:
    with pytest.raises(proposer.ImageError, match=message):
        selectivesearch.selective_search(image)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, proposer.ImageError, "labels: -1: want 0 or more"),
        (2, proposer.ImageError, "labels from 0 to 2 without 1: want each of them"),
        (1 << 18, proposer.LimitError, "regions"),
        (np.iinfo(np.int32).max, proposer.LimitError, "regions"),
    ],
)
def test_invalid_labels(value: int, error: type[Exception], message: str) -> None:
    labels = np.zeros((4, 5), np.int32)
    labels[2, 3] = value
    with pytest.raises(error, match=message):
        selectivesearch._group(to_pixels(np.zeros((4, 5, 3), np.uint8)).struct, labels)


def test_too_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectivesearch, "_MAX_LABELS", 100)
    with pytest.raises(proposer.LimitError, match="choose a larger scale or min_size"):
        selectivesearch.selective_search(scene(), scale=1, min_size=1)
