"""Verdicts in PostgreSQL, which several servers share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Self, TypeVar

from cosinspect.errors import InvalidConfiguration
from cosinspect.extras import install_hint
from cosinspect.server.verdict_store import COLUMNS, Decided, StoreFailure

__all__ = ["PostgresqlStore", "is_postgresql", "require_address"]

SCHEMES = ("postgresql://", "postgres://")
CONNECTIONS = 4
CONNECT_SECONDS = 2
"""The time limit of a connection, and of a request for one."""
STATEMENT_MILLISECONDS = 5000
BREAK_SECONDS = 2.0
"""How long the database is not asked again after a failure, so that requests do not wait for it one by one."""
PRUNE_EVERY = 64
"""The number of verdicts that this server writes before it deletes the oldest."""

_LOCK = 0x636F73696E73
"""Key of the advisory lock for creating the table: several servers may start at once."""
_TABLE = "cosinspect_verdicts_1"
_LAYOUT = f"""
CREATE TABLE IF NOT EXISTS {_TABLE} (
  digest text NOT NULL, rules text NOT NULL, verdict text NOT NULL, message text NOT NULL,
  report bytea NOT NULL, decided double precision NOT NULL, PRIMARY KEY (digest, rules)
);
CREATE INDEX IF NOT EXISTS {_TABLE}_by_age ON {_TABLE} (decided);
CREATE TABLE IF NOT EXISTS {_TABLE}_probe (one integer PRIMARY KEY, at timestamptz NOT NULL);
"""

T = TypeVar("T")


def is_postgresql(database: str) -> bool:
    """Return whether a configured database is an address of PostgreSQL, not a file."""
    return database.startswith(SCHEMES)


def require_address(address: str) -> None:
    """Require an address that libpq can read, without connecting.

    Raises:
        InvalidConfiguration: the address is invalid, or the package psycopg is not installed.
    """
    try:
        # Imported by name: the extra may be missing.
        psycopg = import_module("psycopg")
        import_module("psycopg_pool")
    except ImportError as fault:
        raise InvalidConfiguration(
            f"PostgreSQL needs a package that is not installed ({fault.name})",
            remedy=install_hint("postgresql"),
        ) from fault
    try:
        psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error:
        # Its message may have the password.
        raise InvalidConfiguration("expected an address such as postgresql://USER@HOST/DATABASE") from None


class PostgresqlStore:
    """A table of verdicts. The database may be unavailable at any time, also at the start: the table is created when it answers.

    Args:
        address: a URI of libpq; libpq's variables (`PGHOST`, `PGPASSWORD`, ...) complete it.
        keep: the number of verdicts that are kept; the oldest are deleted first.

    Raises:
        InvalidConfiguration: the address is invalid, or the package psycopg is not installed.
    """

    def __init__(self, address: str, *, keep: int) -> None:
        require_address(address)
        self._psycopg = import_module("psycopg")
        pools = import_module("psycopg_pool")
        self._keep = keep
        self._written = 0
        self._lock = threading.Lock()
        self._made = False
        self._broken_until = 0.0
        self._reason = ""
        self._pool = pools.ConnectionPool(
            address,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECT_SECONDS,
            check=pools.ConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c statement_timeout={STATEMENT_MILLISECONDS}",
            },
            open=False,
        )

    @classmethod
    def open(cls, address: str, *, keep: int) -> Self:
        """Start to connect; see the class."""
        store = cls(address, keep=keep)
        store._pool.open(wait=False)
        return store

    def find(self, digest: str, rules: str) -> Decided | None:
        """Return the verdict on an image by these rules, None if there is none."""
        return self._read("WHERE digest = %s AND rules = %s", (digest, rules))

    def latest(self, digest: str) -> Decided | None:
        """Return the latest verdict on an image, by any rules; None if there is none."""
        return self._read("WHERE digest = %s ORDER BY decided DESC LIMIT 1", (digest,))

    def keep(self, decided: Decided) -> None:
        """Write a verdict."""
        digest, rules, verdict, message, report, at = decided.row()
        # PostgreSQL's text has no NUL, and UTF-8 no lone surrogate.
        message = message.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
        names = ", ".join(COLUMNS)
        changed = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS[2:])
        query = (
            f"INSERT INTO {_TABLE} ({names}) VALUES (%s, %s, %s, %s, %s, %s) "  # noqa: S608 - constants
            f"ON CONFLICT (digest, rules) DO UPDATE SET {changed}"
        )
        self._ask(lambda one: one.execute(query, (digest, rules, verdict, message, report, at)))
        with self._lock:
            self._written += 1
            prune = self._written % PRUNE_EVERY == 0
        if prune:
            oldest = f"SELECT digest, rules FROM {_TABLE} ORDER BY decided DESC OFFSET %s"  # noqa: S608 - constants
            delete = f"DELETE FROM {_TABLE} WHERE (digest, rules) IN ({oldest})"  # noqa: S608 - constants
            self._ask(lambda one: one.execute(delete, (self._keep,)))

    def probe(self) -> None:
        """Write a row without meaning, to test that writes succeed."""
        query = f"INSERT INTO {_TABLE}_probe VALUES (1, now()) ON CONFLICT (one) DO UPDATE SET at = now()"  # noqa: S608 - constants
        self._ask(lambda one: one.execute(query))

    def __len__(self) -> int:
        found: int = self._ask(lambda one: one.execute(f"SELECT count(*) FROM {_TABLE}").fetchone()[0])  # noqa: S608 - constants
        return found

    def close(self) -> None:
        """Close the connections."""
        self._pool.close(timeout=CONNECT_SECONDS)

    def _read(self, where: str, values: tuple[str, ...]) -> Decided | None:
        query = f"SELECT {', '.join(COLUMNS)} FROM {_TABLE} {where}"  # noqa: S608 - constants
        row = self._ask(lambda one: one.execute(query, values).fetchone())
        return Decided.of_row(row) if row is not None else None

    def _ask(self, work: Callable[[Any], T]) -> T:
        """Use a connection; after a failure the database is not asked for a moment."""
        if time.monotonic() < self._broken_until:
            raise StoreFailure(self._reason)
        try:
            with self._pool.connection() as connection:
                if not self._made:
                    with connection.transaction():
                        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                        connection.execute(_LAYOUT)
                    self._made = True
                return work(connection)
        except self._psycopg.Error as fault:
            self._reason = " ".join(str(fault).split())[:300] or type(fault).__name__
            # After a failed statement the next one may succeed; after a failed connection it will not.
            if isinstance(fault, self._psycopg.OperationalError):
                self._broken_until = time.monotonic() + BREAK_SECONDS
            raise StoreFailure(self._reason) from fault
