"""Where inspections of many images run: processes of this machine, or a Dask cluster; the same tasks, the same outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from cosinspect.inspection.worker import Outcome, Task, end_pool, make_pool, perform

__all__ = ["DaskWorkers", "ProcessWorkers", "Workers"]

ATTEMPTS = 3
"""Times that a task is begun whose process dies."""


class Workers(Protocol):
    """What makes inspections.

    Attributes:
        count: how many run side by side.
    """

    @property
    def count(self) -> int:
        """How many run side by side."""
        ...

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Have a task made; `done` is called once, from some thread, whatever becomes of it."""
        ...

    def close(self) -> None:
        """End, whatever still runs."""
        ...


class ProcessWorkers:
    """Processes of this machine. One that dies is replaced, and what it was at begun again."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._pool = make_pool(count)
        self._closed = False

    @property
    def count(self) -> int:
        """How many run side by side."""
        return self._count

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Have a task made."""
        self._begin(task, done, ATTEMPTS)

    def close(self) -> None:
        """End, whatever still runs."""
        with self._lock:
            self._closed = True
        end_pool(self._pool)

    def _begin(self, task: Task, done: Callable[[Outcome], None], left: int) -> None:
        with self._lock:
            pool = self._pool
        try:
            future = pool.submit(perform, task)
        except (BrokenProcessPool, RuntimeError):
            self._again(pool, task, done, left)
            return
        future.add_done_callback(lambda ended: self._ended(ended, pool, task, done, left))

    def _ended(
        self,
        ended: Future[Outcome],
        pool: ProcessPoolExecutor,
        task: Task,
        done: Callable[[Outcome], None],
        left: int,
    ) -> None:
        if ended.cancelled():
            done(Outcome(None, "the scan ended"))
            return
        fault = ended.exception()
        if isinstance(fault, BrokenProcessPool):
            self._again(pool, task, done, left)
        elif fault is not None:
            done(Outcome(None, f"internal error: {type(fault).__name__}: {fault}"))
        else:
            done(ended.result())

    def _again(
        self, broken: ProcessPoolExecutor, task: Task, done: Callable[[Outcome], None], left: int
    ) -> None:
        with self._lock:
            if self._pool is broken and not self._closed:
                self._pool = make_pool(self._count)
            over = self._closed
        if over or left <= 1:
            done(Outcome(None, f"the process that inspected it died, {ATTEMPTS} times"))
        else:
            self._begin(task, done, left - 1)


class DaskWorkers:
    """A Dask cluster. Its scheduler gives the tasks of workers that die to others; they join and leave as they like.

    Args:
        client: `distributed.Client`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._held: set[Any] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many run side by side, as far as the cluster has come together."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Have a task made."""
        future = self._client.submit(perform, task, pure=False, retries=ATTEMPTS)
        with self._lock:
            self._held.add(future)  # the cluster drops what nobody holds
        future.add_done_callback(lambda ended: self._ended(ended, done))

    def close(self) -> None:
        """Let go of the cluster, which goes on without us."""
        with self._lock:
            held, self._held = self._held, set()
        if held:
            self._client.cancel(list(held))
        self._client.close()

    def _ended(self, ended: Any, done: Callable[[Outcome], None]) -> None:
        try:
            outcome = ended.result()
        except Exception as fault:  # noqa: BLE001 - a worker that cannot be had, or code that another version has
            outcome = Outcome(
                None, f"the cluster could not inspect it: {type(fault).__name__}: {fault}"[:600]
            )
        with self._lock:
            self._held.discard(ended)
        done(outcome)
