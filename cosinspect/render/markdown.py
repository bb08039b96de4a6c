"""A report as a Markdown summary, for job summaries and comments on merge requests.

Content of the image is in code spans, where Markdown, HTML, mentions and links have no effect. The fence is
longer than any fence in the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

from cosinspect.report.display import printable
from cosinspect.report.lines import result_lines, unknown_reason, waiver_line
from cosinspect.report.report import CheckResult, Kind, Report, Status, Verdict

__all__ = ["MarkdownRenderer"]

_HEADINGS = {Verdict.PASS: "Pass", Verdict.FAIL: "Fail", Verdict.OPEN: "Undecided"}


class MarkdownRenderer:
    """Writes a page; ignores colour and width."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        stream.writelines(line + "\n" for line in _page(report))


def _page(report: Report) -> Iterator[str]:
    yield f"## {_HEADINGS[report.verdict]}: {_code(report.name)}"
    yield ""
    yield "| capability | | required | reason |"
    yield "|---|---|---|---|"
    for capability, found in report.capabilities.items():
        required = "yes" if capability in report.required else ""
        because = ", ".join(found.because) if found.status is not Status.YES else ""
        if found.status is Status.UNKNOWN:
            because = because or unknown_reason(report, found)
        yield f"| {capability.value} | **{found.status.value}** | {required} | {because} |"
    if report.provisional:
        yield ""
        yield f"**Provisional**: {', '.join(report.reservations)}."
    standing = [each for each in report.failed if not each.is_waived]
    undecided = [each for each in report.results if each.kind is Kind.OPEN and not each.is_waived]
    groups = {
        "What fails": [each for each in standing if report.is_decisive(each)],
        "Undecided": undecided,
        "Warnings and notes": [each for each in standing if not report.is_decisive(each)],
        "Waived": [each for each in report.results if each.is_waived],
    }
    for heading, results in groups.items():
        if results:
            yield ""
            yield f"### {heading} ({len(results)})"
        for result in results:
            yield from _result(report, result)
    if report.unused:
        yield ""
        yield "### Unused waivers"
        yield ""
        for waiver in report.unused:
            yield f"- {_code(waiver.check)}: {_code(waiver_line(waiver))}"
    yield ""
    origin = f", upgrade from {_code(report.upgrade_from.line)}" if report.upgrade_from is not None else ""
    yield f"{_code(report.digest)}, profile {_code(' + '.join([report.profile, *report.policies]))}{origin}"


def _result(report: Report, result: CheckResult) -> Iterator[str]:
    decides = ", ".join(capability.value for capability in result.capabilities)
    verb = "breaks" if result.kind is Kind.FAIL else "decides"
    yield ""
    yield f"**{result.check} {result.name}** ({result.level.value}{f', {verb} {decides}' if decides else ''})"
    yield ""
    lines = list(result_lines(report, result))
    fence = "`" * max(3, 1 + max((_longest_run(line) for line in lines), default=0))
    yield f"{fence}text"
    yield from lines
    yield fence


def _code(text: str) -> str:
    """Return text as a code span; the text cannot end it."""
    shown = printable(text)
    fence = "`" * (1 + _longest_run(shown))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
