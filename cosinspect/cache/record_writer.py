"""The writer of a record: it collects the sections, and puts the head before them."""

from __future__ import annotations

from hashlib import blake2b

from cosinspect.cache.record import DIGEST_BYTES, digest_of, lead_of
from cosinspect.cache.section import Section

__all__ = ["RecordWriter"]


class RecordWriter:
    """Collects the sections of a record, in order, and puts the head before them."""

    def __init__(self, key: bytes) -> None:
        """Start the record for `key`, which has 32 bytes."""
        self._key = key
        self._sections: list[bytes] = []
        self._length = 0
        self._whole = blake2b(digest_size=DIGEST_BYTES)

    def add(self, data: bytes) -> Section:
        """Append a section."""
        section = Section(self._length, len(data), digest_of(data))
        self._sections.append(data)
        self._length += len(data)
        self._whole.update(data)
        return section

    def finish(self, head: bytes) -> list[bytes]:
        """Return the record in pieces."""
        return [lead_of(self._key, head, self._whole.digest()), head, *self._sections]
