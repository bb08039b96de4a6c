"""What each layer did to a path: the layers folded again, with an eye on one place."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Sequence

from attrs import frozen

from cosinspect.changeset import LayerEntry, LayerIndex, Marker
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.overlay import Node, Tree

__all__ = ["Action", "Change", "histories"]


class Action(enum.Enum):
    """What a layer did to a path."""

    ADDED = "added"
    IMPLIED = "implied"
    """A directory that the layer uses and does not list."""
    REPLACED = "replaced"
    ATTRIBUTES = "attributes"
    """A directory kept its children and got other attributes."""
    REMOVED = "removed"
    RELINKED = "relinked"
    """A link above it was made or changed, and the path leads to another place."""


@frozen
class Change:
    """One layer's effect on one path.

    Attributes:
        layer: position of the layer, counted from 0 at the bottom.
        action: what happened.
        cause: the entry or marker that did it, as a path in the layer: `/boot/.wh.vmlinuz`, `/boot/.wh..wh..opq`.
        type: kind of file that is at the path afterwards, "" if none.
        size: of its content, in bytes.
        link: target, where it is a symbolic link.
    """

    layer: int
    action: Action
    cause: str
    type: str = ""
    size: int = 0
    link: str = ""


def histories(
    indexes: Sequence[LayerIndex], paths: Iterable[str], *, limits: Limits = DEFAULT_LIMITS
) -> dict[str, tuple[Change, ...]]:
    """Tell for each of `paths` what every layer did to it, layers that left it alone not mentioned.

    A path's directories are resolved in the tree of each layer; a link at its end is not followed.

    Args:
        indexes: the layers, bottom first.
        paths: without a leading slash.
        limits: for the links followed.
    """
    changes: dict[str, list[Change]] = {path: [] for path in paths}
    tree = Tree(limits=limits)
    before = dict.fromkeys(changes, _Trail((), None, None))
    for position, index in enumerate(indexes):
        markers = tree.apply(index, position)
        applied = _Applied(index, position, tree, markers)
        for path, done in changes.items():
            now = _trail(tree, path, limits)
            change = _change(applied, path, before[path], now)
            if change is not None:
                done.append(change)
            before[path] = now
    return {path: tuple(done) for path, done in changes.items()}


@frozen
class _Step:
    """One name that was looked up on the way to a path: in which directory, and what was there."""

    directory: Node
    name: str
    node: Node | None


@frozen
class _Trail:
    """The way to a path through one tree: every name looked up, and what is at its end.

    Attributes:
        entry: what the node said of itself then; a directory gets other attributes and stays the same node.
    """

    steps: tuple[_Step, ...]
    node: Node | None
    entry: LayerEntry | None


@frozen
class _Applied:
    """A layer that was just applied, and what its markers pointed to before that."""

    index: LayerIndex
    position: int
    tree: Tree
    markers: Sequence[tuple[Marker, Node, str | None]]


def _trail(tree: Tree, path: str, limits: Limits) -> _Trail:
    """Walk to a path as `Tree.lookup` does."""
    waiting = [name for name in reversed(path.split("/")) if name not in ("", ".")]
    stack = [tree.root]
    steps: list[_Step] = []
    hops = 0
    while waiting:
        name = waiting.pop()
        if name == "..":
            if len(stack) > 1:
                stack.pop()
            continue
        directory = stack[-1]
        if directory.children is None:
            return _Trail(tuple(steps), None, None)
        node = directory.children.get(name)
        steps.append(_Step(directory, name, node))
        if node is None:
            return _Trail(tuple(steps), None, None)
        if node.type == "symlink" and node.entry is not None and waiting:
            hops += 1
            if hops > limits.link_hops:
                return _Trail(tuple(steps), None, None)
            target = node.entry.link
            if target.startswith("/"):
                del stack[1:]
            waiting.extend(name for name in reversed(target.split("/")) if name not in ("", "."))
            continue
        stack.append(node)
    return _Trail(tuple(steps), stack[-1], stack[-1].entry)


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
    """Name what took a path away or led it elsewhere: what changed at the first name where the two ways part."""
    # Up to there both are the same, so that they part at one name of one directory.
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
                    return _whiteout(marker) if name is not None else f"{_below(marker.path)}/.wh..wh..opq"
        if at is not None and there is not None:
            return _written(applied, at.name, there, path)
        break
    return f"/{path}"


def _written(applied: _Applied, name: str, node: Node, path: str) -> str:
    """Name the entry that made a node, as its layer writes it; a directory that it only uses has none."""
    if node.entry is None:
        return f"/{path}"
    if node.inode is None:
        return f"/{node.entry.path}"
    for entry in reversed(applied.index.entries):  # one of several names, of which the node keeps the first
        if entry.path.rpartition("/")[2] == name and applied.tree.lookup(entry.path) is node:
            return f"/{entry.path}"
    return f"/{path}"


def _whiteout(marker: Marker) -> str:
    directory, _, name = marker.path.rpartition("/")
    return f"{_below(directory)}/.wh.{name}"


def _below(directory: str) -> str:
    return directory and f"/{directory}"
