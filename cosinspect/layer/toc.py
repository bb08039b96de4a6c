"""A layer's table of contents without the layer: located by annotation and footer, read by range, verified by its digest.

A manifest can vouch for the tables of two formats: for eStargz by the digest of its JSON, for zstd:chunked by
the digest of its compressed bytes. The table is its author's claim; only a reader of the layer can verify it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from attrs import frozen

from cosinspect.blob import ByteStream, Source
from cosinspect.compression.codecs import Compression, inflate_members
from cosinspect.errors import FormatError, InvalidManifest
from cosinspect.formats.toc import (
    CHUNKED_FOOTER_BYTES,
    STARGZ_FOOTER_BYTES,
    Chunk,
    TocEntry,
    TocPlace,
    parse_chunked_footer,
    parse_chunked_position,
    parse_stargz_footer,
    parse_toc,
)
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.tar.irregularities import Notes
from cosinspect.tar.names import normalise
from cosinspect.tar.reader import Header, TarStream

__all__ = [
    "ANNOTATIONS",
    "TABLE_FILE",
    "Table",
    "TableArchive",
    "TableUnusable",
    "header_of",
    "is_announced",
    "read_table",
]

TABLE_FILE = "stargz.index.json"
"""The file with the table in an eStargz layer; the only name that a table does not list."""

_STARGZ = "containerd.io/snapshot/stargz/toc.digest"
_CHUNKED = "io.github.containers.zstd-chunked.manifest-checksum"
_CHUNKED_POSITION = "io.github.containers.zstd-chunked.manifest-position"
ANNOTATIONS = (_STARGZ, _CHUNKED, _CHUNKED_POSITION)
"""The annotations of a layer that locate its table."""

_FLAGS = {"reg": "0", "hardlink": "1", "symlink": "2", "char": "3", "block": "4", "dir": "5", "fifo": "6"}


class TableUnusable(Exception):
    """A layer must be read whole: it has no table, the table does not match the manifest, or cannot be read alone."""


@frozen
class Table:
    """A verified table of contents.

    Attributes:
        digest: the digest in the manifest.
        compression: of the chunks.
        entries: in the table's order.
        ends: offsets in the blob at which something other than a chunk may start, ascending.
        fetched: the number of bytes fetched.
    """

    digest: Digest
    compression: Compression
    entries: tuple[TocEntry, ...]
    ends: tuple[int, ...]
    fetched: int

    def end_of(self, entry: TocEntry, chunk: Chunk) -> int:
        """Return an upper bound for the end of a chunk's compressed bytes in the blob."""
        if chunk is entry.chunks[-1] and entry.end > chunk.offset:
            return entry.end
        after = bisect_right(self.ends, chunk.offset)
        return self.ends[after]


def is_announced(descriptor: Descriptor) -> bool:
    """Return whether a manifest vouches for a table of contents of this layer."""
    return _STARGZ in descriptor.annotations or _CHUNKED in descriptor.annotations


def read_table(
    source: Source, descriptor: Descriptor, *, limits: Limits = DEFAULT_LIMITS, by_range: bool = True
) -> Table:
    """Read the table of contents of a layer, and verify it.

    Args:
        source: of the layer.
        descriptor: of the layer, with its annotations.
        limits: bound the table's size.
        by_range: fetch only the table; otherwise, if the source does not serve ranges, the whole layer is fetched.

    Raises:
        TableUnusable: the layer has no usable table, or `by_range` is impossible.
        FormatError: the table does not match the manifest, or is missing.
        SourceError: the source does not deliver the table.
    """
    fetch = _Fetch(source, descriptor, by_range=by_range)
    if _CHUNKED in descriptor.annotations:
        digest = _digest(descriptor.annotations, _CHUNKED)
        place = _chunked_place(fetch, descriptor)
        _hold(place, limits)
        data = fetch(place.start, place.start + place.size)
        _expect(digest, data)
        raw = _inflated(Compression.ZSTD, data, limits)
        if place.plain not in (None, len(raw)):
            raise FormatError(f"expected a table of {place.plain} bytes, found {len(raw)}", kind="toc")
        compression = Compression.ZSTD
    elif _STARGZ in descriptor.annotations:
        digest = _digest(descriptor.annotations, _STARGZ)
        tail = fetch(max(descriptor.size - STARGZ_FOOTER_BYTES, 0), descriptor.size)
        place = parse_stargz_footer(tail, descriptor.size)
        _hold(place, limits)
        data = fetch(place.start, place.start + place.size)
        raw = _table_file(_inflated(Compression.GZIP, data, limits))
        _expect(digest, raw)
        compression = Compression.GZIP
    else:
        raise TableUnusable
    entries = parse_toc(raw)
    ends = {chunk.offset for entry in entries for chunk in entry.chunks}
    ends |= {entry.end for entry in entries if entry.end}
    if any(not 0 <= end <= place.start for end in ends):
        raise FormatError("the table names chunks after the table itself", kind="toc")
    return Table(digest, compression, entries, tuple(sorted({*ends, place.start})), fetch.fetched)


