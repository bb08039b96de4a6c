"""The ways in which Kairos and bootc images break or get worse; each names the check that must find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from cosinspect.testing.bootfiles import Architecture, executable, linux_kernel
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts
from cosinspect.testing.entries import Directory, Symlink

__all__ = ["FOREIGN_BREAKAGES", "FOREIGN_DEGRADATIONS"]

_MODULES = f"usr/lib/modules/{KERNEL_VERSION}"
_UNITS = "usr/lib/systemd/system"


def _of(generation: Literal["kairos", "bootc"]) -> Callable[[str, str, Callable[[Parts], None]], Breakage]:
    return lambda summary, check, apply: Breakage(summary, check, apply, generation)


_kairos, _bootc = _of("kairos"), _of("bootc")


def _second_kernel(parts: Parts) -> None:
    older = "usr/lib/modules/5.14.21-default"
    parts.kernel[f"{older}/vmlinuz"] = linux_kernel("5.14.21-default", parts.architecture)
    parts.kernel[f"{older}/modules.dep"] = ""
    parts.kernel[f"{older}/initramfs.img"] = Symlink(f"../{KERNEL_VERSION}/initramfs.img")


def _foreign_kernel(parts: Parts) -> None:
    other: Architecture = "arm64" if parts.architecture == "amd64" else "amd64"
    parts.kernel[f"{_MODULES}/vmlinuz"] = linux_kernel(KERNEL_VERSION, other)


def _release(old: str, new: str) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        parts.write("etc/kairos-release", str(parts.packages["etc/kairos-release"]).replace(old, new))

    return apply


def _latin1_name(parts: Parts) -> None:
    parts.step = "COPY doc /usr/share/doc"
    parts.top["usr/share/doc/caf\udce9"] = "coffee\n"


def _initrd_junk(parts: Parts) -> None:
    parts.cut = lambda _: b"junk" * 1000


def _logs(parts: Parts) -> None:
    parts.step = "RUN dnf install -y httpd"
    parts.top["var/log/dnf.log"] = "installed\n"
    parts.top["usr/lib/tmpfiles.d/log.conf"] = "d /var/log 0755 - - -\nf /var/log/dnf.log 0644 - - -\n"


FOREIGN_BREAKAGES: Mapping[str, Breakage] = {
    "cloud-config-directory": Breakage(
        "a cloud-config names a user as cloud-init does and yip does not: nothing of its directory runs",
        "COS077",
        writes("system/oem/90_custom.yaml", "#cloud-config\nusers:\n- default\n"),
        "kairos",
        besides=("COS071",),
    ),
    "kairos-without-agent": _kairos("a step removed the agent", "COS062", removes("usr/bin/kairos-agent")),
    "kairos-initrd-without-immucore": _kairos(
        "the initrd was built without the module immucore",
        "COS024",
        lambda parts: (
            initrd_without("immucore", "kairos-agent", "immucore-generator", "immucore.service")(parts),
            parts.initrd.update(
                {
                    "usr/lib/dracut/modules.txt": str(parts.initrd["usr/lib/dracut/modules.txt"]).replace(
                        "immucore\n", ""
                    )
                }
            ),
        )[0],
    ),
    "kairos-without-immucore": _kairos("a step removed immucore", "COS130", removes("usr/bin/immucore")),
    "kairos-without-release": _kairos(
        "a step removed /etc/kairos-release", "COS132", removes("etc/kairos-release")
    ),
    "kairos-initrd-without-service": _kairos(
        "the initrd lacks the unit of immucore", "COS134", initrd_without("immucore.service")
    ),
    "kairos-initrd-without-link": _kairos(
        "nothing starts immucore in the initrd",
        "COS134",
        initrd_without(f"{_UNITS}/initrd.target.requires/immucore.service"),
    ),
    "kairos-udev-masked": _kairos(
        "the base image masks udev",
        "COS137",
        writes("etc/systemd/system/systemd-udevd.service", Symlink("/dev/null")),
    ),
    "kairos-getty-emptied": _kairos(
        "the base image masks getty.target by an empty file",
        "COS137",
        writes("etc/systemd/system/getty.target", ""),
    ),
    "kairos-getty-missing": _kairos(
        "a step removed getty.target", "COS137", removes(f"{_UNITS}/getty.target")
    ),
    "kairos-without-efi": _kairos("a step removed GRUB's EFI program", "COS139", removes("usr/share/efi")),
    "bootc-var-run": _bootc("/var/run is a directory", "COS150", writes("var/run", Directory())),
    "bootc-etc-twice": _bootc("a step wrote to /usr/etc", "COS151", writes("usr/etc/motd", "hello\n")),
    "bootc-kargs-broken": _bootc(
        "kernel arguments are no TOML", "COS152", writes("usr/lib/bootc/kargs.d/20-own.toml", "kargs = [\n")
    ),
    "bootc-kargs-string": _bootc(
        "kernel arguments are one string",
        "COS152",
        writes("usr/lib/bootc/kargs.d/20-own.toml", 'kargs = "console=ttyS0"\n'),
    ),
    "bootc-two-kernels": _bootc("an older kernel was left behind", "COS153", _second_kernel),
    "bootc-name-latin1": _bootc("a file's name is in Latin-1", "COS154", _latin1_name),
    "bootc-without-proc": _bootc("a step removed /proc", "COS155", removes("proc")),
    "bootc-without-sysroot": _bootc("a step removed /sysroot", "COS156", removes("sysroot")),
    "bootc-ostree-elsewhere": _bootc("/ostree is a directory", "COS156", writes("ostree", Directory())),
    "bootc-without-kernel": _bootc("a step removed the kernel", "COS157", removes(f"{_MODULES}/vmlinuz")),
    "bootc-without-initramfs": _bootc(
        "a step removed the initramfs", "COS158", removes(f"{_MODULES}/initramfs.img")
    ),
    "bootc-initramfs-junk": _bootc("the initramfs is junk", "COS158", _initrd_junk),
    "bootc-kernel-junk": _bootc(
        "the kernel is a text file", "COS159", writes(f"{_MODULES}/vmlinuz", "not a kernel\n" * 400)
    ),
    "bootc-kernel-foreign": _bootc("the kernel is for another architecture", "COS159", _foreign_kernel),
    "bootc-without-bootloader": _bootc("a step removed bootupctl", "COS163", removes("usr/bin/bootupctl")),
}
"""Kinds of Kairos and bootc image that do not boot or cannot be installed."""

FOREIGN_DEGRADATIONS: Mapping[str, Breakage] = {
    "kairos-without-sudo": _kairos("a step removed sudo", "COS131", removes("usr/bin/sudo")),
    "kairos-release-short": _kairos("the release lacks a key", "COS133", _release("KAIROS_FAMILY", "FAMILY")),
    "kairos-initrd-without-cryptsetup": _kairos(
        "the initrd lacks cryptsetup", "COS135", initrd_without("cryptsetup")
    ),
    "kairos-without-regexp": _kairos(
        "GRUB's module regexp is not in the image",
        "COS138",
        lambda parts: parts.remove(*(path for path in parts.packages if path.endswith("/regexp.mod"))),
    ),
    "kairos-without-lock": _kairos("a step removed /var/lock", "COS140", removes("var/lock")),
    "bootc-injected": _bootc(
        "a tool left an empty /etc/resolv.conf", "COS160", writes("etc/resolv.conf", "")
    ),
    "bootc-composefs-off": _bootc(
        "composefs is switched off",
        "COS161",
        writes("usr/lib/ostree/prepare-root.conf", "[composefs]\nenabled = no\n"),
    ),
    "bootc-logs": _bootc("logs of the build are left", "COS162", _logs),
    "bootc-tool-in-boot": _bootc("a step wrote to /boot", "COS165", writes("boot/grub2/tool", executable())),
    "bootc-unindexed": _bootc("depmod was not run", "COS164", removes(f"{_MODULES}/modules.dep")),
}
"""Kinds of Kairos and bootc image that are worse without that."""
