"""Arguments that several commands share, and opening an image with them."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from attrs import evolve

from cosinspect.cache import Cache, Store, open_directory
from cosinspect.commands.command import NotInImage, Terminal, WrongUse
from cosinspect.commands.progress import layer_bars
from cosinspect.errors import CosinspectError, InvalidAccess, InvalidCache, RootfsError
from cosinspect.extras import load_extra
from cosinspect.image.image import JOBS, Image
from cosinspect.image.opening import open_image
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import FORMS, ImageName, Transport
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.sources.config.access import Access
from cosinspect.sources.config.credential import Credential

__all__ = [
    "access_of",
    "add_access",
    "add_bounds",
    "add_cache",
    "add_format",
    "add_image",
    "add_presentation",
    "add_reach",
    "add_semantics",
    "add_trust",
    "add_verification",
    "cache_of",
    "limits_of",
    "merged_image",
    "open_named",
    "parse_platform",
    "path_in_image",
    "semantics_list",
    "store_of",
    "trusts_tables",
]

T = TypeVar("T")

MOST_JOBS = 64
"""The maximum number of layers read in parallel; more would overload registries without a gain."""

MOST_CREDENTIALS = 1024 * 1024
"""Bytes of a file of credentials."""

_logger = logging.getLogger("cosinspect.cache")


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add the image's name and the options for fetching it."""
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help=", ".join(FORMS.values()),
    )
    add_reach(parser)
    add_verification(parser)


def add_reach(parser: argparse.ArgumentParser) -> None:
    """Add the options for fetching images."""
    parser.add_argument(
        "--platform",
        type=parse_platform,
        metavar="OS/ARCH[/VARIANT]",
        help="platform of the image in an index; default: this machine's",
    )
    parser.add_argument(
        "--plain-http", action="store_true", help="use HTTP without TLS; always the case for localhost"
    )
    add_access(parser)
    add_cache(parser)
    add_bounds(parser)
    add_presentation(parser)


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add the options for access to registries."""
    parser.add_argument(
        "--docker-config",
        metavar="DIR",
        help="directory whose config.json replaces all other files of credentials; unlike $DOCKER_CONFIG, which is one of them",
    )
    parser.add_argument(
        "--authfile",
        metavar="FILE",
        help="a file of credentials of podman, docker or Kubernetes; default: $REGISTRY_AUTH_FILE, else podman's, else docker's",
    )
    parser.add_argument(
        "--creds",
        metavar="USER:PASSWORD|env://NAME",
        help="user and password for the image's registry, or the variable with them",
    )
    parser.add_argument(
        "--registry-token",
        metavar="TOKEN|env://NAME",
        help="bearer token for the image's registry, or the variable with it",
    )
    parser.add_argument(
        "--cert-dir",
        metavar="DIR",
        help="directory with directory with *.crt, *.cert and *.key for the registry",
    )
    parser.add_argument(
        "--tls-verify",
        type=_boolean,
        metavar="true|false",
        help="whether to verify registries' certificates; default: the setting of registries.conf, else true",
    )
    parser.add_argument(
        "--allow-private-addresses",
        action="store_true",
        help="allow a registry on a public address to use token servers and storage on addresses of this machine or its network",
    )
    parser.add_argument(
        "--registries-conf",
        metavar="FILE",
        help="mirrors, prefixes and blocked registries; default: $CONTAINERS_REGISTRIES_CONF, else the user's, else the system's",
    )


def access_of(arguments: argparse.Namespace, name: str) -> Access:
    """Return the access to registries from the arguments of `add_access`.

    For an image outside a registry, registries.conf is not read: a broken one must not prevent reading a
    file.

    Raises:
        WrongUse: credentials are malformed, or their variable is not set.
        InvalidReference: the name is not an image name.
        InvalidAccess: a given file cannot be used.
    """
    if not hasattr(arguments, "authfile"):
        return Access(plain_http=arguments.plain_http, auth_files=())
    environment = arguments.environment
    if arguments.registries_conf:
        environment = {**environment, "CONTAINERS_REGISTRIES_CONF": arguments.registries_conf}
    access = evolve(
        Access.of_system(environment, mirrors=ImageName.parse(name).transport is Transport.DOCKER),
        plain_http=arguments.plain_http,
        tls_verify=arguments.tls_verify,
        certificate_directory=Path(arguments.cert_dir) if arguments.cert_dir else None,
        private_addresses=arguments.allow_private_addresses,
    )
    named = arguments.authfile or (
        Path(arguments.docker_config, "config.json") if arguments.docker_config else None
    )
    for option, path in (
        ("--authfile", arguments.authfile),
        ("--registries-conf", arguments.registries_conf),
        ("--cert-dir", arguments.cert_dir),
    ):
        if path and not Path(path).exists():
            what = "a directory" if option == "--cert-dir" else "a file"
            raise InvalidAccess(
                f"{option}: expected {what}, found nothing", where=path[:300], remedy="check the path"
            )
    if arguments.authfile:
        _require_credentials(Path(arguments.authfile))
    if named is not None:
        access = evolve(access, auth_files=(Path(named),))
    if arguments.creds is not None:
        user, colon, password = _secret(arguments.creds, "--creds", environment).partition(":")
        if not user or not colon:
            raise WrongUse("--creds: expected USER:PASSWORD, or env://NAME of a variable that has it")
        access = evolve(access, credential=Credential(user, password))
    if arguments.registry_token is not None:
        token = _secret(arguments.registry_token, "--registry-token", environment)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise WrongUse("--registry-token: expected a token, or env://NAME of a variable that has one")
        access = evolve(access, authorization=f"Bearer {token}")
    return access


def _require_credentials(path: Path) -> None:
    """Require that a file of credentials is a JSON object: one that was named must not be ignored.

    Raises:
        InvalidAccess: it is not.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MOST_CREDENTIALS))
    except OSError as fault:
        raise InvalidAccess(
            f"--authfile: the file cannot be read: {fault.strerror or fault}",
            where=str(path),
            remedy="name the file that podman login or docker login wrote",
        ) from fault
    except (ValueError, RecursionError):
        document = None
    auths = document.get("auths", {}) if isinstance(document, dict) else None
    if not isinstance(auths, dict):
        raise InvalidAccess(
            "--authfile: expected a JSON object with credentials, found something else",
            where=str(path),
            remedy="name the file that podman login or docker login wrote",
        )


