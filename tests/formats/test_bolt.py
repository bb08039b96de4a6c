"""The bolt reader on databases that bbolt wrote (judged by bbolt, see expected.json) and on pages written by hand."""

import struct

import pytest
from attrs import evolve

from bolt_files import EXPECTED, LEAF, BoltWriter, fixture, single_leaf
from cosinspect.errors import FormatError
from cosinspect.formats.luet import bolt
from cosinspect.formats.luet.bolt import open_bolt
from cosinspect.limits import DEFAULT_LIMITS

READABLE = sorted(name for name, facts in EXPECTED.items() if "installed" in facts)
DAMAGED = sorted(name for name, facts in EXPECTED.items() if "reader_error" in facts)


def pairs(data: bytes, *names: bytes) -> list[tuple[bytes, bytes]]:
    database = open_bolt(data)
    bucket = database.bucket(*names)
    assert bucket is not None
    return [(element.key, bytes(element.value)) for element in database.elements(bucket)]


def fault(data: bytes, *names: bytes) -> FormatError:
    with pytest.raises(FormatError) as raised:
        pairs(data, *names)
    return raised.value


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


# Databases that bbolt wrote


@pytest.mark.parametrize("name", READABLE)
def test_the_newest_good_meta_page_is_the_one_bbolt_takes(name):
    database = open_bolt(fixture(name))

    facts = EXPECTED[name]
    bolt_problems = [problem for problem in facts["problems"] if problem.startswith("meta")]
    assert (facts["page_size"], facts["txid"], facts["byteorder"], tuple(bolt_problems)) == (
        database.page_size,
        database.txid,
        database.byteorder,
        database.problems,
    )


@pytest.mark.parametrize("name", READABLE)
def test_bbolt_check_finds_nothing_in_these_and_nor_does_check(name):
    assert open_bolt(fixture(name)).check() == ()


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_by_its_kind_and_place(name):
    raised = fault(fixture(name), b"Package")

    assert EXPECTED[name]["reader_message"] == f"{raised.kind}: {raised.message}"
    assert [raised.kind] == EXPECTED[name]["reader_error"]


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("bad-cycle-self.db", 70 * 1024),
        ("bad-elem-vsize.db", 3 * 1024),
        ("bad-page-count.db", 3 * 1024),
        ("bad-trunc-half.db", 12 * 4096),
    ],
)
def test_damage_has_the_offset_of_its_page(name, offset):
    assert offset == fault(fixture(name), b"Package").offset


@pytest.mark.parametrize("name", ["bad-cycle-self.db", "bad-elem-vsize.db", "bad-page-count.db"])
def test_damage_in_one_bucket_hides_nothing_in_another(name):
    records = [key for key, _ in pairs(fixture(name), b"files", b"PackageFile") if len(key) == 8]

    assert [number.to_bytes(8, "big") for number in range(1, 61)] == records


@pytest.mark.parametrize("name", ["bad-cycle-self.db", "bad-elem-vsize.db", "bad-page-count.db"])
def test_a_walk_told_to_take_damage_gives_the_other_pages(name):
    database = open_bolt(fixture(name))
    damage: list[FormatError] = []

    keys = [e.key for e in database.elements(database.bucket(b"Package"), damage=damage.append)]

    assert EXPECTED[name]["reader_error"] == [each.kind for each in damage]
    assert 0 < len(keys) < 62


def test_check_reports_the_page_that_a_cycle_cuts_off():
    assert open_bolt(fixture("bad-cycle-self.db")).check() == (
        "page 70 referenced twice",
        "page 3: neither in use nor free",
    )


def test_check_reports_that_the_file_is_cut():
    assert "the file has 10 of its 20 pages" in open_bolt(fixture("bad-trunc-half.db")).check()


def test_both_byte_orders_hold_the_same_elements():
    big = pairs(fixture("bigendian-s390x.db"), b"Package")
    little = pairs(fixture("pagesize-16384.db"), b"Package")

    assert big[0][0] == b"\0\0\0\0\0\0\0\1"
    assert [pair for pair in little if len(pair[0]) == 8] == [pair for pair in big if len(pair[0]) == 8]


