r"""The paths in a `tmpfiles.d` file (tmpfiles.d(5)), read as bootc reads it (crates/tmpfiles/src/lib.rs).

Each line that is neither empty nor begins with `#` names a path in its second field, for every type. The field ends at
white space unless it begins with a quote, and has the escapes `\\`, `\n`, `\r`, `\t` and `\xNN`. Specifiers (`%S`) are not
expanded.
"""

from __future__ import annotations

import re

from attrs import frozen

from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem, bounded

__all__ = ["TmpfilesConf", "TmpfilesLine", "read_tmpfiles_conf"]

_LINE = re.compile(r"[ \t\r\f\v]*([^ \t\r\f\v]+)[ \t\r\f\v]*(.*)", re.DOTALL)
_PLAIN = re.compile(r"(?:[^\\ \t\r\f\v]|\\.?)*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^\\"]|\\.?)*)', re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.?)", re.DOTALL)
_ESCAPES = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


@frozen
class TmpfilesLine:
    """One line.

    Attributes:
        kind: its type with modifiers, such as `d` or `L+`.
        path: its path.
    """

    kind: str
    path: str


@frozen
class TmpfilesConf:
    """The lines of a file, and those that bootc cannot read (`syntax`)."""

    lines: tuple[TmpfilesLine, ...]
    problems: tuple[Problem, ...]


def read_tmpfiles_conf(text: str) -> TmpfilesConf:
    """Read a file of `tmpfiles.d`; the result's `problems` lists its faults."""
    text, problems = bounded(text)
    lines: list[TmpfilesLine] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        path = _path(found[2]) if found is not None else None
        if found is not None and path is not None:
            lines.append(TmpfilesLine(found[1], path))
        elif len(problems) < MAX_PROBLEMS:
            problems.append(Problem("syntax", f"expected a type and a path, found {line[:60]!r}", number))
    return TmpfilesConf(tuple(lines), tuple(problems))


def _path(field: str) -> str | None:
    """Return the path at a field's start, None if bootc refuses it."""
    quoted = _QUOTED.match(field)
    raw = quoted[1] if quoted is not None else _PLAIN.match(field)[0]  # type: ignore[index] # it matches nothing, too
    data = bytearray()
    at = 0
    for escape in _ESCAPE.finditer(raw):
        data += raw[at : escape.start()].encode("utf-8", "surrogateescape")
        at = escape.end()
        if escape[1] in _ESCAPES:
            data += _ESCAPES[escape[1]].encode()
        elif len(escape[1]) == 3:
            data.append(int(escape[1][1:], 16))
        else:
            return None
    data += raw[at:].encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "surrogateescape")
