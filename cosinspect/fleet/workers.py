"""The execution of inspections: processes of this machine, or a Dask cluster, with the same tasks and outcomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Any, Protocol, cast

from cosinspect.errors import InvalidScan
from cosinspect.fleet.installation import Described, Installation, describe_installation
from cosinspect.inspection.processes import Processes, perform_apart
from cosinspect.inspection.worker import Outcome, Task

__all__ = ["DaskWorkers", "ProcessWorkers", "Workers"]

ATTEMPTS = 3
"""Times that a task is begun whose process dies."""
WAIT_SECONDS = 5.0
"""How long the first worker of a cluster may take to join: a cluster may be just starting."""
PROBE_SECONDS = 15.0
"""How long the workers may take to say what they have; a worker answers while it inspects."""


class Workers(Protocol):
    """Executes inspections.

    Attributes:
        count: the number of parallel inspections.
    """

    @property
    def count(self) -> int:
        """The number of parallel inspections."""
        ...

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Start a task; `done` is called once, from any thread, for every outcome."""
        ...

    def close(self) -> None:
        """Stop all tasks."""
        ...


class ProcessWorkers:
    """Processes of this machine. One that dies, or does not end in time, is replaced."""

    def __init__(self, count: int) -> None:
        self._processes = Processes(count)

    @property
    def count(self) -> int:
        """The number of parallel inspections."""
        return self._processes.count

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Start a task."""
        self._processes.submit(task).add_done_callback(lambda ended: done(_outcome(ended)))

    def close(self) -> None:
        """Stop all tasks."""
        self._processes.close()


def _outcome(ended: Future[Outcome]) -> Outcome:
    return Outcome(None, "the scan ended") if ended.cancelled() else ended.result()


def compare_workers(client: Any, expected: Installation) -> dict[str, str | None]:
    """Ask each worker of a cluster what it has; return by address what differs, None if the worker judges alike.

    Raises:
        TimeoutError: a worker does not answer.
    """
    answers: dict[str, object] = client.run(
        describe_installation, on_error="return", callback_timeout=PROBE_SECONDS
    )
    return {worker: _fault(answer, expected) for worker, answer in answers.items()}


def _fault(answer: object, expected: Installation) -> str | None:
    if isinstance(answer, Exception):
        told = str(answer)  # the error itself, or what `distributed` makes of one that it cannot send
        if "No module named 'cosinspect'" in told:
            return "expected cosinspect, found that it is not installed there"
        if "cosinspect." in told:  # a module that the other version does not have
            return f"expected cosinspect {expected.version}, found another version: {told}"[:300]
        return f"expected a description of what is installed, found {type(answer).__name__}: {told}"[:300]
    return expected.difference(Installation.of(cast("Described", answer)))


def perform_alike(task: Task, expected: Installation) -> Outcome:
    """Inspect, unless this process would judge in another way than the one that asks; runs on the workers of a cluster."""
    difference = expected.difference(Installation.here())
    if difference is not None:
        worker = import_module("distributed").get_worker().address
        return Outcome(None, f"the worker {worker} cannot judge it: {difference}")
    return perform_apart(task)


class DaskWorkers:
    """A Dask cluster. Its scheduler moves the tasks of dead workers to others; workers may join and leave.

    Args:
        client: `distributed.Client`.
        address: of its scheduler, for messages.
        wait_seconds: how long the first worker may take to join.

    Raises:
        InvalidScan: the cluster has no workers, or one that would not judge as this process does.
    """

    def __init__(self, client: Any, address: str, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._client = client
        self._held: set[Any] = set()
        self._lock = threading.Lock()
        self._installation = Installation.here()
        self._require_workers(address, wait_seconds)
        self._require_same(address)

    def _require_workers(self, address: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._client.nthreads():
            if time.monotonic() >= end:
                raise InvalidScan(
                    f"expected a cluster with workers, found none within {seconds:g} s",
                    where=address[:200],
                    remedy=f"start some: dask worker {address[:200]}",
                )
            time.sleep(0.1)

    def _require_same(self, address: str) -> None:
        """Ask every worker what it has; those that join later are asked with each task."""
        try:
            found = compare_workers(self._client, self._installation)
        except TimeoutError as fault:
            raise InvalidScan(
                f"expected every worker to answer within {PROBE_SECONDS:g} s, found one that does not",
                where=address[:200],
                remedy="look at the cluster's dashboard, and end the worker that hangs",
            ) from fault
        faults = {worker: told for worker, told in found.items() if told is not None}
        if faults:
            worker, told = min(faults.items())
            more = f"; and {len(faults) - 1} more of {len(found)} workers" if len(faults) > 1 else ""
            raise InvalidScan(
                f"{told}{more}",
                where=f"the worker {worker}"[:200],
                remedy=f"install cosinspect {self._installation.version} with the same plugins on every worker, and start it again",
            )

    @property
    def count(self) -> int:
        """How many run in parallel, as far as the cluster has come together."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, task: Task, done: Callable[[Outcome], None]) -> None:
        """Start a task."""
        future = self._client.submit(perform_alike, task, self._installation, pure=False, retries=ATTEMPTS)
        with self._lock:
            self._held.add(future)  # the cluster drops futures without a reference
        future.add_done_callback(lambda ended: self._ended(ended, done))

    def close(self) -> None:
        """Disconnect from the cluster, which continues."""
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
