"""Image names: transport, place, and the image at that place.

Names follow containers-transports(5). A name without a transport is a registry reference in the grammar of
distribution's `reference` package. Nothing here uses the file system or the network.
"""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import re
from collections.abc import Mapping
from typing import Self

from attrs import evolve, frozen

from cosinspect.errors import InvalidManifest, InvalidReference
from cosinspect.oci.descriptor import Digest

__all__ = ["FORMS", "ImageName", "Reference", "Transport"]

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

# distribution/reference: regexp.go
_HOST = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?"
)
_PORT = re.compile(r":[0-9]+$")
_PATH_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_MAX_REPOSITORY = 255

_ALGORITHMS = ("sha256:", "sha512:")

_OTHER_TRANSPORTS = ("containers-storage", "docker-daemon", "ostree", "sif", "tarball", "atomic")


class Transport(enum.Enum):
    """The transports of image names."""

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
        registry: host and port as written; `docker.io` by default.
        repository: the full path, including `library/` if Docker Hub implies it.
        tag: None if only a digest is given.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a reference as Docker does.

        Raises:
            InvalidReference: the text is not a reference; the message names the wrong part.
        """
        rest, at, digest_text = text.partition("@")
        if at and not digest_text.startswith(_ALGORITHMS):
            raise InvalidReference(
                "expected a digest such as sha256:<64 lower-case hexadecimals> after the @",
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
        """The identifier for the registry: the digest, else the tag."""
        return str(self.digest) if self.digest else self.tag or DEFAULT_TAG

    @property
    def normal(self) -> Self:
        """The normal form, which all spellings of the name share; rules match against it.

        The host is in lower case, without a final dot, without zeros before the port, and without the port 443. An
        address of IPv6 is in its short form. Docker Hub's hosts become `docker.io`. If there is a digest, the tag is dropped (distribution/reference, ParseDockerRef).
        """
        registry = _normal_host(self.registry)
        repository = self.repository
        if registry in _DOCKER_HUB:
            registry = DEFAULT_REGISTRY
            repository = repository if "/" in repository else f"library/{repository}"
        return evolve(self, registry=registry, repository=repository, tag=None if self.digest else self.tag)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def _normal_host(registry: str) -> str:
    """Return a host and its port in the form that all spellings share which lead to the same connection."""
    host, colon, port = (
        registry.lower().rpartition(":") if _PORT.search(registry) else (registry.lower(), "", "")
    )
    if host.startswith("["):
        with contextlib.suppress(ValueError):
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
    host = host.removesuffix(".")
    return host if not colon or int(port) == 443 else f"{host}:{int(port)}"


@frozen
class ImageName:
    """A parsed image name.

    Attributes:
        text: the name as given.
        transport: of the image.
        reference: for the transport `docker`, else None.
        path: for local transports, else empty.
        selector: the name of the image at `path`; None if there is only one.
        digest: the digest of the manifest or index at `path`.
    """

    text: str
    transport: Transport
    reference: Reference | None = None
    path: str = ""
    selector: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an image name.

        Raises:
            InvalidReference: the text is not an image name; the message shows a valid one.
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
            raise _invalid(text, f"expected a path after {transport.value}:")
        if transport is Transport.DIR:
            return cls(text, transport, path=details)
        path, _, digest = details.rpartition("@")
        # A path may contain an @.
        if transport is not Transport.DOCKER_ARCHIVE and path and digest.startswith(_ALGORITHMS):
            try:
                return cls(text, transport, path=path, digest=Digest.parse(digest))
            except InvalidManifest as fault:
                raise InvalidReference(fault.message, where=text[:300]) from fault
        path, colon, selector = details.partition(":")
        if colon and not selector:
            raise _invalid(text, "expected a reference after the second colon")
        return cls(text, transport, path=path, selector=selector or None)

    def __str__(self) -> str:
        return self.text


_LOCAL = frozenset(item.value for item in Transport if item is not Transport.DOCKER)


def _invalid(text: str, message: str) -> InvalidReference:
    return InvalidReference(
        message, where=repr(_shown(text)), remedy="write for example quay.io/org/os:v1 or oci:DIR:ref"
    )


def _shown(text: str) -> str:
    """Return a name as messages show it: without the part before an @, which may be a user and a password."""
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
