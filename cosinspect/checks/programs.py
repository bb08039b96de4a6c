"""Checks on the programs of the root: whether the kernel can execute them, with loader and libraries, and which layer prevents it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve, frozen

from cosinspect.checks import file_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, words_of
from cosinspect.checks.boot_path import BOOTS, LOADER_READS
from cosinspect.checks.tools import tools_of
from cosinspect.checks.units import READS as UNIT_READS
from cosinspect.checks.units import service_at
from cosinspect.facts.loader import ExecutionFault
from cosinspect.formats.text.systemd import exec_commands
from cosinspect.report.evidence import Hop, Mention
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.history import Action

__all__ = [
    "base_directory_replaced",
    "command_unusable",
    "merged_directory_replaced",
    "overlay_without_etc",
    "program_degraded",
    "program_unusable",
    "require_root",
    "root_closed",
]

_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


@frozen
class _Start:
    """A program that every boot runs.

    Attributes:
        places: its possible paths; the first that exists counts.
        effect: the behaviour of a machine without it.
        required: whether this check reports its absence; else other checks do.
        with_systemd: whether only images with systemd need it.
    """

    places: tuple[str, ...]
    effect: str
    required: bool = False
    with_systemd: bool = False


# The effects were observed in boots without each program.
_ROOT = (
    _Start(
        ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"),
        "systemd sees no device: the console's device times out, and no login prompt appears",
        required=True,
        with_systemd=True,
    ),
    _Start(("/bin/sh",), "scripts do not run, and a login ends in `Login incorrect`", required=True),
    _Start(("/sbin/agetty", "/usr/sbin/agetty"), "no login prompt comes"),
    _Start(("/bin/login", "/usr/bin/login"), "the prompt accepts a name and does not ask for a password"),
)
_GETTYS = ("getty@.service", "serial-getty@.service", "console-getty.service")
_DEGRADING = (
    _Start(("/bin/mount", "/usr/bin/mount"), "file systems are not mounted, and units fail", required=True),
    _Start(("/bin/kmod", "/usr/bin/kmod"), "no further driver is loaded"),
    _Start(("/sbin/modprobe", "/usr/sbin/modprobe"), "no further driver is loaded"),
)


def require_root(context: CheckContext) -> None:
    """Skip the check if nothing shows that the image is for booting.

    Raises:
        NotApplicable: nothing shows it.
    """
    if not context.facts.generation:
        raise NotApplicable("no generation is evident, so nothing shows that the image is for booting")
    if not any(map(context.rootfs.exists, ("/usr", "/bin"))):
        raise NotApplicable("the image is not the root of a system")  # but files for an EFI partition


def _started(context: CheckContext, starts: Iterable[_Start]) -> Iterator[tuple[str, ExecutionFault, str]]:
    """Yield the programs of a list that cannot be executed, with the effect."""
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
    context: CheckContext, faults: Iterable[tuple[str, ExecutionFault, str]], undecided: list[str]
) -> Iterator[Finding]:
    """Make findings, one for each cause."""
    found: dict[str, Finding] = {}
    for path, fault, effect in faults:
        if fault.is_undecided:
            undecided.append(f"it is not known whether {path} runs: {words_of(path, fault)}")
        elif (blamed := _blamed(context, fault)) in found:
            first = found[blamed]
            found[blamed] = evolve(first, evidence=(*first.grounds, f"{path} does not run either: {effect}"))
        else:
            message = f"expected {path} to be executable, {words_of(path, fault)}; without it {effect}"
            found[blamed] = context.unexecutable(path, fault, message)
    yield from found.values()


def _blamed(context: CheckContext, fault: ExecutionFault) -> str:
    """Return the file that prevents a program from running, independent of the link that names it."""
    entry = context.rootfs.trace(fault.path).entry if fault.path.startswith("/") else None
    return entry.path if entry is not None else fault.path


def _gettys(context: CheckContext) -> Iterator[tuple[str, ExecutionFault, str]]:
    """Yield the programs of login prompts' units that cannot be executed."""
    seen = set()
    for name in _GETTYS:
        found = service_at(context, name)
        for command in exec_commands(found[2]) if found is not None else ():
            path = command.path
            if command.directive != "ExecStart" or not path.startswith("/") or path in seen:
                continue
            seen.add(path)
            fault = context.facts.execution.fault(path)
            if fault is not None and context.rootfs.exists(path):  # another check reports that it is missing
                yield path, fault, f"no login prompt appears, as {name} runs it"


