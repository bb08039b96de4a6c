"""The differences between two merged trees, and the layer that causes each if both come from the same layers.

It compares what a machine sees: type, content, target of a link, device, mode, owner. Times are ignored: a
directory that a runtime creates gets the time of unpacking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import field, frozen

from cosinspect.deadline import in_time, spend
from cosinspect.errors import LimitExceeded
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.whiteout import PREFIX, opaque_path, whiteout_path
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.rootfs.agreement import meets_guards
from cosinspect.rootfs.history import concerned
from cosinspect.rootfs.overlay import PARTIAL, extraction_end, is_left_out, merge
from cosinspect.rootfs.rootfs import Entry, Rootfs, entry_at
from cosinspect.rootfs.semantics import RULES, Semantics, Stacking
from cosinspect.rootfs.tree import IMPLIED_MODE, LayerProblem, Node

__all__ = [
    "FLATTEN",
    "Comparison",
    "Difference",
    "DifferenceCause",
    "compare",
    "compare_semantics",
    "find_causes",
]


@frozen
class Difference:
    """One path that differs between two trees.

    Attributes:
        path: absolute, without following links.
        left: the first tree's entry, or None.
        right: the second tree's entry, or None.
        aspects: what differs: `presence`, `type`, `content`, `link`, `device`, `mode`, `owner`.
    """

    path: str
    left: Entry | None
    right: Entry | None
    aspects: tuple[str, ...]


@frozen
class DifferenceCause:
    """The cause of a difference between two readers of the same layers.

    Attributes:
        layer: position of the layer with which the difference starts.
        kind: stable and lower-case, such as `opaque-whiteout`.
        item: the entry or marker in that layer, as a path: `/d/.wh..wh..opq`.
    """

    layer: int
    kind: str
    item: str

    def explain(self, reader: Semantics) -> str:
        """Return why this reader sees another tree than the specification requires, a sentence without a full stop."""
        sentences = _SENTENCES.get(self.kind, {})
        found = sentences.get(reader)
        if found is None and reader is Semantics.ELEMENTAL3:  # a later release of the same reader
            found = sentences.get(Semantics.ELEMENTAL, "").replace("elemental", reader.reader)
        return found or f"{reader.reader} places the entry otherwise"

    @property
    def remedy(self) -> str:
        """Return how to build the image so that all readers see the same."""
        return _REMEDIES.get(self.kind, FLATTEN)


FLATTEN = (
    "Deliver the image as one layer, in which nothing is deleted: end the Dockerfile with a stage "
    "FROM scratch / COPY --from=build / /"
)
"""The remedy for every difference and refusal."""

_SENTENCES: dict[str, dict[Semantics, str]] = {
    "opaque-whiteout": {
        Semantics.ELEMENTAL: "elemental has no opaque whiteouts: what lower layers have in the directory stays on disk",
        Semantics.ELEMENTAL3: "Elemental 3 has the opaque whiteout hide what lower layers have, and nothing that it has written by then",
        Semantics.OVERLAY: "overlayfs does not look for an opaque mark on the root directory: nothing is hidden",
    },
    "whiteout-and-entry": {
        Semantics.ELEMENTAL: "the layer deletes a name and makes it again; elemental believes what comes first in the archive "
        "and drops the other",
        Semantics.OVERLAY: "the layer deletes a directory and makes it again; on overlayfs what lower layers have in it shows "
        "through",
    },
    "whiteout": {
        Semantics.ELEMENTAL: "elemental takes the whiteout for a name of its own, which hides nothing",
        Semantics.OVERLAY: "on overlayfs the whiteout stands in another directory than the one that it is meant for",
    },
    "recreated": {
        Semantics.ELEMENTAL: "a lower layer has deleted the directory; elemental, which reads from the top, knows the name by "
        "then, passes over the whiteout, and brings back what was deleted",
    },
    "hardlink": {
        Semantics.ELEMENTAL: "elemental makes the hard link to what is at its target by then, which a higher layer may have "
        "written, and gives the file the link's mode and owner",
        Semantics.OVERLAY: "containerd gives the file the hard link's mode and owner",
    },
    "link-outside": {
        Semantics.ELEMENTAL3: "Elemental 3 leaves a link out whose relative target leads out of the root",
    },
    "repeated-entry": {
        Semantics.ELEMENTAL: "the layer has two entries for the name; elemental takes the first, runtimes the last",
    },
    "whiteout-device": {
        Semantics.OVERLAY: "to overlayfs a character device 0/0 is the absence of a file",
    },
    "nameless-whiteout": {
        Semantics.ELEMENTAL: "elemental takes a whiteout that names nothing for one of the whole directory",
    },
    "parent-behind-link": {
        Semantics.ELEMENTAL: "the layer writes through a link of a lower layer; elemental writes there first and puts the link "
        "over it, so that what was written is lost",
        Semantics.OVERLAY: "the layer writes through a link of a lower layer; on overlayfs it has a directory there, which "
        "takes the link's place",
    },
    PARTIAL: {
        Semantics.ELEMENTAL: "elemental's reader ends here and reports success: nothing of what it has not read yet is installed",
    },
    "global-header": {
        Semantics.ELEMENTAL: "elemental takes the name of a PAX global header for an entry's, which hides what lower layers have "
        "there",
        Semantics.OVERLAY: "containerd takes the name of a PAX global header for an entry's, and deletes what the layer has there",
    },
    "root-attributes": {
        Semantics.ELEMENTAL: "elemental does not apply mode and owner of the root directory",
        Semantics.OVERLAY: "containerd does not apply mode and owner of the root directory",
    },
}

_REMEDIES = {
    "parent-behind-link": "Write to the real path, for example COPY --chmod=644 x /usr/lib/x instead of /lib/x",
    "hardlink": "Make the hard link and its target in one layer with the same mode and owner, or copy the file",
    "link-outside": "Make the link absolute, or relative to a path of the image",
    PARTIAL: "Write the layer again with a current tar library: every field of a header as its type and POSIX have it",
    "global-header": "Leave PAX global headers out: unpack what git archive wrote and add the files",
    "repeated-entry": "Build the layer with a tool that writes each path once",
    "whiteout-device": f"Remove the device from the layer; a deletion is an empty file whose name starts with {PREFIX}",
    "nameless-whiteout": "Build the layer again with a tool that writes whiteouts of real names only",
    "root-attributes": "Give the root directory mode 0755 and owner 0:0",
}


@frozen
class Comparison:
    """The comparison of two readers of the same layers.

    Attributes:
        first: the tree of the first.
        other: the tree of the other.
        differences: the differing paths; empty if the other refuses the image, because it then has no tree.
        causes: the causes, by path.
    """

    first: Rootfs
    other: Rootfs
    differences: tuple[Difference, ...]
    causes: Mapping[str, DifferenceCause] = field(hash=False)

    @property
    def refusals(self) -> tuple[LayerProblem, ...]:
        """The problems for which the other reader refuses the image, and the first does not."""
        if not any(problem.fatal for problem in self.other.problems):
            return ()
        known = {(problem.layer, problem.path) for problem in self.first.problems}
        for layer, index in enumerate(self.first.indexes):
            known.update((layer, each.path) for each in index.nameless)
            known.update((layer, each.path) for each in index.name_only if each.type == "unknown")
            known.update((layer, each.path) for each in index.entries if "sparse" in each.fault)
        return tuple(
            problem
            for problem in self.other.problems
            if problem.fatal and (problem.layer, problem.path) not in known
        )

    @property
    def partial(self) -> LayerProblem | None:
        """The problems that end the other reader's writing early, without an error."""
        return next((problem for problem in self.other.problems if problem.kind == PARTIAL), None)

    def by_cause(self) -> list[tuple[DifferenceCause, list[Difference]]]:
        """Return the differences, grouped by cause."""
        found: dict[DifferenceCause, list[Difference]] = {}
        for each in self.differences:
            found.setdefault(self.causes[each.path], []).append(each)
        return list(found.items())

    def describe(self, each: Difference) -> str:
        """Return both results for a path in one line."""
        left, right = self.first.semantics.value, self.other.semantics.value
        return f"{each.path}: {left} {_outcome(each.left, each)}, {right} {_outcome(each.right, each)}"


