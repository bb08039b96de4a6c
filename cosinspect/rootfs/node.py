"""The nodes of a tree: names, the files that they share, and what a reader cannot do."""

from __future__ import annotations

from attrs import frozen

from cosinspect.layer.changeset import LayerEntry

__all__ = ["IMPLIED_MODE", "NAME_BYTES", "NODES", "Inode", "LayerProblem", "Node", "is_name"]

IMPLIED_MODE = 0o755

NAME_BYTES = 255
"""The longest name in a directory (NAME_MAX), on every file system that Linux installs to."""


@frozen
class LayerProblem:
    """Something a layer asks for that its reader cannot do.

    Attributes:
        kind: stable and lower-case, such as `dangling-hardlink`.
        layer: position of the layer.
        path: the entry concerned.
        message: what was expected and found.
        fatal: whether the reader gives the whole image up; else it goes on, and somebody sees another tree.
    """

    kind: str
    layer: int
    path: str
    message: str
    fatal: bool = True


class Inode:
    """The identity that all names of one file share.

    Attributes:
        attributes: the entry whose mode and owner the file has, if not that of its content.
    """

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: LayerEntry | None = None


class Node:
    """One name in a tree.

    Attributes:
        entry: what the layer says of it; None for a directory that no layer lists, only uses.
        layer: position of the layer that gave this name, or the attributes of a directory.
        source: position of the layer that holds the content; differs from `layer` for a hard link to a lower file.
        inode: set when the file has several names.
        children: of a directory by name, else None.
        opaque: whether a directory hides what lower layers have in it, where layers are laid over each other.
    """

    __slots__ = ("children", "entry", "inode", "layer", "opaque", "source")

    def __init__(self, entry: LayerEntry | None, layer: int, source: int | None = None) -> None:
        self.entry = entry
        self.layer = layer
        self.source = layer if source is None else source
        self.inode: Inode | None = None
        self.children: dict[str, Node] | None = {} if entry is None or entry.type == "dir" else None
        self.opaque = False

    @property
    def type(self) -> str:
        """The kind of file: `file`, `dir`, `symlink`, `char`, `block` or `fifo`."""
        return "dir" if self.entry is None else self.entry.type

    @property
    def is_whiteout(self) -> bool:
        """Whether overlayfs takes it for the absence of a file: a character device 0/0, whoever made it."""
        return self.entry is not None and self.entry.type == "char" and self.entry.device == (0, 0)


class _Nodes:
    """Nodes as a walk asks for them (`cosinspect.path_walk`)."""

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
