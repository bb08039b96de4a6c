"""The changes of each layer to a path: the layers are merged again, and one place is observed.

In place, a layer's effect is observed as it is applied. The other semantics do not work layer by layer: the
effect of a layer is the difference between the images without and with it.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cached_property

from attrs import evolve, frozen

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import LayerEntry, LayerIndex, Marker
from cosinspect.layer.entry_table import EntryTable, table_of
from cosinspect.layer.whiteout import opaque_path, whiteout_path
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.path_walk import PathWalk
from cosinspect.rootfs.literal_stack import LiteralStack, with_parents
from cosinspect.rootfs.node import NODES
from cosinspect.rootfs.overlay import apply_in_place, prefixes
from cosinspect.rootfs.semantics import RULES, Semantics, Stacking
from cosinspect.rootfs.tree import Node, Tree

__all__ = ["Action", "Change", "Past", "concerned", "histories"]


class Action(enum.Enum):
    """What a layer did to a path."""

    ADDED = "added"
    IMPLIED = "implied"
    """A directory that the layer uses but does not list."""
    REPLACED = "replaced"
    ATTRIBUTES = "attributes"
    """A directory kept its children and got other attributes."""
    REMOVED = "removed"
    RELINKED = "relinked"
    """A link above it was created or changed, and the path leads to another place."""


@frozen
class Change:
    """One layer's effect on one path.

    Attributes:
        layer: position of the layer, counted from 0 at the bottom.
        action: what happened.
        cause: the entry or marker, as a path in the layer: `/boot/.wh.vmlinuz`, `/boot/.wh..wh..opq`.
        type: kind of file at the path afterwards, "" if none.
        size: of its content, in bytes.
        link: target of a symbolic link.
    """

    layer: int
    action: Action
    cause: str
    type: str = ""
    size: int = 0
    link: str = ""


def histories(
    indexes: Sequence[LayerIndex],
    paths: Iterable[str],
    *,
    semantics: Semantics = Semantics.OCI,
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, tuple[Change, ...]]:
    """Return for each of `paths` the changes by each layer; layers without a change are omitted.

    A path's directories are resolved in the tree of each layer; a link at its end is not followed.

    Args:
        indexes: the layers, bottom first.
        paths: without a leading slash.
        semantics: of the tree.
        limits: for the links followed.
    """
    changes: dict[str, list[Change]] = {path: [] for path in paths}
    if RULES[semantics].stacking is not Stacking.IN_PLACE:
        return _by_prefix(indexes, changes, semantics, limits)
    return _in_place(concerned(indexes, changes), changes, semantics, limits)[0]


def _in_place(
    indexes: Sequence[LayerIndex], changes: dict[str, list[Change]], semantics: Semantics, limits: Limits
) -> tuple[dict[str, tuple[Change, ...]], set[str]]:
    """Apply the layers, and return the changes with the real paths that were looked up on the ways to the paths asked."""
    looked_up: set[str] = set()
    tree = Tree(RULES[semantics], limits=limits)
    before = dict.fromkeys(changes, _Trail((), None, None))
    for position, index in enumerate(indexes):
        if position and not (index.entries or index.whiteouts or index.opaques):
            continue
        markers = apply_in_place(tree, index, position)
        applied = _Applied(index, position, tree, markers)
        for path, done in changes.items():
            now = _trail(tree.root, path, limits)
            change = _change(applied, path, before[path], now)
            if change is not None:
                done.append(change)
            before[path] = now
            looked_up.update(step.path for step in now.steps)
    return {path: tuple(done) for path, done in changes.items()}, looked_up


class Past:
    """What the layers did to paths, asked for one path after the other; what all answers need is found once."""

    def __init__(
        self,
        indexes: Sequence[LayerIndex],
        *,
        semantics: Semantics = Semantics.OCI,
        limits: Limits = DEFAULT_LIMITS,
        literal: bool = False,
    ) -> None:
        """Keep the layers; nothing is done before the first question.

        The arguments are those of `histories`, and whether all entries and markers act at their own paths (`Merged.is_literal`).
        """
        self._indexes = indexes
        self._literal = LiteralStack(indexes) if literal else None
        self._semantics = semantics
        self._limits = limits

    def changes(self, path: str) -> tuple[Change, ...]:
        """Return what `histories` returns for a path."""
        if self._literal is not None:
            found = self._changes_there(self._literal, path)
            if found is not None:
                return found
        name = path.rpartition("/")[2]
        # A path ends at a name of its directory, so a name that no layer writes is at no time there.
        if name not in ("", ".", "..") and name not in self._names:
            return ()
        indexes = self._indexes
        if RULES[self._semantics].stacking is Stacking.IN_PLACE:
            indexes = self._skeleton.concerned(path.split("/"), self._names)
        return histories(indexes, [path], semantics=self._semantics, limits=self._limits)[path]

    def _changes_there(self, stack: LiteralStack, path: str) -> tuple[Change, ...] | None:
        """Return the changes from what the layers have at the paths on the way; None if the way leads to too many.

        A tree of these entries alone is right at these paths. So the answer is exact if the way to the path touches no other.
        """
        paths = with_parents([path])
        for _ in range(_ROUNDS):
            found, looked_up = _in_place(stack.concerned(paths), {path: []}, self._semantics, self._limits)
            if looked_up <= paths:
                return found[path]
            paths |= with_parents(looked_up)
        return None

    @cached_property
    def _names(self) -> _NameMap:
        return _NameMap(self._indexes)

    @cached_property
    def _skeleton(self) -> _Skeleton:
        return _Skeleton(self._indexes)


class _NameMap:
    """The names that any reader can make of the layers; membership may be claimed wrongly, absence never is.

    It holds a byte for each value of a hash: a set of a million names would take as much memory as a tree of them.
    """

    def __init__(self, indexes: Sequence[LayerIndex]) -> None:
        count = sum(len(index.entries) for index in indexes)
        self._mask = (1 << (_BYTES_A_NAME * count + _FEWEST_BYTES).bit_length()) - 1
        self._marks = bytearray(self._mask + 1)
        marks, mask = self._marks, self._mask
        for index in indexes:
            table = table_of(index.entries)
            for _, name in in_time(table.places()):
                marks[hash(name) & mask] = 1
            for parent in in_time(table.directories):
                self._add(parent)
            for row in table.rows_of_type("symlink"):
                self._add(table.links.get(row, ""))  # directories may be made where it leads
            for marker in in_time((*index.whiteouts, *index.opaques, *index.nameless)):
                self._add(marker.path)
            for entry in in_time(index.name_only):
                self._add(entry.path)

    def __contains__(self, name: object) -> bool:
        return bool(self._marks[hash(name) & self._mask])

    def _add(self, path: str) -> None:
        for name in path.split("/"):
            self._marks[hash(name) & self._mask] = 1


_ROUNDS = 100  # a round follows one link more, in one of the layers
_BYTES_A_NAME = 8
_FEWEST_BYTES = 1024


def concerned(indexes: Sequence[LayerIndex], paths: Iterable[str]) -> list[LayerIndex]:
    """Return the layers with only the entries that can concern `paths`, a few of a million.

    Resolving a path, or the place of an entry or a marker, looks up names of that path, names of directories,
    and names in the targets of links on the way. Of all other entries, only the first of each directory is
    kept, which may imply the directory. All markers are kept. Readers that let a marker hide an entry of its
    own layer need more than this.
    """
    return _Skeleton(indexes).concerned(name for path in paths for name in path.split("/"))


class _Skeleton:
    """What the layers have that can concern any path: names of directories, and the targets of links."""

    def __init__(self, indexes: Sequence[LayerIndex]) -> None:
        self._indexes = indexes
        names: set[str] = set()
        parents: set[str] = set()
        self._links: dict[str, list[str]] = {}
        for index in indexes:
            parents.update(marker.path for marker in (*index.whiteouts, *index.opaques))
            table = table_of(index.entries)
            parents.update(table.directories)
            names.update(map(table.name, in_time(table.rows_of_type("dir"))))
            for row, link in in_time(table.links.items()):
                kind = table.type(row)
                if kind == "hardlink":
                    names.update(link.split("/"))
                elif kind != "dir":
                    self._links.setdefault(table.name(row), []).append(link)
        names.update(name for parent in parents for name in parent.split("/"))
        self._common = self._with_targets(names)
        self._bones: list[LayerIndex] | None = None

    def concerned(self, names: Iterable[str], known: Container[str] | None = None) -> list[LayerIndex]:
        """Return the layers with only the entries that can concern paths of these names; names outside `known` are in no layer."""
        own = {name for name in names if name not in self._common and (known is None or name in known)}
        if own:
            return self._of(self._with_targets(self._common | own))
        if self._bones is None:
            self._bones = self._of(self._common)
        return self._bones

    def _with_targets(self, names: set[str]) -> set[str]:
        """Return the names with those in the targets of links that have one of the names."""
        found = set(names)
        waiting = [name for name in names if name in self._links]
        while waiting:
            spend()
            for target in self._links[waiting.pop()]:
                for name in target.split("/"):
                    if name not in found:
                        found.add(name)
                        if name in self._links:
                            waiting.append(name)
        return found

    def _of(self, names: set[str]) -> list[LayerIndex]:
        return [
            evolve(index, entries=tuple(_of_names(table_of(index.entries), names))) for index in self._indexes
        ]


def _of_names(table: EntryTable, names: set[str]) -> Iterator[LayerEntry]:
    seen: set[int] = set()
    for row, (parent, name) in enumerate(in_time(table.places())):
        if name in names:
            seen.clear()  # it may replace a directory or a link, and the next entry below it creates one again
        if name in names or parent not in seen:
            if table.type(row) != "hardlink":  # a hard link without its target creates no directory
                seen.add(parent)
            yield table[row]


def _by_prefix(
    indexes: Sequence[LayerIndex], changes: dict[str, list[Change]], semantics: Semantics, limits: Limits
) -> dict[str, tuple[Change, ...]]:
    before = dict.fromkeys(changes, _Trail((), None, None))
    for position, merged in enumerate(prefixes(indexes, semantics, limits=limits)):
        for path, done in changes.items():
            now, old = _trail(merged.root, path, limits), before[path]
            before[path] = now
            if _is_same(old.node, now.node):
                continue
            action = _action(old.node, now.node, position)
            done.append(
                Change(
                    position,
                    action,
                    _cause_in(indexes[position], path, old, now),
                    now.node.type if now.node is not None else "",
                    *_size_and_link(now.entry),
                )
            )
    return {path: tuple(done) for path, done in changes.items()}


def _is_same(old: Node | None, new: Node | None) -> bool:
    if old is None or new is None:
        return old is new
    return old.entry == new.entry and old.layer == new.layer


def _action(old: Node | None, new: Node | None, position: int) -> Action:
    if new is None:
        return Action.REMOVED
    if new.layer != position:
        return Action.RELINKED
    if old is None:
        return Action.IMPLIED if new.entry is None else Action.ADDED
    return Action.ATTRIBUTES if old.children is not None and new.children is not None else Action.REPLACED


def _cause_in(index: LayerIndex, path: str, old: _Trail, new: _Trail) -> str:
    """Return the marker or entry of a layer at the place where two ways diverge, or above it."""
    parting = path
    for before, after in itertools.zip_longest(old.steps, new.steps):
        if before is None or after is None or not _is_same(before.node, after.node):
            parting = (after or before).path
            break
    names = parting.split("/")
    ways = {"/".join(names[:length]) for length in range(1, len(names) + 1)}
    for marker in in_time(index.whiteouts):
        if marker.path in ways:
            return f"/{whiteout_path(marker.path)}"
    for entry in in_time(reversed(index.entries)):
        if entry.path in ways and (entry.type != "dir" or entry.path == parting):
            return f"/{entry.path}"
    for marker in index.opaques:
        if marker.path in ways or not marker.path:
            return f"/{opaque_path(marker.path)}"
    return f"/{path}"


@frozen
class _NameOnWay:
    """One name that was looked up on the way to a path: its directory, its real path, and its node."""

    directory: Node
    path: str
    name: str
    node: Node | None


@frozen
class _Trail:
    """The way to a path through one tree: every name looked up, and the node at its end.

    Attributes:
        entry: the node's entry at that time; a directory may get other attributes and stay the same node.
    """

    steps: tuple[_NameOnWay, ...]
    node: Node | None
    entry: LayerEntry | None


@frozen
class _Applied:
    """A layer that was just applied, and the targets of its markers before that."""

    index: LayerIndex
    position: int
    tree: Tree
    markers: Sequence[tuple[Marker, Node, str | None]]


def _trail(root: Node, path: str, limits: Limits) -> _Trail:
    """Walk to a path as the kernel does."""
    walk = PathWalk(NODES, root, path, follow=False, most=limits.link_hops)
    steps = tuple(
        _NameOnWay(step.directory, walk.path_of(step.name).lstrip("/"), step.name, step.node)
        for step in walk
        if step.directory is not None
    )
    node = None if walk.problem else walk.stack[-1][1]
    return _Trail(steps, node, node.entry if node is not None else None)


def _change(applied: _Applied, path: str, before: _Trail, now: _Trail) -> Change | None:
    node, entry, position = now.node, now.entry, applied.position
    if node is None:
        if before.node is None:
            return None
        return Change(position, Action.REMOVED, _cause(applied, path, before, now))
    if before.node is node and before.entry is entry:
        return None
    if node.layer != position:
        cause = _cause(applied, path, before, now)
        return Change(position, Action.RELINKED, cause, node.type, *_size_and_link(entry))
    if before.node is None:
        action = Action.IMPLIED if entry is None else Action.ADDED
    elif before.node is node:
        action = Action.ATTRIBUTES
    else:
        action = Action.REPLACED
    name = now.steps[-1].name if now.steps else ""
    return Change(position, action, _written(applied, name, node, path), node.type, *_size_and_link(entry))


def _size_and_link(entry: LayerEntry | None) -> tuple[int, str]:
    if entry is None:
        return 0, ""
    return entry.size, entry.link if entry.type == "symlink" else ""


def _cause(applied: _Applied, path: str, before: _Trail, now: _Trail) -> str:
    """Return what removed a path or led it elsewhere: the change at the first name where the two ways diverge."""
    # Both are equal up to there, so they diverge at one name of one directory.
    for old, new in itertools.zip_longest(before.steps, now.steps):
        if old is not None and new is not None and old.node is new.node:
            continue
        at = old or new
        there = new.node if new is not None else None
        if at is not None and (
            there is None or there.children is not None
        ):  # a directory replaces nothing by itself
            for marker, directory, name in applied.markers:
                if directory is at.directory and name in (at.name, None):
                    return (
                        f"/{whiteout_path(marker.path)}"
                        if name is not None
                        else f"/{opaque_path(marker.path)}"
                    )
        if at is not None and there is not None:
            return _written(applied, at.name, there, path)
        break
    return f"/{path}"


def _written(applied: _Applied, name: str, node: Node, path: str) -> str:
    """Return the entry that created a node, as its layer writes it; an implied directory has none."""
    if node.entry is None:
        return f"/{path}"
    if node.inode is None:
        return f"/{node.entry.path}"
    for entry in in_time(
        reversed(applied.index.entries)
    ):  # one of several names, of which the node keeps the first
        if entry.path.rpartition("/")[2] == name and applied.tree.lookup(entry.path) is node:
            return f"/{entry.path}"
    return f"/{path}"
