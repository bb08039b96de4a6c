"""The words of a GRUB script: where they end, what their quotes hide, and where variables stand in them.

By the GRUB manual, "Shell-like scripting" (2.06) and what its lexer does: single quotes keep everything, double quotes
everything but `$` and a backslash before `$`, `"`, a backslash or a newline.

Once its quoting is removed, a word is kept with its variables as `$name` or `${name}`, and with a backslash in front of
a `$` or backslash that is meant literally, so that `expand` can tell `'$x'` from `"$x"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import frozen

__all__ = ["VARIABLE", "Token", "expand", "tokens", "unquote"]

# No alternative can start where another one can, and every run is possessive: one pass, whatever the text.
_TOKEN = re.compile(
    r"""
      (?P<blank> (?: [ \t\r\f\v] | \\\n )++ )
    | (?P<comment> \#[^\n]*+ )
    | (?P<newline> \n )
    | (?P<word> (?: [^{}|&$;<>\s'"\\]++ | \\. | '[^']*+' | "(?:[^"\\]++|\\.)*+" | \$\{[\w?\#*@]{1,256}\}
                  | \$(?=[\w?\#*@"]) )++ )
    | (?P<operator> [{}|&;<>] )
    | (?P<rest> . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_QUOTED = re.compile(r"""'([^']*)'|\$?"((?:[^"\\]|\\.)*)"|\\(.)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LITERAL = re.compile(r"[\\$]")

VARIABLE = re.compile(
    r"\\(?P<literal>.)|\$(?:(?P<name>[A-Za-z_]\w*|\d+|[?#*@])|\{(?P<braced>[^}]{1,256})\})",
    re.ASCII | re.DOTALL,
)
"""A variable in an unquoted word, or a character that is meant literally."""


@frozen
class Token:
    """A piece of a script.

    Attributes:
        kind: `word`, `newline`, `operator` for one of `{}|&;<>`, or `rest` for a character that starts nothing: a quote
            or backslash without its other end, or a `$` without a name.
        raw: as it is written.
        line: counted from 1.
    """

    kind: str
    raw: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """Give the tokens of a script, without blanks and comments."""
    line, position = 1, 0
    while match := _TOKEN.match(text, position):
        kind, raw = match.lastgroup or "", match[0]
        if kind not in {"blank", "comment"}:
            yield Token(kind, raw, line)
        line += raw.count("\n")
        position = match.end()


def unquote(raw: str) -> str:
    """Remove the quoting of a word and keep its variables."""
    return _QUOTED.sub(_unquoted, raw)


def expand(value: str, variables: Mapping[str, str]) -> str:
    """Put `variables` into an unquoted word as GRUB does: what is not set is empty."""

    def one(match: re.Match[str]) -> str:
        if (literal := match["literal"]) is not None:
            return literal
        return variables.get(match["name"] or match["braced"], "")

    return VARIABLE.sub(one, value)


def _unquoted(match: re.Match[str]) -> str:
    single, double, escaped = match.groups()
    if single is not None:
        return _literal(single)
    if double is not None:
        return _ESCAPED.sub(_escaped_in_quotes, double)
    return _literal(escaped) if escaped != "\n" else ""


def _escaped_in_quotes(match: re.Match[str]) -> str:
    if match[1] == "\n":
        return ""
    return _literal(match[1] if match[1] in '$"\\' else match[0])


def _literal(text: str) -> str:
    return _LITERAL.sub(r"\\\g<0>", text)
