"""The luet database reader on databases that luet itself wrote, and on records written by hand."""

import hashlib
import json

import pytest
from attrs import evolve

from bolt_files import EXPECTED, BoltWriter, fixture, single_leaf
from cosinspect.errors import FormatError
from cosinspect.formats.luet import records as luet_records
from cosinspect.formats.luet.bolt import open_bolt
from cosinspect.formats.luet.database import LuetDatabase, LuetSelector, read_database
from cosinspect.formats.text.go_json import decode_json
from cosinspect.limits import DEFAULT_LIMITS

READABLE = sorted(name for name, facts in EXPECTED.items() if "installed" in facts)
DAMAGED = sorted(name for name, facts in EXPECTED.items() if "reader_error" in facts)
BUCKETS = {
    "Package": (b"Package",),
    "DefaultPackage": (b"DefaultPackage",),
    "PackageFile": (b"files", b"PackageFile"),
}

# expected.json gives the JSON values of these two records as they are. luet's structures have texts there, so Go puts
# none of the values of the first into them, and finds those of the second, whose keys are in capitals (both confirmed
# with encoding/json).
AS_GO_DECODES = {
    ("odd-values.db", 3): {"category": "", "name": "", "version": "", "files": None},
    ("odd-values.db", 4): {
        "category": "case",
        "name": "upper",
        "version": "2.0",
        "files": ["abs/path", "etc/passwd", "a/b", "c"],
    },
}


def orphans(database):
    """File records of no package, as an interrupted installation leaves them."""
    known = {package.fingerprint for package in database.packages}
    return [record for record in database.file_records if record.fingerprint not in known]


def installed(database: LuetDatabase) -> list[dict]:
    return [
        {
            "category": package.category,
            "name": package.name,
            "version": package.version,
            "files": None if package.file_record is None else list(package.files),
        }
        for package in database.packages
    ]


def luet_file(packages=(), files=(), bucket=b"Package") -> bytes:
    """A database of a few small records given as JSON texts, ids from 1."""

    def numbered(texts):
        return [(number.to_bytes(8, "big"), text) for number, text in enumerate(texts, 1)]

    writer = BoltWriter(page_size=4096)
    storm = writer.inline((b"version", b'"2.0.0"'))
    writer.leaf(3, (bucket, writer.bucket(4), 1), (b"__storm_db", storm, 1), (b"files", writer.bucket(5), 1))
    writer.leaf(4, *numbered(packages))
    writer.leaf(5, (b"PackageFile", writer.bucket(6), 1))
    writer.leaf(6, *numbered(files))
    writer.metas(root=3, mark=7)
    data = writer.file()
    assert len(data) == 7 * 4096, "the records take more than a page"
    return data


def only_package(text: bytes):
    (package,) = read_database(luet_file([text])).packages
    return package


# Databases that luet wrote


@pytest.mark.parametrize("name", READABLE)
def test_packages_and_files_are_those_that_were_installed(name):
    expected = [
        AS_GO_DECODES.get((name, position), package)
        for position, package in enumerate(EXPECTED[name]["installed"])
    ]

    assert expected == installed(read_database(fixture(name)))


@pytest.mark.parametrize("name", READABLE)
def test_the_facts_of_the_file_are_told(name):
    facts = EXPECTED[name]

    database = read_database(fixture(name))

    assert facts["problems"] == list(database.problems)
    assert (facts["page_size"], facts["txid"], facts["byteorder"]) == (
        database.page_size,
        database.txid,
        database.byteorder,
    )
    assert (facts["packages"], facts["file_records"]) == (len(database.packages), len(database.file_records))


