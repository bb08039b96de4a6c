"""Checks on what writes an image to disk from a system that runs it: commands, GRUB's modules, what EFI starts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.grub import find_command
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "efi_artifacts_missing",
    "efi_artifacts_unknown",
    "firstboot_missing",
    "grub_modules_missing",
    "install_tool_missing",
    "install_tools_missing",
    "installer_missing",
    "upgrader_missing",
]

FIRSTBOOT = "/etc/cos/grubenv_firstboot"
# So many that it is no slip any more.
SEVERAL = 3

_TARGETS = {"amd64": "x86_64-efi", "arm64": "arm64-efi", "riscv64": "riscv64-efi"}
_GRUB_DIRECTORIES = ("/usr/share/grub2", "/usr/lib/grub", "/usr/lib/grub2", "/usr/share/grub")
# elemental of toolkit v2 wants all three, the one before effectively the first (pkg/utils/grub.go).
_MODULES: tuple[str, ...] = ("loopback.mod", "squash4.mod", "xzio.mod")
_MODULES_BEFORE: tuple[str, ...] = ("loopback.mod",)
_MODULES_V2 = ("/boot/grub2/*-efi", "/usr/share/grub*/*-efi", "/usr/lib/grub*/*-efi")
_GRUB_V2 = (
    "/usr/lib/elemental/bootloader/grub*",
    "/usr/share/grub2/*-efi/grub.efi",
    "/boot/efi/EFI/*/grub*.efi",
)
_SHIM_V2 = ("/usr/lib/elemental/bootloader/shim*", "/usr/share/efi/*/shim.efi", "/boot/efi/EFI/*/shim*.efi")
# What elemental looks for anywhere in the image, by ID of os-release and architecture.
_ARTIFACTS = {
    ("fedora", "amd64"): ("shimx64.efi", "mmx64.efi", "grubx64.efi"),
    ("fedora", "arm64"): ("shimaa64.efi", "mmaa64.efi", "grubx64.efi"),
    ("ubuntu", "amd64"): ("shimx64.efi.signed", "mmx64.efi", "grubx64.efi.signed"),
}
_ARTIFACTS_ELSE = ("shim.efi", "MokManager.efi", "grub.efi")


def _absent(context: CheckContext) -> list[tuple[str, ...]]:
    tools = context.generation.install_tools
    if not tools:
        raise NotApplicable(f"what {context.generation.title} calls is not known")
    return [names for names in tools if not any(find_command(context, name) for name in names)]


def _tool(context: CheckContext, names: tuple[str, ...]) -> Finding:
    path = f"/usr/sbin/{names[0]}"
    for top in ("/usr/sbin", "/usr/bin"):
        layer, evidence = context.removal(f"{top}/{names[0]}")
        if layer is not None:
            return Finding(
                f"expected the command {' or '.join(names)}, it is gone", f"{top}/{names[0]}", layer, evidence
            )
    return Finding(f"expected the command {' or '.join(names)}, it is not in the image", path)


@check(
    id="COS105",
    name="install-tool-missing",
    level=Level.WARNING,
    summary="A command that installation calls is not in the image.",
    why="Installation and upgrade run on a system that runs this image: the step that calls the command fails.",
    remedy="Install the package that has it: parted, e2fsprogs, dosfstools, gptfdisk (gdisk), rsync, squashfs-tools, util-linux.",
)
def install_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each command in PATH; where several are missing another check tells."""
    absent = _absent(context)
    if len(absent) >= SEVERAL:
        raise NotApplicable(f"{len(absent)} commands are missing")
    for names in absent:
        yield _tool(context, names)
    yield f"{len(context.generation.install_tools)} commands that installation calls are there"


@check(
    id="COS106",
    name="install-tools-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="Several commands that installation calls are not in the image.",
    why="Installation runs on a system that runs this image: without them it cannot partition, format or copy.",
    remedy="Install parted, e2fsprogs, dosfstools, gptfdisk (gdisk), rsync, squashfs-tools and util-linux.",
)
def install_tools_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands in PATH."""
    absent = _absent(context)
    if len(absent) >= SEVERAL:
        for names in absent:
            yield _tool(context, names)
    else:
        yield f"{len(context.generation.install_tools) - len(absent)} of {len(context.generation.install_tools)} commands are there"


def _wrapper(context: CheckContext, name: str, does: str) -> Iterator[Finding | str]:
    for command in ("elemental", name):
        found = find_command(context, command)
        if found is not None:
            yield f"{found} {does}"
            return
    yield context.missing(
        f"/usr/sbin/{name}", f"expected the command {name} or elemental, neither is in the image"
    )


@check(
    id="COS107",
    name="installer-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="The image has no installer.",
    why="A system that runs it, a live ISO above all, has nothing that could write it to a disk.",
    remedy="Install utils/installer, which has cos-installer.",
    generations=("G0", "G1"),
)
def installer_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for cos-installer, or elemental in its place."""
    yield from _wrapper(context, "cos-installer", "installs")


@check(
    id="COS108",
    name="upgrader-missing",
    level=Level.WARNING,
    capabilities=(Capability.UPGRADE,),
    summary="The image has no command that upgrades.",
    why="A machine that runs it stays as it is: the next image cannot be rolled out to it.",
    remedy="Install utils/installer, which has cos-upgrade.",
    generations=("G0", "G1"),
)
def upgrader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for cos-upgrade, or elemental in its place."""
    yield from _wrapper(context, "cos-upgrade", "upgrades")


def _architecture(context: CheckContext) -> str:
    platform = context.config.platform
    return platform.architecture if platform is not None else ""


@check(
    id="COS110",
    name="firstboot-missing",
    level=Level.NOTE,
    capabilities=(Capability.AWS, Capability.GCP),
    summary="There is no grubenv that boots the recovery system first.",
    why="An image of a cloud is a disk with the recovery system alone: without /etc/cos/grubenv_firstboot none can be built.",
    remedy="Install system/grub2-config, which has it: a GRUB environment block with next_entry=recovery.",
    reads=("etc/cos/grubenv_firstboot",),
    generations=("G0", "G1", "G2", "G3"),
)
def firstboot_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file that `elemental build-disk` copies."""
    if context.rootfs.exists(FIRSTBOOT):
        yield f"{FIRSTBOOT} is there"
    else:
        yield context.missing(FIRSTBOOT, f"expected {FIRSTBOOT}, it is not there")


