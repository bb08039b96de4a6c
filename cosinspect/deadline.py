"""The time that one inspection may take, from its first byte to its last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cosinspect.errors import LimitExceeded

__all__ = ["Deadline"]


class Deadline:
    """A moment by which the work must be done; used from several threads at once.

    Args:
        seconds: how long it may take from now on.
        clock: tells the seconds, from any beginning.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 once there are none, and no more than Python can wait."""
        return min(max(self._end - self._clock(), 0.0), threading.TIMEOUT_MAX)

    def heed(self, where: str) -> None:
        """Go on only while there is time.

        Raises:
            LimitExceeded: there is none left; `where` says at what.
        """
        if self.left() <= 0:
            raise self.exceeded(where)

    def exceeded(self, where: str) -> LimitExceeded:
        """Make the error for work that is not done in time."""
        return LimitExceeded(
            f"expected to be done within {self._seconds:g} s, found work left",
            limit="seconds",
            bound=self._seconds,
            where=where,
            remedy="allow more time (--timeout), or find out what holds the image up",
        )
