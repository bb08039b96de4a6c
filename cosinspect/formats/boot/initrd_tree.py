"""The tree of files that a kernel makes of an initrd's members, and the resolution of paths in it.

Follows `init/initramfs.c` of Linux 6.1: how a member replaces an existing entry (`clean_path`, `maybe_link`, `do_name`,
`do_symlink`). Names are resolved from the root through the symbolic links of their directories. An
existing entry of another type is replaced, except a directory that is not empty. The kernel skips a member that cannot be
created, without a message; `UnpackedInitrd.left_out` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import Factory, define

from cosinspect.errors import FormatError
from cosinspect.formats.boot.cpio import PATH_BYTES, CpioEntry
from cosinspect.formats.boot.program import Program
from cosinspect.path_walk import LINKS, PathWalk

__all__ = [
    "LINK_HOPS",
    "LINK_STEPS",
    "NAMES_BYTES",
    "NAME_BYTES",
    "InitrdNode",
    "InitrdPaths",
    "UnpackedInitrd",
]

LINK_HOPS = LINKS

LINK_STEPS = (LINK_HOPS + 1) * PATH_BYTES
"""The most components of one path with all its links; Linux accepts no longer path."""

TREE_STEPS = 5_000_000
"""The most components walked to create all members of one initrd; an ordinary one of 20,000 members needs about 20,000."""

NAME_BYTES = 255
"""The longest component of a path (Linux's NAME_MAX)."""

NAMES_BYTES = 64 * 1024 * 1024
"""The most bytes of all names and link targets of one initrd."""

# The entries of the archive that is built into every kernel (usr/default_cpio_list).
_BUILT_IN = frozenset({"", "dev", "root"})


class _LinkOrFile(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def target(self) -> str | None: ...


class InitrdPaths:
    """Resolves paths in a tree that is a mapping from paths to entries."""

    def __init__(self, nodes: Mapping[str, _LinkOrFile], steps: int) -> None:
        """Walk over `nodes`, keyed by paths without a leading slash, and over at most `steps` components in total."""
        self._nodes = nodes
        self._steps = steps

    def resolve(self, path: str, *, follow: bool) -> str | None:
        """Return the path without links; None if it does not exist, a link dangles, or it has more than 40 links.

        Args:
            path: with or without leading slash; `..` does not leave the root.
            follow: whether a link at the end is followed too.

        Raises:
            FormatError: the walk reaches the limit of components (`limit`).
        """
        self._spend(path)
        return PathWalk(self, "", path, follow=follow, most=LINK_HOPS).end()

    def is_directory(self, node: str, /) -> bool:
        """Return whether a directory is at a path."""
        found = self._nodes.get(node)
        return found.type == "directory" if found is not None else node in _BUILT_IN

    def child(self, directory: str, name: str, /) -> str | None:
        """Return the path of a name in a directory, None if it does not exist."""
        path = f"{directory}/{name}" if directory else name
        return path if path in self._nodes or path in _BUILT_IN else None

    def target(self, node: str, /) -> str | None:
        """Return the target of a symbolic link, None for any other entry."""
        found = self._nodes.get(node)
        if found is None or found.target is None:
            return None
        self._spend(found.target)
        return found.target

    def _spend(self, path: str) -> None:
        self._steps -= path.count("/") + 1
        if self._steps < 0:
            raise FormatError(
                "the paths and links of the initrd have more components than are followed", kind="limit"
            )


@define(kw_only=True)
class InitrdNode:
    """The entry at a path, or at several paths if the file has hard links.

    Attributes:
        size: in bytes.
        target: of a symbolic link, else None.
        segment: the index of the segment that wrote it last.
        body: its bytes, if they are kept.
        wanted: whether to keep its bytes.
        program: how a kernel runs it, if it may be executed or loaded as a library; else None.
        children: the number of entries of a directory.
        device: the major and minor number of a device, else (0, 0).
    """

    type: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    target: str | None
    segment: int
    body: bytes | None = None
    wanted: bool = False
    program: Program | None = None
    children: int = 0
    device: tuple[int, int] = (0, 0)


@define(eq=False)
class UnpackedInitrd:
    """The files that members have created so far.

    Attributes:
        nodes: by path, without leading slash; the root itself is not among them.
        left_out: the names of members that could not be created.
    """

    nodes: dict[str, InitrdNode] = Factory(dict)
    left_out: list[str] = Factory(list)
    _names_bytes: int = 0
    _directories: dict[str, str] = Factory(dict)
    _links: dict[tuple[tuple[int, int], int], str] = Factory(dict)
    _walk: InitrdPaths = Factory(lambda self: InitrdPaths(self.nodes, TREE_STEPS), takes_self=True)

    def place(self, entry: CpioEntry) -> str | None:
        """Return the path at which a member is created; None if it cannot be created, or is the root.

        Raises:
            FormatError: the names so far are longer than the limit, or their links have too many components (`limit`).
        """
        self._names_bytes += len(entry.name) + len(entry.target or "")
        if self._names_bytes > NAMES_BYTES:
            raise FormatError(f"the names in the initrd are longer than {NAMES_BYTES} bytes", kind="limit")
        parent, _, name = entry.name.rstrip("/").rpartition("/")
        if name in {"", ".", ".."}:
            return None
        directory = self._directory(parent)
        path = None
        if directory is not None:
            path = f"{directory}/{name}" if directory else name
            if path == self._first_link(entry):
                self._remove(path)  # the kernel removes the old entry first, and then has no file to link to
            if not self._can_make(entry, path):
                path = None
        if path is None:
            self.left_out.append(entry.name)
        else:
            self._names_bytes += len(path)
        return path

    def linked(self, entry: CpioEntry) -> InitrdNode | None:
        """Return the file to which a member is another hard link, or None."""
        first = self._first_link(entry)
        return None if first is None else self.nodes.get(first)

    def write(
        self,
        entry: CpioEntry,
        path: str,
        *,
        segment: int,
        body: bytes | None = None,
        wanted: bool = False,
        program: Program | None = None,
    ) -> None:
        """Create a member at the path that `place` returned."""
        kind = entry.type
        linked = node = self.linked(entry)
        there = self.nodes.get(path)
        if linked is None and there is not None and there.type == kind and kind != "symlink":
            node = there  # overwritten in place: other links to it change too
        if node is None:
            node = InitrdNode(
                type=kind,
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                mtime=entry.mtime,
                size=entry.size,
                target=entry.target,
                segment=segment,
                body=body,
                wanted=wanted,
                program=program,
                device=entry.node if kind in {"character", "block"} else (0, 0),
            )
        else:
            node.mode, node.uid, node.gid, node.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
            node.segment = segment
            node.wanted = node.wanted or wanted
            # A further link without a body does not change the file's bytes.
            if entry.size or linked is None:
                node.size, node.body, node.program = entry.size, body, program
        if node is not there:
            self._remove(path)
            self._insert(path, node)
        if kind == "file" and entry.nlink >= 2:
            self._links.setdefault((entry.device, entry.inode), path)

    def forget_links(self) -> None:
        """End an archive: inode numbers of the next one are independent."""
        self._links.clear()

    def _directory(self, path: str) -> str | None:
        known = self._directories.get(path)
        if known is not None:
            return known
        found = self._walk.resolve(path, follow=True)
        if found is None or len(found) > PATH_BYTES:
            return None
        node = self.nodes.get(found)
        if node is not None and node.type != "directory":
            return None
        self._directories[path] = found
        return found

    def _can_make(self, entry: CpioEntry, path: str) -> bool:
        kind = entry.type
        if kind == "unknown" or (kind == "symlink" and entry.target is None):
            return False
        if kind != "directory" and entry.name.endswith("/"):
            return False
        if entry.size and kind not in {"file", "symlink"}:
            return False
        if len(path.rpartition("/")[2].encode("utf-8", "surrogateescape")) > NAME_BYTES:
            return False
        first = self._first_link(entry)
        if first is not None:
            node = self.nodes.get(first)
            if node is None or node.type != "file":
                return False
        there = self.nodes.get(path)
        return there is None or there.type != "directory" or kind == "directory" or not there.children

    def _first_link(self, entry: CpioEntry) -> str | None:
        """Return the first path of an inode in this archive."""
        if entry.type != "file" or entry.nlink < 2:
            return None
        return self._links.get((entry.device, entry.inode))

    def _insert(self, path: str, node: InitrdNode) -> None:
        self.nodes[path] = node
        parent = self.nodes.get(path.rpartition("/")[0])
        if parent is not None:
            parent.children += 1

    def _remove(self, path: str) -> None:
        node = self.nodes.pop(path, None)
        if node is None:
            return
        parent = self.nodes.get(path.rpartition("/")[0])
        if parent is not None:
            parent.children -= 1
        if node.type in {"directory", "symlink"}:
            self._directories.clear()
