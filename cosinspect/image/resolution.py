"""From a source to the documents of one image: manifest and configuration, selected from an index by platform."""

from __future__ import annotations

from attrs import frozen

from cosinspect.blob import Source, read_blob
from cosinspect.errors import LimitExceeded, NoMatchingPlatform, UnsupportedMediaType
from cosinspect.limits import Limits
from cosinspect.oci.documents import (
    Choice,
    Descriptor,
    Digest,
    ImageConfig,
    ImageIndex,
    Manifest,
    Platform,
    no_matching_platform,
    parse_document,
)

__all__ = ["Resolved", "list_platforms", "resolve_image"]


@frozen
class Resolved:
    """The documents of one image.

    Attributes:
        digest: of the manifest.
        manifest: the manifest.
        config: the image configuration.
        index_digest: of the image index that the name points to, None if it points to the manifest.
        choice: the manifest chosen from the index for the platform, None without an index.
    """

    digest: Digest
    manifest: Manifest
    config: ImageConfig
    index_digest: Digest | None = None
    choice: Choice | None = None


def resolve_image(source: Source, platform: Platform | None, limits: Limits) -> Resolved:
    """Read the documents of a source's image for a platform.

    Args:
        source: of the image.
        platform: selects from an index, None for the host's platform; an image without an index must not contradict it.
        limits: bounds for the documents.

    Raises:
        SourceError: the source does not deliver.
        ContentError: the bytes do not match their digests.
        InvalidImage: there is no image, or none for the platform.
    """
    pinned = source.resolve()
    selection = _Selection(source, limits)
    document = selection.document(pinned)
    if isinstance(document, ImageIndex):
        chosen, manifest, config = selection.select(document, platform or Platform.of_host())
        return Resolved(chosen.digest, manifest, config, pinned.digest, selection.choice)
    config = selection.config(document)
    own = config.platform
    if platform is not None and own is not None and own.rank(platform) is None:
        raise no_matching_platform(platform, [own]).but(
            message=f"expected an image for {platform}, found one for {own}",
            where="",
            remedy="leave the platform out, or name an image for it",
        )
    return Resolved(pinned.digest, document, config)


def list_platforms(source: Source, limits: Limits) -> tuple[Platform, ...]:
    """Return the platforms that an image index names, each once, in its order; none if there is no index.

    Attestations, which are for the platform `unknown`, are left out.

    Raises:
        SourceError: the source does not deliver.
        ContentError: the bytes do not match their digests.
        InvalidImage: there is no image.
    """
    document = _Selection(source, limits).document(source.resolve())
    if not isinstance(document, ImageIndex):
        return ()
    named = (item.platform for item in document.manifests)
    return tuple(dict.fromkeys(each for each in named if each is not None and each.os != "unknown"))


class _Selection:
    """The search for the manifest of a platform; each document is read once."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._seen: set[Digest] = set()
        self.choice: Choice | None = None

    def document(self, descriptor: Descriptor) -> Manifest | ImageIndex:
        """Read a manifest or an index."""
        raw = read_blob(
            self._source, descriptor, limit=self._limits.manifest_bytes, limit_name="manifest_bytes"
        )
        return parse_document(raw, descriptor.media_type)

    def config(self, manifest: Manifest) -> ImageConfig:
        """Read the configuration that a manifest names."""
        limit = self._limits.config_bytes
        return ImageConfig.from_json(
            read_blob(self._source, manifest.config, limit=limit, limit_name="config_bytes")
        )

    def select(
        self, index: ImageIndex, wanted: Platform, depth: int = 1
    ) -> tuple[Descriptor, Manifest, ImageConfig]:
        """Find the manifest for a platform, best match first, nested indexes included, each document once."""
        if depth > self._limits.index_depth:
            raise LimitExceeded(
                f"expected at most {self._limits.index_depth} image indexes nested in each other, found more",
                limit="index_depth",
                bound=self._limits.index_depth,
                where="index",
            )
        found = [item.platform for item in index.manifests]
        no_image: UnsupportedMediaType | None = None
        for candidate in index.select(wanted):
            if candidate.digest in self._seen:
                continue
            self._seen.add(candidate.digest)
            if len(self._seen) > self._limits.candidates:
                raise LimitExceeded(
                    f"expected the platform among the first {self._limits.candidates} manifests and nested indexes",
                    limit="candidates",
                    bound=self._limits.candidates,
                    where="index",
                    remedy="name the image by the digest of its manifest",
                )
            if self.choice is None:
                self.choice = Choice(wanted, candidate, index.rivals(wanted, candidate))
            try:
                document = self.document(candidate)
            except UnsupportedMediaType as fault:
                if candidate.platform is not None:
                    raise
                no_image = fault  # a signature or the like, which may be listed beside images
                continue
            if isinstance(document, ImageIndex):
                try:
                    return self.select(document, wanted, depth + 1)
                except NoMatchingPlatform:
                    found.extend(item.platform for item in document.manifests)
                    if candidate.platform is not None:
                        break  # containerd tries no other
                    self.choice = None
                    continue
            config = self.config(document)
            if candidate.platform is None and config.platform is not None:
                found.append(config.platform)
                if config.platform.rank(wanted) is None:
                    self.choice = None
                    continue
            return candidate, document, config
        if no_image is not None and not any(found):
            raise no_image
        raise no_matching_platform(wanted, found)
