"""A command, its terminal, and the two errors that only commands raise."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TextIO, TypeAlias

from attrs import frozen

__all__ = ["Command", "NotInImage", "Run", "Terminal", "WrongUse"]


class WrongUse(Exception):
    """The arguments are invalid; the message says what was expected."""


class NotInImage(Exception):
    """The requested path is not in the image; the message names it."""


@frozen
class Terminal:
    """The streams that a command writes to, terminal or not.

    Attributes:
        out: for results; `out.buffer` accepts bytes.
        err: for progress; errors are raised.
        color: whether to use colours on `out`.
        columns: the width of lines.
        progress: whether `err` is a terminal that can show progress.
    """

    out: TextIO
    err: TextIO
    color: bool = False
    columns: int = 100
    progress: bool = False


Run: TypeAlias = "Callable[[argparse.Namespace, Terminal], int]"


@frozen
class Command:
    """One command.

    Attributes:
        name: its first word.
        arguments: its arguments, for the overview.
        summary: a short description.
        configure: adds its arguments to a parser.
        run: runs the command and returns the exit status.
    """

    name: str
    arguments: str
    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Run
