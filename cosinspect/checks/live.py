"""Checks on systems that run from a squashfs: the live system of an ISO, and the recovery system."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.grub import menu_path
from cosinspect.checks.initrd import READS, about, drivers_in, opened
from cosinspect.facts.boot_search import INITRD_PATTERNS, KERNEL_PATTERNS, find_by_pattern, on_host
from cosinspect.formats.boot.grub_syntax import walk_commands
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.profiles import boot_globs
from cosinspect.report.evidence import Line
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "drivers_of",
    "fsck_race",
    "live_drivers_missing",
    "mode_unrecognised",
    "recovery_boot_files_unreachable",
    "recovery_drivers_missing",
]

# Drivers by the name of their module, and the kernel's option that builds each in.
_OPTIONS = {
    "squashfs": "CONFIG_SQUASHFS",
    "loop": "CONFIG_BLK_DEV_LOOP",
    "isofs": "CONFIG_ISO9660_FS",
    "overlay": "CONFIG_OVERLAY_FS",
    "dm_snapshot": "CONFIG_DM_SNAPSHOT",
    "ena": "CONFIG_ENA_ETHERNET",
    "nvme": "CONFIG_BLK_DEV_NVME",
    "xen_netfront": "CONFIG_XEN_NETDEV_FRONTEND",
    "xen_blkfront": "CONFIG_XEN_BLKDEV_FRONTEND",
    "virtio_net": "CONFIG_VIRTIO_NET",
    "gve": "CONFIG_GVE",
    "virtio_scsi": "CONFIG_SCSI_VIRTIO",
}
_COMPRESSIONS = {"xz": "CONFIG_SQUASHFS_XZ", "zstd": "CONFIG_SQUASHFS_ZSTD", "gzip": "CONFIG_SQUASHFS_ZLIB"}


def drivers_of(context: CheckContext, present: frozenset[str], name: str) -> bool | None:
    """Return whether an initrd or the kernel has a driver; None if the initrd lacks it and the kernel's drivers are unknown."""
    if name in present:
        return True
    told = False
    for item in context.facts.kernels:
        if item.version is None:
            continue
        builtin = context.facts.builtin_modules(item.version)
        if builtin is not None and name in {each.replace("-", "_") for each in builtin}:
            return True
        option = context.facts.kernel_option(item.version, _OPTIONS[name])
        if option == "y":
            return True
        told = told or builtin is not None or option is not None
    return False if told else None


def _drivers(
    context: CheckContext, wanted: tuple[tuple[str, ...], ...], what: str
) -> Iterator[Finding | str]:
    """Look for one of each group of drivers in the initrd or the kernel."""
    for path, initrd in opened(context):
        present = drivers_in(context, initrd)
        for names in wanted:
            found = [drivers_of(context, present, name) for name in names]
            if any(found):
                continue
            if None in found:
                raise Undecided(
                    f"{' or '.join(names)} is not in {path}, and it is unknown whether the kernel has it built in"
                )
            yield about(
                context, path, f"expected the driver {' or '.join(names)} for {what}, it is not there"
            )
        yield f"{path} has the drivers for {what}"


def _compression(context: CheckContext) -> Iterator[Finding | str]:
    """Read the kernel's configuration: mksquashfs is called with `-comp xz` unless the configuration of elemental names another compression."""
    named = _compressions(context)
    if not any(item.version for item in context.facts.kernels):
        return  # other checks report the kernel
    decided = False
    for item in context.facts.kernels:
        for name in named:
            option = _COMPRESSIONS[name]
            value = context.facts.kernel_option(item.version, option) if item.version else None
            if value == "n":
                entry = item.trace.entry
                yield Finding(
                    f"expected a kernel that reads a squashfs of {name}, {option} is not set for {item.version}",
                    item.path,
                    entry.layer if entry is not None else None,
                )
            decided = decided or value is not None
    if not decided:
        raise Undecided(
            f"the image has no kernel configuration, so it is unknown whether a squashfs of {' or '.join(named)} can be read"
        )


