"""Checks on the drivers in the initrd: modprobe finds them, none is missing, and they cover every kind of disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cosinspect.checks import boot_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import GENERIC_DRIVERS, READS, about, opened
from cosinspect.facts.drivers import Drivers, drivers_of, needs_by_name
from cosinspect.facts.facts import MODULE_DIRECTORIES
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.boot.module_index import read_dependencies
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level

__all__ = [
    "DISK_DRIVERS",
    "drivers_for",
    "initrd_disk_drivers_missing",
    "initrd_driver_missing",
    "initrd_modules_unindexed",
    "missing_needs",
    "unindexed",
]

DISK_DRIVERS: Mapping[str, tuple[str, ...]] = {
    "virtio disks of virtual machines": ("virtio_blk",),
    "NVMe disks": ("nvme",),
    "SATA disks": ("ahci",),
    "SCSI and USB disks": ("sd_mod",),
}
"""Kinds of disks, each with its drivers; one of them is enough."""

_BESIDE = "/usr/lib/modules/"
# The drivers that find the root: the file systems of partition and image, and the loop device of the image.
_WANTED = {
    "ext4": ("ext4", "no partition of the disk can be mounted: the wait for the root device times out"),
    "loop": ("loop", "the image file on the disk does not become a device: the boot hangs"),
}
# Each of these modules provides the transform crc32c, which file systems request by that name.
_TRANSFORMS = {
    "crc32c": (
        "crc32c_generic",
        "crc32c_intel",
        "crc32c_arm64",
        "crc32c_vpmsum",
        "crc32c_s390",
        "crc32c",
        "crc32_s390",
        "crc32c_cryptoapi",
    )
}


def drivers_for(context: CheckContext, path: str, initrd: Initrd) -> Iterator[Drivers]:
    """Return the drivers of an initrd for each kernel that boots with it; empty if it is for another kernel, which another check reports."""
    if path.startswith(_BESIDE) or path.endswith(".efi"):  # the kernel beside it or in the same file
        versions: Iterable[str | None] = [context.facts.version_beside(path)]
    else:
        versions = dict.fromkeys(item.version for item in context.facts.kernels if item.kernel is not None)
    for version in versions:
        if version is None:
            raise Undecided("neither the header nor the name of the kernel has its version")
        found = drivers_of(initrd, version, context.facts.builtin_modules(version))
        if found is not None:
            yield found


def missing_needs(context: CheckContext, drivers: Drivers, name: str) -> Iterator[str]:
    """Return the modules that a driver needs and the initrd lacks, each with a phrase about what is missing."""
    for each in drivers.absent_for(name, _root_needs(context, drivers.version)):
        yield f"{each}, which {name} needs"
    for wanted in drivers.soft.get(name, ()):
        providers = _TRANSFORMS.get(wanted.removeprefix("crypto-"))
        if providers and drivers.builtin is not None and not any(drivers.has(one) for one in providers):
            yield f"{wanted}, without which {name} cannot mount"


def _root_needs(context: CheckContext, version: str) -> Mapping[str, tuple[str, ...]]:
    for directory in MODULE_DIRECTORIES:
        text = context.facts.text(f"{directory}/{version}/modules.dep").text
        if text is not None:
            return needs_by_name(read_dependencies(text))
    return {}


def _opened(context: CheckContext) -> Iterator[tuple[str, Drivers]]:
    if not context.facts.generation:
        raise NotApplicable("no generation is evident")
    found = [
        (path, drivers) for path, initrd in opened(context) for drivers in drivers_for(context, path, initrd)
    ]
    if not found:
        raise NotApplicable("the initrd has no modules for the kernel")
    yield from found


def unindexed(context: CheckContext, path: str, drivers: Drivers) -> Iterator[Finding]:
    """Find faults that prevent modprobe and udev from loading the modules of an initrd."""
    if not drivers.modules:
        return
    if drivers.fault:
        there = "it is not there" if drivers.fault == "the initrd has no such file" else drivers.fault
        yield about(
            context,
            path,
            f"expected /{drivers.index} in the initrd beside {counted(len(drivers.modules), 'module')}, {there}",
        )
    elif not drivers.aliases:
        yield about(
            context,
            path,
            f"expected /{drivers.directory}/modules.alias.bin in the initrd, with which udev loads drivers, it is missing",
        )
    elif not drivers.has_rules and _loads_disks(drivers):
        yield about(
            context,
            path,
            "expected udev's rules 80-drivers.rules in the initrd, by which it loads the drivers of disks, they are missing",
        )


def _loads_disks(drivers: Drivers) -> bool:
    """Return whether udev has to load the driver of every controller of disks; sd_mod finds no disk without one."""
    kinds = DISK_DRIVERS.values()
    names = {name for kind in kinds for name in kind if name != "sd_mod" and drivers.has(name)}
    ready = (drivers.builtin or frozenset()) | (drivers.early if drivers.early is not None else names)
    return bool(names) and not names & ready


@check(
    id="COS186",
    name="initrd-modules-unindexed",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd has kernel modules, but no index with which modprobe and udev find them.",
    why="""modprobe prints `Module ... not found in directory`, udev loads no driver: no disk appears, and the boot hangs until the wait for the
        root device times out.""",
    remedy="Install kmod and the kernel's modules, index them with depmod, and build the initrd again.",
    reads=READS,
    universal=True,
    cure=boot_remedies.index_modules,
)
def initrd_modules_unindexed(context: CheckContext) -> Iterator[Finding | str]:
    """Read modules.dep.bin as kmod does, or modules.dep if modprobe is busybox."""
    if (table := context.table) is not None and table.own_initrd_checks:
        raise NotApplicable(f"another check looks into the initramfs of a {table.title} image")
    for path, drivers in _opened(context):
        if drivers.unread:
            raise Undecided(f"/{drivers.index} of {path} is larger than the limit")
        yield from unindexed(context, path, drivers)
        if not drivers.fault:
            yield f"/{drivers.index} of {path} lists {counted(len(drivers.needs), 'module')}"


@check(
    id="COS187",
    name="initrd-driver-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A driver that finds and mounts the root, or a module that it needs, is not in the initrd.",
    why="""Without ext4 no partition can be mounted, without loop the image on it does not become a device; a driver without the modules that it needs
    does not load. The boot hangs without a message on the console.""",
    remedy="Make dracut add the drivers to the initrd.",
    reads=(*READS, "{usr/,}lib/modules/*/modules.dep"),
)
def initrd_driver_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each driver, built in or as a module, with what its entry in modules.dep names."""
    for path, drivers in _opened(context):
        bad = False
        for name, effect in _WANTED.values():
            if drivers.builtin is not None and name in drivers.builtin:
                continue
            if name not in drivers.modules:
                if (
                    drivers.builtin is None
                    and context.facts.kernel_option(drivers.version, _OPTIONS[name]) != "m"
                ):
                    raise Undecided(
                        f"{name} is not in {path}, and it is unknown whether the kernel has it built in"
                    )
                bad = True
                finding = about(
                    context, path, f"expected the driver {name} in the initrd, it is missing: {effect}"
                )
                yield remedies.with_cure(context, finding, boot_remedies.needs_drivers(name))
                continue
            if not drivers.has_modprobe and drivers.early is not None and name not in drivers.early:
                bad = True
                yield about(
                    context,
                    path,
                    f"expected modprobe in the initrd, with which the kernel loads {name}, it is not there: {effect}",
                )
            if drivers.is_unlisted(name):
                bad = True
                yield about(
                    context, path, f"expected an entry for {name} in /{drivers.index}, it has none: {effect}"
                )
            for missing in missing_needs(context, drivers, name):
                bad = True
                finding = about(context, path, f"expected {missing}, in the initrd, it is missing: {effect}")
                yield remedies.with_cure(context, finding, boot_remedies.needs_drivers(name))
        if not bad:
            yield f"{' and '.join(name for name, _ in _WANTED.values())} are in {path} or built into {drivers.version}"