@check(
    id="COS170",
    name="program-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A program that every boot needs is not in the image, or cannot be executed.",
    why="""The kernel starts the system, but nobody can log in: without udev no device appears, without agetty no prompt, without login or a
        shell no session. The file alone is not enough: its mode, its loader, its libraries, its architecture and a script's
        interpreter count as well.""",
    remedy="""Install the package that has the program with its libraries, for the image's architecture. If a layer replaced a link such as /bin or /lib
        by a directory, copy to /usr/bin or /usr/lib instead.""",
    reads=(*LOADER_READS, *UNIT_READS),
    universal=True,
    cure=remedies.reinstalls(),
)
def program_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Follow udev, the shell, agetty and login to their loaders and libraries."""
    require_root(context)
    undecided: list[str] = []
    starts: tuple[_Start, ...] = _ROOT
    if context.is_foreign:  # another check reports the others
        effect = "the initrd finds nothing to switch to: it says `Failed to execute /sbin/init`, or ends in the emergency shell"
        starts = (_Start((*_SYSTEMD, "/sbin/init"), effect, required=True), *_ROOT)
    faults = {path: (path, fault, effect) for path, fault, effect in _started(context, starts)}
    for path, fault, effect in _gettys(context):
        faults.setdefault(path, (path, fault, effect))
    yield from _told(context, faults.values(), undecided)
    if undecided:
        raise Undecided("; ".join(undecided))
    yield "udev, the shell and the programs of a login can be executed"


@check(
    id="COS171",
    name="program-degraded",
    level=Level.WARNING,
    summary="A program that the running system calls is not in the image, or cannot be executed.",
    why="The machine boots to a login; units that need the program fail.",
    remedy="Install the package that has the program with its libraries, for the image's architecture.",
    reads=LOADER_READS,
    universal=True,
    cure=remedies.reinstalls(),
)
def program_degraded(context: CheckContext) -> Iterator[Finding | str]:
    """Follow mount and kmod to their loaders and libraries."""
    require_root(context)
    undecided: list[str] = []
    yield from _told(context, _started(context, _DEGRADING), undecided)
    if undecided:
        raise Undecided("; ".join(undecided))
    yield "mount and the program that loads drivers can be executed"


# -- what operations call ----------------------------------------------------------------------------------------------

_OPERATIONS = (Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY)


def _unusable(
    context: CheckContext, capability: Capability
) -> dict[tuple[str, ...], tuple[str, ExecutionFault]]:
    """Return the commands of an operation that exist and cannot be executed, by their names."""
    table = context.table if capability is not Capability.RECOVERY else None
    own = (*table.own_programs, *table.grub_tools) if table is not None else ()
    found: dict[tuple[str, ...], tuple[str, ExecutionFault]] = {}
    for names in dict.fromkeys((*tools_of(context, capability), *own)):
        places = [place for name in names if (place := context.command(name)) is not None]
        faults = [(place, context.facts.execution.fault(place, by_shell=True)) for place in places]
        broken = [(place, fault) for place, fault in faults if fault is not None]
        if broken and len(broken) == len(faults):
            found[names] = broken[0]
    return found


def _spared(context: CheckContext) -> tuple[Capability, ...]:
    """Return the operations that call none of the commands that cannot be executed."""
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
    why="""The command is in the image, but the kernel or its loader refuses it: it is for another architecture, a library or an interpreter is
        missing, or the file is empty. The operation stops with `Exec format error` or `No such file or directory`.""",
    remedy="Install the package that has the command with its libraries, for the image's architecture.",
    reads=LOADER_READS,
    universal=True,
    cure=remedies.reinstalls(lead="install what cannot be executed"),
)
def command_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Follow the commands of each operation to their loaders and libraries."""
    require_root(context)
    undecided: list[str] = []
    found: dict[str, tuple[str, ExecutionFault, str]] = {}
    for capability in _OPERATIONS:
        for place, fault in _unusable(context, capability).values():
            effect = f"{capability.value} stops when it calls it"
            found.setdefault(place, (place, fault, effect))
    yield from _told(context, found.values(), undecided)
    if undecided:
        raise Undecided("; ".join(undecided))
    yield "the existing commands that operations call can be executed"


# -- the root as a whole -----------------------------------------------------------------------------------------------

_MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32", "usr/sbin", "usr/lib64")
_SHOWN = 5


