"""`/etc/ld.so.cache`: the file that glibc's loader uses for the name of a library, as ldconfig wrote it.

Source: `sysdeps/generic/dl-cache.h` of glibc. A cache may begin with the old format (`ld.so-1.7.0`), the new one after it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from cosinspect.deadline import spend
from cosinspect.errors import FormatError

__all__ = ["CACHE_BYTES", "read_loader_cache"]

CACHE_BYTES = 16 * 1024 * 1024
"""The largest cache that is read; real ones have some 100 KiB."""

_OLD, _NEW = b"ld.so-1.7.0\0", b"glibc-ld.so.cache1.1"
_HEADER_BYTES = 48
_ENTRY = 24
_NAME_BYTES = 4096


def read_loader_cache(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """Return the paths for each name, in the cache's order, including those for other architectures.

    Entries for processors with certain features (glibc-hwcaps) are left out, because the image does not determine the processor.

    Raises:
        FormatError: the loader does not accept it (`magic`), or it ends early (`truncated`).
    """
    if len(data) > CACHE_BYTES:
        raise FormatError(f"the loader's cache is larger than {CACHE_BYTES} bytes", kind="limit")
    start = 0
    if data.startswith(_OLD):
        if len(data) < 16:
            raise FormatError("the loader's cache ends within its header", kind="truncated", offset=len(data))
        (count,) = struct.unpack_from("=I", data, 12)
        start = -(-(16 + 12 * count) // 8) * 8
    if not data.startswith(_NEW, start):
        raise FormatError("expected the cache of glibc's loader", kind="magic", offset=start)
    if len(data) < start + _HEADER_BYTES:
        raise FormatError("the loader's cache ends within its header", kind="truncated", offset=len(data))
    # It has the byte order of its machine; in the other order, a plausible count of entries is never plausible.
    order = next(
        (
            order
            for order in "<>"
            if start + _HEADER_BYTES + _ENTRY * _word(data, order, start + 20) <= len(data)
        ),
        None,
    )
    if order is None:
        raise FormatError("the loader's cache ends within its entries", kind="truncated", offset=len(data))
    found: dict[str, list[str]] = {}
    for number in range(_word(data, order, start + 20)):
        spend()
        at = start + _HEADER_BYTES + number * _ENTRY
        key, value = struct.unpack_from(order + "II", data, at + 4)
        (features,) = struct.unpack_from(order + "Q", data, at + 16)
        if not features:
            found.setdefault(_string(data, start + key), []).append(_string(data, start + value))
    return {name: tuple(paths) for name, paths in found.items()}


def _word(data: bytes, order: str, at: int) -> int:
    (value,) = struct.unpack_from(order + "I", data, at)
    return int(value)


def _string(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + _NAME_BYTES)
    if end < 0:
        raise FormatError("a name in the loader's cache is not terminated", kind="truncated", offset=at)
    return data[at:end].decode("utf-8", "replace")
