"""Images: arrays, PIL images, tensors, files and bytes, as the C library takes them."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

from proposer._library import ImageError, ImageStruct, LimitError, OptionError

__all__ = [
    "HIGHEST_MAX_BYTES",
    "HIGHEST_MAX_PIXELS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Encoded",
    "Pixels",
    "is_pil",
    "to_array",
    "to_image",
    "to_pixels",
]

# The default limits, which are those of the command.
MAX_PIXELS = 50_000_000
MAX_BYTES = 64 << 20
_MAX_SIDE = 65_535
# The largest limits that the library takes.
HIGHEST_MAX_PIXELS = 268_435_455
HIGHEST_MAX_BYTES = 2**31 - 1

_WANT_SHAPE = "want (H, W), (H, W, 3) or (H, W, 4)"
_WANT_TENSOR = "want (C, H, W) with 1, 3 or 4 channels, or (H, W)"
_WANT_DTYPE = "want uint8, or floats from 0 to 1"
_WANT_IMAGE = "want a NumPy array, a PIL image, a PyTorch tensor, the path of an image file, or its bytes"


class Pixels:
    """Pixels in memory.

    Parameters
    ----------
    array : ndarray of uint8
        An array of shape (H, W), (H, W, 3) or (H, W, 4) with at least one pixel.
    bgr : bool
        Whether the channels are in the order B, G, R.

    Attributes
    ----------
    array : ndarray of uint8
        The array. It must live as long as `struct` is used.
    struct : ImageStruct
        The proposer_image of the array.
    """

    def __init__(self, array: NDArray[np.uint8], bgr: bool = False) -> None:
        if 0 in array.strides:  # of a broadcast array; the library takes strides of 0 for packed pixels
            array = np.ascontiguousarray(array)
        height, width = array.shape[:2]
        channel_stride = array.strides[2] if array.ndim == 3 else 1
        channels = array.shape[2] if array.ndim == 3 else 1
        self.array = array
        self.struct = ImageStruct(
            array.ctypes.data, width, height, channels, bgr, array.strides[0], array.strides[1], channel_stride
        )


class Encoded:
    """An encoded image.

    Parameters
    ----------
    data : buffer
        The bytes of an image file.
    name : str
        What errors name the image by.

    Attributes
    ----------
    name : str
        The name.
    size : int
        The number of bytes.
    data : ndarray of uint8
        The bytes.
    pointer : ctypes.c_void_p
        Their address. They live as long as this object.
    """

    def __init__(self, data: Union[bytes, bytearray, memoryview], name: str) -> None:
        view = memoryview(data)
        if not view.c_contiguous:
            view = memoryview(view.tobytes())
        self.name = name
        self.size = view.nbytes
        self.data = np.frombuffer(view, np.uint8) if view.nbytes > 0 else np.empty(0, np.uint8)
        self.pointer = ctypes.c_void_p(self.data.ctypes.data)


def to_image(
    image: Any, channel_order: str = "rgb", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Union[Pixels, Encoded]:
    """Return any accepted image in a form for the C library, without a copy where that is possible.

    Parameters
    ----------
    image : object
        An image as `proposer.selective_search` accepts it, or a result of this function.
    channel_order : {"rgb", "bgr"}
        The order of the channels of arrays and tensors.
    max_pixels, max_bytes : int
        The largest number of pixels, and the largest size of a file.

    Returns
    -------
    Pixels or Encoded
        The image.

    Raises
    ------
    ImageError
        If the image is not of an accepted kind, shape or type.
    LimitError
        If it is too large.
    OptionError
        If the channel order is invalid.
    OSError
        If a file cannot be read.
    """
    bgr = _is_bgr(channel_order)
    if isinstance(image, (Pixels, Encoded)):
        return image
    if isinstance(image, (bytes, bytearray)) or isinstance(image, memoryview) and image.ndim == 1:
        return Encoded(image, "")
    if isinstance(image, (str, os.PathLike)):
        return _read_file(image, max_bytes)
    if is_pil(image):
        return _from_pil(image, max_pixels)
    return Pixels(_array_of(image, max_pixels), bgr)


def to_pixels(image: Any, channel_order: str = "rgb", max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return an array, a tensor or a PIL image of 8 bits in a form for the C library.

    It is `to_image` without encoded images.

    Parameters
    ----------
    image : object
        An array, a tensor or a PIL image as `proposer.selective_search` accepts it.
    channel_order : {"rgb", "bgr"}
        The order of the channels of arrays and tensors.
    max_pixels : int
        The largest number of pixels.

    Returns
    -------
    Pixels
        The image.

    Raises
    ------
    ImageError, LimitError, OptionError
        As `to_image`.
    """
    if isinstance(image, (bytes, bytearray, str, os.PathLike)) or isinstance(image, memoryview) and image.ndim == 1:
        raise ImageError(f"image of type {_type_name(image)}: want the pixels of the image, as an array or a PIL image")
    converted = to_image(image, channel_order, max_pixels)
    if isinstance(converted, Encoded):
        raise ImageError(f"{converted.name}: want 8 bits per sample")
    return converted


