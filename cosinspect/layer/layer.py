"""One layer blob: a single verified pass makes its `LayerIndex`.

A layer is a changeset (image-spec, layer.md): entries add or replace; whiteouts and opaque whiteouts delete
from lower layers, wherever they are in the archive. The index depends only on the blob and on the requested
bodies, not on other layers.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias

from attrs import field, frozen

from cosinspect.blob import ByteStream, Source, VerifiedStream
from cosinspect.deadline import Deadline
from cosinspect.errors import FormatError, InvalidLayer, LimitExceeded
from cosinspect.formats.boot.program import Program, read_pieces
from cosinspect.layer.changeset import Cut, LayerEntry, LayerIndex
from cosinspect.layer.checkpoints import Checkpoints
from cosinspect.layer.indexing import Archive, Follower, Indexing
from cosinspect.layer.ledger import Ledger
from cosinspect.layer.retain import Retain
from cosinspect.layer.stream import LayerStream, ResumedStream
from cosinspect.layer.toc import Table, is_announced, read_table
from cosinspect.layer.toc_audit import AuditedArchive
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.oci.media_types import containerd_refusal
from cosinspect.tar.reader import TarStream

__all__ = ["Layer", "LayerFile", "Progress", "expanded", "zeros"]

Progress: TypeAlias = "Callable[[Layer, int], None]"
"""A callback with a layer and the number of compressed bytes just read; called from several threads."""


@frozen
class Layer:
    """A layer of an image: its place, its digests, its build step.

    Attributes:
        position: counted from 0 at the bottom.
        created_by: the step of the image's history, or None.
        deadline: the deadline for reading the image.
        checkpoints: filled when the layer is read; None if they are not wanted.
    """

    descriptor: Descriptor
    diff_id: Digest
    position: int
    created_by: str | None
    source: Source = field(repr=False, eq=False)
    limits: Limits = field(repr=False, default=DEFAULT_LIMITS)
    verify_diff_id: bool = field(repr=False, default=True)
    deadline: Deadline | None = field(repr=False, eq=False, default=None)
    checkpoints: Checkpoints | None = field(repr=False, eq=False, default=None)

    def index(
        self,
        retain: Retain | None = None,
        *,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
        follower: Follower | None = None,
        ledger: Ledger | None = None,
    ) -> LayerIndex:
        """Read the whole layer once, and return its index after size, digest and diff_id are verified.

        Args:
            retain: which files' bodies to keep.
            progress: called with the number of compressed bytes.
            cancelled: stops the reading when it is set.
            follower: selects files whose bytes it receives.
            ledger: counts the memory that all layers of the image take; by default only this layer's.

        Raises:
            SourceError: the source does not deliver the layer.
            ContentError: the layer does not match the image.
            InvalidLayer: Go's readers, and so the runtimes, cannot read the layer.
            LimitExceeded: the layer exceeds a bound.
        """
        table, trouble = self._table()
        stream = self._stream(progress, cancelled)
        archive: Archive = TarStream(iter(stream), limits=self.limits)
        if trouble is not None:
            message = f"the table of contents that the manifest names cannot be used: {trouble.message}"
            archive.note("table-unreadable", 0, message)
        if table is not None:
            archive = AuditedArchive(archive, table)
        follow = partial(follower.follow, self.descriptor) if follower is not None else None
        least = follower.least if follower is not None else 0
        work = Indexing(
            archive, retain or Retain(), limits=self.limits, follow=follow, least=least, ledger=ledger
        )
        verified = False
        try:
            work.run()
            end = (
                None
                if any(each.kind == "missing-end" for each in archive.irregularities)
                else archive.position
            )
            stream.finish()
            cuts = _cuts(self.descriptor.media_type, stream, end)
            index = work.index(self.descriptor, self.diff_id, stream.uncompressed_size, cuts=cuts)
            verified = True
            return index  # noqa: TRY300 - a later error names it
        except (InvalidLayer, LimitExceeded) as fault:
            told: InvalidLayer | LimitExceeded = fault
            if isinstance(fault, InvalidLayer):
                told = fault.in_layer(self.position, work.entries[-1].path if work.entries else None)
                with suppress(InvalidLayer):  # the compression has a fault as well, or is the fault
                    stream.finish()  # a wrong blob is the error to report
            if not (fault.where or "").startswith("layer"):
                told = told.but(where=f"layer {self.position} ({self.descriptor.digest}), {fault.where}")
            raise told from fault
        finally:
            stream.close()
            for sink in work.sinks:
                sink.confirm(verified)

    def salvage(self, fault: InvalidLayer, ledger: Ledger | None = None) -> LayerIndex:
        """Read what Go's readers read of a layer on which `index` raised `fault`, in a second pass.

        Raises:
            as `index` does, but InvalidLayer.
        """
        raw = VerifiedStream(self.source.open(self.descriptor), self.descriptor)
        stream = LayerStream(raw, None, limits=self.limits, deadline=self.deadline, salvage=True)
        archive = TarStream(iter(stream), limits=self.limits)
        work = Indexing(archive, Retain(), limits=self.limits, ledger=ledger)
        end = None
        try:
            work.run()
            if not any(each.kind == "missing-end" for each in archive.irregularities):
                end = archive.position
            stream.finish()
        except InvalidLayer:
            pass
        finally:
            stream.close()
        cut = Cut("", stream.uncompressed_size, end is not None, fault.message)
        cuts = (*_cuts(self.descriptor.media_type, stream, end), cut)
        return work.index(self.descriptor, self.diff_id, stream.uncompressed_size, cuts=cuts)

    def open(self, entry: LayerEntry) -> LayerFile:
        """Open the content of one of this layer's files, from the nearest checkpoint before it, or in a second pass over the blob."""
        around = None
        if self.checkpoints is not None:
            around = self.checkpoints.around(entry.data, entry.data + entry.stored)
        if around is not None and self.checkpoints is not None:
            start, end = around
            stop = self.descriptor.size if end is None else end.packed
            raw = self.source.open_range(self.descriptor, start.packed, stop)
            if raw is not None:
                stream = ResumedStream(
                    raw, self.descriptor, start, end, self.checkpoints.compression,
                    limits=self.limits, deadline=self.deadline,
                )  # fmt: skip
                return LayerFile(stream, entry, start.plain)
        return LayerFile(self._stream(), entry)

    def content_digests(self, entries: Iterable[LayerEntry]) -> dict[int, str]:
        """Return the sha256 of files of this layer, in hexadecimal digits by the offset of their data; it needs another pass.

        Raises:
            as `index` does.
        """
        found: dict[int, str] = {}
        for entry, pieces in self.contents(entries):
            content = hashlib.sha256()
            for piece in pieces:
                content.update(piece)
            found[entry.data] = content.hexdigest()
        return found

    def programs(self, entries: Iterable[LayerEntry]) -> dict[int, Program]:
        """Return the requirements of executable files by the offset of their data; it needs another pass.

        Raises:
            as `index` does.
        """
        found: dict[int, Program] = {}
        for entry, pieces in self.contents(entries):
            found[entry.data] = read_pieces(pieces, entry.size)
        return found

    def contents(
        self, entries: Iterable[LayerEntry], *, holes: bool = True
    ) -> Iterator[tuple[LayerEntry, Iterator[bytes]]]:
        """Yield files with their contents, in the order of the archive, in one pass that is verified at its end.

        Take the pieces of a file before the next file: they are read as they are taken. Without `holes`, only the data regions of
        sparse files are yielded.

        Raises:
            as `index` does.
        """
        wanted = {entry.data: entry for entry in entries}
        stream = self._stream()
        try:
            archive = TarStream(iter(stream), limits=self.limits)
            for header in archive:
                entry = wanted.get(header.data)
                if entry is not None and header.offset == entry.header:
                    stored = iter(lambda: archive.read(1 << 20), b"")
                    yield entry, expanded(stored, entry) if holes else stored
            stream.finish()
        finally:
            stream.close()

    def _table(self) -> tuple[Table | None, FormatError | None]:
        """Return the table of contents for the comparison with the layer, or its fault; neither if the layer has none."""
        if not is_announced(self.descriptor):
            return None, None
        try:
            return read_table(self.source, self.descriptor, limits=self.limits, by_range=False), None
        except FormatError as fault:
            return None, fault

    def _stream(
        self, progress: Progress | None = None, cancelled: threading.Event | None = None
    ) -> LayerStream:
        raw = self.source.open(self.descriptor)
        if progress is not None:
            raw = _Told(raw, self, progress)
        verified = VerifiedStream(raw, self.descriptor)
        diff_id = self.diff_id if self.verify_diff_id else None
        return LayerStream(
            verified,
            diff_id,
            limits=self.limits,
            cancelled=cancelled,
            deadline=self.deadline,
            checkpoints=self.checkpoints,
        )


