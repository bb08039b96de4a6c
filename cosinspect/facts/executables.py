"""Trees of files as a kernel and a dynamic loader look at them: the image's root, and what an initrd unpacks to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from attrs import frozen

from cosinspect.errors import CosinspectError, FormatError
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.boot.program import Program
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["ExecutableTree", "FoundFile", "InitrdTree", "RootTree"]

READ_AGAIN = 12
"""The maximum number of programs that are read in further skips a layer."""
READ_BY_TABLE = 500
"""Programs that are fetched one by one out of layers that are known by their tables of contents."""


@frozen
class FoundFile:
    """What is at a path, links followed.

    Attributes:
        path: without links, with a leading slash.
        type: `file`, `dir` or another.
        mode: the permission bits.
        size: in bytes.
        layer: position of the layer that gave it; None in an initrd.
    """

    path: str
    type: str
    mode: int
    size: int
    layer: int | None = None


class ExecutableTree(Protocol):
    """A tree that programs are executed in."""

    def find(self, path: str) -> FoundFile | None:
        """Return what is at a path, links followed; None if nothing is."""
        ...

    def absence(self, path: str) -> str:
        """Say in words why nothing is at a path."""
        ...

    def program(self, path: str) -> Program | None:
        """Return what a regular file is to a kernel; None if a bound of ours keeps that from being known."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return a small file's content, links followed; None if it cannot be had."""
        ...

    def names(self, directory: str) -> Collection[str]:
        """Return the names in a directory, links followed; none if there is no such directory."""
        ...


class RootTree:
    """The root filesystem of an image."""

    def __init__(self, rootfs: Rootfs) -> None:
        """Look into `rootfs`."""
        self._rootfs = rootfs
        self._left = READ_BY_TABLE if rootfs.by_table else READ_AGAIN

    def find(self, path: str) -> FoundFile | None:
        """Return what is at a path."""
        entry = self._rootfs.trace(path).entry
        if entry is None:
            return None
        return FoundFile(entry.path, entry.type, entry.mode, entry.size, entry.layer)

    def absence(self, path: str) -> str:
        """Return why nothing is at a path."""
        trace = self._rootfs.trace(path)
        if trace.problem == "loop":
            return f"its links go in a circle ({trace.chain})"
        if trace.problem == "not-a-directory":
            return f"{trace.at} is no directory"
        return f"its links end at {trace.at}, which is not there" if trace.hops else "it is not there"

    def program(self, path: str) -> Program | None:
        """Return what a regular file is to a kernel."""
        entry = self._rootfs.trace(path).entry
        if entry is None:
            return None
        if not self._rootfs.has_program(entry):
            if not self._left:
                return None
            self._left -= 1
        return self._rootfs.programs([entry]).get(entry.path)

    def read(self, path: str) -> bytes | None:
        """Return a small file's content."""
        try:
            return self._rootfs.read_bytes(path)
        except CosinspectError:
            return None

    def names(self, directory: str) -> Collection[str]:
        """Return the names in a directory."""
        entry = self._rootfs.trace(directory).entry
        return () if entry is None else tuple(self._rootfs.children(entry))


class InitrdTree:
    """What an initrd unpacks to."""

    def __init__(self, initrd: Initrd) -> None:
        """Look into `initrd`."""
        self._initrd = initrd

    def find(self, path: str) -> FoundFile | None:
        """Return what is at a path."""
        member = self._initrd.lookup(path)
        if member is None:
            return None
        kind = "dir" if member.type == "directory" else member.type
        return FoundFile(f"/{member.path}", kind, member.mode, member.size)

    def absence(self, path: str) -> str:
        """Return why nothing is at a path."""
        link = self._initrd.lookup(path, follow=False)
        if link is not None and link.target is not None:
            return f"it is a link to {link.target}, where nothing is"
        return "it is not there"

    def program(self, path: str) -> Program | None:
        """Return what a regular file is to a kernel."""
        member = self._initrd.lookup(path)
        if member is None or (member.program is None and member.size):
            return None
        return member.program or Program()

    def read(self, path: str) -> bytes | None:
        """Return a small file's content, of those that were kept."""
        try:
            return self._initrd.read(path)
        except FormatError:
            return None

    def names(self, directory: str) -> Collection[str]:
        """Return the names in a directory."""
        return self._initrd.listdir(directory)
