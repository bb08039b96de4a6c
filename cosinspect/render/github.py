"""A report as workflow commands of GitHub Actions: one line per finding, which becomes an annotation of the run.

A line that starts with `::` commands the runner (`::add-mask::`, `::stop-commands::`). Every line written
here is one command of ours. Content of the image follows it, with line breaks, percent signs and, in
properties, colons and commas escaped as the runner unescapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TextIO

from attrs import frozen

from cosinspect.formats.text.containerfile import Containerfile
from cosinspect.render.step_lines import StepLines, match_steps
from cosinspect.report.display import printable
from cosinspect.report.lines import finding_lines, result_lines, sentence
from cosinspect.report.report import CheckResult, Kind, Level, Report, Verdict

__all__ = ["GithubRenderer"]

_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


@frozen
class GithubRenderer:
    """Writes a line for the verdict and one for each finding, most severe first; ignores colour and width.

    Attributes:
        containerfile: the Containerfile of the image; an annotation is at the instruction that made its layer.
    """

    containerfile: Containerfile | None = None

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        steps = [layer.created_by for layer in report.layers]
        lines = match_steps(self.containerfile, steps) if self.containerfile is not None else None
        command = {Verdict.PASS: "notice", Verdict.FAIL: "error", Verdict.OPEN: "error"}[report.verdict]
        stream.write(_line(command, "cosinspect", sentence(report)))
        for result in report.failed:
            for finding in result.findings:
                text = "\n".join(finding_lines(report, finding))
                command = _command(report, result, finding.is_waived)
                stream.write(_line(command, _title(result), text, _place(lines, finding.layer)))
        for result in report.results:
            if result.kind is Kind.OPEN:
                text = "\n".join(result_lines(report, result))
                command = _command(report, result, result.is_waived)
                stream.write(_line(command, _title(result), text, _place(lines, None)))
        for waiver in report.unused:
            text = printable(f"a waiver of {waiver.check} matches nothing: {waiver.reason}")
            stream.write(_line("notice", "unused waiver", text))


def _command(report: Report, result: CheckResult, waived: bool) -> str:
    if waived:
        return "notice"
    return "error" if report.is_decisive(result) else _COMMANDS[result.level]


def _title(result: CheckResult) -> str:
    undecided = " (undecided)" if result.kind is Kind.OPEN else ""
    return f"{result.check} {result.name}{undecided}"


def _place(lines: StepLines | None, layer: int | None) -> dict[str, str]:
    """Return the properties of an annotation for its place in the Containerfile."""
    if lines is None:
        return {}
    at = lines.of(layer)
    return {"file": printable(lines.name), "line": str(at.first), "endLine": str(at.last)}


def _line(command: str, title: str, text: str, place: Mapping[str, str] = MappingProxyType({})) -> str:
    properties = ",".join(f"{name}={_property(value)}" for name, value in {**place, "title": title}.items())
    return f"::{command} {properties}::{_data(text)}\n"


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
