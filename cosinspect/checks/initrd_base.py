"""Checks on files that every initrd with systemd needs, with any toolkit: devices appear, and systemd switches to the root."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import READS, about, opened
from cosinspect.facts.file_trees import InitrdFiles
from cosinspect.facts.unit_tree import UnitTree
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.shell.script import read_shell_script
from cosinspect.formats.text.systemd import exec_commands
from cosinspect.report.report import Finding, Level

__all__ = ["initrd_base_missing", "starts_with_systemd"]

_BIN = ("usr/bin", "usr/sbin", "bin", "sbin")
_LIB = ("usr/lib", "lib")
# The required files, their possible paths, and the behaviour of a machine without them.
_FILES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "systemd-udevd",
        tuple(f"{top}/systemd/systemd-udevd" for top in _LIB),
        "no device appears, and the boot hangs",
    ),
    (
        "udevadm",
        tuple(f"{top}/udevadm" for top in _BIN),
        "devices that the kernel found before are not announced again, and the boot hangs",
    ),
    ("sh", tuple(f"{top}/sh" for top in _BIN), "the services that run scripts fail"),
    (
        "systemctl",
        tuple(f"{top}/systemctl" for top in _BIN),
        "nothing switches to the root, and the boot ends in the emergency shell",
    ),
    (
        "etc/initrd-release",
        ("etc/initrd-release",),
        "systemd does not treat it as an initrd, and waits for a root that nothing mounts",
    ),
    (
        "60-persistent-storage.rules",
        tuple(f"{top}/udev/rules.d/60-persistent-storage.rules" for top in ("etc", *_LIB)),
        "/dev/disk/by-label stays empty, and the wait for the root device times out",
    ),
    (
        "99-systemd.rules",
        tuple(f"{top}/udev/rules.d/99-systemd.rules" for top in ("etc", *_LIB)),
        "no device becomes known to systemd, and the wait for the root device never ends",
    ),
)
_ROOT_GENERATOR = (
    "dracut-rootfs-generator",
    tuple(f"{top}/systemd/system-generators/dracut-rootfs-generator" for top in _LIB),
    "dracut does not wait for the root device, the image file becomes no device in time, and the boot ends in the emergency shell",
)
_DRACUT_LIBRARY = (
    "dracut-lib.sh",
    tuple(f"{top}/dracut-lib.sh" for top in _LIB),
    "the hook of the toolkit finds no kernel argument and does nothing, and the boot hangs",
)
_NAMES = frozenset(name for name, _, _ in _FILES)
_HOOK = re.compile(r"dracut/hooks/([^/]+)/")
_UNITS = {
    "initrd-switch-root.service": "nothing switches to the root, and the boot hangs",
    "initrd-switch-root.target": "nothing switches to the root, and the boot hangs",
    "initrd-cleanup.service": "nothing switches to the root, and the boot hangs",
    "initrd-parse-etc.service": "nothing switches to the root, and the boot hangs",
    "initrd.target": "the initrd has no target to reach, and the boot hangs",
    "systemd-udev-trigger.service": "devices that the kernel found before are not announced again, and the boot hangs",
    "systemd-udevd.service": "udev is not started: no device appears, and the boot hangs",
}


def starts_with_systemd(initrd: Initrd) -> bool:
    """Return whether the /init of an initrd is systemd."""
    init = initrd.lookup("init")
    return init is not None and init.path.rpartition("/")[2] == "systemd"


@check(
    id="COS180",
    name="initrd-base-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd lacks a part that systemd needs to find the root and to switch to it.",
    why="""Machines hang without a message or end in the emergency shell: without udevd, its storage rules or
        /etc/initrd-release nothing finds the root, without systemctl or initrd-switch-root.service nothing switches to it.""",
    remedy="Install systemd and udev completely, and build the initrd again.",
    reads=READS,
    universal=True,
    cure=remedies.rebuilds(),
)
def initrd_base_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the programs, rules and units."""
    if not context.facts.generation:
        raise NotApplicable("no generation is evident")
    for path, initrd in opened(context):
        if not starts_with_systemd(initrd):
            raise NotApplicable(f"the /init of {path} is not systemd")
        bad = False
        scripts = _toolkit_scripts(context, initrd)
        sourced = any(b"dracut-lib.sh" in body for body in scripts)
        files = [*_FILES, *([_DRACUT_LIBRARY] if sourced else [])]
        if _queues_the_image(scripts):
            files.append(_ROOT_GENERATOR)
        for name, places, effect in files:
            read = name.endswith((".rules", ".sh"))
            reason = _reason(initrd, places, is_read=read, is_program="." not in name and "/" not in name)
            if reason:
                bad = True
                yield about(context, path, f"expected {name} in the initrd, {reason}: {effect}")
        if sourced and (lacking := _not_called(initrd)):
            bad = True
            effect = "the hook of the toolkit finds no kernel argument and does nothing"
            yield about(
                context, path, f"expected {lacking}: {effect}, and the boot ends in the emergency shell"
            )
        units = UnitTree(InitrdFiles(initrd))
        for name, effect in _UNITS.items():
            place = units.find(name)
            if not place.is_there:
                bad = True
                yield about(
                    context, path, f"expected the unit {name} in the initrd, {place.reason}: {effect}"
                )
                continue
            for program, reason in _not_run(initrd, units, name):
                bad = True
                what = f"expected /{program} in the initrd, which {name} runs, {reason}"
                yield about(
                    context, path, f"{what}: the unit fails, and the boot ends in the emergency shell"
                )
        started = units.started_by("initrd.target")
        for need in started:
            if need.required and need.by and need.name not in _UNITS and not need.placement.is_there:
                bad = True
                reason = f"which {need.by} requires, {need.placement.reason}: systemd freezes"
                yield about(context, path, f"expected the unit {need.name} in the initrd, {reason}")
        for stage, reason in _stages_not_run(context, initrd, units, {need.name for need in started}):
            bad = True
            effect = f"the hooks of the toolkit in {stage} do not run, and the boot hangs"
            yield about(
                context, path, f"expected dracut to run its stage {stage} in the initrd, {reason}: {effect}"
            )
        if not bad:
            yield f"{path} has what systemd needs to find the root and switch to it"


