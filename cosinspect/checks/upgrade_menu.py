"""Checks of an upgrade: what the menu of the machine, which an upgrade does not renew, loads of the new image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from attrs import evolve, frozen

from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_menu import entry_faults
from cosinspect.checks.grub import READS, at_line, on_condition
from cosinspect.facts.boot_menu import Loaded, StateBoot
from cosinspect.facts.installed import InstalledImage
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.formats.shell.script import read_calls
from cosinspect.profiles import BootTable
from cosinspect.report.report import Capability, Finding, Level

__all__ = ["upgrade_arguments_lost", "upgrade_menu_fails"]

_ENVIRONMENT_TOOLS = frozenset({"grub2-editenv", "grub-editenv"})
_SNAPSHOT_TOOL = "snapper"
_MACHINE_CONFIGS = "/oem"


@frozen
class _Menu:
    """The menu on the disk of the machine.

    Attributes:
        path: in the image that the machine runs, "" for the toolkit's own menu.
        text: the menu, "" for the toolkit's own.
        table: how it starts images.
    """

    path: str
    text: str
    table: BootTable

    @property
    def words(self) -> str:
        """The menu in words."""
        return f"the machine's menu ({self.path})" if self.path else "the toolkit's menu"

    def boots(self, context: CheckContext, variables: Mapping[str, str]) -> tuple[StateBoot, ...]:
        """Return what it loads of the new image in each state that starts the active system.

        Args:
            context: of the new image.
            variables: what an upgrade writes into the environment of the disk.

        Raises:
            Undecided: it is not decided.
        """
        first = self.table.states[0]
        table = msgspec.structs.replace(self.table, environment={**self.table.environment, **variables})
        found: tuple[StateBoot, ...]
        if self.path:
            menu = context.facts.menu_of(table, self.path, self.text)
            found = (menu.default, *menu.states)
        else:
            found = context.facts.states_of(table)
        snapshots = context.of_machine.command(_SNAPSHOT_TOOL) is not None
        kept = tuple(
            each
            for each in found
            if each.state.entries[0] == first.entries[0]
            and (each.state == first or snapshots or not each.state.environment)
        )
        bound = next((each.bound for each in kept if each.bound), "")
        if bound:
            raise Undecided(f"what {self.words} loads is undecided: {bound}")
        return kept


def _menu_of(context: CheckContext) -> _Menu:
    """Return the menu of the machine.

    Raises:
        NotApplicable: no image of the machine was given, or GRUB does not start one of the two images by a menu.
        Undecided: the menu starts the image of the machine itself in no way that is known.
    """
    machine = context.of_machine
    own = context.generation
    table = machine.table
    if table is None or table.boot is None:
        title = table.title if table is not None else "an unknown generation"
        raise NotApplicable(f"the machine runs {title}, whose menu is not known")
    if own.boot is None:
        raise NotApplicable(f"no menu starts {own.title}")
    menu = machine.facts.own_menu
    if menu is None:
        return _Menu("", "", table.boot)
    if menu.default.bound:
        raise Undecided(f"what the menu of the machine does is undecided: {menu.default.bound}")
    faults = [fault for way in menu.default.ways for fault in entry_faults(machine, menu.default, way)]
    if faults or not menu.default.ways:
        why = faults[0] if faults else "it has no entry that starts the active system"
        raise Undecided(
            f"the menu {menu.path} does not start the image of the machine either, so the machine has another one: {why}"
        )
    return _Menu(menu.path, machine.facts.text(menu.path).text or "", table.boot)


def _variables(context: CheckContext, installed: InstalledImage) -> dict[str, str]:
    """Return what cloud-configs of the new image write into the environment of the disk while the machine upgrades.

    The machine runs the stage after-upgrade of its own cloud-configs. Those of the new image count only if a step in
    the new root copies them to the machine's, as the toolkit's 01_upgrade_grub_hook.yaml does.
    """
    table = context.profile.generations[installed.facts.generation]
    configs = context.facts.cloud_configs_of(installed.facts, table.yip, table.yip_programs)
    found: dict[str, str] = {}
    for item in configs.counting:
        calls: dict[str, list[tuple[str | None, ...]]] = {"chroot": [], "after": []}
        for stage in item.config.stages:
            name = stage.name.partition(".")[0]
            kind = {"after-upgrade-chroot": "chroot", "after-upgrade": "after"}.get(name)
            for step in stage.steps if kind else ():
                if kind and step.holds() is not False:
                    calls[kind] += [call for text in step.commands for call in read_calls(text)]
        copied = any(
            call[0] == "cp" and call[-1] is not None and f"{call[-1]}/".startswith(f"{_MACHINE_CONFIGS}/")
            for call in calls["chroot"]
            if call
        )
        for call in calls["after"] if copied else ():
            if call and call[0] in _ENVIRONMENT_TOOLS and "set" in call:
                pairs = [word.partition("=") for word in call[call.index("set") + 1 :] if word is not None]
                found.update({name: value for name, equals, value in pairs if equals})
    return found


def _faults(
    context: CheckContext, boots: tuple[StateBoot, ...]
) -> Iterator[tuple[StateBoot, Loaded | None, str]]:
    """Yield why the menu does not start the new image, with the entry; each reason once."""
    table = context.generation.boot
    first = boots[0].state
    seen: set[str] = set()
    for boot in boots:
        # The labels and arguments are those that the new image's initrd acts on.
        judged = boot if table is None else evolve(boot, state=table.states[0])
        where = "" if boot.state == first else f" ({boot.state.name})"
        if not boot.ways:
            yield boot, None, f"expected an entry that starts the active system{where}, found none"
        for way in boot.ways:
            for fault in _entry_faults(context, judged, way):
                text = f"{fault}{where}{on_condition(way)}"
                if text not in seen:
                    seen.add(text)
                    yield boot, way, text


def _entry_faults(context: CheckContext, state: StateBoot, way: Loaded) -> Iterator[str]:
    """Yield why an entry does not start the new image; where nothing sets the kernel's name, that alone."""
    if way.kernel is not None and way.kernel.is_known and not way.kernel.path:
        yield "expected a file of boot arguments that names the kernel, this menu finds none in the image"
    else:
        yield from entry_faults(context, state, way)


