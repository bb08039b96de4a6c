"""Stand-ins for the files of Kairos and of bootc images, at their true names."""

from __future__ import annotations

from cosinspect.testing.bootfiles import InitrdEntry, executable
from cosinspect.testing.layers import Directory, Entry, File, Symlink

__all__ = ["bootc_files", "kairos_files", "kairos_initrd_files"]

_UNITS = "usr/lib/systemd/system"
_RELEASE_KEYS = (
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
    *("BUG_REPORT_URL", "HOME_URL", "RELEASE"),
)
_GENERATOR = """\
#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
[ -z "$2" ] && exit 1
mkdir -p "$2/initrd-root-fs.target.requires"
ln -s "$2/sysroot.mount" "$2/initrd-root-fs.target.requires/sysroot.mount"
"""
_SERVICE = "[Unit]\nDescription=immucore\nDefaultDependencies=no\n\n[Service]\nType=oneshot\nExecStart=/usr/bin/immucore\n"
_INITRD_COMMANDS = "sync blkid lsblk e2fsck cryptsetup awk mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.vfat"


def kairos_files(*, efi: str, runs: File) -> dict[str, Entry]:
    """Give what kairos-init writes into an image; `efi` is GRUB's name of the platform's EFI."""
    module = "usr/lib/dracut/modules.d/28immucore"
    found: dict[str, Entry] = {
        "etc/kairos-release": "".join(f'KAIROS_{key}="value"\n' for key in _RELEASE_KEYS)
        + 'KAIROS_VARIANT="core"\n',
        f"{module}/module-setup.sh": executable("#!/bin/bash\ncheck() { return 255; }\n"),
        f"{module}/generator.sh": executable(_GENERATOR),
        f"{module}/immucore.service": _SERVICE,
        "etc/dracut.conf.d/99-immucore.conf": (
            'hostonly="no"\ncompress="xz"\nadd_dracutmodules+=" livenet dmsquash-live immucore network "\n'
        ),
        **{
            f"usr/bin/{name}": runs
            for name in ("immucore", "kairos-agent", "sudo", "less", "kcrypt-discovery-challenger")
        },
        "usr/sbin/mount.nfs": runs,
        "var/lock": Directory(),
        f"{_UNITS}/getty.target": "[Unit]\nDescription=Login Prompts\n",
        f"{_UNITS}/systemd-udevd.service": "[Service]\nExecStart=/usr/lib/systemd/systemd-udevd\n",
        f"{_UNITS}/systemd-logind.service": "[Service]\nExecStart=/usr/lib/systemd/systemd-logind\n",
        "system/oem/00_rootfs.yaml": 'stages:\n  rootfs:\n    - commands: ["true"]\n',
        "system/oem/10_accounting.yaml": "stages:\n  initramfs:\n    - users:\n        kairos:\n          passwd: kairos\n",
        **{
            f"usr/share/grub2/{efi}/{name}.mod": b"\x7fELF"
            for name in ("loopback", "squash4", "xzio", "gzio", "regexp")
        },
        f"usr/share/efi/{efi.removesuffix('-efi')}/shim.efi": b"MZ shim",
        f"usr/share/efi/{efi.removesuffix('-efi')}/grub.efi": b"MZ grub",
    }
    return found


def kairos_initrd_files(*, runs: File) -> dict[str, InitrdEntry]:
    """Give what of Kairos dracut puts into an initrd."""
    return {
        "usr/bin/immucore": runs,
        "usr/bin/kairos-agent": runs,
        "usr/lib/systemd/system-generators/immucore-generator": executable(_GENERATOR),
        f"{_UNITS}/immucore.service": _SERVICE,
        f"{_UNITS}/initrd.target.requires/immucore.service": Symlink("../immucore.service"),
        **{f"usr/bin/{name}": runs for name in _INITRD_COMMANDS.split()},
    }


def bootc_files() -> dict[str, Entry]:
    """Give what makes a system's tree one that bootc deploys."""
    return {
        "sysroot": Directory(),
        "ostree": Symlink("sysroot/ostree"),
        "var/run": Symlink("../run"),
        "usr/lib/bootc/kargs.d/10-console.toml": 'kargs = ["console=ttyS0"]\n',
        "usr/lib/ostree/prepare-root.conf": "[composefs]\nenabled = true\n",
        "usr/bin/bootupctl": executable(),
        "usr/lib/bootupd/updates/EFI.json": "{}\n",
    }
