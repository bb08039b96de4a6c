"""The resolver against the oracle, and the laws that any resolver keeps."""

from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.rootfs.history import Action, Past, histories
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from oracle import Item, merge
from random_stacks import PATHS, STACKS, index_of
from stacks import SCALE

QUICK = settings(deadline=None, max_examples=400 * SCALE, suppress_health_check=[HealthCheck.too_slow])


def listing(rootfs):
    """A tree as values: what is at each path, and which paths are one file."""
    found = {}
    for entry in rootfs.walk():
        text = rootfs.read_bytes(entry.path).decode() if entry.type == "file" else entry.link
        mode = None if entry.type == "symlink" else entry.mode
        found[entry.path] = (entry.type, text, mode, rootfs.hardlinks(entry))
    return found


def expected_listing(tree):
    names = {}
    for path, thing in tree.items():
        names.setdefault(id(thing), []).append("/" + "/".join(path))
    found = {}
    for path, thing in tree.items():
        same = tuple(sorted(names[id(thing)]))
        mode = None if thing.kind == "symlink" else thing.mode
        found["/" + "/".join(path)] = (thing.kind, thing.text, mode, same if len(same) > 1 else ())
    return found


def resolve(stack):
    return Rootfs([index_of(layer) for layer in stack])


@QUICK
@given(STACKS)
def test_the_tree_is_the_oracles(stack):
    tree, failed = merge(stack)
    rootfs = resolve(stack)

    assert expected_listing(tree) == listing(rootfs)
    assert sorted("/".join(path) for path in failed) == sorted(
        problem.path
        for problem in rootfs.problems
        if problem.kind in ("dangling-hardlink", "hardlink-to-directory")
    )


@QUICK
@given(STACKS, st.data())
def test_where_markers_stand_in_their_layer_does_not_matter(stack, data):
    moved = []
    for layer in stack:
        markers = [item for item in layer if item.kind in ("whiteout", "opaque")]
        others = [item for item in layer if item.kind not in ("whiteout", "opaque")]
        for marker in data.draw(st.permutations(markers)):
            others.insert(data.draw(st.integers(0, len(others))), marker)
        moved.append(others)

    assert listing(resolve(stack)) == listing(resolve(moved))


@QUICK
@given(STACKS)
def test_an_empty_layer_changes_nothing(stack):
    assert listing(resolve(stack)) == listing(resolve([*stack, []]))


@QUICK
@given(STACKS)
def test_markers_never_show(stack):
    assert not any(entry.name.startswith(".wh.") for entry in resolve(stack).walk())


@QUICK
@given(STACKS)
def test_markers_in_the_lowest_layer_do_nothing(stack):
    first = [item for item in stack[0] if item.kind not in ("whiteout", "opaque")]

    assert listing(resolve([first, *stack[1:]])) == listing(resolve(stack))


@QUICK
@given(STACKS, PATHS)
def test_history_tells_how_a_path_came_to_be_as_it_is(stack, path):
    rootfs = resolve(stack)
    asked = "/".join(path)
    parent, _, name = asked.rpartition("/")
    where = rootfs.trace("/" + parent)
    entry = None
    if where.entry is not None and where.entry.type == "dir":
        entry = rootfs.trace(f"{where.entry.path.rstrip('/')}/{name}", follow=False).entry
    history = rootfs.history(asked)

    last = history[-1] if history else None
    if entry is None:
        assert last is None or last.type == ""
    else:
        assert last is not None
        assert entry.type == last.type
        if last.action is Action.RELINKED:
            assert entry.layer < last.layer
        else:
            assert entry.layer == last.layer


# Names that nothing else has, among those that meet: what has nothing to do with a path.
NOISE = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 8),
        st.sampled_from(
            [(), ("a",), ("a", "b"), ("lib",), ("lib", "b"), ("c",), ("c", "lib"), ("n",), ("n", "m")]
        ),
        st.sampled_from(["file", "file", "symlink", "hardlink"]),
    ),
    max_size=12,
)


@QUICK
@given(STACKS, NOISE, PATHS)
def test_history_does_not_hang_on_what_it_leaves_out(stack, noise, path):
    layers = [list(layer) for layer in stack]
    for number, (layer, at, directory, kind) in enumerate(noise):
        text = {"file": "noise", "symlink": "a/b", "hardlink": "a/x"}[kind]
        target = layers[layer % len(layers)]
        target.insert(at % (len(target) + 1), Item(kind, (*directory, f"noise{number}"), text))
    indexes = [index_of(layer) for layer in layers]
    asked = "/".join(path)

    found = histories(indexes, [asked])

    past = Past(indexes)
    assert past.changes(asked) == found[asked]
    assert past.changes(asked) == found[asked]
    with mock.patch("cosinspect.rootfs.history.concerned", lambda every, _paths: every):
        assert histories(indexes, [asked]) == found


@settings(QUICK, max_examples=100 * SCALE)
@given(STACKS, PATHS, st.sampled_from(list(Semantics)))
def test_a_past_that_is_asked_again_and_again_says_what_a_whole_merge_says(stack, path, semantics):
    indexes = [index_of(layer) for layer in stack]
    past = Past(indexes, semantics=semantics)

    for asked in ("/".join(path), "a/nowhere", "/".join((*path, ".."))):
        assert past.changes(asked) == histories(indexes, [asked], semantics=semantics)[asked]
