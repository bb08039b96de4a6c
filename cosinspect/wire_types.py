"""Types that documents are decoded into, made ready one at a time.

msgspec finds out what a type is made of when it is first asked for one, and keeps that with the type. Two threads that ask at the same
time can meet half of it, and end the process (seen with 0.22 as a segmentation fault). So whoever decodes
into a type of ours says `ready(Type)`.
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
    """Return `kind`, of which msgspec knows from now on what it is made of."""
    if kind not in _READY:
        with _LOCK:
            if kind not in _READY:
                msgspec.msgpack.Decoder(kind)
                _READY.add(kind)
    return kind
