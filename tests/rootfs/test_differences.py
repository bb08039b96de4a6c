"""What two readers of the same layers see differently, and what makes it so."""

import pytest

from cosinspect.rootfs.differences import _look, compare, compare_semantics
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import Device, Directory, Fifo, File, Hardlink, Opaque, Symlink, Whiteout, tar_bytes
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


def test_presence_and_type_are_told():
    found = compare(tree({"a": "x", "b": "y"}), tree({"a": Symlink("b"), "c": "z"}))
    assert [("/a", ("type",)), ("/b", ("presence",)), ("/c", ("presence",))] == [
        (each.path, each.aspects) for each in found
    ]


@pytest.mark.parametrize(
    ("left", "right", "aspects"),
    [
        (File("x", mode=0o644), File("x", mode=0o600), ("mode",)),
        (File("x", mode=0o755), File("x", mode=0o4755), ("mode",)),
        (File("x", uid=0), File("x", uid=1), ("owner",)),
        (File("x", gid=0), File("x", gid=1), ("owner",)),
        (File("x"), File("y", mode=0o600, uid=1), ("content", "mode", "owner")),
        (File("x"), File("x", mtime=5), ()),
        (Directory(mode=0o755), Directory(mode=0o1777), ("mode",)),
        (Directory(uid=0), Directory(uid=5), ("owner",)),
        (Symlink("t"), Symlink("u"), ("link",)),
        (Symlink("t", uid=0), Symlink("t", uid=5), ("owner",)),
        (Symlink("t", mode=0o777), Symlink("t", mode=0o700), ()),
        (Device("char", 1, 3), Device("char", 1, 5), ("device",)),
        (Device("char", 1, 3), Device("block", 1, 3), ("type",)),
        (Device("char", 1, 3, mode=0o600), Device("char", 1, 3, mode=0o666), ("mode",)),
        (Fifo(mode=0o600), Fifo(mode=0o644), ("mode",)),
    ],
)
def test_each_aspect_of_each_kind_of_entry_is_told(left, right, aspects):
    expected = [("/a", aspects)] if aspects else []
    assert expected == [(each.path, each.aspects) for each in compare(tree({"a": left}), tree({"a": right}))]


@pytest.mark.parametrize("other", [File("x", mode=0o600), File("x", uid=1), File("x", gid=1), File("y")])
def test_the_search_for_the_first_layer_compares_every_attribute(other):
    def look(entry):
        return _look(tree({"a": entry}).trace("/a").entry.node)

    assert look(File("x")) == look(File("x"))
    assert (look(File("x")) == look(other)) is (
        other == File("y")
    )  # contents are compared by their place in a layer
