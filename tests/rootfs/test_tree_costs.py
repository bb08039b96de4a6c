"""What it costs to write entries to a tree: steps of looking, counted, so that no load changes them."""

import pytest
from attrs import evolve

from cosinspect.layer.changeset import LayerEntry
from cosinspect.rootfs.overlay import merge
from cosinspect.rootfs.paths import Paths
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing.tar_writer import tar_bytes
from stacks import layer_of

EMPTY = layer_of(tar_bytes({"a": ""})).index()
DEEP = "/".join(["d"] * 500)
CHAIN = [("symlink", f"l{at}", "./" * 500 + f"l{at + 1}") for at in range(35)] + [("dir", "l35", "")]


def entry(kind, path, link=""):
    return LayerEntry(path, kind, 0o755, 0, 0, 0, 0, link, (0, 0), None, 0, 0, 0, None)


def each(count, *items):
    """Entries `count` times over; `{}` in a path is the number."""
    return [(kind, path.format(at), link) for at in range(count) for kind, path, link in items]


ATTACKS = {
    "a link elsewhere is replaced": (
        [],
        (("symlink", "l", "x"), ("file", DEEP + "/{}", "")),
    ),
    "a directory elsewhere is replaced": (
        [],
        (("dir", "l", ""), ("file", "l/x", ""), ("file", "l", ""), ("file", DEEP + "/{}", "")),
    ),
    "a link elsewhere is replaced, the way leads through long ones": (
        CHAIN,
        (("symlink", "l", "x"), ("file", "l0/{}", "")),
    ),
    "hard links whose targets are behind long links": (
        [*CHAIN, ("file", "l35/f", "")],
        (("hardlink", "h{}", "l0/f"),),
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("semantics", list(Semantics))
def test_entries_cost_what_they_are_and_not_what_the_way_to_them_is(monkeypatch, attack, semantics):
    first, items = ATTACKS[attack]
    steps = 0
    found = Paths._found

    def counted(self, path, node):
        nonlocal steps
        steps += len(self._touched)
        return found(self, path, node)

    monkeypatch.setattr(Paths, "_found", counted)

    def cost(count):
        nonlocal steps
        steps = 0
        entries = tuple(entry(*item) for item in [*first, *each(count, *items)])
        merge([evolve(EMPTY, entries=entries)], semantics)
        return steps

    assert cost(400) <= cost(20) + 2 * 380


def test_a_way_is_found_anew_when_anything_on_it_has_changed():
    """A path that is remembered leads to where it would lead if nothing were."""
    stacks = [
        [("dir", "a", ""), ("symlink", "l", "a"), ("file", "l/1", ""), ("dir", "b", ""), ("symlink", "l", "b"), ("file", "l/2", "")],
        [("dir", "a", ""), ("symlink", "m", "a"), ("symlink", "l", "m"), ("file", "l/1", ""), ("dir", "b", ""), ("symlink", "m", "b"), ("file", "l/2", "")],
        [("dir", "a/b", ""), ("symlink", "l", "a/b"), ("file", "l/1", ""), ("file", "a", ""), ("dir", "a", ""), ("dir", "a/b", ""), ("file", "l/2", "")],
        [("dir", "d/e", ""), ("symlink", "l", "d/../b"), ("dir", "b", ""), ("file", "l/1", ""), ("dir", "x/y", ""), ("symlink", "d", "x/y"), ("file", "l/2", "")],
        [("symlink", "l", "d/../b"), ("dir", "b", ""), ("file", "l/1", ""), ("dir", "x/y", ""), ("symlink", "d", "x/y"), ("file", "l/2", "")],
        [("dir", "a", ""), ("file", "a/1", ""), ("symlink", "a", "b"), ("dir", "b", ""), ("file", "a/2", "")],
    ]  # fmt: skip
    for stack in stacks:
        index = evolve(EMPTY, entries=tuple(entry(*item) for item in stack))
        for semantics in Semantics:
            quick = _listed(Rootfs([index], semantics=semantics))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Paths, "_known", lambda _self, _path: None)
                assert _listed(Rootfs([index], semantics=semantics)) == quick, stack


def _listed(rootfs):
    return [(each.path, each.type, each.link) for each in rootfs.walk()]
