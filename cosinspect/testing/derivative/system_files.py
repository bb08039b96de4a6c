"""Stand-ins for what a system of systemd, util-linux, PAM and kmod has at its true paths, in the root and in the initrd.

What depends on them is true: units name each other, the PAM service names its modules, the indexes of kernel modules are those that
kmod reads. The programs are the caller's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from cosinspect.testing.bootfiles import InitrdEntry
from cosinspect.testing.entries import Directory, Entry, File, Symlink

__all__ = ["MODULES", "initrd_base", "module_files", "module_index", "root_files"]

MODULES: Mapping[str, tuple[str, ...]] = {
    "kernel/fs/overlayfs/overlay.ko": (),
    "kernel/fs/ext4/ext4.ko": ("kernel/lib/crc16.ko", "kernel/fs/mbcache.ko", "kernel/fs/jbd2/jbd2.ko"),
    "kernel/lib/crc16.ko": (),
    "kernel/fs/mbcache.ko": (),
    "kernel/fs/jbd2/jbd2.ko": (),
    "kernel/crypto/crc32c_generic.ko": (),
    "kernel/drivers/block/loop.ko": (),
    "kernel/drivers/block/virtio_blk.ko": (),
    "kernel/drivers/ata/ahci.ko": ("kernel/drivers/ata/libahci.ko",),
    "kernel/drivers/ata/libahci.ko": (),
    "kernel/drivers/nvme/host/nvme.ko": ("kernel/drivers/nvme/host/nvme-core.ko",),
    "kernel/drivers/nvme/host/nvme-core.ko": (),
    "kernel/drivers/scsi/sd_mod.ko": (),
    "kernel/drivers/scsi/virtio_scsi.ko": (),
    "kernel/drivers/md/dm-mod.ko": (),
    "kernel/drivers/md/dm-snapshot.ko": ("kernel/drivers/md/dm-mod.ko",),
    "kernel/drivers/net/ethernet/amazon/ena/ena.ko": (),
    "kernel/drivers/net/virtio_net.ko": (),
    "kernel/fs/squashfs/squashfs.ko": (),
    "kernel/fs/isofs/isofs.ko": (),
}
"""The modules of the initrd, by their paths below its directory, each with those that it needs."""

_ALIASES = {
    "virtio:d00000002v*": "virtio_blk",
    "pci:v*d*sv*sd*bc01sc06i01*": "ahci",
    "pci:v*d*sv*sd*bc01sc08i02*": "nvme",
    "scsi:t-0x00*": "sd_mod",
    "fs-ext4": "ext4",
    "crypto-crc32c": "crc32c_generic",
}
_UNITS = "usr/lib/systemd/system"
_RULES = {
    "60-persistent-storage.rules": (
        'SUBSYSTEM!="block", GOTO="end"\nIMPORT{builtin}="blkid"\n'
        'ENV{ID_FS_LABEL_ENC}=="?*", SYMLINK+="disk/by-label/$env{ID_FS_LABEL_ENC}"\nLABEL="end"\n'
    ),
    "80-drivers.rules": 'ACTION!="remove", ENV{MODALIAS}=="?*", RUN{builtin}+="kmod load $env{MODALIAS}"\n',
    "99-systemd.rules": 'SUBSYSTEM=="tty|block", TAG+="systemd"\n',
}
# The stages of dracut, each run by a service of its name.
_STAGES = ("cmdline", "pre-udev", "pre-trigger", "initqueue", "pre-mount", "mount", "pre-pivot")
_GETTY = """\
[Unit]
Description=Login prompt on {where}
After=systemd-user-sessions.service
ConditionPathExists=/dev/{condition}

[Service]
ExecStart=-/sbin/agetty -o '-p -- \\\\u' --keep-baud {where} $TERM
Type=idle
Restart=always

[Install]
WantedBy=getty.target
"""
_PAM = {
    "login": """\
auth       requisite    pam_nologin.so
auth       include      system-auth
account    include      system-auth
session    required     pam_limits.so
session    include      system-auth
-session   optional     pam_systemd.so
""",
    "system-auth": """\
