"""Values that expire after a time, in a bounded number."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

__all__ = ["Recent"]

MOST = 10_000

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """Values by key, each for a time; when it is full, the oldest are dropped."""

    def __init__(self) -> None:
        self._known: dict[_Key, tuple[float, _Value]] = {}

    def get(self, key: _Key) -> _Value | None:
        """Return the value of a key, None if there is none or it expired."""
        found = self._known.get(key)
        return found[1] if found is not None and found[0] > time.monotonic() else None

    def keep(self, key: _Key, value: _Value, seconds: float) -> None:
        """Keep a value for a time."""
        self._known.pop(key, None)
        while len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = time.monotonic() + seconds, value
