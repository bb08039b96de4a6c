"""Verdicts by digest and rules, in memory and in a store: what was decided once is only looked up, after a restart and a kill too."""

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
"""Verdicts that are held in memory as well."""


class Verdicts:
    """Verdicts, thread-safe. A store that fails costs inspections, never an answer: the log says so.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: VerdictStore) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Decided] = {}
        # Its own: who finds a verdict in memory does not wait for the store.
        self._known_lock = threading.Lock()

    @classmethod
    def open(cls, database: str | Path, *, keep: int) -> Self:
        """Open the store.

        Args:
            database: a file, or an address of PostgreSQL.
            keep: how many verdicts stay; the oldest go first.

        Raises:
            InvalidConfiguration: there can be no such store.
        """
        if is_postgresql(str(database)):
            return cls(PostgresqlStore.open(str(database), keep=keep))
        return cls(SqliteStore.open(Path(database), keep=keep))

    def remembered(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules if it is in memory; waits for nothing."""
        with self._known_lock:
            return self._known.get((digest, rules))

    def find(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules, None if there is none; may wait for the store."""
        found = self.remembered(digest, rules)
        if found is not None:
            return found
        try:
            found = self._store.find(digest, rules)
        except StoreFailure as fault:
            # As good as none: the image is inspected again.
            _logger.warning("a verdict cannot be read: %s", fault)
            return None
        if found is not None:
            self._remember(found)
        return found

    def latest(self, digest: str) -> Decided | None:
        """Return the latest verdict on an image, by whatever rules; None if there is none."""
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
            _logger.warning("a verdict of %s is not on disk: %s", decided.digest, fault)

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
