"""A GUID partition table (UEFI specification 2.10, section 5.3)."""

from __future__ import annotations

import binascii
import struct
import uuid
from collections.abc import Sequence

from attrs import frozen

from cosinspect.boot.sinks import Sink

__all__ = ["ALIGNMENT", "EFI_SYSTEM", "LINUX", "Partition", "disk_size", "place_partitions", "write_table"]

SECTOR = 512
ALIGNMENT = 1 << 20
EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

_ENTRIES, _ENTRY_BYTES, _HEADER_BYTES = 128, 128, 92
_TABLE_SECTORS = _ENTRIES * _ENTRY_BYTES // SECTOR
_SEED = uuid.UUID("5f6e2f0a-6d57-5d0c-9b7b-3a3c9c1f0c57")


@frozen
class Partition:
    """A partition.

    Attributes:
        name: what udev calls PARTLABEL.
        kind: the type.
        start: bytes before it.
        size: bytes that it has.
    """

    name: str
    kind: uuid.UUID
    start: int
    size: int


def place_partitions(wanted: Sequence[tuple[str, uuid.UUID, int]]) -> tuple[Partition, ...]:
    """Return partitions one after the other for names, types and sizes."""
    found: list[Partition] = []
    at = ALIGNMENT
    for name, kind, size in wanted:
        aligned = -(-size // ALIGNMENT) * ALIGNMENT
        found.append(Partition(name, kind, at, aligned))
        at += aligned
    return tuple(found)


def disk_size(partitions: Sequence[Partition]) -> int:
    """Return the bytes of a disk with these partitions and both tables."""
    return partitions[-1].start + partitions[-1].size + ALIGNMENT


def write_table(sink: Sink, partitions: Sequence[Partition]) -> None:
    """Write the protective MBR and both copies of the table."""
    sectors = disk_size(partitions) // SECTOR
    entries = bytearray()
    for number, each in enumerate(partitions):
        first = each.start // SECTOR
        own = uuid.uuid5(_SEED, f"{number} {each.name}")
        entries += struct.pack(
            "<16s16sQQQ72s",
            each.kind.bytes_le, own.bytes_le, first, first + each.size // SECTOR - 1, 0,
            each.name.encode("utf-16-le")[:70],
        )  # fmt: skip
    table = bytes(entries.ljust(_ENTRIES * _ENTRY_BYTES, b"\0"))
    protective = struct.pack(
        "<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF)
    )
    sink.write_at(0, bytes(446) + protective + bytes(48) + b"\x55\xaa")
    sink.write_at(SECTOR, _header(1, sectors - 1, 2, sectors, table))
    sink.write_at(2 * SECTOR, table)
    sink.write_at((sectors - 1 - _TABLE_SECTORS) * SECTOR, table)
    sink.write_at(
        (sectors - 1) * SECTOR, _header(sectors - 1, 1, sectors - 1 - _TABLE_SECTORS, sectors, table)
    )


def _header(own: int, other: int, entries: int, sectors: int, table: bytes) -> bytes:
    disk = uuid.uuid5(_SEED, "disk")

    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART", 0x10000, _HEADER_BYTES, checksum, 0, own, other, 2 + _TABLE_SECTORS, sectors - _TABLE_SECTORS - 2,
            disk.bytes_le, entries, _ENTRIES, _ENTRY_BYTES, binascii.crc32(table),
        )  # fmt: skip

    return packed(binascii.crc32(packed(0))).ljust(SECTOR, b"\0")
