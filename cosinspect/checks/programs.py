"""Checks on what is executed at a boot: whether it can be, down to its loader and its libraries, in the image and in the initrd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve, frozen

from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, words_of
from cosinspect.checks.boot_path import BOOTS, LOADER_READS
from cosinspect.checks.grub import find_command
from cosinspect.checks.initrd import READS, REBUILD, about, opened
from cosinspect.checks.initrd_toolkit import called_in, is_dispensable
from cosinspect.checks.tools import tools_of
from cosinspect.checks.units import UNIT_READS, service_at
from cosinspect.facts.execution import Execution
from cosinspect.facts.loader import Fault
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.text.systemd import exec_commands
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.history import Action

__all__ = [
    "command_unusable",
    "initrd_program_unusable",
    "initrd_script_unusable",
    "merged_directory_replaced",
    "overlay_without_etc",
    "program_degraded",
    "program_unusable",
    "root_closed",
]

_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


@frozen
class _Start:
    """A program that a boot begins with.

    Attributes:
        places: where it is looked for; the first that is there counts.
        effect: what happens on a machine without it.
        required: whether its absence is a defect of its own; else other checks tell of it.
        with_systemd: whether it is needed only where systemd is.
    """

    places: tuple[str, ...]
    effect: str
    required: bool = False
    with_systemd: bool = False


# What happens was seen at boots without each of them.
_ROOT = (
    _Start(
        ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"),
        "no device appears to systemd: the console's device times out, and no login prompt comes",
        required=True,
        with_systemd=True,
    ),
    _Start(("/bin/sh",), "scripts do not run, and a login ends in `Login incorrect`", required=True),
    _Start(("/sbin/agetty", "/usr/sbin/agetty"), "no login prompt comes"),
    _Start(("/bin/login", "/usr/bin/login"), "the prompt takes a name and asks for no password"),
)
_GETTYS = ("getty@.service", "serial-getty@.service", "console-getty.service")
_DEGRADING = (
    _Start(("/bin/mount", "/usr/bin/mount"), "file systems are not mounted, and units fail", required=True),
    _Start(("/bin/kmod", "/usr/bin/kmod"), "no further driver is loaded"),
    _Start(("/sbin/modprobe", "/usr/sbin/modprobe"), "no further driver is loaded"),
)
# What an initrd executes by itself, whatever its scripts call; without an effect of its own where that is plain.
_INITRD = {
    "/init": "the kernel says `/init` failed, then panics or runs a bare shell",
    "/usr/lib/systemd/systemd": "nothing of the initrd starts",
    "/lib/systemd/systemd": "nothing of the initrd starts",
    "/usr/lib/systemd/systemd-udevd": "no device appears, and the boot hangs",
    "/lib/systemd/systemd-udevd": "no device appears, and the boot hangs",
    "/usr/bin/udevadm": "no device appears, and the boot hangs",
    "/usr/sbin/udevadm": "no device appears, and the boot hangs",
    "/bin/udevadm": "no device appears, and the boot hangs",
    "/usr/bin/systemctl": "the root is not switched, and the boot ends in the emergency shell",
    "/bin/systemctl": "the root is not switched, and the boot ends in the emergency shell",
    "/bin/sh": "none of its scripts runs",
    "/bin/mount": "nothing is mounted, and mounting is tried without end",
    "/usr/bin/mount": "nothing is mounted, and mounting is tried without end",
    "/usr/bin/kmod": "no driver is loaded, and no disk appears",
    "/bin/kmod": "no driver is loaded, and no disk appears",
    "/usr/sbin/modprobe": "no driver is loaded, and no disk appears",
    "/sbin/modprobe": "no driver is loaded, and no disk appears",
    "/usr/lib/ostree/ostree-prepare-root": "the deployment is not mounted, and the boot ends in the emergency shell",
    "/usr/lib/bootc/bootc-initramfs-setup": "the deployment is not mounted, and the boot ends in the emergency shell",
    "/usr/lib/bootc/initramfs-setup": "the deployment is not mounted, and the boot ends in the emergency shell",
}
_TOOLKIT_EFFECT = (
    "what it does at the boot is not done: the boot hangs, ends in the emergency shell, or lets nobody log in"
)
_HOOKS = "/hooks/"
_GENERATORS = "/system-generators/"


def _require_system(context: CheckContext) -> None:
    """Leave the check where nothing shows that the image is to be booted.

    Raises:
        NotApplicable: nothing does.
    """
    if not context.facts.generation:
        raise NotApplicable("no generation is evident, so nothing says that the image is to be booted")
    if not any(map(context.rootfs.exists, ("/usr", "/bin"))):
        raise NotApplicable("the image is no root of a system")  # but what goes to an EFI partition


def _started(context: CheckContext, starts: Iterable[_Start]) -> Iterator[tuple[str, Fault, str]]:
    """Give the programs of a list that cannot be executed, with what comes of it."""
    with_systemd = any(map(context.rootfs.exists, _SYSTEMD))
    for start in starts:
        if start.with_systemd and not with_systemd:
            continue
        there = [path for path in start.places if context.rootfs.trace(path, follow=False).entry is not None]
        path = next((path for path in there if context.rootfs.exists(path)), (*there, start.places[0])[0])
        fault = context.facts.execution.fault(path) if there or start.required else None
        if fault is not None:
            yield path, fault, start.effect


def _told(
    context: CheckContext, faults: Iterable[tuple[str, Fault, str]], undecided: list[str]
) -> Iterator[Finding]:
    """Make findings, one for each thing that is to blame."""
    found: dict[str, Finding] = {}
    for path, fault, effect in faults:
        if fault.is_undecided:
            undecided.append(f"whether {path} runs is not known: {words_of(path, fault)}")
        elif fault.path in found:
            first = found[fault.path]
            found[fault.path] = evolve(
                first, evidence=(*first.evidence, f"{path} does not run either: {effect}")
            )
        else:
            message = f"expected {path} to be executable, {words_of(path, fault)}; without it {effect}"
            found[fault.path] = context.unexecutable(path, fault, message)
    yield from found.values()


def _gettys(context: CheckContext) -> Iterator[tuple[str, Fault, str]]:
    """Give what the units of login prompts run and cannot."""
    seen = set()
    for name in _GETTYS:
        found = service_at(context, name)
        for command in exec_commands(found[2]) if found is not None else ():
            path = command.path
            if command.directive != "ExecStart" or not path.startswith("/") or path in seen:
                continue
            seen.add(path)
            fault = context.facts.execution.fault(path)
            if fault is not None and context.rootfs.exists(path):  # that it is not there is another check's
                yield path, fault, f"no login prompt comes, as {name} runs it"


@check(
    id="COS170",
    name="program-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A program that every boot needs is not in the image, or cannot be executed.",
    why="""The kernel starts the system, and nobody can log in: without udev no device appears, without agetty no prompt, without login or a
        shell no session. A file that is there is not enough: its mode, its loader, its libraries, its architecture and a script's
        interpreter count as well.""",
    remedy="""Install the package that has the program with its libraries, for the image's architecture. Where a layer replaced a link such as
        /bin or /lib by a directory, copy to /usr/bin or /usr/lib instead.""",
    reads=(*LOADER_READS, *UNIT_READS),
    universal=True,
)
def program_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Follow udev, the shell, agetty and login to their loaders and libraries."""
    _require_system(context)
    undecided: list[str] = []
    starts: tuple[_Start, ...] = _ROOT
    if context.is_foreign and any(map(context.rootfs.exists, _SYSTEMD)):
        effect = "the kernel says `Failed to execute /sbin/init`, or panics"
        starts = (_Start(_SYSTEMD, effect, required=True), *_ROOT)
    faults = {path: (path, fault, effect) for path, fault, effect in _started(context, starts)}
    for path, fault, effect in _gettys(context):
        faults.setdefault(path, (path, fault, effect))
    yield from _told(context, faults.values(), undecided)
    if undecided:
        raise Undecided("; ".join(undecided))
    yield "udev, the shell and what a login takes can be executed"


