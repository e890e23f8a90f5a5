"""proposer.segment."""

from __future__ import annotations

import io
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw, png
from numpy.typing import NDArray

import proposer


def check(labels: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check that the labels are numbered in the order of their first pixels."""
    assert labels.dtype == np.int32 and labels.shape == shape and labels.flags.c_contiguous
    values, first = np.unique(labels, return_index=True)
    assert np.array_equal(values, np.arange(len(values)))
    assert np.all(np.diff(first) > 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 30, "sigma": 0.5, "min_size": 10, "color": "Lab", "connectivity": 4},
        {"k": 0.001, "min_size": 1, "sigma": 0},
        {"max_side": 70},
        {"resize_width": 300, "k": 20.5},
        {"threads": 1},
    ],
    ids=str,
)
def test_equal_to_the_command(
    options: dict[str, Any], scene: NDArray[np.uint8], command: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(scene))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    output = subprocess.run([command, "segment", file, "--format=npy", *flags], check=True, stdout=subprocess.PIPE)
    want = np.load(io.BytesIO(output.stdout))
    labels = proposer.segment(scene, **options)
    check(labels, scene.shape[:2])
    assert np.array_equal(labels, want)
    assert np.array_equal(proposer.segment(file, **options), want)
    assert np.array_equal(proposer.segment(file.read_bytes(), **options), want)


def test_photographs(photographs: Callable[[int], list[Path]], command: Path, tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    files = []
    for path in photographs(10):
        with image_module.open(path) as image:
            file = tmp_path / f"{path.stem}.png"
            image.convert("RGB").save(file)
        files.append(file)
    out = tmp_path / "labels"
    subprocess.run([command, "segment", *files, f"--out={out}"], check=True, stdout=subprocess.DEVNULL)
    for file in files:
        with image_module.open(file) as image, image_module.open(out / file.name) as labels:
            assert np.array_equal(proposer.segment(image), np.asarray(labels)), file.name


def test_layouts(scene: NDArray[np.uint8]) -> None:
    want = proposer.segment(scene)
    check(want, scene.shape[:2])
    padded = np.zeros((scene.shape[0], scene.shape[1] + 9, 4), np.uint8)
    padded[:, 5:-4, :3] = scene
    read_only = scene.copy()
    read_only.flags.writeable = False
    for image, order in [
        (np.asfortranarray(scene), "rgb"),
        (padded[:, 5:-4, :3], "rgb"),
        (scene[:, :, ::-1], "bgr"),
        (scene[::-1].copy()[::-1], "rgb"),
        (read_only, "rgb"),
        (scene / 255.0, "rgb"),
    ]:
        assert np.array_equal(proposer.segment(image, channel_order=order), want)
    gray = scene[:, :, 0]
    assert np.array_equal(proposer.segment(gray), proposer.segment(np.stack([gray] * 3, axis=2)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, proposer.OptionError, 'k "0": want a number above 0, at most 1000000'),
        ({"color": "x"}, proposer.OptionError, 'color "x": want one of RGB, I'),
        ({"min_size": -1}, proposer.OptionError, 'min_size "-1": want a whole number from 0'),
        ({"connectivity": 6}, proposer.OptionError, 'connectivity "6": want 4 or 8'),
        ({"max_pixels": 0}, proposer.OptionError, "max_pixels 0: want a whole number from 1"),
        ({"k": [1, 2]}, proposer.OptionError, 'k "1,2": want a number'),
        ({"max_pixels": 100}, proposer.LimitError, "at most 100"),
    ],
    ids=str,
)
def test_errors(
    options: dict[str, Any], error: type[Exception], message: str, scene: NDArray[np.uint8]
) -> None:
    with pytest.raises(error) as caught:
        proposer.segment(scene, **options)
    assert message in str(caught.value)


def test_wrong_images(tmp_path: Path) -> None:
    for image in [np.zeros((5, 5, 2), np.uint8), np.zeros((0, 4, 3), np.uint8), b"text", b"", None]:
        with pytest.raises(proposer.ImageError):
            proposer.segment(image)
    with pytest.raises(FileNotFoundError):
        proposer.segment(tmp_path / "missing.png")


def test_warning_of_dark_images() -> None:
    image_module = pytest.importorskip("PIL.Image")
    dark = image_module.fromarray((np.arange(1600) % 700).astype(np.uint16).reshape(40, 40))
    with pytest.warns(UserWarning, match="depth"):
        proposer.segment(dark)


def test_threads() -> None:
    images = [draw(seed, 60, 80) for seed in range(4)]
    want = [proposer.segment(image) for image in images]
    failures: list[int] = []

    def work(start: int) -> None:
        for i in range(start, start + 20):
            if not np.array_equal(proposer.segment(images[i % 4]), want[i % 4]):
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
