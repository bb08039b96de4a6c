"""The store of records: files named after their keys, in a private directory.

Files are renamed into place, so that any number of processes can read and write at once. A killed process
leaves at worst an unused file. Any failure (no space, no permission, a damaged file) means that something is
not cached; it costs time and never changes a result.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from attrs import frozen

from cosinspect.cache.location import FORMAT, is_private, open_record, record_path
from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.section import Buffer
from cosinspect.errors import InvalidCache

__all__ = ["DirectoryStore", "Kept", "Store", "open_directory"]

_logger = logging.getLogger("cosinspect.cache")

_TEMPORARY = ".tmp-"
_STALE_SECONDS = 3600.0
"""A temporary file of this age belongs to a killed process."""


class Store(Protocol):
    """Stores records by kind and key."""

    def load(self, kind: str, key: bytes) -> Buffer | None:
        """Return a record, or None."""
        ...

    def save(self, kind: str, key: bytes, pieces: Iterable[bytes]) -> None:
        """Store a record; replace an existing one. Raises nothing."""
        ...

    def discard(self, kind: str, key: bytes) -> None:
        """Remove a damaged record."""
        ...


@frozen
class Kept:
    """One file of the cache.

    Attributes:
        kind: of the record, "" for a temporary file of a killed process.
        size: in bytes on disk.
        used: the time of the last read or write, in seconds since 1970.
    """

    path: Path
    kind: str
    size: int
    used: float


class DirectoryStore:
    """A directory on this machine, private to its user.

    Attributes:
        path: of the directory.
    """

    def __init__(self, path: Path) -> None:
        """Store records below `path`, which is created at the first write."""
        self.path = path
        self._root = path / FORMAT
        self._full = False
        self._lock = threading.Lock()

    def load(self, kind: str, key: bytes) -> Buffer | None:
        """Map a file into memory; return None if it cannot be read."""
        descriptor = open_record(record_path(str(self.path), kind, key))
        if descriptor is None:
            return None
        try:
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)

    def save(self, kind: str, key: bytes, pieces: Iterable[bytes]) -> None:
        """Write a temporary file and rename it; after a failure, write nothing more."""
        if self._full:
            return
        path = self._file(kind, key)
        partial = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.path, self._root, path.parents[1], path.parent):
                directory.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(
                partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
                file.writelines(pieces)
            partial.replace(path)
        except OSError as fault:
            with self._lock:
                told, self._full = self._full, True
            if not told:
                _logger.warning("nothing more is cached in %s: %s", self.path, fault.strerror or fault)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def discard(self, kind: str, key: bytes) -> None:
        """Remove a file, if possible."""
        with contextlib.suppress(OSError):
            self._file(kind, key).unlink(missing_ok=True)

    # -- upkeep ----------------------------------------------------------------------------------------------------

    def files(self) -> Iterator[Kept]:
        """Yield every file of the cache in any order; skip files that vanish."""
        for directory, kind in self._directories():
            with contextlib.suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            name = "" if entry.name.startswith(_TEMPORARY) else kind
                            yield Kept(Path(entry.path), name, found.st_blocks * 512, found.st_mtime)

    def verify(self) -> Iterator[tuple[Kept, str]]:
        """Read and verify every record; remove damaged ones and return them with the fault."""
        for kept in self.files():
            if not kept.kind:
                continue
            try:
                key = bytes.fromhex(kept.path.name)
                Record(self.load(kept.kind, key) or b"", key).verify()
            except (Damaged, ValueError) as fault:
                with contextlib.suppress(OSError):
                    kept.path.unlink(missing_ok=True)
                yield kept, str(fault)

    def prune(self, bound: int) -> tuple[int, int]:
        """Remove the least recently used files until at most `bound` bytes are left; return the number of files and bytes removed.

        Temporary files of killed processes are always removed.
        """
        now = time.time()
        kept: list[Kept] = []
        gone: list[Kept] = []
        for each in self.files():
            if each.kind:
                kept.append(each)
            elif now - each.used > _STALE_SECONDS:
                gone.append(each)
        total = sum(each.size for each in kept)
        for each in sorted(kept, key=lambda item: item.used):
            if total <= bound:
                break
            total -= each.size
            gone.append(each)
        for each in gone:
            with contextlib.suppress(OSError):
                each.path.unlink(missing_ok=True)
        return len(gone), sum(each.size for each in gone)

    def _directories(self) -> Iterator[tuple[Path, str]]:
        with contextlib.suppress(OSError):
            for kind in self._root.iterdir():
                with contextlib.suppress(OSError):
                    yield from ((directory, kind.name) for directory in kind.iterdir())

    def _file(self, kind: str, key: bytes) -> Path:
        return Path(record_path(str(self.path), kind, key))


def open_directory(path: Path, *, trusted: bool) -> DirectoryStore:
    """Open a cache directory, which need not exist yet.

    Args:
        path: of the directory.
        trusted: whether the user named it; a default directory must belong to the user, because a user who can write to it
        decides verdicts.

    Raises:
        InvalidCache: the path is not a directory, or others can write to it.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return DirectoryStore(path)
    except OSError as fault:
        raise InvalidCache(
            f"expected a directory for the cache, found {fault.strerror}", where=str(path), remedy=_REMEDY
        ) from fault
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidCache(
            "expected a directory for the cache, found a file", where=str(path), remedy=_REMEDY
        )
    if not trusted and not is_private(found):
        raise InvalidCache(
            "expected a directory that others cannot write to, because its writers decide verdicts",
            where=str(path),
            remedy="take the others' right to write away (chmod go-w), name another directory (--cache DIR), or do "
            "without (--no-cache)",
        )
    return DirectoryStore(path)


_REMEDY = "name another directory (--cache DIR), or do without (--no-cache)"
