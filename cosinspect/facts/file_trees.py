"""The root of an image and an initrd as the same thing: a tree of files to look into."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from cosinspect.errors import FormatError
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["InitrdFiles", "RootFiles"]


class RootFiles:
    """The root of an image."""

    def __init__(self, rootfs: Rootfs, read: Callable[[str], str | None]) -> None:
        """Look into `rootfs`; `read` returns the text of a file, links followed."""
        self._rootfs = rootfs
        self._read = read

    def names(self, directory: str) -> Iterable[str]:
        """Return the names in a directory, links followed; none if there is no such directory."""
        entry = self._rootfs.trace(directory).entry
        return entry.node.children or () if entry is not None else ()

    def link(self, path: str) -> str | None:
        """Return the target of the symbolic link at a path, None if there is none."""
        entry = self._rootfs.trace(path, follow=False).entry
        return entry.link if entry is not None and entry.type == "symlink" else None

    def size(self, path: str) -> int | None:
        """Return the bytes of the regular file at a path, links followed; None if there is none."""
        entry = self._rootfs.trace(path).entry
        return entry.size if entry is not None and entry.type == "file" else None

    def text(self, path: str) -> str | None:
        """Return the text of the file at a path, links followed; None if it cannot be read."""
        return self._read(path)


class InitrdFiles:
    """What an initrd unpacks to."""

    def __init__(self, initrd: Initrd) -> None:
        """Look into `initrd`."""
        self._initrd = initrd

    @cached_property
    def _directories(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._initrd.members:
            parent, _, name = path.rpartition("/")
            found.setdefault(parent, []).append(name)
        return found

    def names(self, directory: str) -> Iterable[str]:
        """Return the names in a directory, links followed; none if there is no such directory."""
        member = self._initrd.lookup(directory)
        return self._directories.get(member.path, ()) if member is not None else ()

    def link(self, path: str) -> str | None:
        """Return the target of the symbolic link at a path, None if there is none."""
        member = self._initrd.lookup(path, follow=False)
        return member.target if member is not None else None

    def size(self, path: str) -> int | None:
        """Return the bytes of the regular file at a path, links followed; None if there is none."""
        member = self._initrd.lookup(path)
        return member.size if member is not None and member.type == "file" else None

    def text(self, path: str) -> str | None:
        """Return the text of the file at a path, links followed; None if it was not kept."""
        try:
            return self._initrd.read(path).decode("utf-8", "surrogateescape")
        except FormatError:
            return None
