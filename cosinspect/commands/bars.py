"""Progress bars for terminals; imported on demand, because importing the library takes longer than a cached verdict."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from cosinspect.commands.command import Terminal

__all__ = ["bytes_display", "images_display"]


def bytes_display(terminal: Terminal) -> Progress:
    """Return a display of received bytes out of a total."""
    return _display(terminal, DownloadColumn(), TransferSpeedColumn())


def images_display(terminal: Terminal) -> Progress:
    """Return a display of finished images out of a total."""
    return _display(terminal, MofNCompleteColumn(), _Rate(), TimeRemainingColumn())


def _display(terminal: Terminal, *columns: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(),
        *columns,
        console=Console(file=terminal.err, no_color=not terminal.color),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _Rate(ProgressColumn):
    """Images per minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{60 * task.speed:.0f} a minute" if task.speed else "")
