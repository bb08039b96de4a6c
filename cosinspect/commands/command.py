"""What a command is, what it is given besides its arguments, and the two ways in which only a command can fail."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TextIO, TypeAlias

from attrs import frozen

__all__ = ["Command", "NotInImage", "Run", "Terminal", "WrongUse"]


class WrongUse(Exception):
    """The arguments make no sense; the text says what was expected."""


class NotInImage(Exception):
    """The path that was asked for is not in the image; the text says which."""


@frozen
class Terminal:
    """Where a command writes, be it a terminal or not.

    Attributes:
        out: for results; what `out.buffer` gives takes bytes.
        err: for progress; errors are told by raising them.
        color: whether `out` is a terminal whose user wants colours.
        columns: how wide lines should be.
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
        arguments: what follows it, for the overview.
        summary: what it does, in a few words.
        configure: adds its arguments to a parser.
        run: does it and gives the exit status.
    """

    name: str
    arguments: str
    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Run
