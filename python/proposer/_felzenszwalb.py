"""The segmentation of scikit-image's felzenszwalb."""

from __future__ import annotations

import ctypes
import math
import numbers
import operator
import warnings
from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray

from proposer._image import MAX_PIXELS, to_array
from proposer._library import ImageError, LabelsStruct, LimitError, OptionError, SamplesStruct, call, owned

__all__ = ["felzenszwalb"]

_UINT8, _FLOAT64 = 0, 1  # values of proposer_samples.type
_MAX_SIGMA = 1000
_MAX_THREADS = 1024
_MAX_CHANNELS = 1024


def felzenszwalb(
    image: Any,
    scale: float = 1,
    sigma: float = 0.8,
    min_size: int = 20,
    *,
    channel_axis: Optional[int] = -1,
    threads: int = 0,
) -> NDArray[np.int64]:
    """Segment an image into regions of similar color.

    It is ``skimage.segmentation.felzenszwalb`` with the same parameters and the same labels, and
    does not need scikit-image.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        A gray image, or an image with C channels. Booleans and integers are scaled to floats as
        ``skimage.img_as_float`` does, so that the largest integer of the type becomes 1. Floats are
        used as they are; `scale` is meant for floats from 0 to 1.
    scale : float, optional
        Larger scales give larger regions.
    sigma : float, optional
        The standard deviation of the Gaussian that first smooths the image, in pixels, from 0 to
        1000.
    min_size : int, optional
        The smallest size of a region in pixels.
    channel_axis : int or None, optional
        The axis of the channels. None: the image is gray, and must have two axes.
    threads : int, optional
        The maximum number of processor cores. 0: all. Labels do not depend on it.

    Returns
    -------
    ndarray of int64, shape (H, W)
        The number of the region of each pixel. Regions are numbered from 0 in the order of their
        first pixels.

    Raises
    ------
    ImageError
        If the image has another shape or type. It is a `ValueError`.
    OptionError
        If a parameter is out of its range. It is a `ValueError`.
    LimitError
        If the image has more than 50 million pixels. It is a `ValueError`.

    Warns
    -----
    RuntimeWarning
        If the image has more than three channels, as scikit-image does.

    Notes
    -----
    The labels are equal to those of scikit-image 0.19 on x86-64, as all computations are the same to
    the bit, with one exception: edges of equal weight, unless it is 0. scikit-image takes them in the
    order of NumPy's unstable sort, which differs between versions of NumPy and between processors.
    Here they are taken in the order in which scikit-image lists them, as if it sorted with
    ``kind="stable"``.

    With a scale of 300 and the default sigma, the labels of 50 COCO photographs were equal in color and
    in gray; with a scale of 100 and a sigma of 0.5, those of 49, and the other had an adjusted Rand
    index of 0.99998. Equal weights are frequent if `sigma` is 0 and in drawn images: with a sigma of 0
    the labels of 8 of 25 photographs were equal, and the smallest adjusted Rand index was 0.998.

    One processor is used. The larger the scale, the greater the advantage over scikit-image: 12 to 15
    times as fast with a scale of 300, 5 times with a scale of 1, and 3 times with a sigma of 0. `segment`
    is faster, with labels that differ.

    Examples
    --------
    >>> import numpy as np, proposer
    >>> image = np.zeros((40, 60, 3), np.uint8)
    >>> image[10:30, 20:50] = 255, 0, 0
    >>> labels = proposer.felzenszwalb(image, scale=100)
    >>> labels.shape, bool(labels[0, 0] == labels[20, 30])
    ((40, 60), False)
    """
    samples = _to_samples(image, channel_axis)
    scale, sigma = _number("scale", scale), _number("sigma", sigma)
    if math.isnan(scale):
        raise OptionError("scale is NaN: want a number")
    if not 0 <= sigma <= _MAX_SIGMA:
        raise OptionError(f"sigma {sigma:g}: want a number from 0 to {_MAX_SIGMA}")
    if not hasattr(min_size, "__index__"):
        raise OptionError(f"min_size {min_size!r}: want a whole number")
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or not 0 <= threads <= _MAX_THREADS:
        raise OptionError(f"threads {threads!r}: want a whole number from 0 to {_MAX_THREADS}")
    min_size = max(-(1 << 62), min(operator.index(min_size), 1 << 62))
    height, width, channels = samples.shape
    if samples.shape[2] > 3:
        warnings.warn(
            f"image of shape {samples.shape}: its last axis has {channels} channels, which may not be intended",
            RuntimeWarning,
            stacklevel=2,
        )
    if 0 in samples.shape[:2]:
        return np.zeros((height, width), np.int64)

    kernel = _kernel(sigma)
    kind = _UINT8 if samples.dtype == np.uint8 else _FLOAT64
    struct = SamplesStruct(samples.ctypes.data, width, height, channels, kind, *samples.strides)
    with owned(LabelsStruct, "proposer_labels_free") as pointer:
        call(
            "proposer_felzenszwalb",
            ctypes.byref(struct),
            scale,
            float(sigma),
            min_size,
            kernel.ctypes.data,
            len(kernel),
            int(threads),
            ctypes.byref(pointer),
        )
        labels = np.ctypeslib.as_array(pointer.contents.labels, (height, width))
        return labels.astype(np.int64)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (numbers.Real, np.number)) or isinstance(value, np.complexfloating):
        raise OptionError(f"{name} {value!r}: want a number")
    try:
        return float(value)
    except OverflowError:
        raise OptionError(f"{name} is an integer of more than 300 digits: want a smaller number") from None


