"""Checks on systemd's units in the image: links that start them, masks, and the programs that they run."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, words_of
from cosinspect.facts.loader import ExecutionFault
from cosinspect.formats.text.systemd import ExecCommand, Unit, exec_commands, read_unit
from cosinspect.profiles import Generation
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = [
    "READS",
    "service_at",
    "started_services",
    "unit_masked",
    "unit_not_enabled",
    "unit_program_missing",
]

READS = (
    "{usr/,}lib/systemd/system/*.service",
    "etc/systemd/system/*.service",
    "usr/lib/dracut/modules.d/*/*.service",  # the target of links of dracut's own units
)

DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# Without these no device appears, nothing is mounted, or no user can log in.
_NEEDED = (
    "systemd-udevd.service",
    "systemd-logind.service",
    "local-fs.target",
    "multi-user.target",
    "getty.target",
)
# Conditions on the image's own files; others are unknown before the machine runs.
_CONDITIONS = (
    "ConditionPathExists",
    "ConditionPathIsDirectory",
    "ConditionFileNotEmpty",
    "ConditionFileIsExecutable",
)
_MOST_UNITS = 1000
# Without these nothing boots, which other checks report.
_JUDGED = frozenset(
    {"systemd", "systemd-udevd", "udevadm", "agetty", "login", "sh", "mount", "kmod", "modprobe"}
)
_KEPT = (*(f"{top}/" for top in DIRECTORIES), "/usr/lib/dracut/modules.d/")


def place_of(context: CheckContext, unit: str) -> Entry | None:
    """Return the entry at the first path where systemd finds a unit, links not followed."""
    places = (context.rootfs.trace(f"{top}/{unit}", follow=False).entry for top in DIRECTORIES)
    return next((entry for entry in places if entry is not None), None)


def mask_of(entry: Entry) -> str:
    """Return how a unit's file masks the unit, "" if it does not (systemd.unit(5))."""
    if entry.link == "/dev/null":
        return "links to /dev/null"
    return "is empty" if entry.type == "file" and not entry.size else ""


