"""Names and links that go-containerregistry refuses from 0.21 on, as it spells the rules (pkg/v1/mutate/mutate.go at v0.21.9).

Names are compared as Go's `path.Clean` returns them. A backslash counts as a slash, and a letter with a colon as a drive.
"""

from __future__ import annotations

import posixpath
import re

__all__ = ["OpaqueDirectories", "leaves_root", "link_leaves_root"]

_DRIVE = re.compile(r"[A-Za-z]:")


def leaves_root(name: str) -> bool:
    """Return whether an entry's cleaned name leads out of the root: the extraction ends at it."""
    clean = _clean(name.replace("\\", "/"))
    climbs = clean == ".." or clean.startswith("../")
    return climbs or name.startswith("\\") or _DRIVE.match(clean) is not None


def link_leaves_root(name: str, target: str) -> bool:
    """Return whether a link's relative target leads out of the root: the link is left out.

    The target of a hard link is joined to the link's own directory, too. The result counts by its first two characters, so that
    `..data` leads out as well.
    """
    clean = _clean(target.replace("\\", "/"))
    if clean.startswith("/"):
        return False
    if _DRIVE.match(clean) is not None:
        return True
    return _clean(posixpath.join(posixpath.dirname(name) or ".", clean)).startswith("..")


class OpaqueDirectories:
    """The directories that layers so far have emptied; those of the current layer count from the next layer on."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}
        self._opaque: set[str] = set()
        self._staged: set[str] = set()

    def stage(self, directory: str) -> None:
        """Take a directory that the current layer empties."""
        self._staged.add(directory)

    def promote(self) -> None:
        """End the current layer: what it empties hides the entries of the layers below."""
        if self._staged:
            self._opaque |= self._staged
            self._staged.clear()
            self._known.clear()

    def hides(self, name: str) -> bool:
        """Return whether a directory above a cleaned name is emptied."""
        way = []
        found = False
        while True:
            directory = posixpath.dirname(name) or "."
            if directory == name:
                break
            known = self._known.get(directory)
            if known is not None:
                found = known
                break
            way.append(directory)
            if directory in self._opaque:
                found = True
                break
            name = directory
        self._known.update(dict.fromkeys(way, found))
        return found


def _clean(path: str) -> str:
    """Return what Go's `path.Clean` does."""
    found = posixpath.normpath(path)
    return found[1:] if found.startswith("//") else found
