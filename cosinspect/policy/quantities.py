"""Sizes and version ranges as people write them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from attrs import frozen

from cosinspect.extras import load_extra

__all__ = ["VersionRange", "parse_size"]

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
MAX_VERSION = 200


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
    """Comparisons that must all be true, `>=0.14, <1.0`, by Debian's order: 1.0~rc1 < 1.0 < 1.0-1 < 1.0-2 < 1.0.1.

    Attributes:
        text: as written.
        bounds: operator and version of each.
    """

    text: str
    bounds: tuple[tuple[str, Any], ...]

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Read a range.

        Raises:
            ValueError: the text is not a range.
            MissingPackage: the extra `policy` is not installed.
        """
        bounds = []
        for part in text.split(","):
            match = _COMPARISON.fullmatch(part.strip())
            if match is None:
                raise ValueError(f"expected comparisons such as >=0.14, <1.0, found {part.strip()[:40]!r}")
            bounds.append((match[1], _version(match[2])))
        return cls(text, tuple(bounds))

    def holds(self, version: str) -> bool:
        """Return whether a version is in the range.

        Raises:
            ValueError: the text is not a version.
        """
        found = _version(version)
        return all(_OPERATORS[sign](found, bound) for sign, bound in self.bounds)


def _version(text: str) -> Any:
    if len(text) > MAX_VERSION:
        raise ValueError(f"expected a version, found {len(text)} characters")
    try:
        return load_extra("debian_inspector.version", "policy").Version.from_string(text)
    except ValueError as fault:
        raise ValueError(f"expected a version that begins with a digit, found {text[:40]!r}") from fault
