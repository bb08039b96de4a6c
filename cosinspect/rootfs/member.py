"""A file as an archive or a file system holds it: type, owner, times, and where its content comes from."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Literal, TypeAlias, cast

from attrs import field, frozen

from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = ["FileType", "Member", "directory", "text_file", "tree_members"]

FileType: TypeAlias = Literal["file", "dir", "symlink", "char", "block", "fifo"]


@frozen
class Member:
    """One name of a tree and its file.

    Attributes:
        path: absolute, without a slash at its end; "/" for the root. Bytes that are not UTF-8 as surrogate escapes.
        type: the kind of file.
        mode: permission bits, setuid, setgid and sticky included.
        size: bytes of a file's content, 0 for everything else.
        mtime: seconds since the epoch.
        link: target of a symbolic link.
        device: major and minor number.
        xattrs: extended attributes, values with surrogate escapes.
        identity: what all names of one file share, None where it has one name.
        content: the bytes of a small file that is available.
        source: what the content is found by where it is not available.
        from_path: the path in the image that a copy is of, "" where it is the same.
    """

    path: str
    type: FileType
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, str] = field(factory=dict, hash=False)
    identity: Hashable = None
    content: bytes | None = field(default=None, repr=False)
    source: Hashable = None
    from_path: str = ""


def directory(path: str, mode: int = 0o755) -> Member:
    """Return a directory that root owns."""
    return Member(path, "dir", mode)


def text_file(path: str, content: str, mode: int = 0o644) -> Member:
    """Return a small file that root owns."""
    body = content.encode("utf-8", "surrogateescape")
    return Member(path, "file", mode, size=len(body), content=body)


def tree_members(rootfs: Rootfs) -> Iterator[Member]:
    """Yield every name of a merged tree, directories before what is in them."""
    for entry in rootfs.walk("/"):
        yield _member(rootfs, entry)


def _member(rootfs: Rootfs, entry: Entry) -> Member:
    is_file = entry.type == "file"
    return Member(
        entry.path, cast("FileType", entry.type), entry.mode, entry.uid, entry.gid, entry.size if is_file else 0, entry.mtime,
        entry.link, entry.device, entry.xattrs, entry.node.inode, None, rootfs.place(entry) if is_file else None,
    )  # fmt: skip
