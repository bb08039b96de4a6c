"""One cached file: a head, and sections that are verified one by one when they are read.

    magic 8 | length of the head 4 | digest of the head 16 | digest of the sections 16 | key 32 | head | sections

Numbers are big-endian, digests are BLAKE2b of 16 bytes. The head or another section has the offset, length
and digest of a section. Reading a part of a large file verifies only that part. `record_writer` writes records.

This module loads no third-party library: a stored answer is read before anything else is imported.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

TYPE_CHECKING = False

if TYPE_CHECKING:
    from cosinspect.cache.section import Buffer, Section

__all__ = ["Damaged", "Record", "digest_of", "lead_of"]

MAGIC = b"cosinsp1"
_LEAD = struct.Struct(">8sI16s16s32s")
DIGEST_BYTES = 16


class Damaged(Exception):
    """A cached file is damaged; it counts as absent."""


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
        if len(self.head) != length or digest_of(self.head) != digest:
            raise Damaged("the head is damaged")

    def read(self, section: Section) -> bytes:
        """Return a section's verified bytes.

        Raises:
            Damaged: the bytes are damaged.
        """
        data = bytes(self._sections[section.offset : section.offset + section.length])
        if section.offset < 0 or len(data) != section.length or digest_of(data) != section.digest:
            raise Damaged(f"the section at byte {section.offset} is damaged")
        return data

    def verify(self) -> None:
        """Verify all sections at once.

        Raises:
            Damaged: the bytes are damaged.
        """
        if digest_of(self._sections) != self._whole:
            raise Damaged("the sections are damaged")


def digest_of(data: Buffer) -> bytes:
    """Return the digest that a record states of a part of it."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def lead_of(key: bytes, head: bytes, sections: bytes) -> bytes:
    """Return what precedes the head of a record.

    Args:
        key: of the record, 32 bytes.
        head: the head.
        sections: the digest of all sections together.
    """
    return _LEAD.pack(MAGIC, len(head), digest_of(head), sections, key)
