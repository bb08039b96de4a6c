"""How much memory the indexes of one image's layers take together."""

from __future__ import annotations

import threading

from cosinspect.errors import LimitExceeded
from cosinspect.layer.changeset import LayerIndex
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "DIRECTORY_BYTES",
    "ENTRY_BYTES",
    "IMPLIED_BYTES",
    "MARKER_BYTES",
    "NOTE_BYTES",
    "Ledger",
    "weight_of_characters",
    "weight_of_text",
]

ENTRY_BYTES = 640
"""What an entry takes besides its name where readers differ: 70 bytes in its layer's columns and the first tree, the rest as an
object and a node in another reader's tree, which is made then only."""
DIRECTORY_BYTES = 600
"""What a directory takes besides, listed or not: the names in it, in the layer's outline and in two merged trees."""
IMPLIED_BYTES = 300
"""What a directory that no entry lists takes on top of that: its nodes and its name."""
MARKER_BYTES = 320
"""What a whiteout takes besides its name."""
NOTE_BYTES = 320
"""What an irregularity takes besides its text."""
_BATCH = 256 * 1024


def weight_of_text(text: str) -> int:
    """Return what a name takes: once in the index, and its last component in each tree."""
    return weight_of_characters(len(text))


def weight_of_characters(count: int) -> int:
    """Return the memory of names with this total of characters."""
    return 2 * count


class Ledger:
    """Counts the memory that the indexes of an image's layers take, from several threads.

    The figures are estimates that are too high rather than too low. What is counted is what the reading keeps, so
    that an image of many layers is bounded as one of a single layer is.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._bound = limits.index_bytes
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, size: int, where: str) -> None:
        """Count further bytes.

        Raises:
            LimitExceeded: all layers together take more than `Limits.index_bytes`.
        """
        with self._lock:
            self._taken += size
            taken = self._taken
        if taken > self._bound:
            raise LimitExceeded(
                f"expected the entries of all layers to take at most {self._bound >> 20} MiB of memory, found more",
                limit="index_bytes",
                bound=self._bound,
                where=where,
                remedy="where the image is honest, raise `index_bytes` of cosinspect.limits.Limits (Python API)",
            )

    def take_index(self, index: LayerIndex, where: str) -> None:
        """Count a layer that is not read again.

        Raises:
            LimitExceeded: as `take` does.
        """
        size = 0
        for entry in index.entries:
            size += ENTRY_BYTES + 2 * (len(entry.path) + len(entry.link))
            if entry.type == "dir":
                size += DIRECTORY_BYTES
            if size > _BATCH:
                self.take(size, where)
                size = 0
        markers = len(index.whiteouts) + len(index.opaques) + len(index.nameless)
        self.take(size + MARKER_BYTES * markers + NOTE_BYTES * len(index.irregularities), where)
