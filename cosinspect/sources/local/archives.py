"""Archives by path, or from standard input; the headers of the last one are read once."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from attrs import field, frozen

from cosinspect.errors import InvalidLayout, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.sources.local.files import READ_BYTES, ArchiveFiles

__all__ = ["STANDARD_INPUT", "open_archive"]

STANDARD_INPUT = "-"
"""The path that means standard input."""


@frozen
class _OpenArchive:
    """An archive, and what identifies its file and the bounds it was read with."""

    key: tuple[object, ...]
    files: ArchiveFiles = field(repr=False)


class _Archives:
    """The last archive, and the copy of standard input; one for the process, which has one standard input."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: _OpenArchive | None = None
        self._input: BinaryIO | None = None

    def open(self, path: Path, limits: Limits) -> ArchiveFiles:
        with self._lock:
            shown = str(path)
            if shown == STANDARD_INPUT:
                path, shown = self._input_path(limits), "standard input"
            key = _identity(path, limits)
            if self._last is None or self._last.key != key or key == ():
                self._last = _OpenArchive(key, ArchiveFiles(path, limits=limits, shown=shown))
            return self._last.files

    def _input_path(self, limits: Limits) -> Path:
        """Return a path at which standard input can be opened several times; copy a pipe to a file first."""
        if self._input is None:
            self._input = _seekable_input(limits)
        return Path(f"/proc/self/fd/{self._input.fileno()}")


_ARCHIVES = _Archives()


def open_archive(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> ArchiveFiles:
    """Open an archive; `-` is standard input, which is copied to a temporary file if it is a pipe.

    Raises:
        InvalidLayout: there is no such file, or it is not an archive.
        LimitExceeded: it is larger than the bounds.
    """
    return _ARCHIVES.open(path, limits)


def _identity(path: Path, limits: Limits) -> tuple[object, ...]:
    """Return what changes if the file changes, () if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return ()
    return (str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, limits)


def _seekable_input(limits: Limits) -> BinaryIO:
    try:
        given = os.fdopen(os.dup(0), "rb", buffering=0)
        mode = os.fstat(given.fileno()).st_mode
    except OSError as fault:
        raise InvalidLayout(
            "expected an image archive, standard input is closed", where="standard input", remedy=_REMEDY
        ) from fault
    if stat.S_ISREG(mode):
        return given
    with given:
        if given.isatty():
            raise InvalidLayout(
                "expected an image archive, found a terminal", where="standard input", remedy=_REMEDY
            )
        copied = tempfile.TemporaryFile(prefix="cosinspect-")  # noqa: SIM115 - open until the process ends
        try:
            _copy(given, copied, limits)
        except OSError as fault:
            copied.close()
            place = tempfile.gettempdir()
            raise InvalidLayout(
                f"expected room for a copy in {place}: {fault.strerror or fault}",
                where="standard input",
                remedy="set TMPDIR to a directory with more room, or name a file",
            ) from fault
        except BaseException:
            copied.close()
            raise
    return copied


def _copy(given: BinaryIO, copied: BinaryIO, limits: Limits) -> None:
    size = 0
    while piece := given.read(READ_BYTES):
        size += len(piece)
        if size > limits.inflated_bytes:
            raise LimitExceeded(
                f"expected an archive of at most {limits.inflated_bytes} bytes, found more",
                limit="inflated_bytes",
                bound=limits.inflated_bytes,
                where="standard input",
            )
        copied.write(piece)
    copied.flush()
    if size == 0:
        raise InvalidLayout(
            "expected an image archive, found nothing", where="standard input", remedy=_REMEDY
        )


_REMEDY = "for example: docker save IMAGE | cosinspect docker-archive:-"
