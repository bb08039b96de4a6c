"""The port of stores of verdicts, and a stored verdict."""

from __future__ import annotations

import zlib
from typing import Protocol

from attrs import frozen

from cosinspect.report.report import Verdict

__all__ = ["COLUMNS", "Decided", "Row", "StoreFailure", "VerdictStore"]

COLUMNS = ("digest", "rules", "verdict", "message", "report", "decided")
Row = tuple[str, str, str, str, bytes, float]


class StoreFailure(Exception):
    """The store does not answer, or a row is not a verdict; the message says why."""


@frozen
class Decided:
    """The verdict on an image by a set of rules.

    Attributes:
        digest: of the manifest or index that was requested.
        rules: key of everything that decides the verdict besides the image.
        verdict: pass, fail, or open.
        message: why, in one line.
        report: the report as JSON (`cosinspect.report/1`).
        decided: when, in seconds since 1970.
    """

    digest: str
    rules: str
    verdict: Verdict
    message: str
    report: bytes
    decided: float

    def row(self) -> Row:
        """Return the values of a table's columns; the report is compressed."""
        return (
            self.digest,
            self.rules,
            self.verdict.value,
            self.message,
            zlib.compress(self.report, 6),
            self.decided,
        )

    @classmethod
    def of_row(cls, row: Row) -> Decided:
        """Return the verdict that a row holds.

        Raises:
            StoreFailure: the row is not a verdict.
        """
        digest, rules, verdict, message, report, decided = row
        try:
            return cls(digest, rules, Verdict(verdict), message, zlib.decompress(report), decided)
        except (zlib.error, ValueError, TypeError) as fault:
            raise StoreFailure(f"expected a verdict, found another row: {fault}") from fault


class VerdictStore(Protocol):
    """Stores verdicts; every method may be called from several threads, and may wait for a disk or a network.

    Every method except `close` raises `StoreFailure` if the store does not answer.
    """

    def find(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules, None if there is none."""
        ...

    def latest(self, digest: str) -> Decided | None:
        """Return the latest verdict on an image, by any rules; None if there is none."""
        ...

    def keep(self, decided: Decided) -> None:
        """Write a verdict; return when it is written."""
        ...

    def probe(self) -> None:
        """Write a probe, which changes no verdict."""
        ...

    def __len__(self) -> int:
        """Return the number of verdicts."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...
