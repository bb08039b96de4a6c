"""Signatures in a repository: found and read, but not yet verified.

There are two schemes. In cosign's own, the manifest tagged `sha256-<hex>.sig` has a layer for each signature:
the signed payload, with the signature in an annotation (SIGNATURE_SPEC.md). cosign 2 can make it a referrer
instead (`--registry-referrers-mode oci-1-1`). In the newer scheme, each signature is a referrer of the image
with a sigstore bundle (BUNDLE_SPEC.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from attrs import field, frozen

from cosinspect.errors import (
    ContentError,
    CosinspectError,
    InvalidImage,
    LimitExceeded,
    NotFound,
    SourceError,
)
from cosinspect.formats.signing.sigstore_bundle import BUNDLE_V3, is_bundle_type
from cosinspect.formats.signing.simple_signing import SIMPLE_SIGNING
from cosinspect.limits import Limits
from cosinspect.oci.artifact import ArtifactManifest
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.oci.media_types import MANIFEST_TYPES
from cosinspect.signatures.store import SignatureStore

__all__ = ["AttachedBundle", "AttachedPayload", "Unreadable", "find_signatures", "signature_tag"]

_PAYLOADS = "application/vnd.dev.cosign.artifact.sig.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_CERTIFICATE = "dev.sigstore.cosign/certificate"
_LOG_BUNDLE = "dev.sigstore.cosign/bundle"


@frozen
class AttachedPayload:
    """A signature over its own payload.

    Attributes:
        origin: its place, for reports.
        payload: the signed bytes.
        signature: in base64, as written.
        has_certificate: whether a certificate names the signer.
        log_bundle: the entry of the transparency log, as written, or None.
    """

    origin: str
    payload: bytes = field(repr=False)
    signature: str
    has_certificate: bool = False
    log_bundle: str | None = field(default=None, repr=False)


@frozen
class AttachedBundle:
    """A sigstore bundle that refers to the image.

    Attributes:
        origin: its place, for reports.
        raw: its JSON.
    """

    origin: str
    raw: bytes = field(repr=False)


@frozen
class Unreadable:
    """An artifact in place of a signature that cannot be read as one.

    Attributes:
        origin: its place, for reports.
        reason: why it cannot be read.
    """

    origin: str
    reason: str


Attached: TypeAlias = AttachedPayload | AttachedBundle | Unreadable


def signature_tag(digest: Digest) -> str:
    """Return the tag under which cosign stores the signatures of a manifest or index."""
    return f"{digest.algorithm}-{digest.encoded}.sig"


def find_signatures(store: SignatureStore, subject: Digest, limits: Limits) -> Iterator[Attached]:
    """Yield possible signatures of `subject`: tagged ones first, then referrers.

    Damaged ones are `Unreadable`, so that one bad signature does not hide a good one.

    Raises:
        SourceError: the registry does not answer, or answers with an error; there may be more signatures.
        LimitExceeded: there are more than `Limits.signatures`.
        ContentError, InvalidImage: the list of referrers is damaged.
    """
    for count, found in enumerate(_all(store, subject, limits)):
        if count >= limits.signatures:
            raise LimitExceeded(
                f"expected at most {limits.signatures} signatures and other artifacts that refer to the image, found more",
                limit="signatures",
                bound=limits.signatures,
                where=store.repository,
                remedy="remove unneeded ones (cosign clean), or raise the limit",
            )
        if found is not None:
            yield found


def _all(store: SignatureStore, subject: Digest, limits: Limits) -> Iterator[Attached | None]:
    """Yield candidates; None for a referrer that is not a signature, because it counts for the limit."""
    first: CosinspectError | None = None
    for place in (_tagged, _referring):
        try:
            yield from place(store, subject, limits)
        except (SourceError, ContentError, InvalidImage, LimitExceeded) as fault:
            first = first or fault  # the other place may have a valid signature
    if first is not None:
        raise first


def _tagged(store: SignatureStore, subject: Digest, limits: Limits) -> Iterator[Attached]:
    tag = signature_tag(subject)
    try:
        raw = store.tagged(tag)
        if raw is None:
            return
        manifest = ArtifactManifest.from_json(raw)
    except (ContentError, InvalidImage, LimitExceeded) as fault:
        yield Unreadable(tag, str(fault))
        return
    yield from _payloads(store, tag, manifest, limits)


def _referring(store: SignatureStore, subject: Digest, limits: Limits) -> Iterator[Attached | None]:
    for descriptor in store.referrers(subject):
        # The registry's artifact type may be wrong; then the artifact is ignored.
        if descriptor.media_type in MANIFEST_TYPES and _is_signature(descriptor.artifact_type or BUNDLE_V3):
            yield from _referrer(store, subject, descriptor, limits)


def _referrer(
    store: SignatureStore, subject: Digest, descriptor: Descriptor, limits: Limits
) -> Iterator[Attached | None]:
    origin = f"referrer {descriptor.digest}"
    try:
        raw = store.read(descriptor, limit=limits.manifest_bytes, limit_name="manifest_bytes")
        manifest = ArtifactManifest.from_json(raw, descriptor.media_type)
    except (ContentError, InvalidImage, LimitExceeded, NotFound) as fault:
        yield Unreadable(origin, str(fault))
        return
    if not _is_signature(manifest.artifact_type):
        yield None
    elif manifest.subject is None or manifest.subject.digest != subject:
        refers = manifest.subject.digest if manifest.subject is not None else "nothing"
        yield Unreadable(
            origin, f"expected an artifact that refers to {subject}, this one refers to {refers}"
        )
    elif is_bundle_type(manifest.artifact_type):
        yield _bundle(store, origin, manifest, limits)
    else:
        yield from _payloads(store, origin, manifest, limits)


def _is_signature(artifact_type: str) -> bool:
    return is_bundle_type(artifact_type) or artifact_type == _PAYLOADS


def _payloads(
    store: SignatureStore, place: str, manifest: ArtifactManifest, limits: Limits
) -> Iterator[Attached]:
    read: dict[Digest, bytes] = {}  # many signatures have the same payload
    for number, layer in enumerate(manifest.layers):
        origin = f"{place}, layer {number}"
        if layer.media_type != SIMPLE_SIGNING:
            yield Unreadable(
                origin, f"expected the media type {SIMPLE_SIGNING}, found {layer.media_type[:100]!r}"
            )
            continue
        if _SIGNATURE not in layer.annotations:
            yield Unreadable(origin, f"expected a signature in the annotation {_SIGNATURE}, found none")
            continue
        try:
            if layer.digest not in read:
                read[layer.digest] = _content(store, layer, limits)
        except (ContentError, LimitExceeded, NotFound) as fault:
            yield Unreadable(origin, str(fault))
            continue
        yield AttachedPayload(
            origin,
            read[layer.digest],
            layer.annotations[_SIGNATURE],
            _CERTIFICATE in layer.annotations,
            layer.annotations.get(_LOG_BUNDLE),
        )


def _bundle(store: SignatureStore, origin: str, manifest: ArtifactManifest, limits: Limits) -> Attached:
    if len(manifest.layers) != 1 or not is_bundle_type(manifest.layers[0].media_type):
        return Unreadable(origin, f"expected one layer of the media type {BUNDLE_V3}")
    try:
        return AttachedBundle(origin, _content(store, manifest.layers[0], limits))
    except (ContentError, LimitExceeded, NotFound) as fault:
        return Unreadable(origin, str(fault))


def _content(store: SignatureStore, layer: Descriptor, limits: Limits) -> bytes:
    return store.read(layer, limit=limits.signature_bytes, limit_name="signature_bytes")
