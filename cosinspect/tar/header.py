"""The fields of tar headers and PAX records, read exactly as Go's `archive/tar` reads them (strconv.go).

Python's `int` accepts underscores, signs and blanks that Go's parser refuses, so every use of it is guarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

__all__ = [
    "HEADER_BYTES",
    "Header",
    "Pending",
    "SparseMap",
    "is_valid_sparse",
    "parse_decimal",
    "parse_number",
    "parse_octal",
    "parse_pax_records",
    "parse_text",
    "rewritten_bytes",
    "unwritable",
]

SparseMap = tuple[tuple[int, int], ...]
"""Offset and length of each data region of a sparse file; the rest is zeros."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """One entry of an archive, merged with its extended headers.

    It is a msgspec structure for speed: a layer has tens of thousands of entries.

    Attributes:
        name: raw, bytes that are not UTF-8 as surrogate escapes.
        type: the type flag as one character; an old regular entry with a trailing slash has "5".
        mode: permission bits as written.
        mtime: seconds since the epoch, fractions dropped.
        size: of the file's content, in bytes.
        link: raw target of a symbolic or hard link.
        device: major and minor number; (0, 0) if the entry is not a device.
        offset: of the first header block, in bytes of the uncompressed archive.
        data: offset of the content.
        stored: bytes of content in the archive; differs from `size` for sparse files.
        sparse: the data regions of a sparse file, or None.
        xattrs: extended attributes by name, values with surrogate escapes.
        fault: why a tool cannot write the header again, "" if it can; see `unwritable`.
    """

    name: str
    type: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    link: str
    device: tuple[int, int]
    offset: int
    data: int
    stored: int
    sparse: SparseMap | None
    xattrs: dict[str, str] | None
    fault: str = ""


HEADER_BYTES = 1 << 20
"""The longest extended header that Go reads and writes (archive/tar: maxSpecialFileSize)."""

_FIELD_BOUND = 1 << 21
_FIELD_BYTES = 100  # of a name or link in a header
_NUMBERS = frozenset(("uid", "gid", "size", "mtime", "atime", "ctime"))
_ROOM = {"uid": 1 << 21, "gid": 1 << 21, "size": 1 << 33, "mtime": 1 << 33}  # in octal digits of a header
_NUMBER_CHARACTERS = 30  # Go never writes a longer number or time
_NAMED_TYPES = frozenset("0346S")


def unwritable(
    kind: str, name: str, mode: int, device: tuple[int, int], size: int, *, header_only: bool
) -> str:
    """Return why Go's `archive/tar` cannot write an entry that it has read, "" if it can.

    go-containerregistry's `mutate.Extract` writes PAX (archive/tar, common.go: allowedFormats). PAX cannot
    represent a mode or a device number of more than 21 bits (`mode`, `device`), a name with a NUL (`nul`),
    which a record of a sparse file can contain, or the name of a file that ends with a slash (`slash`); among
    clean names only "/" does. If a type without content has a size (`size`), the header is written, and
    copying the content fails.

    Args:
        kind: the type flag.
        name: as the reader returns it.
        mode: as written.
        device: as written, for every type.
        size: as written, or from a PAX record.
        header_only: whether the type has no content.
    """
    if "\0" in name:
        return "nul"
    if not 0 <= mode < _FIELD_BOUND:
        return "mode"
    if not (0 <= device[0] < _FIELD_BOUND and 0 <= device[1] < _FIELD_BOUND):
        return "device"
    if kind in _NAMED_TYPES and name[:1] == "/" and _is_root(name):
        return "slash"
    return "size" if header_only and size > 0 else ""


def rewritten_bytes(
    records: Mapping[str, str],
    name: str,
    link: str = "",
    numbers: Mapping[str, int] = MappingProxyType({}),
    *,
    is_global: bool = False,
) -> int:
    """Return the length of the PAX header that Go writes for an entry, with less than 200 bytes too many for its numbers.

    A name or link is a record if it is not ASCII or has more than 100 bytes, independent of its source: a long name of GNU tar is not
    in `records` (archive/tar, common.go: allowedFormats).

    Args:
        records: of the PAX header that was read.
        name: as Go's `filepath.Clean` returns it.
        link: as read.
        numbers: the entry's numbers by the keys of their records; one that has no room in the header is a record, too.
        is_global: whether it is a global header, whose records are all written.
    """
    own = {
        key: value[:_NUMBER_CHARACTERS] if key in _NUMBERS and not is_global else value
        for key, value in records.items()
        if is_global or not (key in ("path", "linkpath") or key.startswith("GNU.sparse."))
    }
    texts = {"path": name, "linkpath": link}
    own.update(
        (key, text)
        for key, text in texts.items()
        if records.get(key) == text or not text.isascii() or len(text) > _FIELD_BYTES
    )
    own.update((key, str(number)) for key, number in numbers.items() if not 0 <= number < _ROOM[key])
    total = 0
    for key, value in own.items():
        body = len(key.encode("utf-8", "surrogateescape")) + len(value.encode("utf-8", "surrogateescape")) + 3
        digits = len(str(body))
        total += body + digits + (len(str(body + digits)) > digits)
    return total


def _is_root(name: str) -> bool:
    depth = 0
    for component in name.split("/"):
        if component == "..":
            depth = max(depth - 1, 0)
        elif component not in ("", "."):
            depth += 1
    return depth == 0


def parse_number(field: bytes) -> int | None:
    """Read a numeric field: base-256 where its first bit is set, else octal; None if it is not a number."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field) - 1
        value &= (1 << bits) - 1
        if field[0] & 0x40:
            value -= 1 << bits
        return value if -(2**63) <= value < 2**63 else None
    return parse_octal(field)


