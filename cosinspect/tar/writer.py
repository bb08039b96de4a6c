r"""Headers of a tar archive: POSIX ustar, with PAX records for values that do not fit into ustar.

Names are written as bytes, in any encoding. A long name that is UTF-8 is a PAX record; one that is not is a long name in
GNU tar's form, because a PAX record must be UTF-8 (IEEE 1003.1, pax). Sparse files are those of GNU's PAX format 1.0, whose map is in
front of the data. Equal entries have equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from cosinspect.tar.header import SparseMap

__all__ = ["BLOCK", "END", "ArchiveEntry", "padding", "write_header"]

BLOCK = 512

END = bytes(2 * BLOCK)
"""The end mark of an archive."""

_NAME, _PREFIX = 100, 155
_USTAR = b"ustar\x0000"
_GNU = b"ustar  \0"


@frozen(kw_only=True)
class ArchiveEntry:
    """One entry to write.

    Attributes:
        name: with a slash at its end for a directory.
        type: the type flag as one character: `0`, `1`, `2`, `3`, `4`, `5` or `6`.
        mode: permission bits, setuid, setgid and sticky included.
        mtime: seconds since the epoch; may be negative.
        size: of the content in bytes, 0 if the type has none; with its holes for a sparse file.
        link: target of a symbolic or hard link.
        device: major and minor number.
        xattrs: extended attributes, values with surrogate escapes.
        sparse: the data regions of a sparse file, which are the content that follows the header; None for any other.
    """

    name: bytes
    type: str = "0"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, str] = field(factory=dict)
    sparse: SparseMap | None = None


def write_header(entry: ArchiveEntry) -> bytes:
    """Return everything in front of an entry's content: extended headers, its header, and the map of a sparse file."""
    records: dict[str, bytes] = {}
    name, stored, sparse_map = entry.name, entry.size, b""
    if entry.sparse is not None:
        sparse_map = _sparse_map(entry.sparse, entry.size)
        stored = len(sparse_map) + sum(length for _, length in entry.sparse)
        records["GNU.sparse.major"], records["GNU.sparse.minor"] = b"1", b"0"
        records["GNU.sparse.name"] = name
        records["GNU.sparse.realsize"] = b"%d" % entry.size
        name = b"GNUSparseFile.0/%s" % name.rpartition(b"/")[2][: _NAME - 16]
    long = b""
    prefix, base = _split(name)
    if not base:
        long += _long(b"L", name) if not _is_utf8(name) else b""
        if not long:
            records["path"] = name
        base = name[:_NAME]
    link = entry.link
    if len(link) > _NAME:
        if _is_utf8(link):
            records["linkpath"] = link
        else:
            long += _long(b"K", link)
        link = link[:_NAME]

    def octal(key: str, value: int, digits: int) -> int:
        if 0 <= value < 8**digits:
            return value
        records[key] = b"%d" % value
        return 0

    header = _block(
        base,
        prefix,
        entry,
        link=link,
        uid=octal("uid", entry.uid, 7),
        gid=octal("gid", entry.gid, 7),
        size=octal("size", stored, 11),
        mtime=octal("mtime", entry.mtime, 11),
    )
    for key, value in entry.xattrs.items():
        records[f"SCHILY.xattr.{key}"] = value.encode("utf-8", "surrogateescape")
    return _extended(records) + long + header + sparse_map


def padding(size: int) -> bytes:
    """Return the zeros after a content of `size` bytes."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Return a name as ustar's prefix and name; both empty if it does not fit."""
    if len(name) <= _NAME:
        return b"", name
    end = len(name) - name.endswith(b"/")
    cut = name.find(b"/", max(len(name) - _NAME - 1, 1), end)
    return (name[:cut], name[cut + 1 :]) if 0 < cut <= _PREFIX else (b"", b"")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _long(kind: bytes, text: bytes) -> bytes:
    """Return GNU tar's entry for a long name (`L`) or a long link (`K`)."""
    body = text + b"\0"
    header = ArchiveEntry(name=b"././@LongLink", type=kind.decode(), mode=0)
    return _block(header.name, b"", header, size=len(body), magic=_GNU) + body + padding(len(body))


def _extended(records: Mapping[str, bytes]) -> bytes:
    if not records:
        return b""
    body = b"".join(
        _record(key.encode("utf-8", "surrogateescape"), value) for key, value in sorted(records.items())
    )
    header = ArchiveEntry(name=b"PaxHeaders.0/entry", type="x")
    return _block(header.name, b"", header, size=len(body)) + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):  # the length counts its own digits
        length = len(rest) + len(str(length))
    return b"%d%s" % (length, rest)


def _sparse_map(regions: SparseMap, size: int) -> bytes:
    """Return the map that precedes the data: the number of regions, and offset and length of each."""
    # GNU tar marks a hole at the end by an empty region there; other readers need none.
    ends = (*regions, (size, 0)) if not regions or sum(regions[-1]) < size else regions
    numbers = [len(ends), *(number for region in ends for number in region)]
    text = b"".join(b"%d\n" % number for number in numbers)
    return text + padding(len(text))


def _block(
    name: bytes,
    prefix: bytes,
    entry: ArchiveEntry,
    *,
    size: int,
    link: bytes = b"",
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    magic: bytes = _USTAR,
) -> bytes:
    """Return one header block."""
    block = b"".join(
        (
            name.ljust(_NAME, b"\0"),
            b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode, uid, gid, size, mtime),
            b" " * 8,
            entry.type.encode("ascii"),
            link.ljust(_NAME, b"\0"),
            magic,
            bytes(64),  # names of user and group: numbers count
            _number(entry.device[0]) + _number(entry.device[1]),
            prefix.ljust(_PREFIX, b"\0"),
            bytes(12),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _number(value: int) -> bytes:
    """Return a device number, in base 256 if it has more than seven octal digits."""
    return b"%07o\0" % value if value < 8**7 else b"\x80" + value.to_bytes(7, "big")
