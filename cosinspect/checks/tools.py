"""Checks on the commands that operations call: on the machine that runs them, which is assumed to run this image, and in its initrd."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.initrd import READS, about, opened
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "firstboot_tool_missing",
    "install_tool_missing",
    "install_tools_missing",
    "plan_script_missing",
    "tools_of",
    "upgrade_tool_missing",
]

_BIN_DIRECTORIES = ("usr/sbin", "usr/bin", "sbin", "bin")
_PLAN_SCRIPT = "/usr/sbin/suc-upgrade"
_PLAN_COMMANDS = ("bash", "flock", "nsenter", "systemctl", "diff", "cp", "sort", "head", "mount", "reboot")


def tools_of(context: CheckContext, capability: Capability) -> tuple[tuple[str, ...], ...]:
    """Return the commands that an operation calls on its machine; each tuple has the names of one command."""
    return tuple(
        tools
        for need in context.needs
        if capability in need.operations and need.machine
        for tools in need.tools
    )


def _absent(context: CheckContext, tools: tuple[tuple[str, ...], ...]) -> list[tuple[str, ...]]:
    return [names for names in tools if not any(context.command(name) for name in names)]


def _required(context: CheckContext, capability: Capability) -> Iterator[Finding | str]:
    """Look for the commands of an operation that installation does not call; another check looks for those of installation."""
    tools = tools_of(context, capability)
    if not tools:
        raise NotApplicable(f"the commands that {context.generation.title} calls are not known")
    installs = tools_of(context, Capability.INSTALL)
    absent = [
        names
        for names in _absent(context, tools)
        if capability is Capability.INSTALL or names not in installs
    ]
    for names in absent:
        yield _gone(context, names)
    if not absent:
        yield f"the commands are in the image ({len(tools)})"


def _spared(context: CheckContext) -> tuple[Capability, ...]:
    """Return the operations that call none of the missing commands."""
    absent = _absent(context, tools_of(context, Capability.INSTALL))
    others = (Capability.UPGRADE, Capability.RECOVERY)
    return tuple(each for each in others if not any(names in absent for names in tools_of(context, each)))


def _gone(context: CheckContext, names: tuple[str, ...]) -> Finding:
    for top in ("/usr/sbin", "/usr/bin"):
        layer, evidence = context.removal(f"{top}/{names[0]}")
        if layer is not None:
            return Finding(
                f"expected the command {' or '.join(names)}, it was removed",
                f"{top}/{names[0]}",
                layer,
                evidence,
            )
    path = f"/usr/sbin/{names[0]}"
    trace = context.rootfs.trace(path)
    evidence = (f"{trace.chain} is not executable",) if trace.entry is not None else ()
    return Finding(
        f"expected the command {' or '.join(names)}, it is not in the image", path, evidence=evidence
    )


@check(
    id="COS105",
    name="install-tool-missing",
    level=Level.WARNING,
    summary="A command that installation calls for minor functions is not in the image.",
    why="""Installation and upgrade run on a system that runs this image: without sgdisk a disk that was enlarged cannot be used, without
        mksquashfs no squashfs is made, without e2fsck and resize2fs no partition grows.""",
    remedy="Install the package that has the command.",
    cure=remedies.reinstalls(lead="install what is missing"),
)
def install_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each command in PATH; another check looks for the commands that installation requires."""
    listed = context.generation.install_tools
    if not listed:
        raise NotApplicable(f"the commands that {context.generation.title} calls are not known")
    needed = {name for names in tools_of(context, Capability.INSTALL) for name in names}
    lesser = tuple(names for names in listed if needed.isdisjoint(names))
    for names in _absent(context, lesser):
        yield _gone(context, names)
    yield f"the commands that installation calls for minor functions are in the image ({len(lesser)})"


