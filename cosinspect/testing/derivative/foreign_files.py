"""Stand-ins for the files of Kairos and of bootc images, at their true names."""

from __future__ import annotations

from cosinspect.testing.bootfiles import Architecture, InitrdEntry, efi_program, executable
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


_LAYOUT = """\
#cloud-config
stages:
  rootfs:
    - name: "Where things are mounted"
      if: '[ ! -e "/run/cos/recovery_mode" ] && [ ! -e "/run/cos/autoreset_mode" ]'
      environment_file: /run/cos/cos-layout.env
      environment:
        VOLUMES: "LABEL=COS_OEM:/oem LABEL=COS_PERSISTENT:/usr/local"
        OVERLAY: "tmpfs:25%"
"""


def kairos_files(*, efi: str, runs: File) -> dict[str, Entry]:
    """Return what kairos-init writes into an image; `efi` is GRUB's name of the platform's EFI."""
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
        "usr/sbin/blkdeactivate": executable("#!/bin/sh\n"),
        "usr/sbin/suc-upgrade": executable("#!/bin/sh\nkairos-agent upgrade --source dir:/\n"),
        "usr/lib/grub/i386-pc/normal.mod": b"\x7fELF",
        "var/lock": Directory(),
        f"{_UNITS}/getty.target": "[Unit]\nDescription=Login Prompts\n",
        f"{_UNITS}/systemd-udevd.service": "[Service]\nExecStart=/usr/lib/systemd/systemd-udevd\n",
        f"{_UNITS}/systemd-logind.service": "[Service]\nExecStart=/usr/lib/systemd/systemd-logind\n",
        "system/oem/00_rootfs.yaml": _LAYOUT,
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
    """Return what of Kairos dracut puts into an initrd."""
    return {
        "usr/bin/immucore": runs,
        "usr/bin/kairos-agent": runs,
        "usr/lib/systemd/system-generators/immucore-generator": executable(_GENERATOR),
        f"{_UNITS}/immucore.service": _SERVICE,
        f"{_UNITS}/initrd.target.requires/immucore.service": Symlink("../immucore.service"),
        **{f"usr/bin/{name}": runs for name in _INITRD_COMMANDS.split()},
    }


_SHIMS = {"amd64": "shimx64.efi", "arm64": "shimaa64.efi", "riscv64": "shimriscv64.efi"}
_BOOTC_COMMANDS = (
    *(
        "bootc",
        "skopeo",
        "podman",
        "ostree",
        "zstd",
        "setpriv",
        "chcon",
        "sfdisk",
        "wipefs",
        "fstrim",
        "fsfreeze",
    ),
    *("mkfs.fat", "blkid", "cp"),
)
_SYSUSERS = """\
u root 0:0 "Super User" /root /bin/bash
u bin 1:1 "bin" /bin -
u nobody 65534:65534 "Kernel Overflow User" - -
g wheel 10
g tty 5
g disk 6
g shadow -
"""
_TMPFILES = """\
d /var/cache 0755 - - -
d /var/cache/zypp 0755 - - -
L /var/run - - - - ../run
"""


def bootc_files(architecture: Architecture = "amd64", *, runs: File) -> dict[str, Entry]:
    """Return what makes a system's tree one that bootc deploys, with ostree and bootupd."""
    shim = _SHIMS.get(architecture, "shimx64.efi")
    found: dict[str, Entry] = {
        "sysroot": Directory(),
        "ostree": Symlink("sysroot/ostree"),
        "var/run": Symlink("../run"),
        "usr/lib/os-release": 'NAME="cOS"\nID=cos\nVERSION=1\nVERSION_ID=1\nPRETTY_NAME="A small derivative"\n',
        "usr/lib/bootc/kargs.d/10-console.toml": 'kargs = ["console=ttyS0"]\n',
        "usr/lib/bootc/install/00-defaults.toml": '[install.filesystem.root]\ntype = "ext4"\n',
        "usr/lib/ostree/prepare-root.conf": "[composefs]\nenabled = true\n",
        "usr/lib/tmpfiles.d/var.conf": _TMPFILES,
        "usr/lib/sysusers.d/basic.conf": _SYSUSERS,
        "usr/bin/bootupctl": executable(),
        "usr/lib/bootupd/updates/EFI.json": "{}\n",
        f"usr/lib/bootupd/updates/EFI/cos/{shim}": efi_program(architecture),
        f"usr/lib/bootupd/updates/EFI/BOOT/{shim.replace('shim', 'BOOT').upper()}": efi_program(architecture),
        "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
        "etc/selinux/targeted/contexts/files/file_contexts": "/.* system_u:object_r:default_t:s0\n",
        **{f"usr/bin/{name}": runs for name in _BOOTC_COMMANDS},
    }
    if architecture == "amd64":
        found["usr/lib/bootupd/updates/BIOS.json"] = "{}\n"
        found["usr/lib/grub/i386-pc/normal.mod"] = b"\x7fELF"
    return found
