"""Published layers: a compressed archive of entries, with the digests of both.

The entries of `cosinspect.testing.entries` and the writer of `cosinspect.testing.tar_writer` can be imported
from here too. Compression stores no name and no time: the same entries give the same blob.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from typing import Literal, TypeAlias, Unpack

import zstandard
from attrs import field, frozen

from cosinspect.testing.entries import (
    Device,
    Directory,
    Entries,
    Entry,
    Fifo,
    File,
    Hardlink,
    Opaque,
    RawEntry,
    RawName,
    Symlink,
    Whiteout,
)
from cosinspect.testing.tar_writer import TarOptions, pax_header, tar_bytes, tar_header

__all__ = [
    "BuiltLayer",
    "Compression",
    "Device",
    "Directory",
    "Entries",
    "Entry",
    "Fifo",
    "File",
    "Hardlink",
    "Opaque",
    "RawEntry",
    "RawName",
    "Symlink",
    "TarOptions",
    "Whiteout",
    "build_layer",
    "compress",
    "decompress",
    "digest_of",
    "pax_header",
    "tar_bytes",
    "tar_header",
]

Compression: TypeAlias = Literal["gzip", "zstd", "none"]


def compress(data: bytes, compression: Compression) -> bytes:
    """Compress `data` as one member, without a file name or a time in its header."""
    match compression:
        case "gzip":
            # gzip.compress leaves the header's system byte to the zlib it finds; GzipFile writes its own.
            buffer = io.BytesIO()
            with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as stream:
                stream.write(data)
            return buffer.getvalue()
        case "zstd":
            return zstandard.ZstdCompressor(level=3).compress(data)
        case "none":
            return data
    raise ValueError(f"a layer's compression is 'gzip', 'zstd' or 'none', not {compression!r}")


def decompress(blob: bytes) -> bytes:
    """Return the archive in a layer's blob, compressed by gzip or zstd or not at all; its size is not bounded.

    Raises:
        ValueError: the compressed data is damaged.
    """
    try:
        if blob.startswith(b"\x1f\x8b"):
            return gzip.decompress(blob)
        if blob.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True).read()
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as fault:
        raise ValueError(f"expected a layer by gzip or zstd, found damaged data: {fault}") from fault
    return blob


@frozen
class BuiltLayer:
    """A published layer.

    Attributes:
        tar: the uncompressed archive.
        blob: the stored bytes.
        compression: of the blob.
    """

    tar: bytes = field(repr=False)
    blob: bytes = field(repr=False)
    compression: Compression

    @property
    def digest(self) -> str:
        """The blob's digest."""
        return digest_of(self.blob)

    @property
    def diff_id(self) -> str:
        """The digest of the uncompressed archive."""
        return digest_of(self.tar)


def build_layer(
    entries: Entries, *, compression: Compression = "gzip", **options: Unpack[TarOptions]
) -> BuiltLayer:
    """Write and compress a layer; `options` are those of `tar_bytes`."""
    tar = tar_bytes(entries, **options)
    return BuiltLayer(tar, compress(tar, compression), compression)


def digest_of(data: bytes) -> str:
    """Return the digest of `data`: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
