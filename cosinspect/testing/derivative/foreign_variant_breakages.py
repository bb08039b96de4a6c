"""The ways in which today's Kairos, trusted boot and bootc images break or get worse beyond those of `foreign_breakages`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosinspect.testing.bootfiles import Architecture, efi_program, linux_kernel
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts
from cosinspect.testing.derivative.variants import UKI_COMMAND_LINE, VARIANTS
from cosinspect.testing.entries import Directory, File, Symlink

__all__ = ["VARIANT_BREAKAGES", "VARIANT_DEGRADATIONS"]

_MODULES = f"usr/lib/modules/{KERNEL_VERSION}"
_UPDATES = "usr/lib/bootupd/updates"
_DEFAULTS = "usr/lib/bootc/install/00-defaults.toml"
_UKI = "EFI/kairos/norole.efi"
_SEALED = f"boot/EFI/Linux/{KERNEL_VERSION}.efi"
Change = Callable[[Parts], None]


def _of(variant: str, summary: str, check: str, change: Change) -> Breakage:
    """Break another layout of a generation."""
    base = VARIANTS[variant]

    def apply(parts: Parts) -> None:
        base.apply(parts)
        change(parts)

    return Breakage(summary, check, apply, base.generation)


def _kairos(summary: str, check: str, change: Change) -> Breakage:
    return Breakage(summary, check, change, "kairos")


def _bootc(summary: str, check: str, change: Change) -> Breakage:
    return Breakage(summary, check, change, "bootc")


def _unified(path: str, **values: object) -> Change:
    """Make the unified kernel image of other things."""

    def apply(parts: Parts) -> None:
        for name, value in values.items():
            setattr(parts.unified[path], name, value)

    return apply


def _other(parts: Parts) -> Architecture:
    return "arm64" if parts.architecture == "amd64" else "amd64"


def _cut(data: bytes) -> Change:
    return lambda parts: setattr(parts, "cut", lambda _: data)


def _unquoted(parts: Parts) -> None:
    text = str(parts.packages["etc/kairos-release"])
    parts.write("etc/kairos-release", text.replace('KAIROS_RELEASE="value"', "KAIROS_RELEASE=value"))


def _kernel_elsewhere(parts: Parts) -> None:
    kernel = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.kernel[f"usr/lib/kernel/vmlinuz-{KERNEL_VERSION}"] = kernel
    parts.kernel["boot/vmlinuz"] = Symlink(f"../usr/lib/kernel/vmlinuz-{KERNEL_VERSION}")


def _kernel_by_absolute_link(parts: Parts) -> None:
    parts.kernel[f"{_MODULES}/vmlinuz"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.kernel["boot/vmlinuz"] = Symlink(f"/{_MODULES}/vmlinuz")


def _without_zstd(parts: Parts) -> None:
    path = f"boot/config-{KERNEL_VERSION}"
    parts.kernel[path] = str(parts.kernel[path]).replace("CONFIG_RD_ZSTD=y", "# CONFIG_RD_ZSTD is not set")


def _other_role(parts: Parts) -> None:
    parts.unified["EFI/kairos/active.efi"] = parts.unified.pop(_UKI)
    parts.base["loader/entries/active.conf"] = str(parts.base.pop("loader/entries/norole.conf")).replace(
        "norole", "active"
    )


def _older_loader(parts: Parts) -> None:
    path = next(path for path in parts.base if path.startswith("EFI/BOOT/"))
    parts.base[path] = efi_program(parts.architecture, loader="systemd-boot 257.8")


def _kargs_file(parts: Parts) -> None:
    del parts.packages["usr/lib/bootc/kargs.d/10-console.toml"]
    parts.packages["usr/lib/bootc/kargs.d"] = "console=ttyS0\n"


def _second_shim(parts: Parts) -> None:
    path = next(path for path in parts.packages if "/shim" in path)
    parts.write(path.replace("/cos/", "/other/"), efi_program(parts.architecture))


def _shim_in_boot(parts: Parts) -> None:
    path = next(path for path in parts.packages if "/shim" in path)
    parts.packages[path.replace("/cos/", "/BOOT/")] = parts.packages.pop(path)


def _on_xfs(parts: Parts) -> None:
    parts.packages[_DEFAULTS] = '[install.filesystem.root]\ntype = "xfs"\n'
    parts.packages["usr/bin/mkfs.xfs"] = parts.packages["usr/bin/zstd"]


def _second_modules(parts: Parts) -> None:
    parts.step = "RUN apt-get install -y linux-modules-7.0.0-9-generic"
    parts.top["usr/lib/modules/7.0.0-9-generic/modules.dep"] = ""


def _own_boot_files(parts: Parts) -> None:
    """Have bootargs.cfg name the files by their versions, and delete the usual links."""
    text = str(parts.packages["etc/cos/bootargs.cfg"])
    initrd = parts.initrd_path.rpartition("/")[2]
    parts.packages["etc/cos/bootargs.cfg"] = text.replace(
        "/boot/vmlinuz", f"/boot/vmlinuz-{KERNEL_VERSION}"
    ).replace("/boot/initrd", f"/boot/{initrd}")
    del parts.kernel["boot/vmlinuz"]
    parts.boot.clear()


def _ships_driver(parts: Parts) -> None:
    parts.kernel[f"{_MODULES}/kernel/drivers/usb/host/xhci-pci-renesas.ko.xz"] = b"\x7fELF"


VARIANT_BREAKAGES: Mapping[str, Breakage] = {
    "kairos-without-program": _of(
        "kairos-multi-call",
        "a step removed the program that all links lead to",
        "COS062",
        removes("usr/bin/kairos"),
    ),
    "kairos-initrd-without-program": _of(
        "kairos-multi-call",
        "the initrd has the link immucore, and not the program",
        "COS025",
        initrd_without("usr/bin/kairos"),
    ),
    "kairos-without-provider": _of(
        "kairos-standard",
        "a standard image has no provider",
        "COS130",
        removes("system/providers/agent-provider-kairos"),
    ),
    "kairos-without-blkdeactivate": _kairos(
        "lvm2 is not installed", "COS146", removes("usr/sbin/blkdeactivate")
    ),
    "trusted-version-unquoted": _of("kairos-trusted", "KAIROS_RELEASE has no quotes", "COS148", _unquoted),
    "trusted-kernel-elsewhere": _of(
        "kairos-trusted", "/boot/vmlinuz leads to a name that is not in /boot", "COS149", _kernel_elsewhere
    ),
    "trusted-kernel-absolute": _of(
        "kairos-trusted", "/boot/vmlinuz is an absolute link", "COS149", _kernel_by_absolute_link
    ),
    "trusted-init": _of(
        "kairos-trusted", "a step made /init", "COS257", writes("init", Symlink("sbin/init"))
    ),
    "trusted-without-zstd": _of("kairos-trusted", "the kernel cannot unpack zstd", "COS258", _without_zstd),
    "uki-without-command-line": _of(
        "uki-artefact",
        "the unified kernel image has no command line",
        "COS250",
        _unified(_UKI, leave_out=(".cmdline",)),
    ),
    "uki-foreign": _of(
        "uki-artefact",
        "the stub is for another architecture",
        "COS250",
        lambda parts: _unified(_UKI, architecture=_other(parts))(parts),
    ),
    "uki-truncated": _of(
        "uki-artefact",
        "the copy of the unified kernel image was cut short in its headers",
        "COS250",
        _unified(_UKI, cut=lambda data: data[:100]),
    ),
    "uki-kernel-junk": _of(
        "uki-artefact",
        "the section .linux holds a text",
        "COS251",
        _unified(_UKI, kernel=b"no kernel\n" * 200),
    ),
    "uki-kernel-foreign": _of(
        "uki-artefact",
        "the kernel within is for another architecture",
        "COS251",
        lambda parts: _unified(_UKI, kernel=linux_kernel(KERNEL_VERSION, _other(parts)))(parts),
    ),
    "uki-initrd-junk": _of("uki-artefact", "the section .initrd holds junk", "COS252", _cut(b"junk" * 1000)),
    "uki-initrd-without-immucore": _of(
        "uki-artefact",
        "the initrd has no immucore",
        "COS252",
        lambda parts: parts.initrd.update(
            {"usr/bin/immucore": Symlink("/usr/bin/nothing"), "init": parts.initrd["usr/bin/kairos"]}
        ),
    ),
    "uki-other-command-line": _of(
        "uki-artefact",
        "the command line is that of a disk",
        "COS253",
        _unified(_UKI, command_line=UKI_COMMAND_LINE.replace("rd.immucore.uki", "root=LABEL=COS_ACTIVE")),
    ),
    "uki-without-boot-program": _of(
        "uki-artefact",
        "systemd-boot is not there",
        "COS255",
        lambda parts: parts.remove(*(path for path in parts.base if path.startswith("EFI/BOOT/"))),
    ),
    "uki-other-role": _of(
        "uki-artefact", "the files have the names of an installed system", "COS255", _other_role
    ),
    "uki-entry-elsewhere": _of(
        "uki-artefact",
        "the entry names a file that is not there",
        "COS256",
        writes("loader/entries/norole.conf", "title Kairos\nuki /EFI/kairos/active.efi\n"),
    ),
    "uki-older-loader": _of(
        "uki-artefact", "systemd-boot does not know the key uki yet", "COS256", _older_loader
    ),
    "bootc-without-updates": _bootc("a step removed bootupd's updates", "COS163", removes("usr/lib/bootupd")),
    "bootc-ostree-absolute": _bootc(
        "/ostree is an absolute link", "COS156", writes("ostree", Symlink("/sysroot/ostree"))
    ),
    "bootc-kargs-file": _bootc("kargs.d is a file", "COS152", _kargs_file),
    "bootc-without-prepare-root": _bootc(
        "a step removed prepare-root.conf", "COS261", removes("usr/lib/ostree/prepare-root.conf")
    ),
    "bootc-prepare-root-broken": _bootc(
        "prepare-root.conf is no key file",
        "COS261",
        writes("usr/lib/ostree/prepare-root.conf", "enabled = true\n"),
    ),
    "bootc-without-filesystem": _bootc("no file names the root filesystem", "COS262", removes(_DEFAULTS)),
    "bootc-filesystem-unknown": _bootc(
        "the settings of installation name a filesystem that bootc does not know",
        "COS262",
        writes(_DEFAULTS, '[install]\nroot-fs-type = "zfs"\n'),
    ),
    "bootc-without-payload": _bootc(
        "bootupd's metadata was not generated",
        "COS263",
        lambda parts: parts.remove(
            *(path for path in parts.packages if path.startswith(_UPDATES) and path.endswith(".json"))
        ),
    ),
    "bootc-two-shims": _bootc("there are two shims", "COS263", _second_shim),
    "bootc-without-skopeo": _bootc("skopeo is not installed", "COS265", removes("usr/bin/skopeo")),
    "bootc-without-mkfs": _bootc("e2fsprogs is not installed", "COS265", removes("usr/sbin/mkfs.ext4")),
    "bootc-sealed-without-bootctl": _of(
        "bootc-sealed", "bootctl is not there", "COS163", removes("usr/bin/bootctl")
    ),
    "bootc-sealed-without-digest": _of(
        "bootc-sealed",
        "the command line has no digest",
        "COS253",
        _unified(_SEALED, command_line="root=UUID=0 rw"),
    ),
    "bootc-sealed-on-xfs": _of("bootc-sealed", "the root filesystem is xfs", "COS269", _on_xfs),
}
"""Kinds of image that do not boot or cannot be installed."""

VARIANT_DEGRADATIONS: Mapping[str, Breakage] = {
    "kairos-second-modules": _kairos(
        "modules of a newer kernel are there, and not the kernel", "COS141", _second_modules
    ),
    "kairos-without-boot-links": _kairos(
        "bootargs.cfg names the files by version, and the usual links are gone",
        "COS142",
        _own_boot_files,
    ),
    "kairos-initrd-without-driver": _kairos(
        "the kernel has a driver for virtual media, and the initrd does not", "COS143", _ships_driver
    ),
    "kairos-without-installer": _of(
        "kairos-multi-call", "a step removed the installer", "COS144", removes("system/installer")
    ),
    "kairos-without-suc-upgrade": _kairos(
        "a step removed suc-upgrade", "COS145", removes("usr/sbin/suc-upgrade")
    ),
    "kairos-without-bios-modules": _kairos(
        "GRUB's modules for BIOS are not installed", "COS147", removes("usr/lib/grub/i386-pc")
    ),
    "kairos-without-edgevpn": _of(
        "kairos-standard", "a standard image has no edgevpn", "COS131", removes("usr/bin/edgevpn")
    ),
    "trusted-os-release-absolute": _of(
        "kairos-trusted",
        "/etc/os-release is an absolute link",
        "COS259",
        writes("etc/os-release", Symlink("/usr/lib/os-release")),
    ),
    "trusted-without-stub": _of(
        "kairos-trusted",
        "systemd-boot is there, and its stub is not",
        "COS260",
        lambda parts: parts.remove(*(path for path in parts.packages if path.endswith(".efi.stub"))),
    ),
    "uki-other-uname": _of(
        "uki-artefact",
        "the section .uname names another kernel",
        "COS254",
        _unified(_UKI, version="5.14.21-default"),
    ),
    "uki-without-loader-conf": _of(
        "uki-artefact", "loader.conf is not there", "COS268", removes("loader/loader.conf")
    ),
    "uki-without-keys": _of("uki-artefact", "there are no keys to enrol", "COS268", removes("loader/keys")),
    "bootc-run-directory": _bootc(
        "a step left a directory in /run", "COS166", writes("run/dnf", Directory())
    ),
    "bootc-state-in-var": _bootc(
        "a step wrote to /var/lib", "COS167", writes("var/lib/app/state.db", File("state\n"))
    ),
    "bootc-user-added": _bootc(
        "a step called useradd",
        "COS168",
        writes("etc/group", "root:x:0:\napp:x:1000:\n"),
    ),
    "bootc-without-podman": _bootc("podman is not installed", "COS169", removes("usr/bin/podman")),
    "bootc-without-bios": _bootc(
        "bootupd has no component for BIOS", "COS264", removes(f"{_UPDATES}/BIOS.json")
    ),
    "bootc-without-policy": _bootc("there is no SELinux policy", "COS266", removes("etc/selinux")),
    "bootc-without-version": _bootc(
        "os-release has no VERSION_ID", "COS267", writes("usr/lib/os-release", "NAME=cOS\nID=cos\n")
    ),
    "bootc-shim-in-boot": _bootc("shim lies in BOOT alone", "COS267", _shim_in_boot),
}
"""Kinds of image that are worse without that."""
