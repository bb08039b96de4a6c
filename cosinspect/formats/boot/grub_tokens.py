"""The lexer of GRUB's script language: lines in, tokens out, by the rules of GRUB's own lexer.

GRUB reads a script line by line (grub-core/script/yylex.l and lexer.c, 2.06). A quote, backslash or construct that is open
at the end of a line requires the next line; otherwise the script ends with its line and the next line starts a new one. Two readers feed the
lexer and differ in three points:

- the boot loader drops carriage returns and every line that starts with `#` (grub-core/normal/main.c);
- grub-script-check puts a blank in place of each carriage return and tab (util/grub-script-check.c).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

from attrs import frozen

from cosinspect.deadline import spend

__all__ = [
    "MAX_WORD",
    "GrubSyntaxError",
    "Lexer",
    "Part",
    "PartKind",
    "Token",
    "boot_lines",
    "check_lines",
]

MAX_WORD = 8191
"""The longest token that GRUB's scanner accepts, in characters; its buffer (YYLMAX) has 8192."""

_RESERVED = """case do done elif else esac fi for function if in select then until while"""
RESERVED = frozenset(_RESERVED.split())
"""The reserved words of the grammar; each is an ordinary word as an argument."""

# No two alternatives start with the same character, and every run is possessive, so any text takes one pass.
_WORD = re.compile(
    r"""(?: [^{}|&$;<>\ \t\n'"\\]++ | \\[\s\S] | '[^']*+' | \$?"(?:[^"\\]++|\\[\s\S])*+"
          | \$(?: [A-Za-z_][A-Za-z0-9_]*+ | [0-9]++ | [?\#*@]
                | \{(?: [A-Za-z_][A-Za-z0-9_]*+ | [0-9]++ | [?\#*@] )\} ) )++""",
    re.VERBOSE,
)
_BLANKS = re.compile(r"[ \t]+")
_COMMENT = re.compile(r"#[^\n]*")
_OPEN_QUOTE = re.compile(r"""\$?"|'""")
_OPERATORS = re.compile(r"\|\||&&|;;|[{}|&;<>\n]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_PIECE = re.compile(
    r"""'(?P<single>[^']*)' | \$"(?P<translated>(?:[^"\\]|\\[\s\S])*)" | "(?P<double>(?:[^"\\]|\\[\s\S])*)"
      | \$(?: (?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?\#*@]) | \{(?P<braced>[^}]*)\} )
      | \\(?P<escaped>[\s\S]) | (?P<text>[^'"$\\]+)""",
    re.VERBOSE,
)
_IN_QUOTES = re.compile(
    r"""\$(?: (?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?\#*@])
            | \{(?P<braced>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?\#*@])\} )
      | \\(?P<escaped>[\s\S]) | (?P<text>[^$\\]+) | (?P<bare>\$)""",
    re.VERBOSE,
)


class GrubSyntaxError(Exception):
    """A script that GRUB refuses: what was expected, and the line, counted from 1."""

    def __init__(self, message: str, line: int) -> None:
        """Store the message and the line."""
        super().__init__(message)
        self.message = message
        self.line = line


class PartKind(Enum):
    """The kind of a part of a word; it decides how expansion treats blanks."""

    TEXT = auto()
    QUOTED = auto()
    VARIABLE = auto()
    QUOTED_VARIABLE = auto()
    BARE = auto()


@frozen
class Part:
    """A part of a word: text with its quoting removed, or the name of a variable."""

    kind: PartKind
    text: str


