"""`schema [NAME]`: prints the JSON Schema of an output for programs."""

from __future__ import annotations

import argparse
import json
from importlib import import_module

from cosinspect.commands.command import ExitStatus, Terminal

__all__ = ["SCHEMAS", "configure", "run"]

SCHEMAS = {
    "report": "a report: check --format json, boot --format json",
    "scan": "one line of scan -o FILE",
    "boot": "the key boot of the report that boot --format json prints",
    "diff": "diff --format json, of one image or of two",
    "explain": "explain --format json",
    "layers": "layers --format json",
    "packages": "packages --format json",
}
"""The document that each schema describes."""

_CLASSES = {
    "report": ("cosinspect.report.report", "Report"),
    "scan": ("cosinspect.fleet.record", "ScanRecord"),
    "boot": ("cosinspect.boot.outcome", "Outcome"),
}
"""The module and class of the schemas that a class of the library has."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("schema", nargs="?", choices=tuple(SCHEMAS), metavar="NAME", help=", ".join(SCHEMAS))


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    if arguments.schema is None:
        wide = max(map(len, SCHEMAS))
        terminal.out.writelines(f"{name:<{wide}}  {told}\n" for name, told in SCHEMAS.items())
        return ExitStatus.YES
    if arguments.schema in _CLASSES:
        module, kind = _CLASSES[arguments.schema]
        schema = getattr(import_module(module), kind).json_schema()
    else:
        schema = import_module("cosinspect.commands.documents").schema_of(arguments.schema)
    terminal.out.write(json.dumps(schema, indent=2) + "\n")
    return ExitStatus.YES
