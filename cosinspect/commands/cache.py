"""`cache info|verify|prune`: shows, verifies and shrinks the local cache."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any, TypeAlias

from cosinspect.cache import DirectoryStore
from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import add_cache, add_format, store_of
from cosinspect.errors import InvalidCache
from cosinspect.report.display import printable, size

__all__ = ["configure", "run"]

Outcome: TypeAlias = "tuple[int, dict[str, Any], list[str]]"
"""Exit status, values for programs, lines for people."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "action",
        choices=("info", "verify", "prune"),
        help="info: show the content; verify: read every file and remove damaged ones; prune: remove the least recently "
        "longest",
    )
    parser.add_argument(
        "--max-size",
        type=_size,
        default=0,
        metavar="SIZE",
        help="size that prune keeps, such as 500M or 2G (decimal) or 2Gi; default: 0",
    )
    add_cache(parser)
    add_format(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    store = store_of(arguments)
    if not isinstance(store, DirectoryStore):
        raise WrongUse("--cache: expected a local directory; a shared cache is maintained at its place")
    try:
        status, values, lines = _act(arguments, store)
    except OSError as fault:
        raise InvalidCache(
            f"expected a readable cache, found {fault.strerror}", where=str(store.path)
        ) from fault
    if arguments.format == "json":
        terminal.out.write(json.dumps(values, indent=2) + "\n")
    else:
        for line in lines:
            terminal.out.write(printable(line) + "\n")
    return status


def _act(arguments: argparse.Namespace, store: DirectoryStore) -> Outcome:
    match arguments.action:
        case "info":
            return _info(store)
        case "verify":
            return _verify(store)
        case _:
            return _prune(store, arguments.max_size)


def _info(store: DirectoryStore) -> Outcome:
    kinds: dict[str, list[int]] = {}
    for kept in store.files():
        of_kind = kinds.setdefault(kept.kind or "unfinished", [0, 0])
        of_kind[0] += 1
        of_kind[1] += kept.size
    values = {
        "path": str(store.path),
        "kinds": {kind: {"files": count, "bytes": taken} for kind, (count, taken) in sorted(kinds.items())},
    }
    count, taken = (sum(each[number] for each in kinds.values()) for number in (0, 1))
    lines = [f"{store.path}: {_files(count)}, {size(taken)}"]
    lines.extend(f"  {kind:<10}  {number:>6}  {size(of):>12}" for kind, (number, of) in sorted(kinds.items()))
    return 0, values, lines


def _verify(store: DirectoryStore) -> Outcome:
    count = sum(1 for kept in store.files() if kept.kind)
    damaged = [(str(kept.path), fault) for kept, fault in store.verify()]
    values = {
        "path": str(store.path),
        "verified": count,
        "removed": [{"path": path, "fault": fault} for path, fault in damaged],
    }
    lines = [f"{path}: {fault}; removed" for path, fault in damaged]
    lines.append(f"{store.path}: {_files(count)} read, {len(damaged)} damaged")
    return (1 if damaged else 0), values, lines


def _prune(store: DirectoryStore, bound: int) -> Outcome:
    count, freed = store.prune(bound)
    values = {"path": str(store.path), "removed": count, "bytes": freed}
    return 0, values, [f"{store.path}: {_files(count)} removed, {size(freed)}"]


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 500M or 2G, found {text[:40]!r}")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _UNITS[found[2].upper()])


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
