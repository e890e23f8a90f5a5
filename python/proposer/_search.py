"""Selective search."""

from __future__ import annotations

import ctypes
import enum
import warnings
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from proposer._image import (
    HIGHEST_MAX_BYTES,
    HIGHEST_MAX_PIXELS,
    MAX_BYTES,
    MAX_PIXELS,
    Encoded,
    Pixels,
    to_image,
)
from proposer._library import ImageError, LimitError, OptionError, ResultStruct, Token, call, owned
from proposer._proposals import Proposals

__all__ = ["SearchOptions", "call_with_image", "check_limits", "format_options", "search", "selective_search"]


def selective_search(
    image: Any,
    mode: str = "fast",
    max_boxes: int = 2000,
    order: str = "objectness",
    masks: bool = False,
    *,
    channel_order: str = "rgb",
    unions: Optional[int] = None,
    joins: Optional[int] = None,
    seed: int = 1,
    nms: Union[float, str] = "off",
    min_side: int = 0,
    max_aspect: float = 0,
    min_area: float = 0,
    max_area: float = 0,
    max_side: int = 0,
    resize_width: Optional[int] = None,
    min_resized_side: Optional[int] = None,
    colors: Union[str, Sequence[str], None] = None,
    k: Union[float, Sequence[float], None] = None,
    measures: Union[str, Sequence[str], None] = None,
    sigma: float = 0.8,
    min_size: int = 0,
    depth: Union[int, str] = 16,
    orientation: str = "exif",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    threads: int = 0,
) -> Proposals:
    """Propose boxes that probably contain the objects of an image, by selective search.

    Parameters
    ----------
    image : ndarray, PIL image, torch.Tensor, path or bytes
        The image:

        - an array of shape (H, W), (H, W, 3) or (H, W, 4), of uint8, or of floats from 0 to 1 as
          scikit-image has them, in any memory layout; also an object with an array interface;
        - a PIL image of any mode. Its pixels are used as they are: apply its EXIF orientation with
          ``PIL.ImageOps.exif_transpose`` if the boxes are to be in the upright image;
        - a PyTorch tensor of shape (C, H, W) or (H, W), of the same types as an array;
        - the path of an image file, or its content as bytes, bytearray or memoryview: JPEG, PNG,
          WebP, GIF, BMP or TIFF. Its EXIF orientation is applied.

        Transparent pixels are composited over white. Color profiles are ignored.
    mode : str, optional
        The strategies: "single", "fast", "quality" (the paper's), "best" (tuned), "opencv-single",
        "opencv-fast", "opencv-quality" (OpenCV's), or "rcnn".
    max_boxes : int, optional
        The maximum number of boxes, best first. 0: all.
    order : {"objectness", "paper", "hierarchy"}, optional
        The ranking: learned, the paper's (position in the merge tree times a seeded random number),
        or by position alone.
    masks : bool, optional
        Whether to return the region of each box as well.
    channel_order : {"rgb", "bgr"}, optional
        The order of the channels of arrays and tensors: "bgr" for what ``cv2.imread`` returns.
    unions : int, optional
        The maximum number of unions of two touching regions among the candidates of order "objectness".
        The default is the mode's: 2000 in "fast" and "quality", 1000 in "best", 0 in the others.
    joins : int, optional
        The maximum number of boxes that are joined from two of the best in order "objectness".
        The default is the mode's: 1500 in "fast" and "best", 3000 in "quality", 0 in the others. With 0 unions
        and 0 joins every box is that of a region of a merge tree.
    seed : int, optional
        The seed of the paper's order.
    nms : float or {"off", "adaptive"}, optional
        Non-maximum suppression: drop boxes whose IoU with a better one exceeds a threshold.
    min_side : int, optional
        Drop boxes with a shorter side, in pixels.
    max_aspect : float, optional
        Drop boxes whose longer side is more than this many times the shorter one. 0: none.
    min_area, max_area : float, optional
        Drop boxes with a smaller or a larger area, as a fraction of the image's. A `max_area` of 0:
        none.
    max_side : int, optional
        Shrink larger images to this longest side before the search. Boxes are in pixels of the
        original image. 0: never.
    resize_width : int, optional
        Shrink or enlarge images to this width before the search. Boxes are in pixels of the original
        image. 0: never. The default is the mode's, which is 0 except for "rcnn".
    min_resized_side : int, optional
        Drop boxes with a shorter side, in pixels of the resized image. The default is the mode's.
    colors : str or sequence of str, optional
        Color spaces instead of the mode's: RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I.
    k : float or sequence of float, optional
        Scales of the segmentation instead of the mode's. Larger ones give larger initial regions.
    measures : str or sequence of str, optional
        Combinations of similarity measures instead of the mode's: C (color), T (texture), S (size)
        and F (fill), each with a weight or without, such as "CTSF" or "C0.5TS".
    sigma : float, optional
        The smoothing before the segmentation, in pixels.
    min_size : int, optional
        The smallest initial region, in pixels. 0: the mode's.
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
    Proposals
        The boxes, best first, with their scores.

    Raises
    ------
    ImageError
        If the image is not one that can be searched.
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

    Notes
    -----
    The same image and options give the same result at any number of threads, and the result of the
    command ``proposer propose`` for the same pixels. Other threads of Python run during a search,
    and Ctrl-C ends it.

    Examples
    --------
    >>> import numpy as np, proposer
    >>> image = np.zeros((60, 80, 3), np.uint8)
    >>> image[10:40, 20:50] = 255, 0, 0
    >>> proposals = proposer.selective_search(image, mode="quality", min_side=10)
    >>> proposals.boxes.shape[1], proposals.boxes.dtype
    (4, dtype('int32'))
    >>> [20, 10, 50, 40] in proposals.boxes.tolist()
    True
    """
    options = dict(locals())
    del options["image"]
    proposals, warning = search(image, SearchOptions(options))
    if warning:
        warnings.warn(warning, stacklevel=2)
    return proposals


