"""What a machine has too little of: an inspection that ends for that reason decides nothing about the image, and may be tried again."""

from __future__ import annotations

import errno
import os

__all__ = ["shortage_of"]

_MEMORY = (
    "this machine has no memory left for it; allow the process more memory, or run fewer inspections at once"
)
_THREADS = (
    "this machine allows no further thread; allow the process more memory and more threads (ulimit -v, -u)"
)
_NO_THREAD = "can't start new thread"  # CPython's RuntimeError: pthread_create(3) has failed
_REMEDIES = {
    errno.ENOMEM: "allow the process more memory",
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EMFILE: "allow the process more open files (ulimit -n)",
    errno.ENFILE: "allow the machine more open files",
    errno.EIO: "look at the machine's disk",
}


def shortage_of(fault: BaseException) -> str:
    """Return what the machine lacks and what to do, "" for an error of any other kind."""
    if isinstance(fault, MemoryError):
        return _MEMORY
    if isinstance(fault, RuntimeError) and str(fault) == _NO_THREAD:
        return _THREADS
    if isinstance(fault, OSError) and fault.errno in _REMEDIES:
        what = fault.strerror or os.strerror(fault.errno)
        where = f"{fault.filename}: " if fault.filename else ""
        return f"{where}{what}; {_REMEDIES[fault.errno]}"
    return ""
