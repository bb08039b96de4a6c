"""The overlay of image-spec, layer.md, written as literally as the text, slow and without cleverness.

The tree is one mapping from real paths (tuples of names) to what is there; every question is answered by looking
through all of it. It shares nothing with the resolver it judges but the words of `Item`.
"""

from attrs import field, frozen

HOPS = 40


@frozen
class Item:
    """One entry or marker of a layer: kind is dir, file, symlink, hardlink, whiteout or opaque."""

    kind: str
    path: tuple[str, ...]
    text: str = ""  # content of a file, target of a link
    mode: int = 0o755


@frozen(eq=False)
class Thing:
    """What stands at a path; the same object at two paths is one file with two names."""

    kind: str
    text: str
    mode: int = field()


def merge(layers):
    """Apply layers of items, bottom first; gives the tree and the paths of hard links that could not be made."""
    tree = {(): Thing("dir", "", 0o755)}
    failed = []
    for layer in layers:
        lower = dict(tree)
        for path in _deleted(lower, layer):
            tree.pop(path, None)
        for item in layer:
            if item.kind not in ("whiteout", "opaque"):
                _add(tree, lower, item, failed)
    return tree, failed


def _deleted(lower, layer):
    """Whiteouts delete from the lower layers only, wherever they stand; an opaque whiteout deletes all children."""
    deleted = set()
    for item in layer:
        if item.kind == "whiteout":
            parent = _lower_directory(lower, layer, item.path[:-1])
            if parent is not None:
                victim = (*parent, item.path[-1])
                deleted |= {path for path in lower if path[: len(victim)] == victim}
        elif item.kind == "opaque":
            parent = _lower_directory(lower, layer, item.path)
            if parent is not None:
                deleted |= {
                    path for path in lower if len(path) > len(parent) and path[: len(parent)] == parent
                }
    return deleted


def _lower_directory(lower, layer, path):
    """A layer that puts a directory of its own in the place of a link has nothing lower below that directory."""
    own = {item.path for item in layer if item.kind == "dir"}
    for length in range(1, len(path) + 1):
        thing = lower.get(path[:length])
        if thing is not None and thing.kind == "symlink":
            if path[:length] in own:
                return None
            break
    return _find_directory(lower, path)


def _follow(tree, path):
    """Give the real place of `path` with every link followed, in a tree where it may be missing; None for a loop."""
    waiting = list(path)
    at = ()
    hops = 0
    while waiting:
        name = waiting.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            at = at[:-1]
            continue
        thing = tree.get((*at, name))
        if thing is not None and thing.kind == "symlink":
            hops += 1
            if hops > HOPS:
                return None
            if thing.text.startswith("/"):
                at = ()
            waiting = thing.text.split("/") + waiting
            continue
        at = (*at, name)
    return at


def _find_directory(tree, path):
    place = _follow(tree, path)
    if place is None:
        return None
    for length in range(len(place) + 1):
        thing = tree.get(place[:length])
        if thing is None or thing.kind != "dir":
            return None
    return place


def _find(tree, path):
    """What is at `path`, a link at its end not followed."""
    parent = _find_directory(tree, path[:-1])
    return None if parent is None else tree.get((*parent, path[-1]))


def _make_directory(tree, path):
    """The directory at `path`, made with all above it where they are missing or no directories; None for a loop."""
    # One component at a time, because a directory made in the place of a file changes where `..` leads from.
    waiting = list(path)
    at = ()
    hops = 0
    while waiting:
        name = waiting.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            at = at[:-1]
            continue
        thing = tree.get((*at, name))
        if thing is not None and thing.kind == "symlink":
            hops += 1
            if hops > HOPS:
                return None
            if thing.text.startswith("/"):
                at = ()
            waiting = thing.text.split("/") + waiting
            continue
        at = (*at, name)
        if thing is None or thing.kind != "dir":
            tree[at] = Thing("dir", "", 0o755)
    return at


def _remove(tree, place):
    for path in [path for path in tree if path[: len(place)] == place]:
        del tree[path]


def _add(tree, lower, item, failed):
    if not item.path:
        if item.kind == "dir":
            tree[()] = Thing("dir", "", item.mode)
        return
    parent = _make_directory(tree, item.path[:-1])
    if parent is None:
        return
    place = (*parent, item.path[-1])
    old = tree.get(place)
    if item.kind == "dir" and old is not None and old.kind == "dir":
        tree[place] = Thing("dir", "", item.mode)  # the children stay
        return
    _remove(tree, place)
    if item.kind == "hardlink":
        target = tuple(item.text.split("/"))
        thing = _find(tree, target) or _find(lower, target)
        if thing is None or thing.kind == "dir":
            failed.append(item.path)
        else:
            tree[place] = thing
        return
    tree[place] = Thing(item.kind, item.text, item.mode)