@check(
    id="COS048",
    name="grub-modules-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="GRUB's modules are not in the image.",
    why="Installation builds GRUB from them, or copies them to the disk: without them it stops.",
    remedy="Install GRUB's modules for the platform: grub2-x86_64-efi, grub2-i386-pc, grub-efi-amd64-bin, grub-pc-bin.",
    generations=("G0", "G1", "G2", "G3", "G4", "G5"),
)
def grub_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look where the generation's installation looks."""
    target = _TARGETS.get(_architecture(context))
    if target is None:
        raise NotApplicable(f"GRUB's modules for {_architecture(context) or 'no platform'} are not known")
    if context.facts.generation in ("G4", "G5"):
        yield from _efi_modules(context, target)
        return
    targets = ("i386-pc", target) if target == "x86_64-efi" else (target,)
    found = [
        f"{top}/{each}"
        for top in _GRUB_DIRECTORIES
        for each in targets
        if context.rootfs.glob(f"{top}/{each}/*.mod")
    ]
    if found:
        yield f"GRUB's modules are in {' and '.join(found)}"
    else:
        yield _gone(
            context,
            [f"{top}/{each}" for top in _GRUB_DIRECTORIES for each in targets],
            f"expected GRUB's modules for {' or '.join(targets)}, found none",
        )


def _gone(context: CheckContext, directories: list[str], message: str) -> Finding:
    """Make the finding with the step that removed a module, from whichever place had it."""
    paths = [f"{top}/{_MODULES[0]}" for top in directories]
    path = next((each for each in paths if context.removal(each)[0] is not None), paths[0])
    return context.missing(path, message)


def _efi_modules(context: CheckContext, target: str) -> Iterator[Finding | str]:
    if context.facts.generation == "G5":
        wanted = _MODULES
        there = {
            entry.name
            for top in _MODULES_V2
            for name in wanted
            for entry in context.rootfs.glob(f"{top}/{name}")
        }
    else:
        wanted = _MODULES_BEFORE
        word = target.partition("-")[0]
        there = {
            entry.name
            for name in wanted
            for entry in context.rootfs.glob(f"/**/{name}")
            if word in entry.path
        }
    absent = [name for name in wanted if name not in there]
    if absent:
        places = [f"{top}/{target}" for top in _GRUB_DIRECTORIES]
        yield _gone(context, places, f"expected GRUB's modules {', '.join(absent)}, found none")
    else:
        yield f"GRUB's modules {', '.join(wanted)} are there"


def _looked_for(context: CheckContext) -> tuple[str, ...]:
    release = context.facts.os_release
    name = release[1].values.get("ID", "") if release is not None else ""
    return _ARTIFACTS.get((name, _architecture(context)), _ARTIFACTS_ELSE)


def _anywhere(context: CheckContext, hint: str) -> Iterator[Finding | str]:
    wanted = _looked_for(context)
    found = {name: entries[0] for name in wanted if (entries := context.rootfs.glob(f"/**/{name}"))}
    absent = [name for name in wanted if name not in found]
    if absent:
        yield Finding(
            f"expected {', '.join(absent)} somewhere in the image, found none",
            f"/usr/share/efi/{posixpath.basename(absent[0])}",
            evidence=(hint,) if hint else (),
        )
    else:
        yield f"{', '.join(entry.path for entry in found.values())} are there"


@check(
    id="COS049",
    name="efi-artifacts-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="What EFI starts is not in the image.",
    why="Installation on a machine with EFI copies shim and GRUB from the image, and stops with `did not find efi artifacts`.",
    remedy="Install shim and GRUB for EFI: shim and grub2-x86_64-efi, or the distribution's signed packages.",
    generations=("G4", "G5"),
)
def efi_artifacts_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look where elemental looks: anywhere by name (v1), at known places (v2), where shim is for Secure Boot alone."""
    if context.facts.generation == "G4":
        yield from _anywhere(context, "")
        return
    found = [entry.path for place in _GRUB_V2 for entry in context.rootfs.glob(place)]
    shims = [entry.path for place in _SHIM_V2 for entry in context.rootfs.glob(place)]
    if found:
        yield f"{found[0]} is there, {shims[0] if shims else 'no shim: Secure Boot must be off'}"
    else:
        yield context.missing(_GRUB_V2[1], f"expected one of {', '.join(_GRUB_V2)}, found none")


@check(
    id="COS056",
    name="efi-artifacts-unknown",
    level=Level.WARNING,
    summary="Later releases of elemental do not find what EFI starts.",
    why="""From elemental-cli v0.0.16 on, installation on a machine with EFI copies shim and GRUB from the image by their names, and stops with
        `did not find efi artifacts`; earlier ones call grub2-install, which needs none.""",
    remedy="Install shim and GRUB for EFI under the names in the evidence, or link them: they may be anywhere in the image.",
    generations=("G2", "G3"),
)
def efi_artifacts_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the names that elemental has for the distribution of os-release."""
    release = context.facts.os_release
    name = release[1].values.get("ID", "") if release is not None else ""
    yield from _anywhere(
        context, f"os-release has ID={name or '(none)'}, by which elemental chooses the names"
    )
