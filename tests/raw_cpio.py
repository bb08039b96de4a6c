"""cpio members written field by field, for what no honest writer writes."""

from __future__ import annotations

TRAILER = b"070701" + b"0" * 32 + b"00000001" + b"0" * 48 + b"0000000B" + b"0" * 8 + b"TRAILER!!!\0\0\0\0"

FILE = 0o100644
DIRECTORY = 0o040755
SYMLINK = 0o120777


def raw_member(
    name: bytes, body: bytes = b"", mode: int = FILE, *, magic: bytes = b"070701", **fields: int
) -> bytes:
    """One member; the fields are named as in the description of the format, and any may lie."""
    values = {"ino": 1, "mode": mode, "uid": 0, "gid": 0, "nlink": 1, "mtime": 0, "size": len(body)}
    values |= {"major": 0, "minor": 0, "rmajor": 0, "rminor": 0, "namesize": len(name) + 1, "check": 0}
    header = magic + b"".join(b"%08x" % value for value in (values | fields).values()) + name + b"\0"
    return header + bytes(-len(header) % 4) + body + bytes(-len(body) % 4)


def raw_archive(*members: bytes) -> bytes:
    """Members and a trailer."""
    return b"".join(members) + TRAILER
