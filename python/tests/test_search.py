"""Tests of selective_search."""

from __future__ import annotations

import numpy as np
import proposer
import pytest


@pytest.fixture
def scene() -> np.ndarray:
    image = np.full((120, 160, 3), 200, np.uint8)
    image[20:80, 30:90] = 180, 30, 40
    image[50:110, 70:150] = 20, 90, 170
    return image


def test_boxes_and_scores(scene: np.ndarray) -> None:
    found = proposer.selective_search(scene, max_boxes=0)
    assert found.boxes.dtype == np.int32 and found.boxes.shape == (len(found), 4)
    assert found.scores.dtype == np.float32 and (np.diff(found.scores) < 0).all()
    assert (found.width, found.height) == (160, 120)
    assert [70, 50, 150, 110] in found.boxes.tolist()


def test_errors_of_options_name_them_as_in_python(scene: np.ndarray) -> None:
    with pytest.raises(proposer.OptionError, match='^max_boxes "-1": want .*; min_side "x": want a whole number'):
        proposer.selective_search(scene, max_boxes=-1, min_side="x")  # type: ignore[arg-type]
