"""`serve --config FILE`: answers clusters and registries by the verdicts of images."""

from __future__ import annotations

import argparse
from importlib import import_module

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.report.display import printable

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="the server's configuration, in TOML; docs/server.md"
    )
    parser.add_argument(
        "--check", action="store_true", help="verify the configuration and the files that it names, and exit"
    )
    parser.add_argument(
        "--log-format",
        choices=("human", "json"),
        default="human",
        help="format of the log on standard error; default: human",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="log errors only")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log requests to registries and skipped images as well"
    )
    parser.set_defaults(own_log=True)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    try:
        # Imported on demand: the extra may be missing, and other commands do not need it.
        settings = import_module("cosinspect.server.settings")
        examination = import_module("cosinspect.server.examination")
        listener = import_module("cosinspect.server.listener")
        journal = import_module("cosinspect.server.journal")
    except ImportError as fault:
        raise WrongUse(
            f"serve needs a package that is not installed ({fault.name}): pip install 'cosinspect[server]'"
        ) from fault
    if arguments.check:
        mistakes = examination.examine(arguments.config)
        for line in mistakes:
            terminal.err.write(f"{printable(line)}\n")
        if mistakes:
            terminal.err.write(f"{arguments.config}: {len(mistakes)} mistakes\n")
            return 2
        found = settings.Settings.load(arguments.config)
        terminal.out.write(f"{arguments.config}: {len(found.configuration.rules)} rules, no mistake\n")
        return 0
    form = journal.LogFormat(arguments.log_format)
    with journal.journal(terminal.err, form, quiet=arguments.quiet, verbose=arguments.verbose):
        listener.listen(arguments.config, arguments.environment)
    return 0
