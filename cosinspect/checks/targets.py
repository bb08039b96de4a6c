"""Checks on systemd in the root: its targets, the rules of udev, and the file systems that it must mount."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from cosinspect.checks import file_remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check, links_of
from cosinspect.checks.boot_path import BOOTS
from cosinspect.facts.unit_tree import Dependency, Placement
from cosinspect.formats.text.systemd import Unit
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level

__all__ = [
    "UNIT_READS",
    "at_unit",
    "require_root",
    "require_systemd",
    "required_mount_unknown",
    "system_target_missing",
]

UNIT_READS = (
    "{etc,usr/lib,lib,usr/local/lib}/systemd/system/*.{target,service,mount,socket,timer,path,slice,automount,swap,device}",
    "{etc,usr/lib,lib,usr/local/lib}/systemd/system/*.d/*.conf",
)
_DEFAULT = "default.target"
# Targets without a login.
_STOPPING = {
    "emergency.target": "systemd stops in emergency mode and asks for the root password for maintenance",
    "rescue.target": "systemd stops in rescue mode and asks for the root password for maintenance",
    **dict.fromkeys(
        ("poweroff.target", "halt.target", "shutdown.target"),
        "the machine is switched off as soon as it runs",
    ),
    **dict.fromkeys(("reboot.target", "kexec.target"), "the machine reboots in a loop"),
}
_RULES = {
    "60-persistent-storage.rules": "no file system is found by its label: the mounts of /oem and /usr/local time out",
    "99-systemd.rules": "systemd sees no device: consoles and file systems that wait for a device time out",
}
_RULE_DIRECTORIES = (
    "/etc/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
)
# Conditions on the machine: systemd skips the unit on other machines.
_CONDITION = re.compile(r"(?:Condition|Assert)[A-Z]\w+")
_BY_LABEL = re.compile(r"(?:LABEL=|/dev/disk/by-label/)(.+)")
_BY_PARTITION = re.compile(r"(?:PARTLABEL=|/dev/disk/by-partlabel/)(.+)")
_BY_ID = re.compile(r"(?:(?:PART)?UUID=|/dev/disk/by-(?:part)?uuid/)(.+)")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")
_PARTITIONS = frozenset(
    [
        "efi",
        "esp",
        "bios",
        "boot",
        "oem",
        "state",
        "persistent",
        "recovery",
        "p.grub",
        "p.oem",
        "p.state",
        "p.recovery",
        "p.persistent",
        "p.bios",
    ]
)


def require_root(context: CheckContext) -> None:
    """Skip a check of the root if nothing shows that machines boot it.

    Raises:
        NotApplicable: no generation is evident, or the image holds boot files alone.
    """
    if not context.facts.generation:
        raise NotApplicable("no generation is evident")
    if not context.rootfs.exists("/usr"):
        raise NotApplicable("the image has no root file system")


def require_systemd(context: CheckContext) -> None:
    """Skip a check of systemd's units if the image does not boot with systemd.

    Raises:
        NotApplicable: nothing shows that machines boot the root, or systemd is missing.
    """
    require_root(context)
    if not any(context.rootfs.exists(f"/{top}/systemd/systemd") for top in ("usr/lib", "lib")):
        raise NotApplicable("there is no systemd")


def at_unit(context: CheckContext, place: Placement, message: str, *evidence: str) -> Finding:
    """Return the finding about a unit, at its file or at its expected path."""
    path = place.path or f"/usr/lib/systemd/system/{place.name}"
    entry = context.rootfs.trace(path, follow=False).entry
    if entry is None:
        layer, removed = context.removal(path)
        return Finding(message, path, layer, (*evidence, *removed))
    trace = context.rootfs.trace(path)
    return Finding(message, path, entry.layer, (*evidence, *links_of(trace), context.step(entry.layer)))


@check(
    id="COS181",
    name="system-target-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A target that systemd must reach is not in the image, or udev lacks the rules with which devices appear.",
    why="""Without default.target or multi-user.target systemd asks for the root password for maintenance, without basic.target it
        freezes; without udev's rules it finds no console and no file system of the disk.""",
    remedy="Reinstall the package of systemd, let no later step delete or mask its units, and set the default target.",
    reads=UNIT_READS,
    universal=True,
    cure=file_remedies.default_target,
)
def system_target_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Follow the requirements of default.target, as systemd loads them."""
    require_systemd(context)
    units = context.facts.units
    needs = units.started_by(_DEFAULT)
    bad = False
    for need in needs:
        if not need.required or need.placement.is_there:
            continue
        bad = True
        yield _unreached(context, need)
    for name, effect in _RULES.items():
        paths = [f"{top}/{name}" for top in _RULE_DIRECTORIES]
        first = next(
            (path for path in paths if context.rootfs.trace(path, follow=False).entry is not None), ""
        )
        entry = context.rootfs.trace(first).entry if first else None
        if entry is None or entry.type != "file" or not entry.size:
            bad = True
            told = first or paths[2]
            why = "it is not there" if not first else "it has no rules"
            yield context.missing(told, f"expected udev's rules {name}, {why}: {effect}")
    place = needs[0].placement
    if place.is_there and place.id in _STOPPING:
        bad = True
        yield at_unit(
            context, place, f"expected {_DEFAULT} to lead to a login, it is {place.id}: {_STOPPING[place.id]}"
        )
    if not bad:
        yield f"{_DEFAULT} is {place.id}, and the {sum(need.required for need in needs)} units that it requires are there"


def _unreached(context: CheckContext, need: Dependency) -> Finding:
    place = need.placement
    if not need.by:
        message = f"expected {_DEFAULT} to name a target, {place.reason}: systemd asks for the root password for maintenance"
        return at_unit(context, place, message)
    effect = (
        "systemd freezes"
        if need.name in ("basic.target", "sysinit.target")
        else "the default target is not reached"
    )
    return at_unit(
        context, place, f"expected the unit {need.name}, which {need.by} requires, {place.reason}: {effect}"
    )


@check(
    id="COS182",
    name="required-mount-unknown",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A unit that local-fs.target requires mounts a file system that no installation makes.",
    why="systemd waits 90 seconds for the device, local-fs.target fails, and the boot ends in emergency mode.",
    remedy="""Let local-fs.target want the mount instead of requiring it (WantedBy=local-fs.target), or mount it in a later stage of a cloud-config. For a label of your
        own, name its partition in a cloud-config's layout.""",
    reads=UNIT_READS,
    cure=file_remedies.disables_unit,
)
def required_mount_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Read the mounts that local-fs.target requires, and compare their devices with the labels of the disk."""
    require_systemd(context)
    labels = {*context.generation.labels, *context.facts.own_labels}
    if not labels:
        raise NotApplicable(f"the labels of {context.generation.title} are not known")
    units = context.facts.units
    # Without it, a failed mount does not stop the boot.
    if not units.unit("local-fs.target").values("Unit", "OnFailure"):
        raise NotApplicable("local-fs.target starts no emergency mode when a mount fails")
    count = 0
    for need in units.started_by("local-fs.target"):
        if not need.required or not need.name.endswith(".mount"):
            continue
        count += 1
        reason = _unmountable(need, units.unit(need.name), labels)
        if reason:
            yield at_unit(
                context,
                need.placement,
                f"expected {need.name}, which {need.by} requires, to mount a device of the machine, {reason}",
            )
    yield f"local-fs.target requires {counted(count, 'mount')}"


def _unmountable(need: Dependency, unit: Unit, labels: set[str]) -> str:
    """Return why a mount fails on every machine, "" if it may succeed."""
    if not need.placement.is_there:
        return need.placement.reason
    if any(_CONDITION.fullmatch(key) for key in unit.sections.get("Unit", {})):
        return ""
    what, where = unit.last("Mount", "What") or "", unit.last("Mount", "Where") or ""
    if not what:
        return "it does not set What="
    if where and posixpath.normpath(where) != _path_of(need.name):
        return f"its Where={where} does not agree with its name, so systemd refuses it"
    what = what.strip('"')
    if "%" in what or "$" in what:
        return ""
    if found := _BY_LABEL.fullmatch(what):
        label = _unescaped(found[1])
        return "" if label in labels else f"no installation makes a file system with the label {label}"
    if found := _BY_PARTITION.fullmatch(what):
        label = _unescaped(found[1])
        known = label in labels or label.lower() in _PARTITIONS
        return "" if known else f"no installation makes a partition with the label {label}"
    if _BY_ID.fullmatch(what):
        return f"no two machines have the same {what.partition('=')[0] if '=' in what else what}"
    return ""


def _path_of(unit: str) -> str:
    """Return the path in the name of a mount unit (systemd.mount(5), systemd-escape(1))."""
    name = unit.removesuffix(".mount")
    return "/" if name == "-" else "/" + _unescaped(name.replace("-", "/"))


def _unescaped(text: str) -> str:
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return raw.encode("latin-1", "replace").decode("utf-8", "surrogateescape") if raw != text else text
