"""`serve --config FILE`: answers clusters and registries by the verdicts of images."""

from __future__ import annotations

import argparse

from cosinspect.commands.command import Terminal
from cosinspect.extras import load_extra
from cosinspect.report.display import counted, printable

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
    # Imported on demand: other commands do not need it.
    settings = load_extra("cosinspect.server.settings", "server")
    examination = load_extra("cosinspect.server.examination", "server")
    listener = load_extra("cosinspect.server.listener", "server")
    journal = load_extra("cosinspect.server.journal", "server")
    if arguments.check:
        mistakes = examination.examine(arguments.config)
        for line in mistakes:
            terminal.err.write(f"{printable(line)}\n")
        if mistakes:
            terminal.err.write(f"{arguments.config}: {counted(len(mistakes), 'mistake')}\n")
            return 2
        found = settings.Settings.load(arguments.config)
        terminal.out.write(
            f"{arguments.config}: {counted(len(found.configuration.rules), 'rule')}, no mistake\n"
        )
        return 0
    form = journal.LogFormat(arguments.log_format)
    with journal.journal(terminal.err, form, quiet=arguments.quiet, verbose=arguments.verbose):
        listener.listen(arguments.config, arguments.environment)
    return 0
