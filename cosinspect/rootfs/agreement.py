"""Layers of which every reader provably makes the same tree, so that the other readers' trees need not be built.

The rules in which readers differ (`semantics`) concern markers, links on the way to an entry, repeated names, hard links, and
attributes that Linux refuses. Most images have none of these, and one pass over the entries shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cosinspect.deadline import in_time
from cosinspect.layer.changeset import LayerEntry, LayerIndex
from cosinspect.rootfs.node import IMPLIED_MODE, is_name
from cosinspect.rootfs.overlay import is_left_out
from cosinspect.rootfs.tree import is_storable
from cosinspect.rootfs.xattrs import refused_attribute

__all__ = ["readers_agree"]

_SETGID = 0o2000
_SHORT = 63  # a name of so many characters has at most 255 bytes


def readers_agree(indexes: Iterable[LayerIndex], *, guarded: bool) -> bool:
    """Return whether all readers certainly make equal trees of the layers, without a problem.

    `False` means that their trees must be built and compared; they may be equal all the same. Equal trees have the same paths
    with the same type, content, link, device, mode and owner.

    Args:
        indexes: the layers, bottom first.
        guarded: whether readers with the guards of `Rules.guarded` count as well.
    """
    layers = list(indexes)
    return all(not _is_irregular(index) for index in layers) and _Evidence(guarded=guarded).holds(layers)


def _is_irregular(index: LayerIndex) -> bool:
    """Return whether a layer has markers, or anything that another tar reader may read differently."""
    return bool(
        index.whiteouts
        or index.opaques
        or index.nameless
        or index.name_only
        or index.cuts
        or index.irregularities
    )


class _Evidence:
    """What was found in the layers so far.

    Attributes:
        directories: every path that is a directory, listed or implied.
        targets: paths of files that hard links of their own layer lead to.
    """

    def __init__(self, *, guarded: bool) -> None:
        self._guarded = guarded
        self.directories: set[str] = {""}
        self.targets: set[str] = set()
        self._implies = False
        self._inherits = False

    def holds(self, layers: Sequence[LayerIndex]) -> bool:
        """Return whether no rule in which the readers differ concerns these layers."""
        if not all(self._is_common(index.entries) for index in layers):
            return False
        if self._implies and self._inherits:
            return False  # the group of an implied directory depends on the order of entries
        return self._keeps_kinds(layers)

    def _is_common(self, entries: Sequence[LayerEntry]) -> bool:
        """Return whether the readers write each entry of a layer to its own path in the same way."""
        paths: set[str] = set()
        listed = {""}
        links: list[LayerEntry] = []
        roots = 0
        last = ""
        for entry in in_time(entries):
            path = entry.path
            if entry.fault or entry.name or (entry.xattrs and not _takes_attributes(entry)):
                return False
            above, _, name = path.rpartition("/")
            if above != last:
                if above not in listed and not self._imply(above):
                    return False
                last = above
            if len(name) > _SHORT and not is_name(name):
                return False
            paths.add(path)
            kind = entry.type
            if kind == "dir":
                if not path:
                    roots += 1
                    if not _is_plain_root(entry):
                        return False
                listed.add(path)
                self._inherits = self._inherits or bool(entry.mode & _SETGID)
            elif kind != "file" and not self._takes(entry, links):
                return False
            if self._guarded and ("\\" in path or path[1:2] == ":"):
                return False  # perhaps a name that leads out of the root
        self.directories |= listed
        # A name that stands twice in a layer is the first entry for one reader, the last for another.
        return len(paths) == len(entries) and roots <= 1 and self._bind(entries, links)

    def _takes(self, entry: LayerEntry, links: list[LayerEntry]) -> bool:
        """Return whether the readers agree on an entry that is neither a directory nor a regular file."""
        if entry.type == "hardlink":
            links.append(entry)
            return not entry.target and not entry.xattrs
        if entry.type == "symlink":
            return is_storable(entry.link) and not (self._guarded and is_left_out(entry, entry.path))
        return entry.type != "char" or entry.device != (0, 0)  # to overlayfs a whiteout

    def _imply(self, path: str) -> bool:
        """Record a directory that its layer has not listed so far; return whether its names are valid."""
        self._implies = True
        while path and path not in self.directories:
            self.directories.add(path)
            path, _, name = path.rpartition("/")
            if not is_name(name):
                return False
        return True

    def _bind(self, entries: Sequence[LayerEntry], links: Sequence[LayerEntry]) -> bool:
        """Return whether each hard link of a layer is another name of an earlier file of it, with the same attributes."""
        wanted = {entry.link for entry in links}
        if not wanted:
            return True
        files = {entry.path: entry for entry in entries if entry.type == "file" and entry.path in wanted}
        for link in links:
            file = files.get(link.link)
            if file is None or file.header >= link.header:
                return False
            if (file.mode, file.uid, file.gid) != (link.mode, link.uid, link.gid):
                return False
        self.targets |= wanted
        return True

    def _keeps_kinds(self, layers: Sequence[LayerIndex]) -> bool:
        """Return whether no path is a directory in one place and another kind of file elsewhere, and no link's target is replaced."""
        directories, targets = self.directories, self.targets
        seen: set[str] = set()
        for index in layers:
            for entry in in_time(index.entries):
                path = entry.path
                if path in directories and entry.type != "dir":
                    return False
                if targets and path in targets:
                    if path in seen:
                        return False
                    seen.add(path)
        return True


def _takes_attributes(entry: LayerEntry) -> bool:
    """Return whether Linux sets the extended attributes of an entry."""
    return refused_attribute(entry.xattrs or {}, entry.type) is None


def _is_plain_root(entry: LayerEntry) -> bool:
    """Return whether an entry for the root gives it the attributes that it has without one."""
    return entry.type == "dir" and (entry.mode, entry.uid, entry.gid) == (IMPLIED_MODE, 0, 0)
