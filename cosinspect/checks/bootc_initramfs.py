"""Check on the initramfs of a bootc image: whether it is for this image, its kernel, and any machine."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.drivers import DISK_DRIVERS, missing_needs, unindexed
from cosinspect.checks.initrd import about, opened
from cosinspect.facts.drivers import drivers_of
from cosinspect.formats.boot.dracut import read_build_parameters
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.report.report import Capability, Finding, Level

__all__ = ["bootc_initramfs_foreign"]

# The programs that mount the deployment in the initrd: ostree's, or bootc's own.
_PREPARES = (
    *(
        "usr/lib/ostree/ostree-prepare-root",
        "usr/libexec/ostree/ostree-prepare-root",
        "usr/sbin/ostree-prepare-root",
    ),
    *(
        "usr/lib/bootc/initramfs-setup",
        "usr/libexec/bootc/initramfs-setup",
        "usr/lib/composefs/composefs-setup-root",
    ),
    *("usr/bin/composefs-setup-root", "usr/bin/bootc", "usr/sbin/bootc"),
)


@check(
    id="COS189",
    name="bootc-initramfs-foreign",
    level=Level.ERROR,
    capabilities=(Capability.BOOT, Capability.INSTALL, Capability.UPGRADE),
    summary="The initramfs is not for this image: it cannot mount a deployment, is for another kernel, or finds no disk.",
    why="""bootc copies it unchanged. Without the dracut module ostree or bootc the boot ends in the emergency shell. With the modules of
    another kernel or of the build container no disk appears.""",
    remedy="Build the initramfs after the last step that changes the kernel, with the dracut module ostree.",
    reads=(
        "usr/lib/modules/*/{vmlinuz,initramfs.img,modules.builtin,modules.dep,config}",
        "boot/EFI/Linux/*.efi",
    ),
    applies=subjects.bootc,
    cure=remedies.rebuilds("build the initramfs with the dracut module ostree", options="--add ostree"),
)
def bootc_initramfs_foreign(context: CheckContext) -> Iterator[Finding | str]:
    """Read each initramfs beside a kernel, or that of the unified kernel image."""
    if len(context.facts.booted_initrds) > 1:
        raise NotApplicable("there is more than one kernel, which another check reports")
    for path, initrd in opened(context):
        found = [*_unprepared(context, path, initrd), *_undriven(context, path, initrd)]
        yield from found
        if not found:
            yield f"{path} mounts a deployment, on any machine"


def _unprepared(context: CheckContext, path: str, initrd: Initrd) -> Iterator[Finding]:
    if any(_runs(initrd, place) for place in _PREPARES):
        return
    listed = initrd.dracut_modules
    yield about(
        context,
        path,
        "expected the dracut module ostree or bootc in the initramfs, found the program of neither",
        *((f"its dracut modules: {' '.join(listed)}",) if listed is not None else ()),
    )


def _undriven(context: CheckContext, path: str, initrd: Initrd) -> Iterator[Finding]:
    version = context.facts.version_beside(path)
    if version is None:
        raise Undecided(f"the version of the kernel in {path} is unknown")
    arguments = initrd.build_parameters
    if arguments is not None and read_build_parameters(arguments).hostonly:
        yield about(
            context,
            path,
            "expected an initramfs for any machine, dracut was called with -H",
            f"dracut {arguments}",
        )
    drivers = drivers_of(initrd, version, context.facts.builtin_modules(version))
    if drivers is None:
        found = ", ".join(initrd.kernel_versions) or "none"
        if found == "none" and context.facts.builtin_modules(version) is None:
            raise Undecided(f"{path} has no modules, and it is unknown which drivers {version} has built in")
        yield about(context, path, f"expected modules for {version} in the initramfs, found {found}")
        return
    yield from unindexed(context, path, drivers)
    names = ["virtio_scsi", *(name for each in DISK_DRIVERS.values() for name in each)]
    if drivers.builtin is None and not any(drivers.has(name) for name in names):
        raise Undecided(f"it is unknown which drivers {version} has built in")
    if not any(drivers.has(name) and not list(missing_needs(context, drivers, name)) for name in names):
        yield about(
            context,
            path,
            f"expected a driver of any disk such as {', '.join(names[:4])}, found none that can be loaded",
        )


def _runs(initrd: Initrd, path: str) -> bool:
    member = initrd.lookup(path)
    return member is not None and member.type == "file" and member.size > 0 and bool(member.mode & 0o111)