@check(
    id="COS171",
    name="program-degraded",
    level=Level.WARNING,
    summary="A program that the running system calls is not in the image, or cannot be executed.",
    why="The machine boots to a login; units that need the program fail.",
    remedy="Install the package that has the program (mount, kmod), with its libraries and for the image's architecture.",
    reads=LOADER_READS,
    universal=True,
)
def program_degraded(context: CheckContext) -> Iterator[Finding | str]:
    """Follow mount and kmod to their loaders and libraries."""
    _require_system(context)
    undecided: list[str] = []
    yield from _told(context, _started(context, _DEGRADING), undecided)
    if undecided:
        raise Undecided("; ".join(undecided))
    yield "mount and what loads drivers can be executed"


# -- what operations call ----------------------------------------------------------------------------------------------

# Programs of the generations themselves that are called when a machine is installed or upgraded.
_OWN = (("immucore",), ("kairos-agent",), ("agent-provider-kairos",), ("bootc",), ("ostree",), ("bootupctl",))
_OPERATIONS = (Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY)


def _unusable(context: CheckContext, capability: Capability) -> dict[tuple[str, ...], tuple[str, Fault]]:
    """Give the commands of an operation that are there and cannot be executed, by their names."""
    table = context.profile.generations.get(context.facts.generation)
    own = (*_OWN, *(table.grub_tools if table else ())) if capability is not Capability.RECOVERY else ()
    found: dict[tuple[str, ...], tuple[str, Fault]] = {}
    for names in dict.fromkeys((*tools_of(context, capability), *own)):
        places = [place for name in names if (place := find_command(context, name)) is not None]
        faults = [(place, context.facts.execution.fault(place, by_shell=True)) for place in places]
        broken = [(place, fault) for place, fault in faults if fault is not None]
        if broken and len(broken) == len(faults):
            found[names] = broken[0]
    return found


