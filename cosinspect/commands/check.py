"""`check IMAGE`: reports what the image can do, and why it cannot do the rest."""

from __future__ import annotations

import argparse
from importlib import import_module

from cosinspect.commands.command import ExitStatus, Terminal, WrongUse
from cosinspect.commands.options import (
    access_of,
    add_image,
    add_trust,
    cache_of,
    limits_of,
    parse_platform,
    trusts_tables,
)
from cosinspect.commands.outputs import Output, report_outputs
from cosinspect.commands.progress import layer_bars
from cosinspect.commands.report_options import add_report, choices_of
from cosinspect.commands.rule_options import policies_of
from cosinspect.commands.signatures import add_signatures, signature_policy
from cosinspect.commands.stored_answers import AnswerRecorder, answer_recorder
from cosinspect.errors import CosinspectError
from cosinspect.image.opening import open_source
from cosinspect.image.resolution import list_platforms
from cosinspect.inspection.inspection import inspect
from cosinspect.oci.documents import Platform
from cosinspect.report.display import printable
from cosinspect.report.report import Report, Verdict

__all__ = ["check_image", "configure", "run"]

ALL = "all"
"""In place of a platform."""

EXIT_STATUSES = {
    Verdict.PASS: ExitStatus.YES,
    Verdict.FAIL: ExitStatus.NO,
    Verdict.OPEN: ExitStatus.UNDECIDED,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    platform = next(action for action in parser._actions if action.dest == "platform")  # noqa: SLF001 - argparse has no other way
    platform.type, platform.metavar = _platforms, "OS/ARCH[/VARIANT]|all"
    platform.help = f"{platform.help}; all checks each platform that the index names"
    add_trust(parser)
    parser.add_argument(
        "--fast",
        action="store_true",
        help="read layers from the top down until the verdict is a failure or every check is decided; the report is "
        "provisional then",
    )
    parser.add_argument(
        "--only",
        type=_ids,
        default=(),
        metavar="ID[,ID...]",
        help="run only these checks; no capability becomes yes",
    )
    parser.add_argument(
        "--from",
        dest="upgrade_from",
        metavar="IMAGE",
        help="the image that the machine runs now: check and require the upgrade from it, by its menu, its labels and its toolkit",
    )
    add_report(parser)
    add_signatures(parser)
    parser.add_argument(
        "--from-attestation",
        action="append",
        default=[],
        metavar="FILE|env://NAME",
        help="accept a verdict that this key attested with the same rules (cosinspect attest); without one, inspect the image",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    if arguments.from_attestation and arguments.only:
        raise WrongUse(
            "--from-attestation and --only exclude each other: an attested verdict covers all checks"
        )
    if arguments.upgrade_from is not None:
        for option, given in (
            ("--from-attestation", arguments.from_attestation),
            ("--fast", arguments.fast),
            ("--trust-toc", arguments.trust_toc),
        ):
            if given:
                raise WrongUse(
                    f"--from and {option} exclude each other: an upgrade is compared with every file of both images"
                )
    if arguments.from_attestation:
        # Imported on demand: few need it.
        attested: int | None = import_module("cosinspect.commands.attested").attested_status(
            arguments, terminal
        )
        if attested is not None:
            return attested
    if arguments.platform == ALL:
        return _check_platforms(arguments, terminal)
    recorder = answer_recorder(arguments, _defaults())
    if recorder is None:
        return check_image(arguments.image, arguments, terminal)
    with recorder.watching():
        return check_image(arguments.image, arguments, terminal, recorder)


def _check_platforms(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Check the image for each platform that its index names, and return the worst exit status."""
    outputs = report_outputs(arguments.output, arguments.format)
    name, limits = arguments.image, limits_of(arguments)
    source = open_source(name, access=access_of(arguments, name), limits=limits)
    try:
        platforms = list_platforms(source, limits)
    finally:
        source.close()
    statuses = set()
    for number, platform in enumerate(platforms or (None,)):
        if number and any(output.path is None for output in outputs):
            terminal.out.write("\n")
        chosen = argparse.Namespace(**{**vars(arguments), "platform": platform})
        written = outputs if platform is None else tuple(output.of_platform(platform) for output in outputs)
        try:
            statuses.add(check_image(name, chosen, terminal, outputs=written))
        except CosinspectError as fault:
            # The other platforms are checked all the same.
            terminal.err.write(f"cosinspect: error: {platform or name}: {printable(str(fault))}\n")
            statuses.add(ExitStatus.UNDECIDED)
    order = (ExitStatus.NO, ExitStatus.UNDECIDED, ExitStatus.YES)
    return next(status for status in order if status in statuses)


def check_image(
    name: str,
    arguments: argparse.Namespace,
    terminal: Terminal,
    recorder: AnswerRecorder | None = None,
    outputs: tuple[Output, ...] | None = None,
) -> int:
    """Inspect an image, write its reports, and return the exit status of its verdict.

    Args:
        name: of the image.
        arguments: those of `configure`.
        terminal: for the report and the progress.
        recorder: stores what is printed; None if nothing is stored.
        outputs: where reports go, by default those of the arguments.

    Raises:
        WrongUse: an output cannot be written.
        CosinspectError: the verdict cannot be decided.
        OSError: the report cannot be written.
    """
    if outputs is None:
        outputs = report_outputs(arguments.output, arguments.format)
    choices = choices_of(arguments)
    trust_tables = trusts_tables(arguments)
    if arguments.fast and arguments.verify == "full":
        raise WrongUse("--verify full and --fast exclude each other")
    policy = signature_policy(arguments)
    cache = cache_of(arguments)
    with layer_bars(terminal) as bars:
        report = inspect(
            name,
            profile=arguments.profile,
            semantics=arguments.semantics,
            policies=policies_of(arguments),
            build_manifest=arguments.manifest,
            platform=arguments.platform,
            access=access_of(arguments, name),
            verify_diff_ids=not arguments.no_diff_ids,
            signatures=policy,
            limits=limits_of(arguments),
            cache=cache,
            jobs=arguments.jobs,
            trust_tables=trust_tables,
            fast=arguments.fast,
            only=arguments.only,
            upgrade_from=arguments.upgrade_from,
            on_image=bars.begin,
            progress=bars.advance,
        )

    def write(report: Report, terminal: Terminal) -> None:
        for output in outputs:
            output.write(report, terminal, choices)

    write(report, terminal)
    status = EXIT_STATUSES[report.verdict]
    if recorder is not None:
        recorder.store(report, status, terminal, cache, write)
    return status


def _defaults() -> dict[str, object]:
    """Return the default of each argument of the command."""
    parser = argparse.ArgumentParser()
    configure(parser)
    return vars(parser.parse_args(["image"]))


def _platforms(text: str) -> Platform | str:
    return ALL if text == ALL else parse_platform(text)


def _ids(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise argparse.ArgumentTypeError(
            f"expected ids of checks with commas between them, found {text[:40]!r}"
        )
    return found
