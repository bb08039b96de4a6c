"""Tables of a scan for spreadsheets and data frames: one row per image, with the same columns in CSV and Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from cosinspect.extras import load_extra
from cosinspect.fleet.record import ScanRecord

__all__ = ["write_csv", "write_parquet"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(records: Iterable[ScanRecord], path: Path) -> None:
    """Write a table in CSV (RFC 4180), UTF-8; an apostrophe precedes text that a spreadsheet would read as a formula.

    Raises:
        OSError: the file cannot be written.
    """
    columns = list(ScanRecord("", None, "", "", "").row())
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for record in records:
            writer.writerow({name: _tame(value) for name, value in record.row().items()})


def write_parquet(records: Iterable[ScanRecord], path: Path) -> None:
    """Write a table in Parquet.

    Raises:
        MissingPackage: the extra `fleet` is not installed.
        OSError: the file cannot be written.
    """
    # Imported on demand: few need it, and it is large.
    arrow, parquet = load_extra("pyarrow", "fleet"), load_extra("pyarrow.parquet", "fleet")
    rows = [
        {name: _text(value) if isinstance(value, str) else value for name, value in record.row().items()}
        for record in records
    ]
    kinds = {str: arrow.string(), int: arrow.int64()}
    empty = ScanRecord("", None, "", "", "").row()
    schema = arrow.schema([(name, kinds[type(value)]) for name, value in empty.items()])
    parquet.write_table(arrow.Table.from_pylist(rows, schema), path)


def _tame(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()
