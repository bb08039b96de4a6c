"""Path resolution: how readers find a directory, with links followed inside the root.

umoci joins names lexically and follows links as it meets them (`_linked`). containerd's `fs.RootPath`
replaces links pass by pass (`_lexical`), and asks the kernel for each name (`_walked`).
"""

from __future__ import annotations

from cosinspect.deadline import spend
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.path_walk import PathWalk
from cosinspect.rootfs.agreement import Agreement
from cosinspect.rootfs.node import NAME_BYTES, NODES, PATH_BYTES, Node, held, is_name
from cosinspect.rootfs.semantics import Rules

__all__ = ["Paths"]


_KEPT = 1_000_000
"""The maximum number of nodes on which cached ways through links depend; beyond it, the cache is cleared."""


_PROBLEMS = {"loop": "parent-loop", "not-a-directory": "parent-not-directory"}


class Paths:
    """The lookup of directories in a tree.

    Attributes:
        root: the root directory.
        agreement: observes what is written, if asked for.
        is_literal: whether no way led through a link so far.
    """

    def __init__(self, rules: Rules, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Start with an empty root."""
        self.root = Node(None, 0)
        self.agreement: Agreement | None = None
        self.is_literal = True
        self._rules = rules
        self._hops = limits.link_hops if rules.link_hops is None else rules.link_hops
        # By path: directories that were found. A directory that is taken out of the tree loses its children, so that a path
        # without links on it is right as long as what it led to has some. Ways through links may change with every node that
        # they touch: `_ways` has, by the identity of such a node, the paths that depend on it.
        self._parents: dict[str, Node] = {}
        self._ways: dict[int, list[str]] = {}
        # By path: the length in bytes of the real path of a directory in which not every name is found.
        self._far: dict[str, int] = {}
        self._touched: list[Node] = []
        self._winding = False
        self._missed = False
        self._kept = 0

    def lookup(self, path: str) -> Node | None:
        """Return the node of a name without following a link at its end; its directories are resolved inside the root."""
        parent, _, name = path.rpartition("/")
        if not name:
            return self.root
        found = self.directory(parent)
        return found.children.get(name) if found is not None and found.children is not None else None

    def forget(self) -> None:
        """Clear the cache of directories, after names were removed from the tree."""
        self._parents.clear()
        self._ways.clear()
        self._kept = 0

    def directory(self, path: str) -> Node | None:
        """Return a directory, links followed, or None."""
        found = self._known(path)
        if found is not None:
            return found
        return self._found(path, self._lexical(path) if self._rules.lexical else self._linked(path))

    def _known(self, path: str) -> Node | None:
        """Return the cached directory at a path, None if it may have changed."""
        found = self._parents.get(path)
        return found if found is not None and found.children is not None else None

    def _found(self, path: str, found: Node | str) -> Node | None:
        """Cache the directory found at a path."""
        touched, winding, missed = self._touched, self._winding, self._missed
        self._look_afresh()
        if isinstance(found, str):
            return None
        if winding and missed:  # a missing name may become a link
            return found
        if winding:
            if self._kept + len(touched) > _KEPT:
                self.forget()
            self._kept += len(touched)
            for node in touched:
                self._ways.setdefault(id(node), []).append(path)
        self._parents[path] = found
        return found

    def _look_afresh(self) -> None:
        spend(len(self._touched))
        self._touched, self._winding, self._missed = [], False, False

    def _drop(self, node: Node) -> None:
        """Drop a node and everything below it from the cache after its removal from the tree."""
        waiting = [node]
        while waiting:
            spend()
            gone = waiting.pop()
            for path in self._ways.pop(id(gone), ()):
                self._parents.pop(path, None)
            if gone.children is not None:
                waiting.extend(list(held(gone)))
                gone.children = None

    def beneath(self, names: list[str]) -> Node | str:
        """Return the node at a path, links followed; a string gives the reason if there is none."""
        passed = self._resolved(names)
        self._look_afresh()
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

    # -- ways -----------------------------------------------------------------------------------------------

    def _linked(self, path: str, make: int | None = None) -> Node | str:
        """Resolve a path to a directory lexically, inside the root, with links on it followed (umoci: securejoin).

        A missing name, or one that is not a directory, counts as a directory if `..` leads out of it again.
        With `make`, missing directories are created at the end and files in their place are replaced, by that
        layer; then only link loops and invalid names prevent the resolution.
        """
        straight = self._straight(path)
        if straight is not None:
            return straight if self._is_reached(path, [path]) else "long-path"
        walk = PathWalk(NODES, self.root, path, most=self._hops, by_letters=True)
        for step in walk:
            if step.node is None:
                self._missed = True
            else:
                self._touched.append(step.node)
            self._winding = self._winding or step.target is not None
        if self._winding:
            self.is_literal = False
            if self.agreement is not None:
                self.agreement.end()
        if walk.problem:
            return "parent-loop"
        if not self._is_reached(path, [name for name, _ in walk.stack[1:]]):
            return "long-path"
        at = self.root
        for name, node in walk.stack[1:]:
            if node is None or node.children is None:
                if make is None:
                    return "missing" if node is None else "parent-not-directory"
                if not is_name(name):
                    return "unusable-name"
                if node is not None:
                    self._drop(node)
                if self.agreement is not None:
                    if node is not None:
                        self.agreement.end()
                    self.agreement.implied()
                made = Node(None, make)
                assert at.children is not None  # noqa: S101 - directories lead here
                at.children[name] = made
                at = made
            else:
                at = node
        return at

    def _walked(self, names: list[str]) -> Node | str:
        """Return the node at a path as the kernel does, with all links followed."""
        walk = PathWalk(NODES, self.root, "/".join(names), most=self._hops)
        name = ""
        for step in walk:
            name = step.name
            if step.node is not None:
                self._touched.append(step.node)
        node = walk.stack[-1][1]
        if walk.problem == "missing" or node is None:
            return "missing" if is_name(name) else "unusable-name"
        return _PROBLEMS[walk.problem] if walk.problem else node

    def _straight(self, path: str) -> Node | None:
        """Return a directory if every name on the way is a directory, the common case; None if the way must be walked."""
        at = self.root
        for name in path.split("/") if path else ():
            node = at.children.get(name) if at.children is not None else None
            if node is None or node.children is None:
                return None
            at = node
        return at

    def _lexical(self, path: str, make: int | None = None) -> Node | str:
        """Resolve a path to a directory as containerd's `fs.RootPath` does, and create missing directories with `make`."""
        names = self._resolved(path.split("/") if path else [])
        if isinstance(names, str):
            return names
        if not self._is_reached(path, names):
            return "long-path"
        at = self.root
        for number, name in enumerate(names):
            if at.children is None:
                return "parent-not-directory"
            node = at.children.get(name)
            if node is None:
                if make is None:
                    return "missing"
                made = self._implied(names[: number + 1], make, at) if is_name(name) else "unusable-name"
                if isinstance(made, str):
                    return made
                node = at.children[name] = made
            at = node
        return at if at.children is not None else "parent-not-directory"

    def _is_reached(self, path: str, names: list[str]) -> bool:
        """Return whether Linux finds the directory of these names, to which a path leads; note it if not every name in it is found."""
        length = sum(map(len, names)) + len(names)
        if 4 * length >= PATH_BYTES - NAME_BYTES:
            length = len("/".join(names).encode("utf-8", "surrogateescape"))
        if length > PATH_BYTES - NAME_BYTES - 1:
            self._far[path] = length
        elif self._far:
            self._far.pop(path, None)
        return length <= PATH_BYTES

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
        """Follow a path once; replace each link by its target, joined to its directory as text."""
        at: list[str] = []
        links = 0
        here: Node | str = self.root
        for name in names:
            if name in ("", ".", ".."):
                if not name:
                    continue
                way = at if name == "." else at[:-1]
                found = self._unfollowed(way)
            else:
                way = [*at, name]
                if isinstance(here, str):
                    if here != "missing":
                        return here
                    found = here if is_name(name) else "unusable-name"
                elif here.children is None:
                    return "parent-not-directory"
                else:
                    found = here.children.get(name) or ("missing" if is_name(name) else "unusable-name")
            if isinstance(found, str) and found != "missing":
                return found
            if isinstance(found, Node):
                self._touched.append(found)
            else:
                self._missed = True
            if isinstance(found, Node) and found.entry is not None and found.entry.type == "symlink":
                self._winding = True
                links += 1
                if links > self._hops:
                    return "parent-loop"
                # The target is joined to the current position, whatever dots led to the link.
                at = _joined([] if found.entry.link.startswith("/") else at, found.entry.link)
                here = self._walked(at)  # the kernel resolves the next name and follows links
            else:
                at, here = way, found
        return at, links

    def _unfollowed(self, names: list[str]) -> Node | str:
        """Return the node at a path as lstat(2) does."""
        if not names:
            return self.root
        above = self._walked(names[:-1])
        if isinstance(above, str):
            return above
        if above.children is None:
            return "parent-not-directory"
        return above.children.get(names[-1]) or "missing"

    def _implied(self, names: list[str], position: int, parent: Node) -> Node | str:
        """Create the implied directory at a path; a string is the reason if that fails."""
        return Node(None, position)


def _joined(directory: list[str], target: str) -> list[str]:
    """Join a link's target to its directory lexically, inside the root."""
    names = list(directory)
    for name in target.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return names