def _secret(text: str, option: str, environment: Mapping[str, str]) -> str:
    """Return the value of an option, or of the variable that it names."""
    if not text.startswith("env://"):
        return text
    name = text.removeprefix("env://")
    if name not in environment:
        raise WrongUse(f"{option}: expected the variable {name[:60]} to be set, it is not")
    return environment[name]


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, found {text[:40]!r}")
    return text.lower() == "true"


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the options of the cache."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--cache",
        metavar="DIR|URL",
        help="directory or URL of the cache; default: $COSINSPECT_CACHE, else "
        "$XDG_CACHE_HOME/cosinspect, else ~/.cache/cosinspect",
    )
    place.add_argument("--no-cache", action="store_true", help="neither read nor write a cache")


def cache_of(arguments: argparse.Namespace) -> Cache | None:
    """Return the cache from the arguments of `add_cache`, or None.

    Raises:
        InvalidCache: the given place cannot be used.
    """
    store = store_of(arguments)
    return Cache(store) if store is not None else None


def store_of(arguments: argparse.Namespace) -> Store | None:
    """Return the store from the arguments of `add_cache`, or None.

    Raises:
        InvalidCache: as `cache_of`.
    """
    if arguments.no_cache:
        return None
    if arguments.cache is not None and "://" in arguments.cache:
        return _shared(arguments)
    if arguments.cache is not None:
        return open_directory(Path(arguments.cache), trusted=True)
    try:
        return open_directory(Path(arguments.cache_home, "cosinspect"), trusted=False)
    except InvalidCache as fault:
        _logger.warning("nothing is cached: %s", fault)
        return None


def _shared(arguments: argparse.Namespace) -> Store:
    """Open a shared cache, with the local one in front of it."""
    path = arguments.cache.removeprefix("file://")
    if path != arguments.cache:
        return open_directory(Path(path), trusted=True)
    # Imported on demand: few need it.
    module = load_extra("cosinspect.cache.shared", "cache")
    local = open_directory(Path(arguments.cache_home, "cosinspect"), trusted=False)
    store: Store = module.open_shared(arguments.cache, local)
    return store


