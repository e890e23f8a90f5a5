"""What the tests share: drawn images, photographs, and the command."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

REPOSITORY = Path(__file__).parents[2]


def draw(seed: int, height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """Return a drawn image: rectangles and ellipses in many colors on a gradient, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    slopes = random.uniform(-60, 60, (2, 3))
    image = random.uniform(60, 200, 3) + y[..., None] / height * slopes[0] + x[..., None] / width * slopes[1]
    for _ in range(8):
        cy, cx = random.uniform(0, height), random.uniform(0, width)
        ry, rx = random.uniform(0.05, 0.3, 2) * (height, width)
        if random.random() < 0.5:
            inside = (abs(y - cy) < ry) & (abs(x - cx) < rx)
        else:
            inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        image[inside] = random.uniform(0, 255, 3)
    image += random.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def png(image: NDArray[Any]) -> bytes:
    """Return an array as a PNG file."""
    pil = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pil.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def scene() -> NDArray[np.uint8]:
    """A drawn image of 160x120 pixels."""
    return draw(1)


@pytest.fixture(scope="session")
def command() -> Path:
    """The command proposer: that of the installed wheel, or bin/proposer."""
    from proposer.__main__ import command_path

    try:
        return command_path()
    except FileNotFoundError:
        path = REPOSITORY / "bin" / "proposer"
        if not path.is_file():
            pytest.skip("bin/proposer is missing: run make build")
        return path


@pytest.fixture(scope="session")
def photographs() -> Callable[[int], list[Path]]:
    """A function that returns the paths of n photographs, and skips the test if there are fewer."""
    folder = Path(os.environ.get("PROPOSER_TESTDATA", REPOSITORY / ".." / "shared" / "data"))

    def first(n: int) -> list[Path]:
        paths = sorted(folder.glob("coco-dev/images/*.jpg"))[:n]
        if len(paths) < n:
            pytest.skip("PROPOSER_TESTDATA does not name the folder of photographs")
        return paths

    return first
