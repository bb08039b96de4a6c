"""The proof that all readers make the same tree of some layers, collected while the layers are merged in place.

The readers of `cosinspect.rootfs.semantics` differ only in the cases of its tables. If the merge in place meets none of these
cases, no other reader's tree needs to be made. The proof is one-sided: without it the trees may still be equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import LayerEntry, LayerIndex, Marker
from cosinspect.layer.entry_table import EntryTable, table_of
from cosinspect.rootfs.guarded import leaves_root, link_leaves_root
from cosinspect.rootfs.node import IMPLIED_MODE, Node, held
from cosinspect.rootfs.xattrs import refused_attribute

__all__ = ["Agreement", "meets_guards"]

_SETGID = 0o2000
_DEEP = 100  # whose parents' paths take no quadratic time


class Agreement:
    """Observes a merge in place, and holds as long as no reader can differ.

    It requires:

    - a path keeps its kind through all layers, and a layer has one entry for it;
    - an entry is at its own path, below directories and not below links;
    - a hard link is after its target, in the target's layer, and has the target's mode and owner; no layer replaces or deletes
      a file with several names;
    - a whiteout deletes something from a directory that some layer lists, and no layer has an entry there again;
    - there is no opaque whiteout, no device 0/0, no irregular entry, and no attribute that Linux refuses.
    """

    def __init__(self) -> None:
        self.holds = True
        self._gone: set[str] = set()
        self._implies = False
        self._passes_group_on = False

    def end(self) -> None:
        """State that some reader may differ."""
        self.holds = False

    def layer(self, index: LayerIndex) -> None:
        """Observe a layer before its markers and entries."""
        if index.opaques or index.nameless or index.name_only or index.cuts:
            self.holds = False

    def root(self, entry: LayerEntry) -> None:
        """Observe an entry for the root: only the reader in place applies it."""
        if (entry.mode, entry.uid, entry.gid) != (IMPLIED_MODE, 0, 0) or entry.fault or entry.name:
            self.holds = False

    def entry(self, entry: LayerEntry, old: Node | None, position: int) -> None:
        """Observe an entry before it is written over `old`."""
        kind = entry.type
        if _is_read_differently(entry):
            self.holds = False
        elif old is None:
            if self._gone and entry.path in self._gone:
                self.holds = False
        elif kind == "dir":
            # A directory that the layer itself has implied gets its attributes here.
            if old.children is None or (old.layer == position and old.entry is not None):
                self.holds = False
        elif old.children is not None or old.layer == position or old.inode is not None:
            self.holds = False
        if kind == "dir" and entry.mode & _SETGID and entry.gid:
            self._passes_group_on = True
            self.holds = self.holds and not self._implies

    def irregular(self, table: EntryTable) -> None:
        """Observe a layer in which each path occurs once: all readers treat regular entries in the same way."""
        if any(_is_read_differently(entry) for entry in table.irregular.values()):
            self.holds = False

    def names(self, directory: str, names: Iterable[str]) -> None:
        """Observe files of such a layer in a directory, which may replace files of lower layers."""
        if self._gone and any((f"{directory}/{name}" if directory else name) in self._gone for name in names):
            self.holds = False

    def link(self, entry: LayerEntry, target: Node, position: int) -> None:
        """Observe a hard link to a file."""
        file = target.entry
        if (
            file is None
            or file.type != "file"
            or not target.layer == target.source == position
            or (file.mode, file.uid, file.gid) != (entry.mode, entry.uid, entry.gid)
        ):
            self.holds = False

    def implied(self) -> None:
        """Observe a directory that is made because an entry needs it: its group depends on when its parent is written.

        A whiteout may have deleted it; its path is not looked up, since paths of all parents of deep names take quadratic time.
        """
        self._implies = True
        if self._passes_group_on or self._gone:
            self.holds = False

    def whiteouts(self, index: LayerIndex, doomed: Sequence[tuple[Marker, Node, str | None]]) -> None:
        """Observe the whiteouts of a layer, with what they are going to delete."""
        if not index.whiteouts:
            return
        if len(doomed) != len(index.whiteouts):  # something has no directory to be in
            self.holds = False
        for marker, directory, name in in_time(doomed):
            node = None if name is None or directory.children is None else directory.children.get(name)
            if (
                marker.is_directory
                or marker.name
                or marker.link  # a reader with guards leaves out a link that leaves the root
                or node is None
                or (directory.entry is None and "/" in marker.path)  # not even made if nothing is left in it
                or marker.path.count("/") > _DEEP
                or marker.path in self._gone
                or _has_several_names(node)
            ):
                self.holds = False
            if not self.holds:
                return
            self._gone.add(marker.path)
        for marker in in_time(index.whiteouts):
            parent = marker.path
            while parent := parent.rpartition("/")[0]:
                if parent in self._gone:  # one whiteout below another
                    self.holds = False
                    return


def _is_read_differently(entry: LayerEntry) -> bool:
    kind = entry.type
    if entry.fault or entry.name or entry.target or (kind == "char" and entry.device == (0, 0)):
        return True
    if not entry.xattrs:
        return False
    return refused_attribute(entry.xattrs, "file" if kind == "hardlink" else kind) is not None


def _has_several_names(top: Node) -> bool:
    waiting = [top]
    while waiting:
        spend()
        node = waiting.pop()
        if node.inode is not None:
            return True
        waiting.extend(held(node))
    return False


def meets_guards(indexes: Iterable[LayerIndex]) -> bool:
    """Return whether a reader with guards leaves something out of the layers, or ends at it (`cosinspect.rootfs.guarded`)."""
    for index in indexes:
        if any(marker.link or leaves_root(marker.path) for marker in in_time(index.whiteouts)):
            return True
        table = table_of(index.entries)
        # A path in its normal form leaves the root by a backslash or a drive only.
        odd = any(
            table.has_in_names(sign) or any(sign in each for each in table.directories) for sign in "\\:"
        )
        if odd and any(leaves_root(entry.path or ".") for entry in in_time(table)):
            return True
        for row, link in in_time(table.links.items()):
            if link_leaves_root(table[row].path, link):
                return True
    return False
