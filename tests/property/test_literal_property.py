"""The history from the entries at a path alone is that of whole layers, which is observed in the merge of everything."""

from unittest import mock

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from cosinspect.rootfs.history import Past, histories
from cosinspect.rootfs.overlay import merge
from oracle import Item
from random_stacks import PATHS, STACKS, index_of
from stacks import SCALE

QUICK = settings(deadline=None, max_examples=250 * SCALE, suppress_health_check=[HealthCheck.too_slow])

# Links, directories and files never share a name here, so that most stacks are literal.
_DIRECTORIES = st.sampled_from(["a", "a/b", "c"])
_PLACES = st.sampled_from(["", "a/", "a/b/", "c/"])
_ITEMS = st.one_of(
    st.builds(lambda path: Item("dir", tuple(path.split("/"))), _DIRECTORIES),
    *[st.builds(lambda at, name: Item("file", (*at.split("/")[:-1], name), "1"), _PLACES, st.sampled_from("xy"))] * 2,
    st.builds(
        lambda at, to: Item("symlink", (*at.split("/")[:-1], "l"), to),
        _PLACES,
        st.sampled_from(["a", "/a/b", "../c", "b/../l", "l", "a/l/x"]),
    ),
    st.builds(lambda at, to: Item("hardlink", (*at.split("/")[:-1], "h"), to), _PLACES, st.sampled_from(["x", "a/x", "a/b/h"])),
    st.builds(
        lambda path: Item("whiteout", tuple(path.split("/"))),
        st.sampled_from(["a", "a/b", "a/x", "a/b/x", "l", "c", "a/l"]),
    ),
    st.builds(lambda path: Item("opaque", tuple(path.split("/"))), _DIRECTORIES),
)  # fmt: skip
LITERAL = st.lists(
    st.lists(_ITEMS, max_size=6, unique_by=lambda item: (item.kind, item.path)), min_size=1, max_size=4
)
ASKED = st.lists(st.sampled_from(["a", "b", "c", "l", "h", "x", "none", ".."]), min_size=1, max_size=5).map(
    "/".join
)


def compared(stack, asked):
    indexes = [index_of(layer) for layer in stack]
    if not merge(indexes).is_literal:
        return False
    with mock.patch("cosinspect.rootfs.history.concerned", lambda every, _paths: every):
        expected = histories(indexes, [asked])[asked]
    assert Past(indexes, literal=True).changes(asked) == expected
    return True


@QUICK
@given(LITERAL, ASKED)
@example([[Item("symlink", ("l",), "a"), Item("file", ("a", "x"), "1")], [Item("whiteout", ("a",))]], "l/x")
@example(
    [[Item("symlink", ("l",), "a")], [Item("file", ("a", "b", "x"), "1")], [Item("symlink", ("l",), "c")]],
    "l/b",
)
@example([[Item("file", ("a", "x"), "1"), Item("hardlink", ("h",), "a/x")], [Item("opaque", ("a",))]], "h")
def test_on_layers_whose_entries_are_at_their_paths(stack, asked):
    event("literal" if compared(stack, asked) else "not literal")


@QUICK
@given(STACKS, PATHS)
def test_on_layers_that_meet(stack, path):
    compared(stack, "/".join(path))


def test_a_layer_behind_a_link_is_not_literal():
    base = index_of([Item("dir", ("a",)), Item("symlink", ("lib",), "a")])
    assert merge([base]).is_literal
    assert not merge([base, index_of([Item("file", ("lib", "x"), "1")])]).is_literal
    assert not merge([base, index_of([Item("whiteout", ("lib", "x"))])]).is_literal
