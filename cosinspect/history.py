"""What each layer did to a path: the layers folded again, with an eye on one place."""

from __future__ import annotations

import enum
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
    before: dict[str, tuple[Node, LayerEntry | None] | None] = dict.fromkeys(changes)
    tree = Tree(limits=limits)
    for position, index in enumerate(indexes):
        tree.apply(index, position)
        for path, done in changes.items():
            node = tree.lookup(path)
            now = None if node is None else (node, node.entry)
            change = _change(index, position, path, before[path], now)
            if change is not None:
                done.append(change)
            before[path] = now
    return {path: tuple(done) for path, done in changes.items()}


def _change(
    index: LayerIndex,
    position: int,
    path: str,
    before: tuple[Node, LayerEntry | None] | None,
    now: tuple[Node, LayerEntry | None] | None,
) -> Change | None:
    if now is None:
        return None if before is None else Change(position, Action.REMOVED, _remover(index, path))
    node, entry = now
    if before is not None and before[0] is node and before[1] is entry:
        return None
    if node.layer != position:
        cause = next((f"/{above}" for above in _above(path) if _puts(index, above)), f"/{path}")
        return Change(position, Action.RELINKED, cause, node.type, *_size_and_link(entry))
    if before is None:
        action = Action.IMPLIED if entry is None else Action.ADDED
    elif before[0] is node:
        action = Action.ATTRIBUTES
    else:
        action = Action.REPLACED
    if entry is None:
        return Change(position, action, f"/{path}", "dir")
    cause = f"/{path}" if node.source != position else f"/{entry.path}"
    return Change(position, action, cause, node.type, *_size_and_link(entry))


def _size_and_link(entry: LayerEntry | None) -> tuple[int, str]:
    if entry is None:
        return 0, ""
    return entry.size, entry.link if entry.type == "symlink" else ""


def _above(path: str) -> list[str]:
    """Give the directories above a path, nearest first, the root last."""
    above = []
    while path:
        path = path.rpartition("/")[0]
        above.append(path)
    return above


def _puts(index: LayerIndex, path: str) -> bool:
    """Say whether a layer has anything but a directory at a path, as written."""
    return any(entry.path == path and entry.type != "dir" for entry in index.entries)


def _remover(index: LayerIndex, path: str) -> str:
    """Name what took a path away: a whiteout or opaque marker, or an entry in the place of a directory above."""
    above = _above(path)
    for marker in index.whiteouts:
        if marker.path == path or marker.path in above:
            return _whiteout(marker)
    for marker in index.opaques:
        if marker.path in above:
            return f"{marker.path and '/' + marker.path}/.wh..wh..opq"
    for directory in above:
        if _puts(index, directory):
            return f"/{directory}"
    # The path was reached through links, and the marker names the place itself.
    name = path.rpartition("/")[2]
    return next(
        (_whiteout(marker) for marker in index.whiteouts if marker.path.rpartition("/")[2] == name),
        f"/{path}",
    )


def _whiteout(marker: Marker) -> str:
    directory, _, name = marker.path.rpartition("/")
    return f"{directory and '/' + directory}/.wh.{name}"
