"""Which generation of the toolkit is in an image, and by which of its files that is reported.

The code that runs decides: the dracut module in the image, else the initrd's copy of it. What else is there (units,
programs, bootargs) decides only where that is gone, so that a mixture is seen as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from attrs import frozen

from cosinspect.facts.elemental3 import find_boot_files
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.oci.documents import ImageConfig
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["BOOTC_LABELS", "Recognised", "recognise"]

BOOTC_LABELS = {"containers.bootc": ("1", "true"), "ostree.bootable": ("1", "true")}
"""Labels of images that bootc or ostree deploys, with the values that say so."""

_MODULES = "/usr/lib/dracut/modules.d"
_COS_MODULE = f"{_MODULES}/30cos-immutable-rootfs"
_UNIT_DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_LUET_TRACES = (
    "/etc/cos/bootargs.cfg",
    "/etc/cos/grub.cfg",
    "/etc/dracut.conf.d/02-cos-immutable-rootfs.conf",
)

_ELEMENTAL3 = "/usr/bin/elemental3ctl"
_SNAPPER = "/usr/lib/snapper/installation-helper"

_IN_INITRD = {
    "G0": ("lib/dracut/hooks/cmdline/30-parse-cos-overlay.sh",),
    "G4": ("sbin/elemental-mount-layout",),
    "G5": ("usr/lib/systemd/system-generators/dracut-elemental-sysroot-generator",),
}

# Gives the text of a file of the image, or None.
Read: TypeAlias = "Callable[[str], str | None]"


@frozen
class Recognised:
    """A generation and what shows it.

    Attributes:
        name: `G0` to `G6`, `kairos`, `kairos-trusted` (the source of a trusted boot image), `uki` (what `auroraboot build-uki`
            makes of one), `bootc`, or "" where none is evident.
        evidence: what was found, one line each.
    """

    name: str
    evidence: tuple[str, ...] = ()


def recognise(
    rootfs: Rootfs, config: ImageConfig, read: Read, initrd: Callable[[], Initrd | None]
) -> Recognised:
    """Tell the generation; the initrd is asked for only where the image alone does not tell."""
    for told in (
        _by_uki(rootfs),
        _by_bootc(rootfs, config),
        _by_kairos(rootfs, read),
        _by_elemental(rootfs),
        _by_elemental3(rootfs),
    ):
        if told is not None:
            return told
    if rootfs.exists(f"{_COS_MODULE}/parse-cos-overlay.sh"):
        return Recognised("G0", (f"{_COS_MODULE}/parse-cos-overlay.sh",))
    if not rootfs.exists(_COS_MODULE) and (told := _by_initrd(rootfs, initrd)) is not None:
        return told
    return _by_luet(rootfs, read, initrd)


def _there(rootfs: Rootfs, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for path in paths if rootfs.exists(path))


def _by_uki(rootfs: Rootfs) -> Recognised | None:
    """Tell an image that holds what is copied to an EFI partition, and no system's root."""
    if rootfs.exists("/etc") or rootfs.exists("/usr"):
        return None
    programs = [entry.path for entry in rootfs.glob("/EFI/*/*") if entry.name.lower().endswith(".efi")]
    if not programs or not rootfs.exists("/loader"):
        return None
    return Recognised("uki", (programs[0], "/loader, and neither /etc nor /usr"))


def _by_bootc(rootfs: Rootfs, config: ImageConfig) -> Recognised | None:
    labels = tuple(
        f"label {name}={config.labels[name]}"
        for name, values in BOOTC_LABELS.items()
        if config.labels.get(name, "").lower() in values
    )
    if labels:
        return Recognised("bootc", labels)
    kernels = rootfs.glob("/usr/lib/modules/*/vmlinuz")
    ostree = rootfs.trace("/ostree", follow=False).entry
    if kernels and ostree is not None and ostree.type == "symlink":
        return Recognised("bootc", (f"/ostree -> {ostree.link}", kernels[0].path))
    return None


