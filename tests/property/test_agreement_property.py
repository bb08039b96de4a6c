"""Where the layers show that all readers make the same tree, their merges make the same tree."""

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.errors import InvalidLayer
from cosinspect.layer.changeset import Cut, LayerEntry, Marker
from cosinspect.rootfs.agreement import readers_agree
from cosinspect.rootfs.differences import compare
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import RULES, Semantics
from cosinspect.tar.irregularities import Irregularity
from cosinspect.testing import (
    Device,
    Directory,
    File,
    Hardlink,
    Opaque,
    RawName,
    Symlink,
    Whiteout,
    tar_bytes,
)
from random_stacks import STACKS
from random_stacks import index_of as index_of_items
from stacks import SCALE, index_of, layer_of
from wild_layers import STACKS as WILD_STACKS

QUICK = settings(deadline=None, max_examples=300 * SCALE, suppress_health_check=list(HealthCheck))

# Entries that meet at few paths and are mostly harmless, so that many stacks of them agree and the others nearly do.
TAME = st.dictionaries(
    st.sampled_from(["a", "a/x", "a/b/x", "b", "b/x", "C:", "e/f/g"]),
    st.one_of(
        st.builds(File, st.sampled_from(["", "1"]), mode=st.sampled_from([0o644, 0o755])),
        st.builds(File, st.just("1"), xattrs=st.sampled_from([{}, {"user.x": "1"}, {"user.": "1"}])),
        st.builds(Directory, mode=st.sampled_from([0o755, 0o700, 0o2755]), gid=st.sampled_from([0, 7])),
        st.builds(Symlink, st.sampled_from(["a", "/a", "../..", "x", "." * 4096])),
        st.builds(Hardlink, st.sampled_from(["a", "a/x", "b/x"])),
        st.sampled_from([Whiteout(), Opaque(), Device("char", 0, 0), Device("char", 1, 3)]),
    ),
    max_size=4,
)
GLOBAL = LayerEntry("x", "global", 0, 0, 0, 0, 0, "", (0, 0), None, 0, 0, 0, None)
TAME_STACKS = st.lists(st.tuples(TAME, st.booleans()), min_size=1, max_size=3)


def trees_are_equal(indexes, readers):
    """What the whole merges of these readers say."""
    first, *others = (Rootfs(indexes, semantics=each) for each in readers)
    if any(each.problems for each in (first, *others)):
        return False
    return all(not compare(first, each) for each in others)


def readers(*, guarded):
    return [each for each in Semantics if guarded or not RULES[each].guarded]


def hold(indexes, guarded):
    agree = readers_agree(indexes, guarded=guarded)
    assert not agree or trees_are_equal(indexes, readers(guarded=guarded))


@QUICK
@given(TAME_STACKS, st.booleans())
def test_of_layers_that_agree_every_merge_is_the_same(stack, guarded):
    hold([index_of(tar_bytes(layer, parents=parents)) for layer, parents in stack], guarded)


@QUICK
@given(STACKS, st.booleans())
def test_of_layers_that_agree_every_merge_is_the_same_though_nothing_was_noted(stack, guarded):
    hold([index_of_items(layer) for layer in stack], guarded)


@settings(QUICK, max_examples=100 * SCALE)
@given(WILD_STACKS, st.booleans())
def test_of_wild_layers_that_agree_every_merge_is_the_same(stack, guarded):
    try:
        indexes = [layer_of(each.data, position=number).index() for number, each in enumerate(stack)]
    except InvalidLayer:
        return
    hold(indexes, guarded)


@pytest.mark.parametrize(
    "layers",
    [
        [{"etc/a": "1"}],
        [{"etc/a": "1"}, {"etc/a": "2", "etc/b": Symlink("a")}],
        [{"etc": Directory(mode=0o700), "etc/a": "1"}, {"etc": Directory(mode=0o711), "etc/c/a": "2"}],
        [{"bin/a": "1", "bin/b": Hardlink("bin/a")}, {"bin/c": "1"}],
        [{"dev/null": Device("char", 1, 3), "a": File("x", xattrs={"user.a": "1"})}],
        [{"lib": Symlink("usr/lib")}, {"lib": Symlink("usr/lib64"), "usr/lib/a": "1"}],
        [{"opt/mail": Directory(mode=0o2775, gid=8)}],
    ],
)
def test_ordinary_layers_agree(layers):
    indexes = [index_of(tar_bytes(layer)) for layer in layers]
    assert readers_agree(indexes, guarded=True)
    assert trees_are_equal(indexes, readers(guarded=True))


@pytest.mark.parametrize(
    "layers",
    [
        [{"a/x": "1"}, {"a/x": Whiteout()}],
        [{"a/x": "1"}, {"a": Opaque()}],
        [{"a": Symlink("b"), "b/x": "1"}, {"a/y": "1"}],
        [{"a": "1"}, {"a/x": "1"}],
        [{"a/x": "1"}, {"a": "1"}],
        [{"a": "1", "b": Hardlink("a")}, {"a": "2"}],
        [{"a": "1"}, {"b": Hardlink("a")}],
        [{"a": File("1", mode=0o600), "b": Hardlink("a", mode=0o644)}],
        [{"a": Device("char", 0, 0)}],
        [{".": Directory(mode=0o700), "a": "1"}],
        [{"a": Directory(mode=0o2755, gid=7), "a/b/x": "1"}],
        [[("a", "1"), ("a", "2")]],
        [{"a": Symlink("." * 4096)}],
        [{"a": File("1", xattrs={"security.capability": "bad"})}],
        [{"n" * 256: "1"}],
        [{"a": "1"}, {RawName("/a"): "2"}],
        [{"a": "1"}, {"a": File("2", uid=2**32 - 1)}],
    ],
)
def test_layers_of_which_some_reader_makes_another_tree_do_not_agree(layers):
    assert not readers_agree([index_of(tar_bytes(layer, parents=False)) for layer in layers], guarded=False)


@pytest.mark.parametrize("layer", [{"a": Symlink("../b")}, {"C:": "1"}, {"a\\b": "1"}])
def test_guards_count_where_a_reader_has_them(layer):
    indexes = [index_of(tar_bytes(layer))]
    assert readers_agree(indexes, guarded=False)
    assert not readers_agree(indexes, guarded=True)


@pytest.mark.parametrize(
    "found",
    [
        {"cuts": (Cut("", 512, False, "a damaged member"),)},
        {"nameless": (Marker(".wh.", 0),)},
        {"name_only": (GLOBAL,)},
        {"irregularities": (Irregularity("unknown-kind", 0, "something new"),)},
    ],
)
def test_a_layer_with_anything_unusual_does_not_agree(found):
    index = index_of(tar_bytes({"a": "1"}))
    assert readers_agree([index], guarded=False)
    assert not readers_agree([evolve(index, **found)], guarded=False)
