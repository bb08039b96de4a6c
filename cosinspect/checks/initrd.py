"""Checks on the initrd that bootargs.cfg names: its path, whether the kernel can unpack it, and the kernel and machines that it was built for."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS, GRUB_LINK_LIMIT, dangling, missing, require_known, too_deep
from cosinspect.checks.lookup import spares_iso
from cosinspect.facts.drivers import loadable_drivers
from cosinspect.formats.boot.dracut import read_build_parameters
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.report.display import counted
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "GENERIC_DRIVERS",
    "initrd_compression_unsupported",
    "initrd_hostonly",
    "initrd_kernel_version",
    "initrd_link_dangling",
    "initrd_links_too_deep",
    "initrd_live_modules_missing",
    "initrd_missing",
    "initrd_module_left_out",
    "initrd_tail_ignored",
    "initrd_unreadable",
    "initrds_several",
    "microcode_missing",
]

READS = (
    "boot/initrd*",
    "boot/initramfs*",
    "boot/elemental.initrd*",
    "boot/config-*",
    "{usr/,}lib/modules/*/{config,modules.builtin}",
)

CANNOT_READ = frozenset({"unsupported", "limit"})
"""Kinds of faults of this reader and not of the initrd: LZO, and bounds that are reached."""

# Without these an initrd at best finds the disk of the machine that built it.
GENERIC_DRIVERS = ("ahci", "nvme", "sd_mod", "virtio_blk")
# Dracut modules that other checks report.
_JUDGED = {"dmsquash-live", "livenet"}


def opened(context: CheckContext) -> Iterator[tuple[str, Initrd]]:
    """Yield the initrds that a kernel can unpack; another check reports the others."""
    found = [(item.path, item.initrd) for item in context.facts.booted_initrds if item.initrd is not None]
    if not found:
        raise NotApplicable("there is no initrd to read")
    for path, initrd in found:
        if initrd.opaque:
            raise Undecided(f"{path} holds a part that cannot be read: {initrd.problems[0].message}")
        if not initrd.has_init:
            raise NotApplicable(f"{path} unpacks to no program that starts")
        if initrd.problems and not _lost_between_segments(initrd):
            raise NotApplicable(f"{path} cannot be unpacked to its end")
        if initrd.squashed:
            raise Undecided(f"{path} keeps its files in a filesystem image within it")
        yield path, initrd


def _lost_between_segments(initrd: Initrd) -> bool:
    """Return whether unpacking stops at the beginning of a segment, so that a kernel has all earlier ones."""
    complete = all(segment.compressed_size is not None for segment in initrd.segments)
    return complete and all(problem.kind in ("alignment", "magic") for problem in initrd.problems)


def about(context: CheckContext, path: str, message: str, *evidence: str) -> Finding:
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    step = (context.step(layer),) if layer is not None else ()
    return Finding(message, entry.path if entry is not None else path, layer, (*evidence, *step))


@check(
    id="COS020",
    name="initrd-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="There is no initrd at the path in bootargs.cfg.",
    why="GRUB prints `file not found` and does not start the kernel.",
    remedy="Build the initrd in the Dockerfile, after the toolkit's packages are installed, at the path that bootargs.cfg names.",
    reads=READS,
    spares=spares_iso,
    cure=boot_remedies.initrd_missing,
)
def initrd_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each path; another check reports broken links."""
    table = context.derivative
    if table is not None and not table.initrd_files:
        raise NotApplicable(f"{table.title} has no initrd of its own")
    yield from missing(context, "initrd", (item.trace for item in context.facts.initrds))
    require_known(context, "initramfs")


