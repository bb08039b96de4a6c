"""The tree of an image whose upper layers only were read: it answers only what they decide.

An upper layer decides a name by an entry for it, by a whiteout, or by an opaque whiteout or a whiteout above
it. Everything else depends on lower layers and raises `Unread`. If an upper layer uses a directory that none
of them lists, or replaces one, nothing is decided there: a lower layer may have a link in its place, and then
the layer's content is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.whiteout import whiteout_path
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.rootfs.history import Action, Change
from cosinspect.rootfs.rootfs import Bodies, Rootfs
from cosinspect.rootfs.semantics import RULES, Semantics
from cosinspect.rootfs.tree import LayerProblem, Node

__all__ = ["PartialRootfs", "Unread"]


class Unread(BaseException):
    """The answer depends on layers that were not read.

    It is not an `Exception`, because code that contains a check's errors, or caches that a file is
    unreadable, would treat it as an answer.
    """


def _unread() -> NoReturn:
    raise Unread


class _Names(dict[str, Node]):
    """The names of a directory that upper layers decide: existing and deleted ones."""

    def __init__(self, known: Mapping[str, Node], gone: set[str]) -> None:
        super().__init__(known)
        self._gone = gone

    def get(self, name: str, default: Node | None = None) -> Node | None:  # type: ignore[override]
        found = super().get(name)
        if found is None and name not in self._gone:
            raise Unread
        return default if found is None else found

    def __getitem__(self, name: str) -> Node:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return self.get(str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        _unread()

    def __len__(self) -> int:  # noqa: PLE0303 - it has no answer
        _unread()

    def __bool__(self) -> bool:  # noqa: PLE0304 - it has no answer
        _unread()

    def __eq__(self, other: object) -> bool:
        _unread()

    def __ne__(self, other: object) -> bool:
        _unread()

    __hash__ = None  # as for every dict

    def __reversed__(self) -> Iterator[str]:
        _unread()

    def __or__(self, other: object) -> NoReturn:
        _unread()

    def __ror__(self, other: object) -> NoReturn:
        _unread()

    def copy(self) -> NoReturn:
        """All of it: not known."""
        _unread()

    def keys(self) -> NoReturn:
        """All names: not known."""
        _unread()

    def values(self) -> NoReturn:
        """All nodes: not known."""
        _unread()

    def items(self) -> NoReturn:
        """All of both: not known."""
        _unread()


class PartialRootfs(Rootfs):
    """The merged tree as far as the upper layers decide it; everything else raises `Unread`."""

    def __init__(
        self,
        indexes: Sequence[LayerIndex],
        layers: Sequence[Bodies],
        unread: int,
        *,
        limits: Limits = DEFAULT_LIMITS,
        semantics: Semantics = Semantics.OCI,
    ) -> None:
        """Merge `indexes`, of which the lowest `unread` are empty stand-ins.

        Args:
            indexes: of all layers, so that positions match the image.
            layers: all of them, for the contents of files.
            unread: the number of unread layers.
            limits: for the links followed.
            semantics: of the tree.
        """
        super().__init__(indexes, layers, limits=limits, semantics=semantics)
        self._unread = unread
        self._unambiguous = False  # unread layers are not known to be like the empty ones in their place
        settled = _Settled(indexes[unread:], semantics)
        settled.mark(self._root)

    @property
    def indexes(self) -> tuple[LayerIndex, ...]:
        """What each layer says: not known of all."""
        _unread()

    @property
    def problems(self) -> tuple[LayerProblem, ...]:
        """What could not be done: not known."""
        _unread()

    def under(self, semantics: Semantics) -> Rootfs:
        """Return the tree that the same layers decide for another reader."""
        if semantics is self.semantics:
            return self
        return PartialRootfs(
            self._indexes, self._layers, self._unread, limits=self._limits, semantics=semantics
        )

    def history(self, path: str) -> tuple[Change, ...]:
        """Return the layer that last deleted `path`, if that is decided; the rest of its history is unknown."""
        asked = "/".join(part for part in path.split("/") if part not in ("", "."))
        if self.trace(asked, follow=False).entry is not None:
            _unread()
        for position in range(len(self._indexes) - 1, self._unread - 1, -1):
            if any(marker.path == asked for marker in self._indexes[position].whiteouts):
                return (Change(position, Action.REMOVED, f"/{whiteout_path(asked)}"),)
        _unread()


class _Settled:
    """The final decisions of upper layers, by path: deleted names, and directories that hide all lower content."""

    def __init__(self, indexes: Sequence[LayerIndex], semantics: Semantics) -> None:
        self._gone: set[str] = set()
        self._closed: set[str] = set()
        self._lost = False
        self._listed = {""}
        for index in indexes:
            own: set[str] = set()
            for entry in index.entries:
                own.add(entry.path)
                own.update(_parents(entry.path))
            # Readers disagree about a marker beside its target.
            markers = [
                each.path
                for each in index.whiteouts
                if not (each.is_directory or each.name or each.path in own)
            ]
            self._gone.update(markers)
            # To elemental an opaque whiteout is a name like others, and a whiteout one that a directory above it replaces.
            if not semantics.installs or RULES[semantics].guarded:
                self._closed.update(markers)
                self._closed.update(each.path for each in index.opaques if each.path and not each.name)
            whiteouts = (*index.whiteouts, *index.nameless)
            for marker in whiteouts:
                self._leave(marker.path)
            for entry in index.entries:
                self._gone.discard(entry.path)
                if entry.type == "dir":
                    self._listed.add(entry.path)
                else:
                    self._leave(entry.path)
                self._use(entry.path)
            for marker in whiteouts:
                self._use(marker.path)
            for marker in index.opaques:
                self._use(f"{marker.path}/")

    def _use(self, path: str) -> None:
        """Note whether a directory on the way to `path` is not listed by any layer so far."""
        self._lost = self._lost or path.rpartition("/")[0] not in self._listed

    def _leave(self, path: str) -> None:
        """Note that a directory is replaced: its content may be elsewhere."""
        self._lost = self._lost or path in self._listed

    def mark(self, root: Node) -> None:
        """Make each directory that lower layers can add to answer only what is decided."""
        if self._lost:
            root.children = _Names({}, set())
            return
        gone: dict[str, set[str]] = {}
        for path in self._gone:
            parent, _, name = path.rpartition("/")
            gone.setdefault(parent, set()).add(name)
        waiting = [("", root)]
        while waiting:
            path, node = waiting.pop()
            if node.children is None or path in self._closed:
                continue
            waiting.extend(
                (f"{path}/{name}" if path else name, child) for name, child in node.children.items()
            )
            node.children = _Names(node.children, gone.get(path, set()))


def _parents(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path
