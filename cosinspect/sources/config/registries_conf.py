"""Where images come from: prefixes, other locations, mirrors, and what is blocked.

Follows containers-registries.conf(5), version 2. The longest prefix counts; `*.example.com` matches every
host below. The later of two files counts for a prefix. Names without a registry mean Docker Hub, as for
skopeo and docker; if the configuration makes podman use another registry, they are refused, because the
intended image is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from cosinspect.errors import InvalidAccess, InvalidReference
from cosinspect.oci.reference import Reference

__all__ = ["Endpoint", "Mirror", "Pull", "RegistriesConf", "RegistryRule"]

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
        """Refuse a name without a registry if the configuration assigns it another meaning than Docker Hub.

        Raises:
            InvalidReference: the configuration assigns it another meaning.
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
