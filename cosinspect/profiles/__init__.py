"""Profiles: what an image must be able to do, and what each generation of the toolkit keeps where. Data, in TOML.

A profile names the capabilities it requires and may change the level of checks. The generations' tables hold paths
and names, so that one set of checks serves all generations.

It may import `report` and `rootfs`. A new generation is a table in `generations.toml` and a fingerprint.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec
from attrs import evolve, field, frozen

from cosinspect.errors import InvalidProfile
from cosinspect.report.report import Capability, Level
from cosinspect.rootfs.semantics import Semantics
from cosinspect.wire_types import ready

__all__ = [
    "BUILTIN",
    "BootState",
    "BootTable",
    "Generation",
    "InitrdUnit",
    "Profile",
    "generation_tables",
    "load_profile",
    "parse_profile",
    "read_profile",
]

BUILTIN = ("auto", "boot", "bootc", "cos", "kairos")
"""The profiles that come with the package."""

# Kinds of image that are recognised and have no table: nothing of them is where a derivative of cOS has it.
_WITHOUT_TABLE = {"G6": "Elemental 3", "bootc": "bootc", "uki": "UKI artefact"}

# What `auto` chooses; every other image is held against `cos`.
_CHOICES = {"kairos": "kairos", "kairos-trusted": "kairos", "uki": "kairos", "bootc": "bootc"}

_MAX_BYTES = 1024 * 1024

T = TypeVar("T")


class InitrdUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A systemd unit that must be in an initrd, and the link that starts it.

    Attributes:
        unit: its name.
        link: the directory of the link, which bears the unit's name.
        alternatives: directories that do as well: releases of one generation differ.
    """

    unit: str
    link: str
    alternatives: tuple[str, ...] = ()


