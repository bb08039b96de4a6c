"""Checks on files other than kernel and initrd that `elemental3ctl` (Elemental 3, G6) reads from an image or runs in it.

Each check names the file of SUSE/elemental at af2c437 that requires the file. Elemental 3 shares no file with the
elemental toolkit: no bootargs.cfg, no grub.cfg of the image, no cloud-config, no COS_* label.
"""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, words_of
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.report.display import counted
from cosinspect.report.evidence import Mention
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "elemental3_directory_blocked",
    "elemental3_efi_missing",
    "elemental3_fstab_present",
    "elemental3_grub_missing",
    "elemental3_host_tool_missing",
    "elemental3_os_release_unreadable",
    "elemental3_program_missing",
    "elemental3_selinux_unlabelled",
    "elemental3_snapper_missing",
    "elemental3_upgrader_missing",
    "elemental3_volume_content",
]

_DEPLOYS = (Capability.INSTALL, Capability.UPGRADE)
_EVERYTHING = (Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY, Capability.ISO)
_READS = ("etc/{os-release,fstab}", "usr/lib/os-release", "etc/{default,sysconfig}/snapper")
_EFI = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}
_TEMPLATES = ("/etc/snapper/config-templates/default", "/usr/share/snapper/config-templates/default")
_SETTINGS = ("/etc/default/snapper", "/etc/sysconfig/snapper")
_CONTEXTS = "/etc/selinux/targeted/contexts/files/file_contexts"
_HOST_TOOLS = (
    *("btrfs", "chattr", "rsync", "mount", "umount", "lsblk", "findmnt", "systemd-repart", "partx"),
    *("mkfs.btrfs", "mkfs.vfat", "mkfs.ext4", "mksquashfs", "grub2-editenv", "efibootmgr"),
)
_VOLUMES = ("/var", "/root", "/opt", "/srv", "/home", "/usr/local")
_STATE = ("/var/adm/", "/var/cache/", "/var/lib/", "/var/log/", "/root/.")
"""Files of packages there that only the first installation needs."""
_SHOWN = 8


@check(
    id="COS235",
    name="elemental3-os-release-unreadable",
    level=Level.ERROR,
    capabilities=_EVERYTHING,
    summary="elemental3ctl cannot read ID from /etc/os-release.",
    why="""The boot entry is written to EFI/<ID>/<version>: without the file, with a line that is not KEY=VALUE or without ID the command
        ends with an error. An absolute link is followed on the machine that runs the command.""",
    remedy="Write KEY=VALUE lines with ID, and make the link relative.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=file_remedies.os_release_for_elemental3,
)
def elemental3_os_release_unreadable(context: CheckContext) -> Iterator[Finding | str]:
    """Read /etc/os-release alone (pkg/bootloader/grub.go)."""
    path = "/etc/os-release"
    found = context.facts.text(path)
    if found.text is None or found.trace.entry is None:
        yield context.broken(found.trace, f"expected {path} to be a file that can be read, it is not")
        return
    entry = found.trace.entry
    absolute = next((hop for hop in found.trace.hops if hop.target.startswith("/")), None)
    if absolute is not None:
        yield Finding(
            f"expected a relative link at {path}, found {absolute.target}",
            path,
            absolute.layer,
            (str(absolute), context.step(absolute.layer)),
        )
    values = read_env_file(found.text)
    bad = next((problem for problem in values.problems if problem.kind in ("syntax", "quote")), None)
    if bad is not None:
        yield Finding(
            f"expected KEY=VALUE, found {bad}", entry.path, entry.layer, (context.step(entry.layer),)
        )
    elif "ID" not in values.values:
        yield Finding(f"expected ID in {path}, it is not set", entry.path, entry.layer)
    elif absolute is None:
        yield f"{path}: {values.values.get('PRETTY_NAME') or values.values['ID']}"


