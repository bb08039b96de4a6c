"""The places of statements about an image: referrers with a bundle, and the tag that cosign 2 reads.

Bundles: sigstore/cosign, specs/BUNDLE_SPEC.md. The tag: specs/ATTESTATION_SPEC.md. If a registry does not
list referrers, the index tagged `sha256-<hexadecimal digits>` does (distribution-spec 1.1, "Pushing Manifests with
Subject").
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
from attrs import frozen

from cosinspect.attestation.artifact import EMPTY, artifact_manifest, descriptor_of
from cosinspect.attestation.statement import TEST_RESULT
from cosinspect.errors import CosinspectError, InvalidManifest
from cosinspect.formats.signing.dsse import Envelope, WireEnvelope, to_envelope
from cosinspect.formats.signing.in_toto import IN_TOTO
from cosinspect.formats.signing.signed_json import read_signed_json
from cosinspect.formats.signing.sigstore_bundle import BUNDLE_V3, is_bundle_type, read_bundle
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.artifact import ArtifactManifest
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.oci.media_types import MANIFEST_TYPES, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from cosinspect.oci.wire import load_document
from cosinspect.signatures.keys import PublicKey
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.sources.signature_repository import SignatureRepository

__all__ = ["AttestationRepository", "bundle_of", "envelope_json"]

_ENVELOPE = "application/vnd.dsse.envelope.v1+json"
_MOST = 100
"""The maximum number of statements that are read."""


def envelope_json(payload: bytes, signature: bytes) -> dict[str, Any]:
    """Return a signed statement as a JSON envelope (secure-systems-lab/dsse, envelope.md)."""
    return {
        "payloadType": IN_TOTO,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }


def bundle_of(envelope: dict[str, Any], key: PublicKey) -> bytes:
    """Return a signed statement as a bundle with a hint at its key."""
    hint = base64.b64encode(bytes.fromhex(key.fingerprint)).decode()
    return msgspec.json.encode(
        {
            "mediaType": BUNDLE_V3,
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
    )


@frozen
class AttestationRepository:
    """The repository of an image as a store of statements.

    Attributes:
        source: any image in the repository; it is not closed.
        limits: for what is read.
    """

    source: RegistrySource
    limits: Limits = DEFAULT_LIMITS

    def put_bundle(self, subject: Descriptor, bundle: bytes, *, created: str) -> Digest:
        """Push a bundle as a referrer of an image.

        Raises:
            SourceError: the registry refuses it.
        """
        self.source.push_blob(EMPTY)
        layer = self.source.push_blob(bundle)
        annotations = {
            "org.opencontainers.image.created": created,
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": TEST_RESULT,
        }
        raw = artifact_manifest(BUNDLE_V3, descriptor_of(BUNDLE_V3, layer, len(bundle)), subject, annotations)
        digest = Digest.of(raw)
        if not self.source.push_manifest(str(digest), OCI_MANIFEST, raw):
            entry = descriptor_of(OCI_MANIFEST, digest, len(raw))
            entry |= {"artifactType": BUNDLE_V3, "annotations": annotations}
            self._list_by_tag(subject.digest, entry)
        return digest

    def put_tagged(self, subject: Descriptor, envelope: bytes) -> str:
        """Add an envelope under cosign's tag, replacing an earlier one of ours; return the tag.

        Raises:
            SourceError: the registry refuses it.
            InvalidManifest: the tag has something other than cosign's manifest.
        """
        tag = f"{subject.digest.algorithm}-{subject.digest.encoded}.att"
        kept: list[dict[str, Any]] = []
        raw = self._store.tagged(tag)
        if raw is not None:
            layers = load_document(raw, tag).get("layers")
            if not isinstance(layers, list):
                raise InvalidManifest("expected the manifest of attestations", where=tag)
            kept = [
                each
                for each in layers
                if not isinstance(each, dict)
                or (each.get("annotations") or {}).get("predicateType") != TEST_RESULT
            ]
        layer = descriptor_of(_ENVELOPE, self.source.push_blob(envelope), len(envelope))
        layer["annotations"] = {"dev.cosignproject.cosign/signature": "", "predicateType": TEST_RESULT}
        layers = [*kept, layer]
        config = msgspec.json.encode(
            {
                "architecture": "",
                "created": "0001-01-01T00:00:00Z",
                "history": [{"created": "0001-01-01T00:00:00Z"}] * len(layers),
                "os": "",
                "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in layers]},
                "config": {},
            }
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor_of(OCI_CONFIG, self.source.push_blob(config), len(config)),
            "layers": layers,
        }
        self.source.push_manifest(tag, OCI_MANIFEST, msgspec.json.encode(manifest))
        return tag

    def envelopes(self, subject: Digest) -> Iterator[Envelope]:
        """Yield every envelope beside an image, unverified; skip unreadable ones.

        Raises:
            SourceError: the registry does not answer.
            CosinspectError: the list of referrers is invalid.
        """
        for descriptor in self.source.referrers(subject)[:_MOST]:
            if descriptor.media_type not in MANIFEST_TYPES or not is_bundle_type(
                descriptor.artifact_type or BUNDLE_V3
            ):
                continue
            try:
                raw = self._read(descriptor, self.limits.manifest_bytes)
                manifest = ArtifactManifest.from_json(raw, descriptor.media_type)
                if (
                    manifest.subject is None
                    or manifest.subject.digest != subject
                    or len(manifest.layers) != 1
                ):
                    continue
                content = read_bundle(self._read(manifest.layers[0], self.limits.signature_bytes)).content
            except CosinspectError:
                continue
            if isinstance(content, Envelope):
                yield content
        yield from self._tagged_envelopes(subject)

    def _tagged_envelopes(self, subject: Digest) -> Iterator[Envelope]:
        tag = f"{subject.algorithm}-{subject.encoded}.att"
        raw = self._store.tagged(tag)
        if raw is None:
            return
        try:
            manifest = ArtifactManifest.from_json(raw)
        except CosinspectError:
            return
        for layer in manifest.layers[:_MOST]:
            try:
                data = self._read(layer, self.limits.signature_bytes)
                yield to_envelope(read_signed_json(data, WireEnvelope, tag), tag)
            except CosinspectError:
                continue

    @property
    def _store(self) -> SignatureRepository:
        return SignatureRepository(self.source, self.limits)

    def _read(self, descriptor: Descriptor, limit: int) -> bytes:
        return self._store.read(descriptor, limit=limit, limit_name="signature_bytes")

    def _list_by_tag(self, subject: Digest, entry: dict[str, Any]) -> None:
        tag = f"{subject.algorithm[:32]}-{subject.encoded[:64]}"
        raw = self._store.tagged(tag)
        manifests: list[Any] = []
        if raw is not None:
            found = load_document(raw, tag).get("manifests")
            if not isinstance(found, list):
                raise InvalidManifest("expected the index of what refers to the image", where=tag)
            manifests = [
                each for each in found if not isinstance(each, dict) or each.get("digest") != entry["digest"]
            ]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*manifests, entry]}
        self.source.push_manifest(tag, OCI_INDEX, msgspec.json.encode(index))
