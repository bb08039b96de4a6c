"""The directories that one layer uses, its contradictions, and its dependencies on other layers.

Everything here is visible in one layer. Overlay snapshotters unpack each layer into its own directory, so an
entry's prerequisites must be in the same layer. Tools disagree about repeated or conflicting entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from cosinspect.errors import LimitExceeded
from cosinspect.layer.changeset import LayerEntry, Marker
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.path_walk import PathWalk

__all__ = ["Names", "Note", "Outline"]

Note: TypeAlias = Callable[[str, int, str, str], None]
"""A callback with an irregularity's kind, offset, message and path."""

Names: TypeAlias = "dict[str, Names | LayerEntry | int]"
"""Names to directories, to the offsets of regular files, and to all other entries; `_OWN` to the directory's own entry, `_USED` to
the offset of the first entry that needs it. A directory with `_GONE` is not part of the tree any more."""

_Found: TypeAlias = "LayerEntry | Names | int"
"""What is at a path; an offset for a regular file."""

_OWN = ""  # neither can be a name
_USED = "/"
_GONE = "//"


class Outline:
    """The entries of one layer by directory, filled in the archive's order.

    A tree, not a set of paths: the paths of all parents of a deep name take quadratic space.

    Attributes:
        directories: their number, with those of markers.
    """

    def __init__(self, note: Note, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._note = note
        self._limits = limits
        self._root: Names = {}
        self._found: dict[str, Names] = {"": self._root}
        self._behind: dict[int, Names] = {}  # what is written below an entry that is not a directory
        self._waiting: list[LayerEntry] = []  # hard links whose target has not appeared yet
        self.directories = 0

    def add(self, entry: LayerEntry) -> None:
        """Insert an entry, and note its conflicts.

        Raises:
            LimitExceeded: the layer uses more than `Limits.directories`.
        """
        parent, _, name = entry.path.rpartition("/")
        directory = self._found.get(parent)
        if directory is None or _GONE in directory:
            directory = self._found[parent] = self._descend(parent, entry)
        if entry.type == "hardlink" and self._at(entry.link) is None:
            self._waiting.append(entry)
        if not name:
            if _OWN in self._root:
                self._duplicate(entry)
            self._root[_OWN] = entry
            return
        old = directory.get(name)
        if isinstance(old, dict):
            if _OWN in old:
                self._duplicate(entry)
            elif entry.type != "dir":
                message = f"a {entry.type} where an earlier entry needs a directory"
                self._note("entry-over-children", entry.header, message, entry.path)
        elif old is not None:
            self._duplicate(entry)
        if old is not None and isinstance(old, dict) != (entry.type == "dir"):
            self._detach(old)
        if entry.type != "dir":
            directory[name] = entry.header if entry.type == "file" else entry
        elif isinstance(old, dict):
            old[_OWN] = entry
        else:
            directory[name] = self._directory(_OWN, entry)

    def names(self, path: str) -> Names | None:
        """Return the names in a directory in which the layer has an entry; None if it has none there, or replaced the directory.

        A regular file can be inserted with a name that is not among them, until another entry is added; `add` does the same.
        """
        found = self._found.get(path)
        return None if found is None or _GONE in found else found

    def finish(self, whiteouts: Iterable[Marker], opaques: Iterable[Marker]) -> None:
        """Note irregularities that need the whole layer.

        Raises:
            LimitExceeded: as `add` does.
        """
        for entry in self._waiting:
            if self._at(entry.link) is None:
                message = f"the hard link's target /{entry.link} is not in its layer"
                self._note("foreign-hardlink", entry.header, message, entry.path)
            else:
                message = f"the hard link's target /{entry.link} comes behind it"
                self._note("forward-hardlink", entry.header, message, entry.path)
        opaque = self._opaques(opaques)
        self._whiteouts(tuple(whiteouts), opaque)

    # -- entries ---------------------------------------------------------------------------------------------------

    def _detach(self, old: Names | LayerEntry | int) -> None:
        """Mark what was found below an entry that another kind of entry replaces: it is there no more."""
        waiting: list[_Found | None] = [old]
        while waiting:
            directory = waiting.pop()
            if directory is not None and not isinstance(directory, dict):
                directory = self._behind.pop(_offset(directory), None)
            if directory is not None and _GONE not in directory:
                waiting.extend(found for name, found in directory.items() if name not in (_OWN, _USED))
                directory[_GONE] = 0

    def _duplicate(self, entry: LayerEntry) -> None:
        self._note("duplicate-entry", entry.header, "a second entry for a path", entry.path)

    def _directory(self, key: str, value: LayerEntry | int) -> Names:
        self.directories += 1
        if self.directories > self._limits.directories:
            raise LimitExceeded(
                f"expected at most {self._limits.directories} directories in a layer, found more",
                limit="directories",
                bound=self._limits.directories,
                where="layer",
            )
        return {key: value}

    def _descend(self, path: str, entry: LayerEntry) -> Names:
        """Find or make the directory for an entry; note and replace what is not a directory on the way."""
        node = self._root
        names = path.split("/")
        for number, name in enumerate(names, 1):
            child = node.get(name)
            if child is None:
                child = node[name] = self._directory(_USED, entry.header)
            elif not isinstance(child, dict):
                at = "/".join(names[:number])
                if self._is_symlink(child):
                    message = f"an entry below the symbolic link /{at} of its own layer"
                    self._note("symlinked-parent", entry.header, message, entry.path)
                else:
                    kind = child.type if isinstance(child, LayerEntry) else "file"
                    message = f"an entry below /{at}, a {kind} of its own layer"
                    self._note("file-as-parent", entry.header, message, entry.path)
                below = self._behind.get(_offset(child))
                if below is None:
                    below = self._behind[_offset(child)] = self._directory(_USED, entry.header)
                child = below
            node = child
        return node

    def _is_symlink(self, entry: LayerEntry | int) -> bool:
        """Return whether an entry is a symbolic link, or another name of one."""
        hops = self._limits.link_hops
        found: _Found | None = entry
        while isinstance(found, LayerEntry) and found.type == "hardlink" and hops:
            hops -= 1
            found = self._at(found.link)
        return isinstance(found, LayerEntry) and found.type == "symlink"

    def _at(self, path: str) -> _Found | None:
        """Return what the layer has at a path; symbolic links are followed within the layer.

        A missing name counts as a directory if `..` leads out of it again: readers join such names lexically.
        """
        walk: PathWalk[_Found] = PathWalk(
            _ENTRIES, self._root, path, follow=False, most=self._limits.link_hops, by_letters=True
        )
        for step in walk:
            if step.node is None and ".." not in walk.waiting:
                return None
            if step.node is not None and not isinstance(step.node, dict) and walk.waiting:
                written = _below(self._behind.get(_offset(step.node)), walk.waiting[::-1])
                if written is not None:
                    return written
        return None if walk.problem else walk.stack[-1][1]

    # -- markers ---------------------------------------------------------------------------------------------------

    def _opaques(self, opaques: Iterable[Marker]) -> set[str]:
        """Note irregular opaque whiteouts, and return their directories."""
        found: set[str] = set()
        for marker in opaques:
            found.add(marker.path)
            if not marker.path:
                self._note("root-opaque", marker.offset, "an opaque whiteout of the root directory", "")
                continue
            directory = _below(self._root, marker.path.split("/"))
            used = directory.get(_USED) if isinstance(directory, dict) and _OWN not in directory else None
            if isinstance(used, int) and used < marker.offset:
                message = "an opaque whiteout behind entries of its directory, which has no entry itself"
                self._note("late-opaque", marker.offset, message, marker.path)
        return found

    def _whiteouts(self, whiteouts: tuple[Marker, ...], opaque: set[str]) -> None:
        gone: Names = {}
        for marker in whiteouts:
            node = gone
            for name in marker.path.split("/"):
                child = node.get(name)
                if not isinstance(child, dict):
                    child = node[name] = self._directory(_USED, marker.offset)
                node = child
            node[_OWN] = marker.offset
        for marker in whiteouts:
            if _below(self._root, marker.path.split("/")) is not None:
                message = "a whiteout beside an entry of the same layer for its path or below it"
                self._note("whiteout-beside-entry", marker.offset, message, marker.path)
            if marker.path.rpartition("/")[0] in opaque:
                message = "a whiteout in a directory that the same layer makes opaque"
                self._note("whiteout-in-opaque", marker.offset, message, marker.path)
            node = gone
            *parents, _ = marker.path.split("/")
            for name in parents:
                child = node[name]
                if not isinstance(child, dict):
                    break
                if _OWN in child:
                    message = "a whiteout below a directory that the same layer deletes"
                    self._note("nested-whiteout", marker.offset, message, marker.path)
                    break
                node = child


class _Entries:
    """The entries of a layer as a walk asks for them (`cosinspect.path_walk`)."""

    def is_directory(self, node: _Found, /) -> bool:
        return isinstance(node, dict)

    def child(self, directory: _Found, name: str, /) -> _Found | None:
        return directory.get(name) if isinstance(directory, dict) else None

    def target(self, node: _Found, /) -> str | None:
        return node.link if isinstance(node, LayerEntry) and node.type == "symlink" else None


_ENTRIES = _Entries()


def _offset(entry: LayerEntry | int) -> int:
    """Return where the header of an entry is."""
    return entry if isinstance(entry, int) else entry.header


def _below(directory: Names | None, names: list[str]) -> _Found | None:
    """Return what is at a path below a directory, without following links."""
    found: _Found | None = directory
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found
