"""The merged tree as members of a file system, with what an installation adds to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from cosinspect.boot.member import FileType, Member, directory
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = ["CREATED", "as_installed", "tree_members"]

CREATED = {
    "/run": 0o755, "/dev": 0o755, "/boot": 0o755, "/usr": 0o755, "/usr/local": 0o755, "/oem": 0o755, "/system": 0o755,
    "/proc": 0o555, "/sys": 0o555, "/tmp": 0o1777,  # noqa: S108 - of the image, not of this machine
}  # fmt: skip
"""The directories that installation makes where they are missing (elemental-cli, pkg/utils: CreateDirStructure)."""


def tree_members(rootfs: Rootfs) -> Iterator[Member]:
    """Yield every name of a merged tree, directories before what is in them."""
    for entry in rootfs.walk("/"):
        yield _member(rootfs, entry)


def as_installed(rootfs: Rootfs) -> Iterator[Member]:
    """Yield the tree, and behind it the directories that installation makes, and lost+found, which mke2fs makes."""
    there = set()
    for member in tree_members(rootfs):
        if member.path in CREATED or member.path == "/lost+found":
            there.add(member.path)
        yield member
    directories = {"/"}
    for path, mode in CREATED.items():
        above = path.rpartition("/")[0] or "/"
        # A directory that is reached by a link is there.
        if path not in there and not rootfs.exists(path) and (above in directories or above in there):
            directories.add(path)
            yield directory(path, mode)
    if "/lost+found" not in there:
        yield directory("/lost+found", 0o700)


def _member(rootfs: Rootfs, entry: Entry) -> Member:
    is_file = entry.type == "file"
    return Member(
        entry.path, cast("FileType", entry.type), entry.mode, entry.uid, entry.gid, entry.size if is_file else 0, entry.mtime,
        entry.link, entry.device, entry.xattrs, entry.node.inode, None, rootfs.place(entry) if is_file else None,
    )  # fmt: skip
