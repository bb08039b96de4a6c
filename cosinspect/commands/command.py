"""A command, its terminal, its exit statuses, and the two errors that only commands raise.

These are plain classes, and nothing is imported for them: the help is printed before attrs is loaded.
"""

from __future__ import annotations

from enum import IntEnum

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TextIO, TypeAlias

    Configure: TypeAlias = Callable[[argparse.ArgumentParser], None]
    Run: TypeAlias = Callable[[argparse.Namespace, "Terminal"], int]

__all__ = ["STATUS_MEANINGS", "Command", "ExitStatus", "NotInImage", "Terminal", "WrongUse"]


class ExitStatus(IntEnum):
    """The exit statuses, the same for every command."""

    YES = 0
    NO = 1
    WRONG_USE = 2
    UNDECIDED = 3
    INTERRUPTED = 130
    """128 plus the signal, as in a shell."""
    READER_GONE = 141
    """As a program that SIGPIPE ends."""


STATUS_MEANINGS: dict[ExitStatus, str] = {
    ExitStatus.YES: "the answer is yes, or the work is done: every required capability, no difference, the path",
    ExitStatus.NO: "the answer is no: a required capability is missing, there is a difference, no such path",
    ExitStatus.WRONG_USE: "wrong use: arguments, the image's name, a file of yours such as a profile",
    ExitStatus.UNDECIDED: "it cannot be decided: not there, unreachable, damaged, unknown, disk full",
    ExitStatus.INTERRUPTED: "interrupted (Ctrl-C); what is done is kept",
    ExitStatus.READER_GONE: "whoever reads the output has gone; this is no verdict",
}
"""What each status means, for the help and the pages."""


class WrongUse(Exception):
    """The arguments are invalid; the message says what was expected."""


class NotInImage(Exception):
    """The requested path is not in the image; the message names it."""


class Terminal:
    """The streams that a command writes to, terminal or not.

    Attributes:
        out: for results; `out.buffer` accepts bytes.
        err: for progress; errors are raised.
        color: whether to use colours on `out`.
        columns: the width of lines.
        progress: whether `err` is a terminal that can show progress.
    """

    __slots__ = ("color", "columns", "err", "out", "progress")

    def __init__(
        self, out: TextIO, err: TextIO, *, color: bool = False, columns: int = 100, progress: bool = False
    ) -> None:
        self.out = out
        self.err = err
        self.color = color
        self.columns = columns
        self.progress = progress


class Command:
    """One command.

    Attributes:
        name: its first word.
        arguments: its arguments, for the overview.
        summary: a short description.
        configure: adds its arguments to a parser.
        run: runs the command and returns the exit status.
    """

    __slots__ = ("arguments", "configure", "name", "run", "summary")

    def __init__(self, name: str, arguments: str, summary: str, configure: Configure, run: Run) -> None:
        self.name = name
        self.arguments = arguments
        self.summary = summary
        self.configure = configure
        self.run = run
