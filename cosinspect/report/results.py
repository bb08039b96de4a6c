"""The results of checks as values: findings, results, waivers.

Words follow SARIF 2.1.0: a result's `kind` is pass, fail, open or notApplicable, its `level` is error,
warning or note.
"""

from __future__ import annotations

import enum
from datetime import date
from typing import Any

from attrs import field, frozen

from cosinspect.cost import cost_line, long_seconds
from cosinspect.report.capabilities import Capability
from cosinspect.report.evidence import Evidence
from cosinspect.report.remedy import Remedy, as_remedy

__all__ = [
    "CheckResult",
    "Finding",
    "Kind",
    "LayerSummary",
    "Level",
    "Rule",
    "Stats",
    "UpgradeOrigin",
    "Waiver",
]


class Level(enum.Enum):
    """The severity of a failed check."""

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
    """It does not apply to the image."""


@frozen
class Waiver:
    """The acceptance of a check's findings, with a reason and a last day.

    Attributes:
        check: id of the check.
        reason: why the findings are accepted.
        expires: the last day of the acceptance.
        path: glob of the paths it is limited to, "" for all findings of the check.
        expired: whether that day has passed; the waiver is then reported and has no effect.
    """

    check: str
    reason: str
    expires: date
    path: str = ""
    expired: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the value as plain data."""
        return {
            "check": self.check,
            "reason": self.reason,
            "expires": self.expires.isoformat(),
            "path": self.path,
            "expired": self.expired,
        }


@frozen
class Rule:
    """The description of a check, for reports that contain a catalogue.

    Attributes:
        check: its id.
        name: its name, which names the defect.
        level: the default severity; a result has the level of its profile.
        summary: the defect in one sentence.
        why: what happens on a machine.
        remedy: how to repair it.
    """

    check: str
    name: str
    level: Level
    summary: str
    why: str
    remedy: str


@frozen
class Finding:
    """One defect, its place and its remedy.

    Attributes:
        message: what was expected and what was found, a sentence without a full stop.
        path: the path in the image.
        layer: position of the layer that caused it, counted from 0 at the bottom.
        grounds: what it rests on: links followed, what layers did, the step that did it; `evidence=` of the constructor.
        cure: what to do, `remedy=` of the constructor, which takes text as well; None means the check's own remedy.
        waiver: the waiver that covers it, expired or not.
        semantics: the semantics to which it is limited, None for the report's own.
    """

    message: str
    path: str | None = None
    layer: int | None = None
    # Equal text is equal evidence: a report that was written and read again has text alone.
    grounds: tuple[Evidence, ...] = field(default=(), alias="evidence", eq=lambda each: tuple(map(str, each)))
    # A report that was written and read again has no more than the text and the steps.
    cure: Remedy | None = field(
        default=None, alias="remedy", converter=as_remedy, eq=lambda each: each and (each.text, each.steps)
    )
    waiver: Waiver | None = None
    semantics: str | None = None

    @property
    def remedy(self) -> str | None:
        """What to do, as text; None if nothing is known."""
        return self.cure.text if self.cure is not None else None

    @property
    def remedy_commands(self) -> tuple[str, ...]:
        """The steps of a Containerfile that repair it, in order; empty if there are none."""
        return tuple(map(str, self.cure.steps)) if self.cure is not None else ()

    @property
    def evidence(self) -> tuple[str, ...]:
        """The grounds as text, one a line."""
        return tuple(map(str, self.grounds))

    @property
    def is_waived(self) -> bool:
        """Whether a waiver that has not expired covers it."""
        return self.waiver is not None and not self.waiver.expired


@frozen
class CheckResult:
    """How one check ended.

    Attributes:
        check: its id.
        name: its name, which names the defect.
        kind: how it ended.
        level: the severity of a failure.
        capabilities: the capabilities that are lost if the check fails.
        findings: the defects; empty unless it failed.
        reason: why it is open, not applicable, or failed before its end, else "".
        evidence: the facts that a passed check found.
        waiver: the waiver that covers an open result, expired or not.
        tags: the subjects of the check; reports group by them.
        transient: whether the reason may pass: a source did not answer, or time ran out.
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
        """The waivers of the result and of its findings, including expired ones."""
        every: tuple[Finding | CheckResult, ...] = (*self.findings, self)
        return tuple(dict.fromkeys(each.waiver for each in every if each.waiver is not None))

    @property
    def is_waived(self) -> bool:
        """Whether waivers cover everything that prevents it from passing."""
        if self.kind is Kind.FAIL and not self.reason:
            return bool(self.findings) and all(finding.is_waived for finding in self.findings)
        return self.kind is Kind.OPEN and self.waiver is not None and not self.waiver.expired


@frozen
class LayerSummary:
    """A layer in a report."""

    digest: str
    diff_id: str
    size: int
    created_by: str | None


@frozen
class Stats:
    """The cost of an inspection; the only part of a report that differs between two inspections of the same image.

    Attributes:
        seconds: wall time of the whole inspection.
        bytes: compressed bytes from the source.
        entries: names in the merged tree.
    """

    seconds: float
    bytes: int
    entries: int

    # Outputs take the cost from here only: a stored answer leaves its place open, and is printed with its own.

    @property
    def line(self) -> str:
        """The cost in one line."""
        return cost_line(self.seconds, self.bytes, self.entries)

    @property
    def long_seconds(self) -> str:
        """The time with its milliseconds."""
        return long_seconds(self.seconds)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {"seconds": round(self.seconds, 3), "bytes": self.bytes, "entries": self.entries}


@frozen
class UpgradeOrigin:
    """The image that a machine runs before an upgrade to the inspected one.

    Attributes:
        name: as given.
        digest: of the manifest.
        generation: of the toolkit in it, "" if none is evident.
        generation_title: a description of the generation.
    """

    name: str
    digest: str
    generation: str
    generation_title: str

    @property
    def line(self) -> str:
        """The image in one line."""
        words = f", {self.generation_title}" if self.generation_title else ""
        return f"{self.name} ({self.digest}{words})"

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "digest": self.digest,
            "generation": self.generation,
            "generation_title": self.generation_title,
        }
