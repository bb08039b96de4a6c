"""What came of looking at an image's signatures, as values."""

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
    """A signature that counts.

    Attributes:
        origin: where it lies.
        format: `simple-signing` or `bundle`.
        signer: which of those who are trusted.
        annotations: what was signed with it, as far as it is text.
    """

    origin: str
    format: str
    signer: str
    annotations: Mapping[str, str] = field(factory=dict, hash=False)


@frozen
class RejectedSignature:
    """What lies where signatures lie and does not count, and why."""

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
    """What is known of an image's signatures.

    Attributes:
        subject: the manifest or index that must be signed.
        repository: where signatures were looked for.
        signers: who is trusted.
        verified: the signatures that count.
        rejected: those that do not.
        trouble: why there may be more than was seen, "" if everything was.
    """

    subject: Digest
    repository: str
    signers: tuple[str, ...]
    verified: tuple[VerifiedSignature, ...] = ()
    rejected: tuple[RejectedSignature, ...] = ()
    trouble: str = ""

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `to_dict` was called on.

        Raises:
            InvalidManifest: the subject is no digest.
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
        """Return it as plain values, for reports."""
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
