"""Checks on the toolkit in the initrd: every part of the dracut module, and every command that its scripts call."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, words_of
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import READS, about, drivers_in, opened
from cosinspect.errors import FormatError
from cosinspect.facts.file_trees import InitrdFiles
from cosinspect.facts.unit_tree import UnitTree
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.boot.program import read_interpreter
from cosinspect.formats.shell.script import functions, read_shell_script
from cosinspect.formats.text.systemd import exec_commands, read_unit
from cosinspect.globs import name_matches
from cosinspect.report.report import Finding, Level

__all__ = [
    "called_in",
    "generation_mixed",
    "initrd_command_degraded",
    "initrd_command_missing",
    "initrd_overlay_missing",
    "initrd_part_missing",
    "initrd_without_cos",
    "is_dispensable",
]

_BIN_DIRECTORIES = ("usr/sbin", "usr/bin", "sbin", "bin")
_UNIT_DIRECTORIES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_HEAD = 256  # bytes of a script's start, which names its interpreter
# Commands without which the machine still comes up, as boots without them showed: findmnt only fills a field of
# fstab, rsync serves PERSISTENT_STATE_BIND only.
_DISPENSABLE = frozenset({"findmnt", "rsync"})
# The functions of dracut's libraries, for initrds from which they cannot be read.
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


def _with_cos(context: CheckContext) -> Iterator[tuple[str, Initrd]]:
    """Yield the initrds that have a part of the cOS module; one check reports those without any."""
    for path, initrd in opened(context):
        other = _other_generation(context, initrd)
        if other:
            raise NotApplicable(f"{path} is of generation {other}")
        if not _has_any(context, initrd):
            raise NotApplicable(f"{path} has no part of the module {context.generation.dracut_module}")
        yield path, initrd


def _has_any(context: CheckContext, initrd: Initrd) -> bool:
    names = initrd.dracut_modules
    return any(initrd.exists(path) for group in context.generation.initrd_files for path in group) or (
        names is not None and context.generation.dracut_module in names
    )


def _other_generation(context: CheckContext, initrd: Initrd) -> str:
    """Return the generations whose module an initrd has instead of the image's own, "" if it has that or none."""
    if any(initrd.exists(path) for path in context.generation.initrd_markers):
        return ""
    return " or ".join(
        name
        for name, table in context.profile.generations.items()
        if any(initrd.exists(path) for path in table.initrd_markers)
    )


@check(
    id="COS035",
    name="generation-mixed",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd has the dracut module of another generation than the image.",
    why="""Kernel arguments, initrd and stages belong together: an initrd that was kept from an older image does not act on
        the arguments of the newer one, and runs stages with a program that may be missing.""",
    remedy="Build the initrd again with the dracut module of this image: an initrd of the base image is of another generation.",
    reads=READS,
    cure=remedies.rebuilds(),
)
def generation_mixed(context: CheckContext) -> Iterator[Finding | str]:
    """Compare files that are typical of one generation's initrd with the generation of the image."""
    own = context.facts.recognised
    for path, initrd in opened(context):
        other = _other_generation(context, initrd)
        if not other:
            yield f"{path} has no part of another generation than {own.name}"
            continue
        seen = [
            f"/{marker} in the initrd"
            for table in context.profile.generations.values()
            for marker in table.initrd_markers
            if initrd.exists(marker)
        ]
        yield about(
            context,
            path,
            f"expected the initrd of generation {own.name}, found that of {other}",
            *dict.fromkeys(seen),
            *(f"the image is {own.name}: {line}" for line in own.evidence),
        )


@check(
    id="COS024",
    name="initrd-without-cos",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd has no part of the cOS dracut module.",
    why="""Nothing in it searches the image on disk: the boot waits for the root device without a message on the console.""",
    remedy="Build the initrd again, with the dracut module of the toolkit.",
    reads=READS,
    cure=boot_remedies.module_of_toolkit,
)
def initrd_without_cos(context: CheckContext) -> Iterator[Finding | str]:
    """Look for any of the module's files."""
    module = context.generation.dracut_module
    for path, initrd in opened(context):
        other = _other_generation(context, initrd)
        if other:
            raise NotApplicable(f"{path} is of generation {other}")
        if not _has_any(context, initrd):
            names = initrd.dracut_modules
            listed = (
                f"its dracut modules: {' '.join(names)}"
                if names is not None
                else "it lists no dracut modules"
            )
            yield about(context, path, f"expected the module {module} in it, found none of its files", listed)
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
    remedy="Build the initrd again with dracut, after the last step that changes the kernel or the toolkit.",
    reads=READS,
    cure=remedies.rebuilds(),
)
def initrd_part_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for every file, unit and enabling link of the generation."""
    generation = context.generation
    for path, initrd in _with_cos(context):
        count = 0
        units = UnitTree(InitrdFiles(initrd))
        for group in generation.initrd_files:
            kinds = [member.type for name in group if (member := initrd.lookup(name)) is not None]
            if "file" not in kinds:
                why = f"it is a {kinds[0]}" if kinds else "it is not there"
                yield about(context, path, f"expected /{group[0]} in the initrd, {why}")
            count += 1
        for unit in generation.initrd_units:
            # systemd reads the link's name: its target may be wrong, and is wrong with dracut 059.
            links = [
                link
                for link in (unit.link, *unit.alternatives)
                if any(initrd.lookup(f"{top}/{link}/{unit.unit}", follow=False) for top in _UNIT_DIRECTORIES)
            ]
            starters = [units.find(link.rpartition(".")[0]) for link in links]
            if not links:
                yield about(
                    context, path, f"expected the link {unit.link}/{unit.unit} in the initrd, it is not there"
                )
            elif not any(starter.is_there for starter in starters):
                first = starters[0]
                yield about(
                    context,
                    path,
                    f"expected the unit {first.name} in the initrd, which starts {unit.unit}, {first.reason}",
                )
            if not any(initrd.exists(f"{top}/{unit.unit}") for top in _UNIT_DIRECTORIES):
                yield about(context, path, f"expected the unit {unit.unit} in the initrd, it is not there")
            count += 2
        if not any(all(initrd.exists(name) for name in names) for names in generation.initrd_runners):
            wanted = " or ".join(
                " and ".join(f"/{name}" for name in names) for names in generation.initrd_runners
            )
            yield about(context, path, f"expected {wanted} in the initrd to run its stages, found none")
        yield f"all {count} parts of {generation.dracut_module} are in {path}"


def _scripts(context: CheckContext, initrd: Initrd) -> Iterator[tuple[str, str]]:
    """Yield the toolkit's own scripts in an initrd, each once."""
    seen = set()
    for group in context.generation.initrd_scripts:
        for name in group:
            member = initrd.lookup(name)
            if member is None or member.type != "file" or member.path in seen:
                continue
            seen.add(member.path)
            try:
                yield member.path, initrd.read(name).decode("utf-8", "surrogateescape")
            except FormatError as fault:
                raise Undecided(f"/{member.path} of the initrd cannot be read: {fault}") from fault


