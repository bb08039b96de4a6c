"""Checks on what `bootc install` and image builders need beyond bootc's lints (crates/lib/src/install.rs, bootupd, image-builder)."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cosinspect.checks import boot_remedies, file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.bootc import prepare_root
from cosinspect.checks.unified import READS as UNIFIED_READS
from cosinspect.errors import FormatError
from cosinspect.formats.text.bootc_install import BootcInstall, merge_bootc_install, read_bootc_install
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = [
    "bootc_bios_unserved",
    "bootc_bootloader_missing",
    "bootc_disk_image",
    "bootc_filesystem_unset",
    "bootc_install_tool_missing",
    "bootc_payload_unusable",
    "bootc_policy_missing",
    "bootc_prepare_root_missing",
    "bootc_verity_unsupported",
]

INSTALLS = (Capability.INSTALL,)
_CONFIGS = ("/usr/lib/bootc/install", "/usr/local/lib/bootc/install", "/etc/bootc/install")
_CONFIG_READS = ("{usr/lib,usr/local/lib,etc}/bootc/install/*.toml",)
_UPDATES = "/usr/lib/bootupd/updates"
_EFI_LIBRARY = "/usr/lib/efi"
_RUST = {"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "powerpc64", "386": "x86"}
_SHIMS = {"amd64": "shimx64.efi", "arm64": "shimaa64.efi", "riscv64": "shimriscv64.efi"}
_SYSTEMD_BOOT = (
    "/usr/lib/systemd/boot/efi/systemd-boot*.efi*",
    "/boot/EFI/systemd/*.efi",
    "/boot/EFI/BOOT/BOOT*.EFI",
)
_VERITY = ("ext4", "btrfs")
_POLICY = "/etc/selinux/config"
# The commands that `bootc install to-disk` runs from the image for every disk and file system.
_TOOLS = (
    ("sfdisk", "systemd-repart"),
    ("wipefs",),
    ("lsblk",),
    ("mount",),
    ("findmnt",),
    ("ostree",),
    ("skopeo",),
    ("fstrim",),
    ("fsfreeze",),
)


def _architecture(context: CheckContext) -> str:
    platform = context.config.platform
    if platform is None:
        raise Undecided("the image configuration names no platform")
    return platform.architecture


def _unified(context: CheckContext) -> Entry | None:
    """Return the unified kernel image that bootc takes, the first by name."""
    return next(iter(context.rootfs.glob("/boot/EFI/Linux/*.efi")), None)


@frozen
class _Settings:
    """The settings of installation, and the files that bootc refuses."""

    merged: BootcInstall
    faults: tuple[tuple[Entry, str], ...]
    files: int


def _settings(context: CheckContext) -> _Settings:
    # Of files with one name the one of the last directory counts.
    files = {entry.name: entry for top in _CONFIGS for entry in context.rootfs.glob(f"{top}/*.toml")}
    read: list[BootcInstall] = []
    faults: list[tuple[Entry, str]] = []
    for _, entry in sorted(files.items()):
        text = context.facts.text(entry.path).text
        if text is None:
            faults.append((entry, "expected a readable file, found none"))
            continue
        try:
            read.append(read_bootc_install(text))
        except FormatError as fault:
            faults.append((entry, fault.message))
    platform = context.config.platform
    word = platform.architecture if platform is not None else ""
    return _Settings(merge_bootc_install(read, _RUST.get(word, word)), tuple(faults), len(files))


@check(
    id="COS163",
    name="bootc-bootloader-missing",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="There is no boot loader that installation can use.",
    why="""`bootc install` uses bootupd if the image has bootupctl and its updates, and systemd-boot otherwise.
        systemd-boot starts unified kernel images only: with ostree it stops at `bootupd is required for ostree-based installs`.""",
    remedy="""Install bootupd with its updates below /usr/lib/bootupd; for systemd-boot put a unified kernel image in /boot/EFI/Linux, or install with
        --composefs-backend; on s390x install s390utils, which has zipl.""",
    reads=_CONFIG_READS,
    applies=subjects.bootc,
    cure=boot_remedies.bootupd_missing,
)
def bootc_bootloader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Choose as bootc does: by the settings, by bootupctl and /usr/lib/bootupd/updates, else systemd-boot (install.rs, bootloader.rs)."""
    chosen = _settings(context).merged.bootloader
    platform = context.config.platform
    if platform is not None and platform.architecture == "s390x":
        yield from _zipl(context, chosen)
        return
    command = context.command("bootupctl")
    updates = context.rootfs.exists(_UPDATES)
    unified = _unified(context)
    if chosen == "none" and unified is not None:
        yield Finding(
            f"expected a boot loader for {unified.path}, the settings of installation disable it", _CONFIGS[0]
        )
    elif chosen == "none":
        yield "the settings leave the boot loader to others"
    elif chosen == "grub-cc" and unified is not None:
        raise Undecided(f"the needs of grub-cc to start {unified.path} are not known")
    elif chosen in ("", "grub") and command is not None and updates:
        yield f"{command} and {_UPDATES} exist"
    elif chosen == "grub" or (unified is None and command is not None and chosen == ""):
        what = "bootupctl" if command is None else _UPDATES
        path = "/usr/bin/bootupctl" if command is None else _UPDATES
        yield context.missing(path, f"expected bootupctl and {_UPDATES}, {what} is missing")
    elif unified is None:
        loader = _systemd_boot(context)
        found = f"found {loader.path}, which ostree cannot use" if loader is not None else "found neither"
        yield context.missing("/usr/bin/bootupctl", f"expected bootupctl or a unified kernel image, {found}")
    else:
        yield from _with_systemd_boot(context, unified)


