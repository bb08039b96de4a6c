"""An installed package, of whatever kind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal, get_args

from attrs import frozen

from cosinspect.deadline import in_time
from cosinspect.errors import FormatError
from cosinspect.limits import Limits

__all__ = ["TYPES", "Package", "PackageType", "bounded_lines", "require_few"]

PackageType = Literal["alpm", "apk", "deb", "luet", "rpm"]
"""The kind of a package, as package URLs name it; luet has no name there."""

TYPES: tuple[PackageType, ...] = get_args(PackageType)

_LONGEST_LINE = 1 << 20


@frozen(kw_only=True)
class Package:
    """An installed package.

    Attributes:
        type: its kind.
        name: without the version.
        version: as its package manager prints it, with epoch and release if it has them.
        category: luet's category, "" for the other kinds.
        architecture: in the words of the distribution, "" if the database does not say.
        source: the name of the source package that it was built from, "" if the database does not say.
        license: as the database has it, "" if it does not say.
        files: its files, relative to the root; None if they are not read.
        layer: the position of the layer that brought it, None if unknown.
        purl: its package URL, "" if it was not asked for.
    """

    type: PackageType
    name: str
    version: str
    category: str = ""
    architecture: str = ""
    source: str = ""
    license: str = ""
    files: tuple[str, ...] | None = None
    layer: int | None = None
    purl: str = ""

    @property
    def full_name(self) -> str:
        """The name, behind luet's category."""
        return f"{self.category}/{self.name}" if self.category else self.name

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What distinguishes it from other packages of its database."""
        return self.category, self.name, self.version, self.architecture


def require_few(count: int, limits: Limits) -> None:
    """Raise an error for a database with more records than `limits.database_records`.

    Raises:
        FormatError: of the kind `limit`.
    """
    if count > limits.database_records:
        raise FormatError(f"at most {limits.database_records} records are read", kind="limit")


def bounded_lines(data: bytes, limits: Limits) -> Iterator[str]:
    """Yield the lines of a database that is a text; bytes that are not UTF-8 become surrogate escapes.

    Raises:
        FormatError: of the kind `limit`: the file or a line is too long, or there are too many lines. Of the kind `binary`: it has a NUL.
    """
    if len(data) > limits.database_bytes:
        raise FormatError(f"at most {limits.database_bytes} bytes are read", kind="limit")
    if (at := data.find(b"\0")) >= 0:
        raise FormatError("expected text, found a NUL byte", kind="binary", offset=at)
    if data.count(b"\n") > limits.database_values:
        raise FormatError(f"at most {limits.database_values} lines are read", kind="limit")
    for line in in_time(io.BytesIO(data)):
        if len(line) > _LONGEST_LINE:
            raise FormatError(f"a line of at most {_LONGEST_LINE} bytes is read", kind="limit")
        yield line.decode("utf-8", "surrogateescape").rstrip("\r\n")
