"""Tests of selective_search and Proposals: results equal the command's, for any memory layout."""

from __future__ import annotations

import enum
import json
import pickle
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import proposer
import pytest
from conftest import draw, png
from numpy.typing import NDArray

MODES = ["single", "fast", "quality", "best", "opencv-single", "opencv-fast", "opencv-quality", "rcnn"]

# Arguments of selective_search, and the same as flags of the command.
OPTIONS: list[tuple[dict[str, Any], list[str]]] = [
    *(({"mode": mode, "max_boxes": 0}, ["--mode", mode]) for mode in MODES),
    ({}, ["--max", "2000"]),
    ({"max_boxes": 7, "order": "paper", "seed": 2**64 - 1}, ["--max=7", "--order=paper", f"--seed={2**64 - 1}"]),
    ({"order": "hierarchy", "nms": 0.8}, ["--max=2000", "--order=hierarchy", "--nms=0.8"]),
    ({"nms": "adaptive", "sigma": np.float32(0.5)}, ["--max=2000", "--nms=adaptive", "--sigma=0.5"]),
    (
        {"min_side": np.int64(5), "max_aspect": 2.5, "min_area": 1e-3, "max_area": 0.5},
        ["--max=2000", "--min-side=5", "--max-aspect=2.5", "--min-area=0.001", "--max-area=0.5"],
    ),
    ({"max_side": 100}, ["--max=2000", "--max-side=100"]),
    ({"resize_width": 200, "min_resized_side": 20}, ["--max=2000", "--resize-width=200", "--min-resized-side=20"]),
    ({"mode": "rcnn", "resize_width": 0}, ["--max=2000", "--mode=rcnn", "--resize-width=0"]),
    (
        {"colors": ["Lab", "R-G-I"], "k": [80, 160.5], "measures": ["CTSF", "C0.5TS"], "min_size": 30},
        ["--max=2000", "--colors=Lab,R-G-I", "--k=80,160.5", "--measures=CTSF,C0.5TS", "--min-size=30"],
    ),
    (
        {"colors": "HSV", "k": 50, "measures": "TSF,F"},
        ["--max=2000", "--colors=HSV", "--k=50", "--measures=TSF,F"],
    ),
    ({"unions": np.int64(300), "joins": 0}, ["--max=2000", "--unions=300", "--joins=0"]),
    ({"mode": "single", "unions": 40, "joins": 10000}, ["--max=2000", "--mode=single", "--unions=40", "--joins=10000"]),
    ({"k": np.array([60, 90]), "threads": 1}, ["--max=2000", "--k=60,90", "--threads=1"]),
]


