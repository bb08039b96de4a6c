"""Bundles signed with sigstore's certificates, made and verified by sigstore's library.

The packages of the extra `sigstore` are imported here and nowhere else; callers load this module with `load_extra`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from attrs import frozen
from cryptography import x509
from sigstore.dsse import Statement
from sigstore.errors import VerificationError
from sigstore.hashes import Hashed
from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore_models.common.v1 import HashAlgorithm

from cosinspect.errors import FormatError, InvalidSignaturePolicy, TransportError
from cosinspect.oci.documents import Digest
from cosinspect.signatures.policy import Identity

__all__ = ["KeylessSigner", "KeylessVerifier"]

T = TypeVar("T")

# Fulcio, docs/oid-info.md: the issuer as text, and since 2022 as a DER string.
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_DER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OTHER_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")


@frozen
class _Trusted:
    """A sigstore policy that compares a certificate with an identity; it has no state."""

    identity: Identity

    def verify(self, cert: x509.Certificate) -> None:
        """Accept a certificate with the identity's subject and issuer.

        Raises:
            VerificationError: they differ.
        """
        subjects, issuer = _subjects(cert), _issuer(cert)
        if not any(_fits(text, self.identity.subject, self.identity.subject_is_pattern) for text in subjects):
            raise VerificationError(f"the certificate names {', '.join(subjects)[:300] or 'nobody'}")
        if not _fits(issuer, self.identity.issuer, self.identity.issuer_is_pattern):
            raise VerificationError(f"the certificate's issuer is {issuer[:300] or 'not told'}")


class KeylessVerifier:
    """Verifies certificates against identities; with a given trust root it needs no network.

    Args:
        identities: the accepted signers; one is enough.
        trusted_root: file with sigstore's certificates and keys; None fetches them from the public instance.

    Raises:
        InvalidSignaturePolicy: the trust root is invalid.
        TransportError: the trust root cannot be fetched.
    """

    def __init__(self, identities: tuple[Identity, ...], trusted_root: Path | None = None) -> None:
        self._identities = identities
        try:
            if trusted_root is None:
                self._verifier = Verifier.production()
            else:
                self._verifier = Verifier(trusted_root=TrustedRoot.from_file(str(trusted_root)))
        except Exception as fault:
            # Whatever the library raises for a file or the network: without a root nothing can be verified.
            reason = f"{type(fault).__name__}: {str(fault)[:300]}"
            if trusted_root is not None:
                raise InvalidSignaturePolicy(
                    f"expected sigstore's certificates and keys: {reason}",
                    where=str(trusted_root),
                    remedy="cosign trusted-root create makes such a file",
                ) from fault
            raise TransportError(
                f"sigstore's certificates and keys cannot be fetched: {reason}",
                where="sigstore's public instance",
                remedy="without access to the internet, give a file: --trusted-root trusted_root.json",
            ) from fault

    def verify_envelope(self, bundle: bytes) -> tuple[str, str, bytes]:
        """Return the signer, the payload's type, and the payload of a bundle with an envelope.

        Raises:
            FormatError: the signature is invalid (kind `untrusted`), or the input is not a bundle.
        """
        parsed = _contained(lambda: Bundle.from_json(bundle))
        signer, (kind, payload) = self._first(lambda trusted: self._verifier.verify_dsse(parsed, trusted))
        return signer, kind, payload

    def verify_digest(self, bundle: bytes, digest: Digest) -> str:
        """Return the signer of a bundle over bytes of this digest.

        Raises:
            FormatError: the signature is invalid (kind `untrusted`), or the input is not a bundle.
        """
        parsed = _contained(lambda: Bundle.from_json(bundle))
        hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(digest.encoded))

        def verify(trusted: _Trusted) -> bool:
            self._verifier.verify_artifact(hashed, parsed, trusted)
            return True

        return self._first(verify)[0]

    def _first(self, verify: Callable[[_Trusted], T]) -> tuple[str, T]:
        reasons = []
        for identity in self._identities:
            try:
                return f"identity {identity}", _contained(partial(verify, _Trusted(identity)))
            except FormatError as fault:
                reasons.append(fault.message)
        raise FormatError("; ".join(dict.fromkeys(reasons)), kind="untrusted")


class KeylessSigner:
    """Signs statements with a certificate for one identity, valid for some minutes.

    Args:
        token: an OpenID Connect token of the signer with the audience `sigstore`.
        trust_config: file with an instance's addresses and keys (ClientTrustConfig); None for the public instance.

    Raises:
        InvalidSignaturePolicy: the token is invalid or expired, or the file is invalid.
        TransportError: the public instance's addresses cannot be fetched.
    """

    def __init__(self, token: str, trust_config: Path | None = None) -> None:
        try:
            self._token = IdentityToken(token)
        except Exception as fault:
            raise InvalidSignaturePolicy(
                f"expected an identity token for sigstore that is valid now: {fault}", where="identity token"
            ) from fault
        try:
            if trust_config is None:
                config = ClientTrustConfig.production()
            else:
                config = ClientTrustConfig.from_json(trust_config.read_text("utf-8"))
            self._context = SigningContext.from_trust_config(config)
        except Exception as fault:
            reason = f"{type(fault).__name__}: {str(fault)[:300]}"
            if trust_config is not None:
                raise InvalidSignaturePolicy(
                    f"expected the addresses and keys of a sigstore: {reason}", where=str(trust_config)
                ) from fault
            raise TransportError(
                f"sigstore's addresses cannot be fetched: {reason}", where="sigstore's public instance"
            ) from fault

    @property
    def name(self) -> str:
        """The signer, for reports."""
        return f"identity {self._token.identity} by {self._token.federated_issuer}"

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement, add it to the log, and return the bundle.

        Raises:
            TransportError: the authority issues no certificate, or the log refuses the entry.
        """
        try:
            with self._context.signer(self._token) as signer:
                return signer.sign_dsse(Statement(statement)).to_json().encode()
        except Exception as fault:
            # The library's errors differ between versions.
            raise TransportError(
                f"sigstore does not sign: {type(fault).__name__}: {str(fault)[:300]}",
                where="sigstore",
                remedy="a token is good for a few minutes; get a new one and try again",
            ) from fault


