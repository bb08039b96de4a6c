"""Files inside a file of the image: those of an initrd, as the kernel unpacks it, and the sections of an EFI program.

A unified kernel image is an EFI program; its section `.initrd` is an initrd, in which there are files again. So containers nest:
each is opened by its path in the one around it. Nothing is kept but one file's content, of at most 64 MiB out of an initrd; a section
is streamed.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

from attrs import evolve, frozen

from cosinspect.errors import FormatError, LimitExceeded, NotARegularFile, PathNotFound
from cosinspect.formats.boot.initrd import Initrd, UnpackedFile, read_initrd
from cosinspect.formats.boot.initrd_segments import BODIES_BYTES, Stream
from cosinspect.formats.boot.initrd_tree import LINK_STEPS, InitrdPaths
from cosinspect.formats.boot.pe import PE_HEAD_BYTES, PESection, read_pe
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["Container", "InnerFile", "open_container"]

_PIECE_BYTES = 1 << 20
_TYPES = {"directory": "dir", "character": "char"}
_MEANT = {"limit", "unsupported"}
"""The kinds of `FormatError` for what cannot be read here, though it may be right."""

Open: TypeAlias = "Callable[[], AbstractContextManager[Stream]]"


@frozen
class InnerFile:
    """A file in a container.

    Attributes:
        path: absolute in the container; that of a section is its name after a slash.
        type: `file`, `dir`, `symlink`, `char`, `block`, `fifo`, `socket`, or `section`.
        size: in bytes.
        mode: permission bits; 0 for a section, as are owner and time.
        link: target of a symbolic link, else "".
        device: major and minor number of a device, else (0, 0).
        place: index of the initrd's segment that wrote it last; offset of a section in the program.
    """

    path: str
    type: str
    size: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)
    place: int = 0

    @property
    def file_type(self) -> int:
        """The type as in `stat.S_IFMT`; a section is a regular file."""
        return _FILE_TYPES[self.type]


_FILE_TYPES = {
    "file": stat.S_IFREG,
    "section": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}


class Container(Protocol):
    """A file with files in it."""

    @property
    def kind(self) -> str:
        """What it is, for people."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a part of it is not read, as sentences without a full stop."""
        ...

    def listed(self, path: str, *, recursive: bool = False) -> Iterator[InnerFile]:
        """Yield what is in a directory, links followed, sorted, or the file itself at any other path.

        Raises:
            PathNotFound: nothing is there.
        """
        ...

    def open(self, path: str) -> tuple[int, Open]:
        """Return the size of a file, links followed, and what opens its content.

        Raises:
            PathNotFound: nothing is there.
            NotARegularFile: it is not a file.
            LimitExceeded: it is too large.
        """
        ...


def open_container(
    rootfs: Rootfs,
    path: str,
    within: Sequence[str] = (),
    *,
    wanted: str = "",
    limits: Limits = DEFAULT_LIMITS,
) -> Container:
    """Open a file of the image, links followed, and then the file at each path of `within` in the one before.

    Args:
        rootfs: the merged tree.
        path: of the outermost container.
        within: the further ones.
        wanted: the path of a file in the last that will be opened; an initrd is then read once.
        limits: of initrds.

    Raises:
        RootfsError: one of the paths is not there, or not a file.
        NotARegularFile: one of them is neither an initrd nor an EFI program.
        FormatError: one of them cannot be read here (`limit`, `unsupported`).
    """
    entry = rootfs.stat(path)
    if entry.type != "file":
        raise NotARegularFile(f"expected an initrd or an EFI program, found a {entry.type}", where=path)
    last = len(within)
    container = _open(lambda: rootfs.open(entry.path), entry.size, path, "" if within else wanted, limits)
    for number, inner in enumerate(within, 1):
        size, opened = container.open(inner)
        container = _open(opened, size, inner, wanted if number == last else "", limits)
    return container


def _open(source: Open, size: int, where: str, wanted: str, limits: Limits) -> Container:
    try:
        with _verified(source) as stream:
            head = _head(stream, min(size, PE_HEAD_BYTES))
            if head[:2] == b"MZ":
                return _Program(source, read_pe(head, size=size).sections, where)
            return _InitrdFiles(source, size, _Chained(head, stream), wanted, where, limits)
    except FormatError as fault:
        if fault.kind in _MEANT:
            raise fault.but(where=where) from fault
        found = {"magic": "neither", "empty": "an empty file"}.get(
            fault.kind, f"a damaged one: {fault.message}"
        )
        raise NotARegularFile(f"expected an initrd or an EFI program, found {found}", where=where) from fault


@contextmanager
def _verified(source: Open) -> Iterator[Stream]:
    """Open a stream that is verified to its end even if what is in it has another format than expected."""
    fault = None
    with source() as stream:
        try:
            yield stream
        except FormatError as raised:
            fault = raised
    if fault is not None:
        raise fault


def _head(stream: Stream, size: int) -> bytes:
    head = b""
    while len(head) < size and (piece := stream.read(size - len(head))):
        head += piece
    return head


