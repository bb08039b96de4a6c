"""The result of verifying an image's signatures, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec
from attrs import field, frozen

from cosinspect.oci.documents import Digest
from cosinspect.wire_types import ready

__all__ = ["RejectedSignature", "Verification", "VerifiedSignature"]


@frozen
class VerifiedSignature:
    """A valid signature.

    Attributes:
        origin: its place.
        format: `simple-signing` or `bundle`.
        signer: the trusted signer.
        annotations: the signed annotations that are text.
    """

    origin: str
    format: str
    signer: str
    annotations: Mapping[str, str] = field(factory=dict, hash=False)


@frozen
class RejectedSignature:
    """A candidate that is not a valid signature, with the reason."""

    origin: str
    reason: str


class _WireVerification(msgspec.Struct):
    subject: str
    repository: str
    trusted: tuple[str, ...]
    verified: tuple[VerifiedSignature, ...]
    rejected: tuple[RejectedSignature, ...]
    trouble: str


@frozen
class Verification:
    """The state of an image's signatures.

    Attributes:
        subject: the manifest or index that must be signed.
        repository: the repository of the signatures.
        signers: the trusted signers.
        verified: the valid signatures.
        rejected: the invalid candidates.
        trouble: why not all signatures could be read, "" if all were.
    """

    subject: Digest
    repository: str
    signers: tuple[str, ...]
    verified: tuple[VerifiedSignature, ...] = ()
    rejected: tuple[RejectedSignature, ...] = ()
    trouble: str = ""

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return the value that `to_dict` converted.

        Raises:
            InvalidManifest: the subject is not a digest.
            msgspec.ValidationError: a key has a value of another type, or is missing.
        """
        wire = msgspec.convert(plain, type=ready(_WireVerification))
        return cls(
            Digest.parse(wire.subject),
            wire.repository,
            wire.trusted,
            wire.verified,
            wire.rejected,
            wire.trouble,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the value as plain data, for reports."""
        return {
            "subject": str(self.subject),
            "repository": self.repository,
            "trusted": list(self.signers),
            "verified": [
                {
                    "origin": item.origin,
                    "format": item.format,
                    "signer": item.signer,
                    "annotations": dict(item.annotations),
                }
                for item in self.verified
            ],
            "rejected": [{"origin": item.origin, "reason": item.reason} for item in self.rejected],
            "trouble": self.trouble,
        }