def _cuts(media_type: str, stream: LayerStream, end: int | None) -> tuple[Cut, ...]:
    """Return where readers stop early; the archive's end mark is at `end`."""
    stops = list(stream.stops)
    reason = containerd_refusal(media_type, compressed=stream.compression is not None)
    if reason:
        stops.append(("containerd", 0, reason))
    first: dict[str, Cut] = {}
    for reader, offset, why in sorted(stops, key=lambda stop: stop[1]):
        first.setdefault(reader, Cut(reader, offset, end is not None and end <= offset, why))
    return tuple(first.values())


class _Told:
    """A stream that reports the number of bytes read."""

    def __init__(self, stream: ByteStream, layer: Layer, progress: Progress) -> None:
        self._stream = stream
        self._layer = layer
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._progress(self._layer, len(data))
        return data

    def close(self) -> None:
        self._stream.close()


class LayerFile:
    """The content of one file of a layer as a stream; closing it verifies the rest of the layer.

    Bytes are verified only after `close` has returned. A sparse file's holes are zeros.
    """

    def __init__(self, stream: LayerStream | ResumedStream, entry: LayerEntry, position: int = 0) -> None:
        """Read an entry from a stream that starts at a position in the uncompressed layer."""
        self._stream = stream
        self._chunks = expanded(_stored(stream, entry, position), entry)
        self._chunk = b""
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` further bytes (all that are left for -1), none at the end.

        Raises:
            InvalidLayer: the layer ends within the file.
            SourceError: the source fails.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._chunk:
            self._chunk = next(self._chunks, b"")
        data, self._chunk = self._chunk[:size], self._chunk[size:]
        return data

    def close(self) -> None:
        """Verify the layer to its end and close it.

        Raises:
            ContentError: the bytes belong to another layer.
        """
        if not self._closed:
            self._closed = True
            try:
                self._stream.finish()
            finally:
                self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._closed = True
            self._stream.close()


def _stored(stream: LayerStream | ResumedStream, entry: LayerEntry, position: int) -> Iterator[bytes]:
    """Yield the stored bytes of an entry from a stream that starts at `position`."""
    end = entry.data + entry.stored
    while position < end:
        piece = next(stream, b"")
        if not piece:
            stream.finish()  # a wrong blob is the error to report
            raise InvalidLayer(
                "the layer ends before the file's content", where=f"byte {position} of the uncompressed layer"
            )
        start = max(entry.data - position, 0)
        wanted = piece[start : max(end - position, 0)]
        position += len(piece)
        if wanted:
            yield wanted


def expanded(stored: Iterator[bytes], entry: LayerEntry) -> Iterator[bytes]:
    """Yield the content of a file from its stored bytes: the holes of a sparse file are zeros."""
    if entry.sparse is None:
        yield from stored
        return
    at = 0
    chunk = b""
    for start, length in entry.sparse:
        yield from zeros(start - at)
        left = length
        while left:
            chunk = chunk or next(stored, b"")
            yield chunk[:left]
            taken = min(left, len(chunk))
            chunk = chunk[taken:]
            left -= taken
        at = start + length
    for _ in stored:
        pass
    yield from zeros(entry.size - at)


def zeros(count: int) -> Iterator[bytes]:
    """Yield zeros in bounded pieces."""
    while count > 0:
        size = min(count, 1 << 20)
        yield bytes(size)
        count -= size