def test_a_bucket_that_is_not_there_is_none():
    database = open_bolt(fixture("foreign-bolt.db"))

    assert database.bucket(b"Package") is None
    assert database.bucket(b"v1", b"Package") is None
    assert database.bucket(b"v1", b"k") is None, "a pair, not a bucket"


def test_a_bucket_inside_a_bucket_is_found():
    assert pairs(fixture("foreign-bolt.db"), b"v1", b"child") == [(b"a", b"b")]


def test_a_file_cut_at_the_high_water_mark_is_complete():
    whole = fixture("luet-0.20.6-minimal.db")
    database = open_bolt(whole)
    cut = whole[: database.meta.high_water_mark * database.page_size]

    assert len(cut) < len(whole)
    assert open_bolt(cut).check() == ()
    assert pairs(whole, b"DefaultPackage") == pairs(cut, b"DefaultPackage")


# Meta pages


@pytest.mark.parametrize("name", ["luet-0.20.6-minimal.db", "pagesize-16384.db", "bigendian-s390x.db"])
def test_without_the_first_meta_page_the_second_tells_the_page_size(name):
    facts = EXPECTED[name]

    database = open_bolt(patched(fixture(name), 0, bytes(512)))

    assert database.problems == ("meta page 0 invalid: magic",)
    assert (facts["page_size"], facts["byteorder"]) == (database.page_size, database.byteorder)
    assert database.txid in {facts["txid"], facts["txid"] - 1}


def test_without_the_second_meta_page_the_first_counts():
    data = fixture("luet-0.20.6-minimal.db")

    database = open_bolt(patched(data, 4096, bytes(4096)))

    assert database.problems == ("meta page 1 invalid: magic",)


def test_a_meta_page_may_not_speak_of_another_page_size_than_where_it_is():
    writer = BoltWriter()
    writer.leaf(3)
    writer.metas(root=3, mark=4)
    other = BoltWriter(page_size=2048)
    other.meta(root=3, mark=4, txid=7)

    database = open_bolt(patched(writer.file(), 1024, other.pages[1]))

    assert (database.txid, database.problems) == (4, ("meta page 1 invalid: page size",))


def test_the_older_meta_shows_the_state_before_the_last_transaction():
    writer = BoltWriter()
    writer.leaf(3, (b"old", b"1"))
    writer.leaf(4, (b"new", b"2"))
    writer.meta(root=3, mark=5, txid=6)
    writer.meta(root=4, mark=5, txid=7)
    data = writer.file()

    newest, older = open_bolt(data), open_bolt(patched(data, 1024 + 16 + 48, b"\xff"))

    assert [e.key for e in newest.elements(newest.root)] == [b"new"]
    assert [e.key for e in older.elements(older.root)] == [b"old"]
    assert older.problems == ("meta page 1 invalid: checksum",)


def damaged_metas(**changes) -> bytes:
    writer = BoltWriter()
    writer.leaf(3)
    for txid in (4, 5):
        writer.meta(**({"root": 3, "mark": 4, "txid": txid} | changes))
    return writer.file()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("empty", b""),
        ("truncated", b"\0" * 16),
        ("magic", b"#!/bin/sh\nexit 0\n# not a database\n"),
        ("magic", bytes(32768)),
        ("truncated", single_leaf()[:60]),
        ("truncated", single_leaf()[:1500]),
        ("version", damaged_metas(version=3)),
        ("root", damaged_metas(root=4)),
        ("root", damaged_metas(root=1)),
        ("checksum", patched(patched(single_leaf(), 72, b"\0" * 8), 1024 + 72, b"\0" * 8)),
        ("page-size", single_leaf(page_size=1000)),
    ],
)
def test_without_a_valid_meta_page_nothing_is_read(kind, data):
    with pytest.raises(FormatError) as raised:
        open_bolt(data)

    assert kind == raised.value.kind


