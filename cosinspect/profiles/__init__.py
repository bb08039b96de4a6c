"""Profiles: what an image must be able to do, and what each generation of the toolkit keeps where. Data, in TOML.

A profile names the capabilities it requires and may change the level of checks. The generations' tables hold paths
and names, so that one set of checks serves all generations.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec
from attrs import field, frozen

from cosinspect.errors import InvalidProfile
from cosinspect.report import Capability, Level
from cosinspect.semantics import Semantics

__all__ = ["BUILTIN", "Generation", "InitrdUnit", "Profile", "load_profile"]

BUILTIN = ("boot", "cos")
"""The profiles that come with the package."""

# Generations that are recognised and have no table yet.
_WITHOUT_RULES = {
    "G0": "script and yip with iso-scan, v0.5.3",
    "G4": "elemental init, v0.11 to v1.1",
    "G5": "elemental toolkit v2",
    "kairos": "Kairos",
    "bootc": "bootc",
}

_MAX_BYTES = 1024 * 1024

T = TypeVar("T")


class InitrdUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A systemd unit that must be in an initrd, and the name of the link that starts it."""

    unit: str
    link: str


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one generation of the toolkit keeps where; paths of the image have a leading slash, of the initrd none.

    Attributes:
        title: the generation in words.
        grub_config: the menu that installation copies to disk.
        bootargs: the file that names kernel, initrd and kernel command line.
        dracut_module: name of the module as dracut lists it.
        dracut_directory: the module in the image.
        dracut_files: its files there.
        dracut_configs: drop-ins under /etc/dracut.conf.d that build the module into an initrd.
        stage_runners: alternatives, each a set of executables that together run the boot stages.
        units: the units that run the stages after the root was switched.
        unit_directories: where units may be.
        initrd_files: alternatives of paths, one of each of which must be in the initrd.
        initrd_units: units that must be in the initrd with the links that start them.
        initrd_scripts: the toolkit's own scripts, in the initrd, whose commands must be there too.
        initrd_runners: alternatives of executables that run stages in the initrd.
        layout_file: what a cloud-config must write in the stage `rootfs`.
        kernel_argument: the kernel argument that this generation's initrd acts on.
        root_variable: the GRUB variable in `root=LABEL=$...` that its menu sets.
        packages: `category/name` of the packages that make a derivative of it.
    """

    title: str
    grub_config: str
    bootargs: str
    dracut_module: str
    dracut_directory: str
    dracut_files: tuple[str, ...]
    dracut_configs: tuple[str, ...]
    stage_runners: tuple[tuple[str, ...], ...]
    units: tuple[str, ...]
    unit_directories: tuple[str, ...]
    initrd_files: tuple[tuple[str, ...], ...]
    initrd_units: tuple[InitrdUnit, ...]
    initrd_scripts: tuple[tuple[str, ...], ...]
    initrd_runners: tuple[tuple[str, ...], ...]
    layout_file: str
    kernel_argument: str
    root_variable: str
    packages: tuple[str, ...]


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
    """

    name: str
    summary: str
    required: tuple[Capability, ...]
    levels: Mapping[str, Level] = field(hash=False)
    generations: Mapping[str, Generation] = field(hash=False, repr=False)
    signature_required: bool = False
    semantics: tuple[Semantics, ...] = tuple(Semantics)

    def title(self, generation: str) -> str:
        """Name a generation in words, "" for none."""
        table = self.generations.get(generation)
        return table.title if table is not None else _WITHOUT_RULES.get(generation, "")


class _WireProfile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    required: list[Capability]
    summary: str = ""
    levels: dict[str, Level] = {}
    signature_required: bool = False
    semantics: tuple[Semantics, ...] = tuple(Semantics)


def load_profile(name: str) -> Profile:
    """Load a profile by its name, or from a TOML file whose path contains a slash or ends in `.toml`.

    Raises:
        InvalidProfile: there is none, it is malformed, or it requires nothing.
    """
    if "/" in name or name.endswith(".toml"):
        text = _read(Path(name))
    elif name in BUILTIN:
        text = _resource(f"{name}.toml")
    else:
        raise InvalidProfile(
            f"there is no profile {name[:60]!r}",
            remedy=f"use {', '.join(BUILTIN)}, or the path of a TOML file",
        )
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
    generations = _convert(_resource("generations.toml"), dict[str, Generation], "generations.toml")
    return Profile(
        wire.name,
        wire.summary,
        tuple(dict.fromkeys(wire.required)),
        wire.levels,
        generations,
        wire.signature_required,
        tuple(dict.fromkeys(wire.semantics)),
    )


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
        return msgspec.convert(tomllib.loads(text), kind)
    except (
        ValueError,
        msgspec.ValidationError,
        RecursionError,
    ) as fault:  # ValueError: also a number too long
        raise InvalidProfile(f"the profile is malformed: {fault}", where=where) from fault
