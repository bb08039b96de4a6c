"""Stand-ins for the files of the toolkit that `elemental init` writes (G4) and of its second version (G5).

As with those of the toolkit before it (`cosinspect.testing.derivative.toolkit_files`): true names, the calls that a boot depends on,
and nothing that a machine would run.
"""

from __future__ import annotations

from cosinspect.testing.bootfiles import InitrdEntry, executable
from cosinspect.testing.derivative.toolkit_files import SHARE
from cosinspect.testing.layers import Entry, File, Symlink

__all__ = ["image_files", "initrd_files"]

_UNITS = "usr/lib/systemd/system"
_ENABLED = "etc/systemd/system"
_STAGES = ("rootfs", "initramfs", "fs", "boot", "network", "reconcile")
_MODULES = "usr/lib/dracut/modules.d"

_CMDLINE = """\
#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
image=$(getarg {argument}=)
[ -z "$image" ] && return 0
rootok=1
info "the image file is $image"
wait_for_dev -n "$root"
[ "$(getarg fsck.mode=)" = force ] && /sbin/initqueue --finished --unique /sbin/elemental-fsck
mkdir -p /run/elemental
return 0
"""
_FSCK = """\
#!/bin/bash
disk=$(realpath "/dev/disk/by-label/$1")
echo "checking $(lsblk -no NAME "$disk")"
exec /usr/lib/systemd/systemd-fsck "$disk"
"""
_MOUNT_LAYOUT = """\
#!/bin/bash
root=$(findmnt -rno SOURCE /sysroot)
mounts=$(printf '%s\\n' ${RW_PATHS:-/etc /root /home /opt /srv /usr/local /var} | sort -u)
for path in $mounts; do
    mountpoint -q "/sysroot$path" && continue
    mkdir -p "/sysroot$path" "/run/overlay$path/upper" "/run/overlay$path/work" || continue
    mount -t overlay overlay -o "lowerdir=/sysroot$path,upperdir=/run/overlay$path/upper" "/sysroot$path"
done
part=$(basename "$(realpath "${1:-/dev/null}")")
if [ "$PERSISTENT_STATE_BIND" = true ]; then
    rsync -aqAX /sysroot/home/ /sysroot/usr/local/.state/home.bind/
fi
echo "$root / auto ro 0 0 # $part" > /sysroot/etc/fstab
"""
_GENERATOR = """\
#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
image=$(getarg {argument}=)
[ -z "$image" ] && exit 0
mkdir -p "$2/initrd-root-fs.target.requires"
ln -s "$2/sysroot.mount" "$2/initrd-root-fs.target.requires/sysroot.mount"
"""
_OEM_GENERATOR = """\
#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
label=$(getarg elemental.oemlabel=)
[ -z "$label" ] && exit 0
mkdir -p "$2/initrd-root-device.target.wants"
"""
_SETUP = "#!/bin/bash\ncheck() { return 255; }\ndepends() { echo systemd rootfs-block dm fs-lib; }\n"


def _unit(stage: str) -> str:
    text = f"[Unit]\nDescription=Stage {stage}\nDefaultDependencies=no\n\n[Service]\nType=oneshot\n"
    if stage == "rootfs":
        text += "ExecStartPre=/usr/bin/ln -sf -t / /sysroot/system\n"
    if stage == "initramfs":
        text += "RootDirectory=/sysroot\nBindPaths=/proc /sys /dev /run /tmp\n"
    return text + f"ExecStart=/usr/bin/elemental run-stage {stage}\n"


def _mount_unit(second: bool) -> str:
    command = "/usr/bin/elemental mount --debug" if second else "/sbin/elemental-mount-layout"
    return (
        "[Unit]\nDescription=Immutable root\nDefaultDependencies=no\n\n[Service]\nType=oneshot\n"
        f"EnvironmentFile=-/run/cos/cos-layout.env\nExecStart={command}\n"
    )


