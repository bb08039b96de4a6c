"""The result of an inspection, as values: findings, results of checks, capabilities, the verdict, the report.

Words follow SARIF 2.1.0 where it has them: a result's `kind` is pass, fail, open or notApplicable, its `level` is
error, warning or note. `Report.to_dict` is a versioned interface: keys are added, never changed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from attrs import field, frozen

from cosinspect.report.capabilities import (
    ASSUMPTION,
    DECIDABLE,
    NEEDS,
    NO_NEEDS,
    Capability,
    CapabilityResult,
    Effect,
    Need,
    Status,
)
from cosinspect.signatures.outcome import Verification

__all__ = [
    "DECIDABLE",
    "NEEDS",
    "SCHEMA",
    "SIGNATURE_CHECK",
    "Capability",
    "CapabilityResult",
    "CheckResult",
    "Effect",
    "Finding",
    "Kind",
    "LayerSummary",
    "Level",
    "Need",
    "Report",
    "Rule",
    "Stats",
    "Status",
    "Verdict",
    "Waiver",
    "judge",
    "name_layer",
    "shorten_step",
]

SCHEMA = "cosinspect.report/1"


class Level(enum.Enum):
    """How grave a failed check is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Kind(enum.Enum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    OPEN = "open"
    """It could not be decided."""
    NOT_APPLICABLE = "notApplicable"
    """There is nothing for it to look at."""


SIGNATURE_CHECK = "COS092"
"""The check that tells of the image's signatures. Where one is required the verdict hangs on it, and nobody can waive it."""


class Verdict(enum.Enum):
    """Whether an image has every capability that its profile requires."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    OPEN = "open"


@frozen
class Waiver:
    """What somebody answers for: that a check's findings are known and accepted, for a reason and for a time.

    Attributes:
        check: id of the check.
        reason: why the findings are accepted.
        expires: the last day on which they are.
        path: glob of the paths it is limited to, "" for all findings of the check.
        expired: whether that day has passed: the waiver is told of and accepts nothing.
    """

    check: str
    reason: str
    expires: date
    path: str = ""
    expired: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "check": self.check,
            "reason": self.reason,
            "expires": self.expires.isoformat(),
            "path": self.path,
            "expired": self.expired,
        }


@frozen
class Rule:
    """What a check looks for, as reports that bring their own catalogue tell it.

    Attributes:
        check: its id.
        name: its name, which names the defect.
        level: how grave a failure is in general; a result has the level that its profile gives it.
        summary: the defect in one sentence.
        why: what happens on a machine.
        remedy: how it is mended.
    """

    check: str
    name: str
    level: Level
    summary: str
    why: str
    remedy: str


@frozen
class Finding:
    """One defect, where it is and how it is mended.

    Attributes:
        message: what was expected and what was found, a sentence without a full stop.
        path: the path in the image that is concerned.
        layer: position of the layer that caused it, counted from 0 at the bottom.
        evidence: further facts, one a line: links followed, what layers did, the step that did it.
        remedy: what to do; None takes the check's own remedy.
        waiver: the waiver that covers it, expired or not.
        semantics: the reading of the layers for which alone it holds, None if it holds for the report's own.
    """

    message: str
    path: str | None = None
    layer: int | None = None
    evidence: tuple[str, ...] = ()
    remedy: str | None = None
    waiver: Waiver | None = None
    semantics: str | None = None

    @property
    def is_waived(self) -> bool:
        """Whether somebody answers for it today."""
        return self.waiver is not None and not self.waiver.expired


@frozen
class CheckResult:
    """How one check ended.

    Attributes:
        check: its id.
        name: its name, which names the defect.
        kind: how it ended.
        level: how grave a failure is.
        capabilities: what the image cannot do if the check fails.
        findings: the defects; empty unless it failed.
        reason: why it is open, not applicable, or failed before its end, else "".
        evidence: what a passed check saw.
        waiver: the waiver that covers it as a whole where it is open, expired or not.
        transient: whether it is open for a reason that may pass: a source that did not answer, time that ran out.
    """

    check: str
    name: str
    kind: Kind
    level: Level
    capabilities: tuple[Capability, ...]
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    evidence: tuple[str, ...] = ()
    waiver: Waiver | None = None
    transient: bool = False

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """The waivers of it and of its findings, expired ones included."""
        every: tuple[Finding | CheckResult, ...] = (*self.findings, self)
        return tuple(dict.fromkeys(each.waiver for each in every if each.waiver is not None))

    @property
    def is_waived(self) -> bool:
        """Whether somebody answers for all that keeps it from passing."""
        if self.kind is Kind.FAIL and not self.reason:
            return bool(self.findings) and all(finding.is_waived for finding in self.findings)
        return self.kind is Kind.OPEN and self.waiver is not None and not self.waiver.expired


@frozen
class LayerSummary:
    """A layer as reports name it."""

    digest: str
    diff_id: str
    size: int
    created_by: str | None


@frozen
class Stats:
    """What an inspection cost. The only part of a report that differs between two inspections of the same image.

    Attributes:
        seconds: wall time of the whole inspection.
        bytes: compressed bytes that came from the source.
        entries: names in the merged tree.
    """

    seconds: float
    bytes: int
    entries: int


@frozen
class Report:
    """Everything an inspection found out.

    Attributes:
        name: the image's name as asked for.
        digest: of the manifest that was inspected.
        index: digest of the image index it was chosen from, if any.
        platform: what it runs on, "" where it does not say.
        layers: bottom first.
        profile: name of the profile that was applied.
        profile_asked: name of the profile that was asked for, which differs where that is `auto`.
        generation: of the toolkit in the image: `G0` to `G5`, `kairos`, `bootc`, or "" if none is evident.
        generation_title: the same in words.
        required: the capabilities the profile requires.
        results: one for each check, in the catalogue's order.
        stats: what it cost.
        rules: what the checks look for, in the order of their results.
        policies: names of the policies that extend the profile.
        unused: waivers that cover nothing in this image.
        signatures: what is known of the image's signatures, None where nobody was named who must have signed it.
        signature_required: whether the image must be signed to pass, whatever it can do.
        semantics: the readings of the layers that were looked at, the report's own first.
        by_table: positions of the layers of which only the table of contents was read.
        selected: ids of the checks that alone were run, empty for all; no capability is confirmed by some of them.
        unread: positions of the layers that were not read, as they could change nothing that was asked for.
        verified_required: whether only what was read to its end and verified may pass.
        needs: the rows of the table of operations that hold for the image's generation.
    """

    name: str
    digest: str
    index: str | None
    platform: str
    layers: tuple[LayerSummary, ...]
    profile: str
    generation: str
    generation_title: str
    required: tuple[Capability, ...]
    results: tuple[CheckResult, ...]
    stats: Stats = field(eq=False)
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    policies: tuple[str, ...] = ()
    unused: tuple[Waiver, ...] = ()
    signatures: Verification | None = None
    signature_required: bool = False
    semantics: tuple[str, ...] = ()
    by_table: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()
    selected: tuple[str, ...] = ()
    verified_required: bool = False
    needs: tuple[Need, ...] = field(default=(), repr=False)

    @property
    def provisional(self) -> bool:
        """Whether it rests on less than all layers, read to their ends and verified."""
        return bool(self.by_table or self.unread)

    @property
    def reservations(self) -> tuple[str, ...]:
        """Why it is provisional, a sentence without a full stop each; nothing where it is not."""
        found = []
        if self.by_table:
            found.append(f"{_layers(self.by_table)} read by the table of contents alone")
        if self.unread:
            found.append(f"{_layers(self.unread)} not read")
        return tuple(found)

    @property
    def signed(self) -> Status:
        """Whether somebody who is trusted signed the image; unknown where nobody was named, or not all could be seen."""
        if self.signatures is None:
            return Status.UNKNOWN
        if self.signatures.verified:
            return Status.YES
        return Status.UNKNOWN if self.signatures.trouble else Status.NO

    profile_asked: str = ""

    @property
    def capabilities(self) -> Mapping[Capability, CapabilityResult]:
        """Whether the image has each capability; a waiver changes nothing in that."""
        return {capability: self._judge(capability, self.results) for capability in Capability}

    def _judge(self, capability: Capability, results: Iterable[CheckResult]) -> CapabilityResult:
        found = judge(capability, results, self.needs)
        if self.selected and found.status is Status.YES:
            return CapabilityResult(Status.UNKNOWN, ())
        return found

    @property
    def verdict(self) -> Verdict:
        """Fail if a required capability or signature is missing, else open if one is unknown, else pass.

        A check of level error that decides no capability is required by itself. What is waived is left out; a signature
        cannot be.
        """
        standing = [result for result in self.results if not result.is_waived]
        statuses = {self._judge(capability, standing).status for capability in self.required}
        if self.selected and Status.NO not in statuses:
            # Of some checks it can be said that they passed, not what the image can do.
            undecided = any(result.kind is Kind.OPEN for result in standing)
            statuses = {Status.UNKNOWN if undecided else Status.YES}
        if self.signature_required:
            statuses.add(self.signed)
        alone = {
            result.kind for result in standing if result.level is Level.ERROR and not result.capabilities
        }
        if Status.NO in statuses or Kind.FAIL in alone:
            return Verdict.FAIL
        if Status.UNKNOWN in statuses or Kind.OPEN in alone or not statuses:
            return Verdict.OPEN
        if self.provisional and self.verified_required:
            return Verdict.OPEN
        return Verdict.PASS

    @property
    def unconfirmed(self) -> tuple[Capability, ...]:
        """The required capabilities that no standing check speaks for or against; the verdict is open for them."""
        standing = [result for result in self.results if not result.is_waived]
        if self.selected:
            return ()
        found = {capability: judge(capability, standing, self.needs) for capability in self.required}
        return tuple(
            item for item, result in found.items() if result.status is Status.UNKNOWN and not result.because
        )

    def is_decisive(self, result: CheckResult) -> bool:
        """Whether the verdict hangs on this result: it decides what is required, and nobody answers for it."""
        if self.signature_required and result.check == SIGNATURE_CHECK:
            return True
        decides = not set(result.capabilities).isdisjoint(self.required)
        alone = result.level is Level.ERROR and not result.capabilities
        return (decides or alone) and not result.is_waived

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed, gravest first."""
        order = list(Level)
        found = [result for result in self.results if result.kind is Kind.FAIL]
        return tuple(sorted(found, key=lambda result: order.index(result.level)))

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values, by the schema named in it."""
        return {
            "schema": SCHEMA,
            "image": {
                "name": self.name,
                "digest": self.digest,
                "index": self.index,
                "platform": self.platform,
                "layers": [
                    {
                        "digest": layer.digest,
                        "diff_id": layer.diff_id,
                        "size": layer.size,
                        "created_by": layer.created_by,
                    }
                    for layer in self.layers
                ],
            },
            "profile": self.profile,
            "policies": list(self.policies),
            "profile_asked": self.profile_asked or self.profile,
            "required": [capability.value for capability in self.required],
            "generation": self.generation,
            "semantics": list(self.semantics),
            "verdict": self.verdict.value,
            "provisional": list(self.reservations),
            "by_table": list(self.by_table),
            "unread": list(self.unread),
            "selected": list(self.selected),
            "capabilities": {
                capability.value: result.to_dict() for capability, result in self.capabilities.items()
            },
            "results": [_result(result) for result in self.results],
            "unused_waivers": [waiver.to_dict() for waiver in self.unused],
            "signature_required": self.signature_required,
            "signatures": self.signatures.to_dict() if self.signatures is not None else None,
            "stats": {
                "seconds": round(self.stats.seconds, 3),
                "bytes": self.stats.bytes,
                "entries": self.stats.entries,
            },
        }


def judge(
    capability: Capability, results: Iterable[CheckResult], needs: Iterable[Need] = ()
) -> CapabilityResult:
    """Say whether the results give a capability: no if a check that decides it failed, unknown if one is open.

    A capability that no check has confirmed is never more than unknown; nor is one with a need that no check looked at.
    """
    known = tuple(results)
    rows = [need for need in needs if capability in need.operations]
    deciders = {capability, *NEEDS.get(capability, ())}
    deciding = [result for result in known if deciders.intersection(result.capabilities)]
    of = {kind: tuple(result.check for result in deciding if result.kind is kind) for kind in Kind}
    if of[Kind.FAIL]:
        return CapabilityResult(Status.NO, of[Kind.FAIL], effect=_effect(of[Kind.FAIL], deciding, rows))
    if of[Kind.OPEN]:
        return CapabilityResult(Status.UNKNOWN, of[Kind.OPEN])
    if not rows and capability not in DECIDABLE:
        return CapabilityResult(Status.UNKNOWN, (), (NO_NEEDS,))
    if not of[Kind.PASS]:
        return CapabilityResult(Status.UNKNOWN, ())
    unknown = tuple(need.need for need in rows if need.decides and not _is_looked_at(need, known))
    if unknown:
        return CapabilityResult(Status.UNKNOWN, (), unknown)
    machine = any(need.machine and need.decides for need in rows)
    return CapabilityResult(Status.YES, of[Kind.PASS], assuming=ASSUMPTION if machine else "")


def _is_looked_at(need: Need, results: tuple[CheckResult, ...]) -> bool:
    return bool(need.needs) or any(need.is_of(result.check, result.capabilities) for result in results)


def _effect(failed: tuple[str, ...], deciding: list[CheckResult], rows: list[Need]) -> Effect | None:
    """Tell whether the operation fails, or succeeds with a result that does not work."""
    effects = {
        need.effect
        for result in deciding
        if result.check in failed
        for need in rows
        if need.is_of(result.check, result.capabilities)
    }
    return next((effect for effect in (Effect.FAILS, Effect.BROKEN) if effect in effects), None)


def shorten_step(created_by: str, width: int = 100) -> str:
    """Cut a build step to a width: blanks folded, without the shell and the marks that builders put around it."""
    text = " ".join(created_by.split()).removesuffix(" # buildkit")
    text = re.sub(r"^(RUN )?/bin/sh -c (?:#\(nop\) *)?", lambda found: found[1] or "", text)
    return text if len(text) <= width else text[: width - 1] + "…"


def name_layer(position: int, created_by: str | None) -> str:
    """Name a layer as people know it: its position and the step that made it, where that is known."""
    return f"layer {position} ({shorten_step(created_by)})" if created_by else f"layer {position}"


def _layers(positions: tuple[int, ...]) -> str:
    """Name layers by their positions, neighbours together: `layers 0-3 and 7`."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][-1] == position - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    text = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"layer{'' if len(positions) == 1 else 's'} {text}"


def _result(result: CheckResult) -> dict[str, Any]:
    return {
        "check": result.check,
        "name": result.name,
        "kind": result.kind.value,
        "level": result.level.value,
        "capabilities": [capability.value for capability in result.capabilities],
        "findings": [
            {
                "message": finding.message,
                "path": finding.path,
                "layer": finding.layer,
                "evidence": list(finding.evidence),
                "remedy": finding.remedy,
                "waiver": finding.waiver.to_dict() if finding.waiver else None,
                "semantics": finding.semantics,
            }
            for finding in result.findings
        ],
        "reason": result.reason,
        "evidence": list(result.evidence),
        "waiver": result.waiver.to_dict() if result.waiver else None,
    }
