"""Label images."""

from __future__ import annotations

import ctypes
import warnings
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from proposer._image import MAX_BYTES, MAX_PIXELS, to_image
from proposer._library import LabelsStruct, owned
from proposer._search import call_with_image, check_limits, format_options

__all__ = ["segment"]


def segment(
    image: Any,
    k: float = 100,
    sigma: float = 0.8,
    min_size: int = 0,
    *,
    color: str = "RGB",
    connectivity: int = 8,
    channel_order: str = "rgb",
    max_side: int = 0,
    resize_width: int = 0,
    depth: Union[int, str] = 16,
    orientation: str = "exif",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    threads: int = 0,
) -> NDArray[np.int32]:
    """Segment an image into regions of similar color, also called superpixels.

    It is the segmentation that selective search begins with: that of Felzenszwalb and Huttenlocher
    (IJCV 2004), with quantized weights.

    Parameters
    ----------
    image : ndarray, PIL image, torch.Tensor, path or bytes
        The image, as `selective_search` accepts it.
    k : float, optional
        The scale: larger values give larger regions. `felzenszwalb` calls it `scale`.
    sigma : float, optional
        The standard deviation of the Gaussian that first smooths the image, in pixels.
    min_size : int, optional
        The smallest size of a region, in pixels. 0: `k`.
    color : str, optional
        The color space in which colors are compared: RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I.
    connectivity : {8, 4}, optional
        The number of neighbors of a pixel.
    channel_order : {"rgb", "bgr"}, optional
        The order of the channels of arrays and tensors: "bgr" for what ``cv2.imread`` returns.
    max_side : int, optional
        Shrink larger images to this longest side before the segmentation. 0: never.
    resize_width : int, optional
        Shrink or enlarge images to this width before the segmentation. 0: never.
    depth : int or "auto", optional
        The significant bits of samples of 16-bit files and 16-bit PIL images, 8 to 16.
    orientation : {"exif", "ignore"}, optional
        Whether the EXIF orientation of an image file is applied.
    max_pixels, max_bytes : int, optional
        The largest number of pixels of an image, and the largest size of an image file.
    threads : int, optional
        The maximum number of processor cores. 0: all.

    Returns
    -------
    ndarray of int32, shape (H, W)
        The number of the region of each pixel, in the size of the original image. Regions are
        numbered from 0 in the order of their first pixels, without gaps.

    Raises
    ------
    ImageError
        If the image is not one that can be segmented.
    LimitError
        If the image is too large.
    OptionError
        If an option is invalid.
    OSError
        If a file cannot be read.

    Warns
    -----
    UserWarning
        If the samples of a 16-bit image use little of their range, so that detail is lost.

    See Also
    --------
    felzenszwalb : The labels of scikit-image's function of this name.

    Notes
    -----
    The labels are equal to those of the command ``proposer segment`` for the same pixels, at any
    number of threads.

    Examples
    --------
    >>> import numpy as np, proposer
    >>> image = np.zeros((60, 80, 3), np.uint8)
    >>> image[10:40, 20:50] = 255, 0, 0
    >>> labels = proposer.segment(image, sigma=0)
    >>> labels.shape, int(labels[0, 0]), int(labels[20, 30])
    ((60, 80), 0, 1)
    """
    max_pixels, max_bytes = check_limits(max_pixels, max_bytes)
    options = format_options(
        color=color,
        k=k,
        sigma=sigma,
        min_size=min_size,
        connectivity=connectivity,
        max_side=max_side,
        resize_width=resize_width,
        depth=depth,
        orientation=orientation,
        max_pixels=max_pixels,
        max_bytes=max_bytes,
        threads=threads,
    )
    converted = to_image(image, channel_order, max_pixels, max_bytes)
    with owned(LabelsStruct, "proposer_labels_free") as result:
        call_with_image("proposer_segment", converted, options, ctypes.byref(result))
        labels = np.ctypeslib.as_array(result.contents.labels, (result.contents.height, result.contents.width))
        warning = (result.contents.warning or b"").decode()
        copy: NDArray[np.int32] = labels.astype(np.int32)
    if warning:
        warnings.warn(warning, stacklevel=2)
    return copy
