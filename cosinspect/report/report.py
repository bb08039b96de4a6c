"""The result of an inspection, as values: findings, results of checks, capabilities, the verdict, the report.

Words follow SARIF 2.1.0: a result's `kind` is pass, fail, open or notApplicable, its `level` is error,
warning or note. `Report.to_dict` is a versioned interface: keys are added, never changed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import msgspec
from attrs import field, frozen

from cosinspect.errors import InvalidManifest, InvalidReport
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
from cosinspect.report.evidence import name_layer, shorten_step
from cosinspect.report.json_text import restored
from cosinspect.report.remedy import Instruction, Remedy
from cosinspect.report.results import (
    CheckResult,
    Finding,
    Kind,
    LayerSummary,
    Level,
    Rule,
    Stats,
    UpgradeOrigin,
    Waiver,
)
from cosinspect.report.schema import document_schema
from cosinspect.report.undecided import SIGNATURE_TAG, remedy_of
from cosinspect.signatures.outcome import Verification
from cosinspect.wire_types import ready

__all__ = [
    "DECIDABLE",
    "NEEDS",
    "SCHEMA",
    "SIGNATURE_TAG",
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
    "UpgradeOrigin",
    "Verdict",
    "Waiver",
    "judge",
    "name_layer",
    "shorten_step",
]

SCHEMA = "cosinspect.report/1"


class Verdict(enum.Enum):
    """Whether an image has every capability that its profile requires."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    OPEN = "open"


class _WireImage(msgspec.Struct):
    name: str
    digest: str
    index: str | None
    platform: str
    layers: tuple[LayerSummary, ...]


class _WireCapability(msgspec.Struct):
    status: Status
    because: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    assuming: str = ""
    effect: str = ""

    def value(self) -> CapabilityResult:
        effect = Effect(self.effect) if self.effect else None
        return CapabilityResult(self.status, self.because, self.unknown, self.assuming, effect)


class _WireFinding(msgspec.Struct):
    message: str
    path: str | None = None
    layer: int | None = None
    evidence: tuple[str, ...] = ()
    remedy: str | None = None
    remedy_commands: tuple[str, ...] = ()
    waiver: Waiver | None = None
    semantics: str | None = None

    def value(self) -> Finding:
        steps = tuple(Instruction(each) for each in self.remedy_commands)
        remedy = Remedy(self.remedy, steps) if self.remedy is not None else None
        return Finding(
            self.message, self.path, self.layer, self.evidence, remedy, self.waiver, self.semantics
        )


class _WireResult(msgspec.Struct):
    check: str
    name: str
    kind: Kind
    level: Level
    capabilities: tuple[Capability, ...]
    findings: tuple[_WireFinding, ...] = ()
    reason: str = ""
    evidence: tuple[str, ...] = ()
    waiver: Waiver | None = None
    tags: tuple[str, ...] = ()
    transient: bool = False
    remedy: str | None = None
    """Of the check; the catalogue has it."""

    def value(self) -> CheckResult:
        findings = tuple(each.value() for each in self.findings)
        return CheckResult(
            self.check, self.name, self.kind, self.level, self.capabilities,
            findings, self.reason, self.evidence, self.waiver, self.tags, self.transient,
        )  # fmt: skip


class _WireReport(msgspec.Struct):
    """A report as `Report.to_dict` writes it; keys with a default were added later."""

    schema: Literal["cosinspect.report/1"]
    image: _WireImage
    profile: str
    policies: tuple[str, ...]
    profile_asked: str
    required: tuple[Capability, ...]
    generation: str
    verdict: Verdict
    capabilities: dict[Capability, _WireCapability]
    results: tuple[_WireResult, ...]
    signature_required: bool
    signatures: dict[str, Any] | None
    stats: Stats
    unused_waivers: tuple[Waiver, ...] = ()
    semantics: tuple[str, ...] = ()
    by_table: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()
    selected: tuple[str, ...] = ()
    generation_title: str = ""
    verified_required: bool = False
    boot: dict[str, Any] | None = None
    strict: bool = False
    upgrade_from: UpgradeOrigin | None = None
    provisional: tuple[str, ...] = ()
    """Follows from `by_table`, `unread` and `selected`."""


@frozen
class _Published:
    """The verdict and capabilities of a report read from a document."""

    verdict: Verdict
    capabilities: Mapping[Capability, CapabilityResult] = field(hash=False)


