"""Content that is legal in a layer and that readers read differently, noted by the code that reads it."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Irregularity", "Notes"]

_PATH_CHARACTERS = 1000


@frozen
class Irregularity:
    """Content that Go's reader accepts and another reader reads differently, or that no tool should write.

    Attributes:
        kind: stable and lower-case, such as `repeated-pax-header`.
        offset: of the header, in bytes of the uncompressed layer.
        message: what was found, and what each reader sees.
        path: the name concerned, if any.
    """

    kind: str
    offset: int
    message: str
    path: str = ""


class Notes:
    """A list of irregularities with a bound per kind, because a layer may consist of them.

    Attributes:
        irregularities: all noted so far.
    """

    def __init__(self, most: int) -> None:
        """Keep at most `most` of a kind."""
        self.irregularities: list[Irregularity] = []
        self._most = most
        self._counts: dict[str, int] = {}

    def note(self, kind: str, offset: int, message: str, path: str = "") -> None:
        """Note an irregularity."""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count == self._most:
            message = f"{message}; there are more of this kind, which are left out here"
        if count <= self._most:
            self.irregularities.append(Irregularity(kind, offset, message, path[:_PATH_CHARACTERS]))
