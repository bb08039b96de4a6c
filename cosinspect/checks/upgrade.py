"""Checks of an upgrade: whether the machine, which runs another image, can be upgraded to this one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve

from cosinspect.checks import deployment, elemental3, grub, installation, programs, settings, subjects, tools
from cosinspect.checks.base import Check, CheckContext, NotApplicable, Undecided, check, run_check
from cosinspect.formats.text.cloud_config import Stage
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.profiles import Family, Generation
from cosinspect.report.display import counted
from cosinspect.report.report import Capability, Finding, Kind, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = [
    "MACHINE_CHECKS",
    "upgrade_content_kept",
    "upgrade_hook_refused",
    "upgrade_kind_crossed",
    "upgrade_loader_directory",
    "upgrade_machine_unfit",
    "upgrade_plan_skips",
    "upgrade_space_short",
    "upgrade_toolkit_refuses",
]

MACHINE_CHECKS: tuple[Check, ...] = (
    settings.settings_malformed,
    grub.grub_tools_missing,
    installation.upgrader_missing,
    tools.install_tools_missing,
    tools.upgrade_tool_missing,
    programs.command_unusable,
    elemental3.elemental3_program_missing,
)
"""The checks of what an upgrade needs of the machine, in rows of the table of operations."""

_DEPLOYMENT_CHECKS: tuple[Check, ...] = (
    deployment.deployment_directory_blocked,
    deployment.deployment_name_refused,
    deployment.deployment_capacity_exceeded,
    deployment.selinux_relabel_fails,
)
_MEBIBYTE = 1024 * 1024
_BLOCK = 4096
_OVERHEAD_MEBIBYTES = 256
_SHOWN = 5
_PLAN_SCRIPT = "/usr/sbin/suc-upgrade"
_NUMBERED = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,5})")


def _require_table(context: CheckContext, *, crossing: bool = False) -> Generation:
    """Return the table of the image that the machine runs.

    Raises:
        NotApplicable: none was given, the new image has no known generation, or it is of another kind.
        Undecided: the generation of the machine's image is not known.
    """
    machine = context.of_machine
    if context.table is None:
        raise NotApplicable("the new image has no known generation, as another check says")
    found = machine.table
    if found is None:
        raise Undecided(f"{_name(context)} has no known generation, so what upgrades it is not known")
    if not crossing and _line_of(found) is not _line_of(context.table):
        raise NotApplicable("the machine runs an image of another kind, as another check says")
    return found


def _name(context: CheckContext) -> str:
    return context.installed.name if context.installed is not None else "the image of the machine"


def _line_of(table: Generation) -> Family:
    """Return the family of systems whose machines a generation makes: a unified kernel image is made of a trusted one."""
    return Family.UKI if table.trusted_boot else table.family


@check(
    id="COS280",
    name="upgrade-kind-crossed",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE,),
    summary="The machine cannot be upgraded to an image of this kind.",
    why="""An upgrade keeps the partitions, their labels and the boot loader of the machine. Systems of another kind or another architecture find
        neither a boot entry nor their partitions there.""",
    remedy="Install the machine anew with this image, or build the new image on the kind and architecture that the machine runs.",
    universal=True,
)
def upgrade_kind_crossed(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the architectures and the generations of both images."""
    old, new = _require_table(context, crossing=True), context.table
    machine = context.of_machine
    before, after = machine.facts.architecture, context.facts.architecture
    wrong = False
    if before and after and before != after:
        wrong = True
        yield Finding(f"expected an image for {before}, which {_name(context)} is for, found one for {after}")
    if new is None:
        return
    evidence = tuple(machine.facts.recognised.evidence[:3])
    for table, what in ((old, _name(context)), (new, "the new image")):
        if table.carries:
            wrong = True
            yield Finding(f"expected a system, {what} is {table.title}, which holds none")
    if wrong:
        return
    if _line_of(old) is _line_of(new):
        yield f"{old.title} is upgraded to {new.title}"
    elif old.boot is None or new.boot is None:
        yield Finding(
            f"expected {old.title}, which the machine runs, found {new.title}: the two have no boot loader entry and no partitions in common",
            evidence=evidence,
        )
    else:
        raise Undecided(
            f"no tool that upgrades {old.title} to {new.title} is known; whether the machine's menu starts the image is another check's"
        )


