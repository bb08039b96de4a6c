"""The server's configuration: TOML in, a `Configuration` out, or every mistake in it with its place."""

from __future__ import annotations

import enum
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from attrs import frozen

from cosinspect.errors import CosinspectError, InvalidConfiguration
from cosinspect.globs import name_matches
from cosinspect.kubernetes_images import ImageField, path_of
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import Reference
from cosinspect.policy.mistakes import Key, Mistakes

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
]

_MAX_BYTES = 1024 * 1024
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
        grace_seconds: what is in hand at the end may take so long.
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
        database: file of the verdicts; made if it is not there.
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
    listen: dict[str, Any] = {}
    inspections: dict[str, Any] = {}
    admission: dict[str, Any] = {}
    notifications: dict[str, Any] | None = None
    harbor: dict[str, Any] | None = None
    kinds: list[Any] = []
    rules: list[Any] = []


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
    file = Path(path)
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        reason = fault.strerror if isinstance(fault, OSError) else None
        raise InvalidConfiguration(
            f"the configuration cannot be read: {reason or fault}", where=str(path)
        ) from fault
    if len(raw) > _MAX_BYTES:
        raise InvalidConfiguration(f"expected at most {_MAX_BYTES} bytes", where=str(path))
    try:
        return parse_configuration(raw.decode(), where=str(path), directory=file.parent)
    except UnicodeDecodeError as fault:
        raise InvalidConfiguration("the configuration is not UTF-8", where=str(path)) from fault


def parse_configuration(text: str, *, where: str = "configuration", directory: Path) -> Configuration:
    """Read a server's configuration from text.

    Args:
        text: TOML.
        where: its name in messages.
        directory: what relative paths in it are relative to.

    Raises:
        InvalidConfiguration: as `load_configuration`.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        raise InvalidConfiguration(f"expected TOML: {fault}", where=where) from fault
    mistakes = Mistakes.of(where, text, InvalidConfiguration)
    top = mistakes.convert(_WireTop, document, ()) or _WireTop()
    reader = _Reader(mistakes, directory)
    listen = reader.listen(top.listen)
    inspections = reader.inspections(top.inspections)
    admission = mistakes.convert(Admission, top.admission, ("admission",))
    rules = tuple(reader.rule(value, number) for number, value in enumerate(top.rules))
    kinds = tuple(field for number, value in enumerate(top.kinds) for field in reader.kind(value, number))
    notifications = reader.guarded(Guarded, top.notifications, "notifications")
    harbor = reader.guarded(Harbor, top.harbor, "harbor")
    if not top.rules:
        mistakes.add(("rules",), "expected at least one rule: without any, no image is admitted")
    mistakes.end()
    assert listen is not None  # noqa: S101 - what is None was a mistake
    assert inspections is not None  # noqa: S101
    assert admission is not None  # noqa: S101
    return Configuration(
        listen,
        inspections,
        admission,
        tuple(rule for rule in rules if rule is not None),
        kinds,
        notifications,
        harbor,
    )


_GuardedKind = TypeVar("_GuardedKind", bound=Guarded)


@frozen
class _Reader:
    """Reads the tables of one configuration."""

    mistakes: Mistakes
    directory: Path

    def file(self, name: str | None, key: Key, *, there: bool = True) -> str | None:
        """Return the path of what is named, which must be there."""
        if name is None:
            return None
        path = self.directory / name
        if there and not path.is_file():
            self.mistakes.add(key, f"expected a file, there is none: {path}")
        if not there and not path.parent.is_dir():
            self.mistakes.add(key, f"expected a place for a file, there is no {path.parent}")
        return str(path)

    def listen(self, value: object) -> Listen | None:
        found = self.mistakes.convert(Listen, value, ("listen",), {"address": _address})
        if found is None:
            return None
        if found.plain_http == (found.certificate is not None):
            self.mistakes.add(
                ("listen",),
                "expected either certificate and key, or plain_http = true for a proxy that has them",
            )
        if (found.certificate is None) != (found.key is None):
            self.mistakes.add(("listen",), "expected certificate and key together")
        files = {
            name: self.file(getattr(found, name), ("listen", name))
            for name in ("certificate", "key", "client_ca")
        }
        return msgspec.structs.replace(found, **files)

    def inspections(self, value: object) -> Inspections | None:
        found = self.mistakes.convert(Inspections, value, ("inspections",), {"platform": _platform})
        if found is None:
            return None
        database = self.file(found.database, ("inspections", "database"), there=False)
        cache = found.cache
        if cache is not None and "://" not in cache:
            cache = str(self.directory / cache)
        return msgspec.structs.replace(found, database=database, cache=cache)

    def rule(self, value: object, number: int) -> AdmissionRule | None:
        key = ("rules", number)
        found = self.mistakes.convert(AdmissionRule, value, key)
        if found is None:
            return None
        for name in ("registries", "repositories", "namespaces"):
            if not getattr(found, name):
                self.mistakes.add((*key, name), 'expected at least one glob, such as "*"')
        profile = found.profile
        if profile.endswith(".toml"):
            profile = str(self.file(profile, (*key, "profile")))
        lists = {
            name: tuple(str(self.file(each, (*key, name))) for each in getattr(found, name))
            for name in ("policies", "verify_keys", "attestation_keys")
        }
        name = found.name or f"rules[{number}]"
        return msgspec.structs.replace(found, name=name, profile=profile, **lists)

    def guarded(self, kind: type[_GuardedKind], value: object, name: str) -> _GuardedKind | None:
        parsers = {"addresses": _addresses} if kind is Harbor else None
        found = self.mistakes.convert(kind, value, (name,), parsers) if value is not None else None
        if found is None:
            return None
        return msgspec.structs.replace(found, token_file=self.file(found.token_file, (name, "token_file")))

    def kind(self, value: object, number: int) -> tuple[ImageField, ...]:
        key = ("kinds", number)
        found = self.mistakes.convert(_WireKind, value, key, {"images": _paths, "tag": _path})
        if found is None:
            return ()
        return tuple(ImageField(found.group, found.kind, each, found.tag) for each in found.images)


def _address(text: str) -> None:
    host, colon, port = text.rpartition(":")
    if not host or not colon or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise ValueError(f"expected HOST:PORT, found {text[:60]!r}")


def _addresses(addresses: dict[str, str]) -> None:
    for host in (*addresses, *addresses.values()):
        try:
            Reference.parse(f"{host if ':' in host else f'{host}:443'}/os")
        except CosinspectError as fault:
            raise ValueError(
                f"expected a host with an optional port such as core:8080, found {host[:60]!r}"
            ) from fault


def _platform(text: str | None) -> None:
    try:
        _ = Platform.parse(text) if text is not None else None
    except CosinspectError as fault:
        raise ValueError(fault.message) from fault


def _path(text: str | None) -> None:
    if text is not None:
        path_of(text)


def _paths(texts: list[str]) -> None:
    for text in texts:
        path_of(text)
