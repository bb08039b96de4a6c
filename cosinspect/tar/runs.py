"""Headers of the common form, read in runs at a fraction of the price of single ones.

A layer has tens of thousands of files whose headers differ in name, size, time and checksum only. A run ends at the first header
that has anything else; the long way of `cosinspect.tar.reader` reads that one. What both read, both read alike
(`tests/property/test_tarstream_property.py`).
"""

from __future__ import annotations

import re
import struct
import zlib
from itertools import repeat
from typing import NamedTuple, TypeAlias

from cosinspect.tar.blocks import BLOCK
from cosinspect.tar.header import Header, parse_number

__all__ = ["COMMON_NUMBER", "REMEMBERED", "CommonEntry", "CommonHeaders", "Shape", "header_of"]

COMMON_NUMBER = 0o7777777
"""The largest mode or device number that PAX can represent, and so Go can write again."""

REMEMBERED = 4096
"""Cached fields of each kind; a field is short, so the cache is small."""

# Name, owner (mode, uid, gid), size, time, checksum, and the rest: type, target of a link, and everything after it.
_FIELDS = struct.Struct("100s24s12s12s8s356s").unpack_from
_HEAD = 156  # bytes before the rest
_TAIL = 101  # where in the rest the tail begins, after the type and the target of a link
_CHECKSUM = re.compile(rb"[0-7]{6}\0 ").fullmatch
_OCTAL = re.compile(rb"[0-7]{11}[\0 ]").fullmatch
_FILE, _SYMLINK, _DIRECTORY = b"025"
_MASK = 0xFFFF


class Shape(NamedTuple):
    """What headers have in common after their checksums.

    Attributes:
        kind: `0`, `2` or `5`: a regular file, a symbolic link, a directory.
        link: the target of a link.
        device: as written.
        total: the sum of these bytes.
    """

    kind: str
    link: str
    device: tuple[int, int]
    total: int


CommonEntry: TypeAlias = "tuple[str, Shape, tuple[int, int, int], int, int, int]"
"""Name, shape, owner (mode, uid, gid), size, time, and the offset of the header. A plain tuple, because millions are made."""


def header_of(entry: CommonEntry) -> Header:
    """Return the header that the long way reads."""
    name, shape, owner, size, mtime, offset = entry
    return Header(
        name, shape.kind, *owner, mtime, size, shape.link, shape.device, offset, offset + BLOCK, size, None, None
    )  # fmt: skip


class CommonHeaders:
    """The fields that occurred so far in an archive, and the headers that consist of them.

    Attributes:
        numbers: by numeric field.
        owners: mode, uid and gid by their three fields; a mode that Go cannot write is not among them.
        tails: device numbers by the bytes after the target of a link, if they have a known format and no prefix of the name.
    """

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.owners: dict[bytes, tuple[int, int, int]] = {}
        self.tails: dict[bytes, tuple[int, int]] = {}
        self._shapes: dict[bytes, Shape] = {}
        self._sums: dict[bytes, int] = {}

    def run(self, piece: bytes, at: int, base: int, most: int) -> list[CommonEntry]:
        """Return the consecutive entries of the common form whose headers are in `piece`, the first one at `at`.

        The common form is a file, symbolic link or directory with the usual form of checksum, with an owner and a tail that
        occurred before, without content unless it is a file, and without anything to note.

        Args:
            piece: of the archive.
            at: offset in it, a header's.
            base: offset of the piece in the archive.
            most: the largest number of entries.
        """
        found: list[CommonEntry] = []
        add = found.append
        known_owners, known_numbers, known_sums = self.owners.get, self.numbers.get, self._sums.get
        adler32 = zlib.adler32
        owner_before = rest_before = b""
        owner, shape = (0, 0, 0), Shape("", "", (0, 0), 0)
        total = 0
        is_file = False
        last = len(piece) - BLOCK
        for _ in repeat(None, most):
            if at > last:
                break
            name, owner_field, size_field, time_field, sum_field, rest = _FIELDS(piece, at)
            if rest != rest_before:
                shaped = self._shape(rest)
                if shaped is None:
                    break
                shape, rest_before = shaped, rest
                total, is_file = shape.total, shape.kind == "0"
            if owner_field != owner_before:
                owned = known_owners(owner_field)
                if owned is None:
                    break
                owner, owner_before = owned, owner_field
            # The low half of an adler-32 is one and the sum of the bytes modulo 65521: exact for so few bytes.
            expected = known_sums(sum_field)
            if expected is None:
                expected = self._expected(sum_field)
            if (adler32(piece[at : at + _HEAD]) & _MASK) + total != expected:
                break
            size, mtime = known_numbers(size_field), known_numbers(time_field)
            if size is None:
                size = self._number(size_field)
            if mtime is None:
                mtime = self._number(time_field)
            if size is None or mtime is None or size < 0 or (size and not is_file):
                break
            end = name.find(0)
            try:
                text = name[:end].decode() if end >= 0 else name.decode()
            except UnicodeDecodeError:
                break
            if text[:1] == "/" or (is_file and text[-1:] == "/"):
                break
            add((text, shape, owner, size, mtime, base + at))
            at += BLOCK + size + -size % BLOCK
        return found

    def _shape(self, rest: bytes) -> Shape | None:
        """Return what the bytes after the checksum mean, None if they are not of the common form."""
        shape = self._shapes.get(rest)
        if shape is not None:
            return shape
        kind = rest[0]
        device = self.tails.get(rest[_TAIL:])
        if device is None or kind not in (_FILE, _SYMLINK, _DIRECTORY):
            return None
        try:
            link = rest[1:_TAIL].partition(b"\0")[0].decode()
        except UnicodeDecodeError:
            return None
        shape = Shape(chr(kind), link, device, sum(rest))
        if not link and len(self._shapes) < REMEMBERED:
            self._shapes[rest] = shape
        return shape

    def _expected(self, field: bytes) -> int:
        """Return what the sum of all bytes and one must be for a checksum field; -1 if it has another than the usual form."""
        if not _CHECKSUM(field):
            return -1
        # The sum counts the field as blanks.
        expected = int(field[:6], 8) + sum(field) - 8 * 0x20 + 1
        if len(self._sums) < REMEMBERED:
            self._sums[field] = expected
        return expected

    def _number(self, field: bytes) -> int | None:
        """Return the number in a field, None if it has none."""
        number = int(field[:11], 8) if _OCTAL(field) else parse_number(field)
        if number is not None and len(self.numbers) < REMEMBERED:
            self.numbers[field] = number
        return number
