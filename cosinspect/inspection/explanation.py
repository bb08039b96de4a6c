"""Explanations: the chain from what reads a file, through links and layers, to the effect on a machine.

A report lists each fact once, beside others of its kind. An explanation orders the facts of one defect by
cause and effect, for readers who did not build the image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import field, frozen

from cosinspect.checks.base import Check, CheckContext, links_of
from cosinspect.errors import PathNotFound
from cosinspect.globs import path_expression
from cosinspect.layer.whiteout import deleted_by
from cosinspect.report.boot_chain import STAGES, StageState, stage_states, stage_titles
from cosinspect.report.capabilities import NO_NEEDS
from cosinspect.report.display import counted
from cosinspect.report.evidence import Evidence, LastLink, LayerStep, Line, Removal
from cosinspect.report.lines import unknown_line
from cosinspect.report.remedy import Remedy
from cosinspect.report.report import (
    NEEDS,
    Capability,
    CapabilityResult,
    CheckResult,
    Finding,
    Kind,
    Report,
    Status,
    Verdict,
    shorten_step,
)
from cosinspect.report.undecided import remedy_of
from cosinspect.rootfs.history import Action, Change
from cosinspect.rootfs.rootfs import Entry, Trace

__all__ = ["SCHEMA", "Cause", "Explainer", "Explanation"]

SCHEMA = "cosinspect.explanation/1"

MAX_CHANGES = 5
"""The maximum number of changes to one path that are listed, the last ones."""
MAX_NAMESAKES = 3
MAX_CHECKS = 3
"""The number of checks that are named for one need; more are counted."""


@frozen
class Cause:
    """One link of a chain: a fact, and its layer and build step."""

    text: str
    layer: int | None = None
    step: str = ""


@frozen
class Explanation:
    """One chain.

    Attributes:
        subject: the explained check, path, capability, or stage of the boot.
        headline: the state, one sentence without a full stop.
        causes: the causes, first cause first.
        consequence: the effect on a machine, "" if there is none, or if the check is undecided.
        loses: the capabilities that are lost.
        cure: what to do, None if nothing is known.
        checks: for a path, the results of the checks that read it: id, name, kind.
        kind: of a check, how it ended; else None.
        risk: of an undecided check, the effect on a machine if it fails.
        at_risk: of an undecided check, the capabilities that are lost if it fails.
    """

    subject: str
    headline: str
    causes: tuple[Cause, ...] = ()
    consequence: str = ""
    loses: tuple[Capability, ...] = ()
    cure: Remedy | None = None
    checks: tuple[tuple[str, str, str], ...] = ()
    kind: Kind | None = None
    risk: str = ""
    at_risk: tuple[Capability, ...] = ()

    @property
    def remedy(self) -> str:
        """What to do, as text; "" for nothing."""
        return self.cure.text if self.cure is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the value as plain data."""
        return {
            "subject": self.subject,
            "headline": self.headline,
            "causes": [
                {"text": cause.text, "layer": cause.layer, "created_by": cause.step or None}
                for cause in self.causes
            ],
            "consequence": self.consequence,
            "loses": [capability.value for capability in self.loses],
            "remedy": self.remedy,
            "remedy_commands": [step.text for step in self.cure.steps] if self.cure is not None else [],
            "checks": [{"check": check, "name": name, "kind": kind} for check, name, kind in self.checks],
            "kind": self.kind.value if self.kind is not None else "",
            "if_it_fails": self.risk,
            "at_risk": [capability.value for capability in self.at_risk],
        }


@frozen
class _Asker:
    """The origin of a path: what names it, and how it resolves."""

    cause: Cause
    trace: Trace