def _spared(context: CheckContext) -> tuple[Capability, ...]:
    """Give the operations that call none of the commands that cannot be executed."""
    return tuple(
        each
        for each in _OPERATIONS
        if all(fault.is_undecided for _, fault in _unusable(context, each).values())
    )


@check(
    id="COS174",
    name="command-unusable",
    level=Level.ERROR,
    capabilities=_OPERATIONS,
    spares=_spared,
    summary="A command that installation or upgrade calls cannot be executed.",
    why="""The command is in the image, and the kernel or its loader refuses it: it is for another architecture, a library or an interpreter is
        missing, or the file is empty. The operation stops with `Exec format error` or `No such file or directory`.""",
    remedy="Install the package that has the command with its libraries, for the image's architecture.",
    reads=LOADER_READS,
    universal=True,
)
def command_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Follow the commands of each operation to their loaders and libraries."""
    _require_system(context)
    undecided: list[str] = []
    found: dict[str, tuple[str, Fault, str]] = {}
    for capability in _OPERATIONS:
        for place, fault in _unusable(context, capability).values():
            effect = f"{capability.value} stops where it calls it"
            found.setdefault(place, (place, fault, effect))
    yield from _told(context, found.values(), undecided)
    if undecided:
        raise Undecided("; ".join(undecided))
    yield "the commands that operations call can be executed, as far as they are there"


# -- the initrd --------------------------------------------------------------------------------------------------------


def _initrd_starts(context: CheckContext, initrd: Initrd) -> dict[str, str]:
    """Name what an initrd executes and has, with what comes of it where it cannot."""
    starts = {path: effect for path, effect in _INITRD.items() if initrd.exists(path)}
    table = context.profile.generations.get(context.facts.generation)
    if table is None:
        return starts
    # What scripts only may call is looked at where they call it; systemd runs every generator that is there.
    scripts = [[name for name in group if _GENERATORS in name] for group in table.initrd_scripts]
    for group in (*table.initrd_files, *table.initrd_runners, *scripts):
        starts.update(
            (f"/{name}", _TOOLKIT_EFFECT)
            for name in group
            if _HOOKS not in f"/{name}" and not name.endswith(".service") and initrd.exists(name)
        )
    return starts


def _initrd_faults(context: CheckContext, initrd: Initrd) -> Iterator[tuple[str, Fault, str]]:
    """Give what of an initrd is executed and cannot be, each file once."""
    execution = context.facts.execution_in(initrd)
    seen: set[str] = set()

    def looked_at(path: str, effect: str, *, by_shell: bool = False) -> Iterator[tuple[str, Fault, str]]:
        member = initrd.lookup(path)
        if member is None or member.path in seen:
            return
        seen.add(member.path)
        fault = execution.fault(path, by_shell=by_shell)
        if fault is not None:
            yield path, fault, effect

    known = context.facts.generation in context.profile.generations
    called = list(called_in(context, initrd)) if known else []
    # That a command or an interpreter is not there at all is another check's.
    absent = {name for name, _, _ in called if "/" in name and not initrd.exists(name)}
    for path, effect in _initrd_starts(context, initrd).items():
        yield from (item for item in looked_at(path, effect) if item[1].path not in absent)
    for name, caller, _ in called:
        if is_dispensable(context, name):
            continue
        place = _place_of(execution, name)
        if place is not None:
            yield from looked_at(
                place, f"{caller} calls it and fails", by_shell=not caller.endswith(".service")
            )


def _place_of(execution: Execution, name: str) -> str | None:
    """Give where a command is, as a shell finds it, or else as a file of that name that cannot be executed."""
    found = execution.find(name)
    if found is not None or "/" in name:
        return found
    places = (f"{top}/{name}" for top in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"))
    return next((place for place in places if execution.tree.find(place) is not None), None)


@check(
    id="COS172",
    name="initrd-program-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A program or script of the initrd cannot be executed.",
    why="""It is there, and the kernel refuses it, or its loader does: a mode without x, an empty file, a program for another architecture, a
        library or a loader that is missing, a script's interpreter that is missing or ends in a carriage return. The kernel panics within
        seconds, or the boot hangs or ends in the emergency shell.""",
    remedy=f"{REBUILD}; give scripts of dracut modules mode 0755 and line ends without carriage returns before.",
    reads=READS,
    universal=True,
)
def initrd_program_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Follow init, udev, the toolkit's scripts and all that they call to interpreters, loaders and libraries."""
    _require_system(context)
    undecided: list[str] = []
    for path, initrd in opened(context):
        found: dict[str, Finding] = {}
        for name, fault, effect in _initrd_faults(context, initrd):
            if fault.is_undecided:
                undecided.append(f"whether {name} runs in {path} is not known: {words_of(name, fault)}")
            elif fault.path in found:
                first = found[fault.path]
                found[fault.path] = evolve(
                    first, evidence=(*first.evidence, f"{name} does not run either: {effect}")
                )
            else:
                message = f"expected {name} to be executable in the initrd, {words_of(name, fault)}; {effect}"
                found[fault.path] = about(context, path, message, *fault.chain)
        yield from found.values()
        if not found:
            yield f"what {path} executes can be executed"
    if undecided:
        raise Undecided("; ".join(undecided))


