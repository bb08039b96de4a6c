"""What each layer did to a path, and which entry or marker of the layer did it."""

import pytest

from cosinspect.limits import Limits
from cosinspect.rootfs.history import Action, Change, histories
from cosinspect.testing import Directory, Hardlink, Opaque, RawName, Symlink, Whiteout, tar_bytes
from stacks import index_of

A, I, P, T, X, R = (  # noqa: E741 - one letter an action keeps the tables readable
    Action.ADDED,
    Action.IMPLIED,
    Action.REPLACED,
    Action.ATTRIBUTES,
    Action.REMOVED,
    Action.RELINKED,
)


def changes(path, *layers, **options):
    indexes = [index_of(tar_bytes(layer, parents=False)) for layer in layers]
    return histories(indexes, [path], **options)[path]


def brief(path, *layers):
    return [(change.layer, change.action, change.cause) for change in changes(path, *layers)]


# -- each action -----------------------------------------------------------------------------------------------------


def test_a_file_is_added():
    assert (Change(0, A, "/boot/vmlinuz", "file", 6),) == changes("boot/vmlinuz", {"boot/vmlinuz": "kernel"})


def test_a_link_is_added_with_its_target():
    assert (Change(0, A, "/l", "symlink", 0, "there"),) == changes("l", {"l": Symlink("there")})


def test_a_directory_that_is_only_used_is_implied():
    assert (Change(0, I, "/boot", "dir"),) == changes("boot", {"boot/vmlinuz": ""})


def test_a_file_is_replaced():
    assert [(0, A, "/a"), (1, P, "/a")] == brief("a", {"a": "1"}, {"a": "22"})
    assert 2 == changes("a", {"a": "1"}, {"a": "22"})[-1].size


def test_the_same_file_written_again_is_a_replacement():
    assert [(0, A, "/a"), (1, P, "/a")] == brief("a", {"a": "1"}, {"a": "1"})


def test_a_directory_that_is_listed_again_gets_attributes():
    layers = {"d": Directory(), "d/x": ""}, {"d": Directory(mode=0o700)}

    assert [(0, A, "/d"), (1, T, "/d")] == brief("d", *layers)
    assert [(0, A, "/d/x")] == brief("d/x", *layers)


def test_a_directory_that_is_used_again_is_left_alone():
    assert [(0, A, "/d")] == brief("d", {"d": Directory()}, {"d/x": ""})


def test_a_directory_that_was_implied_gets_attributes():
    assert [(0, I, "/d"), (1, T, "/d")] == brief("d", {"d/x": ""}, {"d": Directory()})


def test_a_file_in_the_place_of_a_directory_replaces_it():
    layers = {"d/x": ""}, {"d": "file"}

    assert [(0, I, "/d"), (1, P, "/d")] == brief("d", *layers)
    assert [(0, A, "/d/x"), (1, X, "/d")] == brief("d/x", *layers)


def test_a_layer_that_leaves_a_path_alone_is_not_mentioned():
    assert [(1, A, "/a")] == brief("a", {"b": ""}, {"a": ""}, {"b": ""}, {})


def test_what_never_was_has_no_history():
    assert () == changes("a", {"b": ""}, {"a": Whiteout()})


def test_what_one_layer_writes_twice_changes_once():
    assert (Change(0, A, "/a", "file", 2),) == changes("a", [("a", "1"), ("a", "22")])


# -- markers ---------------------------------------------------------------------------------------------------------


def test_a_whiteout_removes():
    assert [(0, A, "/d/x"), (1, X, "/d/.wh.x")] == brief("d/x", {"d/x": ""}, {"d/x": Whiteout()})


def test_a_whiteout_at_the_root_removes():
    assert [(0, A, "/x"), (1, X, "/.wh.x")] == brief("x", {"x": ""}, {"x": Whiteout()})


def test_a_whiteout_of_a_directory_above_removes():
    assert [(0, A, "/a/b/x"), (1, X, "/a/.wh.b")] == brief("a/b/x", {"a/b/x": ""}, {"a/b": Whiteout()})


def test_an_opaque_directory_removes():
    layers = {"a/b/x": ""}, {"a/b": Opaque()}

    assert [(0, A, "/a/b/x"), (1, X, "/a/b/.wh..wh..opq")] == brief("a/b/x", *layers)
    assert [(0, I, "/a/b")] == brief("a/b", *layers)


