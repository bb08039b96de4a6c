"""Checks on GRUB: the menu that installation copies to disk, and the bootargs.cfg that each boot reads from the image."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from cosinspect.checks import file_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS_FROM_DISK
from cosinspect.facts.boot_menu import Loaded, StateBoot
from cosinspect.facts.boot_roots import Fit, fit_of
from cosinspect.formats.boot.bootargs import leftover_placeholders
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.profiles import boot_globs
from cosinspect.report.evidence import Line
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "at_line",
    "bootargs_generation",
    "bootargs_incomplete",
    "bootargs_iso_scan",
    "bootargs_missing",
    "decided_states",
    "grub_config_broken",
    "grub_config_missing",
    "grub_tools_missing",
    "line_fit",
    "menu_path",
    "on_condition",
    "template_placeholder",
]

READS = (*boot_globs(), "system/oem/*.{yaml,yml}")
INSTALLS = (Capability.INSTALL, Capability.RECOVERY)


def menu_path(context: CheckContext) -> str:
    """Return the path of the menu that installation copies.

    Raises:
        NotApplicable: the generation has none.
    """
    generation = context.generation
    if not generation.grub_config:
        raise NotApplicable(f"{generation.title} has no menu of GRUB")
    paths = (generation.grub_config, generation.grub_config_fallback)
    return next((path for path in paths if path and context.rootfs.exists(path)), generation.grub_config)


def at_line(context: CheckContext, path: str, message: str, line: int | None = None) -> Finding:
    """Make the finding for a line of a file."""
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    evidence = (Line(path, line),) if line is not None else ()
    return Finding(message, path, layer, (*evidence, *((context.step(layer),) if layer is not None else ())))


@check(
    id="COS040",
    name="grub-config-missing",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="There is no grub.cfg for installation to copy.",
    why="Installation stops with `Failed reading grub config file`; a disk made without it ends at the grub> prompt.",
    remedy="Install the toolkit's grub.cfg, or write your own menu at the path.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's grub.cfg"),
)
def grub_config_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file."""
    path = menu_path(context)
    if context.facts.text(path).text is None:
        yield context.missing(path, f"expected GRUB's menu at {path}, it is not there")
    else:
        yield f"{path} is there"


@check(
    id="COS041",
    name="grub-config-broken",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="The grub.cfg makes no menu.",
    why="The installed disk shows the grub> prompt.",
    remedy="Start from the toolkit's grub.cfg: each entry loops the image, sources its bootargs.cfg, and loads $kernel.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's grub.cfg"),
)
def grub_config_broken(context: CheckContext) -> Iterator[Finding | str]:
    """Evaluate the menu, which must have entries."""
    path = menu_path(context)
    menu = context.facts.own_menu
    if menu is None:
        raise NotApplicable(f"{path} is not there")
    if menu.default.bound:
        raise Undecided(f"the effect of {menu.path} is undecided: {menu.default.bound}")
    if menu.entries:
        yield f"{menu.path} has {menu.entries} menu entries"
        return
    refused = [problem for _, problem in menu.default.problems]
    for problem in refused[:10]:
        yield at_line(context, menu.path, f"GRUB refuses the line: {problem.message}", problem.line)
    if not refused:
        yield at_line(context, menu.path, "expected menu entries, found none")


