"""The resolver: merges layer indexes into one tree, by the rules of a semantics.

`semantics` has the table of differences. Here are the three ways of stacking layers, from which most
differences follow: in place, in parallel, top down. Each writes entries to a `Tree`, which applies the other
rules.

What every reader refuses, and what this one refuses, is left out of the tree and reported as a
`LayerProblem`: the image is defective for that reader, and a check reports it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from attrs import frozen

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import Cut, LayerEntry, LayerIndex, Marker
from cosinspect.layer.entry_table import EntryTable, table_of
from cosinspect.layer.whiteout import NAMELESS, OPAQUE, PREFIX, opaque_path, whiteout_path
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.rootfs.agreement import Agreement
from cosinspect.rootfs.batches import Batches
from cosinspect.rootfs.guarded import OpaqueDirectories, leaves_root, link_leaves_root
from cosinspect.rootfs.semantics import RULES, Semantics, Stacking
from cosinspect.rootfs.tree import LayerProblem, Node, Tree, is_name

__all__ = ["PARTIAL", "Merged", "apply_in_place", "extraction_end", "is_left_out", "merge", "prefixes"]


@frozen
class Merged:
    """The merged tree of all layers.

    Attributes:
        root: the root directory; it must not be changed.
        problems: the entries that the reader cannot apply.
        names: the number of names without the root, if known without counting.
        unambiguous: whether all readers are known to make the same tree.
        is_literal: whether each entry and marker was applied at its own path and not through a link, in layers that have each path once.
    """

    root: Node
    problems: tuple[LayerProblem, ...]
    names: int | None = None
    unambiguous: bool = False
    is_literal: bool = False


def merge(
    indexes: Iterable[LayerIndex],
    semantics: Semantics = Semantics.OCI,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Merged:
    """Merge layers, bottom first, into one tree."""
    layers = list(indexes)
    rules = RULES[semantics]
    if rules.stacking is Stacking.SIDE_BY_SIDE:
        return _merge_side_by_side(layers, limits)
    tree = Tree(rules, limits=limits)
    if rules.stacking is Stacking.TOP_DOWN:
        tree.is_literal = False
        _extract(tree, layers, guarded=rules.guarded)
    else:
        tree.agreement = Agreement()
        for position, index in enumerate(layers):
            apply_in_place(tree, index, position)
            for cut in index.cuts:
                if not cut.reader:
                    tree.problem("layer-refused", position, "", cut.reason)
    tree.close()
    agreed = tree.agreement is not None and tree.agreement.holds
    return Merged(tree.root, tuple(tree.problems), unambiguous=agreed, is_literal=tree.is_literal)


def prefixes(
    indexes: Sequence[LayerIndex], semantics: Semantics, *, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Merged]:
    """Yield the merge of the lowest layer, of the lowest two, and so on up to all."""
    if RULES[semantics].stacking is not Stacking.SIDE_BY_SIDE:
        for count in range(1, len(indexes) + 1):
            yield merge(indexes[:count], semantics, limits=limits)
        return
    trees: list[Tree] = []
    for position, index in enumerate(indexes):
        trees.append(_own_tree(index, position, tuple(reversed(trees)), limits))
        yield _overlaid(trees)


# -- in place: the specification ---------------------------------------------------------------------------------------


def apply_in_place(tree: Tree, index: LayerIndex, position: int) -> list[tuple[Marker, Node, str | None]]:
    """Apply one layer to a tree; return the targets of its markers: a name in a directory, None for all names.

    A layer's whiteouts and opaque whiteouts act on lower layers, wherever they are in the archive; its
    entries follow. A hard link to a file that the layer itself deletes binds to that file anyway, and is
    reported.
    """
    tree.forget()
    if tree.agreement is not None:
        tree.agreement.layer(index)
    table = table_of(index.entries)
    doomed = _targets_of_markers(tree, index, table)
    if tree.agreement is not None:
        tree.agreement.whiteouts(index, doomed)
    # Lower files that the layer links to, in case it also deletes them.
    kept = _lower_targets(tree, table)
    for _, directory, name in doomed:
        if directory.children is not None:
            if name is None:
                directory.children.clear()
            else:
                directory.children.pop(name, None)
    tree.forget()
    batches = Batches.of(table, tree.root)
    if batches is not None:
        tree.put_batches(batches, position)
        return doomed
    tree.is_literal = False
    for entry in in_time(index.entries):
        tree.put(entry, position, kept)
    return doomed


def _lower_targets(tree: Tree, table: EntryTable) -> dict[str, Node]:
    """Return the targets of a layer's hard links in lower layers, by path."""
    kept: dict[str, Node] = {}
    directories: dict[str, Node | None] = {}
    for row in in_time(table.rows_of_type("hardlink")):
        entry = table[row]
        parent, _, name = entry.link.rpartition("/")
        if parent not in directories:
            directories[parent] = tree.directory(parent)
        directory = directories[parent]
        node: Node | None = tree.root
        if name:
            node = directory.children.get(name) if directory is not None and directory.children else None
        if node is not None:
            kept[entry.link] = node
    return kept


