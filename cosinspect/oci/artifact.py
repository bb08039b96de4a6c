"""The manifest of an artifact: something in a repository that is no image, such as what refers to one.

Follows image-spec 1.1 (manifest.md, "Guidelines for Artifact Usage"). What its layers are is for whoever knows the
artifact's type; here they are descriptors and nothing else.
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
        artifact_type: what the artifact is: its `artifactType`, else the type of its configuration.
        layers: its parts, in order.
        subject: the manifest or index it refers to, None if it refers to none.
        annotations: as written.
    """

    artifact_type: str
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_json(cls, raw: bytes, media_type: str = "") -> Self:
        """Parse a manifest that may be nothing else.

        Args:
            raw: the document, already verified against its digest.
            media_type: what the descriptor or server calls it, where one does.

        Raises:
            InvalidManifest: it is not a manifest, or could be read as something else too.
            UnsupportedMediaType: it is of schema 1.
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
