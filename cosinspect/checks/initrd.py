"""Checks on the initrd that bootargs.cfg names: opened, and shown to hold what boots a derivative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.kernel import BOOTS, GRUB_LINK_LIMIT, by_links
from cosinspect.errors import FormatError
from cosinspect.formats.dracut import read_build_parameters
from cosinspect.formats.initrd import Initrd
from cosinspect.formats.shell import functions, read_shell_script
from cosinspect.formats.systemd import exec_commands, read_unit
from cosinspect.report import Capability, Finding, Level

__all__ = [
    "initrd_command_degraded",
    "initrd_command_missing",
    "initrd_compression_unsupported",
    "initrd_hostonly",
    "initrd_kernel_version",
    "initrd_link_dangling",
    "initrd_links_too_deep",
    "initrd_live_modules_missing",
    "initrd_missing",
    "initrd_overlay_missing",
    "initrd_part_missing",
    "initrd_unreadable",
    "initrd_without_cos",
    "microcode_missing",
]

READS = (
    "boot/initrd*",
    "boot/initramfs*",
    "boot/elemental.initrd*",
    "boot/config-*",
    "{usr/,}lib/modules/*/{config,modules.builtin}",
)
REBUILD = "Build the initrd in the Dockerfile after the cOS packages: RUN dracut -f /boot/initrd-<version> <version>"

_BIN_DIRECTORIES = ("usr/sbin", "usr/bin", "sbin", "bin")
_UNIT_DIRECTORIES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
# Commands without which the machine still comes up, as boots without them showed: findmnt only fills a field of
# fstab, rsync serves PERSISTENT_STATE_BIND only.
_DISPENSABLE = frozenset({"findmnt", "rsync"})
# What dracut's libraries define, for initrds from which they cannot be read.
_DRACUT_FUNCTIONS = frozenset(
    [
        "getarg",
        "getargs",
        "getargbool",
        "getargnum",
        "getcmdline",
        "info",
        "warn",
        "warning",
        "die",
        "emergency_shell",
        "wait_for_dev",
        "cancel_wait_for_dev",
        "dev_unit_name",
        "ismounted",
        "str_starts",
        "str_ends",
        "str_replace",
        "strstr",
        "strglob",
        "strglobin",
        "trim",
        "inst_hook",
        "source_hook",
        "source_all",
        "check_finished",
        "need_shutdown",
        "modprobe_load",
        "label_uuid_to_dev",
        "udevproperty",
        "ask_for_password",
        "mkuniqdir",
        "copytree",
        "killall_proc_mountpoint",
        "fix_bootif",
        "isroot",
        "setup_net",
        "splitsep",
        "foreach_uuid_until",
        "debug_on",
        "debug_off",
        "vwarn",
        "vinfo",
        "check_quiet",
        "usable_root",
        "inst_key_val",
        "wait_for_loginit",
    ]
)
# Without these an initrd finds the disk of the machine it was built on at best.
_GENERIC_DRIVERS = ("ahci", "nvme", "sd_mod", "virtio_blk")
_OPTIONS = {
    "gzip": "GZIP",
    "bzip2": "BZIP2",
    "lzma": "LZMA",
    "xz": "XZ",
    "lzo": "LZO",
    "lz4": "LZ4",
    "zstd": "ZSTD",
}


def _opened(context: CheckContext) -> Iterator[tuple[str, Initrd]]:
    """Give the initrds that could be read whole; the others are another check's."""
    found = [(item.path, item.initrd) for item in context.facts.initrds if item.initrd is not None]
    if not found:
        raise NotApplicable("there is no initrd to look into")
    for path, initrd in found:
        if initrd.opaque:
            raise Undecided(f"{path} holds a part that cannot be read: {initrd.problems[0].message}")
        if initrd.squashed:
            raise Undecided(f"{path} keeps its files in a filesystem image within it")
        if not initrd.has_init:
            raise NotApplicable(f"{path} unpacks to nothing that starts")
        yield path, initrd


def _with_cos(context: CheckContext) -> Iterator[tuple[str, Initrd]]:
    """Give the initrds that have anything of the cOS module; without any of it, one check says so."""
    for path, initrd in _opened(context):
        if not _has_any(context, initrd):
            raise NotApplicable(f"{path} has nothing of the module {context.generation.dracut_module}")
        yield path, initrd


def _has_any(context: CheckContext, initrd: Initrd) -> bool:
    names = initrd.dracut_modules
    return any(initrd.exists(path) for group in context.generation.initrd_files for path in group) or (
        names is not None and context.generation.dracut_module in names
    )


