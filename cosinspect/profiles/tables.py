"""The tables of the generations: what each generation keeps where, and how it is deployed. Data, in `generations.toml`.

A table answers; a check asks it and never compares the name of a generation. So one set of checks serves all generations, and a
new one is a table.
"""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

from cosinspect.errors import InvalidProfile
from cosinspect.rootfs.semantics import Semantics
from cosinspect.wire_types import ready

__all__ = [
    "BootState",
    "BootTable",
    "Deployment",
    "Family",
    "Generation",
    "InitrdUnit",
    "Part",
    "UnifiedTable",
    "boot_globs",
    "generation_tables",
    "read_generations",
    "resource_text",
]


class Family(StrEnum):
    """Kinds of images that share no files and no commands.

    Attributes:
        TOOLKIT: derivatives of the cOS toolkit and of elemental-toolkit.
        KAIROS: Kairos, with or without trusted boot.
        ELEMENTAL3: Elemental 3.
        UKI: artefacts of `auroraboot build-uki`: the files of an EFI partition.
        BOOTC: images that bootc or ostree deploys.
    """

    TOOLKIT = "toolkit"
    KAIROS = "kairos"
    ELEMENTAL3 = "elemental3"
    UKI = "uki"
    BOOTC = "bootc"


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
        entries: the ids of the menu entry; the first existing one counts.
        image: the file that holds the image's root, or the directory that is it where that ends in a slash.
        variables: what the menu sets before it reads the file of boot arguments.
        environment: what is in the disk's environment besides what every state has.
        labels: the labels of file systems; `root=` must name one of them.
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
        states: the states; the first is the boot without user input.
    """

    root: str
    labels: tuple[str, ...]
    device: str
    bootargs: tuple[str, ...]
    environment: dict[str, str] = {}
    states: tuple[BootState, ...]


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How images of a generation are written to disks and media; an empty value says that the generation has nothing of the kind.

    Attributes:
        installer: what installs and upgrades: the scripts cos-installer and cos-upgrade, or the command elemental.
        settings: the environment files that the command elemental reads before it does anything.
        boot_files: how the command elemental finds kernel and initrd in /boot: by prefixes of names, or by patterns.
        iso_builders: what makes ISOs of an image.
        loaders: where the installation looks for GRUB's modules and EFI programs: in directories that grub-install knows, by their
            names anywhere in the image, or by patterns.
        later_loaders: where later releases of the generation look for EFI programs, where that is another place.
        iso_loaders: where an ISO builder takes EFI programs from: paths of the image, or patterns.
        iso_loaders_inside: whether an ISO builder takes EFI programs from the image unless told otherwise.
        disk_builder: whether the command elemental builds disk images, and opens the menu by its path in the unpacked image.
        firstboot_environment: the GRUB environment block that a disk image for a cloud boots the recovery system by.
        filesystem_mebibytes: the size of the deployed image's file system, 0 if it follows from the image.
        image_size_key: the key of /etc/cos/config that names the size of an image.
        relabels: when the command elemental runs setfiles in the new root: where file contexts are there, or only beside a policy.
        recovery_squashfs: whether the recovery system is a squashfs.
        plan_script: the script that an upgrade plan of Kubernetes runs in the new image.
        state_mebibytes: the size of the partition that holds, during an upgrade, both images of the machine, the unpacked new image and the
            file system made of it; 0 if that is not known.
        upgrade_hook: the cloud-config that prepares an older menu for the image.
        configured: whether `elemental init` writes the configuration files into the image.
    """

    installer: Literal["", "scripts", "elemental"] = ""
    settings: tuple[str, ...] = ()
    boot_files: Literal["", "prefixes", "patterns"] = ""
    iso_builders: tuple[Literal["luet-makeiso", "elemental build-iso"], ...] = ()
    loaders: Literal["", "directories", "names", "patterns"] = ""
    later_loaders: Literal["", "names"] = ""
    iso_loaders: Literal["", "paths", "patterns"] = ""
    iso_loaders_inside: bool = False
    disk_builder: bool = False
    firstboot_environment: str = ""
    filesystem_mebibytes: int = 0
    image_size_key: str = ""
    relabels: Literal["", "contexts", "policy"] = ""
    recovery_squashfs: bool = False
    plan_script: str = ""
    state_mebibytes: int = 0
    upgrade_hook: str = ""
    configured: bool = False


class UnifiedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the unified kernel images of a generation hold.

    Attributes:
        files: globs of their paths.
        first: whether the first by name is used alone.
        sections: the sections that each of them has.
        runners: alternatives of executables, one of which is in the initrd; empty if any initrd will do.
        argument: the argument of the command line by which the initrd finds the system; a digest is its value where `digest` says so.
        digest: whether that argument has a digest for its value.
        versions: whether the modules of the initrd are compared with the kernel; false where another check does.
    """

    files: tuple[str, ...]
    first: bool = False
    sections: tuple[str, ...]
    runners: tuple[str, ...] = ()
    argument: str
    digest: bool = False
    versions: bool = True


Part: TypeAlias = Literal[
    "boot",
    "cloud-configs",
    "dropins",
    "firstboot",
    "hook",
    "installer",
    "live",
    "menu",
    "module",
    "packages",
    "release",
    "runner",
    "signing",
    "units",
]
"""A part of a toolkit's files that one instruction brings: the links in /boot, the drop-ins of dracut, the dracut module, and so on."""


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one generation keeps where; paths of the image have a leading slash, of the initrd none.

    What is left out is empty: the generation has nothing of the kind, or it is not known.

    Attributes:
        title: the generation in words.
        family: the kind of image.
        derivative: whether the image is laid out as derivatives of cOS are, so that the checks without a condition hold for it.
        releases: the first and the last release of it, None if that is not known.
        profile: the name of the profile that `auto` chooses for it.
        operations: further generations whose rows of the table of operations hold for it.
        usual: whether its menu sets every variable that any generation's menu sets, so that it is used if no generation is evident.
        deployment: how it is written to disks and media.
        unified: its unified kernel images, None if it has none.
        carries: the image's content instead of a system, "" for a system.
        asked: who reads such an image, and what can be asked of it, for people.
        written_as: how what installs it reads layers.
        trusted_boot: whether a unified kernel image is made of the whole tree.
        initrds: where the initrds are that machines boot with: where bootargs.cfg says, beside the kernel that Elemental 3 finds,
            beside each kernel that ostree finds, or in its unified kernel images, where they are the whole system.
        accounts_installed: whether the accounts are made when a machine is installed, so that the image needs none.
        datasources_built_in: whether the user data of clouds is requested without a cloud-config.
        account_files: files of accounts besides /etc/passwd.
        accounts_by_sysusers: whether systemd-sysusers makes accounts at the boot.
        openrc: whether OpenRC may start the system.
        fstab_written: whether the initrd writes /etc/fstab at every boot.
        sysroot_generator: the generator in the initrd that mounts the partition of the root.
        own_programs: further commands of its own that operations call, each with the names it is looked for by.
        own_initrd_checks: whether own checks read the drivers of its initrd.
        grub_config: the menu that installation copies to disk, "" if none is.
        grub_config_fallback: the menu that is copied where that is missing, "" if there is none.
        bootargs: the file that names kernel, initrd and kernel command line, "" if nothing reads one.
        dracut_module: name of the module as dracut lists it, "" if the initrd is not made by dracut.
        dracut_directory: the module in the image.
        dracut_files: its files there.
        dracut_configs: drop-ins under /etc/dracut.conf.d that build the module into an initrd.
        stage_runners: alternatives, each a set of executables that together run the boot stages.
        units: the units that run the stages after the root was switched.
        enabled: the links that start units, as `<target>.wants/<unit>`, or `*/<unit>` where releases differ; empty if they are not known.
        unit_directories: where units may be.
        initrd_files: alternatives of paths, one of each of which must be in the initrd; empty if the image has no initrd.
        initrd_markers: paths that only this generation's initrd has, or one with the same initrd.
        initrd_units: units that must be in the initrd with the links that start them.
        initrd_scripts: the toolkit's own scripts, in the initrd, whose commands must be there too.
        initrd_runners: alternatives of executables that run stages in the initrd.
        initrd_programs: further programs that the initrd executes where it has them, each with the effect if it cannot, in words.
        layout_file: what a cloud-config writes in the stage `rootfs`, by the end of its path; "" for nothing.
        layout_required: whether the boot fails without it.
        yip: the version of yip that reads cloud-configs, if no program of the image names its own.
        yip_programs: the programs that have it in them.
        active_mode_file: the file that the initrd writes when the active system boots, "" if unknown.
        covered: directories over which an installed machine mounts partitions or memory: what the image has there is not seen.
        kept: directories in which what the machine keeps is in front of what the image has.
        copied_once: directories that the installation copies into volumes of the machine, and that upgrades leave as they are.
        overlays: directories that are mounted over by default, and whose absence stops the boot.
        kernel_argument: the kernel argument that this generation's initrd acts on.
        kernel_argument_else: arguments that suffice if the image is not named.
        own_services: patterns of names of its own services, which it may have in the initrd, too.
        bootargs_marks: files whose presence shows that its menu reads the bootargs.cfg, before the generation is known.
        grub_tools: the commands that installation and upgrade call, each with the names it is looked for by.
        install_tools: further commands that installation calls, each with the names it is looked for by.
        image_mebibytes: what an image may take: the file system it is copied into, or a third of a state partition of 8192 MiB
            without the 256 MiB that each of its three images has free; 0 if that is not known.
        root_variable: the GRUB variable in `root=LABEL=$...` that its menu sets.
        labels: the labels of the file systems that an installation makes; empty if they are not known.
        packages: `category/name` of the luet packages that make a derivative of it; empty where luet plays no part.
        boot: how its menu starts the image, None if that is not known.
        sources: the instruction of a Containerfile that brings each part of its files into an image, by the name of the part.
            `{luet}` stands for luet's command that installs packages, or installs them again; `{kairos-init}` for kairos-init.
    """

    title: str
    family: Family
    derivative: bool = True
    releases: tuple[str, str] | None = None
    profile: str = "cos"
    operations: tuple[str, ...] = ()
    usual: bool = False
    deployment: Deployment = Deployment()
    unified: UnifiedTable | None = None
    carries: Literal["", "iso", "manifest", "extension", "payload"] = ""
    asked: str = ""
    written_as: Semantics = Semantics.ELEMENTAL
    trusted_boot: bool = False
    initrds: Literal["bootargs", "elemental3", "ostree", "unified"] = "bootargs"
    accounts_installed: bool = False
    datasources_built_in: bool = False
    account_files: tuple[str, ...] = ()
    accounts_by_sysusers: bool = False
    openrc: bool = False
    fstab_written: bool = False
    sysroot_generator: str = ""
    own_programs: tuple[tuple[str, ...], ...] = ()
    own_initrd_checks: bool = False
    grub_config: str = ""
    grub_config_fallback: str = ""
    bootargs: str = ""
    dracut_module: str = ""
    dracut_directory: str = ""
    dracut_files: tuple[str, ...] = ()
    dracut_configs: tuple[str, ...] = ()
    stage_runners: tuple[tuple[str, ...], ...] = ()
    units: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    unit_directories: tuple[str, ...] = ()
    initrd_files: tuple[tuple[str, ...], ...] = ()
    initrd_markers: tuple[str, ...] = ()
    initrd_units: tuple[InitrdUnit, ...] = ()
    initrd_scripts: tuple[tuple[str, ...], ...] = ()
    initrd_runners: tuple[tuple[str, ...], ...] = ()
    initrd_programs: dict[str, str] = {}
    layout_file: str = ""
    layout_required: bool = False
    yip: str = ""
    yip_programs: tuple[str, ...] = ()
    active_mode_file: str = ""
    covered: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    copied_once: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()
    kernel_argument: str = ""
    kernel_argument_else: tuple[str, ...] = ()
    own_services: tuple[str, ...] = ()
    bootargs_marks: tuple[str, ...] = ()
    grub_tools: tuple[tuple[str, ...], ...] = ()
    install_tools: tuple[tuple[str, ...], ...] = ()
    image_mebibytes: int = 0
    root_variable: str = ""
    labels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    boot: BootTable | None = None
    sources: dict[Part, str] = {}

    @property
    def starts(self) -> str:
        """What starts the system: the kind of its initrds, or a unified kernel image that is made of the whole tree."""
        return "unified" if self.trusted_boot else self.initrds

    @property
    def recovery_labels(self) -> frozenset[str]:
        """The labels that the command line of the recovery system alone has."""
        found: dict[bool, set[str]] = {True: set(), False: set()}
        for each in self.boot.states if self.boot is not None else ():
            found[each.recovery].update((*each.labels, each.variables.get("label", "")))
        return frozenset(found[True] - found[False])

    @property
    def recovery_copied(self) -> bool:
        """Whether the recovery system boots from copies beside its image."""
        return self.boot is not None and any(each.recovery and each.copied for each in self.boot.states)


def read_generations(text: str) -> Mapping[str, Generation]:
    """Read tables of generations from TOML, by name.

    Raises:
        InvalidProfile: the document is malformed, no table or more than one is the usual one, or a table names a generation that is not there.
    """
    where = "generations.toml"
    try:
        found = msgspec.convert(tomllib.loads(text), ready(dict[str, Generation]))
    except (ValueError, msgspec.ValidationError, RecursionError) as fault:
        raise InvalidProfile(f"the tables of generations are malformed: {fault}", where=where) from fault
    if sum(table.usual for table in found.values()) != 1:
        raise InvalidProfile("expected one table with usual = true", where=where)
    for name, table in found.items():
        if unknown := [each for each in table.operations if each not in found]:
            raise InvalidProfile(
                f"there is no generation {unknown[0][:60]!r}", where=f"{where}, {name}.operations"
            )
    return found


@cache
def generation_tables() -> Mapping[str, Generation]:
    """Return the table of each generation that cosinspect knows, by its name."""
    return read_generations(resource_text("generations.toml"))


def resource_text(name: str) -> str:
    """Read a document that comes with this package."""
    return (resources.files(__package__) / name).read_text("utf-8")


def boot_globs() -> tuple[str, ...]:
    """Return globs of the files that GRUB reads of images of any generation: menus and bootargs.cfg, with what lies beside them."""
    menus = [
        path
        for table in generation_tables().values()
        for path in (
            table.grub_config,
            table.grub_config_fallback,
            *(table.boot.bootargs if table.boot is not None else ()),
        )
        if path
    ]
    return tuple(dict.fromkeys(f"{posixpath.dirname(path).lstrip('/')}/*.cfg" for path in menus))