def _targets_of_markers(
    tree: Tree, index: LayerIndex, table: EntryTable
) -> list[tuple[Marker, Node, str | None]]:
    """Return the targets of a layer's markers, before any of them acts."""
    if not index.whiteouts and not index.opaques:
        return []
    own = {table[row].path for row in table.rows_of_type("dir")}
    doomed: list[tuple[Marker, Node, str | None]] = []
    for marker in in_time(index.whiteouts):
        parent, _, name = marker.path.rpartition("/")
        directory = _lower_directory(tree, parent, own)
        if directory is not None:
            doomed.append((marker, directory, name))
    for marker in in_time(index.opaques):
        directory = _lower_directory(tree, marker.path, own)
        if directory is not None:
            doomed.append((marker, directory, None))
    return doomed


def _lower_directory(tree: Tree, path: str, own: set[str]) -> Node | None:
    """Return the directory of a marker, unless the layer replaces a link to it by its own directory."""
    found = tree.directory(path)
    if found is None or not own:
        return found
    node: Node | None = tree.root
    prefix = ""
    for name in path.split("/") if path else ():
        spend()
        prefix = f"{prefix}/{name}" if prefix else name
        node = node.children.get(name) if node is not None and node.children is not None else None
        if node is None:
            break
        if node.type == "symlink":
            return None if prefix in own else found
    return found


# -- top down: elemental -----------------------------------------------------------------------------------------------


PARTIAL = "partial-root"
"""The kind of problem that leaves a part of the image, which the reader takes for the whole."""

_UNWRITABLE = {
    "mode": "a mode of more than 21 bits, for which no tar header that Go writes has room",
    "device": "a device number of more than 21 bits, for which no tar header that Go writes has room",
    "nul": "a name with a NUL, which Go writes to no tar header",
    "slash": "the name /, which Go writes to no tar header of a file",
}
_CLAIMS_CONTENT = "a size, which its type has no content for, so that go-containerregistry fails to copy that"