def test_more_than_the_limit_is_not_looked_at():
    data = single_leaf()

    with pytest.raises(FormatError) as raised:
        open_bolt(data, limits=evolve(DEFAULT_LIMITS, database_bytes=len(data) - 1))

    assert raised.value.kind == "limit"


# Pages


def test_an_overflowing_leaf_is_read_whole():
    value = bytes(range(256)) * 20
    writer = BoltWriter()
    writer.leaf(3, (b"big", value), (b"next", b"1"))
    writer.metas(root=3, mark=9)

    assert pairs(writer.file()) == [(b"big", value), (b"next", b"1")]


def test_a_tree_is_read_from_left_to_right():
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (b"m", 5))
    writer.branch(4, (b"a", 6), (b"c", 7))
    writer.leaf(5, (b"m", b"5"), (b"n", b"6"))
    writer.leaf(6, (b"a", b"1"), (b"b", b"2"))
    writer.leaf(7, (b"c", b"3"), (b"d", b"4"))
    writer.metas(root=3, mark=8)

    data = writer.file()

    assert [key for key, _ in pairs(data)] == [b"a", b"b", b"c", b"d", b"m", b"n"]
    assert open_bolt(data).check() == ()


def test_an_empty_leaf_has_no_elements():
    assert pairs(single_leaf()) == []


def test_an_inline_bucket_is_read_wherever_it_is_aligned():
    inline = BoltWriter().inline((b"key", b"value"))

    for name in (b"b", b"bu", b"buc", b"buck"):
        assert pairs(single_leaf((name, inline, 1)), name) == [(b"key", b"value")]


def two_level(leaf: bytes) -> bytes:
    """A root branch on page 3 over a good leaf 4 and the image `leaf` as page 5."""
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (b"b", 5))
    writer.leaf(4, (b"a", b"1"))
    writer.pages[5] = leaf
    writer.metas(root=3, mark=6)
    return writer.file()


def element(flags: int, pos: int, ksize: int, vsize: int) -> bytes:
    return struct.pack("<IIII", flags, pos, ksize, vsize)


HEAD = BoltWriter().header
PAGE_FAULTS = {
    "of another number": ("page", HEAD(6, LEAF, 0)),
    "of no kind": ("page", HEAD(5, 0, 0)),
    "of two kinds": ("page", HEAD(5, 3, 0)),
    "a meta page": ("page", HEAD(5, 4, 0)),
    "overflowing the database": ("page", HEAD(5, LEAF, 0, overflow=1)),
    "overflowing everything": ("page", HEAD(5, LEAF, 0, overflow=2**32 - 1)),
    "with more elements than fit": ("element", HEAD(5, LEAF, 64)),
    "a branch without children": ("element", HEAD(5, 1, 0)),
    "with a key over the elements": ("element", HEAD(5, LEAF, 1) + element(0, 0, 1, 0)),
    "with an empty key": ("element", HEAD(5, LEAF, 1) + element(0, 16, 0, 4)),
    "with a value past its end": ("element", HEAD(5, LEAF, 1) + element(0, 16, 1, 1024 - 32)),
    "with a key far away": ("element", HEAD(5, LEAF, 1) + element(0, 2**32 - 1, 1, 0)),
    "with elements on each other": (
        "element",
        HEAD(5, LEAF, 2) + element(0, 32, 1, 100) + element(0, 16 + 100, 1, 0),
    ),
    "with a bucket of 15 bytes": ("element", HEAD(5, LEAF, 1) + element(1, 16, 1, 15)),
}


@pytest.mark.parametrize("what", PAGE_FAULTS)
def test_a_page_that_is_not_what_it_should_be_is_refused(what):
    kind, image = PAGE_FAULTS[what]

    raised = fault(two_level(image))

    assert (kind, 5 * 1024) == (raised.kind, raised.offset)


def test_a_value_may_end_with_its_page():
    image = HEAD(5, LEAF, 1) + element(0, 16, 1, 1024 - 33) + b"b"

    assert pairs(two_level(image)) == [(b"a", b"1"), (b"b", bytes(1024 - 33))]