def parse_octal(field: bytes) -> int | None:
    """Read octal digits between NULs and blanks; an empty field is 0, anything but digits is None."""
    text = field.strip(b" \0")
    if b"\0" in text:
        text = text.partition(b"\0")[0]
    if not text:
        return 0
    if not text.isdigit():
        return None
    try:
        value = int(text, 8)
    except ValueError:  # an 8 or a 9
        return None
    if value >= 2**64:
        return None
    return value - 2**64 if value >= 2**63 else value


def parse_text(field: bytes) -> str:
    """Decode a string up to its first NUL; bytes that are not UTF-8 become surrogate escapes."""
    if b"\0" in field:
        field = field[: field.index(b"\0")]
    return field.decode("utf-8", "surrogateescape")


def parse_decimal(text: str) -> int | None:
    """Read a number as Go's `ParseInt(text, 10, 64)` does: an optional sign and ASCII digits, 64 bits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    # Leading zeros are allowed; Python refuses to convert very many digits.
    significant = digits.lstrip("0")
    if len(significant) > 19:
        return None
    value = int(text[: -len(digits)] + (significant or "0"))
    return value if -(2**63) <= value < 2**63 else None


def parse_pax_records(data: bytes) -> dict[str, str] | None:
    """Read the records of an extended header (archive/tar: parsePAX), or None if one is malformed."""
    records: dict[str, str] = {}
    sparse: list[str] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at)
        if space < 0:
            return None
        length = parse_decimal(data[at:space].decode("latin-1"))
        if length is None or length < 5 or at + length > len(data):
            return None
        end = at + length
        if end - 1 <= space or data[end - 1 : end] != b"\n":
            return None
        raw_key, equals, raw_value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not raw_key:
            return None
        key = raw_key.decode("utf-8", "surrogateescape")
        value = raw_value.decode("utf-8", "surrogateescape")
        if "\0" in (value if key in ("path", "linkpath", "uname", "gname") else key):
            return None
        if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            if (key == "GNU.sparse.offset") != (len(sparse) % 2 == 0) or "," in value:
                return None
            sparse.append(value)
        else:
            records[key] = value
        at = end
    if sparse:
        records["GNU.sparse.map"] = ",".join(sparse)
    return records


def is_valid_sparse(found: SparseMap, size: int, stored: int) -> bool:
    """Return whether a map is ascending, within the file, and covers every stored byte.

    Go verifies the first two with the header (archive/tar: validateSparseEntries), and the last when the
    content is read (sparseFileReader), which every unpacking tool does.
    """
    if size < 0:
        return False
    before = 0
    for start, length in found:
        if start < 0 or length < 0 or start < before or start + length > size:
            return False
        before = start + length
    return sum(length for _, length in found) == stored


class Pending:
    """The content of extended headers for the entry that follows them."""

    __slots__ = ("link", "long", "name", "pax", "saw", "size")

    def __init__(self) -> None:
        self.pax: dict[str, str] = {}
        self.name = ""
        self.link = ""
        self.saw: set[int] = set()
        self.size = 0  # of the PAX header
        self.long = 0  # of long names and links
