"""The entries of a layer: files, directories, links, devices, whiteouts, and entries that no builder writes.

They are values; `cosinspect.testing.tar_writer` makes archives of them. Whiteouts follow image-spec,
layer.md. Text in place of bytes is encoded as UTF-8, and surrogates as their bytes (`os.fsdecode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

__all__ = [
    "Device",
    "Directory",
    "Entries",
    "Entry",
    "Fifo",
    "File",
    "Hardlink",
    "NamedEntry",
    "Opaque",
    "RawEntry",
    "RawName",
    "Symlink",
    "Whiteout",
    "as_bytes",
]


def as_bytes(text: str | bytes) -> bytes:
    """Return text as UTF-8, with surrogates as their bytes; return bytes unchanged."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


@frozen
class RawName:
    """A name that is written unchanged: `RawName("./a")`, `RawName("/abs")`, `RawName("a/../b")`.

    It is neither verified nor changed (a directory gets no trailing slash), and no parents are added.
    """

    name: bytes = field(converter=as_bytes)


@frozen
class File:
    """A regular file. `xattrs` are names to values, such as `{"security.capability": b"..."}`."""

    content: bytes = field(default=b"", converter=as_bytes)
    mode: int = field(default=0o644, kw_only=True)
    uid: int = field(default=0, kw_only=True)
    gid: int = field(default=0, kw_only=True)
    mtime: int = field(default=0, kw_only=True)
    xattrs: Mapping[str, str | bytes] = field(factory=dict, kw_only=True)


@frozen(kw_only=True)
class Directory:
    """A directory, for a mode, an owner, or an empty directory."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Mapping[str, str | bytes] = field(factory=dict)


@frozen
class Symlink:
    """A symbolic link; `target` is written unchanged."""

    target: bytes = field(converter=as_bytes)
    mode: int = field(default=0o777, kw_only=True)
    uid: int = field(default=0, kw_only=True)
    gid: int = field(default=0, kw_only=True)
    mtime: int = field(default=0, kw_only=True)
    xattrs: Mapping[str, str | bytes] = field(factory=dict, kw_only=True)


@frozen
class Hardlink:
    """Another name of the file at `target`, a path inside the image (written without its leading slash)."""

    target: str | RawName
    mode: int = field(default=0o644, kw_only=True)
    uid: int = field(default=0, kw_only=True)
    gid: int = field(default=0, kw_only=True)
    mtime: int = field(default=0, kw_only=True)
    xattrs: Mapping[str, str | bytes] = field(factory=dict, kw_only=True)


@frozen
class Device:
    """A device node: `Device("char", 1, 3)` is /dev/null."""

    kind: Literal["char", "block"]
    major: int
    minor: int
    mode: int = field(default=0o600, kw_only=True)
    uid: int = field(default=0, kw_only=True)
    gid: int = field(default=0, kw_only=True)
    mtime: int = field(default=0, kw_only=True)
    xattrs: Mapping[str, str | bytes] = field(factory=dict, kw_only=True)


@frozen(kw_only=True)
class Fifo:
    """A named pipe."""

    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Mapping[str, str | bytes] = field(factory=dict)


@frozen
class Whiteout:
    """Deletes its path from lower layers: `{"etc/motd": Whiteout()}` writes `etc/.wh.motd`."""


@frozen
class Opaque:
    """Hides the content of its directory in lower layers; writes `<path>/.wh..wh..opq`."""


@frozen
class RawEntry:
    """Bytes that are put into the archive unchanged, with headers and padding; its path is ignored."""

    data: bytes


NamedEntry: TypeAlias = (
    str | bytes | File | Directory | Symlink | Hardlink | Device | Fifo | Whiteout | Opaque
)
"""An entry with a header; text or bytes are a regular file of mode 0644."""

Entry: TypeAlias = NamedEntry | RawEntry
"""An entry at a path."""

Entries: TypeAlias = (
    Mapping[str, Entry] | Mapping[str | RawName, Entry] | Iterable[tuple[str | RawName, Entry]]
)
"""A layer: paths to entries, or pairs if order or duplicates matter. Bytes that are not UTF-8 are surrogates in a path (`os.fsdecode`).
"""
