"""Unified kernel images among an image's files: each read once, with its kernel and its initrd."""

from __future__ import annotations

from attrs import frozen

from cosinspect.cache.parsed import Parsed
from cosinspect.errors import FormatError
from cosinspect.formats.boot.unified_kernel import UnifiedKernel, Unpack, read_unified_kernel
from cosinspect.rootfs.rootfs import Entry, Rootfs, Trace

__all__ = ["UnifiedKernelFile", "read_unified_file"]


@frozen
class UnifiedKernelFile:
    """A file that should be a unified kernel image.

    Attributes:
        path: as the boot loader names it.
        trace: how it resolves.
        unified: the content of its sections, None if it is missing or not an EFI program.
        fault: why it is not one, None if it is one or missing.
    """

    path: str
    trace: Trace
    unified: UnifiedKernel | None
    fault: FormatError | None


def read_unified_file(rootfs: Rootfs, path: str, parsed: Parsed, unpack: Unpack) -> UnifiedKernelFile:
    """Read the file at a path, links followed.

    Args:
        rootfs: the merged tree.
        path: of the file.
        parsed: the cache of parsed files.
        unpack: reads an initrd of a stream and its size.
    """
    trace = rootfs.trace(path)
    entry = trace.entry
    if entry is None or entry.type != "file":
        return UnifiedKernelFile(path, trace, None, None)

    def read(entry: Entry = entry) -> UnifiedKernel:
        return read_unified_kernel(lambda: rootfs.open(entry.path), size=entry.size, unpack=unpack)

    try:
        return UnifiedKernelFile(
            path, trace, parsed.get("unified", rootfs.origin(entry), read, type=UnifiedKernel), None
        )
    except FormatError as fault:
        return UnifiedKernelFile(path, trace, None, fault)
