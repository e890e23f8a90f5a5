"""Results by their hashes, which are the same on every architecture."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

import proposer


def scene(width: int, height: int) -> np.ndarray:
    """Draw discs and bars on a gradient, with noise, in integers."""
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    image = np.stack([x * 160 // width + 40, y * 120 // height + 60, (x + y) % 128 + 30], axis=2)
    for i in range(12):
        color = np.array([i * 67 % 256, i * 151 % 256, i * 211 % 256], np.uint32)
        cx, cy, r = i * 53 % width, i * 37 % height, 8 + i * 5 % 23
        if i % 3:
            inside = (x.astype(int) - cx) ** 2 + (y.astype(int) - cy) ** 2 < r * r
        else:
            inside = (abs(x.astype(int) - cx) < r) & (abs(y.astype(int) - cy) < r // 2 + 2)
        image[inside] = color
    for channel in range(3):
        image[..., channel] += (x * 2654435761 + y * 2246822519 + channel * 374761393) >> 16 & 7
    return np.minimum(image, 255).astype(np.uint8)


def digest(*arrays: np.ndarray) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()[:16]


@pytest.mark.parametrize(
    ("options", "count", "expected"),
    [
        ({"mode": "single"}, 25, "4a72de934a5fa826"),
        ({"mode": "fast"}, 441, "e31eafb8a8f8dd43"),
        ({"mode": "quality"}, 951, "64abdff51cc9a443"),
        ({"mode": "fast", "order": "hierarchy"}, 156, "c568bc621f2209d3"),
        ({"mode": "fast", "order": "paper", "seed": 3}, 156, "b7c30390ea07380a"),
        ({"mode": "fast", "nms": 0.7, "min_side": 12}, 60, "e9e571992e016e81"),
        ({"mode": "fast", "resize_width": 100}, 196, "62965834b04d4e64"),
    ],
)
def test_selective_search(options: dict[str, Any], count: int, expected: str) -> None:
    proposals = proposer.selective_search(scene(160, 120), **options)
    assert (len(proposals.boxes), digest(proposals.boxes, proposals.scores)) == (count, expected)


@pytest.mark.parametrize(
    ("scale", "sigma", "min_size", "count", "expected"),
    [
        (1, 0.8, 20, 743, "1d575ba14116f9b7"),
        (100, 0.5, 50, 69, "4587053aeeb73bae"),
        (300, 2.3, 1, 42, "fa999ffd285e9815"),
        (100, 0, 10, 205, "5320f770011bdc74"),
    ],
)
def test_felzenszwalb(scale: float, sigma: float, min_size: int, count: int, expected: str) -> None:
    labels = proposer.felzenszwalb(scene(320, 240), scale, sigma, min_size)
    assert (labels.max() + 1, digest(labels.astype(np.int32))) == (count, expected)


@pytest.mark.parametrize(
    ("options", "count", "expected"),
    [
        ({"k": 100}, 34, "26fda56beb40b23c"),
        ({"k": 300, "color": "Lab", "sigma": 0.5}, 13, "73f20a6242af9ce6"),
        ({"k": 50, "color": "HSV", "connectivity": 4, "min_size": 30}, 128, "0d20a482cf3536b5"),
    ],
)
def test_segment(options: dict[str, Any], count: int, expected: str) -> None:
    labels = proposer.segment(scene(320, 240), **options)
    assert (labels.max() + 1, digest(labels)) == (count, expected)


def test_masks() -> None:
    masks = proposer.selective_search(scene(160, 120), masks=True).masks
    assert masks is not None
    data = json.dumps(masks, default=bytes.decode, sort_keys=True)
    assert hashlib.sha256(data.encode()).hexdigest()[:16] == "6f521f99277e9515"
