"""What two readers of the same layers see differently, and what makes it so."""

import pytest

from cosinspect.rootfs.differences import compare, compare_semantics
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import Hardlink, Opaque, Symlink, Whiteout, tar_bytes
from stacks import index_of


def tree(*layers):
    return Rootfs([index_of(tar_bytes(layer)) for layer in layers])


@pytest.mark.parametrize(
    ("layers", "other", "paths", "cause"),
    [
        (
            [{"d/old": "x"}, {"d": Opaque()}],
            Semantics.ELEMENTAL,
            ["/d/old"],
            (1, "opaque-whiteout", "/d/.wh..wh..opq"),
        ),
        (
            [{"a/foo": "x"}, {"a": Whiteout()}, {"a/baz": "x"}],
            Semantics.ELEMENTAL,
            ["/a/foo"],
            (2, "recreated", "/a"),
        ),
        (
            [{"usr/lib/x": "x", "lib": Symlink("usr/lib")}, [("lib/new", "x")]],
            Semantics.ELEMENTAL,
            ["/usr/lib/new"],
            (1, "parent-behind-link", "/lib/new"),
        ),
        ([{"t": "1", "h": Hardlink("t")}, {"t": "2"}], Semantics.ELEMENTAL, ["/h"], (1, "hardlink", "/t")),
    ],
)
def test_a_difference_has_its_cause(layers, other, paths, cause):
    if isinstance(layers[-1], list):
        rootfs = Rootfs([index_of(tar_bytes(layer, parents=isinstance(layer, dict))) for layer in layers])
    else:
        rootfs = tree(*layers)

    found = compare_semantics(rootfs, other)

    assert paths == [each.path for each in found.differences]
    told = found.causes[paths[0]]
    assert cause == (told.layer, told.kind, told.item)


def test_equal_contents_of_other_layers_are_no_difference():
    assert [] == compare(tree({"a": "same"}), tree({"b": ""}, {"a": "same", "b": Whiteout()}))


def test_contents_of_one_size_are_read():
    (found,) = compare(tree({"a": "one"}), tree({"a": "two"}))
    assert ("/a", ("content",)) == (found.path, found.aspects)


def test_presence_type_mode_and_owner_are_told():
    found = compare(tree({"a": "x", "b": "y"}), tree({"a": Symlink("b"), "c": "z"}))
    assert [("/a", ("type",)), ("/b", ("presence",)), ("/c", ("presence",))] == [
        (each.path, each.aspects) for each in found
    ]