@frozen
class Token:
    """A token.

    Attributes:
        kind: `word`, `name` for a word that may name a variable or function, the reserved word itself, an operator
            such as `;` or `{`, a newline, or "" for the end of the script.
        raw: the text of the token.
        line: of its first character, counted from 1.
    """

    kind: str
    raw: str
    line: int

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a word.

        Raises:
            GrubSyntaxError: a `$` between double quotes names no variable.
        """
        parts = tuple(_split(self.raw))
        if any(part.kind is PartKind.BARE for part in parts):
            raise GrubSyntaxError("`$` names no variable", self.line)
        return parts


def boot_lines(text: str) -> Iterator[str]:
    """Yield the lines as the boot loader reads a configuration file; "" stands for a line that is skipped."""
    for line in _lines(text.replace("\r", "")):
        yield "" if line.startswith("#") else line


def check_lines(text: str) -> Iterator[str]:
    """Yield the lines of a file as grub-script-check reads them."""
    for line in _lines(text):
        yield line.replace("\r", " ").replace("\t", " ")


def _lines(text: str) -> Iterator[str]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for line in lines:
        spend()
        yield line.partition("\0")[0]  # a C string ends at its first NUL


class Lexer:
    """The tokens of one script after another, from lines.

    `open_constructs` counts what the parser has open: while it is not zero, the end of a line requires the next one.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        """Read these lines, without their line ends."""
        self._lines = lines
        self._buffer = ""
        self._position = 0
        self._line = 0
        self._ahead: deque[Token] = deque()
        self.open_constructs = 0

    @property
    def line(self) -> int:
        """The number of the last line that was read."""
        return self._line

    def begin(self) -> bool:
        """Start a script at the next line and drop the rest of this one; return False if there is no line."""
        self.open_constructs = 0
        self._ahead.clear()
        self._buffer, self._position = "", 0
        return self._read()

    def peek(self) -> Token:
        """Return the next token without taking it.

        Raises:
            GrubSyntaxError: no token starts here, or a quote or a construct is open at the end of the text.
        """
        if not self._ahead:
            self._ahead.append(self._next())
        return self._ahead[0]

    def take(self) -> Token:
        """Return the next token and take it.

        Raises:
            GrubSyntaxError: as in `peek`.
        """
        return self._ahead.popleft() if self._ahead else self._next()

    def _read(self) -> bool:
        """Append the next line to the buffer."""
        line = next(self._lines, None)
        if line is None:
            return False
        self._line += 1
        self._buffer = self._buffer[self._position :] + line + "\n"
        self._position = 0
        return True

    def _next(self) -> Token:
        while True:
            blanks = _BLANKS.match(self._buffer, self._position)
            if blanks:
                self._position = blanks.end()
            if self._position == len(self._buffer):
                if not self.open_constructs:
                    return Token("", "", self._line)
                self._more("the script ends within a construct")
                continue
            token = self._token()
            if token is not None:
                return token

    def _more(self, message: str) -> None:
        if not self._read():
            raise GrubSyntaxError(message, self._line)

    def _token(self) -> Token | None:
        """Match one token, or skip a comment, or read on."""
        buffer, position = self._buffer, self._position
        line = self._line - buffer.count("\n", position) + 1
        operator = _OPERATORS.match(buffer, position)
        if operator:
            self._position = operator.end()
            return Token(operator[0], operator[0], line)
        word = _WORD.match(buffer, position)
        end = word.end() if word else position
        opened = _OPEN_QUOTE.match(buffer, end)
        comment = _COMMENT.match(buffer, position)
        if comment and (opened is not None or comment.end() + 1 >= end):
            self._position = comment.end()
            return None
        if opened is not None or (word and end == len(buffer) and _continued(word[0])):
            if end - position > MAX_WORD or len(buffer) - position > MAX_WORD:
                raise GrubSyntaxError(f"a word has more than {MAX_WORD} characters", line)
            self._more("a quote is not closed" if opened else "the script ends after a backslash")
            return None
        if word is None:
            shown = buffer[position]
            raise GrubSyntaxError(f"expected a word, found `{shown}`", line)
        if end - position > MAX_WORD:
            raise GrubSyntaxError(f"a word has more than {MAX_WORD} characters", line)
        self._position = end
        raw = word[0]
        if raw in RESERVED or raw in {"[[", "]]"}:
            return Token(raw, raw, line)
        return Token("name" if _NAME.fullmatch(raw) else "word", raw, line)


def _continued(raw: str) -> bool:
    """Return whether a word ends in a backslash that escapes the end of the line."""
    if not raw.endswith("\\\n"):
        return False
    *_, last = _PIECE.finditer(raw)
    return last["escaped"] == "\n"


def _split(raw: str) -> Iterator[Part]:
    """Split a word into its parts, as the second pass of the lexer does."""
    for match in _PIECE.finditer(raw):
        spend()
        kind = match.lastgroup
        text = match[kind] if kind else ""
        if kind in {"name", "braced"}:
            yield Part(PartKind.VARIABLE, text)
        elif kind == "single":
            yield Part(PartKind.QUOTED, text)
        elif kind == "double":
            yield from _quoted(text)
        elif kind == "translated":  # a `$` without a name stays
            yield from (
                Part(PartKind.QUOTED, "$") if part.kind is PartKind.BARE else part for part in _quoted(text)
            )
        elif kind == "escaped":
            if text != "\n":
                yield Part(PartKind.TEXT, text)
        else:
            yield Part(PartKind.TEXT, text)


def _quoted(text: str) -> Iterator[Part]:
    """Split what is between double quotes; an empty pair is an empty part."""
    yield Part(PartKind.QUOTED, "")
    for match in _IN_QUOTES.finditer(text):
        name = match["name"] or match["braced"]
        if name is not None:
            yield Part(PartKind.QUOTED_VARIABLE, name)
        elif match["escaped"] is not None:
            escaped = match["escaped"]
            if escaped != "\n":
                yield Part(PartKind.QUOTED, escaped if escaped in '$"\\' else match[0])
        elif match["bare"] is not None:
            yield Part(PartKind.BARE, "$")
        else:
            yield Part(PartKind.QUOTED, match[0])
