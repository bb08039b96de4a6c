"""`completion SHELL`: prints the script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

import shtab

from cosinspect.commands import COMMANDS
from cosinspect.commands.command import ExitStatus, Terminal

__all__ = ["configure", "run", "whole_parser"]

SHELLS = ("bash", "zsh", "fish")
_FILES = ("FILE", "NAME|FILE", "IMAGE", "OTHER", "[FORMAT=]FILE")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "shell",
        choices=SHELLS,
        metavar="|".join(SHELLS),
        help="the shell; docs/command-line.md says where the script belongs",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    script = shtab.complete(whole_parser(), arguments.shell)
    terminal.out.write(script if script.endswith("\n") else f"{script}\n")
    return ExitStatus.YES


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser with all commands, for tools that read parsers; it parses no command line of the program."""
    whole = argparse.ArgumentParser(
        prog="cosinspect", description="What can this OS image do? Does it boot and install? If not, why?"
    )
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = f"{command.summary[0].upper()}{command.summary[1:]}."
        parser = commands.add_parser(name, help=command.summary, description=summary)
        command.configure(parser)
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list options
            metavar = str(action.metavar)
            if metavar.split("[:", maxsplit=1)[0].endswith(_FILES):
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # what shtab reads
            elif metavar.startswith("DIR"):
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # the same
    return whole
