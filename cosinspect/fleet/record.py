"""The record of one image of a scan: a line of JSON that can be sorted, compared, and resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from attrs import field, frozen

from cosinspect.errors import InvalidScan
from cosinspect.inspection.worker import Outcome
from cosinspect.report.json_text import json_text
from cosinspect.report.report import Capability
from cosinspect.report.schema import document_schema
from cosinspect.wire_types import ready

__all__ = ["ERROR", "SCHEMA", "ScanRecord", "read_records"]

SCHEMA = "cosinspect.scan/1"
ERROR = "error"
"""The verdict of an image that could not be inspected."""


@frozen
class ScanRecord:
    """The result for one image; it does not depend on time or on the cache.

    Attributes:
        image: as given.
        digest: of the name, None if unknown.
        verdict: pass, fail, open, or error.
        message: the reason in one line.
        rules: key of the rulebook.
        platform: of the image.
        generation: of the toolkit in it.
        profile: the applied profile.
        capabilities: the status of each.
        failed: ids of failed checks, without waived ones.
        undecided: ids of open checks, without waived ones.
        layers: digests and sizes, bottom first.
        version: of the cosinspect that judged it, "" in a line of an earlier one that did not say.
    """

    image: str
    digest: str | None
    verdict: str
    message: str
    rules: str
    platform: str = ""
    generation: str = ""
    profile: str = ""
    capabilities: Mapping[str, str] = field(factory=dict, hash=False)
    failed: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    layers: tuple[tuple[str, int], ...] = ()
    version: str = ""

    @classmethod
    def of(cls, image: str, digest: str | None, rules: str, outcome: Outcome) -> ScanRecord:
        """Make the record of an inspection."""
        if outcome.verdict is None:
            return cls(image, digest, ERROR, outcome.message, rules, version=outcome.version)
        report = json.loads(outcome.report)
        results = report["results"]
        return cls(
            image,
            digest,
            outcome.verdict.value,
            outcome.message,
            rules,
            report["image"]["platform"],
            report["generation"],
            report["profile"],
            {name: found["status"] for name, found in report["capabilities"].items()},
            tuple(each["check"] for each in results if each["kind"] == "fail" and not _waived(each)),
            tuple(each["check"] for each in results if each["kind"] == "open" and not _waived(each)),
            tuple((layer["digest"], layer["size"]) for layer in report["image"]["layers"]),
            outcome.version,
        )

    @property
    def size(self) -> int:
        """Compressed bytes of its layers."""
        return sum(size for _, size in self.layers)

    def line(self) -> str:
        """Return it as one line of JSON in ASCII, with its line break."""
        values = {
            "schema": SCHEMA,
            "image": self.image,
            "digest": self.digest,
            "verdict": self.verdict,
            "message": self.message,
            "rules": self.rules,
            "version": self.version,
            "platform": self.platform,
            "generation": self.generation,
            "profile": self.profile,
            "capabilities": dict(self.capabilities),
            "failed": list(self.failed),
            "undecided": list(self.undecided),
            "layers": [{"digest": digest, "size": size} for digest, size in self.layers],
        }
        return json_text(values) + "\n"

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of a line."""
        return document_schema(_WireRecord, title=SCHEMA)

    def row(self) -> dict[str, Any]:
        """Return it as flat values, for tables."""
        abilities = {each.value: self.capabilities.get(each.value, "") for each in Capability}
        return {
            "image": self.image,
            "digest": self.digest or "",
            "verdict": self.verdict,
            **abilities,
            "generation": self.generation,
            "platform": self.platform,
            "profile": self.profile,
            "failed": " ".join(self.failed),
            "undecided": " ".join(self.undecided),
            "layers": len(self.layers),
            "size": self.size,
            "message": self.message,
            "version": self.version,
        }


class _WireLayer(msgspec.Struct):
    digest: str
    size: int


class _WireRecord(msgspec.Struct):
    schema: str
    image: str
    digest: str | None
    verdict: str
    message: str
    rules: str
    platform: str = ""
    generation: str = ""
    profile: str = ""
    capabilities: dict[str, str] = {}
    failed: list[str] = []
    undecided: list[str] = []
    layers: list[_WireLayer] = []
    version: str = ""


def read_records(path: Path) -> tuple[list[ScanRecord], int]:
    """Read the file of an earlier scan: return the records, and the offset of the end of the last complete line.

    A killed scan may leave half a line at the end.

    Raises:
        InvalidScan: the file is not one of a scan.
    """
    found: list[ScanRecord] = []
    end = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                found.append(_record(line, path, len(found) + 1))
                end += len(line)
    except FileNotFoundError:
        return [], 0
    except OSError as fault:
        raise InvalidScan(f"the file cannot be read: {fault.strerror or fault}", where=str(path)) from fault
    return found, end


def _record(line: bytes, path: Path, number: int) -> ScanRecord:
    try:
        wire = msgspec.json.decode(line, type=ready(_WireRecord))
        if wire.schema != SCHEMA:
            raise InvalidScan(
                f"expected lines of {SCHEMA}, found {wire.schema[:60]!r}", where=f"{path}, line {number}"
            )
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise InvalidScan(
            f"expected what an earlier scan wrote: {fault}",
            where=f"{path}, line {number}",
            remedy="name another file, or remove this one",
        ) from fault
    return ScanRecord(
        wire.image,
        wire.digest,
        wire.verdict,
        wire.message,
        wire.rules,
        wire.platform,
        wire.generation,
        wire.profile,
        wire.capabilities,
        tuple(wire.failed),
        tuple(wire.undecided),
        tuple((layer.digest, layer.size) for layer in wire.layers),
        wire.version,
    )


def _waived(result: Mapping[str, Any]) -> bool:
    """Return whether all that keeps a result from passing is waived, as `CheckResult.is_waived` does."""
    waivers = (
        [each["waiver"] for each in result["findings"]] if result["kind"] == "fail" else [result["waiver"]]
    )
    if result["kind"] == "fail" and (result["reason"] or not waivers):
        return False
    return all(waiver is not None and not waiver["expired"] for waiver in waivers)
