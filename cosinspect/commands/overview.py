"""The overview of the program, and its version: what `cosinspect --help` and `--version` print.

Nothing is imported for it but argparse, which lays it out.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter

from cosinspect.commands import COMMANDS
from cosinspect.commands.command import STATUS_MEANINGS
from cosinspect.version import __version__

__all__ = ["PROGRAM", "overview"]

PROGRAM = "cosinspect"


def overview(word: str, columns: int) -> str | None:
    """Return what the program prints for its only argument; None if it is not about the program itself.

    Args:
        word: the argument; "" without one.
        columns: the width of lines.
    """
    if word in ("--version", "version"):
        return f"{PROGRAM} {__version__}\n"
    return _parser(columns).format_help() if word in ("", "-h", "--help", "help") else None


def _parser(columns: int) -> ArgumentParser:
    wide = max(len(f"{command.name} {command.arguments}") for command in COMMANDS.values())
    commands = "\n".join(
        f"  {command.name + ' ' + command.arguments:<{wide}}  {command.summary}"
        for command in COMMANDS.values()
    )
    rows = "\n".join(f"  {status:<3}  {meaning}" for status, meaning in STATUS_MEANINGS.items())
    parser = ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} IMAGE [options]\n       {PROGRAM} COMMAND [arguments] [options]",
        description="What can this OS image do? Does it boot and install? If not, why?",
        epilog=f"commands:\n{commands}\n\n"
        f"exit status, of every command:\n{rows}\n\n"
        f"To check an image with the name of a command: {PROGRAM} check NAME\n"
        f"Options of a command: {PROGRAM} help COMMAND\n",
        # Told the width, argparse does not load what finds it out.
        formatter_class=lambda prog: RawDescriptionHelpFormatter(prog, width=columns - 2),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", help="show program's version number and exit")
    return parser
