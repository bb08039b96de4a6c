"""How a derivative breaks in what every system has: systemd in the initrd and in the root, the way to a login, drivers, kernel arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosinspect.testing.bootfiles import executable
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts
from cosinspect.testing.derivative.system_files import MODULES, module_files
from cosinspect.testing.entries import Symlink

__all__ = ["BASE_BREAKAGES", "BASE_DEGRADATIONS", "argument"]

_UNITS = "usr/lib/systemd/system"
_MODULES = f"usr/lib/modules/{KERNEL_VERSION}"


def argument(word: str) -> Callable[[Parts], None]:
    """Have the kernel command line end with a word."""

    def apply(parts: Parts) -> None:
        text = toolkit.bootargs(parts.generation)
        changed = "".join(
            f'{line[:-2]} {word}"\n' if "set kernelcmd=" in line and line.endswith('"\n') else line
            for line in text.splitlines(keepends=True)
        )
        parts.write(f"{toolkit.config_directory(parts.generation)}/bootargs.cfg", changed)

    return apply


def _mounts_data(parts: Parts) -> None:
    parts.step = "COPY units /etc/systemd/system"
    unit = "etc/systemd/system/data.mount"
    parts.top = {
        unit: "[Mount]\nWhat=LABEL=DATA\nWhere=/data\nType=ext4\n",
        "etc/systemd/system/local-fs.target.requires/data.mount": Symlink("../data.mount"),
    }


def _without_modules(*names: str) -> Callable[[Parts], None]:
    """Build the initrd without modules, as dracut does: the index has no entry for them either."""

    def apply(parts: Parts) -> None:
        gone = {path for path in MODULES if path.rpartition("/")[2].removesuffix(".ko") in names}
        for path in gone:
            del parts.initrd[f"{_MODULES}/{path}"]
        left = {
            path: tuple(each for each in needs if each not in gone)
            for path, needs in MODULES.items()
            if path not in gone
        }
        parts.initrd.update({f"{_MODULES}/{name}": body for name, body in module_files(left).items()})

    return apply


def _of_another_kernel(parts: Parts) -> None:
    """Keep the initramfs of the kernel that was there before."""
    for path in [path for path in parts.initrd if path.startswith(f"{_MODULES}/")]:
        parts.initrd[path.replace(KERNEL_VERSION, "6.1.0-49-amd64")] = parts.initrd.pop(path)


def _volume_unknown(parts: Parts) -> None:
    text = toolkit.CLOUD_CONFIGS["00_rootfs.yaml"].replace(
        "LABEL=COS_PERSISTENT:/usr/local", "LABEL=DATA:/usr/local"
    )
    parts.write("system/oem/00_rootfs.yaml", text)


BASE_BREAKAGES: Mapping[str, Breakage] = {
    "volume-unknown": Breakage("the layout mounts a label that no disk has", "COS190", _volume_unknown),
    "fstab-of-a-machine": Breakage(
        "the root of a virtual machine was imported with its fstab",
        "COS191",
        writes(
            "etc/fstab",
            "UUID=6264d520-3fb9-423f-8ab8-7a0a8e3d3562 / xfs defaults 0 0\nUUID=0c1d-2e3f\t/data\text4\tdefaults 0 2\n",
        ),
        "bootc",
    ),
    "sys-a-file": Breakage(
        "a step wrote a file in place of /sys", "COS192", writes("sys", "x"), "kairos", ("COS066",)
    ),
    "initrd-without-storage-rules": Breakage(
        "the initrd lacks the rules by which disks get their labels",
        "COS180",
        initrd_without("60-persistent-storage.rules"),
    ),
    "initrd-without-systemd-rules": Breakage(
        "the initrd lacks the rules by which systemd learns of devices",
        "COS180",
        initrd_without("99-systemd.rules"),
    ),
    "initrd-without-dracut-cmdline": Breakage(
        "the initrd lacks the program that runs the toolkit's hook",
        "COS180",
        initrd_without("usr/bin/dracut-cmdline"),
    ),
    "initrd-without-cmdline-service": Breakage(
        "nothing in the initrd starts the service that runs the toolkit's hook",
        "COS180",
        initrd_without("usr/lib/systemd/system/initrd.target.wants/dracut-cmdline.service"),
        "G5",
    ),
    "initrd-without-kmod": Breakage(
        "the initrd lacks kmod, with which the kernel loads the loop device",
        "COS187",
        initrd_without("usr/bin/kmod"),
    ),
    "initrd-without-fstab-generator": Breakage(
        "the initrd lacks a program that initrd-parse-etc.service runs",
        "COS180",
        initrd_without("systemd-sysroot-fstab-check"),
    ),
    "initrd-without-dracut-util": Breakage(
        "the initrd lacks the program with which dracut's library reads the command line",
        "COS180",
        initrd_without("dracut-util"),
    ),
    "initrd-without-root-generator": Breakage(
        "the initrd lacks dracut's generator that waits for the root device",
        "COS180",
        initrd_without("dracut-rootfs-generator"),
    ),
    "initrd-without-driver-rules": Breakage(
        "the initrd lacks the rules by which udev loads drivers",
        "COS186",
        initrd_without("80-drivers.rules"),
        besides=("COS188",),
    ),
    "initrd-without-root-target": Breakage(
        "the initrd lacks the target that starts the stage rootfs",
        "COS025",
        initrd_without("initrd-root-fs.target"),
        "G5",
    ),
    "initrd-without-release": Breakage(
        "the initrd lacks /etc/initrd-release",
        "COS180",
        initrd_without("etc/initrd-release", "usr/lib/initrd-release"),
    ),
    "no-multi-user": Breakage(
        "a step removed multi-user.target", "COS181", removes(f"{_UNITS}/multi-user.target")
    ),
    "default-target-dangling": Breakage(
        "the default target leads to a unit that is not there",
        "COS181",
        writes("etc/systemd/system/default.target", Symlink("/usr/lib/systemd/system/graphical.target")),
    ),
    "mount-unknown": Breakage("a mount is required whose label no disk has", "COS182", _mounts_data),
    "no-passwd": Breakage("a step removed /etc/passwd", "COS183", removes("etc/passwd")),
    "no-pam-unix": Breakage(
        "a step removed the module of PAM that knows passwords",
        "COS183",
        removes("usr/lib/security/pam_unix.so"),
    ),
    "init-unknown": Breakage(
        "bootargs.cfg names an init that is not there", "COS184", argument("init=/bin/nosuch")
    ),
    "initrd-modules-unindexed": Breakage(
        "the initrd has modules without an index",
        "COS186",
        initrd_without("modules.dep", "modules.dep.bin"),
    ),
    "initrd-ext4-missing": Breakage("the initrd was built without ext4", "COS187", _without_modules("ext4")),
    "initrd-jbd2-missing": Breakage(
        "the initrd has ext4 and not what it needs", "COS187", initrd_without("jbd2.ko")
    ),
    "bootc-initramfs-plain": Breakage(
        "the initramfs was built without the module ostree",
        "COS189",
        initrd_without("ostree-prepare-root"),
        "bootc",
    ),
    "bootc-initramfs-older": Breakage(
        "the kernel was replaced, and the initramfs is that of the older one",
        "COS189",
        _of_another_kernel,
        "bootc",
    ),
}
"""What stops a machine, or keeps everybody from logging in."""

BASE_DEGRADATIONS: Mapping[str, Breakage] = {
    "kernel-argument-break": Breakage("bootargs.cfg has rd.break", "COS185", argument("rd.break")),
    "script-without-command": Breakage(
        "a script of the toolkit calls a command that no package brought",
        "COS193",
        writes("usr/sbin/cos-installer", executable("#!/bin/bash\nset -e\nwhiptail --yesno Install? 8 40\n")),
    ),
    "initrd-without-sata": Breakage(
        "the initrd was built without the driver of SATA disks", "COS188", _without_modules("ahci")
    ),
}
"""What stops some machines, or until somebody goes on."""
