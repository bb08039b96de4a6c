"""Tables of contents of layers: eStargz footers, zstd:chunked positions, and the JSON document that both keep.

An eStargz layer ends in a gzip member of no content that says where its table is (stargz-snapshotter, docs/estargz.md); a
zstd:chunked layer has it in a skippable frame, whose place an annotation and the last 64 bytes name (containers/storage,
pkg/chunked/internal/minimal/compression.go). The table lists the archive's entries, and the offsets of each file's chunks in the compressed blob.

Field names are case-sensitive: Go's decoder accepts `NAME` for `name`, so readers would differ about a table with both. Unknown
fields are refused for the same reason.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.wire_types import ready

__all__ = [
    "CHUNKED_FOOTER_BYTES",
    "STARGZ_FOOTER_BYTES",
    "Chunk",
    "TocEntry",
    "TocPlace",
    "parse_chunked_footer",
    "parse_chunked_position",
    "parse_stargz_footer",
    "parse_toc",
]

STARGZ_FOOTER_BYTES = 51
"""The length of the footer of an eStargz layer; older writers made 47 bytes, which are the end of this footer."""
CHUNKED_FOOTER_BYTES = 64
"""The content of the last frame of a zstd:chunked layer."""

_LEGACY_FOOTER_BYTES = 47
_CHUNKED_MAGIC = b"GNUlInUx"
_CRFS = 1  # the only kind of table
_POSITION = re.compile(r"([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18})")
_OFFSET = re.compile(rb"([0-9a-f]{16})STARGZ")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = frozenset({"reg", "dir", "symlink", "hardlink", "char", "block", "fifo"})
_MOST = 1 << 62
_LONGEST_TIME = 40

_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


@frozen
class TocPlace:
    """The position of a table of contents in its blob.

    Attributes:
        start: offset of its first compressed byte.
        size: compressed bytes.
        plain: inflated bytes; None if they are not stated.
    """

    start: int
    size: int
    plain: int | None = None


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A part of a file that can be read separately.

    Attributes:
        start: offset in the file.
        size: bytes of the file.
        offset: of its compressed bytes in the blob.
        inner: the inflated bytes between `offset` and its own.
        digest: sha256 of its bytes, in hexadecimal digits.
        zeros: whether the table says that it is all zeros.
    """

    start: int
    size: int
    offset: int
    inner: int
    digest: str
    zeros: bool


class TocEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a table: the header that the archive should have, and the position of the content.

    Attributes:
        name: as written.
        type: `reg`, `dir`, `symlink`, `hardlink`, `char`, `block` or `fifo`.
        mtime: seconds since the epoch, fractions dropped.
        xattrs: extended attributes by name, values with surrogate escapes.
        digest: sha256 of a file's content in hexadecimal digits, "" if it is not stated.
        chunks: of a file that is not empty, in order, without gaps; empty if a digest is missing.
        end: the end of the last chunk's compressed bytes in the blob, 0 if it is not stated.
    """

    name: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: str
    device: tuple[int, int]
    xattrs: dict[str, str] | None
    digest: str
    chunks: tuple[Chunk, ...]
    end: int


class _Entry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, gc=False):
    type: str
    name: str
    link_name: str | None = None
    mode: int = 0
    size: _Count = 0
    uid: int = 0
    gid: int = 0
    user_name: str | None = None
    group_name: str | None = None
    modtime: str | None = None
    accesstime: str | None = None
    changetime: str | None = None
    dev_major: _Count = 0
    dev_minor: _Count = 0
    xattrs: dict[str, str] | None = None
    digest: str | None = None
    offset: _Count = 0
    end_offset: _Count = 0
    inner_offset: _Count = 0
    chunk_size: _Count = 0
    chunk_offset: _Count = 0
    chunk_digest: str | None = None
    chunk_type: str | None = None


class _Toc(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    entries: list[_Entry] | None
    version: int = 0
    tar_split_digest: str | None = None


def parse_stargz_footer(tail: bytes, size: int) -> TocPlace:
    """Return the position of the table of an eStargz layer.

    Args:
        tail: the layer's last `STARGZ_FOOTER_BYTES`.
        size: bytes of the whole layer.

    Raises:
        FormatError: these are not a footer, or its offset is outside of the layer.
    """
    legacy = tail[-_LEGACY_FOOTER_BYTES:]
    if (
        len(tail) == STARGZ_FOOTER_BYTES
        and tail[:4] == b"\x1f\x8b\x08\x04"
        and tail[10:16] == b"\x1a\0SG\x16\0"
    ):
        found, length = _OFFSET.fullmatch(tail[16:38]), STARGZ_FOOTER_BYTES
    elif legacy[:4] == b"\x1f\x8b\x08\x04" and legacy[10:12] == b"\x16\0":
        found, length = _OFFSET.fullmatch(legacy[12:34]), _LEGACY_FOOTER_BYTES
    else:
        found, length = None, 0
    if found is None:
        raise FormatError("expected the footer of an eStargz layer at its end, found none", kind="footer")
    start = int(found[1], 16)
    if not 0 <= start < size - length:
        raise FormatError(
            f"the footer says that the table begins at byte {start} of a layer of {size}", kind="footer"
        )
    return TocPlace(start, size - length - start)


def parse_chunked_position(text: str, size: int) -> TocPlace:
    """Return the position of the table of a zstd:chunked layer of `size` bytes, from the annotation `manifest-position`.

    Raises:
        FormatError: it is invalid, or its offset is outside of the layer.
    """
    found = _POSITION.fullmatch(text)
    if found is None:
        raise FormatError(
            f"expected OFFSET:LENGTH:LENGTH:TYPE as the table's position, found {text[:80]!r}",
            kind="position",
        )
    start, length, plain, kind = map(int, found.groups())
    return _chunked_place(start, length, plain, kind, size)


def parse_chunked_footer(tail: bytes, size: int) -> TocPlace:
    """Return the position of the table of a zstd:chunked layer of `size` bytes, from its last `CHUNKED_FOOTER_BYTES`.

    Raises:
        FormatError: they are not a footer, or its offset is outside of the layer.
    """
    if len(tail) != CHUNKED_FOOTER_BYTES or tail[-8:] != _CHUNKED_MAGIC:
        raise FormatError("expected the footer of a zstd:chunked layer at its end, found none", kind="footer")
    start, length, plain, kind = struct.unpack("<4Q", tail[:32])
    return _chunked_place(start, length, plain, kind, size)


def _chunked_place(start: int, length: int, plain: int, kind: int, size: int) -> TocPlace:
    if kind != _CRFS:
        raise FormatError(f"expected a table of type {_CRFS}, found {kind}", kind="position")
    if start + length > size:
        raise FormatError(
            f"the footer says that the table is at bytes {start} to {start + length} of a layer of {size}",
            kind="position",
        )
    return TocPlace(start, length, plain)


def parse_toc(raw: bytes) -> tuple[TocEntry, ...]:
    """Read the entries of a table of contents, in its order.

    Raises:
        FormatError: it is invalid, or contradicts itself.
    """
    try:
        table = msgspec.json.decode(raw, type=ready(_Toc))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise FormatError(f"expected a table of contents: {str(fault)[:300]}", kind="toc") from fault
    if table.version != 1:
        raise FormatError(f"expected a table of version 1, found {table.version}", kind="toc")
    entries = table.entries or []
    found: list[TocEntry] = []
    at = 0
    while at < len(entries):
        spend()
        first = entries[at]
        after = at + 1
        while after < len(entries) and entries[after].type == "chunk":
            after += 1
        found.append(_entry(first, entries[at:after], at))
        at = after
    return tuple(found)


def _entry(first: _Entry, parts: list[_Entry], number: int) -> TocEntry:
    if first.type not in _TYPES:
        raise _odd(first, number, f"it has the unknown type {first.type[:20]!r}")
    if first.type != "reg" and len(parts) > 1:
        raise _odd(first, number, f"a {first.type} has chunks")
    chunks: tuple[Chunk, ...] = ()
    if first.type == "reg" and first.size:
        chunks = _chunks(first, parts, number)
    return TocEntry(
        first.name,
        first.type,
        first.mode & 0o7777,
        first.uid,
        first.gid,
        first.size if first.type == "reg" else 0,
        _seconds(first, number),
        first.link_name or "",
        (first.dev_major, first.dev_minor) if first.type in ("char", "block") else (0, 0),
        _attributes(first, number),
        _hexadecimals(first.digest, first, number),
        chunks,
        first.end_offset,
    )


def _chunks(first: _Entry, parts: list[_Entry], number: int) -> tuple[Chunk, ...]:
    """Return a file's chunks; a size of zero means up to the next chunk, or the end."""
    found: list[Chunk] = []
    at = 0
    trusted = True
    for position, part in enumerate(parts):
        if part.name not in (first.name, "") or part.chunk_offset != at:
            raise _odd(first, number, "its chunks do not follow each other")
        last = position == len(parts) - 1
        until = first.size if last else parts[position + 1].chunk_offset
        if not at < until <= first.size or part.chunk_size not in (0, until - at):
            raise _odd(first, number, f"the chunk at {at} does not fit into a file of {first.size} bytes")
        alone = len(parts) == 1
        digest = _hexadecimals(part.chunk_digest or (first.digest if alone else None), first, number)
        zeros = part.chunk_type == "zeros"
        if part.chunk_type not in (None, "", "zeros"):
            raise _odd(first, number, f"a chunk is of type {part.chunk_type[:20]!r}")
        trusted = trusted and bool(digest or zeros)
        found.append(Chunk(at, until - at, part.offset, part.inner_offset, digest, zeros))
        at = until
    return tuple(found) if trusted else ()


def _seconds(entry: _Entry, number: int) -> int:
    text = entry.modtime
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text[:_LONGEST_TIME])
    except ValueError as fault:
        raise _odd(entry, number, f"expected a time, found {text[:60]!r}") from fault
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    past = moment - _EPOCH
    return past.days * 86400 + past.seconds


def _attributes(entry: _Entry, number: int) -> dict[str, str] | None:
    wire: Mapping[str, str] | None = entry.xattrs
    if not wire:
        return None
    try:
        return {
            name: base64.b64decode(value, validate=True).decode("utf-8", "surrogateescape")
            for name, value in wire.items()
        }
    except (binascii.Error, ValueError) as fault:
        raise _odd(entry, number, "an extended attribute is not in base64") from fault


def _hexadecimals(digest: str | None, entry: _Entry, number: int) -> str:
    if not digest:
        return ""
    if not _SHA256.fullmatch(digest):
        raise _odd(entry, number, f"expected a sha256 digest, found {digest[:100]!r}")
    return digest.removeprefix("sha256:")


def _odd(entry: _Entry, number: int, message: str) -> FormatError:
    return FormatError(f"entry {number} of the table, {entry.name[:200]!r}: {message}", kind="toc")