@frozen
class Explainer:
    """Explains the report of one image.

    Attributes:
        report: of the image.
        context: of the checks.
        checks: the checks that ran.
    """

    report: Report
    context: CheckContext
    checks: tuple[Check, ...] = field(repr=False)

    def report_as_whole(self) -> tuple[Explanation, ...]:
        """Explain all failures and open results, most severe first; if the image passes, explain the boot."""
        undecided = [result for result in self.report.results if result.kind is Kind.OPEN]
        found = [each for result in (*self.report.failed, *undecided) for each in self.result(result)]
        if self.report.verdict is Verdict.PASS:
            return (*self.boot(), *found)
        return tuple(found)

    def boot(self) -> Iterator[Explanation]:
        """Return the boot from the boot loader to the login, with the evidence in the image; a stage may fail, or be undecided."""
        stages = [
            [
                result
                for result in self.report.results
                if tag in result.tags and (not result.capabilities or Capability.BOOT in result.capabilities)
            ]
            for tag in STAGES
        ]
        deciding = [{result.kind for result in results if result.capabilities} for results in stages]
        table = self.context.table
        titles = stage_titles(table.starts if table is not None else "")
        for title, results, state in zip(titles, stages, stage_states(deciding), strict=True):
            causes = [
                Cause(text) for result in results if result.kind is Kind.PASS for text in result.evidence
            ]
            if state is StageState.PASS:
                if causes:
                    yield Explanation("boot", title, tuple(causes))
            elif state is StageState.NOT_REACHED:
                yield Explanation("boot", f"not reached: {title}")
            elif state is not StageState.NOT_APPLICABLE:
                word = "fails" if state is StageState.FAIL else "undecided"
                these = [
                    result for result in results if result.capabilities and result.kind.value == state.value
                ]
                yield Explanation("boot", f"{word}: {title}", tuple(map(_reason, these)))

    # -- a capability --------------------------------------------------------------------------------------------------

    def capability(self, wanted: Capability) -> tuple[Explanation, ...]:
        """Explain why the image has a capability or not: its needs, or each check that denies it or is undecided."""
        found = self.report.capabilities[wanted]
        deciding = [result for result in self.report.results if result.check in found.because]
        if found.status is Status.YES:
            known = Explanation(wanted.value, _headline(found), tuple(self._met(wanted)))
            return (known, *(self.boot() if wanted is Capability.BOOT else ()))
        needs = () if found.unknown == (NO_NEEDS,) else found.unknown
        causes = (*map(_reason, deciding), *map(Cause, needs))
        chains = [each for result in deciding for each in self.result(result)]
        return (Explanation(wanted.value, _headline(found), causes), *chains)

    def _met(self, wanted: Capability) -> Iterator[Cause]:
        """Yield the needs of a capability that the image has, with the checks that decide them."""
        capabilities = self.report.capabilities
        for other in sorted(NEEDS.get(wanted, ()), key=list(Capability).index):
            yield Cause(f"it needs {other.value}, which is {capabilities[other].status.value}")
        passed = [result for result in self.report.results if result.kind is Kind.PASS]
        for need in self.report.needs:
            ids = [result.check for result in passed if need.is_of(result.check, result.capabilities)]
            if wanted in need.operations and need.decides and ids:
                told = ", ".join(ids) if len(ids) <= MAX_CHECKS else counted(len(ids), "check")
                verb = "passes" if len(ids) == 1 else "pass"
                yield Cause(f"{need.need.rstrip('.')}: {told} {verb}")

    # -- a check -------------------------------------------------------------------------------------------------------

    def result(self, result: CheckResult) -> tuple[Explanation, ...]:
        """Explain the result of a check: each finding, or why there is none."""
        rule = next(item.rule for item in self.checks if item.id == result.check)
        subject = f"{result.check} {result.name}"
        if result.kind is Kind.FAIL:
            return tuple(
                Explanation(
                    subject,
                    headline,
                    causes,
                    rule.why,
                    result.capabilities,
                    cure,
                    kind=Kind.FAIL,
                )
                for headline, causes, cure in self._chains(result.findings, rule.remedy)
            )
        causes = tuple(Cause(text) for text in result.evidence)
        if result.kind is Kind.OPEN:
            remedy = remedy_of(result, provisional=self.report.provisional)
            return (
                Explanation(
                    subject, f"it cannot be decided: {result.reason}", causes, cure=Remedy(remedy),
                    kind=Kind.OPEN, risk=rule.why, at_risk=result.capabilities,
                ),
            )  # fmt: skip
        headline = {
            Kind.PASS: f"it passes; it would fail if: {rule.summary[:1].lower()}{rule.summary[1:].rstrip('.')}",
            Kind.NOT_APPLICABLE: f"there is nothing for it to look at: {result.reason}",
        }[result.kind]
        return (Explanation(subject, headline, causes, kind=result.kind),)

    def _chains(
        self, findings: tuple[Finding, ...], remedy: str
    ) -> Iterator[tuple[str, tuple[Cause, ...], Remedy]]:
        """Yield defects with causes and remedies; defects with the same causes are joined."""
        alike: dict[tuple[tuple[Cause, ...], Remedy], list[str]] = {}
        for finding in findings:
            key = tuple(self._chain(finding)), finding.cure or Remedy(remedy)
            alike.setdefault(key, []).append(finding.message)
        for (causes, todo), messages in alike.items():
            yield "; ".join(dict.fromkeys(messages)), causes, todo

    def _chain(self, finding: Finding) -> Iterator[Cause]:
        """Yield the causes of a finding: what reads the path, links, changes by layers, other facts."""
        told: set[Evidence] = set()
        if finding.path:
            way = self._way(finding.path)
            trace = way.trace if way else self.context.rootfs.trace(finding.path)
            if way:
                yield way.cause
            told.update(links_of(trace))
            done = (*self._links(trace), *self._changes(trace, attributes=False))
            if finding.layer is not None and not any(cause.layer is not None for cause in done):
                done = ()
            yield from done
            if finding.layer is not None and all(cause.layer != finding.layer for cause in done):
                yield self._at(finding.layer, _deed(finding))
        elif finding.layer is not None:
            yield self._at(finding.layer, "this layer is to blame")
        for each in finding.grounds:
            if isinstance(each, Line) and each.number is not None:
                yield Cause(f"it stands in line {each.number} of {each.path}")
            elif each not in told and not (finding.path and isinstance(each, LayerStep | Removal | LastLink)):
                yield Cause(str(each))

    def _way(self, path: str) -> _Asker | None:
        """Return the reader of a path, if known: GRUB for paths in bootargs.cfg, its menu for bootargs.cfg."""
        facts = self.context.facts
        source = facts.text(facts.bootargs_path)
        files = (("kernel", facts.kernels), ("initramfs", facts.initrds))
        for variable, found in files:
            for item in found:
                if path not in (item.path, item.trace.at):
                    continue
                line = facts.bootargs_line(variable)
                if line is None or source.trace.entry is None:
                    text = f"GRUB looks for {item.path}, since no bootargs.cfg sets ${variable}"
                    return _Asker(Cause(text), item.trace)
                text = f"line {line} of {facts.bootargs_path} sets ${variable} to {item.path}"
                return _Asker(self._at(source.trace.entry.layer, text), item.trace)
        generation = self.context.table
        if generation is not None and path in (facts.bootargs_path, source.trace.at):
            menu = facts.text(generation.grub_config)
            if menu.text is not None and menu.trace.entry is not None and "bootargs.cfg" in menu.text:
                text = f"{generation.grub_config} sources bootargs.cfg out of the image that it starts"
                return _Asker(self._at(menu.trace.entry.layer, text), source.trace)
        return None

    # -- a path --------------------------------------------------------------------------------------------------------

    def path(self, path: str) -> Explanation:
        """Explain a path: its entry, links, changes by each layer, and the checks that read it.

        Raises:
            PathNotFound: it does not exist and no layer ever had it.
        """
        path = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
        trace = self.context.rootfs.trace(path)
        changes = tuple(self._changes(trace))
        if trace.entry is None and not trace.hops and not self.context.rootfs.history(path):
            near = "".join(f"; {cause.text}" for cause in self._namesakes(path))
            raise PathNotFound(f"no layer ever had it{near}", where=path)
        way = self._way(path)
        asked = (way.cause,) if way and way.trace.path == path else ()
        causes = (*asked, *self._links(trace), *changes, *self._packages(trace.at))
        if trace.entry is not None:
            headline = _described(trace.entry)
        elif trace.problem == "loop":
            headline = "nothing is there: its links go in a circle"
        elif trace.problem == "not-a-directory":
            headline = f"nothing is there: {trace.at} is no directory"
        else:
            headline = "nothing is there" + (f": {trace.at} is missing" if trace.hops else "")
        failed = [
            (rule, finding)
            for rule, finding in self._findings()
            if finding.path in (path, trace.at) and rule.kind is Kind.FAIL
        ]
        consequence = "; ".join(dict.fromkeys(f"{rule.check}: {finding.message}" for rule, finding in failed))
        cure = next((finding.cure for _, finding in failed if finding.cure is not None), None)
        return Explanation(
            path, headline, causes, consequence, (), cure, tuple(self._looking({path, trace.at}))
        )

    def _findings(self) -> Iterator[tuple[CheckResult, Finding]]:
        for result in self.report.results:
            for finding in result.findings:
                yield result, finding

    def _looking(self, paths: set[str]) -> Iterator[tuple[str, str, str]]:
        """Yield the checks about one of the paths: they open it, or name it in a finding or in evidence."""
        results = {result.check: result for result in self.report.results}
        named = re.compile("|".join(rf"(?<![\w/.-]){re.escape(path)}(?![\w/.-])" for path in sorted(paths)))
        for item in self.checks:
            result = results[item.id]
            told = [text for finding in result.findings for text in (finding.message, *finding.evidence)]
            opens = any(
                re.fullmatch(path_expression(glob), path.lstrip("/")) for glob in item.reads for path in paths
            )
            if (
                opens
                or any(finding.path in paths for finding in result.findings)
                or any(named.search(text) for text in (*told, *result.evidence))
            ):
                yield item.id, item.name, result.kind.value

    def _packages(self, path: str) -> Iterator[Cause]:
        """Yield the luet packages that list a path."""
        for database in self.context.facts.databases:
            for package in database.database.packages if database.database is not None else ():
                if path.lstrip("/") in package.files:
                    yield Cause(
                        f"the package {package.category}/{package.name} {package.version} lists it, in {database.path}"
                    )

    # -- what both are made of -----------------------------------------------------------------------------------------

    def _at(self, layer: int, text: str) -> Cause:
        made = self.context.steps[layer] if layer < len(self.context.steps) else None
        return Cause(text, layer, shorten_step(made, 200) if made else "")

    def _links(self, trace: Trace) -> Iterator[Cause]:
        for hop in dict.fromkeys(trace.hops):
            yield self._at(hop.layer, f"{hop.path} is a link to {hop.target}")
        if trace.problem == "loop":
            yield Cause("the links go in a circle")

    def _changes(self, trace: Trace, *, attributes: bool = True) -> Iterator[Cause]:
        """Yield the changes by layers at the end of a path; if none ever had it, the deleted files with its name.

        Changes of a directory's `attributes` alone are listed only on request.
        """
        path = trace.at
        if not trace.hops and self.context.rootfs.history(trace.path):
            path = trace.path  # a missing directory may not be the whole story
        changes = [
            change
            for change in self.context.rootfs.history(path)
            if attributes or change.action is not Action.ATTRIBUTES
        ]
        if not changes and self.context.rootfs.trace(path, follow=False).entry is None:
            yield Cause(f"no layer ever had {path}")
            yield from self._namesakes(path)
        if len(changes) > MAX_CHANGES:
            yield Cause(f"{len(changes) - MAX_CHANGES} earlier layers did something to {path} too")
        for change in changes[-MAX_CHANGES:]:
            if trace.problem != "loop" or change.type != "symlink":  # its links are listed already
                yield self._at(change.layer, _done(change, path))

    def _namesakes(self, path: str) -> Iterator[Cause]:
        """Yield the layers that deleted files of the same name elsewhere."""
        name = path.rpartition("/")[2]
        found = 0
        for position, index in enumerate(self.context.rootfs.indexes):
            for marker in index.whiteouts:
                if marker.path.rpartition("/")[2] == name and found < MAX_NAMESAKES:
                    found += 1
                    yield self._at(position, f"/{marker.path}, which has the same name, was deleted")


