"""The quoting of shell scripts: quotes, expansions and substitutions, with an explicit stack of open constructs.

Follows POSIX.1-2017, "Shell Command Language", 2.2 and 2.6, with bash's `$'...'`, `$"..."`, arrays and extended patterns.
Commands are parsed in `cosinspect.formats.shell.grammar`.
"""

from __future__ import annotations

import enum
import re
from typing import Any, NoReturn

from attrs import Factory, define

from cosinspect.formats.text.problem import Problem

__all__ = [
    "BREAKS",
    "MAX_NESTING",
    "PLAIN",
    "Frame",
    "FrameKind",
    "OpenWord",
    "ShellLexer",
    "Stopped",
    "WordState",
]

MAX_NESTING = 200
"""The deepest nesting of quotes, substitutions and subshells."""

BREAKS = frozenset(" \t\n;&|<>()")
"""The characters that end an unquoted word."""

PLAIN = re.compile(r"""[^ \t\n\\'"`$;&|<>()#]++""")
"""Text without special characters, outside quotes."""

_PLAIN_IN_QUOTES = re.compile(r'[^"\\`$]++')
_PLAIN_IN_BRACES = re.compile(r"""[^}\\'"`$]++""")
_PLAIN_IN_PARENS = re.compile(r"""[^()\\'"`$#]++""")
_ANSI_C = re.compile(r"\$'(?:[^'\\]++|\\.)*+'", re.DOTALL)
_BACKQUOTED = re.compile(r"`((?:[^`\\]++|\\.)*+)`", re.DOTALL)
_NAMED = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-])", re.ASCII)
_PARAMETER = re.compile(r"\$\{[!#]?(?:\w++|[@*#?$!-])?(?:\[[^\]\n]{0,200}\])?", re.ASCII)
# Operators of ${...} whose operand is a pattern: single quotes quote in it even within double quotes.
_PATTERN_OPERATORS = frozenset("#%/^,")


class Stopped(Exception):
    """Reading ends; the exception never leaves the shell modules."""


class WordState(enum.Enum):
    """The role of the next word of a list of commands."""

    COMMAND = enum.auto()
    ARGUMENT = enum.auto()
    AFTER = enum.auto()  # a compound command: redirections, a separator or a closing word
    FOR_NAME = enum.auto()
    FOR_IN = enum.auto()
    FOR_WORDS = enum.auto()
    CASE_WORD = enum.auto()
    CASE_IN = enum.auto()
    PATTERN = enum.auto()
    FUNCTION_NAME = enum.auto()


class FrameKind(enum.Enum):
    """The kind of a frame of the stack."""

    COMMANDS = enum.auto()  # the script, a subshell or a substitution
    QUOTES = enum.auto()  # "..."
    BRACES = enum.auto()  # ${...}
    PARENS = enum.auto()  # $((...)), ((...)), array=(...), an extended pattern
    TEST = enum.auto()  # [[ ... ]]


@define(eq=False)
class OpenWord:
    """A word that is being read, and the known part of its text."""

    start: int
    parts: list[str] = Factory(list)
    quoted: bool = False
    expanded: bool = False

    @property
    def literal(self) -> str | None:
        """The text without its quotes, or None if it contains an expansion."""
        return None if self.expanded else "".join(self.parts)


@define(eq=False)
class Frame:
    """An open construct; its kind decides which fields are used."""

    kind: FrameKind
    start: int
    word: OpenWord | None = (
        None  # the word that is being read, or to which the quotes, braces or parentheses belong
    )
    depth: int = 0  # PARENS: parentheses to close
    comments: bool = False  # PARENS: whether `#` starts a comment
    in_quotes: bool = False  # BRACES: whether within double quotes
    pattern: bool = False  # BRACES: whether the operand is a pattern
    words: list[str | None] = Factory(list)  # COMMANDS, TEST: of the simple command or test
    words_start: int = 0
    words_line: int = 0
    state: WordState = WordState.COMMAND  # COMMANDS, as all below
    before: str = ""  # the separator before the simple command
    compounds: list[tuple[str, int]] = Factory(list)  # the compound commands open, with their offsets
    documents: list[tuple[str, bool]] = Factory(
        list
    )  # pending here-documents: delimiter, whether tabs are removed
    redirecting: bool = False  # whether the next word is a redirection's
    pattern_begun: bool = False  # PATTERN: whether it has a word