def _is_bgr(channel_order: str) -> bool:
    if channel_order not in ("rgb", "bgr"):
        raise OptionError(f'channel_order {channel_order!r}: want "rgb" or "bgr"')
    return channel_order == "bgr"


def _type_name(value: object) -> str:
    t = type(value)
    return t.__qualname__ if t.__module__ == "builtins" else f"{t.__module__}.{t.__qualname__}"


def _read_file(path: Union[str, os.PathLike[str]], max_bytes: int) -> Encoded:
    name = os.fsdecode(path)
    if "\0" in name:
        raise ImageError(f"path {name!r}: want a path without null characters")
    with open(name, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        parts = []
        read = 0
        while size <= max_bytes and read <= max_bytes:
            part = file.read(min(max_bytes + 1 - read, 1 << 20 if read or not size else size + 1))
            if not part:
                break
            parts.append(part)
            read += len(part)
    if max(size, read) > max_bytes:
        raise LimitError(f"{name}: {max(size, read)} bytes or more: want at most {max_bytes} (max_bytes)")
    return Encoded(b"".join(parts), name)


def _check_size(what: str, height: int, width: int, max_pixels: int) -> None:
    if height < 1 or width < 1:
        raise ImageError(f"{what}: want at least one pixel")
    if max(height, width) > _MAX_SIDE:
        raise LimitError(f"{what}: want at most {_MAX_SIDE} pixels on a side")
    if height * width > max_pixels:
        raise LimitError(f"{what}: has {height * width} pixels: want at most {max_pixels} (max_pixels)")


def _array_of(image: Any, max_pixels: int) -> NDArray[np.uint8]:
    """Return the pixels of an array, a tensor, or an object with an array interface."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    if tensor is not None and isinstance(image, tensor):
        return _from_tensor(image, max_pixels)
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError("image of type numpy.ma.MaskedArray: want an array without a mask, such as image.filled(0)")
    if not isinstance(image, np.ndarray):
        image = _as_array(image)
    shape = tuple(image.shape)
    what = f"image of shape {shape}"
    if image.ndim not in (2, 3) or image.ndim == 3 and shape[2] not in (3, 4):
        raise ImageError(f"{what}: {_WANT_SHAPE}{_shape_hint(shape)}")
    _check_size(what, shape[0], shape[1], max_pixels)
    return _to_uint8(image)


def _as_array(image: Any) -> NDArray[Any]:
    interfaces = ("__array__", "__array_interface__", "__array_struct__")
    if not isinstance(image, (memoryview, type)) and not any(hasattr(image, name) for name in interfaces):
        hint = ""
        if image is None:
            hint = " (cv2.imread returns None for a file that it cannot read)"
        elif isinstance(image, (list, tuple)):
            hint = "; for many images use proposer.map"
        name = "image is None" if image is None else f"image of type {_type_name(image)}"
        raise ImageError(f"{name}: {_WANT_IMAGE}{hint}")
    if isinstance(image, type):
        raise ImageError(f"image is the class {image.__name__}: {_WANT_IMAGE}")
    return to_array(image)


def to_array(image: Any) -> NDArray[Any]:
    """Return an object as an array.

    Parameters
    ----------
    image : array_like
        The object.

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    ImageError
        If the object is None or cannot be converted, as a tensor that requires a gradient.
    """
    if image is None:
        raise ImageError("image is None: want an array (cv2.imread returns None for a file that it cannot read)")
    try:
        array: NDArray[Any] = np.asarray(image)
    except (RuntimeError, TypeError, ValueError) as err:
        raise ImageError(f"image of type {_type_name(image)}: cannot be converted to an array") from err
    return array


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return "; of an encoded image pass its bytes, image.tobytes()"
    if len(shape) == 3 and shape[2] == 1:
        return "; pass image[:, :, 0]"
    if len(shape) == 3 and shape[0] == 1:
        return "; pass image[0]"
    if len(shape) == 3 and shape[0] in (3, 4):
        return "; if the channels come first, pass image.transpose(1, 2, 0)"
    if len(shape) == 4:
        return "; for many images use proposer.map"
    return ""


def _to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array with its values as bytes."""
    if image.dtype == np.uint8:
        return np.asarray(image)
    if image.dtype.kind == "f":
        return _scale_floats(image)
    hint = ""
    if image.dtype.kind == "b":
        hint = "; convert it with image.astype(numpy.uint8) * 255"
    elif image.dtype.kind == "u" and image.dtype.itemsize == 2:
        hint = "; convert 16 bits with (image / 257).round().astype(numpy.uint8)"
    elif image.dtype.kind in "iu":
        hint = "; if its values are from 0 to 255, convert it with image.astype(numpy.uint8)"
    raise ImageError(f"image of dtype {image.dtype}: {_WANT_DTYPE}{hint}")


def _scale_floats(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the nearest bytes of values from 0 to 1, as skimage.img_as_ubyte does."""
    working = np.float64 if image.dtype.itemsize > 4 else np.float32
    scaled = np.empty(image.shape, np.uint8)
    rows = max(1, (1 << 16) // (scaled[0].size))  # a block stays in the processor's cache
    for start in range(0, len(image), rows):
        block = image[start : start + rows]
        low, high = block.min(), block.max()  # NaN if a value is
        if not (low >= 0 and high <= 1):
            raise ImageError(_float_error(image))
        scaled[start : start + rows] = np.rint(block.astype(working) * 255)
    return scaled


def _float_error(image: NDArray[Any]) -> str:
    low, high = image.min(), image.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        value = "NaN" if np.isnan(low) else "infinite values"
        return f"image of dtype {image.dtype} with {value}: want values from 0 to 1"
    hint = "; clip it with numpy.clip(image, 0, 1)"
    if low < -0.5:
        hint = "; if it has been normalized, pass it as it was before"
    if high > 2 and low >= 0 and high <= 255:
        hint = "; if its values are from 0 to 255, convert it with image.astype(numpy.uint8)"
    return f"image of dtype {image.dtype} with values from {low:.8g} to {high:.8g}: want values from 0 to 1{hint}"


def _from_tensor(tensor: Any, max_pixels: int) -> NDArray[np.uint8]:
    shape = tuple(tensor.shape)
    what = f"tensor of shape {shape}"
    if len(shape) not in (2, 3) or len(shape) == 3 and shape[0] not in (1, 3, 4):
        hint = ""
        if len(shape) == 3 and shape[2] in (1, 3, 4):
            hint = "; if the channels come last, pass tensor.permute(2, 0, 1)"
        elif len(shape) == 4:
            hint = "; for many images use proposer.map"
        raise ImageError(f"{what}: {_WANT_TENSOR}{hint}")
    _check_size(what, shape[-2], shape[-1], max_pixels)
    dtype = str(tensor.dtype)
    if dtype not in ("torch.uint8", "torch.bfloat16", "torch.float16", "torch.float32", "torch.float64"):
        raise ImageError(f"tensor of dtype {dtype}: {_WANT_DTYPE}")
    try:
        tensor = tensor.detach().cpu()
        array: NDArray[Any] = (tensor.float() if dtype == "torch.bfloat16" else tensor).numpy()
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as err:
        raise ImageError(f"tensor of type {_type_name(tensor)} on {tensor.device}: want values in memory") from err
    if array.ndim == 3:
        array = array[0] if len(array) == 1 else array.transpose(1, 2, 0)
    return _to_uint8(array)


def is_pil(image: object) -> bool:
    """Return whether an object is a PIL image, without importing PIL."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, getattr(pil, "Image", ()))


def _from_pil(image: Any, max_pixels: int) -> Union[Pixels, Encoded]:
    """Return the pixels of a PIL image, as they are: without its EXIF orientation."""
    what = f"PIL image of mode {image.mode} and size {image.size}"
    width, height = image.size
    _check_size(what, height, width, max_pixels)
    try:
        image.load()
        mode = image.mode
        if mode == "I" or mode.startswith("I;16"):
            return _from_16_bits(np.asarray(image), what)
        if mode == "F":
            return Pixels(_to_uint8(np.asarray(image)))
        if mode in ("P", "PA"):
            alpha = mode == "PA" or "transparency" in image.info or image.palette.mode == "RGBA"
            image = image.convert("RGBA" if alpha else "RGB")
        elif mode in ("1", "La", "RGBa"):
            image = image.convert({"1": "L", "La": "LA", "RGBa": "RGBA"}[mode])
        elif mode not in ("L", "LA", "RGB", "RGBA"):
            image = image.convert("RGB")
        array: NDArray[np.uint8] = np.asarray(image)
    except (ImageError, MemoryError):
        raise
    except Exception as err:  # of a truncated file, a closed image, a mode that cannot be converted, ...
        raise ImageError(f"{what}: cannot be read or converted to RGB") from err
    if image.mode == "LA":
        array = _over_white(array)
    elif image.mode in ("L", "RGB"):
        array = _without_transparent(array, image.info.get("transparency"))
    return Pixels(array)


def _from_16_bits(array: NDArray[Any], what: str) -> Encoded:
    """Return gray samples of 16 bits as an uncompressed TIFF file, so that the option depth applies."""
    pil: Any = sys.modules["PIL.Image"]
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65_535:
        raise ImageError(f"{what} with values from {low} to {high}: want values from 0 to 65535")
    file = io.BytesIO()
    pil.fromarray(np.ascontiguousarray(array, "<u2")).save(file, "TIFF")
    return Encoded(file.getbuffer(), what)


def _over_white(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return gray samples with alpha composited over white, rounded to nearest."""
    value, alpha = array[..., 0].astype(np.uint32), array[..., 1].astype(np.uint32)
    return ((value * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _without_transparent(array: NDArray[np.uint8], transparent: Optional[object]) -> NDArray[np.uint8]:
    """Return an array with the pixels of the transparent value, if there is one, in white."""
    if isinstance(transparent, int) and array.ndim == 2 or isinstance(transparent, tuple) and array.ndim == 3:
        where = array == np.asarray(transparent)
        array = array.copy()
        array[where if array.ndim == 2 else where.all(axis=2)] = 255
    return array
