"""A section of a record: where it is, and what it must hash to."""

from __future__ import annotations

from mmap import mmap
from typing import TypeAlias

import msgspec

__all__ = ["Buffer", "Section"]

Buffer: TypeAlias = "bytes | memoryview | mmap"


class Section(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The place and the digest of a section.

    Attributes:
        offset: in bytes, from the first section.
        length: in bytes.
        digest: of its bytes.
    """

    offset: int
    length: int
    digest: bytes