@check(
    id="COS177",
    name="initrd-script-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A script of the toolkit in the initrd is empty, or its lines end in carriage returns.",
    why="""A hook is read by dracut's shell and needs neither mode nor interpreter, but it must say something: with an empty one the boot hangs and
        nothing tells why. A carriage return at the end of a line belongs to the line's last word, so no command and no keyword is what it
        was meant to be.""",
    remedy=f"Write the dracut module's files with plain line ends (git: `*.sh text eol=lf`), and build again. {REBUILD}",
    reads=READS,
)
def initrd_script_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the hooks, and at all lines of the scripts behind the first, which is another check's."""
    seen: set[str] = set()
    for path, initrd in opened(context):
        for name in (name for group in context.generation.initrd_scripts for name in group):
            member = initrd.lookup(name)
            if member is None or member.type != "file" or member.path in seen:
                continue
            seen.add(member.path)
            body = initrd.bodies.get(member.path, b"") if member.size else b""
            if not member.size:
                if _HOOKS in f"/{name}":
                    yield about(
                        context,
                        path,
                        f"expected the hook /{name} in the initrd to say something, it is empty",
                    )
            elif _ends_in_returns(body, sourced=_HOOKS in f"/{name}"):
                yield about(
                    context,
                    path,
                    f"expected plain line ends in /{name} in the initrd, they are carriage returns",
                )
    yield f"{len(seen)} scripts are as a shell reads them"


