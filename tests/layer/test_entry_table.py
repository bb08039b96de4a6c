"""A table gives back the entries that went into it, and finds each by its path; a list of them is the model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.layer.changeset import LayerEntry
from cosinspect.layer.entry_table import EntryTable, LazyEntries, table_of
from stacks import SCALE

NUMBERS = st.one_of(st.integers(0, 7), st.integers(-(2**70), 2**70))
PATHS = st.lists(st.text("ab\udc80é\0", min_size=1, max_size=3), max_size=3).map("/".join)
ENTRIES = st.builds(
    LayerEntry,
    PATHS,
    st.sampled_from(["file", "dir", "symlink", "hardlink", "char", "block", "fifo", "global", "unknown"]),
    st.one_of(st.just(0o644), NUMBERS),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from(["", "a", "/a/b"]),
    st.sampled_from([(0, 0), (0, 0), (1, 3)]),
    st.sampled_from([None, None, {}, {"user.a": "1"}]),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from([None, None, ((0, 1),)]),
    st.sampled_from(["", "", "/a"]),
    st.sampled_from(["", "", "../a"]),
    st.sampled_from(["", "", "owner"]),
)
PLAIN = LayerEntry("a/b", "file", 0o644, 0, 0, 1, 0, "", (0, 0), None, 0, 512, 1, None)


@settings(deadline=None, max_examples=200 * SCALE)
@given(st.lists(ENTRIES, max_size=12))
def test_entries_come_back(entries):
    table = EntryTable(entries)

    assert list(table) == entries
    assert [table[number] for number in range(-len(entries), len(entries))] == entries * 2
    assert table == entries
    assert table[1:3] == entries[1:3]
    assert {entry.path for entry in entries} == {table[table.find(entry.path)].path for entry in entries}
    assert table.find("a/none") is None
    for kind in ("dir", "hardlink", "symlink"):
        assert [table[row] for row in table.rows_of_type(kind)] == [
            each for each in entries if each.type == kind
        ]


def test_many_batches_come_back():
    entries = [
        LayerEntry(f"d{number % 7}/é{number}", "file", 0o644, 0, 0, number, 9, "", (0, 0), None, number, 5, number, None)
        for number in range(10_000)
    ]  # fmt: skip
    entries[9000] = LayerEntry("d0", "dir", 0o755, 2**40, 0, 0, 0, "", (0, 0), None, 1, 2, 0, None)
    table = EntryTable()
    for number, entry in enumerate(entries):
        table.append(entry)
        assert len(table) == number + 1
        assert table[-1] == entry

    assert list(table.seal()) == entries
    assert table.find("d3/é9999") == 9999
    assert sorted(row for number in range(len(table.directories)) for row in table.rows(number)) == list(
        range(10_000)
    )


def test_a_row_beyond_the_end_is_an_error():
    with pytest.raises(IndexError):
        EntryTable([PLAIN])[1]


def test_lazy_entries_are_loaded_once():
    loaded = []

    def load():
        loaded.append(1)
        return EntryTable([PLAIN])

    lazy = LazyEntries(1, load)
    assert len(lazy) == 1
    assert loaded == []
    assert list(lazy) == [PLAIN]
    assert lazy[0] == PLAIN
    assert table_of(lazy) is table_of(lazy)
    assert loaded == [1]


def test_a_plain_entry_takes_a_fifth_of_an_object():
    table = EntryTable([PLAIN] * 4096)
    columns = [*table._numbers, table._ends, table._parents]

    assert not table.irregular
    assert sum(column.itemsize for column in columns) + 1 + len("b") <= 60
