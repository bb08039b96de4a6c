"""The values of the OCI image specification, parsed strictly; each value keeps its bytes.

Implements image-spec v1.1 (descriptor.md, manifest.md, image-index.md, config.md) and Docker's "Image
Manifest V2, Schema 2". The parser is as strict as the strictest runtime. It refuses a repeated key, a known
key in another case (Go's decoder accepts it), a document that could be both a manifest and an index
(CVE-2021-41190), and schema 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from cosinspect.errors import InvalidManifest, UnsupportedMediaType
from cosinspect.oci.descriptor import Descriptor, Digest
from cosinspect.oci.media_types import (
    CONFIG_TYPES,
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    GENERIC_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    OLD_CONFIG_TYPES,
    SCHEMA_1_TYPES,
    agreed_type,
    bare_type,
    refuse_layer_type,
    refuse_schema_1,
)
from cosinspect.oci.platform import Platform, no_matching_platform
from cosinspect.oci.wire import (
    WireConfig,
    WireDescriptor,
    WireExecution,
    WireIndex,
    WireManifest,
    convert_document,
    load_document,
    refuse_keys,
)

__all__ = [
    "DOCKER_CONFIG",
    "DOCKER_INDEX",
    "DOCKER_LAYER",
    "DOCKER_MANIFEST",
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "Choice",
    "Descriptor",
    "Digest",
    "History",
    "ImageConfig",
    "ImageIndex",
    "Manifest",
    "Platform",
    "no_matching_platform",
    "parse_descriptor",
    "parse_document",
]

_MAX_SIZE = 2**63 - 1


@frozen
class Manifest:
    """An image manifest: one configuration and its layers, bottom first, with the bytes it was read from."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(hash=False)
    raw: bytes = field(repr=False)

    @classmethod
    def from_json(cls, raw: bytes, media_type: str = "") -> Self:
        """Parse a manifest; refuse a document that could be something else too.

        Args:
            raw: the document, already verified against its digest.
            media_type: the media type that the descriptor or server states, if any.

        Raises:
            InvalidManifest: the document is not a manifest, or another reader could read it as something else.
            UnsupportedMediaType: the document does not describe an image, or its layers must not be read.
        """
        document = load_document(raw, "manifest")
        kind = agreed_type(document, media_type, MANIFEST_TYPES, OCI_MANIFEST)
        refuse_keys(document, ("manifests", "fslayers"), "manifest")
        wire = convert_document(document, WireManifest, "manifest")
        _refuse_artifact(wire, kind)
        layers = tuple(
            parse_descriptor(layer, f"manifest.layers[{n}]") for n, layer in enumerate(wire.layers or ())
        )
        for number, layer in enumerate(layers):
            refuse_layer_type(layer.media_type, number)
        return cls(
            kind, parse_descriptor(wire.config, "manifest.config"), layers, wire.annotations or {}, raw
        )


