"""Media types of images: the supported documents and layers, and why others are refused.

image-spec, media-types.md, and Docker's "Image Manifest V2, Schema 2".
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from cosinspect.errors import InvalidManifest, UnsupportedMediaType

__all__ = [
    "CONFIG_TYPES",
    "DOCKER_CONFIG",
    "DOCKER_INDEX",
    "DOCKER_LAYER",
    "DOCKER_MANIFEST",
    "GENERIC_TYPES",
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "OLD_CONFIG_TYPES",
    "SCHEMA_1_TYPES",
    "agreed_type",
    "bare_type",
    "containerd_refusal",
    "refuse_layer_type",
    "refuse_schema_1",
]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
"""Media types of documents that list manifests."""
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
"""Media types of documents that list layers."""
CONFIG_TYPES = (OCI_CONFIG, DOCKER_CONFIG)
OLD_CONFIG_TYPES = ("", "application/octet-stream", "application/json", "text/html")
"""The media type of configurations in manifests of Docker 1.10 and 1.11 (moby/moby, distribution/pull_v2.go)."""
SCHEMA_1_TYPES = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
# Servers that do not know the document's type send one of these.
GENERIC_TYPES = ("", "application/json", "application/octet-stream", "text/plain")

# The bytes decide the compression; the suffix only has to be valid for a layer.
_LAYER_TYPE = re.compile(
    rf"(?:{re.escape(OCI_LAYER)}(?:\+gzip|\+zstd)?|{re.escape(DOCKER_LAYER)}(?:\.gzip|\.zstd|\+gzip|\+zstd)?)"
)
_FOREIGN_LAYER_TYPE = re.compile(
    r"application/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar|docker\.image\.rootfs\.foreign\.diff\.tar)(?:[.+]\w+)?"
)


def refuse_schema_1() -> NoReturn:
    """Refuse a manifest of schema 1, with the reason.

    Raises:
        UnsupportedMediaType: always.
    """
    raise UnsupportedMediaType(
        "this is a schema 1 manifest, which names no configuration and cannot be verified",
        where="manifest",
        remedy="push the image again with a tool of this decade",
    )


def bare_type(media_type: str) -> str:
    """Return a media type in lower case without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def agreed_type(document: dict[str, Any], declared: str, allowed: tuple[str, ...], default: str) -> str:
    """Return the media type on which the document and its sender agree.

    Raises:
        InvalidManifest: they contradict each other, or the type is not `allowed` (CVE-2021-41190).
        UnsupportedMediaType: the document is of schema 1.
    """
    said = document.get("mediaType", "")
    outer = bare_type(declared)
    if outer in GENERIC_TYPES:
        outer = ""
    if outer in SCHEMA_1_TYPES or said in SCHEMA_1_TYPES or document.get("schemaVersion") == 1:
        refuse_schema_1()
    if said and outer and said != outer:
        raise InvalidManifest(
            f"the document calls itself {said!r:.150}, its descriptor or server {outer!r:.150} (CVE-2021-41190)",
            where="mediaType",
            remedy="push the image again; if that does not help, the registry alters documents",
        )
    kind = said or outer or default
    if kind not in allowed:
        raise InvalidManifest(f"expected {' or '.join(allowed)}, found {kind!r:.150}", where="mediaType")
    return str(kind)


_DOCKER_LAYERS = (DOCKER_LAYER, f"{DOCKER_LAYER}.gzip")


def containerd_refusal(media_type: str, *, compressed: bool) -> str:
    """Return why containerd does not unpack a layer of this type, "" if it does.

    Source: containerd 1.7.29, images/mediatypes.go, diff/stream.go.

    Args:
        media_type: of the layer's descriptor.
        compressed: whether the layer's bytes are compressed.
    """
    base, *suffixes = media_type.split("+")
    if not media_type.startswith("application/vnd.oci.image.layer.") and base not in _DOCKER_LAYERS:
        return f"the media type {media_type!r:.150}, which it does not count as one of a layer"
    if base in _DOCKER_LAYERS:
        inflates = not suffixes
    else:
        inflates = bool(suffixes) and max(suffixes) in ("gzip", "zstd")
    if compressed and not inflates:
        return f"compressed data called {media_type!r:.150}, which it does not inflate"
    return ""


def refuse_layer_type(media_type: str, number: int) -> None:
    """Accept a tar layer of any compression; the bytes decide the compression.

    Raises:
        UnsupportedMediaType: the layer is foreign, encrypted, or not a tar archive; the message states the reason.
    """
    if _LAYER_TYPE.fullmatch(media_type):
        return
    where = f"manifest.layers[{number}].mediaType"
    if _FOREIGN_LAYER_TYPE.fullmatch(media_type):
        raise UnsupportedMediaType(
            f"the layer is foreign ({media_type}): its content lies at other hosts, which are never asked, "
            "so nothing could be said of the whole image",
            where=where,
            remedy="push the image with its layers (containerd and Docker: allow-nondistributable-artifacts)",
        )
    if media_type.endswith("+encrypted"):
        raise UnsupportedMediaType(
            f"the layer is encrypted ({media_type})",
            where=where,
            remedy="check the image before it is encrypted",
        )
    raise UnsupportedMediaType(f"expected a tar layer, found {media_type[:150]!r}", where=where)
