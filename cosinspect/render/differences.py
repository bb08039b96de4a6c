"""Differences between trees for people: grouped by cause, with both results and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cosinspect.report.display import printable, size, wrap
from cosinspect.rootfs.differences import FLATTEN, Comparison, Difference, DifferenceCause
from cosinspect.rootfs.rootfs import Entry

__all__ = ["change_lines", "comparison_lines"]

_SIGNS = {(True, False): "+", (False, True): "-", (False, False): "~"}


def comparison_lines(
    comparison: Comparison, step: Callable[[int], str], *, width: int, every: bool
) -> Iterator[str]:
    """Yield the differences between two semantics of the same layers, grouped by cause.

    Args:
        comparison: of the two trees.
        step: returns a layer's name with its build step.
        width: of the lines; longer paths exceed it.
        every: whether to list the content of a directory that is in one tree only.
    """
    first, other = comparison.first.semantics, comparison.other.semantics
    fatal = [problem for problem in comparison.other.problems if problem.fatal]
    if fatal:
        yield f"{other.value}: {other.reader} refuses the image, so there is nothing to compare"
        for problem in fatal:
            yield ""
            yield f"  {printable(step(problem.layer))}"
            yield from _wrapped(f"/{problem.path}: {problem.message}", width, "    ")
        yield from _wrapped(f"remedy: {FLATTEN}", width, "  ")
        return
    if not comparison.differences:
        yield f"{first.value} and {other.value}: the same tree"
        return
    count = len(comparison.differences)
    yield f"{first.value} and {other.value}: {count} {'path differs' if count == 1 else 'paths differ'}"
    for cause, found in comparison.by_cause():
        yield ""
        yield from _cause_lines(comparison, cause, found, step, width=width, every=every)


def _cause_lines(
    comparison: Comparison,
    cause: DifferenceCause,
    found: list[Difference],
    step: Callable[[int], str],
    *,
    width: int,
    every: bool,
) -> Iterator[str]:
    first, other = comparison.first.semantics, comparison.other.semantics
    yield printable(step(cause.layer))
    yield from _wrapped(f"{cause.item}: {cause.explain(other)}", width, "  ")
    tops = _tops(found, every=every)
    shown = [each for each, _ in tops]
    rows = [(printable(each.path), _outcome(each.left, each), _outcome(each.right, each)) for each in shown]
    wide = max(len(row[0]) for row in rows)
    middle = max(len(first.value), *(len(row[1]) for row in rows))
    yield f"    {'':<{wide}}  {first.value:<{middle}}  {other.value}"
    for row, (_, more) in zip(rows, tops, strict=True):
        line = f"    {row[0]:<{wide}}  {row[1]:<{middle}}  {row[2]}"
        yield line + (f", and {more} below" if more else "")
    yield from _wrapped(f"remedy: {cause.remedy}", width, "  ")


def change_lines(found: Sequence[Difference], *, every: bool) -> Iterator[str]:
    """Yield the differences between two images, one line per path: added, removed, changed."""
    for each, more in _tops(found, every=every):
        sign = _SIGNS[each.left is None, each.right is None]
        entry = each.right if each.right is not None else each.left
        assert entry is not None  # noqa: S101 - a difference has one side at least
        what = _kind(entry) if sign != "~" else _change(each)
        layer = f"[layer {entry.layer}]" if sign != "-" else ""
        yield f"  {sign} {printable(each.path)}  {what}{f', and {more} below' if more else ''}  {layer}".rstrip()


def _tops(found: Iterable[Difference], *, every: bool) -> list[tuple[Difference, int]]:
    """Count, instead of listing, the content of a directory that is on one side only."""
    tops: list[tuple[Difference, int]] = []
    for each in found:  # sorted, so that a directory comes before what is in it
        top, below = tops[-1] if tops else (None, 0)
        if not every and top and "presence" in top.aspects and each.path.startswith(f"{top.path}/"):
            tops[-1] = (top, below + 1)
        else:
            tops.append((each, 0))
    return tops


def _outcome(entry: Entry | None, each: Difference) -> str:
    if entry is None:
        return "-"
    words = _kind(entry)
    if "mode" in each.aspects:
        words += f" {entry.mode:04o}"
    if "owner" in each.aspects:
        words += f" {entry.uid}:{entry.gid}"
    return f"{words} (layer {entry.layer})"


def _kind(entry: Entry) -> str:
    if entry.type == "symlink":
        return f"-> {printable(entry.link)}"
    return size(entry.size) if entry.type == "file" else entry.type


def _change(each: Difference) -> str:
    left, right = each.left, each.right
    assert left is not None  # noqa: S101 - a change has both sides
    assert right is not None  # noqa: S101 - the same
    told = []
    for aspect in each.aspects:
        if aspect == "mode":
            told.append(f"mode {left.mode:04o} to {right.mode:04o}")
        elif aspect == "owner":
            told.append(f"owner {left.uid}:{left.gid} to {right.uid}:{right.gid}")
        elif aspect == "content":
            told.append(f"content, {size(left.size)} to {size(right.size)}")
        else:
            told.append(f"{_kind(left)} to {_kind(right)}")
    return "; ".join(told)


def _wrapped(text: str, width: int, indent: str) -> Iterator[str]:
    for number, line in enumerate(wrap(printable(text), width - len(indent) - 2)):
        yield f"{indent}{'  ' if number else ''}{line}"
