"""Harbor's pluggable scanner, API 1.2: findings as vulnerabilities, which Harbor's pages and pull rules use.

The protocol has only vulnerabilities, so a finding becomes one: its id is the check, its package the path in the image and the
image's digest. Harbor stores one row for each id, package and version, for all images (vulnerability_record).

Harbor refuses a pull by the most severe vulnerability. The results that decide are `Critical` if the rule enforces; an admitted
image has none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from attrs import evolve, frozen

from cosinspect.errors import CosinspectError, InvalidReport
from cosinspect.oci.reference import Reference
from cosinspect.report.display import printable
from cosinspect.report.report import CheckResult, Kind, Level, Report, Verdict
from cosinspect.server.configuration import AdmissionRule, Configuration, Mode, Otherwise
from cosinspect.server.exchange import Refusal, Reply, parse_json, reply_json
from cosinspect.server.inspector import Inspector, Standing
from cosinspect.server.verdicts import Decided
from cosinspect.version import __version__

__all__ = ["Scanner"]

METADATA = "application/vnd.scanner.adapter.metadata+json; version=1.1"
RESPONSE = "application/vnd.scanner.adapter.scan.response+json; version=1.0"
ERROR = "application/vnd.scanner.adapter.error; version=1.0"
REPORT = "application/vnd.security.vulnerability.report; version=1.1"
CONSUMES = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]
REFRESH_SECONDS = 5
SHORT_KEY = 16
"""Characters of a rule's key in the id of a scan."""

_SCANNER = {"name": "cosinspect", "vendor": "The cosinspect authors", "version": __version__}
_SEVERITIES = ("None", "Low", "Medium", "High", "Critical")
_LEVELS = {Level.ERROR: "High", Level.WARNING: "Medium", Level.NOTE: "Low"}
_PORTS = {"http": 80, "https": 443}
PATH_BYTES = 1000
"""Bytes of a path that are stored; a row of PostgreSQL's index has at most 2,704 bytes."""
TEXT = 4000
"""Characters of a description."""
VERDICT = "COSINSPECT-VERDICT"
"""The id of a deciding result without a check."""


class _Registry(msgspec.Struct):
    url: str
    authorization: str | None = None


class _Artifact(msgspec.Struct):
    repository: str
    digest: str
    mime_type: str = ""
    tag: str = ""


class _Scan(msgspec.Struct):
    registry: _Registry
    artifact: _Artifact


@frozen
class Scanner:
    """Answers requests of Harbor.

    Attributes:
        configuration: has the rules.
        inspector: inspects the images.
    """

    configuration: Configuration
    inspector: Inspector

    def metadata(self) -> Reply:
        """Return the media types that the scanner accepts and returns."""
        capability = {
            "type": "vulnerability",
            "consumes_mime_types": CONSUMES,
            "produces_mime_types": [REPORT],
        }
        properties = {"harbor.scanner-adapter/scanner-type": "os-image"}
        told = {"scanner": _SCANNER, "capabilities": [capability], "properties": properties}
        return reply_json(told, media_type=METADATA)

    async def scan(self, body: bytes) -> Reply:
        """Accept an image to inspect; return the id with which its report is requested.

        Raises:
            Refusal: it is not a request, does not name an image that a rule matches, or the queue is full.
        """
        asked = parse_json(body, _Scan, "a scan request of Harbor")
        url = urlsplit(asked.registry.url)
        if url.scheme not in _PORTS or not url.netloc or "@" in url.netloc:
            raise Refusal(422, "registry.url: expected http:// or https:// and a host")
        # In an image name, a host without a dot or port, as Harbor's core may have it, is an owner on Docker Hub.
        host = url.netloc if set(".:").intersection(url.netloc) else f"{url.netloc}:{_PORTS[url.scheme]}"
        name = f"{host}/{asked.artifact.repository}@{asked.artifact.digest}"
        try:
            reference = Reference.parse(name)
        except CosinspectError as fault:
            raise Refusal(422, f"artifact: {fault}") from fault
        rule = self.configuration.rule(self._known_as(reference, url.netloc))
        if rule is None or rule.mode is Mode.SKIP:
            raise Refusal(422, f"no rule matches {reference}")
        # Without time to wait, `decide` only starts the inspection.
        decision = await self.inspector.decide(
            name,
            rule,
            until=time.monotonic(),
            authorization=asked.registry.authorization,
            plain_http=url.scheme == "http",
        )
        if decision.standing is Standing.BUSY:
            raise Refusal(500, decision.message)
        parts = str(reference.digest).replace(":", "-"), self.inspector.key(rule)[:SHORT_KEY], decision.place
        scan = ".".join(parts)
        return reply_json({"id": scan}, status=202, media_type=RESPONSE)

    def report(self, scan: str) -> Reply:
        """Return the report of a scan, or an answer that asks to retry.

        Raises:
            Refusal: there is no such scan, or it failed.
        """
        digest, _, rest = scan.partition(".")
        key, _, place = rest.partition(".")
        digest = digest.replace("-", ":", 1)
        rule = next(
            (each for each in self.inspector.rules if self.inspector.key(each)[:SHORT_KEY] == key), None
        )
        if rule is None:
            raise Refusal(404, "there is no such scan")
        decided = self.inspector.look_up(place, digest, rule)
        if decided is not None:
            return reply_json(self._report(decided, rule), media_type=REPORT)
        if self.inspector.is_in_hand(place, digest, rule):
            headers = {
                "Refresh-After": str(REFRESH_SECONDS),
                "Location": f"/scanner/api/v1/scan/{scan}/report",
            }
            return Reply(status=302, headers=headers)
        failure = self.inspector.failure(place, digest, rule)
        if failure is not None:
            raise Refusal(500, failure)
        raise Refusal(404, "there is no such scan, or it was deleted: request it again")

    def _known_as(self, reference: Reference, address: str) -> Reference:
        """Return an image's name with the host that rules use: Harbor may send an internal address of its registry."""
        harbor = self.configuration.harbor
        public = harbor.addresses.get(address) if harbor is not None else None
        return evolve(reference, registry=public) if public is not None else reference

    def _report(self, decided: Decided, rule: AdmissionRule) -> dict[str, Any]:
        """Return a report as Harbor reads it.

        Raises:
            Refusal: the stored report cannot be read.
        """
        try:
            report = Report.from_dict(json.loads(decided.report))
        except InvalidReport as fault:
            raise Refusal(500, f"the report of {decided.digest} cannot be read: {fault}") from fault
        enforces = rule.mode is Mode.ENFORCE
        undecided = enforces and self.configuration.admission.undecided is Otherwise.DENY
        gravest = {
            Kind.FAIL: "Critical" if enforces else "High",
            Kind.OPEN: "Critical" if undecided else "High",
        }
        found = _joined(_items(report, decided, gravest))
        repository = report.name.partition("@")[0].partition("/")[2]
        return {
            "generated_at": datetime.fromtimestamp(decided.decided, UTC).isoformat(),
            "artifact": {"repository": repository, "digest": decided.digest, "mime_type": CONSUMES[0]},
            "scanner": _SCANNER,
            "severity": max((each["severity"] for each in found), key=_SEVERITIES.index, default="None"),
            "vulnerabilities": found,
        }


