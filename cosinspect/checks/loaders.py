"""Checks on the boot loaders that installation and ISO builders copy from the image: GRUB's modules, shim, MokManager, GRUB for EFI."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.grub import menu_path
from cosinspect.facts.boot_search import find_by_pattern, on_host
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = [
    "builder_link",
    "efi_artifacts_missing",
    "efi_artifacts_unknown",
    "grub_modules_missing",
    "iso_loader_faults",
    "iso_loader_missing",
]

_TARGETS = {"amd64": "x86_64-efi", "arm64": "arm64-efi", "riscv64": "riscv64-efi"}
_GRUB_DIRECTORIES = ("/usr/share/grub2", "/usr/lib/grub", "/usr/lib/grub2", "/usr/share/grub")
# elemental of toolkit v2 requires all three, earlier releases effectively the first (pkg/utils/grub.go).
_MODULES: tuple[str, ...] = ("loopback.mod", "squash4.mod", "xzio.mod")
_MODULES_BEFORE: tuple[str, ...] = ("loopback.mod",)
_MODULES_V2 = ("/boot/grub2/*-efi", "/usr/share/grub*/*-efi", "/usr/lib/grub*/*-efi")
# The paths of toolkit v2, in its order; only for riscv64 it builds without Secure Boot (pkg/bootloader/grub.go).
_SHIM_V2 = ("/usr/lib/elemental/bootloader/shim*", "/usr/share/efi/*/shim.efi", "/boot/efi/EFI/*/shim*.efi")
_GRUB_V2 = (
    "/usr/lib/elemental/bootloader/grub*",
    "/usr/share/grub2/*-efi/grub.efi",
    "/boot/efi/EFI/*/grub*.efi",
)
_MOK_V2 = (
    "/usr/lib/elemental/bootloader/mm*",
    "/boot/efi/EFI/*/mm*.efi",
    "/usr/share/efi/*/MokManager.efi",
)
# The names of shim, MokManager and GRUB that elemental searches in the whole image, by ID of os-release and architecture
# (elemental-cli v0.0.16 to v0.3.1, elemental-toolkit v1: pkg/utils/grub.go). On arm64 it lists GRUB for x86_64.
_ARTIFACTS = {
    ("fedora", "amd64"): ("shimx64.efi", "mmx64.efi", "grubx64.efi"),
    ("fedora", "arm64"): ("shimaa64.efi", "mmaa64.efi", "grubx64.efi"),
    ("ubuntu", "amd64"): ("shimx64.efi.signed", "mmx64.efi", "grubx64.efi.signed"),
    ("ubuntu", "arm64"): ("shimaa64.efi.signed", "mmaa64.efi", "grubx64.efi.signed"),
}
_ARTIFACTS_ELSE = ("shim.efi", "MokManager.efi", "grub.efi")
# The files that `elemental build-iso --bootloader-in-rootfs` copies before toolkit v2 (pkg/live/green.go), by architecture.
_ISO_LOADERS = {
    "amd64": (
        "/usr/share/efi/x86_64/shim.efi",
        "/usr/share/efi/x86_64/MokManager.efi",
        "/usr/share/grub2/x86_64-efi/grub.efi",
    ),
    "arm64": (
        "/usr/share/efi/aarch64/shim.efi",
        "/usr/share/efi/aarch64/MokManager.efi",
        "/usr/share/grub2/arm64-efi/grub.efi",
    ),
}


def _architecture(context: CheckContext) -> str:
    platform = context.config.platform
    return platform.architecture if platform is not None else ""


@check(
    id="COS048",
    name="grub-modules-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.RECOVERY, Capability.ISO),
    summary="GRUB's modules are not in the image.",
    why="Installation builds GRUB from them, or copies them to the disk: without them it stops.",
    remedy="Install GRUB's modules for the platform.",
    applies=subjects.toolkit,
    spares=lambda context: () if _loader_in_image(context) else (Capability.ISO,),
    cure=remedies.installs("grub-modules", lead="install GRUB's modules"),
)
def grub_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the paths of the generation's installation."""
    target = _TARGETS.get(_architecture(context))
    if target is None:
        raise NotApplicable(f"GRUB's modules for {_architecture(context) or 'no platform'} are not known")
    if context.deployment.loaders != "directories":
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


