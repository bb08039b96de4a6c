"""The code that decides a record: other code may read the same bytes differently."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from cosinspect.version import __version__

__all__ = ["LAYER_CODE", "TREE_CODE", "code_digest"]

LAYER_CODE = (
    "blob.py",
    "cache/layers.py",
    "cache/text.py",
    "compression/",
    "formats/boot/elf.py",
    "formats/boot/program.py",
    "formats/boot/symbol_versions.py",
    "formats/toc.py",
    "globs.py",
    "layer/",
    "path_walk.py",
    "tar/",
    "wire_types.py",
)
"""The code that decides the index of a layer; a name that ends in a slash is a package with all its modules."""

TREE_CODE = (*LAYER_CODE, "cache/trees.py", "rootfs/")
"""The code that decides a merged tree."""


@cache
def code_digest(names: tuple[str, ...] = ()) -> bytes:
    """Return a digest of the source of these modules of the package, or of all modules; of the version if there is no source."""
    package = files("cosinspect")
    found = hashlib.sha256(__version__.encode())
    named = [source for name in names or ("",) for source in _named(package, name)]
    for name, source in named:
        try:
            data = source.read_bytes()
        except OSError:
            continue
        found.update(f"{name} {len(data)}\n".encode() + data)
    return found.digest()


def _named(package: Traversable, name: str) -> list[tuple[str, Traversable]]:
    if name and not name.endswith("/"):
        return [(name, package.joinpath(name))]
    directory = package.joinpath(name.rstrip("/")) if name else package
    return sorted(_sources(directory, name), key=lambda item: item[0])


def _sources(directory: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for item in directory.iterdir():
        name = f"{path}{item.name}"
        if item.is_dir():
            yield from _sources(item, f"{name}/")
        elif name.endswith((".py", ".toml")):
            yield name, item
