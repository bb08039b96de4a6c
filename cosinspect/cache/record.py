"""One cached file: a head, and sections that are verified one by one when they are read.

    magic 8 | length of the head 4 | digest of the head 16 | digest of the sections 16 | key 32 | head | sections

Numbers are big-endian, digests are BLAKE2b of 16 bytes. The head or another section has the offset, length
and digest of a section. Reading a part of a large file verifies only that part.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from mmap import mmap
from typing import TypeAlias

import msgspec

__all__ = ["Buffer", "Damaged", "Record", "RecordWriter", "Section"]

Buffer: TypeAlias = "bytes | memoryview | mmap"

MAGIC = b"cosinsp1"
_LEAD = struct.Struct(">8sI16s16s32s")
_DIGEST_BYTES = 16


class Damaged(Exception):
    """A cached file is damaged; it counts as absent."""


class Section(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The place and the digest of a section.

    Attributes:
        offset: in bytes, from the first section.
        length: in bytes.
        digest: of its bytes.
    """

    offset: int
    length: int
    digest: bytes


class RecordWriter:
    """Collects the sections of a record, in order, and puts the head before them."""

    def __init__(self, key: bytes) -> None:
        """Start the record for `key`, which has 32 bytes."""
        self._key = key
        self._sections: list[bytes] = []
        self._length = 0
        self._whole = blake2b(digest_size=_DIGEST_BYTES)

    def add(self, data: bytes) -> Section:
        """Append a section."""
        section = Section(self._length, len(data), _digest(data))
        self._sections.append(data)
        self._length += len(data)
        self._whole.update(data)
        return section

    def finish(self, head: bytes) -> list[bytes]:
        """Return the record in pieces."""
        lead = _LEAD.pack(MAGIC, len(head), _digest(head), self._whole.digest(), self._key)
        return [lead, head, *self._sections]


class Record:
    """A record's bytes; at first only the head is verified.

    Attributes:
        head: its bytes.
    """

    def __init__(self, data: Buffer, key: bytes) -> None:
        """Verify the head of the record for `key`.

        Raises:
            Damaged: the bytes are not a record, belong to another key, or have a damaged head.
        """
        self._data = memoryview(data)
        try:
            magic, length, digest, self._whole, own = _LEAD.unpack_from(self._data)
        except struct.error as fault:
            raise Damaged(f"expected at least {_LEAD.size} bytes, found {len(self._data)}") from fault
        if magic != MAGIC or own != key:
            raise Damaged("expected a record of this key, found another file")
        self.head = bytes(self._data[_LEAD.size : _LEAD.size + length])
        self._sections = self._data[_LEAD.size + length :]
        if len(self.head) != length or _digest(self.head) != digest:
            raise Damaged("the head is damaged")

    def read(self, section: Section) -> bytes:
        """Return a section's verified bytes.

        Raises:
            Damaged: the bytes are damaged.
        """
        data = bytes(self._sections[section.offset : section.offset + section.length])
        if section.offset < 0 or len(data) != section.length or _digest(data) != section.digest:
            raise Damaged(f"the section at byte {section.offset} is damaged")
        return data

    def verify(self) -> None:
        """Verify all sections at once.

        Raises:
            Damaged: the bytes are damaged.
        """
        if _digest(self._sections) != self._whole:
            raise Damaged("the sections are damaged")


def _digest(data: Buffer) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
