"""Changes of a tree as a layer: a plain, sorted tar, compressed, with both digests."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from benchmarks.derivative.snapshot import Entry, Opaque, Whiteout

__all__ = ["Layer", "bare_link", "write"]

_LEVEL = 6
_GZIP = 31  # window bits: 15, with a gzip header that carries no time


@dataclass(frozen=True, slots=True)
class Layer:
    """A gzip layer blob. Digests with their algorithm, sizes in bytes."""

    digest: str
    size: int
    diff_id: str
    unpacked: int
    entries: int
    whiteouts: int


class _Compressor:
    """A file to write a tar to; it goes out compressed, and both sides are digested."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self.unpacked = 0
        self.size = 0

    def write(self, data: bytes) -> int:
        self._plain.update(data)
        self.unpacked += len(data)
        self._emit(self._deflate.compress(data))
        return len(data)

    def finish(self) -> None:
        self._emit(self._deflate.flush())

    def _emit(self, data: bytes) -> None:
        self._packed.update(data)
        self.size += len(data)
        self._out.write(data)

    @property
    def diff_id(self) -> str:
        return f"sha256:{self._plain.hexdigest()}"

    @property
    def digest(self) -> str:
        return f"sha256:{self._packed.hexdigest()}"


def write(root: Path, changes: Iterable[Entry | Whiteout | Opaque], blobs: Path) -> Layer:
    """Writes the layer of `changes` into the directory `blobs`, under its digest; contents are read below `root`."""
    entries = whiteouts = 0
    written: set[str] = set()
    with _blob(blobs) as (compressor, tar):
        for change in changes:
            if isinstance(change, Entry):
                entries += 1
                _add(tar, root, change, written)
            else:
                whiteouts += 1
                tar.addfile(_mark(change))
    return Layer(
        compressor.digest, compressor.size, compressor.diff_id, compressor.unpacked, entries, whiteouts
    )


def bare_link(path: str, target: str, blobs: Path) -> Layer:
    """Writes a layer that holds nothing but a hard link `path` to `target`, a file of a layer below."""
    with _blob(blobs) as (compressor, tar):
        info = tarfile.TarInfo(path)
        info.type, info.linkname = tarfile.LNKTYPE, target
        tar.addfile(info)
    return Layer(compressor.digest, compressor.size, compressor.diff_id, compressor.unpacked, 1, 0)


@contextmanager
def _blob(blobs: Path) -> Iterator[tuple[_Compressor, tarfile.TarFile]]:
    """A tar to fill; at the end of the block it has become a blob of that directory."""
    partial = blobs / "layer.partial"
    with partial.open("wb") as out:
        compressor = _Compressor(out)
        with tarfile.open(  # type: ignore[call-overload]  # stream mode asks for no more than write()
            fileobj=compressor,
            mode="w|",
            format=tarfile.PAX_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
            bufsize=1 << 20,
        ) as tar:
            yield compressor, tar
        compressor.finish()
    partial.rename(blobs / compressor.digest.removeprefix("sha256:"))


def _add(tar: tarfile.TarFile, root: Path, entry: Entry, written: set[str]) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode = stat.S_IMODE(entry.mode)
    info.uid, info.gid, info.mtime = entry.uid, entry.gid, entry.mtime
    info.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in entry.xattrs
    }
    first = next((name for name in entry.same_file if name in written), None)
    if first is not None:
        info.type, info.linkname = tarfile.LNKTYPE, first
        info.pax_headers = {}
        tar.addfile(info)
        return
    written.add(entry.path)
    if stat.S_ISREG(entry.mode):
        info.size = entry.size
        with (root / entry.path).open("rb") as file:
            tar.addfile(info, file)
        return
    if stat.S_ISLNK(entry.mode):
        info.linkname = entry.target
    elif stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
        info.devmajor, info.devminor = os.major(entry.rdev), os.minor(entry.rdev)
    info.type = _TYPES[stat.S_IFMT(entry.mode)]
    tar.addfile(info)


_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def _mark(change: Whiteout | Opaque) -> tarfile.TarInfo:
    if isinstance(change, Opaque):
        return tarfile.TarInfo(f"{change.path}/.wh..wh..opq")
    parent, slash, name = change.path.rpartition("/")
    return tarfile.TarInfo(f"{parent}{slash}.wh.{name}")
