"""A registry's repository as the store of signatures."""

from __future__ import annotations

from attrs import evolve

from cosinspect.blob import read_blob
from cosinspect.errors import NotFound
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.sources.registry.source import RegistrySource

__all__ = ["SignatureRepository"]


class SignatureRepository:
    """The repository of a registry source, as a `cosinspect.signatures.store.SignatureStore`.

    Args:
        source: any image in the repository, which need not be there; closed with this.
        limits: for manifests.
    """

    def __init__(self, source: RegistrySource, limits: Limits = DEFAULT_LIMITS) -> None:
        self._source = source
        self._limits = limits

    @property
    def repository(self) -> str:
        """Host and path."""
        return f"{self._source.reference.registry}/{self._source.reference.repository}"

    def tagged(self, tag: str) -> bytes | None:
        """Return the manifest of a tag, None if there is no such tag.

        Raises:
            SourceError: the registry does not answer, or with an error.
            ContentError: the bytes do not match its digest.
            LimitExceeded: it is too large.
        """
        source = self._source.beside(evolve(self._source.reference, tag=tag, digest=None))
        try:
            descriptor = source.resolve()
            return read_blob(
                source, descriptor, limit=self._limits.manifest_bytes, limit_name="manifest_bytes"
            )
        except NotFound:
            return None
        finally:
            source.close()

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """List the referrers of a manifest or index, of all types.

        Raises:
            SourceError: the registry does not answer, or answers with an error.
            InvalidImage: the list is invalid.
            LimitExceeded: the list is too large.
        """
        return self._source.referrers(subject)

    def read(self, descriptor: Descriptor, *, limit: int, limit_name: str) -> bytes:
        """Return a manifest or blob of at most `limit` bytes.

        Raises:
            SourceError: the registry does not have it, or does not answer.
            ContentError: the bytes do not match the descriptor.
            LimitExceeded: it is too large.
        """
        return read_blob(self._source, descriptor, limit=limit, limit_name=limit_name)

    def close(self) -> None:
        """Close the connections."""
        self._source.close()