def _items(report: Report, decided: Decided, gravest: dict[Kind, str]) -> Iterator[dict[str, Any]]:
    """Yield an item for each finding, and one for each check that is undecided."""
    said = False
    deciding = {
        check
        for capability in report.required
        if (found := report.capabilities.get(capability)) is not None
        for check in found.because
    }
    for result in report.results:
        if result.kind not in gravest:
            continue
        decisive = report.verdict is not Verdict.PASS and (
            report.is_decisive(result) or (result.check in deciding and not result.is_waived)
        )
        said |= decisive and (result.kind is Kind.FAIL or report.verdict is Verdict.OPEN)
        severity = gravest[result.kind] if decisive else _LEVELS[result.level]
        yield from _told(report, result, decided.digest, severity)
    if not said and report.verdict is not Verdict.PASS:
        severity = gravest[Kind.FAIL if report.verdict is Verdict.FAIL else Kind.OPEN]
        yield _item(VERDICT, "image", report, decided.digest, severity, decided.message)


def _told(report: Report, result: CheckResult, digest: str, severity: str) -> Iterator[dict[str, Any]]:
    if result.kind is Kind.OPEN:
        waived = " (waived)" if result.is_waived else ""
        text = f"{result.name}: it cannot be decided: {result.reason}{waived}"
        yield _item(result.check, result.name, report, digest, "Low" if waived else severity, text)
        return
    for finding in result.findings:
        waived = " (waived)" if finding.is_waived else ""
        text = f"{result.name}: {finding.message}{waived}"
        level = "Low" if waived else severity
        yield _item(
            result.check, finding.path or result.name, report, digest, level, text, finding.remedy or ""
        )


def _item(
    identifier: str, path: str, report: Report, digest: str, severity: str, text: str, remedy: str = ""
) -> dict[str, Any]:
    return {
        "id": identifier,
        "package": f"{_cut(printable(path))}@{digest}",
        "version": report.generation,
        "fix_version": printable(remedy)[:TEXT],
        "severity": severity,
        "description": printable(text)[:TEXT],
        "links": [],
    }


def _cut(path: str) -> str:
    """Return a path of at most `PATH_BYTES`; a longer one ends in its hash, so that paths with the same beginning differ."""
    raw = path.encode()
    if len(raw) <= PATH_BYTES:
        return path
    return f"{raw[:900].decode(errors='ignore')}…{hashlib.sha256(raw).hexdigest()[:16]}"


def _joined(items: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge items that Harbor treats as one: those of one check at one path."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items:
        first = found.setdefault((item["id"], item["package"]), item)
        if first is item:
            continue
        first["severity"] = max(first["severity"], item["severity"], key=_SEVERITIES.index)
        first["description"] = f"{first['description']}; {item['description']}"[:TEXT]
        first["fix_version"] = first["fix_version"] or item["fix_version"]
    return list(found.values())
