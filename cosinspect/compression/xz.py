"""One .xz stream whose blocks state their lengths, unpacked in parallel.

xz writes such blocks if it runs on several processors, as dracut does for an initrd. One thread takes longer
for such a file than for everything else of an image. Follows the .xz file format 1.2.0
(tukaani.org/xz/xz-file-format.txt). Each block is passed to liblzma as a stream, so liblzma verifies headers
and checks; only lengths and the index at the end are read here.
"""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from attrs import frozen

from cosinspect.errors import FormatError

__all__ = ["are_sized", "unpack_blocks"]

_STREAM_HEADER = 12
_MAGIC = b"\xfd7zXZ\0"
_FOOTER_MAGIC = b"YZ"
_CHECK_BYTES = {0: 0, 1: 4, 4: 8, 10: 32}  # the checks that liblzma supports
_COMPRESSED_SIZE, _UNCOMPRESSED_SIZE = 0x40, 0x80
_SMALLEST_BLOCK = 256 * 1024  # below this, a thread costs more than it saves
_LARGEST_BLOCK = 32 * 1024 * 1024
_AHEAD_BYTES = 32 * 1024 * 1024
_MOST_WORKERS = 4
_MOST_BLOCKS = 1 << 18
_PIECE_BYTES = 1024 * 1024
_VARINT_BYTES = 9
_SHORTEST_HEADER, _LONGEST_HEADER = 8, 1024

_Unpacked: TypeAlias = "tuple[list[bytes], lzma.LZMAError | None]"


def are_sized(data: bytes) -> bool:
    """Return whether the blocks of a stream can be unpacked in parallel; `data` has the first block's header."""
    if data[:6] != _MAGIC or len(data) <= _STREAM_HEADER or data[6] or data[7] not in _CHECK_BYTES:
        return False
    sizes = _sizes(data[_STREAM_HEADER:])
    return sizes is not None and sizes[1] >= _SMALLEST_BLOCK and max(sizes) <= _LARGEST_BLOCK


def unpack_blocks(
    head: bytes, read: Callable[[], bytes], *, memory: int, truncated: FormatError
) -> Generator[bytes, None, bytes]:
    """Yield the content of the blocks in order, and return the input after the stream.

    Args:
        head: the start of a stream for which `are_sized` returns true.
        read: returns further input; no bytes at its end.
        memory: the memory bound of liblzma for a block, in bytes.
        truncated: is raised if the input ends early.

    Raises:
        lzma.LZMAError: the stream is damaged.
        FormatError: the stream ends early, or mixes kinds of blocks.
    """
    data = _Input(head, read)
    start = data.take(_STREAM_HEADER)
    check = _CHECK_BYTES[start[7]]
    records: list[tuple[int, int]] = []
    running: deque[tuple[int, Future[_Unpacked]]] = deque()
    ahead = 0
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="xz")
    try:
        while True:
            block = _next_block(data, check)
            while running and (block is None or ahead > _AHEAD_BYTES or len(running) > workers):
                size, first = running.popleft()
                ahead -= size
                yield from _pieces(first.result())
            if block is None:
                break
            records.append(block.record)
            if len(records) > _MOST_BLOCKS:
                raise FormatError(f"the xz data has more than {_MOST_BLOCKS} blocks", kind="limit")
            stream = start + block.data + _ending(start, [block.record])
            running.append((block.record[1], pool.submit(_unpacked, stream, memory)))
            ahead += block.record[1]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if data.peek(1) != b"\0":
        # The stream is cut, or has a block that this cannot read: liblzma reports the error.
        if not (yield from _decoded(start + data.peek(_LARGEST_BLOCK), memory)) and data.at_end:
            raise truncated
        raise FormatError("the xz data has blocks with and without their sizes", kind="unsupported")
    ending = _ending(start, records)
    found = data.take(len(ending))
    if found != ending:
        if ending.startswith(found):
            raise truncated
        raise lzma.LZMAError("Corrupt input data")
    return data.rest()