@pytest.mark.parametrize("child", [0, 1, 6, 2**63, 2**64 - 1])
def test_a_child_outside_the_database_is_refused(child):
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (b"b", child))
    writer.leaf(4, (b"a", b"1"))
    writer.metas(root=3, mark=6)

    assert fault(writer.file()).kind == "page"


def test_a_high_water_mark_beyond_the_file_opens_nothing():
    writer = BoltWriter()
    writer.branch(3, (b"a", 2**40))
    writer.metas(root=3, mark=2**41)

    assert fault(writer.file()).kind == "truncated"


@pytest.mark.parametrize(
    ("why", "image"),
    [
        ("too short", bytes(16) + bytes(15)),
        ("no leaf", BoltWriter().bucket(0) + HEAD(0, 1, 0)),
        ("with overflow", BoltWriter().bucket(0) + HEAD(0, LEAF, 0, overflow=1)),
        ("with another bucket in it", BoltWriter().inline((b"x", BoltWriter().inline(), 1))),
        ("with more elements than fit", BoltWriter().bucket(0) + HEAD(0, LEAF, 1)),
    ],
)
def test_an_inline_bucket_that_is_not_one_is_refused(why, image):
    assert fault(single_leaf((b"b", image, 1)), b"b").kind in {"element", "page"}, why


# Cycles


def test_a_bucket_cannot_be_inside_itself():
    assert fault(single_leaf((b"b", BoltWriter().bucket(3), 1)), b"b").kind == "cycle"


def test_a_page_cannot_be_two_children():
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (b"b", 4))
    writer.leaf(4, (b"a", b"1"))
    writer.metas(root=3, mark=5)

    assert fault(writer.file()).kind == "cycle"


def test_an_overflow_page_cannot_be_a_page_of_its_own():
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (b"b", 5))
    writer.pages[4] = writer.leaf_image([(b"a", bytes(1024))], 4, overflow=1)
    writer.metas(root=3, mark=6)

    assert fault(writer.file()).kind == "cycle"


def test_two_buckets_with_one_root_are_each_readable_and_checked_as_one_too_many():
    writer = BoltWriter()
    writer.leaf(3, (b"one", writer.bucket(4), 1), (b"two", writer.bucket(4), 1))
    writer.leaf(4, (b"k", b"v"))
    writer.metas(root=3, mark=5)
    data = writer.file()

    assert pairs(data, b"one") == pairs(data, b"two") == [(b"k", b"v")]
    assert open_bolt(data).check() == ("page 4 referenced twice",)


def test_a_tree_of_absurd_depth_is_refused():
    writer = BoltWriter()
    for number in range(3, 3 + bolt.TREE_DEPTH):
        writer.branch(number, (b"a", number + 1))
    writer.leaf(3 + bolt.TREE_DEPTH, (b"a", b"1"))
    writer.metas(root=3, mark=4 + bolt.TREE_DEPTH)

    assert fault(writer.file()).kind == "depth"


def test_buckets_may_be_nested_deeper_than_pages_of_one_tree():
    depth = 5 * bolt.TREE_DEPTH
    writer = BoltWriter()
    for number in range(3, 3 + depth):
        writer.leaf(number, (b"b", writer.bucket(number + 1), 1))
    writer.leaf(3 + depth, (b"k", b"v"))
    writer.metas(root=3, mark=4 + depth)
    data = writer.file()

    assert open_bolt(data).check() == ()
    assert pairs(data, *[b"b"] * depth) == [(b"k", b"v")]


def test_a_walk_ends_at_its_limit(monkeypatch):
    monkeypatch.setattr(bolt, "ELEMENTS", 2)
    data = single_leaf((b"a", b""), (b"b", b""), (b"c", b""))

    assert fault(data).kind == "limit"
    with pytest.raises(FormatError):
        open_bolt(data).check()


# Order


@pytest.mark.parametrize(
    "keys", [(b"a", b"c", b"b"), (b"a", b"a", b"c"), (b"b", b"a", b"c")], ids=["later", "twice", "first"]
)
def test_keys_out_of_order_are_told_and_read(keys):
    database = open_bolt(single_leaf(*((key, b"") for key in keys)))
    problems: list[str] = []

    found = [element.key for element in database.elements(database.root, problem=problems.append)]

    assert list(keys) == found
    assert problems == ["page 3: keys out of order"]
    assert database.check() == ("page 3: keys out of order",)


