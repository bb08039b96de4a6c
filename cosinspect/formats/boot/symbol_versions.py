"""Versions of symbols in ELF files: the versions that a file needs of its libraries, and those that a library defines.

Sources: the ELF chapter "Symbol Versioning" of the Linux Standard Base, and `elf/dl-version.c` of glibc (`_dl_check_map_versions`), which
stops a program with `version 'GLIBC_2.38' not found` before its first instruction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["MAX_VERSIONS", "StretchAt", "defined_versions", "wanted_versions"]

MAX_VERSIONS = 2000
"""The most entries of each table that are read; libstdc++ has about 60, the largest libraries a few hundred."""

_WEAK = 2

StretchAt: TypeAlias = "Callable[[int, int], bytes | None]"
"""Returns a number of bytes at an offset of a file, None if they are not available."""
_NameAt: TypeAlias = "Callable[[int], bytes | None]"


def wanted_versions(
    order: str, at: int, count: int, read: StretchAt, name_at: _NameAt
) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    """Return the versions that a file needs, by the library that must define them.

    Weak versions are left out, because a loader continues without them. Their library stays, because a loader looks for it.

    Args:
        order: the byte order, as `struct` writes it.
        at: the offset of the table in the file (DT_VERNEED).
        count: the number of its entries (DT_VERNEEDNUM).
        read: returns bytes of the file.
        name_at: returns the name at an offset of the string table.

    Returns:
        None if a part of the table is not available.
    """
    record, auxiliary = struct.Struct(order + "HHIII"), struct.Struct(order + "IHHII")
    found: dict[str, list[str]] = {}
    left = MAX_VERSIONS
    for _ in range(min(count, MAX_VERSIONS)):
        data = read(at, record.size)
        if data is None:
            return None
        _, names, file, first, following = record.unpack(data)
        library = name_at(file)
        if library is None:
            return None
        versions = found.setdefault(_text(library), [])
        place = at + first
        for _ in range(names):
            left -= 1
            data = read(place, auxiliary.size)
            if data is None or left < 0:
                return None
            _, flags, _, name, behind = auxiliary.unpack(data)
            version = name_at(name)
            if version is None:
                return None
            if not flags & _WEAK:
                versions.append(_text(version))
            if not behind:
                break
            place += behind
        if not following:
            break
        at += following
    return tuple((library, tuple(versions)) for library, versions in found.items())


def defined_versions(
    order: str, at: int, count: int, read: StretchAt, name_at: _NameAt
) -> tuple[str, ...] | None:
    """Return the versions that a library defines, including its own name.

    Args:
        order: the byte order, as `struct` writes it.
        at: the offset of the table in the file (DT_VERDEF).
        count: the number of its entries (DT_VERDEFNUM).
        read: returns bytes of the file.
        name_at: returns the name at an offset of the string table.

    Returns:
        None if a part of the table is not available.
    """
    record, auxiliary = struct.Struct(order + "HHHHIII"), struct.Struct(order + "II")
    found: list[str] = []
    if count > MAX_VERSIONS:
        return None
    for _ in range(count):
        data = read(at, record.size)
        if data is None:
            return None
        *_, first, following = record.unpack(data)
        data = read(at + first, auxiliary.size)
        name = name_at(auxiliary.unpack(data)[0]) if data is not None else None
        if name is None:
            return None
        found.append(_text(name))
        if not following:
            break
        at += following
    return tuple(found)


def _text(raw: bytes) -> str:
    return raw[:4096].decode("utf-8", "replace")
