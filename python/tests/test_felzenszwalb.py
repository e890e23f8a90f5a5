"""proposer.felzenszwalb beside scikit-image's."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import proposer

segmentation = pytest.importorskip("skimage.segmentation")

PHOTOGRAPHS = Path(os.environ.get("PROPOSER_TESTDATA", "../shared/data")) / "coco-dev" / "images"


@pytest.fixture
def stable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scikit-image take equal weights in a defined order."""
    argsort = np.argsort
    monkeypatch.setattr(np, "argsort", lambda a: argsort(a, kind="stable"))


def peer(image: NDArray[Any], **options: Any) -> NDArray[np.int64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels: NDArray[np.int64] = segmentation.felzenszwalb(image, **options)
    return labels


def ours(image: NDArray[Any], **options: Any) -> NDArray[np.int64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return proposer.felzenszwalb(image, **options)


def adjusted_rand_index(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return how well two label arrays agree: 1 if they are equal up to numbering, 0 by chance."""
    _, sizes = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1, return_counts=True)

    def pairs(counts: NDArray[np.int64]) -> float:
        return float((counts * (counts - 1.0) / 2).sum())

    together, in_a, in_b = pairs(sizes), pairs(np.bincount(a.ravel())), pairs(np.bincount(b.ravel()))
    chance = in_a * in_b / pairs(np.array([a.size]))
    most = (in_a + in_b) / 2
    return 1.0 if most == chance else (together - chance) / (most - chance)


def photographs(n: int) -> list[Path]:
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))[:n]
    if not paths:
        pytest.skip(f"no photographs in {PHOTOGRAPHS}: set PROPOSER_TESTDATA")
    return paths


def blobs(shape: tuple[int, ...], seed: int = 1) -> NDArray[np.float64]:
    """Draw overlapping rectangles with some noise, from 0 to 1."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    for _ in range(12):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = rng.random(shape[2:])
    return np.clip(image + rng.normal(0, 0.02, shape), 0, 1)


def test_photographs_have_equal_labels() -> None:
    pil = pytest.importorskip("PIL.Image")
    for path in photographs(8):
        image = np.asarray(pil.open(path).convert("RGB"))
        labels = ours(image, scale=300, sigma=0.8, min_size=20)
        expected = peer(image, scale=300, sigma=0.8, min_size=20)
        assert np.array_equal(labels, expected), path
        assert adjusted_rand_index(labels, expected) == 1
        assert np.array_equal(ours(image, scale=300, threads=1), ours(image, scale=300, threads=3)), path


@pytest.mark.parametrize(
    "dtype",
    ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">f4", ">u2", ">f8"],
)
@pytest.mark.parametrize("shape", [(60, 90, 3), (60, 90), (50, 70, 1), (40, 50, 4), (30, 40, 11)])
def test_types_and_shapes(dtype: str, shape: tuple[int, ...], stable: None) -> None:
    values = blobs(shape)
    kind = np.dtype(dtype)
    if kind.kind in "ui":
        values = values * np.iinfo(kind).max * (1 - 1e-9)
        if kind.kind == "i":
            values = values * np.where(values > values.mean(), 1, -1)
    image = (values > 0.5 if kind.kind == "b" else values).astype(kind)
    labels = ours(image, scale=50)
    expected = peer(image, scale=50)
    assert labels.dtype == expected.dtype and labels.shape == expected.shape
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (1, 1), (1, 9, 3), (9, 1, 3), (2, 2, 3), (2, 3), (5,), (0, 4, 3), (4, 0, 3), (0, 0)]
)
@pytest.mark.parametrize("sigma", [0, 0.8, 5])
def test_tiny_images(shape: tuple[int, ...], sigma: float, stable: None) -> None:
    image = np.random.default_rng(2).random(shape)
    labels, expected = ours(image, sigma=sigma, min_size=2), peer(image, sigma=sigma, min_size=2)
    assert labels.shape == expected.shape and np.array_equal(labels, expected)


@pytest.mark.parametrize("scale", [0, 1, 30.5, 300, 1e6, -2, np.inf])
@pytest.mark.parametrize("sigma", [0, 1e-16, 0.05, 0.5, 0.8, 1, 2.5, 40])
@pytest.mark.parametrize("min_size", [-1, 0, 1, 20, 100_000])
def test_parameters(scale: float, sigma: float, min_size: int, stable: None) -> None:
    image = (blobs((50, 75, 3)) * 255).astype(np.uint8)
    options = dict(scale=scale, sigma=sigma, min_size=min_size)
    assert np.array_equal(ours(image, **options), peer(image, **options))


@pytest.mark.parametrize("levels", [1, 2, 4, 16])
@pytest.mark.parametrize("sigma", [0, 0.8])
def test_equal_weights(levels: int, sigma: float, stable: None) -> None:
    image = (blobs((120, 150), 3) * levels).astype(np.uint8) * (255 // levels)
    assert np.array_equal(ours(image, scale=20, sigma=sigma), peer(image, scale=20, sigma=sigma))


def layouts() -> Iterator[Any]:
    image = (blobs((40, 60, 3)) * 255).astype(np.uint8)
    double = blobs((40, 60, 3))
    unaligned = np.frombuffer(b"x" + double.tobytes(), np.float64, offset=1).reshape(double.shape)
    yield pytest.param(np.asfortranarray(image), id="Fortran order")
    yield pytest.param(image[::-1, ::-1, ::-1], id="negative strides")
    yield pytest.param(image[5:30:2, 3:50:3], id="sliced")
    yield pytest.param(np.broadcast_to(image[:1], image.shape), id="broadcast")
    yield pytest.param(np.asfortranarray(double), id="doubles in Fortran order")
    yield pytest.param(double[::-2, ::3], id="doubles, sliced")
    yield pytest.param(unaligned, id="unaligned doubles")


@pytest.mark.parametrize("image", layouts())
def test_layouts(image: NDArray[Any], stable: None) -> None:
    image.flags.writeable = False
    assert np.array_equal(ours(image, scale=50), peer(image, scale=50))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3, None])