@frozen
class _Block:
    """A block of the stream, and its record in the index: its size without padding, and the size of its content."""

    data: bytes
    record: tuple[int, int]


class _Input:
    """A buffer over input that arrives in portions."""

    def __init__(self, head: bytes, read: Callable[[], bytes]) -> None:
        self._buffer = bytearray(head)
        self._at = 0
        self._read = read
        self.at_end = False

    def peek(self, size: int) -> bytes:
        """Return the next bytes without consuming them; fewer only at the end."""
        if len(self._buffer) - self._at < size:
            del self._buffer[: self._at]
            self._at = 0
            while len(self._buffer) < size and not self.at_end:
                more = self._read()
                self._buffer += more
                self.at_end = not more
        with memoryview(self._buffer) as view:
            return bytes(view[self._at : self._at + size])

    def take(self, size: int) -> bytes:
        """Return the next bytes; fewer only at the end."""
        found = self.peek(size)
        self.skip(len(found))
        return found

    def skip(self, size: int) -> None:
        """Skip bytes of the buffer."""
        self._at += size

    def rest(self) -> bytes:
        """Return the bytes that were read and not consumed."""
        return bytes(self._buffer[self._at :])


def _next_block(data: _Input, check: int) -> _Block | None:
    """Return the next complete block with stated lengths, or None."""
    sizes = _sizes(data.peek(_LONGEST_HEADER))
    if sizes is None or max(sizes) > _LARGEST_BLOCK:
        return None
    packed, plain = sizes
    header = 4 * data.peek(1)[0] + 4
    size = header + packed + -packed % 4 + check
    found = data.peek(size)
    if len(found) < size:
        return None
    data.skip(size)
    return _Block(found, (header + packed + check, plain))


def _sizes(header: bytes) -> tuple[int, int] | None:
    """Return the compressed and uncompressed size in a block's header, or None if one is missing."""
    size = 4 * header[0] + 4 if header else 0
    wanted = _COMPRESSED_SIZE | _UNCOMPRESSED_SIZE
    if size < _SHORTEST_HEADER or len(header) < size or header[1] & wanted != wanted:
        return None
    if zlib.crc32(header[: size - 4]) != int.from_bytes(header[size - 4 : size], "little"):
        return None
    packed, at = _varint(header, 2)
    plain, _ = _varint(header, at)
    return None if packed is None or plain is None else (packed, plain)


def _varint(data: bytes, at: int) -> tuple[int | None, int]:
    """Return a number of variable length (None if invalid) and its end."""
    value = 0
    for number, byte in enumerate(data[at : at + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * number)
        if not byte & 0x80:
            return value, at + number + 1
    return None, at


def _ending(start: bytes, records: list[tuple[int, int]]) -> bytes:
    """Return the index and the footer of a stream with these blocks."""
    index = bytearray(b"\0")
    for value in (len(records), *(value for record in records for value in record)):
        rest = value
        while rest >= 0x80:
            index.append(rest & 0x7F | 0x80)
            rest >>= 7
        index.append(rest)
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    footer = struct.pack("<I", len(index) // 4 - 1) + start[6:8]
    return bytes(index) + struct.pack("<I", zlib.crc32(footer)) + footer + _FOOTER_MAGIC


def _unpacked(stream: bytes, memory: int) -> _Unpacked:
    """Unpack a stream of one block, at most its stated size; return the error, if any."""
    pieces: list[bytes] = []
    try:
        pieces.extend(_decoded(stream, memory))
    except lzma.LZMAError as fault:
        return pieces, fault
    return pieces, None


def _decoded(stream: bytes, memory: int) -> Generator[bytes, None, bool]:
    """Yield the content of a stream, and return whether it was complete."""
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory)
    yield decoder.decompress(stream, _PIECE_BYTES)
    while not decoder.eof and not decoder.needs_input:
        yield decoder.decompress(b"", _PIECE_BYTES)
    return decoder.eof


def _pieces(unpacked: _Unpacked) -> Iterator[bytes]:
    pieces, fault = unpacked
    yield from pieces
    if fault is not None:
        raise fault
