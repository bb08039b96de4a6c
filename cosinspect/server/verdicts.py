"""Verdicts by digest and rules, in memory and in a store: a decided image is only looked up, also after a restart or a kill."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Self

from cosinspect.server.postgresql_store import PostgresqlStore, is_postgresql
from cosinspect.server.sqlite_store import SPARE, SqliteStore
from cosinspect.server.verdict_store import Decided, StoreFailure, VerdictStore

__all__ = ["SPARE", "Decided", "Verdicts"]

_logger = logging.getLogger("cosinspect.server")

REMEMBERED = 4096
"""The number of verdicts that are also in memory."""


class Verdicts:
    """Verdicts, thread-safe. A failing store causes further inspections, and never prevents an answer; the log reports it.

    Args:
        store: stores them.
    """

    def __init__(self, store: VerdictStore) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Decided] = {}
        # A separate lock: a lookup in memory does not wait for the store.
        self._known_lock = threading.Lock()

    @classmethod
    def open(cls, database: str | Path, *, keep: int) -> Self:
        """Open the store.

        Args:
            database: a file, or an address of PostgreSQL.
            keep: the number of verdicts that are kept; the oldest are deleted first.

        Raises:
            InvalidConfiguration: the store cannot be opened.
        """
        if is_postgresql(str(database)):
            return cls(PostgresqlStore.open(str(database), keep=keep))
        return cls(SqliteStore.open(Path(database), keep=keep))

    def remembered(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules if it is in memory, without waiting."""
        with self._known_lock:
            return self._known.get((digest, rules))

    def find(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules, None if there is none. It may wait for the store."""
        found = self.remembered(digest, rules)
        if found is not None:
            return found
        try:
            found = self._store.find(digest, rules)
        except StoreFailure as fault:
            # As without a verdict: the image is inspected again.
            _logger.warning("a verdict cannot be read: %s", fault)
            return None
        if found is not None:
            self._remember(found)
        return found

    def latest(self, digest: str) -> Decided | None:
        """Return the latest verdict on an image, by any rules; None if there is none."""
        try:
            return self._store.latest(digest)
        except StoreFailure as fault:
            _logger.warning("a verdict cannot be read: %s", fault)
            return None

    def keep(self, decided: Decided) -> None:
        """Write a verdict; if the store does not take it, it is kept in memory only, and the log says so."""
        self._remember(decided)
        try:
            self._store.keep(decided)
        except StoreFailure as fault:
            _logger.warning("a verdict on %s is not stored: %s", decided.digest, fault)

    def probe(self) -> str | None:
        """Write to the store; return the reason if that fails, None if it does not."""
        try:
            self._store.probe()
        except StoreFailure as fault:
            return str(fault)
        return None

    def __len__(self) -> int:
        """Return the number of stored verdicts."""
        return len(self._store)

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    def _remember(self, decided: Decided) -> None:
        with self._known_lock:
            while len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[decided.digest, decided.rules] = decided
