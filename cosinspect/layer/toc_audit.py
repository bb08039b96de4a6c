"""The comparison of a layer's archive with its table of contents.

Runtimes that pull lazily use the table; all other readers use the archive. If the two differ, a container
runs one image and a machine is installed with another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cosinspect.formats.toc import Chunk, TocEntry
from cosinspect.layer.indexing import Archive
from cosinspect.layer.toc import TABLE_FILE, Table, header_of
from cosinspect.tar.irregularities import Irregularity
from cosinspect.tar.names import normalise
from cosinspect.tar.reader import Header

__all__ = ["KIND", "AuditedArchive"]

KIND = "table-differs"

_FILES = frozenset("0S")
_LISTED = frozenset("0123456S")
_CONTENT_BYTES = 1 << 18
_ZEROS = bytes(_CONTENT_BYTES)


class AuditedArchive:
    """A tar archive that is compared with a table, entry by entry and byte by byte, while it is read."""

    def __init__(self, archive: Archive, table: Table) -> None:
        self._archive = archive
        self.irregularities: list[Irregularity] = archive.irregularities
        self._waiting: dict[str, list[TocEntry]] = {}
        for entry in reversed(table.entries):
            self._waiting.setdefault(normalise(entry.name)[0], []).append(entry)
        self._content: _Content | None = None

    @property
    def position(self) -> int:
        """Bytes of the archive consumed so far."""
        return self._archive.position

    def __iter__(self) -> Iterator[Header]:
        for header in self._archive:
            if header.type == "g":  # no table lists an entry that is not a file
                yield header
                continue
            path = normalise(header.name)[0]
            listed = self._waiting.get(path)
            entry = listed.pop() if listed else None
            if entry is None and (path == TABLE_FILE or header.type not in _LISTED):
                yield header
                continue
            self._content = _Content(entry) if entry is not None and header.type in _FILES else None
            yield header
            if entry is None:
                self.note(KIND, header.offset, "the archive has an entry that the table does not list", path)
                continue
            told = _differences(header, entry)
            if self._content is not None:
                while self.read(_CONTENT_BYTES):
                    pass
                # The holes of a sparse file are in neither.
                told += self._content.differences() if header.sparse is None and not told else []
                self._content = None
            if told:
                self.note(KIND, header.offset, f"table and archive differ: {'; '.join(told)}", path)
        end = self._archive.position
        for path, entries in self._waiting.items():
            for _ in entries:
                self.note(KIND, end, "the table lists an entry that the archive does not have", path)

    def read(self, size: int) -> bytes:
        """Return at most `size` further stored bytes of the current entry, none at its end."""
        data = self._archive.read(size)
        if self._content is not None:
            self._content.update(data)
        return data

    def note(self, kind: str, offset: int, message: str, path: str = "") -> None:
        """Note an irregularity."""
        self._archive.note(kind, offset, message, path)


class _Content:
    """The digests of a file and of its chunks, computed while its bytes are read."""

    def __init__(self, entry: TocEntry) -> None:
        self._entry = entry
        self._whole = hashlib.sha256()
        self._chunks = iter(entry.chunks if len(entry.chunks) > 1 else ())
        self._chunk: Chunk | None = next(self._chunks, None)
        self._part = hashlib.sha256()
        self._zeros = True
        self._at = 0
        self._told: list[str] = []

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._whole.update(data)
        view = memoryview(data)
        while self._chunk is not None and view:
            piece = view[: self._chunk.start + self._chunk.size - self._at]
            self._part.update(piece)
            if self._chunk.zeros and self._zeros:
                self._zeros = (
                    piece == _ZEROS[: len(piece)] if len(piece) <= _CONTENT_BYTES else not any(piece)
                )
            self._at += len(piece)
            view = view[len(piece) :]
            if self._at == self._chunk.start + self._chunk.size:
                self._close(self._chunk)

    def _close(self, chunk: Chunk) -> None:
        if chunk.zeros and not self._zeros:
            self._tell(chunk, "zeros", "something else")
        elif chunk.digest and chunk.digest != self._part.hexdigest():
            self._tell(chunk, chunk.digest, self._part.hexdigest())
        self._chunk = next(self._chunks, None)
        self._part = hashlib.sha256()
        self._zeros = True

    def _tell(self, chunk: Chunk, table: str, archive: str) -> None:
        if not self._told:
            self._told.append(f"the content at byte {chunk.start} is {table} and {archive}")

    def differences(self) -> list[str]:
        """Return the differences of the file's content; a table may omit the digest of an empty file."""
        stated = self._entry.digest
        for chunk in self._entry.chunks:
            stated = stated or (chunk.digest if len(self._entry.chunks) == 1 else "")
        found = self._whole.hexdigest()
        if stated and stated != found:
            return [f"the content is {stated} and {found}"]
        return self._told


def _differences(header: Header, entry: TocEntry) -> list[str]:
    """Return the differences between a header and its line of the table, the table's value first."""
    other = header_of(entry, 0)
    kind = "0" if header.type == "S" else header.type
    if other.type != kind:
        return [f"the type is {other.type!r} and {kind!r}"]
    pairs: list[tuple[str, object, object]] = [
        ("mode", oct(other.mode), oct(header.mode & 0o7777)),
        ("owner", f"{other.uid}:{other.gid}", f"{header.uid}:{header.gid}"),
        ("attributes", other.xattrs or {}, header.xattrs or {}),
    ]
    if kind == "0":
        pairs.append(("size", other.size, header.size))
    elif kind == "1":
        pairs.append(("link", normalise(other.link)[0], normalise(header.link)[0]))
    elif kind == "2":
        pairs.append(("link", other.link, header.link))
    elif kind in "34":
        pairs.append(("device", other.device, header.device))
    # Writers round fractions of a second differently.
    if abs(other.mtime - header.mtime) > 1:
        pairs.append(("time", other.mtime, header.mtime))
    return [
        f"the {name} is {str(table)[:200]} and {str(archive)[:200]}"
        for name, table, archive in pairs
        if table != archive
    ]
