"""The entries of one layer by directory, if they can be written in any order.

Nearly all layers are of this kind: each path occurs once, nothing but directories has something below it, and each hard link is
after its target. A directory's files are then written together.
"""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.deadline import spend
from cosinspect.layer.entry_table import EntryTable
from cosinspect.rootfs.node import NAME_BYTES, Node, is_name, is_storable

__all__ = ["Batches"]

_SHORT = NAME_BYTES // 4
_MOST_TEXT = 64 << 20  # characters in the paths of all parents, which are quadratic for deep names


class Batches:
    """A layer's entries, in any order that puts directories first and hard links last.

    Attributes:
        table: the entries.
        directories: the rows of directories.
        hardlinks: the rows of hard links.
    """

    def __init__(self, table: EntryTable) -> None:
        self.table = table
        self.directories = list(table.rows_of_type("dir"))
        self.hardlinks = list(table.rows_of_type("hardlink"))
        self._apart = {*self.directories, *self.hardlinks}

    @classmethod
    def of(cls, table: EntryTable, root: Node) -> Batches | None:
        """Return the batches of a layer over the tree at `root`, None if the order of its entries counts there."""
        if any(
            entry.fault or entry.name or entry.target for entry in table.irregular.values()
        ) or table.has_in_names("\0"):
            return None
        found = cls(table)
        if found._is_orderless() and found._stand_straight(root):
            return found
        return None

    def __iter__(self) -> Iterator[tuple[str, list[int]]]:
        """Yield each directory with the rows of the files in it, sorted by name."""
        for number, directory in enumerate(self.table.directories):
            rows = self.table.rows(number)
            files = [row for row in rows if row not in self._apart]
            if files:
                yield directory, files

    def _is_orderless(self) -> bool:
        """Return whether the order does not count within the layer."""
        table = self.table
        for number in range(len(table.directories)):
            names = list(map(table.name, table.rows(number)))
            spend(len(names))
            if len(set(names)) != len(names):
                return False
            if max(map(len, names), default=0) > _SHORT and not all(map(is_name, names)):
                return False
        for row, link in table.links.items():
            kind = table.type(row)
            if kind == "symlink":
                if not is_storable(link):
                    return False
            elif kind == "hardlink":
                target = table.find(link)
                if target is None or target >= row or table.type(target) == "dir":
                    return False
        # A link without a target, or an entry of the root that is not a directory.
        without = (*table.rows_of_type("symlink"), *self.hardlinks)
        top = table.find("")
        return all(row in table.links for row in without) and (top is None or table.type(top) == "dir")

    def _stand_straight(self, root: Node) -> bool:
        """Return whether each directory with an entry is a directory, in the layer and in the tree, or is in neither."""
        table = self.table
        known: dict[str, Node | None] = {"": root}
        text = 0
        for directory in table.directories:
            way = []
            above = directory
            while above not in known:
                spend()
                way.append(above)
                text += len(above)
                if text > _MOST_TEXT:
                    return False
                above = above.rpartition("/")[0]
            for path in reversed(way):
                name = path.rpartition("/")[2]
                row = table.find(path)
                if (row is not None and table.type(row) != "dir") or not is_name(name) or not name:
                    return False
                parent = known[path.rpartition("/")[0]]
                node = (
                    parent.children.get(name) if parent is not None and parent.children is not None else None
                )
                if node is not None and node.children is None:
                    return False
                known[path] = node
        return True
