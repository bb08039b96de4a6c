"""Compressed members: detected by their first bytes, and inflated in bounded pieces.

Layers are gzip, zstd or plain (image-spec, "Layer media types"); initrds use any compression of the kernel's
`lib/decompress.c`. Both may have several consecutive members. Only this module imports codecs.
"""

from __future__ import annotations

import bz2
import enum
import lzma
import struct
from collections.abc import Callable, Generator
from typing import Any, Protocol

import lz4.block
import zstandard
from isal import igzip_lib
from isal.isal_zlib import IsalError
from zlib_ng import zlib_ng

from cosinspect.compression.members import read_gzip_header
from cosinspect.compression.xz import are_sized, unpack_blocks
from cosinspect.errors import FormatError
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "MAGIC_BYTES",
    "Compression",
    "Inflater",
    "Tracker",
    "detect",
    "heed_memory",
    "inflate",
    "inflate_members",
    "inflate_stream",
    "pack",
    "unpack",
]

MAGIC_BYTES = 6
"""The number of leading bytes that `detect` needs."""

READ_BYTES = 256 * 1024
"""The expected size of one result of a caller's `read`."""

_SMALL_BYTES = 4 * 1024

PIECE_BYTES = 1024 * 1024
"""The maximum size of a piece of inflated bytes, for codecs that support a bound."""

# A zstd block of four bytes may inflate to 128 KiB, and the library cannot bound its output here. This much
# input gives at most 16 MiB.
_ZSTD_SLICE = 512
# Calls with so little input are slow. Input that has given little so far is passed in portions four times as
# large, which give at most 64 MiB, once.
_ZSTD_HONEST_SLICE = 4 * _ZSTD_SLICE
_ZSTD_HONEST_RATIO = 64
# Honest data gives small pieces for small portions; they are joined to larger ones.
_ZSTD_PIECE = 128 * 1024
# Creating a decompressor takes longer than a small frame, and a layer may have a frame per file. Idle
# decompressors are kept here by their window.
_IDLE_ZSTD: dict[int, list[zstandard.ZstdDecompressor]] = {}
_IDLE_BYTES = 1024 * 1024  # decompressors with a larger window are not kept
# The legacy lz4 format writes blocks of 8 MiB (lz4's lz4io.c, LEGACY_BLOCKSIZE), as does the kernel that reads it.
_LZ4_BLOCK = 8 * 1024 * 1024
_LZ4_MAGIC = 0x184C2102
# The first four bytes of a gzip member end with its flags; deflate is its only compression.
_GZIP_FLAGS = 10
_DEFLATE = 8
# Every default dictionary of a tool fits; a header cannot make the process allocate more.
_XZ_MEMORY = 256 * 1024 * 1024
# The messages of libzstd and liblzma for a window or dictionary beyond the bound.
_TOO_MUCH_MEMORY = ("requires too much memory", "Memory usage limit")
# What the codecs' messages say if the machine has too little memory (libzstd; zlib: Z_MEM_ERROR, where ISA-L's -4 is a wrong header).
_OUT_OF_MEMORY = ("not enough memory", "Error -4 while ")
# The exceptions of the codecs for invalid input; a FormatError is a ValueError too and passes unchanged.
_CODEC_ERRORS = (
    IsalError,
    zlib_ng.error,
    lz4.block.LZ4BlockError,
    lzma.LZMAError,
    zstandard.ZstdError,
    OSError,
    EOFError,
    ValueError,
)


class Compression(enum.Enum):
    """A compression, detected by its magic number."""

    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    LZMA = "lzma"
    BZIP2 = "bzip2"
    LZ4 = "lz4"
    LZO = "lzo"


def detect(prefix: bytes) -> Compression | None:
    """Return the compression of a member by its first `MAGIC_BYTES` bytes; None means uncompressed."""
    if prefix[:2] == b"\x1f\x8b":
        return Compression.GZIP
    if prefix[:4] == b"\x28\xb5\x2f\xfd" or (prefix[1:4] == b"\x2a\x4d\x18" and prefix[0] & 0xF0 == 0x50):
        return Compression.ZSTD  # a frame, or a skippable frame (RFC 8878, 3.1.2)
    if prefix[:6] == b"\xfd7zXZ\x00":
        return Compression.XZ
    if prefix[:3] == b"BZh":
        return Compression.BZIP2
    if prefix[:4] == b"\x02\x21\x4c\x18":
        return Compression.LZ4
    if prefix[:4] == b"\x89LZO":
        return Compression.LZO
    if prefix[:3] == b"\x5d\x00\x00":
        return Compression.LZMA
    return None