def _compressions(context: CheckContext) -> tuple[str, ...]:
    for entry in context.rootfs.glob("/etc/elemental/config.d/*.yaml"):
        text = context.facts.text(entry.path).text or ""
        if "squash-compression" in text or "squash-no-compression" in text:
            return tuple(name for name in _COMPRESSIONS if name in text) or ("gzip",)
    return ("xz",)


@check(
    id="COS219",
    name="live-drivers-missing",
    level=Level.WARNING,
    capabilities=(Capability.ISO,),
    summary="Neither the initrd nor the kernel has a driver that a live system needs.",
    why="""The live system of an ISO is a squashfs in an ISO 9660 file system, with a writable layer over it: without one of the drivers the boot
        ends in dracut's emergency shell.""",
    remedy="Make dracut add dmsquash-live to the initrd.",
    reads=READS,
    applies=subjects.toolkit,
    cure=boot_remedies.needs_dracut_modules("dmsquash-live"),
)
def live_drivers_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the drivers that dracut's dmsquash-live loads, and for the kernel's squashfs with xz."""
    own: tuple[tuple[str, ...], ...] = (("isofs",), ("overlay", "dm_snapshot"))
    if context.deployment.recovery_squashfs:  # another check looks for the same drivers for recovery
        yield from _drivers(context, own, "a live system")
        return
    yield from _drivers(context, (("squashfs",), ("loop",), *own), "a live system")
    yield from _compression(context)


@check(
    id="COS221",
    name="recovery-drivers-missing",
    level=Level.WARNING,
    capabilities=(Capability.RECOVERY, Capability.ISO),
    summary="Neither the initrd nor the kernel mounts the recovery system's squashfs.",
    why="The recovery system of toolkit v2 is a squashfs in a file, as the live system is: the boot ends in dracut's emergency shell.",
    remedy="Make dracut add the drivers squashfs and loop to the initrd.",
    reads=READS,
    applies=lambda table: table.deployment.recovery_squashfs,
    cure=boot_remedies.needs_drivers("squashfs", "loop"),
)
def recovery_drivers_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for squashfs and loop, and for the kernel's squashfs with xz."""
    yield from _drivers(context, (("squashfs",), ("loop",)), "the recovery system")
    yield from _compression(context)


