"""Tar archives of a layer's entries, valid or hostile.

A layer is a mapping of paths to entries, or a sequence of `(path, entry)` pairs if order or duplicates
matter. The archive is POSIX ustar with PAX records if ustar has no room (IEEE 1003.1, pax), or GNU tar's
dialect. Whiteouts follow image-spec, layer.md. Entries are not sorted, and no clock and no file system is
read: the same entries give the same bytes. Use `RawEntry` with `tar_header` and `pax_header` for content that
the writer does not make (bad checksums, odd type flags, two PAX headers).

It refuses paths that can only be mistakes in a valid layer (empty, `.` or `..` components); `RawName` permits
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypedDict

from attrs import evolve, field, frozen

from cosinspect.testing.entries import (
    Device,
    Directory,
    Entries,
    Entry,
    Fifo,
    File,
    Hardlink,
    NamedEntry,
    Opaque,
    RawEntry,
    RawName,
    Symlink,
    Whiteout,
    as_bytes,
)

__all__ = ["TarOptions", "pax_header", "tar_bytes", "tar_header"]

BLOCK = 512


class TarOptions(TypedDict, total=False):
    """Options of a layer's archive; see `tar_bytes`."""

    parents: bool
    format: Literal["pax", "gnu"]
    end_blocks: int
    pad_to: int
    trailing: bytes


def tar_bytes(
    entries: Entries,
    *,
    parents: bool = True,
    format: Literal["pax", "gnu"] = "pax",  # noqa: A002  # tar's and tarfile's own word for it
    end_blocks: int = 2,
    pad_to: int = BLOCK,
    trailing: bytes = b"",
) -> bytes:
    """Write `entries`, in the order given, as an uncompressed archive.

    Args:
        entries: the layer.
        parents: write a directory entry (0755, root) for each parent without an entry of its own, once, before its first child.
            Such an entry replaces what lower layers have at that path, such as a symbolic link; with False the parents
            stay implied.
        format: `pax` (as Go and Python write) or `gnu` (long names as entries, numbers in base 256).
        end_blocks: the number of zero blocks at the end: 2 as POSIX requires; 0 omits the end mark.
        pad_to: fill with zeros to a multiple of this; GNU tar's records are 10240.
        trailing: bytes after the archive.

    Raises:
        ValueError: a path is a mistake (see `RawName`), or the format cannot hold an entry.
    """
    if format not in ("pax", "gnu"):
        raise ValueError(f"a layer's format is 'pax' or 'gnu', not {format!r}")
    out = bytearray()
    for member in _members(_pairs(entries), parents=parents):
        out += member.data if isinstance(member, RawEntry) else _write(member, gnu=format == "gnu")
    out += bytes(BLOCK * end_blocks)
    out += bytes(-len(out) % pad_to)
    return bytes(out) + trailing


def tar_header(
    name: str | bytes,
    *,
    typeflag: bytes = b"0",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    linkname: str | bytes = b"",
    major: int = 0,
    minor: int = 0,
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
    checksum: int | None = None,
) -> bytes:
    r"""Return one header block with exactly these fields, valid or not.

    Fields that are too long are cut. Numbers too large for octal digits are written in GNU's base 256. The
    checksum is right unless one is given. With `magic=b"ustar \x00"` the block is GNU tar's, with zeros it is
    V7's.
    """
    block = b"".join(
        [
            as_bytes(name)[:100].ljust(100, b"\0"),
            _number(mode, 8) + _number(uid, 8) + _number(gid, 8) + _number(size, 12) + _number(mtime, 12),
            b" " * 8,
            typeflag[:1].ljust(1, b"\0"),
            as_bytes(linkname)[:100].ljust(100, b"\0"),
            magic[:8].ljust(8, b"\0"),
            bytes(64),  # user and group names; builders leave them empty
            _number(major, 8) + _number(minor, 8),
            prefix[:155].ljust(167, b"\0"),
        ]
    )
    total = sum(block) if checksum is None else checksum
    return block[:148] + b"%06o\0 " % total + block[156:]


def pax_header(records: Mapping[str, str | bytes], *, typeflag: bytes = b"x") -> bytes:
    """Return a PAX header with its records, for the next entry (`x`) or for all that follow (`g`)."""
    body = b"".join(_pax_record(as_bytes(key), as_bytes(value)) for key, value in records.items())
    header = tar_header("PaxHeaders.0/entry", typeflag=typeflag, size=len(body))
    return header + _padded(body)


def _pax_record(key: bytes, value: bytes) -> bytes:
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):  # the length counts its own digits
        length = len(rest) + len(str(length))
    return b"%d%s" % (length, rest)


def _padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % BLOCK)


