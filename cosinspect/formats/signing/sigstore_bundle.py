"""Sigstore bundles (sigstore/protobuf-specs, sigstore_bundle.proto, as JSON): a signature with its verification material."""

from __future__ import annotations

import re

import msgspec
from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.signing.dsse import Envelope, WireEnvelope, to_envelope
from cosinspect.formats.signing.signed_json import decode_base64, read_signed_json

__all__ = ["BUNDLE_V3", "MessageSignature", "SigstoreBundle", "is_bundle_type", "read_bundle"]

BUNDLE_V3 = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""The media type of a bundle, and of an artifact that holds one."""

# Versions 0.1 and 0.2 have the version as a parameter; some documents of 0.3 do too.
_TYPE = re.compile(
    r"application/vnd\.dev\.sigstore\.bundle(?:\.v0\.[0-9]{1,2}\+json|\+json;\s*version=0\.[0-9]{1,2})"
)


@frozen
class MessageSignature:
    """A signature of bytes that are not in the bundle.

    Attributes:
        algorithm: of the digest, in sigstore's spelling: `SHA2_256`.
        digest: of the bytes; only a hint until it is compared with the known digest.
        signature: of the bytes.
    """

    algorithm: str
    digest: bytes
    signature: bytes


@frozen
class SigstoreBundle:
    """A bundle.

    Attributes:
        content: an envelope, or a signature of bytes elsewhere.
        has_certificate: whether a certificate identifies the signer, and not only a hint at a key.
        log_entries: the bodies of entries in transparency logs, unchanged.
    """

    content: Envelope | MessageSignature
    has_certificate: bool
    log_entries: tuple[bytes, ...]


class _WireDigest(msgspec.Struct):
    algorithm: str = ""
    digest: str = ""


class _WireMessage(msgspec.Struct, rename="camel"):
    signature: str
    message_digest: _WireDigest


class _WireEntry(msgspec.Struct, rename="camel"):
    canonicalized_body: str = ""


class _WireAny(msgspec.Struct):
    """An object whose content does not matter."""


class _WireMaterial(msgspec.Struct, rename="camel"):
    public_key: _WireAny | None = None
    certificate: _WireAny | None = None
    chain: _WireAny | None = msgspec.field(default=None, name="x509CertificateChain")
    tlog_entries: list[_WireEntry] | None = None


class _WireBundle(msgspec.Struct, rename="camel"):
    media_type: str
    verification_material: _WireMaterial
    message_signature: _WireMessage | None = None
    dsse_envelope: WireEnvelope | None = None


def is_bundle_type(media_type: str) -> bool:
    """Return whether a media type is that of a bundle of any version."""
    return _TYPE.fullmatch(media_type.strip()) is not None


def read_bundle(raw: bytes) -> SigstoreBundle:
    """Read a bundle.

    Raises:
        FormatError: of kind `json`, `fields`, `type` (not a bundle, or another version), `content` (not exactly one
            signature, or one kind of signer), `base64` or `signatures`.
    """
    wire = read_signed_json(raw, _WireBundle, "bundle")
    if not is_bundle_type(wire.media_type):
        raise FormatError(
            f"expected {BUNDLE_V3}, found {wire.media_type[:100]!r}", kind="type", where="bundle.mediaType"
        )
    material = wire.verification_material
    signers = [
        item for item in (material.public_key, material.certificate, material.chain) if item is not None
    ]
    if len(signers) != 1:
        raise FormatError(
            f"expected one key or certificate, found {len(signers)}",
            kind="content",
            where="bundle.verificationMaterial",
        )
    return SigstoreBundle(
        _content(wire),
        material.public_key is None,
        tuple(
            decode_base64(entry.canonicalized_body, f"bundle.verificationMaterial.tlogEntries[{number}]")
            for number, entry in enumerate(material.tlog_entries or ())
        ),
    )


def _content(wire: _WireBundle) -> Envelope | MessageSignature:
    message, envelope = wire.message_signature, wire.dsse_envelope
    if envelope is not None and message is None:
        return to_envelope(envelope, "bundle.dsseEnvelope")
    if message is not None and envelope is None:
        return MessageSignature(
            message.message_digest.algorithm,
            decode_base64(message.message_digest.digest, "bundle.messageSignature.messageDigest"),
            decode_base64(message.signature, "bundle.messageSignature.signature"),
        )
    raise FormatError(
        "expected an envelope or a message signature, found none or both", kind="content", where="bundle"
    )
