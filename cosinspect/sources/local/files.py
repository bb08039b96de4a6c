"""Files by name, in a directory or in a tar archive: what layouts and saved images are made of.

An archive's headers are read once, its content on demand; a compressed archive is inflated again up to
that place, so that nothing is ever written to disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from attrs import frozen

from cosinspect.blob import ByteStream
from cosinspect.compression.codecs import MAGIC_BYTES, Compression, detect, inflate_members
from cosinspect.errors import FormatError, InvalidImage, InvalidLayout, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.tar.names import normalise
from cosinspect.tar.reader import TarStream

__all__ = ["ArchiveFiles", "Beginning", "DirectoryFiles", "Files", "read_file", "require_certain"]

READ_BYTES = 256 * 1024
_MAX_LINKS = 10


class Files(Protocol):
    """Read-only files by relative name."""

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, None if it is missing."""
        ...

    def open(self, name: str, start: int = 0) -> ByteStream:
        """Open a file, from byte `start` on.

        Raises:
            InvalidLayout: the file is missing.
        """
        ...

    def describe(self, name: str) -> str:
        """Return where a file is, for messages."""
        ...

    def doubt(self, name: str) -> str:
        """Return why readers may take another file for this name than `open` gives, "" if they do not."""
        ...


def require_certain(files: Files, *names: str) -> None:
    """Let names pass that mean one file to every reader.

    Raises:
        InvalidLayout: one does not; the message says why.
    """
    for name in names:
        doubt = files.doubt(name)
        if doubt:
            raise InvalidLayout(
                f"expected one file of the name, {doubt}: readers take different ones",
                where=files.describe(name),
                remedy="save or copy the image again, and pack nothing by hand",
            )