def _outcome(entry: Entry | None, difference: Difference) -> str:
    """Return what is at a path, and its attributes that differ on the other side."""
    if entry is None:
        return "nothing"
    words = {"file": "a file", "dir": "a directory", "symlink": f"a link to {entry.link}"}.get(
        entry.type, entry.type
    )
    if entry.type == "file":
        words += f" of {entry.size} bytes"
    if "mode" in difference.aspects:
        words += f", mode {entry.mode:04o}"
    if "owner" in difference.aspects:
        words += f", owner {entry.uid}:{entry.gid}"
    return f"{words} (layer {entry.layer})"


def compare_semantics(first: Rootfs, semantics: Semantics, *, limits: Limits = DEFAULT_LIMITS) -> Comparison:
    """Merge the layers of a tree as another reader does, and compare the trees.

    Raises:
        SourceError, ContentError: a layer with content to compare cannot be read again.
        LimitExceeded: there are more differences than `Limits.differences`.
    """
    if first.is_unambiguous and not (RULES[semantics].guarded and meets_guards(first.indexes)):
        return Comparison(first, first.alike(semantics), (), {})
    other = first.under(semantics)
    if any(problem.fatal for problem in other.problems):
        return Comparison(first, other, (), {})
    found = compare(first, other, limits=limits)
    readings = (first.semantics, semantics)
    causes = find_causes(first.indexes, readings, (each.path for each in found), limits=limits)
    return Comparison(first, other, tuple(found), causes)


