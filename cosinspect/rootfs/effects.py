"""What each layer does to the merged tree, and the bytes of it that are not in the result.

A *file* is every name that is not a directory. A layer adds a file if none has the name without it, changes one if it writes
the name again, with the same content or another, and removes one if the name is gone with it. In place, a layer's effect is
observed as it is applied, in the time that the layer takes by itself. The other semantics do not work layer by layer: the effect
is the difference between the images without and with the layer.

Bytes of a layer are *wasted* if they are the content of no file of the result. They are counted as the layer stores them, before
compression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import LayerIndex
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.path_walk import PathWalk
from cosinspect.rootfs.history import Action
from cosinspect.rootfs.node import NODES
from cosinspect.rootfs.overlay import apply_in_place, prefixes
from cosinspect.rootfs.semantics import RULES, Semantics, Stacking
from cosinspect.rootfs.tree import Node, Tree

__all__ = ["LayerEffect", "StackEffects", "WastedFile", "stack_effects"]

_Placed: TypeAlias = "dict[str, tuple[int, tuple[int, int]]]"


@frozen
class LayerEffect:
    """What one layer does.

    Attributes:
        added: files that it adds.
        changed: files that it writes again.
        removed: files that it removes.
        content_bytes: stored bytes of its files' contents.
        wasted_bytes: those of them that are not in the merged tree.
    """

    added: int
    changed: int
    removed: int
    content_bytes: int
    wasted_bytes: int


@frozen
class WastedFile:
    """A file of a layer whose content is not in the merged tree.

    Attributes:
        path: as in the layer, absolute.
        size: stored bytes of its content.
        layer: position of the layer with the content.
        gone: position of the layer that replaces or removes the last name of it; its own if that layer itself does, or if the reader
            does not unpack it.
        action: `replaced` or `removed`.
    """

    path: str
    size: int
    layer: int
    gone: int
    action: Action


@frozen
class StackEffects:
    """What all layers do.

    Attributes:
        layers: the effect of each layer, bottom first.
        wasted: the wasted files, largest first.
    """

    layers: tuple[LayerEffect, ...]
    wasted: tuple[WastedFile, ...]

    @property
    def content_bytes(self) -> int:
        """Stored bytes of all files' contents."""
        return sum(layer.content_bytes for layer in self.layers)

    @property
    def wasted_bytes(self) -> int:
        """Those of them that are not in the merged tree."""
        return sum(layer.wasted_bytes for layer in self.layers)


