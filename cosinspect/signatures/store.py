"""The port to a repository with signatures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cosinspect.oci.documents import Descriptor, Digest

__all__ = ["SignatureStore"]


class SignatureStore(Protocol):
    """One repository of one registry. Its results are verified against their digests."""

    @property
    def repository(self) -> str:
        """Its name, for reports: host and path."""
        ...

    def tagged(self, tag: str) -> bytes | None:
        """Return the manifest of a tag, None if there is no such tag.

        Raises:
            SourceError: the registry does not answer, or answers with an error.
            ContentError: the bytes do not match its digest.
            LimitExceeded: the manifest is too large.
        """
        ...

    def referrers(self, subject: Digest) -> Iterable[Descriptor]:
        """List the referrers of a manifest or index, of all types; none if the repository does not have it.

        Raises:
            SourceError: the registry does not answer, or answers with an error.
            InvalidImage: the list is invalid.
            LimitExceeded: the list is too large.
        """
        ...

    def read(self, descriptor: Descriptor, *, limit: int, limit_name: str) -> bytes:
        """Return a manifest or blob of at most `limit` bytes.

        Raises:
            SourceError: the registry does not have it, or does not answer.
            ContentError: the bytes do not match the descriptor.
            LimitExceeded: the content is too large.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...