@check(
    id="COS283",
    name="upgrade-toolkit-refuses",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE,),
    summary="The toolkit of the machine, which runs the upgrade, cannot write the new image.",
    why="""The elemental of the image that the machine runs unpacks and copies the new image, by the rules of its own release: sizes, inodes, mount points
        and SELinux labels that a later release would handle end with an error.""",
    remedy="Change the new image as the finding says, or upgrade first to an image with a later toolkit.",
    applies=subjects.toolkit,
)
def upgrade_toolkit_refuses(context: CheckContext) -> Iterator[Finding | str]:
    """Run the checks of the deployment on the new image by the rules of the machine's generation."""
    old = _require_table(context)
    name = context.of_machine.facts.generation
    if name == context.facts.generation:
        raise NotApplicable(f"both images have the toolkit of {old.title}, which other checks apply")
    if old.deployment.installer != "elemental":
        raise NotApplicable(f"elemental does not upgrade {old.title}")
    judged = evolve(context, deployed_by=name, installed=None)
    undecided = ""
    refused = 0
    for item in _DEPLOYMENT_CHECKS:
        if item.applies is not None and not item.applies(old):
            continue
        try:
            for seen in item.run(judged):
                if isinstance(seen, Finding):
                    refused += 1
                    yield evolve(seen, message=f"{old.title}: {seen.message}", remedy=item.remedy)
        except NotApplicable:
            continue
        except Undecided as open_:
            undecided = str(open_)
    if undecided and not refused:
        raise Undecided(f"{old.title}: {undecided}")
    if not refused:
        yield f"the toolkit of {old.title} can write the image"


@check(
    id="COS284",
    name="upgrade-machine-unfit",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE,),
    summary="The image that the machine runs lacks something that the upgrade calls.",
    why="The upgrade runs on the machine, with the programs and the settings of the image that it runs now: it stops at the first one that is missing or broken.",
    remedy="Upgrade from the recovery system or from a medium of the new image, or reset the machine with the new image.",
    universal=True,
    reads=tuple(dict.fromkeys(pattern for item in MACHINE_CHECKS for pattern in item.reads)),
)
def upgrade_machine_unfit(context: CheckContext) -> Iterator[Finding | str]:
    """Run the checks of what an upgrade needs of the machine on the image that it runs."""
    old = _require_table(context)
    machine = context.of_machine
    rows = [need for need in machine.needs if Capability.UPGRADE in need.operations]
    wanted = {name for need in rows if need.machine and need.decides for name in need.checks}
    if not wanted:
        raise NotApplicable(f"what an upgrade of {old.title} needs of the machine is not known")
    undecided = ""
    missing = 0
    for item in MACHINE_CHECKS:
        result = run_check(item, machine) if item.id in wanted else None
        if result is None or Capability.UPGRADE not in result.capabilities:
            continue
        if result.kind is Kind.OPEN:
            undecided = f"{result.check} {result.name}: {result.reason}"
        for finding in result.findings if result.kind is Kind.FAIL else ():
            missing += 1
            # The layer and the remedy are those of another image.
            evidence = (f"{_name(context)} fails {result.check} {result.name}", *finding.grounds)
            yield Finding(f"in the image of the machine: {finding.message}", finding.path, None, evidence)
    if undecided and not missing:
        raise Undecided(f"in {_name(context)}, {undecided}")
    if not missing:
        yield f"{_name(context)} has what an upgrade calls"


@check(
    id="COS285",
    name="upgrade-space-short",
    level=Level.WARNING,
    summary="The state partition of the machine has no room for the upgrade.",
    why="""While elemental upgrades, the partition of 8192 MiB holds the active and the passive image, the unpacked new image and the file system made of
        it: the upgrade ends with `no space left on device`.""",
    remedy="Make the new image smaller, or delete the passive image on the machine before the upgrade.",
    applies=subjects.toolkit,
)
def upgrade_space_short(context: CheckContext) -> Iterator[Finding | str]:
    """Add up both images of the machine, the unpacked tree and the new image, each with the room that elemental adds."""
    old = _require_table(context)
    room = old.deployment.state_mebibytes
    if not room:
        raise NotApplicable(f"the partition that an upgrade of {old.title} needs is not known")
    before = _mebibytes(context.of_machine)
    after = _mebibytes(context)
    needed = 2 * (before + _OVERHEAD_MEBIBYTES) + after + (after + _OVERHEAD_MEBIBYTES)
    parts = f"twice {before} MiB of {_name(context)} and twice {after} MiB of the new image, with {_OVERHEAD_MEBIBYTES} MiB for each of three file systems"
    if needed > room:
        yield Finding(
            f"expected an upgrade that needs at most {room} MiB of the state partition, found {needed} MiB: {parts}"
        )
    else:
        yield f"an upgrade takes {needed} MiB of {room} MiB: {parts}"