def run_command(command: Path, files: list[Path], flags: list[str]) -> list[dict[str, Any]]:
    """Return what the command prints for images."""
    done = subprocess.run([command, "propose", *flags, *files], capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_equal_to_row(found: proposer.Proposals, row: dict[str, Any]) -> None:
    """Check that proposals are those of a line of the command, byte for byte."""
    assert (found.width, found.height) == (row["width"], row["height"])
    boxes = np.array(row["boxes"], np.int32).reshape(-1, 4)
    assert found.boxes.tobytes() == boxes.tobytes()
    assert found.scores.tobytes() == np.array(row["scores"], np.float32).tobytes()
    assert found.masks == row.get("masks")


def assert_equal(a: proposer.Proposals, b: proposer.Proposals) -> None:
    assert (a.width, a.height, a.masks) == (b.width, b.height, b.masks)
    assert a.boxes.tobytes() == b.boxes.tobytes()
    assert a.scores.tobytes() == b.scores.tobytes()


@pytest.mark.parametrize(("options", "flags"), OPTIONS)
def test_results_are_those_of_the_command(
    command: Path, tmp_path: Path, options: dict[str, Any], flags: list[str]
) -> None:
    images = [draw(1), draw(2, 90, 140), draw(3)[..., 1], np.dstack([draw(4), draw(5)[..., 0]])]
    files = [tmp_path / f"{i}.png" for i in range(len(images))]
    for image, file in zip(images, files):
        file.write_bytes(png(image))
    for image, file, row in zip(images, files, run_command(command, files, flags)):
        found = proposer.selective_search(image, **options)
        assert_equal_to_row(found, row)
        assert len(found) > 0
        assert (np.diff(found.scores) < 0).all()
        assert_equal(proposer.selective_search(file, **options), found)
        assert_equal(proposer.selective_search(file.read_bytes(), **options), found)


@pytest.mark.parametrize("mode", MODES)
def test_results_on_photographs_are_those_of_the_command(
    command: Path, tmp_path: Path, photographs: Callable[[int], list[Path]], mode: str
) -> None:
    pil = pytest.importorskip("PIL.Image")
    images = [np.asarray(pil.open(path)) for path in photographs(3)]
    files = [tmp_path / f"{i}.png" for i in range(len(images))]
    for image, file in zip(images, files):
        file.write_bytes(png(image))
    for image, row in zip(images, run_command(command, files, ["--mode", mode])):
        assert_equal_to_row(proposer.selective_search(image, mode=mode, max_boxes=0), row)


def test_masks_are_those_of_the_command(command: Path, tmp_path: Path, scene: NDArray[np.uint8]) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(png(scene))
    for options, flags in [({"max_boxes": 50}, ["--max=50"]), ({"max_side": 70}, ["--max=2000", "--max-side=70"])]:
        found = proposer.selective_search(scene, masks=True, **options)  # type: ignore[arg-type]
        assert_equal_to_row(found, run_command(command, [file], ["--masks", *flags])[0])


def decode(mask: dict[str, Any]) -> NDArray[np.bool_]:
    """Decode a compressed COCO mask as pycocotools does: column by column, runs of 0 and 1."""
    height, width = mask["size"]
    runs: list[int] = []
    value = shift = 0
    for c in mask["counts"].encode():
        c -= 48
        value |= (c & 31) << shift
        shift += 5
        if not c & 32:
            if c & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return pixels.reshape(width, height).T


def test_masks_cover_their_boxes(scene: NDArray[np.uint8]) -> None:
    try:
        from pycocotools.mask import decode as decode_mask
    except ImportError:
        decode_mask = decode
    for box, _, mask in proposer.selective_search(scene, masks=True):
        assert mask is not None
        region = decode_mask(mask).astype(bool)
        ys, xs = np.nonzero(region)
        assert region.shape == scene.shape[:2]
        assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == box.tolist()
    assert proposer.selective_search(scene, min_side=1000, masks=True).masks == []
    assert proposer.selective_search(scene).masks is None


def test_threads_do_not_change_the_result(scene: NDArray[np.uint8]) -> None:
    assert_equal(proposer.selective_search(scene, threads=1), proposer.selective_search(scene, threads=2))


def padded(image: NDArray[Any]) -> NDArray[Any]:
    """Return an array as a part of a larger one, with random bytes around it."""
    larger = np.random.default_rng(0).integers(0, 256, [2 * n + 3 for n in image.shape]).astype(np.uint8)
    part = larger[tuple(slice(2, 2 + 2 * n, 2) for n in image.shape)]
    part[...] = image
    return part


def reversed_axes(image: NDArray[Any]) -> NDArray[Any]:
    """Return an array with negative strides."""
    flip = (slice(None, None, -1),) * image.ndim
    return image[flip].copy()[flip]


def read_only(image: NDArray[Any]) -> NDArray[Any]:
    image = image.copy()
    image.flags.writeable = False
    return image


def planar(image: NDArray[Any]) -> NDArray[Any]:
    """Return an array with the channels in the first axis of its memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1)


class Interface:
    """An object with an array interface."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Converted:
    """An object that converts itself to an array."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self.array


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        padded,
        reversed_axes,
        read_only,
        planar,
        memoryview,
        Interface,
        Converted,
        lambda a: a / 255,
        lambda a: (a / np.float32(255)).astype(">f4"),
        lambda a: a.view(np.recarray),
    ],
    ids="fortran padded reversed read_only planar memoryview interface converted float64 float32 subclass".split(),
)
def test_layouts(layout: Callable[[Any], Any], channels: int) -> None:
    image = np.dstack([draw(6), draw(7)[..., 0]])[..., :channels]
    image = np.ascontiguousarray(image[..., 0] if channels == 1 else image)
    before = image.copy()
    assert_equal(proposer.selective_search(layout(image)), proposer.selective_search(image))
    assert (image == before).all()


def test_broadcast_arrays(scene: NDArray[np.uint8]) -> None:
    gray = scene[..., 0]
    for image in [
        np.broadcast_to(gray[..., None], (120, 160, 3)),
        np.broadcast_to(scene[:1], scene.shape),
        np.broadcast_to(np.uint8(7), (50, 40, 4)),
        np.broadcast_to(np.uint8(7), (50, 40)),
    ]:
        assert_equal(proposer.selective_search(image), proposer.selective_search(image.copy()))


def test_single_rows_columns_and_pixels(scene: NDArray[np.uint8]) -> None:
    for part in [scene[:1], scene[:, :1], scene[:1, :1], scene[0:1, ::-7], scene[::-9, 3:4, ::-1]]:
        assert_equal(proposer.selective_search(part), proposer.selective_search(part.copy()))


def test_channel_order(scene: NDArray[np.uint8]) -> None:
    rgb = proposer.selective_search(scene)
    bgr = np.ascontiguousarray(scene[..., ::-1])
    assert_equal(proposer.selective_search(bgr, channel_order="bgr"), rgb)
    assert proposer.selective_search(bgr).boxes.tobytes() != rgb.boxes.tobytes()
    alpha = np.dstack([scene, draw(8)[..., 0]])
    assert_equal(
        proposer.selective_search(alpha[..., [2, 1, 0, 3]], channel_order="bgr"), proposer.selective_search(alpha)
    )
    gray = scene[..., 0]
    assert_equal(proposer.selective_search(gray, channel_order="bgr"), proposer.selective_search(gray))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "swift"}, '^mode "swift": want one of single, fast,'),
        ({"max_boxes": -1, "min_side": "x"}, '^max_boxes "-1": want a whole number .*; min_side "x": want a whole'),
        ({"max_boxes": 2.5}, '^max_boxes "2.5": want a whole number'),
        ({"max_boxes": True}, "^max_boxes True: want a number or a text$"),
        ({"seed": 2**64}, '^seed "18446744073709551616": want a whole number'),
        ({"nms": float("nan")}, '^nms "nan": want off, adaptive or'),
        ({"colors": []}, '^colors "": want one of RGB'),
        ({"colors": ["HSV", "HSV"]}, '^colors "HSV": want each item once$'),
        ({"colors": "HSV mode=quality"}, "^colors 'HSV mode=quality': want letters, digits and signs without spaces$"),
        ({"k": [[50, 100]]}, r"^k \[50, 100\]: want a number or a text$"),
        ({"k": np.zeros((2, 2))}, "^k array"),
        ({"measures": b"CTSF"}, "^measures b'CTSF': want a number or a text$"),
        ({"order": "besté"}, "^order 'besté': want letters"),
        ({"mode": "fast\0"}, r"^mode 'fast\\x00': want letters"),
        ({"channel_order": "gbr"}, """^channel_order 'gbr': want "rgb" or "bgr"$"""),
        ({"max_pixels": 0}, "^max_pixels 0: want a whole number from 1 to 268435455$"),
        ({"max_bytes": 2**31}, "^max_bytes 2147483648: want a whole number from 1 to 2147483647$"),
        ({"max_pixels": "many"}, "^max_pixels 'many': want a whole number from 1"),
        ({"resize_width": 10, "max_side": 10}, '^max_side "10": want 0, as images are resized'),
        ({"threads": -1}, '^threads "-1": want a whole number'),
        ({"masks": "no"}, "^masks 'no': want True or False$"),
        ({"min_side": 10**5000}, "^min_side (with more than 4000 digits: want a number|\"1000)"),
        ({"k": range(10**9)}, "^k with 1000000000 values: want at most 1000$"),
        ({"k": bytearray(b"50")}, r"^k bytearray\(b'50'\): want a number or a text$"),
    ],
)
def test_invalid_options(scene: NDArray[np.uint8], options: dict[str, Any], message: str) -> None:
    for image in (scene, png(scene)):
        with pytest.raises(proposer.OptionError, match=message) as caught:
            proposer.selective_search(image, **options)
        assert isinstance(caught.value, ValueError)


def test_options_are_sequences_and_members_of_enumerations(scene: NDArray[np.uint8]) -> None:
    class Mode(str, enum.Enum):
        SINGLE = "single"

    class Count(enum.IntEnum):
        FEW = 20

    expected = proposer.selective_search(scene, "single", 20, k=[50, 100])
    assert_equal(proposer.selective_search(scene, Mode.SINGLE, Count.FEW, k=range(50, 101, 50)), expected)
    assert_equal(proposer.selective_search(scene, "single", 20, k=deque([50, 100])), expected)


def test_proposals_are_a_sequence(scene: NDArray[np.uint8]) -> None:
    found = proposer.selective_search(scene, masks=True)
    n = len(found)
    assert [p.score for p in found] == found.scores.tolist()
    assert found[-1].box.tolist() == found.boxes[n - 1].tolist()
    assert found[1].mask == found.masks[1]  # type: ignore[index]
    box, score, mask = found[0]
    assert (box.tolist(), score) == (found.boxes[0].tolist(), found.scores[0])
    assert mask == found.masks[0]  # type: ignore[index]
    indices: list[Any] = [slice(0, 10), slice(None, None, -2), [2, 0], []]
    indices += [np.array([3, 1]), np.arange(n) % 3 == 0, np.array([], int)]
    for index in indices:
        part = found[index]
        assert part.boxes.tolist() == found.boxes[index].tolist()
        assert part.scores.tolist() == found.scores[index].tolist()
        assert part.masks is not None and len(part.masks) == len(part)
        assert (part.width, part.height) == (160, 120)
    with pytest.raises(IndexError):
        found[n]
    for wrong in (None, True, np.True_, "0", 1.0, np.zeros((2, 2), int)):
        with pytest.raises(IndexError):
            found[wrong]  # type: ignore[call-overload]
    assert repr(found) == f"<{n} proposals in an image of 160x120 pixels, with masks>"


def test_proposals_are_indexed_by_tensors(scene: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    found = proposer.selective_search(scene)
    assert found[torch.tensor(3)].box.tolist() == found.boxes[3].tolist()
    for index in (torch.tensor([3]), torch.tensor([5, 0]), torch.from_numpy(found.scores) > 0.1):
        assert found[index].boxes.tolist() == found.boxes[index.numpy()].tolist()


def test_box_conventions(scene: NDArray[np.uint8]) -> None:
    found = proposer.selective_search(scene)
    x0, y0, x1, y1 = found.boxes.T
    assert (found.xywh() == np.stack([x0, y0, x1 - x0, y1 - y0], 1)).all()
    assert (found.inclusive() == np.stack([x0, y0, x1 - 1, y1 - 1], 1)).all()
    assert found.xywh().dtype == found.inclusive().dtype == np.int32
    assert (found.areas() == (x1 - x0).astype(np.int64) * (y1 - y0)).all()
    assert (x0 >= 0).all() and (y0 >= 0).all() and (x1 <= 160).all() and (y1 <= 120).all()


def test_proposals_and_errors_can_be_pickled(scene: NDArray[np.uint8]) -> None:
    found = proposer.selective_search(scene, masks=True)
    assert_equal(pickle.loads(pickle.dumps(found)), found)
    with pytest.raises(proposer.ImageError) as caught:
        proposer.selective_search(None)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is proposer.ImageError and str(copy) == str(caught.value)


def test_results_are_arrays_of_their_own(scene: NDArray[np.uint8]) -> None:
    first = proposer.selective_search(scene)
    before = first.boxes.copy()
    first.boxes[:] = 0
    assert (proposer.selective_search(scene).boxes == before).all()
