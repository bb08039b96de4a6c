"""The extended attributes of a file as one block of ext2 (Linux: fs/ext4/xattr.c, fs/ext4/acl.c)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from cosinspect.errors import CannotBoot

__all__ = ["BLOCK", "attribute_block"]

BLOCK = 4096

_MAGIC = 0xEA020000
_PREFIXES = (
    ("user.", 1),
    ("trusted.", 4),
    ("security.", 6),
)
_ACLS = {"system.posix_acl_access": 2, "system.posix_acl_default": 3}
_WITH_ID = (2, 8)
"""Tags of an access control list that name a user or a group."""


def attribute_block(path: str, xattrs: Mapping[str, str], uses: int = 1) -> bytes:
    """Return the block with a file's attributes, b"" where it has none that Linux keeps.

    Args:
        path: of the file, for messages.
        xattrs: by name, values with surrogate escapes.
        uses: how many inodes share the block.

    Raises:
        CannotBoot: they do not fit into one block, as ext2 requires.
    """
    found: list[tuple[int, bytes, bytes]] = []
    for name, text in xattrs.items():
        value = text.encode("utf-8", "surrogateescape")
        if name in _ACLS:
            found.append((_ACLS[name], b"", _access_list(value)))
            continue
        for prefix, index in _PREFIXES:
            if name.startswith(prefix) and len(name) > len(prefix):
                found.append((index, name.removeprefix(prefix).encode("utf-8", "surrogateescape"), value))
                break
    if not found:
        return b""
    # ext4 requires this order (xattr.c: ext4_xattr_block_find and its binary search).
    found.sort(key=lambda each: (each[0], len(each[1]), each[1]))
    entries = bytearray()
    end, block_hash = BLOCK, 0
    values: list[tuple[int, bytes]] = []
    for index, name_bytes, value in found:
        if len(name_bytes) > 255:
            raise _too_large(path)
        padded = -(-len(value) // 4) * 4
        end -= padded
        if end < 0:
            raise _too_large(path)
        at = end if value else 0
        own = _entry_hash(name_bytes, value.ljust(padded, b"\0"))
        values.append((end, value))
        entries += struct.pack("<BBHIII", len(name_bytes), index, at, 0, len(value), own)
        entries += name_bytes + bytes(-len(name_bytes) % 4)
        block_hash = ((block_hash << 16) ^ (block_hash >> 16) ^ own) & 0xFFFFFFFF
    if 32 + len(entries) + 4 > end:
        raise _too_large(path)
    block = bytearray(BLOCK)
    block[:32] = struct.pack("<IIII16x", _MAGIC, uses, 1, block_hash)
    block[32 : 32 + len(entries)] = entries
    for at, value in values:
        block[at : at + len(value)] = value
    return bytes(block)


def _entry_hash(name: bytes, value: bytes) -> int:
    """Hash an entry (xattr.c: ext4_xattr_hash_entry)."""
    found = 0
    for byte in name:
        found = ((found << 5) ^ (found >> 27) ^ byte) & 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", value):
        found = ((found << 16) ^ (found >> 16) ^ word) & 0xFFFFFFFF
    return found


def _access_list(value: bytes) -> bytes:
    """Write an access control list as ext2 stores it: shorter entries where no user or group is named (acl.c)."""
    found = bytearray(struct.pack("<I", 1))
    for tag, bits, number in struct.iter_unpack("<HHI", value[4 : len(value) - (len(value) - 4) % 8]):
        found += struct.pack("<HHI", tag, bits, number) if tag in _WITH_ID else struct.pack("<HH", tag, bits)
    return bytes(found)


def _too_large(path: str) -> CannotBoot:
    return CannotBoot(
        f"expected extended attributes that fit into one block of {BLOCK} bytes, as ext2 requires, found more",
        where=path,
    )
