"""What an ext2 file system holds that mke2fs makes with its defaults, and what a tree takes in it.

elemental makes a file with the size that it chose, runs `mkfs.ext2` on it and copies the image into it as root. The numbers are
those of mke2fs 1.42 to 1.47 with the mke2fs.conf that e2fsprogs ships (misc/mke2fs.c, lib/ext2fs/initialize.c).
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Geometry", "data_blocks", "geometry"]

MEBIBYTE = 1024 * 1024

_INODE_BYTES = 256
_DESCRIPTOR_BYTES = 32
_RESERVED_INODES = 10
_DIRECT = 12
_MIN_LAST_GROUP = 50
_MOST_BLOCKS = 0xFFFFFFFF
_SMALL_MEBIBYTES = 512


@frozen
class Geometry:
    """What a new file system offers.

    Attributes:
        block: bytes of one block.
        blocks: blocks that are free for root, after the metadata, the root directory and lost+found.
        inodes: inodes that are free.
    """

    block: int
    blocks: int
    inodes: int


def geometry(mebibytes: int) -> Geometry:
    """Return the layout that `mkfs.ext2` makes for a size of at least 8 MiB; a size that is too large for ext2 has no free blocks."""
    small = mebibytes < _SMALL_MEBIBYTES
    block = 1024 if small else 4096
    ratio = 4096 if small else 16384
    first = 1 if block == 1024 else 0
    total = mebibytes * MEBIBYTE // block
    if total > _MOST_BLOCKS:
        return Geometry(block, 0, 0)
    wanted = total * block // ratio
    per_group = 8 * block
    while True:
        groups = -(-(total - first) // per_group)
        descriptors = -(-groups * _DESCRIPTOR_BYTES // block)
        reserved = _reserved_descriptors(total, first, per_group, descriptors, block)
        in_group = -(-wanted // groups)
        table = -(-in_group * _INODE_BYTES // block)
        in_group = table * block // _INODE_BYTES & ~7
        table = -(-in_group * _INODE_BYTES // block)
        own = table + 2
        copies = _superblocks(groups)
        rest = (total - first) % per_group
        overhead = own + (1 + descriptors + reserved if groups - 1 in copies else 0)
        if not rest or groups == 1 or rest >= overhead + _MIN_LAST_GROUP:
            break
        total -= rest  # mke2fs leaves a last group out that could hold next to nothing
    used = groups * own + len(copies) * (1 + descriptors + reserved) + first
    lost_and_found = max(16384 // block, 1) if block == 4096 else _DIRECT
    # The root directory and the resize inode take one block each.
    return Geometry(block, total - used - lost_and_found - 2, groups * in_group - _RESERVED_INODES - 1)


def _superblocks(groups: int) -> frozenset[int]:
    """Return the groups that have a copy of the superblock: 0, 1 and powers of 3, 5 and 7 (sparse_super)."""
    found = {0, 1}
    for base in (3, 5, 7):
        power = base
        while power < groups:
            found.add(power)
            power *= base
    return frozenset(group for group in found if group < groups)


def _reserved_descriptors(total: int, first: int, per_group: int, descriptors: int, block: int) -> int:
    """Count the blocks that are kept for growing the file system (resize_inode)."""
    most = total * 1024 if total < _MOST_BLOCKS // 1024 else _MOST_BLOCKS
    groups = -(-(most - first) // per_group)
    return min(-(-groups * _DESCRIPTOR_BYTES // block) - descriptors, block // 4)


def data_blocks(size: int, block: int) -> int:
    """Count the blocks that a file of `size` bytes takes, the indirect ones included."""
    blocks = -(-size // block)
    if blocks <= _DIRECT:
        return blocks
    pointers = block // 4
    left = blocks - _DIRECT
    indirect = 1
    left -= pointers
    if left > 0:
        covered = min(left, pointers * pointers)
        indirect += 1 + -(-covered // pointers)
        left -= covered
    if left > 0:
        indirect += 1 + -(-left // (pointers * pointers)) + -(-left // pointers)
    return blocks + indirect