@check(
    id="COS236",
    name="elemental3-efi-missing",
    level=Level.ERROR,
    capabilities=_EVERYTHING,
    summary="A program that EFI starts is not in /usr/share/efi.",
    why="elemental3ctl copies shim.efi, MokManager.efi and grub.efi from /usr/share/efi/<architecture> and ends with an error without one.",
    remedy="Install the packages that ship shim, MokManager and GRUB for EFI.",
    applies=subjects.elemental3,
    cure=remedies.installs("efi", lead="install shim and GRUB for EFI"),
)
def elemental3_efi_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each by its path (pkg/bootloader/grub.go)."""
    platform = context.config.platform
    name = _EFI.get(platform.architecture if platform is not None else "amd64")
    if name is None:
        raise Undecided(
            f"where Elemental 3 looks for {platform.architecture if platform else 'this'} is not known"
        )
    programs = ("grub.efi",) if name == "riscv64" else ("shim.efi", "MokManager.efi", "grub.efi")
    for program in programs:
        path = f"/usr/share/efi/{name}/{program}"
        trace = context.rootfs.trace(path)
        if trace.entry is None or trace.entry.type != "file":
            yield context.broken(trace, f"expected the file {path}, it is not there")
        else:
            yield f"{path} is there"


@check(
    id="COS237",
    name="elemental3-grub-missing",
    level=Level.ERROR,
    capabilities=_EVERYTHING,
    summary="/usr/share/grub2 is not a directory.",
    why="elemental3ctl copies it to the EFI system partition with rsync, which fails; links in it are left out.",
    remedy="Install GRUB's package, which ships the directory.",
    applies=subjects.elemental3,
    cure=remedies.installs("grub", lead="install GRUB"),
)
def elemental3_grub_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the directory (pkg/bootloader/grub.go, installGrub)."""
    path = "/usr/share/grub2"
    trace = context.rootfs.trace(path)
    if trace.entry is None or trace.entry.type != "dir":
        yield context.broken(trace, f"expected the directory {path}, it is not there")
    else:
        yield f"{path} is there"


@check(
    id="COS238",
    name="elemental3-snapper-missing",
    level=Level.ERROR,
    capabilities=_DEPLOYS,
    summary="snapper or its configuration is not in the image.",
    why="""elemental3ctl writes snapper's configuration into the new tree from its template and runs `snapper --no-dbus` in a chroot of it: each
        transaction fails without them.""",
    remedy="Install snapper with its templates.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=remedies.installs("snapper", lead="install snapper"),
)
def elemental3_snapper_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the program, the template and the directories that are written (pkg/snapper/snapper.go, ConfigureRoot)."""
    program = context.rootfs.trace("/usr/bin/snapper")
    if program.entry is None or not program.entry.is_executable:
        yield context.broken(program, "expected the program /usr/bin/snapper, it is not there")
    templates = (context.rootfs.trace(path).entry for path in _TEMPLATES)
    if not any(entry is not None and entry.type == "file" for entry in templates):
        yield context.missing(
            _TEMPLATES[1], f"expected snapper's template at {' or '.join(_TEMPLATES)}, found neither"
        )
    settings = next((path for path in _SETTINGS if context.rootfs.exists(path)), None)
    tops = [path.rpartition("/")[0] for path in ((settings,) if settings else _SETTINGS[1:])]
    for top in (*tops, "/etc/snapper/configs"):
        entry = context.rootfs.trace(top).entry
        if entry is None or entry.type != "dir":
            yield context.missing(top, f"expected the directory {top}, which elemental3ctl writes to")
    text = context.facts.text(settings).text if settings is not None else None
    for problem in read_env_file(text).problems if text is not None else ():
        if problem.kind == "syntax" and settings is not None:
            yield Finding(f"expected KEY=VALUE in {settings}, found {problem}", settings)
    yield "snapper and its template are there"


@check(
    id="COS239",
    name="elemental3-fstab-present",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="The image has an /etc/fstab.",
    why="""elemental3ctl writes /etc/fstab only if there is none. It edits an existing one: a line without six fields (a comment, an empty
        line) ends the installation with `invalid fstab line`, and a file without the lines leaves /etc, /var, /root and /boot unmounted.""",
    remedy="Delete it in the last step.",
    reads=_READS,
    applies=subjects.elemental3,
    cure=remedies.deletes(),
)
def elemental3_fstab_present(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file and its first line that elemental3ctl refuses (pkg/fstab/fstab.go)."""
    path = "/etc/fstab"
    found = context.facts.text(path)
    entry = found.trace.entry
    if entry is None:
        yield "there is no /etc/fstab, so elemental3ctl writes it"
        return
    lines = (found.text or "").splitlines()
    refused = next((line for line in lines if not _fields_fit(line)), None)
    seen = (
        f"the line {refused[:80]!r}, which has not six fields"
        if refused is not None
        else counted(len(lines), "line")
    )
    yield Finding(
        f"expected no {path}, found one with {seen}", path, entry.layer, (context.step(entry.layer),)
    )


