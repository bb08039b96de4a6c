"""The record of one merged tree: a section for each directory, decoded on demand.

A directory's section has its names, and the places and digests of its subdirectories' sections. Reading a
path costs only the directories on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.record_writer import RecordWriter
from cosinspect.cache.section import Section
from cosinspect.cache.text import escape, rewrite, unescape
from cosinspect.layer.changeset import LayerEntry
from cosinspect.rootfs.overlay import Merged
from cosinspect.rootfs.tree import Inode, LayerProblem, Node
from cosinspect.wire_types import ready

__all__ = ["decode_tree", "encode_tree"]


class _Child(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A name in a directory.

    Attributes:
        entry: of the node, without its path if that is the node's own (`own_path`), and without the link of a hard link.
        inode: a number that all names of one file share, 0 for a single name.
        attributes: those of the inode.
        below: the section of a directory that is not empty.
    """

    name: str
    entry: LayerEntry | None
    own_path: bool
    layer: int
    source: int
    inode: int
    attributes: LayerEntry | None
    below: Section | None


class _TreeDirectory(msgspec.Struct, frozen=True, array_like=True):
    escaped: bool
    children: list[_Child]


class _TreeHead(msgspec.Struct, frozen=True, array_like=True):
    escaped: bool
    problems: list[tuple[str, int, str, str, bool]]
    root: _Child
    names: int
    unambiguous: bool


class _StoredNode(Node):
    """A directory whose names are decoded on demand."""

    __slots__ = ("_below", "_loaded", "_path", "_stored")

    def __init__(
        self, entry: LayerEntry | None, layer: int, stored: _Stored, below: Section, path: str
    ) -> None:
        self._loaded: dict[str, Node] | None = None
        self._stored = stored
        self._below = below
        self._path = path
        super().__init__(entry, layer)
        self._loaded = None

    @property
    def children(self) -> dict[str, Node] | None:
        if self._loaded is None:
            self._loaded = self._stored.children(self._below, self._path)
        return self._loaded

    @children.setter
    def children(self, value: dict[str, Node] | None) -> None:
        self._loaded = value


class _Stored:
    """A tree's record while it is read from."""

    def __init__(self, record: Record, again: Callable[[], Merged]) -> None:
        self._record = record
        self._again = again
        self._fresh: Node | None = None
        self._inodes: dict[int, Inode] = {}

    def children(self, section: Section, path: str) -> dict[str, Node]:
        """Decode a directory; if its section is damaged, merge the layers again."""
        try:
            found = msgspec.msgpack.decode(self._record.read(section), type=ready(_TreeDirectory))
        except (Damaged, msgspec.DecodeError):
            return self._merged(path)
        change = unescape if found.escaped else None
        nodes: dict[str, Node] = {}
        for child in found.children:
            name = child.name if change is None else change(child.name)
            nodes[name] = self.node(child, f"{path}/{name}" if path else name, change)
        return nodes

    def node(self, child: _Child, path: str, change: Callable[[str], str] | None) -> Node:
        """Return the node of a name."""
        entry = child.entry
        if entry is not None and change is not None:
            entry = rewrite(entry, change)
        if entry is not None and child.own_path:
            entry = msgspec.structs.replace(entry, path=path)
        if child.below is not None:
            return _StoredNode(entry, child.layer, self, child.below, path)
        node = Node(entry, child.layer, child.source)
        if child.inode:
            inode = self._inodes.get(child.inode)
            if inode is None:
                inode = self._inodes[child.inode] = Inode()
                attributes = child.attributes
                if attributes is not None and change is not None:
                    attributes = rewrite(attributes, change)
                inode.attributes = attributes
            node.inode = inode
        return node

    def _merged(self, path: str) -> dict[str, Node]:
        if self._fresh is None:
            self._fresh = self._again().root
        at: Node | None = self._fresh
        for name in path.split("/") if path else ():
            at = at.children.get(name) if at is not None and at.children is not None else None
        return (at.children if at is not None else None) or {}


def encode_tree(merged: Merged, key: bytes) -> list[bytes]:
    """Return the record of a tree, in pieces."""
    writer = RecordWriter(key)
    inodes: dict[int, int] = {}
    names = 0
    # A directory comes after its subdirectories: its section refers to theirs.
    waiting: list[tuple[Node, str, bool]] = [(merged.root, "", False)]
    sections: dict[int, Section] = {}
    while waiting:
        node, path, entered = waiting.pop()
        children = node.children or {}
        if not entered:
            waiting.append((node, path, True))
            waiting.extend(
                (child, f"{path}/{name}" if path else name, False)
                for name, child in children.items()
                if child.children
            )
            continue
        names += len(children)
        made = [
            _child(name, child, f"{path}/{name}" if path else name, sections, inodes)
            for name, child in children.items()
        ]
        sections[id(node)] = writer.add(_encode_directory(made))
    root = _Child("", merged.root.entry, False, merged.root.layer, 0, 0, None, sections[id(merged.root)])
    problems = [(each.kind, each.layer, each.path, each.message, each.fatal) for each in merged.problems]
    try:
        head = msgspec.msgpack.encode(_TreeHead(False, problems, root, names, merged.unambiguous))
    except UnicodeEncodeError:
        problems = [
            (kind, layer, escape(path), escape(text), fatal) for kind, layer, path, text, fatal in problems
        ]
        head = msgspec.msgpack.encode(
            _TreeHead(True, problems, _altered(root, escape), names, merged.unambiguous)
        )
    return writer.finish(head)


def decode_tree(record: Record, again: Callable[[], Merged]) -> Merged:
    """Return a tree; `again` merges the layers if a section is damaged.

    Raises:
        Damaged: the head is invalid.
    """
    try:
        head = msgspec.msgpack.decode(record.head, type=ready(_TreeHead))
    except msgspec.DecodeError as fault:
        raise Damaged(f"the head is not that of a tree: {fault}") from fault
    change = unescape if head.escaped else None
    text = unescape if head.escaped else str
    root = _Stored(record, again).node(head.root, "", change)
    problems = tuple(
        LayerProblem(kind, layer, text(path), text(message), fatal)
        for kind, layer, path, message, fatal in head.problems
    )
    return Merged(root, problems, head.names, head.unambiguous)


def _child(name: str, node: Node, path: str, sections: dict[int, Section], inodes: dict[int, int]) -> _Child:
    entry = node.entry
    own_path = entry is not None and entry.path == path
    if entry is not None and own_path:
        entry = msgspec.structs.replace(entry, path="")
    inode, attributes = 0, None
    if node.inode is not None:
        inode = inodes.setdefault(id(node.inode), len(inodes) + 1)
        attributes = node.inode.attributes
    below = sections.pop(id(node), None) if node.children else None
    return _Child(name, entry, own_path, node.layer, node.source, inode, attributes, below)


def _encode_directory(children: Sequence[_Child]) -> bytes:
    try:
        return msgspec.msgpack.encode(_TreeDirectory(False, list(children)))
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(_TreeDirectory(True, [_altered(child, escape) for child in children]))


def _altered(child: _Child, change: Callable[[str], str]) -> _Child:
    entry, attributes = child.entry, child.attributes
    return msgspec.structs.replace(
        child,
        name=change(child.name),
        entry=rewrite(entry, change) if entry is not None else None,
        attributes=rewrite(attributes, change) if attributes is not None else None,
    )