class _Codec(Protocol):
    """The common interface of zlib, lzma and bz2: bounded output, and the input after the member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Inflater:
    """The inflation of one gzip member. It can be copied whenever all input so far is consumed.

    zlib-ng takes an eighth longer than isal, which cannot copy its state.
    """

    def __init__(self, state: Any = None) -> None:
        """Start a member, or continue from a state of the library."""
        self._state: Any = zlib_ng.decompressobj(31) if state is None else state
        self._full = False

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        ended: bool = self._state.eof
        return ended

    @property
    def needs_input(self) -> bool:
        """Whether the input so far is consumed."""
        return not (self._full or self._state.unconsumed_tail or self._state.eof)

    @property
    def unused_data(self) -> bytes:
        """The input after the member."""
        left: bytes = self._state.unused_data
        return left

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Add input, and return at most `max_length` bytes of output."""
        found: bytes = self._state.decompress(self._state.unconsumed_tail + data, max_length)
        self._full = len(found) == max_length
        return found

    def copy(self) -> Inflater:
        """Return a copy in the same state."""
        return Inflater(self._state.copy())


class Tracker:
    """A callback for the start and the progress of members.

    Attributes:
        inflater: of the current member, if it is gzip.
    """

    def __init__(self, began: Callable[[int], None]) -> None:
        """Call `began` at each member with the bytes read after its start."""
        self.began = began
        self.inflater: Inflater | None = None


def inflate(
    kind: Compression,
    head: bytes,
    read: Callable[[], bytes],
    *,
    limits: Limits = DEFAULT_LIMITS,
    inflater: Inflater | None = None,
) -> Generator[bytes, None, bytes]:
    """Yield the inflated bytes of one member in bounded pieces, and return the input that follows it.

    Args:
        kind: the member's compression.
        head: the first bytes of the member, at least its magic number.
        read: returns further input; no bytes at its end.
        limits: bounds the window of a zstd frame.
        inflater: the inflater for a gzip member; by default one that cannot be copied.

    Raises:
        FormatError: the member is damaged (`corrupt`), ends early (`truncated`), needs more memory than allowed
            (`memory`), or is of a compression that cannot be read (`unsupported`).
    """
    try:
        if kind is Compression.ZSTD:
            return (yield from _zstd(head, read, limits))
        if kind is Compression.LZ4:
            return (yield from _lz4(head, read))
        if kind is Compression.XZ and are_sized(head):
            ending = _truncated(kind)
            return (yield from unpack_blocks(head, read, memory=_XZ_MEMORY, truncated=ending))
        return (yield from _bounded(inflater or _codec(kind), kind, head, read))
    except _CODEC_ERRORS as fault:  # type: ignore[misc]  # isal declares its exception class as an instance
        if isinstance(fault, FormatError):
            raise
        heed_memory(fault)
        if any(words in str(fault) for words in _TOO_MUCH_MEMORY):
            raise FormatError(
                f"the {kind.value} data asks for a larger window than it may have",
                kind="memory",
                remedy="compress it with a smaller window (zstd: without --long)",
            ) from fault
        raise FormatError(
            f"the {kind.value} data cannot be inflated: {fault}",
            kind="corrupt",
            remedy="the bytes were damaged before they were published: build and push again",
        ) from fault


def inflate_stream(head: bytes, read: Callable[[], bytes]) -> Generator[bytes, None, bytes]:
    """Yield the inflated bytes of a raw deflate stream (RFC 1951), and return the input after it.

    Args:
        head: the first bytes of the stream, if any were read.
        read: returns further input; no bytes at its end.

    Raises:
        FormatError: the stream is damaged (`corrupt`) or ends early (`truncated`).
    """
    try:
        codec: _Codec = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        return (yield from _bounded(codec, Compression.GZIP, head or read(), read))
    except _CODEC_ERRORS as fault:  # type: ignore[misc]  # isal declares its exception class as an instance
        if isinstance(fault, FormatError):
            raise
        heed_memory(fault)
        raise FormatError(f"the gzip data cannot be inflated: {fault}", kind="corrupt") from fault


