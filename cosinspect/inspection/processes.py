"""Processes that inspect, a fixed number of them: each is ended where its inspection is not done in time, and replaced.

A deadline inside of a process relies on every loop that heeds it. This one does not: whatever the process is at, the
kernel ends it.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TypeAlias

from cosinspect.inspection.worker import Outcome, Task, perform

__all__ = ["GRACE", "Processes", "perform_apart", "serve"]

GRACE = 1.0
"""Seconds that an inspection has after its deadline to say itself that it was not done in time."""
START_SECONDS = 120.0
"""What a process may take until it is ready; on a busy machine that is the time of its imports."""
IDLE_SECONDS = 1.0
"""Seconds between looks at an idle process: a dead one is replaced before a task needs it."""
ATTEMPTS = 2
"""Times that an inspection is begun whose process dies."""

Work: TypeAlias = "Callable[[Task], Outcome]"

_logger = logging.getLogger("cosinspect")


class _Died(Exception):
    """The process ended before it answered."""


class _Late(Exception):
    """The process did not answer in time."""


class Processes:
    """So many processes that inspect; they end with this one, however it ends.

    Args:
        count: how many inspections run in parallel.
        work: what a process does with a task; a function that it can import.
        grace: seconds after a task's own deadline until its process is ended.
    """

    def __init__(self, count: int, *, work: Work = perform, grace: float = GRACE) -> None:
        self.count = count
        self._work = work
        self._grace = grace
        self._queue: queue.SimpleQueue[tuple[Task, Future[Outcome]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: set[_Process] = set()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._attend, name=f"process-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> int:
        """How many processes are there now, those that are not ready yet included."""
        with self._lock:
            return sum(process.is_alive for process in self._running)

    def submit(self, task: Task) -> Future[Outcome]:
        """Have a task made. The future always gets an outcome, unless `close` cancels it before it begins."""
        future: Future[Outcome] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
            else:
                self._queue.put((task, future))
        return future

    def close(self) -> None:
        """End all processes in any state; tasks that have not begun are cancelled."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            process.end()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)

    def _attend(self) -> None:
        """Hand tasks to one process, and make another where it has ended."""
        process = self._replaced(None)  # at once, so that no task waits for it
        while True:
            try:
                item = self._queue.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                process = self._replaced(process)
                continue
            if item is None:
                break
            task, future = item
            if self._closed:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                process, outcome = self._made(process, task)
            except Exception as fault:  # noqa: BLE001 - whoever waits is told, whatever this was
                outcome = Outcome(None, f"internal error: {type(fault).__name__}: {fault}")
            future.set_result(outcome)
        if process is not None:
            self._ended(process)

    def _made(self, process: _Process | None, task: Task) -> tuple[_Process | None, Outcome]:
        for _ in range(ATTEMPTS):
            process = process or self._started()
            if process is None:
                return None, Outcome(None, "the inspections are ending")
            try:
                return process, process.do(task, self._grace)
            except _Late:
                self._ended(process)
                return None, Outcome(None, _late(task))
            except _Died:
                self._ended(process)
                process = None
                if self._closed:
                    return None, Outcome(None, "the inspections are ending")
                _logger.warning("the process that inspected %s died", task.name)
        return None, Outcome(None, f"the process that inspected it died, {ATTEMPTS} times")

    def _replaced(self, process: _Process | None) -> _Process | None:
        """Return a process that is alive; None if none can be made now, which the next look tries again."""
        if process is not None and process.is_alive:
            return process
        if process is not None:
            self._ended(process)
            if not self._closed:
                _logger.warning("a process that waited for an inspection died")
        try:
            return self._started()
        except OSError as fault:
            _logger.warning("a process that inspects cannot be started: %s", fault)
            return None

    def _started(self) -> _Process | None:
        with self._lock:
            if self._closed:
                return None
            process = _Process(self._work)
            self._running.add(process)
            return process

    def _ended(self, process: _Process) -> None:
        process.end()
        with self._lock:
            self._running.discard(process)


_own = threading.local()


def perform_apart(task: Task) -> Outcome:
    """Inspect as `perform` does, in a process that belongs to the calling thread and is ended where it is not done in time."""
    if not hasattr(_own, "processes"):
        _own.processes = Processes(1)
    outcome: Outcome = _own.processes.submit(task).result()
    return outcome


def _late(task: Task) -> str:
    return (
        f"undecided: timeout: expected to be done within {task.seconds:g} s, found work left, and the process that inspected "
        "it was ended; allow more time (--timeout, or seconds in [inspections] of a server)"
    )


class _Process:
    """One process and the line to it."""

    def __init__(self, work: Work) -> None:
        self._line, other = Pipe()
        with other:
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; from cosinspect.inspection.processes import serve; "
                f"serve({other.fileno()}, {os.getpid()})"
            )
            # A separate program: a fork would inherit this one's threads, locks and sockets. Its output is discarded.
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        self._work = work
        self._ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def do(self, task: Task, grace: float) -> Outcome:
        """Run a task, and return its result.

        Raises:
            _Late: nothing did, in time.
            _Died: the process ended.
        """
        try:
            if not self._ready:
                if not self._line.poll(START_SECONDS):
                    raise _Died
                self._line.recv()
                self._ready = True
            self._line.send((self._work, task))
            if not self._line.poll(task.seconds + grace):
                raise _Late
            outcome: Outcome = self._line.recv()
        except (EOFError, OSError, pickle.UnpicklingError) as fault:
            raise _Died from fault
        return outcome

    def end(self) -> None:
        """End it in any state; waiting tasks get an error."""
        self._process.kill()
        self._process.wait()


def serve(line: int, parent: int) -> None:
    """Be such a process: make the tasks that come along a line, until it ends.

    Args:
        line: file descriptor of a `multiprocessing.connection.Connection`.
        parent: process id of the one that asks; this one does not outlive it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger("cosinspect").addHandler(logging.NullHandler())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with Connection(line) as connection:
        try:
            connection.send("ready")
            while True:
                work, task = connection.recv()
                connection.send(work(task))
        except (EOFError, OSError):  # the other one has gone
            return


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)
