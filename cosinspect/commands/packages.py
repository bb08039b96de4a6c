"""`packages IMAGE`: lists the packages of every luet database of an image."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from cosinspect.commands.command import Terminal
from cosinspect.commands.options import (
    add_format,
    add_image,
    add_trust,
    merged_image,
)
from cosinspect.facts.packages import READS, PackageDatabase, find_databases
from cosinspect.formats.luet.database import LuetPackage
from cosinspect.report.display import printable
from cosinspect.report.json_text import json_text

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_trust(parser)
    add_format(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    with merged_image(arguments, terminal, retain=READS) as (image, rootfs):
        databases = find_databases(rootfs, image.config)
    if arguments.format == "json":
        values = {"databases": [database.to_dict() for database in databases]}
        terminal.out.write(json_text(values, indent=2) + "\n")
        return 0
    if not databases:
        terminal.out.write("no luet database in this image\n")
    for number, database in enumerate(databases):
        if number:
            terminal.out.write("\n")
        for line in _lines(database):
            terminal.out.write(line + "\n")
    return 0


def _lines(database: PackageDatabase) -> Iterator[str]:
    packages = database.database.packages if database.database is not None else ()
    count = f"{len(packages)} package{'' if len(packages) == 1 else 's'}"
    said = count if database.database is not None else "unreadable"
    yield f"{printable(database.path)}  [layer {database.layer}]  {said}"
    for problem in database.problems:
        yield f"  problem: {printable(problem)}"
    rows = [_row(package) for package in packages]
    wide = max((len(name) for name, _, _ in rows), default=0)
    middle = max((len(version) for _, version, _ in rows), default=0)
    for name, version, files in sorted(rows):
        yield f"  {name:<{wide}}  {version:<{middle}}  {files:>6} file{'' if files == 1 else 's'}"


def _row(package: LuetPackage) -> tuple[str, str, int]:
    name = f"{package.category}/{package.name}" if package.category else package.name
    return printable(name), printable(package.version), len(package.files)
