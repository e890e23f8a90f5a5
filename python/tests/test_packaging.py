"""Tests of what the wheel installs and of the backend that builds it."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import platform
import re
import signal
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import proposer
from proposer import __main__ as command

BACKEND = Path(__file__).parent.parent / "backend"
sys.path.insert(0, str(BACKEND))

import platform_tag  # noqa: E402
import proposer_build  # noqa: E402

installed = pytest.mark.skipif(
    "site-packages" not in proposer.__file__, reason="the package is not installed from a wheel"
)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proposer", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@installed
def test_package_and_command_have_one_version() -> None:
    result = run("version", "--json")
    assert result.returncode == 0, result.stderr
    version = proposer_build.python_version(json.loads(result.stdout)["version"])
    assert version == importlib.metadata.version("proposer")


@installed
def test_script_is_the_command() -> None:
    output = subprocess.run(
        [str(command.command_path()), "version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert output == run("version").stdout


@installed
@pytest.mark.parametrize(
    ("args", "code"),
    [(["version"], 0), (["--help"], 0), (["propose", "missing.png"], 1), (["--no-such-flag"], 64)],
)
def test_exit_codes_are_those_of_the_command(args: list[str], code: int) -> None:
    result = run(*args)
    assert result.returncode == code, result.stderr


@installed
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_signals_reach_the_command() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "proposer", "serve", "--addr", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() != ""  # it has started
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@installed
def test_record_lists_the_installed_files() -> None:
    files = importlib.metadata.files("proposer")
    assert files
    for file in files:
        if file.hash is None:
            continue
        digest = hashlib.new(file.hash.mode, file.read_binary()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value, file
    names = {file.name for file in files}
    assert {"METADATA", "LICENSE", "NOTICE", "THIRD-PARTY", "__init__.py", "py.typed"} <= names


@installed
@pytest.mark.skipif(sys.platform != "linux", reason="the tag is that of Linux")
def test_tag_is_that_of_an_old_glibc() -> None:
    wheel = importlib.metadata.distribution("proposer").read_text("WHEEL")
    assert wheel is not None
    assert f"Tag: py3-none-manylinux_2_17_{platform.machine()}\n" in wheel


def test_metadata_of_an_installed_module_are_complete() -> None:
    project = proposer_build._project()
    metadata = proposer_build._metadata(project)
    assert metadata.startswith("Metadata-Version: 2.4\nName: proposer\nVersion: ")
    assert "\nRequires-Dist: numpy" in metadata
    header = metadata.split("\n\n")[0].splitlines()
    assert all(re.match(r"[A-Z][A-Za-z-]+: \S", line) for line in header), header


@pytest.mark.parametrize(
    ("described", "version"),
    [
        ("v0.1.0", "0.1.0"),
        ("v1.2.3-rc1", "1.2.3rc1"),
        ("v1.2.3-rc.1", "1.2.3rc1"),
        ("v1.2.3-dirty", "1.2.3+dirty"),
        ("v1.2.3-4-gabc1234", "1.2.3.post4+gabc1234"),
        ("v1.2.3-4-gabc1234-dirty", "1.2.3.post4+gabc1234.dirty"),
        ("v1.2.3-rc1-4-gabc1234", "1.2.3rc1.post4+gabc1234"),
        ("abc1234", "0+abc1234"),
        ("1234567", "0+1234567"),
        ("abc1234-dirty", "0+abc1234.dirty"),
        ("unknown", "0+unknown"),
    ],
)
def test_python_version(described: str, version: str) -> None:
    assert proposer_build.python_version(described) == version


def mach(cpu: int, platform_number: int, minimum: int) -> bytes:
    """Return a Mach-O header with one other load command before LC_BUILD_VERSION."""
    header = struct.pack("<8I", 0xFEEDFACF, cpu, 0, 6, 2, 16 + 24, 0, 0)
    return header + struct.pack("<4I", 0x1B, 16, 0, 0) + struct.pack("<6I", 0x32, 24, platform_number, minimum, 0, 0)


def pe(machine: int) -> bytes:
    """Return the beginning of a Windows library."""
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)


@pytest.mark.parametrize(
    ("library", "tag"),
    [
        (mach(0x0100000C, 1, 12 << 16), "macosx_12_0_arm64"),
        (mach(0x01000007, 1, 12 << 16 | 3 << 8), "macosx_12_0_x86_64"),
        (pe(0x8664), "win_amd64"),
        (pe(0xAA64), "win_arm64"),
    ],
)
def test_platform_tag(library: bytes, tag: str) -> None:
    assert platform_tag.platform_tag(library) == tag


@pytest.mark.parametrize(
    "library",
    [b"", b"\x7fELF", b"!<arch>\n", mach(7, 1, 0), mach(0x0100000C, 2, 0), pe(0x1C0), pe(0x8664)[:66]],
)
def test_platform_tag_of_other_files(library: bytes) -> None:
    with pytest.raises(ValueError):
        platform_tag.platform_tag(library)


@pytest.mark.skipif(sys.platform != "linux", reason="compares with ELF libraries")
@pytest.mark.parametrize(
    ("flags", "source", "tag"),
    [
        ([], "int f(void) { return 1; }", "manylinux_2_17"),
        # A function of glibc 2.25, a later one, a library that is no part of glibc.
        ([], "int getentropy(void *, unsigned long); int f(void) { return getentropy(0, 0); }", "manylinux_2_25"),
        (["-lm"], "double exp(double); double f(double x) { return exp(x); }", "manylinux_2_29"),
        (["-Wl,--no-as-needed", "-l:libz.so.1"], "int f(void) { return 1; }", "linux"),
    ],
)
def test_platform_tag_follows_the_symbols(tmp_path: Path, flags: list[str], source: str, tag: str) -> None:
    library = tmp_path / "f.so"
    (tmp_path / "f.c").write_text(source)
    compile_ = ["gcc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", str(library), str(tmp_path / "f.c")]
    try:
        subprocess.run([*compile_, "-lc", *flags], check=True)
    except FileNotFoundError:
        pytest.skip("gcc is not installed")
    assert platform_tag.platform_tag(library.read_bytes()) == f"{tag}_{platform.machine()}"


def test_sdist_is_complete_and_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPOSER_VERSION", "v1.2.3")
    archives = []
    for name in "a", "b":
        (tmp_path / name).mkdir()
        try:
            archives.append(tmp_path / name / proposer_build.build_sdist(str(tmp_path / name)))
        except SystemExit as error:
            pytest.skip(str(error))
    assert archives[0].name == "proposer-1.2.3.tar.gz"
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers()}
        assert all(member.isfile() and member.mode == 0o644 for member in archive.getmembers())
    assert {
        "PKG-INFO",
        "LICENSE",
        "NOTICE",
        "pyproject.toml",
        "proposer/__init__.py",
        "proposer/py.typed",
        "go/go.mod",
        "go/cmd/libproposer/exports.o",
        "go/cmd/libproposer/main.go",
        "go/cmd/libproposer/proposer.h",
        "go/cmd/proposer/main.go",
        "go/internal/kernels/kernels_amd64.s",
    } <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", "_test.go")) or "testdata" in name]
