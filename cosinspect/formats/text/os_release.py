"""Environment files: `/etc/os-release` (os-release(5)), `/etc/cos/config`, `/etc/cos-upgrade-image`.

They are read as elemental reads them: by viper with gotenv 1.2 (elemental-cli 89d323a3, cmd/config/config.go), which
ends the whole program at a line of the wrong form. Those lines are problems of kind `syntax` here; the other kinds are lines
that gotenv accepts and another reader of the same file may refuse.

Not supported: gotenv's reading of further assignments within a value that has newlines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem, bounded

__all__ = ["EnvFile", "read_env_file"]

# Go's scanner stops at a line of this length, and gotenv ignores its error.
_LINE_BYTES = 64 * 1024
# The most characters of all values together, after variables are replaced.
_EXPANDED_CHARACTERS = 4 * 1024 * 1024

_ASSIGNMENT = re.compile(
    r"[ \t\r\f]*(?:export[ \t\r\f]+)?([\w.]+)(?:[ \t\r\f]*=[ \t\r\f]*|:[ \t\r\f])", re.ASCII
)
_QUOTED = re.compile(r"""(?:'.*'|".*")(?=[ \t\r\f]*(?:#|$))""")
_COMMENT_LINE = re.compile(r"[ \t\r\f]*(?:#.*)?")
_ESCAPED = re.compile(r"\\([^$])")
_VARIABLE = re.compile(r"(\\)?\$\{?([A-Z0-9_]+)?\}?")


@frozen
class EnvFile:
    """The variables of an environment file, and its faults.

    Attributes:
        values: by name; of several assignments the last one counts.
        problems: of kind `syntax` (elemental stops at such a line), `length` (nothing from such a line on is read),
            `quote` (a quote that is not closed, which stays in the value), or `limit`.
    """

    values: Mapping[str, str]
    problems: tuple[Problem, ...]


def read_env_file(text: str) -> EnvFile:
    """Read an environment file; the result's `problems` lists its faults."""
    text, problems = bounded(text)
    values: dict[str, str] = {}
    budget = _EXPANDED_CHARACTERS

    def problem(kind: str, message: str, number: int) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(Problem(kind, message, number))

    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if len(line) >= _LINE_BYTES and len(line.encode(errors="replace")) >= _LINE_BYTES:
            problem(
                "length",
                f"the line is longer than {_LINE_BYTES} bytes, and nothing from it on is read",
                number,
            )
            break
        content = line.removesuffix("\r")
        assignment = _ASSIGNMENT.match(content)
        if assignment is None:
            if _COMMENT_LINE.fullmatch(content) is None:
                problem("syntax", "expected KEY=VALUE, a comment or an empty line", number)
            continue
        written = _written(content, assignment.end())
        if written[:1] in {"'", '"'} and (len(written) < 2 or written[-1] != written[0]):
            problem("quote", f"the value of {assignment[1]} starts with a quote that is not closed", number)
        value = _unquoted(written)
        if "$" in value:
            known = None if written.startswith("'") else values
            budget -= len(value) + sum(len((known or {}).get(m[2], "")) for m in _VARIABLE.finditer(value))
            if budget < 0:
                problem(
                    "limit",
                    "the values are longer than this reader's limit after variables are replaced",
                    number,
                )
            else:
                value = _expanded(value, known)
        values[assignment[1]] = value
    return EnvFile(values, tuple(problems))


def _written(content: str, start: int) -> str:
    """The value as written: a quoted one up to the last quote before a comment or the end, another one up to a `#`."""
    if quoted := _QUOTED.match(content, start):
        return quoted[0]
    return content[start:].partition("#")[0].strip(" ")


def _unquoted(written: str) -> str:
    value = written
    if len(written) > 1 and written[0] in "'\"" and written[-1] in "'\"":
        value = written[1:-1]
    if written.startswith('"'):
        value = _ESCAPED.sub(r"\1", value.replace(r"\n", "\n").replace(r"\r", "\r"))
    return value


def _expanded(value: str, values: Mapping[str, str] | None) -> str:
    """Replace variables, unless `values` is None, and remove the backslash before each `$`."""

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        return match[0] if values is None or match[2] is None else values.get(match[2], "")

    return _VARIABLE.sub(one, value)
