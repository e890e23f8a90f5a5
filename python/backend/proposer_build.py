"""Build the wheel and the sdist of the Python package (a PEP 517 backend).

It needs Go and a C compiler. The environment chooses the platform as for Go itself: GOOS, GOARCH and
CC. Equal sources, version, Go and compiler give equal bytes.

    python3 proposer_build.py lib            builds the library into the package's folder
    python3 proposer_build.py wheel FOLDER
    python3 proposer_build.py sdist FOLDER
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

import platform_tag

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
# The Go module: beside the Python sources in an sdist, above them in the repository.
MODULE = ROOT / "go" if (ROOT / "go").is_dir() else ROOT.parent

LIBRARY = {"darwin": "libproposer.dylib", "windows": "libproposer.dll"}
COMMANDS = ["./cmd/libproposer", "./cmd/proposer"]

# C compilers for other platforms, unless CC is set: Debian's, and the one of macOS.
CROSS_COMPILERS = {
    ("darwin", "amd64"): "clang -arch x86_64",
    ("darwin", "arm64"): "clang -arch arm64",
    ("linux", "amd64"): "x86_64-linux-gnu-gcc",
    ("linux", "arm64"): "aarch64-linux-gnu-gcc",
    ("windows", "amd64"): "x86_64-w64-mingw32-gcc",
}

Settings = Optional[Mapping[str, Any]]


# The hooks of PEP 517 and PEP 660.


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel into `wheel_directory` and return its name."""
    return _wheel(Path(wheel_directory), editable=False)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel that refers to the sources in place; the library is built beside them."""
    return _wheel(Path(wheel_directory), editable=True)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build the sdist into `sdist_directory` and return its name.

    It has the Python package at its root and the Go sources in the folder go.
    """
    project = _project()
    base = f"proposer-{project['version']}"
    files = {
        "PKG-INFO": _metadata(project).encode(),
        "VERSION": (_go_version() + "\n").encode(),
        **_own_licenses(project),
        "pyproject.toml": (ROOT / "pyproject.toml").read_bytes(),
    }
    if "readme" in project:
        files[project["readme"]] = (ROOT / project["readme"]).read_bytes()
    for folder, pattern in ("backend", "*.py"), ("backend", "*.h"), ("tests", "*.py"):
        for path in (ROOT / folder).rglob(pattern):
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for name, path in _package_files():
        files[name] = path.read_bytes()
    for path in _go_sources():
        files["go/" + path.relative_to(MODULE).as_posix()] = path.read_bytes()

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(f"{base}/{name}")
            info.size = len(files[name])
            info.mtime = _epoch()
            archive.addfile(info, io.BytesIO(files[name]))
    name = base + ".tar.gz"
    with open(Path(sdist_directory) / name, "wb") as out:
        with gzip.GzipFile("", "wb", fileobj=out, mtime=_epoch()) as compressed:
            compressed.write(raw.getvalue())
    return name


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the metadata of the wheel without building it."""
    project = _project()
    name = f"proposer-{project['version']}.dist-info"
    folder = Path(metadata_directory) / name
    folder.mkdir()
    (folder / "METADATA").write_bytes(_metadata(project).encode())
    return name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


# Versions and metadata.


def _go_version() -> str:
    """Return the version that the Go programs report: git's description of the commit."""
    version = os.environ.get("PROPOSER_VERSION", "")
    if not version and (ROOT / "VERSION").is_file():
        version = (ROOT / "VERSION").read_text().strip()
    if not version:
        git = ["git", "describe", "--tags", "--always", "--dirty"]
        try:
            version = subprocess.run(
                git, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ).stdout.strip()
        except OSError:
            pass
    version = version or "unknown"
    if not re.fullmatch(r"[\w.+-]+", version):
        sys.exit(f"proposer: version {version!r}: want one such as v1.2.0")
    return version


def python_version(described: str) -> str:
    """Convert git's description of a commit to a version of PEP 440.

    Examples
    --------
    >>> python_version("v1.2.0")
    '1.2.0'
    >>> python_version("v1.2.0-rc1")
    '1.2.0rc1'
    >>> python_version("v1.2.0-14-g2414721-dirty")
    '1.2.0.post14+g2414721.dirty'
    >>> python_version("2414721")
    '0+2414721'
    """
    pattern = r"v?(\d+(?:\.\d+)*)(?:-?(a|b|rc)[.-]?(\d+))?(?:-(\d+)-(g[0-9a-f]+))?(-dirty)?"
    match = re.fullmatch(pattern, described)
    # A commit's digits alone are no release.
    if not match or not (described.startswith("v") or "." in described):
        return "0+" + ".".join(re.findall("[a-z0-9]+", described.lower()))
    release, phase, number, commits, commit, dirty = match.groups()
    local = [part for part in (commit, "dirty" if dirty else "") if part]
    return (
        release
        + (f"{phase}{number}" if phase else "")
        + (f".post{commits}" if commits else "")
        + ("+" + ".".join(local) if local else "")
    )


