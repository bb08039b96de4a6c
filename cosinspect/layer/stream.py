"""A layer's bytes: inflated, verified to the last one, bounded; the whole layer, or a range that starts at a checkpoint.

The bytes decide a layer's compression; media types are often wrong.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator

from cosinspect.blob import READ_BYTES, ByteStream, Hash, VerifiedStream
from cosinspect.compression.codecs import MAGIC_BYTES, Compression, Tracker, detect, inflate_members
from cosinspect.compression.members import ZSTD_MAGIC
from cosinspect.compression.salvage import salvage_members
from cosinspect.deadline import Deadline
from cosinspect.errors import (
    DiffIDMismatch,
    DigestMismatch,
    FormatError,
    InvalidLayer,
    LimitExceeded,
    TransportError,
)
from cosinspect.layer.checkpoints import Checkpoint, CheckpointRecorder, Checkpoints
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor, Digest

__all__ = ["LayerStream", "ResumedStream"]

_TAR_MAGIC = slice(257, 262)
_SHARED_RATIO_FLOOR = 16 * 1024 * 1024  # a small layer of zeros may have any ratio


def _at_least(size: int, data: bytes, read: Callable[[], bytes]) -> bytes:
    while len(data) < size and (more := read()):
        data += more
    return data


class LayerStream:
    """A layer's uncompressed bytes in pieces, verified at the end against digest, size and diff_id.

    Iterate to the end, or call `finish`. Gzip members, zstd frames, skippable frames and zero padding after
    the last member are one stream. After an error, every further read raises it again, so that no partial
    layer is used as a whole one.

    Attributes:
        uncompressed_size: the number of bytes returned so far.
        compression: known after the first bytes.
        stops: the readers that stop early, with the number of bytes that they read, and the reason.
    """

    def __init__(
        self,
        stream: VerifiedStream,
        diff_id: Digest | None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        cancelled: threading.Event | None = None,
        deadline: Deadline | None = None,
        checkpoints: Checkpoints | None = None,
        salvage: bool = False,
    ) -> None:
        """Read a layer that must inflate to `diff_id`, if one is given.

        Args:
            stream: of the blob.
            diff_id: the digest of the uncompressed layer.
            limits: bounds for what is inflated.
            cancelled: stops the reading when it is set.
            deadline: of the inspection.
            checkpoints: receives the checkpoints of the layer after all of it is verified.
            salvage: return what Go's readers return of a damaged layer, and end there without an error.
        """
        self.uncompressed_size = 0
        self.stops: list[tuple[str, int, str]] = []
        self._salvage = salvage
        self.compression: Compression | None = None
        self._stream = stream
        self._diff_id = diff_id
        self._limits = limits
        self._cancelled = cancelled
        self._deadline = deadline
        self._hash = diff_id.hasher() if diff_id else hashlib.sha256()
        self._fault: Exception | None = None
        self._checkpoints = checkpoints
        self._recorder = CheckpointRecorder()
        self._boundary: tuple[int, Hash] | None = None
        self._tracker = Tracker(self._member_began) if checkpoints is not None else None
        self._pieces = self._kept()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __next__(self) -> bytes:
        return next(self._pieces)

    def finish(self) -> None:
        """Read the rest, so that everything is verified.

        Raises:
            ContentError: size, digest or diff_id do not match.
            InvalidLayer: the compressed data is damaged.
            LimitExceeded: the layer inflates beyond its bounds.
            SourceError: the source fails.
        """
        for _ in self._pieces:
            pass
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Close the source's stream without verifying anything."""
        self._stream.close()

    def _kept(self) -> Generator[bytes, None, None]:
        """Keep the error that ended the reading: a generator that has raised looks exhausted."""
        try:
            yield from self._hashed()
        except Exception as fault:
            self._fault = fault
            raise

    def _hashed(self) -> Generator[bytes, None, None]:
        limits = self._limits
        for piece in self._inflated():
            self._heed()
            self.uncompressed_size += len(piece)
            if self.uncompressed_size > limits.inflated_bytes:
                raise self._too_large("inflated_bytes", limits.inflated_bytes, "bytes when inflated")
            allowed = max(self._stream.position * limits.inflated_ratio, _SHARED_RATIO_FLOOR)
            if self.uncompressed_size > allowed:
                # By default, only zstd reaches it; deflate stays below.
                raise self._too_large("inflated_ratio", limits.inflated_ratio, "times its compressed size")
            if self._diff_id is not None:
                self._hash.update(piece)
            yield piece
        if self._diff_id is not None and self._hash.hexdigest() != self._diff_id.encoded:
            raise DiffIDMismatch(
                f"expected the uncompressed layer to be {self._diff_id}, "
                f"found {self._diff_id.algorithm}:{self._hash.hexdigest()}",
                where=f"layer {self._stream.descriptor.digest}",
                remedy="the configuration belongs to other layers: build and push the image again",
            )
        if self._checkpoints is not None:
            self._checkpoints.keep(self.compression, self._recorder.places)

    def _read(self) -> bytes:
        """Read further bytes; record a checkpoint first if all input so far is consumed."""
        stream, tracker = self._stream, self._tracker
        if tracker is not None:
            self._boundary = stream.position, stream.hashed
            inflater = tracker.inflater
            usable = inflater is not None or (self.compression is None and stream.position)
            if usable and self._recorder.is_due(self.uncompressed_size):
                copied = inflater.copy() if inflater is not None else None
                self._recorder.note(Checkpoint(*self._boundary, 0, self.uncompressed_size, copied))
        return stream.read()

    def _member_began(self, behind: int) -> None:
        """Record the start of a member of which `after` bytes were read already."""
        if self._boundary is not None and self._recorder.is_due(self.uncompressed_size):
            packed, hashed = self._boundary
            skipped = self._stream.position - behind - packed
            if skipped >= 0:
                self._recorder.note(Checkpoint(packed, hashed, skipped, self.uncompressed_size))

    def _inflated(self) -> Generator[bytes, None, None]:
        read = self._read
        data = _at_least(MAGIC_BYTES, b"", read)
        kind = detect(data)
        if kind not in (None, Compression.GZIP, Compression.ZSTD):
            data = _at_least(_TAR_MAGIC.stop, data, read)
            if data[_TAR_MAGIC] == b"ustar":  # a plain archive whose first name looks like a compression
                kind = None
        self.compression = kind
        if kind in (Compression.GZIP, Compression.ZSTD):
            if kind is Compression.ZSTD and data[:4] != ZSTD_MAGIC:
                reason = "a skippable frame at its beginning, for which it takes the layer for an uncompressed archive"
                self.stops.append(("ggcr", 0, reason))
            if self._salvage:
                yield from salvage_members(kind, data, read, limits=self._limits)
                self._drain()
            else:
                yield from self._members(kind, data)
        elif kind is None:
            while data:
                yield data
                data = read()
        else:
            self._drain()
            raise InvalidLayer(
                f"expected gzip, zstd or no compression, found {kind.value}",
                where=f"layer {self._stream.descriptor.digest}",
                remedy="push the layer in a compression that the image specification names",
            )

    def _members(self, kind: Compression, head: bytes) -> Generator[bytes, None, None]:
        try:
            yield from inflate_members(
                kind, head, self._read, limits=self._limits, tracker=self._tracker, told=self._stop
            )
        except FormatError as fault:
            if fault.kind == "memory":
                raise LimitExceeded(
                    f"{fault.message}, which is {self._limits.zstd_window_bytes} bytes",
                    limit="zstd_window_bytes",
                    bound=self._limits.zstd_window_bytes,
                    where=f"layer {self._stream.descriptor.digest}",
                    remedy=fault.remedy,
                ) from fault
            position = self._stream.position
            self._drain()
            raise InvalidLayer(
                fault.message,
                kind="compression-damaged" if fault.kind in ("corrupt", "truncated") else "",
                where=f"layer {self._stream.descriptor.digest}, compressed byte {position}",
                remedy=fault.remedy,
            ) from fault

    def _stop(self, reason: str) -> None:
        self.stops.extend((reader, self.uncompressed_size, reason) for reader in ("containerd", "ggcr"))

    def _drain(self) -> None:
        """Read the blob to its end without inflating it; a wrong blob is the error to report."""
        while self._stream.read():
            self._heed()

    def _heed(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise TransportError("the reading was cancelled", where=f"layer {self._stream.descriptor.digest}")
        if self._deadline is not None:
            self._deadline.heed(f"layer {self._stream.descriptor.digest}")

    def _too_large(self, limit: str, bound: int, unit: str) -> LimitExceeded:
        return LimitExceeded(
            f"expected a layer of at most {bound} {unit}, found more",
            limit=limit,
            bound=bound,
            where=f"layer {self._stream.descriptor.digest}",
            remedy="if the image is honest, raise the limit",
        )


class ResumedStream:
    """A range of a layer's uncompressed bytes, read from a checkpoint and verified by the hash of the next one.

    Iterate as long as bytes are wanted; `finish` verifies the bytes returned.
    """

    def __init__(
        self,
        stream: ByteStream,
        descriptor: Descriptor,
        start: Checkpoint,
        end: Checkpoint | None,
        compression: Compression | None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        deadline: Deadline | None = None,
    ) -> None:
        """Read `stream`, which covers the blob from `start` to `end`, or to the blob's end."""
        self._stream = stream
        self._descriptor = descriptor
        self._start = start
        self._stop = descriptor.size if end is None else end.packed
        self._expected = descriptor.digest.encoded if end is None else end.hashed.hexdigest()
        self._compression = compression
        self._limits = limits
        self._deadline = deadline
        self._hash = start.hashed.copy()
        self._position = start.packed
        self._pieces = self._inflated()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __next__(self) -> bytes:
        return next(self._pieces)

    def finish(self) -> None:
        """Read the rest of the range, and verify it.

        Raises:
            DigestMismatch: the bytes differ from those of the verified layer.
            SourceError: the source fails.
        """
        while self._read():
            pass
        if self._hash.hexdigest() != self._expected:
            raise DigestMismatch(
                f"expected the same bytes as before from {self._start.packed} to {self._stop}, found others",
                where=f"layer {self._descriptor.digest}",
                remedy="the blob was changed in storage, or damaged on its way: try again",
            )

    def close(self) -> None:
        """Close the source's stream without verifying anything."""
        self._stream.close()

    def _read(self) -> bytes:
        if self._deadline is not None:
            self._deadline.heed(f"layer {self._descriptor.digest}")
        data = self._stream.read(min(READ_BYTES, self._stop - self._position))
        self._position += len(data)
        self._hash.update(data)
        return data

    def _inflated(self) -> Generator[bytes, None, None]:
        start, head = self._start, b""
        while len(head) < start.skipped and (data := self._read()):
            head += data
        head = head[start.skipped :]
        if self._compression is None:
            while head or (head := self._read()):
                yield head
                head = b""
            return
        going_on = start.inflater.copy() if start.inflater is not None else None
        try:
            yield from inflate_members(
                self._compression, head, self._read, limits=self._limits, going_on=going_on
            )
        except FormatError as fault:
            self.finish()  # wrong bytes are the error to report
            raise InvalidLayer(fault.message, where=f"layer {self._descriptor.digest}") from fault
