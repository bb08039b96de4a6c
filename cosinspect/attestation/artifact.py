"""The manifest of an artefact that refers to an image, in the model of oras.

Follows image-spec, manifest.md, "Guidelines for Artifact Usage": an empty configuration, one layer, and the subject. oras has
the documents; blobs and manifests are pushed by `cosinspect.sources.registry`, which bounds and verifies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec
import oras.oci

from cosinspect.oci.documents import Descriptor, Digest

__all__ = ["EMPTY", "artifact_manifest", "descriptor_of"]

EMPTY = b"{}"
"""The configuration of an artefact (image-spec, manifest.md, "Guidance for an Empty Descriptor")."""

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


def artifact_manifest(
    artifact_type: str, layer: Mapping[str, Any], subject: Descriptor, annotations: Mapping[str, str]
) -> bytes:
    """Return the manifest of an artefact.

    Args:
        artifact_type: media type of the artefact.
        layer: descriptor of its only blob.
        subject: the image that it is about.
        annotations: of the manifest.
    """
    config, _ = oras.oci.ManifestConfig(media_type=_EMPTY_TYPE)
    about = oras.oci.Subject(subject.media_type, str(subject.digest), subject.size)
    manifest = oras.oci.NewManifest() | {
        "artifactType": artifact_type,
        "config": config,
        "layers": [dict(layer)],
        "subject": asdict(about),
        "annotations": dict(annotations),
    }
    return msgspec.json.encode(manifest)


def descriptor_of(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    """Return a descriptor as a JSON object."""
    return {"mediaType": media_type, "digest": str(digest), "size": size}
