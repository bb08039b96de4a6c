"""What checks said, as values: findings, results, waivers.

Words follow SARIF 2.1.0 where it has them: a result's `kind` is pass, fail, open or notApplicable, its `level` is
error, warning or note.
"""

from __future__ import annotations

import enum
from datetime import date
from typing import Any

from attrs import field, frozen

from cosinspect.report.capabilities import Capability
from cosinspect.report.evidence import Evidence

__all__ = [
    "CheckResult",
    "Finding",
    "Kind",
    "LayerSummary",
    "Level",
    "Rule",
    "Stats",
    "Waiver",
]


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


@frozen
class Waiver:
    """What somebody answers for: that a check's findings are known and accepted, for a reason and for a time.

    Attributes:
        check: id of the check.
        reason: why the findings are accepted.
        expires: the last day on which they are.
        path: glob of the paths it is limited to, "" for all findings of the check.
        expired: whether that day has passed: the waiver is reported and accepts nothing.
    """

    check: str
    reason: str
    expires: date
    path: str = ""
    expired: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
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
        grounds: what it rests on: links followed, what layers did, the step that did it; `evidence=` of the constructor.
        remedy: what to do; None takes the check's own remedy.
        waiver: the waiver that covers it, expired or not.
        semantics: the reading of the layers for which alone it holds, None if it holds for the report's own.
    """

    message: str
    path: str | None = None
    layer: int | None = None
    grounds: tuple[Evidence, ...] = field(default=(), alias="evidence")
    remedy: str | None = None
    waiver: Waiver | None = None
    semantics: str | None = None

    @property
    def evidence(self) -> tuple[str, ...]:
        """The grounds as text, one a line."""
        return tuple(map(str, self.grounds))

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
        tags: what the check is about, in words that reports group by.
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
    tags: tuple[str, ...] = ()
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
