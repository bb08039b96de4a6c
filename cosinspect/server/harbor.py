"""Harbor's pluggable scanner, API 1.2: findings beside the vulnerabilities that its pages and its rules for pulls go by.

The protocol knows vulnerabilities only, so a finding is told as one: its id is the check, its package the path in the image.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from attrs import frozen

from cosinspect.errors import CosinspectError
from cosinspect.oci.reference import Reference
from cosinspect.report.report import Verdict
from cosinspect.server.configuration import Configuration, Mode
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
"""Characters of a rule's key by which a scan names it."""

_SCANNER = {"name": "cosinspect", "vendor": "The cosinspect authors", "version": __version__}
_SEVERITIES = ("None", "Low", "Medium", "High", "Critical")


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
    """Answers Harbor.

    Attributes:
        configuration: whose rules say what is required.
        inspector: inspects.
    """

    configuration: Configuration
    inspector: Inspector

    def metadata(self) -> Reply:
        """Say what it scans, and what comes of it."""
        capability = {
            "type": "vulnerability",
            "consumes_mime_types": CONSUMES,
            "produces_mime_types": [REPORT],
        }
        properties = {"harbor.scanner-adapter/scanner-type": "os-image"}
        told = {"scanner": _SCANNER, "capabilities": [capability], "properties": properties}
        return reply_json(told, media_type=METADATA)

    async def scan(self, body: bytes) -> Reply:
        """Take an image to inspect, and give the id by which its report is asked for.

        Raises:
            Refusal: it is no request, names no image, or one of which no rule speaks; or there is no room.
        """
        asked = parse_json(body, _Scan, "a scan request of Harbor")
        url = urlsplit(asked.registry.url)
        if url.scheme not in ("http", "https") or not url.netloc or "@" in url.netloc:
            raise Refusal(422, "registry.url: expected http:// or https:// and a host")
        name = f"{url.netloc}/{asked.artifact.repository}@{asked.artifact.digest}"
        try:
            reference = Reference.parse(name)
        except CosinspectError as fault:
            raise Refusal(422, f"artifact: {fault}") from fault
        rule = self.configuration.rule(reference)
        if rule is None or rule.mode is Mode.SKIP:
            raise Refusal(422, f"no rule speaks of {reference}")
        # With no time to wait, deciding is asking for it.
        decision = await self.inspector.decide(
            name,
            rule,
            until=time.monotonic(),
            authorization=asked.registry.authorization,
            plain_http=url.scheme == "http",
        )
        if decision.standing is Standing.BUSY:
            raise Refusal(500, decision.message)
        scan = f"{str(reference.digest).replace(':', '-')}.{self.inspector.key(rule)[:SHORT_KEY]}"
        return reply_json({"id": scan}, status=202, media_type=RESPONSE)

    def report(self, scan: str) -> Reply:
        """Give the report of a scan, or say that it is not there yet.

        Raises:
            Refusal: there is no such scan, or it failed.
        """
        digest, _, key = scan.partition(".")
        digest = digest.replace("-", ":", 1)
        rule = next(
            (each for each in self.inspector.rules if self.inspector.key(each)[:SHORT_KEY] == key), None
        )
        if rule is None:
            raise Refusal(404, "there is no such scan")
        decided = self.inspector.look_up(digest, rule)
        if decided is not None:
            return reply_json(_report(decided), media_type=REPORT)
        if self.inspector.is_in_hand(digest, rule):
            headers = {
                "Refresh-After": str(REFRESH_SECONDS),
                "Location": f"/scanner/api/v1/scan/{scan}/report",
            }
            return Reply(status=302, headers=headers)
        failure = self.inspector.failure(digest, rule)
        if failure is not None:
            raise Refusal(500, failure)
        raise Refusal(404, "there is no such scan, or it was forgotten: ask for it anew")


def _report(decided: Decided) -> dict[str, Any]:
    report = json.loads(decided.report)
    found = list(_vulnerabilities(report))
    severities = [each["severity"] for each in found]
    if decided.verdict is Verdict.OPEN:
        severities.append("High")
    worst = max(severities, key=_SEVERITIES.index, default="None")
    image = report["image"]
    repository = image["name"].partition("@")[0].partition("/")[2]
    return {
        "generated_at": datetime.fromtimestamp(decided.decided, UTC).isoformat(),
        "artifact": {"repository": repository, "digest": decided.digest, "mime_type": CONSUMES[0]},
        "scanner": _SCANNER,
        "severity": worst,
        "vulnerabilities": found,
    }


def _vulnerabilities(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    required = set(report["required"])
    for result in report["results"]:
        if result["kind"] != "fail":
            continue
        decisive = bool(required.intersection(result["capabilities"]))
        level = {"error": "High", "warning": "Medium", "note": "Low"}[result["level"]]
        for finding in result["findings"]:
            waived = finding["waiver"] is not None and not finding["waiver"]["expired"]
            yield {
                "id": result["check"],
                "package": finding["path"] or result["name"],
                "version": report["generation"],
                "fix_version": finding["remedy"] or "",
                "severity": "Low" if waived else "Critical" if decisive else level,
                "description": f"{result['name']}: {finding['message']}" + (" (waived)" if waived else ""),
                "links": [],
            }