def _file(
    context: CheckContext, path: str, message: str, *evidence: str, remedy: str | None = None
) -> Finding:
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    step = (context.step(layer),) if layer is not None else ()
    return Finding(message, entry.path if entry is not None else path, layer, (*evidence, *step), remedy)


@check(
    id="COS020",
    name="initrd-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="There is no initrd where bootargs.cfg says.",
    why="GRUB prints `file not found` and does not start the kernel.",
    remedy=f"{REBUILD}, and link it: RUN ln -sf initrd-<version> /boot/initrd",
    reads=READS,
)
def initrd_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each path; one that ends in a broken link is another check's."""
    for item in context.facts.initrds:
        if item.trace.entry is None and not by_links(item.trace):
            yield context.missing(item.path, f"expected an initrd at {item.path}, nothing is there")
        elif item.trace.entry is not None:
            yield f"initrd {item.trace.chain} (layer {item.trace.entry.layer})"


@check(
    id="COS021",
    name="initrd-link-dangling",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The link to the initrd points to nothing, or in a circle.",
    why="GRUB prints `file not found` and does not start the kernel.",
    remedy="Make the link point to the initrd: RUN ln -sf initrd-<version> /boot/initrd",
    reads=READS,
)
def initrd_link_dangling(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each path as GRUB's ext2 driver does."""
    for item in context.facts.initrds:
        if item.trace.entry is None and by_links(item.trace):
            what = "they go in a circle" if item.trace.problem == "loop" else f"{item.trace.at} is not there"
            yield context.broken(
                item.trace, f"expected an initrd behind {item.path}, the links end nowhere: {what}"
            )


@check(
    id="COS022",
    name="initrd-links-too-deep",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary=f"The initrd lies behind more than {GRUB_LINK_LIMIT} links.",
    why="GRUB prints `too deep nesting of symlinks` and does not start the kernel.",
    remedy="Link the initrd directly: RUN ln -sf initrd-<version> /boot/initrd",
    reads=READS,
)
def initrd_links_too_deep(context: CheckContext) -> Iterator[Finding | str]:
    """Count the links, those of directories included."""
    for item in context.facts.initrds:
        if item.trace.entry is not None and len(item.trace.hops) > GRUB_LINK_LIMIT:
            yield Finding(
                f"expected at most {GRUB_LINK_LIMIT} links, found {len(item.trace.hops)}",
                item.path,
                item.trace.hops[-1].layer,
                tuple(str(hop) for hop in item.trace.hops),
            )


@check(
    id="COS023",
    name="initrd-unreadable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel cannot unpack the initrd, or finds no /init in it.",
    why="The kernel panics: `VFS: Unable to mount root fs` or `No working init found`.",
    remedy=REBUILD,
    reads=READS,
)
def initrd_unreadable(context: CheckContext) -> Iterator[Finding | str]:
    """Unpack it by the kernel's rule (init/initramfs.c)."""
    seen = False
    for item in context.facts.initrds:
        entry = item.trace.entry
        if entry is None:
            continue
        seen = True
        if entry.type != "file":
            yield Finding(f"expected an initrd, found a {entry.type}", entry.path, entry.layer)
        elif item.fault is not None:
            yield _file(context, item.path, item.fault.message)
        elif item.initrd is not None and item.initrd.opaque:
            raise Undecided(
                f"{item.path} holds a part that cannot be read: {item.initrd.problems[0].message}"
            )
        elif item.initrd is not None and not item.initrd.has_init:
            noted = tuple(f"byte {problem.offset}: {problem.message}" for problem in item.initrd.problems)
            yield _file(
                context, item.path, "expected an executable /init in one of its archives, found none", *noted
            )
        elif item.initrd is not None and item.initrd.problems:
            # The kernel keeps what it unpacked before, so whether this boots depends on what was lost.
            first = item.initrd.problems[0]
            yield _file(
                context, item.path, f"the kernel stops unpacking at byte {first.offset}: {first.message}"
            )
        elif item.initrd is not None:
            parts = " + ".join(
                f"{segment.kind} ({segment.compression.value if segment.compression else 'plain'})"
                for segment in item.initrd.segments
            )
            yield f"{entry.path} unpacks to {len(item.initrd.members)} files: {parts}"
    if not seen:
        raise NotApplicable("there is no initrd to look into")


@check(
    id="COS024",
    name="initrd-without-cos",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd has nothing of the cOS dracut module.",
    why="""Nothing in it looks for the image on disk: the boot hangs waiting for the root device, and nothing on the
        console tells why.""",
    remedy=f'{REBUILD}; `add_dracutmodules+=" cos-immutable-rootfs "` must stand in /etc/dracut.conf.d',
    reads=READS,
)
def initrd_without_cos(context: CheckContext) -> Iterator[Finding | str]:
    """Look for any of the module's files."""
    module = context.generation.dracut_module
    for path, initrd in _opened(context):
        if not _has_any(context, initrd):
            names = initrd.dracut_modules
            listed = (
                f"its dracut modules: {' '.join(names)}"
                if names is not None
                else "it lists no dracut modules"
            )
            yield _file(context, path, f"expected the module {module} in it, found none of its files", listed)
        else:
            yield f"{path} holds the module {module}"


@check(
    id="COS025",
    name="initrd-part-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A part of the cOS dracut module is missing in the initrd.",
    why="""The module works only as a whole: without its hook or its loop script the boot hangs, without its generator
        nobody can log in, without its units or their links the boot ends in dracut's emergency shell.""",
    remedy=REBUILD,
    reads=READS,
)
def initrd_part_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for every file, unit and enabling link of the generation."""
    generation = context.generation
    for path, initrd in _with_cos(context):
        count = 0
        for group in generation.initrd_files:
            if not any(initrd.exists(name) for name in group):
                yield _file(context, path, f"expected /{group[0]} in the initrd, it is not there")
            count += 1
        for unit in generation.initrd_units:
            # systemd goes by the link's name: its target may be wrong, and dracut 059 makes it so.
            if not any(
                initrd.lookup(f"{top}/{unit.link}/{unit.unit}", follow=False) for top in _UNIT_DIRECTORIES
            ):
                yield _file(
                    context, path, f"expected the link {unit.link}/{unit.unit} in the initrd, it is not there"
                )
            if not any(initrd.exists(f"{top}/{unit.unit}") for top in _UNIT_DIRECTORIES):
                yield _file(context, path, f"expected the unit {unit.unit} in the initrd, it is not there")
            count += 2
        if not any(all(initrd.exists(name) for name in names) for names in generation.initrd_runners):
            wanted = " or ".join(
                " and ".join(f"/{name}" for name in names) for names in generation.initrd_runners
            )
            yield _file(context, path, f"expected {wanted} in the initrd to run its stages, found none")
        yield f"all {count} parts of {generation.dracut_module} are in {path}"


def _scripts(context: CheckContext, initrd: Initrd) -> Iterator[tuple[str, str]]:
    """Give the toolkit's own scripts in an initrd, each once."""
    seen = set()
    for group in context.generation.initrd_scripts:
        for name in group:
            member = initrd.lookup(name)
            if member is None or member.path in seen:
                continue
            seen.add(member.path)
            try:
                yield member.path, initrd.read(name).decode("utf-8", "surrogateescape")
            except FormatError as fault:
                raise Undecided(f"/{member.path} of the initrd cannot be read: {fault}") from fault


def _called(context: CheckContext, initrd: Initrd) -> Iterator[tuple[str, str, str]]:
    """Give what scripts and units of the toolkit call in the initrd: command, caller, and place in it."""
    known = set(_DRACUT_FUNCTIONS)
    generation = context.generation
    # The module's own parts are another check's.
    parts = {
        name
        for groups in (generation.initrd_files, generation.initrd_runners)
        for group in groups
        for name in group
    }
    known |= {f"/{name}" for name in parts} | {name.rpartition("/")[2] for name in parts}
    for path, body in initrd.bodies.items():
        if path.endswith("lib.sh"):
            known |= functions(body.decode("utf-8", "surrogateescape"))
    for path, text in _scripts(context, initrd):
        script = read_shell_script(text)
        for call in script.commands:
            if not call.guarded and call.name not in known and call.name not in script.functions:
                yield call.name, f"/{path}", f"line {call.line}"
    for path, body in initrd.bodies.items():
        if not path.endswith(".service"):
            continue
        unit = read_unit(body.decode("utf-8", "surrogateescape"))
        if unit.last("Service", "RootDirectory") is None:  # with one, the root filesystem's copy is run
            for command in exec_commands(unit):
                if not command.may_fail and command.path not in known:
                    yield command.path, f"/{path}", command.directive


def _has_command(initrd: Initrd, name: str) -> bool:
    if "/" in name:
        return initrd.exists(name)
    return any(initrd.exists(f"{directory}/{name}") for directory in _BIN_DIRECTORIES)


def _absent(
    context: CheckContext, initrd: Initrd, path: str, *, dispensable: bool
) -> Iterator[Finding | str]:
    callers: dict[str, list[str]] = {}
    seen = set()
    for name, caller, place in _called(context, initrd):
        seen.add(name)
        if not _has_command(initrd, name) and _is_dispensable(context, name) is dispensable:
            callers.setdefault(name, []).append(f"called by {caller} ({place})")
    for name, evidence in sorted(callers.items()):
        yield _file(context, path, f"expected the command {name} in the initrd, it is not there", *evidence)
    if not callers and not dispensable:
        yield f"all {len(seen)} commands that its scripts and units call are in {path}"


def _is_dispensable(context: CheckContext, name: str) -> bool:
    base = name.rpartition("/")[2]
    if base == "rsync":
        return context.facts.layout.get("PERSISTENT_STATE_BIND", "").lower() != "true"
    return base in _DISPENSABLE


@check(
    id="COS026",
    name="initrd-command-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A command that the cOS scripts in the initrd call is not in it.",
    why="""dracut leaves out what it does not find and says nothing. An image with every listed file in place looped on
        `basename: command not found` and ended in the emergency shell after 300 seconds.""",
    remedy="Install the command and have dracut take it: echo 'install_items+=\" /usr/bin/<command> \"' in /etc/dracut.conf.d",
    reads=READS,
)
def initrd_command_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read the scripts and units, and look for every command they call."""
    for path, initrd in _with_cos(context):
        yield from _absent(context, initrd, path, dispensable=False)


@check(
    id="COS027",
    name="initrd-command-degraded",
    level=Level.WARNING,
    summary="A command that the cOS scripts in the initrd call for lesser things is not in it.",
    why="The machine boots; what the command is for (a complete fstab, bound persistent state) does not work.",
    remedy="Install the command and have dracut take it: echo 'install_items+=\" /usr/bin/<command> \"' in /etc/dracut.conf.d",
    reads=READS,
)
def initrd_command_degraded(context: CheckContext) -> Iterator[Finding | str]:
    """Read the scripts, and look for the commands whose absence a boot survives."""
    for path, initrd in _with_cos(context):
        yield from _absent(context, initrd, path, dispensable=True)


@check(
    id="COS028",
    name="initrd-kernel-version",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd is built for another kernel.",
    why="The kernel finds no module in it (`Module dm_mod not found in directory`), so no disk, and the boot hangs.",
    remedy="Build the initrd for the kernel that is booted: RUN dracut -f /boot/initrd-<version> <version>",
    reads=READS,
)
def initrd_kernel_version(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the kernel's version with the modules in the initrd."""
    versions = [item.version for item in context.facts.kernels if item.kernel is not None]
    if not versions:
        raise NotApplicable("there is no kernel to compare with")
    for path, initrd in _opened(context):
        for version in versions:
            if version is None:
                raise Undecided("neither header nor name of the kernel tells its version")
            if version in initrd.kernel_versions:
                yield f"{path} has modules for {version}"
            else:
                found = ", ".join(initrd.kernel_versions) or "none"
                yield _file(context, path, f"expected modules for {version} in the initrd, found {found}")


def _driver_files(initrd: Initrd) -> frozenset[str]:
    return frozenset(
        path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
        for path in initrd.members
        if "/modules/" in path and ".ko" in path
    )


@check(
    id="COS029",
    name="initrd-overlay-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd has no overlay file system, and the kernel has none built in.",
    why="""A login prompt appears and nobody can log in: /etc stays read-only, nothing is mounted over it. A test that
        only waits for the prompt passes.""",
    remedy="Have dracut take the module: echo 'add_drivers+=\" overlay \"' in /etc/dracut.conf.d",
    reads=READS,
)
def initrd_overlay_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for overlay.ko, and where it is not for an overlay that is built in."""
    versions = [item.version for item in context.facts.kernels if item.version is not None]
    for path, initrd in _with_cos(context):
        if "overlay" in _driver_files(initrd):
            yield f"overlay.ko is in {path}"
            continue
        for version in versions:
            option = context.facts.kernel_option(version, "CONFIG_OVERLAY_FS")
            builtin = context.facts.builtin_modules(version)
            if option == "y" or (builtin is not None and "overlay" in builtin):
                yield f"overlay is built into {version}"
                break
            if option is not None or builtin is not None:
                evidence = f"CONFIG_OVERLAY_FS={option}" if option else "modules.builtin does not list it"
                yield _file(context, path, "expected overlay.ko in the initrd, it is not there", evidence)
                break
        else:
            raise Undecided(
                f"overlay.ko is not in {path}, and nothing tells whether the kernel has it built in"
            )


@check(
    id="COS030",
    name="initrd-hostonly",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd is built for the machine that built it.",
    why="It has the drivers of the build container only: on another machine no disk is found, and the boot hangs.",
    remedy='Install system/base-dracut-modules, or set hostonly="no" in /etc/dracut.conf.d, and build the initrd again.',
    reads=READS,
)
def initrd_hostonly(context: CheckContext) -> Iterator[Finding | str]:
    """Look at dracut's arguments and at the drivers that are there; the configuration proves nothing."""
    for path, initrd in _opened(context):
        arguments = initrd.build_parameters
        drivers = _driver_files(initrd)
        if arguments is not None and read_build_parameters(arguments).hostonly:
            yield _file(
                context,
                path,
                "expected an initrd for any machine, dracut was called with -H",
                f"dracut {arguments}",
            )
        elif drivers and not drivers & set(_GENERIC_DRIVERS) and not _any_builtin(context):
            yield _file(
                context, path, f"expected drivers such as {', '.join(_GENERIC_DRIVERS)}, found none of them"
            )
        else:
            yield f"{path} is not tied to one machine"


def _any_builtin(context: CheckContext) -> bool:
    for item in context.facts.kernels:
        builtin = context.facts.builtin_modules(item.version) if item.version else None
        if builtin is not None and builtin & set(_GENERIC_DRIVERS):
            return True
    return False


@check(
    id="COS031",
    name="initrd-live-modules-missing",
    level=Level.WARNING,
    capabilities=(Capability.RECOVERY, Capability.ISO),
    summary="The initrd lacks the dracut modules that boot a squashfs.",
    why="Recovery from a squashfs and a live ISO do not find their root file system.",
    remedy="Install system/base-dracut-modules, which adds dmsquash-live and livenet, and build the initrd again.",
    reads=READS,
)
def initrd_live_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read dracut's own list."""
    for path, initrd in _opened(context):
        listed = initrd.dracut_modules
        if listed is None:
            raise Undecided(f"{path} lists no dracut modules")
        missing = [name for name in ("dmsquash-live", "livenet") if name not in listed]
        if missing:
            yield _file(
                context,
                path,
                f"expected the dracut modules {' and '.join(missing)}, they are not in its list",
            )


@check(
    id="COS032",
    name="initrd-compression-unsupported",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel is built without the initrd's compression.",
    why="The kernel prints `Initramfs unpacking failed` and panics.",
    remedy='Choose a compression that the kernel knows: compress="xz" in /etc/dracut.conf.d, and build the initrd again.',
    reads=READS,
)
def initrd_compression_unsupported(context: CheckContext) -> Iterator[Finding | str]:
    """Compare each segment with the kernel's configuration, where the image has that."""
    versions = [item.version for item in context.facts.kernels if item.version is not None]
    decided = False
    for path, initrd in _opened(context):
        for version in versions:
            for kind in sorted(
                {segment.compression.value for segment in initrd.segments if segment.compression}
            ):
                option = f"CONFIG_RD_{_OPTIONS[kind]}"
                value = context.facts.kernel_option(version, option)
                decided = decided or value is not None
                if value == "n":
                    yield _file(
                        context,
                        path,
                        f"expected a kernel that unpacks {kind}, {option} is not set for {version}",
                    )
    if not decided:
        raise NotApplicable("the image has no kernel configuration to compare with")


@check(
    id="COS033",
    name="microcode-missing",
    level=Level.NOTE,
    summary="The initrd brings no microcode for the processor.",
    why="Processors run with the microcode of their firmware, without the vendor's later fixes.",
    remedy="Install the microcode packages (ucode-intel, ucode-amd) before the initrd is built.",
    reads=READS,
)
def microcode_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for an early microcode archive."""
    platform = context.config.platform
    if platform is not None and platform.architecture not in ("amd64", "386"):
        raise NotApplicable(f"{platform.architecture} takes no microcode from an initrd")
    for path, initrd in _opened(context):
        if initrd.microcode:
            yield f"microcode for {_and(initrd.microcode)} in {path}"
        else:
            yield _file(context, path, "expected an early microcode archive in front, found none")


def _and(words: Sequence[str]) -> str:
    return " and ".join(words)
