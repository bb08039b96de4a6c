"""Checks on files that kairos-init and kairos-agent read in a Kairos image: the kernel, the installer, and the commands they run.

Sources: kairos-io/kairos, kairos-init/pkg/validation/validate.go, kairos-init/pkg/kernel/kernel.go, agent/pkg.
"""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.initrd import READS, about, drivers_in, opened
from cosinspect.facts.facts import MODULE_DIRECTORIES
from cosinspect.formats.text.go_version import go_version
from cosinspect.report.display import counted
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "choose_kernel",
    "kairos_boot_file_missing",
    "kairos_device_tool_missing",
    "kairos_driver_missing",
    "kairos_grub_installer_missing",
    "kairos_installer_missing",
    "kairos_kernel_unchosen",
    "kairos_upgrader_missing",
]

_RASPBERRY = ("rpi3", "rpi4")
_INSTALLERS = ("/system/installer/installer", "/system/installer/kairos-installer")
_GRUB_INSTALLERS = tuple(
    f"{top}/{name}"
    for top in ("/usr/sbin", "/usr/bin", "/sbin")
    for name in ("grub2-install", "grub-install")
)
_BIOS_MODULES = (
    "/usr/lib/grub/i386-pc",
    "/usr/share/grub/i386-pc",
    "/usr/lib/grub2/i386-pc",
    "/usr/share/grub2/i386-pc",
)
# Drivers that kairos-init makes dracut add, for the machines that need them.
_DRIVERS = {
    "xhci_pci_renesas": "virtual media of server management controllers is not found",
    "dm_snapshot": "a machine whose persistent partition is write-protected does not boot",
}


def choose_kernel(names: tuple[str, ...], model: str) -> str | None:
    """Return the version that kairos-init selects from the directories of modules, None if there is none (kernel.go).

    Args:
        names: of the directory's entries, sorted.
        model: the machine's model, such as `rpi4`.
    """
    if model in _RASPBERRY:
        raspberry = [name for name in names if name.endswith("-raspi")]
        versions = [version for name in raspberry if (version := go_version(name)) is not None]
        if versions:
            return str(max(reversed(versions)))
        if raspberry:
            return raspberry[-1]
    versions = [version for name in names if (version := go_version(name)) is not None]
    if versions:
        return str(max(reversed(versions)))
    return names[0] if names else None


@check(
    id="COS141",
    name="kairos-kernel-unchosen",
    level=Level.WARNING,
    summary="kairos-init finds no kernel, or not the one that boots.",
    why="""kairos-init uses the highest version among the directories of modules, and links the kernel and builds the initrd for it:
        its next run makes an image with another kernel, or stops.""",
    remedy="Leave one kernel in the image: remove the packages of the others in the step that installs the newer one.",
    applies=subjects.kairos,
    cure=remedies.deletes("delete the modules that have no kernel"),
)
def kairos_kernel_unchosen(context: CheckContext) -> Iterator[Finding | str]:
    """Choose by the names below /lib/modules as kairos-init does, and compare with the kernel's version."""
    tops = (context.rootfs.trace(path).entry for path in reversed(MODULE_DIRECTORIES))
    top = next((entry for entry in tops if entry is not None and entry.type == "dir"), None)
    children = context.rootfs.children(top) if top is not None else {}
    names = tuple(sorted(name for name, entry in children.items() if entry.type == "dir"))
    release = context.facts.kairos_release
    chosen = choose_kernel(names, release[1].get("KAIROS_MODEL", "") if release is not None else "")
    if chosen is None:
        layer, evidence = context.removal("/lib/modules")
        yield Finding(
            "expected a directory below /lib/modules, there is none: `no kernel versions found`",
            "/lib/modules",
            layer,
            evidence,
        )
        return
    listed = f"directories: {', '.join(names[:8])}"
    if chosen not in names:
        yield Finding(
            f"expected kairos-init to choose a directory below /lib/modules, it chooses {chosen}, which does not exist",
            "/lib/modules",
            children[names[0]].layer,
            (listed,),
        )
        return
    booted = {item.version for item in context.facts.kernels if item.kernel is not None and item.version}
    if booted and chosen not in booted:
        yield Finding(
            f"expected kairos-init to choose {' or '.join(sorted(booted))}, which boots, it chooses {chosen}",
            f"/lib/modules/{chosen}",
            children[chosen].layer,
            (listed, context.step(children[chosen].layer)),
        )
    else:
        yield f"kairos-init chooses {chosen} of {len(names)}"


