"""OpenCV's selective search and graph segmentation, by this package.

The module takes the place of ``cv2`` in a program::

    import proposer.cv2 as cv2

``ximgproc.segmentation`` is this package's, many times as fast as OpenCV's. All other names are those
of OpenCV, if it is installed: ``cv2.imread`` is OpenCV's. An OpenCV without the contributed modules, and so
without ``ximgproc``, is enough.

Notes
-----
Results differ from OpenCV's as follows.

- ``process`` returns the boxes in the learned order of this package, best first. OpenCV's order is random.
- The boxes are not exactly those of OpenCV, which describes the texture of a region in another way. They
  are exactly those of the modes ``opencv-single``, ``opencv-fast`` and ``opencv-quality`` of this package:
  each is the box of a region, and none is joined from others.
- ``processImage`` rounds nothing. On photographs nine of ten label images are equal to OpenCV's, and the
  others differ in a few regions.
- ``process`` returns an array without rows where OpenCV returns an empty tuple.
- Images that are much wider than high, or higher than wide, are searched. OpenCV fails with them.
- Searched images have samples of type uint8 and 1 or 3 channels, base images 3 or 4; others are errors.
  OpenCV searches images of some other types and numbers of channels.
- An image has at most 50 million pixels, ``k`` is at most 1e6, ``sigma`` at most 16, and a search has at
  most 256 combinations of images, graph segmentations and strategies.
- The methods ``setImage``, ``get`` and ``merge`` of the strategies are errors, and the objects cannot be
  read from and written to files.
- Errors are of a class that is derived from ``cv2.error`` and from ``proposer.Error``.

Examples
--------
>>> import numpy as np
>>> import proposer.cv2 as cv2
>>> image = np.zeros((48, 64, 3), np.uint8)
>>> image[10:30, 20:50] = (0, 0, 255)
>>> search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
>>> search.setBaseImage(image)
>>> search.switchToSelectiveSearchFast()
>>> [20, 10, 30, 20] in search.process().tolist()
True
"""

from __future__ import annotations

from typing import Any

from proposer.cv2 import ximgproc
from proposer.cv2._opencv import error, forward, getNumThreads, opencv, setNumThreads, setUseOptimized, useOptimized

__all__ = ["error", "getNumThreads", "setNumThreads", "setUseOptimized", "useOptimized", "ximgproc"]


def __getattr__(name: str) -> Any:
    return forward("cv2", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(opencv)} if opencv is not None else globals())
