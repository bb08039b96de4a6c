"""`demo`: the whole way from a registry to a verdict, without any other input."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from cosinspect.commands.check import check_image
from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import add_bounds, add_presentation, add_verification
from cosinspect.commands.report_options import add_report
from cosinspect.commands.signatures import without_signatures
from cosinspect.report.display import wrap
from cosinspect.testing import BuiltImage, Registry
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, derivative

__all__ = ["configure", "run"]

NAME = "cos/derivative:demo"
KINDS = {**BREAKAGES, **DEGRADATIONS}
"""The ways to break the image: first those that lose a required capability, then minor ones."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--broken", metavar="KIND", help="break the image in this way; --list prints all")
    parser.add_argument(
        "--list", action="store_true", help="list the ways to break the image, with the check that finds each"
    )
    parser.add_argument(
        "--save",
        metavar="DIR",
        help="write the image to this new directory, as an OCI layout, and do not inspect it",
    )
    add_report(parser)
    add_verification(parser)
    add_bounds(parser)
    add_presentation(parser)
    # The registry is on localhost and has only this image.
    parser.set_defaults(platform=None, plain_http=False, **without_signatures())
    parser.set_defaults(trust_toc=False, verify=None, fast=False, only=(), upgrade_from=None)
    parser.set_defaults(cache=None, no_cache=True)  # the image is built anew each time


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    if arguments.list:
        _list(terminal)
        return 0
    if arguments.broken is not None and arguments.broken not in KINDS:
        near = difflib.get_close_matches(arguments.broken, KINDS, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}?" if near else "cosinspect demo --list prints them"
        raise WrongUse(
            f"--broken: expected one of {len(KINDS)} ways, found {arguments.broken[:60]!r}; {meant}"
        )
    image = derivative(arguments.broken)
    if arguments.save is not None:
        return _save(image, Path(arguments.save), terminal)
    with Registry() as registry:
        name = registry.push(image, NAME)
        if not arguments.quiet:
            broken = f", broken ({arguments.broken})" if arguments.broken else ""
            terminal.err.write(f"built a small derivative{broken}; serving it from {registry.address}\n")
            terminal.err.flush()
        return check_image(name, arguments, terminal)


def _save(image: BuiltImage, directory: Path, terminal: Terminal) -> int:
    """Write the image to a new directory; one that exists is not touched."""
    try:
        directory.mkdir()
        image.write_layout(directory)
    except FileExistsError as fault:
        raise WrongUse(f"--save: expected a new directory, {directory} exists; name another one") from fault
    except OSError as fault:
        raise WrongUse(
            f"--save: expected a directory that can be made, {directory} cannot: {fault.strerror}"
        ) from fault
    terminal.out.write(
        f"{directory} is an OCI layout: cosinspect ./{directory}\n"
        if not directory.is_absolute()
        else f"{directory} is an OCI layout: cosinspect {directory}\n"
    )
    return 0


def _list(terminal: Terminal) -> None:
    wide = max(len(kind) for kind in KINDS)
    for kind, breakage in KINDS.items():
        for number, line in enumerate(wrap(breakage.summary, terminal.columns - wide - 12)):
            head = f"{kind:<{wide}}  {breakage.check}" if number == 0 else " " * (wide + 8)
            terminal.out.write(f"{head}  {line}\n")
