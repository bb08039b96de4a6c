"""The space that a tree needs in a file system: bytes, inodes, and the sizes of its directories and links."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.tree import Inode, Node

__all__ = ["Usage", "measure"]

_FAST_LINK = 60
"""The length of a link's target from which it needs a block (ext2: i_block has 60 bytes)."""
_LONG_NAME = 63
"""The number of characters up to which a name has at most 255 bytes."""
_LONG_LINK = 255
_LARGE_ATTRIBUTES = 512
_MOST_NOTED = 1000


@frozen
class Usage:
    """The space that a tree needs.

    Attributes:
        listed: bytes of everything that is not a directory, hard links counted each time, links by the length of their target.
        inodes: files, directories, links and devices, a file with several names once.
        blocks: a lower bound of the blocks.
        most_blocks: an upper bound of the blocks: with indexed directories, and attributes that are not shared.
        odd: paths, at most 1000, that a file system may refuse: a long name, a long link, or large attributes.
    """

    listed: int
    inodes: int
    blocks: int
    most_blocks: int
    odd: tuple[str, ...] = field(default=(), repr=False)


def measure(rootfs: Rootfs, block: int, data_blocks: Callable[[int, int], int]) -> Usage:
    """Return the space of a tree in blocks of `block` bytes; `data_blocks` returns the blocks of a file's content.

    The first block of the root directory does not count, because a new file system has it.
    """
    root = rootfs.root.node
    listed, inodes = 0, 0
    own = _directory(root, block)
    blocks, most = own - 1, (0 if own == 1 else 2 * own)
    seen: set[Inode] = set()
    odd: list[str] = []
    waiting: list[tuple[str, Node]] = [("", root)]
    while waiting:
        path, directory = waiting.pop()
        for name, node in (directory.children or {}).items():
            entry = node.entry
            strange = len(name) > _LONG_NAME
            if node.children is not None:
                inodes += 1
                own = _directory(node, block)
                blocks += own
                # An indexed directory splits its blocks in halves.
                most += own if own == 1 else 2 * own + 1
                waiting.append((f"{path}/{name}", node))
            elif entry is not None:
                size = entry.size
                if entry.type == "symlink":
                    size = len(entry.link.encode("utf-8", "surrogateescape"))
                    strange = strange or size > _LONG_LINK
                listed += size
                first = node.inode is None or node.inode not in seen
                if node.inode is not None:
                    seen.add(node.inode)
                if first:
                    own = int(size >= _FAST_LINK) if entry.type == "symlink" else data_blocks(size, block)
                    inodes += 1
                    blocks += own
                    most += own
            if entry is not None and entry.xattrs:
                most += 1
                strange = strange or sum(map(len, entry.xattrs.values())) > _LARGE_ATTRIBUTES
            if strange and len(odd) < _MOST_NOTED:
                odd.append(f"{path}/{name}")
    return Usage(listed, inodes, blocks, most, tuple(sorted(odd)))


def _directory(node: Node, block: int) -> int:
    """Return the blocks of a directory whose entries are consecutive and do not cross blocks."""
    blocks, used = 1, 24  # `.` and `..`
    for name in node.children or ():
        length = 8 + (len(name.encode("utf-8", "surrogateescape")) + 3) // 4 * 4
        if used + length > block:
            blocks += 1
            used = 0
        used += length
    return blocks