def compare(left: Rootfs, right: Rootfs, *, limits: Limits | None = None) -> list[Difference]:
    """Return every path that differs, sorted component by component.

    Contents of the same size are read in one further pass over their layers, unless they are in the same
    place.

    Args:
        left: the first tree.
        right: the other.
        limits: bound the differences; None for two images, which may have nothing in common.

    Raises:
        SourceError, ContentError: such a layer cannot be read again.
        LimitExceeded: there are more differences than `Limits.differences`.
    """
    found: list[Difference] = []
    suspects: dict[str, tuple[Entry, Entry]] = {}
    for path, ours, theirs in _pairs(left, right):
        if ours is None or theirs is None:
            found.append(Difference(path, ours, theirs, ("presence",)))
        else:
            aspects = _aspects(ours, theirs)
            if ours.type == theirs.type == "file" and left.origin(ours) != right.origin(theirs):
                if ours.size != theirs.size:
                    aspects.insert(0, "content")
                elif ours.size:
                    suspects[path] = (ours, theirs)
            if aspects or path in suspects:
                found.append(Difference(path, ours, theirs, tuple(aspects)))
        if limits is not None and len(found) > limits.differences:
            raise LimitExceeded(
                f"expected at most {limits.differences} paths that two readers see differently, found more",
                limit="differences",
                bound=limits.differences,
            )
    if not suspects:
        return found
    ours_by_path = left.content_digests(pair[0] for pair in suspects.values())
    theirs_by_path = right.content_digests(pair[1] for pair in suspects.values())
    told = []
    for each in found:
        aspects = list(each.aspects)
        if each.path in suspects and ours_by_path[each.path] != theirs_by_path[each.path]:
            aspects.insert(0, "content")
        if aspects:
            told.append(Difference(each.path, each.left, each.right, tuple(aspects)))
    return told


def _pairs(left: Rootfs, right: Rootfs) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """Walk two trees at once, and yield the pairs that are not evidently the same file of the same layer."""
    shared = {
        at
        for at, (ours, theirs) in enumerate(zip(left.indexes, right.indexes, strict=False))
        if ours is theirs
    }
    waiting: list[tuple[str, Node | None, Node | None]] = [("/", left.root.node, right.root.node)]
    while waiting:
        spend()
        path, ours, theirs = waiting.pop()
        if ours is None or theirs is None or not (ours.source in shared and _is_one(ours, theirs)):
            yield path, _seen(path, ours), _seen(path, theirs)
        # Copies: what is looked up in the trees themselves stays in memory.
        our_children = dict(ours.children.items()) if ours is not None and ours.children else {}
        their_children = dict(theirs.children.items()) if theirs is not None and theirs.children else {}
        if our_children or their_children:
            base = path.rstrip("/")
            waiting.extend(
                (f"{base}/{name}", our_children.get(name), their_children.get(name))
                for name in sorted(our_children.keys() | their_children.keys(), reverse=True)
            )


def _is_one(ours: Node, theirs: Node) -> bool:
    """Return whether two nodes come from one entry, without other attributes from a hard link."""
    return (
        ours.entry == theirs.entry
        and ours.source == theirs.source
        and (ours.inode is None or ours.inode.attributes is None)
        and (theirs.inode is None or theirs.inode.attributes is None)
    )