def _links(second: bool) -> dict[str, str]:
    """The directory of the link that starts each unit of the initrd."""
    if second:
        return {
            "elemental-setup-pre-rootfs.service": "initrd-root-device.target.wants",
            "elemental-setup-rootfs.service": "initrd-root-fs.target.wants",
            "elemental-setup-initramfs.service": "initrd.target.wants",
            "elemental-rootfs.service": "initrd-fs.target.wants",
        }
    return {
        "elemental-setup-rootfs.service": "initrd-fs.target.requires",
        "elemental-setup-initramfs.service": "initrd.target.requires",
        "elemental-immutable-rootfs.service": "initrd-fs.target.requires",
    }


def _setup_units(second: bool) -> dict[str, str]:
    units = {f"elemental-setup-{stage}.service": _unit(stage) for stage in _STAGES}
    if second:
        units["elemental-setup-pre-rootfs.service"] = _unit("pre-rootfs")
        units["elemental-rootfs.service"] = _mount_unit(second)
    return units


def _module_files(second: bool) -> dict[str, str]:
    """The dracut modules, by path below modules.d."""
    if second:
        return {
            "10elemental-setup/module-setup.sh": _SETUP,
            "10elemental-setup/oem-generator.sh": _OEM_GENERATOR,
            "20elemental-sysroot/module-setup.sh": _SETUP,
            "20elemental-sysroot/elemental-cmdline.sh": _CMDLINE.format(argument="elemental.image"),
            "20elemental-sysroot/elemental-fsck.sh": _FSCK,
            "20elemental-sysroot/sysroot-generator.sh": _GENERATOR.format(argument="elemental.image"),
            "30elemental-rootfs/module-setup.sh": _SETUP,
        }
    module = "30elemental-immutable-rootfs"
    return {
        f"{module}/module-setup.sh": _SETUP,
        f"{module}/elemental-generator.sh": _GENERATOR.format(argument="cos-img/filename"),
        f"{module}/elemental-immutable-rootfs.service": _mount_unit(second),
        f"{module}/elemental-mount-layout.sh": _MOUNT_LAYOUT,
        f"{module}/parse-elemental-cmdline.sh": _CMDLINE.format(argument="cos-img/filename"),
        f"{module}/elemental-fsck.sh": _FSCK,
    }


_CONFIGS = {
    False: {
        "02-elemental-immutable-rootfs.conf": 'add_dracutmodules+=" elemental-immutable-rootfs "\n',
        "02-elemental-setup-initramfs.conf": 'install_items+=" /etc/hosts "\nadd_dracutmodules+=" network "\n',
    },
    True: {
        "02-elemental-setup.conf": 'install_items+=" /etc/hosts "\nadd_dracutmodules+=" network elemental-setup "\n',
        "03-elemental-sysroot.conf": 'add_dracutmodules+=" elemental-sysroot "\n',
        "02-elemental-rootfs.conf": 'add_dracutmodules+=" elemental-rootfs "\n',
    },
}

_LAYOUT = """\
name: "Layout"
stages:
  rootfs:
    - name: "What is kept in recovery"
      if: '[ -f "/run/elemental/recovery_mode" ]'
      files:
        - path: /run/elemental/config.d/layout.yaml
          content: |
            mount:
              ephemeral:
                type: tmpfs
                size: 25%
                paths: ['/etc', '/var']
"""


_PLAN_SCRIPT = """\
#!/bin/bash
# Upgrade the host at /host to the image that this container was started from.
set -e
diff -q /etc/os-release /host/etc/os-release && exit 0
mount --rbind /host/dev /dev
elemental upgrade --system dir:/
nsenter -t 1 -m -- reboot
"""


