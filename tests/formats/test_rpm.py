"""rpm's databases: the judge is rpm itself, over the same files (tests/data/rpmdb), and SQLite for its write-ahead log."""

import shutil
import sqlite3
import struct

import pytest
from attrs import evolve

from cosinspect.errors import FormatError
from cosinspect.formats.packages.rpm import read_rpm_database
from cosinspect.formats.packages.rpm_bdb import bdb_blobs
from cosinspect.formats.packages.rpm_header import read_rpm_header
from cosinspect.formats.packages.rpm_ndb import ndb_blobs
from cosinspect.formats.packages.rpm_sqlite import sqlite_blobs
from cosinspect.limits import DEFAULT_LIMITS
from rpm_files import EXPECTED, ndb_file, printed_by_rpm, rows, rpm_header, stored

NAME, VERSION, RELEASE, EPOCH = 1000, 1001, 1002, 1003
SQLITE = stored("rpmdb.sqlite")
BLOBS = list(sqlite_blobs(SQLITE, b"", DEFAULT_LIMITS))
SMALL = rpm_header({NAME: "a", VERSION: "1"})


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages.little", "Packages.big"])
def test_the_packages_are_those_that_rpm_lists(name):
    assert rows(read_rpm_database(stored(name))) == EXPECTED


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm is the judge")
@pytest.mark.parametrize(
    ("name", "file", "backend"),
    [
        ("rpmdb.sqlite", "rpmdb.sqlite", "sqlite"),
        ("Packages.little", "Packages", "bdb_ro"),
        ("Packages.big", "Packages", "bdb_ro"),
    ],
)
def test_rpm_of_this_machine_lists_the_same(name, file, backend, tmp_path):
    (tmp_path / file).write_bytes(stored(name))

    assert printed_by_rpm(tmp_path, backend) == EXPECTED


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "version"),
    [
        ({VERSION: "1", RELEASE: "2"}, "1-2"),
        ({VERSION: "1", RELEASE: "2", EPOCH: 0}, "0:1-2"),
        ({VERSION: "1"}, "1"),
        ({EPOCH: 3, VERSION: "1~rc1", RELEASE: "2"}, "3:1~rc1-2"),
    ],
)
def test_a_version_has_epoch_and_release_if_the_header_has_them(tags, version):
    assert read_rpm_header(rpm_header({NAME: "a", **tags})).version == version


@pytest.mark.parametrize(
    ("blob", "kind", "message"),
    [
        (b"", "truncated", "a header has at least 8 bytes, this one has 0"),
        (struct.pack(">II", 1, 0), "truncated", "a header of 24 bytes is announced, 8 are there"),
        (struct.pack(">II", 1 << 20, 0), "limit", "this one claims 1048576 and 0"),
        (rpm_header({VERSION: "1"}), "structure", "expected a header with a name"),
        (rpm_header({NAME: "a"}), "structure", "expected a header with a version"),
        (rpm_header({NAME: 1, VERSION: "1"}), "structure", "expected tag 1000 to be a text, it is of type 4"),
        (rpm_header({NAME: "a", VERSION: "1", EPOCH: "1"}), "structure", "expected the epoch to be a number"),
        (SMALL[:-1] + b"x", "truncated", "with a NUL behind it, for tag 1001"),
        (rpm_header({NAME: "a" * 5000, VERSION: "1"}), "limit", "a text of at most 4096 bytes"),
    ],
)
def test_a_malformed_header_is_refused(blob, kind, message):
    with pytest.raises(FormatError) as caught:
        read_rpm_header(blob)
    assert (caught.value.kind, message in caught.value.message) == (kind, True), caught.value


# -- ndb ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pages", "free"), [(1, ()), (1, (2, 4)), (3, range(2, 300))])
def test_a_database_of_the_backend_ndb(pages, free):
    assert rows(read_rpm_database(ndb_file(BLOBS, pages=pages, free=free))) == EXPECTED


def damaged(data, at, new):
    return data[:at] + new + data[at + len(new) :]


NDB = ndb_file([SMALL])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (NDB[:4000], "truncated"),
        (damaged(NDB, 4, b"\1"), "version"),
        (damaged(NDB, 12, struct.pack("<I", 9)), "truncated"),
        (damaged(NDB, 12, struct.pack("<I", 0)), "truncated"),
        (damaged(NDB, 48, b"slot"), "structure"),
        (damaged(NDB, 40, struct.pack("<I", 1)), "structure"),  # within the slots
        (damaged(NDB, 44, struct.pack("<I", 1 << 20)), "structure"),  # behind the end
        (damaged(NDB, 44, struct.pack("<I", 1)), "structure"),  # too small for the blob
        (damaged(NDB, 4096, b"x"), "structure"),
        (damaged(NDB, len(NDB) - 1, b"x"), "structure"),
    ],
)
def test_a_damaged_ndb_is_refused(data, kind):
    with pytest.raises(FormatError) as caught:
        list(ndb_blobs(data, DEFAULT_LIMITS))
    assert caught.value.kind == kind


