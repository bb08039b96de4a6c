"""Which files' bodies are kept while their layer is read."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

from cosinspect.globs import alternatives, is_literal, path_expression
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["Retain"]


class Retain:
    """The files whose bodies are kept while their layer is read, within a budget that all layers share.

    A file that exceeds the budget is read in a second pass when it is needed; the budget changes the cost,
    never the result.

    Attributes:
        names: names of files that are wanted in any directory.
    """

    def __init__(self, patterns: Iterable[str] = (), *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Keep files whose path matches one of `patterns`, globs of paths (`cosinspect.globs`)."""
        patterns = tuple(patterns)
        expressions = [path_expression(pattern) for pattern in patterns]
        self.names, self._top = _places(patterns)
        self._expression = re.compile("|".join(expressions)) if expressions else None
        self._file_bytes = limits.retained_file_bytes
        self._left = limits.retained_bytes
        self._lock = threading.Lock()

    def wants(self, path: str, size: int) -> bool:
        """Return whether to keep a file of `size` bytes, and subtract it from the budget."""
        if self._expression is None or size > self._file_bytes or not self._expression.fullmatch(path):
            return False
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def may_want(self, directory: str) -> bool:
        """Return whether some file in a directory may match, apart from those with one of `names`.

        It costs a tenth of `wants`, and is asked once for all files of a directory.
        """
        places = [self._top]
        for name in directory.split("/") if directory else ():
            found = []
            for place in places:
                if place.deep:
                    return True
                found += [place.below[key] for key in (name, None) if key in place.below]
            if not found:
                return False
            places = found
        return any(place.deep or place.has_files for place in places)


class _Place:
    """A directory in which patterns have something.

    Attributes:
        below: the directories in it by name; None stands for the names of all patterns that are not literal.
        has_files: whether a pattern matches names in it.
        deep: whether a pattern matches paths in it at any depth.
    """

    __slots__ = ("below", "deep", "has_files")

    def __init__(self) -> None:
        self.below: dict[str | None, _Place] = {}
        self.has_files = False
        self.deep = False


def _places(patterns: Iterable[str]) -> tuple[frozenset[str], _Place]:
    """Return the names that patterns want in any directory, and the places of all other patterns."""
    names: set[str] = set()
    top = _Place()
    for each in (glob for pattern in patterns for glob in alternatives(pattern)):
        *parents, last = each.split("/")
        if parents == ["**"] and is_literal(last):
            names.add(last)
            continue
        place = top
        for part in parents:
            if part == "**":
                place.deep = True
                break
            place = place.below.setdefault(part if is_literal(part) else None, _Place())
        if last == "**":
            place.deep = True
        else:
            place.has_files = True
    return frozenset(names), top