@frozen
class Report:
    """The result of an inspection.

    Attributes:
        name: the image's name as given.
        digest: of the manifest that was inspected.
        index: digest of the image index that listed it, if any.
        platform: of the image, "" if it states none.
        layers: bottom first.
        profile: name of the profile that was applied.
        profile_asked: name of the requested profile; differs if that is `auto`.
        generation: of the toolkit in the image: `G0` to `G5`, `kairos`, `bootc`, or "" if none is evident.
        generation_title: a description of the generation.
        required: the capabilities the profile requires.
        results: one for each check, in the catalogue's order.
        stats: time and bytes.
        rules: the rules of the checks, in the order of their results.
        policies: names of the policies that extend the profile.
        unused: waivers that match nothing in this image.
        signatures: the image's signatures, None if no signer was given.
        signature_required: whether the image must be signed to pass, independent of its capabilities.
        semantics: the semantics that were compared, the report's own first.
        by_table: positions of the layers whose table of contents only was read.
        selected: ids of the selected checks, empty for all; with a selection, no capability becomes yes.
        unread: positions of the layers that were not read.
        verified_required: whether all layers must be read completely and verified.
        strict: whether warnings fail.
        needs: the rows of the table of operations for the image's generation.
        boot: the result of a boot as plain values, None without one.
        upgrade_from: the image that the machine runs before the upgrade, None if none was given.
        published: the verdict and capabilities of a report that was read from a document.
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
    strict: bool = False
    needs: tuple[Need, ...] = field(default=(), repr=False)
    boot: Mapping[str, Any] | None = field(default=None, hash=False)
    upgrade_from: UpgradeOrigin | None = None
    published: _Published | None = field(default=None, repr=False, eq=False)

    @property
    def provisional(self) -> bool:
        """Whether some layers were not read completely and verified."""
        return bool(self.by_table or self.unread)

    @property
    def reservations(self) -> tuple[str, ...]:
        """Why the report is provisional, sentences without a full stop; empty if it is not."""
        found = []
        if self.by_table:
            found.append(f"{_layers(self.by_table)} read by the table of contents only")
        if self.unread:
            found.append(f"{_layers(self.unread)} not read")
        return tuple(found)

    @property
    def signed(self) -> Status:
        """Whether a trusted signer signed the image; unknown if no signer was given, or not all signatures could be read."""
        if self.signatures is None:
            return Status.UNKNOWN
        if self.signatures.verified:
            return Status.YES
        return Status.UNKNOWN if self.signatures.trouble else Status.NO

    profile_asked: str = ""

    @property
    def capabilities(self) -> Mapping[Capability, CapabilityResult]:
        """Whether the image has each capability; waivers do not change it."""
        if self.published is not None:
            return self.published.capabilities
        return {capability: self._judge(capability, self.results) for capability in Capability}

    def _judge(self, capability: Capability, results: Iterable[CheckResult]) -> CapabilityResult:
        found = judge(capability, results, self.needs)
        if self.selected and found.status is Status.YES:
            return CapabilityResult(Status.UNKNOWN, ())
        return found

    @property
    def verdict(self) -> Verdict:
        """Fail if a required capability or signature is missing, else open if one is unknown, else pass.

        A check of level error without capabilities is required by itself. Waived findings are ignored; a
        signature cannot be waived.
        """
        if self.published is not None:
            return self.published.verdict
        standing = [result for result in self.results if not result.is_waived]
        statuses = {self._judge(capability, standing).status for capability in self.required}
        if self.selected and Status.NO not in statuses:
            # A selection of checks decides whether they pass, not what the image can do.
            undecided = any(result.kind is Kind.OPEN for result in standing)
            statuses = {Status.UNKNOWN if undecided else Status.YES}
        if self.signature_required:
            statuses.add(self.signed)
        alone = {
            result.kind for result in standing if result.level is Level.ERROR and not result.capabilities
        }
        if Status.NO in statuses or Kind.FAIL in alone or self.forbidden:
            return Verdict.FAIL
        if Status.UNKNOWN in statuses or Kind.OPEN in alone or not statuses:
            return Verdict.OPEN
        if self.provisional and self.verified_required:
            return Verdict.OPEN
        return Verdict.PASS

    @property
    def forbidden(self) -> tuple[CheckResult, ...]:
        """The warnings that fail, because the report is strict; waived ones are left out."""
        if not self.strict:
            return ()
        return tuple(
            each
            for each in self.results
            if each.kind is Kind.FAIL and each.level is Level.WARNING and not each.is_waived
        )

    @property
    def passed(self) -> bool:
        """Whether the verdict is pass; an undecided image has not passed."""
        return self.verdict is Verdict.PASS

    @property
    def unconfirmed(self) -> tuple[Capability, ...]:
        """The required capabilities that no check decides; they make the verdict open."""
        standing = [result for result in self.results if not result.is_waived]
        if self.selected:
            return ()
        found = {
            capability: self.published.capabilities[capability]
            if self.published is not None
            else judge(capability, standing, self.needs)
            for capability in self.required
        }
        return tuple(
            item for item, result in found.items() if result.status is Status.UNKNOWN and not result.because
        )

    def is_decisive(self, result: CheckResult) -> bool:
        """Return whether this result decides the verdict: it is about a requirement, and is not waived."""
        if self.signature_required and SIGNATURE_TAG in result.tags:
            return True
        decides = not set(result.capabilities).isdisjoint(self.required)
        alone = result.level is Level.ERROR and not result.capabilities
        return (decides or alone or result in self.forbidden) and not result.is_waived

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The failed checks, most severe first."""
        order = list(Level)
        found = [result for result in self.results if result.kind is Kind.FAIL]
        return tuple(sorted(found, key=lambda result: order.index(result.level)))

    @classmethod
    def from_dict(cls, plain: object) -> Self:
        """Return the report of a document that `to_dict` wrote, such as a parsed JSON file.

        The verdict and the capabilities are those in the document; they are not decided again. A document has
        no rules of checks and no needs of operations; both are empty.

        Raises:
            InvalidReport: the document does not have the schema `cosinspect.report/1`.
        """
        try:
            wire = msgspec.convert(restored(plain), type=ready(_WireReport))
            signatures = None if wire.signatures is None else Verification.from_dict(wire.signatures)
            told = {each: result.value() for each, result in wire.capabilities.items()}
        except (msgspec.ValidationError, InvalidManifest, ValueError) as fault:
            raise InvalidReport(f"expected a report with the schema {SCHEMA}: {fault}") from fault
        capabilities = {each: told.get(each, CapabilityResult(Status.UNKNOWN, ())) for each in Capability}
        image = wire.image
        return cls(
            image.name, image.digest, image.index, image.platform, image.layers,
            wire.profile, wire.generation, wire.generation_title, wire.required,
            tuple(each.value() for each in wire.results), wire.stats,
            policies=wire.policies, unused=wire.unused_waivers, signatures=signatures,
            signature_required=wire.signature_required, semantics=wire.semantics, by_table=wire.by_table,
            unread=wire.unread, selected=wire.selected, verified_required=wire.verified_required, strict=wire.strict,
            published=_Published(wire.verdict, capabilities), profile_asked=wire.profile_asked, boot=wire.boot,
            upgrade_from=wire.upgrade_from,
        )  # fmt: skip

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of `to_dict`; keys that are not required were added later."""
        return document_schema(_WireReport, title=SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data in the schema `cosinspect.report/1`."""
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
            "generation_title": self.generation_title,
            "semantics": list(self.semantics),
            "verdict": self.verdict.value,
            "provisional": list(self.reservations),
            "by_table": list(self.by_table),
            "unread": list(self.unread),
            "selected": list(self.selected),
            "capabilities": {
                capability.value: result.to_dict() for capability, result in self.capabilities.items()
            },
            "results": [_result(result, provisional=self.provisional) for result in self.results],
            "unused_waivers": [waiver.to_dict() for waiver in self.unused],
            "signature_required": self.signature_required,
            "verified_required": self.verified_required,
            "signatures": self.signatures.to_dict() if self.signatures is not None else None,
            "stats": self.stats.to_dict(),
            **({"boot": dict(self.boot)} if self.boot is not None else {}),
            **({"strict": True} if self.strict else {}),
            **({"upgrade_from": self.upgrade_from.to_dict()} if self.upgrade_from is not None else {}),
        }


