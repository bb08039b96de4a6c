"""One layer blob, mapped once: a single verified pass gives its `LayerIndex`.

A layer is a changeset (image-spec, layer.md): entries that add or replace, whiteouts and opaque whiteouts that take
away from lower layers wherever they stand. The index is a pure function of the blob and of which file bodies were
asked for, and knows nothing of the layers around it.
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
from cosinspect.layer.retain import Retain
from cosinspect.layer.stream import LayerStream, ResumedStream
from cosinspect.layer.toc import Table, is_announced, read_table
from cosinspect.layer.toc_audit import AuditedArchive
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.oci.media_types import containerd_refusal
from cosinspect.tar.reader import TarStream

__all__ = ["Layer", "LayerFile", "Progress", "zeros"]

Progress: TypeAlias = "Callable[[Layer, int], None]"
"""Told of a layer and the compressed bytes that have just come of it, from several threads."""


@frozen
class Layer:
    """A layer of an image: where it is, what it must be, which step made it.

    Attributes:
        position: counted from 0 at the bottom.
        created_by: the step of the image's history, None where it does not tell.
        deadline: by when the image must be read.
        checkpoints: where it can be read on from, once it was read; None where that is not to be known.
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
    ) -> LayerIndex:
        """Read the whole layer once; it is returned only when size, digest and diff_id are verified.

        Args:
            retain: which files' bodies to keep.
            progress: told of the compressed bytes as they come.
            cancelled: ends the reading from outside when it is set.
            follower: asked for each file whether it takes the bytes as they pass.

        Raises:
            SourceError: the source does not deliver it.
            ContentError: it is not what the image says.
            InvalidLayer: Go's readers, and so the runtimes, cannot read it.
            LimitExceeded: it is beyond a bound.
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
        work = Indexing(archive, retain or Retain(), limits=self.limits, follow=follow)
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
            return index  # noqa: TRY300 - what comes behind it is told of it
        except (InvalidLayer, LimitExceeded) as fault:
            told: InvalidLayer | LimitExceeded = fault
            if isinstance(fault, InvalidLayer):
                told = fault.in_layer(self.position, work.entries[-1].path if work.entries else None)
                with suppress(InvalidLayer):  # the compression has a fault as well, or is the fault
                    stream.finish()  # if the blob is another one, that is the error to tell
            if not (fault.where or "").startswith("layer"):
                told = told.but(where=f"layer {self.position} ({self.descriptor.digest}), {fault.where}")
            raise told from fault
        finally:
            stream.close()
            for sink in work.sinks:
                sink.confirm(verified)

    def salvage(self, fault: InvalidLayer) -> LayerIndex:
        """Read what Go's readers get of a layer that `index` could not read for `fault`, in a second pass.

        Raises:
            as `index` does, but InvalidLayer.
        """
        raw = VerifiedStream(self.source.open(self.descriptor), self.descriptor)
        stream = LayerStream(raw, None, limits=self.limits, deadline=self.deadline, salvage=True)
        archive = TarStream(iter(stream), limits=self.limits)
        work = Indexing(archive, Retain(), limits=self.limits)
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
        """Open the content of one of this layer's files, from the nearest place before it, or in a second pass over the blob."""
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
        """Give the sha256 of files of this layer, in hexadecimals by the offset of their data, in one further pass.

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
        """Tell what executable files of this layer ask for, by the offset of their data, in one further pass.

        Raises:
            as `index` does.
        """
        found: dict[int, Program] = {}
        for entry, pieces in self.contents(entries):
            found[entry.data] = read_pieces(pieces, entry.size)
        return found

    def contents(self, entries: Iterable[LayerEntry]) -> Iterator[tuple[LayerEntry, Iterator[bytes]]]:
        """Yield files with their contents, in the order of the archive, in one pass that is verified at its end.

        Take the pieces of a file before the next file: they are read as they are taken.

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
                    yield entry, _expanded(iter(lambda: archive.read(1 << 20), b""), entry)
            stream.finish()
        finally:
            stream.close()

    def _table(self) -> tuple[Table | None, FormatError | None]:
        """Give the table of contents that the layer has to agree with, or what is wrong with it; neither where it has none."""
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
    """Say where readers come to no good end of a layer whose archive ends, by its end mark, at `end`."""
    stops = list(stream.stops)
    reason = containerd_refusal(media_type, compressed=stream.compression is not None)
    if reason:
        stops.append(("containerd", 0, reason))
    first: dict[str, Cut] = {}
    for reader, offset, why in sorted(stops, key=lambda stop: stop[1]):
        first.setdefault(reader, Cut(reader, offset, end is not None and end <= offset, why))
    return tuple(first.values())


class _Told:
    """A stream that tells how many bytes came through it."""

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

    Bytes that were read are verified only when `close` has returned. A sparse file's holes are zeros.
    """

    def __init__(self, stream: LayerStream | ResumedStream, entry: LayerEntry, position: int = 0) -> None:
        """Read an entry out of a stream that begins at a position in the uncompressed layer."""
        self._stream = stream
        self._chunks = _expanded(_stored(stream, entry, position), entry)
        self._chunk = b""
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """Give at most `size` further bytes (all that are left for -1), and none at the end.

        Raises:
            InvalidLayer: the layer ends before the file does.
            SourceError: the source fails.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._chunk:
            self._chunk = next(self._chunks, b"")
        data, self._chunk = self._chunk[:size], self._chunk[size:]
        return data

    def close(self) -> None:
        """Verify the layer to its end and let go of it.

        Raises:
            ContentError: the bytes that were read belong to another layer than the one that was asked for.
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
    """Give the stored bytes of an entry, found by their offset in a stream that begins at `position`."""
    end = entry.data + entry.stored
    while position < end:
        piece = next(stream, b"")
        if not piece:
            stream.finish()  # if the blob is another one, that is the error to tell
            raise InvalidLayer(
                "the layer ends before the file's content", where=f"byte {position} of the uncompressed layer"
            )
        start = max(entry.data - position, 0)
        wanted = piece[start : max(end - position, 0)]
        position += len(piece)
        if wanted:
            yield wanted


def _expanded(stored: Iterator[bytes], entry: LayerEntry) -> Iterator[bytes]:
    """Put the holes back into a sparse file."""
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
    """Yield so many zeros, in bounded pieces."""
    while count > 0:
        size = min(count, 1 << 20)
        yield bytes(size)
        count -= size
