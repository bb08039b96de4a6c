"""Checks of the result of GRUB's scripts: `root=`, the entries of the image's own menu, the recovery entry."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from cosinspect.checks import remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS_FROM_DISK
from cosinspect.checks.grub import READS, at_line, decided_states, line_fit, on_condition
from cosinspect.facts.boot_menu import BootFile, Loaded, OwnMenu, StateBoot
from cosinspect.facts.boot_roots import Fit, is_root_wrong, names_image
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "entry_faults",
    "fallback_entry_fails",
    "grub_lines_refused",
    "menu_entry_loads_nothing",
    "menu_overrides_bootargs",
    "recovery_entry_fails",
    "root_parameter_wrong",
]


@check(
    id="COS112",
    name="root-parameter-wrong",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="The kernel command line does not name a root file system that the deployment makes.",
    why="""Without `root=` the initrd waits for a device that it does not know, and a label that no partition and no image has never
        appears: the boot ends in the emergency shell.""",
    remedy="Write root=LABEL=... with a variable that the menu sets, as the toolkit's bootargs.cfg of this generation does.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's bootargs.cfg"),
)
def root_parameter_wrong(context: CheckContext) -> Iterator[Finding | str]:
    """Read `root=` of every command line with which the toolkit's menu starts the image."""
    path = context.facts.bootargs_path
    found: dict[str, None] = {}
    fitting: dict[str, None] = {}
    for state in decided_states(context):
        for way in state.ways:
            if not way.boot.command_line.text:
                continue  # another check reports a missing one
            roots = _roots(way)
            if _is_wrong(context, state, way):
                found[f"expected root=LABEL={state.state.labels[0]}, found {roots}{on_condition(way)}"] = None
            else:
                fitting[roots] = None
    line = context.facts.bootargs_line("kernelcmd")
    for message in found:
        yield at_line(context, path, message, line)
    if fitting and not found:
        yield ", ".join(fitting)


def _is_wrong(context: CheckContext, state: StateBoot, way: Loaded) -> bool:
    table = context.generation.boot
    if table is None:
        return False
    if context.generation.kernel_argument:
        return line_fit(context, state, way) is Fit.ROOT
    try:
        return is_root_wrong(table, state.state, way.boot.command_line)
    except GrubBound as bound:
        raise Undecided(f"a command line is undecided: {bound}") from bound


def _roots(way: Loaded) -> str:
    values = [each.value for each in way.boot.command_line.last("root")]
    return " or ".join("no root=" if value is None else f"root={value}" for value in values)


def _menu(context: CheckContext) -> OwnMenu:
    menu = context.facts.own_menu
    if menu is None:
        raise NotApplicable("the image has no own menu")
    if menu.default.bound:
        raise Undecided(f"the effect of {menu.path} is undecided: {menu.default.bound}")
    if not menu.entries:
        raise NotApplicable(f"{menu.path} has no menu entries")
    return menu


def entry_faults(context: CheckContext, state: StateBoot, way: Loaded) -> Iterator[str]:
    """Yield the reasons why a menu entry does not start the image.

    Raises:
        Undecided: a command line has more ways than are followed.
    """
    if way.kernel is None:
        yield "expected it to load a kernel, it loads none"
        return
    for what, files in (("kernel", (way.kernel,)), ("initrd", way.initrds)):
        if not files:
            yield "expected it to load an initrd, it loads none"
        for each in files:
            if each.is_known and not each.is_there:
                yield f"expected a {what} of the image, found {_shown(each)}, which is not a file"
    if not way.boot.command_line.text:
        yield "expected a kernel command line, found none"
    elif _is_wrong(context, state, way):
        yield f"expected root=LABEL={state.state.labels[0]}, found {_roots(way)}"
    elif context.generation.kernel_argument and line_fit(context, state, way) is Fit.NO:
        table, found = context.generation, way.boot.command_line
        if names_image(found, table.kernel_argument, *table.kernel_argument_else):
            yield f"expected root=LABEL={state.state.labels[0]} for {context.facts.generation}, found {_roots(way)}"
        else:
            yield f"expected {table.kernel_argument} for {context.facts.generation}, found {found.text[:160]}"


def _shown(file: BootFile) -> str:
    return file.path or file.name


def _is_whole(context: CheckContext, state: StateBoot) -> bool:
    return (
        bool(state.ways)
        and not state.bound
        and not any(True for way in state.ways for _ in entry_faults(context, state, way))
    )


