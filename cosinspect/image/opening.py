"""From the name of an image to the image: selects the source and its access."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from cosinspect.blob import Source
from cosinspect.cache import Cache
from cosinspect.deadline import Deadline
from cosinspect.image.image import JOBS, Image
from cosinspect.image.recognition import require_image
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Digest, Platform
from cosinspect.oci.reference import ImageName, Transport
from cosinspect.sources.config.access import Access
from cosinspect.sources.local.archives import open_archive
from cosinspect.sources.local.docker_archive import DockerArchiveSource
from cosinspect.sources.local.files import DirectoryFiles
from cosinspect.sources.local.layout import DirSource, LayoutSource

__all__ = ["open_image", "open_source", "resolve_digest"]


def open_image(
    name: str,
    *,
    platform: str | Platform | None = None,
    access: Access | None = None,
    verify_diff_ids: bool = True,
    limits: Limits = DEFAULT_LIMITS,
    cache: Cache | None = None,
    deadline: Deadline | None = None,
    jobs: int = JOBS,
    restartable: bool = True,
) -> Image:
    """Open an image; use it in a `with` statement.

    Args:
        name: of an image, in a form of `cosinspect.oci.reference.FORMS`, such as `quay.io/org/os:v1` or `oci:DIR`.
        platform: `os/architecture[/variant]`, selects from an image index; by default the host's platform.
        access: access to registries; by default with the credentials of Docker's configuration.
        verify_diff_ids: whether layers must match the diff IDs of the configuration.
        limits: bounds for everything that is read.
        cache: the cache of layers and trees; by default none.
        deadline: for everything; by default `limits.seconds` from now.
        jobs: how many layers are read in parallel, at least one.
        restartable: whether files that were not kept are read from a checkpoint instead of the layer's beginning.

    Raises:
        InvalidReference: the name is not an image name.
        SourceError: the image is not at that place, or the place does not answer.
        ContentError: the bytes do not match their digests.
        InvalidImage: there is no image, or none for the platform.
    """
    wanted = Platform.parse(platform) if isinstance(platform, str) else platform
    if deadline is None:
        deadline = Deadline(limits.seconds)
    source = open_source(name, access=access, limits=limits, deadline=deadline)
    try:
        return Image.open(
            name,
            source,
            platform=wanted,
            limits=limits,
            verify_diff_ids=verify_diff_ids,
            cache=cache,
            deadline=deadline,
            jobs=jobs,
            restartable=restartable,
        )
    except BaseException:
        source.close()
        raise


def resolve_digest(
    name: str, *, access: Access, limits: Limits = DEFAULT_LIMITS, deadline: Deadline | None = None
) -> Digest:
    """Return the digest of the manifest or index that a name refers to now.

    Args:
        name: as for `open_image`.
        access: access to registries.
        limits: bounds for all reads.
        deadline: by default `limits.seconds` from now.

    Raises:
        CosinspectError: the name cannot be resolved.
    """
    source = open_source(name, access=access, limits=limits, deadline=deadline)
    try:
        return source.resolve().digest
    finally:
        source.close()


def open_source(
    name: str,
    *,
    access: Access | None = None,
    limits: Limits = DEFAULT_LIMITS,
    deadline: Deadline | None = None,
) -> Source:
    """Open the source of a name; the caller closes it.

    Args:
        name: as for `open_image`.
        access: how registries are reached and as whom; by default with the credentials of Docker's configuration.
        limits: bounds for what is read.
        deadline: by when it must be done; by default `limits.seconds` from now.

    Raises:
        InvalidReference: the name is invalid.
        SourceError: it is not where the name says.
    """
    parsed = ImageName.parse(name)
    return _source(parsed, access or Access(), limits, deadline or Deadline(limits.seconds))


def _source(name: ImageName, access: Access, limits: Limits, deadline: Deadline) -> Source:
    path = Path(name.path)
    if name.transport is not Transport.DOCKER:
        require_image(name.transport, path, limits=limits)
    match name.transport:
        case Transport.OCI:
            return LayoutSource(DirectoryFiles(path), name.selector, name.digest, limits)
        case Transport.OCI_ARCHIVE:
            return LayoutSource(open_archive(path, limits=limits), name.selector, name.digest, limits)
        case Transport.DOCKER_ARCHIVE:
            return DockerArchiveSource(open_archive(path, limits=limits), name.selector, limits=limits)
        case Transport.DIR:
            return DirSource(DirectoryFiles(path), limits)
        case Transport.DOCKER:
            # Imported on demand: HTTP takes longer to import than a layout to read.
            endpoints = import_module("cosinspect.sources.registry.endpoints")
            found: Source = endpoints.open_registry(name, access, limits, deadline)
            return found