def _to_samples(image: Any, channel_axis: Optional[int]) -> NDArray[Any]:
    """Return an image as an array of shape (H, W, C), of bytes or doubles."""
    array = to_array(image)
    what = f"image of shape {array.shape}"
    if channel_axis is None and array.ndim > 2:
        raise ImageError(f"{what}: want (H, W) with channel_axis=None")
    if array.ndim > 3:
        raise ImageError(f"{what}: want (H, W) or (H, W, C)")
    if channel_axis is not None and channel_axis != -1:
        if not hasattr(channel_axis, "__index__") or not -array.ndim <= operator.index(channel_axis) < array.ndim:
            raise OptionError(f"channel_axis {channel_axis!r}: want an axis of an {what}, or None")
        array = np.moveaxis(array, operator.index(channel_axis), -1)
    array = np.atleast_3d(array)
    height, width, channels = array.shape
    if channels > _MAX_CHANNELS:
        raise ImageError(f"{what}: want at most {_MAX_CHANNELS} channels")
    if channels == 0:
        raise ImageError(f"{what}: want at least one channel")
    if height * width > MAX_PIXELS:
        raise LimitError(f"{what}: want at most {MAX_PIXELS} pixels")
    if array.dtype != np.uint8:
        array = _to_doubles(array)
    if 0 in array.strides:  # of a broadcast array; the library takes strides of 0 for packed samples
        array = np.ascontiguousarray(array)
    return array


def _to_doubles(array: NDArray[Any]) -> NDArray[np.float64]:
    """Convert an array to doubles as skimage.img_as_float64 does."""
    kind = array.dtype.kind
    if kind == "b" or kind == "f" and array.dtype.itemsize <= 8:
        return np.require(array, np.float64, "A")
    if kind not in "ui":
        raise ImageError(f"image of dtype {array.dtype}: want booleans, integers, or floats of at most 64 bits")
    doubles: NDArray[np.float64] = np.multiply(array, 1.0 / np.iinfo(array.dtype).max, dtype=np.float64)
    if kind == "i":
        np.maximum(doubles, -1.0, out=doubles)
    return doubles


def _kernel(sigma: float) -> NDArray[np.float64]:
    """Return the weights of a Gaussian as scipy.ndimage computes them, from the center on.

    They are computed here because NumPy's exponential function differs from others in the last bit.
    """
    if sigma <= 1e-15:
        return np.ones(1)
    radius = int(4.0 * float(sigma) + 0.5)
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    return np.require(weights / weights.sum(), np.float64, "C")[radius:]
