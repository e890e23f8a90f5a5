"""Tests of the documents: their code, the examples, and the tables of options."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import proposer
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


# The options of the tables in README.md, by the section that a table is in.
@pytest.mark.parametrize(
    ("section", "function"), [("Options", proposer.selective_search), ("Label images", proposer.segment)]
)
def test_options_are_those_of_the_command(section: str, function: Callable[..., object]) -> None:
    document = ROOT / "README.md"
    if not document.is_file():
        pytest.skip("README.md is not in the source distribution")
    text = re.search(rf"^## {section}\n(.*?)^## ", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert text is not None
    parameters = inspect.signature(function).parameters
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| (\S+(?: mode's)?) \|", text[1], re.MULTILINE)
    assert len(rows) >= 5
    for names, default in rows:
        for name in re.findall("[a-z-]+", names):
            parameter = parameters["max_boxes" if name == "max" else name.replace("-", "_")]
            value = parameter.default
            if name == "max":
                assert value == 2000  # as in the service
            elif value is None:
                assert default in ("0", "the mode's")
            elif isinstance(value, bool):
                assert default == "off" and not value
            elif isinstance(value, (int, float)):
                assert float(default) == value, name
            else:
                assert default.strip("`") == value, name


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
