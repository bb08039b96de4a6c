"""A file system of type ext2, laid out before the first byte is written, so that content can come in any order.

Two passes: `Ext2` gives every file of a tree its inode and its blocks; `write_structure` writes everything but the contents of
files, and `write_content` puts those to their places as they come. Blocks that stay zero are never written: the file is sparse.

The format is that of Linux (fs/ext2/ext2.h) and of libext2fs: revision 1, blocks of 4096 bytes, inodes of 256. No feature is set that
an old e2fsck or GRUB 2.02 does not know.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Iterator

from attrs import define, field

from cosinspect.boot.ext2_structures import (
    BLOCK,
    FIRST_INODE,
    GROUP_BLOCKS,
    INODE_BYTES,
    bitmap,
    device,
    directory_blocks,
    has_copy,
    pack_inode,
    pack_superblock,
    pointer_blocks,
    pointer_tree,
)
from cosinspect.boot.ext2_xattrs import attribute_block
from cosinspect.boot.sinks import Extent, Region, Sink
from cosinspect.errors import CannotBoot
from cosinspect.rootfs.member import Member

__all__ = ["BLOCK", "Ext2"]

ROOT_INODE = 2

MOST_INODES = 1_000_000
"""Files of one tree; an operating system has some hundred thousand at most."""
MOST_BYTES = 64 << 30
"""Bytes that a file system takes."""
MOST_LINKS = 65000
"""Names of one file, and subdirectories of one directory and two (EXT4_LINK_MAX)."""
MOST_LINK_BYTES = BLOCK - 1
_FAST_LINK = 60
_SPARE_BLOCKS = 64
_MODES = {
    "file": 0x8000, "dir": 0x4000, "symlink": 0xA000, "char": 0x2000, "block": 0x6000, "fifo": 0x1000,
}  # fmt: skip
_KINDS = {"file": 1, "dir": 2, "char": 3, "block": 4, "fifo": 5, "symlink": 7}


@define
class _File:
    """An inode: the first name of its file, and what it takes.

    Attributes:
        number: of the inode.
        links: how many names it has; of a directory, itself and its subdirectories as well.
        names: of a directory: names with the inodes and kinds of what they stand for.
        blocks: of the content, in their order.
        indirect: blocks of pointers, in the order in which they are made.
        attributes: the block of its extended attributes, 0 for none.
    """

    member: Member
    number: int
    links: int = 0
    names: list[tuple[bytes, int, int]] = field(factory=list)
    directory_blocks: list[bytes] = field(factory=list)
    blocks: list[Extent] = field(factory=list)
    indirect: list[int] = field(factory=list)
    attributes: int = 0

    @property
    def size(self) -> int:
        if self.member.type == "dir":
            return len(self.directory_blocks) * BLOCK
        if self.member.type == "symlink":
            return len(_raw(self.member.link))
        return self.member.size

    @property
    def data_blocks(self) -> int:
        if self.member.type == "symlink" and self.size < _FAST_LINK:
            return 0
        return -(-self.size // BLOCK)


class Ext2:
    """A file system for a tree.

    Attributes:
        label: its name, at most 16 bytes.
        blocks: how many blocks of `BLOCK` bytes it has.
    """

    def __init__(
        self,
        members: Iterable[Member],
        *,
        label: str = "",
        size: int = 0,
        slack: int = 0,
        uuid: bytes = bytes(16),
        lettered_ext4: bool = False,
    ) -> None:
        """Lay a tree out.

        Args:
            members: the root first, every directory before what is in it.
            label: the file system's name.
            size: bytes that it has at least; it grows as the tree requires.
            slack: bytes that are free beside the tree.
            uuid: its identity.
            lettered_ext4: whether programs that look for a file system's type call it ext4, as a state partition is.

        Raises:
            CannotBoot: ext2 cannot hold the tree, or the tree is beyond a bound.
        """
        if len(label.encode()) > 16:
            raise CannotBoot(f"expected a label of at most 16 bytes, found {label!r}")
        self.label = label
        self._uuid = uuid
        self._ext4 = lettered_ext4
        self._files: list[_File] = []
        self._by_identity: dict[Hashable, _File] = {}
        self._attributes: dict[bytes, int] = {}
        self._attribute_uses: dict[int, int] = {}
        self._take_names(members)
        for each in self._files:
            if each.member.type == "dir":
                each.directory_blocks = list(directory_blocks(each.names))
        self._measure(size, slack)
        self._allocate()

    @property
    def size(self) -> int:
        """Bytes of the whole file system."""
        return self.blocks * BLOCK

    @property
    def structure_bytes(self) -> int:
        """Bytes of what is written besides the contents of files."""
        return sum(self._overhead(group) for group in range(self._groups)) * BLOCK

    @property
    def contents(self) -> Iterator[tuple[Member, tuple[Extent, ...]]]:
        """Yield each regular file that has content, with its blocks."""
        for each in self._files:
            if each.member.type == "file" and each.member.size:
                yield each.member, tuple(each.blocks)

    # -- names and inodes ------------------------------------------------------------------------------------------

    def _take_names(self, members: Iterable[Member]) -> None:
        directories: dict[str, _File] = {}
        for member in members:
            if not directories:
                if member.path != "/" or member.type != "dir":
                    raise CannotBoot("expected the root of a tree to be a directory", where=member.path)
                root = _File(member, ROOT_INODE, links=2)
                root.names += [(b".", ROOT_INODE, _KINDS["dir"]), (b"..", ROOT_INODE, _KINDS["dir"])]
                directories["/"] = root
                self._files.append(root)
                continue
            above, _, name = member.path.rpartition("/")
            parent = directories[above or "/"]
            found = self._file_of(member)
            parent.names.append((_name(member.path, name), found.number, _KINDS[member.type]))
            found.links += 1
            if member.type == "dir":
                directories[member.path] = found
                found.links += 1
                parent.links += 1
                found.names += [
                    (b".", found.number, _KINDS["dir"]),
                    (b"..", parent.number, _KINDS["dir"]),
                ]
            for each in (found, parent):
                if each.links > MOST_LINKS:
                    raise CannotBoot(
                        f"expected at most {MOST_LINKS - 2} subdirectories or names, as ext2 takes, found more",
                        where=each.member.path,
                    )
        if not self._files:
            raise CannotBoot("expected a tree with a root, found nothing")

    def _file_of(self, member: Member) -> _File:
        """Return the inode of a name, the same one for all names of a file."""
        known = None if member.identity is None else self._by_identity.get(member.identity)
        if known is not None and known.member.type == member.type:
            return known
        number = FIRST_INODE + len(self._files) - 1
        if len(self._files) >= MOST_INODES:
            raise CannotBoot(
                f"expected at most {MOST_INODES} files, found more",
                where=member.path,
                remedy="an operating system has fewer; leave out what does not belong to it",
            )
        _check(member)
        found = _File(member, number)
        if member.identity is not None:
            self._by_identity[member.identity] = found
        self._files.append(found)
        return found

    # -- space -----------------------------------------------------------------------------------------------------

    def _measure(self, size: int, slack: int) -> None:
        """Find out how many blocks and groups it takes."""
        used = 0
        for each in self._files:
            count = each.data_blocks
            used += count + pointer_blocks(count)
            used += bool(each.member.xattrs)
            if used * BLOCK > MOST_BYTES:
                raise CannotBoot(
                    f"expected files of at most {MOST_BYTES >> 30} GiB together, found more",
                    where=each.member.path,
                )
        used += -(-slack // BLOCK)
        inodes = len(self._files) + FIRST_INODE + 1024
        total = max(-(-size // BLOCK), used + _SPARE_BLOCKS)
        while True:
            groups = -(-total // GROUP_BLOCKS)
            per_group = -(-inodes // groups)
            per_group = min(-(-per_group // 16) * 16, 8 * BLOCK)
            if per_group * groups < inodes:
                total += GROUP_BLOCKS
                continue
            self._inodes_per_group = per_group
            self._groups = groups
            self.blocks = total
            room = sum(total_of.count for total_of in self._free_extents())
            last = total - (groups - 1) * GROUP_BLOCKS
            short = used + _SPARE_BLOCKS - room
            if short <= 0 and last > self._overhead(groups - 1) + 50:
                return
            total += max(short, 64)

    @property
    def _descriptor_blocks(self) -> int:
        return -(-self._groups * 32 // BLOCK)

    @property
    def _table_blocks(self) -> int:
        return self._inodes_per_group * INODE_BYTES // BLOCK

    def _overhead(self, group: int) -> int:
        """Count the blocks at the beginning of a group that hold no content."""
        return (1 + self._descriptor_blocks if has_copy(group) else 0) + 2 + self._table_blocks

    def _group_blocks(self, group: int) -> int:
        return min(GROUP_BLOCKS, self.blocks - group * GROUP_BLOCKS)

    def _free_extents(self) -> Iterator[Extent]:
        for group in range(self._groups):
            own = self._overhead(group)
            count = self._group_blocks(group) - own
            if count > 0:
                yield Extent(group * GROUP_BLOCKS + own, count)

    def _allocate(self) -> None:
        """Return every file its blocks, one file after the other."""
        cursor = _Cursor(self._free_extents())
        for each in self._files:
            each.blocks = cursor.take(each.data_blocks)
            count = pointer_blocks(each.data_blocks)
            each.indirect = [number for extent in cursor.take(count) for number in _numbers(extent)]
            if each.member.xattrs:
                body = attribute_block(each.member.path, each.member.xattrs)
                if body:
                    place = self._attributes.get(body)
                    if (
                        place is None or self._attribute_uses[place] >= 1000
                    ):  # EXT4_XATTR_REFCOUNT_MAX is 1024
                        place = cursor.take(1)[0].first
                        self._attributes[body] = place
                        self._attribute_uses[place] = 0
                    self._attribute_uses[place] += 1
                    each.attributes = place
        self._left = cursor.left
        self._used = cursor.used

    # -- writing ---------------------------------------------------------------------------------------------------

    def write_structure(self, sink: Sink) -> None:
        """Write everything but the contents of files that are not available."""
        for each in self._files:
            if each.member.type == "dir":
                _write_blocks(sink, each.blocks, b"".join(each.directory_blocks))
            elif each.member.type == "symlink" and each.data_blocks:
                _write_blocks(sink, each.blocks, _raw(each.member.link))
            elif each.member.content:
                _write_blocks(sink, each.blocks, each.member.content)
            self._write_pointers(sink, each)
        self._write_attributes(sink)
        self._write_inodes(sink)
        self._write_groups(sink)

    @staticmethod
    def write_content(sink: Sink, extents: Iterable[Extent], pieces: Iterable[bytes]) -> int:
        """Write a file's content to its blocks, zeros left out, and return how many bytes it had."""
        waiting = iter(extents)
        at = left = total = 0
        for whole in pieces:
            piece = whole
            while piece:
                if not left:
                    extent = next(waiting, None)
                    if extent is None:
                        raise CannotBoot("expected a file of the size that its layer says, found more bytes")
                    at, left = extent.first * BLOCK, extent.count * BLOCK
                part, piece = piece[:left], piece[left:]
                if part.count(0) != len(part):
                    sink.write_at(at, part)
                at += len(part)
                left -= len(part)
                total += len(part)
        return total

    @staticmethod
    def write_piece(sink: Sink, extents: Iterable[Extent], offset: int, piece: bytes) -> None:
        """Write a piece of a file's content to its blocks, `offset` bytes after the file's beginning."""
        Region(sink, [Extent(each.first * BLOCK, each.count * BLOCK) for each in extents]).write_at(
            offset, piece
        )

    def _write_attributes(self, sink: Sink) -> None:
        done: set[int] = set()
        for each in self._files:
            if each.attributes and each.attributes not in done:
                done.add(each.attributes)
                uses = self._attribute_uses[each.attributes]
                sink.write_at(
                    each.attributes * BLOCK, attribute_block(each.member.path, each.member.xattrs, uses)
                )

    def _write_pointers(self, sink: Sink, each: _File) -> None:
        if not each.indirect:
            return
        numbers = [number for extent in each.blocks for number in _numbers(extent)]
        for place, block in pointer_tree(numbers, each.indirect)[1]:
            sink.write_at(place * BLOCK, block)

    def _write_inodes(self, sink: Sink) -> None:
        by_group: dict[int, bytearray] = {}
        for each in self._files:
            group, index = divmod(each.number - 1, self._inodes_per_group)
            table = by_group.get(group)
            if table is None:
                for done, body in by_group.items():  # numbers only grow
                    sink.write_at(self._table(done) * BLOCK, bytes(body))
                by_group = {group: bytearray()}
                table = by_group[group]
            end = (index + 1) * INODE_BYTES
            if len(table) < end:
                table.extend(bytes(end - len(table)))
            table[end - INODE_BYTES : end] = self._inode(each)
        for group, body in by_group.items():
            sink.write_at(self._table(group) * BLOCK, bytes(body))

    def _table(self, group: int) -> int:
        return group * GROUP_BLOCKS + self._overhead(group) - self._table_blocks

    def _inode(self, each: _File) -> bytes:
        member = each.member
        size = each.size
        pointers = [0] * 15
        if member.type in ("char", "block"):
            pointers[:2] = device(*member.device)
        elif each.data_blocks:
            numbers = [number for extent in each.blocks for number in _numbers(extent)]
            pointers = pointer_tree(numbers, each.indirect)[0]
        raw_pointers = struct.pack("<15I", *pointers)
        if member.type == "symlink" and not each.data_blocks:
            raw_pointers = _raw(member.link).ljust(60, b"\0")
        blocks = each.data_blocks + len(each.indirect) + bool(each.attributes)
        mode = _MODES[member.type] | (0o777 if member.type == "symlink" else member.mode & 0o7777)
        return pack_inode(
            mode, (member.uid, member.gid), size, member.mtime, each.links, blocks, raw_pointers, each.attributes,
            large=member.type == "file",
        )  # fmt: skip

    def _write_groups(self, sink: Sink) -> None:
        free_of = dict.fromkeys(range(self._groups), 0)
        for extent in self._left:
            free_of[extent.first // GROUP_BLOCKS] += extent.count
        used_inodes = FIRST_INODE - 1 + len(self._files) - 1
        directories = [0] * self._groups
        for each in self._files:
            directories[(each.number - 1) // self._inodes_per_group] += each.member.type == "dir"
        descriptors = bytearray()
        free_inodes_total = 0
        for group in range(self._groups):
            start = group * GROUP_BLOCKS
            copy = 1 + self._descriptor_blocks if has_copy(group) else 0
            count = self._group_blocks(group)
            in_use = min(max(used_inodes - group * self._inodes_per_group, 0), self._inodes_per_group)
            free_inodes_total += self._inodes_per_group - in_use
            sink.write_at((start + copy) * BLOCK, bitmap(count - free_of[group], count))
            sink.write_at((start + copy + 1) * BLOCK, bitmap(in_use, self._inodes_per_group))
            descriptors += struct.pack(
                "<IIIHHHH12x",
                start + copy, start + copy + 1, start + copy + 2,
                free_of[group], self._inodes_per_group - in_use, directories[group], 0,
            )  # fmt: skip
        for group in range(self._groups):
            if has_copy(group):
                start = group * GROUP_BLOCKS * BLOCK
                sink.write_at(
                    start + (1024 if group == 0 else 0),
                    self._superblock(group, sum(free_of.values()), free_inodes_total),
                )
                sink.write_at(start + BLOCK, bytes(descriptors))

    def _superblock(self, group: int, free_blocks: int, free_inodes: int) -> bytes:
        return pack_superblock(
            inodes=self._inodes_per_group * self._groups,
            blocks=self.blocks,
            free_blocks=free_blocks,
            free_inodes=free_inodes,
            inodes_per_group=self._inodes_per_group,
            group=group,
            uuid=self._uuid,
            label=self.label,
            extra_size=self._ext4,
        )


class _Cursor:
    """Gives blocks away, from the first to the last."""

    def __init__(self, free: Iterable[Extent]) -> None:
        self._free = list(reversed(list(free)))
        self.used = 0

    @property
    def left(self) -> tuple[Extent, ...]:
        return tuple(self._free)

    def take(self, count: int) -> list[Extent]:
        found: list[Extent] = []
        self.used += count
        while count:
            extent = self._free.pop()
            own = min(extent.count, count)
            found.append(Extent(extent.first, own))
            if own < extent.count:
                self._free.append(Extent(extent.first + own, extent.count - own))
            count -= own
        return found


def _check(member: Member) -> None:
    """Refuse what no inode can hold."""
    for what, number in (("user", member.uid), ("group", member.gid)):
        if not 0 <= number < 1 << 32:
            raise CannotBoot(f"expected a {what} from 0 to 4294967295, found {number}", where=member.path)
    if member.type == "symlink" and not 0 < len(_raw(member.link)) <= MOST_LINK_BYTES:
        raise CannotBoot(
            f"expected a link's target of 1 to {MOST_LINK_BYTES} bytes, found {len(_raw(member.link))}",
            where=member.path,
        )
    if member.type in ("char", "block"):
        major, minor = member.device
        if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
            raise CannotBoot(
                f"expected a device number that Linux has, found {major}:{minor}", where=member.path
            )
    if member.size < 0:
        raise CannotBoot(f"expected a size of at least 0, found {member.size}", where=member.path)


def _name(path: str, name: str) -> bytes:
    raw = _raw(name)
    if not 0 < len(raw) <= 255 or raw in (b".", b"..") or b"\0" in raw:
        raise CannotBoot(f"expected a name of 1 to 255 bytes, found {len(raw)}", where=path)
    return raw


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _numbers(extent: Extent) -> range:
    return range(extent.first, extent.first + extent.count)


def _write_blocks(sink: Sink, extents: Iterable[Extent], body: bytes) -> None:
    at = 0
    for extent in extents:
        sink.write_at(extent.first * BLOCK, body[at : at + extent.count * BLOCK])
        at += extent.count * BLOCK
