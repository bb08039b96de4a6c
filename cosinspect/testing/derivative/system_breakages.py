"""How derivatives break or get worse in what surrounds the boot: units, settings, what installs them, packages, clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosinspect.testing.bootfiles import executable, linux_kernel
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.breakage import Breakage, removes, writes
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts, luet_database
from cosinspect.testing.entries import File, Symlink

__all__ = ["SYSTEM_BREAKAGES", "SYSTEM_DEGRADATIONS"]


def _enables_nothing(parts: Parts) -> None:
    parts.step = "RUN zypper in -y agent && rm /usr/sbin/agent"
    unit = "usr/lib/systemd/system/agent.service"
    parts.top = {
        unit: "[Service]\nExecStart=/usr/sbin/agent --foreground\n",
        "etc/systemd/system/multi-user.target.wants/agent.service": Symlink(f"/{unit}"),
    }


def _grows(parts: Parts) -> None:
    parts.step = "RUN fallocate -l 2M /opt/data && echo DEFAULT_IMAGE_SIZE=1 >> /etc/cos/config"
    parts.top = {"opt/data": bytes(2 << 20), "etc/cos/config": "DEFAULT_IMAGE_SIZE=1\n"}


def _boot_files(parts: Parts, ending: str) -> list[str]:
    return [path for path in parts.packages if path.startswith("usr/share/grub2/") and path.endswith(ending)]


def _without_grub_modules(parts: Parts) -> None:
    parts.remove(*_boot_files(parts, ".mod"))


def _without_efi_grub(parts: Parts) -> None:
    parts.remove(*_boot_files(parts, ".efi"))


def _enforces(parts: Parts) -> None:
    parts.step = "RUN zypper in -y selinux-policy-targeted"
    parts.top = {
        "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
        "etc/selinux/targeted/contexts/files/file_contexts": "/.* system_u:object_r:default_t:s0\n",
    }


def _kernel_elsewhere(parts: Parts) -> None:
    """Keep the kernel where only bootargs.cfg tells it is."""
    del parts.kernel["boot/vmlinuz"]
    parts.kernel["os/kernel"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    path = f"{toolkit.config_directory(parts.generation)}/bootargs.cfg"
    parts.packages[path] = toolkit.bootargs(parts.generation).replace("boot/vmlinuz", "os/kernel")


def _unversioned_kernel(parts: Parts) -> None:
    parts.kernel["boot/vmlinuz"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")


def _second_kernel(parts: Parts) -> None:
    parts.write(f"boot/Image-{KERNEL_VERSION}", linux_kernel(KERNEL_VERSION, parts.architecture))


def _asks_only(provider: str) -> Callable[[Parts], None]:
    text = f"stages:\n  network:\n    - datasource:\n        providers: [{provider}]\n"
    return writes("system/oem/05_network.yaml", File(text, mode=0o600))


def _without_requirement(parts: Parts) -> None:
    """Return one package another name; the records of bolt have no checksum."""
    data = luet_database("luet-0.20.6-minimal.db.xz")
    renamed = data.replace(
        b'"name":"cos-config","version":"0.1.0-1"', b'"name":"cos-confix","version":"0.1.0-1"'
    )
    parts.write("var/cache/luet/luet.db", File(renamed, mode=0o600))


def _adds_iscsi(parts: Parts) -> None:
    parts.step = "RUN zypper in -y open-iscsi"
    parts.top = {
        "etc/dracut.conf.d/80-iscsi.conf": 'add_dracutmodules+=" iscsi "\n',
        "usr/lib/dracut/modules.d/95iscsi/module-setup.sh": executable("#!/bin/bash\n"),
    }


def _serves_from(program: str) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        parts.write(program.strip("/"), executable("#!/bin/sh\nexec true\n"))
        unit = f"[Service]\nExecStart={program}\n[Install]\nWantedBy=multi-user.target\n"
        parts.write("etc/systemd/system/agent.service", unit)
        parts.write("etc/systemd/system/multi-user.target.wants/agent.service", Symlink("../agent.service"))

    return apply


def _moves_firmware(parts: Parts) -> None:
    parts.write("usr/local/lib/firmware/nic.bin", "firmware")
    parts.write("usr/lib/firmware", Symlink("/usr/local/lib/firmware"))


SYSTEM_BREAKAGES: Mapping[str, Breakage] = {
    "settings-malformed": Breakage(
        "a step wrote a line into /etc/cos/config that is no assignment",
        "COS102",
        writes("etc/cos/config", "UPGRADE_IMAGE quay.io/org/os:latest\n"),
    ),
    "no-install-tools": Breakage(
        "a step removed what partitions and formats disks",
        "COS106",
        removes(*(f"usr/sbin/{name}" for name in ("parted", "mkfs.ext2", "mkfs.ext4", "mkfs.vfat"))),
    ),
    "no-grub-modules": Breakage("a step removed GRUB's modules", "COS048", _without_grub_modules),
    "no-efi-grub": Breakage("a step removed the GRUB that EFI starts", "COS049", _without_efi_grub, "G4"),
    "kernel-unversioned": Breakage(
        "the kernel is called vmlinuz, without its version", "COS109", _unversioned_kernel, "G5"
    ),
    "no-installer": Breakage(
        "a step removed cos-installer", "COS107", removes("usr/sbin/cos-installer"), "G1"
    ),
}

SYSTEM_DEGRADATIONS: Mapping[str, Breakage] = {
    "no-upgrade-hook": Breakage(
        "a step removed what tells older menus the labels",
        "COS076",
        removes("system/oem/01_upgrade_grub_hook.yaml"),
        "G3",
    ),
    "dracut-module-late": Breakage(
        "a drop-in names a module, and the initrd was built before it", "COS055", _adds_iscsi
    ),
    "kernel-elsewhere": Breakage(
        "the kernel is where bootargs.cfg says, and not in /boot", "COS018", _kernel_elsewhere
    ),
    "kernel-second": Breakage(
        "a second kernel in /boot sorts before the one that boots",
        "COS019",
        _second_kernel,
    ),
    "no-datasource": Breakage("the cloud-configs ask GCP, and not AWS", "COS074", _asks_only("gcp")),
    "no-gcp-datasource": Breakage("the cloud-configs ask AWS, and not GCP", "COS075", _asks_only("aws")),
    "cloud-config-unknown-key": Breakage(
        "a cloud-config has a key that no version of yip reads",
        "COS078",
        writes("system/oem/90_custom.yaml", "stages:\n  boot:\n  - command: [echo hello]\n"),
    ),
    "cloud-config-covered": Breakage(
        "a step wrote a cloud-config to /oem",
        "COS079",
        writes("oem/90_custom.yaml", "stages:\n  boot:\n  - commands: [echo hello]\n"),
    ),
    "covered-files": Breakage(
        "a step left files in /usr/local", "COS120", writes("usr/local/share/notes", "ours\n")
    ),
    "covered-program": Breakage(
        "a step installed a service below /usr/local",
        "COS121",
        _serves_from("/usr/local/bin/agent"),
        besides=("COS120",),
    ),
    "kept-files": Breakage(
        "a step left files in /usr/local, which the machine keeps",
        "COS122",
        writes("usr/local/share/notes", "ours\n"),
        "G5",
    ),
    "covered-link": Breakage(
        "a step moved the firmware below /usr/local, and left a link",
        "COS123",
        _moves_firmware,
        besides=("COS120",),
    ),
    "no-firstboot": Breakage(
        "a step removed what boots recovery first", "COS110", removes("etc/cos/grubenv_firstboot")
    ),
    "package-requirement-missing": Breakage(
        "what a package requires is not in the luet database", "COS084", _without_requirement
    ),
    "package-script-replaced": Breakage(
        "a step replaced a script of the dracut module",
        "COS085",
        writes(
            "usr/lib/dracut/modules.d/30cos-immutable-rootfs/cos-generator.sh",
            executable(toolkit.generator() + "# ours\n"),
        ),
    ),
    "unit-disabled": Breakage(
        "a step took the link of a unit away",
        "COS068",
        removes(
            *(
                f"etc/systemd/system/multi-user.target.wants/{prefix}-setup-boot.service"
                for prefix in ("cos", "elemental")
            )
        ),
    ),
    "unit-masked": Breakage(
        "the base image masks udev",
        "COS069",
        writes("etc/systemd/system/systemd-udevd.service", Symlink("/dev/null")),
    ),
    "host-keys": Breakage(
        "the image carries a host key", "COS136", writes("etc/ssh/ssh_host_ed25519_key", "PRIVATE\n")
    ),
    "unit-without-program": Breakage(
        "a unit of another package is enabled, and its program was removed",
        "COS100",
        _enables_nothing,
    ),
    "fstab": Breakage(
        "the image lists a file system of its own in /etc/fstab",
        "COS101",
        writes("etc/fstab", "# data\nLABEL=DATA /data ext4 defaults 0 2\n"),
    ),
    "too-large": Breakage(
        "a file takes more than the size that /etc/cos/config names", "COS103", _grows, "G1"
    ),
    "selinux-unlabelled": Breakage(
        "a policy is to be enforced, and setfiles is not there", "COS104", _enforces
    ),
    "no-sgdisk": Breakage(
        "a step removed sgdisk, which grows partitions", "COS105", removes("usr/sbin/sgdisk")
    ),
    "no-upgrader": Breakage("a step removed cos-upgrade", "COS108", removes("usr/sbin/cos-upgrade"), "G1"),
    "no-efi": Breakage(
        "a step removed shim, which later releases of elemental copy",
        "COS056",
        removes("usr/share/efi"),
    ),
}