@define(eq=False)
class ShellLexer:
    """A position in a script, and the open constructs.

    Attributes:
        text: the script; it ends with a newline.
        line: the line of the text's first character.
        substitutions: texts in backquotes, each a script of its own, with its offset and line.
        problem: why reading stopped, or None.
    """

    text: str
    line: int = 1
    position: int = 0
    stack: list[Frame] = Factory(lambda: [Frame(FrameKind.COMMANDS, 0)])
    substitutions: list[tuple[str, int, int]] = Factory(list)
    problem: Problem | None = None
    _counted: int = 0

    def fail(self, kind: str, message: str) -> NoReturn:
        """Stop reading.

        Raises:
            Stopped: always.
        """
        last = min(self.position, len(self.text) - 1)
        self.problem = Problem(kind, message, self.line_of(last))
        raise Stopped

    def misplaced(self, what: str) -> NoReturn:
        """Stop reading at a word or sign that the grammar does not allow."""
        self.fail("syntax", f"`{what[:80]}` is not allowed here by the grammar")

    def line_of(self, position: int) -> int:
        """The line of a position; positions come in order."""
        if position > self._counted:
            self.line += self.text.count("\n", self._counted, position)
            self._counted = position
        return self.line

    def push(self, kind: FrameKind, width: int, **fields: Any) -> None:
        """Open a construct whose opening sign is `width` characters long."""
        if len(self.stack) > MAX_NESTING:
            self.fail("limit", f"the script is nested more than {MAX_NESTING} levels deep")
        self.stack.append(Frame(kind, self.position, **fields))
        self.position += width

    def pop(self, width: int) -> None:
        """Close the innermost construct, whose closing sign is `width` characters long."""
        self.stack.pop()
        self.position += width

    def word(self, frame: Frame) -> OpenWord:
        """The word that is being read; if there is none, it starts here."""
        if frame.word is None:
            frame.word = OpenWord(self.position)
        return frame.word

    def _backslash(self, word: OpenWord) -> None:
        following = self.text[self.position + 1 : self.position + 2]
        if following != "\n":
            word.parts.append(following)
            word.quoted = True
        self.position += 2

    def _single_quote(self, word: OpenWord) -> None:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            self.fail("quote", "the quote ' is not closed")
        word.parts.append(self.text[self.position + 1 : end])
        word.quoted = True
        self.position = end + 1

    def _double_quote(self, word: OpenWord) -> None:
        word.quoted = True
        self.push(FrameKind.QUOTES, 1, word=word)

    def _dollar(self, word: OpenWord, *, in_quotes: bool) -> None:
        text, at = self.text, self.position
        following = text[at + 1 : at + 2]
        if following == "(":
            word.expanded = True
            if text.startswith("((", at + 1):
                self.push(FrameKind.PARENS, 3, word=word, depth=2)
            else:
                self.push(FrameKind.COMMANDS, 2)
        elif following == "{":
            word.expanded = True
            match = _PARAMETER.match(text, at)
            end = match.end() if match else at + 2
            pattern = text[end] in _PATTERN_OPERATORS
            self.push(FrameKind.BRACES, end - at, word=word, in_quotes=in_quotes, pattern=pattern)
        elif not in_quotes and following == "'":
            match = _ANSI_C.match(text, at)
            if match is None:
                self.fail("quote", "the quote $' is not closed")
            word.quoted = word.expanded = True
            self.position = match.end()
        elif not in_quotes and following == '"':
            self.position += 1
        elif match := _NAMED.match(text, at):
            word.expanded = True
            self.position = match.end()
        else:
            word.parts.append("$")
            word.quoted = True
            self.position += 1

    def _backquote(self, word: OpenWord, *, in_quotes: bool) -> None:
        match = _BACKQUOTED.match(self.text, self.position)
        if match is None:
            self.fail("quote", "the quote ` is not closed")
        word.expanded = True
        inner = re.sub(r'\\([`\\$"])' if in_quotes else r"\\([`\\$])", r"\1", match[1])
        if inner:
            self.substitutions.append((inner, self.position, self.line_of(self.position)))
        self.position = match.end()

    def quoting(self, word: OpenWord, character: str, *, in_quotes: bool = False) -> bool:
        """Take a quote, a backslash, a `$` or a backquote; return whether it was one."""
        if character == "\\":
            self._backslash(word)
        elif character == "'":
            self._single_quote(word)
        elif character == '"':
            self._double_quote(word)
        elif character == "$":
            self._dollar(word, in_quotes=in_quotes)
        elif character == "`":
            self._backquote(word, in_quotes=in_quotes)
        else:
            return False
        return True

    # --- frames without commands --- --------------------------------------------------------------------------

    def quotes(self, frame: Frame, character: str) -> None:
        """Take the next piece of text within double quotes."""
        word = self.word(frame)
        if match := _PLAIN_IN_QUOTES.match(self.text, self.position):
            word.parts.append(match[0])
            self.position = match.end()
        elif character == '"':
            self.pop(1)
        elif character == "\\":
            following = self.text[self.position + 1 : self.position + 2]
            word.parts.append(
                "" if following == "\n" else following if following in '$`"\\' else "\\" + following
            )
            self.position += 2
        else:
            self.quoting(word, character, in_quotes=True)

    def braces(self, frame: Frame, character: str) -> None:
        """Take the next piece of a `${...}`."""
        if match := _PLAIN_IN_BRACES.match(self.text, self.position):
            self.position = match.end()
        elif character == "}":
            self.pop(1)
        elif character == "'" and frame.in_quotes and not frame.pattern:
            self.position += 1
        else:
            self.quoting(self.word(frame), character, in_quotes=frame.in_quotes)

    def parens(self, frame: Frame, character: str) -> None:
        """Take the next piece of parentheses without commands."""
        if match := _PLAIN_IN_PARENS.match(self.text, self.position):
            self.position = match.end()
        elif character == "#":
            if frame.comments and self.text[self.position - 1] in " \t\n(":
                self.comment()
            else:
                self.position += 1
        elif character == "(":
            frame.depth += 1
            self.position += 1
        elif character == ")":
            frame.depth -= 1
            if frame.depth:
                self.position += 1
            else:
                self.pop(1)
        else:
            self.quoting(self.word(frame), character)

    def comment(self) -> None:
        """Take a comment, up to the end of its line."""
        end = self.text.find("\n", self.position)
        self.position = len(self.text) if end < 0 else end
