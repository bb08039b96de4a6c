"""How derivatives break in what installs, upgrades, resets, and makes ISOs and disks of clouds of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosinspect.testing.bootfiles import executable
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts
from cosinspect.testing.entries import File, RawEntry, Symlink
from cosinspect.testing.tar_writer import pax_header, tar_header

__all__ = ["OPERATION_BREAKAGES", "OPERATION_DEGRADATIONS", "large_file"]

_SELINUX = "etc/selinux/targeted"
_HOLES = 512


def large_file(path: str, size: int) -> Callable[[Parts], None]:
    """Have a last step write a file of `size` bytes, all of them zeros, in GNU tar's sparse format: the layer stays small."""

    def apply(parts: Parts) -> None:
        parts.step = f"RUN truncate -s {size} /{path}"
        records = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": path,
            "GNU.sparse.realsize": str(size),
        }
        body = f"1\n{size}\n0\n".encode().ljust(_HOLES, b"\0")
        member = tar_header(path, size=len(body)) + body
        parts.top[path] = RawEntry(pax_header(records) + member)

    return apply


def _many_files(parts: Parts) -> None:
    """Write 66,000 empty files: a file system of 257 MiB has 65,781 inodes."""
    parts.step = "RUN npm install"
    names = (f"opt/modules/{number:05}" for number in range(66_000))
    directory = tar_header("opt/modules/", typeflag=b"5", mode=0o755)
    parts.top["opt/modules"] = RawEntry(directory + b"".join(map(tar_header, names)))


def _labels(parts: Parts) -> None:
    parts.step = "RUN cp policy /etc/selinux/targeted/policy/policy.33"
    parts.top = {
        f"{_SELINUX}/contexts/files/file_contexts": "/.* system_u:object_r:default_t:s0\n",
        f"{_SELINUX}/policy/policy.33": "not compiled\n",
        "usr/sbin/setfiles": executable("#!/bin/sh\n"),
    }


def _shim_elsewhere(parts: Parts) -> None:
    name = next(path for path in parts.packages if path.endswith("/shim.efi"))
    parts.packages["usr/lib/shim/shim.efi"] = parts.packages.pop(name)


def _menu_of_v2(parts: Parts) -> None:
    """Write the recovery entry as toolkit v2 has it, and a bootargs.cfg that names the kernel among the modules."""
    kernel = f"usr/lib/modules/{KERNEL_VERSION}/vmlinuz"
    parts.kernel[kernel] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.kernel["boot/vmlinuz"] = Symlink(f"../{kernel}")
    menu = toolkit.grub_config("G5")
    recovery = """
menuentry "recovery" --id recovery-system {
    set mode=recovery
    search --no-floppy --set root --label ${recovery_label}
    set img=/boot/recovery.img
    source (${root})/boot/bootargs.cfg
    linux (${root})${kernel} ${kernelcmd}
    initrd (${root})${initramfs}
}
"""
    parts.packages["etc/elemental/grub.cfg"] = menu + recovery
    text = toolkit.bootargs("G5")
    parts.packages["etc/elemental/bootargs.cfg"] = text.replace("boot/vmlinuz", kernel)


def _forces_checks(parts: Parts) -> None:
    path = "etc/elemental/bootargs.cfg"
    text = toolkit.bootargs("G5")
    parts.write(path, text.replace("panic=5", "panic=5 fsck.mode=force fsck.repair=yes"))


def _links_menu(parts: Parts) -> None:
    parts.packages["usr/share/elemental/grub.cfg"] = parts.packages.pop("etc/elemental/grub.cfg")
    parts.packages["etc/elemental/grub.cfg"] = Symlink("/usr/share/elemental/grub.cfg")


def _junk_image(parts: Parts) -> None:
    parts.write(f"boot/Image-{KERNEL_VERSION}.old", "left over\n")


OPERATION_BREAKAGES: Mapping[str, Breakage] = {
    "mount-point-file": Breakage(
        "a step wrote a file where elemental makes a directory",
        "COS212",
        writes("etc/elemental/config.d", "nothing\n"),
        "G4",
    ),
    "attribute-large": Breakage(
        "a file has an attribute that no ext2 takes",
        "COS214",
        writes("opt/labelled", File("x\n", xattrs={"user.note": "n" * 5000})),
    ),
    "files-many": Breakage(
        "more files than the file system of the deployed image has inodes", "COS215", _many_files, "G4"
    ),
    "policy-junk": Breakage(
        "the SELinux policy is not compiled, and setfiles reads it", "COS216", _labels, "G4"
    ),
    "no-blkdeactivate": Breakage(
        "lvm2 is not installed, and installation calls blkdeactivate",
        "COS106",
        removes("usr/sbin/blkdeactivate"),
        "G4",
    ),
    "no-mok-manager": Breakage(
        "a step removed MokManager, which toolkit v2 copies in any case",
        "COS049",
        removes("usr/share/efi/x86_64/MokManager.efi"),
        "G5",
    ),
}

OPERATION_DEGRADATIONS: Mapping[str, Breakage] = {
    "iso-kernel-junk": Breakage(
        "a file that is no kernel comes first among the names that an ISO's builder looks for",
        "COS210",
        _junk_image,
        "G4",
    ),
    "shim-elsewhere": Breakage(
        "shim is where installation finds it, and not where an ISO's builder copies it from",
        "COS211",
        _shim_elsewhere,
        "G4",
    ),
    "hook-without-command": Breakage(
        "a step that runs in the new root calls a command that is not there",
        "COS213",
        writes(
            "system/oem/20_hook.yaml",
            File('stages:\n  after-install-chroot:\n    - commands: ["relabel-fleet --all"]\n', mode=0o600),
        ),
    ),
    "no-mv": Breakage("a step removed mv, which an upgrade calls", "COS217", removes("usr/bin/mv")),
    "no-isofs": Breakage("the initrd lacks isofs.ko", "COS219", initrd_without("isofs.ko")),
    "no-live-config": Breakage("a step removed 07_live.yaml", "COS220", removes("system/oem/07_live.yaml")),
    "no-squashfs": Breakage("the initrd lacks squashfs.ko", "COS221", initrd_without("squashfs.ko"), "G5"),
    "recovery-kernel-elsewhere": Breakage(
        "bootargs.cfg names the kernel among the modules, where the recovery partition has none",
        "COS222",
        _menu_of_v2,
        "G5",
    ),
    "no-ena": Breakage("the initrd lacks ena.ko", "COS224", initrd_without("ena.ko")),
    "no-virtio-net": Breakage("the initrd lacks virtio_net.ko", "COS225", initrd_without("virtio_net.ko")),
    "no-partprobe": Breakage("the initrd lacks parted", "COS226", initrd_without("usr/sbin/parted")),
    "no-plan-script": Breakage("a step removed suc-upgrade", "COS227", removes("usr/sbin/suc-upgrade"), "G4"),
    "fsck-forced": Breakage("bootargs.cfg forces a check of file systems", "COS228", _forces_checks, "G5"),
    "menu-linked": Breakage("grub.cfg is an absolute link", "COS229", _links_menu, "G5"),
}