@check(
    id="COS220",
    name="mode-unrecognised",
    level=Level.NOTE,
    summary="No cloud-config has a step for the live system or for the recovery system.",
    why="""Both boot: a live system does not read the cloud-configs of its medium, and no message says that this is the recovery system. Reset
    does not need the step: elemental reads the command line, and toolkit v2 a file that the initrd writes.""",
    remedy="Install the toolkit's cloud-configs for the live system and for recovery.",
    applies=subjects.deployed_by_elemental,
    cure=remedies.from_toolkit("cloud-configs", "install the toolkit's cloud-configs"),
)
def mode_unrecognised(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the sentinel files of both modes in the cloud-configs."""
    files = context.cloud_configs.files
    if not files:
        raise NotApplicable("the image has no cloud-config")
    texts = [context.facts.text(item.path).text or "" for item in files if not item.refusal]
    for mode in ("recovery", "live"):
        if any(f"{mode}_mode" in text for text in texts):
            yield f"a cloud-config has a step for the {mode} system"
        else:
            yield Finding(
                f"expected a cloud-config with a step for the {mode} system, found none", "/system/oem"
            )


@check(
    id="COS222",
    name="recovery-boot-files-unreachable",
    level=Level.ERROR,
    capabilities=(Capability.RECOVERY,),
    summary="The recovery entry of the menu does not find bootargs.cfg, the kernel or the initrd.",
    why="""elemental (toolkit v2) copies kernel, initrd and /etc/elemental/bootargs.cfg into the directory boot of the recovery partition; a
    bootargs.cfg that is only at /etc/cos is ignored silently, and files that it names at other paths are missing: GRUB prints
        `you need to load the kernel first`.""",
    remedy="Keep bootargs.cfg at /etc/elemental, and set kernel=/boot/vmlinuz and initramfs=/boot/initrd in it.",
    reads=boot_globs(),
    applies=lambda table: table.recovery_copied,
    cure=remedies.from_toolkit("menu", "install the toolkit's bootargs.cfg"),
)
def recovery_boot_files_unreachable(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the paths in bootargs.cfg with the copied files (elemental-toolkit v2, pkg/elemental DeployRecoverySystem)."""
    script = context.facts.grub_script(menu_path(context))
    if script is None or context.facts.bootargs is None:
        raise NotApplicable("there is no menu, or no bootargs.cfg; other checks report that")
    words = [[word.raw.strip("\"'") for word in each.words] for each in walk_commands(script.scripts)]
    if not any(each[0] in {"source", "."} and each[-1].endswith(")/boot/bootargs.cfg") for each in words):
        yield "the menu's recovery entry reads bootargs.cfg from the image"
        return
    bootargs = context.generation.bootargs
    entry, why = on_host(context.rootfs, bootargs)
    if entry is None:
        finding = context.missing(bootargs, f"expected {bootargs} for the recovery system: {why}")
        yield finding
        return
    facts = context.facts
    for what, patterns, items in (
        ("kernel", KERNEL_PATTERNS, [item.path for item in facts.kernels]),
        ("initrd", INITRD_PATTERNS, [item.path for item in facts.initrds]),
    ):
        found = find_by_pattern(context.rootfs, patterns)
        if found.fault:
            continue  # another check reports it
        links = ("vmlinuz", "linux") if what == "kernel" else ("initrd",)
        there = {f"/boot/{name}" for name in (*links, posixpath.basename(found.path))}
        for path in items:
            if posixpath.normpath(f"/{path.lstrip('/')}") in there:
                yield f"{path} is in the recovery partition"
            else:
                yield Finding(
                    f"expected the {what} of the recovery system at {' or '.join(sorted(there))}, bootargs.cfg names {path}",
                    bootargs,
                    entry.layer,
                    (context.step(entry.layer),),
                )


@check(
    id="COS228",
    name="fsck-race",
    level=Level.WARNING,
    summary="The check of file systems races with the mount of the state partition.",
    why="""`fsck.mode=force` has dracut check every partition while the state partition is being mounted: if the check comes first, the mount fails, and the boot ends in the emergency shell. On a quiet machine three of four boots did.""",
    remedy="Remove fsck.mode=force from bootargs.cfg, or order the mount after dracut-initqueue.service.",
    reads=READS,
    applies=lambda table: table.sysroot_generator != "",
    cure=boot_remedies.takes_out_argument("fsck.mode=force"),
)
def fsck_race(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the argument in the kernel command line, and for the order in the generator of the initrd."""
    if context.facts.bootargs is None:
        raise NotApplicable("there is no bootargs.cfg")
    if context.facts.boot_bound:
        raise Undecided(f"the command lines are undecided: {context.facts.boot_bound}")
    try:
        forced = any(
            (each.key, each.value) == ("fsck.mode", "force")
            for state in context.facts.boot_states
            for way in state.ways
            for each in way.boot.command_line.parameters
        )
    except GrubBound as bound:
        raise Undecided(f"a command line is undecided: {bound}") from bound
    line = context.facts.bootargs_line("kernelcmd")
    if not forced:
        yield "no kernel command line forces a check"
        return
    generator = context.generation.sysroot_generator
    for path, initrd in opened(context):
        if initrd.lookup(generator) is None:
            raise NotApplicable(f"{path} mounts the state partition in another way")
        if b"dracut-initqueue" in initrd.read(generator):
            yield f"{path} mounts the state partition after the check"
        else:
            trace = context.rootfs.trace(context.facts.bootargs_path)
            layer = trace.entry.layer if trace.entry is not None else None
            yield Finding(
                "expected no fsck.mode=force, because the initrd does not order the mount after the check",
                context.facts.bootargs_path,
                layer,
                (Line(context.facts.bootargs_path, line),) if line is not None else (),
            )