auth       required     pam_env.so
auth       sufficient   pam_unix.so nullok
auth       required     pam_deny.so
account    required     pam_unix.so
session    required     pam_unix.so
""",
    "other": "".join(f"{kind} required pam_deny.so\n" for kind in ("auth", "account", "password", "session")),
}


def _target(description: str, *lines: str) -> str:
    return "\n".join(["[Unit]", f"Description={description}", *lines, ""])


def _service(*commands: str) -> str:
    starts = (f"ExecStart={command}" for command in commands)
    kind = ["Type=oneshot"] if len(commands) > 1 else []
    return "\n".join(["[Unit]", "DefaultDependencies=no", "", "[Service]", *kind, *starts, ""])


def root_files(*, runs: File) -> dict[str, Entry]:
    """Return what is between the kernel's start of systemd and a shell; `runs` is a program."""
    units: dict[str, Entry] = {
        "default.target": Symlink("multi-user.target"),
        "multi-user.target": _target("Multi-User", "Requires=basic.target", "After=basic.target"),
        "basic.target": _target(
            "Basic", "Requires=sysinit.target", "Wants=sockets.target", "After=sysinit.target"
        ),
        "sysinit.target": _target("Initialization", "Wants=local-fs.target", "After=local-fs.target"),
        "local-fs.target": _target(
            "Local File Systems", "OnFailure=emergency.target", "OnFailureJobMode=replace-irreversibly"
        ),
        "getty.target": _target("Login Prompts"),
        "rescue.target": _target("Rescue", "Requires=sysinit.target"),
        "emergency.target": _target("Emergency"),
        "getty@.service": _GETTY.format(where="%I", condition="tty0"),
        "serial-getty@.service": _GETTY.format(where="%I", condition="%I"),
        "autovt@.service": Symlink("getty@.service"),
        "systemd-udevd.service": _service("/usr/lib/systemd/systemd-udevd"),
        "systemd-logind.service": _service("/usr/lib/systemd/systemd-logind"),
        "multi-user.target.wants/getty.target": Symlink("../getty.target"),
        "multi-user.target.wants/systemd-logind.service": Symlink("../systemd-logind.service"),
        "sysinit.target.wants/systemd-udevd.service": Symlink("../systemd-udevd.service"),
    }
    modules = sorted({word for text in _PAM.values() for word in text.split() if word.endswith(".so")})
    return {
        **{f"{_UNITS}/{name}": entry for name, entry in units.items()},
        "etc/systemd/system/getty.target.wants/getty@tty1.service": Symlink(f"/{_UNITS}/getty@.service"),
        "usr/lib/systemd/system-generators/systemd-getty-generator": runs,
        "usr/lib/systemd/systemd-udevd": runs,
        "usr/lib/systemd/systemd-logind": runs,
        **{f"usr/lib/udev/rules.d/{name}": text for name, text in _RULES.items()},
        "usr/bin/dash": runs,
        "usr/bin/sh": Symlink("dash"),
        "usr/sbin/agetty": runs,
        "usr/bin/login": runs,
        "usr/lib/libpam.so.0": File(runs.content),
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "etc/group": "root:x:0:\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\n",
        **{f"etc/pam.d/{name}": text for name, text in _PAM.items()},
        **{f"usr/lib/security/{name}": File(runs.content) for name in modules},
    }


