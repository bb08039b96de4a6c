"""Files that the commands write: complete, or as they were before."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from cosinspect.commands.command import WrongUse

__all__ = ["replaced", "require_directory", "require_file", "write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write a text file, UTF-8; if that fails, an earlier file of the name stays as it is.

    Raises:
        OSError: the file cannot be written; it names the file.
    """
    with replaced(path) as beside:
        beside.write_text(text, "utf-8", "backslashreplace")


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside `path`, which takes its place at the end of the block.

    If the block fails, the new file is removed. A device, a pipe, and a file in a directory that accepts no new
    file are written in place.

    Raises:
        OSError: the file cannot be written; it names the file.
    """
    # A link stays a link: its target is replaced.
    target = path.resolve()
    try:
        beside = _beside(target)
        if beside is None:
            yield path
            return
        try:
            yield beside
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as fault:
        raise OSError(fault.errno, fault.strerror or str(fault), str(path)) from fault


def require_file(option: str, path: Path) -> None:
    """Require that a file can be written there, before the work begins.

    Raises:
        WrongUse: it cannot; the message names the option.
    """
    if not str(path) or "\0" in str(path):
        raise WrongUse(f"{option}: expected the name of a file, found {str(path)[:60] or 'nothing'!r}")
    if path.is_dir():
        raise WrongUse(f"{option}: expected a file, {path} is a directory; name a file in it")
    parent = path.parent
    if not parent.is_dir():
        found = "is not a directory" if parent.exists() else "does not exist"
        raise WrongUse(f"{option}: the directory {parent} {found}; create it, or name another one")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise WrongUse(f"{option}: expected to be allowed to write {path}, found that this user is not")


def require_directory(option: str, path: Path) -> None:
    """Require that a directory is there or can be made, before the work begins.

    Raises:
        WrongUse: it is not and cannot; the message names the option.
    """
    if not str(path) or "\0" in str(path):
        raise WrongUse(f"{option}: expected the name of a directory, found {str(path)[:60] or 'nothing'!r}")
    existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise WrongUse(f"{option}: expected a directory, {existing} is a file; name another one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise WrongUse(
            f"{option}: expected to be allowed to write below {existing}, found that this user is not"
        )


def _beside(target: Path) -> Path | None:
    """Make an empty file beside a target, with its mode; return None if the target is written in place."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        return None
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        # 0o666 minus the user's mask, as for any new file.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except PermissionError:
        if mode is None:
            raise
        return None
    with contextlib.closing(os.fdopen(descriptor, "wb")):
        if mode is not None:
            os.fchmod(descriptor, stat.S_IMODE(mode))
    return beside