def judge(
    capability: Capability, results: Iterable[CheckResult], needs: Iterable[Need] = ()
) -> CapabilityResult:
    """Return the state of a capability from the results: no if a deciding check failed, unknown if one is open.

    A capability that no check confirms is unknown. So is a capability with a need that no check looked at.
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
    """Return whether the operation fails, or succeeds with a result that does not work."""
    effects = {
        need.effect
        for result in deciding
        if result.check in failed
        for need in rows
        if need.is_of(result.check, result.capabilities)
    }
    return next((effect for effect in (Effect.FAILS, Effect.BROKEN) if effect in effects), None)


def _layers(positions: tuple[int, ...]) -> str:
    """Return layers by their positions, with ranges: `layers 0-3 and 7`."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][-1] == position - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    text = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"layer{'' if len(positions) == 1 else 's'} {text}"


def _result(result: CheckResult, *, provisional: bool) -> dict[str, Any]:
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
                "remedy_commands": list(finding.remedy_commands),
                "waiver": finding.waiver.to_dict() if finding.waiver else None,
                "semantics": finding.semantics,
            }
            for finding in result.findings
        ],
        "reason": result.reason,
        "remedy": remedy_of(result, provisional=provisional) if result.kind is Kind.OPEN else "",
        "transient": result.transient,
        "evidence": list(result.evidence),
        "waiver": result.waiver.to_dict() if result.waiver else None,
        "tags": list(result.tags),
    }