def test_channel_axis(axis: int | None, stable: None) -> None:
    image = blobs((30, 40, 3))
    if axis is None:
        image = image[:, :, 0]
    else:
        image = np.moveaxis(image, -1, axis)
    assert np.array_equal(ours(image, scale=50, channel_axis=axis), peer(image, scale=50, channel_axis=axis))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308, 1e-320])
def test_unusual_values(value: float, stable: None) -> None:
    image = blobs((70, 80, 3))
    image[20, 30, 1] = value
    with np.errstate(all="ignore"):
        assert np.array_equal(ours(image, scale=50), peer(image, scale=50))


def test_many_channels_warn() -> None:
    image = np.zeros((10, 10, 4))
    with pytest.warns(RuntimeWarning, match=r"\(10, 10, 4\)"):
        proposer.felzenszwalb(image)
    with pytest.warns(RuntimeWarning):
        segmentation.felzenszwalb(image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(image=np.zeros((4, 5, 3)), channel_axis=None), r"image of shape \(4, 5, 3\): want \(H, W\)"),
        (dict(image=np.zeros((4, 5, 3), complex)), "image of dtype complex128: want"),
        (dict(image=np.zeros((4, 5, 3), np.longdouble)), "image of dtype float128: want"),
        (dict(image=np.full((4, 5, 3), None)), "image of dtype object: want"),
        (dict(image=np.zeros((4, 5, 3)), sigma=-1), "sigma -1: want a number from 0 to 1000"),
    ],
)
def test_errors_where_scikit_image_has_them(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        proposer.felzenszwalb(**arguments)
    with pytest.raises(ValueError):
        segmentation.felzenszwalb(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(image=np.zeros((2, 2, 2, 2))), proposer.ImageError, r"image of shape \(2, 2, 2, 2\): want"),
        (dict(image=np.zeros((4, 5, 0))), proposer.ImageError, "want at least one channel"),
        (dict(image=np.zeros((4, 5, 2000))), proposer.ImageError, "want at most 1024 channels"),
        (dict(image=np.broadcast_to(np.uint8(0), (10**5, 10**5))), proposer.LimitError, "want at most 50000000 pixels"),
        (dict(image=np.zeros((4, 5)), sigma=np.nan), proposer.OptionError, "sigma nan: want"),
        (dict(image=np.zeros((4, 5)), sigma=np.inf), proposer.OptionError, "sigma inf: want"),
        (dict(image=np.zeros((4, 5)), threads=-1), proposer.OptionError, "threads -1: want a whole number from 0"),
        (dict(image=np.zeros((4, 5)), threads=1 << 40), proposer.OptionError, "threads 1099511627776: want"),
        (dict(image=np.zeros((4, 5)), scale=np.nan), proposer.OptionError, "scale is NaN: want"),
        (dict(image=np.zeros((4, 5)), scale="5"), proposer.OptionError, "scale '5': want a number"),
        (dict(image=np.zeros((4, 5)), scale=1j), proposer.OptionError, "scale 1j: want a number"),
        (dict(image=np.zeros((4, 5)), sigma=None), proposer.OptionError, "sigma None: want a number"),
        (dict(image=np.zeros((4, 5)), sigma=[1, 2]), proposer.OptionError, r"sigma \[1, 2\]: want a number"),
        (dict(image=np.zeros((4, 5)), sigma=10**400), proposer.OptionError, "sigma is an integer of more"),
        (dict(image=np.zeros((4, 5)), min_size=2.5), proposer.OptionError, "min_size 2.5: want a whole number"),
        (dict(image=np.zeros((4, 5, 3)), channel_axis=7), proposer.OptionError, "channel_axis 7: want an axis"),
        (dict(image=np.zeros((4, 5, 3)), channel_axis=1.0), proposer.OptionError, "channel_axis 1.0: want an axis"),
        (dict(image=[[1, 2], [3]]), proposer.ImageError, "image of (type list|dtype object)"),
        (dict(image="photo.jpg"), proposer.ImageError, "image of dtype <U9"),
        (dict(image=None), proposer.ImageError, "image is None: want an array"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        proposer.felzenszwalb(**arguments)


def test_random_arrays_never_crash() -> None:
    rng = np.random.default_rng(5)
    dtypes = ["?", "u1", "i2", "u8", "f2", "f4", "f8", "c8", "O", "M8[s]", "U3"]
    for _ in range(2000):
        shape = tuple(rng.integers(0, 9, rng.integers(0, 5)))
        image: NDArray[Any] = np.zeros(shape, dtypes[rng.integers(len(dtypes))])
        if image.dtype.kind not in "OU":
            image.reshape(-1).view(np.uint8)[:] = rng.integers(0, 256, image.nbytes, np.uint8)
        image = image[tuple(slice(None, None, rng.choice([-2, -1, 1, 2])) for _ in shape)]
        try:
            labels = ours(image, scale=rng.normal() * 100, sigma=rng.random() * 3, min_size=int(rng.integers(-1, 30)))
        except proposer.Error:
            continue
        assert labels.dtype == np.int64


def test_adjusted_rand_index() -> None:
    a = np.array([0, 0, 1, 1])
    assert adjusted_rand_index(a, 1 - a) == 1
    assert adjusted_rand_index(a, np.array([0, 1, 0, 1])) == pytest.approx(-0.5)
