"""What the explorer shows of the tree: one view for the whole image, one for each layer, and one for each other reader.

A view has a tree and the tree that it is compared with; their differences are the marks. That of a layer compares the trees without
and with it; that of a reader, the tree of the specification and its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from attrs import field, frozen

from cosinspect.deadline import spend
from cosinspect.image.image import Image
from cosinspect.rootfs.differences import Comparison, compare_semantics
from cosinspect.rootfs.effects import StackEffects, stack_effects
from cosinspect.rootfs.node import Node
from cosinspect.rootfs.rootfs import Entry, Rootfs
from cosinspect.rootfs.semantics import Semantics

__all__ = ["Mark", "Row", "TreeView", "ViewName", "Views"]


class Mark(enum.Enum):
    """How a name differs from the tree that a view is compared with."""

    SAME = "unchanged"
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    INSIDE = "contains changes"
    """A directory that is the same, with differences below it."""


@frozen
class ViewName:
    """One view.

    Attributes:
        layer: position of the layer, None for another view.
        reader: the reader, None for another view; neither is the whole image.
    """

    layer: int | None = None
    reader: Semantics | None = None


@frozen
class Row:
    """One name of a view's tree.

    Attributes:
        entry: what is there; for a removed name, what was there.
        mark: how it differs.
    """

    entry: Entry
    mark: Mark


@frozen
class TreeView:
    """The tree of a view.

    Attributes:
        name: of the view.
        rootfs: the tree.
        before: the tree that it is compared with; the same for the whole image.
        marks: of all names that differ, and of the directories above them, by path.
        comparison: of a reader, with the causes of differences; None for other views.
    """

    name: ViewName
    rootfs: Rootfs
    before: Rootfs
    marks: Mapping[str, Mark] = field(repr=False, hash=False)
    comparison: Comparison | None = field(default=None, repr=False)

    def count(self, mark: Mark) -> int:
        """Return the number of names with a mark."""
        return sum(each is mark for each in self.marks.values())

    def mark(self, path: str) -> Mark:
        """Return the mark of a path."""
        return self.marks.get(path, Mark.SAME)

    def lookup(self, path: str) -> Row | None:
        """Return the row of a path, links not followed; None if neither tree has it."""
        mark = self.mark(path)
        tree = self.before if mark is Mark.REMOVED else self.rootfs
        entry = tree.trace(path, follow=False).entry
        return Row(entry, mark) if entry is not None else None

    def children(self, path: str) -> list[Row]:
        """Return the rows of a directory, removed names included, sorted."""
        found: dict[str, Row] = {}
        for tree, removed in ((self.before, True), (self.rootfs, False)):
            entry = tree.trace(path, follow=False).entry
            if entry is None:
                continue
            for name, child in tree.children(entry).items():
                mark = self.mark(child.path)
                if (mark is Mark.REMOVED) == removed:
                    found[name] = Row(child, mark)
        return [found[name] for name in sorted(found)]

    def find(self, text: str, hidden: frozenset[Mark], findings: Mapping[str, int] | None = None) -> set[str]:
        """Return the paths to show, with the directories above them.

        Args:
            text: a part of the path, "" for any.
            hidden: marks of names that are not shown; a directory is shown if something below it is.
            findings: if given, only paths with findings are shown.
        """
        shown: set[str] = set()
        for path, mark in self._all():
            if mark in hidden or text not in path or (findings is not None and path not in findings):
                continue
            while path not in shown:
                spend()
                shown.add(path)
                if path == "/":
                    break
                path = path.rpartition("/")[0] or "/"  # noqa: PLW2901 - the walk up
        return shown

    def _all(self) -> Iterator[tuple[str, Mark]]:
        for entry in self.rootfs.walk("/"):
            yield entry.path, self.mark(entry.path)
        for path, mark in self.marks.items():
            if mark is Mark.REMOVED:
                yield path, mark


class Views:
    """The views of one image; what was computed last is kept.

    Attributes:
        image: the open image.
        rootfs: its tree by the specification.
        names: of the views, in order.
    """

    KEPT = 4
    """The number of views that are kept."""

    def __init__(self, image: Image, rootfs: Rootfs) -> None:
        self.image = image
        self.rootfs = rootfs
        layers = [ViewName(layer=layer.position) for layer in image.layers]
        readers = [ViewName(reader=each) for each in Semantics if each is not rootfs.semantics]
        self.names = (ViewName(), *layers, *readers)
        self._kept: dict[ViewName, TreeView] = {ViewName(): TreeView(ViewName(), rootfs, rootfs, {})}

    def view(self, name: ViewName) -> TreeView:
        """Return a view.

        Raises:
            SourceError, ContentError: a layer with content to compare cannot be read again.
        """
        found = self._kept.pop(name, None)
        if found is None:
            found = self._compared(name.reader) if name.reader is not None else self._layer(name.layer or 0)
        self._kept[name] = found
        whole = ViewName()
        for old in [each for each in self._kept if each != whole][: -self.KEPT]:
            del self._kept[old]
        return found

    @cached_property
    def effects(self) -> StackEffects:
        """What each layer does, and what of it is wasted."""
        return stack_effects(self.rootfs.indexes, self.rootfs.semantics, limits=self.image.limits)

    def _layer(self, position: int) -> TreeView:
        before, after = self._prefix(position), self._prefix(position + 1)
        marks = _with_parents(_differences(before.root.node, after.root.node, position))
        _ = self.effects  # computed by the thread that makes the view, and not by the one that shows it
        return TreeView(ViewName(layer=position), after, before, marks)

    def _prefix(self, count: int) -> Rootfs:
        indexes = self.rootfs.indexes
        if count == len(indexes):
            return self.rootfs
        bodies = self.image.bodies(indexes)
        return Rootfs(
            indexes[:count], bodies[:count], limits=self.image.limits, semantics=self.rootfs.semantics
        )

    def _compared(self, reader: Semantics) -> TreeView:
        found = compare_semantics(self.rootfs, reader, limits=self.image.limits)
        marks = {
            each.path: Mark.ADDED
            if each.left is None
            else Mark.REMOVED
            if each.right is None
            else Mark.CHANGED
            for each in found.differences
        }
        return TreeView(
            ViewName(reader=reader), found.other, self.rootfs, _with_parents(marks.items()), found
        )


def _differences(before: Node, after: Node, position: int) -> Iterator[tuple[str, Mark]]:
    """Yield the names that a layer adds, changes or removes."""
    waiting: list[tuple[str, Node | None, Node | None]] = [("", before, after)]
    while waiting:
        spend()
        path, old, new = waiting.pop()
        if new is None or old is None:
            yield path or "/", Mark.ADDED if old is None else Mark.REMOVED
        elif new.layer == position and not _is_same(old, new):
            yield path or "/", Mark.CHANGED
        ours = (old.children if old is not None else None) or {}
        theirs = (new.children if new is not None else None) or {}
        waiting.extend(
            (f"{path}/{name}", ours.get(name), theirs.get(name)) for name in ours.keys() | theirs.keys()
        )


def _is_same(old: Node, new: Node) -> bool:
    """Return whether a directory has the attributes that it had; a file that is written again is another one."""
    if old.children is None or new.children is None:
        return False
    return _attributes(old) == _attributes(new)


def _attributes(node: Node) -> tuple[object, ...]:
    entry = node.entry
    return (0o755, 0, 0, {}) if entry is None else (entry.mode, entry.uid, entry.gid, entry.xattrs or {})


def _with_parents(found: Iterable[tuple[str, Mark]]) -> dict[str, Mark]:
    """Add the directories above marked names."""
    marks = dict(found)
    for path in list(marks):
        above = path.rpartition("/")[0]
        while above and above not in marks:
            spend()
            marks[above] = Mark.INSIDE
            above = above.rpartition("/")[0]
    return marks