@check(
    id="COS042",
    name="bootargs-missing",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="There is no bootargs.cfg in the image.",
    why="Every boot reads it from the image: without it GRUB prints `you need to load the kernel first`.",
    remedy="Install the toolkit's bootargs.cfg, or write your own at the path.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's bootargs.cfg"),
)
def bootargs_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file."""
    if not context.generation.bootargs:
        raise NotApplicable(f"{context.generation.title} does not read a bootargs.cfg")
    path = context.generation.bootargs if context.facts.bootargs is None else context.facts.bootargs_path
    if context.facts.bootargs is None:
        yield context.missing(path, f"expected {path}, it is not there")
    else:
        yield f"{path} is there"


def decided_states(context: CheckContext) -> tuple[StateBoot, ...]:
    """Return what GRUB loads in each state but recovery.

    Raises:
        NotApplicable: there is no bootargs.cfg.
        Undecided: it is not decided.
    """
    if context.facts.bootargs is None:
        raise NotApplicable("there is no bootargs.cfg")
    states = tuple(each for each in context.facts.boot_states if not each.state.recovery)
    if not states:
        raise NotApplicable("how GRUB starts images of this generation is not known")
    bound = next((each.bound for each in states if each.bound), "")
    if bound:
        raise Undecided(f"the effect of {context.facts.bootargs_path} is undecided: {bound}")
    return states


def on_condition(way: Loaded) -> str:
    """Return the conditions under which something is loaded, "" if it always is."""
    return f", where {' and '.join(way.boot.conditions)}" if way.boot.conditions else ""


@check(
    id="COS043",
    name="bootargs-incomplete",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="The bootargs.cfg does not set everything that GRUB needs.",
    why="GRUB loads `$kernel` with `$kernelcmd` and `$initramfs`; it finds no file for an empty variable.",
    remedy="Set kernel, initramfs and kernelcmd in bootargs.cfg, as the toolkit's file does.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's bootargs.cfg"),
)
def bootargs_incomplete(context: CheckContext) -> Iterator[Finding | str]:
    """Evaluate it as the menu does, in each state of a machine."""
    path = context.facts.bootargs_path
    states = decided_states(context)
    unset: dict[str, None] = {}
    for state in states:
        for way in state.ways:
            empty = {
                "kernel": way.kernel is None or (way.kernel.path == "" and way.kernel.is_known),
                "kernelcmd": not way.boot.command_line.text,
                "initramfs": not any(each.path != "" or not each.is_known for each in way.initrds),
            }
            unset |= dict.fromkeys(
                f"expected it to set ${name}, it does not{on_condition(way)}"
                for name, missing in empty.items()
                if missing
            )
    refused = tuple(Line(path, each.line) for _, each in states[0].problems)
    for message in unset:
        yield evolve(at_line(context, path, message), evidence=refused[:10])
    if not unset:
        way = states[0].ways[0]
        kernel = way.kernel.path or way.kernel.name if way.kernel else ""
        yield f"kernel={kernel}, initramfs={way.initrds[0].path or way.initrds[0].name}"


@check(
    id="COS044",
    name="template-placeholder",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="A configuration file is an unrendered template.",
    why="Labels such as @STATE_LABEL@ match no partition: the boot waits for a device that never appears.",
    remedy="Install the package that is built from the template, not the template itself.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's rendered files"),
)
def template_placeholder(context: CheckContext) -> Iterator[Finding | str]:
    """Look for `@NAME@` in GRUB's files and the cloud-configs."""
    paths = [
        menu_path(context),
        context.facts.bootargs_path,
        *(item.path for item in context.cloud_configs.files),
    ]
    for path in dict.fromkeys(paths):
        text = context.facts.text(path).text
        for placeholder in leftover_placeholders(text) if text is not None else ():
            yield at_line(
                context,
                path,
                f"expected a label, found the placeholder @{placeholder.name}@",
                placeholder.line,
            )


