"""Layers whose entries and markers act at their own paths: a path is looked up in each layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import LayerEntry, LayerIndex
from cosinspect.layer.entry_table import EntryTable, table_of

__all__ = ["LiteralStack", "with_parents"]


class LiteralStack:
    """Layers in which no entry or marker is below a link, and which have each path once (`Merged.is_literal`)."""

    def __init__(self, indexes: Sequence[LayerIndex]) -> None:
        """Keep the layers; their entries are looked at when a path is asked for."""
        self._indexes = indexes
        self._above: list[dict[str, int] | None] = [None] * len(indexes)

    def concerned(self, paths: Iterable[str]) -> list[LayerIndex]:
        """Return the layers with only the entries and markers that decide what is at `paths`.

        They are those at the paths and at their parents, with the targets of hard links; of the entries below a directory that a
        layer does not list, one is kept, which implies the directory.
        """
        tables = [table_of(index.entries) for index in self._indexes]
        wanted = with_parents(paths)
        rows: list[dict[str, int | None]] = [{} for _ in tables]
        waiting = wanted
        while waiting:
            targets: list[str] = []
            for path in waiting:
                for table, found in zip(tables, rows, strict=True):
                    spend()
                    row = found[path] = table.find(path)
                    if row is not None and table.type(row) == "hardlink":
                        targets.append(table[row].link)
            waiting = with_parents(targets) - wanted
            wanted |= waiting
        return [
            evolve(
                index,
                entries=self._entries(number, tables[number], rows[number]),
                whiteouts=tuple(marker for marker in in_time(index.whiteouts) if marker.path in wanted),
                opaques=tuple(marker for marker in in_time(index.opaques) if marker.path in wanted),
            )
            for number, index in enumerate(self._indexes)
        ]

    def _entries(
        self, number: int, table: EntryTable, found: dict[str, int | None]
    ) -> tuple[LayerEntry, ...]:
        above = self._above[number]
        if above is None:
            above = self._above[number] = _first_below(table)
        rows = {row if row is not None else above.get(path) for path, row in found.items()}
        return tuple(table[row] for row in sorted(row for row in rows if row is not None))


def _first_below(table: EntryTable) -> dict[str, int]:
    """Return for each directory with entries below it, at any depth, the row of one of them."""
    found: dict[str, int] = {}
    for number, directory in enumerate(table.directories):
        row = table.rows(number)[0]
        path = directory
        while path and path not in found:
            spend()
            found[path] = row
            path = path.rpartition("/")[0]
    return found


def with_parents(paths: Iterable[str]) -> set[str]:
    """Return paths with all their parents, "" included."""
    found = {""}
    for path in paths:
        at = path
        while at and at not in found:
            spend()
            found.add(at)
            at = at.rpartition("/")[0]
    return found
