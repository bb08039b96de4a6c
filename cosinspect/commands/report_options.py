"""Arguments about the reports of an image: its requirements, the outputs, and what they list."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cosinspect.commands.command import WrongUse
from cosinspect.commands.options import semantics_list
from cosinspect.commands.rule_options import add_profile
from cosinspect.errors import FormatError
from cosinspect.formats.text.containerfile import MAX_BYTES, read_containerfile
from cosinspect.render import RENDERERS, Choices, ReportPart

__all__ = ["add_report", "choices_of"]


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the requirements of an image, and the outputs."""
    parser.add_argument(
        "--semantics",
        type=semantics_list,
        metavar="A[,B...]",
        help="semantics of the layers to compare; the report uses the first; default: the profile's, usually "
        "oci,overlay,elemental",
    )
    add_profile(parser)
    parser.add_argument(
        "--format",
        choices=tuple(RENDERERS),
        help=f"{', '.join(RENDERERS)}; default: the format of the output's suffix, else text",
    )
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        metavar="[FORMAT=]FILE",
        help="output of the report, - is standard output; may be repeated: -o - -o sarif=os.sarif",
    )
    parser.add_argument(
        "--show",
        type=_parts,
        default=frozenset(),
        metavar="PART[,PART...]",
        help=f"parts that the text report lists instead of counting them: {', '.join(each.value for each in ReportPart)}, all",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        dest="show",
        action="store_const",
        const=frozenset(ReportPart),
        help="list all checks; the same as --show all",
    )
    parser.add_argument(
        "--containerfile",
        metavar="FILE",
        help="the image's Containerfile or Dockerfile: SARIF and annotations of GitHub place findings on its lines, so that "
        "they appear in a pull request",
    )
    parser.add_argument(
        "--all-rules",
        action="store_true",
        help="list the rules of all checks in SARIF, not only of those with results",
    )


def choices_of(arguments: argparse.Namespace) -> Choices:
    """Return the choices about reports from the arguments of `add_report`.

    Raises:
        WrongUse: the Containerfile cannot be read.
    """
    containerfile = None
    if arguments.containerfile is not None:
        path = Path(arguments.containerfile)
        try:
            # Code scanning reads a path as relative to the repository's root, where CI runs.
            name = (
                os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
            )
            with path.open("rb") as stream:
                containerfile = read_containerfile(name, stream.read(MAX_BYTES + 1))
        except OSError as fault:
            raise WrongUse(
                f"--containerfile: expected a Containerfile at {path}, found {fault.strerror}; name the file that builds the image"
            ) from fault
        except FormatError as fault:
            raise WrongUse(f"--containerfile: {fault}") from fault
    return Choices(show=arguments.show, containerfile=containerfile, all_rules=arguments.all_rules)


def _parts(text: str) -> frozenset[ReportPart]:
    names = [name.strip() for name in text.split(",")]
    if "all" in names:
        names = [*(name for name in names if name != "all"), *(part.value for part in ReportPart)]
    try:
        return frozenset(map(ReportPart, names))
    except ValueError as fault:
        known = ", ".join(part.value for part in ReportPart)
        raise argparse.ArgumentTypeError(
            f"expected parts out of {known}, all; found {text[:60]!r}"
        ) from fault