def initrd_base(*, runs: File) -> dict[str, InitrdEntry]:
    """Return what dracut's modules of systemd and udev put into an initrd; `runs` is a program."""
    units: dict[str, InitrdEntry] = {
        "default.target": Symlink("initrd.target"),
        "initrd.target": _target(
            "Initrd",
            "Requires=basic.target",
            "Wants=initrd-root-fs.target initrd-fs.target initrd-parse-etc.service",
        ),
        "basic.target": _target("Basic", "Requires=sysinit.target", "After=sysinit.target"),
        "sysinit.target": _target("Initialization", "Wants=local-fs.target"),
        "local-fs.target": _target("Local File Systems"),
        **{f"initrd-{name}.target": _target(name) for name in ("root-device", "root-fs", "fs", "usr-fs")},
        "initrd-parse-etc.service": _service(
            "/usr/lib/systemd/systemd-sysroot-fstab-check",
            "systemctl --no-block start initrd-cleanup.service",
        ),
        "initrd-cleanup.service": _service("systemctl --no-block isolate initrd-switch-root.target"),
        "initrd-switch-root.target": _target("Switch Root", "Requires=initrd-switch-root.service"),
        "initrd-switch-root.service": _service("systemctl --no-block switch-root /sysroot"),
        "systemd-udevd.service": _service("/usr/lib/systemd/systemd-udevd"),
        "systemd-udev-trigger.service": _service("-udevadm trigger --type=all --action=add"),
        "sysinit.target.wants/systemd-udevd.service": Symlink("../systemd-udevd.service"),
        "sysinit.target.wants/systemd-udev-trigger.service": Symlink("../systemd-udev-trigger.service"),
        **{f"dracut-{stage}.service": _service(f"-/bin/dracut-{stage}") for stage in _STAGES},
        **{
            f"initrd.target.wants/dracut-{stage}.service": Symlink(f"../dracut-{stage}.service")
            for stage in _STAGES
        },
    }
    return {
        **{f"{_UNITS}/{name}": entry for name, entry in units.items()},
        "usr/lib/systemd/systemd-udevd": runs,
        "usr/lib/systemd/systemd-sysroot-fstab-check": runs,
        "usr/bin/dracut-util": runs,
        "usr/bin/dracut-getarg": Symlink("dracut-util"),
        **{f"usr/bin/dracut-{stage}": runs for stage in _STAGES},
        **{f"usr/lib/udev/rules.d/{name}": text for name, text in _RULES.items()},
        "usr/lib/systemd/system-generators/dracut-rootfs-generator": runs,
        "usr/lib/initrd-release": 'NAME="cOS"\nID=cos\n',
        "etc/initrd-release": Symlink("../usr/lib/initrd-release"),
        "usr/bin/dash": runs,
        "usr/bin/sh": Symlink("dash"),
        "usr/bin/kmod": runs,
        "usr/sbin/modprobe": Symlink("../bin/kmod"),
        "sysroot": Directory(),
    }


def module_files(
    modules: Mapping[str, tuple[str, ...]] = MODULES, aliases: Mapping[str, str] = _ALIASES
) -> dict[str, str | bytes]:
    """Return what depmod writes beside modules: each file by its name.

    Args:
        modules: their paths, each with the paths of those that it needs.
        aliases: what devices and file systems ask for, each with the module's name.
    """
    dependencies = {
        path: f"{path}:{''.join(f' {each}' for each in needs)}" for path, needs in modules.items()
    }
    return {
        "modules.dep": "".join(f"{line}\n" for line in dependencies.values()),
        "modules.dep.bin": module_index({_name(path): line for path, line in dependencies.items()}),
        "modules.alias": "".join(f"alias {alias} {name}\n" for alias, name in aliases.items()),
        "modules.alias.bin": module_index(aliases),
        "modules.softdep": "softdep ext4 pre: crypto-crc32c\n",
        "modules.builtin": "kernel/drivers/virtio/virtio.ko\nkernel/drivers/scsi/scsi_mod.ko\n",
    }


def module_index(entries: Mapping[str, str]) -> bytes:
    """Write the binary index that kmod reads (`libkmod/libkmod-index.c`): each key with one value."""
    out = bytearray(12)
    tree: dict[str, Any] = {}
    for key, value in entries.items():
        node = tree
        for letter in key:
            node = node.setdefault(letter, {})
        node[""] = value
    root = _write_node(out, tree)
    struct.pack_into(">III", out, 0, 0xB007F457, 0x00020001, root)
    return bytes(out)


def _write_node(out: bytearray, node: Mapping[str, Any]) -> int:
    """Write a node after its children; return its offset with the flags of what it has."""
    children = {
        letter: _write_node(out, child)
        for letter, child in sorted(node.items())
        if letter and isinstance(child, dict)
    }
    at = len(out)
    flags = 0
    if children:
        flags |= 0x20000000
        first, last = ord(min(children)), ord(max(children))
        out += bytes([first, last])
        for code in range(first, last + 1):
            out += struct.pack(">I", children.get(chr(code), 0))
    if "" in node:
        flags |= 0x40000000
        out += struct.pack(">II", 1, 0) + str(node[""]).encode() + b"\0"
    return at | flags


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".ko").replace("-", "_")