def _not_called(initrd: Initrd) -> str:
    """Return what dracut's library lacks to read the kernel's command line, "" if it lacks nothing.

    dracut 056 and later read it with a program (`dracut-getarg`, a link to dracut-util), earlier ones in the shell.
    """
    for place in _DRACUT_LIBRARY[1]:
        member = initrd.lookup(place)
        body = initrd.bodies.get(member.path, b"") if member is not None else b""
        if member is None or b"dracut-getarg" not in body:  # earlier libraries are not parsed
            continue
        calls = read_shell_script(body.decode("utf-8", "surrogateescape")).commands
        if any(call.name == "dracut-getarg" for call in calls):
            places = tuple(f"{top}/dracut-getarg" for top in _BIN)
            reason = _reason(initrd, places, is_read=False, is_program=True)
            return f"dracut-getarg in the initrd, which /{member.path} runs, {reason}" if reason else ""
    return ""


def _stages_not_run(
    context: CheckContext, initrd: Initrd, units: UnitTree, started: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the stages of dracut that have hooks of the toolkit and do not run, each with the reason.

    A service of dracut's name runs the hooks of a stage (dracut.bootup(7)); a machine without its program waits for the root without end.
    """
    table = context.derivative
    hooks = [name for group in (table.initrd_files if table is not None else ()) for name in group]
    stages = {found[1] for name in hooks if initrd.exists(name) and (found := _HOOK.search(name))}
    for stage in sorted(stages):
        service = f"dracut-{stage}.service"
        place = units.find(service)
        if not place.is_there:
            yield stage, f"{service}: {place.reason}"
        elif service not in started:
            yield stage, f"nothing that initrd.target starts asks for {service}"
        else:
            for program, reason in _not_run(initrd, units, service, may_fail=True):
                yield stage, f"/{program}, which {service} runs: {reason}"


def _not_run(
    initrd: Initrd, units: UnitTree, service: str, *, may_fail: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the programs of a service that are not in the initrd, each with the reason; by default those without which it fails."""
    for command in exec_commands(units.unit(service)):
        program = command.path.lstrip("/")
        places = (program,) if "/" in program else tuple(f"{top}/{program}" for top in _BIN)
        if program and (may_fail or not command.may_fail):
            reason = _reason(initrd, places, is_read=False, is_program=True)
            if reason and program.rpartition("/")[2] not in _NAMES:
                yield program, reason


def _toolkit_scripts(context: CheckContext, initrd: Initrd) -> tuple[bytes, ...]:
    """Return the bodies of the toolkit's scripts in an initrd."""
    table = context.derivative
    names = (name for group in (table.initrd_scripts if table is not None else ()) for name in group)
    members = (initrd.lookup(name) for name in names)
    return tuple(initrd.bodies.get(member.path, b"") for member in members if member is not None)


def _queues_the_image(scripts: tuple[bytes, ...]) -> bool:
    """Return whether dracut's queue makes the root device and only its own generator waits for that.

    By real boots of G2: without the generator the queue ends at once, before the image file is a device.
    """
    calls = [
        call
        for body in scripts
        if b"initqueue" in body
        for call in read_shell_script(body.decode("utf-8", "surrogateescape")).commands
    ]
    names = {call.name.rpartition("/")[2] for call in calls}
    return "initqueue" in names and "wait_for_dev" not in names


def _reason(initrd: Initrd, places: tuple[str, ...], *, is_read: bool, is_program: bool) -> str:
    """Return why no path has the file, "" if one has; another check reports files that cannot be executed."""
    found = ""
    for place in places:
        there = initrd.lookup(place, follow=False)
        member = initrd.lookup(place)
        if there is None:
            continue
        if there.target == "/dev/null" or (member is not None and member.type == "character"):
            return f"/{place} masks it"
        if member is None:
            found = found or f"/{place} leads to nothing"
        elif is_program:
            return ""
        elif member.type != "file":
            found = found or f"/{place} is a {member.type}"
        elif not member.size and is_read:
            found = found or f"/{place} is empty"
        else:
            return ""
    return found or "it is not there"