@check(
    id="COS106",
    name="install-tools-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY),
    summary="A command that installation requires is not in the image.",
    why="""Installation runs on a system that runs this image: it stops at the first command that is not found. From elemental-cli v0.0.16 to
        toolkit v1 it begins with blkdeactivate of lvm2, also without LVM.""",
    remedy="Install the package that has the command.",
    applies=subjects.toolkit,
    spares=_spared,
    cure=remedies.reinstalls(lead="install what is missing"),
)
def install_tools_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands in PATH."""
    yield from _required(context, Capability.INSTALL)


@check(
    id="COS217",
    name="upgrade-tool-missing",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE,),
    summary="A command that an upgrade requires is not in the image.",
    why="An upgrade runs on a machine that runs this image: it stops at the first command that is not found.",
    remedy="Install the package that has the command.",
    applies=subjects.toolkit,
    cure=remedies.reinstalls(lead="install what is missing"),
)
def upgrade_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands in PATH that installation does not call as well."""
    yield from _required(context, Capability.UPGRADE)


@check(
    id="COS226",
    name="firstboot-tool-missing",
    level=Level.WARNING,
    capabilities=(Capability.AWS, Capability.GCP),
    summary="The initrd lacks a command or network to expand a cloud's disk at the first boot.",
    why="""The disk for a cloud has only the recovery system. Its first boot fetches user data from the cloud and
        adds the partitions, both in the initrd: without a network or the commands the machine is never
        installed.""",
    remedy="Install parted, gptfdisk and e2fsprogs, make dracut add them to the initrd, and add its module network.",
    reads=READS,
    applies=subjects.toolkit,
)
def firstboot_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a network among dracut's modules, and for the commands of yip's layout plugin."""
    tools = [tools for need in context.needs if "COS226" in need.checks for tools in need.tools]
    for path, initrd in opened(context):
        absent = [
            " or ".join(names)
            for names in tools
            if not any(initrd.exists(f"{top}/{name}") for name in names for top in _BIN_DIRECTORIES)
        ]
        listed = initrd.dracut_modules
        network = listed is None or any(
            name == "network" or name.startswith(("network-", "systemd-networkd")) for name in listed
        )
        if absent:
            finding = about(context, path, f"expected {', '.join(absent)} in the initrd, found none of them")
            first = [each.partition(" or ")[0] for each in absent]
            yield remedies.with_cure(context, finding, boot_remedies.needs_in_initrd(*first))
        if not network:
            finding = about(context, path, "expected dracut's module network in the initrd, it is not listed")
            yield remedies.with_cure(context, finding, boot_remedies.needs_dracut_modules("network"))
        if not absent and network:
            yield f"{path} has a network and the commands that add partitions"


@check(
    id="COS227",
    name="plan-script-missing",
    level=Level.WARNING,
    summary="The script that an upgrade plan of Kubernetes runs is not in the image.",
    why="""The plan of the elemental operator starts the new image and runs /usr/sbin/suc-upgrade in it: without the script the pod fails, and the
        machine can only be upgraded by `elemental upgrade` on it.""",
    remedy="Install the script of the framework (rancher/elemental), with util-linux and diffutils.",
    applies=lambda table: table.deployment.plan_script != "",
    cure=remedies.by_hand("install the script of the framework (rancher/elemental)"),
)
def plan_script_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the script and the commands that it calls."""
    entry = context.rootfs.trace(_PLAN_SCRIPT).entry
    if entry is None:
        yield context.missing(_PLAN_SCRIPT, f"expected the script {_PLAN_SCRIPT}, it is not there")
        return
    if not entry.is_executable:
        yield Finding(
            f"expected {_PLAN_SCRIPT} to be executable, its mode is {entry.mode:04o}",
            _PLAN_SCRIPT,
            entry.layer,
        )
    for name in _PLAN_COMMANDS:
        if context.command(name) is None:
            yield Finding(
                f"expected the command {name}, which {_PLAN_SCRIPT} calls, it is not in the image",
                _PLAN_SCRIPT,
            )
    yield f"{_PLAN_SCRIPT} is there"