class _SectionStream:
    """A part of a stream."""

    def __init__(self, stream: Stream, offset: int, size: int) -> None:
        self._stream = stream
        self._skip = offset
        self._left = size

    def read(self, size: int, /) -> bytes:
        while self._skip and (piece := self._stream.read(min(self._skip, _PIECE_BYTES))):
            self._skip -= len(piece)
        data = self._stream.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        return data


class _Chained:
    """The start of a stream that was read, and its rest."""

    def __init__(self, head: bytes, stream: Stream) -> None:
        self._head = io.BytesIO(head)
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        return self._head.read(size) or self._stream.read(size)


class _Program:
    """The sections of an EFI program."""

    kind = "EFI program"
    problems: tuple[str, ...] = ()

    def __init__(self, source: Open, sections: tuple[PESection, ...], where: str) -> None:
        self._source = source
        self._sections = sections
        self._where = where

    def listed(self, path: str, *, recursive: bool = False) -> Iterator[InnerFile]:
        wanted = self._sections if not path.strip("/.") else (self._found(path),)
        for section in wanted:
            yield InnerFile(f"/{section.name}", "section", section.size, place=section.offset)

    def open(self, path: str) -> tuple[int, Open]:
        section = self._found(path)

        @contextmanager
        def opened() -> Iterator[Stream]:
            with self._source() as stream:
                yield _SectionStream(stream, section.offset, section.size)

        return section.size, opened

    def _found(self, path: str) -> PESection:
        name = path.strip("/")
        found = next((each for each in self._sections if each.name in (name, f".{name}")), None)
        if found is None:
            names = ", ".join(dict.fromkeys(each.name for each in self._sections))
            raise PathNotFound(
                f"expected one of its sections {names}, found none of the name {path}", where=self._where
            )
        return found


class _InitrdFiles:
    """The files of an initrd."""

    kind = "initrd"

    def __init__(
        self, source: Open, size: int, stream: Stream, wanted: str, where: str, limits: Limits
    ) -> None:
        self._source = source
        self._size = size
        self._where = where
        self._limits = evolve(limits, initrd_body_bytes=BODIES_BYTES)
        name = "/".join(part for part in wanted.split("/") if part not in ("", "."))
        self._initrd = self._read(stream, {name})

    @property
    def problems(self) -> tuple[str, ...]:
        found = [
            f"{each.message}; the kernel unpacks what is in front of it" for each in self._initrd.problems
        ]
        if self._initrd.squashed:
            found.append("most of its files are in a file system image within it, which is not read")
        return tuple(found)

    def listed(self, path: str, *, recursive: bool = False) -> Iterator[InnerFile]:
        top = self._resolved(path, follow=True)
        member = self._initrd.members.get(top) if top is not None else None
        if top is None or (member is not None and member.type != "directory"):
            last = self._resolved(path, follow=False)
            member = self._initrd.members.get(last) if last is not None else None
            if member is None:
                raise PathNotFound("expected a file, it is not there", where=f"{self._where}: {path}")
            yield _inner(member)
            return
        if recursive and member is not None:
            yield _inner(member)
        prefix = f"{top}/" if top else ""
        below = (
            name
            for name in self._initrd.members
            if name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :])
        )
        for name in sorted(below, key=lambda name: name.split("/")):
            yield _inner(self._initrd.members[name])

    def open(self, path: str) -> tuple[int, Open]:
        where = f"{self._where}: {path}"
        found = self._resolved(path, follow=True)
        member = self._initrd.members.get(found) if found is not None else None
        if member is None:
            if found == "":
                raise NotARegularFile("expected a regular file, found a dir", where=where)
            raise PathNotFound("expected a file, it is not there", where=where)
        if member.type != "file":
            kind = _TYPES.get(member.type, member.type)
            raise NotARegularFile(f"expected a regular file, found a {kind}", where=where)
        if member.size > BODIES_BYTES:
            raise LimitExceeded(
                f"expected at most {BODIES_BYTES} bytes, the file has {member.size}",
                limit="initrd_body_bytes",
                bound=BODIES_BYTES,
                where=where,
            )

        @contextmanager
        def opened() -> Iterator[Stream]:
            yield io.BytesIO(self._body(member))

        return member.size, opened

    def _body(self, member: UnpackedFile) -> bytes:
        if not member.size:
            return b""
        kept = self._initrd.bodies.get(member.path)
        if kept is not None:
            return kept
        # Another name of the same file may have brought the body.
        twins = {
            path for path, each in self._initrd.members.items() if evolve(each, path=member.path) == member
        }
        with self._source() as stream:
            body = self._read(stream, twins).bodies.get(member.path)
        if body is None:
            raise FormatError("expected the file's content, it was not kept", kind="limit", where=member.path)
        return body

    def _read(self, stream: Stream, wanted: set[str]) -> Initrd:
        return read_initrd(stream, size=self._size, wanted=wanted.__contains__, limits=self._limits)

    def _resolved(self, path: str, *, follow: bool) -> str | None:
        return InitrdPaths(self._initrd.members, LINK_STEPS).resolve(path, follow=follow)


def _inner(member: UnpackedFile) -> InnerFile:
    return InnerFile(
        f"/{member.path}",
        _TYPES.get(member.type, member.type),
        member.size,
        member.mode,
        member.uid,
        member.gid,
        member.mtime,
        member.target or "",
        member.device,
        member.segment,
    )
