"""apk's database of installed packages, `/lib/apk/db/installed`: the format of version 2 (apk-installed(5) of apk-tools).

A record is a block of lines `X:VALUE`; an empty line ends it. Version 3 of apk reads and writes the same file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import Package, bounded_lines, require_few
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_apk_installed"]

_FIELD = re.compile(r"([A-Za-z]):(.*)")


def read_apk_installed(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Package, ...]:
    """Read the installed packages, in the order of the file.

    Raises:
        FormatError: of the kinds `limit` and `binary`, or `syntax`: a line is no field, or a record lacks its name or version.
    """
    packages: list[Package] = []
    for number, fields in _records(bounded_lines(data, limits)):
        require_few(len(packages) + 1, limits)
        for key, what in (("P", "a name"), ("V", "a version")):
            if not fields.get(key):
                raise FormatError(
                    f"expected {what} ({key}:) in the record before line {number}", kind="syntax"
                )
        packages.append(
            Package(
                type="apk",
                name=fields["P"],
                version=fields["V"],
                architecture=fields.get("A", ""),
                source=fields.get("o", ""),
                license=fields.get("L", ""),
            )
        )
    return tuple(packages)


def _records(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the fields of each record, with the number of the line behind it; the fields of its files repeat."""
    fields: dict[str, str] = {}
    number = 0
    for number, line in enumerate(lines, 1):
        if not line:
            if fields:
                yield number, fields
                fields = {}
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            raise FormatError(f"expected a field, X:VALUE, in line {number}", kind="syntax")
        fields.setdefault(match[1], match[2])
    if fields:
        yield number + 1, fields
