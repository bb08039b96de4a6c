"""The record of one merged tree: a section for each directory, decoded on demand.

A directory's section has its names, and the places and digests of its subdirectories' sections. Reading a
path costs only the directories on it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from itertools import accumulate
from typing import NoReturn

import msgspec

from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.record_writer import RecordWriter
from cosinspect.cache.section import Section
from cosinspect.cache.text import escape, rewrite, unescape
from cosinspect.layer.changeset import LayerEntry
from cosinspect.rootfs.node import Inode, LayerProblem, Names, Node
from cosinspect.rootfs.overlay import Merged
from cosinspect.wire_types import ready

__all__ = ["decode_tree", "encode_tree"]

_NO_DEVICE = (0, 0)


class _Child(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What has a name in a directory.

    Attributes:
        entry: of the node, without its path if that is the node's own (`own_path`), and without the link of a hard link.
        inode: a number that all names of one file share, 0 for a single name.
        attributes: those of the inode.
        below: the section of a directory that is not empty.
    """

    entry: LayerEntry | None
    own_path: bool
    layer: int
    source: int
    inode: int
    attributes: LayerEntry | None
    below: Section | None


class _PlainFile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What most names have: a regular file at its own path without anything unusual, in half the bytes of a `_Child`.

    Attributes:
        head: bytes from the header to the content.
    """

    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    header: int
    head: int
    layer: int


_PLAIN = 0x98  # the first byte of eight values in msgpack; a `_Child` has seven


class _TreeDirectory(msgspec.Struct, frozen=True, array_like=True):
    """The children of a directory, sorted by the bytes of their names, so that one is found without the others.

    Attributes:
        escaped: whether the text of the children is escaped.
        names: the bytes of all names.
        children: the bytes of all children, each as `_Child` or `_PlainFile`.
        ends: where each name ends, then where each child ends, as numbers of 4 bytes.
        directories: which of them are directories.
    """

    escaped: bool
    names: bytes
    children: bytes
    ends: bytes
    directories: list[int]


class _TreeHead(msgspec.Struct, frozen=True, array_like=True):
    escaped: bool
    problems: list[tuple[str, int, str, str, bool]]
    root: _Child
    names: int
    unambiguous: bool
    is_literal: bool


class _StoredNode(Node):
    """A directory whose names are decoded on demand."""

    __slots__ = ("_below", "_loaded", "_path", "_stored")

    def __init__(
        self, entry: LayerEntry | None, layer: int, stored: _Stored, below: Section, path: str
    ) -> None:
        self._loaded: MutableMapping[str, Node] | None = None
        self._stored = stored
        self._below = below
        self._path = path
        super().__init__(entry, layer)
        self._loaded = None

    @property
    def children(self) -> MutableMapping[str, Node] | None:
        if self._loaded is None:
            self._loaded = self._stored.children(self._below, self._path)
        return self._loaded

    @children.setter
    def children(self, value: MutableMapping[str, Node] | None) -> None:
        self._loaded = value


class _StoredNames(Names):
    """The names in a directory of a record; the node of a name is made when it is asked for."""

    def __init__(self, stored: _Stored, found: _TreeDirectory, path: str) -> None:
        super().__init__({})
        self._stored = stored
        self._path = path
        self._names = found.names
        self._children = found.children
        ends = array("I", found.ends)
        if sys.byteorder == "big":
            ends.byteswap()
        self._count = len(ends) // 2
        self._ends = ends
        self._directories = found.directories
        self._change = unescape if found.escaped else None

    def _name(self, number: int) -> bytes:
        return self._names[self._ends[number - 1] if number else 0 : self._ends[number]]

    def _node(self, place: int, name: str) -> Node:
        first = self._count + place
        data = self._children[self._ends[first - 1] if place else 0 : self._ends[first]]
        path = f"{self._path}/{name}" if self._path else name
        if data[0] == _PLAIN:
            return _plain_node(data, path)
        child = msgspec.msgpack.decode(data, type=ready(_Child))
        return self._stored.node(child, path, self._change)

    def _find(self, name: str) -> int | None:
        try:
            wanted = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # no name of a file
            return None
        names, ends = self._names, self._ends
        low, high = 0, self._count
        while low < high:  # as bisect_left does, without a call for each name
            middle = (low + high) // 2
            if names[ends[middle - 1] if middle else 0 : ends[middle]] < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < self._count and self._name(low) == wanted else None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (self._name(number).decode("utf-8", "surrogateescape") for number in range(self._count))

    def __setitem__(self, name: str, node: Node) -> NoReturn:
        raise TypeError("a cached tree does not change")

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError("a cached tree does not change")

    def held(self) -> Iterable[Node]:
        """Return the nodes that exist, after those of directories were made."""
        return [node for _, node in self.held_items()]

    def held_items(self) -> Iterable[tuple[str, Node]]:
        """Return them with their names."""
        for number in self._directories:
            self.get(self._name(number).decode("utf-8", "surrogateescape"))
        return list(self._own.items())

    def pairs(self) -> Iterator[tuple[str, Node]]:
        """Yield all names with their nodes; those of files are forgotten."""
        self.held_items()
        for number, name in enumerate(self):
            yield name, self._own.get(name) or self._node(number, name)


class _Stored:
    """A tree's record while it is read from."""

    def __init__(self, record: Record, again: Callable[[], Merged]) -> None:
        self._record = record
        self._again = again
        self._fresh: Node | None = None
        self._inodes: dict[int, Inode] = {}

    def children(self, section: Section, path: str) -> MutableMapping[str, Node]:
        """Decode a directory; if its section is damaged, merge the layers again."""
        try:
            found = msgspec.msgpack.decode(self._record.read(section), type=ready(_TreeDirectory))
        except (Damaged, msgspec.DecodeError):
            return self._merged(path)
        return _StoredNames(self, found, path)

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

    def _merged(self, path: str) -> MutableMapping[str, Node]:
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
                for name, child in (
                    children.held_items() if isinstance(children, Names) else children.items()
                )
                if child.children
            )
            continue
        names += len(children)
        made = sorted(
            (
                name.encode("utf-8", "surrogateescape"),
                _child(child, f"{path}/{name}" if path else name, sections, inodes),
            )
            for name, child in children.items()
        )
        sections[id(node)] = writer.add(_encode_directory(made))
    root = _Child(merged.root.entry, False, merged.root.layer, 0, 0, None, sections[id(merged.root)])
    problems = [(each.kind, each.layer, each.path, each.message, each.fatal) for each in merged.problems]
    known = merged.unambiguous, merged.is_literal
    try:
        head = msgspec.msgpack.encode(_TreeHead(False, problems, root, names, *known))
    except UnicodeEncodeError:
        problems = [
            (kind, layer, escape(path), escape(text), fatal) for kind, layer, path, text, fatal in problems
        ]
        head = msgspec.msgpack.encode(_TreeHead(True, problems, _altered(root, escape), names, *known))
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
    return Merged(root, problems, head.names, head.unambiguous, head.is_literal)