def test_an_opaque_directory_above_removes():
    assert [(0, A, "/a/b/x"), (1, X, "/a/.wh..wh..opq")] == brief("a/b/x", {"a/b/x": ""}, {"a": Opaque()})


def test_an_opaque_root_removes():
    layers = [{"a/x": ""}, [(RawName(".wh..wh..opq"), "")]]

    assert [(0, A, "/a/x"), (1, X, "/.wh..wh..opq")] == brief("a/x", *layers)


def test_of_two_markers_the_one_above_is_named():
    assert (1, X, "/.wh.a") == brief("a/b", {"a/b": ""}, {"a/b": Whiteout(), "a": Whiteout()})[-1]


@pytest.mark.parametrize("marker", [{"d": Whiteout()}, {"d": Opaque()}])
def test_what_a_layer_removes_and_writes_again_is_replaced(marker):
    assert [(0, A, "/d/x"), (1, P, "/d/x")] == brief("d/x", {"d/x": "1"}, {**marker, "d/x": "2"})


def test_a_directory_that_is_removed_and_made_again_has_lost_its_contents_to_the_whiteout():
    layers = [{"d/x": ""}, [("d", Whiteout()), ("d", Directory())]]

    assert [(0, I, "/d"), (1, P, "/d")] == brief("d", *layers)
    assert [(0, A, "/d/x"), (1, X, "/.wh.d")] == brief("d/x", *layers)


def test_what_was_removed_may_come_back():
    assert [(0, A, "/x"), (1, X, "/.wh.x"), (3, A, "/x")] == brief(
        "x", {"x": ""}, {"x": Whiteout()}, {"x": Whiteout()}, {"x": ""}
    )


def test_a_marker_of_another_name_removes_nothing():
    assert [(0, A, "/d/x")] == brief("d/x", {"d/x": "", "d/y": ""}, {"d/y": Whiteout(), "e": Opaque()})


# -- links above the path --------------------------------------------------------------------------------------------

MERGED = {"lib": Symlink("usr/lib"), "usr/lib/modules/6.1/modules.dep": ""}


def test_a_path_through_a_link_has_the_history_of_the_place():
    assert [(0, A, "/usr/lib/modules/6.1/modules.dep")] == brief("lib/modules/6.1/modules.dep", MERGED)


@pytest.mark.parametrize(
    ("whiteout", "cause"),
    [
        ("usr/lib/modules/6.1/modules.dep", "/usr/lib/modules/6.1/.wh.modules.dep"),
        ("lib/modules/6.1/modules.dep", "/lib/modules/6.1/.wh.modules.dep"),
        ("usr/lib/modules/6.1", "/usr/lib/modules/.wh.6.1"),
        ("lib/modules", "/lib/.wh.modules"),
        ("usr", "/.wh.usr"),
        ("lib", "/.wh.lib"),
    ],
)
def test_the_marker_is_found_however_it_and_the_path_are_written(whiteout, cause):
    # a whiteout of the same name elsewhere is not the one
    other = {"opt/modules.dep": Whiteout()}

    path = "lib/modules/6.1/modules.dep"
    assert (1, X, cause) == brief(path, MERGED, {**other, whiteout: Whiteout()})[-1]


def test_an_opaque_directory_is_found_through_a_link():
    assert (1, X, "/lib/modules/.wh..wh..opq") == brief(
        "usr/lib/modules/6.1/modules.dep", MERGED, {"lib/modules": Opaque()}
    )[-1]


def test_what_is_written_through_a_link_is_named_as_the_layer_writes_it():
    assert (1, A, "/lib/new") == brief("usr/lib/new", MERGED, {"lib/new": ""})[-1]


def test_a_directory_in_the_place_of_a_link_hides_what_was_behind_it():
    assert (1, X, "/lib") == brief("lib/modules/6.1/modules.dep", MERGED, {"lib": Directory()})[-1]


def test_a_file_in_the_place_of_a_directory_above_takes_away_what_was_in_it():
    assert (1, X, "/usr/lib") == brief("lib/modules/6.1/modules.dep", MERGED, {"usr/lib": "file"})[-1]


def test_a_new_link_above_makes_the_path_lead_elsewhere():
    assert [(1, R, "/lib")] == brief("lib/x", {"usr/lib/x": "here"}, {"lib": Symlink("usr/lib")})


