"""The result of an inspection, as values: findings, results of checks, capabilities, the verdict, the report.

Words follow SARIF 2.1.0 where it has them: a result's `kind` is pass, fail, open or notApplicable, its `level` is
error, warning or note. `Report.to_dict` is a versioned interface: keys are added, never changed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

__all__ = [
    "DECIDABLE",
    "SCHEMA",
    "Capability",
    "CapabilityResult",
    "CheckResult",
    "Finding",
    "Kind",
    "LayerSummary",
    "Level",
    "Report",
    "Stats",
    "Status",
    "Verdict",
    "judge",
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


class Capability(enum.Enum):
    """What an image can be asked to do."""

    BOOT = "boot"
    INSTALL = "install"
    UPGRADE = "upgrade"
    RECOVERY = "recovery"
    ISO = "iso"
    VERIFY = "verify"


DECIDABLE = frozenset({Capability.BOOT, Capability.INSTALL, Capability.VERIFY})
"""The capabilities whose rules are complete enough to say yes; of the others it can only be said what prevents them."""


class Status(enum.Enum):
    """Whether an image has a capability."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Verdict(enum.Enum):
    """Whether an image has every capability that its profile requires."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    OPEN = "open"


@frozen
class Finding:
    """One defect, where it is and how it is mended.

    Attributes:
        message: what was expected and what was found, a sentence without a full stop.
        path: the path in the image that is concerned.
        layer: position of the layer that caused it, counted from 0 at the bottom.
        evidence: further facts, one a line: links followed, what layers did, the step that did it.
        remedy: what to do; None takes the check's own remedy.
    """

    message: str
    path: str | None = None
    layer: int | None = None
    evidence: tuple[str, ...] = ()
    remedy: str | None = None


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
    """

    check: str
    name: str
    kind: Kind
    level: Level
    capabilities: tuple[Capability, ...]
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    evidence: tuple[str, ...] = ()


@frozen
class CapabilityResult:
    """Whether the image has a capability, and the ids of the checks that say so."""

    status: Status
    because: tuple[str, ...]


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
        profile: name of the profile.
        generation: of the toolkit in the image: `G0` to `G5`, `kairos`, `bootc`, or "" if none is evident.
        generation_title: the same in words.
        required: the capabilities the profile requires.
        results: one for each check, in the catalogue's order.
        stats: what it cost.
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

    @property
    def capabilities(self) -> Mapping[Capability, CapabilityResult]:
        """Whether the image has each capability."""
        return {capability: judge(capability, self.results) for capability in Capability}

    @property
    def verdict(self) -> Verdict:
        """Fail if a required capability is missing, else open if one is unknown, else pass."""
        capabilities = self.capabilities
        statuses = {capabilities[capability].status for capability in self.required}
        if Status.NO in statuses:
            return Verdict.FAIL
        if Status.UNKNOWN in statuses or not statuses:
            return Verdict.OPEN
        return Verdict.PASS

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
            "required": [capability.value for capability in self.required],
            "generation": self.generation,
            "verdict": self.verdict.value,
            "capabilities": {
                capability.value: {"status": result.status.value, "because": list(result.because)}
                for capability, result in self.capabilities.items()
            },
            "results": [_result(result) for result in self.results],
            "stats": {
                "seconds": round(self.stats.seconds, 3),
                "bytes": self.stats.bytes,
                "entries": self.stats.entries,
            },
        }


def judge(capability: Capability, results: Iterable[CheckResult]) -> CapabilityResult:
    """Say whether the results give a capability: no if a check that decides it failed, unknown if one is open.

    A capability that no check has confirmed, or whose rules are not complete, is never more than unknown.
    """
    deciding = [result for result in results if capability in result.capabilities]
    for kind, status in ((Kind.FAIL, Status.NO), (Kind.OPEN, Status.UNKNOWN), (Kind.PASS, Status.YES)):
        because = tuple(result.check for result in deciding if result.kind is kind)
        if because and (status is not Status.YES or capability in DECIDABLE):
            return CapabilityResult(status, because)
    return CapabilityResult(Status.UNKNOWN, ())


def shorten_step(created_by: str, width: int = 100) -> str:
    """Cut a build step to a width: blanks folded, without the shell and the marks that builders put around it."""
    text = " ".join(created_by.split()).removesuffix(" # buildkit")
    text = re.sub(r"^(RUN )?/bin/sh -c (?:#\(nop\) *)?", lambda found: found[1] or "", text)
    return text if len(text) <= width else text[: width - 1] + "…"


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
            }
            for finding in result.findings
        ],
        "reason": result.reason,
        "evidence": list(result.evidence),
    }
