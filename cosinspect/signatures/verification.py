"""Whether a trusted signer signed a digest, with the result for every signature.

A signature counts if one of the policy's signers made it, its claim names exactly this digest, and it has
every required annotation. One is enough. Statements that are not signatures of the image (provenance, bills
of materials, test results) do not count, for any signer; cosign's `verify` accepts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

from cosinspect.errors import ContentError, FormatError, InvalidImage, LimitExceeded, SourceError
from cosinspect.formats.signing.dsse import Envelope
from cosinspect.formats.signing.in_toto import IN_TOTO, read_statement
from cosinspect.formats.signing.log_entry import read_log_bundle, read_log_entry
from cosinspect.formats.signing.signed_json import decode_base64
from cosinspect.formats.signing.sigstore_bundle import MessageSignature, SigstoreBundle, read_bundle
from cosinspect.formats.signing.simple_signing import read_simple_signing
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Digest
from cosinspect.signatures.attached import AttachedBundle, AttachedPayload, Unreadable, find_signatures
from cosinspect.signatures.keys import PublicKey
from cosinspect.signatures.outcome import RejectedSignature, Verification, VerifiedSignature
from cosinspect.signatures.policy import SignaturePolicy
from cosinspect.signatures.store import SignatureStore

__all__ = ["Keyless", "verify_signatures"]

SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of cosign's signatures, in contrast to other statements."""


_ENVELOPE_SIGNATURES = 16
_LOG_ENTRIES = 16
"""The maximum number of log entries read per bundle; cosign makes one."""


class Keyless(Protocol):
    """Verifies signatures with a certificate instead of a known key."""

    def verify_envelope(self, bundle: bytes) -> tuple[str, str, bytes]:
        """Return the signer, the payload's type, and the payload of a bundle with an envelope.

        Raises:
            FormatError: the signature is invalid (kind `untrusted`), or the input is not a bundle.
        """
        ...

    def verify_digest(self, bundle: bytes, digest: Digest) -> str:
        """Return the signer of a bundle over bytes of this digest.

        Raises:
            FormatError: the signature is invalid (kind `untrusted`), or the input is not a bundle.
        """
        ...


class _Rejected(Exception):
    """A signature does not count; the message gives the reason."""


