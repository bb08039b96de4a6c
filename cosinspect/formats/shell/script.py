"""Shell scripts: which external commands they call, found by reading and never by running.

Follows the token and grammar rules of POSIX.1-2017, "Shell Command Language" (2.2 to 2.10), with what bash adds:
`[[ ]]`, `(( ))`, arrays, process substitution, `function`, `select`, `&>`, `<<<`, extended patterns. The bodies of
here-documents are skipped, and with them the commands they substitute; `((` and `$((` always start arithmetic, never
two subshells.

Only what is surely a command is reported: a literal word in command position, by a bare name or an absolute path. Where the
text cannot be followed to its end (a quote or construct that is not closed, a word out of place, nesting beyond
`MAX_NESTING`), reading stops there and nothing that is within a construct that is still open is reported. Nor is
anything told of a script beyond `MAX_CHARACTERS`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from functools import lru_cache

from attrs import Factory, define, frozen

from cosinspect.deadline import spend
from cosinspect.formats.shell.grammar import ScriptReader
from cosinspect.formats.shell.quoting import MAX_NESTING, ShellLexer
from cosinspect.formats.shell.words import BUILTINS, RESERVED_WORDS
from cosinspect.formats.text.problem import MAX_CHARACTERS, Problem

__all__ = [
    "MAX_NESTING",
    "ProgramCall",
    "ShellScript",
    "functions",
    "read_calls",
    "read_shell_script",
]

_KNOWN_CHARACTERS = 8192
"""The longest script that is kept once it is read; the scripts of dracut modules are shorter."""

_BARE = re.compile(r"(?=[^A-Za-z]*+[A-Za-z])\w[\w.+-]*", re.ASCII)
_ABSOLUTE = re.compile(r"/(?:[\w.+@-]+/)*\w[\w.+@-]*", re.ASCII)
_IN_PATH = re.compile(r"(?:.*/)?s?bin/[^/]+", re.DOTALL)
_EXISTENCE = frozenset({"-e", "-f", "-s", "-h", "-L"})
# dracut's initqueue puts its arguments away as a job that runs later (dracut 059, modules.d/99base/initqueue.sh).
_INITQUEUE_VALUED = frozenset({"--name", "--env"})


@frozen
class ProgramCall:
    """A program that a script calls.

    Attributes:
        name: a bare name for `PATH`, or an absolute path.
        line: of the first call, counted from 1.
        guarded: whether the script looks somewhere whether it is there (`command -v`, `type`, `hash`, `which`,
            `[ -x ]`), so that its absence may be provided for.
    """

    name: str
    line: int
    guarded: bool


@frozen
class ShellScript:
    """What can be told of a script.

    Attributes:
        commands: the external commands, each once, by the line of their first call. Where a script gives dracut's
            `initqueue` a command to run later, that one is told too.
        functions: the functions and aliases that it defines.
        sourced: the files that it reads with `.` or `source`, where they are literal.
        problem: why reading stopped before the end, or None.
    """

    commands: tuple[ProgramCall, ...]
    functions: frozenset[str]
    sourced: tuple[str, ...]
    problem: Problem | None


def functions(script: str) -> frozenset[str]:
    """Return the functions and aliases that a script defines, in either syntax."""
    return read_shell_script(script).functions


def read_shell_script(script: str) -> ShellScript:
    """Read a POSIX shell or bash script; where it cannot be followed, its `problem` says so."""
    return _known_script(script) if len(script) <= _KNOWN_CHARACTERS else _read(script)


def _read(script: str) -> ShellScript:
    findings = _Findings()
    if len(script) > MAX_CHARACTERS:
        return findings.result(Problem("limit", f"the script is longer than {MAX_CHARACTERS} characters", 1))
    problem = None
    pending = deque([(script, 1)])
    while pending:
        spend()
        text, line = pending.popleft()
        scanner = ShellLexer(text if text.endswith("\n") else text + "\n", line)
        calls = _Calls(findings)
        reader = ScriptReader(scanner, calls.take)
        reader.read()
        problem = problem or scanner.problem
        end = len(scanner.text) if reader.open_since is None else reader.open_since
        findings.functions |= reader.functions
        findings.add(calls, end)
        pending.extend((inner, number) for inner, at, number in scanner.substitutions if at < end)
    return findings.result(problem)


# Two checks read the scripts of an initrd, and the initrds of a release share them.
_known_script = lru_cache(maxsize=64)(_read)


def read_calls(script: str) -> tuple[tuple[str | None, ...], ...]:
    """Return the words of each simple command, in order; None for a word that is not literal.

    Commands in here-documents and in substitutions are left out, and everything behind a construct that cannot be read.
    """
    if len(script) > MAX_CHARACTERS:
        return ()
    found: list[tuple[str | None, ...]] = []
    scanner = ShellLexer(script if script.endswith("\n") else script + "\n", 1)
    ScriptReader(scanner, lambda words, *_: found.append(tuple(words))).read()
    return tuple(found)


@define
class _Findings:
    """What is known of a script and of what is in its backquotes."""

    lines: dict[str, int] = Factory(dict)
    functions: set[str] = Factory(set)
    sought: set[str] = Factory(set)
    sourced: dict[str, None] = Factory(dict)

    def add(self, calls: _Calls, end: int) -> None:
        for name, (offset, line) in calls.found.items():
            if offset < end:
                self.lines[name] = min(line, self.lines.get(name, line))

    def result(self, problem: Problem | None) -> ShellScript:
        known = BUILTINS | RESERVED_WORDS | self.functions
        return ShellScript(
            commands=tuple(
                ProgramCall(name, line, _base_name(name) in self.sought)
                for name, line in sorted(self.lines.items(), key=lambda item: item[1])
                if name not in known
            ),
            functions=frozenset(self.functions),
            sourced=tuple(self.sourced),
            problem=problem,
        )


@define
class _Calls:
    """Takes the simple commands of one text, and keeps the first call of each name."""

    findings: _Findings
    found: dict[str, tuple[int, int]] = Factory(dict)

    def take(self, words: list[str | None], offset: int, line: int) -> None:
        """Return what a simple command or test calls, looks for, defines or reads."""
        position = 0
        while position < len(words) and (name := words[position]) is not None:
            arguments = position + 1
            if name == "exec":
                position = _after_options(words, arguments, {"-a"})
            elif name == "command":
                position = _after_options(words, arguments, set())
                if any(option in {"-v", "-V", "-pv", "-pV"} for option in words[arguments:position]):
                    self._seek(words, position)
                    return
            elif _base_name(name) == "initqueue":
                self._found(name, offset, line)
                position = _after_options(words, arguments, _INITQUEUE_VALUED)
            else:
                self._take_last(name, words, arguments)
                self._found(name, offset, line)
                return

    def _take_last(self, name: str, words: list[str | None], arguments: int) -> None:
        if name in {"type", "hash", "which"}:
            self._seek(words, arguments)
        elif name in {"[", "[[", "test"}:
            for operator, path in zip(words[arguments:], words[arguments + 1 :], strict=False):
                if path and (operator == "-x" or (operator in _EXISTENCE and _IN_PATH.fullmatch(path))):
                    self.findings.sought.add(_base_name(path))
        elif name in {".", "source"}:
            if arguments < len(words) and (path := words[arguments]):
                self.findings.sourced[path] = None
        elif name == "alias":
            for word in words[arguments:]:
                if word and "=" in word:
                    self.findings.functions.add(word.partition("=")[0])

    def _seek(self, words: list[str | None], position: int) -> None:
        for word in words[position:]:
            if word and not word.startswith("-"):
                self.findings.sought.add(_base_name(word))

    def _found(self, name: str, offset: int, line: int) -> None:
        if (_BARE.fullmatch(name) or _ABSOLUTE.fullmatch(name)) and offset <= self.found.get(
            name, (offset, 0)
        )[0]:
            self.found[name] = (offset, line)


def _base_name(name: str) -> str:
    return name.rpartition("/")[2]


def _after_options(words: list[str | None], position: int, valued: Collection[str]) -> int:
    """Skip the options at `position`, with the values of those in `valued`, and over `--`."""
    while position < len(words) and (word := words[position]) is not None and word.startswith("-"):
        position += 2 if word in valued else 1
        if word == "--":
            break
    return position
