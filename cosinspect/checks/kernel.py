"""Checks on the kernel that bootargs.cfg names, by link, header, architecture and version."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, links_of
from cosinspect.checks.boot_path import BOOTS, GRUB_LINK_LIMIT, dangling, missing, require_known, too_deep
from cosinspect.checks.lookup import spares_iso
from cosinspect.facts.facts import MODULE_DIRECTORIES, KernelFile
from cosinspect.formats.boot.kernel import ARCHITECTURES
from cosinspect.report.report import Finding, Level

__all__ = [
    "is_of_unread_machine",
    "kernel_architecture",
    "kernel_link_dangling",
    "kernel_links_too_deep",
    "kernel_missing",
    "kernel_modules_missing",
    "kernel_modules_unindexed",
    "kernel_not_linux",
    "kernel_truncated",
]

READS = (
    "boot/vmlinuz*",
    "boot/{Image,zImage,uImage,bzImage}*",
    "{usr/,}lib/modules/*/vmlinuz*",
    "etc/{cos,elemental}/*.cfg",
)


def is_of_unread_machine(context: CheckContext) -> bool:
    """Return whether the image is for a machine whose kernels are not recognised, so that a refused file may be one."""
    platform = context.config.platform
    return platform is not None and platform.architecture not in ARCHITECTURES


def _readable(context: CheckContext) -> Iterator[KernelFile]:
    """Yield the files that are kernels; another check reports the others."""
    found = [item for item in context.facts.kernels if item.kernel is not None]
    if not found:
        raise NotApplicable("there is no kernel to read")
    yield from found


@check(
    id="COS010",
    name="kernel-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="There is no kernel at the path in bootargs.cfg.",
    why="GRUB prints `file not found` and `you need to load the kernel first`, and the machine stays there.",
    remedy="Install a kernel, link it at the path that bootargs.cfg names, or name another path in bootargs.cfg.",
    reads=READS,
    spares=spares_iso,
    cure=boot_remedies.kernel_link,
)
def kernel_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each path; another check reports broken links."""
    yield from missing(context, "kernel", (item.trace for item in context.facts.kernels))
    require_known(context, "kernel")


