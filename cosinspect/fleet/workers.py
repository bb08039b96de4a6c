"""Where inspections of many images run: processes of this machine, or a Dask cluster; the same tasks, the same outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from cosinspect.inspection.processes import Processes, perform_apart
from cosinspect.inspection.worker import Outcome, Task

__all__ = ["DaskWorkers", "ProcessWorkers", "Workers"]

ATTEMPTS = 3
"""Times that a task is begun whose process dies."""


class Workers(Protocol):
    """What makes inspections.

    Attributes:
        count: how many run in parallel.
    """

    @property
    def count(self) -> int:
        """How many run in parallel."""
        ...

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Have a task made; `done` is called once, from some thread, whatever becomes of it."""
        ...

    def close(self) -> None:
        """End, whatever still runs."""
        ...


class ProcessWorkers:
    """Processes of this machine. One that dies, or does not end in time, is replaced."""

    def __init__(self, count: int) -> None:
        self._processes = Processes(count)

    @property
    def count(self) -> int:
        """How many run in parallel."""
        return self._processes.count

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Have a task made."""
        self._processes.submit(task).add_done_callback(lambda ended: done(_outcome(ended)))

    def close(self) -> None:
        """End, whatever still runs."""
        self._processes.close()


def _outcome(ended: Future[Outcome]) -> Outcome:
    return Outcome(None, "the scan ended") if ended.cancelled() else ended.result()


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
        """How many run in parallel, as far as the cluster has come together."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Have a task made."""
        future = self._client.submit(perform_apart, task, pure=False, retries=ATTEMPTS)
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
