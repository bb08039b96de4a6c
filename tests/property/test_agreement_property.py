"""Where the merge says that all readers make the same tree, they do: each reader's own merge is the judge."""

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from cosinspect.errors import InvalidLayer
from cosinspect.rootfs.agreement import meets_guards
from cosinspect.rootfs.differences import compare
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import RULES, Semantics
from cosinspect.testing import tar_bytes
from oracle import Item
from random_stacks import STACKS, index_of
from stacks import SCALE, layer_of
from stacks import index_of as index_of_archive
from wild_layers import STACKS as WILD_STACKS

MANY = settings(deadline=None, max_examples=150 * SCALE, suppress_health_check=list(HealthCheck))

# Layers that mostly do what every reader reads alike: the kind of a path is in its name.
_DIRECTORIES = ["a", "a/b", "a/b/c", "d"]
_PLACES = st.sampled_from([*(f"{each}/" for each in _DIRECTORIES), ""])
_FILES = st.builds("{}{}".format, _PLACES, st.sampled_from(["f1", "f2"]))
_TAME = st.one_of(
    st.builds(
        Item,
        st.just("dir"),
        st.sampled_from(_DIRECTORIES).map(lambda path: tuple(path.split("/"))),
        mode=st.sampled_from([0o755, 0o700, 0o2755]),
    ),
    *[st.builds(Item, st.just("file"), _FILES.map(lambda path: tuple(path.split("/"))), st.just("1"))] * 3,
    st.builds(
        Item,
        st.just("symlink"),
        st.builds("{}s".format, _PLACES).map(lambda path: tuple(path.split("/"))),
        st.sampled_from(["a", "/a/b", "../x", "f1"]),
    ),
    st.builds(
        Item, st.just("hardlink"), st.builds("{}h".format, _PLACES).map(lambda path: tuple(path.split("/"))), _FILES
    ),
    st.builds(
        Item,
        st.just("whiteout"),
        st.one_of(_FILES, st.sampled_from(_DIRECTORIES)).map(lambda path: tuple(path.split("/"))),
    ),
)  # fmt: skip
TAME_STACKS = st.lists(st.lists(_TAME, max_size=6, unique_by=lambda item: item.path), min_size=1, max_size=4)


def agrees(indexes):
    """Whether the merge says that all agree; if so, they must."""
    first = Rootfs(indexes)
    if not first.is_unambiguous:
        return False
    assert first.problems == ()
    for semantics in Semantics:
        if RULES[semantics].guarded and meets_guards(indexes):
            continue
        other = Rootfs(indexes, semantics=semantics)
        assert other.problems == (), semantics
        assert compare(first, other) == [], semantics
    return True


@MANY
@given(TAME_STACKS)
@example([[Item("file", ("a", "f1"))], [Item("whiteout", ("a", "f1"))]])
@example([[Item("file", ("a", "f1"))], [Item("whiteout", ("a",))], [Item("file", ("a", "f2"))]])
@example([[Item("file", ("a", "f1"))], [Item("whiteout", ("a",)), Item("file", ("a", "f2"))]])
@example([[Item("file", ("f1",)), Item("hardlink", ("h",), "f1")], [Item("file", ("f1",), "2")]])
@example([[Item("file", ("f1",)), Item("hardlink", ("h",), "f1")], [Item("whiteout", ("f1",))]])
@example([[Item("hardlink", ("h",), "f1"), Item("file", ("f1",))]])
@example([[Item("whiteout", ("f1",))]])
def test_on_layers_that_mostly_agree(stack):
    event("agrees" if agrees([index_of(layer) for layer in stack]) else "does not")


@MANY
@given(STACKS)
def test_on_layers_that_meet(stack):
    agrees([index_of(layer) for layer in stack])


@MANY
@given(WILD_STACKS)
def test_on_layers_of_any_header(stack):
    indexes = []
    for number, each in enumerate(stack):
        layer = layer_of(each.data, position=number)
        try:
            indexes.append(layer.index())
        except InvalidLayer as fault:
            indexes.append(layer.salvage(fault))
    agrees(indexes)


def test_it_holds_for_what_image_builders_write():
    base = index_of_archive(tar_bytes({"etc/a": "1", "etc/b": "2", "usr/bin/x": "3", "usr/lib/y": "4"}))
    change = index_of_archive(tar_bytes({"etc/a": "5", "usr/lib/z": "6"}))
    removal = index_of(
        [Item("dir", ("etc",)), Item("whiteout", ("etc", "b")), Item("whiteout", ("usr", "bin"))]
    )

    assert agrees([base, change, removal])


def test_it_does_not_hold_for_a_name_that_comes_back():
    base = index_of([Item("dir", ("etc",)), Item("file", ("etc", "a"))])
    removal = index_of([Item("whiteout", ("etc",))])
    again = index_of([Item("dir", ("etc",))])

    assert not Rootfs([base, removal, again]).is_unambiguous