def add_verification(parser: argparse.ArgumentParser) -> None:
    """Add the option that skips the verification of diff IDs."""
    parser.add_argument(
        "--no-diff-ids",
        action="store_true",
        help="do not verify diff IDs of layers; their blobs are always verified",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the options that allow reading parts of layers."""
    parser.add_argument(
        "--trust-toc",
        action="store_true",
        help="trust the tables of contents of eStargz and zstd:chunked layers, and fetch only the needed files; "
        "the report is provisional",
    )
    parser.add_argument(
        "--verify",
        choices=("full",),
        help="full: read every layer to its end and verify it (the default)",
    )


def trusts_tables(arguments: argparse.Namespace) -> bool:
    """Return whether the arguments of `add_trust` allow reading parts of layers.

    Raises:
        WrongUse: the arguments contradict each other.
    """
    if arguments.verify == "full" and arguments.trust_toc:
        raise WrongUse("--verify full and --trust-toc exclude each other")
    trusted: bool = arguments.trust_toc
    return trusted


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """Add the options that bound the work; they hold for the whole command, unless it works on many images."""
    parser.set_defaults(on_one_image=True)
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_LIMITS.seconds,
        metavar="SECONDS",
        help=f"maximum time of the inspection in seconds; default: {DEFAULT_LIMITS.seconds:g}",
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=JOBS,
        metavar="N",
        help=f"number of layers read in parallel, each with its own connection; default: {JOBS}",
    )


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MOST_JOBS and len(text) < 4):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MOST_JOBS}, found {text[:20]!r}")
    return int(text)


def limits_of(arguments: argparse.Namespace) -> Limits:
    """Return the bounds from the arguments of `add_bounds`."""
    return evolve(DEFAULT_LIMITS, seconds=arguments.timeout)


def add_presentation(parser: argparse.ArgumentParser) -> None:
    """Add the options for the terminal."""
    parser.add_argument(
        "--no-color", action="store_true", help="do not use colours; NO_COLOR has the same effect"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="print only errors on standard error")
    amount.add_argument(
        "--debug",
        action="store_true",
        help="print each request to a registry on standard error, without secrets",
    )


def add_semantics(parser: argparse.ArgumentParser) -> None:
    """Add the choice of semantics."""
    names = [each.value for each in Semantics]
    parser.add_argument(
        "--semantics",
        type=_reading,
        default=Semantics.OCI,
        metavar="|".join(names),
        help="semantics of the layers: the specification, a node with overlayfs, or elemental's writes "
        "to disk; default: oci",
    )


def _reading(text: str) -> Semantics:
    found = semantics_list(text)
    if len(found) > 1:
        raise argparse.ArgumentTypeError(f"expected one semantics, found {text[:60]!r}")
    return found[0]


def semantics_list(text: str) -> tuple[Semantics, ...]:
    """Parse names of semantics with commas between them, for argparse."""
    try:
        return tuple(dict.fromkeys(Semantics(name.strip()) for name in text.split(",")))
    except ValueError as fault:
        names = ", ".join(each.value for each in Semantics)
        raise argparse.ArgumentTypeError(f"expected names out of {names}, found {text[:60]!r}") from fault


def add_format(
    parser: argparse.ArgumentParser, *, json: str = "JSON for programs", default: str | None = "text"
) -> None:
    """Add the choice between text and JSON."""
    parser.add_argument(
        "--format", choices=("text", "json"), default=default, help=f"text for people, {json}; default: text"
    )


def parse_platform(text: str) -> Platform:
    """Parse a platform, for argparse.

    Raises:
        ArgumentTypeError: it is malformed.
    """
    try:
        return Platform.parse(text)
    except CosinspectError as fault:
        raise argparse.ArgumentTypeError(fault.message) from fault


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # also refuses nan
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, found {text!r}")
    return seconds


def open_named(name: str, arguments: argparse.Namespace, *, restartable: bool = True) -> Image:
    """Open an image with the arguments of `add_image`.

    Args:
        name: of the image.
        arguments: those of `add_image`.
        restartable: whether files may be read that were not kept.

    Raises:
        CosinspectError: the image cannot be opened.
    """
    return open_image(
        name,
        platform=arguments.platform,
        access=access_of(arguments, name),
        verify_diff_ids=not arguments.no_diff_ids,
        limits=limits_of(arguments),
        cache=cache_of(arguments),
        jobs=arguments.jobs,
        restartable=restartable,
    )


@contextmanager
def merged_image(
    arguments: argparse.Namespace,
    terminal: Terminal,
    *,
    retain: tuple[str, ...] = (),
    restartable: bool = True,
) -> Iterator[tuple[Image, Rootfs]]:
    """Open the image that the arguments name and merge its layers; show progress.

    Args:
        arguments: those of `add_image`.
        terminal: for progress.
        retain: globs of files to keep while layers are read.
        restartable: whether other files may be read.

    Raises:
        CosinspectError: the image cannot be read.
    """
    with open_named(arguments.image, arguments, restartable=restartable) as image:
        with layer_bars(terminal) as bars:
            bars.begin(image)
            semantics = getattr(arguments, "semantics", Semantics.OCI)
            rootfs = image.read_rootfs(
                retain,
                semantics=semantics,
                progress=bars.advance,
                trust_tables=hasattr(arguments, "trust_toc") and trusts_tables(arguments),
            )
        yield image, rootfs


def path_in_image(look: Callable[[str], T], path: str) -> T:
    """Return what is at a path given by the user.

    Raises:
        NotInImage: the path cannot be used in the requested way.
    """
    try:
        return look(path)
    except RootfsError as fault:
        raise NotInImage(str(fault)) from fault
