"""The bytes of an archive as a stream: blocks of 512 bytes to look at, and ranges to read or skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["BLOCK", "Blocks"]

BLOCK = 512
"""Bytes of a tar block; headers and contents start at its multiples (POSIX, pax, "ustar Interchange Format")."""


class Blocks:
    """An archive that arrives in pieces of any size, read front to back.

    Attributes:
        position: bytes consumed so far.
    """

    def __init__(self, pieces: Iterator[bytes], *, seek: Callable[[int], int] | None = None) -> None:
        """Read from `pieces`; `seek`, if given, skips bytes and returns how many."""
        self.position = 0
        self._pieces = pieces
        self._seek = seek
        self._piece = b""
        self._at = 0

    def block(self) -> bytes:
        """Return the next block; it is shorter only at the archive's end."""
        at = self._at
        block = self._piece[at : at + BLOCK]
        self._at = at + len(block)
        while len(block) < BLOCK and self._more():
            part = self._piece[: BLOCK - len(block)]
            self._at = len(part)
            block += part
        self.position += len(block)
        return block

    def buffered(self, size: int) -> tuple[bytes, int, int]:
        """Return the bytes available, where in them the place after `size` further bytes is, and their offset in the archive."""
        return self._piece, self._at + size, self.position - self._at

    def move(self, position: int) -> None:
        """Continue at a place of the archive that `buffered` returned."""
        self._at += position - self.position
        self.position = position

    def take(self, size: int) -> bytes:
        """Return at most `size` further bytes; none only at the archive's end."""
        if self._at >= len(self._piece) and not self._more():
            return b""
        data = self._piece[self._at : self._at + size]
        self._at += len(data)
        self.position += len(data)
        return data

    def skip(self, size: int) -> bool:
        """Skip `size` bytes, and return whether there were that many."""
        self.position += size
        at = self._at + size
        have = len(self._piece)
        while at > have:
            at -= have
            if self._seek is not None:
                self._piece, self._at = b"", 0
                passed = self._seek(at)
                self.position -= at - passed
                return passed == at
            if not self._more():
                self.position -= at
                return False
            have = len(self._piece)
        self._at = at
        return True

    def drain(self) -> bool:
        """Read to the end, and return whether there was a byte other than zero."""
        rest, self._piece = self._piece[self._at :], b""
        found = bool(rest.strip(b"\0"))
        for piece in self._pieces:
            found = found or bool(piece.strip(b"\0"))
        return found

    def _more(self) -> bool:
        self._at = 0
        for piece in self._pieces:
            if piece:
                self._piece = piece
                return True
        self._piece = b""
        return False