def _extract(tree: Tree, layers: Sequence[LayerIndex], *, guarded: bool) -> None:
    """Write what `mutate.Extract` hands on, up to where something ends it.

    It always ends its archive correctly, and then reports the error after the reader is gone: so
    what has been written by then is all that is installed.
    """
    survivors = _Survivors(layers, guarded=guarded)
    for position, entry in survivors:
        if not entry.fault:
            tree.put(entry, position)
            continue
        why = entry.fault.rpartition(" ")[2]
        if why in _UNWRITABLE:
            _end(tree, position, entry.path, f"{_article(entry)} has {_UNWRITABLE[why]}")
            return
        if why == "long":
            message = "its extended header has more than 1 MiB when it is written again, which go-containerregistry fails at"
            tree.problem("header-long", position, entry.path, message)
            return
        if "sparse" in entry.fault:
            message = "an entry of type S, which go-containerregistry writes so that containerd's reader refuses the archive"
            tree.problem("sparse-type", position, entry.path, message)
        elif entry.type in ("global", "unknown"):
            tree.pass_over(entry, position)
        else:
            tree.put(entry, position)
        if why == "size":
            _end(tree, position, entry.path, f"{_article(entry)} has {_CLAIMS_CONTENT}")
            return
    if survivors.outside is not None:
        position, name = survivors.outside
        _end(tree, position, name, f"the name {name} leaves the root")
    elif survivors.cut is not None:
        position, cut = survivors.cut
        if survivors.broken is None:
            _end(tree, position, "", f"its reader meets {cut.reason}")
        else:
            message = f"the content ends before its size: go-containerregistry meets {cut.reason}"
            tree.problem("content-cut", position, survivors.broken, message)


def extraction_end(index: LayerIndex, semantics: Semantics = Semantics.ELEMENTAL) -> str | None:
    """Return the path of the first entry of a layer at which `mutate.Extract` ends if it comes to it, None if there is none."""
    guarded = RULES[semantics].guarded
    for entry in index.entries:
        why = entry.fault and entry.fault.rpartition(" ")[2]
        if why in _UNWRITABLE or why == "size" or (guarded and leaves_root(entry.name or entry.path or ".")):
            return entry.path
    cut = any(each.reader != "containerd" and (guarded or not each.ended) for each in index.cuts)
    return "" if cut else None


def _end(tree: Tree, position: int, path: str, reason: str) -> None:
    tree.problem(PARTIAL, position, path, reason, fatal=False)


def _article(entry: LayerEntry) -> str:
    return {"dir": "the directory", "char": "the device", "block": "the device"}.get(
        entry.type, f"the {entry.type}"
    )


class _Survivors:
    """The entries that `mutate.Extract` keeps, in the order in which it writes them.

    Names are remembered as Go's `filepath.Clean` gives them, so that `/etc/x` is another one than `etc/x`. One that is
    no directory, a whiteout too, hides everything below it that comes later; an opaque whiteout is a name like others.

    Attributes:
        cut: position of the layer in whose middle the reading ends, and why it does.
        broken: the entry whose content is cut there, None if there is none.
        outside: position and name of an entry that leaves the root, at which a reader with guards ends; None if there is none.
    """

    def __init__(self, layers: Sequence[LayerIndex], *, guarded: bool) -> None:
        self._layers = layers
        self._guarded = guarded
        self.outside: tuple[int, str] | None = None
        self.cut: tuple[int, Cut] | None = None
        self.broken: str | None = None

    def __iter__(self) -> Iterator[tuple[int, LayerEntry]]:
        seen: dict[str, bool] = {}  # whether it hides what is below
        directories: dict[str, bool] = {}  # whether something above it, or itself, hides what is in it
        emptied = OpaqueDirectories()
        for position in range(len(self._layers) - 1, -1, -1):
            index = self._layers[position]
            opaques = {id(marker) for marker in index.opaques}
            cut = next((each for each in index.cuts if each.reader != "containerd" and not each.ended), None)
            for item in in_time(_in_order(index, opaques=True)):
                if cut is not None and item.data > cut.offset:
                    break
                name = item.name or item.path or "."
                written = _written_name(item, opaque=id(item) in opaques) if self._guarded else name
                if self._guarded and leaves_root(written):
                    self.outside = position, written
                    return
                if self._guarded and is_left_out(item, written):
                    continue
                if self._guarded and id(item) in opaques:
                    emptied.stage(name)
                    continue
                if isinstance(item, Marker):
                    name = _handled_name(item, name, opaque=id(item) in opaques)
                    hides = True
                else:
                    hides = item.type != "dir"
                again = self._guarded and isinstance(item, Marker)
                if (name in seen and not again) or _is_hidden(name, seen, directories) or emptied.hides(name):
                    continue
                seen[name] = hides
                if hides and name in directories:
                    directories.clear()  # what stood open until now is hidden from here on
                if isinstance(item, Marker):
                    continue
                if cut is not None and item.data + item.stored > cut.offset:
                    self.broken = item.path
                    break
                yield position, item
            if cut is None and self._guarded:  # what comes after the end mark is read as well
                cut = next((each for each in index.cuts if each.reader != "containerd"), None)
            if cut is not None:
                self.cut = position, cut
                return
            emptied.promote()