@check(
    id="COS068",
    name="unit-not-enabled",
    level=Level.WARNING,
    summary="A unit of the toolkit exists, but nothing starts it.",
    why="Its stage of the cloud-configs never runs: their setup at that point is missing.",
    remedy="Enable the unit; the toolkit's packages contain the link.",
    applies=subjects.toolkit,
    cure=file_remedies.enables_unit,
)
def unit_not_enabled(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the enabling links by name; whether a link resolves does not matter to systemd."""
    seen = 0
    for link in context.generation.enabled:
        unit = link.rpartition("/")[2]
        if place_of(context, unit) is None:
            continue  # another check reports a missing unit
        if any(context.rootfs.glob(f"{top}/{link}") for top in DIRECTORIES):
            seen += 1
            continue
        path = f"{DIRECTORIES[0]}/{link}"
        yield context.missing(path, f"expected the link {path}, which starts {unit}, it is not there")
    if not seen:
        raise NotApplicable("the image has no unit of the toolkit that is enabled")
    yield f"{counted(seen, 'unit')} of the toolkit enabled"


@check(
    id="COS069",
    name="unit-masked",
    level=Level.WARNING,
    summary="A unit that the system needs is masked.",
    why="""Base images for containers mask units that containers do not need. On a machine devices do not appear, stages do not run, or no
    user can log in.""",
    remedy="Unmask the unit.",
    applies=subjects.toolkit,
    cure=file_remedies.unmasks,
)
def unit_masked(context: CheckContext) -> Iterator[Finding | str]:
    """Look for links to /dev/null and empty files in the units' place (systemd.unit(5))."""
    units = (*_NEEDED, *context.generation.units)
    for unit in units:
        entry = place_of(context, unit)
        if entry is None:
            continue
        if masking := mask_of(entry):
            yield Finding(
                f"expected the unit {unit}, it is masked: {entry.path} {masking}",
                entry.path,
                entry.layer,
                (context.step(entry.layer),),
            )
    yield f"no unit is masked ({len(units)})"


@check(
    id="COS100",
    name="unit-program-missing",
    level=Level.WARNING,
    summary="An enabled unit runs a program that is not in the image, or cannot be executed.",
    why="The service fails at every boot, and so do units that require it.",
    remedy="Install the package that has the program, or disable the unit.",
    reads=READS,
    universal=True,
)
def unit_program_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read the units that a link starts, and look for the programs that they run."""
    table = context.derivative
    runners = {
        path for paths in (table.stage_runners if table else ()) for path in paths
    }  # another check reports it
    seen = 0
    for name, path, layer, unit in started_services(context):
        seen += 1
        if not _conditions_hold(context, unit):
            continue
        for command in exec_commands(unit):
            if command.may_fail or command.path in runners:
                continue
            if not _runs(context, command):
                finding = Finding(
                    f"expected {command.path}, which {path} has for {command.directive}, it is not there",
                    path,
                    layer,
                    (f"{name} is started", *context.removal(command.path)[1]),
                )
                cure = remedies.brings(command.path, else_by=file_remedies.disables_unit)
                yield remedies.with_cure(context, finding, cure)
            elif (fault := _refusal(context, command)) is not None:
                finding = Finding(
                    f"expected {command.path}, which {path} has for {command.directive}, to be executable, {words_of(command.path, fault)}",
                    path,
                    layer,
                    (f"{name} is started", *fault.chain),
                )
                cure = remedies.brings(command.path, else_by=file_remedies.disables_unit)
                yield remedies.with_cure(context, finding, cure)
    if not seen:
        raise NotApplicable("the image has no service that is started by a link")
    yield f"the programs of all started services exist ({counted(seen, 'service')})"


def started_services(context: CheckContext) -> Iterator[tuple[str, str, int, Unit]]:
    """Read the services that a link starts: each with its name, its file's path and layer."""
    for name in _started(context, context.derivative):
        found = service_at(context, name)
        if found is not None:
            yield name, *found


def _started(context: CheckContext, table: Generation | None) -> list[str]:
    """Name the services that links below `*.wants` and `*.requires` start, and the toolkit's own."""
    named = {
        entry.name
        for top in DIRECTORIES[:2]
        for kind in ("wants", "requires")
        for entry in context.rootfs.glob(f"{top}/*.{kind}/*.service")
    }
    named.update(unit for unit in (table.units if table else ()) if unit.endswith(".service"))
    if len(named) > _MOST_UNITS:
        raise Undecided(f"links start {len(named)} services, and at most {_MOST_UNITS} are read")
    return sorted(named)


def service_at(context: CheckContext, name: str) -> tuple[str, int, Unit] | None:
    """Read a service, or its template; None if it is missing, masked, or changed by a drop-in."""
    template = f"{name.partition('@')[0]}@.service" if "@" in name else name
    for unit in dict.fromkeys((name, template)):
        entry = place_of(context, unit)
        if entry is None:
            continue
        if any(context.rootfs.exists(f"{top}/{unit}.d") for top in DIRECTORIES):
            return None
        real = context.rootfs.trace(entry.path).entry
        if real is None or not real.path.startswith(_KEPT):
            return None  # an unusual directory; one file is not worth reading a layer again
        found = context.facts.text(entry.path)
        if found.text is None or found.trace.entry is None:
            return None
        return found.trace.entry.path, found.trace.entry.layer, read_unit(found.text)
    return None


def _conditions_hold(context: CheckContext, unit: Unit) -> bool:
    """Return whether the image meets the unit's conditions; systemd skips a unit whose conditions fail."""
    if unit.values("Service", "RootImage"):
        return False
    for key in _CONDITIONS:
        for value in unit.values("Unit", key):
            path = value.lstrip("|")
            if path.startswith("/") and "%" not in path and not context.rootfs.exists(path):
                return False
    return True


def _refusal(context: CheckContext, command: ExecCommand) -> ExecutionFault | None:
    """Return why an existing program cannot be executed; None if it can, or if another check reports it."""
    entry = context.rootfs.trace(command.path).entry if command.path.startswith("/") else None
    if (
        entry is None
        or command.path.rpartition("/")[2] in _JUDGED
        or entry.path.startswith(("/run/", "/sysroot/"))
    ):
        return None
    fault = context.facts.execution.fault(command.path)
    return None if fault is None or fault.is_undecided else fault


def _runs(context: CheckContext, command: ExecCommand) -> bool:
    if any(mark in command.path for mark in "%$"):
        return True  # known only on the running machine
    if not command.path.startswith("/"):
        return context.command(command.path) is not None
    if command.path.startswith(("/run/", "/sysroot/", "/tmp/")):  # noqa: S108 - paths of the image
        return True
    return context.rootfs.exists(command.path)
