"""What is legal in a layer and taken differently by different readers, noted where it is read."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Irregularity", "Notes"]

_PATH_CHARACTERS = 1000


@frozen
class Irregularity:
    """Something legal to Go's reader that another reader takes for something else, or that no tool should write.

    Attributes:
        kind: stable and lower-case, such as `repeated-pax-header`.
        offset: of the header, in bytes of the uncompressed layer.
        message: what is there and who sees what.
        path: the name concerned, where one is.
    """

    kind: str
    offset: int
    message: str
    path: str = ""


class Notes:
    """Irregularities as they are noticed; of each kind only so many, for a layer may have nothing else.

    Attributes:
        irregularities: what was noticed so far.
    """

    def __init__(self, most: int) -> None:
        """Take at most `most` of a kind."""
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
