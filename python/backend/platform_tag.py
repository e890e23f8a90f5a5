"""Find the platform tag of a wheel from what its shared library needs."""

from __future__ import annotations

import struct

# The names in platform tags, by e_machine of ELF and by CPU type of Mach-O and PE.
ELF_MACHINES = {62: "x86_64", 183: "aarch64"}
MACH_CPUS = {0x01000007: "x86_64", 0x0100000C: "arm64"}
PE_MACHINES = {0x14C: "win32", 0x8664: "win_amd64", 0xAA64: "win_arm64"}

# The parts of glibc that manylinux wheels may need.
GLIBC = {"libc.so.6", "libpthread.so.0", "libdl.so.2", "libm.so.6", "librt.so.1"}
LOADERS = ("ld-linux", "ld64.")

# The oldest glibc of a tag: no Python that the package supports is built for older ones.
OLDEST = (2, 17)


def platform_tag(library: bytes) -> str:
    """Return the platform tag of a wheel with the shared library of these bytes.

    Raises
    ------
    ValueError
        If the bytes are not a library for a supported platform.
    """
    try:
        if library[:4] == b"\x7fELF":
            return _elf_tag(library)
        if library[:4] == b"\xcf\xfa\xed\xfe":
            return _mach_tag(library)
        if library[:2] == b"MZ":
            (header,) = struct.unpack_from("<I", library, 0x3C)
            return PE_MACHINES[struct.unpack_from("<4xH", library, header)[0]]
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError(f"damaged or unsupported library: {error!r}") from error
    raise ValueError(f"unknown kind of library: it begins with {library[:4]!r}")


def glibc_versions(library: bytes) -> tuple[set[str], set[str]]:
    """Return the libraries (DT_NEEDED) and the symbol versions that a 64-bit ELF library needs."""
    if library[4:6] != b"\x02\x01":
        raise ValueError("want a 64-bit little-endian library")
    offset, size, count = struct.unpack_from("<32xQ14xHH", library)
    segments = [struct.unpack_from("<IIQQQQ", library, offset + i * size) for i in range(count)]

    def file_offset(address: int) -> int:
        for kind, _, at, start, _, length in segments:
            if kind == 1 and start <= address < start + length:  # PT_LOAD
                return int(at + address - start)
        raise ValueError(f"address {address:#x} is in no segment")

    dynamic: list[tuple[int, ...]] = []
    for kind, _, at, _, _, length in segments:
        if kind == 2:  # PT_DYNAMIC
            dynamic = list(struct.iter_unpack("<qQ", library[at : at + length]))
    entries = {tag: value for tag, value in dynamic}
    strings = file_offset(entries[5])  # DT_STRTAB

    def string(index: int) -> str:
        start = strings + index
        return library[start : library.index(b"\0", start)].decode()

    needed = {string(value) for tag, value in dynamic if tag == 1}  # DT_NEEDED
    versions = set()
    if 0x6FFFFFFE in entries:  # DT_VERNEED
        at = file_offset(entries[0x6FFFFFFE])
        for _ in range(entries[0x6FFFFFFF]):  # DT_VERNEEDNUM
            _, count, _, first, following = struct.unpack_from("<HHIII", library, at)
            version = at + first
            for _ in range(count):
                _, _, _, name, step = struct.unpack_from("<IHHII", library, version)
                versions.add(string(name))
                version += step
            at += following
    return needed, versions


def _elf_tag(library: bytes) -> str:
    arch = ELF_MACHINES[struct.unpack_from("<18xH", library)[0]]
    needed, versions = glibc_versions(library)
    glibc = [OLDEST]
    for version in versions:
        name, _, number = version.partition("_")
        if name != "GLIBC" or not number[:1].isdigit():
            return f"linux_{arch}"
        major, minor = number.split(".")[:2]
        glibc.append((int(major), int(minor)))
    others = [name for name in needed if name not in GLIBC and not name.startswith(LOADERS)]
    if others or "libc.so.6" not in needed:
        return f"linux_{arch}"
    return "manylinux_{}_{}_{}".format(*max(glibc), arch)


def _mach_tag(library: bytes) -> str:
    cpu, count = struct.unpack_from("<4xI8xI", library)
    at = 32
    for _ in range(count):
        command, size, platform, minimum = struct.unpack_from("<4I", library, at)
        if command == 0x32 and platform == 1:  # LC_BUILD_VERSION, macOS
            # From macOS 11 on, tags have no minor version other than 0.
            return f"macosx_{minimum >> 16}_0_{MACH_CPUS[cpu]}"
        at += size
    raise ValueError("the library does not say which macOS it needs")
