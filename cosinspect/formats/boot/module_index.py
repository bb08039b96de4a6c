"""depmod's files: the modules of a kernel, the modules that each needs, and the devices that load each.

Sources: libkmod of kmod 30 (`libkmod/libkmod-index.c`, `tools/depmod.c`) for the binary index, modules.dep(5) for the text,
modprobe.d(5) for soft dependencies. kmod and udev read the binary index alone; busybox reads the text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.formats.text.problem import bounded

__all__ = [
    "MAX_ENTRIES",
    "SoftDependency",
    "module_name",
    "read_builtin",
    "read_dependencies",
    "read_index",
    "read_soft_dependencies",
]

MAX_ENTRIES = 200_000
"""Entries of one index that are read; the alias index of a distribution's kernel has about 30,000."""

_MAGIC = 0xB007F457
_MAJOR = 2
_PREFIX, _VALUES, _CHILDREN = 0x80000000, 0x40000000, 0x20000000
_OFFSET = 0x0FFFFFFF
_HEADER = struct.Struct(">III")
_WORD = struct.Struct(">I")
_MAX_KEY = 4096
# The most bytes of keys while an index is walked: it bounds a hostile trie with long prefixes.
_KEY_BYTES = 64 * 1024 * 1024
_ENDING = re.compile(r"\.ko(?:\.(?:gz|xz|zst|bz2))?\Z")


@frozen
class SoftDependency:
    """Modules that modprobe loads before and after another one, if they exist.

    Attributes:
        module: the module that requires them.
        before: names or aliases that are loaded before it.
        after: names or aliases that are loaded after it.
    """

    module: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def module_name(path: str) -> str:
    """Return the name of a module by its path: without directory and ending, `-` written as `_`."""
    return _ENDING.sub("", path.rpartition("/")[2]).replace("-", "_")


def read_dependencies(text: str) -> Mapping[str, tuple[str, ...]]:
    """Return the lines of a `modules.dep`: by the path of each module, the paths of all modules that it needs.

    A line without a colon is not an entry.
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in bounded(text)[0].splitlines()[:MAX_ENTRIES]:
        spend()
        path, colon, needs = line.partition(":")
        if colon and path.strip() and not path.startswith("#"):
            found[path.strip()] = tuple(needs.split())
    return found


def read_builtin(text: str) -> frozenset[str]:
    """Return the names of the modules that a `modules.builtin` lists."""
    return frozenset(module_name(line.strip()) for line in bounded(text)[0].splitlines() if line.strip())


def read_soft_dependencies(text: str) -> tuple[SoftDependency, ...]:
    """Return the lines of a `modules.softdep`; invalid lines are left out."""
    found = []
    for line in bounded(text)[0].splitlines()[:MAX_ENTRIES]:
        words = line.split()
        if len(words) < 2 or words[0] != "softdep":
            continue
        lists: dict[str, list[str]] = {"pre:": [], "post:": []}
        into: list[str] | None = None
        for word in words[2:]:
            if word in lists:
                into = lists[word]
            elif into is not None:
                into.append(word)
        found.append(SoftDependency(words[1].replace("-", "_"), tuple(lists["pre:"]), tuple(lists["post:"])))
    return tuple(found)


def read_index(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """Return the entries of a binary index, such as `modules.dep.bin`: each key with its values in order.

    Raises:
        FormatError: it is not an index (`magic`), of a version that kmod does not read (`version`), ends early (`truncated`), a
            node is outside of it or its own ancestor (`corrupt`), or it has more entries than the limit (`limit`).
    """
    if len(data) < _HEADER.size:
        raise FormatError(
            "expected an index of kernel modules, the file ends early", kind="truncated", offset=0
        )
    magic, version, root = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise FormatError("expected an index of kernel modules, found another file", kind="magic", offset=0)
    if version >> 16 != _MAJOR:
        raise FormatError(
            f"expected an index of version {_MAJOR}, found {version >> 16}", kind="version", offset=4
        )
    found: dict[str, tuple[str, ...]] = {}
    cost = 0
    waiting: list[tuple[int, bytes]] = [(root, b"")]
    nodes = 0
    while waiting:
        spend()
        node, key = waiting.pop()
        if not node & _OFFSET:
            continue
        nodes += 1
        cost += len(key)
        if nodes > 8 * MAX_ENTRIES or cost > _KEY_BYTES:
            raise FormatError(f"the index has more than {MAX_ENTRIES} entries", kind="limit")
        prefix, children, values = _node(data, node)
        key += prefix
        if len(key) > _MAX_KEY:
            raise FormatError(f"a key of the index is longer than {_MAX_KEY} bytes", kind="corrupt")
        waiting.extend((child, key + bytes([letter])) for letter, child in children)
        if values:
            found[key.decode("utf-8", "surrogateescape")] = values
        if len(found) > MAX_ENTRIES:
            raise FormatError(f"the index has more than {MAX_ENTRIES} entries", kind="limit")
    return found


def _node(data: bytes, node: int) -> tuple[bytes, list[tuple[int, int]], tuple[str, ...]]:
    """Read a node: its prefix, its children by their characters, its values."""
    at = node & _OFFSET
    prefix = b""
    children: list[tuple[int, int]] = []
    values: list[str] = []
    if node & _PREFIX:
        prefix, at = _string(data, at)
    if node & _CHILDREN:
        if at + 2 > len(data):
            raise _outside(at)
        first, last = data[at], data[at + 1]
        at += 2
        if last < first or at + 4 * (last - first + 1) > len(data):
            raise _outside(at)
        for letter in range(first, last + 1):
            (child,) = _WORD.unpack_from(data, at)
            children.append((letter, child))
            at += 4
    if node & _VALUES:
        if at + 4 > len(data):
            raise _outside(at)
        (count,) = _WORD.unpack_from(data, at)
        at += 4
        if count > (len(data) - at) // 5:
            raise _outside(at)
        for value, behind in _values(data, at, count):
            values.append(value)
            at = behind
    return prefix, children, tuple(values)


def _values(data: bytes, at: int, count: int) -> Iterator[tuple[str, int]]:
    for _ in range(count):
        if at + 4 > len(data):
            raise _outside(at)
        text, at = _string(data, at + 4)  # after its priority
        yield text.decode("utf-8", "surrogateescape"), at


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\0", at)
    if at >= len(data) or end < 0:
        raise _outside(at)
    return data[at:end], end + 1


def _outside(at: int) -> FormatError:
    return FormatError(f"a node of the index at offset {at} ends outside of it", kind="corrupt", offset=at)
