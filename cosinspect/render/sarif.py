r"""A report as SARIF 2.1.0, the interchange format of static analysis that code scanning services read.

It follows the OASIS standard. The physical location of a finding is the instruction of a Containerfile that made its
layer, if one was given: code scanning shows an alert in a pull request only at a file of the repository. Else it is the
path in the image (relative to the base `IMAGE`). The logical locations are the image, the layer and its build step. A fingerprint does not
change when the image is built again: it has no digest, tag or layer position. The document is ASCII without
lone surrogates: a byte of a name that is not UTF-8 is written as `\xff`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import Any, TextIO
from urllib.parse import quote

from attrs import frozen

from cosinspect.errors import InvalidReference
from cosinspect.formats.text.containerfile import Containerfile
from cosinspect.oci.reference import ImageName
from cosinspect.render.step_lines import StepLines, match_steps
from cosinspect.report.display import printable
from cosinspect.report.lines import finding_lines, result_lines, sentence
from cosinspect.report.report import CheckResult, Finding, Kind, Level, Report, Rule, Verdict, Waiver
from cosinspect.version import PROJECT, __version__

__all__ = ["SarifRenderer", "subject"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
BASE = "IMAGE"
SOURCES = "%SRCROOT%"
FINGERPRINT = "cosinspect/v1"
LINE_HASH = "primaryLocationLineHash"
"""The fingerprint by which GitHub's code scanning recognises an alert."""

# `[text](target)` is a link even in a plain-text message; a backslash escapes it (section 3.11.6).
_LINK = re.compile(r"\[(?=[^\]]*\]\()")