def _by_kairos(rootfs: Rootfs, read: Read) -> Recognised | None:
    found = _there(rootfs, ("/etc/kairos-release", f"{_MODULES}/28immucore"))
    released = read("/etc/os-release") or ""
    keys = [line.partition("=")[0] for line in released.splitlines() if line.startswith("KAIROS_")]
    if keys:
        found = (*found, f"{keys[0]} in /etc/os-release")
    if not found:
        return None
    for path in ("/etc/kairos-release", "/etc/os-release"):
        values = read_env_file(read(path) or "").values
        if values.get("KAIROS_TRUSTED_BOOT", "").lower() == "true":
            return Recognised("kairos-trusted", (*found, f"KAIROS_TRUSTED_BOOT=true in {path}"))
    return Recognised("kairos", found)


def _by_elemental(rootfs: Rootfs) -> Recognised | None:
    for name, module in (("G5", "30elemental-rootfs"), ("G4", "30elemental-immutable-rootfs")):
        if rootfs.exists(f"{_MODULES}/{module}"):
            return Recognised(name, (f"{_MODULES}/{module}",))
    # Only the module of another generation speaks against it.
    if rootfs.exists("/etc/elemental/bootargs.cfg") and not rootfs.exists(_COS_MODULE):
        return Recognised("G5", ("/etc/elemental/bootargs.cfg",))
    return None


def _by_elemental3(rootfs: Rootfs) -> Recognised | None:
    """Tell Elemental 3, which shares no file with the toolkit, by its program or by what an image for it holds."""
    if any(rootfs.exists(path) for path in (_COS_MODULE, *_LUET_TRACES)):
        return None
    if rootfs.exists(_ELEMENTAL3):
        return Recognised("G6", (_ELEMENTAL3,))
    boot = find_boot_files(rootfs)
    if rootfs.exists(_SNAPPER) and boot.kernel and all(map(rootfs.exists, (boot.initrd, boot.hmac))):
        return Recognised("G6", (_SNAPPER, boot.hmac))
    return None


def _by_initrd(rootfs: Rootfs, unpack: Callable[[], Initrd | None]) -> Recognised | None:
    """Tell by the initrd's copy of a module that is no longer in the image."""
    initrd = unpack() if rootfs.exists("/boot/initrd") else None
    if initrd is None:
        return None
    for name, paths in _IN_INITRD.items():
        found = next((path for path in paths if initrd.exists(path)), None)
        if found is not None:
            return Recognised(name, (f"/{found} in the initrd",))
    return None


def _by_luet(rootfs: Rootfs, read: Read, unpack: Callable[[], Initrd | None]) -> Recognised:
    """Tell G1, G2 and G3 from each other, "" if it is none of them."""
    exists = rootfs.exists
    units = {
        path: text
        for directory in _UNIT_DIRECTORIES
        if (text := read(path := f"{directory}/cos-setup-boot.service"))
    }
    evident = (*_there(rootfs, (_COS_MODULE,)), *units, *_there(rootfs, _LUET_TRACES))
    in_initrd: tuple[str, ...] = ()
    if not evident:
        initrd = unpack() if exists("/boot/initrd") else None
        marks = ("sbin/cos-mount-layout", "sbin/cos-loop-img")
        if initrd is not None:
            in_initrd = tuple(f"/{path} in the initrd" for path in marks if initrd.exists(path))
        if not in_initrd:
            return Recognised("")
    if exists(f"{_COS_MODULE}/cos-fsck.sh"):
        return Recognised("G3", (f"{_COS_MODULE}/cos-fsck.sh",))
    # It takes long to unpack, so it is asked only where the image does not tell.
    if (
        not exists(f"{_COS_MODULE}/cos-loop-img.sh")
        and (initrd := unpack()) is not None
        and initrd.exists("sbin/cos-fsck")
    ):
        return Recognised("G3", ("/sbin/cos-fsck in the initrd",))
    seen = (evident or in_initrd)[0]
    for path, text in units.items():
        if "elemental" in text:
            return Recognised("G2", (seen, f"{path} runs elemental"))
    # Units tell what runs; that a program is there as well tells only where they are gone.
    for path, text in units.items():
        if "cos-setup " in text:
            return Recognised("G1", (seen, f"{path} runs cos-setup"))
    if exists("/usr/bin/cos-setup") and not exists("/usr/bin/elemental"):
        return Recognised("G1", (seen, "/usr/bin/cos-setup, and no elemental"))
    return Recognised("G2", (seen,))
