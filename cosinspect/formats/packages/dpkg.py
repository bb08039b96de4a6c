"""dpkg's database of installed packages: `/var/lib/dpkg/status`, and the files of `/var/lib/dpkg/status.d`.

The format is deb822(5), the fields are those of deb-control(5), the states those of dpkg(1). A package is listed if its files are
unpacked: `not-installed` and `config-files` are records of packages that are gone. A file of status.d, which builders of small
images write, has no state; its packages are installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import Package, bounded_lines, require_few
from cosinspect.formats.text.problem import MAX_PROBLEMS
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_dpkg_status"]

_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_WANTED = frozenset(["package", "version", "architecture", "source", "status"])
_GONE = frozenset(["not-installed", "config-files"])
_COMPLETE = frozenset(["installed", "triggers-awaited", "triggers-pending"])


def read_dpkg_status(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[tuple[Package, ...], tuple[str, ...]]:
    """Read the installed packages, in the order of the file, and what is wrong with single records.

    Raises:
        FormatError: of the kinds `limit` and `binary`, or `syntax`: a line is neither a field nor its continuation, or a field has no package.
    """
    packages: list[Package] = []
    problems: list[str] = []
    for number, fields in _paragraphs(bounded_lines(data, limits)):
        require_few(len(packages) + 1, limits)
        name, version = fields.get("package", ""), fields.get("version", "")
        if not name:
            raise FormatError(f"expected the field Package in the record before line {number}", kind="syntax")
        state = (fields.get("status", "install ok installed").split() or [""])[-1]
        if state in _GONE:
            continue
        if state not in _COMPLETE:
            _note(problems, f"{name} is {state or 'in no state'}: its installation is not complete")
        if not version:
            _note(problems, f"{name} has no version")
        packages.append(
            Package(
                type="deb",
                name=name,
                version=version,
                architecture=fields.get("architecture", ""),
                source=fields.get("source", "").partition(" ")[0] or name,
            )
        )
    return tuple(packages), tuple(problems)


def _note(problems: list[str], text: str) -> None:
    if len(problems) < MAX_PROBLEMS:
        problems.append(text)


def _paragraphs(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the wanted fields of each record, by names in lower case, with the number of the line behind it."""
    fields: dict[str, str] = {}
    is_open = False
    number = 0
    for number, line in enumerate(lines, 1):
        if not line.strip(" \t"):
            if is_open:
                yield number, fields
                fields, is_open = {}, False
            continue
        if line.startswith((" ", "\t")) and is_open:
            continue  # of a field with several lines, none of which is wanted
        match = _FIELD.fullmatch(line)
        if match is None:
            raise FormatError(f"expected a field, NAME: VALUE, in line {number}", kind="syntax")
        is_open = True
        name = match[1].lower()
        if name in _WANTED:
            fields[name] = match[2].rstrip(" \t")
    if is_open:
        yield number + 1, fields
