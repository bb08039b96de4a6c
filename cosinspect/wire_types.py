"""Types that documents are decoded into, prepared one at a time.

msgspec analyses a type at its first use and stores the result with the type. Two threads that use a type for
the first time at once can see half of it, which crashes the process (seen with 0.22 as a segmentation fault).
Code that decodes into a type of ours therefore calls `ready(Type)`.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

__all__ = ["ready"]

T = TypeVar("T")

_LOCK = threading.Lock()
_READY: set[object] = set()


def ready(kind: type[T]) -> type[T]:
    """Return `kind` after msgspec has analysed it."""
    if kind not in _READY:
        with _LOCK:
            if kind not in _READY:
                msgspec.msgpack.Decoder(kind)
                _READY.add(kind)
    return kind
