"""Arguments that several commands have, and how an image is opened by them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from attrs import evolve

from cosinspect.cache import Cache, Store, open_directory
from cosinspect.commands.command import NotInImage, Terminal, WrongUse
from cosinspect.commands.progress import layer_bars
from cosinspect.errors import CosinspectError, InvalidAccess, InvalidCache, RootfsError
from cosinspect.image.image import JOBS, Image
from cosinspect.image.opening import open_image
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import FORMS, ImageName, Transport
from cosinspect.profiles import BUILTIN
from cosinspect.render import RENDERERS
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
    "add_profile",
    "add_reach",
    "add_report",
    "add_semantics",
    "add_trust",
    "add_verification",
    "cache_of",
    "limits_of",
    "merged_image",
    "open_named",
    "path_in_image",
    "semantics_list",
    "store_of",
    "trusts_tables",
]

T = TypeVar("T")

MOST_JOBS = 64
"""Layers read in parallel; more are more than a registry likes and any machine has use for."""

_logger = logging.getLogger("cosinspect.cache")


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add the image's name and how to get it."""
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help=", ".join(FORMS.values()),
    )
    add_reach(parser)
    add_verification(parser)


def add_reach(parser: argparse.ArgumentParser) -> None:
    """Add how images are got."""
    parser.add_argument(
        "--platform",
        type=_platform,
        metavar="OS/ARCH[/VARIANT]",
        help="which image of an index; default: what this machine runs",
    )
    parser.add_argument(
        "--plain-http", action="store_true", help="speak HTTP without TLS, as is always done with localhost"
    )
    add_access(parser)
    add_cache(parser)
    add_bounds(parser)
    add_presentation(parser)


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add how registries are reached, and as whom."""
    parser.add_argument(
        "--docker-config",
        metavar="DIR",
        help="where config.json has credentials, in place of all other files; $DOCKER_CONFIG is one of these",
    )
    parser.add_argument(
        "--authfile",
        metavar="FILE",
        help="a file of credentials of podman, docker or Kubernetes; default: $REGISTRY_AUTH_FILE, else podman's, else docker's",
    )
    parser.add_argument(
        "--creds",
        metavar="USER:PASSWORD|env://NAME",
        help="what to log in to the image's registry with, or the variable that has it",
    )
    parser.add_argument(
        "--registry-token",
        metavar="TOKEN|env://NAME",
        help="the bearer token for the image's registry, or the variable that has it",
    )
    parser.add_argument("--cert-dir", metavar="DIR", help="*.crt, *.cert and *.key for the registry")
    parser.add_argument(
        "--tls-verify",
        type=_boolean,
        metavar="true|false",
        help="whether registries' certificates count; default: what registries.conf says, else true",
    )
    parser.add_argument(
        "--allow-private-addresses",
        action="store_true",
        help="let a registry on a public address send to token servers and storage on addresses of this machine or its network",
    )
    parser.add_argument(
        "--registries-conf",
        metavar="FILE",
        help="mirrors, prefixes and blocked registries; default: $CONTAINERS_REGISTRIES_CONF, else the user's, else the system's",
    )


def access_of(arguments: argparse.Namespace, name: str) -> Access:
    """Return how the arguments of `add_access` have registries reached; as one that is alone, where there are none.

    For an image that is in no registry, no registries.conf is read: a broken one is no reason not to look into a file.

    Raises:
        WrongUse: credentials make no sense, or the variable that shall have them is not set.
        InvalidReference: the name is none.
        InvalidAccess: a file that is named cannot be used.
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
    for path in (arguments.authfile, arguments.registries_conf, arguments.cert_dir):
        if path and not Path(path).exists():
            raise InvalidAccess("expected what was named to be there, it is not", where=path)
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


def _secret(text: str, option: str, environment: Mapping[str, str]) -> str:
    """Return what an option says, or the variable that it names."""
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
    """Add where is kept what was found out of layers."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--cache",
        metavar="DIR|URL",
        help="where to keep what was found out of layers and images; default: $COSINSPECT_CACHE, else "
        "$XDG_CACHE_HOME/cosinspect, else ~/.cache/cosinspect",
    )
    place.add_argument("--no-cache", action="store_true", help="keep nothing, and use nothing that was kept")


def cache_of(arguments: argparse.Namespace) -> Cache | None:
    """Return the cache that the arguments of `add_cache` ask for, None for none.

    Raises:
        InvalidCache: the place that they name cannot be used as one.
    """
    store = store_of(arguments)
    return Cache(store) if store is not None else None


def store_of(arguments: argparse.Namespace) -> Store | None:
    """Return where the cache is that the arguments of `add_cache` ask for, None for none.

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
    """Open a cache that is elsewhere, with the usual place in front of it."""
    path = arguments.cache.removeprefix("file://")
    if path != arguments.cache:
        return open_directory(Path(path), trusted=True)
    try:
        # Loaded by its name: few need it, and the extra may be missing.
        module = import_module("cosinspect.cache.shared")
    except ImportError as fault:
        raise InvalidCache(
            "expected the package fsspec for a cache by URL, it is not installed",
            remedy="pip install 'cosinspect[cache]'",
        ) from fault
    local = open_directory(Path(arguments.cache_home, "cosinspect"), trusted=False)
    store: Store = module.open_shared(arguments.cache, local)
    return store