def _headline(found: CapabilityResult) -> str:
    """Return the answer for a capability, and what decides it."""
    count = len(found.because)
    match found.status:
        case Status.YES:
            told = counted(count, "check passes", "checks pass")
            return f"yes: {told}{', ' if found.assuming else ''}{found.assuming}"
        case Status.NO:
            return f"no: {counted(count, 'check fails', 'checks fail')}"
        case Status.UNKNOWN:
            if count:
                return f"unknown: {counted(count, 'check is undecided', 'checks are undecided')}"
            if found.unknown in ((), (NO_NEEDS,)):
                return f"unknown: {unknown_line(found) or 'no check confirms it'}"
            return f"unknown: no check looks at {counted(len(found.unknown), 'need')} of it"


def _reason(result: CheckResult) -> Cause:
    """Return a result in one line: its first defect, or why it is undecided."""
    told = result.findings[0].message if result.findings else result.reason
    return Cause(f"{result.check} {result.name}: {told}")


def _done(change: Change, path: str) -> str:
    """Return a layer's change of a path in words."""
    match change.action:
        case Action.ADDED:
            return f"{path} was put there, {_kind(change)}"
        case Action.REPLACED:
            return f"{path} was replaced by {_kind(change)}"
        case Action.IMPLIED:
            return f"{path} was made as a directory for what is in it"
        case Action.ATTRIBUTES:
            return f"mode, owner or time of {path} were set again"
        case Action.RELINKED:
            return f"a link above it was changed, and {path} is another file now"
        case Action.REMOVED:
            return f"{path} was deleted{_how(change, path)}"


def _how(change: Change, path: str) -> str:
    """Return how a path was deleted, if not by its own whiteout."""
    gone = deleted_by(change.cause)
    if gone is None:
        return f", by what was put at {change.cause}"
    if gone.endswith("/"):
        return f", with all that was in {gone[:-1] or '/'}"
    return "" if gone == path else f", with {gone}"


def _kind(change: Change) -> str:
    return {
        "file": f"a file of {change.size} bytes",
        "dir": "a directory",
        "symlink": f"a link to {change.link}",
    }.get(change.type, f"a {change.type}")


def _deed(finding: Finding) -> str:
    """Return what the responsible layer did, according to the evidence."""
    for each in finding.grounds:
        if isinstance(each, Removal):
            return f"{(deleted_by(each.cause) or each.cause).removesuffix('/')} was deleted"
    return f"this is what the layer does to {finding.path}"


def _described(entry: Entry) -> str:
    size = f" of {entry.size} bytes" if entry.type == "file" else ""
    kind = {"dir": "directory"}.get(entry.type, entry.type)
    return f"{entry.path} is a {kind}{size}, mode {entry.mode:04o}, owner {entry.uid}:{entry.gid}"
