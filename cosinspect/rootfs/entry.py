"""An entry of a merged tree, and the resolution of a path to it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from cosinspect.path_walk import Hop
from cosinspect.rootfs.tree import IMPLIED_MODE, Node

__all__ = ["Entry", "Hop", "Trace", "entry_at"]


@frozen
class Entry:
    """One name of the merged tree and its file.

    Attributes:
        path: absolute and without links; bytes that are not UTF-8 as surrogate escapes.
        type: `file`, `dir`, `symlink`, `char`, `block` or `fifo`.
        mode: permission bits, setuid, setgid and sticky included.
        size: bytes of a file's content, 0 for everything else.
        mtime: seconds since the epoch; 0 for a directory that no layer lists.
        link: target of a symbolic link as written, else "".
        device: major and minor number of a device, else (0, 0).
        layer: position of the layer with the name (for a directory: with its attributes), counted from 0 at the bottom.
        xattrs: extended attributes by name, values with surrogate escapes.
    """

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: str
    device: tuple[int, int]
    layer: int
    xattrs: Mapping[str, str] = field(hash=False)
    node: Node = field(repr=False, eq=False)

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_executable(self) -> bool:
        """Whether it is a regular file with an execute bit."""
        return self.type == "file" and bool(self.mode & 0o111)


@frozen
class Trace:
    """How a path resolves, or why it does not.

    Attributes:
        path: as given.
        hops: the links followed, in order, including those of directories.
        entry: what is at the end, or None.
        at: where the walk ended: the real path of `entry`, or of the first name that is missing.
        problem: "" on success, else `missing`, `loop`, or `not-a-directory`.
    """

    path: str
    hops: tuple[Hop, ...]
    entry: Entry | None
    at: str
    problem: str

    @property
    def chain(self) -> str:
        """The path and each link on it, in the usual notation: `/boot/vmlinuz -> vmlinuz-6.1`."""
        return " -> ".join([self.path, *(hop.target for hop in self.hops)])


def entry_at(path: str, node: Node) -> Entry:
    """Convert a node of the tree to the entry at `path`."""
    entry = node.entry
    if entry is None:
        return Entry(path, "dir", IMPLIED_MODE, 0, 0, 0, 0, "", (0, 0), node.layer, {}, node)
    owner = node.inode.attributes if node.inode is not None and node.inode.attributes is not None else entry
    return Entry(
        path, entry.type, owner.mode if entry.type != "symlink" else entry.mode, owner.uid, owner.gid, entry.size, owner.mtime, entry.link, entry.device,
        node.layer, entry.xattrs or {}, node,
    )  # fmt: skip