@check(
    id="COS142",
    name="kairos-boot-file-missing",
    level=Level.WARNING,
    summary="There is no /boot/vmlinuz or no /boot/initrd.",
    why="`kairos-init validate` fails. The image boots with the files in bootargs.cfg; tools that use the usual names do not find them.",
    remedy="Run kairos-init in the Dockerfile, which links both; no later step may delete the links.",
    applies=subjects.kairos_by_grub,
    cure=boot_remedies.lists_boot_files,
)
def kairos_boot_file_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for both if bootargs.cfg names other files; a link to the kernel must lead to one."""
    named = {item.path for item in context.facts.kernels} | {item.path for item in context.facts.initrds}
    wanted = [path for path in ("/boot/vmlinuz", "/boot/initrd") if path not in named]
    yield f"bootargs.cfg names {' and '.join(sorted(named))}, which other checks read"
    for path in wanted:
        trace = context.rootfs.trace(path, follow=path == "/boot/vmlinuz")
        if trace.entry is None:
            yield context.broken(trace, f"expected {path}, it leads to nothing")
        else:
            yield f"{trace.chain} is there"


@check(
    id="COS143",
    name="kairos-driver-missing",
    level=Level.NOTE,
    summary="A driver that kairos-init puts into the initrd is missing.",
    why="The machine boots unless it needs the driver: for virtual media of management controllers, or for write-protected disks.",
    remedy="Build the initrd with the driver; kairos-init writes a drop-in for dracut that names it.",
    reads=READS,
    applies=subjects.kairos_by_grub,
)
def kairos_driver_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the drivers that the kernel's directory of modules has, unless they are built in."""
    for path, initrd in opened(context):
        there = drivers_in(context, initrd)
        for name, harm in _DRIVERS.items():
            shipped = {
                entry.name.partition(".ko")[0].replace("-", "_")
                for pattern in (name, name.replace("_", "-"))
                for version in initrd.kernel_versions
                for entry in context.rootfs.glob(f"/usr/lib/modules/{version}/**/{pattern}.ko*")
            }
            if name in shipped and name not in there:
                finding = about(
                    context, path, f"expected the driver {name} in the initrd, it is missing: {harm}"
                )
                yield remedies.with_cure(context, finding, boot_remedies.needs_drivers(name))
        yield f"{path} has {counted(len(there), 'driver')}"


@check(
    id="COS144",
    name="kairos-installer-missing",
    level=Level.WARNING,
    summary="The interactive installer is not in the image.",
    why="A live system starts it on the console; installation by a cloud-config does not need it.",
    remedy="Run kairos-init with its stage install, which brings /system/installer/kairos-installer.",
    applies=subjects.kairos,
    cure=remedies.from_toolkit("installer", "run kairos-init"),
)
def kairos_installer_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the agent's paths (sdk/constants), in images whose agent is the program kairos."""
    if not is_multi_call(context):
        raise NotApplicable("the agent of this release has the installer built in")
    found = [path for path in _INSTALLERS if context.rootfs.exists(path)]
    if found:
        yield f"{found[0]} is there"
    else:
        yield context.missing(_INSTALLERS[1], f"expected {_INSTALLERS[1]}, it is not there")


def is_multi_call(context: CheckContext) -> bool:
    """Return whether agent, immucore and the others are one program, as since August 2026."""
    trace = context.rootfs.trace("/usr/bin/kairos-agent")
    return bool(trace.hops) and trace.at == "/usr/bin/kairos"


@check(
    id="COS145",
    name="kairos-upgrader-missing",
    level=Level.WARNING,
    summary="There is no /usr/sbin/suc-upgrade.",
    why="Upgrade plans of Kubernetes start it in the new image: the plan's job fails, and the machine keeps its system.",
    remedy="Run kairos-init with its stage install, which writes it.",
    applies=subjects.kairos,
    cure=remedies.from_toolkit("runner", "run kairos-init"),
)
def kairos_upgrader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the script, executable."""
    entry = context.rootfs.trace("/usr/sbin/suc-upgrade").entry
    if entry is None:
        yield context.missing("/usr/sbin/suc-upgrade", "expected /usr/sbin/suc-upgrade, it is not there")
    elif not entry.is_executable:
        yield Finding(
            f"expected /usr/sbin/suc-upgrade to be executable, its mode is {entry.mode:04o}",
            entry.path,
            entry.layer,
        )
    else:
        yield f"{entry.path} is there"


@check(
    id="COS146",
    name="kairos-device-tool-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="The image has no blkdeactivate.",
    why="""If the machine runs this image, the agent runs it before it partitions the disk, and stops with
        `blkdeactivate: executable file not found in $PATH`.""",
    remedy="Install lvm2, which has blkdeactivate.",
    applies=subjects.kairos,
    cure=remedies.installs("lvm2", lead="install lvm2"),
)
def kairos_device_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command in PATH (agent/pkg/elemental, DeactivateDevices)."""
    found = context.command("blkdeactivate")
    if found is not None:
        yield f"{found} is there"
    else:
        yield context.missing(
            "/usr/sbin/blkdeactivate", "expected the command blkdeactivate, it is not in the image"
        )


@check(
    id="COS147",
    name="kairos-grub-installer-missing",
    level=Level.WARNING,
    summary="The image cannot install GRUB for machines without EFI.",
    why="""On such a machine the agent runs grub2-install or grub-install in the image that it has written, with the image's own modules:
        without them installation fails. Machines with EFI are not affected.""",
    remedy="Install GRUB with its modules for i386-pc.",
    applies=subjects.kairos_by_grub,
    cure=remedies.installs("grub-bios", lead="install GRUB's modules for i386-pc"),
)
def kairos_grub_installer_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command at the agent's paths, and for the modules of i386-pc (agent/pkg/utils/grub.go)."""
    platform = context.config.platform
    if platform is None:
        raise Undecided("the image configuration names no platform")
    if platform.architecture not in ("amd64", "386"):
        raise NotApplicable(f"machines of {platform.architecture} start with EFI")
    command = next((path for path in _GRUB_INSTALLERS if context.runs(path)), None)
    modules = next((path for path in _BIOS_MODULES if context.rootfs.glob(f"{path}/*.mod")), None)
    if command is None:
        yield context.missing(
            _GRUB_INSTALLERS[0],
            f"expected one of {', '.join(_GRUB_INSTALLERS)}, found none that can be executed",
        )
    elif modules is None:
        yield context.missing(
            f"{_BIOS_MODULES[0]}/normal.mod",
            f"expected modules in one of {', '.join(_BIOS_MODULES)}, found none",
        )
    else:
        yield f"{command} and {modules} are there"
