"""How Go's readers read the members of a compressed layer, if other readers differ.

containerd, go-containerregistry and umoci inflate with Go's `compress/gzip` and with klauspost/compress. gzip
headers are read by the rules of the former (RFC 1952; compress/gzip: gunzip.go), zstd frames by RFC 8878.
"""

from __future__ import annotations

import struct
import zlib

from attrs import frozen

__all__ = ["ZSTD_MAGIC", "GzipHeader", "read_gzip_header", "zstd_header_bytes"]

GZIP_FIXED_BYTES = 10
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_TEXT_BYTES = 512
_HEADER_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16
_NO_MORE = -1


@frozen
class GzipHeader:
    """The header of one gzip member.

    Attributes:
        length: in bytes; 0 if more input is needed.
        fault: why Go refuses it, "" if it does not.
        corrupt: whether every reader refuses it.
    """

    length: int
    fault: str = ""
    corrupt: bool = False


def read_gzip_header(data: bytes) -> GzipHeader:
    """Read the header at the start of `data`; Go ignores reserved flags."""
    if len(data) < GZIP_FIXED_BYTES:
        return GzipHeader(0)
    if data[2] != 8:
        return GzipHeader(GZIP_FIXED_BYTES, f"the compression method {data[2]}", corrupt=True)
    flags = data[3]
    at = GZIP_FIXED_BYTES
    fault = ""
    if flags & _EXTRA:
        if len(data) < at + 2:
            return GzipHeader(0)
        at += 2 + int(struct.unpack_from("<H", data, at)[0])
    for flag, what in ((_NAME, "name"), (_COMMENT, "comment")):
        if flags & flag:
            end = data.find(b"\0", at)
            if end < 0 or at > len(data):
                return GzipHeader(0)
            if end - at >= _TEXT_BYTES:
                fault = fault or f"a {what} of {end - at} bytes, Go reads {_TEXT_BYTES - 1} at most"
            at = end + 1
    if flags & _HEADER_CRC:
        if len(data) < at + 2:
            return GzipHeader(0)
        if struct.unpack_from("<H", data, at)[0] != zlib.crc32(data[:at]) & 0xFFFF:
            return GzipHeader(at + 2, "a checksum of its header that does not fit", corrupt=True)
        at += 2
    return GzipHeader(at if at <= len(data) else 0, fault)


def zstd_header_bytes(data: bytes) -> int:
    """Return the length of a zstd frame's header with its magic number, -1 if more bytes are needed (RFC 8878, 3.1.1.1)."""
    if len(data) < 5:
        return _NO_MORE
    descriptor = data[4]
    single = descriptor >> 5 & 1
    size_flag = descriptor >> 6
    sizes = (1 if single else 0, 2, 4, 8)
    return 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + sizes[size_flag]