def image_files(*, second: bool, efi: str, runs: File) -> dict[str, Entry]:
    """Return what `elemental init` writes into an image.

    Args:
        second: whether it is the toolkit's second version.
        efi: GRUB's name of the platform's EFI, such as `x86_64-efi`.
        runs: a program.
    """
    found: dict[str, Entry] = {
        **{f"{_MODULES}/{path}": executable(text) for path, text in _module_files(second).items()},
        **{f"etc/dracut.conf.d/{name}": text for name, text in _CONFIGS[second].items()},
        "etc/dracut.conf.d/50-elemental-initrd.conf": (
            'hostonly="no"\nhostonly_cmdline="no"\ncompress="xz"\nadd_dracutmodules+=" livenet dmsquash-live "\n'
        ),
        **{f"{_UNITS}/{name}": text for name, text in _setup_units(second).items()},
        f"{_UNITS}/elemental-setup-reconcile.timer": "[Timer]\nOnBootSec=5min\n",
        **{
            f"{_ENABLED}/{link}/{unit}": Symlink(f"/{_UNITS}/{unit}")
            for unit, link in {
                **_links(second),
                "elemental-setup-fs.service": "sysinit.target.wants",
                "elemental-setup-boot.service": "multi-user.target.wants",
                "elemental-setup-network.service": "multi-user.target.wants",
            }.items()
            if unit != "elemental-immutable-rootfs.service"
        },
        **{f"usr/share/grub2/{efi}/{name}.mod": b"\x7fELF" for name in ("loopback", "squash4", "xzio")},
        f"usr/share/grub2/{efi}/grub.efi": b"MZ grub",
        f"usr/share/efi/{SHARE.get(efi, efi)}/shim.efi": b"MZ shim",
        f"usr/share/efi/{SHARE.get(efi, efi)}/MokManager.efi": b"MZ mok",
        "usr/bin/elemental": runs,
        "usr/sbin/suc-upgrade": executable(_PLAN_SCRIPT),
    }
    if second:
        found["system/oem/00_layout.yaml"] = File(_LAYOUT, mode=0o600)
        found["etc/elemental/config.yaml"] = "reboot: false\n"
    return found


def initrd_files(*, second: bool, runs: File) -> dict[str, InitrdEntry]:
    """Return what of the toolkit dracut puts into an initrd."""
    hooks = "usr/lib/dracut/hooks/cmdline"
    generators = "usr/lib/systemd/system-generators"
    found: dict[str, InitrdEntry] = {
        "usr/bin/elemental": runs,
        "usr/sbin/elemental-fsck": executable(_FSCK),
        f"{_UNITS}/elemental-setup-rootfs.service": _unit("rootfs"),
        f"{_UNITS}/elemental-setup-initramfs.service": _unit("initramfs"),
        **{
            f"{_ENABLED}/{link}/{unit}": Symlink(f"/{_UNITS}/{unit}") for unit, link in _links(second).items()
        },
    }
    if second:
        found |= {
            f"{hooks}/30-elemental-cmdline.sh": executable(_CMDLINE.format(argument="elemental.image")),
            f"{generators}/dracut-elemental-sysroot-generator": executable(
                _GENERATOR.format(argument="elemental.image")
            ),
            f"{generators}/dracut-elemental-oem-generator": executable(_OEM_GENERATOR),
            f"{_UNITS}/elemental-setup-pre-rootfs.service": _unit("pre-rootfs"),
            f"{_UNITS}/elemental-rootfs.service": _mount_unit(second),
            "etc/elemental/config.yaml": "reboot: false\n",
        }
    else:
        found |= {
            f"{hooks}/30-parse-elemental-cmdline.sh": executable(
                _CMDLINE.format(argument="cos-img/filename")
            ),
            f"{generators}/dracut-elemental-generator": executable(
                _GENERATOR.format(argument="cos-img/filename")
            ),
            "usr/sbin/elemental-mount-layout": executable(_MOUNT_LAYOUT),
            f"{_UNITS}/elemental-immutable-rootfs.service": _mount_unit(second),
        }
    return found
