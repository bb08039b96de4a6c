"""The root filesystem of an image: a view of the merged tree, without a copy.

Paths are absolute inside the image (a leading slash may be left out). Links resolve inside the root by
Linux's rules, at most `Limits.link_hops` of them for one path (path_resolution(7)).
"""

from __future__ import annotations

import copy
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from cosinspect.deadline import spend
from cosinspect.errors import (
    LimitExceeded,
    NotADirectory,
    NotARegularFile,
    PathNotFound,
    RootfsError,
    SymlinkLoop,
)
from cosinspect.formats.boot.program import Program, read_program
from cosinspect.globs import alternatives, component_expression, is_literal
from cosinspect.layer.changeset import LayerEntry, LayerIndex
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.path_walk import PathWalk
from cosinspect.rootfs.bodies import Bodies, FileStream
from cosinspect.rootfs.entry import Entry, Hop, Trace, entry_at
from cosinspect.rootfs.history import Change, Past, concerned
from cosinspect.rootfs.node import NODES, count_below, named_below, walk_below
from cosinspect.rootfs.overlay import Merged, merge
from cosinspect.rootfs.semantics import RULES, Semantics, Stacking
from cosinspect.rootfs.tree import Inode, LayerProblem

__all__ = ["Bodies", "Entry", "FileStream", "Hop", "Rootfs", "Trace", "entry_at"]

_KEPT_CHARACTERS = 1024 * 1024
"""What resolved paths and the targets of their links may take in memory; further paths are resolved each time."""


Merge: TypeAlias = "Callable[[Sequence[LayerIndex], Semantics, Limits], Merged]"
"""A function that returns the merged tree of layers under a semantics."""


def merge_layers(indexes: Sequence[LayerIndex], semantics: Semantics, limits: Limits) -> Merged:
    """Merge layers, bottom first."""
    return merge(indexes, semantics, limits=limits)