class Beginning:
    """The first bytes of a stream, and no more."""

    def __init__(self, stream: ByteStream, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        """Return at most `size` further bytes, and none at the end."""
        data = self._stream.read(min(size, self._left)) if self._left > 0 else b""
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def read_file(files: Files, name: str, *, limit: int) -> bytes:
    """Return a whole small file.

    Raises:
        InvalidLayout: the file is missing.
        LimitExceeded: the file has more than `limit` bytes.
    """
    stream = files.open(name)
    try:
        data = stream.read(limit + 1)
        while len(data) <= limit and (more := stream.read(limit + 1 - len(data))):
            data += more
    finally:
        stream.close()
    if len(data) > limit:
        raise LimitExceeded(
            f"expected at most {limit} bytes", limit="manifest_bytes", bound=limit, where=files.describe(name)
        )
    return data


def _open_regular(path: Path, what: str, shown: str = "") -> BinaryIO:
    try:
        # Without O_NONBLOCK a FIFO in the file's place would hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as fault:
        raise InvalidLayout(
            f"expected {what}: {fault.strerror or fault}", where=shown or str(path), remedy="check the path"
        ) from fault
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidLayout(
            f"expected {what}, found something that is no regular file", where=shown or str(path)
        )
    return os.fdopen(descriptor, "rb", buffering=0)


@frozen
class DirectoryFiles:
    """The files of a directory."""

    path: Path

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, None if it is missing."""
        try:
            found = (self.path / name).stat()
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, name: str, start: int = 0) -> ByteStream:
        """Open a file, from byte `start` on.

        Raises:
            InvalidLayout: the file is missing.
        """
        file = _open_regular(self.path / name, "a file")
        file.seek(start)
        return file

    def describe(self, name: str) -> str:
        """Return where a file is, for messages."""
        return str(self.path / name)

    def doubt(self, name: str) -> str:
        """Say nothing: in a directory a name means one file."""
        return ""


@frozen
class _ArchiveMember:
    offset: int
    size: int
    link: str


class ArchiveFiles:
    """The files of a tar archive, plain or compressed with gzip, zstd, xz or bzip2."""

    def __init__(self, path: Path, *, limits: Limits = DEFAULT_LIMITS, shown: str | None = None) -> None:
        """Read the archive's headers; messages call it `shown`, by default its path.

        Raises:
            InvalidLayout: there is no such file, or it is not an archive.
        """
        self._path = path
        self._shown = str(path) if shown is None else shown
        self._limits = limits
        with _open_regular(path, "an image archive", self._shown) as file:
            self._compression = detect(file.read(MAGIC_BYTES))
        self._doubts: dict[str, str] = {}
        self._members = self._read_headers()

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, None if it is missing; links are followed inside the archive."""
        member = self._find(name)
        return None if member is None else member.size

    def open(self, name: str, start: int = 0) -> ByteStream:
        """Open a file, from byte `start` on.

        Raises:
            InvalidLayout: the file is missing.
        """
        member = self._find(name)
        if member is None:
            raise InvalidLayout("expected a file in the archive, it is not there", where=self.describe(name))
        try:
            start = min(start, member.size)
            return _MemberStream(
                self._stream(member.offset + start), member.size - start, self.describe(name)
            )
        except FormatError as fault:
            raise InvalidLayout(fault.message, where=self.describe(name), remedy=fault.remedy) from fault

    def describe(self, name: str) -> str:
        """Return where a file is, for messages."""
        return f"{name} in {self._shown}"

    def doubt(self, name: str) -> str:
        """Return why readers may take another file for this name than `open` gives, "" if they do not.

        Some take the first member of exactly this name, others the last of one that comes to the same path.
        """
        path = normalise(name)[0]
        for _ in range(_MAX_LINKS):
            found = self._doubts.get(path)
            member = self._members.get(path)
            if found is not None:
                return found
            if member is None or not member.link:
                return ""
            path = normalise(f"{path.rpartition('/')[0]}/{member.link}")[0]
        return ""

    def _find(self, name: str) -> _ArchiveMember | None:
        path = normalise(name)[0]
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None or not member.link:
                return member
            # Docker before 25 writes a layer that two images share as a link to the other's.
            path = normalise(f"{path.rpartition('/')[0]}/{member.link}")[0]
        return None

    def _read_headers(self) -> dict[str, _ArchiveMember]:
        members: dict[str, _ArchiveMember] = {}
        stream = self._stream(0)
        try:
            for header in TarStream(iter(stream), limits=self._limits, seek=stream.seek):
                path = normalise(header.name)[0]
                if header.sparse is not None:
                    raise InvalidLayout(
                        "expected whole files, found a sparse one",
                        where=f"{path!r:.300} in {self._shown}",
                        remedy="save or copy the image again",
                    )
                if len(members) >= self._limits.entries:
                    raise LimitExceeded(
                        "too many files", limit="entries", bound=self._limits.entries, where=self._shown
                    )
                if header.type not in ("0", "1", "2"):
                    continue
                if path in members:
                    self._doubts[path] = "found two"
                elif header.name.removeprefix("./") != path:
                    self._doubts[path] = f"found it written {header.name!r:.200}"
                if header.type == "0":
                    members[path] = _ArchiveMember(header.data, header.stored, "")
                elif header.type == "2":
                    members[path] = _ArchiveMember(0, 0, header.link)
                elif header.type == "1" and (target := members.get(normalise(header.link)[0])) is not None:
                    members[path] = target
        except (FormatError, InvalidImage) as fault:
            raise InvalidLayout(
                f"expected a tar archive: {fault.message}",
                where=f"{self._shown}, {fault.where}" if fault.where else self._shown,
                remedy="save or copy the image again",
            ) from fault
        finally:
            stream.close()
        return members

    def _stream(self, offset: int) -> _ArchiveStream:
        file = _open_regular(self._path, "an image archive", self._shown)
        if self._compression is None:
            file.seek(offset)
            return _ArchiveStream(file, iter(lambda: file.read(READ_BYTES), b""), seekable=True)
        stream = _ArchiveStream(file, self._inflated(file, self._compression), seekable=False)
        try:
            stream.skip(offset)
        except BaseException:
            stream.close()
            raise
        return stream

    def _inflated(self, file: BinaryIO, kind: Compression) -> Iterator[bytes]:
        size, bound = 0, self._limits.inflated_bytes
        for piece in inflate_members(kind, b"", lambda: file.read(READ_BYTES), limits=self._limits):
            size += len(piece)
            if size > bound:
                raise LimitExceeded(
                    f"expected an archive of at most {bound} bytes when inflated, found more",
                    limit="inflated_bytes",
                    bound=bound,
                    where=self._shown,
                    remedy="if the image is honest, raise the limit",
                )
            yield piece


class _ArchiveStream:
    """The uncompressed bytes of an archive in pieces, of a plain one with the means to skip some."""

    def __init__(self, file: BinaryIO, pieces: Iterator[bytes], *, seekable: bool) -> None:
        self._file = file
        self._pieces = pieces
        self._first = b""
        self.seek: Callable[[int], int] | None = self._seek if seekable else None

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        yield from self._pieces

    def skip(self, size: int) -> None:
        """Skip the first bytes of a stream that cannot seek."""
        while size > 0:
            piece = next(self._pieces, b"")
            if not piece:
                return
            self._first = piece[size:]
            size -= len(piece)

    def close(self) -> None:
        self._file.close()

    def _seek(self, size: int) -> int:
        """Skip `size` bytes and say how many there were."""
        here = self._file.tell()
        end = os.fstat(self._file.fileno()).st_size
        self._file.seek(min(here + size, end))
        return min(size, max(end - here, 0))


class _MemberStream:
    """One file's bytes out of an archive."""

    def __init__(self, stream: _ArchiveStream, size: int, where: str) -> None:
        self._stream = stream
        self._pieces = iter(stream)
        self._left = size
        self._piece = b""
        self._where = where

    def read(self, size: int, /) -> bytes:
        if not self._piece and self._left:
            try:
                self._piece = next(self._pieces, b"")[: self._left]
            except FormatError as fault:
                raise InvalidLayout(fault.message, where=self._where, remedy=fault.remedy) from fault
            self._left -= len(self._piece)
        data, self._piece = self._piece[:size], self._piece[size:]
        return data

    def close(self) -> None:
        self._stream.close()
