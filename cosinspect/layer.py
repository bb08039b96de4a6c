"""One layer blob, mapped once: a single verified pass gives its `LayerIndex`.

A layer is a changeset (image-spec, layer.md): entries that add or replace, whiteouts and opaque whiteouts that take
away from lower layers wherever they stand. The index is a pure function of the blob and of which file bodies were
asked for, and knows nothing of the layers around it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeAlias

from attrs import field, frozen

from cosinspect.blob import ByteStream, LayerStream, Source, VerifiedStream
from cosinspect.changeset import LayerEntry, LayerIndex, Marker, cleaned, normalise
from cosinspect.deadline import Deadline
from cosinspect.errors import InvalidLayer, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci import Descriptor, Digest
from cosinspect.outline import Outline
from cosinspect.tarstream import Header, TarStream

__all__ = ["Layer", "LayerFile", "Progress", "Retain"]

Progress: TypeAlias = "Callable[[Layer, int], None]"
"""Told of a layer and the compressed bytes that have just come of it, from several threads."""


WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
_STRETCH = 64  # one stretch of a sparse map, as memory goes
_AUFS_PREFIX = ".wh..wh."
_OVERLAY_ATTRIBUTES = ("trusted.overlay.", "user.overlay.")

_TYPES = {
    "0": "file",
    "1": "hardlink",
    "2": "symlink",
    "3": "char",
    "4": "block",
    "5": "dir",
    "6": "fifo",
    "S": "file",
}


class Retain:
    """Which files' bodies to keep while their layer passes by, within a budget that all layers share.

    What does not fit is read in a second pass when it is needed, so a budget changes cost and never results.
    """

    def __init__(self, patterns: Iterable[str] = (), *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Keep files whose path matches one of `patterns`, where `*` stays in a directory and `**` does not."""
        expressions = [glob_expression(pattern) for pattern in patterns]
        self._expression = re.compile("|".join(expressions)) if expressions else None
        self._file_bytes = limits.retained_file_bytes
        self._left = limits.retained_bytes
        self._lock = threading.Lock()

    def wants(self, path: str, size: int) -> bool:
        """Say whether to keep a file of `size` bytes, and set its bytes aside in the budget."""
        if self._expression is None or size > self._file_bytes or not self._expression.fullmatch(path):
            return False
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True


def glob_expression(pattern: str) -> str:
    """Translate a glob over whole paths: `*` and `?` stay within a component, `**/` is any number of them, `{a,b}` a choice."""
    out = []
    at = 0
    depth = 0
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith("**/", at):
            out.append("(?:[^/]+/)*")
            at += 3
            continue
        if pattern.startswith("**", at):
            out.append(".*")
            at += 2
            continue
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "{" and "}" in pattern[at:]:
            out.append("(?:")
            depth += 1
        elif character == "}" and depth:
            out.append(")")
            depth -= 1
        elif character == "," and depth:
            out.append("|")
        else:
            out.append(re.escape(character))
        at += 1
    return f"(?:{''.join(out)})"