@check(
    id="COS021",
    name="initrd-link-dangling",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The link to the initrd is dangling, or forms a loop.",
    why="GRUB prints `file not found` and does not start the kernel.",
    remedy="Make the link point to the initrd, or build the initrd that it names.",
    reads=READS,
    spares=spares_iso,
    cure=boot_remedies.initrd_missing,
)
def initrd_link_dangling(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each path as GRUB's ext2 driver does."""
    yield from dangling(context, "initrd", (item.trace for item in context.facts.initrds))


@check(
    id="COS022",
    name="initrd-links-too-deep",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary=f"The path to the initrd has more than {GRUB_LINK_LIMIT} links.",
    why="GRUB prints `too deep nesting of symlinks` and does not start the kernel.",
    remedy="Link the initrd directly.",
    reads=READS,
    spares=spares_iso,
    cure=boot_remedies.links_directly,
)
def initrd_links_too_deep(context: CheckContext) -> Iterator[Finding | str]:
    """Count the links, including those of directories."""
    yield from too_deep(item.trace for item in context.facts.initrds)


@check(
    id="COS023",
    name="initrd-unreadable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel cannot unpack the initrd, or finds no /init in it.",
    why="The kernel panics: `VFS: Unable to mount root fs` or `No working init found`.",
    remedy="Build the initrd again with dracut, after the last step that changes the kernel or the toolkit.",
    reads=READS,
    cure=remedies.rebuilds(),
)
def initrd_unreadable(context: CheckContext) -> Iterator[Finding | str]:
    """Unpack it by the kernel's rules (init/initramfs.c)."""
    seen = False
    for item in context.facts.initrds:
        entry = item.trace.entry
        if entry is None:
            continue
        seen = True
        if entry.type != "file":
            yield Finding(f"expected an initrd, found a {entry.type}", entry.path, entry.layer)
        elif item.fault is not None and item.fault.kind in CANNOT_READ:
            raise Undecided(f"{item.path} cannot be read here: {item.fault.message}")
        elif item.fault is not None:
            yield about(context, item.path, item.fault.message)
        elif item.initrd is not None and item.initrd.opaque:
            raise Undecided(
                f"{item.path} holds a part that cannot be read: {item.initrd.problems[0].message}"
            )
        elif item.initrd is not None and not item.initrd.has_init:
            noted = tuple(f"byte {problem.offset}: {problem.message}" for problem in item.initrd.problems)
            yield about(
                context, item.path, "expected an executable /init in one of its archives, found none", *noted
            )
        elif item.initrd is not None and item.initrd.problems and not _lost_between_segments(item.initrd):
            # The kernel keeps the members before, but the members that a segment loses cannot be known.
            first = item.initrd.problems[0]
            yield about(
                context, item.path, f"the kernel stops unpacking at byte {first.offset}: {first.message}"
            )
        elif item.initrd is not None:
            parts = " + ".join(
                f"{segment.kind} ({segment.compression.value if segment.compression else 'plain'})"
                for segment in item.initrd.segments
            )
            yield f"{entry.path} unpacks to {counted(len(item.initrd.members), 'file')}: {parts}"
    if not seen:
        raise NotApplicable("there is no initrd to read")


@check(
    id="COS028",
    name="initrd-kernel-version",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd is built for another kernel.",
    why="The kernel finds no module in it (`Module dm_mod not found in directory`), so no disk, and the boot hangs.",
    remedy="Build the initrd for the kernel that boots.",
    reads=READS,
    cure=remedies.rebuilds("build the initrd for this kernel"),
)
def initrd_kernel_version(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the kernel's version with the modules in the initrd."""
    versions = [item.version for item in context.facts.kernels if item.kernel is not None]
    if not versions:
        raise NotApplicable("there is no kernel to compare with")
    for path, initrd in opened(context):
        for version in versions:
            if version is None:
                raise Undecided("neither the header nor the name of the kernel has its version")
            if version in initrd.kernel_versions:
                yield f"{path} has modules for {version}"
            else:
                found = ", ".join(initrd.kernel_versions) or "none"
                yield about(context, path, f"expected modules for {version} in the initrd, found {found}")


def drivers_in(context: CheckContext, initrd: Initrd) -> frozenset[str]:
    """Return the names of the modules in an initrd that the kernels of bootargs.cfg can load."""
    versions = {item.version for item in context.facts.kernels if item.version is not None}
    return loadable_drivers(initrd, versions)


@check(
    id="COS030",
    name="initrd-hostonly",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd is only for the machine that built it.",
    why="It has the drivers of the build container only: on another machine no disk is found, and the boot hangs.",
    remedy='Set hostonly="no" in /etc/dracut.conf.d, and build the initrd again.',
    reads=READS,
    cure=remedies.rebuilds("build the initrd for any machine", 'hostonly="no"', name="hostonly"),
)
def initrd_hostonly(context: CheckContext) -> Iterator[Finding | str]:
    """Look at dracut's arguments and at the drivers in the initrd; the configuration proves nothing."""
    for path, initrd in opened(context):
        arguments = initrd.build_parameters
        drivers = drivers_in(context, initrd)
        if arguments is not None and read_build_parameters(arguments).hostonly:
            yield about(
                context,
                path,
                "expected an initrd for any machine, dracut was called with -H",
                f"dracut {arguments}",
            )
        elif drivers and not drivers & set(GENERIC_DRIVERS) and not _any_builtin(context):
            yield about(
                context, path, f"expected drivers such as {', '.join(GENERIC_DRIVERS)}, found none of them"
            )
        else:
            yield f"{path} is not tied to one machine"


def _any_builtin(context: CheckContext) -> bool:
    for item in context.facts.kernels:
        builtin = context.facts.builtin_modules(item.version) if item.version else None
        if builtin is not None and builtin & set(GENERIC_DRIVERS):
            return True
    return False


@check(
    id="COS031",
    name="initrd-live-modules-missing",
    level=Level.WARNING,
    capabilities=(Capability.RECOVERY, Capability.ISO),
    summary="The initrd lacks the dracut modules that boot a squashfs.",
    why="Recovery from a squashfs and a live ISO do not find their root file system.",
    remedy="Make dracut add dmsquash-live and livenet to the initrd.",
    reads=READS,
    cure=boot_remedies.needs_dracut_modules("dmsquash-live", "livenet"),
)
def initrd_live_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read dracut's own list."""
    for path, initrd in opened(context):
        listed = initrd.dracut_modules
        if listed is None:
            raise Undecided(f"{path} lists no dracut modules")
        if "dmsquash-live" not in listed:
            absent = [name for name in ("dmsquash-live", "livenet") if name not in listed]
            yield about(
                context,
                path,
                f"expected the dracut modules {' and '.join(absent)}, they are not in its list",
            )
        else:
            yield f"dmsquash-live is in {path}"


@check(
    id="COS032",
    name="initrd-compression-unsupported",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel is built without the initrd's compression.",
    why="The kernel prints `Initramfs unpacking failed` and panics.",
    remedy="Choose a compression that the kernel supports, and build the initrd again.",
    reads=READS,
    cure=remedies.rebuilds("choose a compression that the kernel supports", 'compress="xz"', name="compress"),
)
def initrd_compression_unsupported(context: CheckContext) -> Iterator[Finding | str]:
    """Compare each segment with the kernel's configuration, if the image has it."""
    versions = [item.version for item in context.facts.kernels if item.version is not None]
    decided = False
    for path, initrd in opened(context):
        for version in versions:
            for option, what in sorted(_unpacking_options(initrd).items()):
                value = context.facts.kernel_option(version, option)
                decided = decided or value is not None
                if value == "n":
                    yield about(
                        context,
                        path,
                        f"expected a kernel that unpacks {what}, {option} is not set for {version}",
                    )
    if not decided:
        raise NotApplicable("the image has no kernel configuration to compare with")


def _unpacking_options(initrd: Initrd) -> dict[str, str]:
    """Return the options that a kernel needs to unpack an initrd, each with its format."""
    found = {}
    for segment in initrd.segments:
        if segment.compression is not None:
            kind = segment.compression.value
            # The kernel names each option after its format.
            found[f"CONFIG_RD_{kind.upper()}"] = kind
            found |= {f"CONFIG_XZ_DEC_{name}": f"xz with the filter {name}" for name in segment.filters}
    return found


@check(
    id="COS033",
    name="microcode-missing",
    level=Level.NOTE,
    summary="The initrd has no microcode for the processor.",
    why="Processors run with the microcode of their firmware, without the vendor's later fixes.",
    remedy="Install the microcode packages, and build the initrd again.",
    reads=READS,
    cure=remedies.rebuilds(
        "install the microcode and build the initrd again",
        'early_microcode="yes"',
        name="microcode",
        first=("microcode",),
    ),
)
def microcode_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for an early microcode archive."""
    platform = context.config.platform
    if platform is not None and platform.architecture not in ("amd64", "386"):
        raise NotApplicable(f"{platform.architecture} does not read microcode from an initrd")
    for path, initrd in opened(context):
        if initrd.microcode:
            yield f"microcode for {' and '.join(initrd.microcode)} in {path}"
        else:
            yield about(context, path, "expected an early microcode archive at the start, found none")


@check(
    id="COS034",
    name="initrd-tail-ignored",
    level=Level.WARNING,
    summary="The kernel does not unpack the initrd to its end.",
    why="""The kernel prints `Initramfs unpacking failed` and continues with the files so far; later files are missing.""",
    remedy="Pad the first archive with zero bytes to a multiple of 4 before another is appended, or build the initrd again.",
    reads=READS,
    cure=remedies.rebuilds(),
)
def initrd_tail_ignored(context: CheckContext) -> Iterator[Finding | str]:
    """Look for faults between two segments; another check reports faults within one."""
    for path, initrd in opened(context):
        for problem in initrd.problems:
            yield about(
                context, path, f"the kernel unpacks nothing from byte {problem.offset} on: {problem.message}"
            )


@check(
    id="COS055",
    name="initrd-module-left-out",
    level=Level.WARNING,
    summary="A dracut module that drop-ins name is not in the initrd.",
    why="""dracut omits a module whose needs are not met and prints one line, or the drop-in was added after the
        initrd was built: the module's function (disks over iSCSI, encryption) is missing at boot.""",
    remedy="Install what the module needs, and build the initrd in a step after the drop-in.",
    reads=(*READS, "etc/dracut.conf", "{etc,usr/lib/dracut}/dracut.conf.d/*.conf"),
    cure=remedies.rebuilds("build the initrd after the drop-in"),
)
def initrd_module_left_out(context: CheckContext) -> Iterator[Finding | str]:
    """Compare dracut's own list, modules.txt, with the merged drop-ins."""
    context.require_toolkit()
    settings = context.facts.dracut
    names = (*settings.words("force_add_dracutmodules"), *settings.words("add_dracutmodules"))
    wanted = {name for name in names if name not in settings.omit_dracutmodules} - _JUDGED
    wanted -= set(context.generation.dracut_module.split())
    if not wanted:
        raise NotApplicable("other checks look for every module that drop-ins name")
    for path, initrd in opened(context):
        listed = initrd.dracut_modules
        if listed is None:
            raise Undecided(f"{path} lists no dracut modules")
        if not any(module in listed for module in context.generation.dracut_module.split()):
            raise NotApplicable(f"{path} has no part of the toolkit")
        absent = sorted(wanted.difference(listed))
        if absent:
            (*_, last) = (
                settings.origins.get("add_dracutmodules") or settings.origins["force_add_dracutmodules"]
            )
            yield about(
                context,
                path,
                f"expected the dracut modules {', '.join(absent)} in its list, they are missing",
                f"the last drop-in that names modules is {last}",
            )
        else:
            yield f"{path} has every module that drop-ins name ({len(wanted)})"


@check(
    id="COS036",
    name="initrds-several",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY, Capability.ISO),
    summary="Another initrd comes before the one that boots, and elemental uses the first by name.",
    why="""elemental looks for /boot/elemental.initrd* and uses the first by name, and ignores the target of /boot/initrd: an initrd of an older kernel is written to disk beside the newer one, and the machine finds no modules for it.""",
    remedy="Delete the other initrds in the step that builds the initrd.",
    cure=remedies.deletes(),
)
def initrds_several(context: CheckContext) -> Iterator[Finding | str]:
    """Search as elemental does (elemental-toolkit v2, GetInitrdPatterns), and compare with what bootargs.cfg names."""
    if not subjects.searched_by_patterns(context.generation):
        raise NotApplicable(f"{context.generation.title} does not search by this name")
    files = [
        (entry, real)
        for entry in context.rootfs.glob("/boot/elemental.initrd*")
        if (real := context.rootfs.trace(entry.path).entry) is not None and real.type == "file"
    ]
    if not files:
        raise NotApplicable("no file has the name /boot/elemental.initrd*")
    first, real = files[0]
    named = {item.trace.entry.path for item in context.facts.initrds if item.trace.entry is not None}
    if named and real.path not in named:
        yield Finding(
            f"expected {', '.join(sorted(named))} to come first among /boot/elemental.initrd*, found {first.path}",
            first.path,
            first.layer,
            (context.step(first.layer), *(f"{entry.path} comes after it" for entry, _ in files[1:])),
        )
    else:
        yield f"{first.path} comes first of {len(files)}"
