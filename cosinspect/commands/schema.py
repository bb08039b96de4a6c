"""`schema [NAME]`: prints the JSON Schema of an output for programs."""

from __future__ import annotations

import argparse
import json
from importlib import import_module

from cosinspect.commands.command import ExitStatus, Terminal

__all__ = ["SCHEMAS", "configure", "run"]

SCHEMAS = {
    "report": ("cosinspect.report.report", "Report", "a report: check --format json"),
    "scan": ("cosinspect.fleet.record", "ScanRecord", "one line of scan -o FILE"),
}
"""The module and class of each schema, and the document that it describes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("schema", nargs="?", choices=tuple(SCHEMAS), metavar="NAME", help=", ".join(SCHEMAS))


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    if arguments.schema is None:
        wide = max(map(len, SCHEMAS))
        terminal.out.writelines(f"{name:<{wide}}  {told}\n" for name, (_, _, told) in SCHEMAS.items())
        return ExitStatus.YES
    module, kind, _ = SCHEMAS[arguments.schema]
    schema = getattr(import_module(module), kind).json_schema()
    terminal.out.write(json.dumps(schema, indent=2) + "\n")
    return ExitStatus.YES
