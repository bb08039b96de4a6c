"""The merged tree as members of a file system, with what an installation adds to it."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.rootfs.member import Member, directory, tree_members
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["CREATED", "as_installed"]

CREATED = {
    "/run": 0o755, "/dev": 0o755, "/boot": 0o755, "/usr": 0o755, "/usr/local": 0o755, "/oem": 0o755, "/system": 0o755,
    "/proc": 0o555, "/sys": 0o555, "/tmp": 0o1777,  # noqa: S108 - of the image, not of this machine
}  # fmt: skip
"""The directories that installation makes where they are missing (elemental-cli, pkg/utils: CreateDirStructure)."""


def as_installed(rootfs: Rootfs) -> Iterator[Member]:
    """Yield the tree, and after it the directories that installation makes, and lost+found, which mke2fs makes."""
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
