"""The code in the documents runs, and so do the examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "python/README.md", "docs/migrating.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_of_document_runs(
    document: str, scene: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / document).is_file():
        pytest.skip(f"{document} is not in the source distribution")
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchvision")
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        image.fromarray(scene).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    assert blocks
    names = {"__name__": "__main__", "image": scene}  # the blocks of a document follow each other
    for block in blocks:
        lines_before = "\n" * text.count("\n", 0, block.start(1))  # for the line numbers in errors
        exec(compile(lines_before + block[1], str(ROOT / document), "exec"), names)


def test_plot_of_proposals(scene: NDArray[np.uint8], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    source, plot = tmp_path / "scene.png", tmp_path / "plot.png"
    image.fromarray(scene).save(source)
    script = ROOT / "python/examples/plot_proposals.py"
    if not script.is_file():
        pytest.skip("the examples are not in the source distribution")
    environment = {**os.environ, "MPLBACKEND": "Agg"}  # draws without a display
    subprocess.run([sys.executable, script, source, plot], check=True, env=environment)
    with image.open(plot) as drawn:
        width, height = drawn.size
        assert width == 1000 and height > 300
        colors = np.unique(np.asarray(drawn.convert("RGB")).reshape(-1, 3), axis=0)
    blue, orange = [31, 119, 180], [255, 127, 14]  # of the first two boxes
    assert blue in colors.tolist() and orange in colors.tolist()
