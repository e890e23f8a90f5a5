"""Proposals: the result of a search."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional, Union, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Proposal", "Proposals"]


class Proposal(NamedTuple):
    """A box that probably contains an object.

    Attributes
    ----------
    box : ndarray of int32
        x0, y0, x1, y1 in pixels, half-open: the width is x1 - x0.
    score : float
        The score, above 0 and at most 1.
    mask : dict, optional
        The region of the box as a COCO run-length mask, if the search was asked for masks.
    """

    box: NDArray[np.int32]
    score: float
    mask: Optional[dict[str, Any]]


class Proposals:
    """The proposals of an image, the best first.

    It is a sequence of `Proposal`. A slice, an array of indices or a boolean array selects some of
    them.

    Parameters
    ----------
    boxes : ndarray of int32
        The boxes.
    scores : ndarray of float32
        The scores.
    width, height : int
        The size of the image.
    masks : list of dict, optional
        The masks.

    Attributes
    ----------
    boxes : ndarray of int32, shape (N, 4)
        x0, y0, x1, y1 of each box in pixels, half-open: the width is x1 - x0.
    scores : ndarray of float32, shape (N,)
        The score of each box, above 0 and at most 1. Scores strictly decrease.
    masks : list of dict, or None
        The region of each box as a mask in COCO's compressed run-length encoding, which
        ``pycocotools.mask.decode`` decodes. None if the search was not asked for masks.
    width, height : int
        The size of the image in pixels.

    Examples
    --------
    >>> import numpy as np, proposer
    >>> image = np.zeros((60, 80, 3), np.uint8)
    >>> image[10:40, 20:50] = 255, 0, 0
    >>> proposals = proposer.selective_search(image)
    >>> [20, 10, 50, 40] in proposals.boxes.tolist()
    True
    >>> best = proposals[0]
    >>> bool(best.score == proposals.scores[0])
    True
    >>> large = proposals[proposals.areas() >= 100]
    """

    def __init__(
        self,
        boxes: NDArray[np.int32],
        scores: NDArray[np.float32],
        width: int,
        height: int,
        masks: Optional[list[dict[str, Any]]] = None,
    ) -> None:
        self.boxes = boxes
        self.scores = scores
        self.width = width
        self.height = height
        self.masks = masks

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Proposal]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Proposal: ...

    @overload
    def __getitem__(self, index: Union[slice, NDArray[Any], list[int]]) -> Proposals: ...

    def __getitem__(self, index: Any) -> Any:
        is_number = hasattr(index, "__index__") and getattr(index, "ndim", 0) == 0
        if is_number and not isinstance(index, (bool, np.bool_)):
            i = operator.index(index)
            return Proposal(self.boxes[i], float(self.scores[i]), self.masks[i] if self.masks else None)
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.size == 0 and index.dtype.kind == "f":  # of an empty list
                index = index.astype(np.intp)
        chosen = np.arange(len(self))[index]
        if chosen.ndim != 1:
            raise IndexError(f"index {index!r}: want an integer, a slice, or an array of one dimension")
        masks = [self.masks[i] for i in chosen] if self.masks is not None else None
        return Proposals(self.boxes[chosen], self.scores[chosen], self.width, self.height, masks)

    def __repr__(self) -> str:
        masks = ", with masks" if self.masks is not None else ""
        return f"<{len(self)} proposals in an image of {self.width}x{self.height} pixels{masks}>"

    def xywh(self) -> NDArray[np.int32]:
        """Return the boxes as x, y, width, height, as COCO and OpenCV have them.

        Returns
        -------
        ndarray of int32, shape (N, 4)
            The boxes.

        Examples
        --------
        >>> import numpy as np, proposer
        >>> boxes = np.array([[20, 10, 50, 40]], np.int32)
        >>> proposer.Proposals(boxes, np.array([1], np.float32), 80, 60).xywh()
        array([[20, 10, 30, 30]], dtype=int32)
        """
        boxes = self.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        return boxes

    def inclusive(self) -> NDArray[np.int32]:
        """Return the boxes as x0, y0, x1, y1 with the last column and row instead of those after it.

        Detectors that compute a width as ``x1 - x0 + 1`` need this form (Fast R-CNN, OICR, PCL).

        Returns
        -------
        ndarray of int32, shape (N, 4)
            The boxes.

        Examples
        --------
        >>> import numpy as np, proposer
        >>> boxes = np.array([[20, 10, 50, 40]], np.int32)
        >>> proposer.Proposals(boxes, np.array([1], np.float32), 80, 60).inclusive()
        array([[20, 10, 49, 39]], dtype=int32)
        """
        boxes = self.boxes.copy()
        boxes[:, 2:] -= 1
        return boxes

    def areas(self) -> NDArray[np.int64]:
        """Return the area of each box in pixels.

        Returns
        -------
        ndarray of int64, shape (N,)
            The areas.
        """
        size = (self.boxes[:, 2:] - self.boxes[:, :2]).astype(np.int64)
        return size[:, 0] * size[:, 1]
