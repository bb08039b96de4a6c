"""Single values as people read them: harmless text, sizes, times, widths.

The names and contents of files come from the builder of the image. On a terminal they must not move the
cursor, change colours or titles, start a new line, or run backwards (CVE-2021-42574 is the last of these in
source code).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from cosinspect.cost import size

__all__ = ["InertStream", "counted", "cut", "iso_time", "printable", "size", "wrap"]

_BRACKET = re.compile(r"##(vso)?\[")
_COLONS = re.compile(r"^([^\S\n]*)::", re.MULTILINE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Return text with everything invisible escaped as in Python: `\n`, `\x1b`, `\u202e`.

    It escapes all control characters (C0, DEL, C1), characters that change direction or are invisible, blanks
    other than the space, and unassigned characters. A surrogate escape is shown as its byte.
    """
    return text if text.isprintable() else _UNPRINTABLE.sub(_escaped, text)


class InertStream:
    r"""A text stream whose lines cannot be commands for a CI system; everything else is passed to `raw`.

    GitHub Actions executes a line that starts with `::` after blanks, and `##[` anywhere in a line; Azure
    Pipelines executes `##vso[`. The colon or the bracket is written as `\u003a` or `\u005b`, which is the
    same text in JSON.

    Attributes:
        raw: the stream itself, for intended commands.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw
        self._held = ""
        self._begun = False  # whether a part of the buffered line was written

    def write(self, text: str) -> int:
        """Write complete lines; buffer the rest until its end, or `flush`."""
        whole, line_break, rest = (self._held + text).rpartition("\n")
        self._held = rest
        if line_break:
            self.raw.write(self._inert(whole + line_break))
            self._begun = False
        return len(text)

    def flush(self) -> None:
        """Write the buffered text."""
        if self._held:
            self.raw.write(self._inert(self._held))
            self._held, self._begun = "", True
        self.raw.flush()

    def _inert(self, text: str) -> str:
        text = _BRACKET.sub(lambda found: f"##{found[1] or ''}\\u005b", text)
        first, line_break, rest = text.partition("\n") if self._begun else ("", "", text)
        return first + line_break + _COLONS.sub(lambda found: f"{found[1]}\\u003a:", rest)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return _NAMED.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str, width: int) -> str:
    """Return text cut to `width` characters; an ellipsis marks the cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def wrap(text: str, width: int) -> list[str]:
    """Break text at its blanks; a word longer than `width` is not broken, so that paths can be copied."""
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: `1 layer`, `2 layers`."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def iso_time(seconds: int) -> str:
    """Return seconds since the epoch as UTC, `2024-05-01T12:00:00Z`; out-of-range values as `@seconds`."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"
