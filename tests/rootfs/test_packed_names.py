"""Names in packs are a mapping of names to nodes; a dictionary is the model."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.layer.changeset import LayerEntry
from cosinspect.layer.entry_table import EntryTable
from cosinspect.rootfs.node import Node
from cosinspect.rootfs.overlay import merge
from cosinspect.rootfs.packed_names import PackedNames
from oracle import Item
from random_stacks import index_of
from stacks import SCALE

NAMES = st.sampled_from("abcdefgh")
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sets(NAMES, min_size=1)),
    st.tuples(st.sampled_from(["get", "set", "pop"]), NAMES),
    st.tuples(st.just("list"), st.none()),
    st.tuples(st.just("clear"), st.none()),
)


def entry(name):
    return LayerEntry(name, "file", 0o644, 0, 0, 0, 0, "", (0, 0), None, 0, 0, 0, None)


def seen(node):
    return None if node is None else (node.entry.path, node.layer)


@settings(deadline=None, max_examples=300 * SCALE)
@given(st.lists(STEPS, max_size=16))
def test_it_is_a_dictionary(steps):
    tables = []
    names = PackedNames({}, tables)
    model = {}
    held = {}
    for kind, what in steps:
        position = len(tables)
        tables.append(EntryTable([entry(name) for name in sorted(what)] if kind == "add" else []))
        if kind == "add":
            rows = [row for row, name in enumerate(sorted(what)) if not names.settled(name)]
            added = {tables[-1].name(row) for row in rows}
            if rows:
                names.add(position, rows)
            model.update((name, (name, position)) for name in added)
        elif kind == "get":
            node = names.get(what)
            assert seen(node) == model.get(what)
            assert held.setdefault(what, node) is node or what not in model
            held = {name: each for name, each in held.items() if each is not None}
        elif kind == "set":
            names[what] = held[what] = Node(entry(what), position)
            model[what] = (what, position)
        elif kind == "pop":
            assert seen(names.pop(what, None)) == model.pop(what, None)
            held.pop(what, None)
        elif kind == "clear":
            names.clear()
            model.clear()
            held.clear()
        else:
            assert {name: seen(node) for name, node in names.items()} == model
            assert sorted(map(seen, names.values())) == sorted(model.values())
        assert bool(names) == bool(model)
        assert all((name in names) == (name in model) for name in "abcdefgh")
    assert len(names) == len(model)
    assert sorted(names) == sorted(model)
    assert {name: seen(names[name]) for name in names} == model


def test_iteration_keeps_no_node():
    files = [Item("file", ("d", f"f{number}"), "x") for number in range(20)]
    root = merge([index_of([Item("dir", ("d",)), *files])]).root
    children = root.children["d"].children

    assert len(list(children.items())) == 20
    assert list(children.held()) == []
    assert children["f3"] is children["f3"]
    assert len(list(children.held())) == 1


def test_a_file_of_an_upper_layer_replaces_that_of_a_lower_one():
    lower = index_of([Item("file", ("d", name), "1") for name in "abc"])
    upper = index_of([Item("file", ("d", name), "2") for name in "bcd"])
    children = merge([lower, upper]).root.children["d"].children

    assert {"a": 0, "b": 1, "c": 1, "d": 1} == {name: node.layer for name, node in children.items()}