def _absent(name: str) -> str:
    """Return in words that GRUB misses a file: of the image where it looks through a loop device, else of the disk."""
    path = name.rpartition(")")[2]
    return f"{path} is not in the image" if name.startswith("((") else f"{name} is not there"


@check(
    id="COS281",
    name="upgrade-menu-fails",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE,),
    summary="The menu of the machine does not start the new image.",
    why="""An upgrade replaces the image and keeps the menu on the disk, which was copied from the image that the machine was installed with. GRUB
        finds no kernel, or the initrd waits for a root that no variable of that menu names; the machine then starts the older image.""",
    remedy="""Reset or install the machine with the new image, or upgrade by the new image's own toolkit with a new menu (`elemental upgrade --bootloader`,
        toolkit v2), or have the image's cloud-configs write what the menu lacks into /grub_oem_env during the upgrade.""",
    reads=READS,
)
def upgrade_menu_fails(context: CheckContext) -> Iterator[Finding | str]:
    """Evaluate the menu of the machine over the files of the new image, with the disk and the environment of the machine."""
    menu = _menu_of(context)
    installed = context.installed
    if installed is None or context.facts.bootargs is None:
        raise NotApplicable("there is no bootargs.cfg")
    variables = _variables(context, installed)
    boots = menu.boots(context, variables)
    faults = list(_faults(context, boots))
    by_scripts = context.of_machine.deployment.installer == "scripts"
    if variables and by_scripts and not faults and list(_faults(context, menu.boots(context, {}))):
        raise Undecided(
            "the image's cloud-configs write variables that the machine's menu lacks, and whether the scripts of the machine run their stages is not known"
        )
    renews = _renewed_by_plan(context) if faults else ""
    if renews:
        raise Undecided(
            f"it depends on what runs the upgrade: `elemental upgrade` on the machine keeps the menu, which does not start the image "
            f"({faults[0][2]}); {renews} installs the new menu"
        )
    for boot, way, message in faults:
        entry = f", entry `{way.boot.entry}`" if way is not None and way.boot.entry else ""
        finding = at_line(context, context.facts.bootargs_path, f"{menu.words}{entry}: {message}")
        evidence = [f"{installed.name} has the menu {menu.path}"] if menu.path else []
        evidence += [_absent(name) for name in boot.missing[:5]]
        if way is not None and way.boot.command_line.text:
            evidence.append(f"command line: {way.boot.command_line.text[:160]}")
        yield evolve(finding, evidence=(*finding.grounds, *evidence))
    if not faults:
        for boot in boots[:1]:
            for way in boot.ways[:1]:
                yield f"{menu.words} loads {way.kernel.path if way.kernel else ''} with {way.boot.command_line.text[:160]}"
    if variables and not faults:
        yield f"the upgrade sets {', '.join(sorted(variables))} for the menu"