def heed_memory(fault: Exception) -> None:
    """Raise `MemoryError` if a codec failed because the machine has too little memory: nothing is known of its input then."""
    if any(words in str(fault) for words in _OUT_OF_MEMORY):
        raise MemoryError(str(fault)) from fault


def inflate_members(
    kind: Compression,
    head: bytes,
    read: Callable[[], bytes],
    *,
    limits: Limits = DEFAULT_LIMITS,
    tracker: Tracker | None = None,
    going_on: Inflater | None = None,
    told: Callable[[str], None] | None = None,
) -> Generator[bytes, None, None]:
    """Yield the inflated bytes of consecutive members up to the input's end; skip zero padding.

    Args:
        kind: the members' compression; a member of another kind is an error.
        head: the input's first bytes, if any were read.
        read: returns further input; no bytes at its end.
        limits: as for `inflate`.
        tracker: is called for each member; gzip is then inflated so that its state can be copied.
        going_on: the inflation of a member if the input starts within one.
        told: is called with what Go's readers refuse, after everything before it has been yielded.

    Raises:
        FormatError: as `inflate` does, and if anything but a member follows.
    """
    portions = _Portions(head, read)
    data = portions()
    while data:
        portions.begin_small()
        inflater, going_on = going_on, None
        if kind is Compression.GZIP and inflater is None:
            data = _without_fields(data, portions, told)
        if tracker is not None:
            tracker.began(len(data) + portions.left)
            inflater = tracker.inflater = Inflater() if kind is Compression.GZIP else None
        data = yield from inflate(kind, data, portions, limits=limits, inflater=inflater)
        if tracker is not None:
            tracker.inflater = None
        padded = data[:1] == b"\0"
        while len(data := data.lstrip(b"\0")) < MAGIC_BYTES and (more := portions()):
            padded = padded or (not data and more[:1] == b"\0")
            data += more
        if padded and told is not None:
            kinder = " (unpigz, where containerd has it, reads on)" if kind is Compression.GZIP else ""
            told(f"zeros behind a member of {kind.value}, where Go's readers expect another member{kinder}")
        if data and detect(data) is not kind:
            raise FormatError(
                f"expected another {kind.value} member or the end, found {data[:4].hex(' ')}", kind="corrupt"
            )


def _without_fields(data: bytes, portions: Callable[[], bytes], told: Callable[[str], None] | None) -> bytes:
    """Return a gzip member with a header that every codec reads the same way, without optional fields."""
    while len(data) < _GZIP_FLAGS and (more := portions()):
        data += more
    if len(data) < _GZIP_FLAGS or (data[2] == _DEFLATE and not data[3]):
        return data
    while not (header := read_gzip_header(data)).length:
        more = portions()
        if not more:
            return data  # the codec reports that it is cut
        data += more
    if header.corrupt:
        raise FormatError(
            f"the gzip data cannot be inflated: {header.fault}",
            kind="corrupt",
            remedy="the bytes were damaged before they were published: build and push again",
        )
    if header.fault and told is not None:
        told(f"a gzip header with {header.fault} (unpigz, where containerd has it, reads on)")
    return data[:3] + b"\0" + data[4:10] + data[header.length :]


class _Portions:
    """Input in portions that grow as a member continues.

    The rest after a member is copied for the next one; large portions would make tiny members quadratic.
    """

    def __init__(self, head: bytes, read: Callable[[], bytes]) -> None:
        self._read = read
        self._data = head
        self._at = 0
        self._size = _SMALL_BYTES

    @property
    def left(self) -> int:
        """Bytes that were read and not yet returned."""
        return len(self._data) - self._at

    def begin_small(self) -> None:
        self._size = _SMALL_BYTES

    def __call__(self) -> bytes:
        if self._at >= len(self._data):
            self._data, self._at = self._read(), 0
        portion = self._data[self._at : self._at + self._size]
        self._at += len(portion)
        self._size = min(2 * self._size, READ_BYTES)
        return portion


