"""Remedies from the finding, the image and its generation: leave a step out, install a package again, build the initrd again.

A cure returns the remedy for one finding. It returns None if the check's own text is as good.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable

from attrs import evolve

from cosinspect.checks.base import CheckContext, Cure, cured
from cosinspect.layer.whiteout import deleted_by
from cosinspect.profiles import Part
from cosinspect.profiles.distributions import distributions
from cosinspect.report.evidence import Removal
from cosinspect.report.remedy import Instruction, Remedy
from cosinspect.report.report import Finding
from cosinspect.rootfs.history import Action

__all__ = [
    "brings",
    "by_hand",
    "deletes",
    "flatten",
    "from_toolkit",
    "install",
    "installs",
    "kernel_version",
    "link",
    "luet",
    "quoted",
    "rebuild_steps",
    "rebuilds",
    "reinstalls",
    "remedy_of",
    "removed",
    "runs",
    "toolkit_step",
    "with_cure",
    "written",
]

Steps = Callable[[CheckContext, Finding], "Iterable[str | Instruction | None] | None"]

_KAIROS_INIT = (
    "RUN --mount=type=bind,from=quay.io/kairos/kairos-init,src=/kairos-init,dst=/kairos-init /kairos-init"
)
# No command is proposed for a path that needs more than a shell's quotes.
_PLAIN = re.compile(r"[\x20-\x7e]+")
_BUILDERS = re.compile(r"(?:^|[\s;&|/])(zypper|dnf|microdnf|yum|apt-get|apt|apk)\s")


def quoted(path: str) -> str:
    """Return a path as a word of a shell.

    Raises:
        ValueError: it has characters that are not printable ASCII.
    """
    if not _PLAIN.fullmatch(path):
        raise ValueError("the path cannot be typed")
    return shlex.quote(path)


def written(*lines: str) -> str:
    """Return the command that prints lines."""
    if len(lines) == 1 and "\\" not in lines[0]:
        return f"echo {shlex.quote(lines[0])}"
    return f"printf '%s\\n' {' '.join(map(shlex.quote, lines))}"


# -- what caused it ----------------------------------------------------------------------------------------------------


def removed(finding: Finding) -> Removal | None:
    """Return the removal among the evidence of a finding, or None."""
    return next((each for each in finding.grounds if isinstance(each, Removal)), None)


def _path_removed(cause: str) -> str:
    """Return what a layer's marker deletes, as a path; an entry that replaced a directory deletes what it names."""
    return (deleted_by(cause) or cause).rstrip("/")


def _leave_out(context: CheckContext, finding: Finding, *, unwanted: bool) -> tuple[int | None, str]:
    """Return the layer that causes the finding, and what to leave out of it, as text."""
    gone = removed(finding)
    if gone is not None and gone.layer > 0:
        return gone.layer, f"leave the removal out of layer {gone.layer}"
    path, layer = finding.path, finding.layer
    if not path or not layer:
        return None, ""
    changes = [each for each in context.rootfs.history(path) if each.action is not Action.IMPLIED]
    if not changes or changes[-1].layer != layer:
        return None, ""
    last = changes[-1]
    came_first = last.action is Action.ADDED and len(changes) == 1
    replaced = last.action is Action.REPLACED or (len(changes) > 1 and changes[-2].type == last.type)
    if (unwanted and came_first) or (not unwanted and replaced):
        return layer, f"leave {path} out of layer {layer}"
    return None, ""


def remedy_of(
    context: CheckContext,
    finding: Finding,
    lead: str,
    *steps: str | Instruction | None,
    unwanted: bool = False,
) -> Remedy:
    """Return a remedy: leave out the step that caused the finding, if it is known, or add a step.

    Args:
        context: of the check.
        finding: the finding to repair.
        lead: the added step: a verb first, lower case, without a full stop.
        steps: its instructions; without a known one, only the text.
        unwanted: whether the path of the finding must not exist; else it must be as in lower layers.
    """
    omits, phrase = _leave_out(context, finding, unwanted=unwanted)
    known = tuple(each for each in steps if each)
    whole = f"{phrase}, or {lead}" if phrase else lead
    whole = whole[:1].upper() + whole[1:]
    return Remedy.of(whole if known else f"{whole}.", *known, omits=omits)


def with_cure(context: CheckContext, finding: Finding, cure: Cure) -> Finding:
    """Return a finding with the remedy of a cure that needs values of the check."""
    return evolve(finding, remedy=cured(cure, context, finding))


# -- packages ----------------------------------------------------------------------------------------------------------