def _gone(context: CheckContext, directories: list[str], message: str, *evidence: str) -> Finding:
    """Make the finding with the step that removed a module, from the place that had it."""
    paths = [f"{top}/{name}" for top in directories for name in _MODULES]
    path = next((each for each in paths if context.removal(each)[0] is not None), paths[0])
    layer, removed = context.removal(path)
    return Finding(message, path, layer, (*evidence, *removed))


def _efi_modules(context: CheckContext, target: str) -> Iterator[Finding | str]:
    faults: dict[str, str] = {}
    if context.deployment.loaders == "patterns":
        wanted = _MODULES
        for name in wanted:
            found = find_by_pattern(context.rootfs, (f"{top}/{name}" for top in _MODULES_V2))
            if found.fault:
                faults[name] = found.fault
    else:
        wanted = _MODULES_BEFORE
        word = target.partition("-")[0]
        for name in wanted:
            if not any(word in entry.path for entry in _named(context, name)):
                faults[name] = f"no {name} on a path with {word} in it"
    if faults:
        places = [f"{top}/{target}" for top in _GRUB_DIRECTORIES]
        yield _gone(
            context,
            places,
            f"expected GRUB's modules {', '.join(faults)}, they cannot be copied",
            *faults.values(),
        )
    else:
        yield f"GRUB's modules {', '.join(wanted)} exist"


def _named(context: CheckContext, name: str) -> list[Entry]:
    """Return the entries of a name that can be opened, in the order of Go's WalkDir."""
    every = sorted(context.rootfs.glob(f"/**/{name}"), key=lambda entry: entry.path.split("/"))
    return [entry for entry in every if _opens(context, entry)]


def _opens(context: CheckContext, entry: Entry) -> bool:
    if entry.type == "file":
        return True
    # An absolute link is opened on the machine that runs the command, which has the image's files.
    real = context.rootfs.trace(entry.path).entry
    return real is not None and real.type == "file"


def _system(context: CheckContext) -> tuple[str, str, str]:
    """Return the distribution as elemental does: by ID in the last file of the name os-release; a dangling one ends the search.

    Returns the ID, the path that decided, and why the search fails, "" if it does not.
    """
    last = None
    for entry in sorted(context.rootfs.glob("/**/os-release"), key=lambda entry: entry.path.split("/")):
        if entry.type == "dir":
            continue
        if not _opens(context, entry):
            return "", entry.path, f"{entry.path} is dangling, and elemental stops at it"
        last = entry
    if last is None:
        return "", "", "there is no file with the name os-release"
    name = ""
    for line in (context.facts.text(last.path).text or "").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#") and key.strip().strip('"') == "ID":
            name = value.strip().strip('"')
    return name, last.path, ""


def _by_names(context: CheckContext) -> Iterator[Finding | str]:
    """Look for shim and GRUB by name in the whole image: without shim the command fails, without GRUB the disk does not boot."""
    system, decided, why = _system(context)
    if why and context.facts.os_release is None:
        raise NotApplicable("there is no os-release; another check reports that")
    if why:
        yield Finding(f"expected an os-release that elemental can read: {why}", decided or None)
        return
    wanted = _ARTIFACTS.get((system, _architecture(context)), _ARTIFACTS_ELSE)
    shim, _, grub = wanted
    found = {name: entries[0] for name in (shim, grub) if (entries := _named(context, name))}
    absent = [name for name in (shim, grub) if name not in found]
    if not absent:
        yield f"{', '.join(entry.path for entry in found.values())} are there"
        return
    evidence = [f"{decided} has ID={system or '(none)'}, by which elemental chooses the names"]
    evidence.extend(
        f"{context.rootfs.trace(entry.path).chain} is dangling"
        for name in absent
        for entry in context.rootfs.glob(f"/**/{name}")
    )
    path = _usual(absent[0])
    layer, removed = context.removal(path)
    yield Finding(
        f"expected {', '.join(absent)} somewhere in the image, found none", path, layer, (*evidence, *removed)
    )


