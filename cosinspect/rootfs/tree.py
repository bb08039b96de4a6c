"""One directory tree, and how a reader of layers writes entries to it; which reader, its `Rules` say.

1. The parent of an entry is found through symbolic links, inside the root, and made where it is missing.
2. A directory over a directory replaces attributes and keeps children; anything else replaces what was there with
   everything below it.
3. A hard link binds to the file as it is when the link is written, not to the path.
4. What cannot be written (a dangling hard link, a loop of parents) is left out and told as a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cosinspect.layer.changeset import LayerEntry
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.rootfs.semantics import Rules

__all__ = ["IMPLIED_MODE", "Inode", "Node", "Problem", "Tree"]

IMPLIED_MODE = 0o755

LINK_BYTES = 4095
"""The longest target that Linux stores in a symbolic link (PATH_MAX less its NUL)."""


@frozen
class Problem:
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


class Tree:
    """A directory that entries are written to.

    Attributes:
        root: the root directory.
        problems: what could not be done.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        limits: Limits = DEFAULT_LIMITS,
        inherit: Callable[[list[str]], Node | Problem | None] | None = None,
    ) -> None:
        """Begin with an empty root.

        Args:
            rules: of the reader.
            limits: for the links followed.
            inherit: gives, for a directory that has to be made, the one whose attributes it gets, or what keeps it from
                being made.
        """
        self.root = Node(None, 0)
        self.problems: list[Problem] = []
        self._rules = rules
        self._hops = limits.link_hops if rules.link_hops is None else rules.link_hops
        self._inherit = inherit
        self._parents: dict[str, Node] = {}
        self._listed: list[tuple[str, int]] = []
        self._replaced = (
            False  # a directory or link, so that a directory may not be where its entry has put it
        )

    def lookup(self, path: str) -> Node | None:
        """Find a name without following it if it is a link itself; its directories are resolved inside the root."""
        parent, _, name = path.rpartition("/")
        if not name:
            return self.root
        found = self.directory(parent)
        return found.children.get(name) if found is not None and found.children is not None else None

    def forget(self) -> None:
        """Forget the directories found so far, after names were taken out of the tree."""
        self._parents.clear()

    def directory(self, path: str) -> Node | None:
        """Find a directory, links followed; None where there is none."""
        found = self._lexical(path) if self._rules.lexical else self._linked(path)
        return found if isinstance(found, Node) else None

    def make_directory(self, path: str, position: int) -> Node | str:
        """Find a directory, links followed, and make what is missing on the way; gives the kind of problem if it cannot."""
        found = self._parents.get(path)
        if found is None:
            made = self._lexical(path, position) if self._rules.lexical else self._linked(path, position)
            if isinstance(made, str):
                return made
            found = self._parents[path] = made
        return found

    def made(self, path: str, position: int) -> Node | None:
        """Find or make the directory of a marker; None if it cannot be, which is told then."""
        found = self.make_directory(path, position)
        if isinstance(found, str):
            self.problem(found, position, path, _WAYS[found])
            return None
        return found

    def beneath(self, names: list[str]) -> Node | str:
        """Find what stands at a path, links followed to the end; a string says why nothing does."""
        passed = self._resolved(names)
        if isinstance(passed, str):
            return passed
        at = self.root
        for name in passed:
            if at.children is None:
                return "parent-not-directory"
            node = at.children.get(name)
            if node is None:
                return "missing"
            at = node
        return at

    # -- entries ---------------------------------------------------------------------------------------------------

    def put(self, entry: LayerEntry, position: int, kept: dict[str, Node] | None = None) -> None:
        """Write an entry of the layer at `position`; `kept` has lower files that hard links may still bind to."""
        directory, _, name = entry.path.rpartition("/")
        if not name:
            self._put_root(entry, position)
            return
        parent = self.make_directory(directory, position)
        if isinstance(parent, str):
            self.problem(parent, position, entry.path, _WAYS[parent])
            return
        children = parent.children
        assert children is not None  # noqa: S101 - make_directory gives directories
        old = children.get(name)
        if old is not None:
            if entry.type == "dir" and old.children is not None:
                old.entry, old.layer, old.source = entry, position, position
                self._listed.append((entry.path, position))
                return
            if old.children is not None or old.type == "symlink":
                self._parents.clear()
                self._replaced = True
            del children[name]
        if entry.type == "hardlink":
            self._link(entry, position, children, name, kept or {})
        elif entry.type == "symlink" and not _is_storable(entry.link):
            self.problem(
                "empty-symlink" if not entry.link else "long-symlink",
                position,
                entry.path,
                f"expected a symbolic link with a target of 1 to {LINK_BYTES} bytes, found {len(entry.link)} characters; "
                "no file system stores one",
            )
        else:
            children[name] = Node(entry, position)
            if entry.type == "dir":
                self._listed.append((entry.path, position))

    def close(self) -> None:
        """End the writing: a reader that comes back to set the times of directories has to find them."""
        if not self._rules.revisits_directories or not self._replaced:
            return
        for path, position in self._listed:
            if isinstance(self.beneath(path.split("/")), str):
                message = "the directory is not to be found any more when its times are set: something has replaced it"
                self.problem("directory-replaced", position, path, message)

    def problem(self, kind: str, position: int, path: str, message: str, *, fatal: bool = True) -> None:
        """Tell of something that cannot be done."""
        self.problems.append(Problem(kind, position, path, message, fatal))

    def _put_root(self, entry: LayerEntry, position: int) -> None:
        if not self._rules.lists_root:
            return
        if entry.type == "dir":
            self.root.entry, self.root.layer = entry, position
        else:
            message = f"the root is a {entry.type} instead of a directory"
            self.problem("root-not-directory", position, entry.path, message)

    def _link(
        self, entry: LayerEntry, position: int, children: dict[str, Node], name: str, kept: dict[str, Node]
    ) -> None:
        target = self.lookup(entry.link)
        if target is None and (target := kept.get(entry.link)) is not None:
            message = f"the hard link's target /{entry.link} is deleted by the very layer that links to it"
            self.problem("hardlink-to-deleted", position, entry.path, message, fatal=False)
        if target is None:
            message = f"the hard link's target /{entry.link} is not there when it is needed"
            self.problem("dangling-hardlink", position, entry.path, message)
            return
        if target.children is not None:
            message = f"the hard link's target /{entry.link} is a directory"
            self.problem("hardlink-to-directory", position, entry.path, message)
            return
        if target.inode is None:
            target.inode = Inode()
        if self._rules.hardlinks_carry_attributes and target.type != "symlink":
            target.inode.attributes = entry
        node = Node(target.entry, position, target.source)
        node.inode = target.inode
        children[name] = node

    # -- directories -----------------------------------------------------------------------------------------------

    def _linked(self, path: str, make: int | None = None) -> Node | str:
        """Resolve a path to a directory as the kernel does, inside the root.

        With `make`, missing directories are made and files in their place replaced, as of that layer; then only links
        that do not end keep it from being found.
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
                    return "parent-loop"
                target = node.entry.link
                if target.startswith("/"):
                    del stack[1:]
                waiting.extend(reversed(target.split("/")))
                continue
            if node is None or node.children is None:
                if make is None:
                    return "missing" if node is None else "parent-not-directory"
                if node is not None:
                    self._parents.clear()
                node = children[name] = Node(None, make)
            stack.append(node)
        return stack[-1]

    def _lexical(self, path: str, make: int | None = None) -> Node | str:
        """Resolve a path to a directory as containerd's `fs.RootPath` does, and with `make` make what is missing."""
        names = self._resolved(path.split("/") if path else [])
        if isinstance(names, str):
            return names
        at = self.root
        for number, name in enumerate(names):
            if at.children is None:
                return "parent-not-directory"
            node = at.children.get(name)
            if node is None:
                if make is None:
                    return "missing"
                made = self._implied(names[: number + 1], make)
                if isinstance(made, str):
                    return made
                node = at.children[name] = made
            at = node
        return at if at.children is not None else "parent-not-directory"

    def _resolved(self, names: list[str]) -> list[str] | str:
        """Replace links on a way until there is none left."""
        hops = 0
        while True:
            passed = self._pass(names)
            if isinstance(passed, str):
                return passed
            names, links = passed
            hops += links
            if hops > self._hops:
                return "parent-loop"
            if not links:
                return names

    def _pass(self, names: list[str]) -> tuple[list[str], int] | str:
        """Go along a way once; each link on it is replaced by its target, joined to its directory as text."""
        at: list[str] = []
        links = 0
        here: Node | str = self.root
        for name in names:
            if isinstance(here, str) and here != "missing":
                return here
            node = None
            if isinstance(here, Node):
                if here.children is None:
                    return "parent-not-directory"
                node = here.children.get(name)
            if node is not None and node.entry is not None and node.entry.type == "symlink":
                links += 1
                if links > self._hops:
                    return "parent-loop"
                at = _joined([] if node.entry.link.startswith("/") else at, node.entry.link)
                here = self._linked(
                    "/".join(at)
                )  # what asks for the next name is the kernel, which follows links
            else:
                at.append(name)
                here = node if node is not None else "missing"
        return at, links

    def _implied(self, names: list[str], position: int) -> Node | str:
        """Make a directory that the layer uses and does not list."""
        lower = self._inherit(names) if self._inherit is not None else None
        if isinstance(lower, Problem):
            return lower.kind
        if lower is None or lower.entry is None:
            return Node(None, position)
        return Node(lower.entry, lower.layer)


_WAYS = {
    "parent-loop": "the links on the way to the entry do not end",
    "parent-not-directory": "something that is no directory stands where the entry needs one",
    "lower-not-directory": "a lower layer has something that is no directory where the entry needs one",
}


def _is_storable(link: str) -> bool:
    return bool(link) and (
        len(link) * 4 <= LINK_BYTES or len(link.encode("utf-8", "surrogateescape")) <= LINK_BYTES
    )


def _joined(directory: list[str], target: str) -> list[str]:
    """Join a link's target to the directory it stands in, by its letters alone, inside the root."""
    names = list(directory)
    for name in target.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return names
