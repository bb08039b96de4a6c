"""ELF programs and libraries: the parts that a kernel and a dynamic loader read before they run one.

Sources: the System V ABI, chapters 4 and 5, elf(5), and `load_elf_binary` of Linux. pyelftools reads the same, but it needs
a whole seekable file. Here a file is read once, in pieces, and most of it is not kept.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from cosinspect.errors import FormatError
from cosinspect.formats.boot.symbol_versions import StretchAt, defined_versions, wanted_versions

__all__ = [
    "DYNAMIC_BYTES",
    "ELF_HEAD_BYTES",
    "MAGIC",
    "NAME_BYTES",
    "Elf",
    "Layout",
    "NameAt",
    "Wanted",
    "built_in_directories",
    "describe",
    "interpreter_of",
    "is_loader",
    "read_elf",
    "read_layout",
]

ELF_HEAD_BYTES = 4096
"""Bytes at a file's start in which linkers put the headers and the interpreter's name."""

MAGIC = b"\x7fELF"
NAME_BYTES = 4096
"""The longest name of a library or search path that is read (Linux's PATH_MAX)."""
NEEDED = 512
"""The most libraries that one file may name."""
DYNAMIC_BYTES = 64 * 1024
"""The longest dynamic section that is read; real ones have about 50 entries of 16 bytes."""
HEADERS = 128
"""Program headers that are read; linkers write about a dozen."""

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_ET_EXEC, _ET_DYN = 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH, _DT_FLAGS_1 = 1, 5, 14, 15, 29, 0x6FFFFFFB
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_DF_1_NODEFLIB = 0x800
_SHT_STRTAB, _SHT_GNU_VERDEF, _SHT_GNU_VERNEED, _SHF_ALLOC = 3, 0x6FFFFFFD, 0x6FFFFFFE, 2

# The layout of a program header, and the positions of its offset, address and length, by whether the file has 64 bits.
_SEGMENTS = {
    (order, wide): struct.Struct(order + ("IIQQQQQQ" if wide else "IIIIIIII"))
    for order in "<>"
    for wide in (True, False)
}
_OFFSET, _ADDRESS, _LENGTH = {True: 2, False: 1}, {True: 3, False: 2}, {True: 5, False: 4}

# e_machine, whether 64 bits, whether little-endian -> the image specification's architecture, which is Go's GOARCH.
_ARCHITECTURES = {
    (62, True, True): "amd64",
    (3, False, True): "386",
    (183, True, True): "arm64",
    (40, False, True): "arm",
    (243, True, True): "riscv64",
    (21, True, True): "ppc64le",
    (21, True, False): "ppc64",
    (22, True, False): "s390x",
    (258, True, True): "loong64",
    (8, False, False): "mips",
    (8, False, True): "mipsle",
    (8, True, False): "mips64",
    (8, True, True): "mips64le",
}

# A glibc loader holds the directories that it was built with, one after the other.
_BUILT_IN = re.compile(rb"/(?:[\w.+-]+/)*lib[\w.+-]*/(?:[\w.+-]+/)*\0")
_LOADER_NAMES = ("ld-", "ld.so", "ld64.")

NameAt: TypeAlias = "Callable[[int], bytes | None]"
"""Returns the name that begins at an offset of a file, None if it is not available."""


class Elf(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The requirements of an ELF file.

    Attributes:
        machine: the architecture as an image's platform names it, such as `amd64`; None if the platforms have no name for it.
        number: the machine's number in the header (e_machine).
        bits: 32 or 64.
        little_endian: the byte order.
        loadable: whether a kernel accepts it as a program: it has the type of one, and program headers.
        is_shared: whether a loader accepts it as a library: its type is ET_DYN, which many programs have too.
        interpreter: the dynamic loader that it asks for, or None.
        interpreter_known: whether the available bytes hold the program headers; then a program without interpreter is static.
        needed: names of the libraries that it is linked to (DT_NEEDED), in order.
        soname: its own name as a library (DT_SONAME), "" if there is none.
        rpath: the value of DT_RPATH, None if there is none.
        runpath: the value of DT_RUNPATH, None if there is none.
        no_default: whether the loader's default directories are not searched for it (DF_1_NODEFLIB).
        directories: the default directories of a glibc loader; empty for anything else.
        problem: why its dynamic section is unknown, "" if it is known.
        is_cut: whether the file ends before what its headers refer to.
        wants: the versions of symbols that it needs, by the library that must define them; weak ones are left out.
        defines: the versions of symbols that it defines as a library; empty if it has none.
        versions_known: whether the tables of versions were available.
    """

    machine: str | None
    number: int
    bits: int
    little_endian: bool
    loadable: bool
    is_shared: bool
    interpreter: str | None
    interpreter_known: bool
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: str | None = None
    runpath: str | None = None
    no_default: bool = False
    directories: tuple[str, ...] = ()
    problem: str = ""
    is_cut: bool = False
    wants: tuple[tuple[str, tuple[str, ...]], ...] = ()
    defines: tuple[str, ...] = ()
    versions_known: bool = True


class Wanted(NamedTuple):
    """A part of a file: its offset and its length."""

    offset: int
    length: int


class Layout(NamedTuple):
    """The positions of the parts of a file that are read.

    Attributes:
        order: the byte order, as `struct` writes it.
        wide: whether the file has 64 bits.
        machine: e_machine.
        loadable: as `Elf.loadable`.
        is_shared: as `Elf.is_shared`.
        loads: offset, address and length of each part that is loaded.
        interpreter: PT_INTERP, or None.
        dynamic: PT_DYNAMIC, or None.
        tables: positions of loaded strings and versions by the section headers, if these are in the file's start.
        complete: whether all program headers were available.
        end: offset after the last program header.
    """

    order: str
    wide: bool
    machine: int
    loadable: bool
    is_shared: bool
    loads: tuple[tuple[int, int, int], ...]
    interpreter: Wanted | None
    dynamic: Wanted | None
    tables: tuple[Wanted, ...]
    complete: bool
    end: int

    @property
    def word(self) -> str:
        """The `struct` format of an address."""
        return self.order + ("Q" if self.wide else "I")

    def offset_of(self, address: int) -> int | None:
        """Return the offset in the file of an address in memory, None if no part of the file is loaded there."""
        for offset, start, length in self.loads:
            if start <= address < start + length:
                return offset + address - start
        return None


def read_layout(head: bytes) -> Layout:
    """Read the header and the program headers of an ELF file.

    Raises:
        FormatError: this is not an ELF file (`magic`), or it ends within its header (`truncated`).
    """
    if not head.startswith(MAGIC):
        raise FormatError(
            f"expected an ELF header, found the bytes {head[:4].hex(' ')}", kind="magic", offset=0
        )
    if len(head) < (64 if head[4:5] == b"\x02" else 52):
        raise FormatError("the ELF header ends early", kind="truncated", offset=len(head))
    if head[4] not in {1, 2} or head[5] not in {1, 2}:
        raise FormatError(
            f"the ELF class {head[4]} or byte order {head[5]} does not exist", kind="magic", offset=4
        )
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", head, 16)
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
    needed = 56 if wide else 32
    loads: list[tuple[int, int, int]] = []
    places: dict[int, Wanted] = {}
    complete = not count or (size == needed and count <= HEADERS)
    headers = head[table : table + count * needed] if complete else b""
    complete = complete and len(headers) == count * needed
    for fields in _SEGMENTS[order, wide].iter_unpack(headers[: len(headers) // needed * needed]):
        what = fields[0]
        if what == _PT_LOAD:
            loads.append((fields[_OFFSET[wide]], fields[_ADDRESS[wide]], fields[_LENGTH[wide]]))
        elif what in (_PT_DYNAMIC, _PT_INTERP):
            places.setdefault(what, Wanted(fields[_OFFSET[wide]], fields[_LENGTH[wide]]))
    return Layout(
        order, wide, machine,
        # A kernel refuses program headers of another size.
        kind in (_ET_EXEC, _ET_DYN) and bool(count) and size == needed, kind == _ET_DYN,
        tuple(loads), places.get(_PT_INTERP), places.get(_PT_DYNAMIC),
        tuple(_loaded_tables(head, order, wide=wide)), complete, table + count * needed,
    )  # fmt: skip


def read_elf(head: bytes) -> Elf:
    """Read the headers of an ELF file; `program.ProgramReader` also reads the libraries that it needs.

    Args:
        head: the file's start; with `ELF_HEAD_BYTES` of it the interpreter is found too.

    Raises:
        FormatError: this is not an ELF file (`magic`), or it ends within its header (`truncated`).
    """
    layout = read_layout(head)
    return describe(layout, interpreter_of(layout, head), b"", lambda _: None, lambda _at, _length: None)


def interpreter_of(layout: Layout, head: bytes | bytearray) -> str | None:
    """Return the name in PT_INTERP as a kernel reads it, None if there is none or it is beyond `head`."""
    place = layout.interpreter
    if place is None or place.offset + place.length > len(head) or place.length > NAME_BYTES:
        return None
    return _text(bytes(head[place.offset : place.offset + place.length]).partition(b"\0")[0])


def describe(
    layout: Layout, interpreter: str | None, dynamic: bytes, name_at: NameAt, stretch_at: StretchAt
) -> Elf:
    """Return a file's requirements, from its parts.

    Args:
        layout: of the file.
        interpreter: its loader, None if none is known.
        dynamic: the bytes of PT_DYNAMIC; none if they are not available.
        name_at: returns the name at an offset of the file, None if it is not available.
        stretch_at: returns a number of bytes at an offset of the file, None if they are not available.
    """
    entries = dict[int, list[int]]()
    for tag, value in _entries(layout, dynamic):
        entries.setdefault(tag, []).append(value)
    known = layout.complete and (layout.interpreter is None or interpreter is not None)
    problem = ""
    (table, *_) = entries.get(_DT_STRTAB, [0])
    start = layout.offset_of(table)

    def names(tag: int) -> tuple[str, ...]:
        nonlocal problem
        found = []
        for value in entries.get(tag, [])[:NEEDED]:
            raw = name_at(start + value) if start is not None else None
            if raw is None:
                problem = (
                    problem
                    or "the names that its dynamic section refers to are not within the part of the file that is read"
                )
            else:
                found.append(_text(raw))
        return tuple(found)

    needed = names(_DT_NEEDED)
    if len(entries.get(_DT_NEEDED, ())) > NEEDED:
        problem = f"it names more than {NEEDED} libraries"
    soname, rpath, runpath = (
        next(iter(names(tag)[-1:]), None) for tag in (_DT_SONAME, _DT_RPATH, _DT_RUNPATH)
    )
    tables = {
        tag: _versions(layout, entries, tag, start, name_at, stretch_at) for tag in (_DT_VERNEED, _DT_VERDEF)
    }
    wants, defines = tables[_DT_VERNEED], tables[_DT_VERDEF]
    machine = _ARCHITECTURES.get((layout.machine, layout.wide, layout.order == "<"))
    return Elf(
        machine, layout.machine, 64 if layout.wide else 32, layout.order == "<", layout.loadable, layout.is_shared,
        interpreter, known, needed, soname or "", rpath, runpath,
        any(value & _DF_1_NODEFLIB for value in entries.get(_DT_FLAGS_1, ())), (), problem,
        False, wants or (), defines or (), wants is not None and defines is not None,
    )  # fmt: skip


def _versions(
    layout: Layout,
    entries: Mapping[int, list[int]],
    tag: int,
    strings: int | None,
    name_at: NameAt,
    stretch_at: StretchAt,
) -> tuple[Any, ...] | None:
    """Return one table of versions, empty if the file has none, None if it is not available."""
    (address, *_) = entries.get(tag, [0])
    (count, *_) = entries.get(tag + 1, [0])
    if not address or not count:
        return ()
    at = layout.offset_of(address)
    if at is None or strings is None:
        return None
    read = wanted_versions if tag == _DT_VERNEED else defined_versions
    return read(layout.order, at, count, stretch_at, lambda offset: name_at(strings + offset))


def is_loader(soname: str) -> bool:
    """Return whether a library is glibc's loader, by its own name."""
    return soname.startswith(_LOADER_NAMES)


def built_in_directories(data: bytes) -> tuple[str, ...]:
    """Return the directories that a glibc loader searches by default; it holds each with a slash and a NUL at its end."""
    found = dict.fromkeys(match[0][:-2].decode() for match in _BUILT_IN.finditer(data))
    return tuple(found)[:16]


def _loaded_tables(head: bytes, order: str, *, wide: bool) -> Iterator[Wanted]:
    """Yield the tables of strings and of versions that section headers in the file's start name, as Go's linker writes them."""
    word = order + ("Q" if wide else "I")
    (table,) = struct.unpack_from(word, head, 40 if wide else 32)
    size, count = struct.unpack_from(order + "HH", head, 58 if wide else 46)
    if size != (64 if wide else 40):
        return
    for number in range(min(count, HEADERS)):
        at = table + number * size
        if not table or at + size > len(head):
            return
        (kind,) = struct.unpack_from(order + "I", head, at + 4)
        (flags,) = struct.unpack_from(word, head, at + 8)
        if kind in (_SHT_STRTAB, _SHT_GNU_VERDEF, _SHT_GNU_VERNEED) and flags & _SHF_ALLOC:
            (offset,) = struct.unpack_from(word, head, at + (24 if wide else 16))
            (length,) = struct.unpack_from(word, head, at + (32 if wide else 20))
            yield Wanted(offset, length)


def _entries(layout: Layout, dynamic: bytes) -> Iterator[tuple[int, int]]:
    pair = struct.Struct(layout.order + ("QQ" if layout.wide else "II"))
    for tag, value in pair.iter_unpack(dynamic[: len(dynamic) // pair.size * pair.size]):
        if not tag:
            return
        yield tag, value


def _text(raw: bytes) -> str:
    return raw[:NAME_BYTES].decode("utf-8", "replace")