def _usual(name: str) -> str:
    return f"/usr/share/efi/{posixpath.basename(name)}"


def _by_patterns(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each of the three as toolkit v2 does: all are required, and must be files."""
    wanted = {"GRUB for EFI": _GRUB_V2}
    if _architecture(context) != "riscv64":
        wanted = {"shim": _SHIM_V2, **wanted, "MokManager": _MOK_V2}
    there = []
    for what, patterns in wanted.items():
        found = find_by_pattern(context.rootfs, patterns)
        if not found.fault:
            there.append(found.name)
            continue
        path = found.name if found.name not in patterns else patterns[min(1, len(patterns) - 1)]
        removed = next(
            (
                context.removal(each)
                for each in _places(patterns, _architecture(context))
                if context.removal(each)[0] is not None
            ),
            (None, ()),
        )
        yield Finding(
            f"expected {what} at {' or '.join(patterns)}", path, removed[0], (found.fault, *removed[1])
        )
    yield f"{', '.join(there)} are there"


def _places(patterns: Iterable[str], architecture: str) -> Iterator[str]:
    word = {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)
    for pattern in patterns:
        yield pattern.replace("/*/", f"/{word}/").replace("*-efi", _TARGETS.get(architecture, "efi"))


@check(
    id="COS049",
    name="efi-artifacts-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.RECOVERY, Capability.ISO),
    summary="The EFI programs are not in the image.",
    why="""Installation on a machine with EFI copies shim and GRUB from the image, and stops with `did not find efi artifacts` or `failed to find
        shim image`. Toolkit v2 requires shim, MokManager and GRUB, with or without Secure Boot.""",
    remedy="""Install shim and GRUB for EFI under the names that elemental searches. It has names for Fedora and Ubuntu, and uses those of SUSE for
    every other distribution: on Debian link shim.efi, MokManager.efi and grub.efi to the signed files.""",
    applies=lambda table: table.deployment.loaders in ("names", "patterns"),
    spares=lambda context: (Capability.ISO,) if not _iso_faults(context) else (),
    cure=remedies.installs("efi", lead="install shim and GRUB for EFI"),
)
def efi_artifacts_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look as elemental does: in the whole image by name (elemental-cli, toolkit v1), at known paths (v2)."""
    by_patterns = context.deployment.loaders == "patterns"
    yield from _by_patterns(context) if by_patterns else _by_names(context)


@check(
    id="COS056",
    name="efi-artifacts-unknown",
    level=Level.WARNING,
    capabilities=(Capability.ISO,),
    summary="Later releases of elemental do not find the EFI programs.",
    why="""From elemental-cli v0.0.16 on, installation on a machine with EFI copies shim and GRUB from the image by their names, and stops with
        `did not find efi artifacts`; earlier ones call grub2-install, which does not need them.""",
    remedy="Install shim and GRUB for EFI under the names in the evidence, or link them: any directory of the image is searched.",
    applies=lambda table: table.deployment.later_loaders == "names",
    spares=lambda context: (Capability.ISO,) if not _iso_faults(context) else (),
    cure=remedies.installs("efi", lead="install shim and GRUB for EFI"),
)
def efi_artifacts_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the names that elemental has for the distribution of os-release."""
    yield from _by_names(context)


def _loader_in_image(context: CheckContext) -> bool:
    """Return whether the EFI loaders of an ISO come from the image.

    By default they do from toolkit v1 on, whose documentation builds with `--bootloader-in-rootfs`. In earlier releases packages
    bring them: then they are searched only in an image that has a part of them.
    """
    if context.build is not None and context.build.tool == "luet-makeiso":
        return False
    said = context.build.loader_in_image if context.build is not None else None
    if said is not None:
        return said
    if context.deployment.iso_loaders_inside:
        return True
    places = _ISO_LOADERS.get(_architecture(context), ())
    return any(context.rootfs.trace(path, follow=False).entry is not None for path in places)


def _iso_faults(context: CheckContext) -> dict[str, str]:
    """Return the loaders that an ISO builder does not find, with the reason."""
    if not _loader_in_image(context):
        return {}
    if context.deployment.iso_loaders == "patterns":
        return {each.path or "": each.message for each in _by_patterns(context) if isinstance(each, Finding)}
    return iso_loader_faults(context.rootfs, _architecture(context))


def iso_loader_faults(rootfs: Rootfs, architecture: str) -> dict[str, str]:
    """Return the paths that `elemental build-iso` before toolkit v2 cannot copy, with the reason (pkg/live/green.go)."""
    places = _ISO_LOADERS.get(architecture)
    if places is None:
        return {"": f"elemental build-iso does not support {architecture or 'no architecture'}"}
    found = {}
    for path in places:
        entry, why = on_host(rootfs, path)
        if entry is None or entry.type != "file":
            found[path] = why or f"{path} is a {entry.type if entry else ''}"
    return found


@check(
    id="COS211",
    name="iso-loader-missing",
    level=Level.WARNING,
    capabilities=(Capability.ISO,),
    summary="The EFI loaders of an ISO are not at the paths from which its builder copies them.",
    why="""`elemental build-iso --bootloader-in-rootfs` copies shim, MokManager and GRUB from fixed paths of the image, and stops if one is missing, a directory, or a link that is dangling or leads out of the image.""",
    remedy="""Install shim and GRUB for EFI of SUSE, or link them at the builder's paths; or add the loaders with an overlay (iso.uefi in
        the manifest).""",
    applies=lambda table: table.deployment.iso_loaders == "paths",
)
def iso_loader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the copied paths (elemental-cli v0.3.1, pkg/live/green.go), unless another check reports missing files."""
    if not _loader_in_image(context):
        yield "the EFI loaders of an ISO come from packages or an overlay"
        return
    if context.facts.os_release is not None and any(isinstance(each, Finding) for each in _by_names(context)):
        raise NotApplicable("another check reports the missing loaders")
    faults = _iso_faults(context)
    for path, why in faults.items():
        entry = context.rootfs.trace(path, follow=False).entry
        layer, removed = (
            context.removal(path) if entry is None else (entry.layer, (context.step(entry.layer),))
        )
        finding = Finding(f"expected a file at {path}: {why}", path or None, layer, removed)
        yield remedies.with_cure(context, finding, file_remedies.links_namesake)
    if not faults:
        yield "shim, MokManager and GRUB are at the paths from which elemental build-iso copies them"


@check(
    id="COS229",
    name="builder-link",
    level=Level.WARNING,
    capabilities=(Capability.AWS, Capability.GCP),
    summary="A file that a disk image needs is a link out of the image.",
    why="""`elemental build-disk` opens grub.cfg in the unpacked image by its path. A link that is absolute, or that climbs above the root, leads
        to a file of the machine that builds: the build stops, or takes another system's file.""",
    remedy="Make the link relative, or copy the file.",
    applies=lambda table: table.deployment.disk_builder,
    cure=file_remedies.links_relatively,
)
def builder_link(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve the menu's path as on the machine that builds."""
    path = menu_path(context)
    trace = context.rootfs.trace(path)
    if trace.entry is None:
        raise NotApplicable(f"{path} is not there")
    entry, why = on_host(context.rootfs, path)
    if entry is None:
        yield Finding(
            f"expected {path} to be opened in the image: {why}",
            path,
            trace.hops[-1].layer if trace.hops else None,
            tuple(map(str, trace.hops)),
        )
    else:
        yield f"{path} is opened in the image"