class SearchOptions:
    """The options of a search.

    Parameters
    ----------
    options : dict
        The arguments of `selective_search`, without the image.

    Raises
    ------
    OptionError
        If a value is of a wrong type.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        values = dict(options)
        self.channel_order: str = values.pop("channel_order")
        masks = values.pop("masks")
        if not isinstance(masks, (bool, np.bool_)):
            raise OptionError(f"masks {masks!r}: want True or False")
        self.masks = bool(masks)
        self.max_pixels, self.max_bytes = check_limits(values["max_pixels"], values["max_bytes"])
        self.text = format_options(max=values.pop("max_boxes"), masks="rle" if self.masks else None, **values)


def check_limits(max_pixels: Any, max_bytes: Any) -> tuple[int, int]:
    """Return the limits of an image as integers.

    Parameters
    ----------
    max_pixels, max_bytes : object
        The largest number of pixels, and the largest size of a file.

    Returns
    -------
    tuple of int
        The limits.

    Raises
    ------
    OptionError
        If a limit is not a whole number in its range.
    """
    for name, limit, high in (
        ("max_pixels", max_pixels, HIGHEST_MAX_PIXELS),
        ("max_bytes", max_bytes, HIGHEST_MAX_BYTES),
    ):
        if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or not 1 <= limit <= high:
            raise OptionError(f"{name} {limit!r}: want a whole number from 1 to {high}")
    return int(max_pixels), int(max_bytes)


def format_options(**options: Any) -> bytes:
    """Return options as the C library takes them.

    Parameters
    ----------
    **options
        The values by name, with underscores for hyphens. None: not given.

    Returns
    -------
    bytes
        The options as name=value, separated by spaces.

    Raises
    ------
    OptionError
        If a value is not a number or a text, or is a text that no option can have.

    Examples
    --------
    >>> format_options(mode="fast", min_side=20, k=[50, 100], nms=None)
    b'mode=fast min-side=20 k=50,100'
    """
    return " ".join(
        f"{name.replace('_', '-')}={_format_value(name, value)}" for name, value in options.items() if value is not None
    ).encode()


_MAX_ITEMS = 1000  # of a list; no option has as many


def _format_value(name: str, value: Any) -> str:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))
    if is_sequence or isinstance(value, np.ndarray) and value.ndim == 1:
        if len(value) > _MAX_ITEMS:
            raise OptionError(f"{_python_name(name)} with {len(value)} values: want at most {_MAX_ITEMS}")
        return ",".join(_format_item(name, item) for item in value)
    return _format_item(name, value)


def _format_item(name: str, value: Any) -> str:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (str, int, float, np.integer, np.floating)):
        raise OptionError(f"{_python_name(name)} {value!r}: want a number or a text")
    if isinstance(value, enum.Enum):
        value = value.value
    try:
        text = str(value)
    except ValueError:  # of an integer with thousands of digits
        raise OptionError(f"{_python_name(name)} with more than 4000 digits: want a number") from None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise OptionError(f"{_python_name(name)} {value!r}: want letters, digits and signs without spaces")
    return text


def _python_name(name: str) -> str:
    return "max_boxes" if name == "max" else name


def search(image: Any, options: SearchOptions, token: Optional[Token] = None) -> tuple[Proposals, str]:
    """Search an image.

    Parameters
    ----------
    image : object
        The image, as `selective_search` accepts it.
    options : SearchOptions
        The options.
    token : Token, optional
        A token that cancels the search. If it is given, the search runs in the calling thread.

    Returns
    -------
    proposals : Proposals
        The proposals.
    warning : str
        The warning about the image; empty if there is none.
    """
    converted = to_image(image, options.channel_order, options.max_pixels, options.max_bytes)
    with owned(ResultStruct, "proposer_result_free") as result:
        call_with_image("proposer_search", converted, options.text, ctypes.byref(result), token=token)
        proposals, warning = _read_result(result.contents, options.masks)
    if warning and isinstance(converted, Encoded) and converted.name:
        warning = f"{converted.name}: {warning}"
    return proposals, warning


def call_with_image(name: str, image: Union[Pixels, Encoded], *args: Any, token: Optional[Token] = None) -> None:
    """Call a function of the C library, or the one with the suffix _file, with an image.

    Parameters
    ----------
    name : str
        The name of the function for pixels.
    image : Pixels or Encoded
        The first argument.
    *args
        The other arguments without the token.
    token : Token, optional
        As in `call`.
    """
    if isinstance(image, Pixels):
        call(name, ctypes.byref(image.struct), *args, token=token)
        return
    try:
        call(f"{name}_file", image.pointer, image.size, *args, token=token)
    except (ImageError, LimitError) as err:
        raise type(err)(f"{image.name}: {err}" if image.name else str(err)) from None


def _read_result(result: ResultStruct, with_masks: bool) -> tuple[Proposals, str]:
    count, height, width = result.count, result.height, result.width
    boxes = np.empty((count, 4), np.int32)
    scores = np.empty(count, np.float32)
    if count > 0:
        ctypes.memmove(boxes.ctypes.data, result.boxes, boxes.nbytes)
        ctypes.memmove(scores.ctypes.data, result.scores, scores.nbytes)
    masks = None
    if with_masks:
        masks = [{"size": [height, width], "counts": result.masks[i].decode()} for i in range(count)]
    return Proposals(boxes, scores, width, height, masks), (result.warning or b"").decode()
