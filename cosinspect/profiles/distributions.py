"""Distributions: how their package managers are called, and which package brings what. Data, in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache

import msgspec

from cosinspect.errors import InvalidProfile
from cosinspect.globs import name_matches
from cosinspect.profiles.tables import resource_text
from cosinspect.wire_types import ready

__all__ = ["Component", "Distributions", "PackageFamily", "distributions", "read_distributions"]


class PackageFamily(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Distributions with one package manager and one naming of packages.

    Attributes:
        ids: the values of ID and ID_LIKE in os-release.
        programs: paths of the package manager in an image.
        words: its name as build steps call it.
        install: the command that installs packages.
        reinstall: the command that writes the files of installed packages again.
        architectures: the architecture in the names of packages, by the word of the image specification.
    """

    ids: tuple[str, ...]
    programs: tuple[str, ...]
    words: tuple[str, ...]
    install: str
    reinstall: str
    architectures: dict[str, str]


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one package of most distributions brings.

    Attributes:
        commands: the names of its commands.
        paths: globs of the ends of its other paths.
        suse: its packages there, separated by blanks; None if they have the component's name, "" if there are none.
        fedora: the same.
        debian: the same.
        ubuntu: the same.
        alpine: the same.
    """

    commands: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    suse: str | None = None
    fedora: str | None = None
    debian: str | None = None
    ubuntu: str | None = None
    alpine: str | None = None


class Distributions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Families and components, by name."""

    families: dict[str, PackageFamily]
    components: dict[str, Component]

    def family(self, ids: Iterable[str]) -> str | None:
        """Return the name of the family with one of the values of ID and ID_LIKE, the first that is known."""
        return next(
            (name for each in ids for name, family in self.families.items() if each in family.ids), None
        )

    def component(self, name: str) -> str | None:
        """Return the component that brings a command or a path, None if the table has none."""
        if not name.startswith("/"):
            return next((each for each, found in self.components.items() if name in found.commands), None)
        for each, found in self.components.items():
            if any(name_matches(name, f"*{pattern}") for pattern in found.paths):
                return each
        return self.component(name.rpartition("/")[2]) if "bin/" in name else None

    def packages(self, family: str, component: str, architecture: str) -> tuple[str, ...]:
        """Return the packages of a component; empty if the distribution has none, or its word for the architecture is unknown."""
        found = self.components.get(component)
        if found is None:
            return ()
        named = getattr(found, family)
        words = self.families[family].architectures
        text = component if named is None else named
        if "{arch}" in text and architecture not in words:
            return ()
        return tuple(text.replace("{arch}", words.get(architecture, "")).split())


def read_distributions(text: str) -> Distributions:
    """Read the table from TOML.

    Raises:
        InvalidProfile: it is malformed.
    """
    try:
        return msgspec.convert(tomllib.loads(text), ready(Distributions))
    except (ValueError, msgspec.ValidationError, RecursionError) as fault:
        raise InvalidProfile(
            f"the table of distributions is malformed: {fault}", where="distributions.toml"
        ) from fault


@cache
def distributions() -> Distributions:
    """Return the table that comes with this package."""
    return read_distributions(resource_text("distributions.toml"))