def _zipl(context: CheckContext, chosen: str) -> Iterator[Finding | str]:
    found = context.command("zipl")
    if chosen == "none":
        yield Finding("expected zipl to be used, the settings of installation say none", _CONFIGS[0])
    elif found is not None:
        yield f"{found} is there"
    else:
        yield context.missing("/usr/sbin/zipl", "expected zipl, it is not in the image")


def _systemd_boot(context: CheckContext) -> Entry | None:
    return next((entry for place in _SYSTEMD_BOOT for entry in context.rootfs.glob(place)), None)


def _with_systemd_boot(context: CheckContext, unified: Entry) -> Iterator[Finding | str]:
    loader = _systemd_boot(context)
    command = context.command("bootctl")
    if command is None:
        yield context.missing(
            "/usr/bin/bootctl", f"expected bootctl for {unified.path}, it is not in the image"
        )
    elif loader is None:
        yield context.missing(
            "/usr/lib/systemd/boot/efi/systemd-bootx64.efi",
            f"expected systemd-boot for {unified.path}, it is not in the image",
        )
    else:
        yield f"{command} installs {loader.path}"


@check(
    id="COS261",
    name="bootc-prepare-root-missing",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="There is no readable prepare-root.conf.",
    why="`bootc install` stops: `Failed to find ostree/prepare-root.conf in /usr/lib or /etc`; bootc's lints only warn.",
    remedy="Write /usr/lib/ostree/prepare-root.conf with the section composefs and enabled = true, and build the initramfs again.",
    reads=("{etc,usr/lib}/ostree/prepare-root.conf",),
    applies=subjects.bootc,
    cure=file_remedies.writes(
        "write it and build the initramfs again",
        "/usr/lib/ostree/prepare-root.conf",
        "[composefs]",
        "enabled = true",
        then="initrd",
    ),
)
def bootc_prepare_root_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file in /etc and in /usr/lib, and read it as GLib does."""
    path, config = prepare_root(context)
    if path is None:
        yield context.missing(
            "/usr/lib/ostree/prepare-root.conf",
            "expected /usr/lib/ostree/prepare-root.conf or /etc/ostree/prepare-root.conf, found neither",
        )
    elif config is None:
        entry = context.rootfs.trace(path).entry
        yield Finding(
            f"expected a key file at {path}, GLib refuses it",
            path,
            entry.layer if entry is not None else None,
        )
    else:
        yield f"{path} is there"


@check(
    id="COS262",
    name="bootc-filesystem-unset",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="The image does not say which root filesystem it is installed to.",
    why="""`bootc install` stops at `No root filesystem specified`, and image-builder at a similar message, unless --filesystem or --rootfs is given. Fedora's
        base images set none, so an image made from them has to; Anaconda sets its own type.""",
    remedy="Name the root filesystem in a file of /usr/lib/bootc/install, or use --filesystem.",
    reads=_CONFIG_READS,
    applies=subjects.bootc,
    cure=file_remedies.root_filesystem("xfs", "ext4", "btrfs", name="00-defaults.toml"),
)
def bootc_filesystem_unset(context: CheckContext) -> Iterator[Finding | str]:
    """Read the settings of installation as bootc does, for the image's architecture."""
    settings = _settings(context)
    for entry, message in settings.faults:
        yield Finding(f"{message} ({entry.path})", entry.path, entry.layer, (context.step(entry.layer),))
    if settings.faults:
        return
    if settings.merged.block == ():
        yield Finding("expected a way to write the root, `block` is an empty list", _CONFIGS[0])
    if settings.merged.filesystem:
        yield f"the root filesystem is {settings.merged.filesystem}"
    else:
        found = f"{settings.files} files set none" if settings.files else "there is no such file"
        yield context.missing(
            _CONFIGS[0], f"expected the type of the root filesystem in {_CONFIGS[0]}/*.toml, {found}"
        )


