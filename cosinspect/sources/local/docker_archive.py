"""Images that `docker save`, `podman save` and `skopeo copy` wrote to a tar archive (`docker-archive:`).

Such an archive lists images in `manifest.json` by their configuration and layers. Docker since version 25 puts an OCI
image layout into the same archive; then the image has a manifest, and its digest is the one that registries know.
For older archives a manifest is made up, in Docker's schema 2, so that everything above sees one shape; a plain layer
needs no hashing for that, because its digest is the diff_id its configuration names.
"""

from __future__ import annotations

import collections
import io
import json
import posixpath
import re
import threading
from typing import Any

import msgspec

from cosinspect.blob import ByteStream, read_blob
from cosinspect.compression.codecs import MAGIC_BYTES, detect
from cosinspect.errors import (
    DigestMismatch,
    InvalidImage,
    InvalidLayout,
    InvalidManifest,
    InvalidReference,
)
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    ImageConfig,
    ImageIndex,
    Manifest,
    parse_document,
)
from cosinspect.oci.reference import Reference
from cosinspect.oci.wire import load_json, refuse_other_case
from cosinspect.sources.local.files import Beginning, Files, read_file, require_certain
from cosinspect.sources.local.layout import LayoutSource
from cosinspect.wire_types import ready

__all__ = ["DockerArchiveSource"]

