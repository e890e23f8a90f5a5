"""Tests of the wheel's contents and of the backend that builds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import proposer
import pytest
from proposer import __main__ as command

BACKEND = Path(__file__).parent.parent / "backend"


def test_command_is_installed_with_the_package() -> None:
    if "site-packages" not in proposer.__file__:
        pytest.skip("the package is not installed")
    path = command.command_path()
    direct = subprocess.run([path, "version"], capture_output=True, text=True, check=True)
    module = subprocess.run(
        [sys.executable, "-m", "proposer", "version"], capture_output=True, text=True, check=True
    )
    assert direct.stdout.startswith("proposer ")
    assert module.stdout == direct.stdout


@pytest.mark.parametrize(
    ("args", "code"), [(["version"], 0), (["propose", "missing.png"], 1), (["--no-such-flag"], 2)]
)
def test_exit_codes_are_those_of_the_command(args: list[str], code: int) -> None:
    if "site-packages" not in proposer.__file__:
        pytest.skip("the package is not installed")
    result = subprocess.run([sys.executable, "-m", "proposer", *args], capture_output=True)
    assert result.returncode == code, result.stderr
