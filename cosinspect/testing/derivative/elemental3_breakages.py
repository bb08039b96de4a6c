"""The ways in which images of Elemental 3 break or get worse; each names the check that must find it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from cosinspect.testing.bootfiles import Architecture, linux_kernel
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts
from cosinspect.testing.entries import Symlink

__all__ = ["ELEMENTAL3_BREAKAGES", "ELEMENTAL3_DEGRADATIONS"]

_MODULES = f"usr/lib/modules/{KERNEL_VERSION}"


def _of(summary: str, check: str, apply: Callable[[Parts], None]) -> Breakage:
    return Breakage(summary, check, apply, "G6")


def _older_kernel_sorts_later(parts: Parts) -> None:
    # By the order of strings 6.9 comes after 6.12, and 6.1.0 before both.
    older = "usr/lib/modules/6.9.1-default"
    parts.step = "RUN zypper install -y kernel-default-6.9.1"
    parts.top[f"{older}/vmlinuz"] = linux_kernel("6.9.1-default", parts.architecture)
    parts.top[f"{older}/.vmlinuz.hmac"] = "0" * 128
    parts.top[f"{older}/modules.dep"] = ""


def _foreign_kernel(parts: Parts) -> None:
    other: Architecture = "arm64" if parts.architecture == "amd64" else "amd64"
    parts.kernel[f"{_MODULES}/vmlinuz"] = linux_kernel(KERNEL_VERSION, other)


def _large_kernel(parts: Parts) -> None:
    # Zeros alone would compress better than any honest layer does, and the layer would be refused.
    noise = random.Random(0).randbytes(256 * 1024)  # noqa: S311 - the same bytes in every run
    kernel = linux_kernel(KERNEL_VERSION, parts.architecture, size=130 * 1024 * 1024)
    parts.kernel[f"{_MODULES}/vmlinuz"] = kernel[: -len(noise)] + noise


def _dangling_kernel(parts: Parts) -> None:
    parts.write(f"{_MODULES}/vmlinuz-old", Symlink("vmlinuz-5.14"))


def _junk(parts: Parts) -> None:
    parts.cut = lambda _: b"junk" * 1000


def _replaced(path: str, old: str, new: str) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        parts.write(path, str(parts.base[path]).replace(old, new))

    return apply


def _without_ignition(parts: Parts) -> None:
    listing = "usr/lib/dracut/modules.txt"
    parts.initrd[listing] = str(parts.initrd[listing]).replace("ignition\n", "")


ELEMENTAL3_BREAKAGES: Mapping[str, Breakage] = {
    "elemental3-no-kernel": _of("a step removed the kernel", "COS230", removes(f"{_MODULES}/vmlinuz")),
    "elemental3-kernel-link-dangling": _of(
        "a link beside the kernel leads nowhere", "COS230", _dangling_kernel
    ),
    "elemental3-no-hmac": _of(
        "the kernel's checksum file is gone", "COS231", removes(f"{_MODULES}/.vmlinuz.hmac")
    ),
    "elemental3-no-initrd": _of("a step removed the initrd", "COS232", removes(f"{_MODULES}/initrd")),
    "elemental3-older-kernel": _of(
        "a further kernel whose name sorts behind has no initrd", "COS232", _older_kernel_sorts_later
    ),
    "elemental3-kernel-foreign": _of("the kernel is for another architecture", "COS233", _foreign_kernel),
    "elemental3-initrd-junk": _of("the initrd is not an archive", "COS234", _junk),
    "elemental3-initrd-without-btrfs": _of(
        "the initrd lacks the driver of its root", "COS234", initrd_without("btrfs.ko")
    ),
    "elemental3-initrd-without-generator": _of(
        "the initrd lacks systemd-fstab-generator", "COS234", initrd_without("systemd-fstab-generator")
    ),
    "elemental3-no-id": _of(
        "os-release has no ID", "COS235", _replaced("usr/lib/os-release", "ID=cos\n", "")
    ),
    "elemental3-absolute-os-release": _of(
        "os-release is an absolute link", "COS235", writes("etc/os-release", Symlink("/usr/lib/os-release"))
    ),
    "elemental3-no-shim": _of(
        "a step removed shim.efi",
        "COS236",
        lambda parts: parts.remove(*(path for path in parts.packages if path.endswith("/shim.efi"))),
    ),
    "elemental3-no-grub": _of("a step removed GRUB's directory", "COS237", removes("usr/share/grub2")),
    "elemental3-no-snapper": _of("a step removed snapper", "COS238", removes("usr/bin/snapper")),
    "elemental3-no-template": _of(
        "snapper's template is gone", "COS238", removes("usr/share/snapper/config-templates/default")
    ),
    "elemental3-fstab": _of(
        "the image has an fstab with a comment", "COS239", writes("etc/fstab", "# static file systems\n")
    ),
    "elemental3-fstab-empty": _of("the image has an empty fstab", "COS239", writes("etc/fstab", "")),
    "elemental3-no-setfiles": _of(
        "there are file contexts and no setfiles", "COS240", removes("usr/sbin/setfiles")
    ),
    "elemental3-proc-file": _of(
        "a file stands where a directory is made", "COS241", writes("etc/elemental", "x\n")
    ),
    "elemental3-no-helper": _of(
        "a step removed snapper's installation-helper",
        "COS247",
        removes("usr/lib/snapper/installation-helper"),
    ),
    "elemental3-no-repart": _of(
        "a step removed systemd-repart", "COS247", removes("usr/sbin/systemd-repart")
    ),
}
"""Kinds of broken image of Elemental 3 by name."""

ELEMENTAL3_DEGRADATIONS: Mapping[str, Breakage] = {
    "elemental3-initrd-without-squashfs": _of(
        "the initrd cannot mount a squashfs", "COS242", initrd_without("squashfs.ko")
    ),
    "elemental3-no-program": _of(
        "a step made elemental3ctl unusable", "COS244", writes("usr/bin/elemental3ctl", "#!/bin/sh\n")
    ),
    "elemental3-large-kernel": _of("kernel and initrd are large", "COS248", _large_kernel),
    "elemental3-without-ignition": _of("the initrd was built without ignition", "COS243", _without_ignition),
    "elemental3-without-upgrader": _of("a step removed upgrader", "COS245", removes("usr/bin/upgrader")),
    "elemental3-volume-content": _of(
        "a step wrote a file below /srv", "COS246", writes("srv/www/index.html", "hello\n")
    ),
}
"""Kinds of image of Elemental 3 that boot and can be installed, and what is worse about them."""
