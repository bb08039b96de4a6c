"""`packages IMAGE`: lists the packages of every database of an image, with the layer that brought each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from cosinspect.commands.command import ExitStatus, Terminal
from cosinspect.commands.options import add_image, add_trust, merged_image
from cosinspect.extras import load_extra
from cosinspect.facts.facts import Facts
from cosinspect.facts.packages import PackageDatabase, find_packages, package_reads
from cosinspect.formats.packages.package import TYPES, Package
from cosinspect.render.bill_of_materials import BillOfMaterials
from cosinspect.report.display import printable
from cosinspect.report.json_text import json_text

__all__ = ["configure", "run"]

BILLS = {
    "cyclonedx": ("cosinspect.render.cyclonedx", "cyclonedx_document"),
    "spdx": ("cosinspect.render.spdx", "spdx_document"),
}
"""The module and the function that write each format of a bill of materials."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    parser.add_argument(
        "--type",
        dest="types",
        action="append",
        choices=TYPES,
        help="only packages of this kind: alpm (pacman), apk, deb (dpkg), luet, rpm; may be repeated; default: all",
    )
    add_trust(parser)
    parser.add_argument(
        "--format",
        choices=("text", "json", *BILLS),
        default="text",
        help="text for people, JSON for programs, or a bill of materials: CycloneDX 1.6 or SPDX 2.3, as JSON; default: text",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    types = tuple(arguments.types or TYPES)
    document = _writer(arguments.format)
    with merged_image(arguments, terminal, retain=package_reads(types)) as (image, rootfs):
        databases = find_packages(rootfs, image.config, types, limits=image.limits)
        release = Facts(rootfs, image.config, limits=image.limits).os_release
    if document is not None:
        values = release[1].values if release is not None else {}
        bill = BillOfMaterials(
            name=image.name,
            digest=str(image.digest),
            layers=[str(layer.descriptor.digest) for layer in image.layers],
            system=values.get("ID", ""),
            release=values.get("VERSION_ID", ""),
            databases=databases,
            created=datetime.now(UTC),
        )
        terminal.out.write(document(bill))
    elif arguments.format == "json":
        listed = {
            "schema": "cosinspect.packages/1",
            "image": {"name": image.name, "digest": str(image.digest)},
            "databases": [database.to_dict() for database in databases],
        }
        terminal.out.write(json_text(listed, indent=2) + "\n")
    else:
        if not databases:
            kinds = f" of {' or '.join(types)}" if arguments.types else ""
            terminal.out.write(f"no package database{kinds} in this image\n")
        for number, database in enumerate(databases):
            terminal.out.write("\n" * bool(number) + "".join(f"{line}\n" for line in _lines(database)))
    return ExitStatus.UNDECIDED if any(each.fault is not None for each in databases) else ExitStatus.YES


def _writer(name: str) -> Callable[[BillOfMaterials], str] | None:
    """Return what writes a bill of materials of a format, None for the other formats; before an image is read.

    Raises:
        MissingPackage: the extra `sbom` is not installed.
    """
    if name not in BILLS:
        return None
    module, function = BILLS[name]
    writer: Callable[[BillOfMaterials], str] = getattr(load_extra(module, "sbom"), function)
    return writer


def _lines(database: PackageDatabase) -> Iterator[str]:
    count = f"{len(database.packages)} {database.type} package{'' if len(database.packages) == 1 else 's'}"
    is_whole = database.fault is None
    said = count if is_whole else f"{count} and unreadable ones" if database.packages else "unreadable"
    yield f"{printable(database.path)}  [layer {database.layer}]  {said}"
    if database.fault is not None:
        yield f"  undecided: {printable(database.fault)}"
    for problem in database.problems:
        yield f"  problem: {printable(problem)}"
    rows = sorted(map(_row, database.packages))
    wide = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True) if width)
        yield f"  {'  '.join(cells)}".rstrip()


def _row(package: Package) -> tuple[str, str, str, str, str]:
    count = len(package.files) if package.files is not None else None
    return (
        printable(package.full_name),
        printable(package.version),
        printable(package.architecture),
        "" if count is None else f"{count:>6} file{'' if count == 1 else 's'}",
        f"layer {package.layer}" if package.layer is not None else "layer unknown",
    )