def is_left_out(item: LayerEntry | Marker, name: str) -> bool:
    """Return whether it is a link that leaves the root, which a reader with guards skips, even if it is a whiteout by its name."""
    if isinstance(item, Marker):
        return bool(item.link) and link_leaves_root(name, item.link)
    return item.type in ("symlink", "hardlink") and link_leaves_root(name, item.target or item.link)


def _written_name(item: LayerEntry | Marker, *, opaque: bool) -> str:
    """Return the name in the header as Go's `path.Clean` returns it."""
    name = item.name or item.path or "."
    if not isinstance(item, Marker):
        return name
    if opaque:
        return opaque_path("" if name == "." else name)
    base = item.path.rpartition("/")[2]
    if base not in NAMELESS:
        return whiteout_path(name)
    # `.wh...` deletes "..", which does not leave the root.
    return base if name == ".." and base == f"{PREFIX}.." else name


def _handled_name(marker: Marker, name: str, *, opaque: bool) -> str:
    """Return the name by which `mutate.Extract` remembers a whiteout."""
    if opaque:
        base = OPAQUE if marker.is_directory else OPAQUE.removeprefix(PREFIX)
        return f"{name.rstrip('/')}/{base}" if marker.path or marker.name else base
    return _own_name(marker) if marker.is_directory else name  # a directory keeps its name with the prefix


def _is_hidden(name: str, seen: dict[str, bool], directories: dict[str, bool]) -> bool:
    """Return whether something above a name hides it, and remember that of every directory on the way."""
    way = []
    while True:
        spend()
        directory = name.rpartition("/")[0] or ("/" if name.startswith("/") else ".")
        if name in (directory, "."):
            hidden = False
            break
        known = directories.get(directory)
        if known is not None:
            hidden = known
            break
        way.append(directory)
        if seen.get(directory):
            hidden = True
            break
        name = directory
    for directory in way:
        directories[directory] = hidden
    return hidden


def _own_name(marker: Marker) -> str:
    """Return the name that a whiteout itself has."""
    if marker.path.rpartition("/")[2] in NAMELESS:
        return marker.path
    return whiteout_path(marker.name or marker.path)


def _in_order(index: LayerIndex, *, opaques: bool = False) -> Iterator[LayerEntry | Marker]:
    """Return entries and markers as they are in the layer."""
    markers = [*index.whiteouts, *index.nameless]
    if opaques:
        markers.extend(index.opaques)
    if not markers and not index.name_only:
        return iter(index.entries)
    markers.sort(key=attrgetter("offset"))
    return heapq.merge(
        index.entries,
        index.name_only,
        markers,
        key=lambda item: item.offset if isinstance(item, Marker) else item.header,
    )


# -- in parallel: overlayfs -------------------------------------------------------------------------------------------

_DEVICE = LayerEntry("", "char", 0, 0, 0, 0, 0, "", (0, 0), None, 0, 0, 0, None)
"""The device that represents a whiteout on disk."""


def _merge_side_by_side(layers: Sequence[LayerIndex], limits: Limits) -> Merged:
    trees: list[Tree] = []
    for position, index in enumerate(layers):
        lower = tuple(reversed(trees))
        trees.append(_own_tree(index, position, lower, limits))
    return _overlaid(trees)


