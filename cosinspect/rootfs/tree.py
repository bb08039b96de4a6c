"""One directory tree, and how a reader of layers writes entries to it; `Rules` define the reader.

1. The parent of an entry is found through symbolic links, inside the root, and made where it is missing.
2. A directory over a directory replaces attributes and keeps children; anything else replaces what was there with
   everything below it.
3. A hard link binds to the file as it is when the link is written, not to the path.
4. What cannot be written (a dangling hard link, a loop of parents) is left out and reported as a `LayerProblem`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

from msgspec.structs import replace

from cosinspect.deadline import in_time, spend
from cosinspect.layer.changeset import LayerEntry
from cosinspect.layer.entry_table import EntryTable
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.rootfs.batches import Batches
from cosinspect.rootfs.node import (
    IMPLIED_MODE,
    LINK_BYTES,
    NAME_BYTES,
    PATH_BYTES,
    Inode,
    LayerProblem,
    Node,
    is_name,
    is_storable,
)
from cosinspect.rootfs.packed_names import PackedNames
from cosinspect.rootfs.paths import Paths
from cosinspect.rootfs.semantics import Rules
from cosinspect.rootfs.xattrs import refused_attribute

__all__ = ["IMPLIED_MODE", "Inode", "LayerProblem", "Node", "Tree", "is_name"]

_UNCHANGED = 0xFFFFFFFF  # an owner that chown(2) keeps
_SETGID = 0o2000
_SHORT = NAME_BYTES // 4


class Tree(Paths):
    """A directory tree to which entries are written.

    Attributes:
        root: the root directory.
        problems: the entries that could not be applied.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        limits: Limits = DEFAULT_LIMITS,
        inherit: Callable[[list[str]], Node | LayerProblem | None] | None = None,
    ) -> None:
        """Start with an empty root.

        Args:
            rules: of the reader.
            limits: for the links followed.
            inherit: returns, for a directory to create, the one whose attributes it gets, or why it cannot be created.
        """
        super().__init__(rules, limits=limits)
        self.problems: list[LayerProblem] = []
        self._inherit = inherit
        self._tables: list[EntryTable] = []  # by the position of the layer
        self._listed: list[tuple[str, int]] = []
        self._replaced = (
            False  # a directory or link, so that a directory may not be where its entry has put it
        )

    def make_directory(self, path: str, position: int) -> Node | str:
        """Return a directory, links followed; create missing ones on the way; return the kind of problem if that fails."""
        found = self._known(path)
        if found is not None:
            return found
        made = self._lexical(path, position) if self._rules.lexical else self._linked(path, position)
        return self._found(path, made) or made

    def made(self, path: str, position: int) -> Node | None:
        """Return or create the directory of a marker; report a failure and return None."""
        found = self.make_directory(path, position)
        if isinstance(found, str):
            self.problem(found, position, path, _WAYS[found])
            return None
        return found

    # -- entries ---------------------------------------------------------------------------------------------------

    def put(self, entry: LayerEntry, position: int, kept: dict[str, Node] | None = None) -> None:
        """Write an entry of the layer at `position`; `kept` has lower files that hard links may still bind to."""
        directory, _, name = entry.path.rpartition("/")
        if not name:
            self._put_root(entry, position)
            return
        parent = self.make_directory(directory, position)
        if isinstance(parent, str):
            self.problem(parent, position, entry.path, _WAYS[parent])
            return
        odd = entry.fault
        # Shorter names cannot exceed the limit, and only irregular ones have a NUL.
        if (odd or len(name) > _SHORT) and not is_name(name):
            self.problem("unusable-name", position, entry.path, _WAYS["unusable-name"])
            return
        if self._far and directory in self._far and self._far[directory] + 1 + _length(name) > PATH_BYTES:
            self.problem("long-path", position, entry.path, _WAYS["long-path"])
            return
        children = parent.children
        assert children is not None  # noqa: S101 - make_directory gives directories
        old = children.get(name)
        if self.agreement is not None:
            self.agreement.entry(entry, old, position)
        if odd and "owner" in odd:
            entry = self._with_owner(entry, parent, old)
        if old is not None:
            if entry.type == "dir" and old.children is not None:
                old.entry, old.layer, old.source = entry, position, position
                self._listed.append((entry.path, position))
                if entry.xattrs and self._rules.sets_attributes:
                    self._set_attributes(entry, "dir", position)
                return
            self._remove(children, name)
        if odd and "sparse" in odd and self._rules.sets_attributes:
            message = "an entry of type S, which is no type that containerd's reader makes a file of"
            self.problem("sparse-type", position, entry.path, message)
        elif entry.type == "hardlink":
            self._link(entry, position, children, name, kept or {})
        elif entry.type == "symlink" and not is_storable(entry.link):
            self.problem(
                "empty-symlink" if not entry.link else "long-symlink",
                position,
                entry.path,
                f"expected a symbolic link with a target of 1 to {LINK_BYTES} bytes, found {len(entry.link)} characters; "
                "no file system stores one",
            )
        else:
            children[name] = Node(entry, position)
            if entry.type == "dir":
                self._listed.append((entry.path, position))
            if entry.xattrs and self._rules.sets_attributes:
                self._set_attributes(entry, entry.type, position)

    def put_batches(self, batches: Batches, position: int) -> None:
        """Write the entries of a layer whose order does not count; each directory's files together."""
        table = batches.table
        self._tables.extend(EntryTable() for _ in range(position - len(self._tables)))
        self._tables.append(table)
        if self.agreement is not None:
            self.agreement.irregular(table)
        for row in batches.directories:
            self.put(table[row], position)
        for path, rows in batches:
            spend(len(rows))
            directory = self.make_directory(path, position)
            if path in self._far:
                for row in rows:
                    self.put(table[row], position)
                continue
            assert isinstance(directory, Node)  # noqa: S101 - directories stand on the way
            children = directory.children
            if not isinstance(children, PackedNames):
                children = directory.children = PackedNames(dict(children or {}), self._tables)
            if self.agreement is not None:
                self.agreement.names(path, map(table.name, rows))
            if children.has_settled:
                known = [row for row in rows if children.settled(table.name(row))]
                for row in known:
                    self.put(table[row], position)
                apart = set(known)
                rows = [row for row in rows if row not in apart]  # noqa: PLW2901
            if rows:
                children.add(position, rows)
        for row in batches.hardlinks:
            self.put(table[row], position)

    def pass_over(self, entry: LayerEntry, position: int) -> None:
        """Apply an entry for which containerd makes no file: create its parents, and delete the entry of its name."""
        directory, _, name = entry.path.rpartition("/")
        if not name:
            return
        parent = self.made(directory, position)
        if parent is None or parent.children is None:
            return
        if not is_name(name) and entry.type == "global":
            # The lookup of the name fails, which counts as absence.
            return
        self._remove(parent.children, name)
        if entry.type == "unknown":
            message = "an entry of a type that containerd's reader makes no file of"
            self.problem("unknown-type", position, entry.path, message)

    def close(self) -> None:
        """End the writing: a reader that sets the times of directories at the end must find them."""
        if not self._rules.revisits_directories or not self._replaced:
            return
        for path, position in in_time(self._listed):
            if isinstance(self.beneath(path.split("/")), str):
                message = "the directory is not to be found any more when its times are set: something has replaced it"
                self.problem("directory-replaced", position, path, message)

    def problem(self, kind: str, position: int, path: str, message: str, *, fatal: bool = True) -> None:
        """Report an entry that cannot be applied."""
        self.problems.append(LayerProblem(kind, position, path, message, fatal))
        if self.agreement is not None:
            self.agreement.end()

    def _remove(self, children: MutableMapping[str, Node], name: str) -> None:
        old = children.pop(name, None)
        if old is None:
            return
        self._drop(old)
        if old.type in ("dir", "symlink"):
            self._replaced = True

    def _with_owner(self, entry: LayerEntry, parent: Node, old: Node | None) -> LayerEntry:
        """Return an entry with the existing owner if it says to keep it."""
        before = old.entry if entry.type == "dir" and old is not None and old.children is not None else None
        uid, gid = (before.uid, before.gid) if before is not None else (0, _inherited_group(parent))
        if entry.type == "hardlink":
            target = self._target(entry)
            held = _attributes(target) if isinstance(target, Node) else None
            uid, gid = (held.uid, held.gid) if held is not None else (uid, gid)
        return _with_ids(entry, uid, gid)

    def _set_attributes(self, entry: LayerEntry, kind: str, position: int) -> None:
        refused = refused_attribute(entry.xattrs or {}, kind)
        if refused is not None:
            name, reason = refused
            message = f"expected an attribute that can be set, {name[:100]!r} has {reason}"
            self.problem("attribute-refused", position, entry.path, message)

    def _target(self, entry: LayerEntry) -> Node | str | None:
        """Return the target of a hard link; a string is the reason if it cannot be resolved."""
        if not entry.target or not self._rules.lexical:
            return self.lookup(entry.link)
        # containerd 1.7.29, archive/tar.go: hardlinkRootPath
        directory, _, name = entry.target.rpartition("/")
        if name in ("", ".", ".."):
            directory = entry.target if name != ".." else directory
        names = self._resolved(directory.split("/"))
        self._look_afresh()
        if isinstance(names, str):
            return names
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
        at: Node | None = self.root
        for each in names:
            at = at.children.get(each) if at is not None and at.children is not None else None
        return at

    def _put_root(self, entry: LayerEntry, position: int) -> None:
        if not self._rules.lists_root:
            return
        if entry.type == "dir":
            if entry.fault and "owner" in entry.fault:
                before = self.root.entry
                entry = _with_ids(entry, before.uid if before else 0, before.gid if before else 0)
            self.root.entry, self.root.layer = entry, position
            if self.agreement is not None:
                self.agreement.root(entry)
        else:
            message = f"the root is a {entry.type} instead of a directory"
            self.problem("root-not-directory", position, entry.path, message)

    def _link(
        self,
        entry: LayerEntry,
        position: int,
        children: MutableMapping[str, Node],
        name: str,
        kept: dict[str, Node],
    ) -> None:
        target = self._target(entry)
        if isinstance(target, str):
            self.problem(target, position, entry.path, _WAYS[target])
            return
        if target is None and (target := kept.get(entry.link)) is not None:
            message = f"the hard link's target /{entry.link} is deleted by the very layer that links to it"
            self.problem("hardlink-to-deleted", position, entry.path, message, fatal=False)
        if target is None:
            message = f"the hard link's target /{entry.link} is not there when it is needed"
            self.problem("dangling-hardlink", position, entry.path, message)
            return
        if target.type == "dir":  # a removed directory has no children any more
            message = f"the hard link's target /{entry.link} is a directory"
            self.problem("hardlink-to-directory", position, entry.path, message)
            return
        if self.agreement is not None:
            self.agreement.link(entry, target, position)
        if target.inode is None:
            target.inode = Inode()
        if self._rules.hardlinks_carry_attributes:
            target.inode.attributes = entry
        if entry.xattrs and self._rules.sets_attributes:
            self._set_attributes(entry, target.type, position)
        node = Node(target.entry, position, target.source)
        node.inode = target.inode
        children[name] = node

    def _implied(self, names: list[str], position: int, parent: Node) -> Node | str:
        """Create an implied directory."""
        lower = self._inherit(names) if self._inherit is not None else None
        if isinstance(lower, LayerProblem):
            return lower.kind
        if lower is None:
            group = _inherited_group(parent)
            return Node(_directory(group) if group else None, position)
        if lower.entry is None:
            return Node(None, position)
        return Node(lower.entry, lower.layer)


