"""Tests of the kinds of images that are accepted, and of the errors about others."""

from __future__ import annotations

import array
import io
import os
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import proposer
import pytest
from conftest import draw, png
from numpy.typing import NDArray
from proposer._image import to_pixels
from test_search import assert_equal

WANT_IMAGE = "want a NumPy array, a PIL image, a PyTorch tensor, the path of an image file, or its bytes"


def zeros(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.zeros(shape, dtype)


def with_value(value: float, dtype: Any = np.float64) -> NDArray[Any]:
    image = np.full((30, 40, 3), 0.5, dtype)
    image[20, 30, 1] = value
    return image


class WithoutArray:
    """An object whose conversion to an array fails, as that of a tensor on a GPU does."""

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray[Any]:
        raise TypeError("copy it to the memory first")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, rf"^image is None: {WANT_IMAGE} \(cv2.imread returns None for a file that it cannot read\)$"),
        (7, f"^image of type int: {WANT_IMAGE}$"),
        ([zeros(5, 5)], f"^image of type list: {WANT_IMAGE}; for many images use proposer.map$"),
        ({}, f"^image of type dict: {WANT_IMAGE}$"),
        (types.SimpleNamespace(shape=(4, 4)), f"^image of type types.SimpleNamespace: {WANT_IMAGE}$"),
        (np.ndarray, f"^image is the class ndarray: {WANT_IMAGE}$"),
        (array.array("B", b"abc"), f"^image of type array.array: {WANT_IMAGE}$"),
        (zeros(48, 64, 2), r"^image of shape \(48, 64, 2\): want \(H, W\), \(H, W, 3\) or \(H, W, 4\)$"),
        (zeros(48, 64, 1), r"^image of shape \(48, 64, 1\): want .*; pass image\[:, :, 0\]$"),
        (zeros(1, 48, 64), r"^image of shape \(1, 48, 64\): want .*; pass image\[0\]$"),
        (zeros(3, 48, 64), r"^image of shape \(3, 48, 64\): .*; if the channels come first, pass image.transpose"),
        (zeros(2, 48, 64, 3), r"^image of shape \(2, 48, 64, 3\): .*; for many images use proposer.map$"),
        (zeros(9), r"^image of shape \(9,\): .*; of an encoded image pass its bytes, image.tobytes\(\)$"),
        (np.uint8(3), r"^image of shape \(\): want"),
        (zeros(0, 0), r"^image of shape \(0, 0\): want at least one pixel$"),
        (zeros(5, 0, 3), r"^image of shape \(5, 0, 3\): want at least one pixel$"),
        (zeros(5, 5, 0), r"^image of shape \(5, 5, 0\): want \(H, W\)"),
        (zeros(5, 5, dtype=bool), r"^image of dtype bool: .*; convert it with image.astype\(numpy.uint8\) \* 255$"),
        (zeros(5, 5, dtype=np.uint16), r"^image of dtype uint16: .*; convert 16 bits with \(image / 257\)"),
        (zeros(5, 5, dtype=np.int8), "^image of dtype int8: want uint8, or floats from 0 to 1; if its"),
        (zeros(5, 5, dtype=np.int64), "^image of dtype int64: .*; if its values are from 0 to 255, convert it with"),
        (zeros(5, 5, dtype=complex), "^image of dtype complex128: want uint8, or floats from 0 to 1$"),
        (zeros(5, 5, dtype=object), "^image of dtype object: want uint8, or floats from 0 to 1$"),
        (zeros(5, 5, dtype="S1"), r"^image of dtype \|S1: want"),
        (zeros(5, 5, dtype="M8[s]"), r"^image of dtype datetime64\[s\]: want"),
        (zeros(5, 5, dtype=[("r", np.uint8)]), r"^image of dtype \[\('r', 'u1'\)\]: want"),
        (np.ma.masked_array(zeros(5, 5), zeros(5, 5) == 0), "^image of type numpy.ma.MaskedArray: want an array"),
        (with_value(np.nan), "^image of dtype float64 with NaN: want values from 0 to 1$"),
        (with_value(np.inf, np.float32), "^image of dtype float32 with infinite values: want values from 0 to 1$"),
        (with_value(-np.inf, np.float16), "^image of dtype float16 with infinite values: want values from 0 to 1$"),
        (
            with_value(-0.25),
            "^image of dtype float64 with values from -0.25 to 0.5: want values from 0 to 1; clip it with numpy.clip",
        ),
        (zeros(5, 5) - 2.1, "^image of dtype float64 .*; if it has been normalized, pass it as it was before$"),
        (with_value(np.nextafter(1, 2)), "^image of dtype float64 with values from 0.5 to 1: want .*; clip it"),
        (with_value(254.0), "^image of dtype float64 with values from 0.5 to 254: .*; if its values are from 0 to"),
        (WithoutArray(), "^image of type test_image.WithoutArray: cannot be converted to an array$"),
        ("a\0.jpg", r"^path 'a\\x00.jpg': want a path without null characters$"),
        (b"", "^an empty file: want JPEG, PNG, WebP, GIF, BMP or TIFF$"),
        (b"farbfeld......", "^a farbfeld image: convert it to PNG$"),
        (b"GIF89a......", "^broken gif: ends early$"),
        (bytearray(b"\x89PNG\r\n\x1a\n"), "^broken png: "),
        (memoryview(b"GIF89a......")[::-1], "^a text file, not an image: "),
    ],
)
def test_wrong_images(image: Any, message: str) -> None:
    with pytest.raises(proposer.ImageError, match=message) as caught:
        proposer.selective_search(image)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.broadcast_to(np.uint8(1), (10_000, 5_001)), r"^image of shape \(10000, 5001\): has 50010000 pixels: "),
        (np.broadcast_to(0.5, (10**8, 10**8, 3)), r"^image of shape .*: want at most 65535 pixels on a side$"),
        (np.broadcast_to(np.nan, (65_535, 65_535)), r"^image of shape \(65535, 65535\): has 4294836225 pixels"),
        (zeros(65_536, 1), r"^image of shape \(65536, 1\): want at most 65535 pixels on a side$"),
    ],
)
def test_large_images(image: Any, message: str) -> None:
    with pytest.raises(proposer.LimitError, match=message):
        proposer.selective_search(image)


