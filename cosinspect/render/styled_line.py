"""A line of text with styles, as escape sequences for a terminal (ECMA-48, SGR) or without them.

A report needs bold, dim and six colours: a library for terminals would be a fifth of the whole installation.
"""

from __future__ import annotations

from typing import Self

__all__ = ["StyledLine"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class StyledLine:
    """Pieces of text, each with a style of its own: words such as `bold red`, "" if there is none.

    Args:
        text: the first piece.
        style: of that piece.
    """

    def __init__(self, text: str = "", style: str = "") -> None:
        self._pieces: list[tuple[str, str]] = []
        self.append(text, style)

    def append(self, text: str, style: str = "") -> Self:
        """Add a piece at the end, and return the line."""
        codes = ";".join(_CODES[word] for word in style.split())
        if text:
            self._pieces.append((text, codes))
        return self

    def copy(self) -> StyledLine:
        """Return another line with the same pieces."""
        other = StyledLine()
        other._pieces = [*self._pieces]
        return other

    def render(self, *, color: bool) -> str:
        """Return the text without blanks at its end, with escape sequences if they are wanted."""
        kept = len(self.plain.rstrip())
        shown = []
        for text, codes in self._pieces:
            piece, kept = text[: max(kept, 0)], kept - len(text)
            shown.append(f"\x1b[{codes}m{piece}\x1b[0m" if color and codes and piece else piece)
        return "".join(shown)

    @property
    def plain(self) -> str:
        """The text without styles."""
        return "".join(text for text, _ in self._pieces)

    def __len__(self) -> int:
        return len(self.plain)
