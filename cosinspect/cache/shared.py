"""A cache that machines share, in a bucket or another place that fsspec supports; a local directory is asked first.

Records from there are verified completely and copied to the local directory. A failure means that something
is not cached; it is reported once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import fsspec

from cosinspect.cache.location import FORMAT
from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.section import Buffer
from cosinspect.cache.store import DirectoryStore
from cosinspect.errors import InvalidCache

__all__ = ["SharedStore", "open_shared"]

_logger = logging.getLogger("cosinspect.cache")

RECORD_BYTES = 1 << 30
"""Larger records are not fetched."""


class SharedStore:
    """A store that reads the local directory first, then the shared place, and writes to both.

    Attributes:
        url: of the shared place, for messages.
        local: the local directory.
    """

    def __init__(self, url: str, filesystem: Any, root: str, local: DirectoryStore) -> None:
        self.url = url
        self.local = local
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._broken = False

    def load(self, kind: str, key: bytes) -> Buffer | None:
        """Return a local record, or a verified one from the shared place."""
        found = self.local.load(kind, key)
        if found is not None or self._broken:
            return found
        path = self._path(kind, key)
        try:
            data: bytes = self._filesystem.cat_file(path, start=0, end=RECORD_BYTES + 1)
        except FileNotFoundError:
            return None
        except Exception as fault:  # noqa: BLE001 - other people's filesystems raise what they like
            self._give_up(fault)
            return None
        try:
            Record(data, key).verify()
        except Damaged:
            return None
        self.local.save(kind, key, [data])
        return data

    def save(self, kind: str, key: bytes, pieces: Iterable[bytes]) -> None:
        """Write a record to both places."""
        data = b"".join(pieces)
        self.local.save(kind, key, [data])
        if self._broken or len(data) > RECORD_BYTES:
            return
        path = self._path(kind, key)
        try:
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(path, data)
        except Exception as fault:  # noqa: BLE001 - as in load
            self._give_up(fault)

    def discard(self, kind: str, key: bytes) -> None:
        """Remove a local record; the next write replaces the shared one."""
        self.local.discard(kind, key)

    def _path(self, kind: str, key: bytes) -> str:
        name = key.hex()
        return f"{self._root}/{FORMAT}/{kind}/{name[:2]}/{name}"

    def _give_up(self, fault: Exception) -> None:
        if not self._broken:
            self._broken = True
            # The message may contain a URL with a secret.
            _logger.warning("the shared cache is not used any more: it raised %s", type(fault).__name__)


def open_shared(url: str, local: DirectoryStore) -> SharedStore:
    """Open a URL such as `s3://bucket/cosinspect`, without any request.

    Raises:
        InvalidCache: fsspec does not support the filesystem, or its package is missing.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError, OSError) as fault:
        scheme = url.partition("://")[0][:40]
        raise InvalidCache(
            f"expected a URL that fsspec can open, found {scheme}://",
            remedy="install the package that fsspec needs for it (s3fs, gcsfs, sshfs), or name a directory",
        ) from fault
    return SharedStore(url, filesystem, root, local)