def test_limits_are_options(scene: NDArray[np.uint8], tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(png(scene))
    for image in (scene, file, png(scene)):
        with pytest.raises(proposer.LimitError, match="pixels"):
            proposer.selective_search(image, max_pixels=160 * 120 - 1)
        proposer.selective_search(image, max_pixels=160 * 120)
    size = file.stat().st_size
    with pytest.raises(proposer.LimitError, match=f"scene.png: {size} bytes or more: want at most {size - 1} "):
        proposer.selective_search(file, max_bytes=size - 1)
    with pytest.raises(proposer.LimitError, match="bytes"):
        proposer.selective_search(png(scene), max_bytes=size - 1)
    proposer.selective_search(file, max_bytes=size)


def test_files(scene: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "näme.png"
    path.write_bytes(png(scene))
    found = proposer.selective_search(scene)
    for image in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        assert_equal(proposer.selective_search(image), found)
    backwards = memoryview(path.read_bytes()[::-1])[::-1]
    assert_equal(proposer.selective_search(backwards), found)
    with pytest.raises(FileNotFoundError):
        proposer.selective_search(tmp_path / "missing.png")
    with pytest.raises(IsADirectoryError if sys.platform != "win32" else PermissionError):
        proposer.selective_search(str(tmp_path))
    broken = tmp_path / "broken.png"
    broken.write_bytes(path.read_bytes()[:300])
    with pytest.raises(proposer.ImageError, match="broken.png: broken png: "):
        proposer.selective_search(broken)
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(proposer.ImageError, match="empty.jpg: an empty file"):
        proposer.selective_search(empty)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no /dev/zero")
@pytest.mark.parametrize(
    ("extension", "options"),
    [
        ("JPEG", {"quality": 75, "subsampling": "4:2:0"}),
        ("JPEG", {"quality": 90, "subsampling": "4:2:2", "progressive": True}),
        ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
        ("WebP", {"quality": 80}),
    ],
)
def test_lossy_files_match_pillow(scene: NDArray[np.uint8], extension: str, options: dict[str, Any]) -> None:
    pil = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pil.fromarray(scene[:115, :157]).save(file, extension, **options)
    found = proposer.selective_search(file.getvalue())
    assert_equal(proposer.selective_search(pil.open(file)), found)


def test_paths_of_bytes_and_integers(tmp_path: Path, scene: NDArray[np.uint8]) -> None:
    class BytesPath:
        def __fspath__(self) -> bytes:
            return os.fsencode(tmp_path / "é.png")

        def __index__(self) -> int:  # as unittest.mock.MagicMock has; open() would take it for a descriptor
            return 1

    with pytest.raises(FileNotFoundError):
        proposer.selective_search(BytesPath())
    (tmp_path / "é.png").write_bytes(png(scene))
    assert_equal(proposer.selective_search(BytesPath()), proposer.selective_search(scene))
    (tmp_path / "é.png").write_bytes(b"farbfeld")
    with pytest.raises(proposer.ImageError, match=r"^[^']*é.png: a farbfeld image"):
        proposer.selective_search(BytesPath())


def test_endless_files_end() -> None:
    with pytest.raises(proposer.LimitError, match="^/dev/zero: 1001 bytes or more: want at most 1000 "):
        proposer.selective_search("/dev/zero", max_bytes=1000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_rounded_as_by_skimage(dtype: Any) -> None:
    util = pytest.importorskip("skimage.util")
    values = np.random.default_rng(3).random((60, 80, 3)).astype(dtype)
    values[0, :4, 0] = 0, 1, -0.0, 0.5 / 255
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the loss of precision
        scaled = util.img_as_ubyte(values)
    assert (to_pixels(values).array == scaled).all()


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_other_floats_are_rounded_to_nearest(dtype: Any) -> None:
    values = np.random.default_rng(4).random((300, 400)).astype(dtype)
    assert (to_pixels(values).array == np.rint(values.astype(np.float64) * 255)).all()


def test_arrays_are_not_copied() -> None:
    image = draw(1)
    for view in (image, image[::-1, ::2], image.transpose(1, 0, 2), image[..., 1]):
        assert to_pixels(view).array.ctypes.data == view.ctypes.data


# PIL images.


def pil_image(mode: str) -> Any:
    """Return a drawn image of a mode that PNG has."""
    pil = pytest.importorskip("PIL.Image")
    color, alpha = draw(10), draw(11)[..., 0]
    if mode == "RGBA":
        return pil.fromarray(np.dstack([color, alpha]))
    if mode == "LA":
        return pil.merge("LA", [pil.fromarray(color[..., 0]), pil.fromarray(alpha)])
    if mode == "P with transparency":
        image = pil.fromarray(color).quantize(64)
        image.info["transparency"] = bytes(range(0, 256, 4))
        return image
    if mode == "P":
        return pil.fromarray(color).quantize(64)
    if mode == "L with transparency":
        image = pil.fromarray(color[..., 0] // 16 * 16)
        image.info["transparency"] = 112
        return image
    if mode == "RGB with transparency":
        image = pil.fromarray(color // 128 * 128)
        image.info["transparency"] = (128, 0, 128)
        return image
    if mode == "I;16":
        return pil.fromarray((color[..., 0].astype(np.uint16) << 8) + alpha)
    if mode == "I":
        return pil.fromarray((color[..., 0].astype(np.int32) << 8) + alpha)
    return pil.fromarray(color).convert(mode)


@pytest.mark.parametrize(
    "mode",
    "1 L LA P RGB RGBA I I;16".split() + ["P with transparency", "L with transparency", "RGB with transparency"],
)
def test_pil_images_equal_their_files(mode: str) -> None:
    image = pil_image(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    found = proposer.selective_search(image)
    assert len(found) > 3
    assert_equal(found, proposer.selective_search(file.getvalue()))
    reopened = pytest.importorskip("PIL.Image").open(io.BytesIO(file.getvalue()))
    assert_equal(proposer.selective_search(reopened), found)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_pil_images_in_other_color_spaces_are_converted(mode: str) -> None:
    image = pil_image(mode)
    assert_equal(proposer.selective_search(image), proposer.selective_search(np.asarray(image.convert("RGB"))))


def test_premultiplied_pil_images() -> None:
    image = pil_image("RGBA").convert("RGBa")
    assert_equal(proposer.selective_search(image), proposer.selective_search(image.convert("RGBA")))


def test_pil_images_of_floats() -> None:
    pil = pytest.importorskip("PIL.Image")
    gray = draw(12)[..., 0]
    image = pil.fromarray((gray / 255).astype(np.float32))
    assert_equal(proposer.selective_search(image), proposer.selective_search(gray))
    with pytest.raises(proposer.ImageError, match="^image of dtype float32 with values from .* to .*: want values"):
        proposer.selective_search(pil.fromarray(gray.astype(np.float32)))


def test_depth_of_pil_images() -> None:
    pil = pytest.importorskip("PIL.Image")
    gray = draw(13)[..., 0]
    image = pil.fromarray(gray.astype(np.uint16) * 16)  # of a 12-bit camera
    with pytest.warns(UserWarning, match="leave 17 of 256 levels: set the option depth to 12 or auto") as caught:
        proposer.selective_search(image)
    assert caught[0].filename == __file__
    deep = proposer.selective_search(image, depth=12)
    assert_equal(deep, proposer.selective_search(np.rint(gray * (16 / 4095 * 255)).astype(np.uint8)))
    assert_equal(proposer.selective_search(image, depth="auto"), deep)
    with pytest.raises(proposer.OptionError, match="does not fit in 8 bits"):
        proposer.selective_search(image, depth=8)


def test_exif_orientation_of_pil_images_is_not_applied() -> None:
    pil = pytest.importorskip("PIL.Image")
    exif = pil.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    file = io.BytesIO()
    pil.fromarray(draw(14)).save(file, "PNG", exif=exif)
    data = file.getvalue()
    image = pil.open(io.BytesIO(data))
    assert_equal(proposer.selective_search(image), proposer.selective_search(data, orientation="ignore"))
    upright = pytest.importorskip("PIL.ImageOps").exif_transpose(image)
    assert_equal(proposer.selective_search(upright), proposer.selective_search(data))
    assert proposer.selective_search(data).height == image.width


def test_pil_images_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pil = pytest.importorskip("PIL.Image")
    image = pil.new("CMYK", (4, 5))

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(image, "convert", fail)
    with pytest.raises(MemoryError):
        proposer.selective_search(image)


def test_pil_images_that_cannot_be_read() -> None:
    pil = pytest.importorskip("PIL.Image")
    with pytest.raises(proposer.ImageError, match=r"^PIL image of mode L and size \(0, 5\): want at least one pixel$"):
        proposer.selective_search(pil.new("L", (0, 5)))
    with pytest.raises(proposer.ImageError, match=r"^PIL image of mode I and size \(5, 5\) with values from -3 to "):
        proposer.selective_search(pil.new("I", (5, 5), -3))
    with pytest.raises(proposer.LimitError, match="has 50010000 pixels"):
        proposer.selective_search(pil.new("L", (10_000, 5_001)))
    truncated = pil.open(io.BytesIO(png(draw(15))[:2000]))
    with pytest.raises(proposer.ImageError, match=r"^PIL image of mode RGB and size \(160, 120\): cannot be read"):
        proposer.selective_search(truncated)


# PyTorch tensors.


@pytest.mark.parametrize(
    "convert",
    [
        lambda torch, t: t,
        lambda torch, t: t.float() / 255,
        lambda torch, t: t.double() / 255,
        lambda torch, t: (t.double() / 255).requires_grad_(),
        lambda torch, t: t.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        lambda torch, t: torch.nn.Parameter(t.float() / 255),
        lambda torch, t: torch.cat([t, torch.full_like(t[:1], 255)]),
    ],
    ids="uint8 float32 float64 gradient channels_last parameter alpha".split(),
)
def test_tensors(scene: NDArray[np.uint8], convert: Callable[[Any, Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(scene).permute(2, 0, 1)
    assert_equal(proposer.selective_search(convert(torch, tensor)), proposer.selective_search(scene))


def test_gray_and_half_tensors(scene: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    gray = scene[..., 0].copy()
    tensor = torch.from_numpy(gray)
    for image in (tensor, tensor[None]):
        assert_equal(proposer.selective_search(image), proposer.selective_search(gray))
    half = (tensor / 255).to(torch.bfloat16)
    assert_equal(proposer.selective_search(half), proposer.selective_search(half.float().numpy()))


def test_wrong_tensors() -> None:
    torch = pytest.importorskip("torch")
    for image, message in [
        (torch.zeros(48, 64, 3), r"^tensor of shape \(48, 64, 3\): want \(C, H, W\) .*pass tensor.permute\(2, 0, 1\)$"),
        (torch.zeros(2, 3, 48, 64), r"^tensor of shape \(2, 3, 48, 64\): want .*; for many images use proposer.map$"),
        (torch.zeros(2, 48, 64), r"^tensor of shape \(2, 48, 64\): want \(C, H, W\) with 1, 3 or 4 channels, or"),
        (torch.zeros(3, 0, 64), r"^tensor of shape \(3, 0, 64\): want at least one pixel$"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "^tensor of dtype torch.int64: want uint8, or floats from 0 to 1$"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), "^tensor of dtype torch.bool: want"),
        (torch.full((3, 4, 4), float("nan")), "^image of dtype float32 with NaN: want values from 0 to 1$"),
        (torch.zeros(3, 4, 4, device="meta"), "^tensor of type torch.Tensor on meta: want values in memory$"),
        (torch.zeros(4, 4).to_sparse(), "^tensor of type torch.Tensor on cpu: want values in memory$"),
        (torch.zeros(1).expand(70_000, 70_000), r"^tensor of shape \(70000, 70000\): want at most 65535 pixels"),
    ]:
        with pytest.raises((proposer.ImageError, proposer.LimitError), match=message):
            proposer.selective_search(image)


def test_optional_packages_are_not_imported() -> None:
    import subprocess

    code = "import sys, proposer; sys.exit(any(m in sys.modules for m in ('torch', 'PIL', 'cv2', 'tqdm', 'skimage')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
