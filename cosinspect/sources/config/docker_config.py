"""Files of credentials, and the helpers that they name: Docker's `config.json`, podman's `auth.json`, Kubernetes' pull secrets.

Follows containers-auth.json(5) for which entry counts, docker/cli (cli/config/configfile and cli/config/types) for the file and docker-credential-helpers for the
helpers' protocol; oras finds the file and runs the helpers. A file or helper that cannot be used is not an error here: most
images can be pulled by anybody. What was wrong is said if access is denied later.

| in one file, the first of these with a value | found under |
|---|---|
| `credHelpers` | the host: `docker-credential-NAME get` |
| `auths` | `host/ns/repo`, `host/ns`, `host`; Docker Hub's host by any of its names; `https://host/v1/` as old clients wrote it |
| `credsStore` | the host; podman knows none |

Of several files (`access.auth_files` has their order) the first with a value counts.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from cosinspect.sources.config.credential import Credential, FoundCredential
from cosinspect.sources.config.pull_secrets import read_auth_document

__all__ = ["find_credential"]

CONFIG_BYTES = 4 * 1024 * 1024
"""What a configuration file may hold."""
HUB_SERVER = "https://index.docker.io/v1/"
"""The name under which Docker keeps the credentials for Docker Hub."""

_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OLD_KEY = re.compile(r"https?://([^/]+)(?:/.*)?")


def find_credential(
    host: str, docker_config: Path | None = None, *, repository: str = "", files: Iterable[Path] | None = None
) -> FoundCredential:
    """Look up what a registry knows the user by, in one file after the other.

    In each, a helper named for the host comes first, then what the file itself holds, the entry for the longest part of
    the image's name first, then the helper named for all hosts.

    Args:
        host: the registry as it is in an image's name.
        docker_config: the file, or the directory it is in; None for the one in the home directory.
        repository: the rest of the name.
        files: where to look in place of `docker_config`.
    """
    if files is None:
        path = _path(docker_config)
        files = () if path is None else (path,)
    problems = []
    for path in files:
        found = _find_in(path, host, repository)
        if found.credential:
            return found
        if found.problem:
            problems.append(found.problem)
    return FoundCredential(problem="; ".join(problems) or None)


def _find_in(path: Path, host: str, repository: str) -> FoundCredential:
    try:
        config = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return FoundCredential()
    except (OSError, ValueError, RecursionError) as fault:
        kind = fault.strerror if isinstance(fault, OSError) else "it is no JSON document of an honest size"
        return FoundCredential(problem=f"the Docker configuration {path} cannot be read: {kind}")
    servers = (HUB_SERVER, *_HUB_HOSTS) if host in _HUB_HOSTS else (host,)
    problem: str | None = None
    helpers = _mapping(config.get("credHelpers"))
    for server in servers:
        if helpers.get(server):
            found = _ask_helper(helpers[server], server)
            if found.credential:
                return found
            problem = found.problem
            break
    inline = _inline(_mapping(config.get("auths")), servers, repository)
    if inline:
        return FoundCredential(inline)
    store = config.get("credsStore")
    if store and not problem:
        return _ask_helper(store, servers[0])
    return FoundCredential(problem=problem)


def _path(docker_config: Path | None) -> Path | None:
    if docker_config is None:
        found = import_module("oras.utils").find_docker_config()
        return Path(found) if found else None
    return docker_config / "config.json" if docker_config.is_dir() else docker_config


def _read(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        raw = file.read(CONFIG_BYTES + 1)
    if len(raw) > CONFIG_BYTES:
        raise ValueError("too large")
    return read_auth_document(raw)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _inline(auths: Mapping[str, Any], servers: tuple[str, ...], repository: str = "") -> Credential | None:
    """Find the entry for a name, the most specific first; old clients wrote a server's address instead of its name."""
    parts = repository.split("/") if repository else []
    paths = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    keys = [*(f"{server}/{path}" for path in paths for server in servers), *servers]
    named = [auths[key] for key in keys if key in auths]
    old = [entry for key, entry in auths.items() if (hit := _OLD_KEY.fullmatch(key)) and hit[1] in servers]
    for entry in (*named, *old):
        credential = _entry(_mapping(entry))
        if credential:
            return credential
    return None


def _entry(entry: Mapping[str, Any]) -> Credential | None:
    identity = entry.get("identitytoken")
    if isinstance(identity, str) and identity:
        return Credential(identity_token=identity)
    both = entry.get("auth")
    if isinstance(both, str) and both:
        return _credential(both)
    user, password = entry.get("username"), entry.get("password")
    if isinstance(user, str) and user and isinstance(password, str):
        return Credential(user, password)
    return None


def _credential(encoded: str) -> Credential | None:
    """Read `user:password` in base 64; a helper's user `<token>` says that the password is an identity token."""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    user, colon, password = text.partition(":")
    password = password.rstrip("\0")
    if not user or not colon:
        return None
    return Credential(identity_token=password) if user == "<token>" else Credential(user, password)


def _ask_helper(name: object, server: str) -> FoundCredential:
    if not isinstance(name, str) or not _HELPER.fullmatch(name):
        return FoundCredential(problem=f"the Docker configuration names a credential helper {name!r:.60}")
    # Imported on demand: few have a helper.
    backend = import_module("oras.auth.base").AuthBackend()
    # oras reads the home directory's file, and nothing else, into an empty configuration.
    backend._auth_config = {"auths": {}, "credsStore": name}  # noqa: SLF001  # oras has no public way in
    container = import_module("oras.container").Container("registry.invalid/image")
    container.registry = server
    encoded: object = None
    # Not there, not allowed, or its output is not what the protocol says.
    with _quiet(), contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        backend.load_configs(container)
        encoded = getattr(backend, "_basic_auth", None)
    credential = _credential(encoded) if isinstance(encoded, str) else None
    if credential:
        return FoundCredential(credential)
    return FoundCredential(problem=f"the credential helper docker-credential-{name} gave none for {server}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what oras logs in this thread from everybody: it quotes what the helper printed."""
    logger = logging.getLogger("oras.logger")
    here = threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)