class Rootfs:
    """The merged tree of an image.

    Attributes:
        semantics: of the tree.
    """

    def __init__(
        self,
        indexes: Sequence[LayerIndex],
        layers: Sequence[Bodies] = (),
        *,
        limits: Limits = DEFAULT_LIMITS,
        semantics: Semantics = Semantics.OCI,
        trees: Merge = merge_layers,
    ) -> None:
        """Merge `indexes`, bottom first, under `semantics`; with `layers`, file contents can be read too.

        Args:
            indexes: of the layers.
            layers: the layers themselves.
            limits: bounds for reads and links.
            semantics: of the tree.
            trees: returns the merged tree, perhaps from a cache.
        """
        tree = trees(indexes, semantics, limits)
        self._indexes = tuple(indexes)
        self.semantics = semantics
        self._problems: tuple[LayerProblem, ...] = tree.problems
        self._root = tree.root
        self._names = tree.names
        self._unambiguous = tree.unambiguous
        self._literal = tree.is_literal
        self._layers = tuple(layers)
        self._limits = limits
        self._trees = trees
        self._hardlinks: dict[Inode, tuple[str, ...]] | None = None
        self._past: Past | None = None
        self._traces: dict[tuple[str, bool], Trace] = {}
        self._room = _KEPT_CHARACTERS

    @property
    def indexes(self) -> tuple[LayerIndex, ...]:
        """The indexes of the layers, bottom first."""
        return self._indexes

    @property
    def problems(self) -> tuple[LayerProblem, ...]:
        """The entries that the reader of these semantics cannot apply."""
        return self._problems

    @property
    def is_unambiguous(self) -> bool:
        """Whether all readers are known to make this tree (`cosinspect.rootfs.agreement`), those without guards at least."""
        return self._unambiguous

    def under(self, semantics: Semantics) -> Rootfs:
        """Return the tree of the same layers under another semantics; no layer is read again."""
        if semantics is self.semantics:
            return self
        return Rootfs(
            self._indexes, self._layers, limits=self._limits, semantics=semantics, trees=self._trees
        )

    def alike(self, semantics: Semantics) -> Rootfs:
        """Return this tree as that of another semantics, which is known to give the same tree without a problem."""
        same = copy.copy(self)
        same.semantics = semantics
        same._problems = ()  # noqa: SLF001 - a copy of one's own
        same._past = None  # noqa: SLF001 - as above
        return same

    @property
    def by_table(self) -> tuple[int, ...]:
        """The positions of layers whose table of contents only was read."""
        return tuple(number for number, index in enumerate(self._indexes) if index.table is not None)

    def __len__(self) -> int:
        """Return the number of names, including the root."""
        if self._names is None:
            self._names = count_below(self._root)
        return self._names + 1

    def blocks(self, size: int) -> int:
        """Return the number of blocks of `size` bytes for all files, each file counted once, a directory as one block."""
        total = 1
        seen: set[Inode] = set()
        waiting = [self._root]
        while waiting:
            spend()
            for node in (waiting.pop().children or {}).values():
                if node.children is not None:
                    total += 1
                    waiting.append(node)
                elif node.entry is not None and node.entry.size:
                    if node.inode is not None:
                        if node.inode in seen:
                            continue
                        seen.add(node.inode)
                    total += -(-node.entry.size // size)
        return total

    @property
    def root(self) -> Entry:
        """The root directory."""
        return entry_at("/", self._root)

    def children(self, entry: Entry) -> dict[str, Entry]:
        """Return the nodes of a directory by name, unsorted; empty if it is not a directory."""
        base = entry.path.rstrip("/")
        return {name: entry_at(f"{base}/{name}", node) for name, node in (entry.node.children or {}).items()}

    # -- one path --------------------------------------------------------------------------------------------------

    def trace(self, path: str, *, follow: bool = True) -> Trace:
        """Resolve `path` and return the whole way; it never fails. `follow` decides about a link at the end."""
        # Checks ask for the same few paths again and again; the tree does not change.
        found = self._traces.get((path, follow))
        if found is None:
            found = self._straight(path, follow=follow) or self._winding(path, follow=follow)
            self._room -= len(path) + sum(len(hop.target) for hop in found.hops) + 256
            if self._room > 0:
                self._traces[path, follow] = found
        return found

    def _straight(self, path: str, *, follow: bool) -> Trace | None:
        """Resolve a path without links and dots, the common case, in a third of the time."""
        names = [name for name in path.split("/") if name]
        if path.endswith("/") and names:
            return None
        node = self._root
        for name in names:
            if name in (".", "..") or node.children is None:
                return None
            found = node.children.get(name)
            if found is None:
                return None
            node = found
        if follow and node.entry is not None and node.entry.type == "symlink":
            return None
        at = "/" + "/".join(names)
        return Trace(path, (), entry_at(at, node), at, "")

    def _winding(self, path: str, *, follow: bool) -> Trace:
        walk = PathWalk(NODES, self._root, path, follow=follow, most=self._limits.link_hops)
        hops = tuple(
            Hop(walk.path_of(step.name), step.target, step.node.layer)
            for step in walk
            if step.target is not None and step.node is not None and walk.links < self._limits.link_hops
        )
        spend(len(path) + sum(len(hop.target) for hop in hops))
        node = walk.stack[-1][1]
        if walk.problem or node is None:
            return Trace(path, hops, None, walk.at, walk.problem)
        return Trace(path, hops, entry_at(walk.at or "/", node), walk.at or "/", "")

    def stat(self, path: str) -> Entry:
        """Return what is at `path`, links followed.

        Raises:
            PathNotFound: there is nothing, or a link on the way is dangling.
            NotADirectory: a file is in place of a directory.
            SymlinkLoop: the links do not end.
        """
        return _found(self.trace(path))

    def lstat(self, path: str) -> Entry:
        """Return what is at `path`, without following a link at its end.

        Raises:
            RootfsError: as `stat` raises it.
        """
        return _found(self.trace(path, follow=False))

    def resolve(self, path: str) -> str:
        """Return the real path, every link followed.

        Raises:
            RootfsError: as `stat` raises it.
        """
        return self.stat(path).path

    def exists(self, path: str) -> bool:
        """Return whether something is at `path`, links followed."""
        return self.trace(path).entry is not None

    def readlink(self, path: str) -> str:
        """Return the target of a symbolic link as written.

        Raises:
            RootfsError: it is not a link; otherwise as `stat` does.
        """
        entry = self.lstat(path)
        if entry.type != "symlink":
            raise RootfsError(f"expected a symbolic link, found a {entry.type}", where=entry.path)
        return entry.link

    def hardlinks(self, entry: Entry) -> tuple[str, ...]:
        """Return all paths of the file, sorted, if it has more than one; otherwise nothing."""
        if entry.node.inode is None:
            return ()
        if self._hardlinks is None:
            names: dict[Inode, list[str]] = {}
            for path, node in walk_below("", self._root):
                if node.inode is not None:
                    names.setdefault(node.inode, []).append(path)
            self._hardlinks = {inode: tuple(sorted(paths)) for inode, paths in names.items()}
        names_of_it = self._hardlinks.get(entry.node.inode, ())
        return names_of_it if len(names_of_it) > 1 else ()

    # -- many paths ------------------------------------------------------------------------------------------------

    def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted.

        Raises:
            NotADirectory: it is not a directory; otherwise as `stat` does.
        """
        entry = self.stat(path)
        if entry.node.children is None:
            raise NotADirectory(f"expected a directory, found a {entry.type}", where=entry.path)
        return sorted(entry.node.children)

    def walk(self, path: str = "/") -> Iterator[Entry]:
        """Yield what is at `path` and everything below it, directories before their contents, sorted, without following links.

        Raises:
            RootfsError: as `stat` raises it.
        """
        start = self.stat(path)
        yield start
        for below, node in walk_below(start.path.rstrip("/"), start.node):
            yield entry_at(below, node)

    def glob(self, pattern: str) -> list[Entry]:
        """Return the entries that match a glob of paths (`cosinspect.globs`), by real path, sorted.

        Links are followed if the pattern names them, but not at the end of a match; `**` follows none.
        """
        found: dict[str, Entry] = {}
        for each in alternatives(pattern):
            found.update((entry.path, entry) for entry in self._glob(each))
        return [found[path] for path in sorted(found)]

    def _glob(self, pattern: str) -> list[Entry]:
        found = {"/": entry_at("/", self._root)}
        components = [component for component in pattern.split("/") if component]
        if len(components) == 2 and components[0] == "**" and is_literal(components[1]):
            named = {path: entry_at(path, node) for path, node in named_below(self._root, components[1])}
            return list(named.values())
        for number, component in enumerate(components):
            last = number == len(components) - 1
            found = {
                entry.path: entry
                for parent in found.values()
                for entry in self._matches(parent, component, last)
            }
        return list(found.values())

    def _matches(self, parent: Entry, component: str, last: bool) -> Iterator[Entry]:
        base = parent.path.rstrip("/")
        if component == "**":
            yield parent
            yield from (
                entry_at(path, node)
                for path, node in walk_below(base, parent.node)
                if last or node.children is not None
            )
            return
        if is_literal(component):
            names = [component]
        else:
            names = list(parent.node.children) if parent.node.children is not None else []
            spend(len(names))
            expression = re.compile(component_expression(component))
            names = [name for name in names if expression.fullmatch(name)]
        for name in names:
            entry = self.trace(f"{base}/{name}", follow=not last).entry
            if entry is not None and (last or entry.node.children is not None):
                yield entry

    # -- content ---------------------------------------------------------------------------------------------------

    def open(self, path: str) -> FileStream:
        """Open a file's content, links followed; use it in a `with` statement.

        A retained body is in memory and verified. Others are read in a second pass over their layer, and
        verified when the stream is closed; `close` raises `ContentError` if they do not match.

        Raises:
            NotARegularFile: it is not a regular file; otherwise as `stat` does.
            SourceError: the layer cannot be fetched again.
        """
        entry = self.stat(path)
        layer_entry = entry.node.entry
        if layer_entry is None or layer_entry.type != "file":
            raise NotARegularFile(f"expected a regular file, found a {entry.type}", where=entry.path)
        position = entry.node.source
        body = self._indexes[position].contents.get(layer_entry.data)
        if body is not None:
            return io.BytesIO(body)
        if not layer_entry.size:
            return io.BytesIO()
        if not self._layers:
            raise RootfsError(
                "the content is not available: the tree was merged without its layers", where=entry.path
            )
        return self._layers[position].open(layer_entry)

    def read_bytes(
        self, path: str, *, limit: int | None = None, limit_name: str = "parsed_file_bytes"
    ) -> bytes:
        """Return a file's verified content, links followed.

        Raises:
            LimitExceeded: the file has more than `limit` bytes (by default `Limits.parsed_file_bytes`).
            ContentError: the bytes do not match their digest.
            CosinspectError: as `open` raises it.
        """
        bound = self._limits.parsed_file_bytes if limit is None else limit
        entry = self.stat(path)
        if entry.size > bound:
            raise LimitExceeded(
                f"expected at most {bound} bytes, the file has {entry.size}",
                limit=limit_name,
                bound=bound,
                where=entry.path,
            )
        with self.open(path) as stream:
            return stream.read()

    def read_text(self, path: str, *, limit: int | None = None) -> str:
        """Return a file's verified content as text, bytes that are not UTF-8 as surrogate escapes.

        Raises:
            CosinspectError: as `read_bytes` raises it.
        """
        return self.read_bytes(path, limit=limit).decode("utf-8", "surrogateescape")

    def origin(self, entry: Entry) -> tuple[str, int]:
        """Return the origin of a file's content: the digest of the layer, and the offset in it. Equal origins mean equal contents."""
        layer_entry = entry.node.entry
        return self._indexes[entry.node.source].origin, layer_entry.data if layer_entry else 0

    def content_digests(self, entries: Iterable[Entry]) -> dict[str, str]:
        """Return the sha256 of files' contents in hexadecimal digits, by path; layers with other bodies are read again.

        Raises:
            SourceError: a layer cannot be fetched again.
            ContentError: its bytes have changed.
        """
        found: dict[str, str] = {}
        waiting: dict[int, dict[str, LayerEntry]] = {}
        for entry in entries:
            layer_entry = entry.node.entry
            if layer_entry is None or layer_entry.type != "file":
                continue
            body = self._indexes[entry.node.source].contents.get(layer_entry.data)
            if body is not None or not layer_entry.size:
                found[entry.path] = hashlib.sha256(body or b"").hexdigest()
            else:
                waiting.setdefault(entry.node.source, {})[entry.path] = layer_entry
        for source, files in waiting.items():
            if not self._layers:
                raise RootfsError(
                    "the content is not available: the tree was merged without its layers",
                    where=next(iter(files)),
                )
            digests = self._layers[source].content_digests(files.values())
            found.update((path, digests[file.data]) for path, file in files.items())
        return found

    def has_program(self, entry: Entry) -> bool:
        """Return whether `programs` needs no read for a file."""
        layer_entry = entry.node.entry
        if layer_entry is None or layer_entry.type != "file" or not layer_entry.size:
            return True
        return self._noted(entry) is not None or layer_entry.data in self._indexes[entry.node.source].contents

    def _noted(self, entry: Entry) -> Program | None:
        """Return what was noted about a file while its layer was read, if that is complete."""
        layer_entry = entry.node.entry
        if layer_entry is None:
            return None
        known = self._indexes[entry.node.source].programs.get(layer_entry.data)
        return None if known is None or (known.elf is not None and known.elf.problem) else known

    def programs(self, entries: Iterable[Entry]) -> dict[str, Program]:
        """Return how a kernel executes regular files, by path, and their requirements; empty files have none.

        What was noted while the layers were read costs nothing. Each layer with other files among `entries`
        is read once more.

        Raises:
            CosinspectError: as `content_digests` raises it.
        """
        found: dict[str, Program] = {}
        waiting: dict[int, dict[str, LayerEntry]] = {}
        for entry in entries:
            layer_entry = entry.node.entry
            if layer_entry is None or layer_entry.type != "file":
                continue
            known = self._noted(entry)
            if not layer_entry.size:
                found[entry.path] = Program()
            elif known is not None:
                found[entry.path] = known
            elif (body := self._indexes[entry.node.source].contents.get(layer_entry.data)) is not None:
                found[entry.path] = read_program(body)
            else:
                waiting.setdefault(entry.node.source, {})[entry.path] = layer_entry
        for source, files in waiting.items():
            if not self._layers:
                raise RootfsError(
                    "the content is not available: the tree was merged without its layers",
                    where=next(iter(files)),
                )
            read = self._layers[source].programs(files.values())
            found.update((path, read[file.data]) for path, file in files.items())
        return found

    def contents(
        self, entries: Iterable[Entry], *, holes: bool = True
    ) -> Iterator[tuple[tuple[int, int], Iterator[bytes]]]:
        """Yield what regular files contain, by `place`, each content once; each layer is read once.

        Take the pieces of a content before the next one. What was taken of a layer is verified when the first content of the next
        layer is yielded, or the iteration has ended. Without `holes`, only the data regions of sparse files are yielded.

        Raises:
            ContentError: the bytes do not match their digest.
            CosinspectError: as `open` raises it.
        """
        waiting: dict[int, dict[int, LayerEntry]] = {}
        for entry in entries:
            layer_entry = entry.node.entry
            if layer_entry is not None and layer_entry.type == "file" and layer_entry.size:
                waiting.setdefault(entry.node.source, {})[layer_entry.data] = layer_entry
        if waiting and not self._layers:
            raise RootfsError("the contents are not at hand: the tree was merged without its layers")
        for source, files in waiting.items():
            for file, pieces in self._layers[source].contents(files.values(), holes=holes):
                yield (source, file.data), pieces

    @staticmethod
    def place(entry: Entry) -> tuple[int, int]:
        """Return where a file's content is: the position of its layer, and the offset in it."""
        layer_entry = entry.node.entry
        return entry.node.source, layer_entry.data if layer_entry is not None else 0

    def history(self, path: str) -> tuple[Change, ...]:
        """Return the changes by each layer to `path`, bottom first; it need not exist any more.

        The path's directories are resolved at each layer, a link at its end is not followed.
        """
        asked = "/".join(part for part in path.split("/") if part not in ("", "."))
        if self._past is None:
            self._past = Past(
                self._indexes, semantics=self.semantics, limits=self._limits, literal=self._literal
            )
        return self._past.changes(asked)

    def versions(self, paths: Sequence[str]) -> Iterator[tuple[int, Rootfs]]:
        """Yield the layers that changed one of `paths`, the top one first, each with the tree of it and the layers below.

        Such a tree is right at `paths` and on the ways to them; it may lack everything else.
        """
        changed = sorted({change.layer for path in paths for change in self.history(path)}, reverse=True)
        indexes: Sequence[LayerIndex] = self.indexes
        if len(changed) > 1 and RULES[self.semantics].stacking is Stacking.IN_PLACE:
            indexes = concerned(indexes, paths)
        for layer in changed:
            yield (
                layer,
                Rootfs(
                    indexes[: layer + 1],
                    self._layers[: layer + 1],
                    limits=self._limits,
                    semantics=self.semantics,
                ),
            )


def _found(trace: Trace) -> Entry:
    if trace.entry is not None:
        return trace.entry
    chain = trace.chain
    if trace.problem == "loop":
        raise SymlinkLoop(f"expected the links to end, followed {len(trace.hops)}", where=trace.path)
    if trace.problem == "not-a-directory":
        raise NotADirectory(f"expected a directory at {trace.at} on the way ({chain})", where=trace.path)
    raise PathNotFound(
        f"expected a file, {trace.at} is not there" + (f" ({chain})" if trace.hops else ""), where=trace.path
    )
