"""Checks on the programs of an initrd, with their loaders and libraries, and on the scripts that are only read."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, Undecided, check, words_of
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import READS, about, opened
from cosinspect.checks.initrd_toolkit import called_in, is_dispensable
from cosinspect.checks.programs import require_root
from cosinspect.facts.execution import Execution
from cosinspect.facts.loader import ExecutionFault
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.report.report import Finding, Level

__all__ = ["initrd_program_unusable", "initrd_script_unusable"]

# Programs that an initrd executes in addition to those that its scripts call; without an effect if that is plain.
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
    "/bin/mount": "nothing is mounted, and mounting is retried without end",
    "/usr/bin/mount": "nothing is mounted, and mounting is retried without end",
    "/usr/bin/kmod": "no driver is loaded, and no disk appears",
    "/bin/kmod": "no driver is loaded, and no disk appears",
    "/usr/sbin/modprobe": "no driver is loaded, and no disk appears",
    "/sbin/modprobe": "no driver is loaded, and no disk appears",
}
# Programs that run up to a login if the initrd of a unified kernel image is the whole system.
_WHOLE_SYSTEM = {
    "/sbin/init": "the first program starts nothing, and the kernel panics",
    **dict.fromkeys(("/sbin/agetty", "/usr/sbin/agetty"), "no login prompt appears"),
    **dict.fromkeys(
        ("/bin/login", "/usr/bin/login"), "the prompt accepts a name and does not ask for a password"
    ),
}
_TOOLKIT_EFFECT = (
    "its work at boot is not done: the boot hangs, ends in the emergency shell, or refuses every login"
)
_HOOKS = "/hooks/"
_GENERATORS = "/system-generators/"


def _is_whole_system(context: CheckContext) -> bool:
    """Return whether the initrds of the image's generation are the whole system."""
    return context.table is not None and context.table.initrds == "unified"


def _initrd_starts(context: CheckContext, initrd: Initrd) -> dict[str, str]:
    """Return the programs that an initrd has and executes, with the effect if one cannot be executed."""
    own = context.table.initrd_programs if context.table is not None else {}
    named = {**_INITRD, **(_WHOLE_SYSTEM if _is_whole_system(context) else {}), **own}
    starts = {path: effect for path, effect in named.items() if initrd.exists(path)}
    table = context.derivative
    if table is None:
        return starts
    # Programs that scripts may call are examined at the call; systemd runs every generator.
    scripts = [[name for name in group if _GENERATORS in name] for group in table.initrd_scripts]
    for group in (*table.initrd_files, *table.initrd_runners, *scripts):
        starts.update(
            (f"/{name}", _TOOLKIT_EFFECT)
            for name in group
            if _HOOKS not in f"/{name}" and not name.endswith(".service") and initrd.exists(name)
        )
    return starts


def _initrd_faults(context: CheckContext, initrd: Initrd) -> Iterator[tuple[str, ExecutionFault, str]]:
    """Yield the programs of an initrd that are executed and cannot be, each file once."""
    execution = context.facts.execution_in(initrd)
    seen: set[str] = set()

    def looked_at(
        path: str, effect: str, *, by_shell: bool = False
    ) -> Iterator[tuple[str, ExecutionFault, str]]:
        member = initrd.lookup(path)
        if member is None or member.path in seen:
            return
        seen.add(member.path)
        fault = execution.fault(path, by_shell=by_shell)
        if fault is not None:
            yield path, fault, effect

    known = context.derivative is not None
    called = list(called_in(context, initrd)) if known else []
    # Another check reports missing commands and interpreters.
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
    """Return the path of a command as a shell finds it, else a file of that name that cannot be executed."""
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
    why="""The file exists, but the kernel or its loader refuses it: a mode without x, an empty file, a program for another architecture, a
        library or a loader that is missing, a script's interpreter that is missing or ends in a carriage return. The kernel panics within
        seconds, or the boot hangs or ends in the emergency shell.""",
    remedy="Build the initrd again; give scripts of dracut modules mode 0755, and line ends without carriage returns.",
    reads=READS,
    universal=True,
    cure=remedies.rebuilds(),
)
def initrd_program_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Follow init, udev, the toolkit's scripts and the programs that they call to interpreters, loaders and libraries."""
    if not _is_whole_system(context):  # the only root of an artefact is in its initrd
        require_root(context)
    undecided: list[str] = []
    for path, initrd in opened(context):
        found: dict[str, Finding] = {}
        for name, fault, effect in _initrd_faults(context, initrd):
            if fault.is_undecided:
                undecided.append(f"it is not known whether {name} runs in {path}: {words_of(name, fault)}")
            elif fault.path in found:
                first = found[fault.path]
                found[fault.path] = evolve(
                    first, evidence=(*first.grounds, f"{name} does not run either: {effect}")
                )
            else:
                message = f"expected {name} to be executable in the initrd, {words_of(name, fault)}; {effect}"
                found[fault.path] = about(context, path, message, *fault.chain)
        yield from found.values()
        if not found:
            yield f"all programs that {path} executes can be executed"
    if undecided:
        raise Undecided("; ".join(undecided))


@check(
    id="COS177",
    name="initrd-script-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A script of the toolkit in the initrd is empty, or its lines end in carriage returns.",
    why="""dracut's shell reads a hook, which needs neither mode nor interpreter, but must not be empty: with an
        empty one the boot hangs without a message. A carriage return at the end of a line belongs to the line's last word, so commands and keywords are not recognised.""",
    remedy="Write the scripts of the dracut module with plain line ends (in git: `*.sh text eol=lf`), and build the initrd again.",
    reads=READS,
    cure=remedies.rebuilds(),
)
def initrd_script_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Read the hooks, and all lines of the scripts after the first, which another check reads."""
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
                        f"expected the hook /{name} in the initrd to have commands, it is empty",
                    )
            elif _ends_in_returns(body, sourced=_HOOKS in f"/{name}"):
                yield about(
                    context,
                    path,
                    f"expected plain line ends in /{name} in the initrd, they are carriage returns",
                )
    yield f"a shell reads every script ({len(seen)})"


def _ends_in_returns(body: bytes, *, sourced: bool) -> bool:
    """Return whether the lines of commands end in carriage returns; the kernel reads the first line of an executed script."""
    lines = body.split(b"\n")
    if not sourced and lines[0].endswith(b"\r"):
        return False
    commands = [line for line in lines[1:] if line.strip() and not line.lstrip().startswith(b"#")]
    return bool(commands) and sum(line.endswith(b"\r") for line in commands) * 2 > len(commands)
