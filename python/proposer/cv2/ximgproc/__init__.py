"""OpenCV's ``cv2.ximgproc`` with the ``segmentation`` of this package."""

from __future__ import annotations

from typing import Any

from proposer.cv2._opencv import forward
from proposer.cv2.ximgproc import segmentation

__all__ = ["segmentation"]


def __getattr__(name: str) -> Any:
    return forward("cv2.ximgproc", name)
