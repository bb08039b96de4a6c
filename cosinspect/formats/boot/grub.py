"""GRUB scripts: `grub.cfg`, `bootargs.cfg` and whatever they source, read without being run.

The language is that of the GRUB manual, "Writing full configuration files directly" (2.06): words and quoting,
`set NAME=VALUE` and bare `NAME=VALUE`, `if`, `for`, `while`, `until`, `function`, and commands that take a block such as
`menuentry` and `submenu`. Commands are not known by name but for those, since modules add them. GRUB reports a fault
and goes on with the next statement; so does this reader, and its faults are values. It gives up only at an unbalanced
quote, and at its limits: `MAX_COMMANDS`, `MAX_NESTING`, and the length of the text.

Words and values have their quoting removed and their variables kept, as `grub_lexer` says.
"""

from __future__ import annotations

import re

from attrs import Factory, define, frozen

from cosinspect.formats.boot.grub_lexer import Token, tokens, unquote
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem, bounded

__all__ = [
    "MAX_COMMANDS",
    "MAX_NESTING",
    "Assignment",
    "Command",
    "GrubScript",
    "MenuEntry",
    "Source",
    "read_grub_script",
]

MAX_COMMANDS = 100_000
"""Statements of one script; the largest generated grub.cfg has some thousands."""

MAX_NESTING = 50
"""Constructs within each other; GRUB's own parser has its stack limited too."""

_CONDITION_CHARACTERS = 200

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)

_CLOSED_BY = {"if": "fi", "for": "done", "while": "done", "until": "done"}
_KEYWORDS = frozenset({*_CLOSED_BY, "then", "elif", "else", "fi", "do", "done"})
# The lexer reserves these and the grammar has no use for them (grub-core/script/parser.y).
_UNUSABLE = frozenset({"case", "esac", "in", "select", "[[", "]]"})
_ENTRIES = frozenset({"menuentry", "submenu"})
_SOURCING = frozenset({"source", ".", "configfile", "legacy_configfile"})
# menuentry's and submenu's options that take a value (grub-core/commands/menuentry.c).
_VALUED = frozenset({"--class", "-c", "--users", "-u", "--hotkey", "-h", "--source", "-s", "--id", "-i"})
# grub-mkconfig writes `$menuentry_id_option NAME`, where the variable is `--id` or nothing.
_ID_OPTIONS = frozenset({"--id", "-i", "$menuentry_id_option", "${menuentry_id_option}"})


@frozen
class Command:
    """One statement, or one reserved word or brace.

    Attributes:
        words: the name and the arguments, their quoting removed and variables kept.
        line: of its first word, counted from 1.
        conditions: the constructs around it, outermost first, such as `if [ -n "$x" ]` or `menuentry cos`.
        keyword: whether this is a reserved word or brace, not a command.
    """

    words: tuple[str, ...]
    line: int
    conditions: tuple[str, ...] = ()
    keyword: bool = False

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0]


@frozen
class Assignment:
    """A `set NAME=VALUE` or bare `NAME=VALUE`.

    Attributes:
        name: what is set.
        raw: the value as it is written.
        value: the value with its quoting removed and its variables kept.
        line: counted from 1.
        conditions: as in `Command`; empty where the assignment always happens.
        statement: its index in the script's statements.
    """

    name: str
    raw: str
    value: str
    line: int
    conditions: tuple[str, ...]
    statement: int


@frozen
class Source:
    """A file that the script reads: by `source`, `.` or `configfile`."""

    path: str
    line: int
    conditions: tuple[str, ...] = ()


@frozen
class MenuEntry:
    """A `menuentry` or `submenu`; its commands are those that stand in no other entry inside it."""

    title: str
    id: str | None
    submenu: bool
    line: int
    commands: tuple[Command, ...]


