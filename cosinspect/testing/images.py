"""Images and indexes built in memory, honest or not, and written in every form that the readers know.

Documents follow image-spec (config.md, manifest.md, image-index.md, image-layout.md) or Docker's schema 2; archives are
what `docker save` (legacy, and since Docker 25), `podman save` and `skopeo copy` write; names are those of
containers-transports(5). The same calls give the same digests: nothing looks at a clock.

Nothing is checked, since hostile images are what tests are about; but no digest becomes a path outside the directory
that is written to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack

from attrs import evolve, field, frozen

from cosinspect.testing.layers import (
    BuiltLayer,
    Compression,
    Entries,
    Entry,
    File,
    Symlink,
    TarOptions,
    build_layer,
    compress,
    digest_of,
    tar_bytes,
)

__all__ = [
    "Built",
    "BuiltImage",
    "BuiltIndex",
    "Document",
    "Edit",
    "ImageBuilder",
    "MediaTypes",
    "image_index",
]

Document: TypeAlias = dict[str, Any]
"""A JSON document before it is serialised."""

Edit: TypeAlias = Callable[[Document], object]
"""Changes a document in place; what it returns is not used."""

MediaTypes: TypeAlias = Literal["oci", "docker"]

_OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
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
_REF_NAME = "org.opencontainers.image.ref.name"
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+")


def _media_types(family: MediaTypes) -> Mapping[str, str]:
    if family not in ("oci", "docker"):
        raise ValueError(f"media_types is 'oci' or 'docker', not {family!r}")
    return _OCI if family == "oci" else _DOCKER


def _dump(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def _words(words: Iterable[str]) -> tuple[str, ...]:
    if isinstance(words, str):
        raise TypeError(f"a sequence of strings is expected, not one string: write [{words!r}]")
    return tuple(words)


@frozen(kw_only=True)
class _Step:
    """One entry of the history, with the layer that it made or without."""

    history: Document
    layer: BuiltLayer | None = None
    media_type: str | None = None
    diff_id: str | None = None
    annotations: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class ImageBuilder:
    """An image in the making; each method gives a new builder, so a common base can be kept and built upon.

    >>> base = ImageBuilder(labels={"flavor": "green"}).layer({"etc/os-release": "ID=cos"})
    >>> image = base.layer({"etc/motd": Whiteout()}, created_by="RUN rm /etc/motd").build()

    Attributes:
        platform: operating system, architecture and, where there is one, variant: `linux/arm/v7`.
        env: the environment, as `NAME=value`.
        labels: labels of the configuration.
        cmd: the default arguments.
        entrypoint: the program that is started.
        media_types: the family of the documents, `oci` or `docker`.
        created: the time that the configuration and its history name.
    """

    platform: str = "linux/amd64"
    env: tuple[str, ...] = field(default=(), converter=_words)
    labels: Mapping[str, str] = field(factory=dict)
    cmd: tuple[str, ...] = field(default=(), converter=_words)
    entrypoint: tuple[str, ...] = field(default=(), converter=_words)
    media_types: MediaTypes = "oci"
    created: str = "1970-01-01T00:00:00Z"
    _steps: tuple[_Step, ...] = field(default=(), alias="_steps", repr=False)
    _annotations: Mapping[str, str] = field(factory=dict, alias="_annotations", repr=False)
    _config_edits: tuple[Edit, ...] = field(default=(), alias="_config_edits", repr=False)
    _manifest_edits: tuple[Edit, ...] = field(default=(), alias="_manifest_edits", repr=False)

    def layer(
        self,
        entries: Entries,
        *,
        created_by: str = "",
        compression: Compression = "gzip",
        media_type: str | None = None,
        diff_id: str | None = None,
        annotations: Mapping[str, str] | None = None,
        **options: Unpack[TarOptions],
    ) -> ImageBuilder:
        """Add a layer.

        Args:
            entries: what is in it; see `cosinspect.testing.layers`.
            created_by: the command, for the history.
            compression: of the blob.
            media_type: instead of the one that belongs to the compression.
            diff_id: instead of the true one, for a configuration that lies.
            annotations: of the layer's descriptor.
            options: how the archive is written; those of `tar_bytes`.
        """
        return self._with(
            _Step(
                history={"created": self.created, "created_by": created_by},
                layer=build_layer(entries, compression=compression, **options),
                media_type=media_type,
                diff_id=diff_id,
                annotations=annotations or {},
            )
        )

    def raw_layer(
        self,
        blob: bytes,
        *,
        media_type: str | None = None,
        diff_id: str | None = None,
        created_by: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> ImageBuilder:
        """Add a blob as it is, for a layer that is no archive; without a media type it is called a plain tar."""
        return self._with(
            _Step(
                history={"created": self.created, "created_by": created_by},
                layer=BuiltLayer(blob, blob, "none"),
                media_type=media_type,
                diff_id=diff_id,
                annotations=annotations or {},
            )
        )

    def empty_layer(self, created_by: str) -> ImageBuilder:
        """Add a line of history that made no layer, such as `ENV X=1`."""
        return self._with(
            _Step(history={"created": self.created, "created_by": created_by, "empty_layer": True})
        )

    def annotation(self, key: str, value: str) -> ImageBuilder:
        """Annotate the manifest, whatever its media type (Docker's own builders write none)."""
        return evolve(self, _annotations={**self._annotations, key: value})

    def edit_config(self, edit: Edit) -> ImageBuilder:
        """Change the configuration in place before it is serialised: `lambda config: config.pop("rootfs")`."""
        return evolve(self, _config_edits=(*self._config_edits, edit))

    def edit_manifest(self, edit: Edit) -> ImageBuilder:
        """Change the manifest in place before it is serialised; its descriptors are complete by then."""
        return evolve(self, _manifest_edits=(*self._manifest_edits, edit))

    def build(self) -> BuiltImage:
        """Give the image as it stands.

        Raises:
            ValueError: the platform or the media types are none.
        """
        types = _media_types(self.media_types)
        built = [(step, step.layer) for step in self._steps if step.layer]
        config = self._config([step.diff_id or layer.diff_id for step, layer in built])
        manifest: Document = {
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": _descriptor(types["config"], config),
            "layers": [
                _descriptor(step.media_type or types[layer.compression], layer.blob, step.annotations)
                for step, layer in built
            ],
        }
        if self._annotations:
            manifest["annotations"] = dict(self._annotations)
        for edit in self._manifest_edits:
            edit(manifest)
        raw = _dump(manifest)
        return BuiltImage(
            manifest=raw,
            media_type=types["manifest"],
            config=config,
            blobs={digest_of(blob): blob for blob in (*(layer.blob for _, layer in built), config, raw)},
            layers=tuple(layer.digest for _, layer in built),
            tars=tuple(layer.tar for _, layer in built),
        )

    def _config(self, diff_ids: list[str]) -> bytes:
        os_name, _, rest = self.platform.partition("/")
        architecture, _, variant = rest.partition("/")
        if not os_name or not architecture:
            raise ValueError(
                f"a platform is 'os/architecture' or 'os/architecture/variant', not {self.platform!r}"
            )
        settings = {
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Labels": dict(self.labels),
        }
        config: Document = {
            "created": self.created,
            "architecture": architecture,
            **({"variant": variant} if variant else {}),
            "os": os_name,
            "config": {key: value for key, value in settings.items() if value},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [dict(step.history) for step in self._steps],
        }
        for edit in self._config_edits:
            edit(config)
        return _dump(config)

    def _with(self, step: _Step) -> ImageBuilder:
        return evolve(self, _steps=(*self._steps, step))


@frozen(kw_only=True)
class BuiltImage:
    """One image: its documents and blobs, as bytes.

    Attributes:
        manifest: the manifest.
        media_type: what the manifest is served as.
        config: the configuration.
        blobs: everything by digest: layers, configuration, manifest. The `replace_blob` of a hostile image may have
            made a digest name other bytes.
        layers: the digests of the layers, lowest first, as built.
        tars: the layers uncompressed, lowest first, as built.
    """

    manifest: bytes
    media_type: str
    config: bytes
    blobs: Mapping[str, bytes] = field(repr=False)
    layers: tuple[str, ...]
    tars: tuple[bytes, ...] = field(repr=False)

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
        """Give the descriptor of the manifest, for an index or a `subject`."""
        return _descriptor(self.media_type, self.manifest)

    def with_manifest(self, manifest: bytes, *, media_type: str | None = None) -> BuiltImage:
        """Put another manifest, any bytes at all, over the same blobs."""
        blobs = _exchange(self.blobs, self.digest, manifest)
        return evolve(self, manifest=manifest, media_type=media_type or self.media_type, blobs=blobs)

    def replace_blob(self, digest: str, data: bytes | None) -> BuiltImage:
        """Let `digest` name other bytes, which are then not what it says, or with None nothing at all."""
        return evolve(self, blobs=_replace(self.blobs, digest, data))

    def write_layout(self, directory: str | PathLike[str], ref: str | None = "latest") -> str:
        """Add the image to an OCI layout, made if need be, and give its name, `oci:DIRECTORY:REF`."""
        return _write_layout(self, directory, ref)

    def write_archive(
        self, file: str | PathLike[str], ref: str | None = "latest", *, compression: Compression = "none"
    ) -> str:
        """Write an OCI layout as one archive, and give its name, `oci-archive:FILE:REF`."""
        return _write_archive(self, file, ref, compression)

    def write_directory(self, directory: str | PathLike[str]) -> str:
        """Write what skopeo's `dir:` transport does: manifest.json, version, and blobs; give its name."""
        return _write_directory(self, directory)

    def write_docker_archive(
        self,
        file: str | PathLike[str],
        tag: str,
        *,
        style: Literal["legacy", "podman", "docker25"] = "docker25",
        compression: Compression = "none",
    ) -> str:
        """Write what `docker save` or `podman save` does, and give its name, `docker-archive:FILE:TAG`.

        Args:
            file: where to.
            tag: repository and tag, such as `org/os:v1`.
            style: `legacy` is Docker before 25 (a directory with layer.tar for each layer; a layer that comes twice is
                a link to the other), `podman` is podman and skopeo (<diff id>.tar), `docker25` is an OCI layout with
                Docker's manifest.json, blobs as they are.
            compression: of the archive as a whole.

        Raises:
            ValueError: the tag has no tag, or there is no such style.
        """
        repository, colon, name = tag.rpartition(":")
        if not colon or "/" in name:
            raise ValueError(f"{tag!r} names no tag: write repository:tag")
        members: dict[str, Entry]
        if style == "docker25":
            members = _docker25(self, tag, name)
        elif style == "legacy":
            members = _legacy(self, repository, name)
        elif style == "podman":
            members = _podman(self, repository, name)
        else:
            raise ValueError(f"a docker archive's style is 'legacy', 'podman' or 'docker25', not {style!r}")
        Path(file).write_bytes(compress(tar_bytes(members), compression))
        return f"docker-archive:{Path(file)}:{tag}"


@frozen(kw_only=True)
class BuiltIndex:
    """An image index, or Docker's manifest list, with all that it leads to.

    Attributes:
        manifest: the index document.
        media_type: what it is served as.
        blobs: everything by digest, the documents of the index and of what is in it included.
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
        """Give the descriptor of the index, for an index above it."""
        return _descriptor(self.media_type, self.manifest)

    def with_manifest(self, manifest: bytes, *, media_type: str | None = None) -> BuiltIndex:
        """Put another index document, any bytes at all, over the same images."""
        kind = media_type or self.media_type
        blobs = _exchange(self.blobs, self.digest, manifest)
        manifests = {digest: name for digest, name in self.manifests.items() if digest != self.digest}
        manifests[digest_of(manifest)] = kind
        return evolve(self, manifest=manifest, media_type=kind, blobs=blobs, manifests=manifests)

    def replace_blob(self, digest: str, data: bytes | None) -> BuiltIndex:
        """Let `digest` name other bytes, which are then not what it says, or with None nothing at all."""
        return evolve(self, blobs=_replace(self.blobs, digest, data))

    def write_layout(self, directory: str | PathLike[str], ref: str | None = "latest") -> str:
        """Add the index to an OCI layout, made if need be, and give its name, `oci:DIRECTORY:REF`."""
        return _write_layout(self, directory, ref)

    def write_archive(
        self, file: str | PathLike[str], ref: str | None = "latest", *, compression: Compression = "none"
    ) -> str:
        """Write an OCI layout as one archive, and give its name, `oci-archive:FILE:REF`."""
        return _write_archive(self, file, ref, compression)

    def write_directory(self, directory: str | PathLike[str]) -> str:
        """Write what `skopeo copy --all` to its `dir:` transport does; give its name."""
        return _write_directory(self, directory)


Built: TypeAlias = BuiltImage | BuiltIndex
"""What can be pushed, written, and put into an index."""


def image_index(
    *images: Built,
    media_types: MediaTypes = "oci",
    annotations: Mapping[str, str] | None = None,
    edit: Edit | None = None,
) -> BuiltIndex:
    """Put images, or further indexes, into one index; platforms are those of the images' configurations.

    Args:
        images: in the order of the index.
        media_types: `oci` for an image index, `docker` for a manifest list.
        annotations: of the index.
        edit: changes the document in place before it is serialised.

    Raises:
        ValueError: there are no such media types.
    """
    kind = _media_types(media_types)["index"]
    index: Document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "manifests": [image.descriptor() | _platform(image) for image in images],
    }
    if annotations:
        index["annotations"] = dict(annotations)
    if edit:
        edit(index)
    raw = _dump(index)
    blobs: dict[str, bytes] = {}
    manifests: dict[str, str] = {}
    for image in images:
        blobs |= image.blobs
        manifests |= image.manifests
    return BuiltIndex(
        manifest=raw,
        media_type=kind,
        blobs=blobs | {digest_of(raw): raw},
        manifests=manifests | {digest_of(raw): kind},
    )


def _platform(image: Built) -> Document:
    if isinstance(image, BuiltIndex):
        return {}
    config = json.loads(image.config)
    return {"platform": {key: config[key] for key in ("architecture", "os", "variant") if key in config}}


def _descriptor(media_type: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Document:
    descriptor: Document = {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
    return descriptor | ({"annotations": dict(annotations)} if annotations else {})


def _exchange(blobs: Mapping[str, bytes], old: str, new: bytes) -> Mapping[str, bytes]:
    return {digest: data for digest, data in blobs.items() if digest != old} | {digest_of(new): new}


def _replace(blobs: Mapping[str, bytes], digest: str, data: bytes | None) -> Mapping[str, bytes]:
    if digest not in blobs:
        raise ValueError(f"there is no blob {digest} to replace; there are {', '.join(blobs)}")
    rest = {name: old for name, old in blobs.items() if data is not None or name != digest}
    return rest if data is None else rest | {digest: data}


def _halves(digest: str) -> tuple[str, str]:
    """Algorithm and digits, neither of which can leave a directory."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest, so there is no file name for it")
    algorithm, _, digits = digest.partition(":")
    return algorithm, digits


