"""Where images come from: prefixes, other locations, mirrors, and what is blocked.

Follows containers-registries.conf(5), version 2. The longest prefix counts; `*.example.com` matches every
host below. The later of two files counts for a prefix. Names without a registry mean Docker Hub, as for
skopeo and docker; if the configuration makes podman use another registry, they are refused, because the
intended image is unknown.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from attrs import field, frozen

from cosinspect.errors import InvalidAccess, InvalidReference
from cosinspect.oci.reference import Reference
from cosinspect.wire_types import ready

__all__ = ["Endpoint", "Mirror", "RegistriesConf", "RegistryRule", "load_registries_conf"]

_MAX_BYTES = 1024 * 1024
_VERSION_1 = re.compile(r"registries\.(search|insecure|block)")

Pull = Literal["all", "digest-only", "tag-only"]


@frozen
class Endpoint:
    """A place to try.

    Attributes:
        reference: the image there.
        insecure: whether its certificate counts for nothing, and plain HTTP is good enough.
    """

    reference: Reference
    insecure: bool = False


@frozen
class Mirror:
    """A copy of what is below a prefix.

    Attributes:
        location: host and path that are in the prefix's place.
        insecure: as of an endpoint.
        pull: for which names it is asked.
    """

    location: str
    insecure: bool = False
    pull: Pull = "all"

    def serves(self, reference: Reference) -> bool:
        """Return whether the mirror serves such a name."""
        return self.pull == "all" or (self.pull == "digest-only") == (reference.digest is not None)


@frozen
class RegistryRule:
    """What is said of names below a prefix.

    Attributes:
        prefix: host, or host and path, or `*.host`.
        location: what is in its place; "" for itself.
        insecure: as of an endpoint.
        blocked: whether nothing may come from there.
        mirrors: tried first, in order.
        where: the file that says so.
    """

    prefix: str
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    where: str = ""

    def matches(self, name: str) -> bool:
        """Return whether `host/repository` is below the prefix."""
        if self.prefix.startswith("*."):
            return name.partition("/")[0].partition(":")[0].endswith(self.prefix[1:])
        return name == self.prefix or name.startswith(f"{self.prefix}/")


@frozen
class RegistriesConf:
    """The configuration of all registries.

    Attributes:
        rules: by prefix, each once.
        search: registries in which podman looks for names without one.
        aliases: names without a registry, and their full names.
        where: the files, for messages.
    """

    rules: tuple[RegistryRule, ...] = ()
    search: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(factory=dict, hash=False)
    where: str = ""

    def endpoints(self, reference: Reference) -> tuple[Endpoint, ...]:
        """Return the places to try for an image, in order.

        Raises:
            InvalidAccess: its registry is blocked, or what is in its place makes no name.
        """
        name = f"{reference.registry}/{reference.repository}"
        fitting = [rule for rule in self.rules if rule.matches(name)]
        if not fitting:
            return (Endpoint(reference),)
        rule = max(fitting, key=lambda item: len(item.prefix))
        if rule.blocked:
            raise InvalidAccess(
                f"expected a registry to pull from, {rule.prefix} is blocked",
                where=rule.where,
                remedy="name the image by a registry that is allowed",
            )
        places = [(each.location, each.insecure) for each in rule.mirrors if each.serves(reference)]
        places.append((rule.location, rule.insecure))
        return tuple(
            Endpoint(_moved(reference, name, rule, location), insecure) for location, insecure in places
        )

    def refuse_short(self, text: str) -> None:
        """Refuse a name without a registry if the configuration gives it another meaning than Docker Hub.

        Raises:
            InvalidReference: the configuration gives it another meaning.
        """
        head, slash, _ = text.partition("/")
        if "://" in text or (slash and (any(mark in head for mark in ".:") or head == "localhost")):
            return
        bare = re.split(r"[:@]", text, maxsplit=1)[0]
        hub = ("docker.io", "index.docker.io")
        alias = self.aliases.get(bare)
        meant = alias or next((f"{place}/{bare}" for place in self.search if place not in hub), None)
        if (
            meant is None
            or meant.partition("/")[0] in hub
            or (not alias and self.search[:1] and self.search[0] in hub)
        ):
            return
        raise InvalidReference(
            f"expected a name with its registry: {bare} would be Docker Hub's for docker, and {meant} for podman",
            where=text[:200],
            remedy=f"write it in full: {meant}, or docker.io/{bare if slash else f'library/{bare}'}",
        )


class _WireMirror(msgspec.Struct, rename="kebab"):
    location: str
    insecure: bool = False
    pull_from_mirror: Pull = "all"


class _WireRegistry(msgspec.Struct, rename="kebab"):
    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirror: list[_WireMirror] = []


class _WireConf(msgspec.Struct, rename="kebab"):
    registry: list[_WireRegistry] = []
    unqualified_search_registries: list[str] | None = None
    aliases: dict[str, str] = {}


def load_registries_conf(paths: Iterable[Path]) -> RegistriesConf:
    """Read configuration files; later ones override earlier ones; missing ones are ignored.

    Raises:
        InvalidAccess: a file cannot be read, or is invalid.
    """
    rules: dict[str, RegistryRule] = {}
    search: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    seen = []
    for path in paths:
        wire = _read(path)
        if wire is None:
            continue
        seen.append(str(path))
        for rule in _rules(wire, str(path)):
            rules[rule.prefix] = rule
        if wire.unqualified_search_registries is not None:
            search = tuple(wire.unqualified_search_registries)
        aliases.update(wire.aliases)
    return RegistriesConf(tuple(rules.values()), search, aliases, ", ".join(seen))


def _rules(wire: _WireConf, where: str) -> Iterator[RegistryRule]:
    for each in wire.registry:
        prefix = (each.prefix or each.location).rstrip("/")
        if not prefix:
            raise InvalidAccess("expected a prefix or a location of each registry, found none", where=where)
        if bool(each.location) == prefix.startswith("*."):
            expected = "no location" if each.location else "a location"
            raise InvalidAccess(f"expected {expected} beside the prefix {prefix}", where=where)
        mirrors = tuple(
            Mirror(
                item.location.rstrip("/"),
                item.insecure,
                "digest-only" if each.mirror_by_digest_only else item.pull_from_mirror,
            )
            for item in each.mirror
        )
        yield RegistryRule(prefix, each.location.rstrip("/"), each.insecure, each.blocked, mirrors, where)


def _read(path: Path) -> _WireConf | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise InvalidAccess(f"expected at most {_MAX_BYTES} bytes", where=str(path))
        document = tomllib.loads(raw.decode())
        if any(_VERSION_1.fullmatch(f"registries.{key}") for key in _table(document, "registries")):
            raise InvalidAccess(
                "expected version 2 of registries.conf, found version 1",
                where=str(path),
                remedy="use [[registry]] tables instead of [registries.search] and similar ones",
            )
        return msgspec.convert(document, ready(_WireConf))
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise InvalidAccess(f"expected a file that can be read: {fault.strerror}", where=str(path)) from fault
    except (ValueError, RecursionError) as fault:  # no UTF-8, no TOML, other keys
        raise InvalidAccess(f"expected a registries.conf: {fault}", where=str(path)) from fault


def _table(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _moved(reference: Reference, name: str, rule: RegistryRule, location: str) -> Reference:
    """Return the reference with the prefix replaced."""
    if not location:
        return reference
    rest = name.removeprefix(rule.prefix) if not rule.prefix.startswith("*.") else f"/{reference.repository}"
    tag = f":{reference.tag}" if reference.tag else ""
    digest = f"@{reference.digest}" if reference.digest else ""
    try:
        return Reference.parse(f"{location}{rest}{tag}{digest}")
    except InvalidReference as fault:
        raise InvalidAccess(
            f"expected a location that makes a name, found {location}{rest}: {fault.message}",
            where=rule.where,
        ) from fault