def _seen(path: str, node: Node | None) -> Entry | None:
    return entry_at(path, node) if node is not None else None


def _aspects(ours: Entry, theirs: Entry) -> list[str]:
    if ours.type != theirs.type:
        return ["type"]
    aspects = []
    if ours.link != theirs.link:
        aspects.append("link")
    if ours.device != theirs.device:
        aspects.append("device")
    if ours.type != "symlink" and ours.mode != theirs.mode:
        aspects.append("mode")
    if (ours.uid, ours.gid) != (theirs.uid, theirs.gid):
        aspects.append("owner")
    return aspects


# -- causes ------------------------------------------------------------------------------------------------------------


def find_causes(
    indexes: Sequence[LayerIndex],
    semantics: tuple[Semantics, Semantics],
    paths: Iterable[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, DifferenceCause]:
    """Return for each path that differs after all layers the layer with which the difference starts, and its cause there.

    The layers are merged again up to some of them, found by bisection: without that layer there is no
    difference.
    """
    found: dict[str, DifferenceCause] = {}
    differing_paths = [path.strip("/") for path in paths]
    # For the reader in place, few entries decide a few paths.
    few = concerned(indexes, differing_paths) if differing_paths else indexes
    own = [few if RULES[each].stacking is Stacking.IN_PLACE else indexes for each in semantics]
    waiting = [(0, len(indexes), differing_paths)]
    while waiting:
        same, differing, names = waiting.pop()
        if not names:
            continue
        if differing - same == 1:
            layer = _LayerReading(
                indexes, same, limits, installers=[each for each in semantics if each.installs]
            )
            for name in names:
                spend(name.count("/") + 1)
                kind, item = layer.reason(name)
                found[f"/{name}"] = DifferenceCause(same, kind, item)
            continue
        middle = (same + differing) // 2
        lower = [layers[:middle] for layers in own]
        earlier = _differing(lower, semantics, names, limits)
        waiting.append((same, middle, earlier))
        known = set(earlier)
        waiting.append((middle, differing, [name for name in names if name not in known]))
    return found


def _differing(
    own: Sequence[Sequence[LayerIndex]],
    semantics: tuple[Semantics, Semantics],
    names: Sequence[str],
    limits: Limits,
) -> list[str]:
    """Return the paths at which two readers' trees of their layers differ; one tree is made after the other."""
    looks: list[list[tuple[object, ...] | None]] = []
    for layers, each in zip(own, semantics, strict=True):
        root = merge(layers, each, limits=limits).root
        looks.append([_look(_at(root, name)) for name in names])
        del root  # before the next tree is made
    return [name for name, first, second in zip(names, *looks, strict=True) if first != second]


def _at(root: Node, path: str) -> Node | None:
    at: Node | None = root
    for name in path.split("/") if path else ():
        spend()
        at = at.children.get(name) if at is not None and at.children is not None else None
    return at


def _look(node: Node | None) -> tuple[object, ...] | None:
    """Return the attributes that two equal nodes at one path share."""
    if node is None:
        return None
    if node.entry is None:
        return ("dir", "", IMPLIED_MODE, 0, 0, (0, 0))
    owner = (
        node.inode.attributes if node.inode is not None and node.inode.attributes is not None else node.entry
    )
    content = (node.source, node.entry.data) if node.type == "file" else node.entry.device
    return (node.type, node.entry.link, owner.mode, owner.uid, owner.gid, content)


class _LayerReading:
    """Finds in a layer what two readers read differently.

    All lookups are by path, because a layer may have as many opaque directories as differing paths.
    """

    def __init__(
        self, indexes: Sequence[LayerIndex], position: int, limits: Limits, *, installers: Sequence[Semantics]
    ) -> None:
        self._index = indexes[position]
        ends = (extraction_end(self._index, each) for each in installers)
        self._end = next((end for end in ends if end is not None), None)
        guarded = any(RULES[each].guarded for each in installers)
        self._outside = {
            entry.path
            for entry in self._index.entries
            if guarded and is_left_out(entry, entry.name or entry.path)
        }
        self._globals = {entry.path for entry in self._index.name_only}
        self._deleted = {marker.path for index in indexes[:position] for marker in index.whiteouts}
        self._links = {
            entry.path: entry.link
            for index in indexes[:position]
            for entry in index.entries
            if entry.type == "hardlink"
        }
        self._opaques = {marker.path for marker in self._index.opaques}
        self._whiteouts = {marker.path: marker for marker in self._index.whiteouts}
        self._entries = {entry.path: entry for entry in reversed(self._index.entries)}
        self._below = _first_below(entry.path for entry in self._index.entries)
        self._repeated: set[str] = set()
        self._hardlinks: dict[str, str] = {}
        seen: set[str] = set()
        for entry in in_time(self._index.entries):
            (self._repeated if entry.path in seen else seen).add(entry.path)
            if entry.type == "hardlink":
                self._hardlinks.setdefault(entry.path, entry.path)
                self._hardlinks.setdefault(entry.link, entry.path)
        self._through = self._find_through(Rootfs(indexes[:position], limits=limits))
        self._through_below = _first_below(self._through.values())

    def _find_through(self, lower: Rootfs) -> dict[str, str]:
        """Return entries and markers that reach their place through a link of a lower layer, by place and by name."""
        through: dict[str, str] = {}
        places: dict[str, str | None] = {}
        for path in (*(entry.path for entry in self._index.entries), *self._whiteouts):
            directory, _, name = path.rpartition("/")
            spend()
            if directory not in places:
                trace = lower.trace(f"/{directory}")
                places[directory] = trace.at.strip("/") if trace.hops else None
            place = places[directory]
            if place is not None:
                through.setdefault(f"{place}/{name}".strip("/"), path)
                through.setdefault(path, path)
        return through

    def reason(self, path: str) -> tuple[str, str]:
        """Return the kind of cause, and the entry or marker."""
        names = path.split("/") if path else []
        # The path and its parents, itself first.
        ways = ["/".join(names[:length]) for length in range(len(names), -1, -1)]
        if self._end is not None:
            return PARTIAL, f"/{self._end}"
        outside = next((way for way in ways if way in self._outside), None)
        if outside is not None:
            return "link-outside", f"/{outside}"
        for way in ways:
            if way in self._globals:
                return "global-header", f"/{way}"
        if self._index.nameless:
            return "nameless-whiteout", f"/{self._index.nameless[0].path}"
        through = next((self._through[way] for way in ways if way in self._through), None)
        through = through or self._through_below.get(path)
        if through is not None:
            return "parent-behind-link", f"/{through}"
        opaque = next((way for way in ways[1:] if way in self._opaques), None)
        if opaque is not None:
            return "opaque-whiteout", f"/{opaque_path(opaque)}"
        whiteout = next((self._whiteouts[way] for way in ways if way in self._whiteouts), None)
        if whiteout is not None:
            again = whiteout.path in self._entries or whiteout.path in self._below
            return "whiteout-and-entry" if again else "whiteout", f"/{whiteout_path(whiteout.path)}"
        return self._reason_in_entries(path, ways)

    def _reason_in_entries(self, path: str, ways: list[str]) -> tuple[str, str]:
        repeated = next((way for way in ways if way in self._repeated), None)
        if repeated is not None:
            return "repeated-entry", f"/{repeated}"
        if path in self._hardlinks:
            return "hardlink", f"/{self._hardlinks[path]}"
        spoken = [way for way in ways if way in self._entries]
        for way in spoken:
            if self._entries[way].type == "char" and self._entries[way].device == (0, 0):
                return "whiteout-device", f"/{way}"
        near = spoken[0] if spoken else self._below.get(path, "")
        target = self._links.get(path)
        if not near and target is not None and target in self._entries:
            return "hardlink", f"/{target}"
        deleted = next((way for way in reversed(ways) if way in self._deleted), None)
        if deleted is not None:
            return "recreated", f"/{deleted}"
        if self._index.opaques and not near:
            return "opaque-whiteout", f"/{opaque_path(self._index.opaques[0].path)}"
        return ("root-attributes", "/") if not path else ("entry", f"/{near}")


def _first_below(paths: Iterable[str]) -> dict[str, str]:
    """Return for each directory that has some of the paths in it, at any depth, the first of them."""
    first: dict[str, str] = {}
    for path in paths:
        directory = path
        while directory:
            spend()
            directory = directory.rpartition("/")[0]
            if directory in first:
                break
            first[directory] = path
    return first
