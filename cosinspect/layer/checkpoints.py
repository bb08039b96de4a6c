"""Checkpoints: positions in a layer from which reading can resume, with the state of the inflation and the hash so far.

Resuming a deflate stream needs the state of the inflation. zstd provides no such state, so its layers resume
at the start of a frame; plain layers resume anywhere. Bytes between two checkpoints are verified with the
hashes at both: they are those of the blob that was verified before, or there is an error.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from attrs import field, frozen

from cosinspect.blob import Hash
from cosinspect.compression.codecs import Compression, Inflater

__all__ = ["Checkpoint", "CheckpointRecorder", "Checkpoints"]

SPACING_BYTES = 16 * 1024 * 1024
"""The initial distance of checkpoints, in inflated bytes."""
MOST = 256
"""Checkpoints per layer, about 50 KiB each; at this number, every other one is dropped."""


@frozen
class Checkpoint:
    """One checkpoint.

    Attributes:
        packed: offset in the blob from which reading resumes.
        hashed: the hash of the blob up to there.
        skipped: bytes from there that belong to the content before the checkpoint.
        plain: offset in the uncompressed layer of the content after those bytes.
        inflater: the state of the inflation; None if a member starts here or nothing is inflated.
    """

    packed: int
    hashed: Hash = field(repr=False, eq=False)
    skipped: int
    plain: int
    inflater: Inflater | None = field(repr=False, eq=False, default=None)


class Checkpoints:
    """The checkpoints of one layer, from the pass that read it; thread-safe.

    Attributes:
        compression: of the layer, after it was read.
    """

    def __init__(self) -> None:
        self._places: tuple[Checkpoint, ...] = ()
        self.compression: Compression | None = None

    def keep(self, compression: Compression | None, places: list[Checkpoint]) -> None:
        """Store the checkpoints of a pass that verified the whole layer."""
        self.compression = compression  # first: a thread that finds a checkpoint needs it
        self._places = tuple(places)

    def around(self, start: int, stop: int) -> tuple[Checkpoint, Checkpoint | None] | None:
        """Return the last checkpoint before a range of the uncompressed layer, and the first one after it (None for the layer's end).

        Return None if only the beginning is before the range.
        """
        places = self._places
        first = bisect_right(places, start, key=lambda each: each.plain) - 1
        if first < 0:
            return None
        last = bisect_left(places, stop, key=lambda each: each.plain)
        if last < len(places):
            # Content before a member extends up to its start, which is after the position of the hash.
            reach = places[last].packed + places[last].skipped
            while last < len(places) and places[last].packed < reach:
                last += 1
        return places[first], places[last] if last < len(places) else None


class CheckpointRecorder:
    """Records checkpoints at a distance while a layer is read."""

    def __init__(self) -> None:
        self.places: list[Checkpoint] = []
        self._spacing = SPACING_BYTES

    def is_due(self, plain: int) -> bool:
        """Return whether the distance is reached."""
        return plain - (self.places[-1].plain if self.places else 0) >= self._spacing

    def note(self, place: Checkpoint) -> None:
        """Record a checkpoint."""
        self.places.append(place)
        if len(self.places) >= MOST:
            del self.places[::2]
            self._spacing *= 2
