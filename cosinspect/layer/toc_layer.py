"""A layer read by its table of contents: its index, and files' contents chunk by chunk, each verified by its digest.

Nothing here is compared with the layer itself; the table is trusted.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Iterable, Iterator
from itertools import pairwise
from types import TracebackType
from typing import Self

from attrs import define, evolve, frozen

from cosinspect.blob import ByteStream
from cosinspect.compression.codecs import inflate
from cosinspect.errors import CosinspectError, FormatError, TableMismatch
from cosinspect.formats.boot.program import Program, read_pieces
from cosinspect.formats.toc import Chunk, TocEntry
from cosinspect.layer.changeset import LayerEntry, LayerIndex
from cosinspect.layer.indexing import Indexing
from cosinspect.layer.layer import Layer, zeros
from cosinspect.layer.retain import Retain
from cosinspect.layer.toc import Table, TableArchive, TableUnusable, read_table

__all__ = ["TableLayer", "TableUse", "open_by_table"]

_KEPT_BYTES = 256 * 1024
"""Files up to this size are kept after the first read: configuration that several checks read."""


@define
class TableUse:
    """The effects of reading an image's layers by their tables; thread-safe.

    Attributes:
        fetched: bytes of layers, tables included.
        kept: bytes of files that were read and are kept.
        mismatch: the first difference between a table and its layer, None if there is none.
    """

    fetched: int = 0
    kept: int = 0
    mismatch: TableMismatch | None = None


@frozen
class TableLayer:
    """A layer by its table of contents.

    Attributes:
        layer: the layer.
        table: its table.
        index: the content of the table; it keeps the contents of small files after the first read.
        use: records fetched bytes and mismatches.
    """

    layer: Layer
    table: Table
    index: LayerIndex
    use: TableUse
    bodies: dict[int, bytes]

    def open(self, entry: LayerEntry) -> TableFile | io.BytesIO:
        """Open the content of one of the layer's files.

        Raises:
            TableMismatch: the layer does not match the table.
            SourceError: the source does not deliver the chunk.
        """
        stream = TableFile(self, self._listed(entry))
        if entry.size > _KEPT_BYTES:
            return stream
        with stream:
            body = stream.read()
        if self.use.kept + len(body) <= self.layer.limits.retained_bytes:
            self.use.kept += len(body)
            self.bodies[entry.data] = body
        return io.BytesIO(body)

    def content_digests(self, entries: Iterable[LayerEntry]) -> dict[int, str]:
        """Return the sha256 of files, in hexadecimal digits by the offset of their data, from the table.

        Raises:
            TableMismatch: the table has none.
        """
        found: dict[int, str] = {}
        for entry in entries:
            listed = self._listed(entry)
            digest = listed.digest or (listed.chunks[0].digest if len(listed.chunks) == 1 else "")
            found[entry.data] = digest or self._computed(entry)
        return found

    def programs(self, entries: Iterable[LayerEntry]) -> dict[int, Program]:
        """Return the requirements of executable files by the offset of their data.

        Raises:
            as `open` does.
        """
        found: dict[int, Program] = {}
        for entry in entries:
            with self.open(entry) as stream:
                found[entry.data] = read_pieces(iter(lambda: stream.read(1 << 18), b""), entry.size)
        return found

    def contents(
        self, entries: Iterable[LayerEntry], *, holes: bool = True
    ) -> Iterator[tuple[LayerEntry, Iterator[bytes]]]:
        """Yield files with their contents, as `Layer.contents` does; tables of contents have no sparse files.

        Raises:
            as `open` does.
        """
        for entry in entries:
            with TableFile(self, self._listed(entry)) as stream:
                yield entry, iter(lambda: stream.read(1 << 20), b"")

    def _listed(self, entry: LayerEntry) -> TocEntry:
        return self.table.entries[entry.data]

    def _computed(self, entry: LayerEntry) -> str:
        content = hashlib.sha256()
        with self.open(entry) as stream:
            while data := stream.read(1 << 20):
                content.update(data)
        return content.hexdigest()


class TableFile:
    """The content of one file as a stream; it returns a byte only after its chunk was verified."""

    def __init__(self, layer: TableLayer, entry: TocEntry) -> None:
        self._layer = layer
        self._entry = entry
        self._stream: ByteStream | None = None
        self._pieces = self._chunks()
        self._piece = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` further bytes (all that are left for -1), none at the end.

        Raises:
            TableMismatch: the layer does not match the table.
            SourceError: the source fails.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._piece:
            self._piece = next(self._pieces, b"")
        data, self._piece = self._piece[:size], self._piece[size:]
        return data

    def close(self) -> None:
        """Close the layer; everything was verified."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _chunks(self) -> Iterator[bytes]:
        chunks = self._entry.chunks
        if self._entry.size and not chunks:
            raise self._mismatch("expected the digest of each chunk in the table, found none")
        stored = [chunk for chunk in chunks if not chunk.zeros]
        if stored:
            first, last = stored[0], stored[-1]
            stop = self._layer.table.end_of(self._entry, last)
            for before, after in pairwise(stored):
                if before.offset >= after.offset and before.inner >= after.inner:
                    raise self._mismatch("expected the chunks to lie one behind the other")
            self._open(first.offset, stop)
            at, window = first.offset, b""
        for chunk in chunks:
            if chunk.zeros:
                yield from zeros(chunk.size)
                continue
            end = self._layer.table.end_of(self._entry, chunk)
            if chunk.offset < at:  # it shares the inflated bytes of the previous chunk
                yield self._verified(chunk, window)
                continue
            self._pass(chunk.offset - at)
            window = self._take(end - chunk.offset)
            at = end
            yield self._verified(chunk, window)

    def _open(self, start: int, stop: int) -> None:
        layer = self._layer.layer
        self._stream = layer.source.open_range(layer.descriptor, start, stop)
        self._layer.use.fetched += stop - start
        if self._stream is None:
            raise self._mismatch("expected the source to serve ranges as it did for the table")

    def _pass(self, size: int) -> None:
        while size > 0:
            size -= len(self._some(min(size, 1 << 18)))

    def _take(self, size: int) -> bytes:
        bound = self._layer.layer.limits.chunk_bytes
        if size > bound:
            raise self._mismatch(f"expected chunks of at most {bound} bytes, found {size}")
        found = bytearray()
        while len(found) < size:
            found += self._some(size - len(found))
        return bytes(found)

    def _some(self, size: int) -> bytes:
        if self._layer.layer.deadline is not None:
            self._layer.layer.deadline.heed(f"layer {self._layer.layer.descriptor.digest}")
        data = self._stream.read(size) if self._stream is not None else b""
        if not data:
            raise self._mismatch("the layer ends before the chunk does")
        return data

    def _verified(self, chunk: Chunk, packed: bytes) -> bytes:
        """Inflate a chunk, which may share a member with others, and verify its digest."""
        limits = self._layer.layer.limits
        end = chunk.inner + chunk.size
        if end > limits.chunk_bytes:
            raise self._mismatch(f"expected chunks of at most {limits.chunk_bytes} bytes, found {end}")
        found = bytearray()
        data = packed
        try:
            while len(found) < end and data:
                member = inflate(self._layer.table.compression, data, lambda: b"", limits=limits)
                data = _fill(found, member, end)
        except FormatError as fault:
            raise self._mismatch(fault.message) from fault
        content = bytes(found[chunk.inner : end])
        if len(content) != chunk.size or hashlib.sha256(content).hexdigest() != chunk.digest:
            raise self._mismatch(f"the chunk at byte {chunk.start} does not hash to what the table says")
        return content

    def _mismatch(self, message: str) -> TableMismatch:
        layer = self._layer.layer
        fault = self._layer.use.mismatch = TableMismatch(
            message,
            where=f"layer {layer.position} ({layer.descriptor.digest}), {self._entry.name[:200]!r}",
            remedy="read the layer itself (--verify full)",
        )
        return fault

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_by_table(layer: Layer, use: TableUse) -> TableLayer | None:
    """Open a layer by its table of contents; return None if the layer itself must be read.

    Args:
        layer: the layer.
        use: records fetched bytes and mismatches.

    Raises:
        SourceError: the source does not deliver the table.
        LimitExceeded: the table exceeds a bound of all layers.
    """
    try:
        table = read_table(layer.source, layer.descriptor, limits=layer.limits)
    except (TableUnusable, FormatError):
        return None
    use.fetched += table.fetched
    work = Indexing(TableArchive(table, limits=layer.limits), Retain(), limits=layer.limits, programs=False)
    try:
        work.run()
    except CosinspectError:  # the reader of the layer reports the fault
        return None
    found = work.index(layer.descriptor, layer.diff_id, 0, table.digest)
    bodies: dict[int, bytes] = {}
    return TableLayer(layer, table, evolve(found, contents=bodies), use, bodies)


def _fill(found: bytearray, member: Generator[bytes, None, bytes], end: int) -> bytes:
    """Fill `found` up to `end` with the inflated bytes of a member, and return the input after the member."""
    while len(found) < end:
        try:
            found += next(member)
        except StopIteration as over:
            left: bytes = over.value
            return left
    return b""
