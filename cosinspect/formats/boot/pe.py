"""EFI programs: the headers and the section table of a PE/COFF file.

Follows the PE format specification (sections "COFF File Header" and "Section Table") as far as firmware and systemd's stub
use it. A section's content is as long as its virtual size, and never longer than its raw data: the rest of the raw data is
padding to the file alignment (EDK2, `PeCoffLoaderLoadImage`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.limits import KIB

__all__ = ["PE_HEAD_BYTES", "PEProgram", "PESection", "read_pe"]

PE_HEAD_BYTES = 64 * KIB
"""The bytes of a file's start that `read_pe` needs; linkers put the headers into the first page."""

_DOS_BYTES = 64
_COFF_BYTES = 24
_SECTION_BYTES = 40
_MOST_SECTIONS = 1024  # our own bound: firmware has none, unified kernel images have a dozen for each profile
_OPTIONAL_MAGICS = {0x10B: 32, 0x20B: 64}
_SUBSYSTEM_OFFSET = 0x44  # in the optional header, for 32 and 64 bits alike

_MACHINES = {
    0x014C: "386",
    0x8664: "amd64",
    0xAA64: "arm64",
    0x01C2: "arm",
    0x01C4: "arm",
    0x5064: "riscv64",
    0x6264: "loong64",
}


@frozen
class PESection:
    """One section.

    Attributes:
        name: in the table, without its zero bytes.
        offset: of its content in the file, in bytes.
        size: of its content in bytes, without padding.
        virtual_size: in memory, in bytes.
        stored: its bytes in the file, with padding.
    """

    name: str
    offset: int
    size: int
    virtual_size: int
    stored: int

    @property
    def end(self) -> int:
        """The offset after its content."""
        return self.offset + self.size


@frozen
class PEProgram:
    """The headers of a PE file.

    Attributes:
        machine: the number in the header.
        bits: 32 or 64.
        subsystem: 10 is an EFI application, 11 and 12 are EFI drivers; None if the optional header is too short for it.
        sections: in the table's order.
        headers_bytes: the offset after the section table.
    """

    machine: int
    bits: int
    subsystem: int | None
    sections: tuple[PESection, ...]
    headers_bytes: int

    @property
    def architecture(self) -> str | None:
        """The machine as an image's platform names it, None if the platforms have no name for it."""
        return _MACHINES.get(self.machine)

    @property
    def end(self) -> int:
        """The least length of the file by its headers, in bytes."""
        return max(self.headers_bytes, *(section.end for section in self.sections), 0)

    @property
    def stored_end(self) -> int:
        """The length of the file by its headers, with padding, in bytes."""
        return max(self.headers_bytes, *(section.offset + section.stored for section in self.sections), 0)

    def section(self, name: str) -> PESection | None:
        """Return the first section of a name, None if there is none."""
        return next((section for section in self.sections if section.name == name), None)


def read_pe(head: bytes, *, size: int) -> PEProgram:
    """Read the headers of a PE file.

    Args:
        head: its first `PE_HEAD_BYTES` bytes, or all if it is shorter.
        size: of the whole file, in bytes.

    Raises:
        FormatError: it is not a PE file (`magic`), it ends within its headers (`truncated`), or its headers do not fit into
            `head` or have more sections than the limit (`limit`).
    """
    if head[:2] != b"MZ":
        raise FormatError(
            f"expected an EFI program, found the bytes {head[:2].hex(' ')} at its start",
            kind="magic",
            offset=0,
        )
    _need(head, _DOS_BYTES, size)
    (start,) = struct.unpack_from("<I", head, 0x3C)
    _need(head, start + _COFF_BYTES, size)
    if head[start : start + 4] != b"PE\0\0":
        raise FormatError(
            f"expected the PE signature at byte {start}, found the bytes {head[start : start + 4].hex(' ')}",
            kind="magic",
            offset=start,
        )
    machine, count = struct.unpack_from("<HH", head, start + 4)
    (optional_bytes,) = struct.unpack_from("<H", head, start + 20)
    optional = start + _COFF_BYTES
    table = optional + optional_bytes
    if count > _MOST_SECTIONS:
        raise FormatError(
            f"the program has {count} sections, more than the limit of {_MOST_SECTIONS}",
            kind="limit",
            offset=start + 6,
        )
    _need(head, table + count * _SECTION_BYTES, size)
    (magic,) = struct.unpack_from("<H", head, optional) if optional_bytes >= 2 else (0,)
    if magic not in _OPTIONAL_MAGICS:
        raise FormatError(
            f"expected an optional header of 32 or 64 bits, found the magic number {magic:#x}",
            kind="magic",
            offset=optional,
        )
    subsystem = None
    if optional_bytes >= _SUBSYSTEM_OFFSET + 2:
        (subsystem,) = struct.unpack_from("<H", head, optional + _SUBSYSTEM_OFFSET)
    return PEProgram(
        machine,
        _OPTIONAL_MAGICS[magic],
        subsystem,
        tuple(_sections(head, table, count)),
        table + count * _SECTION_BYTES,
    )


def _sections(head: bytes, table: int, count: int) -> Iterator[PESection]:
    for at in range(table, table + count * _SECTION_BYTES, _SECTION_BYTES):
        virtual_size, _, raw_size, raw_offset = struct.unpack_from("<IIII", head, at + 8)
        name = head[at : at + 8].rstrip(b"\0").decode("latin-1")
        content = min(virtual_size, raw_size) if virtual_size else raw_size
        yield PESection(name, raw_offset if raw_size else 0, content, virtual_size, raw_size)


def _need(head: bytes, end: int, size: int) -> None:
    if end <= len(head):
        return
    if end > size:
        raise FormatError(
            f"expected headers up to byte {end}, the file has {size} bytes", kind="truncated", offset=size
        )
    raise FormatError(
        f"the headers reach to byte {end}, and only {len(head)} bytes of them are read",
        kind="limit",
        offset=len(head),
    )