@check(
    id="COS113",
    name="menu-entry-loads-nothing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.RECOVERY),
    summary="The default entry of the image's own menu does not start the image.",
    why="""Installation copies this menu to the disk: GRUB prints `you need to load the kernel first`, or the kernel finds no root, though
        the image itself would boot.""",
    remedy="""Start from the toolkit's grub.cfg: each entry loops the image, sources its bootargs.cfg, and loads $kernel and $initramfs with $kernelcmd.""",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's grub.cfg"),
)
def menu_entry_loads_nothing(context: CheckContext) -> Iterator[Finding | str]:
    """Evaluate the default entry."""
    menu = _bootable_menu(context)
    loads: dict[str, None] = {}
    wrong = False
    for way, message in _faults(context, menu, menu.default):
        wrong = True
        text = f"default entry `{way.boot.entry}`: {message}{on_condition(way)}"
        yield at_line(context, menu.path, text, way.boot.line or None)
    for way in menu.default.ways:
        loads[f"`{way.boot.entry}` loads {way.kernel.path if way.kernel else ''}"] = None
    if not wrong:
        yield f"{menu.path}: {', '.join(loads)}"


def _bootable_menu(context: CheckContext) -> OwnMenu:
    """Return the image's own menu, if the image boots with another one.

    Raises:
        NotApplicable: there is none, or the image boots without a menu.
        Undecided: its effect is undecided.
    """
    menu = _menu(context)
    bootable = [each for each in context.facts.boot_states if not each.state.recovery]
    if not bootable or not _is_whole(context, bootable[0]):
        raise NotApplicable("no menu boots the image; other checks report that")
    return menu


def _faults(context: CheckContext, menu: OwnMenu, state: StateBoot) -> Iterator[tuple[Loaded, str]]:
    """Yield the faults of the entries of a state, each once."""
    seen: set[tuple[int, str]] = set()
    states = (menu.default, *menu.states)
    for way in state.ways:
        named = [each for each in states if way.boot.id in each.state.entries]
        faults = [tuple(entry_faults(context, each, way)) for each in (named or states)]
        for message in min(faults, key=len):  # the purpose of an entry with an unknown name is unknown
            if (way.boot.line, message) not in seen:
                seen.add((way.boot.line, message))
                yield way, message