@check(
    id="COS045",
    name="bootargs-generation",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="The bootargs.cfg is for the initrd of another generation.",
    why="""The initrd does not understand the kernel arguments: the image file is not looped, its labels are not found,
        the boot ends in the emergency shell.""",
    remedy="Take bootargs.cfg and the dracut module from the same release of the toolkit, and build the initrd again.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the bootargs.cfg of this generation"),
)
def bootargs_generation(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the command lines with the arguments that the generation's initrd reads."""
    if not context.generation.kernel_argument:
        raise NotApplicable(f"the command lines of {context.generation.title} are not known")
    path = context.facts.bootargs_path
    own = context.facts.generation
    wanted = f"{context.generation.kernel_argument} and root=LABEL=${context.generation.root_variable}"
    line = context.facts.bootargs_line("kernelcmd")
    wrong: dict[str, None] = {}
    fitting = 0
    for way, fit in _fits(context):
        if fit in {Fit.YES, Fit.SCANS}:
            fitting += 1
        elif fit is Fit.NO:
            wrong[f"{way.boot.command_line.text[:160]}{on_condition(way)}"] = None
    for text in wrong:
        made_for = " or ".join(context.facts.fitting_generations) or "no generation"
        yield at_line(
            context, path, f"expected {wanted} for {own}, found a command line for {made_for}: {text}", line
        )
    if fitting and not wrong:
        yield f"{fitting} kernel command lines fit {own}"


def line_fit(context: CheckContext, state: StateBoot, way: Loaded) -> Fit:
    """Return the effect of a command line in the image's initrd.

    Raises:
        Undecided: the line has more variants than the limit.
    """
    try:
        return fit_of(
            context.generation,
            state.state,
            way.boot.command_line,
            can_scan=_has_live(context),
            is_known_elsewhere=lambda: bool(context.facts.fitting_generations),
        )
    except GrubBound as bound:
        raise Undecided(f"a command line is undecided: {bound}") from bound


def _has_live(context: CheckContext) -> bool:
    initrd = context.facts.initrd
    return initrd is not None and (
        "dmsquash-live" in (initrd.dracut_modules or ()) or initrd.exists("sbin/iso-scan")
    )


def _fits(context: CheckContext) -> Iterator[tuple[Loaded, Fit]]:
    """Yield each command line with its effect in the initrd.

    Raises:
        NotApplicable: bootargs.cfg sets no command line.
        Undecided: its effect is undecided.
    """
    seen = False
    for state in decided_states(context):
        for way in state.ways:
            if way.boot.command_line.text:
                seen = True
                yield way, line_fit(context, state, way)
    if not seen:
        raise NotApplicable("bootargs.cfg sets no kernel command line")


@check(
    id="COS046",
    name="bootargs-iso-scan",
    level=Level.WARNING,
    capabilities=(Capability.UPGRADE,),
    summary="The bootargs.cfg has dracut's iso-scan loop the image instead of cOS.",
    why="The machine boots, but the state partition is not mounted at /run/initramfs/cos-state: it cannot be upgraded.",
    remedy="Write cos-img/filename=$img instead of iso-scan/filename=$img.",
    reads=READS,
    cure=file_remedies.edits(
        "name the image by the toolkit's argument", "s|iso-scan/filename=|cos-img/filename=|"
    ),
)
def bootargs_iso_scan(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the argument of older documentation."""
    if context.generation.kernel_argument != "cos-img/filename":
        raise NotApplicable(f"{context.generation.title} loops its image with another argument")
    path = context.facts.bootargs_path
    if any(fit is Fit.SCANS for _, fit in _fits(context)):
        yield at_line(
            context,
            path,
            f"expected {context.generation.kernel_argument}, found iso-scan/filename",
            context.facts.bootargs_line("kernelcmd"),
        )


@check(
    id="COS047",
    name="grub-tools-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY),
    summary="The image lacks the GRUB commands that install and upgrade call.",
    why="""elemental calls grub2-install and grub2-editenv by exactly these names, on a system that runs this image:
        installation fails, an upgrade ends in `Error running rebrand`.""",
    remedy="Install GRUB; if its commands are grub-install and grub-editenv, link them to the names that the toolkit calls.",
    cure=remedies.installs("grub", lead="install GRUB"),
)
def grub_tools_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands in PATH."""
    if not context.generation.grub_tools:
        raise NotApplicable(f"{context.generation.title} calls no command of GRUB")
    for names in context.generation.grub_tools:
        found = next(filter(None, (context.command(name) for name in names)), None)
        if found is not None:
            yield f"{found} is there"
            continue
        known = context.command(names[0].replace("grub2", "grub"))
        evidence = (f"{known} exists, under a name that elemental does not call",) if known else ()
        wanted = " or ".join(names)
        yield Finding(
            f"expected the command {wanted}, it is not in the image", f"/usr/sbin/{names[0]}", None, evidence
        )