def test_a_changed_link_above_makes_the_path_lead_elsewhere():
    layers = {"old/x": "1", "new/x": "22", "now": Symlink("old")}, {"now": Symlink("new")}

    assert [(0, A, "/old/x"), (1, R, "/now")] == brief("now/x", *layers)
    assert (Change(1, R, "/now", "file", 2)) == changes("now/x", *layers)[-1]


def test_a_changed_link_behind_a_link_is_the_one_that_is_named():
    layers = (
        {"a": Symlink("b"), "b": Symlink("old"), "old/x": "", "new/x": ""},
        {"other": Symlink("x"), "b": Symlink("new")},
    )

    assert (1, R, "/b") == brief("a/x", *layers)[-1]


def test_a_changed_link_that_leads_to_the_same_place_changes_nothing():
    layers = {"d/x": "", "l": Symlink("d")}, {"l": Symlink("/d")}

    assert [(0, A, "/d/x")] == brief("l/x", *layers)


def test_a_link_that_leads_to_nothing_any_more_removes():
    layers = {"d/x": "", "l": Symlink("d")}, {"l": Symlink("nowhere")}

    assert (1, X, "/l") == brief("l/x", *layers)[-1]


def test_a_link_that_leads_to_a_file_now_removes():
    layers = {"d/x": "", "f": "", "l": Symlink("d")}, {"l": Symlink("f")}

    assert (1, X, "/l") == brief("l/x", *layers)[-1]


def test_a_link_at_the_end_is_not_followed():
    layers = {"vmlinuz": Symlink("kernel"), "kernel": ""}, {"kernel": Whiteout()}

    assert [(0, A, "/vmlinuz")] == brief("vmlinuz", *layers)


def test_links_in_a_circle_end():
    assert () == changes("a/x", {"a": Symlink("b"), "b": Symlink("a")})


def test_as_many_links_are_followed_as_the_limits_say():
    layer = {"a": Symlink("b"), "b": Symlink("c"), "c/x": ""}

    assert () == changes("a/x", layer, limits=Limits(link_hops=1))
    assert 1 == len(changes("a/x", layer, limits=Limits(link_hops=2)))


# -- hard links ------------------------------------------------------------------------------------------------------


def test_a_hard_link_is_added_under_its_own_name():
    assert [(0, A, "/b")] == brief("b", {"a": "1", "b": Hardlink("a")})
    assert [(0, A, "/a")] == brief("a", {"a": "1", "b": Hardlink("a")})


def test_a_hard_link_to_a_lower_file_is_of_the_layer_that_links():
    assert (Change(1, A, "/b", "file", 1),) == changes("b", {"a": "1"}, {"b": Hardlink("a")})


def test_a_hard_link_that_is_written_through_a_link_is_named_as_the_layer_writes_it():
    assert (1, A, "/lib/new") == brief(
        "usr/lib/new", MERGED, {"lib/new": Hardlink("usr/lib/modules/6.1/modules.dep")}
    )[-1]


def test_a_hard_link_over_another_file_replaces_it():
    assert [(0, A, "/b"), (1, P, "/b")] == brief("b", {"a": "1", "b": "2"}, {"b": Hardlink("a")})


# -- the root --------------------------------------------------------------------------------------------------------


def test_the_root_is_implied_until_a_layer_lists_it():
    assert [(0, I, "/")] == brief("", {"a": ""}, {"b": ""})
    assert [(0, I, "/"), (1, T, "/")] == brief("", {"a": ""}, {"/": Directory(mode=0o711)})


def test_dots_are_resolved_where_they_stand():
    assert [(0, A, "/x")] == brief("d/../x", {"d/y": "", "x": ""})
    assert [(0, A, "/e/x")] == brief("l/../x", {"l": Symlink("e/f"), "e/f/y": "", "e/x": ""})


# -- several paths ---------------------------------------------------------------------------------------------------


def test_several_paths_are_told_in_one_go():
    indexes = [index_of(tar_bytes(layer)) for layer in ({"a": "", "b": ""}, {"a": Whiteout()})]

    found = histories(indexes, ["a", "b", "c"])

    assert [A, X] == [change.action for change in found["a"]]
    assert [A] == [change.action for change in found["b"]]
    assert () == found["c"]


def test_without_layers_there_is_no_history():
    assert {"a": ()} == histories([], ["a"])
