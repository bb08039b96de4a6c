"""The port to a repository in which signatures lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cosinspect.oci.documents import Descriptor, Digest

__all__ = ["SignatureStore"]


class SignatureStore(Protocol):
    """One repository of one registry. What it gives is verified against its digest."""

    @property
    def repository(self) -> str:
        """Its name, for reports: host and path."""
        ...

    def tagged(self, tag: str) -> bytes | None:
        """Return the manifest of a tag, None if there is no such tag.

        Raises:
            SourceError: the registry does not answer, or with an error.
            ContentError: what comes is not what its digest says.
            LimitExceeded: it is too large.
        """
        ...

    def referrers(self, subject: Digest) -> Iterable[Descriptor]:
        """List what refers to a manifest or index, whatever its type; nothing where the repository does not have it.

        Raises:
            SourceError: the registry does not answer, or with an error.
            InvalidImage: its list is none.
            LimitExceeded: it is too large.
        """
        ...

    def read(self, descriptor: Descriptor, *, limit: int, limit_name: str) -> bytes:
        """Return a manifest or blob of at most `limit` bytes.

        Raises:
            SourceError: the registry does not have it, or does not answer.
            ContentError: what comes is not what the descriptor says.
            LimitExceeded: it is too large.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
