"""The names in a directory as rows of the layers' tables; a node is made for a name when it is asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from cosinspect.layer.entry_table import EntryTable
from cosinspect.rootfs.node import Names, Node

__all__ = ["PackedNames"]

_ROW_BITS = 32
_ROW = (1 << _ROW_BITS) - 1


class PackedNames(Names):
    """The children of a directory; most are rows of tables, with 8 bytes for each.

    A node that `get` returns stays the node of its name. Iterations make nodes for the names that nothing has asked for, and
    forget them.
    """

    __slots__ = ("_dropped", "_packs", "_tables")

    def __init__(self, own: dict[str, Node], tables: Sequence[EntryTable]) -> None:
        """Start with the nodes in `own`; `tables` are those of the layers, by position."""
        super().__init__(own)
        self._tables = tables
        self._packs: list[array[int]] = []  # sorted by name; a later one counts where both have a name
        self._dropped: set[str] | None = None

    def add(self, position: int, rows: Iterable[int]) -> None:
        """Add rows of a layer, sorted by name and not `settled`; they replace rows of the same names."""
        first = position << _ROW_BITS
        self._packs.append(array("Q", [first | row for row in rows]))
        while len(self._packs) > 1 and len(self._packs[-2]) <= 2 * len(self._packs[-1]):
            self._unite()

    def settled(self, name: str) -> bool:
        """Return whether a name has a node, or was deleted."""
        return name in self._own or (self._dropped is not None and name in self._dropped)

    @property
    def has_settled(self) -> bool:
        """Whether any name is `settled`."""
        return bool(self._own) or bool(self._dropped)

    def held(self) -> Iterable[Node]:
        """Return the nodes that exist."""
        return list(self._own.values())

    def held_items(self) -> Iterable[tuple[str, Node]]:
        """Return the nodes that exist, with their names."""
        return list(self._own.items())

    def _unite(self) -> None:
        """Merge the last two packs."""
        *rest, older, newer = self._packs
        name = self._name
        if name(older[-1]) < name(newer[0]):
            united = older + newer
        else:
            places = {name(place): place for place in older}
            places.update((name(place), place) for place in newer)
            united = array("Q", [place for _, place in sorted(places.items())])
        self._packs = [*rest, united]

    def _name(self, place: int) -> str:
        return self._tables[place >> _ROW_BITS].name(place & _ROW)

    def _node(self, place: int, name: str) -> Node:
        position = place >> _ROW_BITS
        return Node(self._tables[position][place & _ROW], position)

    def _find(self, name: str) -> int | None:
        if self._dropped is not None and name in self._dropped:
            return None
        for pack in reversed(self._packs):
            at = bisect_left(pack, name, key=self._name)
            if at < len(pack) and self._name(pack[at]) == name:
                return pack[at]
        return None

    def _is_in(self, pack: array[int], name: str) -> bool:
        at = bisect_left(pack, name, key=self._name)
        return at < len(pack) and self._name(pack[at]) == name

    def _rows(self) -> Iterator[tuple[str, int]]:
        """Return the names that have no node now, with their places."""
        while len(self._packs) > 1:
            self._unite()
        settled = {*self._own, *(self._dropped or ())}
        named = ((self._name(place), place) for pack in self._packs for place in pack)
        return ((name, place) for name, place in named if name not in settled)

    # -- the mapping -----------------------------------------------------------------------------------------------

    def __setitem__(self, name: str, node: Node) -> None:
        self._own[name] = node

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._own.pop(name, None)
        if self._packs:
            if self._dropped is None:
                self._dropped = set()
            self._dropped.add(name)

    def __len__(self) -> int:
        while len(self._packs) > 1:
            self._unite()
        if not self._packs:
            return len(self._own)
        (pack,) = self._packs
        settled = {*self._own, *(self._dropped or ())}
        return len(self._own) + len(pack) - sum(self._is_in(pack, name) for name in settled)

    def __bool__(self) -> bool:
        return bool(self._own) or next(self._rows(), None) is not None

    def __iter__(self) -> Iterator[str]:
        rows = self._rows()
        yield from list(self._own)
        for name, _ in rows:
            yield name

    def clear(self) -> None:
        """Delete all names."""
        self._own.clear()
        self._packs.clear()
        self._dropped = None

    def pairs(self) -> Iterator[tuple[str, Node]]:
        """Yield the names with their nodes."""
        own = list(self._own.items())
        rows = self._rows()
        yield from own
        for name, place in rows:
            yield name, self._own.get(name) or self._node(place, name)