@frozen
class GrubScript:
    """A GRUB script.

    Attributes:
        statements: everything in the order of the text, reserved words and braces too.
        assignments: every assignment, wherever it stands.
        entries: menu entries and submenus in the order they open.
        functions: the names of the functions that are defined.
        sourced: the files that are read.
        problems: what GRUB would stumble over.
    """

    statements: tuple[Command, ...]
    assignments: tuple[Assignment, ...]
    entries: tuple[MenuEntry, ...]
    functions: frozenset[str]
    sourced: tuple[Source, ...]
    problems: tuple[Problem, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        """The statements without reserved words and braces."""
        return tuple(statement for statement in self.statements if not statement.keyword)


def read_grub_script(text: str) -> GrubScript:
    """Read a GRUB script; whatever is wrong with it is in the result's `problems`."""
    text, problems = bounded(text)
    reader = _Reader(problems=problems)
    for token in tokens(text):
        if not reader.take(token):
            return reader.result()
    reader.end(text.count("\n") + 1)
    return reader.result()


@define
class _Construct:
    """Something that is open: `if` and the loops by their reserved word, the rest by their brace."""

    kind: str
    line: int
    text: str = ""
    word: str = ""
    first: str = ""
    empty: bool = False
    condition: list[str] | None = None
    entry: int | None = None


@define
class _OpenEntry:
    title: str
    id: str | None
    submenu: bool
    line: int
    commands: list[Command] = Factory(list)


@define
class _Reader:
    """Statements out of tokens, with a stack of what is open."""

    words: list[Token] = Factory(list)
    stack: list[_Construct] = Factory(list)
    conditions: tuple[str, ...] = ()
    statements: list[Command] = Factory(list)
    assignments: list[Assignment] = Factory(list)
    entries: list[_OpenEntry] = Factory(list)
    functions: set[str] = Factory(set)
    sourced: list[Source] = Factory(list)
    problems: list[Problem] = Factory(list)
    function: Token | None = None

    def take(self, token: Token) -> bool:
        """Take one token; False when reading cannot go on."""
        if token.kind == "word":
            self._word(token)
        elif token.kind == "newline" or token.raw == ";":
            self._end_statement()
        elif token.raw == "{":
            self._open_brace(token)
        elif token.raw == "}":
            self._end_statement()
            self._close(token)
        elif token.kind == "operator":
            self._problem("operator", f"GRUB has no `{token.raw}`", token.line)
        elif token.raw == "$":
            self._problem("variable", "`$` names no variable", token.line)
        else:
            what = "character" if token.raw == "\\" else "quote"
            self._problem("quote", f"the {what} {token.raw} has no other end", token.line)
            return False
        if len(self.statements) >= MAX_COMMANDS or len(self.stack) > MAX_NESTING:
            limit = "nested deeper" if len(self.stack) > MAX_NESTING else "longer"
            self._problem("limit", f"the script is {limit} than is read here", token.line)
            return False
        return True

    def end(self, line: int) -> None:
        """Take the end of the text."""
        self._end_statement()
        for construct in self.stack:
            self._problem("unclosed", f"`{construct.kind}` of line {construct.line} is never closed", line)

    def result(self) -> GrubScript:
        """What was read."""
        return GrubScript(
            statements=tuple(self.statements),
            assignments=tuple(self.assignments),
            entries=tuple(
                MenuEntry(entry.title, entry.id, entry.submenu, entry.line, tuple(entry.commands))
                for entry in self.entries
            ),
            functions=frozenset(self.functions),
            sourced=tuple(self.sourced),
            problems=tuple(self.problems),
        )

    def _problem(self, kind: str, message: str, line: int) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(kind, message, line))

    def _word(self, token: Token) -> None:
        if self.words or token.raw not in _KEYWORDS:
            self.words.append(token)
        elif token.raw in _CLOSED_BY:
            self._keyword(token)
            self._push(_Construct(token.raw, token.line, word=token.raw, condition=[]))
            if token.raw == "for":
                self.words.append(token)
        elif token.raw in {"then", "do", "elif", "else"}:
            self._middle(token)
        else:
            self._close(token)

    def _middle(self, token: Token) -> None:
        top = self.stack[-1] if self.stack else None
        wanted = {"for", "while", "until"} if token.raw == "do" else {"if"}
        if (
            top is None
            or top.kind not in wanted
            or (token.raw in {"then", "do"}) != (top.condition is not None)
            or top.word == "else"
        ):
            self._problem("keyword", f"`{token.raw}` stands where nothing waits for it", token.line)
            return
        self._not_empty(top, token)
        if top.condition is not None:
            text = f"{top.word} {'; '.join(top.condition)}"[:_CONDITION_CHARACTERS]
            top.first, top.text, top.condition = top.first or text, text, None
        elif token.raw == "elif":
            top.word, top.condition = "elif", []
        else:
            top.word, top.text = "else", f"else of {top.first}"
        self._around()
        self._keyword(token)
        top.empty = top.condition is None

    def _open_brace(self, token: Token) -> None:
        words = self.words
        if words and words[0].raw == "function":
            self._end_statement()
            words = []
        if self.function is not None:
            name, self.function = self.function.raw, None
            self.functions.add(name)
            construct = _Construct("{", token.line, f"function {name}")
        elif words:
            construct = _Construct("{", words[0].line, words[0].raw[:_CONDITION_CHARACTERS])
            if words[0].raw in _ENTRIES:
                entry = _menu_entry([unquote(word.raw) for word in words], words[0].line)
                construct.text = f"{words[0].raw} {entry.id or entry.title}"[:_CONDITION_CHARACTERS]
                construct.entry = len(self.entries)
                self.entries.append(entry)
            self._end_statement()
        else:
            self._problem("block", "a block stands alone, without a command that takes it", token.line)
            construct = _Construct("{", token.line)
        self._keyword(token)
        construct.empty = True
        self._push(construct)

    def _close(self, token: Token) -> None:
        top = self.stack[-1] if self.stack else None
        if top is None or _CLOSED_BY.get(top.kind, "}") != token.raw or top.condition is not None:
            found = f"`{top.kind}` of line {top.line} is open" if top else "nothing is open"
            self._problem("unbalanced", f"`{token.raw}` closes nothing: {found}", token.line)
            return
        self._not_empty(top, token)
        self.stack.pop()
        self._around()
        self._keyword(token)

    def _not_empty(self, construct: _Construct, token: Token) -> None:
        if construct.empty:
            self._problem(
                "empty", f"there is no command before `{token.raw}`, and GRUB wants one", token.line
            )

    def _push(self, construct: _Construct) -> None:
        self.stack.append(construct)
        self._around()

    def _around(self) -> None:
        self.conditions = tuple(c.text for c in self.stack if c.text and c.condition is None)

    def _keyword(self, token: Token) -> None:
        if self.stack:
            self.stack[-1].empty = False
        self.statements.append(Command((token.raw,), token.line, self.conditions, keyword=True))

    def _end_statement(self) -> None:
        """End the statement that `words` holds, if any."""
        tokens, self.words = self.words, []
        if not tokens:
            return
        if self.function is not None:
            self._problem("function", f"`function {self.function.raw}` has no block", self.function.line)
            self.function = None
        if tokens[0].raw == "function":
            if len(tokens) == 2 and _NAME.fullmatch(tokens[1].raw):
                self.function = tokens[1]
            else:
                self._problem("function", "`function` needs one name and a block", tokens[0].line)
            return
        if tokens[0].raw in _UNUSABLE:
            self._problem("keyword", f"GRUB has no `{tokens[0].raw}`", tokens[0].line)
        if self.stack and (condition := self.stack[-1].condition) is not None:
            stated = tokens[1:] if tokens[0].raw == "for" else tokens
            condition.append(" ".join(word.raw for word in stated)[:_CONDITION_CHARACTERS])
        if tokens[0].raw == "for":
            return
        if self.stack:
            self.stack[-1].empty = False
        command = Command(tuple(unquote(token.raw) for token in tokens), tokens[0].line, self.conditions)
        self.statements.append(command)
        if entries := [c.entry for c in self.stack if c.entry is not None]:
            self.entries[entries[-1]].commands.append(command)
        self._assignment(command, tokens)
        if command.name in _SOURCING and len(command.words) > 1:
            self.sourced.append(Source(command.words[1], command.line, self.conditions))

    def _assignment(self, command: Command, tokens: list[Token]) -> None:
        position = 1 if command.name == "set" else 0
        if position == len(tokens):
            return  # `set` alone lists the variables
        name, equals, value = command.words[position].partition("=")
        if equals and (position or _NAME.fullmatch(name)):
            raw = tokens[position].raw.partition("=")[2]
            index = len(self.statements) - 1
            self.assignments.append(Assignment(name, raw, value, command.line, self.conditions, index))
        elif position:
            self._problem("assignment", f"`set {name}` assigns nothing", command.line)


def _menu_entry(words: list[str], line: int) -> _OpenEntry:
    title = identifier = None
    position = 1
    while position < len(words):
        option, equals, value = words[position].partition("=")
        if option in _ID_OPTIONS or (option in _VALUED and not equals):
            if not equals:
                position += 1
                value = words[position] if position < len(words) else ""
            if option in _ID_OPTIONS:
                identifier = value
        elif not option.startswith("-") and title is None:
            title = words[position]
        position += 1
    return _OpenEntry(title or "", identifier, words[0] == "submenu", line)
