"""The structures of ext2 on the disk (Linux: fs/ext2/ext2.h, fs/ext4/ext4.h): inodes, directories, pointers, bitmaps, superblocks."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

__all__ = [
    "BLOCK", "DIRECT", "FIRST_INODE", "GROUP_BLOCKS", "INODE_BYTES", "POINTERS", "bitmap", "device", "directory_blocks", "has_copy",
    "pack_inode", "pack_superblock", "pointer_blocks", "pointer_tree",
]  # fmt: skip

BLOCK = 4096
GROUP_BLOCKS = 8 * BLOCK
INODE_BYTES = 256
FIRST_INODE = 11
DIRECT = 12
POINTERS = BLOCK // 4

_MAGIC = 0xEF53
_ATTRIBUTES, _FILE_TYPES, _SPARSE_SUPER, _LARGE_FILE, _EXTRA_SIZE = 0x8, 0x2, 0x1, 0x2, 0x40
_TIMES = (-(1 << 31), (1 << 34) - (1 << 31) - 1)
"""The seconds that an inode of 256 bytes can hold."""


def pack_inode(
    mode: int,
    owner: tuple[int, int],
    size: int,
    mtime: int,
    links: int,
    blocks: int,
    pointers: bytes,
    attributes: int,
    *,
    large: bool,
) -> bytes:
    """Pack an inode.

    Args:
        mode: its kind and its permissions.
        owner: user and group.
        size: bytes of its content.
        mtime: seconds since the epoch, put to the nearest that an inode can hold.
        links: how many names it has.
        blocks: blocks that it takes, those of pointers and of attributes among them.
        pointers: the sixty bytes that lead to its content.
        attributes: the block of its extended attributes, 0 for none.
        large: whether the size may have more than 32 bits, as only that of a regular file has.
    """
    seconds = min(max(mtime, _TIMES[0]), _TIMES[1])
    low = seconds & 0xFFFFFFFF
    epoch = (seconds - (low - (1 << 32) if low >= 1 << 31 else low)) >> 32
    user, group = owner
    sectors = blocks * (BLOCK // 512)
    head = struct.pack(
        "<HHIIIIIHHIII",
        mode, user & 0xFFFF, size & 0xFFFFFFFF, low, low, low, 0, group & 0xFFFF, links, sectors & 0xFFFFFFFF, 0, 0,
    )  # fmt: skip
    tail = struct.pack(
        "<IIIIHHHHI", 0, attributes, size >> 32 if large else 0, 0, 0, 0, user >> 16, group >> 16, 0
    )
    extra = struct.pack("<HHIIIII", 32, 0, epoch, epoch, epoch, low, epoch)
    return (head + pointers + tail + extra).ljust(INODE_BYTES, b"\0")


def pack_superblock(
    *,
    inodes: int,
    blocks: int,
    free_blocks: int,
    free_inodes: int,
    inodes_per_group: int,
    group: int,
    uuid: bytes,
    label: str,
    extra_size: bool,
) -> bytes:
    """Pack a superblock, or its copy in a group; `extra_size` sets the feature by which programs tell ext4 from ext2."""
    features = _SPARSE_SUPER | _LARGE_FILE | (_EXTRA_SIZE if extra_size else 0)
    head = struct.pack(
        "<IIIIIIIIIIIIIHHHHHHIIIIHHIHHIII16s16s",
        inodes, blocks, 0, free_blocks, free_inodes, 0, 2, 2, GROUP_BLOCKS, GROUP_BLOCKS, inodes_per_group, 0, 0,
        0, 0xFFFF, _MAGIC, 1, 1, 0, 0, 0, 0, 1, 0, 0, FIRST_INODE, INODE_BYTES, group,
        _ATTRIBUTES, _FILE_TYPES, features, uuid, label.encode(),
    )  # fmt: skip
    sized = bytearray(head.ljust(1024, b"\0"))
    struct.pack_into("<HH", sized, 0x15C, 32, 32)
    return bytes(sized)


def device(major: int, minor: int) -> tuple[int, int]:
    """Return the two pointers of a device's inode: the old form where it fits, else the new one."""
    if major < 256 and minor < 256:
        return major << 8 | minor, 0
    return 0, (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def has_copy(group: int) -> bool:
    """Return whether a group has a copy of the superblock (sparse_super): 0, 1, and powers of 3, 5 and 7."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def pointer_blocks(count: int) -> int:
    """Count the blocks of pointers that a file with `count` blocks needs."""
    left = count - DIRECT
    if left <= 0:
        return 0
    total, left = 1, left - POINTERS
    if left > 0:
        own = min(left, POINTERS**2)
        total += 1 + -(-own // POINTERS)
        left -= own
    if left > 0:
        total += 1 + -(-left // POINTERS**2) + -(-left // POINTERS)
    return total


def pointer_tree(numbers: list[int], places: list[int]) -> tuple[list[int], list[tuple[int, bytes]]]:
    """Return the fifteen pointers of an inode, and the blocks of pointers with their places."""
    free = iter(places)
    written: list[tuple[int, bytes]] = []

    def tree(part: list[int], depth: int) -> int:
        place = next(free)
        if depth > 1:
            span = POINTERS ** (depth - 1)
            part = [tree(part[at : at + span], depth - 1) for at in range(0, len(part), span)]
        written.append((place, struct.pack(f"<{len(part)}I", *part)))
        return place

    pointers = (numbers[:DIRECT] + [0] * 15)[:15]
    at = DIRECT
    for depth in (1, 2, 3):
        if at < len(numbers):
            span = POINTERS**depth
            pointers[DIRECT + depth - 1] = tree(numbers[at : at + span], depth)
            at += span
    return pointers, written


def directory_blocks(names: Iterable[tuple[bytes, int, int]]) -> Iterator[bytes]:
    """Pack a directory's names; the last one of a block reaches to its end."""
    block = bytearray()
    last = 0

    def closed() -> bytes:
        struct.pack_into("<H", block, last + 4, BLOCK - last)
        return bytes(block.ljust(BLOCK, b"\0"))

    for name, inode, kind in names:
        length = 8 + -(-len(name) // 4) * 4
        if len(block) + length > BLOCK:
            yield closed()
            block = bytearray()
        last = len(block)
        block += struct.pack("<IHBB", inode, length, len(name), kind) + name + bytes(-len(name) % 4)
    yield closed()


def bitmap(used: int, valid: int) -> bytes:
    """Return a bitmap whose first `used` bits are set, and those after `valid`, which stand for nothing."""
    bits = (1 << used) - 1
    bits |= ((1 << 8 * BLOCK) - 1) ^ ((1 << valid) - 1)
    return bits.to_bytes(BLOCK, "little")
