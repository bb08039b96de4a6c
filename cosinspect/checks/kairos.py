"""Checks on the needs of Kairos images that other images do not have (kairos-init, pkg/validation; kairos-agent and kairos-sdk)."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import READS, about, opened
from cosinspect.checks.units import mask_of, place_of
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "has_program",
    "is_hadron",
    "is_standard",
    "kairos_efi_missing",
    "kairos_grub_modules_missing",
    "kairos_initrd_command_missing",
    "kairos_initrd_service_missing",
    "kairos_lock_missing",
    "kairos_program_missing",
    "kairos_program_recommended",
    "kairos_release_incomplete",
    "kairos_release_missing",
    "kairos_unit_masked",
]

RELEASE = "/etc/kairos-release"
_RELEASE_READS = ("etc/kairos-release", "etc/os-release", "usr/lib/os-release")
_PROVIDERS = ("/system/providers", "/system/discovery")
_KEYS = (
    *(
        "ID",
        "ID_LIKE",
        "NAME",
        "VERSION",
        "ARCH",
        "TARGETARCH",
        "FLAVOR",
        "FLAVOR_RELEASE",
        "FAMILY",
        "MODEL",
    ),
    *("VARIANT", "BUG_REPORT_URL", "HOME_URL", "RELEASE"),
)
_STANDARD_KEYS = ("SOFTWARE_VERSION", "SOFTWARE_VERSION_PREFIX")
_INITRD_COMMANDS = (
    *("sync", "udevadm", "blkid", "lsblk", "e2fsck", "mount", "umount", "rsync", "cryptsetup", "awk"),
    *("mkfs.ext2", "mkfs.ext3", "mkfs.ext4", "mkfs.vfat"),
)
_BIN_DIRECTORIES = ("usr/sbin", "usr/bin", "sbin", "bin")
_UNIT_DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_GRUB_MODULES = ("loopback", "squash4", "xzio", "gzio", "regexp")
# The paths of GRUB's EFI program in kairos-sdk, by architecture.
_EFI = {
    "amd64": (
        "/usr/share/efi/x86_64/grub.efi",
        "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        "/usr/lib/grub/x86_64-efi/grubx64.efi",
        "/boot/efi/EFI/*/grubx64.efi",
    ),
    "arm64": (
        "/usr/share/efi/aarch64/grub.efi",
        "/usr/share/efi/arm64/grub.efi",
        "/usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed",
        "/usr/lib/grub/arm64-efi/grubaa64.efi",
        "/boot/efi/EFI/*/grubaa64.efi",
    ),
}


def has_program(context: CheckContext, name: str) -> bool:
    """Return whether kairos-init finds a program: in PATH, or among the providers."""
    if context.command(name) is not None:
        return True
    entries = (context.rootfs.trace(f"{top}/{name}").entry for top in _PROVIDERS)
    return any(entry is not None and entry.is_executable for entry in entries)


def is_standard(context: CheckContext) -> bool:
    """Return whether the image is of the standard variant, which brings a provider of Kubernetes."""
    release = context.facts.kairos_release
    return release is not None and release[1].get("KAIROS_VARIANT") == "standard"


def is_hadron(context: CheckContext) -> bool:
    """Return whether the image is of Hadron, which has no package manager and no NFS client (validate.go, line 50)."""
    release = context.facts.kairos_release
    values = release[1] if release is not None else {}
    return "hadron" in (values.get("KAIROS_FAMILY", "").lower(), values.get("KAIROS_FLAVOR", "").lower())


def _shares_target(context: CheckContext, name: str) -> bool:
    """Return whether a program and the agent are links to one program, which is missing."""
    agent = context.rootfs.trace("/usr/bin/kairos-agent")
    if agent.entry is not None or not agent.hops:
        return False
    traces = (context.rootfs.trace(f"{top}/{name}") for top in ("/usr/bin", *_PROVIDERS))
    return any(trace.entry is None and trace.hops and trace.at == agent.at for trace in traces)


@check(
    id="COS130",
    name="kairos-program-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE),
    summary="A program of Kairos itself is not in the image.",
    why="immucore must be there to be put into the next initrd, and a standard image needs its provider to form a cluster.",
    remedy="Run kairos-init in the Dockerfile, and let no later step delete what it installed.",
    reads=_RELEASE_READS,
    applies=subjects.kairos,
    cure=remedies.from_toolkit("runner", "run kairos-init"),
)
def kairos_program_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for immucore, and for a provider if the image is of the standard variant."""
    names = ["immucore"]
    if is_standard(context):
        names.append("agent-provider-kairos")
    for name in names:
        if has_program(context, name):
            yield f"{name} is there"
        elif _shares_target(context, name):
            yield f"{name} is a link to the agent's program, which another check reports"
        else:
            yield context.missing(f"/usr/bin/{name}", f"expected the program {name}, it is not in the image")


