"""The time that one inspection may take, from its first byte to its last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cosinspect.errors import LimitExceeded

__all__ = ["Deadline"]


class Deadline:
    """The time by which the work must be done; thread-safe.

    Args:
        seconds: the allowed time from now on.
        clock: returns seconds since any fixed time.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the remaining seconds, 0 after the deadline, at most what Python can wait."""
        return min(max(self._end - self._clock(), 0.0), threading.TIMEOUT_MAX)

    def heed(self, where: str) -> None:
        """Raise an error after the deadline.

        Raises:
            LimitExceeded: no time is left; `where` names the work.
        """
        if self.left() <= 0:
            raise self.exceeded(where)

    def exceeded(self, where: str) -> LimitExceeded:
        """Return the error for work that was not done in time."""
        return LimitExceeded(
            f"expected to be done within {self._seconds:g} s, found work left",
            limit="seconds",
            bound=self._seconds,
            where=where,
            remedy="allow more time (--timeout), or find out what holds the image up",
        )
