"""Whatever the bytes: the bolt and luet readers end, and raise nothing but FormatError."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bolt_files import BoltWriter, fixture, fnv1a
from cosinspect.errors import FormatError
from cosinspect.formats.luet.bolt import open_bolt
from cosinspect.formats.luet.database import read_database

FIXTURES = [
    fixture(name)
    for name in (
        "bad-cycle-self.db",
        "bigendian-s390x.db",
        "duplicates-orphans.db",
        "luet-0.20.6-then-0.30.0.db",
        "odd-values.db",
    )
]
IN_USE = 80 * 1024  # every fixture has its pages in the first 80 KiB


def read_all(data: bytes) -> None:
    try:
        database = open_bolt(data)
        read_database(data)
    except FormatError:
        return
    database.check()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=4096))
def test_arbitrary_bytes_raise_only_format_errors(data):
    read_all(data)


@settings(deadline=None, max_examples=200)
@given(data=st.binary(min_size=64, max_size=3000), root=st.integers(2, 5))
def test_arbitrary_pages_behind_a_good_meta_page_raise_only_format_errors(data, root):
    writer = BoltWriter(page_size=512)
    writer.metas(root=root, mark=6)

    read_all(writer.file() + data)


@settings(deadline=None, max_examples=400)
@given(
    source=st.sampled_from(FIXTURES),
    changes=st.lists(
        st.tuples(
            st.integers(0, IN_USE),
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\1", b"\2", b"\x10"]),
            ),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_changed_databases_raise_only_format_errors(source, changes):
    data = bytearray(source)
    for offset, value in changes:
        data[offset : offset + len(value)] = value

    read_all(bytes(data))


@settings(deadline=None, max_examples=200)
@given(
    source=st.sampled_from(FIXTURES),
    places=st.lists(st.tuples(st.integers(2, 70), st.integers(2, 70)), max_size=4),
)
def test_pages_in_each_others_places_raise_only_format_errors(source, places):
    data = bytearray(source)
    size = open_bolt(source).page_size
    for first, second in places:
        image = data[first * size : (first + 1) * size]
        # With the right number in its header a page gets further.
        image[:8] = second.to_bytes(8, open_bolt(source).byteorder)
        data[second * size : (second + 1) * size] = image

    read_all(bytes(data))


@settings(deadline=None, max_examples=200)
@given(source=st.sampled_from(FIXTURES), length=st.integers(0, IN_USE))
def test_cut_databases_raise_only_format_errors(source, length):
    read_all(source[:length])


@settings(deadline=None, max_examples=200)
@given(
    source=st.sampled_from(FIXTURES),
    field=st.integers(2, 6),
    value=st.one_of(st.integers(0, 100), st.integers(0, 2**64 - 1)),
)
def test_lying_meta_pages_raise_only_format_errors(source, field, value):
    """Fields behind the flags are of eight bytes; the checksum is made to fit."""
    data = bytearray(source)
    database = open_bolt(source)
    order = database.byteorder
    start = database.txid % 2 * database.page_size + 16
    data[start + 8 * field : start + 8 * field + 8] = value.to_bytes(8, order)
    data[start + 56 : start + 64] = fnv1a(bytes(data[start : start + 56])).to_bytes(8, order)

    read_all(bytes(data))


NAMES = st.binary(min_size=1, max_size=12)
CONTENT = st.recursive(
    st.dictionaries(NAMES, st.binary(max_size=40), max_size=5),
    lambda inner: st.dictionaries(NAMES, st.one_of(st.binary(max_size=40), inner), max_size=5),
    max_leaves=12,
)


def written(content: dict, order: str) -> bytes:
    """Write nested dicts as buckets, one leaf each."""
    writer = BoltWriter(page_size=4096, order=order)
    pending, mark = [(3, content)], 4
    while pending:
        number, pairs = pending.pop()
        items = []
        for name, value in sorted(pairs.items()):
            if isinstance(value, bytes):
                items.append((name, value))
            else:
                items.append((name, writer.bucket(mark), 1))
                pending.append((mark, value))
                mark += 1
        writer.leaf(number, *items)
    writer.metas(root=3, mark=mark)
    return writer.file()


def read_back(database, bucket) -> dict:
    return {
        element.key: bytes(element.value) if element.bucket is None else read_back(database, element.bucket)
        for element in database.elements(bucket)
    }


@pytest.mark.parametrize("order", ["<", ">"])
@settings(deadline=None, max_examples=60)
@given(content=CONTENT)
def test_what_was_written_is_read(order, content):
    database = open_bolt(written(content, order))

    assert content == read_back(database, database.root)
    assert database.check() == ()
