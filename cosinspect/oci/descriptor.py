"""Digests and descriptors: what names content (image-spec v1.1, descriptor.md).

It is apart from `documents` because an image's name needs no decoder of JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from cosinspect.errors import InvalidManifest
from cosinspect.oci.platform import Platform

__all__ = ["Descriptor", "Digest"]

_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


@frozen(order=True)
class Digest:
    """A content digest of a registered algorithm in its canonical form (image-spec, descriptor.md, "Digests").

    It is safe in a path and in a URL: `parse` accepts only the algorithm's name and lower-case hexadecimal
    digits.
    """

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 hexadecimal digits>` or `sha512:<128 hexadecimal digits>`.

        Raises:
            InvalidManifest: the text has another form.
        """
        if not _DIGEST.fullmatch(text):
            raise InvalidManifest(
                f"expected a digest such as sha256:<64 lower-case hexadecimals>, found {text[:150]!r}"
            )
        algorithm, _, encoded = text.partition(":")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Compute the digest of `data`."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def hasher(self) -> hashlib._Hash:
        """Return a new hash of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


@frozen
class Descriptor:
    """A reference to content: media type, digest and size (image-spec, descriptor.md).

    Attributes:
        media_type: as written; the bytes decide a layer's compression.
        digest: the digest of the content.
        size: in bytes.
        platform: of a manifest in an index, if stated.
        annotations: as written.
        artifact_type: of a manifest that is not an image's, if stated.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(factory=dict, hash=False)
    artifact_type: str = ""
