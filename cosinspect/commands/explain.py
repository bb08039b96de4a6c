"""`explain IMAGE [CAPABILITY|CHECK|PATH]`: prints the chain from cause to verdict."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from cosinspect.commands.checks import named_check
from cosinspect.commands.command import NotInImage, Terminal, WrongUse
from cosinspect.commands.files import require_file, write_whole
from cosinspect.commands.options import add_format, add_image, open_named
from cosinspect.commands.progress import layer_bars
from cosinspect.commands.rule_options import add_profile, policies_of
from cosinspect.errors import PathNotFound
from cosinspect.inspection.explanation import SCHEMA, Cause, Explainer, Explanation
from cosinspect.inspection.inspection import Inspection
from cosinspect.inspection.plan import plan_inspection
from cosinspect.report.display import printable, wrap
from cosinspect.report.json_text import json_text
from cosinspect.report.lines import sentence
from cosinspect.report.report import Capability, Kind, Report

__all__ = ["configure", "run"]

COLUMNS_OF_FILES = 100
_KINDS = {
    Kind.PASS: "pass",
    Kind.FAIL: "fail",
    Kind.OPEN: "undecided",
    Kind.NOT_APPLICABLE: "not applicable",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    parser.add_argument(
        "what",
        nargs="?",
        metavar="CAPABILITY|CHECK|PATH",
        help="such as boot, COS011, kernel-link-dangling, or /boot/vmlinuz; default: all failures, or how the image boots",
    )
    add_profile(parser)
    add_format(parser, default=None)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="file of the explanation; JSON if the name ends with .json and --format does not say otherwise",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    target = _target(arguments.output)
    form = arguments.format or ("json" if target is not None and target.suffix.lower() == ".json" else "text")
    plan = plan_inspection(arguments.profile, policies_of(arguments), build_manifest=arguments.manifest)
    what = arguments.what
    is_path = what is not None and "/" in what
    capability = next((each for each in Capability if what is not None and what.lower() == each.value), None)
    if what is not None and not is_path and capability is None:
        try:
            what = named_check(what, plan.checks).id
        except WrongUse as fault:
            told = str(fault)
            known = ", ".join(each.value for each in Capability)
            raise WrongUse(
                f"{told}{'' if told.endswith('?') else ';'} capabilities are {known}; a path begins with a slash"
            ) from fault
    with (
        open_named(arguments.image, arguments) as image,
        layer_bars(terminal) as bars,
    ):
        bars.begin(image)
        inspection = Inspection(image, plan, progress=bars.advance)
        results, context = inspection.run_checks()
        report = inspection.report(results)
        explainer = Explainer(report, context, plan.checks)
        if what is None:
            found = explainer.report_as_whole()
        elif capability is not None:
            found = explainer.capability(capability)
        elif is_path:
            try:
                found = (explainer.path(what),)
            except PathNotFound as fault:
                raise NotInImage(str(fault)) from fault
        else:
            found = explainer.result(next(each for each in report.results if each.check == what))
    if form == "json":
        text = json_text(_values(report, found), indent=2) + "\n"
    else:
        columns = terminal.columns if target is None else COLUMNS_OF_FILES
        text = "".join(line + "\n" for line in _page(report, found, columns))
    if target is None:
        terminal.out.write(text)
    else:
        write_whole(target, text)
    return 0


def _target(name: str | None) -> Path | None:
    """Return the file of the explanation, None for standard output.

    Raises:
        WrongUse: it cannot be written.
    """
    if name in (None, "-"):
        return None
    path = Path(name or "")
    require_file("--output", path)
    return path


def _values(report: Report, found: tuple[Explanation, ...]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "image": {"name": report.name, "digest": report.digest},
        "verdict": report.verdict.value,
        "explanations": [each.to_dict() for each in found],
    }


def _page(report: Report, found: tuple[Explanation, ...], columns: int) -> Iterator[str]:
    yield sentence(report)
    for each in found:
        yield ""
        yield from _folded(f"{each.subject}: {each.headline}", "", "  ", columns)
        wide = len(str(len(each.causes)))
        for number, cause in enumerate(each.causes, 1):
            yield from _cause(cause, f"  {number:>{wide}}. ", columns)
        cure = each.cure
        rows = {
            "therefore": each.consequence,
            "it cannot": ", ".join(capability.value for capability in each.loses),
            "if it fails": each.risk,
            "it then cannot": ", ".join(capability.value for capability in each.at_risk),
            "do this": f"{cure.lead}:" if cure is not None and cure.steps else each.remedy,
            "looked at by": ", ".join(
                f"{check} {name} ({_KINDS[Kind(kind)]})" for check, name, kind in each.checks
            ),
        }
        for word, text in rows.items():
            if text:
                yield from _folded(text, f"  {word}: ", "    ", columns)
            if word == "do this" and cure is not None:
                # An instruction is one line, however long, so that it can be copied.
                yield from (f"    {printable(step.text)}" for step in cure.steps)


def _cause(cause: Cause, mark: str, columns: int) -> Iterator[str]:
    yield from _folded(cause.text, mark, " " * len(mark), columns)
    if cause.layer is not None:
        step = f", {cause.step}" if cause.step else ", the image does not name the build step"
        yield from _folded(f"in layer {cause.layer}{step}", " " * len(mark), " " * (len(mark) + 2), columns)


def _folded(text: str, first: str, further: str, columns: int) -> Iterator[str]:
    for number, line in enumerate(wrap(printable(text), columns - max(len(first), len(further)))):
        yield (first if number == 0 else further) + line