@check(
    id="COS131",
    name="kairos-program-recommended",
    level=Level.WARNING,
    summary="A program that kairos-init requires is not in the image.",
    why="""`kairos-init validate` fails, and the program's function does not work on the machine: encrypted partitions, NFS volumes,
        becoming root, the cluster's network.""",
    remedy="Run kairos-init with its stage install in the Dockerfile, which brings them.",
    applies=subjects.kairos,
    cure=remedies.from_toolkit("runner", "run kairos-init"),
)
def kairos_program_recommended(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the programs that kairos-init's validation requires, except those of another check."""
    names = ["sudo", "less", "kcrypt-discovery-challenger"]
    if not is_hadron(context):
        names.append("mount.nfs")
    if is_standard(context):
        names += ["kairos", "edgevpn"]
    for name in names:
        if not has_program(context, name) and not _shares_target(context, name):
            yield context.missing(f"/usr/bin/{name}", f"expected the program {name}, it is not in the image")
    yield f"all programs are in the image ({', '.join(names)})"


@check(
    id="COS132",
    name="kairos-release-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE),
    summary="The image has no description of a Kairos image.",
    why="The agent reads /etc/kairos-release to install and to upgrade, and bootargs.cfg takes the machine's model from it.",
    remedy="Run kairos-init in the Dockerfile; it writes /etc/kairos-release.",
    reads=_RELEASE_READS,
    applies=subjects.kairos,
    cure=remedies.from_toolkit("release", "run kairos-init, which writes it,"),
)
def kairos_release_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for KAIROS_ keys in /etc/kairos-release or, in older images, /etc/os-release."""
    found = context.facts.kairos_release
    if found is None:
        yield context.missing(RELEASE, f"expected {RELEASE} to set KAIROS_ID and others, found none")
    else:
        yield f"{found[0]} sets {len(found[1])} keys"


@check(
    id="COS133",
    name="kairos-release-incomplete",
    level=Level.WARNING,
    summary="The description of the Kairos image lacks keys.",
    why="kairos-init refuses it; functions that read the key (finding upgrades, the model's boot arguments) do not work.",
    remedy="Run kairos-init again instead of writing the file by hand.",
    reads=_RELEASE_READS,
    applies=subjects.kairos,
    cure=remedies.from_toolkit("release", "run kairos-init, which writes it,"),
)
def kairos_release_incomplete(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the keys that validation requires; older images, without the file, have fewer."""
    found = context.facts.kairos_release
    if found is None or found[0] != RELEASE:
        raise NotApplicable(f"there is no {RELEASE}")
    path, values = found
    standard = _STANDARD_KEYS if values.get("KAIROS_VARIANT") == "standard" else ()
    absent = [f"KAIROS_{key}" for key in (*_KEYS, *standard) if not values.get(f"KAIROS_{key}")]
    if absent:
        entry = context.rootfs.trace(path).entry
        yield Finding(
            f"expected {path} to set {', '.join(absent)}, it does not", path, entry.layer if entry else None
        )


def _with_systemd(context: CheckContext) -> Iterator[tuple[str, Initrd]]:
    for path, initrd in opened(context):
        if not any(initrd.exists(name) for name in ("usr/lib/systemd/systemd", "lib/systemd/systemd")):
            raise NotApplicable(f"{path} starts without systemd")
        if not any(initrd.exists(name) for group in context.generation.initrd_files for name in group):
            raise NotApplicable(f"{path} has no part of immucore")
        yield path, initrd


@check(
    id="COS134",
    name="kairos-initrd-service-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="Nothing starts immucore in the initrd.",
    why="immucore mounts the booted image: without its service and link the boot waits for a root that is never mounted.",
    remedy="Build the initrd again, with the dracut module immucore.",
    reads=READS,
    applies=subjects.kairos_by_grub,
    cure=remedies.rebuilds(),
    tags=("initrd",),
)
def kairos_initrd_service_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the unit and its link by name; releases link it into different targets."""
    for path, initrd in _with_systemd(context):
        units = ("usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system")
        unit = any(initrd.exists(f"{top}/immucore.service") for top in units)
        link = any(
            initrd.lookup(f"{top}/{target}.requires/immucore.service", follow=False)
            for top in units
            for target in ("initrd.target", "initrd-fs.target")
        )
        if not unit:
            yield about(context, path, "expected the unit immucore.service in the initrd, it is not there")
        elif not link:
            yield about(
                context, path, "expected a link that starts immucore.service in the initrd, found none"
            )
        else:
            yield f"immucore.service is started in {path}"


@check(
    id="COS135",
    name="kairos-initrd-command-missing",
    level=Level.WARNING,
    summary="A command that immucore calls is not in the initrd.",
    why="dracut omits missing commands silently; without cryptsetup an encrypted machine no longer boots.",
    remedy="Install the command, and build the initrd again.",
    reads=READS,
    applies=subjects.kairos_by_grub,
)
def kairos_initrd_command_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands that the dracut module of immucore installs."""
    for path, initrd in _with_systemd(context):
        absent = [
            name
            for name in _INITRD_COMMANDS
            if not any(initrd.lookup(f"{top}/{name}", follow=False) is not None for top in _BIN_DIRECTORIES)
        ]
        if absent:
            finding = about(context, path, f"expected {', '.join(absent)} in the initrd, found none of them")
            yield remedies.with_cure(context, finding, boot_remedies.needs_in_initrd(*absent))


@check(
    id="COS137",
    name="kairos-unit-masked",
    level=Level.ERROR,
    capabilities=(Capability.BOOT,),
    summary="A unit that the system needs is masked or missing.",
    why="Base images for containers mask udev, logind and the login prompts: devices do not appear, or nobody can log in.",
    remedy="Unmask the unit, or install its package again.",
    applies=subjects.kairos,
    cure=file_remedies.unmasks,
    tags=("system",),
)
def kairos_unit_masked(context: CheckContext) -> Iterator[Finding | str]:
    """Look at getty.target, systemd-udevd and systemd-logind: links to /dev/null mask them."""
    if not any(context.rootfs.exists(f"{top}/systemd") for top in ("/usr/lib/systemd", "/lib/systemd")):
        raise NotApplicable("the image starts without systemd")
    for name in ("getty.target", "systemd-udevd.service", "systemd-logind.service"):
        found = place_of(context, name)
        if found is None:
            yield Finding(f"expected the unit {name}, it is not there", f"/usr/lib/systemd/system/{name}")
        elif masking := mask_of(found):
            yield Finding(
                f"expected the unit {name}, it is masked: {found.path} {masking}", found.path, found.layer
            )
        else:
            yield f"{found.path} is there"


@check(
    id="COS138",
    name="kairos-grub-modules-missing",
    level=Level.WARNING,
    summary="GRUB modules that the menu loads are not in the image.",
    why="The menu of an installed machine stops at the command that the module has; without regexp it finds no kernel.",
    remedy="Install GRUB's modules for the platform.",
    applies=subjects.kairos_by_grub,
    cure=remedies.installs("grub-modules", lead="install GRUB's modules"),
)
def kairos_grub_modules_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each module in the directories of distributions."""
    names = {
        entry.name
        for top in ("/usr/share/grub2/*", "/usr/lib/grub/*", "/usr/lib/grub2/*", "/boot/grub2/*")
        for entry in context.rootfs.glob(f"{top}/*.mod")
    }
    absent = [name for name in _GRUB_MODULES if f"{name}.mod" not in names]
    if absent:
        yield Finding(f"expected the GRUB modules {', '.join(absent)}, they are not in the image")
    else:
        yield f"the GRUB modules {', '.join(_GRUB_MODULES)} are there"


@check(
    id="COS139",
    name="kairos-efi-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="There is no GRUB for EFI at the paths that installation searches.",
    why="The agent copies it to the EFI partition; without it installation stops, or the machine does not start with EFI.",
    remedy="Install the distribution's signed GRUB for EFI.",
    applies=subjects.kairos_by_grub,
    cure=remedies.installs("efi", lead="install shim and GRUB for EFI"),
)
def kairos_efi_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the places on the agent's list."""
    platform = context.config.platform
    places = _EFI.get(platform.architecture if platform is not None else "")
    if places is None:
        raise NotApplicable("the agent's list for this architecture is not known")
    found = [entry.path for place in places for entry in context.rootfs.glob(place)]
    if found:
        yield f"{found[0]} is there"
    elif context.facts.unified_kernels or context.rootfs.glob("/usr/lib/systemd/boot/efi/*.efi*"):
        raise NotApplicable("the image starts with systemd-boot")
    else:
        yield Finding(f"expected one of {', '.join(places)}, found none", places[0])


@check(
    id="COS140",
    name="kairos-lock-missing",
    level=Level.WARNING,
    summary="There is no /var/lock.",
    why="Programs that lock devices fail on the read-only root, where the directory cannot be made.",
    remedy="Make the directory, or the base image's link to /run/lock.",
    applies=subjects.kairos,
    cure=file_remedies.makes_directory,
)
def kairos_lock_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the directory; a link to /run/lock gets its target when the machine starts."""
    trace = context.rootfs.trace("/var/lock", follow=False)
    if trace.entry is None:
        yield context.broken(trace, "expected the directory /var/lock, it is not there")