# -- bdb ---------------------------------------------------------------------------------------------------------------

BDB = stored("Packages.little")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (BDB[:100], "truncated"),
        (damaged(BDB, 12, b"x"), "magic"),
        (damaged(BDB, 25, b"\1"), "structure"),
        (damaged(BDB, 24, b"\1"), "unsupported"),
        (damaged(BDB, 26, b"\1"), "unsupported"),
        (damaged(BDB, 20, struct.pack("<I", 1000)), "structure"),
        (damaged(BDB, 72, struct.pack("<I", 1 << 30)), "truncated"),
        (BDB[: len(BDB) // 2], "truncated"),
    ],
)
def test_a_damaged_bdb_is_refused(data, kind):
    with pytest.raises(FormatError) as caught:
        list(bdb_blobs(data, DEFAULT_LIMITS))
    assert caught.value.kind == kind


def test_a_chain_of_buckets_that_leads_to_itself_ends():
    looped = damaged(BDB, 4096 + 16, struct.pack("<I", 1))

    with pytest.raises(FormatError) as caught:
        list(bdb_blobs(looped, DEFAULT_LIMITS))
    assert (caught.value.kind, caught.value.message) == ("structure", "page 1 is in two places")


# -- sqlite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    """A database with a write-ahead log, and the connection that keeps the log from being merged."""
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(SQLITE)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    yield path, connection
    connection.close()


def read(path):
    log = path.with_name("rpmdb.sqlite-wal")
    return read_rpm_database(path.read_bytes(), log.read_bytes())


def test_transactions_in_the_log_count_if_they_are_complete(database):
    path, connection = database
    connection.execute("DELETE FROM Packages WHERE hnum = (SELECT min(hnum) FROM Packages)")
    connection.execute("INSERT INTO Packages (blob) VALUES (?)", (rpm_header({NAME: "new", VERSION: "1"}),))
    kept = connection.execute("SELECT blob FROM Packages").fetchall()
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO Packages (blob) VALUES (?)", [(SMALL * 400,)] * 40
    )  # spills into the log

    found = [each.name for each in read(path)]

    assert sorted(found) == sorted(read_rpm_header(blob).name for (blob,) in kept)
    assert "new" in found
    connection.execute("ROLLBACK")


def test_a_log_of_another_database_or_a_damaged_one_is_not_applied(database):
    """As SQLite does: frames count up to the first with a wrong checksum."""
    path, connection = database
    connection.execute("INSERT INTO Packages (blob) VALUES (?)", (SMALL,))
    log = path.with_name("rpmdb.sqlite-wal").read_bytes()

    assert len(read_rpm_database(SQLITE, log)) == 6
    for at in (0, 20, 40, 60, len(log) - 1):
        assert rows(read_rpm_database(SQLITE, damaged(log, at, bytes([log[at] ^ 1])))) == EXPECTED


def made(*statements):
    with sqlite3.connect(":memory:") as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        return connection.serialize()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT zeroblob(i) AS blob FROM n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (made("CREATE TABLE other (a)"), "structure"),
        (made(f"CREATE VIEW Packages AS {ENDLESS}"), "structure"),
        (made("CREATE TABLE other (blob)", "CREATE VIEW Packages AS SELECT blob FROM other"), "structure"),
        (made("CREATE TABLE Packages (hnum, blob)", "INSERT INTO Packages VALUES (1, 'text')"), "structure"),
        (made("CREATE TABLE Packages (hnum)"), "sqlite"),
        (
            made(
                "CREATE TABLE Packages (hnum, blob AS (zeroblob(1000000)))", "INSERT INTO Packages VALUES (1)"
            ),
            "limit",
        ),
        (SQLITE[:5000], "sqlite"),
        (damaged(SQLITE, 4096, bytes(4096)), "sqlite"),
        (SQLITE[:16], "sqlite"),
    ],
)
def test_what_is_not_a_database_of_rpm_is_refused(data, kind):
    with pytest.raises(FormatError) as caught:
        list(sqlite_blobs(data, b"", DEFAULT_LIMITS))
    assert caught.value.kind == kind, caught.value


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds", [{"database_bytes": 1000}, {"database_records": 4}, {"database_values": 100}]
)
@pytest.mark.parametrize("data", [SQLITE, BDB, ndb_file(BLOBS)], ids=["sqlite", "bdb", "ndb"])
def test_bounds(data, bounds):
    with pytest.raises(FormatError) as caught:
        read_rpm_database(data, limits=evolve(DEFAULT_LIMITS, **bounds))
    assert caught.value.kind == "limit"