def _contained(work: Callable[[], T]) -> T:
    """Run the library on untrusted bytes; any error means that they are invalid."""
    try:
        return work()
    except Exception as fault:
        raise FormatError(f"{type(fault).__name__}: {str(fault)[:300]}", kind="untrusted") from fault


def _fits(found: str, wanted: str, is_pattern: bool) -> bool:
    if not is_pattern:
        return found == wanted
    # In Python, $ also matches before a final line break.
    return found.isprintable() and re.search(wanted, found) is not None


def _subjects(cert: x509.Certificate) -> list[str]:
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    others = [name.value for name in names.get_values_for_type(x509.OtherName) if name.type_id == _OTHER_NAME]
    return [
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *(_der_text(value) for value in others),
    ]


def _issuer(cert: x509.Certificate) -> str:
    for oid in (_ISSUER_DER, _ISSUER):
        for extension in cert.extensions:
            if extension.oid == oid and isinstance(extension.value, x509.UnrecognizedExtension):
                value = extension.value.value
                return _der_text(value) if oid == _ISSUER_DER else value.decode("utf-8", "replace")
    return ""


def _der_text(value: bytes) -> str:
    """Return a DER UTF8String of up to 255 bytes as text, "" for anything else."""
    if value[:1] != b"\x0c" or len(value) < 2:
        return ""
    head = 2 if value[1] < 0x80 else 3 if value[1] == 0x81 else 0
    if not head or len(value) < head or value[head - 1] != len(value) - head:
        return ""
    return value[head:].decode("utf-8", "replace")
