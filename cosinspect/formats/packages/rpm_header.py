"""The header of a package as rpm stores it in its databases, whatever the backend.

Two numbers (of index entries and of bytes of data), the index entries (tag, type, offset, count), the data; all big-endian
(rpm's `lib/header.c`, and "Header format" of its manual). Regions are tags like others here: what they cover is not verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import Package

__all__ = ["read_rpm_header"]

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_LICENSE, _ARCHITECTURE, _SOURCE = 1014, 1022, 1044
_INT32, _STRING, _TRANSLATED = 4, 6, 9
_TEXTS = frozenset([_NAME, _VERSION, _RELEASE, _LICENSE, _ARCHITECTURE, _SOURCE])

_ENTRY = struct.Struct(">IIII")
MOST_ENTRIES = 0xFFFF
"""The most index entries that rpm accepts (`HEADER_TAGS_MAX`)."""
MOST_BYTES = 0x10000000 - 1
"""The most data that rpm accepts (`HEADER_DATA_MAX`)."""
MOST_CHARACTERS = 4096
"""The longest name, version or license that is read."""


def read_rpm_header(blob: bytes | memoryview) -> Package:
    """Read what the header of a package says of its name.

    Raises:
        FormatError: of the kinds `truncated`, `limit`, or `structure`: a tag is of another type, or the name or the version is missing.
    """
    if len(blob) < 8:
        raise FormatError(f"a header has at least 8 bytes, this one has {len(blob)}", kind="truncated")
    entries, length = struct.unpack_from(">II", blob)
    if entries > MOST_ENTRIES or length > MOST_BYTES:
        raise FormatError(
            f"a header has at most {MOST_ENTRIES} tags and {MOST_BYTES} bytes, this one claims {entries} and {length}",
            kind="limit",
        )
    start = 8 + entries * _ENTRY.size
    if start + length > len(blob):
        raise FormatError(
            f"a header of {start + length} bytes is announced, {len(blob)} are there", kind="truncated"
        )
    index, data = bytes(blob[8:start]), memoryview(blob)[start : start + length]
    texts: dict[int, str] = {}
    epoch: int | None = None
    for tag, kind, offset, count in _ENTRY.iter_unpack(index):
        if tag in _TEXTS and tag not in texts:
            texts[tag] = _text(data, tag, kind, offset)
        elif tag == _EPOCH and epoch is None and count:
            if kind != _INT32 or offset + 4 > length:
                raise FormatError("expected the epoch to be a number of four bytes", kind="structure")
            (epoch,) = struct.unpack_from(">I", data, offset)
    for tag, what in ((_NAME, "name"), (_VERSION, "version")):
        if not texts.get(tag):
            raise FormatError(f"expected a header with a {what}", kind="structure")
    return Package(
        type="rpm",
        name=texts[_NAME],
        version="".join(_version(epoch, texts)),
        architecture=texts.get(_ARCHITECTURE, ""),
        source=texts.get(_SOURCE, ""),
        license=texts.get(_LICENSE, ""),
    )


def _version(epoch: int | None, texts: dict[int, str]) -> Iterator[str]:
    """Yield the parts of `[EPOCH:]VERSION[-RELEASE]`."""
    if epoch is not None:
        yield f"{epoch}:"
    yield texts[_VERSION]
    if texts.get(_RELEASE):
        yield f"-{texts[_RELEASE]}"


def _text(data: memoryview, tag: int, kind: int, offset: int) -> str:
    if kind not in (_STRING, _TRANSLATED):
        raise FormatError(f"expected tag {tag} to be a text, it is of type {kind}", kind="structure")
    content = bytes(data[offset : offset + MOST_CHARACTERS + 1])
    end = content.find(b"\0")
    if end < 0:
        raise FormatError(
            f"expected a text of at most {MOST_CHARACTERS} bytes with a NUL behind it, for tag {tag}",
            kind="truncated" if len(content) <= MOST_CHARACTERS else "limit",
        )
    return content[:end].decode("utf-8", "surrogateescape")
