"""What upper layers settle is what all layers together say, whatever lies below: on random stacks, for every reader."""

from copy import copy
from operator import methodcaller

import pytest
from hypothesis import HealthCheck, event, example, given, note, settings
from hypothesis import strategies as st

from cosinspect.errors import RootfsError
from cosinspect.inspection.early import _Comparisons
from cosinspect.rootfs.partial import PartialRootfs, Unread
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from oracle import Item
from random_stacks import BASE, POOL, STACKS, index_of
from stacks import SCALE

QUICK = settings(deadline=None, max_examples=600 * SCALE, suppress_health_check=[HealthCheck.too_slow])
ASKED = [*POOL.split(), "", "lib/", "a/b/..", "c/lib/x/.."]


def seen(rootfs, path, *, follow):
    """What a walk to a path finds, contents included."""
    trace = rootfs.trace(f"/{path}", follow=follow)
    entry = trace.entry
    if entry is None:
        return trace.problem, trace.at, trace.hops
    content = rootfs.read_bytes(entry.path) if entry.type == "file" else b""
    mode = 0 if entry.type == "symlink" else entry.mode
    return entry.type, entry.path, entry.link, mode, entry.layer, content, trace.hops


@QUICK
@given(STACKS, st.integers(0, 4), st.sampled_from(list(Semantics)))
@example([BASE, [Item("dir", ("lib",)), Item("file", ("lib", "x"), "1")]], 1, Semantics.OCI)
@example([BASE, [Item("file", ("lib", "x"), "1")], [Item("dir", ("lib",))]], 1, Semantics.OCI)
@example([BASE, [Item("whiteout", ("a", "x")), Item("dir", ("a",))]], 1, Semantics.OVERLAY)
@example([BASE, [Item("dir", ("a",)), Item("opaque", ("a",))]], 1, Semantics.OCI)
@example([BASE, [Item("dir", ("a",)), Item("opaque", ("a",))]], 1, Semantics.ELEMENTAL)
@example([BASE, [Item("dir", ("a",)), Item("hardlink", ("a", "x"), "t")]], 1, Semantics.OCI)
@example([BASE, [Item("whiteout", ("a",))], [Item("dir", ("a",))]], 1, Semantics.ELEMENTAL)
def test_an_answer_is_that_of_all_layers_or_there_is_none(stack, unread, semantics):
    note((stack, unread, semantics))
    unread = min(unread, len(stack))
    indexes = [index_of(layer) for layer in stack]
    empty = [index_of([]) for _ in range(unread)]
    whole = Rootfs(indexes, semantics=semantics)
    partial = PartialRootfs([*empty, *indexes[unread:]], (), unread, semantics=semantics)

    for path in ASKED:
        for follow in (False, True):
            try:
                answer = seen(partial, path, follow=follow)
            except Unread:
                event("unread")
                continue
            assert seen(whole, path, follow=follow) == answer, path
            event("answered")
    for path in ("", "a", "a/b", "c", "lib"):
        try:
            names = partial.listdir(f"/{path}")
        except (Unread, RootfsError):
            continue
        assert whole.listdir(f"/{path}") == names


@pytest.mark.parametrize(
    "ask",
    [
        len, bool, list, dict, reversed, copy, dict.keys, dict.values, dict.items, dict.copy,
        lambda names: "other" in names, lambda names: names == {}, lambda names: names != {}, lambda names: {**names},
        lambda names: names | {}, lambda names: {} | names, lambda names: names.get("other"),
        lambda names: names["other"], lambda names: [*names],
    ],
)  # fmt: skip
def test_a_directory_of_which_not_all_names_are_known_gives_no_answer_that_depends_on_the_others(ask):
    indexes = [index_of([]), index_of([Item("file", ("known",), "1")])]
    names = PartialRootfs(indexes, (), 1).root.node.children

    assert "known" in names
    if ask in (dict.keys, dict.values, dict.items, dict.copy):
        ask = methodcaller(ask.__name__)
    with pytest.raises(Unread):
        ask(names)


@pytest.mark.parametrize(
    "ask",
    [
        len, bool, list, tuple, reversed, lambda them: them[0], lambda them: them[:1], lambda them: None in them,
        lambda them: them.index(None), lambda them: them.count(None), lambda them: [*them],
    ],
)  # fmt: skip
def test_what_other_readers_make_of_layers_is_not_known_before_all_are_read(ask):
    with pytest.raises(Unread):
        list(ask(_Comparisons()))  # what is lazy is asked, too
