"""The disk of a machine, written straight from the merged tree: one sparse file, each layer read once."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from pathlib import Path

from cosinspect.boot.ext2 import BLOCK, Ext2
from cosinspect.boot.fat import Fat32
from cosinspect.boot.layout import Volume
from cosinspect.boot.partitions import disk_size, place_partitions, write_table
from cosinspect.boot.sinks import Extent, Region, Sink, SparseFile
from cosinspect.errors import CannotBoot
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["space_needed", "write_disk"]

_SPARE = 1.05
"""What a disk takes at most beyond the contents of its files."""


def write_disk(path: Path, volumes: Sequence[Volume], rootfs: Rootfs) -> int:
    """Write a disk, and return its size in bytes; what is never written takes no space.

    Args:
        path: of the new file.
        volumes: the partitions in their order.
        rootfs: where the contents of files come from.

    Raises:
        CannotBoot: there is not enough space.
        CosinspectError: a layer cannot be had again.
        OSError: the file cannot be written.
    """
    needed = space_needed(volumes)
    free = os.statvfs(path.parent)
    if free.f_bavail * free.f_frsize < needed:
        raise CannotBoot(
            f"expected {needed >> 20} MiB for the machine's disk, found {free.f_bavail * free.f_frsize >> 20} MiB free",
            where=str(path.parent),
            remedy="name a directory with more space (--keep, or TMPDIR)",
        )
    partitions = place_partitions([(each.name, each.kind, each.size) for each in volumes])
    size = disk_size(partitions)
    with SparseFile(path, size) as file:
        write_table(file, partitions)
        for volume, partition in zip(volumes, partitions, strict=True):
            region = Region(file, [Extent(partition.start, partition.size)])
            _write_volume(region, volume, rootfs)
    return size


def space_needed(volumes: Sequence[Volume]) -> int:
    """Return the bytes that a disk takes at most while it is written."""
    total = 0
    for volume in volumes:
        systems = [volume.system, *([volume.image[1]] if volume.image else [])]
        for system in systems:
            if isinstance(system, Ext2):
                total += sum(member.size for member, _ in system.contents if member.source != "image")
                total += system.structure_bytes
            else:
                total += system.size // 16
    return int(total * _SPARE) + (16 << 20)


def _write_volume(sink: Region, volume: Volume, rootfs: Rootfs) -> None:
    system = volume.system
    if isinstance(system, Fat32):
        system.write(sink)
        return
    system.write_structure(sink)
    if volume.image is not None:
        source, inner = volume.image
        extents = next(blocks for member, blocks in system.contents if member.source == source)
        # The image's file lies in several stretches, between the structures of the file system around it.
        inside = Region(sink, [Extent(each.first * BLOCK, each.count * BLOCK) for each in extents])
        inner.write_structure(inside)
        _write_contents(inside, inner, rootfs)
    _write_contents(sink, system, rootfs)


def _write_contents(sink: Sink, system: Ext2, rootfs: Rootfs) -> None:
    wanted: dict[Hashable, list[tuple[Extent, ...]]] = {}
    entries = []
    for member, extents in system.contents:
        if member.content is None and isinstance(member.source, tuple):
            if member.source not in wanted:
                entries.append(rootfs.lstat(member.from_path or member.path))
            wanted.setdefault(member.source, []).append(extents)
    for place, pieces in rootfs.contents(entries):
        places = wanted.pop(place)
        if len(places) == 1:
            system.write_content(sink, places[0], pieces)
            continue
        at = 0
        for piece in pieces:
            for extents in places:
                system.write_piece(sink, extents, at, piece)
            at += len(piece)
    if wanted:
        raise CannotBoot(f"expected the contents of all files in the layers, found {len(wanted)} missing")
