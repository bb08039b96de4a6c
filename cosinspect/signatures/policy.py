"""The requirements on signatures: trusted signers, their repository, and annotations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from cosinspect.errors import InvalidReference, InvalidSignaturePolicy
from cosinspect.oci.reference import Reference
from cosinspect.signatures.keys import PublicKey

__all__ = ["Identity", "SignaturePolicy"]


@frozen
class Identity:
    """A signer in a certificate: text that must be equal, or a regular expression that matches anywhere.

    Attributes:
        subject: an e-mail address or URI.
        issuer: the URL of the OpenID Connect provider that confirmed it.
        subject_is_pattern: whether `subject` is a regular expression.
        issuer_is_pattern: whether `issuer` is one.

    Raises:
        InvalidSignaturePolicy: one of them is empty, or not a valid regular expression.
    """

    subject: str
    issuer: str
    subject_is_pattern: bool = False
    issuer_is_pattern: bool = False

    def __attrs_post_init__(self) -> None:
        for what, text, is_pattern in (
            ("identity", self.subject, self.subject_is_pattern),
            ("issuer", self.issuer, self.issuer_is_pattern),
        ):
            if not text:
                raise InvalidSignaturePolicy(
                    f"expected the {what} of the certificate, it is empty",
                    where="identity",
                    remedy="give both, or a regular expression: everybody can get a certificate for some identity",
                )
            try:
                re.compile(text if is_pattern else "")
            except re.error as fault:
                raise InvalidSignaturePolicy(
                    f"expected a regular expression: {fault}", where=f"{what} {text[:100]!r}"
                ) from fault

    def __str__(self) -> str:
        subject = f"/{self.subject}/" if self.subject_is_pattern else self.subject
        issuer = f"/{self.issuer}/" if self.issuer_is_pattern else self.issuer
        return f"{subject} by {issuer}"


@frozen(kw_only=True)
class SignaturePolicy:
    """The requirement of a signature by one of these keys or identities, with these annotations.

    Attributes:
        keys: accepted keys; one is enough.
    identities: accepted identities; one is enough; they need the extra `sigstore`.
        annotations: all are required.
        repository: of the signatures, `host/path` as in cosign's COSIGN_REPOSITORY; None for the image's own.
        trusted_root: file with sigstore's certificates and keys (`trusted_root.json`) for identities; None fetches them
        from sigstore's public instance.

    Raises:
        InvalidSignaturePolicy: there is neither a key nor an identity.
        InvalidReference: the repository is invalid.
    """

    keys: tuple[PublicKey, ...] = ()
    identities: tuple[Identity, ...] = ()
    annotations: Mapping[str, str] = field(factory=dict, hash=False)
    repository: str | None = None
    trusted_root: Path | None = None

    def __attrs_post_init__(self) -> None:
        if not self.keys and not self.identities:
            raise InvalidSignaturePolicy(
                "expected a key or an identity, there is neither",
                where="signatures",
                remedy="without a signer who is trusted, every signature would do",
            )
        _ = self.location

    @property
    def location(self) -> Reference | None:
        """The repository of the signatures (its tag is ignored), None for the image's own.

        Raises:
            InvalidReference: the text is not a repository.
        """
        if self.repository is None:
            return None
        found = Reference.parse(self.repository)
        if "@" in self.repository or ":" in self.repository.rpartition("/")[2]:
            raise InvalidReference(
                "expected a repository, found an image",
                where=self.repository[:300],
                remedy="signatures are found by the image's digest: leave the tag away",
            )
        return found

    @property
    def signers(self) -> tuple[str, ...]:
        """The names of all trusted signers."""
        return (
            *(f"key {key}" for key in self.keys),
            *(f"identity {identity}" for identity in self.identities),
        )
