"""rpm's database of the backend bdb, `Packages`: a hash of Berkeley DB, as rpm wrote it until 4.16.

The layout is that of Berkeley DB's `dbinc/db_page.h`: a page of metadata, then pages of buckets, each with the next one of its
bucket; a value that is too long is in a chain of overflow pages. Numbers are in the byte order of the machine that wrote them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cosinspect.deadline import in_time, spend
from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import require_few
from cosinspect.limits import Limits

__all__ = ["bdb_blobs"]

_MAGIC = 0x061561
_HASH_META, _HASH_UNSORTED, _OVERFLOW, _HASH = 8, 2, 7, 13
_KEY_DATA, _OFF_PAGE = 1, 3
_PAGE_HEADER = 26
_META_BYTES = 512
_CHECKSUMS = 1
_SPARES = 32


def bdb_blobs(data: bytes, limits: Limits) -> Iterator[bytes]:
    """Yield the headers of all packages.

    Raises:
        FormatError: of the kinds `magic`, `truncated`, `unsupported` (encrypted, or with checksums), `structure` and `limit`.
    """
    database = _Hash(data)
    budget = len(data)
    count = 0
    for key, value in database.records():
        if not any(key):  # the number of the next package
            continue
        count += 1
        require_few(count, limits)
        budget -= len(value)
        if budget < 0:
            raise FormatError("the values are larger than the file that holds them", kind="limit")
        yield value


class _Hash:
    def __init__(self, data: bytes) -> None:
        if len(data) < _META_BYTES:
            raise FormatError(
                f"expected a page of metadata of {_META_BYTES} bytes, found {len(data)}", kind="truncated"
            )
        self.data = data
        self.order = next(
            (order for order in "<>" if struct.unpack_from(f"{order}I", data, 12) == (_MAGIC,)), ""
        )
        if not self.order:
            raise FormatError("expected a hash of Berkeley DB", kind="magic", offset=12)
        self.size = self._number(20)
        encryption, kind, flags = data[24:27]
        if kind != _HASH_META:
            raise FormatError(
                f"expected the type {_HASH_META} of a hash's metadata, found {kind}", kind="structure"
            )
        if encryption or flags & _CHECKSUMS:
            raise FormatError("a database with encryption or checksums is not read", kind="unsupported")
        if not 512 <= self.size <= 65536 or self.size & (self.size - 1):
            raise FormatError(
                f"expected pages of 512 to 65536 bytes, found {self.size}", kind="structure", offset=20
            )
        self.last_bucket = self._number(72)
        self.spares = struct.unpack_from(f"{self.order}{_SPARES}I", data, 96)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs of all buckets."""
        if self.last_bucket >= len(self.data) // self.size:
            raise FormatError(
                f"{self.last_bucket} buckets are announced, more than the file has pages", kind="truncated"
            )
        seen: set[int] = set()
        for bucket in in_time(range(self.last_bucket + 1)):
            level = bucket.bit_length()  # the first power of two above it
            number = bucket + self.spares[min(level, _SPARES - 1)]
            while number:
                if number in seen:
                    raise FormatError(f"page {number} is in two places", kind="structure")
                seen.add(number)
                start = self._page(number)
                if self.data[start + 25] not in (_HASH, _HASH_UNSORTED):
                    break  # a bucket that was never written
                yield from self._pairs(start)
                number = self._number(start + 16)

    def _page(self, number: int) -> int:
        start = number * self.size
        if start + self.size > len(self.data):
            raise FormatError(
                f"page {number} is behind the end of the file", kind="truncated", offset=len(self.data)
            )
        return start

    def _number(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 4], "little" if self.order == "<" else "big")

    def _pairs(self, start: int) -> Iterator[tuple[bytes, bytes]]:
        (entries,) = struct.unpack_from(f"{self.order}H", self.data, start + 20)
        if _PAGE_HEADER + 2 * entries > self.size or entries % 2:
            raise FormatError(
                f"expected pairs that fit a page, found {entries} items", kind="structure", offset=start
            )
        places = struct.unpack_from(f"{self.order}{entries}H", self.data, start + _PAGE_HEADER)
        for item in range(0, entries, 2):
            end = places[item - 1] if item else self.size
            key = self._item(start, places[item], end)
            yield key, self._item(start, places[item + 1], places[item])

    def _item(self, page: int, place: int, end: int) -> bytes:
        if not _PAGE_HEADER <= place < end <= self.size:
            raise FormatError("expected an item within its page", kind="structure", offset=page)
        kind = self.data[page + place]
        if kind == _KEY_DATA:
            return self.data[page + place + 1 : page + end]
        if kind != _OFF_PAGE or end - place < 12:
            raise FormatError(f"an item of type {kind} is not read", kind="structure", offset=page + place)
        return self._overflow(self._number(page + place + 4), self._number(page + place + 8))

    def _overflow(self, number: int, length: int) -> bytes:
        if length > len(self.data):
            raise FormatError(
                f"a value of {length} bytes is announced, the file has {len(self.data)}", kind="truncated"
            )
        parts: list[bytes] = []
        while length > 0:
            spend()
            start = self._page(number)
            (used,) = struct.unpack_from(f"{self.order}H", self.data, start + 22)
            if self.data[start + 25] != _OVERFLOW or not used or _PAGE_HEADER + used > self.size:
                raise FormatError(f"expected page {number} to hold more of a value", kind="structure")
            parts.append(self.data[start + _PAGE_HEADER : start + _PAGE_HEADER + min(used, length)])
            length -= used
            number = self._number(start + 16)
        return b"".join(parts)
