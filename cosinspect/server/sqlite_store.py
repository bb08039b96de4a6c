"""Verdicts in a file of SQLite, the store of one server."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Self

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.verdict_store import COLUMNS, Decided, StoreFailure

__all__ = ["SqliteStore"]

_logger = logging.getLogger("cosinspect.server")

VERSION = 1
"""The version of the table's layout; a file with another one is renamed and replaced."""
PROBE_SECONDS = 1.0
"""The time limit of a write, after which the file counts as unusable."""
SPARE = 64
"""The number of verdicts beyond `keep` before the oldest are deleted."""

_LAYOUT = """
CREATE TABLE IF NOT EXISTS verdicts (
  digest TEXT NOT NULL, rules TEXT NOT NULL, verdict TEXT NOT NULL, message TEXT NOT NULL,
  report BLOB NOT NULL, decided REAL NOT NULL, PRIMARY KEY (digest, rules)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON verdicts (decided);
"""


class SqliteStore:
    """A file of verdicts.

    A damaged file is renamed, and a new one is created: verdicts can be computed again, and the server must start. Written
    verdicts survive a kill of the process (SQLite's write-ahead log).
    """

    def __init__(self, connection: sqlite3.Connection, keep: int, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._count = connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]

    @classmethod
    def open(cls, path: Path, *, keep: int) -> Self:
        """Open the file, and create it if needed.

        Args:
            path: the file.
            keep: the number of verdicts that are kept; the oldest are deleted first.

        Raises:
            InvalidConfiguration: the file cannot be created or opened.
        """
        try:
            return cls(_open(path), keep, path)
        except sqlite3.DatabaseError as fault:
            if isinstance(fault, sqlite3.OperationalError) and not path.is_file():
                raise InvalidConfiguration(
                    f"the file of verdicts cannot be opened: {fault}", where=str(path)
                ) from fault
            aside = path.with_name(f"{path.name}.damaged")
            _logger.warning(
                "%s is damaged (%s): renamed to %s, and a new file is used", path, fault, aside.name
            )
            try:
                path.replace(aside)
                for tail in ("-wal", "-shm"):
                    path.with_name(path.name + tail).unlink(missing_ok=True)
                return cls(_open(path), keep, path)
            except (OSError, sqlite3.Error) as worse:
                raise InvalidConfiguration(
                    f"the file of verdicts is damaged, and cannot be renamed: {worse}", where=str(path)
                ) from worse

    def find(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules, None if there is none."""
        return self._read("WHERE digest = ? AND rules = ?", (digest, rules))

    def latest(self, digest: str) -> Decided | None:
        """Return the latest verdict on an image, by any rules; None if there is none."""
        return self._read("WHERE digest = ? ORDER BY decided DESC LIMIT 1", (digest,))

    def keep(self, decided: Decided) -> None:
        """Write a verdict."""
        try:
            with self._lock, self._connection:
                self._connection.execute(
                    "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)", decided.row()
                )
                self._count += 1
                if self._count > self._keep + SPARE:
                    self._prune()
        except sqlite3.Error as fault:
            raise StoreFailure(str(fault)) from fault

    def probe(self) -> None:
        """Write on a separate connection, so that reads do not wait."""
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=PROBE_SECONDS)) as connection:
                connection.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error as fault:
            raise StoreFailure(str(fault)) from fault

    def __len__(self) -> int:
        with self._lock:
            found: int = self._connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _prune(self) -> None:
        self._connection.execute(
            "DELETE FROM verdicts WHERE (digest, rules) IN (SELECT digest, rules FROM verdicts ORDER BY decided "
            "DESC LIMIT -1 OFFSET ?)",
            (self._keep,),
        )
        self._count = self._connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]

    def _read(self, where: str, values: tuple[str, ...]) -> Decided | None:
        query = f"SELECT {', '.join(COLUMNS)} FROM verdicts {where}"  # noqa: S608 - constants
        try:
            with self._lock:
                row = self._connection.execute(query, values).fetchone()
        except sqlite3.Error as fault:
            raise StoreFailure(str(fault)) from fault
        return Decided.of_row(row) if row is not None else None


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _require_layout(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.executescript(_LAYOUT)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("SELECT verdict FROM verdicts LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _require_layout(found: int) -> None:
    if found not in (0, VERSION):
        raise sqlite3.DatabaseError(f"expected layout {VERSION}, found {found}")
