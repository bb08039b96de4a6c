"""The server's configuration: TOML in, a `Configuration` out, or every mistake with its position."""

from __future__ import annotations

import contextlib
import enum
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from attrs import frozen

from cosinspect.errors import CosinspectError, InvalidConfiguration
from cosinspect.globs import name_matches
from cosinspect.kubernetes_images import ImageField
from cosinspect.mistakes import Key, Mistakes
from cosinspect.oci.reference import Reference
from cosinspect.server.postgresql_store import is_postgresql
from cosinspect.server.spellings import (
    check_address,
    check_addresses,
    check_hosts,
    check_path,
    check_paths,
    check_platform,
    parse_document,
    read_text,
)

__all__ = [
    "Admission",
    "AdmissionRule",
    "Configuration",
    "Guarded",
    "Harbor",
    "Inspections",
    "Listen",
    "Mode",
    "Otherwise",
    "load_configuration",
    "parse_configuration",
    "read_document",
]

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]


class Mode(enum.Enum):
    """The effect of a rule on its images."""

    ENFORCE = "enforce"
    """The image is refused unless it passes."""
    WARN = "warn"
    """The image is admitted, with a warning if it does not pass."""
    SKIP = "skip"
    """The image is admitted without an inspection."""


class Otherwise(enum.Enum):
    """The decision about an image that has no verdict, or that no rule matches."""

    DENY = "deny"
    ADMIT = "admit"


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address of the server, its certificate, and its bounds for clients.

    Attributes:
        address: host and port.
        certificate: PEM file with the certificate and its chain; read again when it changes.
        key: PEM file with its key.
        client_ca: PEM file of certificate authorities; only clients with a certificate of one of them are accepted.
        plain_http: no TLS at all, for a proxy on the same machine.
        connections: the most clients at once; further ones are asked to retry.
        client_seconds: the time in which a client must send a request.
        body_bytes: the largest request.
        grace_seconds: the time from SIGTERM to the end of the process, at most.
    """

    address: str = "0.0.0.0:8443"
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    plain_http: bool = False
    connections: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 512
    client_seconds: _Seconds = 10.0
    body_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 8 * 1024 * 1024
    grace_seconds: _Seconds = 20.0

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 for any free port."""
        return int(self.address.rpartition(":")[2])


class Inspections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of inspections, and the stores of verdicts and layers.

    Attributes:
        database: file of the verdicts, which is created if needed, or an address of PostgreSQL, which several servers can share.
        cache: directory or URL of the cache of layers; None without a cache.
        workers: the number of processes that inspect.
        queue: the most images that wait; requests for further ones are asked to retry.
        seconds: the time limit of an inspection.
        platform: the platform that is selected from an index; None for that of the server's machine.
        tag_seconds: how long the digest of a tag is remembered; 0 asks the registry each time.
        retry_seconds: how long an undecided image is not inspected again.
        keep: the number of verdicts that are kept; the oldest are deleted first.
        plain_http: registries that are accessed without TLS, besides localhost.
        private_addresses: whether a registry on a public address may refer to token servers and storage on addresses of the
            server's own network.
    """

    database: str = "verdicts.sqlite"
    cache: str | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    queue: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 256
    seconds: _Seconds = 600.0
    platform: str | None = None
    tag_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 5.0
    retry_seconds: _Seconds = 10.0
    keep: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 100_000
    plain_http: tuple[str, ...] = ()
    private_addresses: bool = False


class Admission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decisions about images without a verdict. An image is admitted only if the configuration says so.

    Attributes:
        seconds: the time limit of requests that state none, such as Gatekeeper's; below the 2 s of a Provider and the 3 s of
            Gatekeeper's own webhook.
        pending: for an image that is still being inspected.
        undecided: for an image that cannot be decided: unreachable, damaged, or with an open verdict.
        unmatched: for an image that no rule matches.
        unlisted: for an object of a kind whose paths of images are unknown.
        unresolved: for an image without a known tag, as in a Plan that follows a channel, under a rule that enforces.
    """

    seconds: _Seconds = 1.5
    pending: Otherwise = Otherwise.DENY
    undecided: Otherwise = Otherwise.DENY
    unmatched: Otherwise = Otherwise.DENY
    unlisted: Otherwise = Otherwise.DENY
    unresolved: Otherwise = Otherwise.DENY


class AdmissionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, eq=False, weakref=True):
    """A rule: the images that it matches, and its requirements. The first rule that matches counts.

    Rules are compared by identity: the files that a rule names may change, so an equal rule of a later configuration
    is a different rule.

    Attributes:
        name: in the log and the metrics; by default the rule's place, such as `rules[0]`.
        registries: globs of hosts, `*` for any.
        repositories: globs of repositories below the host.
        namespaces: globs of namespaces; an image that is requested without a namespace matches only `*`.
        mode: the effect on these images.
        profile: a builtin profile's name, or the path of a TOML file.
        policies: paths of TOML files.
        verify_keys: PEM files; one of these keys must have signed the image.
        attestation_keys: PEM files; if one of these keys attested a verdict by the same rules, the image is not inspected.
    """

    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    registries: tuple[str, ...] = ("*",)
    repositories: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)
    mode: Mode = Mode.ENFORCE
    profile: str = "auto"
    policies: tuple[str, ...] = ()
    verify_keys: tuple[str, ...] = ()
    attestation_keys: tuple[str, ...] = ()

    def fits(self, reference: Reference, namespace: str) -> bool:
        """Return whether the rule matches an image."""
        return self.names(reference) and any(name_matches(namespace, each) for each in self.namespaces)

    def names(self, reference: Reference) -> bool:
        """Return whether the rule matches an image in some namespace, by its normal name."""
        normal = reference.normal
        return any(name_matches(normal.registry, _host_glob(each)) for each in self.registries) and any(
            name_matches(normal.repository, each) for each in self.repositories
        )


@lru_cache(maxsize=1024)
def _host_glob(glob: str) -> str:
    """Return a glob of hosts in the form of `Reference.normal`."""
    if "." in glob or ":" in glob:  # a word alone is no host
        with contextlib.suppress(CosinspectError):
            return Reference.parse(f"{glob}/os").normal.registry
    return glob.lower().removesuffix(":443")


class _WireKind(msgspec.Struct):
    kind: Annotated[str, msgspec.Meta(min_length=1)]
    images: Annotated[list[str], msgspec.Meta(min_length=1)]
    group: str = ""
    tag: str | None = None


class Guarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A protocol that is served only if the configuration has its table.

    Attributes:
        token_file: file with the token that requests must have; None if they need none.
    """

    token_file: str | None = None


class Harbor(Guarded, frozen=True, forbid_unknown_fields=True):
    """The configuration of the Harbor that uses this scanner.

    Attributes:
        addresses: Harbor's addresses of its registry, each with the host that rules use.
    """

    addresses: dict[str, str] = {}


class _WireTop(msgspec.Struct):
    listen: Any = None
    inspections: Any = None
    admission: Any = None
    notifications: Any = None
    harbor: Any = None
    kinds: Any = None
    rules: Any = None


_TABLES = frozenset(_WireTop.__struct_fields__)
_RELATIVE = "a path is relative to the configuration's directory"


@frozen
class Configuration:
    """The configuration of a server.

    Attributes:
        listen: its address and certificate.
        inspections: the bounds of inspections, and the stores.
        admission: the decisions about images without a verdict.
        rules: in order; there is at least one.
        kinds: the paths of images in further kinds of objects.
        notifications: of registries; None if they are not accepted.
        harbor: the scanner of Harbor; None if it is not served.
    """

    listen: Listen
    inspections: Inspections
    admission: Admission
    rules: tuple[AdmissionRule, ...]
    kinds: tuple[ImageField, ...] = ()
    notifications: Guarded | None = None
    harbor: Harbor | None = None

    def rule(self, reference: Reference, namespace: str = "") -> AdmissionRule | None:
        """Return the first rule that matches, None if none does."""
        return next((each for each in self.rules if each.fits(reference, namespace)), None)

    def enforces(self, namespace: str) -> bool:
        """Return whether any image could be refused in a namespace."""
        if self.admission.unmatched is Otherwise.DENY:
            return True
        fitting = (
            each for each in self.rules if any(name_matches(namespace, glob) for glob in each.namespaces)
        )
        return any(each.mode is Mode.ENFORCE for each in fitting)


def load_configuration(path: str | os.PathLike[str]) -> Configuration:
    """Read a server's configuration; relative paths in it start at its directory.

    Raises:
        InvalidConfiguration: it cannot be read, or has mistakes; the message has every mistake with its line and key.
    """
    return parse_configuration(read_text(path), where=str(path), directory=Path(path).parent)


def parse_configuration(text: str, *, where: str = "configuration", directory: Path) -> Configuration:
    """Read a server's configuration from text.

    Args:
        text: TOML.
        where: its name in messages.
        directory: the start of relative paths in it.

    Raises:
        InvalidConfiguration: as `load_configuration`.
    """
    mistakes = Mistakes.of(where, text, InvalidConfiguration)
    found = read_document(parse_document(text, where), mistakes, directory)
    mistakes.end()
    assert found is not None  # noqa: S101 - what is None was a mistake
    return found


def read_document(
    document: dict[str, Any], mistakes: Mistakes, directory: Path, *, thorough: bool = False
) -> Configuration | None:
    """Read a configuration from a document; return None if it has mistakes, which are noted.

    Args:
        document: the TOML.
        mistakes: collects the mistakes.
        directory: the start of relative paths.
        thorough: whether a table with a mistake is searched for more, which may have the same cause.
    """
    given = {name: value for name, value in document.items() if name in _TABLES}
    for name in document.keys() - given.keys():
        mistakes.convert(_WireTop, {name: document[name]}, ())
    reader = _Reader(mistakes, directory, thorough)
    listen = reader.listen(given.get("listen", {}))
    inspections = reader.inspections(given.get("inspections", {}))
    admission = mistakes.convert(Admission, given.get("admission", {}), ("admission",))
    rules = [reader.rule(value, number) for number, value in enumerate(reader.tables(given, "rules"))]
    kinds = [reader.kind(value, number) for number, value in enumerate(reader.tables(given, "kinds"))]
    notifications = reader.guarded(Guarded, given.get("notifications"), "notifications")
    harbor = reader.guarded(Harbor, given.get("harbor"), "harbor")
    if not given.get("rules", []):
        mistakes.add(("rules",), "expected at least one rule: without any, no image is admitted")
    if listen is None or inspections is None or admission is None:
        return None
    return Configuration(
        listen,
        inspections,
        admission,
        tuple(rule for rule in rules if rule is not None),
        tuple(field for fields in kinds for field in fields),
        notifications,
        harbor,
    )


_GuardedKind = TypeVar("_GuardedKind", bound=Guarded)


@frozen
class _Reader:
    """Reads the tables of one configuration."""

    mistakes: Mistakes
    directory: Path
    thorough: bool

    def tables(self, document: dict[str, Any], name: str) -> list[Any]:
        """Return the tables of an array."""
        value = document.get(name, [])
        if isinstance(value, list):
            return value
        self.mistakes.add((name,), f"expected an array of tables, which begin with [[{name}]]")
        return []

    def file(self, name: str | None, key: Key, *, there: bool = True) -> str | None:
        """Return the path of a file, which must exist."""
        if name is None:
            return None
        path = self.directory / name
        try:
            if there and not path.is_file():
                what = "this is a directory" if path.is_dir() else "there is none"
                self.mistakes.add(key, f"expected a file, {what}: {path}; {_RELATIVE}")
            if not there and not path.parent.is_dir():
                self.mistakes.add(
                    key,
                    f"expected a file in an existing directory, there is no {path.parent}; make the directory",
                )
            if not there and path.is_dir():
                self.mistakes.add(key, f"expected a file or nothing, this is a directory: {path}")
        except ValueError:  # a NUL
            self.mistakes.add(key, f"expected the name of a file, found {name[:60]!r}")
        return str(path)

    def files(self, value: object, names: tuple[str, ...], key: Key) -> dict[str, Any]:
        """Return the paths of the files that a table names, even if it has mistakes."""
        found: dict[str, Any] = {}
        for name in names:
            given = value.get(name) if isinstance(value, dict) else None
            if isinstance(given, str):
                found[name] = self.file(given, (*key, name))
            elif isinstance(given, list) and all(isinstance(each, str) for each in given):
                found[name] = tuple(str(self.file(each, (*key, name))) for each in given)
        return found

    def listen(self, value: object) -> Listen | None:
        found = self.mistakes.convert(Listen, value, ("listen",), {"address": check_address})
        if found is None and not self.thorough:
            return None
        files = self.files(value, ("certificate", "key", "client_ca"), ("listen",))
        given = value if isinstance(value, dict) else {}
        plain = given.get("plain_http") is True
        if ("certificate" in given) != ("key" in given):
            self.mistakes.add(("listen",), "expected certificate and key together; give both")
        elif plain == ("certificate" in given):
            self.mistakes.add(
                ("listen",),
                "expected either certificate and key, or plain_http = true for a proxy that has them",
            )
        if plain and "client_ca" in given:
            self.mistakes.add(
                ("listen", "client_ca"),
                "expected TLS, because clients show certificates only with TLS; remove plain_http or client_ca",
            )
        return msgspec.structs.replace(found, **files) if found is not None else None

    def inspections(self, value: object) -> Inspections | None:
        key = ("inspections",)
        found = self.mistakes.convert(
            Inspections, value, key, {"platform": check_platform, "plain_http": check_hosts}
        )
        if found is None and not self.thorough:
            return None
        given = value if isinstance(value, dict) else {}
        name = given.get("database", Inspections().database)
        database: str | None = name if isinstance(name, str) else None
        if database is not None and not is_postgresql(database):
            database = self.file(database, (*key, "database"), there=False)
        if found is None:
            return None
        cache = found.cache
        if cache is not None and "://" not in cache:
            cache = str(self.directory / cache)
        return msgspec.structs.replace(found, database=database, cache=cache)

    def rule(self, value: object, number: int) -> AdmissionRule | None:
        key = ("rules", number)
        found = self.mistakes.convert(AdmissionRule, value, key)
        if found is None and not self.thorough:
            return None
        given = value if isinstance(value, dict) else {}
        for name in ("registries", "repositories", "namespaces"):
            if given.get(name) == []:
                self.mistakes.add((*key, name), 'expected at least one glob, such as "*"')
        profile = given.get("profile", "")
        files = self.files(value, ("policies", "verify_keys", "attestation_keys"), key)
        if isinstance(profile, str) and profile.endswith(".toml"):
            files |= self.files(value, ("profile",), key)
        if found is None:
            return None
        return msgspec.structs.replace(found, name=found.name or f"rules[{number}]", **files)

    def guarded(self, kind: type[_GuardedKind], value: object, name: str) -> _GuardedKind | None:
        parsers = {"addresses": check_addresses} if kind is Harbor else None
        if value is None:
            return None
        found = self.mistakes.convert(kind, value, (name,), parsers)
        if found is None and not self.thorough:
            return None
        files = self.files(value, ("token_file",), (name,))
        return msgspec.structs.replace(found, **files) if found is not None else None

    def kind(self, value: object, number: int) -> tuple[ImageField, ...]:
        key = ("kinds", number)
        found = self.mistakes.convert(_WireKind, value, key, {"images": check_paths, "tag": check_path})
        if found is None:
            return ()
        return tuple(ImageField(found.group, found.kind, each, found.tag) for each in found.images)