_WAYS = {
    "parent-loop": "the links on the way to the entry do not end",
    "parent-not-directory": "something that is no directory stands where the entry needs one",
    "unusable-name": "a name on the way is no name of a file: it has a NUL, or more than 255 bytes",
    "long-path": f"the path has more than {PATH_BYTES} bytes, which leaves no room for the reader's own directory in a path of Linux",
    "lower-not-directory": "a lower layer has something that is no directory where the entry needs one",
}


def _length(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))


def _attributes(node: Node) -> LayerEntry | None:
    return node.inode.attributes or node.entry if node.inode is not None else node.entry


def _inherited_group(parent: Node) -> int:
    """Return the group of a new file on Linux, before it is changed: that of a setgid directory."""
    entry = parent.entry
    return entry.gid if entry is not None and entry.mode & _SETGID else 0


def _directory(group: int) -> LayerEntry:
    return LayerEntry("", "dir", IMPLIED_MODE, 0, group, 0, 0, "", (0, 0), None, 0, 0, 0, None)


def _with_ids(entry: LayerEntry, uid: int, gid: int) -> LayerEntry:
    """Replace the ids that chown(2) leaves unchanged."""
    return replace(
        entry,
        uid=uid if entry.uid == _UNCHANGED else entry.uid,
        gid=gid if entry.gid == _UNCHANGED else entry.gid,
    )