@pytest.mark.parametrize("name", READABLE)
def test_every_record_is_found_and_decoded(name):
    database = open_bolt(fixture(name))
    records: dict[str, list] = {}
    for label, path in BUCKETS.items():
        bucket = database.bucket(*path)
        records[label] = []
        for element in database.elements(bucket) if bucket else ():
            if element.bucket is None and len(element.key) == 8:
                try:
                    value = decode_json(element.value)
                except FormatError:
                    continue
                if isinstance(value, dict):
                    records[label].append(value)

    text = json.dumps(records, sort_keys=True, ensure_ascii=False)

    assert EXPECTED[name]["records_sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_database_is_never_half_a_list(name):
    with pytest.raises(FormatError) as raised:
        read_database(fixture(name))

    assert [raised.value.kind] == EXPECTED[name]["reader_error"]


def test_another_programs_database_is_told_from_an_empty_one():
    foreign, empty = read_database(fixture("foreign-bolt.db")), read_database(fixture("empty-luet.db"))

    assert (foreign.is_storm, empty.is_storm) == (False, True)
    assert foreign.packages == empty.packages == ()


def test_only_the_migration_of_luet_0_30_0_is_told_to_be_broken():
    broken = [name for name in READABLE if read_database(fixture(name)).is_migration_broken]

    assert broken == ["luet-0.20.6-then-0.30.0.db"]


def test_both_package_buckets_count():
    packages = read_database(fixture("luet-0.35.0-then-0.20.6.db")).packages

    assert [package.bucket for package in packages] == ["Package"] * 17 + ["DefaultPackage"]


def test_repeated_packages_and_forgotten_file_lists_are_told():
    database = read_database(fixture("duplicates-orphans.db"))

    assert [2] == [
        each.id
        for at, each in enumerate(database.packages)
        if each.fingerprint in {one.fingerprint for one in database.packages[:at]}
    ]
    assert [(record.id, record.fingerprint, record.files) for record in orphans(database)] == [
        (3, "orphan-system-1.0", ("usr/bin/orphan",))
    ]
    assert [package.file_record for package in database.packages] == [1, 1, None, 4]


def test_the_older_state_still_has_the_package_that_the_lost_transaction_removed():
    newest = read_database(fixture("luet-0.20.6-uninstalled.db"))
    older = read_database(fixture("bad-meta-newest-bitflip.db"))

    assert {str(p) for p in older.packages} - {str(p) for p in newest.packages} == {"utils/doomed-1.0"}


def test_what_a_checker_asks_of_a_package():
    packages = {
        package.name: package for package in read_database(fixture("luet-0.35.0-then-0.20.6.db")).packages
    }

    k9s = packages["k9s"]
    assert (str(k9s), k9s.fingerprint, k9s.repository) == (
        "utils/k9s-0.25.18+1",
        "k9s-utils-0.25.18+1",
        "cos",
    )
    assert k9s.path == "/var/cache/luet/repos/cos/treefs/utils/k9s/0.25.18+1"
    assert k9s.build_timestamp == "2026-11-23 02:02:58.787257525 +0000 UTC m=+0.022439768"


@pytest.mark.parametrize(
    "name", [name for name in READABLE if "records" in EXPECTED[name] and name != "odd-values.db"]
)
def test_relations_and_labels_are_those_of_the_records(name):
    records = EXPECTED[name]["records"]
    stored = [*records["Package"], *records["DefaultPackage"]]

    def selectors(record, key):
        return tuple(LuetSelector(p["category"], p["name"], p["version"]) for p in record.get(key) or ())

    packages = read_database(fixture(name)).packages

    assert [
        (selectors(r, "requires"), selectors(r, "conflicts"), selectors(r, "provides")) for r in stored
    ] == [(package.requires, package.conflicts, package.provides) for package in packages]
    assert [r.get("labels") or r.get("Labels") or {} for r in stored] == [dict(p.labels) for p in packages]
    assert [r.get("annotations", {}) for r in stored] == [dict(p.annotations) for p in packages]
    assert [(r["id"], r.get("description", "")) for r in stored] == [(p.id, p.description) for p in packages]


def test_hostile_names_are_brought_below_the_root_and_kept_as_they_were():
    record = read_database(fixture("odd-values.db")).file_records[-1]

    assert record.files == ("abs/path", "etc/passwd", "a/b", "c")
    assert record.irregular_files == ("/abs/path", "../../etc/passwd", "a//b", "./c", "")
    assert record.malformed == ("files",)


# Records written by hand


def test_a_record_may_have_everything():
    package = only_package(
        b'{"id":1,"name":"n","version":"1","category":"c","requires":[{"name":"r","category":"","version":">=0"}],'
        b'"conflicts":[{"name":"x","category":"c","version":"1"}],"provides":[{"name":"p"}],"hidden":true,'
        b'"annotations":{"b":"1","a":"2"},"labels":{"l":"v"},"description":"d","license":"MIT","uri":["u"],'
        b'"path":"/tmp/x","buildtimestamp":"t"}'
    )

    assert package.requires == (LuetSelector("", "r", ">=0"),)
    assert package.conflicts == (LuetSelector("c", "x", "1"),)
    assert package.provides == (LuetSelector("", "p", ""),)
    assert package.annotations == (("b", "1"), ("a", "2"))
    assert (package.labels, package.uri, package.license) == ((("l", "v"),), ("u",), "MIT")
    assert (package.hidden, package.repository, package.malformed) == (True, None, ())


def test_wrong_types_leave_a_field_empty_and_are_named():
    package = only_package(
        b'{"name":1,"version":[],"category":{},"requires":{},"provides":["x"],"labels":[],"annotations":{"a":1},'
        b'"hidden":"yes","uri":"u","conflicts":null}'
    )

    assert (package.name, package.requires, package.annotations, package.hidden) == ("", (), (), False)
    assert sorted(package.malformed) == [
        "annotations",
        "category",
        "hidden",
        "labels",
        "name",
        "provides",
        "requires",
        "uri",
        "version",
    ]


def test_what_is_no_record_is_skipped_or_noted():
    database = read_database(
        luet_file([b"{", b"[]", b"null", b'{"name":"n"} ', b"", b"[" * 200 + b"]" * 200])
    )

    assert [package.name for package in database.packages] == ["n"]
    assert database.problems == (
        "Package 0000000000000001: not JSON",
        "Package 0000000000000002: not an object",
        "Package 0000000000000003: not an object",
        "Package 0000000000000005: not JSON",
        "Package 0000000000000006: expected JSON nested at most 100 levels deep, found more",
    )


def test_another_codec_is_noted_and_looked_for_once():
    writer = BoltWriter(page_size=4096)
    writer.leaf(3, (b"Package", writer.bucket(4), 1))
    gob, other = writer.inline((b"codec", b"gob")), writer.inline((b"codec", b"other"))
    writer.leaf(4, (b"__storm_metadata", gob, 1), (b"__storm_metadata", other, 1))
    writer.metas(root=3, mark=5)

    assert read_database(writer.file()).problems == (
        "Package: codec b'gob' instead of json",
        "Package: page 4: keys out of order",
    )


def test_keys_out_of_order_are_noted_once_and_the_records_read():
    writer = BoltWriter(page_size=4096)
    writer.leaf(3, (b"b", b""), (b"Package", writer.bucket(4), 1))
    writer.leaf(4, (b"\0" * 7 + b"\2", b'{"name":"b"}'), (b"\0" * 7 + b"\1", b'{"name":"a"}'))
    writer.metas(root=3, mark=5)

    database = read_database(writer.file())

    assert [package.name for package in database.packages] == ["b", "a"]
    assert database.problems == ("page 3: keys out of order", "Package: page 4: keys out of order")


def test_ids_are_the_keys_whatever_the_file_says():
    assert only_package(b'{"name":"n","id":7}').id == 1
    assert only_package(b'{"name":"n"}').id == 1


def test_the_first_file_record_with_the_fingerprint_counts():
    database = read_database(
        luet_file(
            [b'{"name":"n","category":"c","version":"1"}'],
            [
                b'{"ID":1,"PackageFingerprint":"n-c-1","Files":["first"]}',
                b'{"ID":2,"PackageFingerprint":"n-c-1","Files":["second"]}',
            ],
        )
    )

    assert database.packages[0].files == ("first",)
    assert orphans(database) == []


@pytest.mark.parametrize(
    ("stored", "files"),
    [
        ("usr/bin/x", ("usr/bin/x",)),
        ("/usr/bin/x", ("usr/bin/x",)),
        ("./usr/bin/x", ("usr/bin/x",)),
        ("usr//bin/./x/", ("usr/bin/x",)),
        ("usr/../etc/x", ("etc/x",)),
        ("../../x", ("x",)),
        ("..", ()),
        (".", ()),
        ("", ()),
        ("/", ()),
        (".hidden/..x/...", (".hidden/..x/...",)),
    ],
)
def test_names_of_files_are_relative_and_clean(stored, files):
    record = json.dumps({"PackageFingerprint": "n-c-1", "Files": ["a", stored, "z"]}).encode()

    (found,) = read_database(luet_file(files=[record])).file_records

    assert ("a", *files, "z") == found.files
    assert found.irregular_files == (() if files == (stored,) else (stored,))


def test_a_bucket_where_a_record_should_be_is_no_record():
    writer = BoltWriter(page_size=4096)
    writer.leaf(3, (b"Package", writer.bucket(4), 1))
    writer.leaf(4, (b"\0" * 8, writer.inline((b"name", b"x")), 1), (b"short", b"{}"))
    writer.metas(root=3, mark=5)

    assert read_database(writer.file()).packages == ()


def test_an_empty_file_is_no_database():
    with pytest.raises(FormatError) as raised:
        read_database(b"")

    assert raised.value.kind == "empty"


# Limits


def limit_of(data: bytes, **bounds: int) -> str:
    with pytest.raises(FormatError) as raised:
        read_database(data, limits=evolve(DEFAULT_LIMITS, **bounds))
    return raised.value.kind


def test_records_are_counted():
    data = luet_file([b"{}"], [b"{}"])

    assert len(read_database(data, limits=evolve(DEFAULT_LIMITS, database_records=2)).packages) == 1
    assert limit_of(data, database_records=1) == "limit"


@pytest.mark.parametrize("record", [b'{"Files":["a","b","c"]}', b'{"x":[[],[]]}', b'{"x":{"y":{}}}'])
def test_values_are_counted_before_they_are_decoded(record):
    data = luet_file(files=[record])

    assert len(read_database(data, limits=evolve(DEFAULT_LIMITS, database_values=10)).file_records) == 1
    assert limit_of(data, database_values=4) == "limit"


def test_one_record_may_not_be_huge():
    data = luet_file([b'{"name":"n","description":"%s"}' % (b"x" * 100)])

    with pytest.raises(FormatError) as raised:
        read_database(data, limits=evolve(DEFAULT_LIMITS, parsed_file_bytes=100))

    assert (raised.value.kind, raised.value.where) == ("limit", "Package 0000000000000001")


def test_problems_are_not_kept_without_end(monkeypatch):
    monkeypatch.setattr(luet_records, "_PROBLEMS", 3)

    assert len(read_database(luet_file([b"x"] * 9)).problems) == 3


def test_a_database_without_luets_buckets_has_no_packages():
    database = read_database(single_leaf((b"__storm_db", BoltWriter().inline((b"version", b'"2.0.0"')), 1)))

    assert (database.is_storm, database.packages, database.file_records) == (True, (), ())
