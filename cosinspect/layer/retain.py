"""Which files' bodies are kept while their layer is read."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

from cosinspect.globs import path_expression
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["Retain"]


class Retain:
    """The files whose bodies are kept while their layer is read, within a budget that all layers share.

    A file that exceeds the budget is read in a second pass when it is needed; the budget changes the cost,
    never the result.
    """

    def __init__(self, patterns: Iterable[str] = (), *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Keep files whose path matches one of `patterns`, globs of paths (`cosinspect.globs`)."""
        expressions = [path_expression(pattern) for pattern in patterns]
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