def _is_loaded(context: CheckContext, drivers: Drivers, name: str) -> bool:
    """Return whether a driver is built in, or a module that udev or systemd loads, with what it needs."""
    early = drivers.has_rules or name in (drivers.builtin or ()) or name in (drivers.early or ())
    return early and drivers.has(name) and not list(missing_needs(context, drivers, name))


_OPTIONS = {"ext4": "CONFIG_EXT4_FS", "loop": "CONFIG_BLK_DEV_LOOP"}


@check(
    id="COS188",
    name="initrd-disk-drivers-missing",
    level=Level.WARNING,
    summary="The initrd finds the disks of some machines only.",
    why="On a machine whose disk is of another kind no disk appears, and the boot hangs until the wait for the root device times out.",
    remedy="Build the initrd for any machine, or make dracut add the drivers to it.",
    reads=(*READS, "{usr/,}lib/modules/*/modules.dep"),
    universal=True,
)
def initrd_disk_drivers_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a driver of each kind of disk, built in or as a module, with what it needs."""
    if (table := context.table) is not None and table.own_initrd_checks:
        raise NotApplicable(f"another check looks into the initramfs of a {table.title} image")
    for path, drivers in _opened(context):
        absent: dict[str, tuple[str, ...]] = {}
        for kind, names in DISK_DRIVERS.items():
            if any(_is_loaded(context, drivers, name) for name in names):
                continue
            if drivers.builtin is None and not any(drivers.has(name) for name in names):
                raise Undecided(f"it is unknown which drivers {drivers.version} has built in")
            absent[kind] = names
        if not any(drivers.has(name) for name in GENERIC_DRIVERS):
            raise NotApplicable(f"{path} is for one machine, which another check reports")
        for kind, names in absent.items():
            finding = about(
                context,
                path,
                f"expected a driver for {kind} ({' or '.join(names)}), found none that can be loaded",
            )
            yield remedies.with_cure(context, finding, boot_remedies.needs_drivers(*names))
        if not absent:
            yield f"{path} has drivers for {', '.join(DISK_DRIVERS)}"
