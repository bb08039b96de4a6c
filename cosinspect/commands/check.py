"""`check IMAGE`: what the image can do, and if it cannot, why."""

from __future__ import annotations

import argparse
from importlib import import_module

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import (
    access_of,
    add_image,
    add_report,
    add_trust,
    cache_of,
    limits_of,
    trusts_tables,
)
from cosinspect.commands.outputs import report_outputs
from cosinspect.commands.progress import layer_bars
from cosinspect.commands.signatures import add_signatures, signature_policy
from cosinspect.inspection.inspection import inspect
from cosinspect.report.report import Verdict

__all__ = ["check_image", "configure", "run"]

EXIT_STATUSES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.OPEN: 3}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_trust(parser)
    parser.add_argument(
        "--fast",
        action="store_true",
        help="read layers from the top down, and no more once the verdict is a failure or every check is decided; the report is "
        "provisional then",
    )
    parser.add_argument(
        "--only",
        type=_ids,
        default=(),
        metavar="ID[,ID...]",
        help="run these checks alone; no capability is confirmed by some of them",
    )
    add_report(parser)
    add_signatures(parser)
    parser.add_argument(
        "--from-attestation",
        action="append",
        default=[],
        metavar="FILE|env://NAME",
        help="believe a verdict that this key attested by the same rules (cosinspect attest); without one the image is inspected",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do it, and give the exit status."""
    if arguments.from_attestation and arguments.only:
        raise WrongUse(
            "--from-attestation and --only exclude each other: an attested verdict is that of all checks"
        )
    if arguments.from_attestation:
        # Loaded by its name: few need it.
        attested: int | None = import_module("cosinspect.commands.attested").attested_status(
            arguments, terminal
        )
        if attested is not None:
            return attested
    return check_image(arguments.image, arguments, terminal)


def check_image(name: str, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Inspect an image, write its report where the arguments say, and give the exit status of its verdict.

    Raises:
        WrongUse: the report could not be written to where it shall go.
        CosinspectError: it cannot be decided.
        OSError: the report cannot be written.
    """
    outputs = report_outputs(arguments.output, arguments.format)
    trust_tables = trusts_tables(arguments)
    if arguments.fast and arguments.verify == "full":
        raise WrongUse("--verify full and --fast exclude each other")
    policy = signature_policy(arguments)
    with layer_bars(terminal) as bars:
        report = inspect(
            name,
            profile=arguments.profile,
            semantics=arguments.semantics,
            policies=arguments.policy,
            build_manifest=arguments.manifest,
            platform=arguments.platform,
            access=access_of(arguments, name),
            verify_diff_ids=not arguments.no_diff_ids,
            signatures=policy,
            limits=limits_of(arguments),
            cache=cache_of(arguments),
            jobs=arguments.jobs,
            trust_tables=trust_tables,
            fast=arguments.fast,
            only=arguments.only,
            on_image=bars.begin,
            progress=bars.advance,
        )
    for output in outputs:
        output.write(report, terminal)
    return EXIT_STATUSES[report.verdict]


def _ids(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise argparse.ArgumentTypeError(
            f"expected ids of checks with commas between them, found {text[:40]!r}"
        )
    return found
