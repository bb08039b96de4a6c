r"""A report as SARIF 2.1.0, the interchange format of static analysis that code scanning services read.

It follows the OASIS standard. The physical location of a finding is the path in the image (relative to the
base `IMAGE`). The logical locations are the image, the layer and its build step. A fingerprint does not
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

from cosinspect.errors import InvalidReference
from cosinspect.oci.reference import ImageName
from cosinspect.report.display import printable
from cosinspect.report.lines import finding_lines, result_lines, sentence
from cosinspect.report.report import CheckResult, Finding, Kind, Level, Report, Rule, Verdict, Waiver
from cosinspect.version import __version__

__all__ = ["SarifRenderer", "subject"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
BASE = "IMAGE"
FINGERPRINT = "cosinspect/v1"

# `[text](target)` is a link even in a plain-text message; a backslash escapes it (section 3.11.6).
_LINK = re.compile(r"\[(?=[^\]]*\]\()")


class SarifRenderer:
    """Writes one document with one run; ignores colour and width."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(report)]}
        stream.write(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def subject(name: str) -> str:
    """Return an image's name without tag and digest; it is the same for every build."""
    try:
        parsed = ImageName.parse(name)
    except InvalidReference:
        return name
    if parsed.reference is not None:
        return f"{parsed.reference.registry}/{parsed.reference.repository}"
    return f"{parsed.transport.value}:{parsed.path}"


def _run(report: Report) -> dict[str, Any]:
    positions = {rule.check: number for number, rule in enumerate(report.rules)}
    capabilities = {result.check: [item.value for item in result.capabilities] for result in report.results}
    status = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.OPEN: 3}[report.verdict]
    return {
        "tool": {
            "driver": {
                "name": "cosinspect",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(rule, capabilities.get(rule.check, [])) for rule in report.rules],
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
        "results": [each for result in report.results for each in _results(report, result, positions)],
        "properties": {
            "image": printable(report.name),
            "digest": report.digest,
            "platform": printable(report.platform),
            "profile": printable(report.profile),
            "policies": [printable(name) for name in report.policies],
            "generation": report.generation,
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
        "help": {"text": f"{printable(rule.why)}\n\n{remedy}"},
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


def _results(report: Report, result: CheckResult, positions: dict[str, int]) -> list[dict[str, Any]]:
    """Return one result per finding and per open check; passed checks make no alert."""
    if result.kind is Kind.OPEN:
        lines = "\n".join(result_lines(report, result))
        # For a result that is not a failure, the standard allows only this level.
        return [_result(report, result, Finding(lines, waiver=result.waiver), positions, lines, 0, "none")]
    seen: Counter[str] = Counter()
    found = []
    for finding in result.findings:
        key = finding.path or finding.message
        lines = "\n".join(finding_lines(report, finding))
        found.append(_result(report, result, finding, positions, lines, seen[key], result.level.value))
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
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "ruleId": result.check,
        "kind": result.kind.value,
        "level": level,
        "message": {"text": _LINK.sub(r"\\[", text)},
        "locations": [_location(report, finding)],
        "partialFingerprints": {FINGERPRINT: _fingerprint(result, finding, number)},
        "properties": {
            "name": result.name,
            "capabilities": [capability.value for capability in result.capabilities],
        },
    }
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


def _location(report: Report, finding: Finding) -> dict[str, Any]:
    if finding.path:
        at = {"uri": quote(printable(finding.path).strip("/"), safe="/") or ".", "uriBaseId": BASE}
    else:
        at = {"uri": quote(subject(report.name), safe="/")}
    physical: dict[str, Any] = {"artifactLocation": at, "region": {"startLine": 1}}
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
