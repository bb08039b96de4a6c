"""The code that decides a record: other code may read the same bytes differently.

A digest covers the files of the package: its source, its tables, its templates. An installed package has their digests in
the RECORD of its distribution (the specification "Recording installed projects"). They count if no file was changed after
RECORD was written; otherwise, and in a checkout, the files themselves are read.

This module loads no third-party library: a stored answer is read before anything else is imported.
"""

from __future__ import annotations

import os
import stat
from binascii import Error, a2b_base64
from hashlib import sha256

from cosinspect import version

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LAYER_CODE", "TREE_CODE", "code_digest", "recorded_digests"]

LAYER_CODE = (
    "blob.py",
    "cache/layers.py",
    "cache/section.py",
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
"""The code that decides the index of a layer; a name that ends in a slash is a package with all its files."""

TREE_CODE = (*LAYER_CODE, "cache/trees.py", "rootfs/")
"""The code that decides a merged tree."""

_known: dict[tuple[str, ...], bytes] = {}
_recorded: list[dict[str, bytes] | None] = []


def code_digest(names: tuple[str, ...] = ()) -> bytes:
    """Return a digest of these files of the package, or of all; it is the same for a checkout and for what was installed from it."""
    if names not in _known:
        if not _recorded:
            _recorded.append(recorded_digests(_directory()))
        _known[names] = _digest(_directory(), names, _recorded[0])
    return _known[names]


def recorded_digests(package: str) -> dict[str, bytes] | None:
    """Return the SHA-256 of each file of an installed package; None if they must be read.

    Args:
        package: its directory.
    """
    try:
        with open(f"{package}-{version.__version__}.dist-info/RECORD", "rb") as file:
            written = os.fstat(file.fileno()).st_ctime_ns
            rows = file.read().decode().splitlines()
        recorded = dict(_row(row) for row in rows if row.startswith(f"{os.path.basename(package)}/"))
        found = {}
        for name, path in _files(package):
            size, digest = recorded[name]
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size or status.st_ctime_ns > written:
                return None
            found[name] = digest
    except (OSError, ValueError, KeyError, Error):  # no RECORD, or one that does not have every file
        return None
    return found


def _row(row: str) -> tuple[str, tuple[int, bytes]]:
    """Return the name of a file inside the package, its size and its digest: `cosinspect/cli.py,sha256=...,1234`."""
    path, digest, size = row.rsplit(",", 2)
    if not digest.startswith("sha256="):  # compiled modules have none
        return path, (-1, b"")
    plain = digest.removeprefix("sha256=").replace("-", "+").replace("_", "/")
    return path.partition("/")[2], (int(size), a2b_base64(f"{plain}="))


def _digest(package: str, names: tuple[str, ...], recorded: dict[str, bytes] | None) -> bytes:
    found = sha256(version.__version__.encode())
    for chosen in names or ("",):
        whole = not chosen or chosen.endswith("/")
        places = _files(package, chosen) if whole else iter([(chosen, f"{package}/{chosen}")])
        for name, path in sorted(places):
            digest = recorded[name] if recorded is not None else _read(path)
            if digest is not None:
                found.update(f"{name}\n".encode() + digest)
    return found.digest()


def _read(path: str) -> bytes | None:
    """Return the SHA-256 of a file, None if there is no file to read: the version stands for it."""
    try:
        with open(path, "rb") as file:
            return sha256(file.read()).digest()
    except OSError:
        return None


def _files(package: str, below: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name inside the package and the path of each file but compiled ones."""
    try:
        entries = list(os.scandir(f"{package}/{below}"))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _files(package, f"{below}{entry.name}/")
        elif not entry.name.endswith(".pyc"):
            yield f"{below}{entry.name}", entry.path


def _directory() -> str:
    return os.path.dirname(os.path.abspath(version.__file__))
