"""`checks [ID]`: the catalogue of checks, or one of them in full."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from cosinspect.checks.base import Check
from cosinspect.checks.plugins import installed_checks
from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import add_format
from cosinspect.commands.stored_answers import store_listing
from cosinspect.report.display import wrap

__all__ = ["configure", "named_check", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("check", nargs="?", metavar="ID", help="such as COS001, or the name of a check")
    add_format(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    every = installed_checks()
    item = None if arguments.check is None else named_check(arguments.check, every)
    if arguments.format == "json":
        values = [_values(each) for each in every] if item is None else _values(item)
        lines = iter([json.dumps(values, indent=2)])
    else:
        lines = _overview(every, terminal.columns) if item is None else _in_full(item, terminal.columns)
    text = "".join(f"{line}\n" for line in lines)
    terminal.out.write(text)
    store_listing(arguments.question, text)
    return 0


def named_check(wanted: str, every: Sequence[Check]) -> Check:
    """Return the check with this id or name.

    Raises:
        WrongUse: there is none; the message names checks with similar names.
    """
    known = {item.id.lower(): item for item in every} | {item.name: item for item in every}
    if (found := known.get(wanted.lower())) is not None:
        return found
    near = [known[word] for word in difflib.get_close_matches(wanted.lower(), known, n=3, cutoff=0.5)]
    meant = " or ".join(dict.fromkeys(f"{item.id} ({item.name})" for item in near))
    hint = f"did you mean {meant}?" if near else "cosinspect checks lists them"
    raise WrongUse(f"there is no check {wanted!r}; {hint}")


def _values(item: Check) -> dict[str, Any]:
    return {
        "id": item.id,
        "name": item.name,
        "level": item.level.value,
        "capabilities": _capabilities(item),
        "summary": item.summary,
        "why": item.why,
        "remedy": item.remedy,
    }


def _capabilities(item: Check) -> list[str]:
    return [capability.value for capability in item.capabilities]


def _overview(every: Sequence[Check], columns: int) -> Iterator[str]:
    wide = max(len(item.name) for item in every)
    for item in every:
        decides = ", ".join(_capabilities(item)) or "-"
        yield f"{item.id}  {item.level.value:<7}  {item.name:<{wide}}  {decides}"
        yield from (f"        {line}" for line in wrap(item.summary, columns - 8))


def _in_full(item: Check, columns: int) -> Iterator[str]:
    yield f"{item.id} {item.name}"
    rows = {
        "level": item.level.value,
        "decides": ", ".join(_capabilities(item)) or "nothing by itself",
        "what": item.summary,
        "why": item.why,
        "remedy": item.remedy,
    }
    for word, text in rows.items():
        for number, line in enumerate(wrap(text, columns - 11)):
            yield f"  {word if number == 0 else '':<7}  {line}"
