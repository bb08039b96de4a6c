"""Built images and indexes: documents and blobs as bytes that can be pushed, written and falsified.

They are written in every form that the readers support, with `cosinspect.testing.layout_writer` and
`cosinspect.testing.docker_archive_writer`. The returned names follow containers-transports(5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Self, TypeAlias

from attrs import evolve, field, frozen

from cosinspect.testing.docker_archive_writer import DockerArchiveStyle, write_docker_archive
from cosinspect.testing.documents import Document, descriptor_of
from cosinspect.testing.layers import Compression, decompress, digest_of
from cosinspect.testing.layout_writer import read_layout, write_archive, write_directory, write_layout

__all__ = ["Built", "BuiltImage", "BuiltIndex"]


@frozen(kw_only=True)
class BuiltImage:
    """One image: its documents and blobs, as bytes.

    Attributes:
        manifest: the manifest.
        media_type: of the manifest.
        config: the configuration.
        blobs: everything by digest: layers, configuration, manifest. After `replace_blob`, a digest may name other
            bytes.
        layers: the digests of the layers, lowest first, as built.
        tars: the layers uncompressed, lowest first, as built.
    """

    manifest: bytes
    media_type: str
    config: bytes
    blobs: Mapping[str, bytes] = field(repr=False)
    layers: tuple[str, ...]
    tars: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def read_layout(cls, directory: str | PathLike[str], ref: str | None = None) -> Self:
        """Read an image that another tool wrote, such as `skopeo copy docker://IMAGE oci:DIRECTORY`.

        Args:
            directory: the OCI layout.
            ref: the reference or digest of the image in the layout; None for the only one.

        Raises:
            ValueError: it is not such a layout, or it has no such image, or several; a layer is damaged.
        """
        descriptor, blobs = read_layout(directory, ref)
        manifest = blobs[descriptor["digest"]]
        document = json.loads(manifest)
        layers = tuple(each["digest"] for each in document["layers"])
        return cls(
            manifest=manifest,
            media_type=document.get("mediaType") or descriptor["mediaType"],
            config=blobs[document["config"]["digest"]],
            blobs=blobs,
            layers=layers,
            tars=tuple(decompress(blobs[digest]) for digest in layers),
        )

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        """The configuration's digest."""
        return digest_of(self.config)

    @property
    def manifests(self) -> Mapping[str, str]:
        """The digests of `blobs` that are manifests, with their media types."""
        return {self.digest: self.media_type}

    def descriptor(self) -> Document:
        """Return the descriptor of the manifest, for an index or a `subject`."""
        return descriptor_of(self.media_type, self.manifest)

    def with_manifest(self, manifest: bytes, *, media_type: str | None = None) -> BuiltImage:
        """Return the image with another manifest, any bytes, over the same blobs."""
        blobs = _exchange(self.blobs, self.digest, manifest)
        return evolve(self, manifest=manifest, media_type=media_type or self.media_type, blobs=blobs)

    def replace_blob(self, digest: str, data: bytes | None) -> BuiltImage:
        """Return the image with other bytes under `digest`, or without that blob for None."""
        return evolve(self, blobs=_replace(self.blobs, digest, data))

    def write_layout(self, directory: str | PathLike[str], ref: str | None = "latest") -> str:
        """Add the image to an OCI layout, created if necessary, and return its name, `oci:DIRECTORY:REF`."""
        return write_layout(self, directory, ref)

    def write_archive(
        self, file: str | PathLike[str], ref: str | None = "latest", *, compression: Compression = "none"
    ) -> str:
        """Write an OCI layout as one archive, and return its name, `oci-archive:FILE:REF`."""
        return write_archive(self, file, ref, compression)

    def write_directory(self, directory: str | PathLike[str]) -> str:
        """Write the image as skopeo's `dir:` transport does: manifest.json, version, and blobs; return its name."""
        return write_directory(self, directory)

    def write_docker_archive(
        self,
        file: str | PathLike[str],
        tag: str,
        *,
        style: DockerArchiveStyle = "docker25",
        compression: Compression = "none",
    ) -> str:
        """Write the image as `docker save` or `podman save` does, and return its name, `docker-archive:FILE:TAG`.

        Args:
            file: the path of the archive.
            tag: repository and tag, such as `org/os:v1`.
            style: `legacy` is Docker before 25 (a directory with layer.tar for each layer; a layer that comes twice is
                a link to the other), `podman` is podman and skopeo (<diff id>.tar), `docker25` is an OCI layout with
                Docker's manifest.json, blobs as they are.
            compression: of the archive as a whole.

        Raises:
            ValueError: the tag has no tag, or there is no such style.
        """
        return write_docker_archive(self, file, tag, style=style, compression=compression)


@frozen(kw_only=True)
class BuiltIndex:
    """An image index, or Docker's manifest list, with its images.

    Attributes:
        manifest: the index document.
        media_type: of the index.
        blobs: everything by digest, including the documents of the index and its images.
        manifests: the digests of `blobs` that are manifests or indexes, with their media types.
    """

    manifest: bytes
    media_type: str
    blobs: Mapping[str, bytes] = field(repr=False)
    manifests: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The index document's digest."""
        return digest_of(self.manifest)

    def descriptor(self) -> Document:
        """Return the descriptor of the index, for an index above it."""
        return descriptor_of(self.media_type, self.manifest)

    def with_manifest(self, manifest: bytes, *, media_type: str | None = None) -> BuiltIndex:
        """Return the index with another document, any bytes, over the same images."""
        kind = media_type or self.media_type
        blobs = _exchange(self.blobs, self.digest, manifest)
        manifests = {digest: name for digest, name in self.manifests.items() if digest != self.digest}
        manifests[digest_of(manifest)] = kind
        return evolve(self, manifest=manifest, media_type=kind, blobs=blobs, manifests=manifests)

    def replace_blob(self, digest: str, data: bytes | None) -> BuiltIndex:
        """Return the index with other bytes under `digest`, or without that blob for None."""
        return evolve(self, blobs=_replace(self.blobs, digest, data))

    def write_layout(self, directory: str | PathLike[str], ref: str | None = "latest") -> str:
        """Add the index to an OCI layout, created if necessary, and return its name, `oci:DIRECTORY:REF`."""
        return write_layout(self, directory, ref)

    def write_archive(
        self, file: str | PathLike[str], ref: str | None = "latest", *, compression: Compression = "none"
    ) -> str:
        """Write an OCI layout as one archive, and return its name, `oci-archive:FILE:REF`."""
        return write_archive(self, file, ref, compression)

    def write_directory(self, directory: str | PathLike[str]) -> str:
        """Write the index as `skopeo copy --all` to its `dir:` transport does; return its name."""
        return write_directory(self, directory)


Built: TypeAlias = BuiltImage | BuiltIndex
"""An image or an index."""


def _exchange(blobs: Mapping[str, bytes], old: str, new: bytes) -> Mapping[str, bytes]:
    return {digest: data for digest, data in blobs.items() if digest != old} | {digest_of(new): new}


def _replace(blobs: Mapping[str, bytes], digest: str, data: bytes | None) -> Mapping[str, bytes]:
    if digest not in blobs:
        raise ValueError(f"there is no blob {digest} to replace; there are {', '.join(blobs)}")
    rest = {name: old for name, old in blobs.items() if data is not None or name != digest}
    return rest if data is None else rest | {digest: data}