def _family(context: CheckContext) -> str | None:
    """Return the distribution, by os-release, by the package manager in the image, or by the one in build steps."""
    table = distributions()
    found = context.facts.os_release
    values = found[1].values if found is not None else {}
    named = table.family((values.get("ID", ""), *values.get("ID_LIKE", "").split()))
    if named is not None:
        return named
    for name, family in table.families.items():
        if any(context.rootfs.exists(path) for path in family.programs):
            return name
    for step in context.steps:
        if called := _BUILDERS.search(step or ""):
            return next((name for name, family in table.families.items() if called[1] in family.words), None)
    return None


def install(context: CheckContext, *what: str, again: bool = False) -> Instruction | None:
    """Return the instruction that installs packages, None if the distribution or one of the packages is unknown.

    Args:
        context: of the check.
        what: components of the table, commands, or paths of a package.
        again: whether the packages are installed, and their files are to be written again.
    """
    name = _family(context)
    if name is None:
        return None
    table = distributions()
    packages: dict[str, None] = {}
    for each in what:
        component = each if each in table.components else table.component(each)
        found = (
            table.packages(name, component, context.facts.architecture or "") if component is not None else ()
        )
        if not found:
            return None
        packages.update(dict.fromkeys(found))
    family = table.families[name]
    command = f"RUN {family.reinstall if again else family.install}"
    return Instruction(f"{command} {' '.join(packages)}", tuple(packages))


def installs(*what: str, lead: str = "install it") -> Cure:
    """Return a cure that installs components, or writes their files again if a layer removed or replaced one."""

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        again = removed(finding) is not None or _is_there(context, finding)
        step = install(context, *what, again=again)
        return remedy_of(context, finding, f"{lead} again" if again else lead, step) if step else None

    return cure


def reinstalls(*, lead: str = "install the package of {name}", else_by: str | None = None) -> Cure:
    """Return a cure that installs the package of the finding's path: of the removed one, or of its own.

    Args:
        lead: the text of the remedy, with `{name}` for the path or the command.
        else_by: the component if the table has none for the path.
    """

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        gone = removed(finding)
        again = gone is not None or _is_there(context, finding)
        places = ((_path_removed(gone.cause),) if gone is not None else ()) + (
            (finding.path,) if finding.path else ()
        )
        step = next((each for place in places if (each := install(context, place, again=again))), None)
        if step is None and else_by is not None:
            step = install(context, else_by, again=again)
        name = places[0] if places else "what is missing"
        return remedy_of(context, finding, lead.format(name=name) + (" again" if again else ""), step)

    return cure


def _is_there(context: CheckContext, finding: Finding) -> bool:
    return finding.path is not None and context.rootfs.exists(finding.path)


def brings(*commands: str, else_by: Cure | None = None) -> Cure:
    """Return a cure that installs the packages of commands.

    Args:
        commands: their names, or paths.
        else_by: the cure where a package is unknown.
    """

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        again = removed(finding) is not None
        step = install(context, *commands, again=again)
        if step is None and else_by is not None:
            return else_by(context, finding)
        lead = f"install the package of {' and '.join(commands)}" + (" again" if again else "")
        return remedy_of(context, finding, lead, step)

    return cure


# -- the toolkit -------------------------------------------------------------------------------------------------------


def from_toolkit(part: Part, lead: str) -> Cure:
    """Return a cure that brings a part of the toolkit into the image, as its generation does.

    Args:
        part: the part.
        lead: the text of the remedy: `install the menu`.
    """

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        again = removed(finding) is not None or _is_there(context, finding)
        return remedy_of(
            context, finding, f"{lead} again" if again else lead, toolkit_step(context, part, again=again)
        )

    return cure


def toolkit_step(context: CheckContext, part: Part, *, again: bool = False) -> str | Instruction | None:
    """Return the instruction that brings a part of the toolkit into the image, None if the generation's table has none."""
    table = context.table
    source = table.sources.get(part) if table is not None else None
    if source is None:
        return None
    if source.startswith("RUN {luet} "):
        return luet(*source.split()[2:], again=again)
    if not source.startswith("{kairos-init}"):
        return source
    release = context.facts.kairos_release
    values = release[1] if release is not None else {}
    version = values.get("KAIROS_VERSION") or values.get("KAIROS_RELEASE") or "v1.0.0"
    return f"{source.replace('{kairos-init}', _KAIROS_INIT)} --version {quoted(version)}"


def luet(*packages: str, again: bool = False) -> Instruction:
    """Return the instruction with which luet installs packages, or installs them again."""
    return Instruction(f"RUN luet {'reinstall' if again else 'install'} -y {' '.join(packages)}", packages)


# -- files -------------------------------------------------------------------------------------------------------------