def _project() -> dict[str, Any]:
    """Return the project table of pyproject.toml with the version."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    project["version"] = python_version(_go_version())
    return project


def _metadata(project: Mapping[str, Any]) -> str:
    """Return the contents of METADATA and PKG-INFO."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Keywords: {','.join(project['keywords'])}",
        f"License-Expression: {project['license']}",
        *(f"License-File: {name}" for name in project["license-files"]),
        *(f"Classifier: {name}" for name in project["classifiers"]),
        *(f"Project-URL: {name}, {url}" for name, url in project["urls"].items()),
        f"Requires-Python: {project['requires-python'].replace(' ', '')}",
        *(f"Requires-Dist: {name}" for name in project["dependencies"]),
    ]
    for extra, names in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {name}; extra == "{extra}"' for name in names]
    text = "\n".join(lines) + "\n"
    if "readme" in project:
        text += "Description-Content-Type: text/markdown\n\n"
        text += (ROOT / project["readme"]).read_text(encoding="utf-8")
    return text


def _own_licenses(project: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the license and the notice of the project by their names."""
    folder = ROOT if (ROOT / "LICENSE").is_file() else MODULE
    return {name: (folder / name).read_bytes() for name in project["license-files"]}


def _epoch() -> int:
    """Return the time of all files in the archives. Zip files begin in 1980."""
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), 315532800)


# Building with Go.


def _go(*args: str, env: Mapping[str, str] | None = None) -> str:
    """Run go in the module's folder and return its standard output."""
    try:
        result = subprocess.run(
            ["go", *args],
            cwd=MODULE,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        sys.exit("proposer: Go is not installed: the package is built from Go sources")
    if result.returncode != 0:
        sys.exit(f"proposer: go {args[0]} failed; the output above says why")
    return result.stdout


def _target() -> tuple[str, str]:
    """Return the operating system and the architecture to build for."""
    goos, goarch = _go("env", "GOOS", "GOARCH").split()
    return goos, goarch


def library_name(goos: str) -> str:
    """Return the file name of the library for an operating system."""
    return LIBRARY.get(goos, "libproposer.so")


def build_library(out: Path) -> None:
    """Build the C library into the file `out`."""
    goos, goarch = _target()
    # Go takes an empty variable for one that is not set, and reads it from its configuration.
    env = {"CGO_ENABLED": "1", "CGO_LDFLAGS": os.environ.get("CGO_LDFLAGS") or "-O2"}
    if [goos, goarch] != _go("env", "GOHOSTOS", "GOHOSTARCH").split() and not os.environ.get("CC"):
        env["CC"] = CROSS_COMPILERS.get((goos, goarch), "cc")
    # Without Go's own build ID, which depends on the folder of glibc.h.
    ldflags = f"-s -w -buildid= -X main.linked={_go_version()}"
    if goos == "linux":
        flags = os.environ.get("CGO_CFLAGS") or "-O2"
        env["CGO_CFLAGS"] = f"{flags} -include '{ROOT / 'backend' / 'glibc.h'}'"
        ldflags += " -extldflags '-Wl,--no-as-needed -l:libpthread.so.0'"  # see glibc.h
    elif goos == "darwin":
        env["MACOSX_DEPLOYMENT_TARGET"] = os.environ.get("MACOSX_DEPLOYMENT_TARGET", "12.0")
    with tempfile.TemporaryDirectory() as folder:
        # Go writes a header beside the library; the one to use is cmd/libproposer/proposer.h.
        built = Path(folder) / library_name(goos)
        _go(
            "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags", ldflags,
            "-o", str(built), COMMANDS[0], env=env,
        )  # fmt: skip
        # A running process keeps the library that it has loaded.
        new = out.with_name(out.name + ".new")
        shutil.copyfile(built, new)
        os.replace(new, out)


def _build_command(out: Path) -> None:
    """Build the command without cgo, so it needs no C library, into the file `out`."""
    ldflags = f"-s -w -buildid= -X main.linked={_go_version()}"
    _go(
        "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", str(out), COMMANDS[1],
        env={"CGO_ENABLED": "0"},
    )  # fmt: skip


def _packages(env: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what go list says about the packages that are linked."""
    output = _go("list", "-deps", "-json=Dir,Standard,Module,GoFiles,CgoFiles,CFiles,HFiles,"
                 "SFiles,EmbedFiles,IgnoredGoFiles,IgnoredOtherFiles", *COMMANDS, env=env)  # fmt: skip
    decoder, at = json.JSONDecoder(), 0
    while at < len(output.rstrip()):
        package, at = decoder.raw_decode(output, at)
        yield package
        at += 1  # the newline


def _go_sources() -> Iterator[Path]:
    """Yield the files of the Go module that a build needs on any platform."""
    files = {MODULE / "go.mod", MODULE / "go.sum"}
    for goos in "linux", "darwin", "windows":
        for package in _packages({"GOOS": goos, "CGO_ENABLED": "1"}):
            if package.get("Module", {}).get("Main"):
                for kind, names in package.items():
                    if kind.endswith("Files"):
                        files.update(Path(package["Dir"]) / name for name in names)
                # The linker script that #cgo LDFLAGS names; go list does not know it.
                if package.get("CgoFiles"):
                    files.update(Path(package["Dir"]).glob("*.o"))
    yield from sorted(file for file in files if not file.name.endswith("_test.go"))


def _third_party_licenses() -> str:
    """Return the licenses of the Go modules that are linked, and Go's own."""
    goroot = Path(_go("env", "GOROOT").strip())
    modules = {"Go": goroot}
    for package in _packages({"CGO_ENABLED": "1"}):
        module = package.get("Module")
        if module and not module.get("Main"):
            modules[f"{module['Path']} {module['Version']}"] = Path(module["Dir"])
    text = "Licenses of the Go modules that are part of the programs.\n"
    for name, folder in sorted(modules.items()):
        # Of what Go's folder contains, programs link the standard library.
        if folder == goroot:
            paths = [path for path in (folder / "LICENSE", folder / "PATENTS") if path.is_file()]
        else:
            paths = list(_license_files(folder))
        if not paths and folder != goroot:
            sys.exit(f"proposer: the module {name} has no license file")
        for path in paths:
            text += f"\n{'=' * 80}\n{name}: {path.relative_to(folder).as_posix()}\n{'=' * 80}\n\n"
            text += path.read_text(encoding="utf-8", errors="replace").strip() + "\n"
    return text


def _license_files(module: Path) -> Iterator[Path]:
    """Yield the files of a module that are licenses or notices, or in a folder of such."""
    for folder, folders, names in os.walk(module):
        folders[:] = sorted(name for name in folders if name != "testdata" and name[0] != ".")
        texts = re.search("(^|_)licen[cs]es$", Path(folder).name, re.I) and folder != str(module)
        for name in sorted(names):
            if Path(name).suffix in {".go", ".s", ".h", ".c", ".sh", ".py", ".js", ".yml", ".yaml", ".json"}:
                continue
            if texts or re.match("(licen[cs]e|copying|copyright|notice|patents|authors)([.-]|$)", name, re.I):
                yield Path(folder, name)


# The wheel.


def _package_files() -> Iterator[tuple[str, Path]]:
    """Yield the Python files of the package with their names in the archives."""
    package = ROOT / "proposer"
    for path in sorted(package.rglob("*")):
        if path.name == "py.typed" or path.suffix == ".py":
            yield path.relative_to(ROOT).as_posix(), path


def _wheel(folder: Path, editable: bool) -> str:
    goos, _ = _target()
    project = _project()
    base = f"proposer-{project['version']}"
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as temporary:
        library = (ROOT / "proposer" if editable else Path(temporary)) / library_name(goos)
        command = Path(temporary) / ("proposer.exe" if goos == "windows" else "proposer")
        build_library(library)
        _build_command(command)
        files[f"{base}.data/scripts/{command.name}"] = command.read_bytes()
        tag = f"py3-none-{platform_tag.platform_tag(library.read_bytes())}"
        if editable:
            files["proposer.pth"] = f"{ROOT}\n".encode()
        else:
            files[f"proposer/{library.name}"] = library.read_bytes()
            files.update((name, path.read_bytes()) for name, path in _package_files())

    info = f"{base}.dist-info"
    files[f"{info}/METADATA"] = _metadata(project).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: proposer\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    files.update((f"{info}/licenses/{name}", text) for name, text in _own_licenses(project).items())
    files[f"{info}/licenses/THIRD-PARTY"] = _third_party_licenses().encode()
    record = f"{info}/RECORD"
    lines = []
    for name, data in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    files[record] = "".join([*lines, f"{record},,\n"]).encode()

    name = f"{base}-{tag}.whl"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # The metadata at the end, as the specification recommends.
        for path in sorted(files, key=lambda path: (path.startswith(info), path == record, path)):
            entry = zipfile.ZipInfo(path, time.gmtime(_epoch())[:6])
            entry.create_system = 3  # Unix: the attributes are a file mode
            entry.external_attr = (0o100755 if ".data/scripts/" in path else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[path], compresslevel=9)
    return name


def main(args: list[str]) -> None:
    """Build what the arguments say."""
    if args == ["lib"]:
        path = ROOT / "proposer" / library_name(_target()[0])
        build_library(path)
        print(path)
    elif len(args) == 2 and args[0] in ("wheel", "sdist"):
        folder = Path(args[1])
        folder.mkdir(parents=True, exist_ok=True)
        name = build_wheel(args[1]) if args[0] == "wheel" else build_sdist(args[1])
        # One version of each file, so that dist/proposer-*.whl can be installed.
        suffix = name.split("-", 2)[2] if args[0] == "wheel" else ".tar.gz"
        for path in folder.glob(f"proposer-*{suffix}"):
            if path.name != name:
                path.unlink()
        print(folder / name)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
