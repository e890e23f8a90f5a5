"""Tests of searches in processes that are started by fork, spawn and forkserver.

Each case runs in a Python of its own, which is ended if it does not end by itself.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import fork_script
import pytest
from proposer import _library

_SCRIPT = str(Path(__file__).with_name("fork_script.py"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


def _run(case: str, *arguments: str, command: Sequence[str] = (), **environment: str) -> list[str]:
    """Run a case, and return the lines that it prints."""
    result = subprocess.run(
        [*command, sys.executable, _SCRIPT, case, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_library_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_library, "_library", None)
    monkeypatch.setitem(_library._PROTOTYPES, "proposer_missing", (None, []))
    with pytest.raises(_library.Error, match="is of another version than the package: install the package "):
        _library.library()


@pytest.fixture(scope="module")
def expected() -> list[str]:
    return [fork_script.search(seed) for seed in range(13)]


@pytest.mark.parametrize("searched", ["unused", "searched"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_data_loader(method: str, searched: str, expected: list[str]) -> None:
    pytest.importorskip("torch")
    lines = [line.split(" ", 1) for line in _run("loader", method, searched)]
    assert [workers for workers, _ in lines] == ["2", "4", "4", "0"]
    for _, results in lines:
        assert ast.literal_eval(results) == expected[:6]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_errors_and_ends_of_workers(method: str, expected: list[str]) -> None:
    pytest.importorskip("torch")
    failing, killed, after = _run("loader_errors", method)
    assert failing.startswith("ImageError proposer.ImageError: image of shape (4, 4, 2): want (H, W), ")
    assert killed.startswith("RuntimeError DataLoader worker (pid")
    assert after == expected[1]


@pytest.mark.parametrize("searched", ["unused", "searched"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(method: str, searched: str, expected: list[str]) -> None:
    for line in _run("pool", method, searched):
        assert ast.literal_eval(line) == expected[:6]


def test_nested_forks(expected: list[str]) -> None:
    (line,) = _run("fork_nested")
    assert ast.literal_eval(line) == expected[::-1]


def test_forks_of_children_that_have_not_searched(expected: list[str]) -> None:
    (line,) = _run("fork_late")
    assert ast.literal_eval(line) == expected[1:4]


def test_many_forks(expected: list[str]) -> None:
    (line,) = _run("fork_often")
    assert ast.literal_eval(line) == expected[:1]


def test_forks_that_python_does_not_see(expected: list[str]) -> None:
    assert _run("fork_in_c") == [expected[1], "0", expected[0]]


def test_children_that_end_by_themselves() -> None:
    assert _run("exit_in_child") == ["5", "6"]


def test_fork_in_a_thread(expected: list[str]) -> None:
    (line,) = _run("fork_in_thread")
    assert ast.literal_eval(line) == [expected[1], expected[2], expected[1], expected[0]]


def test_forks_while_other_threads_search(expected: list[str]) -> None:
    (line,) = _run("fork_while_searching")
    assert ast.literal_eval(line) == sorted(expected[:3])


def test_fork_in_a_signal_handler(expected: list[str]) -> None:
    lines = _run("fork_in_handler", "continue")
    assert sorted(lines) == [
        "0",
        f"the process was forked during the call: the parent process has the result {expected[0]}",
        f"the result {expected[0]}",
    ]


def test_exit_of_the_child_in_a_signal_handler(expected: list[str]) -> None:
    assert _run("fork_in_handler", "exit") == [f"the result {expected[0]}", "7"]


def test_forks_beside_map(expected: list[str]) -> None:
    in_child, results = _run("map_in_parent")
    assert in_child == "a proposer.map of the parent process cannot be continued after a fork: make a new one"
    assert results == f"{expected[0]} 5 {expected[:3]}"


def test_faults_and_signals_end_a_child() -> None:
    assert _run("crash_in_child") == ["-11", "-15"]


def test_other_functions_in_a_child() -> None:
    assert _run("other_functions") == ["True"]


def test_library_that_is_replaced(expected: list[str], tmp_path: Path) -> None:
    package = Path(_library.__file__).parent
    shutil.copytree(package, tmp_path / "proposer", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys; sys.path[:0] = sys.argv[1:]; import fork_script; fork_script.replaced_library()"
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    assert result.stdout == f"{[expected[0]] * 2} {expected[0]} True\n"


def test_package_that_is_imported_again_in_a_child() -> None:
    (message,) = _run("import_again")
    assert message.startswith("the process was forked after the library had been loaded: ")


def test_objects_of_the_parent_in_the_child(expected: list[str]) -> None:
    assert _run("old_result") == [f"{expected[0]} {expected[0]}"]


needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")


@needs_memfd
def test_without_memfd_create(expected: list[str], tmp_path: Path) -> None:
    one, nested = _run("no_memfd", TMPDIR=str(tmp_path))
    assert one == expected[0]
    assert ast.literal_eval(nested) == expected[3::-1]
    assert list(tmp_path.iterdir()) == []


@needs_memfd
def test_no_folder_for_a_copy(tmp_path: Path) -> None:
    (message,) = _run("no_memfd_no_copy", str(tmp_path / "missing"))
    assert message.startswith(_NO_COPY) and f"No such file or directory: '{tmp_path}/missing" in message


@needs_memfd
def test_copy_that_cannot_be_executed(tmp_path: Path) -> None:
    mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o noexec none "$0" && exec "$@"']
    try:
        subprocess.run([*mounted, str(tmp_path), "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f"needs the right to mount a folder: {err}")
    (message,) = _run("no_memfd_no_copy", str(tmp_path), command=[*mounted, str(tmp_path)])
    assert message.startswith(_NO_COPY) and "failed to map" in message


_NO_COPY = (
    f"{_library.library_path()} cannot be loaded a second time, which a process started by fork requires: want a folder"
    " for temporary files that allows execution (TMPDIR), or the start method spawn or forkserver: "
)