def runs(lead: str, steps: Steps, *, unwanted: bool = False) -> Cure:
    """Return a cure of instructions that a function makes; None if it makes none."""

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        made = steps(context, finding)
        return remedy_of(context, finding, lead, *made, unwanted=unwanted) if made is not None else None

    return cure


def deletes(lead: str = "delete it") -> Cure:
    """Return a cure that deletes the path of the finding."""

    def steps(context: CheckContext, finding: Finding) -> tuple[str, ...] | None:
        entry = context.rootfs.trace(finding.path or "", follow=False).entry
        if entry is None:
            return None
        return (f"RUN rm {'-rf' if entry.type == 'dir' else '-f'} {quoted(entry.path)}",)

    return runs(lead, steps, unwanted=True)


def by_hand(lead: str, *, unwanted: bool = False) -> Cure:
    """Return a cure with text alone, and with the step to leave out."""
    return lambda context, finding: remedy_of(context, finding, lead, unwanted=unwanted)


def flatten(context: CheckContext, finding: Finding) -> Remedy:  # noqa: ARG001 - a cure has both
    """Deliver the image as one layer, which all readers read in the same way."""
    lead = "Deliver the image as one layer: call the last stage `build`, and add a stage after it"
    return Remedy.of(lead, "FROM scratch", "COPY --from=build / /")


def link(context: CheckContext, path: str, target: str) -> str:
    """Return the instruction that makes `path` a relative link to another path of the image."""
    directory, _, name = path.rpartition("/")
    real = context.rootfs.trace(directory or "/").entry
    place = real.path if real is not None else directory
    return f"RUN ln -sf {quoted(posixpath.relpath(target, place or '/'))} {quoted(posixpath.join(place or '/', name))}"


# -- the initrd --------------------------------------------------------------------------------------------------------


def kernel_version(context: CheckContext) -> str | None:
    """Return the version of the kernel that boots, else that of the only directory of modules, else None."""
    for kernel in context.facts.kernels:
        if kernel.version:
            return kernel.version
    names = {entry.path.rpartition("/")[2] for entry in context.rootfs.glob("/usr/lib/modules/*")}
    return names.pop() if len(names) == 1 else None


def _initrd_path(context: CheckContext, finding: Finding) -> tuple[str, str | None]:
    """Return the path at which to write the initrd, and the version of its kernel."""
    table = context.table
    if table is not None and table.initrds in ("elemental3", "ostree"):
        path = finding.path or ""
        found = re.match(r"/usr/lib/modules/([^/]+)", path)
        name = "initrd" if table.initrds == "elemental3" else "initramfs.img"
        version = found[1] if found else kernel_version(context)
        return f"/usr/lib/modules/{version}/{name}", version
    first = context.facts.initrds[0]
    version = kernel_version(context)
    if first.trace.entry is not None:
        return first.trace.entry.path, version
    if first.trace.hops and first.trace.problem != "loop":
        return first.trace.at, version
    return first.path, version


def rebuild_steps(
    context: CheckContext, finding: Finding, *settings: str, name: str = "", options: str = ""
) -> tuple[str | Instruction, ...]:
    """Return the instructions that build the initrd again, empty if its path or its kernel is unknown.

    Args:
        context: of the check.
        finding: about the initrd.
        settings: lines of a drop-in of dracut that come first.
        name: the name of the drop-in.
        options: further options of dracut.
    """
    path, version = _initrd_path(context, finding)
    if version is None:
        return ()
    if context.command("mkinitfs") and not context.command("dracut"):
        return (f"RUN mkinitfs -o {quoted(path)} {quoted(version)}",)
    before: list[str | Instruction] = []
    if not context.command("dracut") and (step := install(context, "dracut")):
        before.append(step)
    if settings:
        directory = "/etc/dracut.conf.d"
        made = "" if context.rootfs.exists(directory) else f"mkdir -p {directory} && "
        before.append(f"RUN {made}{written(*settings)} > {directory}/90-{name}.conf")
    extra = f"{options} " if options else ""
    return (*before, f"RUN dracut --no-hostonly {extra}-f {quoted(path)} {quoted(version)}")


def rebuilds(
    lead: str = "build the initrd again",
    *settings: str,
    name: str = "",
    options: str = "",
    first: tuple[str, ...] = (),
) -> Cure:
    """Return a cure that builds the initrd again.

    Args:
        lead: the text of the remedy.
        settings: lines of a drop-in of dracut that come first.
        name: the name of the drop-in.
        options: further options of dracut.
        first: components that are installed first.
    """

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        steps = rebuild_steps(context, finding, *settings, name=name, options=options)
        if not steps:
            return None
        before = (install(context, *first),) if first else ()
        return remedy_of(context, finding, lead, *before, *steps)

    return cure
