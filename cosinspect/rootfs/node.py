"""The nodes of a tree: names, shared files, and problems of a reader."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Iterable, Iterator, MutableMapping, ValuesView
from typing import TypeVar, overload

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.layer.changeset import LayerEntry

__all__ = [
    "IMPLIED_MODE",
    "LINK_BYTES",
    "NAME_BYTES",
    "NODES",
    "PATH_BYTES",
    "Inode",
    "LayerProblem",
    "Names",
    "Node",
    "count_below",
    "held",
    "is_name",
    "is_storable",
    "named_below",
    "walk_below",
]

T = TypeVar("T")

IMPLIED_MODE = 0o755

NAME_BYTES = 255
"""The longest name in a directory (NAME_MAX), on every file system that Linux installs to."""

PATH_BYTES = 4000
"""The longest path that a reader writes: PATH_MAX without its NUL, less 95 bytes for the directory that it writes to."""

LINK_BYTES = 4095
"""The longest target that Linux stores in a symbolic link (PATH_MAX without its NUL)."""


@frozen
class LayerProblem:
    """An entry or marker that a reader cannot apply.

    Attributes:
        kind: stable and lower-case, such as `dangling-hardlink`.
        layer: position of the layer.
        path: the entry concerned.
        message: what was expected and found.
        fatal: whether the reader refuses the whole image; else it continues with another tree.
    """

    kind: str
    layer: int
    path: str
    message: str
    fatal: bool = True


class Inode:
    """The identity that all names of one file share.

    Attributes:
        attributes: the entry with the file's mode and owner, if not that of its content.
    """

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: LayerEntry | None = None


class Node:
    """One name in a tree.

    Attributes:
        entry: the layer's entry; None for an implied directory.
        layer: position of the layer with this name, or with the attributes of a directory.
        source: position of the layer with the content; differs from `layer` for a hard link to a lower file.
        inode: set if the file has several names.
        children: of a directory by name, else None.
        opaque: whether a directory hides the content of lower layers, for overlayfs.
    """

    __slots__ = ("children", "entry", "inode", "layer", "opaque", "source")

    def __init__(self, entry: LayerEntry | None, layer: int, source: int | None = None) -> None:
        self.entry = entry
        self.layer = layer
        self.source = layer if source is None else source
        self.inode: Inode | None = None
        self.children: MutableMapping[str, Node] | None = {} if entry is None or entry.type == "dir" else None
        self.opaque = False

    @property
    def type(self) -> str:
        """The kind of file: `file`, `dir`, `symlink`, `char`, `block` or `fifo`."""
        return "dir" if self.entry is None else self.entry.type

    @property
    def is_whiteout(self) -> bool:
        """Whether overlayfs treats it as a missing file: any character device 0/0."""
        return self.entry is not None and self.entry.type == "char" and self.entry.device == (0, 0)


class Names(MutableMapping[str, Node]):
    """The children of a directory that makes nodes for files on demand; subdirectories always have one.

    A node that `get` returns stays the node of its name.
    """

    __slots__ = ("_own",)

    def __init__(self, own: dict[str, Node]) -> None:
        """Start with the nodes in `own`."""
        self._own = own

    @abstractmethod
    def _find(self, name: str) -> int | None:
        """Return the place of a name that may have no node yet, None if there is no such name."""

    @abstractmethod
    def _node(self, place: int, name: str) -> Node:
        """Make the node of a name at its place."""

    @overload
    def get(self, name: str, /) -> Node | None: ...
    @overload
    def get(self, name: str, default: Node | T, /) -> Node | T: ...
    def get(self, name: str, default: T | None = None, /) -> Node | T | None:
        """Return the node of a name, the same one each time."""
        node = self._own.get(name)
        if node is not None:
            return node
        place = self._find(name)
        if place is None:
            return default
        node = self._own[name] = self._node(place, name)
        return node

    def __getitem__(self, name: str) -> Node:
        node = self.get(name)
        if node is None:
            raise KeyError(name)
        return node

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._own or self._find(name) is not None)

    @abstractmethod
    def held(self) -> Iterable[Node]:
        """Return the nodes that exist."""

    @abstractmethod
    def held_items(self) -> Iterable[tuple[str, Node]]:
        """Return them with their names."""

    @abstractmethod
    def pairs(self) -> Iterator[tuple[str, Node]]:
        """Yield all names with their nodes, of which some are made and forgotten."""

    def items(self) -> ItemsView[str, Node]:
        """Return the names with their nodes, as `pairs` does."""
        return _NodeItems(self)

    def values(self) -> ValuesView[Node]:
        """Return the nodes, as `pairs` does."""
        return _NodeValues(self)


class _NodeItems(ItemsView[str, Node]):
    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self._names = names

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return self._names.pairs()


class _NodeValues(ValuesView[Node]):
    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self._names = names

    def __iter__(self) -> Iterator[Node]:
        return (node for _, node in self._names.pairs())


def held(directory: Node) -> Iterable[Node]:
    """Return those children whose nodes exist: all directories, and all that have several names or are on a way that is known."""
    children = directory.children
    if children is None:
        return ()
    return children.held() if isinstance(children, Names) else children.values()


class _Nodes:
    """Nodes for a walk (`cosinspect.path_walk`)."""

    def is_directory(self, node: Node, /) -> bool:
        return node.children is not None

    def child(self, directory: Node, name: str, /) -> Node | None:
        return directory.children.get(name) if directory.children is not None else None

    def target(self, node: Node, /) -> str | None:
        return node.entry.link if node.entry is not None and node.entry.type == "symlink" else None


NODES = _Nodes()


def is_name(name: str) -> bool:
    """Return whether a directory can have the name: it has no NUL, and at most 255 bytes."""
    if "\0" in name:
        return False
    return len(name) * 4 <= NAME_BYTES or len(name.encode("utf-8", "surrogateescape")) <= NAME_BYTES


def is_storable(link: str) -> bool:
    """Return whether a symbolic link can have the target: it has 1 to 4095 bytes."""
    return bool(link) and (
        len(link) * 4 <= LINK_BYTES or len(link.encode("utf-8", "surrogateescape")) <= LINK_BYTES
    )


def walk_below(base: str, top: Node) -> Iterator[tuple[str, Node]]:
    """Yield the paths and nodes of everything below a node, sorted, without recursion; `base` is the path of the node."""
    waiting = [(f"{base}/{name}", node) for name, node in sorted((top.children or {}).items(), reverse=True)]
    while waiting:
        spend()
        path, node = waiting.pop()
        yield path, node
        if node.children:
            waiting.extend(
                (f"{path}/{name}", child) for name, child in sorted(node.children.items(), reverse=True)
            )


def count_below(top: Node) -> int:
    """Return the number of names below a node, at any depth."""
    count = 0
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        if directory.children:
            below = len(directory.children)
            count += below
            spend(below)
            waiting.extend([node for node in held(directory) if node.children is not None])
    return count


def named_below(top: Node, name: str) -> Iterator[tuple[str, Node]]:
    """Yield the paths and nodes of one name below a node, at any depth, unsorted."""
    waiting = [("", top)]
    while waiting:
        base, directory = waiting.pop()
        children = directory.children or {}
        spend(len(children))
        found = children.get(name)
        if found is not None:
            yield f"{base}/{name}", found
        named = children.held_items() if isinstance(children, Names) else children.items()
        waiting.extend((f"{base}/{below}", child) for below, child in named if child.children is not None)