def _number(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    raw = value.to_bytes(width, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


@frozen(kw_only=True)
class _Member:
    """An entry of a tar archive."""

    name: bytes
    typeflag: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Mapping[str, str | bytes] = field(factory=dict)
    linkname: bytes = b""
    body: bytes = b""
    major: int = 0
    minor: int = 0


def _pairs(entries: Entries) -> list[tuple[str | RawName, Entry]]:
    if isinstance(entries, Mapping):
        return list(entries.items())
    return list(entries)


def _members(pairs: list[tuple[str | RawName, Entry]], *, parents: bool) -> Iterator[_Member | RawEntry]:
    own = {_path(path) for path, entry in pairs if not isinstance(entry, Whiteout | Opaque | RawEntry)}
    for name, entry in pairs:
        if isinstance(entry, RawEntry):
            yield entry
            continue
        path = _path(name)
        if parents and isinstance(path, bytes):
            for parent in _parents(path, itself=isinstance(entry, Opaque)):
                if parent not in own:
                    own.add(parent)
                    yield _member(parent, Directory())
        yield _member(path, entry)


def _path(path: str | RawName) -> bytes | RawName:
    """A path without its outer slashes; the root is empty."""
    if isinstance(path, RawName):
        return path
    name = as_bytes(path).strip(b"/")
    if name in (b"", b".") and path:
        return b""
    if not name or any(part in (b"", b".", b"..") for part in name.split(b"/")):
        raise ValueError(
            f"{path!r} has an empty, '.' or '..' component: a layer that means it says RawName({path!r})"
        )
    if b"\0" in name:
        raise ValueError(f"{path!r} holds a NUL, which ends a name: write such a header with RawEntry")
    return name


def _parents(path: bytes, *, itself: bool) -> list[bytes]:
    parts = path.split(b"/") if path else []
    return [b"/".join(parts[:count]) for count in range(1, len(parts) + itself)]


def _member(path: bytes | RawName, entry: NamedEntry) -> _Member:
    if isinstance(entry, str | bytes):
        entry = File(entry)
    name = path.name if isinstance(path, RawName) else path
    if path == b"" and not isinstance(entry, Directory | Opaque):
        raise ValueError("the root of a layer can only be a directory: say RawName if another type is meant")
    match entry:
        case Whiteout():
            head, slash, base = name.rpartition(b"/")
            return _Member(name=head + slash + b".wh." + base, typeflag=b"0", mode=0o644)
        case Opaque():
            return _Member(name=name + b"/" * bool(name) + b".wh..wh..opq", typeflag=b"0", mode=0o644)
    member = _Member(
        name=name,
        typeflag=_TYPEFLAGS[type(entry)],
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=entry.mtime,
        xattrs=entry.xattrs,
    )
    match entry:
        case File():
            return evolve(member, body=entry.content)
        case Directory():
            return member if isinstance(path, RawName) else evolve(member, name=(name or b".") + b"/")
        case Symlink():
            return evolve(member, linkname=entry.target)
        case Hardlink():
            target = _path(entry.target)
            return evolve(member, linkname=target.name if isinstance(target, RawName) else target)
        case Device():
            typeflag = b"3" if entry.kind == "char" else b"4"
            return evolve(member, typeflag=typeflag, major=entry.major, minor=entry.minor)
        case Fifo():
            return member


_TYPEFLAGS = {File: b"0", Hardlink: b"1", Symlink: b"2", Device: b"3", Directory: b"5", Fifo: b"6"}


def _write(member: _Member, *, gnu: bool) -> bytes:
    return (_write_gnu if gnu else _write_pax)(member) + _padded(member.body)


def _write_pax(member: _Member) -> bytes:
    """A ustar header, after a PAX header if ustar has no room; PAX names are the raw bytes, as Go writes them."""
    records: dict[str, str | bytes] = {}
    name, prefix, linkname = member.name, b"", member.linkname
    if not name.isascii() or len(name) > 100:
        prefix, name = _split(name)
        if not prefix:
            records["path"] = member.name
            name = _ascii(name)
    if not linkname.isascii() or len(linkname) > 100:
        records["linkpath"] = linkname
        linkname = _ascii(linkname)

    def octal(key: str, value: int, digits: int) -> int:
        if 0 <= value < 8**digits:
            return value
        records[key] = str(value)
        return 0

    records |= {f"SCHILY.xattr.{key}": value for key, value in member.xattrs.items()}
    header = tar_header(
        name,
        typeflag=member.typeflag,
        mode=member.mode,
        uid=octal("uid", member.uid, 7),
        gid=octal("gid", member.gid, 7),
        size=octal("size", len(member.body), 11),
        mtime=octal("mtime", member.mtime, 11),
        linkname=linkname,
        prefix=prefix,
        major=member.major,
        minor=member.minor,
    )
    return pax_header(dict(sorted(records.items()))) + header if records else header


def _write_gnu(member: _Member) -> bytes:
    if member.xattrs:
        raise ValueError("GNU tar's own format has no extended attributes: use format='pax'")
    header = tar_header(
        member.name,
        typeflag=member.typeflag,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size=len(member.body),
        mtime=member.mtime,
        linkname=member.linkname,
        major=member.major,
        minor=member.minor,
        magic=_GNU_MAGIC,
    )
    long = b""
    for typeflag, text in ((b"K", member.linkname), (b"L", member.name)):
        if len(text) > 100:
            body = text + b"\0"
            start = tar_header("././@LongLink", typeflag=typeflag, size=len(body), magic=_GNU_MAGIC)
            long += start + _padded(body)
    return long + header


_GNU_MAGIC = b"ustar  \0"


def _split(name: bytes) -> tuple[bytes, bytes]:
    """A long name as ustar's prefix and name; an empty prefix where it does not fit."""
    if name.isascii():
        for cut in range(len(name) - 101, min(155, len(name) - 2) + 1):
            if cut > 0 and name[cut : cut + 1] == b"/":
                return name[:cut], name[cut + 1 :]
    return b"", name


def _ascii(text: bytes) -> bytes:
    """The header's name for readers without PAX support."""
    return bytes(byte for byte in text if byte < 0x80)[:100].rstrip(b"/")