@check(
    id="COS011",
    name="kernel-link-dangling",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The link to the kernel is dangling, or forms a loop.",
    why="GRUB prints `file not found` and `you need to load the kernel first`, and the machine stays there.",
    remedy="Make the link point to the installed kernel, or install the kernel that it names.",
    reads=READS,
    spares=spares_iso,
    cure=boot_remedies.kernel_link,
)
def kernel_link_dangling(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each path as GRUB's ext2 driver does: absolute links start at the image's root."""
    yield from dangling(context, "kernel", (item.trace for item in context.facts.kernels))


@check(
    id="COS012",
    name="kernel-links-too-deep",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary=f"The path to the kernel has more than {GRUB_LINK_LIMIT} links.",
    why="GRUB prints `too deep nesting of symlinks` and `you need to load the kernel first`.",
    remedy="Link the kernel directly.",
    reads=READS,
    spares=spares_iso,
    cure=boot_remedies.links_directly,
)
def kernel_links_too_deep(context: CheckContext) -> Iterator[Finding | str]:
    """Count the links, including those of directories."""
    yield from too_deep(item.trace for item in context.facts.kernels)


@check(
    id="COS013",
    name="kernel-not-linux",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The file at the kernel's path is not a Linux kernel.",
    why="GRUB prints `invalid magic number` and `you need to load the kernel first`.",
    remedy="Install the kernel's package again, and look for the step that overwrites it.",
    reads=READS,
    cure=boot_remedies.kernel_package,
)
def kernel_not_linux(context: CheckContext) -> Iterator[Finding | str]:
    """Read the header."""
    seen = False
    for item in context.facts.kernels:
        entry = item.trace.entry
        if entry is None:
            continue
        seen = True
        if entry.type != "file":
            yield Finding(f"expected a kernel, found a {entry.type}", entry.path, entry.layer)
        elif item.fault is not None and is_of_unread_machine(context):
            raise Undecided(f"kernels for {context.config.platform} are not read: {item.fault.message}")
        elif item.fault is not None:
            yield Finding(
                f"expected a Linux kernel, found {item.description}",
                entry.path,
                entry.layer,
                (*links_of(item.trace), context.step(entry.layer)),
            )
        elif item.kernel is not None:
            version = f" {item.version}" if item.version else ""
            yield f"{entry.path} is a Linux{version} {item.kernel.kind} for {item.kernel.architecture or 'an unknown machine'}"
    if not seen:
        raise NotApplicable("there is no kernel to read")


@check(
    id="COS014",
    name="kernel-truncated",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel is shorter than its header says.",
    why="GRUB prints `premature end of file`, or the kernel fails to unpack itself.",
    remedy="Install the kernel's package again: the copy is truncated.",
    reads=READS,
    cure=boot_remedies.kernel_package,
)
def kernel_truncated(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the size of the file with the size in the header."""
    for item in _readable(context):
        entry = item.trace.entry
        for problem in item.kernel.problems if item.kernel is not None else ():
            yield Finding(problem, entry.path if entry else item.path, entry.layer if entry else None)


@check(
    id="COS015",
    name="kernel-architecture",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel is for another architecture than the image.",
    why="GRUB prints `invalid magic number`, or the firmware refuses the kernel.",
    remedy="Build the image for one platform: use a base image of that platform, and docker build --platform.",
    reads=READS,
    cure=boot_remedies.kernel_package,
)
def kernel_architecture(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the header with the image's platform."""
    platform = context.config.platform
    for item in _readable(context):
        told = item.kernel.architecture if item.kernel is not None else None
        if platform is None:
            raise Undecided("the image configuration names no platform")
        if told is None:
            raise Undecided(f"the header of {item.path} has no architecture")
        if told != platform.architecture:
            entry = item.trace.entry
            yield Finding(
                f"expected a kernel for {platform.architecture} as the image's platform {platform} has it, found one for {told}",
                entry.path if entry else item.path,
                entry.layer if entry else None,
            )


def _version(item: KernelFile) -> str:
    if item.version is None:
        raise Undecided(f"neither the header nor the name of {item.path} has the kernel's version")
    return item.version


@check(
    id="COS016",
    name="kernel-modules-missing",
    level=Level.WARNING,
    summary="The root filesystem has no modules directory for the kernel.",
    why="""The machine boots with the drivers of its initrd only: other drivers (network, sound, file systems) do not work, and no initrd can be rebuilt.""",
    remedy="Install the modules of the kernel that boots, from its own package.",
    reads=READS,
    cure=boot_remedies.kernel_package,
)
def kernel_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for /lib/modules/<version>."""
    for item in _readable(context):
        version = _version(item)
        found = [
            path
            for top in MODULE_DIRECTORIES
            if context.rootfs.trace(path := f"{top}/{version}").entry is not None
        ]
        if not found:
            others = sorted(
                entry.name for top in MODULE_DIRECTORIES for entry in context.rootfs.glob(f"{top}/*")
            )
            there = f"found {', '.join(dict.fromkeys(others))}" if others else "found none"
            layer, evidence = context.removal(f"/lib/modules/{version}")
            yield Finding(
                f"expected modules for {version}, {there}", f"/lib/modules/{version}", layer, evidence
            )
        else:
            yield f"modules in {found[0]}"


@check(
    id="COS017",
    name="kernel-modules-unindexed",
    level=Level.WARNING,
    summary="The kernel's modules directory has no modules.dep.",
    why="modprobe finds nothing: existing drivers are not loaded, and dracut builds an initrd without them.",
    remedy="Index the modules of the kernel with depmod.",
    cure=boot_remedies.depmod,
)
def kernel_modules_unindexed(context: CheckContext) -> Iterator[Finding | str]:
    """Look for modules.dep."""
    seen = False
    for item in _readable(context):
        version = _version(item)
        for top in MODULE_DIRECTORIES:
            directory = context.rootfs.trace(f"{top}/{version}").entry
            if directory is None or directory.type != "dir":
                continue
            seen = True
            if not context.rootfs.exists(f"{directory.path}/modules.dep"):
                yield context.missing(
                    f"{directory.path}/modules.dep", "expected modules.dep, it is not there"
                )
            break
    if not seen:
        raise NotApplicable("there is no modules directory")