def _mebibytes(context: CheckContext) -> int:
    return -(-context.rootfs.blocks(_BLOCK) * _BLOCK // _MEBIBYTE)


@check(
    id="COS286",
    name="upgrade-plan-skips",
    level=Level.WARNING,
    summary="An upgrade plan of Kubernetes takes the machine for upgraded already.",
    why="""The script /usr/sbin/suc-upgrade of the new image compares what names the release with the machine's: if both are the same, or the tag is not
        higher, it ends without an upgrade and without an error.""",
    remedy="Give each build its own version: change /etc/os-release, IMAGE_TAG, or KAIROS_VERSION with the image.",
    reads=("etc/os-release", "etc/kairos-release", "usr/sbin/suc-upgrade"),
    applies=lambda table: table.family in {Family.TOOLKIT, Family.KAIROS},
)
def upgrade_plan_skips(context: CheckContext) -> Iterator[Finding | str]:
    """Compare what the script compares: the os-release, and the image's repository and tag; for Kairos, its versions."""
    _require_table(context)
    machine = context.of_machine
    if not context.rootfs.exists(_PLAN_SCRIPT):
        raise NotApplicable(f"{_PLAN_SCRIPT} is not there")
    kairos = context.facts.kairos_release
    if kairos is not None:
        path, values = kairos
        other = machine.facts.kairos_release
        names = ("KAIROS_VERSION", "KAIROS_SOFTWARE_VERSION_PREFIX", "KAIROS_SOFTWARE_VERSION")
        versions = [
            "".join(each.get(name, "") for name in names) for each in (values, other[1] if other else {})
        ]
        if versions[0] and versions[0] == versions[1]:
            yield _same(
                context,
                path,
                f"expected another version than {_name(context)} has, both are {versions[0][:80]}",
            )
        else:
            yield f"{path} names another version than {_name(context)}"
        return
    path = "/etc/os-release"
    texts = [each.facts.text(path).text for each in (context, machine)]
    if None in texts:
        raise NotApplicable(f"{path} is not in both images")
    new, old = (read_env_file(text or "").values for text in texts)
    script = context.facts.text(_PLAN_SCRIPT).text or ""
    if texts[0] == texts[1]:
        yield _same(context, path, f"expected another {path} than {_name(context)} has, both are the same")
    elif (
        "IMAGE_TAG" in script
        and new.get("IMAGE_REPO")
        and new.get("IMAGE_REPO") == old.get("IMAGE_REPO")
        and _is_not_higher(new.get("IMAGE_TAG", ""), old.get("IMAGE_TAG", ""))
    ):
        tags = f"{old.get('IMAGE_TAG', '')[:80]}, found {new.get('IMAGE_TAG', '')[:80]}"
        yield _same(context, path, f"expected an IMAGE_TAG that is higher than the machine's {tags}")
    else:
        yield f"{path} names another release than {_name(context)}"


def _is_not_higher(new: str, old: str) -> bool:
    """Return whether a tag is surely not higher by `sort -V`: it is the same, or both are numbers with dots."""
    if new == old:
        return True
    found = [_NUMBERED.fullmatch(each) for each in (new, old)]
    if found[0] is None or found[1] is None or new.startswith("v") != old.startswith("v"):
        return False
    numbers = [[int(part) for part in each[1].split(".")] for each in found if each is not None]
    return numbers[0] < numbers[1]


def _same(context: CheckContext, path: str, message: str) -> Finding:
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    return Finding(message, path, layer, (f"{_PLAN_SCRIPT} compares it",))


@check(
    id="COS287",
    name="upgrade-content-kept",
    level=Level.WARNING,
    summary="The upgrade does not bring files of the new image to the machine.",
    why="""The installation copies these directories into volumes of the machine once; an upgrade leaves the volumes as they are. Files there that the
        machine's image does not have, or has otherwise, never arrive.""",
    remedy="Put files that an upgrade must bring below /usr, or write them with systemd-tmpfiles.",
    applies=lambda table: bool(table.copied_once),
)
def upgrade_content_kept(context: CheckContext) -> Iterator[Finding | str]:
    """Look in these directories of the new image for files that the machine's image lacks, or has with another size."""
    old = _require_table(context)
    machine = context.of_machine
    if not old.copied_once:
        raise NotApplicable(f"{old.title} copies no directory once")
    total = 0
    for top in old.copied_once:
        directory = context.rootfs.trace(top, follow=False).entry
        if directory is None or directory.type != "dir":
            continue
        found = [
            entry
            for entry in context.rootfs.walk(top)
            if entry.type != "dir" and _differs(entry, machine.rootfs.trace(entry.path, follow=False).entry)
        ]
        total += len(found)
        if found:
            yield Finding(
                f"expected no new files in {top}, which an upgrade leaves as it is, found {len(found)}",
                top,
                found[0].layer,
                (*(entry.path for entry in found[:_SHOWN]), context.step(found[0].layer)),
            )
    if not total:
        yield f"no files are new in {' '.join(old.copied_once)}"


def _differs(new: Entry, old: Entry | None) -> bool:
    return old is None or (new.type, new.size, new.link) != (old.type, old.size, old.link)


@check(
    id="COS288",
    name="upgrade-loader-directory",
    level=Level.WARNING,
    summary="The new image has another ID in os-release than the machine's image.",
    why="""Elemental 3 keeps kernels in the directory EFI/ID of the EFI system partition, by the ID of os-release, and looks there for older ones to delete:
        those of the former ID stay, until the partition is full.""",
    remedy="Keep the ID of os-release from release to release.",
    reads=("etc/os-release", "usr/lib/os-release"),
    applies=subjects.elemental3,
)
def upgrade_loader_directory(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the IDs."""
    _require_table(context)
    machine = context.of_machine
    new, old = context.facts.os_release, machine.facts.os_release
    if new is None or old is None:
        raise NotApplicable("os-release is not in both images, as another check says")
    ids = [each[1].values.get("ID", "") for each in (new, old)]
    if ids[0] != ids[1]:
        entry = context.rootfs.trace(new[0]).entry
        yield Finding(
            f"expected the ID {ids[1][:60] or 'of nothing'}, which {_name(context)} has, found {ids[0][:60] or 'none'}",
            new[0],
            entry.layer if entry is not None else None,
        )
    else:
        yield f"both images have the ID {ids[0][:60]}"


@check(
    id="COS289",
    name="upgrade-hook-refused",
    level=Level.WARNING,
    summary="The toolkit of the machine does not run a step that the new image has for the upgrade.",
    why="""The elemental of the machine runs the stage after-upgrade-chroot of the new image's cloud-configs, by the version of yip that it contains. An
        older yip refuses what a later one reads: the step is skipped, and only a log says so.""",
    remedy="Write the cloud-config as the machine's version of yip reads it.",
    reads=("{system/oem,oem,usr/local/cloud-config}/**/*.{yaml,yml}",),
    applies=subjects.deployed_by_elemental,
)
def upgrade_hook_refused(context: CheckContext) -> Iterator[Finding | str]:
    """Read the stage as both versions of yip do, and count its steps."""
    old = _require_table(context)
    machine = context.of_machine
    if old.deployment.installer != "elemental":
        raise NotApplicable(f"elemental does not upgrade {old.title}")
    other = context.facts.cloud_configs_of(machine.facts, old.yip, old.yip_programs)
    theirs = {item.path: item for item in other.counting}
    reasons = {item.path: item.refusal for item in other.files}
    read = refused = 0
    for item in context.cloud_configs.counting:
        wanted = _upgrade_steps(item.config.stages)
        if not wanted:
            continue
        read += 1
        found = _upgrade_steps(theirs[item.path].config.stages) if item.path in theirs else 0
        if found < wanted:
            refused += 1
            why = reasons.get(item.path) or f"it reads {counted(found, 'step')}"
            yield Finding(
                f"expected yip {other.yip.name} of the machine to read {counted(wanted, 'step')} of the upgrade, {why}",
                item.path,
                item.layer,
            )
    if not read:
        raise NotApplicable("the image has no step for the upgrade")
    if not refused:
        yield f"yip {other.yip.name} of the machine reads every step of the upgrade ({counted(read, 'file')})"


def _upgrade_steps(stages: tuple[Stage, ...]) -> int:
    return sum(len(stage.steps) for stage in stages if stage.name.partition(".")[0] == "after-upgrade-chroot")
