"""Public keys, and whether they made a signature. Only this module uses `cryptography`'s public keys.

The same keys as cosign's (sigstore, pkg/signature): ECDSA on P-256, P-384 and P-521, RSA with PKCS #1 v1.5
padding, Ed25519. cosign 2 always hashes with SHA-256; bundles use the hash of the curve. The signature does
not name the hash, so both are tried, which is safe.
"""

from __future__ import annotations

from typing import Self, TypeAlias

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.oci.documents import Digest

__all__ = ["PublicKey"]

KEY_BYTES = 64 * 1024
"""The maximum size of a file with one key."""
RSA_BITS = range(2048, 16385)
"""Shorter ones can be broken, longer ones cost a verifier minutes."""

_Key: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_CURVES: dict[str, tuple[type[hashes.HashAlgorithm], ...]] = {
    "secp256r1": (hashes.SHA256,),
    "secp384r1": (hashes.SHA256, hashes.SHA384),
    "secp521r1": (hashes.SHA256, hashes.SHA512),
}


@frozen
class PublicKey:
    """A public key that is trusted to sign images.

    Attributes:
        name: its file, for reports.
        fingerprint: SHA-256 of the key as DER (SubjectPublicKeyInfo), in hexadecimal digits; independent of the encoding.
    """

    name: str
    fingerprint: str
    _key: _Key = field(repr=False, eq=False)
    _hashes: tuple[type[hashes.HashAlgorithm], ...] = field(repr=False, eq=False)

    @classmethod
    def from_pem(cls, pem: bytes, name: str) -> Self:
        """Read a key as `cosign generate-key-pair` and `openssl pkey -pubout` write it.

        Raises:
            InvalidSignaturePolicy: the file is not a public key, or its kind is not accepted.
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
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as fault:
            raise _invalid(name, f"expected a public key in PEM: {fault}"[:300]) from fault
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        fingerprint = Digest.of(der).encoded
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
            return cls(name, fingerprint, key, _CURVES[key.curve.name])
        if isinstance(key, rsa.RSAPublicKey):
            if key.key_size not in RSA_BITS:
                raise _invalid(
                    name,
                    f"expected an RSA key of {RSA_BITS[0]} to {RSA_BITS[-1]} bits, found {key.key_size}",
                )
            return cls(name, fingerprint, key, (hashes.SHA256,))
        if isinstance(key, ed25519.Ed25519PublicKey):
            return cls(name, fingerprint, key, ())
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
        raise _invalid(name, f"expected ECDSA on P-256, P-384 or P-521, RSA or Ed25519, found {kind}")

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether this key made `signature` over `message`."""
        if isinstance(self._key, ed25519.Ed25519PublicKey):
            return _made(self._key, signature, message, None)
        return any(_made(self._key, signature, message, kind()) for kind in self._hashes)

    def signed_digest(self, signature: bytes, digest: Digest) -> bool:
        """Return whether this key made `signature` over whatever hashes to `digest`; one of Ed25519 cannot tell."""
        hashed = bytes.fromhex(digest.encoded)
        return any(
            _made(self._key, signature, hashed, Prehashed(kind()))
            for kind in self._hashes
            if kind().name == digest.algorithm
        )

    def __reduce__(self) -> tuple[object, ...]:
        pem = self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return PublicKey.from_pem, (pem, self.name)

    def __str__(self) -> str:
        return f"{self.name} (sha256:{self.fingerprint})"


def _made(
    key: _Key, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm | Prehashed | None
) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        elif algorithm is None:
            return False
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            key.verify(signature, data, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _invalid(name: str, message: str, remedy: str | None = None) -> InvalidSignaturePolicy:
    return InvalidSignaturePolicy(message, where=name, remedy=remedy)
