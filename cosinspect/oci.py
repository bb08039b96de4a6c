"""The values of the OCI image specification, strictly parsed from bytes that stay with them.

Implements image-spec v1.1 (descriptor.md, manifest.md, image-index.md, config.md) and Docker's "Image Manifest V2,
Schema 2". Documents are read as the strictest runtime would: a key twice, a known key in another case (Go's decoder
would take it), or a document that could be both a manifest and an index (CVE-2021-41190) is refused, as is schema 1.
"""

from __future__ import annotations

import hashlib
import json
import platform as host
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Self, TypeVar

import msgspec
from attrs import field, frozen

from cosinspect.errors import InvalidManifest, NoMatchingPlatform, UnsupportedMediaType

__all__ = [
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "Descriptor",
    "Digest",
    "History",
    "ImageConfig",
    "ImageIndex",
    "Manifest",
    "Platform",
    "parse_document",
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
_CONFIG_TYPES = (OCI_CONFIG, DOCKER_CONFIG)
_SCHEMA_1_TYPES = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
# Servers that know nothing of the document call it by one of these.
_GENERIC_TYPES = ("", "application/json", "application/octet-stream", "text/plain")

# The compression is told by the bytes, so a suffix only has to be one that a layer may carry.
_LAYER_TYPE = re.compile(
    rf"(?:{re.escape(OCI_LAYER)}(?:\+gzip|\+zstd)?|{re.escape(DOCKER_LAYER)}(?:\.gzip|\.zstd|\+gzip|\+zstd)?)"
)
_FOREIGN_LAYER_TYPE = re.compile(
    r"application/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar|docker\.image\.rootfs\.foreign\.diff\.tar)(?:[.+]\w+)?"
)

_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
_MAX_SIZE = 2**63 - 1


@frozen(order=True)
class Digest:
    """A content digest of a registered algorithm, in its only legal spelling (image-spec, descriptor.md, "Digests").

    It is safe in a path and in a URL: nothing but the algorithm's name and lower-case hexadecimals passes `parse`.
    """

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 hexadecimals>` or `sha512:<128 hexadecimals>`.

        Raises:
            InvalidManifest: it is anything else.
        """
        if not _DIGEST.fullmatch(text):
            raise InvalidManifest(
                f"expected a digest such as sha256:<64 lower-case hexadecimals>, found {text[:150]!r}"
            )
        algorithm, _, encoded = text.partition(":")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Compute the digest of `data`."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def hasher(self) -> hashlib._Hash:
        """Give a new hash of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


@frozen
class Platform:
    """What an image runs on, in Go's words for operating systems and architectures (image-spec, image-index.md)."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `os/architecture[/variant]`; uname's names for architectures are understood.

        Raises:
            InvalidManifest: it has another shape.
        """
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
            raise InvalidManifest(
                f"expected a platform such as linux/amd64 or linux/arm/v7, found {text[:150]!r}"
            )
        alias = _ARCHITECTURES.get(parts[1], parts[1])
        return cls(parts[0], alias, parts[2] if len(parts) == 3 else "")

    @classmethod
    def of_host(cls) -> Self:
        """Name the platform whose images this machine runs; a Mac runs those of Linux."""
        system = host.system().lower()
        machine = host.machine().lower()
        return cls("linux" if system == "darwin" else system, _ARCHITECTURES.get(machine, machine))

    def rank(self, wanted: Platform) -> int | None:
        """Say how well this platform serves `wanted`: None not at all, else lower is better.

        An Arm machine runs code for lower variants of its architecture too, as containerd's platform matcher has it.
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return None
        default = _DEFAULT_VARIANTS.get(self.architecture, "")
        own, asked = self.variant or default, wanted.variant or default
        if own == asked:
            return 0
        if self.architecture == "arm" and own in _ARM_VARIANTS and asked in _ARM_VARIANTS:
            distance = _ARM_VARIANTS.index(asked) - _ARM_VARIANTS.index(own)
            return distance if distance > 0 else None
        return None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armhf": "arm",
    "i386": "386",
    "i686": "386",
}
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_ARM_VARIANTS = ("v5", "v6", "v7", "v8")


@frozen
class Descriptor:
    """Where content is and what it must be (image-spec, descriptor.md).

    Attributes:
        media_type: as written; the bytes decide a layer's compression.
        digest: what the content hashes to.
        size: how many bytes it has.
        platform: of a manifest in an index, where given.
        annotations: as written.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(factory=dict, hash=False)


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
        """Parse a manifest that may be nothing else.

        Args:
            raw: the document, already verified against its digest.
            media_type: what the descriptor or server calls it, where one does.

        Raises:
            InvalidManifest: it is not a manifest, or could be read as something else too.
            UnsupportedMediaType: it describes no image, or one whose layers must not be read.
        """
        document = _load(raw, "manifest")
        kind = _agreed_type(document, media_type, MANIFEST_TYPES, OCI_MANIFEST)
        _refuse_keys(document, ("manifests", "fslayers"), "manifest")
        wire = _convert(document, _WireManifest, "manifest")
        _refuse_artifact(wire)
        layers = tuple(_descriptor(layer, f"manifest.layers[{n}]") for n, layer in enumerate(wire.layers))
        for number, layer in enumerate(layers):
            _refuse_layer_type(layer.media_type, number)
        return cls(kind, _descriptor(wire.config, "manifest.config"), layers, wire.annotations or {}, raw)


@frozen
class ImageIndex:
    """An image index or manifest list: manifests for several platforms, with the bytes it was read from."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(hash=False)
    raw: bytes = field(repr=False)

    @classmethod
    def from_json(cls, raw: bytes, media_type: str = "") -> Self:
        """Parse an index that may be nothing else.

        Raises:
            InvalidManifest: it is not an index, or could be read as something else too.
        """
        document = _load(raw, "index")
        kind = _agreed_type(document, media_type, INDEX_TYPES, OCI_INDEX)
        _refuse_keys(document, ("layers", "config", "fslayers"), "index")
        wire = _convert(document, _WireIndex, "index")
        manifests = tuple(_descriptor(item, f"index.manifests[{n}]") for n, item in enumerate(wire.manifests))
        return cls(kind, manifests, wire.annotations or {}, raw)

    def select(self, wanted: Platform) -> tuple[Descriptor, ...]:
        """Give the manifests that may serve `wanted`, best first: those that say so, then nested indexes that say nothing.

        Raises:
            NoMatchingPlatform: none may; the message names the platforms there are.
        """
        ranked = [
            (rank, position, item)
            for position, item in enumerate(self.manifests)
            if item.platform is not None and (rank := item.platform.rank(wanted)) is not None
        ]
        best = [item for _, _, item in sorted(ranked, key=lambda entry: entry[:2])]
        unsaid = [item for item in self.manifests if item.platform is None]
        if best or unsaid:
            return (*best, *unsaid)
        raise no_matching_platform(wanted, (item.platform for item in self.manifests))


def no_matching_platform(wanted: Platform, found: Iterable[Platform | None]) -> NoMatchingPlatform:
    """Make the error that names the platforms there are."""
    # Attestations hide behind the platform unknown/unknown (BuildKit, "attestation storage").
    names = sorted({str(item) for item in found if item is not None and item.os != "unknown"})
    return NoMatchingPlatform(
        f"expected a manifest for {wanted}, found {', '.join(names) or 'none with a platform'}",
        where="index",
        remedy=f"choose one with --platform {names[0]}" if names else None,
    )


@frozen
class History:
    """One step of an image's making (image-spec, config.md, "history")."""

    created_by: str
    comment: str
    empty_layer: bool


@frozen
class ImageConfig:
    """An image configuration: what its layers must inflate to and how they were made.

    Attributes:
        platform: None where the configuration does not say.
        diff_ids: digests of the uncompressed layers, bottom first.
        env: `NAME=value` strings.
        labels: as written.
        history: steps in order, those without a layer included.
    """

    platform: Platform | None
    diff_ids: tuple[Digest, ...]
    env: tuple[str, ...]
    labels: Mapping[str, str] = field(hash=False)
    history: tuple[History, ...] = field(hash=False)
    raw: bytes = field(repr=False)

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Parse a configuration.

        Raises:
            InvalidManifest: it is none, or its root filesystem is not made of layers.
        """
        wire = _convert(_load(raw, "config"), _WireConfig, "config")
        if wire.rootfs.type != "layers":
            raise InvalidManifest(
                f"expected 'layers', found {wire.rootfs.type[:60]!r}", where="config.rootfs.type"
            )
        platform = (
            Platform(wire.os, wire.architecture, wire.variant) if wire.os and wire.architecture else None
        )
        execution = wire.config or _WireExecution()
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
        )

    def steps(self) -> tuple[str | None, ...]:
        """Name for each layer the step that made it, where the history has one for each layer; None where not."""
        made = [step.created_by or step.comment or None for step in self.history if not step.empty_layer]
        if len(made) != len(self.diff_ids):
            return (None,) * len(self.diff_ids)
        return tuple(made)


def parse_document(raw: bytes, media_type: str = "") -> Manifest | ImageIndex:
    """Parse what a name resolves to: a manifest or an index, told by its media type or, without one, by its keys.

    Raises:
        InvalidManifest: it is neither, or contradicts the media type.
        UnsupportedMediaType: it is of a kind that is not read, such as schema 1.
    """
    kind = _bare_type(media_type)
    if kind in _GENERIC_TYPES:
        document = _load(raw, "manifest")
        said = document.get("mediaType")
        kind = said if isinstance(said, str) else ""
        if not kind:
            kind = OCI_INDEX if "manifests" in document else OCI_MANIFEST
        media_type = ""
    if kind in INDEX_TYPES:
        return ImageIndex.from_json(raw, media_type)
    if kind in MANIFEST_TYPES:
        return Manifest.from_json(raw, media_type)
    if kind in _SCHEMA_1_TYPES:
        _refuse_schema_1()
    raise UnsupportedMediaType(
        f"expected an image manifest or index, found media type {kind[:150]!r}",
        where="manifest",
        remedy="name an image, not another kind of artifact",
    )


# What the documents look like on the wire. Go's encoder writes null for an empty list or map.


class _WirePlatform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class _WireDescriptor(msgspec.Struct, rename="camel"):
    media_type: str
    digest: str
    size: int
    platform: _WirePlatform | None = None
    annotations: dict[str, str] | None = None


class _WireManifest(msgspec.Struct, rename="camel"):
    schema_version: int
    config: _WireDescriptor
    layers: list[_WireDescriptor]
    media_type: str | None = None
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None


class _WireIndex(msgspec.Struct, rename="camel"):
    schema_version: int
    manifests: list[_WireDescriptor]
    media_type: str | None = None
    annotations: dict[str, str] | None = None


class _WireExecution(msgspec.Struct):
    env: list[str] | None = msgspec.field(default=None, name="Env")
    labels: dict[str, str] | None = msgspec.field(default=None, name="Labels")


class _WireRootfs(msgspec.Struct):
    type: str
    diff_ids: list[str] | None = None


class _WireHistory(msgspec.Struct):
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _WireConfig(msgspec.Struct):
    rootfs: _WireRootfs
    os: str = ""
    architecture: str = ""
    variant: str = ""
    config: _WireExecution | None = None
    history: list[_WireHistory] | None = None


_NESTED: Mapping[type, Mapping[str, type]] = {
    _WireManifest: {"config": _WireDescriptor, "layers": _WireDescriptor},
    _WireIndex: {"manifests": _WireDescriptor},
    _WireDescriptor: {"platform": _WirePlatform},
    _WireConfig: {"config": _WireExecution, "rootfs": _WireRootfs, "history": _WireHistory},
}

T = TypeVar("T")


def _load(raw: bytes, where: str) -> dict[str, Any]:
    """Decode a JSON object in which every key means what it means to every decoder."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            twice = next(key for n, (key, _) in enumerate(items) if key in dict(items[:n]))
            raise InvalidManifest(f"the key {twice[:60]!r} is there twice", where=where)
        return found

    def constant(name: str) -> NoReturn:
        raise InvalidManifest(f"{name} is not JSON", where=where)

    try:
        document = json.loads(raw, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise InvalidManifest("the document is nested too deeply", where=where) from None
    except ValueError as fault:  # a JSONDecodeError, or a UnicodeDecodeError
        if isinstance(fault, InvalidManifest):
            raise
        raise InvalidManifest(f"expected a JSON document: {fault}", where=where) from fault
    if not isinstance(document, dict):
        raise InvalidManifest("expected a JSON object", where=where)
    return document


def _refuse_other_case(value: Any, wire: type, where: str) -> None:
    """Refuse `Layers` beside or instead of `layers`: Go's decoder takes both for the same field."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_other_case(item, wire, f"{where}[{number}]")
    if not isinstance(value, dict):
        return
    names = {item.encode_name.lower(): item.encode_name for item in msgspec.structs.fields(wire)}
    nested = _NESTED.get(wire, {})
    for key, item in value.items():
        known = names.get(key.lower(), key)
        if known != key:
            raise InvalidManifest(
                f"the key {key!r} stands for {known!r} to some readers and for nothing to others", where=where
            )
        if key in nested:
            _refuse_other_case(item, nested[key], f"{where}.{key}")


def _refuse_keys(document: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in document:
        if key.lower() in keys:
            raise InvalidManifest(
                f"a document with {key!r} here could be read as one of another kind (CVE-2021-41190)",
                where=where,
                remedy="push the image again with a current tool",
            )


def _convert(document: dict[str, Any], wire: type[T], where: str) -> T:
    _refuse_other_case(document, wire, where)
    try:
        found = msgspec.convert(document, wire)
    except msgspec.ValidationError as fault:
        text = str(fault)
        message, _, path = text.partition(" - at `$")
        raise InvalidManifest(message, where=where + path.rstrip("`")) from fault
    version = document.get("schemaVersion", 2)
    if version == 1:
        _refuse_schema_1()
    if version != 2:
        raise InvalidManifest(f"expected 2, found {version!r:.60}", where=f"{where}.schemaVersion")
    return found


def _refuse_schema_1() -> NoReturn:
    raise UnsupportedMediaType(
        "this is a schema 1 manifest, which names no configuration and cannot be verified",
        where="manifest",
        remedy="push the image again with a tool of this decade",
    )


def _bare_type(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _agreed_type(document: dict[str, Any], declared: str, allowed: tuple[str, ...], default: str) -> str:
    """Give the one media type that the document and whoever sent it agree on."""
    said = document.get("mediaType", "")
    outer = _bare_type(declared)
    if outer in _GENERIC_TYPES:
        outer = ""
    if outer in _SCHEMA_1_TYPES or said in _SCHEMA_1_TYPES or document.get("schemaVersion") == 1:
        _refuse_schema_1()
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


def _refuse_artifact(wire: _WireManifest) -> None:
    kind = wire.config.media_type
    if kind in _CONFIG_TYPES:
        return
    raise UnsupportedMediaType(
        f"expected an image configuration, found {(wire.artifact_type or kind)[:150]!r}: this artifact is no image",
        where="manifest.config.mediaType",
        remedy="name the image itself, not its signature, chart or attestation",
    )


def _refuse_layer_type(media_type: str, number: int) -> None:
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


def _digest(text: str, where: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidManifest as fault:
        raise InvalidManifest(fault.message, where=where) from fault


def _descriptor(wire: _WireDescriptor, where: str) -> Descriptor:
    if not 0 <= wire.size <= _MAX_SIZE:
        raise InvalidManifest(f"expected a size of at least 0, found {wire.size}", where=f"{where}.size")
    platform = None
    if wire.platform is not None and (wire.platform.os or wire.platform.architecture):
        platform = Platform(wire.platform.os, wire.platform.architecture, wire.platform.variant)
    return Descriptor(
        wire.media_type, _digest(wire.digest, f"{where}.digest"), wire.size, platform, wire.annotations or {}
    )
