"""Where a record is below a cache's directory, and who may have written it.

This module loads no third-party library: a stored answer is read before anything else is imported.
"""

from __future__ import annotations

import os
import stat
import time

__all__ = ["FORMAT", "is_private", "open_record", "record_path"]

FORMAT = "v1"
"""The version of the format; another number is another cache."""

TOUCH_SECONDS = 600.0
"""The precision of the time of last use."""


def record_path(directory: str, kind: str, key: bytes) -> str:
    """Return the path of a record: it is named after its key."""
    name = key.hex()
    return f"{directory}/{FORMAT}/{kind}/{name[:2]}/{name}"


def is_private(status: os.stat_result) -> bool:
    """Return whether only this user can write to a directory: a user who can write to a cache decides verdicts."""
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def open_record(path: str) -> int | None:
    """Open a record that is not empty, and note that it was used; return its descriptor, None if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            if time.time() - status.st_mtime > TOUCH_SECONDS:
                _touch(descriptor)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _touch(descriptor: int) -> None:
    try:
        os.utime(descriptor)
    except OSError:  # someone else's file in a cache that is only read
        return
