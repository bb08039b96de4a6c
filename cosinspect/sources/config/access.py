"""Access to registries: one value for all settings of a user."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import evolve, field, frozen

from cosinspect.sources.config.credential import Credential
from cosinspect.sources.config.registries_conf import RegistriesConf
from cosinspect.sources.config.registries_files import load_registries_conf

__all__ = ["Access", "auth_files", "certificate_directories", "registries_conf_files"]


@frozen(kw_only=True)
class Access:
    """The access to registries.

    Secrets (`credential`, `authorization`) are sent to the registry in the image's name only, never to a
    mirror.

    Attributes:
        plain_http: use HTTP without TLS; always the case for localhost.
        tls_verify: whether to verify registries' certificates; otherwise plain HTTP is tried too. None uses the
            configuration of each registry, by default yes.
        auth_files: files of credentials, the first that knows the registry counts; None for Docker's in the home directory.
        credential: replaces the credentials in files.
        authorization: an `Authorization` header, such as `Bearer ...`, which replaces every other.
        registries: prefixes, mirrors and what is blocked.
        certificates: directories in which each registry may have one with certificates.
        certificate_directory: of certificates for every registry.
        private_addresses: whether a registry on a public address may name token servers and storage on addresses of this
            machine or its network.
    """

    plain_http: bool = False
    tls_verify: bool | None = None
    auth_files: tuple[Path, ...] | None = None
    credential: Credential | None = None
    authorization: str | None = field(default=None, repr=False)
    registries: RegistriesConf = field(factory=RegistriesConf)
    certificates: tuple[Path, ...] = ()
    certificate_directory: Path | None = None
    private_addresses: bool = False

    @classmethod
    def of_docker_config(cls, config: Path | None, *, plain_http: bool = False) -> Access:
        """Return the access that has its credentials from one Docker configuration.

        Args:
            config: the file or its directory; None for the one in the home directory.
            plain_http: speak HTTP without TLS.
        """
        if config is None:
            return cls(plain_http=plain_http)
        return cls(plain_http=plain_http, auth_files=(config / "config.json" if config.is_dir() else config,))

    @classmethod
    def of_system(cls, environment: Mapping[str, str], *, mirrors: bool = True) -> Access:
        """Return the access of podman and docker on this machine.

        Args:
            environment: of the process.
            mirrors: whether to read registries.conf.

        Raises:
            InvalidAccess: a registries.conf cannot be used.
        """
        return cls(
            auth_files=tuple(auth_files(environment)),
            registries=load_registries_conf(registries_conf_files(environment) if mirrors else ()),
            certificates=tuple(certificate_directories(environment)),
        )

    def elsewhere(self) -> Access:
        """Return the access for another registry: without the secrets of the named one."""
        return evolve(self, credential=None, authorization=None)


def auth_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files that may have credentials, in order (containers-auth.json(5), docker-login(1))."""
    named = environment.get("REGISTRY_AUTH_FILE")
    if named:
        yield Path(named)
        return
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    places = [Path(runtime, "containers") if "XDG_RUNTIME_DIR" in environment else Path(runtime)]
    places.extend(directory / "containers" for directory in _config_homes(environment))
    yield from (place / "auth.json" for place in places)
    docker = environment.get("DOCKER_CONFIG")
    home = _home(environment)
    if docker:
        yield Path(docker, "config.json")
    elif home is not None:
        yield home / ".docker" / "config.json"
    if home is not None:
        yield home / ".dockercfg"


def registries_conf_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files of registries.conf, earlier ones giving way to later ones (containers-registries.conf(5), (5).d)."""
    named = environment.get("CONTAINERS_REGISTRIES_CONF")
    if named:
        yield Path(named)
        return
    places = [Path("/etc/containers"), *(home / "containers" for home in _config_homes(environment))]
    # The user's own file takes the place of the system's; what is dropped in adds up.
    own = [place / "registries.conf" for place in reversed(places)]
    yield from _first(own)
    for place in places:
        yield from sorted((place / "registries.conf.d").glob("*.conf"))


def certificate_directories(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the directories of certificates by host, in order (containers-certs.d(5)); XDG_CONFIG_HOME moves none of them."""
    home = _home(environment)
    if home is not None:
        yield home / ".config" / "containers" / "certs.d"
    yield from (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def _first(paths: Iterable[Path]) -> Iterator[Path]:
    found = next((path for path in paths if path.is_file()), None)
    if found is not None:
        yield found


def _config_homes(environment: Mapping[str, str]) -> Iterator[Path]:
    named = environment.get("XDG_CONFIG_HOME")
    home = _home(environment)
    if named:
        yield Path(named)
    elif home is not None:
        yield home / ".config"


def _home(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("HOME")
    return Path(named) if named else None
