"""The cost of an inspection as text: the only part of a report that differs between two inspections of the same image.

This module loads no third-party library: a stored answer is printed with its own cost before anything else is imported.
"""

from __future__ import annotations

__all__ = ["cost_line", "long_seconds", "size"]


def cost_line(seconds: float, count: int, entries: int) -> str:
    """Return the cost in one line: `412.3 MB read, 35012 paths, 6.2 s`.

    Args:
        seconds: wall time of the whole inspection.
        count: bytes from the source.
        entries: names in the merged tree.
    """
    paths = "1 path" if entries == 1 else f"{entries} paths"
    return f"{size(count)} read, {paths}, {seconds:.1f} s"


def long_seconds(seconds: float) -> str:
    """Return a time with its milliseconds, as JUnit has it: `6.213`."""
    return f"{seconds:.3f}"


def size(count: int) -> str:
    """Return a number of bytes in decimal units: `412.3 MB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.95 or unit == "TB":
            break
        value /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
