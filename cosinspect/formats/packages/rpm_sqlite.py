"""rpm's database of the backend sqlite, `rpmdb.sqlite`, which Fedora and RHEL use (rpm's `lib/backend/sqlite.c`).

SQLite reads a private copy in memory. It may read the table of packages and nothing else: no view, no trigger, no function, no
other file. Time, the length of a value and the sum of all values have bounds. Transactions in the write-ahead log are applied
before, because SQLite does not recover a log for a database in memory (https://www.sqlite.org/fileformat2.html, section 4).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing

from cosinspect.deadline import in_time, look
from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import require_few
from cosinspect.limits import Limits

__all__ = ["SQLITE_MAGIC", "sqlite_blobs"]

SQLITE_MAGIC = b"SQLite format 3\0"
_LOG_MAGIC = 0x377F0682
_LOG_HEADER = struct.Struct(">IIIIIIII")
_FRAME_HEADER = struct.Struct(">IIIIII")

_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_MOST_LOOKS = 2_000
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_READABLE = frozenset(["Packages", "sqlite_master", "sqlite_schema"])


def sqlite_blobs(data: bytes, log: bytes, limits: Limits) -> Iterator[bytes]:
    """Yield the headers of all packages.

    Args:
        data: `rpmdb.sqlite`.
        log: `rpmdb.sqlite-wal`, empty if there is none.
        limits: `database_bytes` bounds one value, the size of the file all of them.

    Raises:
        FormatError: of the kinds `magic`, `sqlite` (SQLite cannot read it), `structure` (it is not rpm's), `limit`.
    """
    content = _with_log(data, log, limits)
    if bytes(content[: len(SQLITE_MAGIC)]) != SQLITE_MAGIC:
        raise FormatError("expected the beginning of an SQLite database", kind="magic", offset=0)
    if len(content) >= 20:
        content[18:20] = b"\1\1"  # the database is its own file, without a log
    budget = len(content)
    count = 0
    looks = 0

    def progress() -> bool:
        nonlocal looks
        looks += 1
        try:
            look()
        except Exception:  # noqa: BLE001 - SQLite ends; the deadline is asked again below
            return True
        return looks > _MOST_LOOKS

    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.deserialize(content)
            for name, most in {**_LIMITS, sqlite3.SQLITE_LIMIT_LENGTH: limits.database_bytes}.items():
                connection.setlimit(name, most)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA query_only = ON")
            connection.set_authorizer(_authorize)
            connection.set_progress_handler(progress, _STEPS)
            kinds = connection.execute("SELECT type FROM sqlite_master WHERE name = 'Packages'").fetchall()
            if kinds != [("table",)]:
                raise FormatError("expected a table Packages, as rpm's database has", kind="structure")
            for (blob,) in connection.execute("SELECT blob FROM Packages"):
                count += 1
                require_few(count, limits)
                if not isinstance(blob, bytes):
                    raise FormatError("expected a blob in each row of the table Packages", kind="structure")
                budget -= len(blob)
                if budget < 0:
                    raise FormatError("the values are larger than the file that holds them", kind="limit")
                yield blob
    except sqlite3.Error as fault:
        look()
        kind = "limit" if looks > _MOST_LOOKS else "sqlite"
        raise FormatError(f"SQLite cannot read it: {fault}", kind=kind) from fault
    except UnicodeDecodeError as fault:  # of SQLite's own message, which quotes the database
        raise FormatError("SQLite cannot read it: its names are not UTF-8", kind="sqlite") from fault
    except MemoryError as fault:
        raise FormatError("SQLite does not have the memory to read it", kind="limit") from fault


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_READ and first in _READABLE):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _with_log(data: bytes, log: bytes, limits: Limits) -> bytearray:
    """Return the database with the committed transactions of its log, as SQLite recovers it."""
    content = bytearray(data)
    if len(log) < _LOG_HEADER.size:
        return content
    magic, _, size, _, salt, pepper, first, second = _LOG_HEADER.unpack_from(log)
    if magic & ~1 != _LOG_MAGIC or size < 512 or size > 65536 or size & (size - 1):
        return content
    order = ">" if magic & 1 else "<"
    if _checksum(log[:24], order, (0, 0)) != (first, second):
        return content
    frames: dict[int, int] = {}  # of transactions that are complete: the place of each page in the log
    waiting: dict[int, int] = {}
    pages = 0
    sums = (first, second)
    step = _FRAME_HEADER.size + size
    for start in in_time(range(_LOG_HEADER.size, len(log) - step + 1, step)):
        page, commit, found_salt, found_pepper, *found = _FRAME_HEADER.unpack_from(log, start)
        sums = _checksum(log[start : start + 8], order, sums)
        sums = _checksum(log[start + _FRAME_HEADER.size : start + step], order, sums)
        if (found_salt, found_pepper) != (salt, pepper) or sums != tuple(found) or not page:
            break  # of an earlier use of the log, or a transaction that was not completed
        waiting[page] = start + _FRAME_HEADER.size
        if commit:
            frames.update(waiting)
            waiting, pages = {}, commit
    if not pages:
        return content
    if pages * size > limits.database_bytes:
        raise FormatError(f"at most {limits.database_bytes} bytes are read", kind="limit")
    content[pages * size :] = b""
    content.extend(bytes(pages * size - len(content)))
    for page, place in frames.items():
        if page <= pages:
            content[(page - 1) * size : page * size] = log[place : place + size]
    return content


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    for low, high in struct.iter_unpack(f"{order}II", data):
        one = (one + low + two) & 0xFFFFFFFF
        two = (two + high + one) & 0xFFFFFFFF
    return one, two
