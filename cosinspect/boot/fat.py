"""A file system of type FAT32 with files and long names (Microsoft, FAT32 File System Specification 1.03).

For EFI partitions: it is written once, whole, from files that are available.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from attrs import define, field

from cosinspect.boot.sinks import Sink
from cosinspect.errors import CannotBoot

__all__ = ["MOST_FILES", "Fat32"]

SECTOR = 512
CLUSTER = 4096
_RESERVED = 32
_END = 0x0FFFFFFF
_LEAST_CLUSTERS = 65525
"""With fewer a reader takes it for FAT16 (specification, "FAT Type Determination")."""

MOST_FILES = 20_000
MOST_BYTES = 2 << 30


@define
class _Directory:
    directories: dict[str, _Directory] = field(factory=dict)
    files: dict[str, bytes] = field(factory=dict)
    cluster: int = 0

    def entries(self) -> int:
        return 2 + sum(
            1 + -(-len(name.encode("utf-16-le")) // 26) for name in (*self.directories, *self.files)
        )

    @property
    def clusters(self) -> int:
        return max(-(-self.entries() * 32 // CLUSTER), 1)


class Fat32:
    """A file system that holds files.

    Attributes:
        size: bytes that it has.
    """

    def __init__(self, files: Mapping[str, bytes], *, label: str = "", size: int = 0) -> None:
        """Lay files out.

        Args:
            files: by their paths, with slashes and without a slash in front.
            label: the file system's name, at most 11 bytes of ASCII.
            size: bytes that it has at least.

        Raises:
            CannotBoot: FAT cannot hold the files, or they are beyond a bound.
        """
        if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
            raise CannotBoot(
                f"expected at most {MOST_FILES} files of {MOST_BYTES >> 30} GiB for an EFI partition, found more"
            )
        self._label = label.encode("ascii", "replace")[:11].ljust(11)
        self._root = _Directory()
        for path, body in files.items():
            self._put(path, body)
        used = sum(each.clusters for each in self._walk(self._root))
        used += sum(
            -(-len(body) // CLUSTER) for each in self._walk(self._root) for body in each.files.values()
        )
        clusters = max(used + 16, _LEAST_CLUSTERS + 16, size // CLUSTER)
        self._clusters = clusters
        self._fat_sectors = -(-(clusters + 2) * 4 // SECTOR)
        self.size = (_RESERVED + 2 * self._fat_sectors) * SECTOR + clusters * CLUSTER

    def _put(self, path: str, body: bytes) -> None:
        *above, name = path.split("/")
        at = self._root
        for part in (*above, name):
            if (
                not 0 < len(part.encode("utf-16-le", "replace")) <= 510
                or part in (".", "..")
                or any(c in '"*:<>?\\|' or c < " " for c in part)
            ):
                raise CannotBoot("expected a name that FAT can hold", where=path)
        for part in above:
            known = next((each for each in at.directories if each.lower() == part.lower()), part)
            at = at.directories.setdefault(known, _Directory())
        for each in (*at.directories, *at.files):
            if each.lower() == name.lower():
                raise CannotBoot(
                    f"expected names that differ in more than capitals, found {each!r} as well", where=path
                )
        at.files[name] = body

    def _walk(self, top: _Directory) -> Iterator[_Directory]:
        waiting = [top]
        while waiting:
            each = waiting.pop()
            yield each
            waiting.extend(each.directories.values())

    def write(self, sink: Sink) -> None:
        """Write everything."""
        chains: dict[int, int] = {}
        next_free = 2

        def take(count: int) -> int:
            nonlocal next_free
            first = next_free
            for number in range(first, first + count):
                chains[number] = number + 1 if number + 1 < first + count else _END
            next_free += count
            return first if count else 0

        for each in self._walk(self._root):
            each.cluster = take(each.clusters)
        waiting: list[tuple[_Directory, int]] = [(self._root, 0)]
        while waiting:
            each, parent = waiting.pop()
            body = bytearray()
            if each is self._root:
                body += self._label + b"\x08" + bytes(20)
            else:
                body += _entry(b".          ", 0x10, each.cluster, 0) + _entry(
                    b"..         ", 0x10, parent, 0
                )
            number = 0
            for name, below in each.directories.items():
                number += 1
                body += _named(name, number, 0x10, below.cluster, 0)
                waiting.append((below, 0 if each is self._root else each.cluster))
            for name, content in each.files.items():
                number += 1
                cluster = take(-(-len(content) // CLUSTER))
                body += _named(name, number, 0x20, cluster, len(content))
                if content:
                    sink.write_at(self._place(cluster), content)
            sink.write_at(self._place(each.cluster), bytes(body))
        fat = bytearray(struct.pack("<II", 0x0FFFFFF8, _END))
        for number in range(2, next_free):
            fat += struct.pack("<I", chains[number])
        for copy in range(2):
            sink.write_at((_RESERVED + copy * self._fat_sectors) * SECTOR, bytes(fat))
        boot = self._boot_sector()
        information = struct.pack(
            "<I480xIII12xI", 0x41615252, 0x61417272, self._clusters - next_free + 2, next_free, 0xAA550000
        )
        for first in (0, 6):
            sink.write_at(first * SECTOR, boot)
            sink.write_at((first + 1) * SECTOR, information)

    def _place(self, cluster: int) -> int:
        return (_RESERVED + 2 * self._fat_sectors) * SECTOR + (cluster - 2) * CLUSTER

    def _boot_sector(self) -> bytes:
        head = struct.pack(
            "<3s8sHBHBHHBHHHIIIHHIHH12xBBBI11s8s",
            b"\xeb\x58\x90", b"MSWIN4.1", SECTOR, CLUSTER // SECTOR, _RESERVED, 2, 0, 0, 0xF8, 0, 63, 255, 0,
            self.size // SECTOR, self._fat_sectors, 0, 0, self._root.cluster or 2, 1, 6, 0x80, 0, 0x29, 0x20261130,
            self._label, b"FAT32   ",
        )  # fmt: skip
        return head.ljust(510, b"\0") + b"\x55\xaa"


def _entry(short: bytes, attributes: int, cluster: int, size: int) -> bytes:
    return struct.pack("<11sB8xH4xHI", short, attributes, cluster >> 16, cluster & 0xFFFF, size)


def _named(name: str, number: int, attributes: int, cluster: int, size: int) -> bytes:
    """Write a long name and a short one that is made up, unlike all others in its directory."""
    short = _plain(name) or f"{'COSINS'[: 7 - len(str(number))]}~{number}".ljust(11).encode()
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    raw = name.encode("utf-16-le", "replace")
    if len(raw) % 26:
        raw = (raw + b"\0\0").ljust(-(-len(raw) // 26) * 26, b"\xff")
    parts = [raw[at : at + 26] for at in range(0, len(raw), 26)]
    found = b""
    for position, part in reversed(list(enumerate(parts, 1))):
        order = position | (0x40 if position == len(parts) else 0)
        found += struct.pack("<B10sBBB12sH4s", order, part[:10], 0x0F, 0, checksum, part[10:22], 0, part[22:])
    return found + _entry(short, attributes, cluster, size)


def _plain(name: str) -> bytes:
    """Return the short form of a name that is one already, in capitals; b"" for others."""
    stem, dot, ending = name.partition(".")
    fits = 0 < len(stem) <= 8 and len(ending) <= 3 and bool(ending) == bool(dot)
    if not (fits and name.replace(".", "").isalnum() and name.isascii() and name == name.upper()):
        return b""
    return stem.ljust(8).encode() + ending.ljust(3).encode()