def _ends_in_returns(body: bytes, *, sourced: bool) -> bool:
    """Say whether the lines of commands end in carriage returns; of what is executed the first line is judged by the kernel."""
    lines = body.split(b"\n")
    if not sourced and lines[0].endswith(b"\r"):
        return False
    commands = [line for line in lines[1:] if line.strip() and not line.lstrip().startswith(b"#")]
    return bool(commands) and sum(line.endswith(b"\r") for line in commands) * 2 > len(commands)


# -- the root as a whole -----------------------------------------------------------------------------------------------

_MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32", "usr/sbin", "usr/lib64")
_SHOWN = 5


@check(
    id="COS173",
    name="merged-directory-replaced",
    level=Level.WARNING,
    summary="A layer replaced a link such as /bin or /lib by a directory.",
    why="""In an image whose /bin, /sbin and /lib are links into /usr, an archive with an entry for the directory takes the link's place:
        everything that was reached through it is there no longer at that path: interpreters of scripts, the dynamic loader, programs
        that units name.""",
    remedy="Copy to /usr/bin, /usr/sbin or /usr/lib, or write the archive without entries for the directories that are links.",
    universal=True,
)
def merged_directory_replaced(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the history of directories that stand beside what merged ones lead to."""
    _require_system(context)
    seen = 0
    for name in _MERGED:
        entry = context.rootfs.trace(f"/{name}", follow=False).entry
        if entry is None:
            continue
        seen += 1
        if entry.type != "dir":
            continue
        history = context.rootfs.history(f"/{name}")
        link = next((change for change in reversed(history) if change.link), None)
        if link is None:
            continue
        target = context.rootfs.trace(f"/{name}/../{link.link}" if link.link[:1] != "/" else link.link).entry
        if target is None or target.type != "dir" or target.path == entry.path:
            continue
        lost = sorted(context.rootfs.children(target).keys() - context.rootfs.children(entry).keys())
        if not lost:
            continue
        change = next(
            change
            for change in history
            if change.layer > link.layer and change.action in (Action.REPLACED, Action.REMOVED)
        )
        shown = ", ".join(f"/{name}/{each}" for each in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        yield Finding(
            f"expected /{name} to lead to {target.path}, a directory took the link's place: {shown}{more} are gone",
            f"/{name}",
            change.layer,
            (f"/{name} -> {link.link} (layer {link.layer})", f"{context.step(change.layer)} replaced it"),
        )
    yield f"{seen} directories of programs and libraries are as the base laid them out"


@check(
    id="COS175",
    name="root-closed",
    level=Level.WARNING,
    summary="Only root may enter the root directory.",
    why="""Services that run as another user fail, and logins of other users: the machine reaches its targets late or never. At boots with such a
        root directory root could log in, and multi-user.target came late or not at all.""",
    remedy="Give it the mode 0755: RUN chmod 755 / in the Dockerfile, or in the archive that the base image is made of.",
    universal=True,
)
def root_closed(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the mode of /."""
    _require_system(context)
    root = context.rootfs.root
    if not root.mode & 0o001:
        yield Finding(
            f"expected others to be able to enter /, its mode is {root.mode:04o}",
            "/",
            root.layer,
            (context.step(root.layer),),
        )
    else:
        yield f"the mode of / is {root.mode:04o}"


@check(
    id="COS176",
    name="overlay-without-etc",
    level=Level.WARNING,
    summary="The layout makes /etc not writable.",
    why="""What the stages write below /etc (accounts, host name, network) cannot be written on a read-only root. At a boot with such a layout
        cos-immutable-rootfs failed, and the boot ended in the emergency shell.""",
    remedy="Name /etc in RW_PATHS of the cloud-config that writes the layout.",
    reads=("system/oem/**",),
)
def overlay_without_etc(context: CheckContext) -> Iterator[Finding | str]:
    """Look at RW_PATHS as the cloud-configs set it."""
    if "/etc" not in context.generation.overlays:
        raise NotApplicable(f"{context.generation.title} does not lay anything over /etc by such a variable")
    value = context.facts.layout.get("RW_PATHS")
    if value is None or "$" in value:
        raise NotApplicable("no cloud-config sets RW_PATHS to what is known beforehand")
    if "/etc" not in {path.rstrip("/") for path in value.split()}:
        yield Finding(f"expected /etc in RW_PATHS, found {value.strip() or 'nothing'}")
    else:
        yield f"RW_PATHS is {value.strip()}"
