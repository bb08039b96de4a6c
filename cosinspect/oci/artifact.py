"""The manifest of an artifact: a manifest in a repository that is not an image, such as a referrer.

Follows image-spec 1.1 (manifest.md, "Guidelines for Artifact Usage"). The layers are descriptors; the code
that knows the artifact's type interprets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from cosinspect.oci.documents import Descriptor, parse_descriptor
from cosinspect.oci.media_types import MANIFEST_TYPES, OCI_MANIFEST, agreed_type
from cosinspect.oci.wire import WireManifest, convert_document, load_document, refuse_keys

__all__ = ["ArtifactManifest"]


@frozen
class ArtifactManifest:
    """A manifest whose layers may be of any type.

    Attributes:
        artifact_type: its `artifactType`, else the media type of its configuration.
        layers: its parts, in order.
        subject: the manifest or index that it refers to, or None.
        annotations: as written.
    """

    artifact_type: str
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_json(cls, raw: bytes, media_type: str = "") -> Self:
        """Parse a manifest; refuse a document that could be something else too.

        Args:
            raw: the document, already verified against its digest.
            media_type: the media type that the descriptor or server states, if any.

        Raises:
            InvalidManifest: the document is not a manifest, or another reader could read it as something else.
            UnsupportedMediaType: the document is of schema 1.
        """
        document = load_document(raw, "manifest")
        agreed_type(document, media_type, MANIFEST_TYPES, OCI_MANIFEST)
        refuse_keys(document, ("manifests", "fslayers"), "manifest")
        wire = convert_document(document, WireManifest, "manifest")
        return cls(
            wire.artifact_type or wire.config.media_type,
            tuple(
                parse_descriptor(layer, f"manifest.layers[{number}]")
                for number, layer in enumerate(wire.layers or ())
            ),
            parse_descriptor(wire.subject, "manifest.subject") if wire.subject is not None else None,
            wire.annotations or {},
        )