def _layout(image: Built, annotations: Mapping[str, str]) -> dict[str, bytes]:
    """The files of a layout, in the order of their names."""
    files = {"/".join(("blobs", *_halves(digest))): data for digest, data in image.blobs.items()}
    entry = image.descriptor() | ({"annotations": dict(annotations)} if annotations else {})
    index = {"schemaVersion": 2, "mediaType": _OCI["index"], "manifests": [entry]}
    files |= {"index.json": _dump(index), "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    return dict(sorted(files.items()))


def _ref(ref: str | None) -> dict[str, str]:
    return {} if ref is None else {_REF_NAME: ref}


def _name(transport: str, path: Path, ref: str | None) -> str:
    return f"{transport}:{path}" if ref is None else f"{transport}:{path}:{ref}"


def _write_layout(image: Built, directory: str | PathLike[str], ref: str | None) -> str:
    root = Path(directory)
    files = _layout(image, _ref(ref))
    index = json.loads(files.pop("index.json"))
    if (root / "index.json").exists():
        others = json.loads((root / "index.json").read_bytes())["manifests"]
        mine = index["manifests"]
        names = [other.get("annotations", {}).get(_REF_NAME) for other in others]
        index["manifests"] = [
            other for other, name in zip(others, names, strict=True) if name is None or name != ref
        ] + mine
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "index.json").write_bytes(_dump(index))
    return _name("oci", root, ref)


