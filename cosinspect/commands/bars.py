"""Progress bars for terminals, by tqdm; imported on demand, because a verdict from the cache needs none."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self, TextIO

from attrs import define
from tqdm import tqdm

from cosinspect.commands.command import Terminal

__all__ = ["Bars", "bytes_display", "images_display"]


class _Bar(tqdm):  # type: ignore[misc] # tqdm has no types
    """A bar of this process: no thread watches it, and no lock is shared with other processes."""

    monitor_interval = 0
    _lock = threading.RLock()

    @property
    def format_dict(self) -> dict[str, Any]:
        """Add the rate for a minute."""
        found: dict[str, Any] = super().format_dict
        elapsed = found["elapsed"]
        done = found["n"] - found["initial"]
        return {**found, "a_minute": f"{60 * done / elapsed:.0f} a minute" if done and elapsed else ""}


@define
class _Task:
    description: str
    total: float | None
    done: float = 0
    bar: _Bar | None = None


class Bars:
    """Bars below each other, removed at the end; its methods may be called from several threads.

    Args:
        stream: the terminal.
        width: its columns.
        form: what tqdm shows of a bar (`bar_format`).
        unit: of the numbers, `B` for bytes.
    """

    def __init__(self, stream: TextIO, width: int, *, form: str, unit: str = "") -> None:
        self._stream = stream
        self._width = width
        self._form = form
        self._unit = unit
        self._tasks: list[_Task] = []
        self._lock = threading.Lock()

    def add_task(self, description: str, *, total: float | None, visible: bool = True) -> int:
        """Add a bar and return its number.

        Args:
            description: what it shows.
            total: at the end of the bar, None if it is not known yet.
            visible: whether it is shown now.
        """
        with self._lock:
            task = _Task(description, total)
            self._tasks.append(task)
            if visible:
                self._show(task)
            return len(self._tasks) - 1

    def advance(self, number: int, count: float) -> None:
        """Move a bar on."""
        with self._lock:
            task = self._tasks[number]
            task.done += count
            if task.bar is not None:
                task.bar.update(count)

    def complete(self, number: int, done: float, total: float | None) -> None:
        """Move a bar to a place, of a total that may be another one than before."""
        with self._lock:
            task = self._tasks[number]
            count, task.done, task.total = done - task.done, done, total
            if task.bar is not None:
                task.bar.total = total
                task.bar.update(count)

    def show(self, number: int, *, visible: bool) -> None:
        """Show a bar, or remove it."""
        with self._lock:
            task = self._tasks[number]
            if visible and task.bar is None:
                self._show(task)
            elif not visible and task.bar is not None:
                task.bar.close()
                task.bar = None

    def write_above(self, line: str) -> None:
        """Write a line above the bars."""
        with self._lock:
            _Bar.write(line, file=self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for task in reversed(self._tasks):
                if task.bar is not None:
                    task.bar.close()
                    task.bar = None

    def _show(self, task: _Task) -> None:
        task.bar = _Bar(
            desc=f"{task.description:>12}",
            total=task.total,
            initial=task.done,
            file=self._stream,
            ncols=self._width,
            bar_format=self._form,
            unit=self._unit,
            unit_scale=bool(self._unit),
            leave=False,
        )


def bytes_display(terminal: Terminal) -> Bars:
    """Return a display of received bytes out of a total."""
    form = "{desc} {bar:30} {n_fmt}/{total_fmt}{unit} {rate_fmt}"
    return Bars(terminal.err, terminal.columns, form=form, unit="B")


def images_display(terminal: Terminal) -> Bars:
    """Return a display of finished images out of a total."""
    form = "{desc} {bar:30} {n_fmt}/{total_fmt} {a_minute} {remaining}"
    return Bars(terminal.err, terminal.columns, form=form)
