"""rpm's database of the backend ndb, `Packages.db`, which SUSE uses (rpm's `lib/backend/ndb/rpmpkg.c`).

Pages of slots come first, the header takes the place of the first two slots; a slot gives the place of a package's blob in blocks
of 16 bytes. All numbers are little-endian. What rpm refuses is refused; like rpm's queries, checksums of blobs are not verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cosinspect.deadline import in_time
from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import require_few
from cosinspect.limits import Limits

__all__ = ["NDB_MAGIC", "ndb_blobs"]

NDB_MAGIC = b"RpmP"
_SLOT, _HEAD, _TAIL = b"Slot", b"BlbS", b"BlbE"
_PAGE = 4096
_BLOCK = 16
_FIRST_SLOT = 2
_HEADER = struct.Struct("<4sIII")
_ENTRY = struct.Struct("<4sIII")
_BLOB_HEAD = struct.Struct("<4sIII")
_BLOB_TAIL = struct.Struct("<II4s")


def ndb_blobs(data: bytes, limits: Limits) -> Iterator[memoryview]:
    """Yield the headers of all packages, in the order of their slots.

    Raises:
        FormatError: of the kinds `magic`, `version`, `truncated`, `structure` and `limit`.
    """
    if len(data) < _PAGE:
        raise FormatError(f"expected at least a page of {_PAGE} bytes, found {len(data)}", kind="truncated")
    magic, version, _, pages = _HEADER.unpack_from(data)
    if magic != NDB_MAGIC:
        raise FormatError(
            "expected RpmP at the beginning, which marks rpm's ndb database", kind="magic", offset=0
        )
    if version:
        raise FormatError(f"version 0 of the format is read, this is version {version}", kind="version")
    if pages * _PAGE > len(data) or not pages:
        raise FormatError(
            f"{pages} pages of slots are announced, the file has {len(data)} bytes", kind="truncated"
        )
    count = 0
    blocks = len(data) // _BLOCK
    slots = memoryview(data)[_FIRST_SLOT * _ENTRY.size : pages * _PAGE]
    for number, (mark, package, start, size) in enumerate(in_time(_ENTRY.iter_unpack(slots)), _FIRST_SLOT):
        if mark != _SLOT:
            raise FormatError("expected a slot", kind="structure", offset=number * _ENTRY.size)
        if not start:
            continue
        if not package or not size or start < pages * _PAGE // _BLOCK or start + size > blocks:
            raise FormatError(
                "expected a slot that gives a place behind the slots and in the file",
                kind="structure",
                offset=number * _ENTRY.size,
            )
        count += 1
        require_few(count, limits)
        yield _blob(data, package, start * _BLOCK, size * _BLOCK)


def _blob(data: bytes, package: int, start: int, size: int) -> memoryview:
    mark, found, _, length = _BLOB_HEAD.unpack_from(data, start)
    overhead = _BLOB_HEAD.size + _BLOB_TAIL.size
    if mark != _HEAD or found != package or -(-(length + overhead) // _BLOCK) * _BLOCK != size:
        raise FormatError(
            f"expected the blob of package {package} with {size} bytes", kind="structure", offset=start
        )
    _, again, end = _BLOB_TAIL.unpack_from(data, start + size - _BLOB_TAIL.size)
    if end != _TAIL or again != length:
        raise FormatError(
            f"expected the end of the blob of package {package}", kind="structure", offset=start
        )
    return memoryview(data)[start + _BLOB_HEAD.size : start + _BLOB_HEAD.size + length]
