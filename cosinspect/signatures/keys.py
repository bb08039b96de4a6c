"""Public keys that are trusted to sign images; `openssl_keys` reads them and verifies with them."""

from __future__ import annotations

from typing import Protocol, Self

from attrs import field, frozen

from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.extras import load_extra
from cosinspect.oci.documents import Digest

__all__ = ["PublicKey", "Verifier"]

KEY_BYTES = 64 * 1024
"""The maximum size of a file with one key."""


class Verifier(Protocol):
    """The half of a key pair that verifies; `openssl_keys.PublicHalf` is the implementation."""

    @property
    def pem(self) -> bytes:
        """The key as PEM."""
        ...

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether the key made `signature` over `message`."""
        ...

    def signed_digest(self, signature: bytes, digest: Digest) -> bool:
        """Return whether the key made `signature` over content with the digest `digest`."""
        ...


@frozen
class PublicKey:
    """A public key that is trusted to sign images.

    Attributes:
        name: its file, for reports.
        fingerprint: SHA-256 of the key as DER (SubjectPublicKeyInfo), in hexadecimal digits; independent of the encoding.
    """

    name: str
    fingerprint: str
    _key: Verifier = field(repr=False, eq=False)

    @classmethod
    def from_pem(cls, pem: bytes, name: str) -> Self:
        """Read a key as `cosign generate-key-pair` and `openssl pkey -pubout` write it.

        Raises:
            InvalidSignaturePolicy: the file is not a public key, or its kind is not accepted.
            MissingPackage: the extra `signatures` is not installed.
        """
        if len(pem) > KEY_BYTES:
            raise _invalid(name, f"expected at most {KEY_BYTES} bytes, found {len(pem)}")
        if b"PRIVATE KEY" in pem:
            raise _invalid(
                name,
                "this is a private key",
                "give the public one (cosign.pub) and keep this one to yourself",
            )
        if b"BEGIN CERTIFICATE" in pem:
            raise _invalid(
                name, "this is a certificate", "take its key: openssl x509 -pubkey -noout -in FILE"
            )
        openssl = load_extra("cosinspect.signatures.openssl_keys", "signatures")
        try:
            half = openssl.read_public_half(pem)
        except ValueError as fault:
            raise _invalid(name, str(fault)) from fault
        return cls(name, Digest.of(half.der).encoded, half)

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether this key made `signature` over `message`."""
        return self._key.signed(signature, message)

    def signed_digest(self, signature: bytes, digest: Digest) -> bool:
        """Return whether this key made `signature` over content with the digest `digest`; one of Ed25519 cannot tell."""
        return self._key.signed_digest(signature, digest)

    def __reduce__(self) -> tuple[object, ...]:
        return PublicKey.from_pem, (self._key.pem, self.name)

    def __str__(self) -> str:
        return f"{self.name} (sha256:{self.fingerprint})"


def _invalid(name: str, message: str, remedy: str | None = None) -> InvalidSignaturePolicy:
    return InvalidSignaturePolicy(message, where=name, remedy=remedy)