def _write_archive(image: Built, file: str | PathLike[str], ref: str | None, compression: Compression) -> str:
    Path(file).write_bytes(compress(tar_bytes(_layout(image, _ref(ref))), compression))
    return _name("oci-archive", Path(file), ref)


def _write_directory(image: Built, directory: str | PathLike[str]) -> str:
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    for digest, data in image.blobs.items():
        digits = _halves(digest)[1]
        name = f"{digits}.manifest.json" if digest in image.manifests else digits
        (root / ("manifest.json" if digest == image.digest else name)).write_bytes(data)
    (root / "version").write_bytes(b"Directory Transport Version: 1.1\n")
    return _name("dir", root, None)


def _full_name(repository: str) -> str:
    """A repository with its registry, as Docker completes it."""
    registry, slash, _ = repository.partition("/")
    if not slash:
        return f"docker.io/library/{repository}"
    return repository if re.search(r"[.:]|^localhost$", registry) else f"docker.io/{repository}"


def _docker25(image: BuiltImage, tag: str, name: str) -> dict[str, Entry]:
    """What containerd exports for Docker 25 and later."""
    annotations = {"io.containerd.image.name": _full_name(tag), _REF_NAME: name}
    blobs = ["/".join(("blobs", *_halves(digest))) for digest in (image.config_digest, *image.layers)]
    manifest = [{"Config": blobs[0], "RepoTags": [tag], "Layers": blobs[1:]}]
    files = _layout(image, annotations) | {"manifest.json": _dump(manifest)}
    return dict(sorted(files.items()))


