"""Private keys that sign statements: PEM of every kind that `signatures.keys` verifies, and cosign's format."""

from __future__ import annotations

import base64
import json
from importlib import import_module
from typing import Any, Self, TypeAlias

from attrs import field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.signatures.keys import KEY_BYTES, PublicKey

__all__ = ["PrivateKey"]

_Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
_COSIGN = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_SCRYPT_MEMORY = 256 * 1024 * 1024
"""The memory bound of scrypt for a key's file, in bytes: 128 N r (RFC 7914, 5)."""


@frozen
class PrivateKey:
    """A key that signs.

    Attributes:
        public: the public key.
    """

    public: PublicKey
    _key: _Key = field(repr=False, eq=False)

    @classmethod
    def from_pem(cls, pem: bytes, name: str, password: bytes | None = None) -> Self:
        """Read a key as `cosign generate-key-pair` and `openssl genpkey` write it.

        Args:
            pem: the file.
            name: for messages.
            password: of the key, None for none.

        Raises:
            InvalidSignaturePolicy: the file is not a private key, needs another password, or has an unsupported kind.
        """
        if len(pem) > KEY_BYTES:
            raise _invalid(name, f"expected at most {KEY_BYTES} bytes, found {len(pem)}")
        text = pem.decode("ascii", "replace")
        own = next((label for label in _COSIGN if f"BEGIN {label}" in text), None)
        try:
            if own is not None:
                der = _cosign(text, own, name, password or b"")
                key = serialization.load_der_private_key(der, None)
            else:
                key = serialization.load_pem_private_key(pem, password)
        except TypeError as fault:  # an unneeded or missing password
            if "not given" not in str(fault):
                return cls.from_pem(pem, name)
            raise _invalid(name, "the key has a password", "set COSIGN_PASSWORD") from fault
        except (ValueError, UnsupportedAlgorithm) as fault:
            raise _invalid(name, f"expected a private key in PEM, and its password: {fault}"[:300]) from fault
        if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
            raise _invalid(name, f"expected ECDSA, RSA or Ed25519, found {type(key).__name__}")
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(PublicKey.from_pem(public, name), key)

    def sign(self, message: bytes) -> bytes:
        """Sign a message, as cosign does with a key of this kind."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(message, ec.ECDSA(_HASHES[self._key.curve.name]()))


def _cosign(text: str, label: str, name: str, password: bytes) -> bytes:
    """Open a key of cosign: scrypt and NaCl's secret box (secure-systems-lab/go-securesystemslib, encrypted)."""
    body = text.partition(f"-----BEGIN {label}-----")[2].partition(f"-----END {label}-----")[0]
    sealed: Any = json.loads(base64.b64decode("".join(body.split()), validate=True))
    try:
        kdf, params = sealed["kdf"], sealed["kdf"]["params"]
        n, r, p = (int(params[key]) for key in ("N", "r", "p"))
        if (kdf["name"], sealed["cipher"]["name"]) != ("scrypt", "nacl/secretbox"):
            raise ValueError("expected scrypt and nacl/secretbox")
        salt, nonce, ciphertext = (
            base64.b64decode(each, validate=True)
            for each in (kdf["salt"], sealed["cipher"]["nonce"], sealed["ciphertext"])
        )
    except (KeyError, TypeError) as fault:
        raise ValueError("expected what cosign writes") from fault
    if not 0 < 128 * n * r * p <= _SCRYPT_MEMORY:
        raise ValueError("its password would take too much memory")
    try:
        # Imported on demand: only cosign's own keys need it.
        nacl = import_module("nacl.secret")
        errors = import_module("nacl.exceptions")
    except ImportError as fault:
        raise _invalid(
            name, "a key of cosign's own needs the package pynacl", "pip install 'cosinspect[attest]'"
        ) from fault
    secret = Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(password)
    try:
        opened: bytes = nacl.SecretBox(secret).decrypt(ciphertext, nonce)
    except errors.CryptoError as fault:
        raise _invalid(name, "the password is another one", "set COSIGN_PASSWORD") from fault
    return opened


def _invalid(name: str, message: str, remedy: str | None = None) -> InvalidSignaturePolicy:
    return InvalidSignaturePolicy(message, where=name, remedy=remedy)
