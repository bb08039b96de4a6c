"""The grammar of GRUB's script language: tokens in, statements out.

The rules are those of grub-core/script/parser.y (2.06), with the same verdict on every input as grub-script-check. GRUB
parses and runs one script after another: a line, with the lines that its constructs and quotes reach over. A script
that is refused is left out, and the boot loader goes on with the next line.

A script that is longer or nested deeper than this reader follows raises `LimitExceeded`, never a syntax error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

from attrs import define, field, frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.formats.boot.grub_tokens import (
    RESERVED,
    GrubSyntaxError,
    Lexer,
    Part,
    Token,
    boot_lines,
    check_lines,
)
from cosinspect.formats.text.problem import MAX_CHARACTERS, MAX_PROBLEMS, Problem

__all__ = [
    "MAX_DEPTH",
    "MAX_STATEMENTS",
    "Block",
    "For",
    "Function",
    "GrubScript",
    "GrubWord",
    "If",
    "Loop",
    "SimpleCommand",
    "Statement",
    "check_grub_script",
    "parse_grub_lines",
    "parse_grub_script",
]

MAX_STATEMENTS = 100_000
"""Statements of one script; the largest generated grub.cfg has some thousands."""

MAX_DEPTH = 50
"""Constructs within each other; no known script has more than ten."""

_KNOWN_CHARACTERS = 4096
"""The longest text whose script is kept: those of the toolkits are shorter, and 64 scripts take at most some 50 MB."""

_ENDS = frozenset({";", "\n"})
_ARGUMENTS = frozenset({"name", "word"}) | RESERVED


@frozen
class GrubWord:
    """A word of a command: its parts, which are joined once their variables are put in."""

    parts: tuple[Part, ...]
    raw: str = field(eq=False)


@frozen(eq=False)
class SimpleCommand:
    """A command line: words, the first of which names the command, and a block such as a menu entry's."""

    words: tuple[GrubWord, ...]
    line: int
    block: Block | None = None


@frozen(eq=False)
class If:
    """An `if`: conditions with what each guards, and what runs where none holds."""

    branches: tuple[tuple[Block, Block], ...]
    otherwise: Block | None
    line: int


@frozen(eq=False)
class For:
    """A `for`: the variable, the words it goes through, and the body."""

    name: str
    words: tuple[GrubWord, ...]
    body: Block
    line: int


@frozen(eq=False)
class Loop:
    """A `while`, or an `until`."""

    condition: Block
    body: Block
    until: bool
    line: int


@frozen(eq=False)
class Function:
    """The definition of a function, which takes effect while the script is parsed."""

    name: str
    body: Block
    line: int


Statement: TypeAlias = "SimpleCommand | If | For | Loop | Function"
Block: TypeAlias = "tuple[Statement, ...]"


@frozen(eq=False)
class GrubScript:
    """A file of GRUB's script language.

    Attributes:
        scripts: what GRUB parses and runs one after another; those that it refuses are left out.
        problems: why it refuses them, and in kind `limit` where this reader stopped.
    """

    scripts: tuple[Block, ...]
    problems: tuple[Problem, ...]

    @property
    def statements(self) -> Block:
        """All statements of the top level."""
        return tuple(statement for script in self.scripts for statement in script)

    @property
    def is_bounded(self) -> bool:
        """Whether this reader stopped before the end of the text."""
        return any(problem.kind == "limit" for problem in self.problems)


def parse_grub_script(text: str) -> GrubScript:
    """Parse a configuration file as the boot loader reads it; the result's `problems` lists the faults."""
    return _known_script(text) if len(text) <= _KNOWN_CHARACTERS else _boot_script(text)


def _boot_script(text: str) -> GrubScript:
    return _parse(boot_lines(text), too_long=len(text) > MAX_CHARACTERS)


# A menu sources the same files once for each state of the machine, and the derivatives of a release share them.
_known_script = lru_cache(maxsize=64)(_boot_script)


def parse_grub_lines(text: str) -> GrubScript:
    """Parse what `eval` runs: lines as they are, none of them skipped."""
    return _parse(iter(text.split("\n")), too_long=len(text) > MAX_CHARACTERS)


def check_grub_script(text: str) -> Problem | None:
    """Return what grub-script-check says of a file: its first fault, or that the file does nothing; None for success."""
    script = _parse(check_lines(text), too_long=len(text) > MAX_CHARACTERS, stop=True)
    if script.problems:
        return script.problems[0]
    if not any(not isinstance(each, Function) for each in script.statements):
        return Problem("empty", "the script has no command", None)
    return None


def _parse(lines: Iterator[str], *, too_long: bool, stop: bool = False) -> GrubScript:
    if too_long:
        problem = Problem("limit", f"nothing behind {MAX_CHARACTERS} characters is read", None)
        return GrubScript((), (problem,))
    parser = _ScriptParser(Lexer(lines))
    scripts: list[Block] = []
    problems: list[Problem] = []
    while parser.lexer.begin():
        try:
            scripts.append(tuple(parser.script()))
        except GrubSyntaxError as fault:
            if len(problems) < MAX_PROBLEMS:
                problems.append(Problem("syntax", fault.message, fault.line))
            if stop:
                break
        except _Bound as reached:
            problems.append(Problem("limit", str(reached), parser.lexer.line))
            break
    return GrubScript(tuple(scripts), tuple(problems))


class _Bound(FormatError):
    """A bound of this reader."""


