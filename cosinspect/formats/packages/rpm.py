"""rpm's database of installed packages, in each of its backends: sqlite, ndb and bdb."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module

from cosinspect.errors import FormatError
from cosinspect.formats.packages.package import Package
from cosinspect.formats.packages.rpm_bdb import bdb_blobs
from cosinspect.formats.packages.rpm_header import read_rpm_header
from cosinspect.formats.packages.rpm_ndb import NDB_MAGIC, ndb_blobs
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_rpm_database"]

_SQLITE_MAGIC = b"SQLite format 3\0"


def read_rpm_database(
    data: bytes, log: bytes = b"", *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Package, ...]:
    """Read the installed packages.

    Args:
        data: `rpmdb.sqlite`, `Packages.db` or `Packages`; its content decides the backend.
        log: the write-ahead log of sqlite, empty if there is none.
        limits: `database_bytes` bounds the files, `database_records` the packages, `database_values` the tags of all.

    Raises:
        FormatError: of the kinds that the backend and `read_rpm_header` name.
    """
    if max(len(data), len(log)) > limits.database_bytes:
        raise FormatError(f"at most {limits.database_bytes} bytes are read", kind="limit")
    return tuple(_packages(_blobs(data, log, limits), limits))


def _blobs(data: bytes, log: bytes, limits: Limits) -> Iterator[bytes | memoryview]:
    if data.startswith(_SQLITE_MAGIC) or (log and not data):
        # Imported at its first use: sqlite3 takes time, and few images have this backend.
        found: Iterator[bytes] = import_module("cosinspect.formats.packages.rpm_sqlite").sqlite_blobs(
            data, log, limits
        )
        return found
    return ndb_blobs(data, limits) if data.startswith(NDB_MAGIC) else bdb_blobs(data, limits)


def _packages(blobs: Iterable[bytes | memoryview], limits: Limits) -> Iterator[Package]:
    tags = 0
    for blob in blobs:
        tags += int.from_bytes(blob[:4], "big")
        if tags > limits.database_values:
            raise FormatError(f"headers with at most {limits.database_values} tags are read", kind="limit")
        yield read_rpm_header(blob)
