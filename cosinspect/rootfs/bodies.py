"""The ports through which a tree reads what its files contain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

from cosinspect.formats.boot.program import Program
from cosinspect.layer.changeset import LayerEntry

__all__ = ["Bodies", "FileStream"]


class FileStream(Protocol):
    """A file's content; if its `with` block ends without an error, the bytes were verified."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` further bytes, all that are left for -1, none at the end."""
        ...

    def close(self) -> None:
        """Verify the rest and close the stream."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Bodies(Protocol):
    """The contents of a layer's files."""

    def open(self, entry: LayerEntry, /) -> FileStream:
        """Open the content of one of its files."""
        ...

    def content_digests(self, entries: Iterable[LayerEntry], /) -> dict[int, str]:
        """Return the sha256 of files, in hexadecimal digits by the offset of their data."""
        ...

    def programs(self, entries: Iterable[LayerEntry], /) -> dict[int, Program]:
        """Return the requirements of executable files, by the offset of their data."""
        ...

    def contents(
        self, entries: Iterable[LayerEntry], /, *, holes: bool = True
    ) -> Iterator[tuple[LayerEntry, Iterator[bytes]]]:
        """Yield files with their contents; without `holes`, only the data regions of sparse files."""
        ...