def _payloads(context: CheckContext) -> tuple[bool, bool]:
    """Return whether the image has bootupd's components EFI and BIOS for its architecture."""
    architecture = _architecture(context)
    efi = architecture in _SHIMS and context.rootfs.exists(f"{_UPDATES}/EFI.json")
    bios = architecture in ("amd64", "ppc64le") and context.rootfs.exists(f"{_UPDATES}/BIOS.json")
    return efi, bios


def _require_bootupd(context: CheckContext) -> None:
    if _architecture(context) not in (*_SHIMS, "ppc64le"):
        raise NotApplicable("bootupd has no component for this architecture")
    if context.command("bootupctl") is None or not context.rootfs.exists(_UPDATES):
        raise NotApplicable("bootupd installs nothing here")


@check(
    id="COS263",
    name="bootc-payload-unusable",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="bootupd finds nothing to install, or not exactly one shim.",
    why="""bootupd ignores a component without its EFI.json or BIOS.json, and the machine has no boot loader. It stops with
    `Found multiple shimx64.efi in the image`, and also if there is none.""",
    remedy="Install GRUB for EFI and exactly one shim for the image's platform, and run `bootupctl backend generate-update-metadata`.",
    applies=subjects.bootc,
    cure=boot_remedies.bootupd_payload,
)
def bootc_payload_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the components, and for shim where bootupd searches it (efi.rs, get_efi_vendor)."""
    _require_bootupd(context)
    efi, bios = _payloads(context)
    if not efi and not bios:
        yield context.missing(
            f"{_UPDATES}/EFI.json", f"expected EFI.json or BIOS.json in {_UPDATES}, found neither"
        )
        return
    if bios:
        yield f"{_UPDATES}/BIOS.json is there"
    if not efi:
        return
    name = _SHIMS[_architecture(context)]
    places = [place for place in (_EFI_LIBRARY, f"{_UPDATES}/EFI") if context.rootfs.exists(place)]
    if not places:
        yield context.missing(
            f"{_UPDATES}/EFI", f"expected an EFI program in {_UPDATES}/EFI or {_EFI_LIBRARY}, found neither"
        )
        return
    shims = _shims(context)
    if len(shims) == 1:
        yield f"{shims[0].path} is there"
    elif shims:
        finding = Finding(
            f"expected one {name} in {places[0]}, found {len(shims)}",
            places[0],
            shims[-1].layer,
            tuple(entry.path for entry in shims[:8]),
        )
        later = sorted(shims, key=lambda entry: entry.layer)[1:]
        steps = [f"RUN rm -f {remedies.quoted(entry.path)}" for entry in later]
        yield remedies.with_cure(context, finding, remedies.runs("leave one of them", lambda *_: steps))
    else:
        yield context.missing(f"{places[0]}/{name}", f"expected one {name} in {places[0]}, found none")


def _shims(context: CheckContext) -> list[Entry]:
    """Return the files of shim where bootupd searches for them; empty if it does not search."""
    name = _SHIMS.get(_architecture(context))
    place = next((place for place in (_EFI_LIBRARY, f"{_UPDATES}/EFI") if context.rootfs.exists(place)), None)
    if name is None or place is None:
        return []
    return [entry for entry in context.rootfs.walk(place) if entry.name == name]


@check(
    id="COS264",
    name="bootc-firmware-unserved",
    level=Level.WARNING,
    summary="bootupd installs a boot loader for one kind of firmware only.",
    why="A machine with the other kind, BIOS or EFI, does not start from the disk: bootupd needs a component for each.",
    remedy="Install GRUB for the other kind of firmware, and generate bootupd's metadata again.",
    applies=subjects.bootc,
    cure=boot_remedies.bootupd_bios,
)
def bootc_bios_unserved(context: CheckContext) -> Iterator[Finding | str]:
    """Look for BIOS.json with GRUB's modules and grub2-install (bios.rs), and for EFI.json, on amd64."""
    _require_bootupd(context)
    if _architecture(context) != "amd64":
        raise NotApplicable("machines of this architecture have one kind of firmware")
    efi, bios = _payloads(context)
    if not efi and not bios:
        raise NotApplicable("bootupd has no component, which another check reports")
    if not efi:
        yield context.missing(f"{_UPDATES}/EFI.json", f"expected {_UPDATES}/EFI.json, it is missing")
    for path in (f"{_UPDATES}/BIOS.json", "/usr/lib/grub/i386-pc", "/usr/sbin/grub2-install"):
        if not context.rootfs.exists(path):
            yield context.missing(path, f"expected {path} for machines with BIOS, it is missing")
            return
    yield "bootupd has components for BIOS and EFI"


