"""A profile: the capabilities that an image must have, and the levels of checks."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec
from attrs import evolve, field, frozen

from cosinspect.errors import InvalidProfile
from cosinspect.mistakes import Mistakes, read_document
from cosinspect.profiles.names import BUILTIN
from cosinspect.profiles.operations import needs_of
from cosinspect.profiles.tables import Family, Generation, generation_tables, resource_text
from cosinspect.report.capabilities import Need
from cosinspect.report.report import Capability, Level
from cosinspect.rootfs.semantics import USUAL, Semantics

__all__ = ["Profile", "load_profile", "parse_profile", "read_profile"]

# The choice of `auto` if no generation is recognised.
_USUAL = "cos"


@frozen
class Profile:
    """What to require of an image.

    Attributes:
        name: for reports.
        summary: in one sentence.
        required: the capabilities an image must have; never empty.
        semantics: whose readings of the layers matter, the first being the one that is reported on.
        levels: levels of checks by id that differ from the checks' own.
        generations: tables by generation.
        signature_required: whether the image must be signed by a signer given for the inspection.
        verified_required: whether a report that rests on less than all layers, read to their ends, may not pass.
        accepts: the generations that it is for; empty for every image.
        choices: profiles that take its place, by the image's generation.
    """

    name: str
    summary: str
    required: tuple[Capability, ...]
    levels: Mapping[str, Level] = field(hash=False)
    generations: Mapping[str, Generation] = field(hash=False, repr=False)
    signature_required: bool = False
    verified_required: bool = False
    semantics: tuple[Semantics, ...] = USUAL
    accepts: tuple[str, ...] = ()
    choices: Mapping[str, Profile] = field(factory=dict, hash=False, repr=False)

    def choose(self, generation: str) -> Profile:
        """Return the profile for an image: another one only if this is `auto`, or if the generation has its own installer.

        The semantics of that installer replaces elemental's, unless the profile names other semantics than
        the default.
        """
        found = self.choices.get(generation, self.choices.get("", self))
        table = found.generations.get(generation)
        if table is None or table.written_as is Semantics.ELEMENTAL or found.semantics != USUAL:
            return found
        own = tuple(table.written_as if each is Semantics.ELEMENTAL else each for each in USUAL)
        return evolve(found, semantics=own)

    def read_as(self, semantics: tuple[Semantics, ...]) -> Profile:
        """Return the same profile with other readings of the layers."""
        choices = {generation: each.read_as(semantics) for generation, each in self.choices.items()}
        return evolve(self, semantics=semantics, choices=choices)

    def extended(self, levels: Mapping[str, Level], required: Iterable[Capability]) -> Profile:
        """Return the same profile with some levels others, and more capabilities required."""
        more = tuple(required)
        return evolve(
            self,
            levels={**self.levels, **levels},
            required=tuple(dict.fromkeys((*self.required, *more))),
            choices={generation: each.extended(levels, more) for generation, each in self.choices.items()},
        )

    def needs(self, generation: str) -> tuple[Need, ...]:
        """Return the rows of the table of operations that hold for a generation."""
        table = self.generations.get(generation)
        return needs_of(generation, *(table.operations if table is not None else ()))

    def title(self, generation: str) -> str:
        """Name a generation in words, "" if there is none."""
        table = self.generations.get(generation)
        return table.title if table is not None else ""


class _WireProfile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    required: list[Capability]
    summary: str = ""
    levels: dict[str, Level] = {}
    signature_required: bool = False
    verified_required: bool = False
    semantics: tuple[Semantics, ...] = USUAL
    generations: list[str] = []
    families: list[Family] = []


def load_profile(name: str) -> Profile:
    """Load a profile by name (`auto` selects by the image), or from a TOML file whose path has a slash or ends with `.toml`.

    Raises:
        InvalidProfile: there is none, it is malformed, or it requires nothing.
    """
    if name in BUILTIN:
        return _builtin(name)
    return _load(name)


@cache
def _builtin(name: str) -> Profile:
    """Load one that comes with the package, once."""
    return _load(name)


def _load(name: str) -> Profile:
    if name == "auto":
        return _automatic()
    text = read_profile(name)
    return parse_profile(resource_text(f"{name}.toml") if text is None else text, name)


def read_profile(name: str) -> str | None:
    """Read the text of a profile that is a file, None for a builtin one.

    Raises:
        InvalidProfile: there is no such file, or no such builtin one.
    """
    if name in BUILTIN:
        return None
    if "/" in name or name.endswith(".toml"):
        return read_document(Path(name), "profile", InvalidProfile)
    raise InvalidProfile(
        f"there is no profile {name[:60]!r}",
        remedy=f"use {', '.join(BUILTIN)}, or the path of a TOML file",
    )


def parse_profile(text: str, name: str) -> Profile:
    """Read a profile from TOML.

    Args:
        text: the document.
        name: the file, for messages.

    Raises:
        InvalidProfile: it is malformed, or requires nothing.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # ValueError: also a number too long
        raise InvalidProfile(f"expected TOML: {fault}", where=name) from fault
    mistakes = Mistakes.of(name, text, InvalidProfile)
    wire = mistakes.convert(_WireProfile, document, ())
    if document.get("required") == []:
        mistakes.add(
            ("required",),
            'expected a capability, found none: the profile could only pass; set for example required = ["boot", "install"]',
        )
    if document.get("semantics") == []:
        mistakes.add(
            ("semantics",),
            "expected a reading of the layers, found none; leave semantics out, or set for example "
            'semantics = ["oci", "elemental"]',
        )
    generations = generation_tables()
    given = document.get("generations")
    for number, unknown in enumerate(given if isinstance(given, list) else ()):
        if isinstance(unknown, str) and unknown not in generations:
            mistakes.add(
                ("generations",),
                f"there is no generation {unknown[:60]!r} (number {number + 1} of the array); use {', '.join(generations)}",
            )
    mistakes.end()
    assert wire is not None  # noqa: S101 - without mistakes there is one
    of_families = [name for name, table in generations.items() if table.family in wire.families]
    return Profile(
        wire.name,
        wire.summary,
        tuple(dict.fromkeys(wire.required)),
        wire.levels,
        generations,
        wire.signature_required,
        wire.verified_required,
        tuple(dict.fromkeys(wire.semantics)),
        tuple(dict.fromkeys((*wire.generations, *of_families))),
    )


def _automatic() -> Profile:
    usual = load_profile(_USUAL)
    named = {name: table.profile for name, table in generation_tables().items() if table.profile != _USUAL}
    choices = {generation: load_profile(name) for generation, name in named.items()}
    summary = f"The profile that suits the image: {', '.join(dict.fromkeys(named.values()))}, or {_USUAL}."
    return evolve(usual, name="auto", summary=summary, accepts=(), choices={"": usual, **choices})
