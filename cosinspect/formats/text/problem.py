"""A fault in a text file; the rest of the file is still read.

The text formats (GRUB scripts, drop-ins, environment files, units, cloud-config) are read by programs that continue
after most faults. So a fault is a value next to the result, not an exception.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["MAX_CHARACTERS", "MAX_PROBLEMS", "Problem", "bounded"]

MAX_CHARACTERS = 2 * 1024 * 1024
"""The longest text that these readers read; the largest generated grub.cfg is below a tenth of it."""

MAX_PROBLEMS = 100
"""The most faults of one file that are kept; a file with more is not of its format."""


@frozen
class Problem:
    """A fault with its position.

    Attributes:
        kind: one word for the class of the fault; stable, for tests and tools.
        message: what was expected and found, as one sentence without a full stop.
        line: counted from 1, or None if the reader does not know it.
    """

    kind: str
    message: str
    line: int | None

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


def bounded(text: str) -> tuple[str, list[Problem]]:
    """Cut a text after `MAX_CHARACTERS`; return the problem `limit` if it was longer."""
    if len(text) <= MAX_CHARACTERS:
        return text, []
    line = text.count("\n", 0, MAX_CHARACTERS) + 1
    return text[:MAX_CHARACTERS], [
        Problem("limit", f"the file is read up to character {MAX_CHARACTERS}, and not after it", line)
    ]