@check(
    id="COS114",
    name="menu-overrides-bootargs",
    level=Level.WARNING,
    summary="The image's own menu does not start the kernel as bootargs.cfg says.",
    why="""A machine that was installed with this image keeps its menu: changes in a later image's bootargs.cfg (the path of the kernel, its
    arguments) have no effect there.""",
    remedy="Let the entry load ($loop)$kernel with $kernelcmd, and set nothing after the line that sources bootargs.cfg.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's grub.cfg"),
)
def menu_overrides_bootargs(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the default entry with what bootargs.cfg sets."""
    menu = _menu(context)
    states = decided_states(context)
    toolkit, own = states[0], menu.default
    if not _is_whole(context, toolkit) or not _is_whole(context, own):
        raise NotApplicable("the entry of the menu does not boot; other checks report that")
    if len(toolkit.ways) != 1 or len(own.ways) != 1:
        raise NotApplicable("the machine decides which files are loaded")
    theirs, ours = toolkit.ways[0], own.ways[0]
    try:
        given = {each for each in theirs.boot.command_line.parameters if "${" not in (each.value or "")}
        lost = given - set(ours.boot.command_line.parameters)
    except GrubBound as bound:
        raise Undecided(f"a command line is undecided: {bound}") from bound
    changes = [
        f"the {what} is {now[0].path}, not {wanted[0].path}"
        for what, wanted, now in (
            ("kernel", (theirs.kernel,), (ours.kernel,)),
            ("initrd", theirs.initrds, ours.initrds),
        )
        if wanted != now and wanted[0] and now[0] and wanted[0].path != now[0].path
    ]
    changes += [
        f"the command line has no {each.key}{'' if each.value is None else '=' + each.value}"
        for each in sorted(lost, key=lambda each: (each.key, each.value or ""))
    ]
    for change in changes[:10]:
        yield at_line(
            context,
            menu.path,
            f"entry `{ours.boot.entry}`: {change}, as bootargs.cfg sets it",
            ours.boot.line,
        )
    if not changes:
        yield f"entry `{ours.boot.entry}` of {menu.path} uses all that bootargs.cfg sets"


@check(
    id="COS115",
    name="grub-lines-refused",
    level=Level.WARNING,
    summary="GRUB refuses lines of the image's scripts.",
    why="""GRUB prints `syntax error`, skips the whole construct and continues with the next line. If that prevents the boot, another check reports it; else the boot stops for ten seconds and the lines
        have no effect.""",
    remedy="Run grub-script-check on the file, and correct the lines that it names.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's file"),
)
def grub_lines_refused(context: CheckContext) -> Iterator[Finding | str]:
    """Parse every script of a boot with GRUB's grammar."""
    paths = [context.facts.bootargs_path]
    menu = context.facts.own_menu
    if menu is not None:
        paths.append(menu.path)
    seen = False
    for path in paths:
        script = context.facts.grub_script(path)
        if script is None:
            continue
        seen = True
        if script.is_bounded:
            raise Undecided(f"{path} is longer than the evaluator's limit")
        for problem in script.problems[:20]:
            yield at_line(context, path, problem.message, problem.line)
        marked = (context.facts.text(path).text or "").startswith("\ufeff")
        if marked:
            what = "the file begins with a byte order mark, a part of the first word for GRUB: it prints `can't find command`"
            yield at_line(context, path, what, 1)
        if not script.problems and not marked:
            yield f"GRUB accepts every line of {path}"
    if not seen:
        raise NotApplicable("there is no script for GRUB")


@check(
    id="COS116",
    name="recovery-entry-fails",
    level=Level.ERROR,
    capabilities=(Capability.RECOVERY,),
    summary="The recovery entry of the menu does not start the recovery system.",
    why="""The recovery system is made from the same image and starts with its bootargs.cfg: GRUB loads nothing, or the command line names a root that does not exist.""",
    remedy="Write grub.cfg and bootargs.cfg so that they serve recovery too, as the toolkit's do.",
    reads=READS,
    applies=subjects.toolkit,
    cure=remedies.from_toolkit("menu", "install the toolkit's grub.cfg and bootargs.cfg"),
)
def recovery_entry_fails(context: CheckContext) -> Iterator[Finding | str]:
    """Evaluate the recovery entry of the image's own menu, else of the toolkit's."""
    states = context.facts.boot_states
    if not states:
        raise NotApplicable("there is no bootargs.cfg")
    if not _is_whole(context, states[0]):
        raise NotApplicable("the image does not boot; other checks report that")
    menu = context.facts.own_menu
    if menu is not None and not menu.entries and not menu.default.bound:
        raise NotApplicable(f"{menu.path} has no menu entries; another check reports that")
    own = {each.state.name: each for each in menu.states} if menu is not None else {}
    seen = False
    for state in states:
        if not state.state.recovery:
            continue
        seen = True
        judged, path = own.get(state.state.name, state), menu.path if menu is not None else ""
        if judged.bound:
            raise Undecided(f"the effect of the recovery entry is undecided: {judged.bound}")
        if not judged.ways:
            wanted = " or ".join(state.state.entries)
            yield at_line(context, path, f"expected a menu entry with the id {wanted}, found none")
        if judged.state.copied and not all(way.is_complete for way in judged.ways):
            continue  # another check reports files that are not copied beside the recovery image
        for way in judged.ways:
            for message in entry_faults(context, judged, way):
                where = path or context.facts.bootargs_path
                text = f"{state.state.name}: {message}{on_condition(way)}"
                missing = tuple(f"{name} does not exist" for name in judged.missing)
                finding = at_line(context, where, text, way.boot.line or None)
                yield evolve(finding, evidence=(*finding.grounds, *missing[:5]))
            if way.kernel is not None:
                yield f"{state.state.name}: {way.boot.command_line.text[:160]}"
    if not seen:
        raise NotApplicable("how the recovery system starts is not known")


@check(
    id="COS117",
    name="fallback-entry-fails",
    level=Level.WARNING,
    summary="A fallback entry of the image's own menu does not start its system.",
    why="If the default entry fails, GRUB tries the fallback entries in order: the machine stays at the menu instead of starting an older image.",
    remedy="Name in `fallback` entries that load a kernel and an initrd, as the toolkit's grub.cfg does.",
    reads=READS,
    cure=remedies.from_toolkit("menu", "install the toolkit's grub.cfg"),
)
def fallback_entry_fails(context: CheckContext) -> Iterator[Finding | str]:
    """Evaluate GRUB's fallback entries."""
    menu = _bootable_menu(context)
    judged = {way.boot.line for way in menu.default.ways}
    judged |= {way.boot.line for each in menu.states if each.state.recovery for way in each.ways}
    wrong = False
    for way, message in _faults(context, menu, menu.fallbacks):
        if way.boot.line in judged:
            continue  # other checks read the default and the recovery entry
        wrong = True
        text = f"fallback entry `{way.boot.entry}`: {message}{on_condition(way)}"
        yield at_line(context, menu.path, text, way.boot.line or None)
    if not menu.fallbacks.ways:
        yield f"{menu.path} has no fallback entry"
    elif not wrong:
        yield f"{menu.path} falls back to {', '.join(f'`{way.boot.entry}`' for way in menu.fallbacks.ways)}"