def _renewed_by_plan(context: CheckContext) -> str:
    """Return the script of the new image by which an upgrade plan installs a new menu, "" if there is none."""
    path = context.deployment.plan_script
    text = context.facts.text(path).text if path else None
    for call in read_calls(text) if text else ():
        if (
            call
            and call[0] is not None
            and call[0].rpartition("/")[2] == "elemental"
            and "--bootloader" in call
        ):
            return path
    return ""


@check(
    id="COS282",
    name="upgrade-arguments-lost",
    level=Level.WARNING,
    summary="The menu of the machine does not set variables that the new image's bootargs.cfg needs.",
    why="""An upgrade keeps the menu on the disk. A variable that this menu does not set is empty: an argument of the kernel that names the partition of
        the settings, or a mount, names nothing.""",
    remedy="Have the image's cloud-configs write the variable into /grub_oem_env during the upgrade, or give it a default in bootargs.cfg.",
    reads=READS,
)
def upgrade_arguments_lost(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the command line under the machine's menu with the one under the menu of the image's own generation."""
    menu = _menu_of(context)
    installed = context.installed
    own = [each for each in context.facts.boot_states if not each.state.recovery][:1]
    if installed is None or not own:
        raise NotApplicable("there is no bootargs.cfg")
    boots = menu.boots(context, _variables(context, installed))[:1]
    if own[0].bound or len(own[0].ways) != 1 or any(len(each.ways) != 1 for each in boots) or not boots:
        raise NotApplicable("what is loaded depends on the machine")
    if list(_faults(context, boots)):
        raise NotApplicable("the menu does not start the image, as another check says")
    try:
        wanted = own[0].ways[0].boot.command_line.parameters
        given = boots[0].ways[0].boot.command_line.parameters
    except GrubBound as bound:
        raise Undecided(f"a command line is undecided: {bound}") from bound
    lost = [
        (before, after)
        for before in wanted
        for after in given
        if before.key == after.key and before not in given and _is_emptied(before.value, after.value)
    ]
    line = context.facts.bootargs_line("kernelcmd")
    for before, after in dict.fromkeys(lost):
        yield at_line(
            context,
            context.facts.bootargs_path,
            f"expected {before.key}={before.value} on the kernel command line, {menu.words} makes it {after.key}={after.value or ''}",
            line,
        )
    if not lost:
        yield "every variable of bootargs.cfg has a value under the machine's menu"


def _is_emptied(before: str | None, after: str | None) -> bool:
    """Return whether a value is another one from which variables have vanished: what is left stands in it, in order."""
    if not before or "${" in before or "${" in (after or "") or before == after:
        return False
    rest = iter(before)
    return all(character in rest for character in after or "")