@define
class _ScriptParser:
    """A descent through the grammar; it looks one token ahead, and only where GRUB's own parser does."""

    lexer: Lexer
    statements: int = 0
    depth: int = 0

    def script(self) -> Iterator[Statement]:
        """Parse one script of the top level."""
        self._newlines()
        while self.lexer.peek().kind:
            spend()
            if self.lexer.peek().kind == "function":
                yield self._function()
            else:
                yield self._command()
            if self.lexer.peek().kind not in _ENDS:
                raise self._unexpected("the end of the command")
            self.lexer.take()
            self._newlines()

    def _unexpected(self, wanted: str) -> GrubSyntaxError:
        token = self.lexer.peek()
        shown = {"\n": "the end of the line", "": "the end"}.get(token.raw, f"`{token.raw[:60]}`")
        return GrubSyntaxError(f"expected {wanted}, found {shown}", token.line)

    def _expect(self, kind: str) -> Token:
        if self.lexer.peek().kind != kind:
            raise self._unexpected("a name" if kind == "name" else f"`{kind}`")
        return self.lexer.take()

    def _newlines(self) -> None:
        while self.lexer.peek().kind == "\n":
            self.lexer.take()

    def _ended(self) -> bool:
        """Take what separates commands: one `;` or newline, and newlines after it."""
        if self.lexer.peek().kind not in _ENDS:
            return False
        self.lexer.take()
        self._newlines()
        return True

    def _open(self) -> None:
        self.lexer.open_constructs += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Bound(f"no construct deeper than {MAX_DEPTH} within others is read")

    def _close(self) -> None:
        self.lexer.open_constructs -= 1
        self.depth -= 1

    def _commands(self, *ends: str) -> Block:
        """Parse commands up to one of the words or the brace that end them, which is left."""
        self._newlines()
        found: list[Statement] = [self._command()]
        while True:
            separated = self._ended()
            kind = self.lexer.peek().kind
            if kind in ends and (separated or kind == "}"):
                return tuple(found)
            if not separated:
                raise self._unexpected("the end of the command")
            found.append(self._command())

    def _command(self) -> Statement:
        self.statements += 1
        if self.statements > MAX_STATEMENTS:
            raise _Bound(f"nothing behind {MAX_STATEMENTS} commands is read")
        token = self.lexer.peek()
        match token.kind:
            case "if":
                return self._if()
            case "for":
                return self._for()
            case "while" | "until":
                return self._loop()
            case "name" | "word":
                words = self._arguments()
                block = self._block() if self.lexer.peek().kind == "{" else None
                return SimpleCommand(words, token.line, block)
        raise self._unexpected("a command")

    def _arguments(self) -> tuple[GrubWord, ...]:
        words: list[GrubWord] = []
        while self.lexer.peek().kind in _ARGUMENTS:
            spend()
            token = self.lexer.take()
            words.append(GrubWord(token.parts, token.raw))
        return tuple(words)

    def _block(self) -> Block:
        self._expect("{")
        self._open()
        body = self._commands("}")
        self.lexer.take()
        self._close()
        return body

    def _function(self) -> Function:
        line = self.lexer.take().line
        name = self._expect("name").raw
        self._open()
        self._newlines()
        self._expect("{")
        body = self._function_body()
        self._close()
        return Function(name, body, line)

    def _function_body(self) -> Block:
        self._newlines()
        found: list[Statement] = [self._command()]
        while True:
            if not self._ended():
                raise self._unexpected("the end of the command")
            if self.lexer.peek().kind == "}":
                self.lexer.take()
                return tuple(found)
            found.append(self._command())

    def _if(self) -> If:
        line = self.lexer.take().line
        self._open()
        branches: list[tuple[Block, Block]] = []
        otherwise: Block | None = None
        while True:
            condition = self._commands("then")
            self.lexer.take()
            body = self._commands("fi", "else", "elif")
            branches.append((condition, body))
            end = self.lexer.take().kind
            if end == "else":
                otherwise = self._commands("fi")
                self.lexer.take()
            if end != "elif":
                break
        self._close()
        return If(tuple(branches), otherwise, line)

    def _for(self) -> For:
        line = self.lexer.take().line
        name = self._expect("name").raw
        self._open()
        self._expect("in")
        words = self._arguments()
        if not self._ended():
            raise self._unexpected("the end of the command")
        self._expect("do")
        body = self._commands("done")
        self.lexer.take()
        self._close()
        return For(name, words, body, line)

    def _loop(self) -> Loop:
        token = self.lexer.take()
        self._open()
        condition = self._commands("do")
        self.lexer.take()
        body = self._commands("done")
        self.lexer.take()
        self._close()
        return Loop(condition, body, token.kind == "until", token.line)


def walk_commands(blocks: Iterable[Block]) -> Iterator[SimpleCommand]:
    """Yield every command of some blocks, wherever it stands, functions' bodies and menu entries included."""
    stack = [iter(block) for block in blocks]
    while stack:
        spend()
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
        elif isinstance(statement, SimpleCommand):
            yield statement
            stack.extend([iter(statement.block)] if statement.block else [])
        elif isinstance(statement, If):
            inner = [part for pair in statement.branches for part in pair]
            stack.extend(iter(each) for each in (*inner, statement.otherwise or ()))
        elif isinstance(statement, Loop):
            stack.extend((iter(statement.condition), iter(statement.body)))
        else:
            stack.append(iter(statement.body))
