"""Sizes and version ranges as people write them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from attrs import frozen

from cosinspect.formats.packages.package import PackageType
from cosinspect.policy.version_order import parse_version

__all__ = ["VersionRange", "parse_size", "split_range"]

_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(bytes|[kMGT]B|[KMGT]iB)")
_UNITS = {
    "bytes": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_COMPARISON = re.compile(r"(>=|<=|!=|==|=|<|>)\s*(\S+)")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt,
    "!=": operator.ne, "==": operator.eq, "=": operator.eq,
}  # fmt: skip


def parse_size(text: str) -> int:
    """Return the bytes of `800 MB` or `1.5 GiB`.

    Raises:
        ValueError: the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a size such as 800 MB or 1.5 GiB, found {text[:40]!r}")
    return int(float(match[1]) * _UNITS[match[2]])


@frozen
class VersionRange:
    """Comparisons that must all be true, `>=0.14, <1.0`, by the order of a kind of packages (`version_order`).

    Attributes:
        text: as written.
        kind: the kind of packages.
        bounds: operator and version of each.
    """

    text: str
    kind: PackageType
    bounds: tuple[tuple[str, Any], ...]

    @classmethod
    def parse(cls, text: str, kind: PackageType = "luet") -> VersionRange:
        """Read a range of versions of a kind of packages.

        Raises:
            ValueError: the text is not a range.
            MissingPackage: the extra `policy` is not installed.
        """
        bounds = [(sign, parse_version(version, kind)) for sign, version in split_range(text)]
        return cls(text, kind, tuple(bounds))

    def holds(self, version: str) -> bool:
        """Return whether a version is in the range.

        Raises:
            ValueError: the text is not a version.
        """
        found = parse_version(version, self.kind)
        return all(_OPERATORS[sign](found, bound) for sign, bound in self.bounds)


def split_range(text: str) -> list[tuple[str, str]]:
    """Return the operator and the version of each comparison of a range.

    Raises:
        ValueError: the text is not a range.
    """
    found = []
    for part in text.split(","):
        match = _COMPARISON.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"expected comparisons such as >=0.14, <1.0, found {part.strip()[:40]!r}")
        found.append((match[1], match[2]))
    return found