@check(
    id="COS265",
    name="bootc-install-tool-missing",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="A command that installation runs is not in the image.",
    why="`bootc install` runs from a container of the image: the step that runs the command fails, usually after the disk is wiped.",
    remedy="Install the package that has the command.",
    reads=_CONFIG_READS,
    applies=subjects.bootc,
    cure=remedies.reinstalls(lead="install what is missing"),
)
def bootc_install_tool_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands in PATH, with mkfs of the root filesystem that the settings name."""
    settings = _settings(context).merged
    wanted = [*_TOOLS]
    if settings.filesystem:
        wanted.append((f"mkfs.{settings.filesystem}",))
    if settings.block and settings.block[0] == "tpm2-luks":
        wanted += [("cryptsetup",), ("systemd-cryptenroll",)]
    if _architecture(context) in _SHIMS:
        wanted.append(("mkfs.fat", "mkfs.vfat"))
    for names in wanted:
        if not any(context.command(name) for name in names):
            yield context.missing(
                f"/usr/sbin/{names[0]}", f"expected the command {' or '.join(names)}, it is not in the image"
            )
    yield f"the commands that installation runs are in the image ({len(wanted)})"


@check(
    id="COS266",
    name="bootc-policy-missing",
    level=Level.NOTE,
    summary="The image has no SELinux policy.",
    why="On a host where SELinux is enabled, `bootc install` stops, because it cannot label files; other hosts install the image.",
    remedy="Install the policy package, or give --disable-selinux if the host has SELinux.",
    reads=(_POLICY.removeprefix("/"),),
    applies=subjects.bootc,
    cure=remedies.installs("selinux-policy", lead="install the policy"),
)
def bootc_policy_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read /etc/selinux/config, and look for the policy's file contexts."""
    text = context.facts.text(_POLICY).text
    name = read_env_file(text).values.get("SELINUXTYPE", "") if text is not None else ""
    contexts = f"/etc/selinux/{name}/contexts/files/file_contexts"
    if name and context.rootfs.exists(contexts):
        yield f"{contexts} is there"
    else:
        found = f"{contexts} is missing" if name else f"{_POLICY} names none"
        yield context.missing(contexts if name else _POLICY, f"expected a policy, {found}")


