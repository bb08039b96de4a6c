"""The merged tree as one tar archive, which any tool unpacks without knowing layers.

Directories come before what is in them, and a file before its hard links. Names that have no content come first, sorted; contents
follow in the order in which the layers store them, so that each layer is read once and nothing is kept; hard links end the archive.
Names are relative. Owners are numbers; times are whole seconds. Small holes of sparse files are written as zeros, because sqfstar 4.5
fails at a hole in the last block of a file; others stay holes, in GNU's PAX format 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TypeAlias

from attrs import frozen
from msgspec.structs import replace

from cosinspect.deadline import spend
from cosinspect.errors import CosinspectError
from cosinspect.layer.changeset import LayerEntry
from cosinspect.layer.layer import expanded
from cosinspect.rootfs.entry import Entry
from cosinspect.rootfs.member import Member, tree_members
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.tar.header import SparseMap
from cosinspect.tar.writer import BLOCK, END, ArchiveEntry, padding, write_header

__all__ = ["write_archive"]

_ZEROS = 64 << 20
"""The maximum number of bytes in all holes that are written as zeros."""

Write: TypeAlias = "Callable[[bytes], object]"

_TYPES = {"file": "0", "symlink": "2", "char": "3", "block": "4", "dir": "5", "fifo": "6"}


@frozen
class _Hardlink:
    """A further name of a file that is in the archive."""

    path: str
    target: str


def write_archive(rootfs: Rootfs, write: Write) -> None:
    """Write a merged tree as a tar archive.

    A layer is verified after its last byte. If it does not match the image, the archive ends in the middle of a file, so that no
    reader takes it for complete.

    Args:
        rootfs: the tree, with its layers.
        write: receives the archive piece by piece.

    Raises:
        SourceError: a layer cannot be fetched again.
        ContentError: a layer does not match the image; what was written must not be used.
    """
    written = _Counted(write)
    try:
        links, contents = _write_names(rootfs, written)
        sparse = _SparseFiles()
        while contents:
            contents = _write_contents(rootfs, contents, written, sparse)
        for link in links:
            written(_header(rootfs.lstat(link.path), link.target))
        written(END)
    except CosinspectError as fault:
        if not written.count:
            raise
        remedy = f"do not use the {written.count} bytes already written: the archive is not complete"
        raise fault.but(remedy=remedy) from fault


class _SparseFiles:
    """Decides which sparse files keep their holes."""

    def __init__(self) -> None:
        self._left = _ZEROS

    def stored(self, file: LayerEntry, pieces: Iterator[bytes]) -> tuple[SparseMap | None, Iterator[bytes]]:
        """Return the data regions of a file that keeps its holes, None for any other, and the bytes to store of `pieces`."""
        if file.sparse is None:
            return None, pieces
        holes = file.size - sum(length for _, length in file.sparse)
        if holes <= self._left:
            self._left -= holes
            return None, expanded(pieces, file)
        regions, moved = _aligned(file.sparse, file.size)
        whole = replace(file, sparse=moved, size=sum(length for _, length in regions))
        return regions, expanded(pieces, whole)


def _aligned(regions: SparseMap, size: int) -> tuple[SparseMap, SparseMap]:
    """Return regions that begin and end with blocks of the archive, as GNU tar requires, and where the given ones are in them."""
    found: list[tuple[int, int]] = []
    moved: list[tuple[int, int]] = []
    before = 0  # bytes of all regions so far
    for start, length in regions:
        spend()
        first, end = start - start % BLOCK, min(start + length + -(start + length) % BLOCK, size)
        if found and first <= sum(found[-1]):
            last = found.pop()
            before -= last[1]
            first, end = last[0], max(sum(last), end)
        moved.append((before + start - first, length))
        found.append((first, end - first))
        before += end - first
    return tuple(found), tuple(moved)


class _Counted:
    """Counts what is written."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.count = 0

    def __call__(self, data: bytes) -> None:
        self._write(data)
        self.count += len(data)


def _write_names(rootfs: Rootfs, write: Write) -> tuple[list[_Hardlink], dict[Hashable, list[str]]]:
    """Write everything without content; return the hard links, and the paths of the other files by their content's place."""
    first: dict[Hashable, str] = {}
    links: list[_Hardlink] = []
    contents: dict[Hashable, list[str]] = {}
    for member in tree_members(rootfs):
        if (
            member.identity is not None
            and (known := first.setdefault(member.identity, member.path)) != member.path
        ):
            links.append(_Hardlink(member.path, known))
        elif member.size:
            contents.setdefault(member.source, []).append(member.path)
        else:
            write(_member_header(member))
    return links, contents


def _write_contents(
    rootfs: Rootfs, contents: dict[Hashable, list[str]], write: Write, sparse: _SparseFiles
) -> dict[Hashable, list[str]]:
    """Write the first file of each content; return the files that are left."""
    entries = (rootfs.lstat(paths[0]) for paths in contents.values())
    # The last piece of a layer is written when the layer is verified.
    held = b""
    for place, pieces in rootfs.contents(entries, holes=False):
        write(held)
        held = b""
        entry = rootfs.lstat(contents[place][0])
        file = entry.node.entry
        assert file is not None  # noqa: S101 - only directories have none
        regions, stored_pieces = sparse.stored(file, pieces)
        write(_header(entry, sparse=regions))
        stored = 0
        for piece in stored_pieces:
            write(held)
            held = piece
            stored += len(piece)
        held += padding(stored)
    write(held)
    return {place: paths[1:] for place, paths in contents.items() if paths[1:]}


def _member_header(member: Member) -> bytes:
    name = member.path[1:]
    if member.type == "dir":
        name = f"{name}/" if name else "./"
    return write_header(
        ArchiveEntry(
            name=_bytes(name),
            type=_TYPES[member.type],
            mode=member.mode,
            uid=member.uid,
            gid=member.gid,
            mtime=member.mtime,
            link=_bytes(member.link),
            device=member.device,
            xattrs=member.xattrs,
        )
    )


def _header(entry: Entry, target: str | None = None, sparse: SparseMap | None = None) -> bytes:
    """Return the header of a file with content, or of a hard link to `target`."""
    link = target is not None
    return write_header(
        ArchiveEntry(
            name=_bytes(entry.path[1:]),
            type="1" if link else _TYPES[entry.type],
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime,
            size=0 if link else entry.size,
            link=_bytes(target[1:]) if target is not None else b"",
            xattrs={} if link else entry.xattrs,
            sparse=sparse,
        )
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