class BootState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A state that a machine of a generation can start in, and what its menu then does (the toolkit's grub.cfg).

    Files are named `LABEL:/path`, by the label of their file system.

    Attributes:
        name: in words.
        entries: the ids of the menu entry, the first of which the menu has.
        image: the file that holds the image's root, or the directory that is it where that ends in a slash.
        variables: what the menu sets before it reads the file of boot arguments.
        environment: what is in the disk's environment besides what every state has.
        labels: the labels of file systems one of which `root=` must name.
        recovery: whether the recovery system is what is started.
        copied: whether kernel, initrd and boot arguments are read from copies beside the image, not from within it.
        also: further names under which earlier releases have the image's file.
    """

    name: str
    entries: tuple[str, ...]
    image: str
    variables: dict[str, str] = {}
    environment: dict[str, str] = {}
    labels: tuple[str, ...]
    recovery: bool = False
    copied: bool = False
    also: tuple[str, ...] = ()


class BootTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the menu of a generation starts the image.

    Attributes:
        root: the label of the file system that GRUB starts from.
        labels: the labels of the other file systems that a deployment makes, and of the image's own in its states.
        device: the name of the loop device that the menu makes of the image's file.
        bootargs: the files of boot arguments that it reads, in this order; those that are missing are skipped.
        environment: the disk's environment, by variable.
        states: the states; the first is what a machine does that nobody touches.
    """

    root: str
    labels: tuple[str, ...]
    device: str
    bootargs: tuple[str, ...]
    environment: dict[str, str] = {}
    states: tuple[BootState, ...]


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one generation of the toolkit keeps where; paths of the image have a leading slash, of the initrd none.

    Attributes:
        title: the generation in words.
        grub_config: the menu that installation copies to disk, "" where none is.
        grub_config_fallback: the menu that is copied where that is missing, "" for none.
        bootargs: the file that names kernel, initrd and kernel command line, "" where nothing reads one.
        dracut_module: name of the module as dracut lists it, "" where the initrd is not made by dracut.
        dracut_directory: the module in the image.
        dracut_files: its files there.
        dracut_configs: drop-ins under /etc/dracut.conf.d that build the module into an initrd.
        stage_runners: alternatives, each a set of executables that together run the boot stages.
        units: the units that run the stages after the root was switched.
        enabled: the links that start units, as `<target>.wants/<unit>`, or `*/<unit>` where releases differ; empty where they are not known.
        unit_directories: where units may be.
        initrd_files: alternatives of paths, one of each of which must be in the initrd; empty where the image has no initrd.
        initrd_markers: paths that only this generation's initrd has, or one with the same initrd.
        initrd_units: units that must be in the initrd with the links that start them.
        initrd_scripts: the toolkit's own scripts, in the initrd, whose commands must be there too.
        initrd_runners: alternatives of executables that run stages in the initrd.
        layout_file: what a cloud-config writes in the stage `rootfs`, by the end of its path; "" for nothing.
        layout_required: whether the boot fails without it.
        yip: the version of yip that reads cloud-configs, where no program of the image names its own.
        yip_programs: the programs that have it in them.
        active_mode_file: what the initrd writes where the active system is booted, "" where that is not known.
        covered: directories over which an installed machine mounts partitions or memory: what the image has there is not seen.
        kept: directories in which what the machine keeps stands in front of what the image has.
        overlays: directories that are mounted over by default, and whose absence stops the boot.
        kernel_argument: the kernel argument that this generation's initrd acts on.
        grub_tools: the commands that installation and upgrade call, each with the names it is looked for by.
        install_tools: further commands that installation calls, each with the names it is looked for by.
        image_mebibytes: what an image may take: the file system it is copied into, or a third of a state partition of 8192 MiB
            without the 256 MiB that each of its three images has free; 0 where that is not known.
        root_variable: the GRUB variable in `root=LABEL=$...` that its menu sets.
        labels: the labels of the file systems that an installation makes; empty where they are not known.
        packages: `category/name` of the luet packages that make a derivative of it; empty where luet plays no part.
        boot: how its menu starts the image, None where that is not known.
    """

    title: str
    grub_config: str
    grub_config_fallback: str = ""
    bootargs: str
    dracut_module: str
    dracut_directory: str
    dracut_files: tuple[str, ...]
    dracut_configs: tuple[str, ...]
    stage_runners: tuple[tuple[str, ...], ...]
    units: tuple[str, ...]
    enabled: tuple[str, ...] = ()
    unit_directories: tuple[str, ...]
    initrd_files: tuple[tuple[str, ...], ...]
    initrd_markers: tuple[str, ...]
    initrd_units: tuple[InitrdUnit, ...]
    initrd_scripts: tuple[tuple[str, ...], ...]
    initrd_runners: tuple[tuple[str, ...], ...]
    layout_file: str
    layout_required: bool
    yip: str
    yip_programs: tuple[str, ...] = ()
    active_mode_file: str = ""
    covered: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    overlays: tuple[str, ...]
    kernel_argument: str
    grub_tools: tuple[tuple[str, ...], ...]
    install_tools: tuple[tuple[str, ...], ...] = ()
    image_mebibytes: int = 0
    root_variable: str
    labels: tuple[str, ...] = ()
    packages: tuple[str, ...]
    boot: BootTable | None = None


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
        signature_required: whether the image must be signed by somebody who is named when it is inspected.
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
    semantics: tuple[Semantics, ...] = tuple(Semantics)
    accepts: tuple[str, ...] = ()
    choices: Mapping[str, Profile] = field(factory=dict, hash=False, repr=False)

    def choose(self, generation: str) -> Profile:
        """Return the profile for an image: another one only where this is `auto`."""
        return self.choices.get(generation, self.choices.get("", self))

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

    def title(self, generation: str) -> str:
        """Name a generation in words, "" for none."""
        table = self.generations.get(generation)
        return table.title if table is not None else _WITHOUT_TABLE.get(generation, "")


class _WireProfile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    required: list[Capability]
    summary: str = ""
    levels: dict[str, Level] = {}
    signature_required: bool = False
    verified_required: bool = False
    semantics: tuple[Semantics, ...] = tuple(Semantics)
    generations: list[str] = []


def load_profile(name: str) -> Profile:
    """Load a profile by its name, `auto` for the one that suits the image, or from a TOML file whose path contains a slash or ends in `.toml`.

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


@cache
def generation_tables() -> Mapping[str, Generation]:
    """Return what each generation of the toolkit keeps where, by its name."""
    return _convert(_resource("generations.toml"), dict[str, Generation], "generations.toml")


def _load(name: str) -> Profile:
    if name == "auto":
        return _automatic()
    text = read_profile(name)
    return parse_profile(_resource(f"{name}.toml") if text is None else text, name)


def read_profile(name: str) -> str | None:
    """Read the text of a profile that is a file, None for a builtin one.

    Raises:
        InvalidProfile: there is no such file, or no such builtin one.
    """
    if name in BUILTIN:
        return None
    if "/" in name or name.endswith(".toml"):
        return _read(Path(name))
    raise InvalidProfile(
        f"there is no profile {name[:60]!r}",
        remedy=f"use {', '.join(BUILTIN)}, or the path of a TOML file",
    )


def parse_profile(text: str, name: str) -> Profile:
    """Read a profile from TOML.

    Args:
        text: the document.
        name: where it came from, for messages.

    Raises:
        InvalidProfile: it is malformed, or requires nothing.
    """
    wire = _convert(text, _WireProfile, name)
    if not wire.required:
        raise InvalidProfile(
            "the profile requires no capability, so it could only pass",
            where=name,
            remedy="set for example required = ['boot', 'install']",
        )
    if not wire.semantics:
        raise InvalidProfile(
            "the profile names no reading of the layers",
            where=name,
            remedy="leave semantics out, or set for example semantics = ['oci', 'elemental']",
        )
    generations = generation_tables()
    unknown = sorted(set(wire.generations) - {*generations, *_WITHOUT_TABLE})
    if unknown:
        known = ", ".join([*generations, *_WITHOUT_TABLE])
        raise InvalidProfile(
            f"there is no generation {unknown[0][:60]!r}", where=f"{name}, generations", remedy=f"use {known}"
        )
    return Profile(
        wire.name,
        wire.summary,
        tuple(dict.fromkeys(wire.required)),
        wire.levels,
        generations,
        wire.signature_required,
        wire.verified_required,
        tuple(dict.fromkeys(wire.semantics)),
        tuple(dict.fromkeys(wire.generations)),
    )


def _automatic() -> Profile:
    usual = load_profile("cos")
    choices = {generation: load_profile(name) for generation, name in _CHOICES.items()}
    summary = f"The profile that suits the image: {', '.join(dict.fromkeys(_CHOICES.values()))}, or cos."
    return evolve(usual, name="auto", summary=summary, accepts=(), choices={"": usual, **choices})


def _resource(name: str) -> str:
    return (resources.files(__name__) / name).read_text("utf-8")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        reason = fault.strerror if isinstance(fault, OSError) else None
        raise InvalidProfile(f"the profile cannot be read: {reason or fault}", where=str(path)) from fault
    if len(raw) > _MAX_BYTES:
        raise InvalidProfile(f"expected at most {_MAX_BYTES} bytes", where=str(path))
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise InvalidProfile("the profile is not UTF-8", where=str(path)) from fault


def _convert(text: str, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(tomllib.loads(text), ready(kind))
    except (
        ValueError,
        msgspec.ValidationError,
        RecursionError,
    ) as fault:  # ValueError: also a number too long
        raise InvalidProfile(f"the profile is malformed: {fault}", where=where) from fault
