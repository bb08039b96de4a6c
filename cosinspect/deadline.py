"""The time that one inspection may take, from its first byte to its last, and what else it may use up in sum.

A deadline is handed to what waits for others: sources, layers. What only computes is held to the one that runs in its
thread: loops that an image can make long call `spend`, or go through `in_time`, and `Deadline.running` says for which
work. Both cost a few nanoseconds a step, for they look at the clock each 1024 steps only.

Bounds that hold for all layers, or all files, of an image together are counted there, too: `take`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from cosinspect.errors import LimitExceeded

__all__ = ["Deadline", "OutOfTime", "in_time", "look", "running", "spend", "take"]

STRIDE = 1024
"""Steps between two looks at the clock."""

T = TypeVar("T")


class OutOfTime(BaseException):
    """The deadline that runs in this thread is over.

    Not an `Exception`: whoever contains the faults of a check, or takes a file that cannot be read for a defect, would
    take it for an answer. `Deadline.running` turns it into `LimitExceeded`.
    """


class Deadline:
    """The time by which the work must be done; thread-safe.

    Args:
        seconds: the allowed time from now on; where another deadline runs in this thread, at most the time that it has left.
        clock: returns seconds since any fixed time.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        outer = _work.deadline
        if outer is not None and outer._clock is clock and outer._end < self._end:  # noqa: SLF001 - one's own kind
            self._seconds, self._end = outer._seconds, outer._end  # noqa: SLF001
        self._taken: dict[str, float] = {}
        self._lock = threading.Lock()

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

    def take(self, limit: str, amount: float, bound: float, what: str, where: str) -> None:
        """Count what the work uses up in sum, in all its threads.

        Args:
            limit: the field of `cosinspect.limits.Limits`.
            amount: what is used up now.
            bound: the value of that field.
            what: what is counted, for people.
            where: at what.

        Raises:
            LimitExceeded: it is more than `bound` in sum.
        """
        with self._lock:
            taken = self._taken[limit] = self._taken.get(limit, 0) + amount
        if taken > bound:
            raise LimitExceeded(
                f"expected at most {bound:.0f} {what} in one image, found more",
                limit=limit,
                bound=bound,
                where=where,
                remedy=f"where the image is honest, raise `{limit}` of cosinspect.limits.Limits (Python API)",
            )

    @contextmanager
    def running(self, where: str) -> Iterator[None]:
        """Hold to this deadline whatever this thread computes within the block.

        Raises:
            LimitExceeded: there is no time left; `where` says at what.
        """
        outer, _work.deadline = _work.deadline, self
        try:
            yield
        except OutOfTime:
            raise self.exceeded(where) from None
        finally:
            _work.deadline = outer


class _Work(threading.local):
    """What this thread works for."""

    deadline: Deadline | None = None


_work = _Work()
_steps = 0  # of all threads; one that is lost where they meet does no harm


def running() -> Deadline | None:
    """Return the deadline that runs in this thread, for another thread to work under; None where none does."""
    return _work.deadline


def look() -> None:
    """Look at the clock.

    Raises:
        OutOfTime: the deadline that runs in this thread is over.
    """
    deadline = _work.deadline
    if deadline is not None and deadline.left() <= 0:
        raise OutOfTime


def take(limit: str, amount: float, bound: float, what: str, where: str) -> None:
    """Count what the work of this thread uses up, as `Deadline.take`; where no deadline runs, nothing is counted."""
    deadline = _work.deadline
    if deadline is not None:
        deadline.take(limit, amount, bound, what, where)


def spend(steps: int = 1) -> None:
    """Take note of steps of the work, and look at the clock from time to time.

    Raises:
        OutOfTime: the deadline that runs in this thread is over.
    """
    global _steps  # noqa: PLW0603 - a counter of the process; it decides only when the clock is read
    _steps += steps
    if _steps >= STRIDE:
        _steps = 0
        look()


def in_time(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and look at the clock from time to time; for many items of which each costs little.

    Raises:
        OutOfTime: the deadline that runs in this thread is over.
    """
    iterator = iter(items)
    while block := tuple(islice(iterator, STRIDE)):
        look()
        yield from block
