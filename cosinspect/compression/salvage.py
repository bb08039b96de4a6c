"""The bytes that Go's readers return of a damaged layer before the damage.

go-containerregistry passes them on and ends its archive regularly, so elemental installs them. `codecs` reads
the layer first; it is faster and drops the piece with the damage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Any

import zstandard
from zlib_ng import zlib_ng

from cosinspect.compression.codecs import PIECE_BYTES, Compression, detect, heed_memory
from cosinspect.compression.members import ZSTD_MAGIC, read_gzip_header, zstd_header_bytes
from cosinspect.errors import FormatError
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["salvage_members"]


def salvage_members(
    kind: Compression, head: bytes, read: Callable[[], bytes], *, limits: Limits = DEFAULT_LIMITS
) -> Generator[bytes, None, None]:
    """Yield the bytes that Go's readers return of damaged members before the damage, and end there.

    It must be exact and may be slow: gzip is inflated in pieces that shrink before the damage, zstd block by
    block.
    """
    buffer = _Buffer(head, read)
    try:
        while buffer.fill(1):
            if kind is Compression.GZIP:
                yield from _salvage_gzip(buffer)
            else:
                yield from _salvage_zstd(buffer, limits)
    except (FormatError, zlib_ng.error, zstandard.ZstdError) as fault:  # type: ignore[misc]  # zlib-ng has no types
        heed_memory(fault)
        return


class _Buffer:
    """A buffer over the input that returns a requested number of bytes."""

    def __init__(self, head: bytes, read: Callable[[], bytes]) -> None:
        self.data = head
        self._read = read

    def fill(self, size: int) -> bool:
        while len(self.data) < size:
            more = self._read()
            if not more:
                return False
            self.data += more
        return True

    def take(self, size: int) -> bytes:
        if not self.fill(size):
            raise _cut()
        taken, self.data = self.data[:size], self.data[size:]
        return taken


def _salvage_gzip(buffer: _Buffer) -> Generator[bytes, None, None]:
    while not (header := read_gzip_header(buffer.data)).length:
        if not buffer.fill(len(buffer.data) + 1):
            raise _cut()
    if header.fault or buffer.data[:2] != b"\x1f\x8b":
        raise FormatError("a header that Go refuses", kind="corrupt")
    buffer.take(header.length)
    state: Any = zlib_ng.decompressobj(-15)
    size, total, checksum = PIECE_BYTES, 0, 0
    while not state.eof:
        if not state.unconsumed_tail and not buffer.fill(1):
            pass  # decoded bytes may still follow
        data = state.unconsumed_tail + buffer.take(len(buffer.data))
        before = state.copy()
        try:
            piece = state.decompress(data, size)
        except zlib_ng.error as fault:  # type: ignore[misc]  # zlib-ng has no types
            heed_memory(fault)
            if size == 1:
                raise
            # The copy has the old tail: the bytes taken since go back to the buffer.
            buffer.data = data[len(before.unconsumed_tail) :] + buffer.data
            state, size = before, size // 2
            continue
        if not piece and not state.eof and not state.unconsumed_tail and not buffer.fill(1):
            raise _cut()
        total += len(piece)
        checksum = zlib_ng.crc32(piece, checksum)
        if piece:
            yield piece
    buffer.data = state.unused_data + buffer.data
    if struct.unpack("<II", buffer.take(8)) != (checksum, total & 0xFFFFFFFF):
        raise FormatError("the checksum of the gzip data does not fit", kind="corrupt")


def _salvage_zstd(buffer: _Buffer, limits: Limits) -> Generator[bytes, None, None]:
    """Yield one frame, each block as soon as it is complete (RFC 8878, 3.1.1)."""
    head = buffer.take(8) if buffer.fill(8) else b""
    if detect(head) is not Compression.ZSTD:
        raise FormatError("no frame", kind="corrupt")
    if head[:4] != ZSTD_MAGIC:
        buffer.take(int(struct.unpack_from("<I", head, 4)[0]))
        return
    buffer.data = head + buffer.data
    frame = zstandard.ZstdDecompressor(max_window_size=limits.zstd_window_bytes).decompressobj()
    frame.decompress(buffer.take(zstd_header_bytes(head)))
    last = False
    while not last:
        block = buffer.take(3)
        number = int.from_bytes(block, "little")
        last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
        stored = 1 if kind == 1 else size
        # klauspost/compress drops the last block if the checksum after it is cut.
        if last and head[4] & 4 and not buffer.fill(stored + 4):
            raise _cut()
        yield frame.decompress(block + buffer.take(stored))
    if head[4] & 4:
        frame.decompress(buffer.take(4))


def _cut() -> FormatError:
    return FormatError("the compressed data ends in the middle of a member", kind="truncated")