def verify_signatures(
    subject: Digest,
    store: SignatureStore,
    policy: SignaturePolicy,
    *,
    keyless: Keyless | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Verification:
    """Verify every signature of a manifest or index; faults of the registry or of signatures are results, not errors.

    Args:
        subject: its digest, which the caller has verified.
        store: the repository of the signatures.
        policy: the requirements.
        keyless: verifies certificates; None if the policy has keys only.
        limits: bounds of number and size.
    """
    verified: list[VerifiedSignature] = []
    rejected: list[RejectedSignature] = []
    trouble = ""
    judge = _Judge(subject, policy, keyless)
    try:
        for attached in find_signatures(store, subject, limits):
            try:
                match attached:
                    case Unreadable():
                        raise _Rejected(attached.reason)  # noqa: TRY301 - rejected like the others
                    case AttachedPayload():
                        verified.append(judge.payload(attached))
                    case AttachedBundle():
                        verified.append(judge.bundle(attached))
            except (_Rejected, FormatError) as fault:
                rejected.append(RejectedSignature(attached.origin, str(fault)))
    except (SourceError, ContentError, InvalidImage, LimitExceeded) as fault:
        trouble = str(fault)
    return Verification(subject, store.repository, policy.signers, tuple(verified), tuple(rejected), trouble)


@frozen
class _Judge:
    """Verifies one signature at a time."""

    subject: Digest
    policy: SignaturePolicy
    keyless: Keyless | None

    def payload(self, attached: AttachedPayload) -> VerifiedSignature:
        """Verify a signature of the tag scheme."""
        signature = decode_base64(attached.signature, "signature")
        key = self._key(signature, attached.payload)
        if key is None:
            raise _Rejected(self._nobody(attached.has_certificate))
        if attached.log_bundle is not None:
            # A log entry of another signature proves nothing about this one (CVE-2022-23649).
            entry = read_log_bundle(attached.log_bundle.encode("utf-8", "replace"))
            if not entry.agrees(signature, attached.payload):
                raise _Rejected(
                    "the entry of the transparency log that lies with it is for another signature"
                )
        claim = read_simple_signing(attached.payload)
        if claim.digest != self.subject:
            raise _Rejected(f"it is the signature of another image, {claim.digest}")
        self._check_annotations(claim.annotations)
        return VerifiedSignature(attached.origin, "simple-signing", f"key {key}", _texts(claim.annotations))

    def bundle(self, attached: AttachedBundle) -> VerifiedSignature:
        """Verify a sigstore bundle."""
        bundle = read_bundle(attached.raw)
        if isinstance(bundle.content, MessageSignature):
            signer = self._message_signer(bundle, bundle.content, attached.raw)
            self._check_annotations({})
            return VerifiedSignature(attached.origin, "bundle", signer)
        signer, payload_type, payload = self._envelope_signer(bundle, bundle.content, attached.raw)
        if payload_type != IN_TOTO:
            raise _Rejected(f"expected a payload of type {IN_TOTO}, found {payload_type[:100]!r}")
        statement = read_statement(payload)
        if statement.predicate_type != SIGN_PREDICATE:
            raise _Rejected(
                f"it is a statement about the image ({statement.predicate_type[:200]}), and no signature of it"
            )
        for subject in statement.subjects:
            if subject.digests.get(self.subject.algorithm) == self.subject.encoded:
                self._check_annotations(subject.annotations)
                return VerifiedSignature(attached.origin, "bundle", signer, _texts(subject.annotations))
        named = ", ".join(
            f"{algorithm}:{encoded}"
            for subject in statement.subjects[:3]
            for algorithm, encoded in [*subject.digests.items()][:3]
        )
        raise _Rejected(f"it is the signature of another image, {named[:300] or 'which it does not name'}")

    def _envelope_signer(
        self, bundle: SigstoreBundle, envelope: Envelope, raw: bytes
    ) -> tuple[str, str, bytes]:
        """Return the signer and the signed payload."""
        signed = envelope.signed_bytes
        for signature in envelope.signatures[:_ENVELOPE_SIGNATURES]:
            key = self._key(signature, signed)
            if key is not None:
                self._check_log(bundle, signature, envelope.payload)
                return f"key {key}", envelope.payload_type, envelope.payload
        if bundle.has_certificate and self.keyless is not None:
            return self.keyless.verify_envelope(raw)
        raise _Rejected(self._nobody(False))

    def _message_signer(self, bundle: SigstoreBundle, message: MessageSignature, raw: bytes) -> str:
        if message.algorithm != "SHA2_256" or message.digest.hex() != self.subject.encoded:
            raise _Rejected(
                f"it is a signature over {message.algorithm[:20]}:{message.digest.hex()[:128]}, another image"
            )
        for key in self.policy.keys:
            if key.signed_digest(message.signature, self.subject):
                return f"key {key}"
        if bundle.has_certificate and self.keyless is not None:
            return self.keyless.verify_digest(raw, self.subject)
        raise _Rejected(self._nobody(False))

    def _key(self, signature: bytes, message: bytes) -> PublicKey | None:
        return next((key for key in self.policy.keys if key.signed(signature, message)), None)

    def _check_log(self, bundle: SigstoreBundle, signature: bytes, payload: bytes) -> None:
        for body in bundle.log_entries[:_LOG_ENTRIES]:
            if not read_log_entry(body).agrees(signature, payload):
                raise _Rejected("the entry of the transparency log in the bundle is for another signature")

    def _check_annotations(self, found: Mapping[str, Any]) -> None:
        for name, wanted in self.policy.annotations.items():
            if found.get(name) != wanted:
                seen = f"found {found[name]!r:.100}" if name in found else "it is not signed with any"
                raise _Rejected(f"expected the annotation {name}={wanted}, {seen}")

    def _nobody(self, has_certificate: bool) -> str:
        if has_certificate and self.policy.identities:
            return (
                "it has a certificate in an annotation, which is not verified: only bundles are (sign with cosign 3, "
                "or --new-bundle-format)"
            )
        return "nobody who is trusted made it"


def _texts(annotations: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in annotations.items() if isinstance(value, str)}