def _fields_fit(line: str) -> bool:
    fields = line.split()
    return len(fields) == 6 and all(
        field.removeprefix("-").removeprefix("+").isdecimal() for field in fields[4:]
    )


@check(
    id="COS240",
    name="elemental3-selinux-unlabelled",
    level=Level.ERROR,
    capabilities=_DEPLOYS,
    summary="The image has SELinux file contexts and no setfiles.",
    why="elemental3ctl runs setfiles in a chroot of the new tree if there are file contexts, and ends with an error without it.",
    remedy="Install policycoreutils, which has setfiles.",
    applies=subjects.elemental3,
    cure=remedies.installs("policycoreutils", lead="install setfiles"),
)
def elemental3_selinux_unlabelled(context: CheckContext) -> Iterator[Finding | str]:
    """Look for both (pkg/selinux/selinux.go)."""
    if not context.rootfs.exists(_CONTEXTS):
        raise NotApplicable("there are no SELinux file contexts")
    found = context.command("setfiles")
    fault = context.facts.execution.fault(found) if found is not None else None
    if found is None:
        yield context.missing("/usr/sbin/setfiles", f"expected setfiles, as there is {_CONTEXTS}")
    elif fault is not None and not fault.is_undecided:
        yield context.unexecutable(
            found, fault, f"expected {found} to be executable, {words_of(found, fault)}"
        )
    else:
        yield f"{found} labels the files"


@check(
    id="COS241",
    name="elemental3-directory-blocked",
    level=Level.ERROR,
    capabilities=_EVERYTHING,
    summary="A file or a dangling link is in the place of a directory that elemental3ctl makes.",
    why="elemental3ctl makes /dev, /proc, /sys and /etc/elemental in the new tree and mounts over them: the command ends with an error.",
    remedy="Delete it, or make a directory of it.",
    applies=subjects.elemental3,
    cure=file_remedies.replaces_by_directory,
)
def elemental3_directory_blocked(context: CheckContext) -> Iterator[Finding | str]:
    """Look at each name, links not followed (pkg/chroot/chroot.go)."""
    for path in ("/dev", "/proc", "/sys", "/etc/elemental"):
        here = context.rootfs.trace(path, follow=False).entry
        behind = context.rootfs.trace(path).entry
        if here is not None and (behind is None or behind.type != "dir"):
            yield Finding(
                f"expected {path} to be a directory or absent, found a {here.type}", path, here.layer
            )


