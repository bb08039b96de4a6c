"""The one follower of symbolic links: a path walked through a tree, as path_resolution(7) says, never above the tree's root.

A tree is whatever answers three questions about its nodes. Two manners exist: the kernel's, which fails where a component is
missing or is not a directory, and the one of readers that join a path by its letters before they look at all of it (securejoin,
`filepath.Join`): there `..` leads out of what is missing again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import msgspec
from attrs import frozen

__all__ = ["LINKS", "Hop", "LookedUp", "PathWalk", "WalkedTree"]

LINKS = 40
"""Symbolic links that Linux follows for one path (MAXSYMLINKS)."""

N = TypeVar("N")


class Hop(msgspec.Struct, frozen=True, tag="link"):
    """One symbolic link that was followed: its path, its target, and the position of its layer."""

    path: str
    target: str
    layer: int

    def __str__(self) -> str:
        return f"{self.path} -> {self.target} (layer {self.layer})"


class WalkedTree(Protocol[N]):
    """Answers what a walk asks."""

    def is_directory(self, node: N, /) -> bool:
        """Return whether a node can have others in it."""
        ...

    def child(self, directory: N, name: str, /) -> N | None:
        """Return the entry of a directory by its name, None if there is none."""
        ...

    def target(self, node: N, /) -> str | None:
        """Return where a symbolic link leads, None for any other node."""
        ...


@frozen
class LookedUp(Generic[N]):
    """One name that was looked up.

    Attributes:
        directory: in which directory; None if a walk by letters is where nothing is.
        name: the name.
        node: what is there, None if nothing is there.
        target: where it leads if it is a link that the walk follows, else None.
    """

    directory: N | None
    name: str
    node: N | None
    target: str | None


class PathWalk(Generic[N]):
    """One walk. Iterate over it for each name that is looked up, or call `end`.

    Attributes:
        waiting: the components that are not walked yet, the next one last.
        stack: where the walk stands: names from the root, "" for the root itself, and their nodes; None for what is missing.
        links: how many links were followed.
        problem: "" as long as nothing is wrong, else `missing`, `loop` or `not-a-directory`.
    """

    def __init__(
        self,
        tree: WalkedTree[N],
        root: N,
        path: str,
        *,
        follow: bool = True,
        most: int = LINKS,
        by_letters: bool = False,
    ) -> None:
        """Stand at the root.

        Args:
            tree: answers for the nodes.
            root: where the walk begins, where absolute links lead, and above which nothing leads.
            path: with or without a leading slash.
            follow: whether a link at the end is followed too. One with a slash after it always is.
            most: links that are followed; one more is a `loop`.
            by_letters: whether `..` leads out of what is missing or is not a directory.
        """
        self._tree = tree
        self._follow = follow
        self._most = most
        self._by_letters = by_letters
        self.waiting = path.split("/")[::-1]
        self.stack: list[tuple[str, N | None]] = [("", root)]
        self.links = 0
        self.problem = ""
        self._stopped = ""

    @property
    def at(self) -> str:
        """The real path where the walk stands, or at which its problem is; "" for the root."""
        names = [name for name, _ in self.stack]
        return "/".join([*names, self._stopped] if self._stopped else names)

    def path_of(self, name: str) -> str:
        """Return the real path of a name that was just looked up."""
        return "/".join([*(each for each, _ in self.stack), name])

    def end(self) -> N | None:
        """Walk to the end; return what is there, None if nothing is."""
        for _ in self:
            pass
        return None if self.problem else self.stack[-1][1]

    def __iter__(self) -> Iterator[LookedUp[N]]:
        """Yield each name that is looked up, before the walk goes there."""
        tree, stack, waiting = self._tree, self.stack, self.waiting
        while waiting:
            name = waiting.pop()
            directory = stack[-1][1]
            usable = directory is not None and tree.is_directory(directory)
            if not usable and not self._by_letters:
                self.problem = "not-a-directory"
                return
            if name in ("", "."):
                continue
            if name == "..":
                if len(stack) > 1:
                    stack.pop()
                continue
            node = tree.child(directory, name) if directory is not None and usable else None
            target = tree.target(node) if node is not None and (waiting or self._follow) else None
            yield LookedUp(directory, name, node, target)
            if node is None and not self._by_letters:
                self.problem, self._stopped = "missing", name
                return
            if target is None:
                stack.append((name, node))
                continue
            if self.links >= self._most:
                self.problem, self._stopped = "loop", name
                return
            self.links += 1
            if target.startswith("/"):
                del stack[1:]
            waiting.extend(reversed(target.split("/")))
