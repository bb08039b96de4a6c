"""Image names: which transport, which place, which image there.

Names follow containers-transports(5); a name without a transport is a registry reference, whose grammar is that of
distribution's `reference` package. Nothing here touches the file system or the network.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Self

from attrs import evolve, frozen

from cosinspect.errors import InvalidManifest, InvalidReference
from cosinspect.oci.documents import Digest

__all__ = ["FORMS", "ImageName", "Reference", "Transport"]

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

# distribution/reference: regexp.go
_HOST = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?"
)
_PATH_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_MAX_REPOSITORY = 255

_ALGORITHMS = ("sha256:", "sha512:")

_OTHER_TRANSPORTS = ("containers-storage", "docker-daemon", "ostree", "sif", "tarball", "atomic")


class Transport(enum.Enum):
    """How an image is reached."""

    DOCKER = "docker"
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DIR = "dir"


FORMS: Mapping[Transport, str] = {
    Transport.DOCKER: "quay.io/org/os:v1",
    Transport.OCI: "oci:DIR[:ref]",
    Transport.OCI_ARCHIVE: "oci-archive:FILE[:ref]",
    Transport.DOCKER_ARCHIVE: "docker-archive:FILE[:repo:tag]",
    Transport.DIR: "dir:DIR",
}
"""How images are named, by transport. Helps and messages take the names from here."""


@frozen
class Reference:
    """An image in a registry: `registry/repository[:tag][@digest]`; the digest decides where both are given.

    Attributes:
        registry: host and port as written; `docker.io` where none was.
        repository: full, `library/` included where Docker Hub implies it.
        tag: None where only a digest is given.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference as Docker reads it.

        Raises:
            InvalidReference: it is none; the message says which part is wrong.
        """
        rest, at, digest_text = text.partition("@")
        if at and not digest_text.startswith(_ALGORITHMS):
            raise InvalidReference(
                "expected a digest such as sha256:<64 lower-case hexadecimals> behind the @",
                where=_shown(text),
                remedy="a user and a password do not belong into a name: log in with docker login",
            )
        try:
            digest = Digest.parse(digest_text) if at else None
        except InvalidManifest as fault:
            raise InvalidReference(fault.message, where=_shown(text)) from fault
        if not at and _IDENTIFIER.fullmatch(rest):
            raise _invalid(text, "expected a repository, found what looks like the ID of a local image")
        head, slash, tail = rest.partition("/")
        # Without a dot, a colon or `localhost`, the first part is a name on Docker Hub (distribution: normalize.go).
        if slash and (any(mark in head for mark in ".:") or head == "localhost" or head.lower() != head):
            registry, path = head, tail
        else:
            registry, path = DEFAULT_REGISTRY, rest
        repository, colon, tag = path.partition(":")
        if not _HOST.fullmatch(registry):
            raise _invalid(text, f"expected a host name with an optional port, found {registry[:100]!r}")
        if registry in ("docker.io", "index.docker.io"):
            registry = DEFAULT_REGISTRY
            if "/" not in repository:
                repository = f"library/{repository}"
        _check_repository(text, repository)
        if colon and not _TAG.fullmatch(tag):
            raise _invalid(
                text, f"expected a tag of up to 128 letters, digits and '_.-', found {tag[:150]!r}"
            )
        return cls(registry, repository, tag if colon else (None if digest else DEFAULT_TAG), digest)

    @property
    def identifier(self) -> str:
        """What to ask the registry for: the digest, else the tag."""
        return str(self.digest) if self.digest else self.tag or DEFAULT_TAG

    @property
    def normal(self) -> Self:
        """The same image by the one name that all its spellings share: rules are matched against it.

        The host is lower case, without a final dot and without the port 443; Docker Hub's hosts are `docker.io`; of a tag
        and a digest only the digest is left (distribution/reference, ParseDockerRef).
        """
        registry = self.registry.lower().removesuffix(":443").removesuffix(".")
        repository = self.repository
        if registry in _DOCKER_HUB:
            registry = DEFAULT_REGISTRY
            repository = repository if "/" in repository else f"library/{repository}"
        return evolve(self, registry=registry, repository=repository, tag=None if self.digest else self.tag)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


@frozen
class ImageName:
    """A parsed image name.

    Attributes:
        text: as it was given.
        transport: how the image is reached.
        reference: of the transport `docker`, else None.
        path: of the local transports, else empty.
        selector: which image at `path`: a name, or None for the only one there is.
        digest: which image at `path`, by the digest of its manifest or index.
    """

    text: str
    transport: Transport
    reference: Reference | None = None
    path: str = ""
    selector: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an image name.

        Raises:
            InvalidReference: it is none; the message shows a right one.
        """
        if not text or any(character.isspace() or not character.isprintable() for character in text):
            raise _invalid(text, "expected an image name without blanks")
        prefix, colon, details = text.partition(":")
        if colon and prefix in _OTHER_TRANSPORTS:
            raise InvalidReference(
                f"the transport {prefix!r} needs a daemon or a local store",
                where=_shown(text),
                remedy="push the image to a registry, or save it and use docker-archive:FILE or oci:DIR",
            )
        if colon and prefix == Transport.DOCKER.value and details.startswith("//"):
            return cls(text, Transport.DOCKER, Reference.parse(details.removeprefix("//")))
        if colon and prefix in _LOCAL:
            return cls._local(text, Transport(prefix), details)
        if text.startswith(("/", "./", "../", "~")):
            raise InvalidReference(
                "a path needs a transport",
                where=text[:300],
                remedy=f"use oci:{text[:100]} for a layout, docker-archive:{text[:100]} for a saved image",
            )
        if "://" in text:
            raise _invalid(text, "expected docker:// or no scheme at all")
        return cls(text, Transport.DOCKER, Reference.parse(text))

    @classmethod
    def _local(cls, text: str, transport: Transport, details: str) -> Self:
        if not details or details.startswith(":"):
            raise _invalid(text, f"expected a path behind {transport.value}:")
        if transport is Transport.DIR:
            return cls(text, transport, path=details)
        path, _, digest = details.rpartition("@")
        # A path may hold an @ of its own.
        if transport is not Transport.DOCKER_ARCHIVE and path and digest.startswith(_ALGORITHMS):
            try:
                return cls(text, transport, path=path, digest=Digest.parse(digest))
            except InvalidManifest as fault:
                raise InvalidReference(fault.message, where=text[:300]) from fault
        path, colon, selector = details.partition(":")
        if colon and not selector:
            raise _invalid(text, "expected a reference behind the second colon")
        return cls(text, transport, path=path, selector=selector or None)

    def __str__(self) -> str:
        return self.text


_LOCAL = frozenset(item.value for item in Transport if item is not Transport.DOCKER)


def _invalid(text: str, message: str) -> InvalidReference:
    return InvalidReference(
        message, where=repr(_shown(text)), remedy="write for example quay.io/org/os:v1 or oci:DIR:ref"
    )


def _shown(text: str) -> str:
    """Return a name as messages show it: without what stands before an @, which may be a user and a password."""
    name, at, digest = text.rpartition("@")
    if not digest.startswith(_ALGORITHMS):
        name, at, digest = text, "", ""
    _, hidden, host = name.rpartition("@")
    return (f"…@{host}" if hidden else name)[:300] + f"{at}{digest}"[:150]


def _check_repository(text: str, repository: str) -> None:
    if len(repository) > _MAX_REPOSITORY:
        raise _invalid(text, f"expected a repository of at most {_MAX_REPOSITORY} characters")
    for component in repository.split("/"):
        if not _PATH_COMPONENT.fullmatch(component):
            hint = " (upper case is not allowed)" if component.lower() != component else ""
            raise _invalid(text, f"expected a repository such as org/os, found {repository[:100]!r}{hint}")