@check(
    id="COS244",
    name="elemental3-program-missing",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE, Capability.RECOVERY, Capability.ISO),
    summary="/usr/bin/elemental3ctl is not in the image, or cannot be executed.",
    why="A machine with this image upgrades and resets itself with it, and an ISO installs with it.",
    remedy="Install the package elemental3ctl.",
    applies=subjects.elemental3,
    cure=remedies.installs("elemental3", lead="install the program"),
)
def elemental3_program_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the program and for what its unit needs (internal/customize/templates/auto_installer.sh.tpl)."""
    trace = context.rootfs.trace("/usr/bin/elemental3ctl")
    if trace.entry is None or not trace.entry.is_executable:
        yield context.broken(trace, "expected the program /usr/bin/elemental3ctl, it is not there")
    for name in ("bash", "agetty", "systemctl"):
        if context.command(name) is None:
            yield context.missing(
                f"/usr/bin/{name}", f"expected the command {name}, which the installer's unit calls"
            )
    yield "/usr/bin/elemental3ctl is there"


@check(
    id="COS245",
    name="elemental3-upgrader-missing",
    level=Level.WARNING,
    summary="A cluster cannot upgrade machines to this image.",
    why="""The system upgrade controller starts the new image and runs `upgrader` in it with /bin/sh and grep; without them the pod fails.
        `elemental3ctl upgrade` on the machine works.""",
    remedy="Ship the command upgrader of elemental-lifecycle-manager, or upgrade the machines with elemental3ctl.",
    applies=subjects.elemental3,
    cure=remedies.by_hand("ship the command upgrader of elemental-lifecycle-manager"),
)
def elemental3_upgrader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the three commands (elemental-lifecycle-manager 6a368d66, internal/plan/os.go)."""
    for name in ("upgrader", "sh", "grep"):
        if context.command(name) is None:
            yield context.missing(
                f"/usr/bin/{name}", f"expected the command {name}, which an upgrade plan runs"
            )


@check(
    id="COS246",
    name="elemental3-volume-content",
    level=Level.WARNING,
    summary="The image has files in directories that are volumes of each machine.",
    why="""Files below /var, /root, /opt, /srv, /home and /usr/local reach a machine at its first installation only: an upgrade leaves these
        volumes as they are, so a later image's files never arrive.""",
    remedy="Move files that upgrades must replace below /usr, for example with systemd-tmpfiles, and leave the volumes empty.",
    applies=subjects.elemental3,
    cure=remedies.by_hand("move files that upgrades must replace below /usr", unwanted=True),
)
def elemental3_volume_content(context: CheckContext) -> Iterator[Finding | str]:
    """Look for regular files there (pkg/transaction/snapper_upgrade_helper.go)."""
    for top in _VOLUMES:
        if not context.rootfs.exists(top):
            continue
        files = [
            entry
            for entry in context.rootfs.walk(top)
            if entry.type == "file" and not entry.path.startswith(_STATE)
        ]
        if files:
            yield Finding(
                f"expected no files below {top}, found {len(files)}",
                top,
                files[-1].layer,
                tuple(
                    Mention(f"{entry.path} ({context.step(entry.layer)})", entry.layer)
                    for entry in files[:_SHOWN]
                ),
            )


@check(
    id="COS247",
    name="elemental3-host-tool-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.RECOVERY, Capability.ISO),
    summary="A program that installation runs is not in the image.",
    why="""If the machine that installs runs this image, as an ISO of it does, elemental3ctl calls snapper's
        installation-helper, the tools of btrfs, systemd-repart and others, and ends with an error without one.""",
    remedy="Install the package that has the program.",
    applies=subjects.elemental3,
    cure=remedies.reinstalls(lead="install what is missing"),
)
def elemental3_host_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each (pkg/snapper, pkg/repart/disk_repart.go, pkg/bootloader/grub.go)."""
    helper = "/usr/lib/snapper/installation-helper"
    trace = context.rootfs.trace(helper)
    if trace.entry is None or not trace.entry.is_executable:
        yield context.broken(trace, f"expected the program {helper}, it is not there")
    lacking = [name for name in _HOST_TOOLS if context.command(name) is None]
    for name in lacking:
        yield context.missing(f"/usr/bin/{name}", f"expected the command {name}, it is not there")
    yield f"{len(_HOST_TOOLS) - len(lacking)} commands are there"