@check(
    id="COS267",
    name="bootc-disk-image",
    level=Level.WARNING,
    summary="A file that image-builder reads is not in the image.",
    why="""image-builder (bootc-image-builder before) stops if os-release has no ID, VERSION_ID or NAME; without a directory of the vendor's boot
        loader beside BOOT its disk images have no boot entry of the vendor.""",
    remedy="Set ID, VERSION_ID and NAME in /usr/lib/os-release, and install the distribution's shim and GRUB for EFI.",
    reads=("etc/os-release", "usr/lib/os-release"),
    applies=subjects.bootc,
)
def bootc_disk_image(context: CheckContext) -> Iterator[Finding | str]:
    """Read os-release, and look for the vendor's directory (image-builder, pkg/bib/osinfo/osinfo.go)."""
    release = context.facts.os_release
    if release is None:
        raise NotApplicable("there is no os-release")
    path, values = release[0], release[1].values
    for name in ("ID", "VERSION_ID", "NAME"):
        if not values.get(name):
            entry = context.rootfs.trace(path).entry
            finding = Finding(
                f"expected {name} in {path}, it is not set", path, entry.layer if entry else None
            )
            yield remedies.with_cure(context, finding, remedies.by_hand(f"set {name} in {path}"))
    shims = _shims(context)
    if len(shims) != 1:
        yield f"{path} is read; another check looks for a boot loader"
    elif shims[0].path.split("/")[-2] == "BOOT":
        finding = Finding(
            f"expected a directory of the vendor beside BOOT, {shims[0].path} is not in one",
            shims[0].path,
            shims[0].layer,
        )
        cure = remedies.by_hand("install the distribution's shim, which has a directory of its own,")
        yield remedies.with_cure(context, finding, cure)
    else:
        yield f"{path} is read, the vendor's boot loader is {shims[0].path}"


@check(
    id="COS269",
    name="bootc-verity-unsupported",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="The sealed image is installed to a file system without fs-verity.",
    why="""The digest in the unified kernel image's command line is enforced by fs-verity, which xfs does not have: `bootc install` stops at
        `Specified filesystem xfs does not support fs-verity`.""",
    remedy="Choose ext4 or btrfs in /usr/lib/bootc/install, or allow the absence of fs-verity with a `?` before the digest.",
    reads=(*_CONFIG_READS, *UNIFIED_READS),
    applies=subjects.bootc,
    cure=file_remedies.root_filesystem("ext4", "btrfs", name="90-filesystem.toml"),
)
def bootc_verity_unsupported(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the root filesystem of the settings with the requirements of the unified kernel image's command line."""
    entry = _unified(context)
    filesystem = _settings(context).merged.filesystem
    if entry is None or not filesystem:
        raise NotApplicable("the image has no unified kernel image, or no root filesystem set")
    unified = context.facts.unified_at(entry.path).unified
    if unified is None:
        raise NotApplicable(f"{entry.path} is not an EFI program, which another check reports")
    optional = any(word.startswith("composefs=?") for word in unified.command_line.split())
    if filesystem in _VERITY or optional:
        yield f"{filesystem} supports fs-verity, or the image does not require it"
    else:
        yield Finding(
            f"expected {' or '.join(_VERITY)} as root filesystem for {entry.path}, found {filesystem}",
            entry.path,
            entry.layer,
        )