def _overlaid(trees: Sequence[Tree]) -> Merged:
    problems = [problem for tree in trees for problem in tree.problems]
    root = _laid_over([tree.root for tree in reversed(trees)], problems)
    return Merged(root, tuple(problems))


def _own_tree(index: LayerIndex, position: int, lower: Sequence[Tree], limits: Limits) -> Tree:
    """Write one layer to its own directory, with markers in overlayfs' form."""

    def inherited(names: list[str]) -> Node | LayerProblem | None:
        for tree in lower:
            found = tree.beneath(names)
            if found == "missing":
                continue
            if isinstance(found, str):
                return LayerProblem("lower-not-directory", position, "/".join(names), "")
            return found if found.children is not None else None
        return None

    tree = Tree(RULES[Semantics.OVERLAY], limits=limits, inherit=inherited)
    for cut in index.cuts:
        if cut.reader != "ggcr":
            tree.problem(
                "layer-refused", position, "", f"containerd cannot read the layer: it meets {cut.reason}"
            )
    opaques = {id(marker) for marker in index.opaques}
    nameless = {id(marker) for marker in index.nameless}
    for item in in_time(_in_order(index, opaques=True)):
        if not isinstance(item, Marker):
            if item.fault and item.type in ("global", "unknown"):
                tree.pass_over(item, position)
            else:
                tree.put(item, position)
        elif id(item) in nameless:
            message = "the whiteout names nothing that it could delete"
            tree.problem("invalid-whiteout", position, item.path, message)
        elif id(item) in opaques:
            directory = tree.made(item.path, position)
            if directory is not None:
                directory.opaque = True
        else:
            _put_whiteout(tree, item, position)
    tree.close()
    return tree


def _put_whiteout(tree: Tree, marker: Marker, position: int) -> None:
    directory, _, name = marker.path.rpartition("/")
    parent = tree.made(directory, position)
    if parent is None or parent.children is None:
        return
    if not is_name(name):
        message = "the whiteout deletes what can be no name of a file: it has a NUL, or more than 255 bytes"
        tree.problem("unusable-name", position, marker.path, message)
    elif name in parent.children:
        tree.problem(
            "whiteout-over-entry",
            position,
            marker.path,
            "the layer deletes a name after an entry, or another whiteout, of the same name",
        )
    else:
        parent.children[name] = Node(_DEVICE, position)


def _laid_over(roots: Sequence[Node], problems: list[LayerProblem]) -> Node:
    """Merge directories, the topmost first, as overlayfs does."""
    root = Node(None, 0)  # opaque or not: at the root, overlayfs does not look
    waiting = [("", root, list(roots))]
    while waiting:
        at, merged, stack = waiting.pop()
        spend(len(stack))
        assert merged.children is not None  # noqa: S101 - made as a directory
        for name, nodes in _names(stack).items():
            top = nodes[0]
            path = f"{at}/{name}" if at else name
            if top.is_whiteout:
                if at and len(stack) == 1:
                    message = (
                        "a whiteout with nothing below it to hide: the name is listed, and nothing is there"
                    )
                    problems.append(LayerProblem("phantom-name", top.layer, path, message, fatal=False))
            elif top.children is None:
                merged.children[name] = top
            else:
                child = merged.children[name] = Node(top.entry, top.layer)
                waiting.append((path, child, nodes))
    return root


def _names(stack: Sequence[Node]) -> dict[str, list[Node]]:
    """Return for each name in stacked directories its source: one file, or several directories."""
    found: dict[str, list[Node]] = {}
    closed: set[str] = set()
    for directory in stack:
        spend(len(directory.children or ()))
        for name, node in (directory.children or {}).items():
            if name in closed:
                continue
            above = found.get(name)
            if node.children is None:
                closed.add(name)
                if above is None:
                    found[name] = [node]
                continue
            if above is None:
                found[name] = [node]
            else:
                above.append(node)
            if node.opaque:
                closed.add(name)
    return found