@frozen
class Layer:
    """A layer of an image: where it is, what it must be, which step made it.

    Attributes:
        position: counted from 0 at the bottom.
        created_by: the step of the image's history, None where it does not tell.
        deadline: by when the image must be read.
    """

    descriptor: Descriptor
    diff_id: Digest
    position: int
    created_by: str | None
    source: Source = field(repr=False, eq=False)
    limits: Limits = field(repr=False, default=DEFAULT_LIMITS)
    verify_diff_id: bool = field(repr=False, default=True)
    deadline: Deadline | None = field(repr=False, eq=False, default=None)

    def index(
        self,
        retain: Retain | None = None,
        *,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
    ) -> LayerIndex:
        """Read the whole layer once; it is returned only when size, digest and diff_id are verified.

        Args:
            retain: which files' bodies to keep.
            progress: told of the compressed bytes as they come.
            cancelled: ends the reading from outside when it is set.

        Raises:
            SourceError: the source does not deliver it.
            ContentError: it is not what the image says.
            InvalidLayer: Go's readers, and so the runtimes, cannot read it.
            LimitExceeded: it is beyond a bound.
        """
        stream = self._stream(progress, cancelled)
        work = _Indexing(self, retain or Retain(), TarStream(iter(stream), limits=self.limits))
        try:
            return work.run(stream)
        except (InvalidLayer, LimitExceeded) as fault:
            if isinstance(fault, InvalidLayer):
                fault.layer = self.position
                fault.after = work.entries[-1].path if work.entries else None
                stream.finish()  # if the blob is another one, that is the error to tell
            if not (fault.where or "").startswith("layer"):
                fault.where = f"layer {self.position} ({self.descriptor.digest}), {fault.where}"
            raise
        finally:
            stream.close()

    def open(self, entry: LayerEntry) -> LayerFile:
        """Open the content of one of this layer's files in a second pass over the blob."""
        return LayerFile(self._stream(), entry)

    def content_digests(self, entries: Iterable[LayerEntry]) -> dict[int, str]:
        """Give the sha256 of files of this layer, in hexadecimals by the offset of their data, in one further pass.

        Raises:
            as `index` does.
        """
        wanted = {entry.data: entry for entry in entries}
        found: dict[int, str] = {}
        stream = self._stream()
        try:
            archive = TarStream(iter(stream), limits=self.limits)
            for header in archive:
                entry = wanted.get(header.data)
                if entry is not None and header.offset == entry.header:
                    content = hashlib.sha256()
                    for piece in _expanded(iter(lambda: archive.read(1 << 20), b""), entry):
                        content.update(piece)
                    found[entry.data] = content.hexdigest()
            stream.finish()
        finally:
            stream.close()
        return found

    def _stream(
        self, progress: Progress | None = None, cancelled: threading.Event | None = None
    ) -> LayerStream:
        raw = self.source.open(self.descriptor)
        if progress is not None:
            raw = _Told(raw, self, progress)
        verified = VerifiedStream(raw, self.descriptor)
        diff_id = self.diff_id if self.verify_diff_id else None
        return LayerStream(verified, diff_id, limits=self.limits, cancelled=cancelled, deadline=self.deadline)


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


def _weight(header: Header) -> int:
    """Say what a header's attributes and sparse map come to, in characters."""
    weight = 0
    if header.xattrs:
        weight += sum(len(name) + len(value) for name, value in header.xattrs.items())
    if header.sparse:
        weight += _STRETCH * len(header.sparse)
    return weight


