"""The server's configuration: TOML in, a `Configuration` out, or every mistake in it with its place."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from attrs import frozen

from cosinspect.errors import InvalidConfiguration
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
    """What becomes of an image that a rule fits."""

    ENFORCE = "enforce"
    """It is refused unless it passes."""
    WARN = "warn"
    """It is admitted, with a warning if it does not pass."""
    SKIP = "skip"
    """It is admitted, and not looked at."""


class Otherwise(enum.Enum):
    """What becomes of an image whose verdict is unknown, or that no rule matches."""

    DENY = "deny"
    ADMIT = "admit"


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, and with which certificate.

    Attributes:
        address: host and port.
        certificate: PEM file with the certificate and what it is vouched for by; read again when it changes.
        key: PEM file with its key.
        client_ca: PEM file; only clients with a certificate by one of these are spoken to.
        plain_http: no TLS at all, for a proxy on the same machine.
        connections: clients at once; who comes beyond is told to come again.
        client_seconds: what a client has to send a request.
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
        """The port; 0 for any that is free."""
        return int(self.address.rpartition(":")[2])


class Inspections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How images are inspected, and where verdicts are kept.

    Attributes:
        database: file of the verdicts, made if it is not there, or an address of PostgreSQL, which several servers can share.
        cache: directory or URL of what is known of layers; None for none.
        workers: processes that inspect.
        queue: images that may wait; who comes beyond is told to come again.
        seconds: what one inspection may take.
        platform: which image of an index is meant; None for what the server's machine runs.
        tag_seconds: how long a tag is taken to mean the digest it meant; 0 asks the registry each time.
        retry_seconds: how long an image that could not be decided is not tried again.
        keep: verdicts that are kept, the oldest going first.
        plain_http: registries that are spoken to without TLS, besides localhost.
        private_addresses: whether a registry on a public address may send to token servers and storage on addresses of
            the server's own network.
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
    """What becomes of what cannot be decided. Nothing is admitted here unless it says so in full words.

    Attributes:
        seconds: what a request may take that does not say, as Gatekeeper's do not; below the 2 s that a Provider waits,
            and the 3 s of Gatekeeper's own webhook.
        pending: of an image that is still being inspected.
        undecided: of an image that cannot be decided: unreachable, damaged, or with an open verdict.
        unmatched: of an image that no rule fits.
        unlisted: of an object of a kind of which it is not known where it names images.
        unresolved: of an image whose tag is not known yet, as in a Plan that follows a channel, under a rule that enforces.
    """

    seconds: _Seconds = 1.5
    pending: Otherwise = Otherwise.DENY
    undecided: Otherwise = Otherwise.DENY
    unmatched: Otherwise = Otherwise.DENY
    unlisted: Otherwise = Otherwise.DENY
    unresolved: Otherwise = Otherwise.DENY


class AdmissionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, eq=False, weakref=True):
    """Which images it fits, and what is required of them. The first rule that fits counts.

    Rules are compared by identity: the files that a rule names may change, so an equal rule of a later configuration is another one.

    Attributes:
        name: in the log and the metrics; by default the rule's place, such as `rules[0]`.
        registries: globs of hosts, `*` for any.
        repositories: globs of repositories below the host.
        namespaces: globs of namespaces; an image that is requested outside of any fits only `*`.
        mode: what becomes of them.
        profile: a builtin profile's name, or the path of a TOML file.
        policies: paths of TOML files.
        verify_keys: PEM files; one of these keys must have signed the image.
        attestation_keys: PEM files; what one of these keys attested by the same rules is believed, and the image not inspected.
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
        """Return whether the rule speaks of an image."""
        return self.names(reference) and any(name_matches(namespace, each) for each in self.namespaces)

    def names(self, reference: Reference) -> bool:
        """Return whether the rule is for an image in some namespace, by the one name that all its spellings share."""
        normal = reference.normal
        return any(name_matches(normal.registry, _host_glob(each)) for each in self.registries) and any(
            name_matches(normal.repository, each) for each in self.repositories
        )


def _host_glob(glob: str) -> str:
    """Return a glob of hosts in the form of `Reference.normal`."""
    return glob.lower().removesuffix(":443")


class _WireKind(msgspec.Struct):
    kind: Annotated[str, msgspec.Meta(min_length=1)]
    images: Annotated[list[str], msgspec.Meta(min_length=1)]
    group: str = ""
    tag: str | None = None


class Guarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A protocol that is spoken only where the configuration has its table.

    Attributes:
        token_file: holds the token that requests must bear; None if they need none.
    """

    token_file: str | None = None


class Harbor(Guarded, frozen=True, forbid_unknown_fields=True):
    """What is known of the Harbor that asks.

    Attributes:
        addresses: the addresses that it gives its registry, each with the host that rules know it by.
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
    """Everything a server goes by.

    Attributes:
        listen: where it listens.
        inspections: how images are inspected.
        admission: what becomes of what cannot be decided.
        rules: in order; there is at least one.
        kinds: where further kinds of objects name images.
        notifications: of registries; None if they are not taken.
        harbor: its scanner; None if it is not one.
    """

    listen: Listen
    inspections: Inspections
    admission: Admission
    rules: tuple[AdmissionRule, ...]
    kinds: tuple[ImageField, ...] = ()
    notifications: Guarded | None = None
    harbor: Harbor | None = None

    def rule(self, reference: Reference, namespace: str = "") -> AdmissionRule | None:
        """Return the first rule that fits, None if none does."""
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
    """Read a server's configuration; what it names is looked for beside it.

    Raises:
        InvalidConfiguration: it cannot be read, or is wrong; the message tells every mistake with its line and key.
    """
    return parse_configuration(read_text(path), where=str(path), directory=Path(path).parent)


def parse_configuration(text: str, *, where: str = "configuration", directory: Path) -> Configuration:
    """Read a server's configuration from text.

    Args:
        text: TOML.
        where: its name in messages.
        directory: what relative paths in it are relative to.

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
    """Read a configuration from a document; None where it has mistakes, which are noted.

    Args:
        document: the TOML.
        mistakes: takes what is wrong.
        directory: what relative paths are relative to.
        thorough: whether a table with a mistake is searched for more, which may come of the same.
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
        """Return the path of what is named, which must be there."""
        if name is None:
            return None
        path = self.directory / name
        try:
            if there and not path.is_file():
                what = "this is a directory" if path.is_dir() else "there is none"
                self.mistakes.add(key, f"expected a file, {what}: {path}; {_RELATIVE}")
            if not there and not path.parent.is_dir():
                self.mistakes.add(
                    key, f"expected a place for a file, there is no {path.parent}; make the directory"
                )
            if not there and path.is_dir():
                self.mistakes.add(key, f"expected a file or nothing, this is a directory: {path}")
        except ValueError:  # a NUL
            self.mistakes.add(key, f"expected the name of a file, found {name[:60]!r}")
        return str(path)

    def files(self, value: object, names: tuple[str, ...], key: Key) -> dict[str, Any]:
        """Return the paths of the files that a table names, whatever else is wrong with it."""
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
                "expected TLS, without which clients show no certificate; take plain_http or this out",
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
