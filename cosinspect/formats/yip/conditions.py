"""The `if` of a step: a shell script whose exit status decides, evaluated as far as it does not depend on the machine.

yip passes the text to `/bin/sh -c`. Evaluated are lists (`&&`, `||`, `;`), pipelines, `!`, subshells, `true`,
`false`, `:`, `exit`, `test` and `[` (POSIX.1-2017), `echo`, and `grep` for a literal word; a `World` answers for the machine's files, kernel
command line and labels. Any other command makes the result unknown, and so does a text with templates (`{{ }}`) or of more than
`MAX_CONDITION` characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, frozen

__all__ = ["MAX_CONDITION", "NOTHING_KNOWN", "World", "holds"]

MAX_CONDITION = 4000
_NESTING = 20


@frozen
class World:
    """The known properties of the machine; every answer may be None.

    Attributes:
        test: whether a file test (`-e`, `-f`, `-d`, ...) holds for a path.
        command_line: whether a word is part of the kernel command line.
        label: whether a file system with a label exists.
    """

    test: Callable[[str, str], bool | None]
    command_line: Callable[[str], bool | None]
    label: Callable[[str], bool | None]


NOTHING_KNOWN = World(lambda _, __: None, lambda _: None, lambda _: None)
"""The world of conditions that are the same on every machine."""


def holds(condition: str | None, world: World = NOTHING_KNOWN) -> bool | None:
    """Return whether a step with this `if` runs; None if that is unknown, True without a condition."""
    if not condition:
        return True
    if len(condition) > MAX_CONDITION or "{{" in condition:
        return None
    try:
        return _Evaluator(_tokens(condition), world).script()
    except _Unknown:
        return None


class _Unknown(Exception):
    """The script cannot be evaluated."""


class _Exit(Exception):
    """The script ends with a status."""

    def __init__(self, status: bool | None) -> None:
        super().__init__()
        self.status = status


@frozen
class _Word:
    """A word of the script: its text, None if it is unknown, and whether it may be a sign or a reserved word."""

    text: str | None
    sign: bool = False


_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_SIGN = re.compile(r"&&|\|\||;|\n|\||\(|\)|&")
_COMMENT = re.compile(r"#[^\n]*")
_REDIRECTION = re.compile(r"(?:[0-9]?>>?|&>)[ \t]*(?:/dev/null|&[0-9])")
_PLAIN = re.compile(r"[^ \t\n'\"\\$`;&|()<>*?~#\[\]{}]+|[\[\]{}~]|(?<=[^ \t\n;&|()])#")
_SINGLE = re.compile(r"'([^']*)'")
_LABEL = re.compile(r"""\$\([ \t]*blkid[ \t]+-L[ \t]+"?([\w.-]+)"?[ \t]*(?:\|\|[ \t]*(?:true|:)[ \t]*)?\)""")


def _tokens(text: str) -> list[_Word | str]:
    """Split a script into words and signs; the look-up of a label stays one word, `$(blkid NAME)`."""
    found: list[_Word | str] = []
    at = 0
    while at < len(text):
        if (
            (match := _BLANK.match(text, at))
            or (match := _REDIRECTION.match(text, at))
            or (text[at] == "#" and (match := _COMMENT.match(text, at)))
        ):
            at = match.end()
        elif match := _SIGN.match(text, at):
            if match[0] == "&":
                raise _Unknown
            found.append(match[0])
            at = match.end()
        else:
            word, at = _word(text, at)
            found.append(word)
    return found


def _word(text: str, at: int) -> tuple[_Word, int]:
    parts: list[str] = []
    quoted = False
    start = at
    while at < len(text):
        if match := _PLAIN.match(text, at):
            parts.append(match[0])
            at = match.end()
        elif match := _SINGLE.match(text, at):
            parts.append(match[1])
            quoted, at = True, match.end()
        elif match := _LABEL.match(text, at):
            parts.append(f"\0{match[1]}\0")
            at = match.end()
        elif text[at] == '"':
            inner, at = _double(text, at + 1)
            parts.append(inner)
            quoted = True
        elif text[at] == "\\" and at + 1 < len(text):
            if text[at + 1] != "\n":
                parts.append(text[at + 1])
                quoted = True
            at += 2
        elif text[at] in "$`'<>*?\\":
            raise _Unknown
        else:
            break
    if at == start:
        raise _Unknown
    return _Word("".join(parts), sign=not quoted), at


def _double(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while at < len(text) and text[at] != '"':
        if match := _LABEL.match(text, at):
            parts.append(f"\0{match[1]}\0")
            at = match.end()
        elif text[at] in "$`":
            raise _Unknown
        elif text[at] == "\\" and text[at + 1 : at + 2] in {"$", "`", '"', "\\"}:
            parts.append(text[at + 1])
            at += 2
        else:
            parts.append(text[at])
            at += 1
    if at >= len(text):
        raise _Unknown
    return "".join(parts), at + 1


@define
class _Evaluator:
    """Evaluates tokens from left to right; a status is True for 0, False for any other, None if it is unknown."""

    tokens: list[_Word | str]
    world: World
    at: int = 0
    depth: int = 0
    live: bool = True  # whether the current command certainly runs, so that `exit` ends the script

    def script(self) -> bool | None:
        try:
            status = self.list_()
        except _Exit as end:
            return end.status
        if self.at < len(self.tokens):
            raise _Unknown
        return status

    def _peek(self) -> _Word | str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def list_(self) -> bool | None:
        status: bool | None = True
        while True:
            while self._peek() in {";", "\n"}:
                self.at += 1
            if self._peek() in {None, ")"}:
                return status
            status = self.and_or()

    def and_or(self) -> bool | None:
        status = self.pipeline(run=True)
        while (sign := self._peek()) in {"&&", "||"}:
            self.at += 1
            while self._peek() == "\n":
                self.at += 1
            stops = sign == "||"
            if status is None:
                outer, self.live = self.live, False
                other = self.pipeline(run=True)
                self.live = outer
                status = stops if other is stops else None
            elif status is stops:
                self.pipeline(run=False)
            else:
                status = self.pipeline(run=True)
        return status

    def pipeline(self, *, run: bool) -> bool | None:
        negate = False
        while isinstance(word := self._peek(), _Word) and word.sign and word.text == "!":
            negate = not negate
            self.at += 1
        commands = [self.command(run=run)]
        while self._peek() == "|":
            self.at += 1
            while self._peek() == "\n":
                self.at += 1
            commands.append(self.command(run=run))
        if not run:
            return None
        if len(commands) == 1:
            words = commands[0]
            status = words if isinstance(words, bool) or words is None else self.simple(words)
        else:
            status = self._piped(commands)
        return None if status is None else status is not negate

    def command(self, *, run: bool) -> list[str] | bool | None:
        if self._peek() == "(":
            self.at += 1
            self.depth += 1
            if self.depth > _NESTING:
                raise _Unknown
            outer, self.live = self.live, self.live and run
            try:
                status = self.list_()
            except _Exit as end:
                status = end.status
                self._skip_to_close()
            self.live = outer
            self.depth -= 1
            if self._peek() != ")":
                raise _Unknown
            self.at += 1
            return status if run else None
        words: list[str] = []
        while isinstance(word := self._peek(), _Word):
            if word.text is None:
                raise _Unknown
            words.append(word.text)
            self.at += 1
        if not words or words[0] in _COMPOUNDS:
            raise _Unknown
        return words

    def _skip_to_close(self) -> None:
        level = 0
        while (sign := self._peek()) is not None and (sign != ")" or level):
            level += (sign == "(") - (sign == ")")
            self.at += 1

    def simple(self, words: list[str], source: str | None = None) -> bool | None:
        name, arguments = words[0], words[1:]
        if "\0" in name:
            raise _Unknown
        if name in {"true", ":", "echo"}:
            return True
        if name == "false":
            return False
        if name == "exit":
            return self._exit(arguments)
        if name == "[":
            return self.test(arguments[:-1]) if arguments and arguments[-1] == "]" else False
        if name == "test":
            return self.test(arguments)
        if name in {"grep", "egrep", "fgrep"}:
            return self._grep(arguments, source)
        return None

    def _exit(self, arguments: list[str]) -> bool | None:
        # Without a number the status is that of the command before.
        if not self.live or len(arguments) != 1 or re.fullmatch("[0-9]{1,3}", arguments[0]) is None:
            raise _Unknown
        raise _Exit(int(arguments[0]) % 256 == 0)

    def _piped(self, commands: list[list[str] | bool | None]) -> bool | None:
        last, before = commands[-1], commands[:-1]
        if not isinstance(last, list):
            return last
        if last[0] == "exit":
            raise _Unknown  # it ends only its part of the pipeline
        source = before[0]
        if len(before) == 1 and isinstance(source, list) and len(source) == 2 and source[0] == "cat":
            return self.simple(last, source[1])
        return None if last[0] in {"grep", "egrep", "fgrep"} else self.simple(last)

    def _grep(self, arguments: list[str], source: str | None) -> bool | None:
        options = ""
        while arguments and arguments[0].startswith("-") and len(arguments[0]) > 1:
            options += arguments.pop(0)[1:]
        if not arguments or not set(options) <= set("qsiEFv"):
            return None
        pattern, *files = arguments
        if files not in ([], ["/proc/cmdline"]) or (not files and source != "/proc/cmdline"):
            return None
        if not re.fullmatch(r"[\w=/ ,:.-]+", pattern):
            return None
        found = self.world.command_line(pattern)
        # The command line is one line, so -v succeeds if it does not contain the word.
        return None if found is None else found is not ("v" in options)

    # -- test ------------------------------------------------------------------------------------------------------

    def test(self, words: list[str]) -> bool | None:
        """Evaluate the operands of `test`; by POSIX their number decides first."""
        if len(words) > 30:
            return None
        if not words:
            return False
        if len(words) == 1:
            return self._filled(words[0])
        if words[:2] == ["!", "!"]:
            return None  # shells differ
        if words[0] == "!" and len(words) <= 4 and not (len(words) == 3 and words[1] in _BINARY):
            inner = self.test(words[1:])
            return None if inner is None else not inner
        if len(words) == 2:
            return self._unary(words[0], words[1])
        if len(words) == 3 and words[1] in _BINARY:
            return self._binary(*words)
        for sign, stops in (("-o", True), ("-a", False)):
            if sign in words[1:-1]:
                at = words.index(sign, 1)
                return _either(self.test(words[:at]), self.test(words[at + 1 :]), stops=stops)
        return None

    def _filled(self, word: str) -> bool | None:
        found = re.fullmatch(r"\0(.*)\0", word, re.DOTALL)
        if found is not None and "\0" not in found[1]:
            return self.world.label(found[1])
        return None if "\0" in word else word != ""

    def _unary(self, operator: str, word: str) -> bool | None:
        if operator == "-n":
            return self._filled(word)
        if operator == "-z":
            filled = self._filled(word)
            return None if filled is None else not filled
        if operator in _FILE_TESTS and "\0" not in word:
            return self.world.test(operator, word)
        return None

    def _binary(self, left: str, operator: str, right: str) -> bool | None:
        if "\0" in left + right:
            return None
        if operator in {"=", "=="}:
            return left == right
        if operator == "!=":
            return left != right
        if operator in {"-a", "-o"}:
            return _either(left != "", right != "", stops=operator == "-o")
        if not all(re.fullmatch(r"[-+]?[0-9]{1,18}", each) for each in (left, right)):
            return False  # "integer expression expected", status 2
        return _NUMBERS[operator](int(left), int(right))


def _either(left: bool | None, right: bool | None, *, stops: bool) -> bool | None:
    if left is stops or right is stops:
        return stops
    return None if left is None or right is None else not stops


# Words that change how the rest is read, or end the script: not evaluated. `!` is not allowed after `|`.
_COMPOUNDS = frozenset(
    [
        *(
            "if",
            "while",
            "until",
            "for",
            "case",
            "{",
            "}",
            "function",
            "[[",
            "time",
            "then",
            "else",
            "elif",
            "fi",
        ),
        *("do", "done", "esac", "select", "coproc", "!"),
        *(
            ".",
            "source",
            "eval",
            "set",
            "trap",
            "exec",
            "return",
            "break",
            "continue",
            "kill",
            "alias",
            "unalias",
        ),
    ]
)
_FILE_TESTS = frozenset(["-e", "-f", "-d", "-s", "-r", "-w", "-x", "-L", "-h", "-b", "-c", "-p", "-S"])
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda left, right: left == right,
    "-ne": lambda left, right: left != right,
    "-lt": lambda left, right: left < right,
    "-le": lambda left, right: left <= right,
    "-gt": lambda left, right: left > right,
    "-ge": lambda left, right: left >= right,
}
_BINARY = frozenset(["=", "==", "!=", "-a", "-o", *_NUMBERS])
