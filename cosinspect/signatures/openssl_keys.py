"""Keys by OpenSSL (package `cryptography`, extra `signatures`): ECDSA, RSA and Ed25519, public and private.

The same keys as cosign's (sigstore, pkg/signature): ECDSA on P-256, P-384 and P-521, RSA with PKCS #1 v1.5
padding, Ed25519. cosign 2 always hashes with SHA-256; bundles use the hash of the curve. The signature does
not name the hash, so both are tried, which is safe.

`keys` and `signing` load this module when they read a key: a program that verifies nothing does not need it.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cosinspect.oci.documents import Digest

__all__ = ["PrivateHalf", "PublicHalf", "derive_scrypt", "read_private_half", "read_public_half"]

RSA_BITS = range(2048, 16385)
"""Shorter ones can be broken, longer ones cost a verifier minutes."""

_Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_Private: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_CURVES: dict[str, tuple[type[hashes.HashAlgorithm], ...]] = {
    "secp256r1": (hashes.SHA256,),
    "secp384r1": (hashes.SHA256, hashes.SHA384),
    "secp521r1": (hashes.SHA256, hashes.SHA512),
}


@frozen
class PublicHalf:
    """The half of a key pair that verifies."""

    _key: _Public
    _hashes: tuple[type[hashes.HashAlgorithm], ...]

    @property
    def der(self) -> bytes:
        """The key as DER (SubjectPublicKeyInfo)."""
        return self._key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def pem(self) -> bytes:
        """The key as PEM."""
        return self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether the key made `signature` over `message`."""
        if isinstance(self._key, ed25519.Ed25519PublicKey):
            return _made(self._key, signature, message, None)
        return any(_made(self._key, signature, message, kind()) for kind in self._hashes)

    def signed_digest(self, signature: bytes, digest: Digest) -> bool:
        """Return whether the key made `signature` over content with the digest `digest`; one of Ed25519 cannot tell."""
        hashed = bytes.fromhex(digest.encoded)
        return any(
            _made(self._key, signature, hashed, Prehashed(kind()))
            for kind in self._hashes
            if kind().name == digest.algorithm
        )


@frozen
class PrivateHalf:
    """The half of a key pair that signs."""

    _key: _Private

    @property
    def public_pem(self) -> bytes:
        """The other half as PEM."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> bytes:
        """Sign a message, as cosign does with a key of this kind."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(message, ec.ECDSA(_CURVES[self._key.curve.name][-1]()))


def read_public_half(pem: bytes) -> PublicHalf:
    """Read a public key in PEM.

    Raises:
        ValueError: the bytes are not a public key, or its kind is not accepted.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise ValueError("expected a public key in PEM, found something else") from fault
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return PublicHalf(key, _CURVES[key.curve.name])
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in RSA_BITS:
            raise ValueError(
                f"expected an RSA key of {RSA_BITS[0]} to {RSA_BITS[-1]} bits, found {key.key_size}"
            )
        return PublicHalf(key, (hashes.SHA256,))
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicHalf(key, ())
    kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    raise ValueError(f"expected ECDSA on P-256, P-384 or P-521, RSA or Ed25519, found {kind}")


def read_private_half(data: bytes, password: bytes | None, *, pem: bool) -> PrivateHalf:
    """Read a private key.

    Args:
        data: the key, as DER or PEM.
        password: of the key, None if there is none.
        pem: whether it is PEM.

    Raises:
        TypeError: the key has a password and none is given, or the other way round.
        ValueError: the bytes are not a private key, need another password, or have an unsupported kind.
    """
    read = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    try:
        key = read(data, password)
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise ValueError(f"expected a private key in PEM, and its password: {fault}"[:300]) from fault
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        kind = type(key).__name__
        raise ValueError(f"expected ECDSA, RSA or Ed25519, found {kind}")  # noqa: TRY004 - the file has it, not a caller
    return PrivateHalf(key)


def derive_scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    """Return the 32 bytes that scrypt derives from a password (RFC 7914); the caller bounds the memory.

    Raises:
        ValueError: the parameters are not those of scrypt.
    """
    try:
        return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(password)
    except ValueError as fault:
        raise ValueError(f"expected parameters of scrypt: {fault}") from fault


def _made(
    key: _Public, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm | Prehashed | None
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