@frozen
class ImageIndex:
    """An image index or manifest list: manifests for several platforms, with its bytes."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(hash=False)
    raw: bytes = field(repr=False)

    @classmethod
    def from_json(cls, raw: bytes, media_type: str = "") -> Self:
        """Parse an index; refuse a document that could be something else too.

        Raises:
            InvalidManifest: the document is not an index, or another reader could read it as something else.
        """
        document = load_document(raw, "index")
        kind = agreed_type(document, media_type, INDEX_TYPES, OCI_INDEX)
        refuse_keys(document, ("layers", "config", "fslayers"), "index")
        wire = convert_document(document, WireIndex, "index")
        manifests = tuple(
            parse_descriptor(item, f"index.manifests[{n}]") for n, item in enumerate(wire.manifests or ())
        )
        return cls(kind, manifests, wire.annotations or {}, raw)

    def select(self, wanted: Platform) -> tuple[Descriptor, ...]:
        """Return the manifests that may serve `wanted`, best first.

        Manifests without a platform come after those with a matching one. Entries of other media types are
        skipped, as image-index.md requires.

        Raises:
            NoMatchingPlatform: there is no such manifest; the message names the available platforms.
        """
        images = [item for item in self.manifests if item.media_type in (*MANIFEST_TYPES, *INDEX_TYPES)]
        ranked = [
            (rank, position, item)
            for position, item in enumerate(images)
            if item.platform is not None and (rank := item.platform.rank(wanted)) is not None
        ]
        best = [item for _, _, item in sorted(ranked, key=lambda entry: entry[:2])]
        unsaid = [item for item in images if item.platform is None]
        if best or unsaid:
            return (*best, *unsaid)
        raise no_matching_platform(wanted, (item.platform for item in self.manifests))

    def rivals(self, wanted: Platform, taken: Descriptor) -> tuple[Descriptor, ...]:
        """Return the other images that match `wanted` as well as the chosen one, in their order."""
        if taken.platform is None:
            return ()
        rank = taken.platform.rank(wanted)
        return tuple(
            item
            for item in self.manifests
            if item.digest != taken.digest
            and item.media_type in (*MANIFEST_TYPES, *INDEX_TYPES)
            and item.platform is not None
            and item.platform.rank(wanted) == rank
        )


@frozen
class Choice:
    """The manifest that was chosen from an index for a platform.

    Attributes:
        wanted: the platform.
        taken: the manifest, or an index in the index.
        rivals: others that match the platform equally; another reader may choose them.
    """

    wanted: Platform
    taken: Descriptor
    rivals: tuple[Descriptor, ...]


@frozen
class History:
    """One build step of an image (image-spec, config.md, "history")."""

    created_by: str
    comment: str
    empty_layer: bool


@frozen
class ImageConfig:
    """An image configuration: the digests of the uncompressed layers, and how they were built.

    Attributes:
        platform: None if the configuration does not state it.
        diff_ids: digests of the uncompressed layers, bottom first.
        env: `NAME=value` strings.
        labels: as written.
        history: build steps in order, including those without a layer.
        created: the time of creation, as written (RFC 3339); "" if it is not stated.
    """

    platform: Platform | None
    diff_ids: tuple[Digest, ...]
    env: tuple[str, ...]
    labels: Mapping[str, str] = field(hash=False)
    history: tuple[History, ...] = field(hash=False)
    raw: bytes = field(repr=False)
    created: str = ""

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Parse a configuration.

        Raises:
            InvalidManifest: the document is not a configuration, or its root filesystem does not consist of layers.
        """
        wire = convert_document(load_document(raw, "config"), WireConfig, "config")
        if wire.rootfs.type != "layers":
            raise InvalidManifest(
                f"expected 'layers', found {wire.rootfs.type[:60]!r}", where="config.rootfs.type"
            )
        platform = (
            Platform.of_document(wire.os, wire.architecture, wire.variant) if wire.architecture else None
        )
        execution = wire.config or WireExecution()
        return cls(
            platform,
            tuple(
                _digest(text, f"config.rootfs.diff_ids[{n}]")
                for n, text in enumerate(wire.rootfs.diff_ids or ())
            ),
            tuple(execution.env or ()),
            execution.labels or {},
            tuple(
                History(step.created_by or "", step.comment or "", bool(step.empty_layer))
                for step in wire.history or ()
            ),
            raw,
            wire.created if isinstance(wire.created, str) else "",
        )

    def steps(self) -> tuple[str | None, ...]:
        """Return the build step of each layer; None for each if the history does not match the layers."""
        made = [step.created_by or step.comment or None for step in self.history if not step.empty_layer]
        if len(made) != len(self.diff_ids):
            return (None,) * len(self.diff_ids)
        return tuple(made)


def parse_document(raw: bytes, media_type: str = "") -> Manifest | ImageIndex:
    """Parse a manifest or an index; its media type decides which, or its keys if there is no media type.

    Raises:
        InvalidManifest: the document is neither, or contradicts the media type.
        UnsupportedMediaType: the document is of an unsupported kind, such as schema 1.
    """
    kind = bare_type(media_type)
    if kind in GENERIC_TYPES:
        document = load_document(raw, "manifest")
        said = document.get("mediaType")
        kind = said if isinstance(said, str) else ""
        if not kind:
            kind = OCI_INDEX if "manifests" in document else OCI_MANIFEST
        media_type = ""
    if kind in INDEX_TYPES:
        return ImageIndex.from_json(raw, media_type)
    if kind in MANIFEST_TYPES:
        return Manifest.from_json(raw, media_type)
    if kind in SCHEMA_1_TYPES:
        refuse_schema_1()
    raise UnsupportedMediaType(
        f"expected an image manifest or index, found media type {kind[:150]!r}",
        where="manifest",
        remedy="name an image, not another kind of artifact",
    )


def _refuse_artifact(wire: WireManifest, media_type: str) -> None:
    kind = wire.config.media_type
    if kind in CONFIG_TYPES or (media_type == DOCKER_MANIFEST and kind in OLD_CONFIG_TYPES):
        return
    raise UnsupportedMediaType(
        f"expected an image configuration, found {(wire.artifact_type or kind)[:150]!r}: this artifact is no image",
        where="manifest.config.mediaType",
        remedy="name the image itself, not its signature, chart or attestation",
    )


def _digest(text: str, where: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidManifest as fault:
        raise InvalidManifest(fault.message, where=where) from fault


def parse_descriptor(wire: WireDescriptor, where: str) -> Descriptor:
    """Convert a descriptor of the wire to a value; `where` names it in messages.

    Raises:
        InvalidManifest: the digest or the size is invalid.
    """
    if not 0 <= wire.size <= _MAX_SIZE:
        raise InvalidManifest(
            f"expected a size of at least 0, found {str(wire.size)[:40]}", where=f"{where}.size"
        )
    platform = None
    if wire.platform is not None and (wire.platform.os or wire.platform.architecture):
        platform = Platform.of_document(wire.platform.os, wire.platform.architecture, wire.platform.variant)
    return Descriptor(
        wire.media_type,
        _digest(wire.digest, f"{where}.digest"),
        wire.size,
        platform,
        wire.annotations or {},
        wire.artifact_type or "",
    )