@frozen
class SarifRenderer:
    """Writes one document with one run; ignores colour and width.

    Attributes:
        containerfile: the Containerfile of the image, whose lines are the places of findings.
        all_rules: whether the rules of all checks are listed, not only of those with results.
    """

    containerfile: Containerfile | None = None
    all_rules: bool = False

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [self._run(report)]}
        stream.write(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")

    def _run(self, report: Report) -> dict[str, Any]:
        steps = [layer.created_by for layer in report.layers]
        lines = match_steps(self.containerfile, steps) if self.containerfile is not None else None
        told = {result.check for result in report.results if result.kind is Kind.OPEN or result.findings}
        rules = [rule for rule in report.rules if self.all_rules or rule.check in told]
        return _run(report, rules, lines)


def subject(name: str) -> str:
    """Return an image's name without tag and digest; it is the same for every build."""
    try:
        parsed = ImageName.parse(name)
    except InvalidReference:
        return name
    if parsed.reference is not None:
        return f"{parsed.reference.registry}/{parsed.reference.repository}"
    return f"{parsed.transport.value}:{parsed.path}"


def _run(report: Report, rules: list[Rule], lines: StepLines | None) -> dict[str, Any]:
    positions = {rule.check: number for number, rule in enumerate(rules)}
    capabilities = {result.check: [item.value for item in result.capabilities] for result in report.results}
    status = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.OPEN: 3}[report.verdict]
    return {
        "tool": {
            "driver": {
                "name": "cosinspect",
                "version": __version__,
                "semanticVersion": __version__,
                "informationUri": PROJECT,
                "rules": [_rule(rule, capabilities.get(rule.check, [])) for rule in rules],
            }
        },
        # The part before the last slash is the category, which separates the alerts of different images.
        "automationDetails": {"id": f"cosinspect/{quote(subject(report.name), safe='/:.-_')}/"},
        "originalUriBaseIds": {
            BASE: {"description": {"text": f"the root of {printable(report.name)} at {report.digest}"}}
        },
        "invocations": [
            {
                "executionSuccessful": report.verdict is not Verdict.OPEN,
                "exitCode": status,
                "exitCodeDescription": sentence(report),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": _numbered(
            [each for result in report.results for each in _results(report, result, positions, lines)]
        ),
        "properties": {
            "image": printable(report.name),
            "digest": report.digest,
            "platform": printable(report.platform),
            "profile": printable(report.profile),
            "policies": [printable(name) for name in report.policies],
            "generation": report.generation,
            **({"upgradeFrom": printable(report.upgrade_from.line)} if report.upgrade_from else {}),
            "verdict": report.verdict.value,
            "provisional": list(report.reservations),
            "capabilities": {
                capability.value: result.status.value for capability, result in report.capabilities.items()
            },
            "unusedWaivers": [_waiver(waiver) for waiver in report.unused],
        },
    }


def _rule(rule: Rule, capabilities: list[str]) -> dict[str, Any]:
    remedy = printable(rule.remedy)
    return {
        "id": rule.check,
        "name": rule.name,
        "shortDescription": {"text": printable(rule.summary)},
        "fullDescription": {"text": printable(f"{rule.summary} {rule.why}")},
        "help": {
            "text": f"{printable(rule.why)}\n\n{remedy}",
            "markdown": f"{_markdown(rule.why)}\n\n**Remedy:** {_markdown(rule.remedy)}",
        },
        **_help_page(rule),
        "defaultConfiguration": {"level": rule.level.value},
        "properties": {
            "tags": capabilities,
            "precision": "very-high",
            "problem.severity": {
                Level.ERROR: "error",
                Level.WARNING: "warning",
                Level.NOTE: "recommendation",
            }[rule.level],
        },
    }


def _markdown(text: str) -> str:
    """Return text whose links and tags have no effect; code spans of our texts stay."""
    return _LINK.sub(r"\\[", printable(text)).replace("<", "&lt;")


def _help_page(rule: Rule) -> dict[str, str]:
    """Return the page of a check of the catalogue; a plugin's check has none here."""
    if not re.fullmatch(r"COS\d{3}", rule.check):
        return {}
    return {"helpUri": f"{PROJECT}/blob/main/docs/checks.md#{rule.check.lower()}-{quote(rule.name)}"}


def _numbered(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number the line hashes of results of one rule at one line: equal ones would be one alert."""
    seen: Counter[tuple[str, str]] = Counter()
    for each in results:
        fingerprints = each["partialFingerprints"]
        value, _, count = fingerprints[LINE_HASH].rpartition(":")
        key = each["ruleId"], fingerprints[LINE_HASH]
        fingerprints[LINE_HASH] = f"{value}:{int(count) + seen[key]}"
        seen[key] += 1
    return results


def _results(
    report: Report, result: CheckResult, positions: dict[str, int], lines: StepLines | None
) -> list[dict[str, Any]]:
    """Return one result per finding and per open check; passed checks make no alert."""
    if result.kind is Kind.OPEN:
        text = "\n".join(result_lines(report, result))
        # For a result that is not a failure, the standard allows only this level.
        return [
            _result(report, result, Finding(text, waiver=result.waiver), positions, text, 0, "none", lines)
        ]
    seen: Counter[str] = Counter()
    found = []
    for finding in result.findings:
        key = finding.path or finding.message
        text = "\n".join(finding_lines(report, finding))
        level = result.level.value
        found.append(_result(report, result, finding, positions, text, seen[key], level, lines))
        seen[key] += 1
    return found


def _result(
    report: Report,
    result: CheckResult,
    finding: Finding,
    positions: dict[str, int],
    text: str,
    number: int,
    level: str,
    lines: StepLines | None,
) -> dict[str, Any]:
    fingerprint = _fingerprint(result, finding, number)
    line_hash = f"{fingerprint[:16]}:1" if lines is None else lines.hashes[lines.of(finding.layer).first - 1]
    values: dict[str, Any] = {
        "ruleId": result.check,
        "kind": result.kind.value,
        "level": level,
        "message": {"text": _LINK.sub(r"\\[", text)},
        "locations": [_location(report, finding, lines)],
        "partialFingerprints": {FINGERPRINT: fingerprint, LINE_HASH: line_hash},
        "properties": {
            "name": result.name,
            "capabilities": [capability.value for capability in result.capabilities],
        },
    }
    if lines is not None and finding.path:
        in_image = _location(report, finding, None)
        values["relatedLocations"] = [{**in_image, "id": 1, "message": {"text": "the path in the image"}}]
    if result.check in positions:
        values["ruleIndex"] = positions[result.check]
    # An empty list means that there are no suppressions (section 3.27.23).
    values["suppressions"] = (
        [_suppression(finding.waiver)] if finding.waiver and not finding.waiver.expired else []
    )
    return values


def _fingerprint(result: CheckResult, finding: Finding, number: int) -> str:
    """Return an identifier of a finding that is stable across builds: of its check and place, or its message without a place."""
    place = finding.path or (finding.message if result.kind is Kind.FAIL else "")
    return hashlib.sha256(f"{result.check}\n{printable(place)}\n{number}".encode()).hexdigest()[:32]


def _location(report: Report, finding: Finding, lines: StepLines | None) -> dict[str, Any]:
    region = {"startLine": 1}
    if lines is not None:
        at = {"uri": quote(printable(lines.name), safe="/"), "uriBaseId": SOURCES}
        made = lines.of(finding.layer)
        region = {"startLine": made.first, "endLine": made.last}
    elif finding.path:
        at = {"uri": quote(printable(finding.path).strip("/"), safe="/") or ".", "uriBaseId": BASE}
    else:
        at = {"uri": quote(subject(report.name), safe="/")}
    physical: dict[str, Any] = {"artifactLocation": at, "region": region}
    return {"physicalLocation": physical, "logicalLocations": _logical(report, finding)}


def _logical(report: Report, finding: Finding) -> list[dict[str, Any]]:
    """Return the image, the layer and the build step."""
    image = f"{printable(report.name)}@{report.digest}"
    found: list[dict[str, Any]] = [
        {"name": printable(report.name), "fullyQualifiedName": image, "kind": "image"}
    ]
    if finding.layer is not None:
        layer: dict[str, Any] = {"name": f"layer {finding.layer}", "kind": "layer"}
        if finding.layer < len(report.layers):
            made = report.layers[finding.layer]
            layer["fullyQualifiedName"] = f"{image}/{made.digest}"
            found.append(layer)
            if made.created_by:
                step = printable(" ".join(made.created_by.split()))
                found.append({"name": step, "kind": "build step", "fullyQualifiedName": f"{image}/{step}"})
        else:
            found.append(layer)
    return found


def _suppression(waiver: Waiver) -> dict[str, Any]:
    return {
        "kind": "external",
        "status": "accepted",
        "justification": printable(waiver.reason),
        "properties": {"expires": waiver.expires.isoformat()},
    }


def _waiver(waiver: Waiver) -> dict[str, Any]:
    values = waiver.to_dict()
    return {key: printable(value) if isinstance(value, str) else value for key, value in values.items()}