def add_verification(parser: argparse.ArgumentParser) -> None:
    """Add what turns the costlier half of verification off."""
    parser.add_argument(
        "--no-diff-ids",
        action="store_true",
        help="do not verify what layers inflate to; their blobs are always verified",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add whether less than whole layers may be read."""
    parser.add_argument(
        "--trust-toc",
        action="store_true",
        help="believe the tables of contents of eStargz and zstd:chunked layers, and fetch little more than them; what comes "
        "of it is provisional",
    )
    parser.add_argument(
        "--verify",
        choices=("full",),
        help="full: read every layer to its end and verify it, which is the default",
    )


def trusts_tables(arguments: argparse.Namespace) -> bool:
    """Return whether the arguments of `add_trust` allow for less than whole layers.

    Raises:
        WrongUse: they say both.
    """
    if arguments.verify == "full" and arguments.trust_toc:
        raise WrongUse("--verify full and --trust-toc exclude each other")
    trusted: bool = arguments.trust_toc
    return trusted


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """Add what bounds the work."""
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_LIMITS.seconds,
        metavar="SECONDS",
        help=f"give up after so many; default: {DEFAULT_LIMITS.seconds:g}",
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=JOBS,
        metavar="N",
        help=f"read so many layers side by side, each over a connection of its own; default: {JOBS}",
    )


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MOST_JOBS and len(text) < 4):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MOST_JOBS}, found {text[:20]!r}")
    return int(text)


def limits_of(arguments: argparse.Namespace) -> Limits:
    """Return the bounds that the arguments of `add_bounds` ask for."""
    return evolve(DEFAULT_LIMITS, seconds=arguments.timeout)


def add_presentation(parser: argparse.ArgumentParser) -> None:
    """Add what a terminal is spared of."""
    parser.add_argument("--no-color", action="store_true", help="no colours; NO_COLOR does the same")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="nothing on standard error but errors")
    amount.add_argument(
        "-v", "--verbose", action="store_true", help="each request on standard error, without secrets"
    )


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add what is required of an image, and where its report goes."""
    parser.add_argument(
        "--semantics",
        type=semantics_list,
        metavar="A[,B...]",
        help="whose readings of the layers count, the report being on the first; default: the profile's, which is "
        "oci,overlay,elemental unless it says otherwise",
    )
    add_profile(parser)
    parser.add_argument(
        "--format",
        choices=tuple(RENDERERS),
        help=f"{', '.join(RENDERERS)}; default: what the output's name ends in means, else text",
    )
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        metavar="[FORMAT=]FILE",
        help="write the report there, - is standard output; may be given again: -o - -o sarif=os.sarif",
    )


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add what is required of an image."""
    parser.add_argument(
        "--profile",
        default="auto",
        metavar="NAME|FILE",
        help=f"what to require: {', '.join(BUILTIN)}, or a TOML file; default: auto, which goes by the image",
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="FILE",
        help="what to require beyond the profile, and what is accepted, in TOML; may be given again",
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="the manifest by which an ISO is made of the image (luet-makeiso, elemental build-iso): where it has kernel and initrd",
    )


def add_semantics(parser: argparse.ArgumentParser) -> None:
    """Add the choice of whose reading of the layers is shown."""
    names = [each.value for each in Semantics]
    parser.add_argument(
        "--semantics",
        type=_reading,
        default=Semantics.OCI,
        metavar="|".join(names),
        help="whose reading of the layers: the specification's, a node's with overlayfs, or what elemental writes "
        "to disk; default: oci",
    )


def _reading(text: str) -> Semantics:
    found = semantics_list(text)
    if len(found) > 1:
        raise argparse.ArgumentTypeError(f"expected one reading, found {text[:60]!r}")
    return found[0]


def semantics_list(text: str) -> tuple[Semantics, ...]:
    """Parse names of semantics with commas between them, for argparse."""
    try:
        return tuple(dict.fromkeys(Semantics(name.strip()) for name in text.split(",")))
    except ValueError as fault:
        names = ", ".join(each.value for each in Semantics)
        raise argparse.ArgumentTypeError(f"expected names out of {names}, found {text[:60]!r}") from fault


def add_format(parser: argparse.ArgumentParser, *, json: str = "JSON for programs") -> None:
    """Add the choice between text and JSON."""
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help=f"text for people, {json}; default: text"
    )


def _platform(text: str) -> Platform:
    try:
        return Platform.parse(text)
    except CosinspectError as fault:
        raise argparse.ArgumentTypeError(fault.message) from fault


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # nan neither
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, found {text!r}")
    return seconds


def open_named(name: str, arguments: argparse.Namespace, *, restartable: bool = True) -> Image:
    """Open an image as the arguments of `add_image` say.

    Args:
        name: of the image.
        arguments: those of `add_image`.
        restartable: whether the contents of files may be asked for that were not kept.

    Raises:
        CosinspectError: the image cannot be had.
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
    """Open the image that the arguments name and merge its layers, with progress for people.

    Args:
        arguments: those of `add_image`.
        terminal: where progress goes.
        retain: globs of files to keep while layers pass by.
        restartable: whether the contents of other files may be asked for.

    Raises:
        CosinspectError: the image cannot be had.
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
    """Look at a path that the user asked for.

    Raises:
        NotInImage: it cannot be used as asked.
    """
    try:
        return look(path)
    except RootfsError as fault:
        raise NotInImage(str(fault)) from fault
