"""The resolver: layer indexes folded bottom to top into one tree, under the semantics `oci`.

The rules are those of image-spec, layer.md, and where it is silent those of umoci:

1. A layer's whiteouts and opaque whiteouts act on the tree its lower layers made, wherever they stand in the layer.
2. Its entries then apply in order. A directory over a directory replaces attributes and keeps children; anything
   else replaces what was there with everything below it.
3. The parent of an entry or marker is found through symbolic links, inside the root, and made where it is missing. A
   marker below a directory that this very layer puts in the place of a link has nothing lower to act on.
4. A hard link binds to the file as it is when the link is applied. If the layer has deleted or replaced it by then, it
   binds to the file as the layer found it, and that is told: a runtime that applies deletions in order refuses it.
5. What no runtime unpacks (a dangling hard link, a loop of parents, a root that is no directory) is left out of the
   tree and told as a `Problem`: the image is defective, and a check says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from cosinspect.changeset import LayerEntry, LayerIndex, Marker
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["Node", "Problem", "Tree", "fold"]

IMPLIED_MODE = 0o755


@frozen
class Problem:
    """Something a layer asks for that no runtime does.

    Attributes:
        kind: stable and lower-case, such as `dangling-hardlink`.
        layer: position of the layer.
        path: the entry concerned.
        message: what was expected and found.
    """

    kind: str
    layer: int
    path: str
    message: str


class Inode:
    """The identity that all names of one file share."""

    __slots__ = ()


class Node:
    """One name in the merged tree.

    Attributes:
        entry: what the layer says of it; None for a directory that no layer lists, only uses.
        layer: position of the layer that gave this name, or the attributes of a directory.
        source: position of the layer that holds the content; differs from `layer` for a hard link to a lower file.
        inode: set when the file has several names.
        children: of a directory by name, else None.
    """

    __slots__ = ("children", "entry", "inode", "layer", "source")

    def __init__(self, entry: LayerEntry | None, layer: int, source: int | None = None) -> None:
        self.entry = entry
        self.layer = layer
        self.source = layer if source is None else source
        self.inode: Inode | None = None
        self.children: dict[str, Node] | None = {} if entry is None or entry.type == "dir" else None

    @property
    def type(self) -> str:
        """The kind of file: `file`, `dir`, `symlink`, `char`, `block` or `fifo`."""
        return "dir" if self.entry is None else self.entry.type


class Tree:
    """The merged tree so far; `apply` changes it, and nobody else may.

    Attributes:
        root: the root directory.
        problems: what the layers ask for and no runtime does.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.root = Node(None, 0)
        self.problems: list[Problem] = []
        self._hops = limits.link_hops
        self._parents: dict[str, Node] = {}

    def lookup(self, path: str) -> Node | None:
        """Find a name without following it if it is a link itself; its directories are resolved inside the root."""
        parent, _, name = path.rpartition("/")
        if not name:
            return self.root
        found = self._directory(parent)
        return found.children.get(name) if found is not None and found.children is not None else None

    def apply(self, index: LayerIndex, position: int) -> list[tuple[Marker, Node, str | None]]:
        """Apply one layer on top of what is there, and give what its markers acted on: a name in a directory, None for all."""
        self._parents.clear()
        doomed = self._targets_of_markers(index)
        kept = self._targets_of_hardlinks(index)
        for _, directory, name in doomed:
            if directory.children is not None:
                if name is None:
                    directory.children.clear()
                else:
                    directory.children.pop(name, None)
        self._parents.clear()
        for entry in index.entries:
            self._apply_entry(entry, position, kept)
        return doomed

    # -- markers ---------------------------------------------------------------------------------------------------

    def _targets_of_markers(self, index: LayerIndex) -> list[tuple[Marker, Node, str | None]]:
        """Find what a layer's markers will act on, all before any of them acts."""
        if not index.whiteouts and not index.opaques:
            return []
        own = {entry.path for entry in index.entries if entry.type == "dir"}
        doomed: list[tuple[Marker, Node, str | None]] = []
        for marker in index.whiteouts:
            parent, _, name = marker.path.rpartition("/")
            directory = self._lower_directory(parent, own)
            if directory is not None:
                doomed.append((marker, directory, name))
        for marker in index.opaques:
            directory = self._lower_directory(marker.path, own)
            if directory is not None:
                doomed.append((marker, directory, None))
        return doomed

    def _lower_directory(self, path: str, own: set[str]) -> Node | None:
        """Find the directory of a marker, unless the layer puts a directory of its own in the place of a link to it."""
        found = self._directory(path)
        if found is None or not own:
            return found
        node: Node | None = self.root
        prefix = ""
        for name in path.split("/") if path else ():
            prefix = f"{prefix}/{name}" if prefix else name
            node = node.children.get(name) if node is not None and node.children is not None else None
            if node is None:
                break
            if node.type == "symlink":
                return None if prefix in own else found
        return found

    def _targets_of_hardlinks(self, index: LayerIndex) -> dict[str, Node]:
        """Remember the lower files that the layer links to, in case it also takes them away."""
        kept: dict[str, Node] = {}
        for entry in index.entries:
            if entry.type == "hardlink" and (node := self.lookup(entry.link)) is not None:
                kept[entry.link] = node
        return kept

    # -- entries ---------------------------------------------------------------------------------------------------

    def _apply_entry(self, entry: LayerEntry, position: int, kept: dict[str, Node]) -> None:
        directory, _, name = entry.path.rpartition("/")
        if not name:
            if entry.type == "dir":
                self.root.entry, self.root.layer = entry, position
            else:
                self._problem(
                    "root-not-directory",
                    position,
                    entry,
                    f"the root is a {entry.type} instead of a directory",
                )
            return
        parent = self._parents.get(directory)
        if parent is None:
            parent = self._directory(directory, make=position)
            if parent is None:
                self._problem("parent-loop", position, entry, "the links on the way to the entry do not end")
                return
            self._parents[directory] = parent
        children = parent.children
        assert children is not None  # noqa: S101 - _directory gives directories
        old = children.get(name)
        if old is not None:
            if entry.type == "dir" and old.children is not None:
                old.entry, old.layer, old.source = entry, position, position
                return
            if old.children is not None or old.type == "symlink":
                self._parents.clear()
            del children[name]
        if entry.type == "hardlink":
            self._link(entry, position, children, name, kept)
            return
        if entry.type == "symlink" and not entry.link:
            self._problem(
                "empty-symlink", position, entry, "the symbolic link has no target; no file system stores one"
            )
            return
        children[name] = Node(entry, position)

    def _link(
        self, entry: LayerEntry, position: int, children: dict[str, Node], name: str, kept: dict[str, Node]
    ) -> None:
        target = self.lookup(entry.link)
        if target is None and (target := kept.get(entry.link)) is not None:
            message = f"the hard link's target /{entry.link} is deleted by the very layer that links to it"
            self._problem("hardlink-to-deleted", position, entry, message)
        if target is None:
            self._problem(
                "dangling-hardlink",
                position,
                entry,
                f"the hard link's target /{entry.link} is not there when it is needed",
            )
            return
        if target.children is not None:
            self._problem(
                "hardlink-to-directory",
                position,
                entry,
                f"the hard link's target /{entry.link} is a directory",
            )
            return
        if target.inode is None:
            target.inode = Inode()
        node = Node(target.entry, position, target.source)
        node.inode = target.inode
        children[name] = node

    def _problem(self, kind: str, position: int, entry: LayerEntry, message: str) -> None:
        self.problems.append(Problem(kind, position, entry.path, message))

    # -- lookup ----------------------------------------------------------------------------------------------------

    def _directory(self, path: str, *, make: int | None = None) -> Node | None:
        """Resolve a path to a directory inside the root, links followed.

        With `make`, missing directories are made and files in their place replaced, as of that layer; then None
        means that the links do not end. Without it, None also means that there is no such directory.
        """
        waiting = path.split("/")[::-1] if path else []
        stack = [self.root]
        hops = self._hops
        while waiting:
            name = waiting.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(stack) > 1:
                    stack.pop()
                continue
            children = stack[-1].children
            assert children is not None  # noqa: S101 - only directories are stacked
            node = children.get(name)
            if node is not None and node.entry is not None and node.entry.type == "symlink":
                hops -= 1
                if hops < 0:
                    return None
                target = node.entry.link
                if target.startswith("/"):
                    del stack[1:]
                waiting.extend(reversed(target.split("/")))
                continue
            if node is None or node.children is None:
                if make is None:
                    return None
                if node is not None:
                    self._parents.clear()
                node = children[name] = Node(None, make)
            stack.append(node)
        return stack[-1]


def fold(indexes: Iterable[LayerIndex], *, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """Merge layers into one tree, bottom first."""
    tree = Tree(limits=limits)
    for position, index in enumerate(indexes):
        tree.apply(index, position)
    return tree
