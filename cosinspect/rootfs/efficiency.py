"""How much of what the layers store is needed, as dive counts it.

dive (wagoodman/dive, dive/filetree/efficiency.go) looks at the names of each layer, and not at the merged tree:

- A path's *discovered* size is the sum of its sizes in all layers, and its *minimum* is the smallest of them. Only names without
  children in their layer count.
- A whiteout is one more occurrence of its path, of size 0 for a file, and of the size of everything below for a directory.
- The efficiency is the sum of all minima, divided by the sum of all discovered sizes.
- The wasted bytes are the discovered sizes of all paths that occur more than once.

So a file that is rewritten counts all of its copies as wasted, a directory that is deleted as a whole counts none, and opaque
whiteouts have no effect. `rootfs.effects` counts exactly. One difference: dive stops to count a layer at a whiteout that deletes
nothing; here such a whiteout is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import LayerEntry, LayerIndex

__all__ = ["Efficiency", "measure_efficiency"]


@frozen
class Efficiency:
    """The efficiency of an image by dive's definition.

    Attributes:
        score: from 0 to 1; 1 if no path occurs twice.
        wasted_bytes: sizes of all paths that occur more than once, each occurrence counted.
    """

    score: float
    wasted_bytes: int


class _Path:
    """What is known of a path: its occurrences, their total size and the smallest."""

    __slots__ = ("discovered", "minimum", "occurrences")

    def __init__(self) -> None:
        self.occurrences = 0
        self.discovered = 0
        self.minimum = 0

    def add(self, size: int) -> None:
        self.minimum = size if not self.occurrences else min(self.minimum, size)
        self.occurrences += 1
        self.discovered += size


class _Name:
    """A name of the layers so far, laid over each other by their names only."""

    __slots__ = ("children", "is_directory", "size")

    def __init__(self) -> None:
        self.size = 0
        self.is_directory = False  # dive takes a directory that no layer lists for an empty file
        self.children: dict[str, _Name] = {}

    def lookup(self, path: str) -> _Name | None:
        found: _Name | None = self
        for name in path.split("/"):
            found = found.children.get(name) if found is not None else None
        return found

    def put(self, entry: LayerEntry) -> None:
        at = self
        for name in entry.path.split("/"):
            spend()
            at = at.children.setdefault(name, _Name())
        at.size, at.is_directory = entry.size, entry.type == "dir"

    def remove(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        directory = self.lookup(parent) if parent else self
        if directory is not None:
            directory.children.pop(name, None)

    def total(self) -> int:
        """Return the size of everything here and below."""
        size = 0
        waiting = [self]
        while waiting:
            spend()
            name = waiting.pop()
            size += name.size
            waiting.extend(name.children.values())
        return size


def measure_efficiency(indexes: Sequence[LayerIndex]) -> Efficiency:
    """Return the efficiency of layers, bottom first."""
    paths: dict[str, _Path] = {}
    stacked = _Name()
    # Only whiteouts look at the layers below them.
    needed = max((number for number, index in enumerate(indexes) if index.whiteouts), default=0)
    for number, index in enumerate(indexes):
        for path, size in _deleted(index, stacked):
            paths.setdefault(path, _Path()).add(size)
        leaves = _leaves(index)
        for entry in in_time(leaves):
            paths.setdefault(entry.path, _Path()).add(entry.size)
        if number < needed:
            for marker in in_time(index.whiteouts):
                stacked.remove(marker.path)
            for entry in index.entries:
                if entry.path:
                    stacked.put(entry)
    discovered = sum(path.discovered for path in paths.values())
    minimum = sum(path.minimum for path in paths.values())
    wasted = sum(path.discovered for path in paths.values() if path.occurrences > 1)
    return Efficiency(minimum / discovered if discovered else 1.0, wasted)


def _deleted(index: LayerIndex, stacked: _Name) -> Iterable[tuple[str, int]]:
    """Yield the paths that whiteouts delete, and the sizes that count for them."""
    for marker in in_time(index.whiteouts):
        found = stacked.lookup(marker.path)
        if found is not None:
            yield marker.path, found.total() if found.is_directory else 0


def _leaves(index: LayerIndex) -> Iterable[LayerEntry]:
    """Return the entries with a name that has no children in the layer; the last entry of a name counts."""
    parents: set[str] = set()
    for path in _paths(index):
        above = path.rpartition("/")[0]
        while above and above not in parents:
            spend()
            parents.add(above)
            above = above.rpartition("/")[0]
    return {
        entry.path: entry for entry in in_time(index.entries) if entry.path and entry.path not in parents
    }.values()


def _paths(index: LayerIndex) -> Iterable[str]:
    yield from (entry.path for entry in in_time(index.entries))
    yield from (marker.path for marker in in_time(index.whiteouts))
