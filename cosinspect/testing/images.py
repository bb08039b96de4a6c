"""Images and indexes built in memory, valid or hostile.

Documents follow image-spec (config.md, manifest.md, image-index.md) or Docker's schema 2. The same calls give
the same digests: no clock is read. The results are those of `cosinspect.testing.built_images`; its names, and
the types of `cosinspect.testing.documents`, can be imported from here too.

Nothing is verified, because tests need hostile images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Self, Unpack

from attrs import evolve, field, frozen

from cosinspect.testing.built_images import Built, BuiltImage, BuiltIndex
from cosinspect.testing.documents import Document, Edit, MediaTypes, descriptor_of, dump, media_types_of
from cosinspect.testing.entries import Entries
from cosinspect.testing.layers import BuiltLayer, Compression, build_layer, digest_of
from cosinspect.testing.table_writer import EditTable, SeekableFormat, seekable_layer
from cosinspect.testing.tar_writer import TarOptions

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


def _words(words: Iterable[str]) -> tuple[str, ...]:
    if isinstance(words, str):
        raise TypeError(f"a sequence of strings is expected, not one string: write [{words!r}]")
    return tuple(words)


@frozen(kw_only=True)
class _HistoryStep:
    """One entry of the history, with its layer, if any."""

    history: Document
    layer: BuiltLayer | None = None
    media_type: str | None = None
    diff_id: str | None = None
    annotations: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class ImageBuilder:
    """A builder of images; each method returns a new builder, so images can share a base.

        base = ImageBuilder(labels={"flavor": "green"}).layer({"etc/os-release": "ID=cos"})
        image = base.layer({"etc/motd": Whiteout()}, created_by="RUN rm /etc/motd").build()

    Attributes:
        platform: operating system, architecture and, if any, variant: `linux/arm/v7`.
        env: the environment, as `NAME=value`.
        labels: labels of the configuration.
        cmd: the default arguments.
        entrypoint: the entrypoint.
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
    _steps: tuple[_HistoryStep, ...] = field(default=(), alias="_steps", repr=False)
    _annotations: Mapping[str, str] = field(factory=dict, alias="_annotations", repr=False)
    _further: Document = field(factory=dict, alias="_further", repr=False)
    """What the configuration of a base has beyond the attributes."""
    _config_edits: tuple[Edit, ...] = field(default=(), alias="_config_edits", repr=False)
    _manifest_edits: tuple[Edit, ...] = field(default=(), alias="_manifest_edits", repr=False)

    @classmethod
    def from_image(cls, image: BuiltImage) -> Self:
        """Return a builder whose lower layers, history and settings are those of an image.

        `BuiltImage.read_layout` reads an image that another tool wrote. The base's blobs are used unchanged.

        Raises:
            ValueError: manifest and configuration are not those of an image, or a layer is missing.
        """
        try:
            manifest, config = json.loads(image.manifest), json.loads(image.config)
            layers = tuple(_base_steps(image, manifest, config))
            settings = dict(config.get("config") or {})
            names = (config.get("os"), config.get("architecture"), config.get("variant"))
            builder = cls(
                platform="/".join(str(name) for name in names if name),
                env=settings.pop("Env", None) or (),
                labels=settings.pop("Labels", None) or {},
                cmd=settings.pop("Cmd", None) or (),
                entrypoint=settings.pop("Entrypoint", None) or (),
                media_types="docker" if ".docker." in image.media_type else "oci",
                created=config.get("created") or cls().created,
            )
            further = {key: value for key, value in config.items() if key not in _OWN_KEYS}
            annotations = manifest.get("annotations") or {}
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"expected the manifest and the configuration of an image: {fault}") from fault
        if settings:
            further["config"] = settings
        return evolve(builder, _steps=layers, _annotations=annotations, _further=further)

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
            entries: its content; see `cosinspect.testing.tar_writer`.
            created_by: the command, for the history.
            compression: of the blob.
            media_type: replaces the media type of the compression.
            diff_id: replaces the true one, for a false configuration.
            annotations: of the layer's descriptor.
            options: of the archive, as for `tar_bytes`.
        """
        return self._with(
            _HistoryStep(
                history={"created": self.created, "created_by": created_by},
                layer=build_layer(entries, compression=compression, **options),
                media_type=media_type,
                diff_id=diff_id,
                annotations=annotations or {},
            )
        )

    def seekable_layer(
        self,
        entries: Entries,
        *,
        created_by: str = "",
        kind: SeekableFormat = "estargz",
        edit_table: EditTable | None = None,
        **options: Unpack[TarOptions],
    ) -> ImageBuilder:
        """Add a layer with a table of contents, which its annotations vouch for.

        Args:
            entries: its content.
            created_by: the command, for the history.
            kind: `estargz` or `zstd:chunked`.
            edit_table: changes the table before it is written, for a false one.
            options: of the archive, as for `tar_bytes`.
        """
        made = seekable_layer(entries, kind=kind, edit_table=edit_table, **options)
        return self._with(
            _HistoryStep(
                history={"created": self.created, "created_by": created_by},
                layer=made.layer,
                annotations=made.annotations,
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
        """Add a blob unchanged, for a layer that is not an archive; its default media type is that of a plain tar."""
        return self._with(
            _HistoryStep(
                history={"created": self.created, "created_by": created_by},
                layer=BuiltLayer(blob, blob, "none"),
                media_type=media_type,
                diff_id=diff_id,
                annotations=annotations or {},
            )
        )

    def empty_layer(self, created_by: str) -> ImageBuilder:
        """Add a build step without a layer, such as `ENV X=1`."""
        return self._with(
            _HistoryStep(history={"created": self.created, "created_by": created_by, "empty_layer": True})
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
        """Return the image.

        Raises:
            ValueError: the platform or the media types are invalid.
        """
        types = media_types_of(self.media_types)
        built = [(step, step.layer) for step in self._steps if step.layer]
        config = self._config([step.diff_id or layer.diff_id for step, layer in built])
        manifest: Document = {
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": descriptor_of(types["config"], config),
            "layers": [
                descriptor_of(step.media_type or types[layer.compression], layer.blob, step.annotations)
                for step, layer in built
            ],
        }
        if self._annotations:
            manifest["annotations"] = dict(self._annotations)
        for edit in self._manifest_edits:
            edit(manifest)
        raw = dump(manifest)
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
        further = {key: value for key, value in self._further.items() if key != "config"}
        config: Document = {
            **further,
            "created": self.created,
            "architecture": architecture,
            **({"variant": variant} if variant else {}),
            "os": os_name,
            "config": {
                **self._further.get("config", {}),
                **{key: value for key, value in settings.items() if value},
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [dict(step.history) for step in self._steps],
        }
        for edit in self._config_edits:
            edit(config)
        return dump(config)

    def _with(self, step: _HistoryStep) -> ImageBuilder:
        return evolve(self, _steps=(*self._steps, step))


_OWN_KEYS = {"created", "architecture", "variant", "os", "config", "rootfs", "history"}
"""The keys of a configuration that a builder makes."""


def _base_steps(image: BuiltImage, manifest: Document, config: Document) -> Iterator[_HistoryStep]:
    """Yield the steps of an image, each layer with its own; a layer without a step gets an empty one."""
    blobs = zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    history = list(config.get("history") or ())
    for step in history:
        if step.get("empty_layer"):
            yield _HistoryStep(history=step)
        elif (found := next(blobs, None)) is not None:
            yield _base_layer(image, step, *found)
    for descriptor, diff_id in blobs:
        yield _base_layer(image, {}, descriptor, diff_id)


def _base_layer(image: BuiltImage, step: Document, descriptor: Document, diff_id: str) -> _HistoryStep:
    blob = image.blobs[descriptor["digest"]]
    return _HistoryStep(
        history=step,
        layer=BuiltLayer(
            dict(zip(image.layers, image.tars, strict=True))[descriptor["digest"]], blob, "none"
        ),
        media_type=descriptor["mediaType"],
        diff_id=diff_id,
        annotations=descriptor.get("annotations") or {},
    )


def image_index(
    *images: Built,
    media_types: MediaTypes = "oci",
    annotations: Mapping[str, str] | None = None,
    edit: Edit | None = None,
) -> BuiltIndex:
    """Return an index of images or further indexes, with the platforms of the images' configurations.

    Args:
        images: in the order of the index.
        media_types: `oci` for an image index, `docker` for a manifest list.
        annotations: of the index.
        edit: changes the document in place before it is serialised.

    Raises:
        ValueError: there are no such media types.
    """
    kind = media_types_of(media_types)["index"]
    index: Document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "manifests": [image.descriptor() | _platform(image) for image in images],
    }
    if annotations:
        index["annotations"] = dict(annotations)
    if edit:
        edit(index)
    raw = dump(index)
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
