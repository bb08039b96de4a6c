"""The order of package versions, which differs between kinds of packages.

univers compares those of dpkg, rpm and apk. pacman's are compared here, by the rules of libalpm's `lib/libalpm/version.c`: univers orders
a separator behind letters otherwise (`7beta.2` and `7beta09`).
"""

from __future__ import annotations

import functools
import re
from itertools import takewhile
from typing import Any

from cosinspect.extras import load_extra
from cosinspect.formats.packages.package import PackageType

__all__ = ["MAX_VERSION", "parse_version"]

MAX_VERSION = 200
"""The longest version that is compared, in characters."""

_CLASSES = {"apk": "AlpineLinuxVersion", "deb": "DebianVersion", "luet": "DebianVersion", "rpm": "RpmVersion"}
_FORMS = {
    "alpm": "[EPOCH:]VERSION[-RELEASE] of letters, digits, dots, underscores and plus signs",
    "apk": "digits and dots, then a suffix such as _rc1 and a revision such as -r2",
    "deb": "a version that begins with a digit",
    "luet": "a version that begins with a digit",
    "rpm": "[EPOCH:]VERSION[-RELEASE] in ASCII",
}
_ALPM = re.compile(r"(?:(\d+):)?([\w.+~^]+)(?:-([\w.]+))?", re.ASCII)
_RPM = re.compile(r"(?:\d+:)?[\w.+~^]+(?:-[\w.+~^]+)?", re.ASCII)


def parse_version(text: str, kind: PackageType) -> Any:
    """Return a version of a kind of packages; such values compare by the order of its package manager.

    luet's packages compare by Debian's order.

    Raises:
        ValueError: the text is not such a version.
        MissingPackage: the extra `policy` is not installed.
    """
    if len(text) > MAX_VERSION:
        raise ValueError(f"expected a version, found {len(text)} characters")
    fault = ValueError(f"expected {_FORMS[kind]}, found {text[:40]!r}")
    if kind == "alpm":
        match = _ALPM.fullmatch(text)
        if match is None:
            raise fault
        return _AlpmVersion(match[1] or "0", match[2], match[3])
    if kind == "rpm" and not _RPM.fullmatch(text):
        raise fault
    try:
        return getattr(load_extra("univers.versions", "policy"), _CLASSES[kind])(text)
    except ValueError as mistake:
        raise fault from mistake


@functools.total_ordering
class _AlpmVersion:
    def __init__(self, epoch: str, version: str, release: str | None) -> None:
        self._parts = (epoch, version, release)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AlpmVersion) and not self._compare(other)

    def __lt__(self, other: _AlpmVersion) -> bool:
        return self._compare(other) < 0

    def __hash__(self) -> int:
        return hash(self._parts)

    def _compare(self, other: _AlpmVersion) -> int:
        """Compare epoch, version and release in turn; a release that one of them lacks does not count."""
        for own, its in zip(self._parts, other._parts, strict=True):
            if own is not None and its is not None and (result := _compare_segments(own, its)):
                return result
        return 0


def _compare_segments(one: str, two: str) -> int:
    """Compare runs of digits and of letters, and the lengths of what separates them."""
    if one == two:
        return 0
    while one and two:
        left, right = one.lstrip(_SEPARATORS), two.lstrip(_SEPARATORS)
        gaps = len(one) - len(left), len(two) - len(right)
        one, two = left, right
        if not one or not two:
            break
        if gaps[0] != gaps[1]:
            return -1 if gaps[0] < gaps[1] else 1
        same = str.isdigit if one[0].isdigit() else str.isalpha
        first, second = "".join(takewhile(same, one)), "".join(takewhile(same, two))
        if not second:
            return 1 if same is str.isdigit else -1
        one, two = one[len(first) :], two[len(second) :]
        if same is str.isdigit:
            first, second = first.lstrip("0"), second.lstrip("0")
            if len(first) != len(second):
                return -1 if len(first) < len(second) else 1
        if first != second:
            return -1 if first < second else 1
    if not one and not two:
        return 0
    return -1 if (not one and not two[0].isalpha()) or (one and one[0].isalpha()) else 1


_SEPARATORS = "._+~^"
