"""Private keys that sign statements: PEM of every kind that `signatures.keys` verifies, and cosign's format."""

from __future__ import annotations

import base64
import json
from typing import Any, Protocol, Self

from attrs import field, frozen

from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.extras import load_extra
from cosinspect.signatures.keys import KEY_BYTES, PublicKey

__all__ = ["PrivateKey", "Signer"]

_COSIGN = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_SCRYPT_MEMORY = 256 * 1024 * 1024
"""The memory bound of scrypt for a key's file, in bytes: 128 N r (RFC 7914, 5)."""


class Signer(Protocol):
    """The half of a key pair that signs; `openssl_keys.PrivateHalf` is the implementation."""

    def sign(self, message: bytes) -> bytes:
        """Sign a message, as cosign does with a key of this kind."""
        ...


@frozen
class PrivateKey:
    """A key that signs.

    Attributes:
        public: the public key.
    """

    public: PublicKey
    _key: Signer = field(repr=False, eq=False)

    @classmethod
    def from_pem(cls, pem: bytes, name: str, password: bytes | None = None) -> Self:
        """Read a key as `cosign generate-key-pair` and `openssl genpkey` write it.

        Args:
            pem: the file.
            name: for messages.
            password: of the key, None if there is none.

        Raises:
            InvalidSignaturePolicy: the file is not a private key, needs another password, or has an unsupported kind.
            MissingPackage: the extra `signatures` is not installed, or `attest` for a key in cosign's format.
        """
        if len(pem) > KEY_BYTES:
            raise _invalid(name, f"expected at most {KEY_BYTES} bytes, found {len(pem)}")
        text = pem.decode("ascii", "replace")
        own = next((label for label in _COSIGN if f"BEGIN {label}" in text), None)
        openssl = load_extra("cosinspect.signatures.openssl_keys", "signatures")
        try:
            if own is not None:
                half = openssl.read_private_half(_cosign(text, own, name, password or b""), None, pem=False)
            else:
                half = openssl.read_private_half(pem, password, pem=True)
        except TypeError as fault:  # an unneeded or missing password
            if "not given" not in str(fault):
                return cls.from_pem(pem, name)
            raise _invalid(name, "the key has a password", "set COSIGN_PASSWORD") from fault
        except ValueError as fault:
            raise _invalid(name, str(fault)) from fault
        return cls(PublicKey.from_pem(half.public_pem, name), half)

    def sign(self, message: bytes) -> bytes:
        """Sign a message, as cosign does with a key of this kind."""
        return self._key.sign(message)


def _cosign(text: str, label: str, name: str, password: bytes) -> bytes:
    """Open a key of cosign: scrypt and NaCl's secret box (secure-systems-lab/go-securesystemslib, encrypted)."""
    body = text.partition(f"-----BEGIN {label}-----")[2].partition(f"-----END {label}-----")[0]
    try:
        sealed: Any = json.loads(base64.b64decode("".join(body.split()), validate=True))
        params = sealed["kdf"]["params"]
        algorithms = (sealed["kdf"]["name"], sealed["cipher"]["name"])
        n, r, p = (int(params[key]) for key in ("N", "r", "p"))
        salt, nonce, ciphertext = (
            base64.b64decode(each, validate=True)
            for each in (sealed["kdf"]["salt"], sealed["cipher"]["nonce"], sealed["ciphertext"])
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise ValueError("expected a private key as cosign writes it") from fault
    if algorithms != ("scrypt", "nacl/secretbox"):
        raise ValueError(
            f"expected a private key sealed by scrypt and nacl/secretbox, found {algorithms}"[:300]
        )
    if not 0 < 128 * n * r * p <= _SCRYPT_MEMORY:
        raise ValueError(
            f"expected a key whose password takes at most {_SCRYPT_MEMORY >> 20} MiB of memory, found {128 * n * r * p >> 20}"
        )
    # Imported on demand: only cosign's own keys need it.
    nacl = load_extra("nacl.secret", "attest")
    errors = load_extra("nacl.exceptions", "attest")
    secret = load_extra("cosinspect.signatures.openssl_keys", "signatures").derive_scrypt(
        password, salt, n, r, p
    )
    try:
        opened: bytes = nacl.SecretBox(secret).decrypt(ciphertext, nonce)
    except errors.CryptoError as fault:
        raise _invalid(name, "the password is another one", "set COSIGN_PASSWORD") from fault
    return opened


def _invalid(name: str, message: str, remedy: str | None = None) -> InvalidSignaturePolicy:
    return InvalidSignaturePolicy(message, where=name, remedy=remedy)
