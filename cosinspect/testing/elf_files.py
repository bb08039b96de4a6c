"""ELF programs and libraries for test images: complete files that a kernel loads, a dynamic loader links, and that exit at once.

On amd64 and arm64 they run: the first instruction of each calls exit(0). On other architectures there is no
code at the entry point.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

__all__ = ["LOADERS", "elf_file", "loader_file"]

# e_machine, whether 64 bits, whether little-endian
_MACHINES = {
    "amd64": (62, True, True),
    "386": (3, False, True),
    "arm64": (183, True, True),
    "arm": (40, False, True),
    "riscv64": (243, True, True),
    "ppc64le": (21, True, True),
    "s390x": (22, True, False),
    "loong64": (258, True, True),
}
# The first instructions: exit with status 0.
_CODE = {
    "amd64": bytes.fromhex("31ff b83c000000 0f05"),
    "arm64": bytes.fromhex("000080d2 a80b80d2 010000d4"),
}
_FLAGS = {"riscv64": 0x5, "arm": 0x05000400, "ppc64le": 2, "loong64": 0x43}
_PAGE = 0x10000

LOADERS = {
    "amd64": "lib64/ld-linux-x86-64.so.2",
    "386": "lib/ld-linux.so.2",
    "arm64": "lib/ld-linux-aarch64.so.1",
    "arm": "lib/ld-linux-armhf.so.3",
    "riscv64": "lib/ld-linux-riscv64-lp64d.so.1",
    "ppc64le": "lib64/ld64.so.2",
    "s390x": "lib/ld64.so.1",
    "loong64": "lib64/ld-linux-loongarch-lp64d.so.1",
}
"""The path of glibc's loader by architecture, without a leading slash."""


def elf_file(
    architecture: str = "amd64",
    *,
    interpreter: str | None = None,
    needed: Sequence[str] = (),
    soname: str | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    no_default: bool = False,
    shared: bool = False,
    strings: bytes = b"",
    wants: Mapping[str, Sequence[str]] | None = None,
    weak: Sequence[str] = (),
    defines: Sequence[str] = (),
) -> bytes:
    """Make a program, or a library.

    Args:
        architecture: as an image's platform names it.
        interpreter: the requested loader; a program without one is static.
        needed: the libraries that it is linked to.
        soname: its name as a library.
        rpath: directories searched first, also for libraries of its libraries.
        runpath: directories searched for its libraries.
        no_default: exclude the loader's default directories.
        shared: make a library, or a program that can be loaded anywhere, without anything to link.
        strings: further bytes in it.
        wants: versions of symbols that it needs, by the library that defines them.
        weak: those of them that are optional.
        defines: versions of symbols that it defines as a library.
    """
    number, wide, little = _MACHINES[architecture]
    order, word = "<" if little else ">", "Q" if wide else "I"
    head_bytes, entry_bytes = (64, 56) if wide else (52, 32)
    table = bytearray(b"\0")

    def named(text: str) -> int:
        at = len(table)
        table.extend(text.encode("utf-8", "surrogateescape") + b"\0")
        return at

    tags = [(1, named(name)) for name in needed]
    tags += [
        (tag, named(text)) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text is not None
    ]
    tags += [(0x6FFFFFFB, 0x800)] if no_default else []
    needs, own_versions = wants or {}, [soname or "", *defines] if defines else []
    versions = _wanted_table(order, needs, weak, named), _defined_table(order, own_versions, named)
    dynamic = bool(tags) or interpreter is not None or shared
    count = 2 + 2 * (interpreter is not None) + dynamic
    code_at = head_bytes + count * entry_bytes
    code = _CODE.get(architecture, bytes(16)).ljust(16, b"\0")
    name = interpreter.encode() + b"\0" if interpreter is not None else b""
    name_at = code_at + len(code)
    table_at = name_at + len(name)
    symbols_at = -(-(table_at + len(table)) // 16) * 16
    symbol_bytes = 24 if wide else 16
    wanted_at = symbols_at + symbol_bytes + (-symbol_bytes % 16)
    defined_at = wanted_at + len(versions[0])
    indexes_at = defined_at + len(versions[1])
    # With versions a loader reads the version of each symbol; there is one symbol.
    tags += [(0x6FFFFFFE, wanted_at), (0x6FFFFFFF, len(needs))] if needs else []
    tags += [(0x6FFFFFFC, defined_at), (0x6FFFFFFD, len(own_versions))] if defines else []
    tags += [(0x6FFFFFF0, indexes_at)] if needs or defines else []
    middle = bytes(wanted_at - symbols_at) + b"".join(versions) + (bytes(16) if needs or defines else b"")
    dynamic_at = symbols_at + len(middle)
    pairs = (
        [*tags, (5, table_at), (10, len(table)), (6, symbols_at), (11, symbol_bytes), (0, 0)]
        if dynamic
        else []
    )
    section = b"".join(struct.pack(order + 2 * word, tag, value) for tag, value in pairs)
    size = dynamic_at + len(section) + len(strings)

    def segment(kind: int, flags: int, at: int, length: int, alignment: int) -> bytes:
        if wide:
            return struct.pack(order + "IIQQQQQQ", kind, flags, at, at, at, length, length, alignment)
        return struct.pack(order + "IIIIIIII", kind, at, at, at, length, length, flags, alignment)

    segments = [segment(1, 7, 0, size, _PAGE), segment(0x6474E551, 6, 0, 0, 16)]
    segments += [segment(2, 6, dynamic_at, len(section), 8)] if dynamic else []
    if interpreter is not None:
        # By the program headers' own entry a loader knows where the program was loaded.
        own = segment(6, 4, head_bytes, count * entry_bytes, 8)
        segments = [own, segment(3, 4, name_at, len(name), 1), *segments]
    base = 0 if dynamic else _PAGE * 64  # a program that is not relocatable must not start at 0
    if base:
        segments = [_moved(each, base, order, wide=wide) for each in segments]
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1, 0]) + bytes(8)
    header = identity + struct.pack(
        order + "HHI" + 3 * word + "IHHHHHH",
        3 if dynamic else 2, number, 1, base + code_at, head_bytes, 0, _FLAGS.get(architecture, 0),
        head_bytes, entry_bytes, count, 64 if wide else 40, 0, 0,
    )  # fmt: skip
    made = bytearray(header + b"".join(segments) + code + name + table)
    made.extend(bytes(symbols_at - len(made)))
    return bytes(made + middle + section + strings)