def _codec(kind: Compression) -> _Codec:
    match kind:
        case Compression.GZIP:
            codec: _Codec = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            return codec
        case Compression.XZ:
            return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        case Compression.LZMA:
            return lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY)
        case Compression.BZIP2:
            return bz2.BZ2Decompressor()
    raise FormatError(f"{kind.value} compression cannot be read here", kind="unsupported")


def _bounded(
    codec: _Codec, kind: Compression, data: bytes, read: Callable[[], bytes]
) -> Generator[bytes, None, bytes]:
    while True:
        piece = codec.decompress(data, PIECE_BYTES)
        if piece:
            yield piece
        if codec.eof:
            return codec.unused_data
        data = b""
        if codec.needs_input:
            data = read()
            if not data:
                raise _truncated(kind)


def _zstd(data: bytes, read: Callable[[], bytes], limits: Limits) -> Generator[bytes, None, bytes]:
    window = limits.zstd_window_bytes
    idle = _IDLE_ZSTD.setdefault(window, [])
    try:
        decompressor = idle.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor(max_window_size=window)
    frame = decompressor.decompressobj()
    pieces: list[bytes] = []
    size = 0
    take = _ZSTD_SLICE
    while True:
        start = 0
        while start < len(data):
            piece = frame.decompress(data[start : start + take])
            start += take
            take = _ZSTD_HONEST_SLICE if len(piece) <= _ZSTD_HONEST_RATIO * take else _ZSTD_SLICE
            pieces.append(piece)
            size += len(piece)
            if size >= _ZSTD_PIECE:
                yield b"".join(pieces)
                pieces, size = [], 0
            if frame.eof:
                if size:
                    yield b"".join(pieces)
                if decompressor.memory_size() <= _IDLE_BYTES:
                    idle.append(decompressor)
                return frame.unused_data + data[start:]
        if size:
            yield b"".join(pieces)
        pieces, size = [], 0
        data = read()
        if not data:
            raise _truncated(Compression.ZSTD)


def _lz4(data: bytes, read: Callable[[], bytes]) -> Generator[bytes, None, bytes]:
    """The legacy lz4 format: a magic number, then blocks with their lengths, up to the end or a length of zero."""
    buffer = bytearray(data)

    def fill(need: int) -> bool:
        while len(buffer) < need:
            more = read()
            if not more:
                return False
            buffer.extend(more)
        return True

    fill(4)
    del buffer[:4]
    while fill(4):
        (length,) = struct.unpack_from("<I", buffer)
        if length == _LZ4_MAGIC:  # another archive follows
            del buffer[:4]
            continue
        if length == 0:
            return bytes(buffer)
        if length > _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16:
            raise FormatError(
                f"an lz4 block of {length} bytes is larger than the format allows", kind="corrupt"
            )
        if not fill(4 + length):
            raise _truncated(Compression.LZ4)
        piece: bytes = lz4.block.decompress(bytes(buffer[4 : 4 + length]), uncompressed_size=_LZ4_BLOCK)
        del buffer[: 4 + length]
        yield piece
    # Linux also ends at less than a length (lib/decompress_unlz4.c).
    return bytes(buffer)


def _truncated(kind: Compression) -> FormatError:
    return FormatError(
        f"the {kind.value} data ends in the middle of a member",
        kind="truncated",
        remedy="the bytes were cut before they were published: build and push again",
    )


def pack(data: bytes) -> bytes:
    """Compress data for `unpack`."""
    return zstandard.ZstdCompressor(level=1).compress(data)


def unpack(data: bytes, size: int) -> bytes:
    """Return the `size` bytes that `pack` compressed.

    Raises:
        FormatError: `data` is damaged, or has another size.
    """
    try:
        if zstandard.frame_content_size(data) == size:
            return zstandard.ZstdDecompressor().decompress(data)
    except (zstandard.ZstdError, MemoryError) as fault:
        raise FormatError(f"expected packed bytes: {fault}", kind="corrupt") from fault
    raise FormatError(f"expected {size} packed bytes, found another number", kind="corrupt")