def _v1_images(image: BuiltImage) -> list[tuple[str, bytes]]:
    """Identifier and document that Docker gave each layer when an image was a chain of layers."""
    config = json.loads(image.config)
    chain, parent = "", ""
    images = []
    for number, tar in enumerate(image.tars, 1):
        chain = digest_of(f"{chain} {digest_of(tar)}".encode()) if chain else digest_of(tar)
        document: Document = {"parent": parent} if parent else {}
        document |= {"created": config.get("created"), "layer_id": chain}
        if number == len(image.tars):
            document |= {key: config.get(key) for key in ("architecture", "config", "os")}
        parent = _halves(digest_of(_dump(document)))[1]
        images.append((parent, _dump({"id": parent} | document)))
    return images


def _config_file(image: BuiltImage) -> dict[str, bytes]:
    data = image.blobs.get(image.config_digest)
    return {} if data is None else {f"{_halves(image.config_digest)[1]}.json": data}


def _docker_manifest(image: BuiltImage, tag: str, layers: list[str]) -> bytes:
    config = f"{_halves(image.config_digest)[1]}.json"
    return _dump([{"Config": config, "RepoTags": [tag], "Layers": layers}])


def _legacy(image: BuiltImage, repository: str, name: str) -> dict[str, Entry]:
    """What Docker wrote before 25, in the order in which it walked its directory."""
    members: dict[str, Entry] = dict(_config_file(image))
    first: dict[str, str] = {}
    chain = _v1_images(image)
    for (identifier, document), tar in zip(chain, image.tars, strict=True):
        members |= {f"{identifier}/VERSION": b"1.0", f"{identifier}/json": document}
        owner = first.setdefault(digest_of(tar), identifier)
        members[f"{identifier}/layer.tar"] = tar if owner == identifier else Symlink(f"../{owner}/layer.tar")
    layers = [f"{identifier}/layer.tar" for identifier, _ in chain]
    members["manifest.json"] = _docker_manifest(image, f"{repository}:{name}", layers)
    members["repositories"] = _dump({repository: {name: chain[-1][0]}} if chain else {})
    return dict(sorted(members.items(), key=lambda member: member[0].split("/")))


def _podman(image: BuiltImage, repository: str, name: str) -> dict[str, Entry]:
    """What podman and skopeo write, in the order in which they write it."""
    full = _full_name(repository)
    layers = [f"{_halves(digest_of(tar))[1]}.tar" for tar in image.tars]
    members: dict[str, Entry] = dict(zip(layers, image.tars, strict=True))
    members |= _config_file(image)
    chain = _v1_images(image)
    for (identifier, document), layer in zip(chain, layers, strict=True):
        members[f"{identifier}/layer.tar"] = Symlink(f"../{layer}")
        members |= {f"{identifier}/VERSION": b"1.0", f"{identifier}/json": document}
    members["manifest.json"] = _docker_manifest(image, f"{full}:{name}", layers)
    members["repositories"] = _dump({full: {name: chain[-1][0]}} if chain else {})
    return {
        path: File(entry, mode=0o444) if isinstance(entry, bytes) else entry
        for path, entry in members.items()
    }
