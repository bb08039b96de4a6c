"""The JSON documents of images: media types, descriptors, and serialisation.

Media types are those of image-spec (media-types.md) and of Docker's schema 2. Serialisation keeps the order,
and bytes that are not UTF-8 (surrogates in a string).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from cosinspect.testing.layers import digest_of

__all__ = ["OCI_INDEX", "Document", "Edit", "MediaTypes", "descriptor_of", "dump", "media_types_of"]

Document: TypeAlias = dict[str, Any]
"""A JSON document before it is serialised."""

Edit: TypeAlias = Callable[[Document], object]
"""Changes a document in place; its result is ignored."""

MediaTypes: TypeAlias = Literal["oci", "docker"]
"""The families of documents: image-spec's, and Docker's schema 2."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_OCI = {
    "index": OCI_INDEX,
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
_DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "none": "application/vnd.docker.image.rootfs.diff.tar",
    "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
}


def media_types_of(family: MediaTypes) -> Mapping[str, str]:
    """Return a family's media types: of `index`, `manifest` and `config`, and of layers by their compression.

    Raises:
        ValueError: there is no such family.
    """
    if family not in ("oci", "docker"):
        raise ValueError(f"media_types is 'oci' or 'docker', not {family!r}")
    return _OCI if family == "oci" else _DOCKER


def dump(document: object) -> bytes:
    """Serialise a document without white space, in its own order."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def descriptor_of(media_type: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Document:
    """Return the descriptor of `data`: media type, digest, size, and annotations if there are any."""
    descriptor: Document = {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
    return descriptor | ({"annotations": dict(annotations)} if annotations else {})
