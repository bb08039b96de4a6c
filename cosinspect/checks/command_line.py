"""Checks on the kernel command lines of bootargs.cfg: programs and units that they name, and words that stop the boot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import opened
from cosinspect.checks.initrd_base import starts_with_systemd
from cosinspect.checks.targets import UNIT_READS
from cosinspect.facts.file_trees import InitrdFiles
from cosinspect.facts.grub import BootLine
from cosinspect.facts.unit_tree import UnitTree
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.profiles import boot_globs
from cosinspect.report.report import Finding, Level

__all__ = ["kernel_argument_stops", "kernel_argument_unresolved"]

READS = (*boot_globs(), *UNIT_READS)
_UNKNOWN = re.compile("[$%]")
_SHOWN = 200
_RUNLEVEL_RESCUE = frozenset({"1", "s", "S", "single", "rescue"})
_STOPPING_UNITS = frozenset({"emergency", "rescue", "halt", "poweroff", "reboot", "shutdown", "kexec"})
# systemd's names of runlevels and of targets that are words of their own on the command line (systemd(1), kernel-command-line(7)).
_STOPS = {
    "emergency": "systemd stops in emergency mode",
    "-b": "systemd stops in emergency mode",
    **dict.fromkeys(_RUNLEVEL_RESCUE, "systemd stops in rescue mode"),
    "rd.break": "dracut stops at a shell in the initrd",
    "rdbreak": "dracut stops at a shell in the initrd",
    "systemd.break": "systemd stops at a shell",
    "rd.systemd.break": "systemd stops at a shell in the initrd",
}


def _parameters(context: CheckContext) -> Iterator[tuple[BootLine, str, str | None]]:
    """Return the parameters that the command lines can have, each once."""
    lines = context.facts.command_lines
    if not lines:
        raise NotApplicable("no kernel command line is known")
    seen: set[tuple[str, str | None]] = set()
    for line in lines:
        try:
            parameters = line.line.parameters
        except GrubBound as bound:
            raise Undecided(f"the kernel command line is undecided: {bound}") from bound
        for each in parameters:
            if (each.key, each.value) not in seen:
                seen.add((each.key, each.value))
                yield line, each.key, each.value


def _at(context: CheckContext, line: BootLine, message: str) -> Finding:
    path = context.facts.bootargs_path
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    told = f"the command line of the state {line.state}: {line.line.text[:_SHOWN]}"
    return Finding(message, path, layer, (told, *((context.step(layer),) if layer is not None else ())))


@check(
    id="COS184",
    name="kernel-argument-unresolved",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A kernel argument names a program or a unit that does not exist.",
    why="""With `init=` the initrd finds nothing to switch to and ends in its emergency shell; with `systemd.unit=` systemd does not find
    the unit, and asks for the root password for maintenance.""",
    remedy="Remove the argument from bootargs.cfg, or install what it names.",
    reads=READS,
    universal=True,
)
def kernel_argument_unresolved(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve the programs and units that each command line names."""
    count = 0
    for line, key, value in _parameters(context):
        if not value or _UNKNOWN.search(value):
            continue
        reason = _unresolved(context, key, value)
        count += reason is not None
        if reason:
            finding = _at(context, line, f"expected {value}, which {key}= names, {reason}")
            cure = boot_remedies.takes_out_argument(f"{key}={value}")
            yield remedies.with_cure(context, finding, cure)
    yield f"every program and unit that an argument names exists ({count})"


def _unresolved(context: CheckContext, key: str, value: str) -> str | None:
    """Return why the named file is missing, "" if it exists, None if the argument names no file."""
    if key == "init":
        trace = context.rootfs.trace(value)
        if trace.entry is None or not value.startswith("/"):
            return "it does not exist: the boot ends in the initrd's emergency shell"
        if trace.entry.type != "file" or not trace.entry.is_executable:
            return "it cannot be executed: the boot ends in the initrd's emergency shell"
        return ""
    if key == "systemd.unit":
        place = context.facts.units.find(value)
        return f"{place.reason}: systemd asks for the root password for maintenance" if place.reason else ""
    if key not in ("rd.systemd.unit", "rdinit"):
        return None
    try:
        initrds = list(opened(context))
    except NotApplicable:
        return None
    for path, initrd in initrds:
        if key == "rdinit":
            member = initrd.lookup(value)
            if member is None or member.type != "file" or not member.mode & 0o111:
                return f"it cannot be executed in {path}: the kernel ignores the initrd, and panics"
        elif starts_with_systemd(initrd):
            reason = UnitTree(InitrdFiles(initrd)).find(value).reason
            if reason:
                return f"{reason} in {path}: the initrd starts no target"
    return ""


@check(
    id="COS185",
    name="kernel-argument-stops",
    level=Level.WARNING,
    summary="A kernel argument stops every boot before a login.",
    why="The machine waits at a shell or asks for the root password; it continues only after input at its console.",
    remedy="Remove the argument from bootargs.cfg; it can be typed in GRUB's menu when it is needed.",
    reads=READS,
    universal=True,
)
def kernel_argument_stops(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the words."""
    for line, key, value in _parameters(context):
        effect = _effect(context, key, value)
        if effect:
            word = key if value is None else f"{key}={value}"
            finding = _at(
                context, line, f"expected a command line that boots to a login, found {word}: {effect}"
            )
            yield remedies.with_cure(context, finding, boot_remedies.takes_out_argument(word))
    yield "no argument stops the boot"


def _effect(context: CheckContext, key: str, value: str | None) -> str:
    if key in _STOPS and (value is None or key.endswith("break")):
        return _STOPS[key]
    if key in ("systemd.unit", "rd.systemd.unit") and value:
        name = value.partition(".")[0]
        return f"systemd stops at {value}" if name in _STOPPING_UNITS else ""
    if key == "init" and value and not _UNKNOWN.search(value):
        entry = context.rootfs.trace(value).entry
        runs = entry is not None and entry.type == "file" and entry.is_executable
        if entry is not None and runs and entry.name not in ("systemd", "init", "busybox", "openrc-init"):
            return f"{entry.path} runs in place of systemd"
    return ""
