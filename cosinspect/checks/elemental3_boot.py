"""Checks on the boot files of Elemental 3 (G6): the kernel that `elemental3ctl` uses, and the initrd beside it.

Each check names the file of SUSE/elemental at af2c437 that requires the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, links_of
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import CANNOT_READ
from cosinspect.facts.drivers import drivers_of, loadable_drivers
from cosinspect.facts.elemental3 import LINK_DEPTH, BootFiles, find_boot_files
from cosinspect.facts.facts import InitrdFile
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.report.evidence import Evidence
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Trace

__all__ = [
    "elemental3_esp_too_small",
    "elemental3_hmac_missing",
    "elemental3_ignition_missing",
    "elemental3_initrd_missing",
    "elemental3_initrd_unready",
    "elemental3_kernel_missing",
    "elemental3_kernel_unusable",
    "elemental3_live_modules_missing",
]

_READS = (
    "usr/lib/modules/*/{vmlinuz,Image,image,initrd}*",
    "usr/lib/modules/*/{modules.builtin,modules.dep,config}",
)
_ESP_MEBIBYTES = 1024
"""Size of the EFI system partition (pkg/deployment/deployment.go)."""
_SNAPSHOTS = 8
"""The number of snapshots whose kernel and initrd stay on it."""
_MEBIBYTE = 1024 * 1024
_SHOWN = 8


def _boot_files(context: CheckContext) -> BootFiles:
    """Search for the kernel.

    Raises:
        NotApplicable: Elemental 3 finds none, which is COS230.
    """
    found = find_boot_files(context.rootfs)
    if not found.kernel:
        raise NotApplicable("elemental3ctl finds no kernel")
    return found


def _initrd_file(context: CheckContext) -> InitrdFile:
    return context.facts.initrd_at(_boot_files(context).initrd)


def _initrd(context: CheckContext) -> tuple[str, Initrd]:
    """Unpack the initrd.

    Raises:
        NotApplicable: it is missing or cannot be unpacked, which is COS232 and COS234.
        Undecided: a part of it cannot be read here.
    """
    found = _initrd_file(context)
    initrd = found.initrd
    if initrd is None or not initrd.has_init:
        raise NotApplicable(f"{found.path} unpacks to no program that starts")
    if initrd.opaque or initrd.squashed:
        raise Undecided(f"{found.path} has files in an image that cannot be read")
    return found.path, initrd


@check(
    id="COS230",
    name="elemental3-kernel-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="elemental3ctl finds no kernel below /usr/lib/modules.",
    why="""Elemental 3 does not read /boot. It uses the last of /usr/lib/modules/*/{uImage,Image,zImage,vmlinuz,image}* by name and
        stops with `no kernels found`; a dangling link with such a name stops it too.""",
    remedy="Install the kernel's package, and leave its file vmlinuz in its directory of modules.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=boot_remedies.kernel_package,
    tags=("kernel",),
)
def elemental3_kernel_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Search as FindKernel does (pkg/sys/vfs/vfs.go)."""
    found = find_boot_files(context.rootfs)
    if found.broken is not None:
        yield remedies.with_cure(
            context, _broken_link(context, found.broken), remedies.deletes("delete the link")
        )
    elif not found.kernel:
        layer: int | None = None
        evidence: tuple[Evidence, ...] = ()
        for entry in context.rootfs.glob("/usr/lib/modules/*"):
            layer, evidence = context.removal(f"{entry.path}/vmlinuz")
        yield Finding(
            "expected a kernel `vmlinuz` in a directory of /usr/lib/modules, found none",
            "/usr/lib/modules",
            layer,
            evidence,
        )
    else:
        yield f"elemental3ctl uses the kernel {found.kernel}, version {found.version}"
        if len(found.names) > 1:
            yield f"it skips {', '.join(found.names[1:_SHOWN])}"


def _broken_link(context: CheckContext, trace: Trace) -> Finding:
    if trace.entry is None:
        return context.broken(
            trace, f"expected {trace.path} to lead to a kernel, it ends at {trace.at}, which does not exist"
        )
    return Finding(
        f"expected at most {LINK_DEPTH} links to a kernel, found {len(trace.hops)}",
        trace.path,
        trace.hops[-1].layer,
        links_of(trace),
    )


@check(
    id="COS231",
    name="elemental3-hmac-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel has no checksum file beside it.",
    why="elemental3ctl copies `.<kernel>.hmac` with the kernel, with and without FIPS, and fails without it.",
    remedy="Install a kernel package that ships the file, or write it with sha512hmac.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=boot_remedies.kernel_hmac,
    tags=("kernel",),
)
def elemental3_hmac_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look beside the selected kernel (vfs.go FindKernelHmac; pkg/bootloader/grub.go)."""
    found = _boot_files(context)
    if context.rootfs.exists(found.hmac):
        yield f"{found.hmac} is there"
    else:
        yield context.missing(
            found.hmac, f"expected {found.hmac} beside the kernel {found.kernel}, it is not there"
        )


@check(
    id="COS232",
    name="elemental3-initrd-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="There is no file `initrd` beside the kernel.",
    why="elemental3ctl accepts only this name in the kernel's directory and stops with `initrd not found`.",
    remedy="Build the initrd beside the kernel.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=remedies.rebuilds("build the initrd beside the kernel"),
    tags=("initrd",),
)
def elemental3_initrd_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look beside the selected kernel (pkg/bootloader/grub.go)."""
    found = _boot_files(context)
    trace = context.rootfs.trace(found.initrd)
    if trace.entry is None:
        yield context.broken(
            trace, f"expected {found.initrd} beside the kernel {found.kernel}, it is not there"
        )
    elif trace.entry.type != "file":
        yield Finding(
            f"expected {found.initrd} to be a file, found a {trace.entry.type}",
            found.initrd,
            trace.entry.layer,
        )
    else:
        yield f"initrd {trace.chain} (layer {trace.entry.layer})"


@check(
    id="COS233",
    name="elemental3-kernel-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel that elemental3ctl uses is not a Linux kernel for the image's architecture.",
    why="The boot loader refuses it: `invalid magic number`.",
    remedy="Install the kernel's package again, for the image's platform.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=boot_remedies.kernel_package,
    tags=("kernel",),
)
def elemental3_kernel_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Read the header of the selected kernel."""
    item = context.facts.kernel_at(_boot_files(context).kernel)
    entry, platform = item.trace.entry, context.config.platform
    layer = entry.layer if entry is not None else None
    if item.kernel is None:
        if item.fault is not None and item.fault.kind in CANNOT_READ:
            raise Undecided(f"{item.path} cannot be read here: {item.fault.message}")
        why = f" ({item.fault.message})" if item.fault is not None else ""
        yield Finding(f"expected a Linux kernel, found {item.description}{why}", item.path, layer)
    elif platform is not None and item.kernel.architecture not in (None, platform.architecture):
        yield Finding(
            f"expected a kernel for {platform.architecture}, found one for {item.kernel.architecture}",
            item.path,
            layer,
        )
    else:
        yield f"{item.path} is a Linux {item.version or ''} {item.kernel.kind}"


@check(
    id="COS234",
    name="elemental3-initrd-unready",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd cannot mount the root of Elemental 3.",
    why="""The root is a btrfs subvolume, and /etc, /var and /root come from mounts that systemd-fstab-generator makes in the initrd: without
        one of them the boot ends in the emergency shell.""",
    remedy="Build the initrd beside the kernel, with the dracut module btrfs.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=remedies.rebuilds("build the initrd with the dracut module btrfs", options="--add btrfs"),
    tags=("initrd",),
)
def elemental3_initrd_unready(context: CheckContext) -> Iterator[Finding | str]:
    """Unpack it; look for its kernel's modules, btrfs and the generator (pkg/deployment, snapper_upgrade_helper.go)."""
    boot = _boot_files(context)
    found = _initrd_file(context)
    entry = found.trace.entry
    if found.fault is not None and found.fault.kind in CANNOT_READ:
        raise Undecided(f"{found.path} cannot be read here: {found.fault.message}")
    if entry is None or entry.type != "file":
        raise NotApplicable(f"{found.path} is not there")
    if found.fault is not None or found.initrd is None or not found.initrd.has_init:
        why = found.fault.message if found.fault is not None else "it has no /init that can be executed"
        yield Finding(
            f"expected the kernel to unpack {found.path}: {why}",
            entry.path,
            entry.layer,
            (context.step(entry.layer),),
        )
        return
    path, initrd = _initrd(context)
    lacks = _lacks(context, boot, initrd)
    for what in lacks:
        yield Finding(f"expected {what} in {path}", entry.path, entry.layer, (context.step(entry.layer),))
    if not lacks:
        yield f"{path} holds btrfs and systemd-fstab-generator for {boot.version}"


def _lacks(context: CheckContext, boot: BootFiles, initrd: Initrd) -> list[str]:
    lacks = []
    if initrd.kernel_versions and boot.version not in initrd.kernel_versions:
        lacks.append(
            f"modules for the kernel {boot.version}, found those for {', '.join(initrd.kernel_versions)},"
        )
    if not _has_driver(context, boot, initrd, "btrfs"):
        lacks.append("the driver btrfs, which is not built into the kernel,")
    generators = ("usr/lib/systemd/system-generators", "lib/systemd/system-generators")
    places = [f"{top}/systemd-fstab-generator" for top in generators]
    faults = [
        context.facts.execution_in(initrd).fault(f"/{place}") for place in places if initrd.exists(place)
    ]
    if not faults:
        lacks.append("systemd-fstab-generator")
    elif faults[0] is not None and not faults[0].is_undecided:  # systemd skips it
        lacks.append(f"a systemd-fstab-generator that can be executed ({faults[0].reason})")
    return lacks


def _has_driver(context: CheckContext, boot: BootFiles, initrd: Initrd, name: str) -> bool:
    builtin = context.facts.builtin_modules(boot.version)
    drivers = drivers_of(initrd, boot.version, builtin)
    # Modules of another version alone are reported by themselves.
    return (
        drivers.has(name)
        if drivers is not None
        else name in loadable_drivers(initrd, ()) | (builtin or frozenset())
    )


@check(
    id="COS242",
    name="elemental3-live-modules-missing",
    level=Level.ERROR,
    capabilities=(Capability.RECOVERY, Capability.ISO),
    summary="The initrd cannot boot the recovery system or an ISO.",
    why="Both boot a squashfs with root=live:LABEL=...: without dmsquash-live, squashfs, overlay and loop the boot waits for its root forever.",
    remedy="Build the initrd beside the kernel, with the dracut module dmsquash-live.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=remedies.rebuilds(
        "build the initrd with the dracut module dmsquash-live", options="--add dmsquash-live"
    ),
)
def elemental3_live_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the dracut module and the drivers (pkg/installer/media.go, pkg/deployment/deployment.go)."""
    path, initrd = _initrd(context)
    boot = _boot_files(context)
    modules = initrd.dracut_modules
    if modules is not None and "dmsquash-live" not in modules:
        yield Finding(f"expected the dracut module dmsquash-live in {path}", path)
    for name in ("squashfs", "overlay", "loop"):
        if not _has_driver(context, boot, initrd, name):
            yield Finding(f"expected the driver {name} in {path}, which is not built into the kernel", path)
    yield f"{path} boots a squashfs"


@check(
    id="COS243",
    name="elemental3-ignition-missing",
    level=Level.WARNING,
    summary="The initrd has no ignition.",
    why="A machine that is installed with a configuration partition, as `elemental3 customize` makes it, starts without its configuration.",
    remedy="Install ignition with its dracut module, and build the initrd again.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=remedies.rebuilds(
        "install ignition and build the initrd with its dracut module",
        options="--add ignition",
        first=("ignition",),
    ),
)
def elemental3_ignition_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the dracut module."""
    path, initrd = _initrd(context)
    modules = initrd.dracut_modules
    if modules is None:
        raise Undecided(f"{path} does not list its dracut modules")
    if "ignition" in modules:
        yield f"{path} has ignition"
    else:
        yield Finding(f"expected the dracut module ignition in {path}, it is not there", path)


@check(
    id="COS248",
    name="elemental3-esp-too-small",
    level=Level.WARNING,
    summary="The EFI system partition does not hold the kernels of all snapshots.",
    why="The kernel and initrd of each snapshot are on a partition of 1024 MiB that never grows: an upgrade fails when it is full.",
    remedy="Build a smaller initrd (compress=zstd, no firmware that machines do not need), or keep fewer snapshots.",
    reads=_READS,
    applies=subjects.elemental3,
)
def elemental3_esp_too_small(context: CheckContext) -> Iterator[Finding | str]:
    """Add up kernel and initrd for the largest number of snapshots (pkg/deployment/deployment.go)."""
    boot = _boot_files(context)
    entries = [context.rootfs.trace(path).entry for path in (boot.kernel, boot.initrd)]
    each = sum(entry.size for entry in entries if entry is not None)
    total = each * _SNAPSHOTS // _MEBIBYTE
    if total > _ESP_MEBIBYTES:
        yield Finding(
            f"expected {_SNAPSHOTS} kernels and initrds to fit {_ESP_MEBIBYTES} MiB, they take {total} MiB",
            boot.initrd,
        )
    else:
        yield f"{_SNAPSHOTS} kernels and initrds take {total} MiB of {_ESP_MEBIBYTES} MiB"
