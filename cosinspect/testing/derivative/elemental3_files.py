"""Stand-ins for the files of an Elemental 3 image, at their true names."""

from __future__ import annotations

from cosinspect.testing.bootfiles import Architecture, InitrdEntry, executable
from cosinspect.testing.layers import Directory, Entry, File

__all__ = ["image_files", "initrd_files"]

_COMMANDS = {
    "usr/bin": "elemental3ctl snapper chattr findmnt grub2-editenv agetty grep upgrader sh",
    "usr/sbin": "btrfs systemd-repart mkfs.btrfs efibootmgr setfiles",
}
_EFI = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64", "386": "i386"}


def image_files(architecture: Architecture, *, runs: File) -> dict[str, Entry]:
    """Return what the base image of Elemental 3 holds beside kernel and initrd."""
    efi = f"usr/share/efi/{_EFI[architecture]}"
    return {
        **{f"{top}/{name}": runs for top, names in _COMMANDS.items() for name in names.split()},
        "usr/lib/snapper/installation-helper": executable(),
        "usr/share/snapper/config-templates/default": 'SUBVOLUME="/"\nFSTYPE="btrfs"\n',
        "etc/snapper/configs": Directory(),
        "etc/sysconfig/snapper": 'SNAPPER_CONFIGS=""\n',
        **{f"{efi}/{name}": b"MZ" for name in ("shim.efi", "MokManager.efi", "grub.efi")},
        "etc/selinux/targeted/contexts/files/file_contexts": "/.* system_u:object_r:root_t:s0\n",
        "usr/share/grub2/unicode.pf2": b"FILE",
        "usr/lib/elemental/bootloader/grub.cfg": "configfile ${prefix}/menu.cfg\n",
    }


def initrd_files(version: str, *, runs: File) -> dict[str, InitrdEntry]:
    """Return what an initrd of Elemental 3 holds beside what every one of dracut does."""
    modules = f"usr/lib/modules/{version}/kernel/fs"
    return {
        "usr/lib/systemd/system-generators/systemd-fstab-generator": runs,
        "usr/sbin/btrfs": runs,
        "usr/bin/ignition": runs,
        **{f"{modules}/{path}.ko": b"\x7fELF" for path in ("btrfs/btrfs", "squashfs/squashfs")},
    }