@check(
    id="COS173",
    name="merged-directory-replaced",
    level=Level.WARNING,
    summary="A layer replaced a link such as /bin or /lib by a directory.",
    why="""In an image whose /bin, /sbin and /lib are links into /usr, an archive with an entry for the directory replaces the link. Everything at the link's target is no longer
    at that path: interpreters of scripts, the dynamic loader, programs that units name.""",
    remedy="Copy to /usr/bin, /usr/sbin or /usr/lib, or write the archive without entries for the directories that are links.",
    universal=True,
    cure=file_remedies.merges_directory,
)
def merged_directory_replaced(context: CheckContext) -> Iterator[Finding | str]:
    """Read the history of the directories whose targets are merged ones."""
    require_root(context)
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
            f"expected /{name} to lead to {target.path}, a directory replaced the link: {shown}{more} are gone",
            f"/{name}",
            change.layer,
            (
                Hop(f"/{name}", link.link, link.layer),
                Mention(f"{context.step(change.layer)} replaced it", change.layer),
            ),
        )
    yield f"the directories of programs and libraries are those of the base image ({seen})"


# The directories over which systemd mounts its own file systems, or in which it keeps state.
_BASE = {
    **dict.fromkeys(
        ("/dev", "/proc", "/sys", "/run"), "systemd cannot mount its file systems there and freezes"
    ),
    "/etc": "nothing of the system's settings can be read",
    "/var": "services that keep their state there fail, and the boot ends in emergency mode",
}
_TMP = "/tmp"  # noqa: S108 - a path of the image
_TMP_EFFECT = (
    "the stage initramfs binds it into the new root and fails, and the boot ends in the emergency shell"
)


def _binds_tmp(context: CheckContext) -> bool:
    """Return whether the initrd requires the stage initramfs, whose unit binds /tmp."""
    units = context.derivative.initrd_units if context.derivative is not None else ()
    return any(
        each.unit.endswith("-setup-initramfs.service") and each.link.endswith(".requires") for each in units
    )


@check(
    id="COS192",
    name="base-directory-replaced",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A file is in the place of a standard directory.",
    why="""systemd mounts its own file systems over /dev, /proc, /sys and /run, and services keep their state below /var. A file there, or a link
        to one, stops the boot before a login.""",
    remedy="Delete the file in the step that made it, and make the directory.",
    universal=True,
    cure=file_remedies.replaces_by_directory,
)
def base_directory_replaced(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the target of each name; another check reports missing ones."""
    require_root(context)
    bad = False
    judged = (
        (*context.generation.overlays,) if context.facts.generation in context.profile.generations else ()
    )
    named = {**_BASE, _TMP: _TMP_EFFECT} if _binds_tmp(context) else _BASE
    for path, effect in named.items():
        entry = context.rootfs.trace(path).entry
        if entry is None or entry.type == "dir" or path in judged:
            continue
        bad = True
        message = f"expected the directory {path}, found a {entry.type}: {effect}"
        yield Finding(message, path, entry.layer, (context.step(entry.layer),))
    if not bad:
        yield "the directories that every system has are directories"


@check(
    id="COS175",
    name="root-closed",
    level=Level.WARNING,
    summary="Only root may enter the root directory.",
    why="""Services that run as another user fail, and logins of other users: the machine reaches its targets late or never. In boots with such a root directory root could log in, and multi-user.target was reached late or not at all.""",
    remedy="Give the root directory the mode 0755, in the Dockerfile or in the archive of the base image.",
    universal=True,
    cure=remedies.runs("open it", lambda *_: ("RUN chmod 755 /",)),
)
def root_closed(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the mode of /."""
    require_root(context)
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
    why="""The stages cannot write accounts, host name and network below /etc on a read-only root. In a boot with such a layout
    cos-immutable-rootfs failed, and the boot ended in the emergency shell.""",
    remedy="Name /etc in RW_PATHS of the cloud-config that writes the layout.",
    reads=("system/oem/**",),
    cure=remedies.from_toolkit("cloud-configs", "install the toolkit's layout"),
)
def overlay_without_etc(context: CheckContext) -> Iterator[Finding | str]:
    """Read RW_PATHS as the cloud-configs set it."""
    if "/etc" not in context.generation.overlays:
        raise NotApplicable(f"{context.generation.title} has no such variable for /etc")
    value = context.cloud_configs.layout(context.boot_world("rootfs")).get("RW_PATHS")
    if value is None or "$" in value:
        raise NotApplicable("no cloud-config sets RW_PATHS to a known value")
    if "/etc" not in {path.rstrip("/") for path in value.split()}:
        yield Finding(f"expected /etc in RW_PATHS, found {value.strip() or 'nothing'}")
    else:
        yield f"RW_PATHS is {value.strip()}"
