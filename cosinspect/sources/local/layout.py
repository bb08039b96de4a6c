"""Images in an OCI image layout (`oci:`, `oci-archive:`) and in the directories that skopeo writes (`dir:`).

Follows image-spec, image-layout.md, and containers-transports(5).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

from attrs import frozen

from cosinspect.blob import ByteStream
from cosinspect.errors import InvalidLayout
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, Descriptor, Digest, ImageIndex
from cosinspect.sources.local.files import Beginning, Files, read_file, require_certain

__all__ = ["DirSource", "LayoutSource"]

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


@frozen
class LayoutSource:
    """One image of a layout.

    Attributes:
        files: the layout's files.
        selector: its name in `index.json`, or None for the only one.
        digest: its digest instead, or None.
    """

    files: Files
    selector: str | None = None
    digest: Digest | None = None
    limits: Limits = DEFAULT_LIMITS

    def resolve(self) -> Descriptor:
        """Return the descriptor of the image in `index.json`.

        Raises:
            InvalidLayout: this is not a layout, the image is not in it, or there are several; the message names them.
            InvalidManifest: the index is invalid.
        """
        self._check_version()
        raw, index = self.index()
        if self.digest is not None:
            return self._by_digest(self.digest, index)
        found = index.manifests
        if self.selector is not None:
            found = tuple(item for item in found if _is_called(item.annotations, self.selector))
            if not found:
                raise self._unclear(f"expected an image named {self.selector!r}", index)
        digests = {item.digest for item in found}
        if len(digests) == 1:
            return found[0]
        if not found:
            raise InvalidLayout(
                "expected an image, the layout has none", where=self.files.describe("index.json")
            )
        # Attestations are for the platform unknown/unknown, all of them (BuildKit, "attestation storage").
        images = [item for item in found if item.platform is None or item.platform.os != "unknown"]
        platforms = {item.platform for item in images}
        if self.selector is None and None not in platforms and len(platforms) == len(images) > 0:
            # One image for several platforms, as some builders export it: the layout's index is the image's.
            return Descriptor(OCI_INDEX, Digest.of(raw), len(raw))
        raise self._unclear(f"expected one image, found {len(digests)}", index)

    def open(self, descriptor: Descriptor) -> ByteStream:
        """Open a blob.

        Raises:
            InvalidLayout: the blob is missing.
        """
        return self._open(descriptor, 0)

    def open_range(self, descriptor: Descriptor, start: int, stop: int) -> ByteStream:
        """Open the bytes from `start` up to `stop` of a blob.

        Raises:
            InvalidLayout: the blob is missing.
        """
        return Beginning(self._open(descriptor, start), stop - start)

    def _open(self, descriptor: Descriptor, start: int) -> ByteStream:
        name = f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.encoded}"
        if self.files.size(name) is None and descriptor.media_type == OCI_INDEX:
            raw, _ = self.index()
            if Digest.of(raw) == descriptor.digest:
                return io.BytesIO(raw[start:])
        if self.files.size(name) is None:
            raise InvalidLayout(
                "expected a blob, it is not there",
                where=self.files.describe(name),
                remedy="copy the image into the layout again",
            )
        return self.files.open(name, start)

    def close(self) -> None:
        """Hold nothing open between calls."""

    def index(self) -> tuple[bytes, ImageIndex]:
        """Read `index.json`.

        Raises:
            InvalidLayout: the file is missing.
            InvalidManifest: it is not an index.
        """
        if self.files.size("index.json") is None:
            raise InvalidLayout(
                "expected an OCI image layout, there is no index.json",
                where=self.files.describe(""),
                remedy="use docker-archive: for what `docker save` wrote, dir: for what skopeo's dir: wrote",
            )
        require_certain(self.files, "index.json", "oci-layout")
        raw = read_file(self.files, "index.json", limit=self.limits.manifest_bytes)
        return raw, ImageIndex.from_json(raw)

    def _check_version(self) -> None:
        if self.files.size("oci-layout") is None:
            return  # skopeo and Docker read such a layout too
        raw = read_file(self.files, "oci-layout", limit=self.limits.manifest_bytes)
        try:
            version = json.loads(raw)["imageLayoutVersion"]
        except (ValueError, KeyError, TypeError, RecursionError):
            version = None
        if not isinstance(version, str) or not version.startswith("1."):
            raise InvalidLayout(
                f"expected imageLayoutVersion 1.x, found {version!r:.60}",
                where=self.files.describe("oci-layout"),
            )

    def _by_digest(self, digest: Digest, index: ImageIndex) -> Descriptor:
        for item in index.manifests:
            if item.digest == digest:
                return item
        size = self.files.size(f"blobs/{digest.algorithm}/{digest.encoded}")
        if size is None:
            raise self._unclear(f"expected an image {digest}", index)
        return Descriptor("", digest, size)

    def _unclear(self, message: str, index: ImageIndex) -> InvalidLayout:
        names = sorted(
            {item.annotations.get(REF_NAME) or f"@{item.digest}" for item in index.manifests},
            key=lambda name: (name[0] == "@", name),
        )
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        return InvalidLayout(
            message,
            where=self.files.describe("index.json"),
            remedy=f"name one of them behind the path: {shown}" if names else "the layout is empty",
        )


def _is_called(annotations: Mapping[str, str], name: str) -> bool:
    full = annotations.get(CONTAINERD_NAME, "")
    return annotations.get(REF_NAME) == name or full == name or full.endswith(f"/{name}")


@frozen
class DirSource:
    """The one image of a directory that skopeo's `dir:` wrote (containers/image, directory/directory_transport.go)."""

    files: Files
    limits: Limits = DEFAULT_LIMITS

    def resolve(self) -> Descriptor:
        """Read `manifest.json`.

        Raises:
            InvalidLayout: the file is missing.
        """
        if self.files.size("manifest.json") is None:
            raise InvalidLayout(
                "expected a directory written by skopeo's dir:, there is no manifest.json",
                where=self.files.describe(""),
                remedy="use oci: for an OCI image layout",
            )
        raw = self._manifest()
        return Descriptor("", Digest.of(raw), len(raw))

    def open(self, descriptor: Descriptor) -> ByteStream:
        """Open a blob or manifest.

        Raises:
            InvalidLayout: the blob is missing.
        """
        return self._open(descriptor, 0)

    def open_range(self, descriptor: Descriptor, start: int, stop: int) -> ByteStream:
        """Open the bytes from `start` up to `stop` of a blob.

        Raises:
            InvalidLayout: the blob is missing.
        """
        return Beginning(self._open(descriptor, start), stop - start)

    def _open(self, descriptor: Descriptor, start: int) -> ByteStream:
        digest = descriptor.digest
        name = digest.encoded if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.encoded}"
        if descriptor.media_type in ("", *MANIFEST_TYPES, *INDEX_TYPES):
            raw = self._manifest()
            if Digest.of(raw, digest.algorithm) == digest:
                return io.BytesIO(raw[start:])
            name += ".manifest.json"
        if self.files.size(name) is None:
            raise InvalidLayout("expected a blob, it is not there", where=self.files.describe(name))
        return self.files.open(name, start)

    def close(self) -> None:
        """Hold nothing open between calls."""

    def _manifest(self) -> bytes:
        return read_file(self.files, "manifest.json", limit=self.limits.manifest_bytes)