@pytest.mark.parametrize(
    ("bound", "left", "right"),
    [(b"c", b"a", b"b"), (b"b", b"c", b"d"), (b"0", b"a", b"b")],
    ids=["child before its key", "sibling behind it", "keys descending"],
)
def test_keys_out_of_order_between_pages_are_told(bound, left, right):
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (bound, 5))
    writer.leaf(4, (left, b""))
    writer.leaf(5, (right, b""))
    writer.metas(root=3, mark=6)

    assert open_bolt(writer.file()).check() != ()
    assert pairs(writer.file()) == [(left, b""), (right, b"")]


# Free pages


def freelist_database(*free: int, leaf_pages=(3,)) -> bytes:
    writer = BoltWriter()
    writer.freelist(2, *free)
    for number in leaf_pages:
        writer.leaf(number)
    writer.metas(root=3, mark=6, freelist=2)
    return writer.file() + bytes(2048)


@pytest.mark.parametrize(
    ("free", "problems"),
    [
        ((4, 5), ()),
        ((4,), ("page 5: neither in use nor free",)),
        ((3, 4, 5), ("page 3: in use and free",)),
        ((2, 4, 5), ("page 2: in use and free",)),
        ((4, 4, 5), ("page 4: free twice",)),
    ],
)
def test_check_finds_what_the_freelist_gets_wrong(free, problems):
    assert problems == open_bolt(freelist_database(*free)).check()


def test_a_destroyed_freelist_keeps_nobody_from_reading():
    data = fixture("luet-0.20.6-minimal.db")
    database = open_bolt(data)
    destroyed = patched(data, database.meta.freelist * 4096, b"\xff" * 4096)

    assert pairs(data, b"DefaultPackage") == pairs(destroyed, b"DefaultPackage")
    assert [problem for problem in open_bolt(destroyed).check() if not problem.startswith("freelist: ")] == []


def test_a_long_freelist_has_its_count_in_front():
    writer = BoltWriter()
    writer.pages[2] = writer.header(2, 16, 0xFFFF) + struct.pack("<3Q", 2, 4, 5)
    writer.leaf(3)
    writer.metas(root=3, mark=6, freelist=2)

    assert open_bolt(writer.file() + bytes(2048)).check() == ()


# Damage on the way


def test_a_bucket_is_found_beside_a_damaged_page():
    writer = BoltWriter()
    writer.branch(3, (b"a", 4), (b"m", 5))
    writer.pages[4] = HEAD(9, LEAF, 0)
    writer.leaf(5, (b"wanted", writer.inline((b"k", b"v")), 1))
    writer.metas(root=3, mark=6)
    data = writer.file()

    assert pairs(data, b"wanted") == [(b"k", b"v")]
    assert fault(data, b"absent").kind == "page", "it may have been on the damaged page"


def test_a_view_of_other_items_than_bytes_is_read_by_its_bytes():
    data = single_leaf((b"k", b"v"))

    database = open_bolt(memoryview(data).cast("I"))

    assert [element.key for element in database.elements(database.root)] == [b"k"]


def test_elements_that_overlap_are_listed_as_bbolt_lists_them_and_told():
    """bbolt compares no element with another: it lists each one that lies inside its page."""
    data = bytearray(single_leaf((b"a", b"1"), (b"b", b"2"), (b"c", b"3")))
    at = 3 * 1024 + 16 + 16 + 4  # where the second element says that it lies
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") - 2).to_bytes(4, "little")
    database = open_bolt(bytes(data))

    with pytest.raises(FormatError, match="overlaps another"):
        list(database.elements(database.root))
    told = []
    found = [element.key for element in database.elements(database.root, damage=told.append)]
    assert [b"a", b"a", b"c"] == found
    assert ["overlap"] == [fault.kind for fault in told]
