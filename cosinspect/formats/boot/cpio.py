"""cpio archives in the format of initramfs images, member by member, forward only.

Follows the Linux documentation (`driver-api/early-userspace/buffer-format.rst`) and, for what it leaves open,
`init/initramfs.c`: the "newc" format (magic 070701) and its variant with a checksum (070702), headers of 110 bytes in
hexadecimal at offsets that are multiples of 4, names and link targets of at most 4096 bytes with their NUL, an archive
that ends with a member named `TRAILER!!!` or with its input.

Refuses the older formats (070707 and the binary ones), which no kernel unpacks.
"""

from __future__ import annotations

import re
import stat
import struct
from binascii import unhexlify
from collections.abc import Callable, Iterator

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError

__all__ = [
    "PATH_BYTES",
    "CpioEntry",
    "Window",
    "body_pieces",
    "read_archive",
    "read_entry",
    "skip_body",
]

PATH_BYTES = 4096
"""The longest name and link target, with its NUL (Linux's PATH_MAX)."""

_HEADER_BYTES = 110
_FIELDS = struct.Struct(">13I")
_NEWC = b"070701"
_CRC = b"070702"
_TRAILER = b"TRAILER!!!"
_ZEROS = re.compile(rb"\0*")
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Window:
    """A window on bytes that arrive in pieces: it looks ahead, takes, skips, and knows its offset."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        """Start at offset 0 of the pieces that `read` returns; an empty piece is the end."""
        self._read = read
        self._buffer = b""
        self._at = 0
        self._fetched = 0

    @property
    def offset(self) -> int:
        """The offset of the next byte, counted from where the window started."""
        return self._fetched - len(self._buffer) + self._at

    def peek(self, count: int) -> bytes:
        """Return the next `count` bytes without taking them; fewer only at the end."""
        while len(self._buffer) - self._at < count:
            piece = self.piece()
            if not piece:
                break
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
        return self._buffer[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes and move past them.

        Raises:
            FormatError: the input ends before (`truncated`).
        """
        end = self._at + count
        if end <= len(self._buffer):
            taken = self._buffer[self._at : end]
            self._at = end
            return taken
        return b"".join(self.pieces(count))

    def skip(self, count: int) -> None:
        """Skip the next `count` bytes.

        Raises:
            FormatError: the input ends before (`truncated`).
        """
        end = self._at + count
        if end <= len(self._buffer):
            self._at = end
            return
        for _ in self.pieces(count):
            spend()

    def skip_zeros(self) -> None:
        """Skip zero bytes up to the next other byte, or the end."""
        while True:
            match = _ZEROS.match(self._buffer, self._at)
            if match is not None:
                self._at = match.end()
            if self._at < len(self._buffer) or not self.peek(1):
                return

    def pieces(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes in pieces of any size, and move past them.

        Raises:
            FormatError: the input ends before (`truncated`).
        """
        start = self.offset
        left = count
        while left:
            piece = self.rest() or self.piece()
            if not piece:
                raise FormatError(
                    f"expected {count} bytes at offset {start} and found {count - left} before the end",
                    kind="truncated",
                    offset=start,
                )
            if len(piece) > left:
                self.give_back(piece[left:])
                piece = piece[:left]
            left -= len(piece)
            yield piece

    def piece(self) -> bytes:
        """Return the next piece from the source; the window's own bytes come before it."""
        piece = self._read()
        self._fetched += len(piece)
        return piece

    def rest(self) -> bytes:
        """Return the bytes that the window holds and move past them, without reading on."""
        held = self._buffer[self._at :] if self._at else self._buffer
        self._buffer = b""
        self._at = 0
        return held

    def give_back(self, unread: bytes) -> None:
        """Push back bytes that were just returned; the window must be empty."""
        self._buffer = unread
        self._at = 0


@frozen(kw_only=True)
class CpioEntry:
    """One member of an archive, as its header describes it.

    Attributes:
        name: as written, up to the first NUL; bytes that are not UTF-8 as surrogate escapes. Empty if it is longer than `PATH_BYTES`: kernels
        skip such a member.
        type: `file`, `directory`, `symlink`, `character`, `block`, `fifo`, `socket` or `unknown`, by the mode.
        target: of a symbolic link, else None; also None if it is longer than `PATH_BYTES`.
        size: of the body, in bytes; of the hard links to a file, only the one with the body has a size above 0.
        inode: with `device`, identifies the file that hard links of one archive share if `nlink` is 2 or more.
        device: the major and minor number of the device that it was packed from.
        node: the major and minor number of a device node.
        checksum: the sum of the body's bytes that a 070702 header gives, else None.
        offset: of the header in the window.
    """

    name: str
    type: str
    target: str | None
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    size: int
    inode: int
    device: tuple[int, int]
    node: tuple[int, int]
    checksum: int | None
    offset: int

    @property
    def body_bytes(self) -> int:
        """The bytes of body that follow the entry; 0 for a symbolic link, whose body is `target`."""
        return 0 if self.target is not None else self.size


def read_archive(window: Window) -> Iterator[CpioEntry]:
    """Yield the members of one archive up to its trailer or the end of the input.

    The window is at the entry's body when the entry is yielded; the rest of the body is skipped before the next entry.

    Raises:
        FormatError: as `read_entry` and `skip_body`.
    """
    while window.peek(1):
        spend()
        entry = read_entry(window)
        if entry is None:
            return
        body = window.offset
        yield entry
        taken = window.offset - body
        if taken == 0:
            skip_body(window, entry)
        else:
            window.skip(entry.body_bytes - taken)
            _align(window)
        window.skip_zeros()


def read_entry(window: Window) -> CpioEntry | None:
    """Read the header, name and link target at the window's offset; None is the trailer, which is skipped with its padding.

    Raises:
        FormatError: the offset is not a multiple of 4 (`alignment`), there is no header (`magic`), the header is of another
            cpio format (`unsupported`), it is damaged (`header`, `name`), or ends early (`truncated`).
    """
    start = window.offset
    if start % 4:
        raise FormatError(
            f"expected a cpio header at a multiple of 4 and found one at offset {start}",
            kind="alignment",
            offset=start,
            remedy="put zero bytes in front of it",
        )
    header = window.peek(_HEADER_BYTES)
    _check_magic(header, start)
    if len(header) < _HEADER_BYTES:
        raise FormatError(
            f"the cpio archive ends in the middle of the header at offset {start}",
            kind="truncated",
            offset=start,
        )
    try:
        fields = _FIELDS.unpack(unhexlify(header[6:]))
    except ValueError as fault:
        raise FormatError(
            f"expected hexadecimal digits in the cpio header at offset {start} and found the bytes {header[6:].hex(' ')}",
            kind="header",
            offset=start,
        ) from fault
    window.skip(_HEADER_BYTES)
    inode, mode, uid, gid, nlink, mtime, size, major, minor, node_major, node_minor, name_bytes, checksum = (
        fields
    )
    raw = _read_name(window, name_bytes, start)
    target = None
    if stat.S_ISLNK(mode):
        if raw and size <= PATH_BYTES:
            target = _decode(window.take(size).partition(b"\0")[0])
            _align(window)
    elif raw == _TRAILER and (size == 0 or stat.S_ISREG(mode)):
        window.skip(size)
        _align(window)
        return None
    return CpioEntry(
        name=_decode(raw),
        type=_TYPES.get(stat.S_IFMT(mode), "unknown"),
        target=target,
        mode=mode,
        uid=uid,
        gid=gid,
        nlink=nlink,
        mtime=mtime,
        size=size,
        inode=inode,
        device=(major, minor),
        node=(node_major, node_minor),
        checksum=checksum if header[:6] == _CRC else None,
        offset=start,
    )


def body_pieces(window: Window, entry: CpioEntry) -> Iterator[bytes]:
    """Yield the body of the entry that was just read in pieces, then skip its padding.

    Raises:
        FormatError: it ends early (`truncated`) or its checksum is not the header's (`checksum`).
    """
    total = 0
    for piece in window.pieces(entry.body_bytes):
        if entry.checksum is not None:
            total += sum(piece)
        yield piece
    if entry.checksum is not None and entry.type == "file":
        _check_sum(total, entry)
    _align(window)


def skip_body(window: Window, entry: CpioEntry) -> None:
    """Skip the body of the entry that was just read, and its padding.

    Raises:
        FormatError: it ends early (`truncated`) or its checksum is not the header's (`checksum`).
    """
    if entry.checksum is not None and entry.type == "file":
        _check_sum(sum(map(sum, window.pieces(entry.body_bytes))), entry)
    else:
        window.skip(entry.body_bytes)
    _align(window)


def _check_magic(header: bytes, start: int) -> None:
    if header[:6] in {_NEWC, _CRC} or (len(header) < 6 and _NEWC.startswith(header[:5])):
        return
    old = {b"070707": "old portable", b"\xc7\x71": "old binary", b"\x71\xc7": "old binary"}
    name = old.get(header[:6]) or old.get(header[:2])
    if name:
        raise FormatError(
            f"expected a newc cpio header at offset {start} and found the {name} cpio format",
            kind="unsupported",
            offset=start,
            remedy="pack it with cpio -H newc",
        )
    raise FormatError(
        f"expected a cpio header (070701) at offset {start} and found the bytes {header[:6].hex(' ')}",
        kind="magic",
        offset=start,
    )


def _read_name(window: Window, length: int, start: int) -> bytes:
    if not 0 < length <= PATH_BYTES:
        window.skip(length)
        _align(window)
        return b""
    raw = window.take(length)
    if raw[-1]:
        raise FormatError(
            f"the name in the cpio header at offset {start} does not end with NUL", kind="name", offset=start
        )
    _align(window)
    return raw[: raw.index(0)]


def _align(window: Window) -> None:
    # The padding after the last body may be missing at the end of the input: kernels accept that.
    padding = -window.offset % 4
    if padding:
        window.skip(len(window.peek(padding)))


def _check_sum(found: int, entry: CpioEntry) -> None:
    if found & 0xFFFFFFFF != entry.checksum:
        raise FormatError(
            f"the bytes of {entry.name} add up to {found & 0xFFFFFFFF:08x} where its cpio header says {entry.checksum:08x}",
            kind="checksum",
            offset=entry.offset,
        )


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
