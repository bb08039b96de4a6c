"""The kernel that Elemental 3 takes, and what it requires beside it.

Elemental 3 never looks at /boot: it takes the last kernel below /usr/lib/modules by name, as a string
(SUSE/elemental af2c437, pkg/sys/vfs/vfs.go, FindKernel and FindKernelHmac; pkg/bootloader/grub.go).
"""

from __future__ import annotations

import posixpath

from attrs import frozen

from cosinspect.globs import name_matches
from cosinspect.rootfs.rootfs import Entry, Rootfs, Trace

__all__ = ["LINK_DEPTH", "BootFiles", "find_boot_files"]

LINK_DEPTH = 4
"""Symbolic links that Elemental 3 follows from a name to a kernel (vfs.go, MaxLinkDepth)."""

_DIRECTORY = "/usr/lib/modules"
_NAMES = ("uImage*", "Image*", "zImage*", "vmlinuz*", "image*")


@frozen
class BootFiles:
    """What FindKernel returns for an image, or why it returns an error.

    Attributes:
        kernel: the path of the kernel with all links resolved, "" if there is none.
        names: every name that matches, sorted as Elemental 3 sorts them: the first one wins.
        broken: the first matching link that does not resolve; the search ends there with an error.
    """

    kernel: str = ""
    names: tuple[str, ...] = ()
    broken: Trace | None = None

    @property
    def version(self) -> str:
        """The kernel's version: the name of its directory."""
        return posixpath.basename(posixpath.dirname(self.kernel))

    @property
    def hmac(self) -> str:
        """Where the kernel's checksum must be."""
        return f"{posixpath.dirname(self.kernel)}/.{posixpath.basename(self.kernel)}.hmac"

    @property
    def initrd(self) -> str:
        """Where the initrd must be."""
        return f"{posixpath.dirname(self.kernel)}/initrd"


def find_boot_files(rootfs: Rootfs) -> BootFiles:
    """Search `rootfs` as Elemental 3 does."""
    found: dict[str, str] = {}
    for pattern in _NAMES:
        for entry in _matches(rootfs, pattern):
            trace = rootfs.trace(entry.path)
            if trace.entry is None or len(trace.hops) > LINK_DEPTH:
                return BootFiles(broken=trace)
            found.setdefault(trace.entry.path, entry.path)
    if not found:
        return BootFiles()
    ordered = sorted(found, key=lambda path: path.encode("utf-8", "surrogateescape"), reverse=True)
    return BootFiles(ordered[0], tuple(found[path] for path in ordered))


def _matches(rootfs: Rootfs, pattern: str) -> list[Entry]:
    """Return the entries that filepath.WalkDir reaches: it does not follow links to directories."""
    top = rootfs.trace(_DIRECTORY).entry
    directories = rootfs.children(top).values() if top is not None and top.type == "dir" else ()
    inside = [entry for entry in directories if entry.type == "dir"]
    return [
        item
        for directory in inside
        for name, item in rootfs.children(directory).items()
        if name_matches(name, pattern)
    ]
