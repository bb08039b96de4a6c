"""A fault in a text file that does not keep the rest of it from being read.

The text formats (GRUB scripts, drop-ins, environment files, units, cloud-config) are read by programs that go on after
most faults, so a fault is a value beside what was read, not an exception.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["MAX_CHARACTERS", "MAX_PROBLEMS", "Problem", "bounded"]

MAX_CHARACTERS = 2 * 1024 * 1024
"""The longest text that these readers follow; the largest generated grub.cfg stays below a tenth of it."""

MAX_PROBLEMS = 100
"""How many faults of one file are kept; a file with more is not of its format at all."""


@frozen
class Problem:
    """One fault, and where it is.

    Attributes:
        kind: one word for the class of the fault; stable, for tests and tools.
        message: what was expected and what was found, in one sentence without a full stop.
        line: counted from 1, or None if the reader does not know it.
    """

    kind: str
    message: str
    line: int | None

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


def bounded(text: str) -> tuple[str, list[Problem]]:
    """Cut a text after `MAX_CHARACTERS`, and give the problem `limit` where that took something away."""
    if len(text) <= MAX_CHARACTERS:
        return text, []
    line = text.count("\n", 0, MAX_CHARACTERS) + 1
    return text[:MAX_CHARACTERS], [
        Problem("limit", f"nothing behind {MAX_CHARACTERS} characters is read", line)
    ]