class TableArchive(Notes):
    """A table of contents as the headers of an archive.

    The offset of an entry and of its content is the entry's number: a table has no other offsets.
    """

    def __init__(self, table: Table, *, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits.notes_of_a_kind)
        self._table = table
        self.position = 0

    def __iter__(self) -> Iterator[Header]:
        for number, entry in enumerate(self._table.entries):
            self.position = number
            yield header_of(entry, number)

    def read(self, size: int) -> bytes:
        """Return nothing: a table has no contents; files are read on demand."""
        return b""


def header_of(entry: TocEntry, number: int) -> Header:
    """Convert an entry of a table to a header."""
    return Header(
        entry.name, _FLAGS[entry.type], entry.mode, entry.uid, entry.gid, entry.mtime, entry.size, entry.link,
        entry.device, number, number, entry.size, None, entry.xattrs,
    )  # fmt: skip


class _Fetch:
    """Parts of one blob."""

    def __init__(self, source: Source, descriptor: Descriptor, *, by_range: bool) -> None:
        self._source = source
        self._descriptor = descriptor
        self._by_range = by_range
        self.fetched = 0

    def __call__(self, start: int, stop: int) -> bytes:
        stream = self._source.open_range(self._descriptor, start, stop)
        if stream is not None:
            self.fetched += stop - start
            return _all_of(stream, 0, stop - start)
        if self._by_range:
            raise TableUnusable
        self.fetched += stop
        return _all_of(self._source.open(self._descriptor), start, stop)


def _all_of(stream: ByteStream, start: int, stop: int) -> bytes:
    """Read the bytes from `start` up to `stop`."""
    found = bytearray()
    at = 0
    try:
        while at < stop and (data := stream.read(min(stop - at, 1 << 18))):
            found += data[max(start - at, 0) :]
            at += len(data)
    finally:
        stream.close()
    if at != stop:
        raise FormatError(f"expected {stop - start} bytes of the layer, found {len(found)}", kind="truncated")
    return bytes(found)


def _digest(annotations: Mapping[str, str], name: str) -> Digest:
    try:
        return Digest.parse(annotations[name])
    except InvalidManifest as fault:
        raise FormatError(f"{name}: {fault.message}", kind="annotation") from fault


def _chunked_place(fetch: _Fetch, descriptor: Descriptor) -> TocPlace:
    position = descriptor.annotations.get(_CHUNKED_POSITION)
    if position is not None:
        return parse_chunked_position(position, descriptor.size)
    return parse_chunked_footer(
        fetch(max(descriptor.size - CHUNKED_FOOTER_BYTES, 0), descriptor.size), descriptor.size
    )


def _hold(place: TocPlace, limits: Limits) -> None:
    for size in (place.size, place.plain or 0):
        if size > limits.table_bytes:
            raise FormatError(
                f"expected a table of at most {limits.table_bytes} bytes, found {size}", kind="limit"
            )


def _expect(digest: Digest, data: bytes) -> None:
    found = Digest.of(data, digest.algorithm)
    if found != digest:
        raise FormatError(f"the manifest says that the table is {digest}, found {found}", kind="digest")


def _inflated(kind: Compression, data: bytes, limits: Limits) -> bytes:
    found = bytearray()
    for piece in inflate_members(kind, data, lambda: b"", limits=limits):
        found += piece
        if len(found) > limits.table_bytes:
            raise FormatError(
                f"expected a table of at most {limits.table_bytes} bytes, found more", kind="limit"
            )
    return bytes(found)


def _table_file(archive: bytes) -> bytes:
    """Return the JSON from the archive of an eStargz table."""
    stream = TarStream(iter([archive]))
    for header in stream:
        if normalise(header.name)[0] == TABLE_FILE and header.type == "0":
            return b"".join(iter(lambda: stream.read(1 << 20), b""))
    raise FormatError(f"expected {TABLE_FILE} where the footer points, found none", kind="toc")
