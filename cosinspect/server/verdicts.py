"""Verdicts by digest and rules, on disk: what was decided once is only looked up, after a restart and after a kill, too."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import Self

from attrs import frozen

from cosinspect.errors import InvalidConfiguration
from cosinspect.report.report import Verdict

__all__ = ["Decided", "Verdicts"]

_logger = logging.getLogger("cosinspect.server")

VERSION = 1
"""Of the table's layout; a file of another one is put aside."""
REMEMBERED = 4096
"""Verdicts that are held in memory as well."""
PROBE_SECONDS = 1.0
"""What a write may take before the file is taken to be unusable."""
SPARE = 64
"""Verdicts beyond those that are kept, before the oldest go."""

_LAYOUT = """
CREATE TABLE IF NOT EXISTS verdicts (
  digest TEXT NOT NULL, rules TEXT NOT NULL, verdict TEXT NOT NULL, message TEXT NOT NULL,
  report BLOB NOT NULL, decided REAL NOT NULL, PRIMARY KEY (digest, rules)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON verdicts (decided);
"""


@frozen
class Decided:
    """What was found out of an image by a set of rules.

    Attributes:
        digest: of the manifest or index that was requested.
        rules: key of everything that decides the verdict besides the image.
        verdict: pass, fail, or open.
        message: why, in one line.
        report: the report as JSON (`cosinspect.report/1`).
        decided: when, in seconds since 1970.
    """

    digest: str
    rules: str
    verdict: Verdict
    message: str
    report: bytes
    decided: float


class Verdicts:
    """A file of verdicts, thread-safe.

    A file that is damaged is put aside, and a new one begun: a verdict can be had again, a server that does not start
    cannot. What is written is there after the process was killed (SQLite's write-ahead log).
    """

    def __init__(self, connection: sqlite3.Connection, keep: int, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Decided] = {}
        self._known_lock = (
            threading.Lock()
        )  # its own: who finds a verdict in memory does not wait for the disk
        self._count = self._connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]

    @classmethod
    def open(cls, path: Path, *, keep: int) -> Self:
        """Open the file, and make it if it is not there.

        Args:
            path: the file.
            keep: how many verdicts stay, the oldest going first.

        Raises:
            InvalidConfiguration: there can be no such file.
        """
        try:
            return cls(_open(path), keep, path)
        except sqlite3.DatabaseError as fault:
            if isinstance(fault, sqlite3.OperationalError) and not path.is_file():
                raise InvalidConfiguration(
                    f"the file of verdicts cannot be opened: {fault}", where=str(path)
                ) from fault
            aside = path.with_name(f"{path.name}.damaged")
            _logger.warning("%s is damaged (%s): put aside as %s, and begun anew", path, fault, aside.name)
            try:
                path.replace(aside)
                for tail in ("-wal", "-shm"):
                    path.with_name(path.name + tail).unlink(missing_ok=True)
                return cls(_open(path), keep, path)
            except (OSError, sqlite3.Error) as worse:
                raise InvalidConfiguration(
                    f"the file of verdicts is damaged, and cannot be put aside: {worse}", where=str(path)
                ) from worse

    def find(self, digest: str, rules: str) -> Decided | None:
        """Return what was decided of an image by these rules, None if nothing was."""
        with self._known_lock:
            found = self._known.get((digest, rules))
        if found is not None:
            return found
        return self._read("WHERE digest = ? AND rules = ?", (digest, rules))

    def latest(self, digest: str) -> Decided | None:
        """Return what was decided last of an image, by whatever rules."""
        return self._read("WHERE digest = ? ORDER BY decided DESC LIMIT 1", (digest,))

    def keep(self, decided: Decided) -> None:
        """Write a verdict; where there is no room it is kept in memory only; the log says so."""
        self._remember(decided)
        row = (
            decided.digest,
            decided.rules,
            decided.verdict.value,
            decided.message,
            zlib.compress(decided.report, 6),
            decided.decided,
        )
        try:
            with self._lock, self._connection:
                self._connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)", row)
                self._count += 1
                if self._count > self._keep + SPARE:
                    self._prune()
        except sqlite3.Error as fault:
            _logger.warning("a verdict of %s is not on disk: %s", decided.digest, fault)

    def probe(self) -> str | None:
        """Write, and give the reason where that fails, None if it does not.

        Has a connection of its own, so that a verdict is found while this waits for the disk.
        """
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=PROBE_SECONDS)) as connection:
                connection.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error as fault:
            return str(fault)
        return None

    def __len__(self) -> int:
        """How many there are on disk."""
        with self._lock:
            found: int = self._connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]
        return found

    def close(self) -> None:
        """Let go of the file."""
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
        query = f"SELECT digest, rules, verdict, message, report, decided FROM verdicts {where}"  # noqa: S608 - constants
        try:
            with self._lock:
                row = self._connection.execute(query, values).fetchone()
            if row is None:
                return None
            digest, rules, verdict, message, report, decided = row
            found = Decided(digest, rules, Verdict(verdict), message, zlib.decompress(report), decided)
        except (sqlite3.Error, zlib.error, ValueError, TypeError) as fault:
            # As good as none: the image is looked at again.
            _logger.warning("a verdict cannot be read: %s", fault)
            return None
        self._remember(found)
        return found

    def _remember(self, decided: Decided) -> None:
        with self._known_lock:
            while len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[decided.digest, decided.rules] = decided


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