class _Indexing:
    """The state of one pass."""

    def __init__(self, layer: Layer, retain: Retain, archive: TarStream) -> None:
        self.layer = layer
        self.retain = retain
        self.archive = archive
        self.entries: list[LayerEntry] = []
        self.whiteouts: list[Marker] = []
        self.opaques: list[Marker] = []
        self.nameless: list[Marker] = []
        self.contents: dict[int, bytes] = {}
        self.metadata = 0
        self.outline = Outline(archive.note, limits=layer.limits)

    def run(self, stream: LayerStream) -> LayerIndex:
        limits = self.layer.limits
        for seen, header in enumerate(self.archive):
            if seen >= limits.entries:
                raise self._limit("entries", limits.entries, "entries in a layer")
            self._take(header)
        stream.finish()
        # Runtimes take a whiteout that is a directory for a directory of that name.
        self.outline.finish((marker for marker in self.whiteouts if not marker.is_directory), self.opaques)
        return LayerIndex(
            self.layer.descriptor,
            self.layer.diff_id,
            tuple(self.entries),
            tuple(self.whiteouts),
            tuple(self.opaques),
            tuple(self.archive.irregularities),
            self.contents,
            stream.uncompressed_size,
            tuple(self.nameless),
        )

    def _take(self, header: Header) -> None:
        name = header.name
        path, escapes = normalise(name)
        if escapes:
            self._note(
                "escaping-name",
                header,
                f"the name {name[:200]!r} leaves the root",
            )
        # Four bytes are the most that a character takes.
        longest = self.layer.limits.path_bytes
        if 4 * len(path) > longest and len(path.encode("utf-8", "surrogateescape")) > longest:
            raise self._limit("path_bytes", self.layer.limits.path_bytes, "bytes in a path")
        if path.count("/") >= self.layer.limits.path_depth:
            raise self._limit("path_depth", self.layer.limits.path_depth, "components in a path")
        self.metadata += len(path) + len(header.link) + _weight(header)
        if self.metadata > self.layer.limits.metadata_characters:
            raise self._limit(
                "metadata_characters",
                self.layer.limits.metadata_characters,
                "characters of names and attributes",
            )
        kind = _TYPES.get(header.type)
        if kind is None:  # noted by the reader: runtimes refuse the layer
            return
        as_go = cleaned(name) if escapes or name.startswith("/") else ""
        if path.rpartition("/")[2].startswith(WHITEOUT_PREFIX):
            self._take_marker(header, kind, path, as_go)
            return
        self._note_overlay(header)
        link = header.link
        if kind == "hardlink":
            link, escapes = normalise(link)
            if escapes:
                self._note(
                    "escaping-hardlink",
                    header,
                    f"the hard link's target {header.link[:200]!r} leaves the root",
                )
        elif kind != "symlink":
            link = ""
        entry = LayerEntry(
            path, kind, header.mode & 0o7777, header.uid, header.gid, header.size, header.mtime, link,
            header.device if kind in ("char", "block") else (0, 0), header.xattrs,
            header.offset, header.data, header.stored, header.sparse, as_go,
        )  # fmt: skip
        self.entries.append(entry)
        self.outline.add(entry)
        if kind == "file" and header.sparse is None and self.retain.wants(path, header.stored):
            self.contents[header.data] = b"".join(iter(lambda: self.archive.read(1 << 20), b""))

    def _take_marker(self, header: Header, kind: str, path: str, as_go: str) -> None:
        """Record a whiteout: by its name alone, whatever type of file it is, as umoci and containerd do."""
        directory, _, base = path.rpartition("/")
        if base == OPAQUE_MARKER:
            self.opaques.append(Marker(directory, header.offset, as_go and as_go.rpartition("/")[0]))
            return
        victim = base.removeprefix(WHITEOUT_PREFIX)
        place = as_go.rpartition("/")[0] + "/" if as_go else directory and f"{directory}/"
        if victim in ("", ".", ".."):
            self.nameless.append(Marker(path, header.offset, cleaned(f"{place}{victim}"), kind == "dir"))
            self._note(
                "invalid-whiteout", header, f"the whiteout {path!r} names nothing that it could delete"
            )
            return
        if base.startswith(_AUFS_PREFIX):
            self._note(
                "aufs-metadata", header, f"{path!r} is metadata of AUFS, which has no meaning in an image"
            )
        elif kind == "dir":
            self._note(
                "whiteout-directory",
                header,
                f"the whiteout {path!r} is a directory",
            )
        elif header.stored or kind != "file":
            self._note("odd-whiteout", header, f"the whiteout {path!r} is not an empty regular file")
        name = f"{place}{victim}" if as_go else ""
        self.whiteouts.append(
            Marker(f"{directory}/{victim}" if directory else victim, header.offset, name, kind == "dir")
        )

    def _note_overlay(self, header: Header) -> None:
        """Note what overlayfs takes for an order to itself (Linux: Documentation/filesystems/overlayfs.rst)."""
        if header.type == "3" and header.device == (0, 0):
            self._note("overlay-device", header, "a character device 0/0, overlayfs' own whiteout")
        if header.xattrs:
            orders = sorted(name for name in header.xattrs if name.startswith(_OVERLAY_ATTRIBUTES))
            if orders:
                self._note(
                    "overlay-attribute", header, f"the attribute {', '.join(orders)[:200]} of overlayfs"
                )

    def _note(self, kind: str, header: Header, message: str) -> None:
        self.archive.note(kind, header.offset, message, header.name)

    def _limit(self, name: str, bound: int, what: str) -> LimitExceeded:
        return LimitExceeded(
            f"expected at most {bound} {what}, found more",
            limit=name,
            bound=bound,
            where=f"byte {self.archive.position} of the uncompressed layer",
        )


class LayerFile:
    """The content of one file of a layer as a stream; closing it verifies the rest of the layer.

    Bytes that were read are verified only when `close` has returned. A sparse file's holes are zeros.
    """

    def __init__(self, stream: LayerStream, entry: LayerEntry) -> None:
        self._stream = stream
        self._chunks = _expanded(_stored(stream, entry), entry)
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


def _stored(stream: LayerStream, entry: LayerEntry) -> Iterator[bytes]:
    """Give the stored bytes of an entry, found by their offset."""
    position, end = 0, entry.data + entry.stored
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
        yield from _zeros(start - at)
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
    yield from _zeros(entry.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        size = min(count, 1 << 20)
        yield bytes(size)
        count -= size