def stack_effects(
    indexes: Sequence[LayerIndex],
    semantics: Semantics = Semantics.OCI,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> StackEffects:
    """Return what layers, bottom first, do to the merged tree of a semantics."""
    observed = _Observed()
    if RULES[semantics].stacking is Stacking.IN_PLACE:
        root = observed.apply(indexes, semantics, limits)
    else:
        root = observed.compare(indexes, semantics, limits)
    used = _contents(root)
    effects: list[LayerEffect] = []
    wasted: list[WastedFile] = []
    for number, index in enumerate(indexes):
        stored = lost = 0
        for entry in in_time(index.entries):
            if entry.type != "file" or not entry.stored:
                continue
            stored += entry.stored
            place = number, entry.data
            if place not in used:
                lost += entry.stored
                gone, action = observed.gone.get(place, (number, Action.REPLACED))
                wasted.append(WastedFile(f"/{entry.path}", entry.stored, number, gone, action))
        effects.append(LayerEffect(*observed.counts[number], stored, lost))
    wasted.sort(key=lambda file: (-file.size, file.path, file.layer))
    return StackEffects(tuple(effects), tuple(wasted))


class _Observed:
    """What is observed while layers are applied.

    Attributes:
        counts: files added, changed and removed, by layer.
        gone: what took the last name of a content away, by the content's layer and offset.
    """

    def __init__(self) -> None:
        self.counts: list[tuple[int, int, int]] = []
        self.gone: dict[tuple[int, int], tuple[int, Action]] = {}

    def apply(self, indexes: Sequence[LayerIndex], semantics: Semantics, limits: Limits) -> Node:
        """Apply layers to one tree, and look before and after at the names that each concerns."""
        tree = Tree(RULES[semantics], limits=limits)
        for number, index in enumerate(indexes):
            paths = _RealPaths(tree.root, limits)
            if _moves_parents(paths, index):
                files = _placed(tree.root)
                apply_in_place(tree, index, number)
                self._differ(number, files, _placed(tree.root))
                continue
            before = _concerned(paths, index)
            apply_in_place(tree, index, number)
            paths = _RealPaths(tree.root, limits)
            written: dict[str, Node] = {}
            for entry in in_time(index.entries):
                path = paths.resolve(entry.path)
                node = paths.lookup(path)
                if node is not None and node.layer == number and node.children is None:
                    written[path] = node
            changed = removed = 0
            for path, old in before.items():
                spend()
                if path in written:
                    changed += 1
                    self.gone[_content(old)] = number, Action.REPLACED
                    continue
                now = paths.lookup(path)
                if now is None or now.children is not None:
                    removed += 1
                    self.gone[_content(old)] = number, Action.REMOVED
            self.counts.append((len(written) - changed, changed, removed))
        tree.close()
        return tree.root

    def compare(self, indexes: Sequence[LayerIndex], semantics: Semantics, limits: Limits) -> Node:
        """Compare the trees without and with each layer."""
        before: _Placed = {}
        root = Node(None, 0)
        for number, merged in enumerate(prefixes(indexes, semantics, limits=limits)):
            root = merged.root
            after = _placed(root)
            self._differ(number, before, after)
            before = after
        return root

    def _differ(self, number: int, before: _Placed, after: _Placed) -> None:
        """Note what a layer does by the files without and with it."""
        changed = removed = 0
        for path, old in before.items():
            spend()
            now = after.get(path)
            if now == old:
                continue
            changed += now is not None
            removed += now is None
            self.gone[old[1]] = number, Action.REMOVED if now is None else Action.REPLACED
        self.counts.append((len(after) - len(before) + removed, changed, removed))


class _RealPaths:
    """Names of one tree by their real paths."""

    def __init__(self, root: Node, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._parents: dict[str, tuple[str, Node | None]] = {"": ("", root)}
        self._directories: dict[str, Node | None] = {"": root}

    def resolve(self, path: str) -> str:
        """Return a path with the links of its directories resolved; as it is if they cannot be."""
        parent, slash, name = path.rpartition("/")
        return f"{self.directory(parent)[0]}/{name}" if slash or name else ""

    def directory(self, path: str) -> tuple[str, Node | None]:
        """Return the real path of a directory, and what is at that path: None, or a file in place of the directory."""
        found = self._parents.get(path)
        if found is None:
            walk = PathWalk(NODES, self._root, path, most=self._limits.link_hops)
            node = walk.end()
            found = self._parents[path] = (walk.at if not walk.problem else f"/{path}", node)
        return found

    def lookup(self, real: str) -> Node | None:
        """Return what is at a real path."""
        parent, slash, name = real.rpartition("/")
        if not slash:
            return self._root
        if parent in self._directories:
            found = self._directories[parent]
        else:
            found = self._directories[parent] = self.lookup(parent)
        return found.children.get(name) if found is not None and found.children is not None else None


def _concerned(paths: _RealPaths, index: LayerIndex) -> dict[str, Node]:
    """Return the files that a layer may change or remove, by real path, before it is applied."""
    found: dict[str, Node] = {}
    seen: set[int] = set()

    def add(path: str, node: Node | None) -> None:
        waiting = [(path, node)] if node is not None else []
        while waiting:
            spend()
            at, each = waiting.pop()
            if each.children is None:
                found[at] = each
            elif id(each) not in seen:
                seen.add(id(each))
                waiting.extend((f"{at}/{name}", child) for name, child in each.children.items())

    for marker in in_time(index.whiteouts):
        real = paths.resolve(marker.path)
        add(real, paths.lookup(real))
    for marker in in_time(index.opaques):
        real, node = paths.directory(marker.path)
        add(real, node)
    parents: set[str] = set()
    for entry in in_time(index.entries):
        real = paths.resolve(entry.path)
        there = paths.lookup(real)
        if there is not None and not (entry.type == "dir" and there.children is not None):
            add(real, there)
        parents.add(entry.path.rpartition("/")[0])
    for parent in in_time(parents):
        # A directory replaces a file at its path.
        _, node = paths.directory(parent)
        while parent and (node is None or node.children is None):
            real = paths.resolve(parent)
            node = paths.lookup(real)
            add(real, node)
            parent = parent.rpartition("/")[0]  # noqa: PLW2901 - the walk up
    return found


def _moves_parents(paths: _RealPaths, index: LayerIndex) -> bool:
    """Return whether a name of the layer may mean another place before it is applied, while it is, and after.

    It does if a layer makes, replaces or removes a link on the way to another of its names, or writes a name again.
    """
    parents: set[str] = set()
    written: set[str] = set()
    for entry in in_time(index.entries):
        if entry.path in written:
            return True
        written.add(entry.path)
        parent = entry.path.rpartition("/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            parent = parent.rpartition("/")[0]
    if any(entry.type != "dir" and entry.path in parents for entry in in_time(index.entries)):
        return True
    changed = (parents & written) | parents.intersection(each.path for each in index.whiteouts)
    for name in changed:
        node = paths.lookup(paths.resolve(name))
        if node is not None and node.type == "symlink":
            return True
    return False


def _content(node: Node) -> tuple[int, int]:
    """Return where a file's content is: the layer and the offset in it."""
    return node.source, node.entry.data if node.entry is not None else 0


def _placed(root: Node) -> _Placed:
    """Return the layer and the content of every file of a tree, by its path."""
    return {path: (node.layer, _content(node)) for path, node in _files("", root)}


def _contents(root: Node) -> set[tuple[int, int]]:
    """Return the contents in a tree."""
    return {_content(node) for _, node in _files("", root)}


def _files(base: str, root: Node) -> Iterable[tuple[str, Node]]:
    """Yield every file of a tree with its path."""
    waiting = [(base, root)]
    while waiting:
        path, directory = waiting.pop()
        for name, node in (directory.children or {}).items():
            spend()
            below = f"{path}/{name}"
            if node.children is None:
                yield below, node
            else:
                waiting.append((below, node))
