"""pacman's description of one installed package: the file `desc` in its directory below `/var/lib/pacman/local`.

Fields are `%NAME%` on a line, values on the lines below it, and an empty line (alpm-db-desc(5)).
"""

from __future__ import annotations

import re

from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import Package, bounded_lines
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["database_path", "read_pacman_desc"]

_SECTION = re.compile(r"%([A-Z0-9_]+)%")
DEFAULT_DATABASE = "/var/lib/pacman"


def read_pacman_desc(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Package:
    """Read the description of a package.

    Raises:
        FormatError: of the kinds `limit` and `binary`, or `syntax`: a value stands in no field, or the name or the version is missing.
    """
    fields: dict[str, list[str]] = {}
    values: list[str] | None = None
    for number, line in enumerate(bounded_lines(data, limits), 1):
        content = line.strip(" \t")
        if not content:
            values = None
        elif values is None:
            match = _SECTION.fullmatch(content)
            if match is None:
                raise FormatError(f"expected a field such as %NAME% in line {number}", kind="syntax")
            values = fields.setdefault(match[1], [])
        else:
            values.append(content)

    def first(name: str) -> str:
        return next(iter(fields.get(name, ())), "")

    for name in ("NAME", "VERSION"):
        if not first(name):
            raise FormatError(f"expected the field %{name}% with a value", kind="syntax")
    return Package(
        type="alpm",
        name=first("NAME"),
        version=first("VERSION"),
        architecture=first("ARCH"),
        source=first("BASE"),
        license=" AND ".join(fields.get("LICENSE", ())),
    )


def database_path(text: str) -> str:
    """Return the directory of the database that pacman.conf(5) names, or the default."""
    section = ""
    found = DEFAULT_DATABASE
    for line in text.splitlines():
        content = line.strip()
        if content.startswith("[") and content.endswith("]"):
            section = content[1:-1]
            continue
        name, separator, value = content.partition("=")
        if section == "options" and separator and name.strip() == "DBPath":
            found = value.strip() or found
    return found