def called_in(context: CheckContext, initrd: Initrd) -> Iterator[tuple[str, str, str]]:
    """Yield what scripts and units of the toolkit call in the initrd: command, caller, and place in it."""
    known = set(_DRACUT_FUNCTIONS)
    generation = context.generation
    # Another check looks for the module's own parts.
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
        interpreter = read_interpreter(text[:_HEAD].encode("utf-8", "surrogateescape"))
        # dracut sources its hooks and does not run them; another check reports names with a carriage return
        if interpreter is not None and "/hooks/" not in path and not interpreter.endswith("\r"):
            yield interpreter, f"/{path}", "line 1"
        script = read_shell_script(text)
        for call in script.commands:
            if not call.guarded and call.name not in known and call.name not in script.functions:
                yield call.name, f"/{path}", f"line {call.line}"
    for path, body in initrd.bodies.items():
        if not any(name_matches(path.rpartition("/")[2], name) for name in generation.own_services):
            continue
        unit = read_unit(body.decode("utf-8", "surrogateescape"))
        if unit.last("Service", "RootDirectory") is None:  # with a chroot, the root filesystem's copy runs
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
    reasons: dict[str, str] = {}
    seen = set()
    for name, caller, place in called_in(context, initrd):
        seen.add(name)
        if is_dispensable(context, name) is not dispensable:
            continue
        # Another check reports commands that the boot needs and that cannot be executed.
        reason = _refusal(context, initrd, name) if dispensable else ""
        if not _has_command(initrd, name):
            reason = "it is not there"
        if reason:
            reasons[name] = reason
            callers.setdefault(name, []).append(f"called by {caller} ({place})")
    for name, evidence in sorted(callers.items()):
        message = f"expected the command {name} in the initrd, {reasons[name]}"
        finding = about(context, path, message, *evidence)
        yield remedies.with_cure(context, finding, boot_remedies.needs_in_initrd(name))
    if not callers and not dispensable:
        yield f"all {len(seen)} commands that its scripts and units call are in {path}"


def _refusal(context: CheckContext, initrd: Initrd, name: str) -> str:
    """Return the reason why a command cannot be executed, "" if it can."""
    execution = context.facts.execution_in(initrd)
    found = execution.find(name)
    fault = execution.fault(found, by_shell=True) if found is not None else None
    return "" if found is None or fault is None or fault.is_undecided else words_of(found, fault)


def is_dispensable(context: CheckContext, name: str) -> bool:
    """Return whether the boot goes on without a command."""
    base = name.rpartition("/")[2]
    if base == "rsync":
        return (
            context.cloud_configs.layout(context.boot_world("rootfs"))
            .get("PERSISTENT_STATE_BIND", "")
            .lower()
            != "true"
        )
    return base in _DISPENSABLE


@check(
    id="COS026",
    name="initrd-command-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A command that the cOS scripts in the initrd call is not in it.",
    why="""dracut omits missing commands silently. An image with every listed file in place looped on
        `basename: command not found` and ended in the emergency shell after 300 seconds.""",
    remedy="Install the command, and make dracut add it to the initrd.",
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
    summary="A command that the cOS scripts in the initrd call for minor functions is not in it.",
    why="The machine boots; the command's function (a complete fstab, bound persistent state) does not work.",
    remedy="Install the command, and make dracut add it to the initrd.",
    reads=READS,
)
def initrd_command_degraded(context: CheckContext) -> Iterator[Finding | str]:
    """Read the scripts, and look for the commands whose absence a boot survives."""
    for path, initrd in _with_cos(context):
        yield from _absent(context, initrd, path, dispensable=True)


@check(
    id="COS029",
    name="initrd-overlay-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd has no overlay file system, and the kernel has none built in.",
    why="""A login prompt appears and nobody can log in: /etc stays read-only, nothing is mounted over it. A test that
        only waits for the prompt passes.""",
    remedy="Make dracut add the driver overlay to the initrd.",
    reads=READS,
    cure=boot_remedies.needs_drivers("overlay"),
)
def initrd_overlay_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for overlay.ko, else for a built-in overlay."""
    versions = [item.version for item in context.facts.kernels if item.version is not None]
    for path, initrd in _with_cos(context):
        if "overlay" in drivers_in(context, initrd):
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
                yield about(context, path, "expected overlay.ko in the initrd, it is not there", evidence)
                break
        else:
            raise Undecided(
                f"overlay.ko is not in {path}, and it is unknown whether the kernel has it built in"
            )
