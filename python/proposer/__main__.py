"""Run the command: ``python -m proposer`` is the program ``proposer`` that the wheel installs."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path


def command_path() -> Path:
    """Return the path of the installed program.

    Raises
    ------
    FileNotFoundError
        If the program is not installed with the package.
    """
    name = "proposer.exe" if os.name == "nt" else "proposer"
    try:
        files = importlib.metadata.files("proposer") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    paths = [Path(str(file.locate())) for file in files if file.name == name]
    # pip install --target moves the program after it has recorded where it is.
    paths.append(Path(__file__).parent.parent / "bin" / name)
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f"the program {name} is not installed: install the wheel, or build it with make build")


def main() -> int:
    """Replace this process by the program, or run it where processes cannot be replaced."""
    try:
        command = [str(command_path()), *sys.argv[1:]]
    except FileNotFoundError as error:
        print(f"proposer: {error}", file=sys.stderr)
        return 1
    if os.name != "nt":
        os.execv(command[0], command)
    # Ctrl-C reaches the program as well, which ends by itself.
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass


if __name__ == "__main__":
    sys.exit(main())
