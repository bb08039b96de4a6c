"""Where bytes of a disk go: the file, and places within it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from attrs import frozen

__all__ = ["Extent", "Region", "Sink", "SparseFile"]


class Sink(Protocol):
    """Something that bytes are written to at a place."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data`, `offset` bytes after the beginning."""
        ...


@frozen
class Extent:
    """Units in a row: the first one, and how many."""

    first: int
    count: int


class SparseFile:
    """A new file that only its owner may read; what is never written takes no space."""

    def __init__(self, path: Path, size: int) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be made.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.ftruncate(self._file, size)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data`, `offset` bytes after the beginning."""
        while data:
            written = os.pwrite(self._file, data, offset)
            offset += written
            data = data[written:]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Region:
    """A stretch of another sink, which may lie there in several parts."""

    def __init__(self, sink: Sink, parts: Iterable[Extent]) -> None:
        """Take parts of `sink`, in bytes, as one row of bytes."""
        self._sink = sink
        self._parts: list[tuple[int, int, int]] = []
        at = 0
        for part in parts:
            self._parts.append((at, part.first, part.count))
            at += part.count
        self.size = at

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data`, `offset` bytes after the beginning.

        Raises:
            ValueError: it ends after the region's end.
        """
        if offset < 0 or offset + len(data) > self.size:
            raise ValueError(f"expected at most {self.size} bytes, found {offset + len(data)}")
        low, high = 0, len(self._parts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._parts[middle][0] <= offset else (low, middle)
        while data:
            start, first, count = self._parts[low]
            inside = offset - start
            piece = data[: count - inside]
            self._sink.write_at(first + inside, piece)
            data = data[len(piece) :]
            offset += len(piece)
            low += 1
