"""Places at which a layer can be read on from, in place of from its beginning: where its inflation stood, and the hash of all before.

A deflate stream can only be begun in its middle by who has the state that inflating it to there has left; zstd has no such state to
be had, so its layers restart where a frame begins, and plain ones anywhere. What is read between two such places is verified
by the hash that was kept at both: it is the blob that was verified to its end before, or an error.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from attrs import field, frozen

from cosinspect.blob import Hash
from cosinspect.compression.codecs import Compression, Inflater

__all__ = ["Checkpoint", "CheckpointRecorder", "Checkpoints"]

SPACING_BYTES = 16 * 1024 * 1024
"""Inflated bytes from one place to the next, at first."""
MOST = 256
"""Places kept of one layer, some 50 KiB each; of a larger layer every other one goes when there are so many."""


@frozen
class Checkpoint:
    """One place.

    Attributes:
        packed: offset in the blob, from which it is read on.
        hashed: the hash of the blob up to there.
        skipped: bytes from there that belong to what lies before.
        plain: offset in the uncompressed layer of what comes behind these.
        inflater: the state of the inflation, None where a member begins, or nothing is inflated.
    """

    packed: int
    hashed: Hash = field(repr=False, eq=False)
    skipped: int
    plain: int
    inflater: Inflater | None = field(repr=False, eq=False, default=None)


class Checkpoints:
    """The places of one layer, as they were left by the pass that read it; used from several threads.

    Attributes:
        compression: of the layer, once it was read.
    """

    def __init__(self) -> None:
        self._places: tuple[Checkpoint, ...] = ()
        self.compression: Compression | None = None

    def keep(self, compression: Compression | None, places: list[Checkpoint]) -> None:
        """Take the places of a pass that verified the whole layer."""
        self.compression = compression  # first: whoever finds a place needs it
        self._places = tuple(places)

    def around(self, start: int, stop: int) -> tuple[Checkpoint, Checkpoint | None] | None:
        """Return the last place before a stretch of the uncompressed layer, and the first one behind, None for the layer's end.

        None where there is none before it but the beginning.
        """
        places = self._places
        first = bisect_right(places, start, key=lambda each: each.plain) - 1
        if first < 0:
            return None
        last = bisect_left(places, stop, key=lambda each: each.plain)
        if last < len(places):
            # What lies before a member reaches up to where it begins, behind where the hash is known.
            reach = places[last].packed + places[last].skipped
            while last < len(places) and places[last].packed < reach:
                last += 1
        return places[first], places[last] if last < len(places) else None


class CheckpointRecorder:
    """Places that are noted as a layer passes, at a distance from each other."""

    def __init__(self) -> None:
        self.places: list[Checkpoint] = []
        self._spacing = SPACING_BYTES

    def is_due(self, plain: int) -> bool:
        """Return whether it is time for one."""
        return plain - (self.places[-1].plain if self.places else 0) >= self._spacing

    def note(self, place: Checkpoint) -> None:
        """Note one."""
        self.places.append(place)
        if len(self.places) >= MOST:
            del self.places[::2]
            self._spacing *= 2