# What Docker, podman and others name a configuration by: its digest.
_CONFIG_NAME = re.compile(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?")


class _Item(msgspec.Struct, rename="pascal"):
    """One image in `manifest.json` (moby, image/tarexport)."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class DockerArchiveSource:
    """One image of a saved archive."""

    def __init__(self, files: Files, selector: str | None = None, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Choose the image called `selector`, `@N` for the one at position N, or None for the only one."""
        self._files = files
        self._selector = selector
        self._limits = limits
        self._names: dict[Digest, str] = {}
        self._manifest: tuple[Descriptor, bytes] | None = None
        self._lock = threading.Lock()
        self._layout = LayoutSource(files, limits=limits)

    def resolve(self) -> Descriptor:
        """Return the descriptor of the image; make a manifest if the archive has none.

        Raises:
            InvalidLayout: this is not a saved image, the image is not in it, or there are several.
        """
        item = self._choose(self._items())
        require_certain(self._files, item.config, *(item.layers or ()))
        if self._files.size("index.json") is not None:
            found = self._in_layout(item)
            if found is not None:
                return found
        return self._make_manifest(item)

    def open(self, descriptor: Descriptor) -> ByteStream:
        """Open a blob.

        Raises:
            InvalidLayout: the blob is missing.
        """
        with self._lock:
            made = self._manifest
        if made is not None and made[0].digest == descriptor.digest:
            return io.BytesIO(made[1])
        name = self._names.get(descriptor.digest)
        return self._layout.open(descriptor) if name is None else self._files.open(name)

    def open_range(self, descriptor: Descriptor, start: int, stop: int) -> ByteStream:
        """Open the bytes from `start` up to `stop` of a layer.

        Raises:
            InvalidLayout: the layer is missing.
        """
        name = self._names.get(descriptor.digest)
        if name is None:
            return self._layout.open_range(descriptor, start, stop)
        return Beginning(self._files.open(name, start), stop - start)

    def close(self) -> None:
        """Hold nothing open between calls."""

    def _items(self) -> list[_Item]:
        if self._files.size("manifest.json") is None:
            raise InvalidLayout(
                "expected a saved image, there is no manifest.json",
                where=self._files.describe("manifest.json"),
                remedy="use oci-archive: for an OCI image layout in an archive",
            )
        where = self._files.describe("manifest.json")
        require_certain(self._files, "manifest.json")
        raw = read_file(self._files, "manifest.json", limit=self._limits.manifest_bytes)
        try:
            document = load_json(raw, where)
            for item in document if isinstance(document, list) else ():
                refuse_other_case(item, _Item, where)
            return msgspec.convert(document, type=ready(list[_Item]))
        except msgspec.ValidationError as fault:
            raise InvalidLayout(f"expected a list of images: {fault}", where=where) from fault
        except InvalidManifest as fault:
            raise InvalidLayout(f"expected a list of images: {fault.message}", where=where) from fault

    def _choose(self, items: list[_Item]) -> _Item:
        names = [tag for item in items for tag in item.repo_tags or ()]
        selector = self._selector
        found: list[_Item] = items
        if selector is not None and selector.startswith("@"):
            number = int(selector[1:]) if selector[1:].isdecimal() and len(selector) < 8 else len(items)
            found = items[number : number + 1]
        elif selector is not None:
            wanted = _normal(selector)
            found = [item for item in items if any(_normal(tag) == wanted for tag in item.repo_tags or ())]
        if len(found) == 1:
            return found[0]
        what = f"an image named {selector!r}" if selector is not None else "one image"
        raise InvalidLayout(
            f"expected {what}, found {len(found)}",
            where=self._files.describe("manifest.json"),
            remedy=f"name one of them behind the path: {', '.join(names[:10])}"
            if names
            else "use @0, @1, ...",
        )

    # -- Docker since 25: a layout in the same archive ---------------------------------------------------------------

    def _in_layout(self, item: _Item) -> Descriptor | None:
        """Find the manifest of the layout that has the chosen image's configuration."""
        _, index = self._layout.index()
        waiting = collections.deque((descriptor, 1) for descriptor in index.manifests)
        seen: set[Digest] = set()
        while waiting:
            descriptor, depth = waiting.popleft()
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            if descriptor.media_type in INDEX_TYPES and depth < self._limits.index_depth:
                nested = self._document(descriptor)
                if isinstance(nested, ImageIndex):
                    waiting.extend((inner, depth + 1) for inner in nested.manifests[: self._limits.layers])
            elif descriptor.media_type in MANIFEST_TYPES:
                document = self._document(descriptor)
                if isinstance(document, Manifest) and item.config == _blob(document.config.digest):
                    self._compare(item, document)
                    return descriptor
        if not _CONFIG_NAME.fullmatch(item.config):
            raise InvalidLayout(
                f"expected the configuration of an image of index.json, found {item.config!r:.200}: "
                "skopeo loads that one, and containerd the image of index.json",
                where=self._files.describe("manifest.json"),
                remedy="save the image again",
            )
        return None

    def _compare(self, item: _Item, document: Manifest) -> None:
        """Require the same layers in both lists: some readers use the one, some the other."""
        if [posixpath.normpath(name) for name in item.layers or ()] != [
            _blob(layer.digest) for layer in document.layers
        ]:
            raise InvalidLayout(
                "expected the same layers as in the manifest of index.json, found others: skopeo loads these, and containerd those",
                where=self._files.describe("manifest.json"),
                remedy="save the image again",
            )

    def _document(self, descriptor: Descriptor) -> Manifest | ImageIndex | None:
        if self._files.size(_blob(descriptor.digest)) is None:  # saved for one platform only
            return None
        limit = self._limits.manifest_bytes
        raw = read_blob(self._layout, descriptor, limit=limit, limit_name="manifest_bytes")
        try:
            return parse_document(raw, descriptor.media_type)
        except InvalidImage:  # an attestation: then it is not the one looked for
            return None

    # -- older archives ----------------------------------------------------------------------------------------------

    def _make_manifest(self, item: _Item) -> Descriptor:
        raw_config = read_file(self._files, item.config, limit=self._limits.config_bytes)
        config_digest = Digest.of(raw_config)
        named = _CONFIG_NAME.fullmatch(item.config)
        if named and named[1] != config_digest.encoded:
            raise DigestMismatch(
                f"expected the configuration of its name, found {config_digest}",
                where=self._files.describe(item.config),
                remedy="save the image again",
            )
        config = ImageConfig.from_json(raw_config)
        layers = item.layers or []
        if len(layers) != len(config.diff_ids):
            raise InvalidLayout(
                f"expected {len(config.diff_ids)} layers as in the configuration, found {len(layers)}",
                where=self._files.describe("manifest.json"),
            )
        self._names[config_digest] = item.config
        wire = []
        for name, diff_id in zip(layers, config.diff_ids, strict=True):
            digest, size = self._layer(name, diff_id)
            self._names[digest] = name
            wire.append({"mediaType": DOCKER_LAYER, "size": size, "digest": str(digest)})
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "size": len(raw_config), "digest": str(config_digest)},
            "layers": wire,
        }
        raw = json.dumps(document, separators=(",", ":")).encode()
        descriptor = Descriptor(DOCKER_MANIFEST, Digest.of(raw), len(raw))
        with self._lock:
            self._manifest = descriptor, raw
        return descriptor

    def _layer(self, name: str, diff_id: Digest) -> tuple[Digest, int]:
        """Return the digest and size of a layer in the archive."""
        size = self._files.size(name)
        if size is None:
            raise InvalidLayout("expected a layer, it is not there", where=self._files.describe(name))
        stream = self._files.open(name)
        try:
            head = stream.read(MAGIC_BYTES)
            while len(head) < MAGIC_BYTES and (more := stream.read(MAGIC_BYTES - len(head))):
                head += more
            if detect(head) is None:
                return diff_id, size
            hasher = diff_id.hasher()
            while head:
                hasher.update(head)
                head = stream.read(1 << 20)
        finally:
            stream.close()
        return Digest(diff_id.algorithm, hasher.hexdigest()), size


def _blob(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _normal(name: str) -> str:
    try:
        return str(Reference.parse(name))
    except (InvalidReference, InvalidManifest):
        return name