def _wanted_table(
    order: str, wants: Mapping[str, Sequence[str]], weak: Sequence[str], named: Callable[[str], int]
) -> bytes:
    """Write the table of versions that a file needs, padded to 16 bytes."""
    made = bytearray()
    number = 2
    for at, (library, versions) in enumerate(wants.items()):
        last = at == len(wants) - 1
        following = 0 if last else 16 + 16 * len(versions)
        made += struct.pack(order + "HHIII", 1, len(versions), named(library), 16, following)
        for place, version in enumerate(versions):
            behind = 0 if place == len(versions) - 1 else 16
            flags = 2 if version in weak else 0
            made += struct.pack(order + "IHHII", _hash(version), flags, number, named(version), behind)
            number += 1
    return bytes(made) + bytes(-len(made) % 16)


def _defined_table(order: str, versions: Sequence[str], named: Callable[[str], int]) -> bytes:
    """Write the table of versions that a library defines, its own name first, padded to 16 bytes."""
    made = bytearray()
    for at, version in enumerate(versions):
        following = 0 if at == len(versions) - 1 else 28
        made += struct.pack(
            order + "HHHHIII", 1, 1 if not at else 0, at + 1, 1, _hash(version), 20, following
        )
        made += struct.pack(order + "II", named(version), 0)
    return bytes(made) + bytes(-len(made) % 16)


def _hash(name: str) -> int:
    """Return the hash of a name in ELF files (System V ABI, chapter 5)."""
    value = 0
    for byte in name.encode("utf-8", "surrogateescape"):
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def loader_file(architecture: str = "amd64", directories: Sequence[str] = ()) -> bytes:
    """Make a stand-in for glibc's loader; like the real one, it contains the directories that it searches.

    Args:
        architecture: of the image.
        directories: with a leading slash; those of a distribution that keeps libraries in lib64, or lib, by default.
    """
    wide = _MACHINES[architecture][1]
    found = directories or (("/lib64", "/usr/lib64") if wide else ("/lib", "/usr/lib"))
    strings = b"".join(f"{directory.rstrip('/')}/".encode() + b"\0" for directory in found)
    return elf_file(
        architecture, soname=LOADERS[architecture].rpartition("/")[2], shared=True, strings=b"\0" + strings
    )


def _moved(segment: bytes, base: int, order: str, *, wide: bool) -> bytes:
    fields = list(struct.unpack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), segment))
    for at in (3, 4) if wide else (2, 3):
        fields[at] += base
    return struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), *fields)
