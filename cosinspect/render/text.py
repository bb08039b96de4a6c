"""A report for people: the verdict, what the image is, its capabilities, the findings with evidence and remedy, the verdict again.

The checks that pass or do not apply are counted; a reader can ask for them (`ReportPart`). Without colour, the output depends only on the report and the width, so it suits logs and comparisons. Content
and names of the image are made harmless first (`cosinspect.report.display`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

from attrs import evolve, frozen

from cosinspect.render.choices import ReportPart
from cosinspect.render.styled_line import StyledLine
from cosinspect.report.display import counted, cut, printable, size, wrap
from cosinspect.report.lines import (
    generation_words,
    joined,
    layer_of,
    unknown_reason,
    verdict_words,
    waiver_line,
)
from cosinspect.report.remedy import Remedy
from cosinspect.report.report import (
    Capability,
    CapabilityResult,
    CheckResult,
    Effect,
    Finding,
    Kind,
    Level,
    Report,
    Status,
    Verdict,
    Waiver,
)
from cosinspect.report.undecided import remedy_of

__all__ = ["TextRenderer"]

MAX_FINDINGS = 10
"""The number of findings of one check that are printed; JSON has all."""
MAX_EVIDENCE = 12
"""The number of lines of evidence that are printed per finding."""
MAX_ALIKE = 5
"""The number of checks named one by one that are undecided for the same reason."""
MAX_NEEDS = 2
"""The number of needs that no check looked at and that are named; `explain` lists all."""
MIN_TEXT = 20
"""The number of columns that text beside a label has at least; with less, it is below the label."""

_VERDICTS = {Verdict.PASS: "PASS", Verdict.FAIL: "FAIL", Verdict.OPEN: "UNDECIDED"}
_VERDICT_STYLES = {
    Verdict.PASS: "bold green",
    Verdict.FAIL: "bold red",
    Verdict.OPEN: "bold yellow",
}
_STATUS_STYLES = {Status.YES: "green", Status.NO: "bold red", Status.UNKNOWN: "yellow"}
_LEVEL_STYLES = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.NOTE: "bold cyan"}


@frozen
class TextRenderer:
    """Writes lines that fit a width; only longer words, such as paths, exceed it.

    Attributes:
        show: the parts that are listed instead of counted.
    """

    show: frozenset[ReportPart] = frozenset()

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        stream.writelines(f"{line.render(color=color)}\n" for line in _Page(report, width, self.show).lines())


@frozen
class _Page:
    """A report laid out for a width."""

    report: Report
    width: int
    show: frozenset[ReportPart]

    def lines(self) -> Iterator[StyledLine]:
        """Yield every line; empty lines separate sections."""
        standing = [result for result in self.report.failed if not result.is_waived]
        failing = [result for result in standing if self._is_grave(result)]
        lesser = [result for result in standing if not self._is_grave(result)]
        results = self.report.results
        undecided = [result for result in results if result.kind is Kind.OPEN and not result.is_waived]
        notes = [result for result in lesser if result.level is Level.NOTE]
        yield from self._verdict()
        yield StyledLine()
        yield from self._subject()
        yield from self._capabilities()
        yield from self._failures("What fails", failing)
        yield from self._undecided(undecided)
        yield from self._failures("Warnings", [result for result in lesser if result not in notes])
        yield from self._failures("Notes", notes) if ReportPart.NOTES in self.show else self._in_brief(notes)
        yield from self._waived()
        if ReportPart.PASSED in self.show:
            yield from self._passed()
        if ReportPart.NOT_APPLICABLE in self.show:
            yield from self._not_applicable()
        yield StyledLine()
        yield from self._rest()
        yield from self._cost()
        yield StyledLine()
        yield from self._verdict()

    def _is_grave(self, result: CheckResult) -> bool:
        decides = not set(result.capabilities).isdisjoint(self.report.required)
        return result.level is Level.ERROR or decides or result in self.report.forbidden

    # -- the head --------------------------------------------------------------------------------------------------

    def _verdict(self) -> Iterator[StyledLine]:
        report = self.report
        label = _label(f"{_VERDICTS[report.verdict]}  ", _VERDICT_STYLES[report.verdict])
        yield from self._paragraph(
            f"{printable(report.name)} {verdict_words(report)}", style="bold", label=label
        )

    def _subject(self) -> Iterator[StyledLine]:
        report = self.report
        total = sum(layer.size for layer in report.layers)
        required = [item.value for item in report.required]
        if report.signature_required:
            required.append("signature")
        verified = report.signatures.verified if report.signatures is not None else ()
        demands = f", requires {joined(required, 'and')}" if required else ""
        rows = {
            "digest": report.digest,
            "index": report.index or "",
            "platform": report.platform or "not stated",
            "from": report.upgrade_from.line if report.upgrade_from is not None else "",
            "generation": generation_words(report),
            "layers": f"{len(report.layers)}, {size(total)} compressed",
            "signed by": joined(list(dict.fromkeys(printable(each.signer) for each in verified)), "and"),
            "profile": f"{' + '.join([report.profile, *report.policies])}{demands}",
        }
        for name, value in rows.items():
            if value:
                yield from self._row(name, value, "dim")
        if report.provisional:
            demanded = "; the profile requires complete verification" if report.verified_required else ""
            yield from self._row("provisional", f"{', '.join(report.reservations)}{demanded}", "yellow")

    def _row(self, name: str, value: str, style: str) -> Iterator[StyledLine]:
        """Yield a value beside its name; below it if a word of it, such as a digest, is too long."""
        label = _label(f"  {name:<12}", style)
        text = printable(value)
        if len(label) + max(map(len, text.split(" "))) > self.width:
            yield _label(f"  {name}", style)
            label = StyledLine("    ")
        yield from self._paragraph(text, label=label)

    def _capabilities(self) -> Iterator[StyledLine]:
        """Yield the capabilities, those with the same answer for the same reason together."""
        yield from _heading("Capabilities")
        names = {result.check: result.name for result in self.report.results}
        capabilities = self.report.capabilities
        installs = capabilities[Capability.INSTALL].status is not Status.NO
        for status in (Status.NO, Status.UNKNOWN, Status.YES):
            alike: dict[str, list[Capability]] = {}
            for capability, result in capabilities.items():
                if result.status is status:
                    reason = self._because(capability, result, names, installs=installs)
                    alike.setdefault(reason, []).append(capability)
            label = StyledLine("  ").append(f"{status.value:<9}", _STATUS_STYLES[status])
            if status is Status.YES:
                # A condition of some of them is below all, which the reader looks for first.
                yield from self._able(alike, label)
                continue
            for reason, those in alike.items():
                yield from self._paragraph(", ".join(map(self._named, those)), label=label)
                yield from self._paragraph(printable(reason), label=StyledLine(" " * 13), style="dim")
                label = StyledLine(" " * 11)

    def _because(
        self, capability: Capability, result: CapabilityResult, names: dict[str, str], *, installs: bool
    ) -> str:
        """Return the reason of an answer, "" for a plain yes: the checks that pass are counted elsewhere."""
        if result.status is Status.YES:
            if capability is Capability.ISO and not installs:
                return "its live system cannot install"
            return result.assuming
        if reason := unknown_reason(self.report, result, most=MAX_NEEDS):
            return reason
        listed = ", ".join(f"{check} {names[check]}" for check in result.because)
        if capability is Capability.ISO and result.effect is Effect.BROKEN:
            return f"can be made, but does not boot: {listed}"
        return listed

    def _able(self, alike: dict[str, list[Capability]], label: StyledLine) -> Iterator[StyledLine]:
        those = [capability for group in alike.values() for capability in group]
        if those:
            those.sort(key=list(Capability).index)
            yield from self._paragraph(", ".join(map(self._named, those)), label=label)
        for condition, group in alike.items():
            if condition:
                told = f"{', '.join(each.value for each in group)}: {condition}"
                yield from self._paragraph(told, label=StyledLine(" " * 13), style="dim")

    def _named(self, capability: Capability) -> str:
        return f"{capability.value} (required)" if capability in self.report.required else capability.value

    # -- results ---------------------------------------------------------------------------------------------------

    def _failures(self, heading: str, results: list[CheckResult]) -> Iterator[StyledLine]:
        if not results:
            return
        yield from _heading(heading, len(results))
        for number, result in enumerate(results):
            if number:
                yield StyledLine()
            yield from self._title(result, _LEVEL_STYLES[result.level])
            shown = result.findings[:MAX_FINDINGS]
            remedies = list(
                {each.remedy: each.cure for each in result.findings if each.cure is not None}.values()
            )
            # Findings with the same place and reason are printed once, below all that they break.
            for _, alike in itertools.groupby(shown, lambda each: evolve(each, message="")):
                yield from self._findings(list(alike), with_remedy=len(remedies) > 1)
            if len(shown) < len(result.findings):
                yield StyledLine(f"    and {len(result.findings) - len(shown)} more, see the JSON report")
            if len(remedies) == 1:
                yield from self._remedy(remedies[0])

    def _in_brief(self, results: list[CheckResult]) -> Iterator[StyledLine]:
        """Yield the messages of results alone."""
        if not results:
            return
        yield from _heading("Notes", len(results), " (--show notes lists their evidence)")
        for result in results:
            label = _label(f"  {result.check} {result.name}  ", _LEVEL_STYLES[result.level])
            told = "; ".join(dict.fromkeys(finding.message for finding in result.findings)) or result.reason
            yield from self._paragraph(printable(told), label=label, hang=4 - len(label))

    def _title(self, result: CheckResult, style: str) -> Iterator[StyledLine]:
        decides = ", ".join(capability.value for capability in result.capabilities)
        verb = "breaks" if result.kind is Kind.FAIL else "decides"
        weight = result.level.value + (f", {verb} {decides}" if decides else "")
        label = _label(f"  {result.check} {result.name}  ", style)
        yield from self._paragraph(weight, label=label, style="dim")

    def _findings(self, findings: list[Finding], *, with_remedy: bool) -> Iterator[StyledLine]:
        """Yield the lines of findings that differ only in their messages."""
        for finding in findings:
            yield from self._paragraph(printable(finding.message), label=StyledLine("    "), hang=2)
        finding = findings[0]
        layer = layer_of(self.report, finding)
        # If the messages name the path, it is not repeated.
        named = all(finding.path and finding.path in each.message for each in findings)
        if layer or (finding.path and (finding.evidence or not named)):
            place = " in ".join(part for part in (finding.path, layer) if part)
            yield from self._paragraph(printable(place), label=_label("      at ", "dim"))
        for line in finding.evidence[:MAX_EVIDENCE]:
            yield from self._paragraph(printable(line), label=_label("       - ", "dim"))
        if len(finding.evidence) > MAX_EVIDENCE:
            yield StyledLine(f"       - and {len(finding.evidence) - MAX_EVIDENCE} more", "dim")
        if finding.waiver:
            yield from self._waiver(finding.waiver)
        if with_remedy and finding.cure is not None:
            yield from self._remedy(finding.cure)

    def _remedy(self, remedy: Remedy) -> Iterator[StyledLine]:
        """Yield what to do; each instruction is one line, however long, so that it can be copied."""
        told = f"{remedy.lead}:" if remedy.steps else remedy.text
        yield from self._paragraph(printable(told), label=_label("    remedy: ", "green"))
        for step in remedy.steps:
            yield StyledLine(f"      {printable(step.text)}")

    def _undecided(self, results: list[CheckResult]) -> Iterator[StyledLine]:
        if results:
            yield from _heading("Undecided", len(results))
        alike: dict[str, list[CheckResult]] = {}
        for result in results:
            alike.setdefault(result.reason, []).append(result)
        for reason, those in alike.items():
            if len(those) > MAX_ALIKE:
                yield StyledLine(f"  {len(those)} checks", "bold yellow")
            else:
                for result in those:
                    yield from self._title(result, "bold yellow")
            yield from self._paragraph(printable(reason), label=StyledLine("    "))
            remedy = remedy_of(those[0], provisional=self.report.provisional)
            yield from self._paragraph(printable(remedy), label=_label("    remedy: ", "green"))
            for result in those:
                if result.waiver:
                    yield from self._waiver(result.waiver)

    def _waived(self) -> Iterator[StyledLine]:
        """Yield waived findings in brief, and unused waivers."""
        waived = [result for result in self.report.results if result.is_waived]
        if waived:
            yield from _heading("Waived", len(waived))
        for result in waived:
            yield from self._title(result, "bold")
            told = [finding.message for finding in result.findings] or [result.reason]
            for message in told[:MAX_FINDINGS]:
                yield from self._paragraph(printable(message), label=StyledLine("    "), hang=2)
            for waiver in result.waivers:
                yield from self._waiver(waiver)
        if self.report.unused:
            yield from _heading("Unused waivers", len(self.report.unused))
        for waiver in self.report.unused:
            place = f" at {waiver.path}" if waiver.path else ""
            label = StyledLine(f"  {waiver.check}  ")
            yield from self._paragraph(
                f"matches nothing{printable(place)}; {waiver_line(waiver)}", label=label
            )

    def _waiver(self, waiver: Waiver) -> Iterator[StyledLine]:
        style = "bold yellow" if waiver.expired else "dim"
        yield from self._paragraph(waiver_line(waiver), label=StyledLine("      "), style=style)

    def _passed(self) -> Iterator[StyledLine]:
        passed = [result for result in self.report.results if result.kind is Kind.PASS]
        if not passed:
            return
        yield from _heading("Passed", len(passed))
        # A check's name is that of a defect, which is misleading beside a passed check.
        for result in passed:
            if result.evidence:
                line = StyledLine("  ").append(result.check, "green").append("  ")
                yield line.append(cut(printable("; ".join(result.evidence)), self.width - len(line)))
        silent = [result.name for result in passed if not result.evidence]
        if silent:
            yield from self._paragraph(", ".join(silent), label=StyledLine("  no sign of "))

    def _not_applicable(self) -> Iterator[StyledLine]:
        ids = self._ids(Kind.NOT_APPLICABLE)
        if ids:
            yield StyledLine()
            label = _label(f"Not applicable ({len(ids)})  ", "bold")
            yield from self._paragraph(_ranges(ids), label=label)

    def _ids(self, kind: Kind) -> list[str]:
        return [result.check for result in self.report.results if result.kind is kind]

    def _rest(self) -> Iterator[StyledLine]:
        """Yield how many checks pass and do not apply, and how to list what is not listed."""
        passed, other = len(self._ids(Kind.PASS)), len(self._ids(Kind.NOT_APPLICABLE))
        told = [counted(passed, "check passes", "checks pass")] if passed else []
        if other:
            noun = "" if passed else " check"
            told.append(
                f"{other}{noun} does not apply" if other == 1 else f"{other}{noun and ' checks'} do not apply"
            )
        hidden = [
            part.value
            for part, count in ((ReportPart.PASSED, passed), (ReportPart.NOT_APPLICABLE, other))
            if count and part not in self.show
        ]
        how = f" (--show {','.join(hidden)})" if hidden else ""
        if told:
            yield from self._paragraph(f"{', '.join(told)}{how}", label=StyledLine(), style="dim")

    def _cost(self) -> Iterator[StyledLine]:
        yield from self._paragraph(self.report.stats.line, label=StyledLine(), style="dim")

    def _paragraph(
        self, text: str, *, label: StyledLine, style: str = "", hang: int = 0
    ) -> Iterator[StyledLine]:
        """Yield wrapped text after a label; further lines are indented like the first, or by `hang` columns more."""
        indent = len(label) + hang
        if label.plain.strip() and self.width - indent < MIN_TEXT:
            yield label
            label, indent = StyledLine("    "), 4
        for number, piece in enumerate(wrap(text, self.width - indent)):
            line = label.copy() if number == 0 else StyledLine(" " * indent)
            yield line.append(piece, style)


def _label(text: str, style: str) -> StyledLine:
    """Return text whose style does not affect what follows."""
    return StyledLine().append(text, style)


def _heading(title: str, count: int | None = None, hint: str = "") -> Iterator[StyledLine]:
    yield StyledLine()
    yield StyledLine(title if count is None else f"{title} ({count})", "bold").append(hint, "dim")


def _ranges(ids: Iterable[str]) -> str:
    """Return ids with ranges: `COS001-003, COS007`."""
    runs: list[list[str]] = []
    for item in ids:
        before = runs[-1][-1] if runs else ""
        if before[:-3] == item[:-3] and _number(item) == _number(before) + 1:
            runs[-1].append(item)
        else:
            runs.append([item])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1][-3:]}" for run in runs)


def _number(check: str) -> int:
    digits = re.search(r"\d+$", check)
    return int(digits[0]) if digits else -2