def _plain_node(data: bytes, path: str) -> Node:
    file = msgspec.msgpack.decode(data, type=ready(_PlainFile))
    entry = LayerEntry(
        path, "file", file.mode, file.uid, file.gid, file.size, file.mtime, "", _NO_DEVICE, None,
        file.header, file.header + file.head, file.size, None,
    )  # fmt: skip
    return Node(entry, file.layer)


def _is_plain(entry: LayerEntry) -> bool:
    """Return whether a `_PlainFile` holds all of an entry at its own path."""
    return (
        entry.type == "file"
        and entry.stored == entry.size
        and entry.device == _NO_DEVICE
        and entry.xattrs is None
        and entry.sparse is None
        and not (entry.link or entry.name or entry.target or entry.fault)
    )


def _child(
    node: Node, path: str, sections: dict[int, Section], inodes: dict[int, int]
) -> _Child | _PlainFile:
    entry = node.entry
    own_path = entry is not None and entry.path == path
    if (
        entry is not None
        and own_path
        and node.inode is None
        and node.source == node.layer
        and _is_plain(entry)
    ):
        head = entry.data - entry.header
        return _PlainFile(
            entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.header, head, node.layer
        )
    if entry is not None and own_path:
        entry = msgspec.structs.replace(entry, path="")
    inode, attributes = 0, None
    if node.inode is not None:
        inode = inodes.setdefault(id(node.inode), len(inodes) + 1)
        attributes = node.inode.attributes
    below = sections.pop(id(node), None) if node.children else None
    return _Child(entry, own_path, node.layer, node.source, inode, attributes, below)


def _encode_directory(children: Sequence[tuple[bytes, _Child | _PlainFile]]) -> bytes:
    escaped = False
    try:
        parts = [msgspec.msgpack.encode(child) for _, child in children]
    except UnicodeEncodeError:
        escaped = True
        parts = [
            msgspec.msgpack.encode(_altered(child, escape) if isinstance(child, _Child) else child)
            for _, child in children
        ]
    names = [name for name, _ in children]
    ends = array("I", [*accumulate(map(len, names)), *accumulate(map(len, parts))])
    if sys.byteorder == "big":
        ends.byteswap()
    directories = [
        number
        for number, (_, child) in enumerate(children)
        if isinstance(child, _Child) and (child.entry is None or child.entry.type == "dir")
    ]
    found = _TreeDirectory(escaped, b"".join(names), b"".join(parts), ends.tobytes(), directories)
    return msgspec.msgpack.encode(found)


def _altered(child: _Child, change: Callable[[str], str]) -> _Child:
    entry, attributes = child.entry, child.attributes
    return msgspec.structs.replace(
        child,
        entry=rewrite(entry, change) if entry is not None else None,
        attributes=rewrite(attributes, change) if attributes is not None else None,
    )
