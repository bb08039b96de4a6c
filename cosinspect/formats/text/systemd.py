"""Unit files of systemd, and the programs that a service runs.

Follows systemd.syntax(7) and systemd.service(5) of systemd 252. Values are kept as written: specifiers such as `%i` are not
resolved, and only directives that start programs are interpreted. Drop-ins are read like other files; the caller merges them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem, bounded

__all__ = ["EXEC_DIRECTIVES", "ExecCommand", "Unit", "exec_commands", "read_unit"]

EXEC_DIRECTIVES = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost")
"""The directives that start a service, in the order in which they run."""

_BLANKS = " \t\r"
_TRAILING_BACKSLASHES = re.compile(r"\\*\Z")
_WORD = re.compile(
    r"""(?:[^\s'"\\]++|\\.|'(?:[^'\\]++|\\.)*+(?:'|\Z)|"(?:[^"\\]++|\\.)*+(?:"|\Z)|\\)++""",
    re.ASCII | re.DOTALL,
)
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)(?:'|\Z)|"((?:[^"\\]|\\.)*)(?:"|\Z)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL_CHARACTERS = {"n": "\n", "t": "\t", "s": " ", "r": "\r"}
_PREFIXES = "-@:+!|"


@frozen
class Unit:
    """A unit file.

    Attributes:
        sections: the values of each key of each section, in order; an empty assignment removes the values before it.
        problems: the faults about which systemd warns.
    """

    sections: Mapping[str, Mapping[str, tuple[str, ...]]]
    problems: tuple[Problem, ...]

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return all values of a key, in order."""
        return self.sections.get(section, {}).get(key, ())

    def last(self, section: str, key: str) -> str | None:
        """Return the last value of a key: the one that counts where only one can."""
        values = self.values(section, key)
        return values[-1] if values else None


@frozen
class ExecCommand:
    """A program that a service runs.

    Attributes:
        directive: `ExecStart` or another of `EXEC_DIRECTIVES`.
        path: the program without its prefixes; absolute, or a name that systemd searches for.
        arguments: its arguments.
        may_fail: whether the prefix `-` turns its failure or absence into success.
    """

    directive: str
    path: str
    arguments: tuple[str, ...]
    may_fail: bool


def read_unit(text: str) -> Unit:
    """Read a unit file; the result's `problems` lists its faults."""
    text, problems = bounded(text)
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] | None = None

    def problem(kind: str, message: str, number: int) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(Problem(kind, message, number))

    for number, line in _lines(text):
        spend()
        if line.startswith("["):
            if line.endswith("]"):
                section = sections.setdefault(line[1:-1], {})
                continue
            problem(
                "section",
                "the section's name has no closing bracket, so systemd does not read the rest",
                number,
            )
            break
        key, equals, value = line.partition("=")
        if not equals:
            problem("assignment", "expected KEY=VALUE, a section or a comment", number)
        elif section is None:
            problem("section", "expected a section, found an assignment", number)
        elif value := value.strip(_BLANKS):
            section.setdefault(key.rstrip(_BLANKS), []).append(value)
        else:
            section[key.rstrip(_BLANKS)] = []
    return Unit(
        {name: {key: tuple(values) for key, values in keys.items()} for name, keys in sections.items()},
        tuple(problems),
    )


def exec_commands(unit: Unit) -> tuple[ExecCommand, ...]:
    """Return the programs that start a service, in the order in which they run."""
    commands = []
    for directive in EXEC_DIRECTIVES:
        for value in unit.values("Service", directive):
            words: list[str] = []
            for word in [*_WORD.findall(value), ";"]:
                if word != ";":
                    words.append(_unquoted(word))
                    continue
                if words:
                    commands.append(_command(directive, words))
                words = []
    return tuple(commands)


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the lines that are neither empty nor comments, with continued lines joined."""
    lines: list[tuple[int, str]] = []
    pieces: list[str] = []
    start = 1
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(_BLANKS) if not pieces else raw.rstrip(_BLANKS)
        if line.lstrip(_BLANKS)[:1] in {"#", ";"} or not (line or pieces):
            continue
        if not pieces:
            start = number
        backslashes = _TRAILING_BACKSLASHES.search(line)
        if backslashes and len(backslashes[0]) % 2:
            pieces.append(line[:-1])
            continue
        lines.append((start, " ".join([*pieces, line]).strip(_BLANKS)))
        pieces = []
    if pieces:
        lines.append((start, " ".join(pieces).strip(_BLANKS)))
    return [(number, line) for number, line in lines if line]


def _command(directive: str, words: list[str]) -> ExecCommand:
    path = words[0].lstrip(_PREFIXES)
    prefixes = words[0][: len(words[0]) - len(path)]
    # With `@`, the second word is the program's argument 0.
    arguments = words[2:] if "@" in prefixes else words[1:]
    return ExecCommand(directive, path, tuple(arguments), "-" in prefixes)


def _unquoted(word: str) -> str:
    unquoted = _QUOTED.sub(lambda match: match[1] if match[1] is not None else match[2], word)
    return _ESCAPED.sub(lambda match: _SPECIAL_CHARACTERS.get(match[1], match[1]), unquoted)
