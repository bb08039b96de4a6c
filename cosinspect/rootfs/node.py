"""The nodes of a tree: names, shared files, and problems of a reader."""

from __future__ import annotations

from collections.abc import MutableMapping

from attrs import frozen

from cosinspect.layer.changeset import LayerEntry

__all__ = [
    "IMPLIED_MODE",
    "LINK_BYTES",
    "NAME_BYTES",
    "NODES",
    "Inode",
    "LayerProblem",
    "Node",
    "is_name",
    "is_storable",
]

IMPLIED_MODE = 0o755

NAME_BYTES = 255
"""The longest name in a directory (NAME_MAX), on every file system that Linux installs to."""

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
