"""Versions as HashiCorp's `go-version` 1.9 reads and compares them; kairos-init chooses a kernel by them.

`6.12` is 6.12.0 and prints so, `6.1.0-50-amd64` is a pre-release of 6.1.0, and a name with an underscore is not a version.
"""

from __future__ import annotations

import re
from functools import total_ordering

from attrs import frozen

__all__ = ["GoVersion", "go_version"]

_VERSION = re.compile(
    r"v?([0-9]+(?:\.[0-9]+)*?)"
    r"(?:-([0-9]+[0-9A-Za-z\-~]*(?:\.[0-9A-Za-z\-~]+)*)|(?:-?([A-Za-z\-~]+[0-9A-Za-z\-~]*(?:\.[0-9A-Za-z\-~]+)*)))?"
    r"(?:\+([0-9A-Za-z\-~]+(?:\.[0-9A-Za-z\-~]+)*))?"
)
_LARGEST = 2**63 - 1
_MOST_CHARACTERS = 255  # of a name in a directory


@total_ordering
@frozen(eq=False, order=False)
class GoVersion:
    """A version; comparisons ignore the text after a `+`."""

    segments: tuple[int, ...]
    prerelease: str
    metadata: str

    def __str__(self) -> str:
        text = ".".join(map(str, self.segments))
        text += f"-{self.prerelease}" if self.prerelease else ""
        return text + (f"+{self.metadata}" if self.metadata else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoVersion) and self._compare(other) == 0

    def __lt__(self, other: GoVersion) -> bool:
        return self._compare(other) < 0

    __hash__ = None  # type: ignore[assignment] # equal ones may print otherwise

    def _compare(self, other: GoVersion) -> int:
        length = max(len(self.segments), len(other.segments))
        own, others = (each.segments + (0,) * (length - len(each.segments)) for each in (self, other))
        if own != others:
            return -1 if own < others else 1
        if len(self.segments) != len(other.segments):
            return 0  # pre-releases are compared only after equally many numbers
        return _compare_prereleases(self.prerelease, other.prerelease)


def go_version(name: str) -> GoVersion | None:
    """Parse a version; return None if it is invalid."""
    found = _VERSION.fullmatch(name) if len(name) <= _MOST_CHARACTERS else None
    if found is None:
        return None
    segments = [int(part) for part in found[1].split(".")]
    if max(segments) > _LARGEST:
        return None
    segments += [0] * (3 - len(segments))
    return GoVersion(tuple(segments), found[3] or found[2] or "", found[4] or "")


def _compare_prereleases(own: str, other: str) -> int:
    if own == other:
        return 0
    if not own or not other:
        return 1 if not own else -1
    parts, others = own.split("."), other.split(".")
    for number in range(max(len(parts), len(others))):
        found = _compare_parts(
            parts[number] if number < len(parts) else "", others[number] if number < len(others) else ""
        )
        if found:
            return found
    return 0


def _compare_parts(own: str, other: str) -> int:
    """Compare one part: a number is lower than a word; a missing part is lower than a number and higher than a word."""
    if own == other:
        return 0
    numeric, other_numeric = _number(own), _number(other)
    if not own:
        return -1 if other_numeric is not None else 1
    if not other:
        return 1 if numeric is not None else -1
    if (numeric is None) != (other_numeric is None):
        return 1 if numeric is None else -1
    if numeric is None or other_numeric is None:
        return 1 if own > other else -1
    return 1 if numeric > other_numeric else -1  # also for 1 and 01


def _number(text: str) -> int | None:
    if not text.removeprefix("-").isdigit():
        return None
    value = int(text)
    return value if -_LARGEST - 1 <= value <= _LARGEST else None
