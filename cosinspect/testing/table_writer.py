"""Layers with a table of contents, as in eStargz and zstd:chunked, valid or hostile.

Small files are one chunk each; larger ones are cut at `CHUNK_BYTES`. stargz-snapshotter and
containers/storage read the result; their own writers cut at other places.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, Unpack

from attrs import field, frozen

from cosinspect.tar.reader import Header, TarStream
from cosinspect.testing.entries import Entries
from cosinspect.testing.layers import BuiltLayer, compress, digest_of
from cosinspect.testing.tar_writer import TarOptions, tar_bytes

__all__ = ["CHUNK_BYTES", "EditTable", "SeekableFormat", "SeekableLayer", "seekable_layer"]

CHUNK_BYTES = 64 * 1024
"""The size at which files are cut."""

SeekableFormat: TypeAlias = Literal["estargz", "zstd:chunked"]
EditTable: TypeAlias = Callable[[dict[str, Any]], None]
"""Changes the document of a table in place, so that it differs from the archive."""

_STARGZ_FILE = "stargz.index.json"
_TYPES = {
    "0": "reg",
    "1": "hardlink",
    "2": "symlink",
    "3": "char",
    "4": "block",
    "5": "dir",
    "6": "fifo",
}
_SKIPPABLE = b"\x50\x2a\x4d\x18"


@frozen
class SeekableLayer:
    """A layer with its table.

    Attributes:
        layer: the archive and the blob.
        annotations: those of its descriptor that vouch for the table.
        table: the written document.
    """

    layer: BuiltLayer
    annotations: dict[str, str]
    table: bytes = field(repr=False)


def seekable_layer(
    entries: Entries,
    *,
    kind: SeekableFormat = "estargz",
    edit_table: EditTable | None = None,
    **options: Unpack[TarOptions],
) -> SeekableLayer:
    """Write a layer with a table of contents; `options` are those of `tar_bytes`."""
    archive = tar_bytes(entries, **options)
    compression: Literal["gzip", "zstd"] = "gzip" if kind == "estargz" else "zstd"
    # The end mark of an eStargz layer comes after its table.
    cut = archive.rstrip(b"\0") if kind == "estargz" else archive
    cut += bytes(-len(cut) % 512)
    blob = bytearray()
    document: dict[str, Any] = {"version": 1, "entries": []}
    written = 0

    def write(data: bytes) -> int:
        start = len(blob)
        if data:
            blob.extend(compress(data, compression))
        return start

    stream = TarStream(iter([cut]))
    for header in stream:
        content = b"".join(iter(lambda: stream.read(1 << 20), b""))
        write(cut[written : header.data])
        document["entries"] += _lines(header, content, write)
        if kind == "zstd:chunked" and content:
            document["entries"][-1]["endOffset"] = len(blob)
        written = header.data + len(content)
    if edit_table is not None:
        edit_table(document)
    table = json.dumps(document).encode()
    if kind == "estargz":
        write(cut[written:])
        index = tar_bytes({_STARGZ_FILE: table}, parents=False)
        start = write(index)
        # The field's length 22, in an extra field of 26, in a member without content.
        extra = b"SG\x16\0" + b"%016xSTARGZ" % start
        blob += b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", len(extra)) + extra
        blob += b"\x01\0\0\xff\xff" + bytes(8)
        annotations = {"containerd.io/snapshot/stargz/toc.digest": digest_of(table)}
        return SeekableLayer(BuiltLayer(cut + index, bytes(blob), "gzip"), annotations, table)
    write(cut[written:])
    packed = compress(table, "zstd")
    start = len(blob) + 8
    blob += _SKIPPABLE + struct.pack("<I", len(packed)) + packed
    footer = struct.pack("<7Q", start, len(packed), len(table), 1, 0, 0, 0) + b"GNUlInUx"
    blob += _SKIPPABLE + struct.pack("<I", len(footer)) + footer
    annotations = {
        "io.github.containers.zstd-chunked.manifest-checksum": digest_of(packed),
        "io.github.containers.zstd-chunked.manifest-position": f"{start}:{len(packed)}:{len(table)}:1",
    }
    return SeekableLayer(BuiltLayer(archive, bytes(blob), "zstd"), annotations, table)


def _lines(header: Header, content: bytes, write: Callable[[bytes], int]) -> list[dict[str, Any]]:
    line: dict[str, Any] = {
        "type": _TYPES[header.type],
        "name": header.name,
        "mode": header.mode,
        "uid": header.uid,
        "gid": header.gid,
        "modtime": _time(header.mtime),
    }
    if header.link:
        line["linkName"] = header.link
    if header.device != (0, 0):
        line |= {"devMajor": header.device[0], "devMinor": header.device[1]}
    if header.xattrs:
        line["xattrs"] = {
            name: base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
            for name, value in header.xattrs.items()
        }
    if not content:
        return [line]
    line |= {"size": len(content), "digest": digest_of(content)}
    found = []
    for start in range(0, len(content), CHUNK_BYTES):
        piece = content[start : start + CHUNK_BYTES]
        chunk: dict[str, Any] = {"offset": write(piece), "chunkOffset": start, "chunkSize": len(piece)}
        chunk["chunkDigest"] = f"sha256:{hashlib.sha256(piece).hexdigest()}"
        found.append(line | chunk if not start else {"type": "chunk", "name": header.name, **chunk})
    return found


def _time(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
