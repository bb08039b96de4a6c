"""The merged tree of an image as a read-only file system of fsspec, for pandas, DuckDB, pyarrow and other users of fsspec.

`Image.fs` loads this module; it needs the extra `fs`. It is as `fsspec.filesystem("file")`: `info` of a path follows links, `ls`
describes the links of a directory themselves, so that `walk` and `find` end.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from typing import IO, Any, NoReturn

from fsspec.spec import AbstractFileSystem

from cosinspect.errors import RootfsError
from cosinspect.rootfs.entry import Entry
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["ImageFileSystem"]

_IN_MEMORY = 8 * 1024 * 1024
"""Bytes of an open file that are kept in memory; of a larger one, all are in a temporary file."""
_TYPES = {"file": "file", "dir": "directory"}


class ImageFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """A read-only file system over a merged tree; it works as long as the image is open.

    A file's content is verified before its first byte is returned.

    Args:
        rootfs: the tree.
    """

    protocol = "cosinspect"
    cachable = False  # an instance belongs to an open image
    root_marker = "/"

    def __init__(self, rootfs: Rootfs) -> None:
        super().__init__(skip_instance_cache=True, use_listings_cache=False)
        self._rootfs = rootfs

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return "/" + os.fspath(path).removeprefix("cosinspect://").strip("/")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what is known of a path, links followed.

        Raises:
            PathNotFound: nothing is there; it is a FileNotFoundError.
            RootfsError: a link leads nowhere, or in a circle.
        """
        name = self._strip_protocol(path)
        own = self._rootfs.lstat(name)
        return _described(name, self._rootfs.stat(name) if own.type == "symlink" else own, own)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return the entries of a directory, or the one of another file; with `detail` what is known of each.

        Raises:
            PathNotFound: nothing is there; it is a FileNotFoundError.
        """
        name = self._strip_protocol(path)
        entry = self._rootfs.stat(name)
        if entry.type != "dir":
            found = [self.info(name)]
        else:
            prefix = name.rstrip("/")
            inner = self._rootfs.children(entry)
            found = [_described(f"{prefix}/{each}", inner[each], inner[each]) for each in sorted(inner)]
        return found if detail else [each["name"] for each in found]

    def lexists(self, path: str, **_: Any) -> bool:
        """Return whether there is something at a path, a link that leads nowhere included."""
        try:
            self._rootfs.lstat(self._strip_protocol(path))
        except RootfsError:
            return False
        return True

    def _open(self, path: str, mode: str = "rb", **_: Any) -> IO[bytes]:
        if mode != "rb":
            _refuse(path)
        file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
        try:
            with self._rootfs.open(self._strip_protocol(path)) as stream:
                shutil.copyfileobj(stream, file)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> NoReturn:
        """Refuse: an image does not change."""
        _refuse(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> NoReturn:
        """Refuse: an image does not change."""
        _refuse(path)

    def rmdir(self, path: str) -> NoReturn:
        """Refuse: an image does not change."""
        _refuse(path)

    def _rm(self, path: str) -> NoReturn:
        _refuse(path)

    def cp_file(self, path1: str, path2: str, **_: Any) -> NoReturn:
        """Refuse: an image does not change."""
        _refuse(path2)


def _described(name: str, entry: Entry, own: Entry) -> dict[str, Any]:
    found = {
        "name": name,
        "size": entry.size,
        "type": _TYPES.get(entry.type, "other"),
        "islink": own.type == "symlink",
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": entry.mtime,
        "layer": entry.layer,
    }
    return {**found, "destination": own.link} if own.type == "symlink" else found


def _refuse(path: str) -> NoReturn:
    raise OSError(errno.EROFS, "an image cannot be changed", path)
