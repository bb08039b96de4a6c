"""The ways in which derivatives really broke or got worse, done to a small one; each names the check that must find it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cosinspect.testing.bootfiles import (
    Architecture,
    cpio_archive,
    executable,
    linux_kernel,
    microcode_archive,
)
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.base_breakages import BASE_BREAKAGES, BASE_DEGRADATIONS
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.elemental3_breakages import ELEMENTAL3_BREAKAGES, ELEMENTAL3_DEGRADATIONS
from cosinspect.testing.derivative.foreign_breakages import FOREIGN_BREAKAGES, FOREIGN_DEGRADATIONS
from cosinspect.testing.derivative.foreign_variant_breakages import VARIANT_BREAKAGES, VARIANT_DEGRADATIONS
from cosinspect.testing.derivative.menu_breakages import MENU_BREAKAGES, MENU_DEGRADATIONS
from cosinspect.testing.derivative.operation_breakages import OPERATION_BREAKAGES, OPERATION_DEGRADATIONS
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts, luet_database, parts_of, program
from cosinspect.testing.derivative.program_breakages import PROGRAM_BREAKAGES, PROGRAM_DEGRADATIONS
from cosinspect.testing.derivative.system_breakages import SYSTEM_BREAKAGES, SYSTEM_DEGRADATIONS
from cosinspect.testing.entries import Directory, Entry, File, Hardlink, Opaque, RawEntry, Symlink, Whiteout
from cosinspect.testing.tar_writer import pax_header, tar_bytes, tar_header

__all__ = ["BREAKAGES", "DEGRADATIONS", "Breakage"]

# What of the toolkit is in an initrd, of whatever generation.
_OWN = re.compile(r"cos|elemental|immucore")
_OWN_MODULES = re.compile(r"(?:cos-immutable-rootfs|elemental-[a-z-]+|immucore)\n")


def _cuts(cut: Callable[[bytes], bytes]) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        parts.cut = cut

    return apply


def _without_cos(parts: Parts) -> None:
    for path in [path for path in parts.initrd if _OWN.search(path)]:
        del parts.initrd[path]
    listed = str(parts.initrd["usr/lib/dracut/modules.txt"])
    parts.initrd["usr/lib/dracut/modules.txt"] = _OWN_MODULES.sub("", listed)


def _without_toolkit(parts: Parts) -> None:
    _without_cos(parts)
    parts.packages = {"opt/new": "no toolkit here\n"}


def _initrd_of(generation: toolkit.GenerationName) -> Callable[[Parts], None]:
    """Keep the initrd of another generation, as one that a base image brought."""

    def apply(parts: Parts) -> None:
        parts.initrd = parts_of(generation, parts.architecture).initrd

    return apply


def _config(name: str, entry: Entry | None) -> Callable[[Parts], None]:
    """Write one of GRUB's files, or remove it."""

    def apply(parts: Parts) -> None:
        path = f"{toolkit.config_directory(parts.generation)}/{name}"
        if entry is None:
            parts.remove(path)
        else:
            parts.write(path, entry)

    return apply


def _initrd_removed(parts: Parts) -> None:
    parts.remove(parts.initrd_path)


def _deep_initrd(parts: Parts) -> None:
    _long_chain("boot/initrd", parts.initrd_path.rpartition("/")[2])(parts)


def _other_modules(parts: Parts) -> None:
    for path in [path for path in parts.initrd if KERNEL_VERSION in path]:
        parts.initrd[path.replace(KERNEL_VERSION, "5.14.21-default")] = parts.initrd.pop(path)


def _foreign_kernel(parts: Parts) -> None:
    other: Architecture = "arm64" if parts.architecture == "amd64" else "amd64"
    parts.kernel[f"boot/vmlinuz-{KERNEL_VERSION}"] = linux_kernel(KERNEL_VERSION, other)


def _long_chain(path: str, target: str) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        parts.step = f"RUN for n in $(seq 1 7); do ln -s ...; done  # eight links to /boot/{target}"
        for hop in range(1, 8):
            parts.top[f"boot/hop{hop}"] = Symlink(f"hop{hop + 1}" if hop < 7 else target)
        parts.top[path] = Symlink("hop1")

    return apply


def _without_zstd(parts: Parts) -> None:
    parts.compression = "zstd"
    path = f"boot/config-{KERNEL_VERSION}"
    told = str(parts.kernel[path])
    parts.kernel[path] = told.replace("CONFIG_RD_ZSTD=y\n", "# CONFIG_RD_ZSTD is not set\n")


def _foreign_elemental(parts: Parts) -> None:
    other: Architecture = "arm64" if parts.architecture == "amd64" else "amd64"
    runner = "usr/bin/yip" if parts.generation in ("G0", "G1") else "usr/bin/elemental"
    parts.write(runner, executable(program(other)))


def _dangling_hardlink(parts: Parts) -> None:
    parts.write("usr/bin/tool", Hardlink("usr/bin/nowhere"))


def _hardlink_to_deleted(parts: Parts) -> None:
    parts.step = "RUN mv /usr/bin/luet-mtree /usr/bin/verify"
    parts.top = {"usr/bin/verify": Hardlink("usr/bin/luet-mtree"), "usr/bin/luet-mtree": Whiteout()}


def _raw(name: str, archive: bytes) -> Callable[[Parts], None]:
    """Put bytes into the topmost layer's archive as they are."""

    def apply(parts: Parts) -> None:
        parts.top[name] = RawEntry(archive)

    return apply


def _lying_table(parts: Parts) -> None:
    def lie(table: dict[str, Any]) -> None:
        for entry in table["entries"]:
            if entry["name"] == "etc/motd":
                entry["mode"] = 0o4755

    parts.write("etc/motd", "welcome\n")
    parts.edit_table = lie


def _bootargs(old: str, new: str) -> Callable[[Parts], None]:
    return lambda parts: parts.write(
        f"{toolkit.config_directory(parts.generation)}/bootargs.cfg",
        toolkit.bootargs(parts.generation).replace(old, new),
    )


def _removes_a_name(parts: Parts) -> None:
    parts.packages["usr/bin/pigz"] = File("#!/bin/sh\n", mode=0o755)
    parts.packages["usr/bin/unpigz"] = Hardlink("usr/bin/pigz", mode=0o755)
    parts.step = "RUN rm /usr/bin/pigz"
    parts.top = {"usr/bin/pigz": Whiteout()}


BREAKAGES: Mapping[str, Breakage] = {
    "no-toolkit": Breakage(
        "nothing of the toolkit is in the image",
        "COS001",
        _without_toolkit,
    ),
    "dangling-hardlink": Breakage("a layer links to a file that is not there", "COS002", _dangling_hardlink),
    "hardlink-to-deleted": Breakage(
        "a layer links to a file of a lower one and deletes that", "COS002", _hardlink_to_deleted
    ),
    "layer-damaged": Breakage(
        "a layer's archive has a header with a wrong checksum",
        "COS005",
        _raw("damage", tar_header("etc/hidden", checksum=0)),
        besides=("COS201",),  # elemental does not notice, and installs a part
    ),
    "name-escapes": Breakage(
        "a layer has an entry above its root", "COS007", _raw("above", tar_header("../etc/cron.d/job"))
    ),
    "table-lies": Breakage(
        "a layer's table of contents makes another file executable than the archive does",
        "COS111",
        _lying_table,
    ),
    "kernel-removed": Breakage("a step removed /boot/vmlinuz", "COS010", removes("boot/vmlinuz")),
    "kernel-dangling": Breakage(
        "a step removed the kernel that /boot/vmlinuz points to",
        "COS011",
        removes(f"boot/vmlinuz-{KERNEL_VERSION}"),
    ),
    "kernel-loop": Breakage(
        "/boot/vmlinuz points to itself", "COS011", writes("boot/vmlinuz", Symlink("vmlinuz"))
    ),
    "kernel-deep": Breakage(
        "/boot/vmlinuz lies behind eight links",
        "COS012",
        _long_chain("boot/vmlinuz", f"vmlinuz-{KERNEL_VERSION}"),
    ),
    "kernel-junk": Breakage(
        "the kernel is a text file",
        "COS013",
        writes(f"boot/vmlinuz-{KERNEL_VERSION}", "not a kernel\n" * 400),
    ),
    "kernel-truncated": Breakage(
        "the kernel was cut short",
        "COS014",
        lambda parts: parts.write(
            f"boot/vmlinuz-{KERNEL_VERSION}", linux_kernel(KERNEL_VERSION, parts.architecture)[:40000]
        ),
    ),
    "kernel-foreign": Breakage("the kernel is for another architecture", "COS015", _foreign_kernel),
    "initrd-removed": Breakage("a step removed /boot/initrd", "COS020", removes("boot/initrd")),
    "boot-emptied": Breakage("the initrd the link points to was removed", "COS021", _initrd_removed),
    "initrd-deep": Breakage(
        "/boot/initrd lies behind eight links",
        "COS022",
        _deep_initrd,
    ),
    "initrd-junk": Breakage("the initrd is junk", "COS023", _cuts(lambda _: b"junk" * 1000)),
    "initrd-truncated": Breakage(
        "the initrd was cut in the middle", "COS023", _cuts(lambda data: data[: len(data) // 2])
    ),
    "initrd-microcode-only": Breakage(
        "the initrd ends behind its microcode", "COS023", _cuts(lambda _: microcode_archive())
    ),
    "initrd-without-cos": Breakage("the initrd was built without the cOS module", "COS024", _without_cos),
    "initrd-without-loop": Breakage(
        "the initrd lacks cos-loop-img",
        "COS025",
        initrd_without("cos-loop-img", "cos-fsck", "elemental-mount-layout", "20-cos-config-launcher.sh"),
    ),
    "initrd-without-generator": Breakage(
        "the initrd lacks the generator",
        "COS025",
        initrd_without(
            "dracut-cos-generator", "dracut-elemental-generator", "dracut-elemental-sysroot-generator"
        ),
    ),
    "initrd-without-links": Breakage(
        "the initrd has the units of the stages but not the links that start them",
        "COS025",
        initrd_without(
            "etc/systemd/system/initrd-fs.target.requires/cos-setup-rootfs.service",
            "etc/systemd/system/initrd.target.requires/cos-setup-initramfs.service",
            "etc/systemd/system/initrd.target.requires/elemental-setup-initramfs.service",
            "etc/systemd/system/initrd.target.wants/elemental-setup-initramfs.service",
        ),
    ),
    "initrd-without-elemental": Breakage(
        "the initrd lacks elemental", "COS025", initrd_without("usr/bin/elemental", "usr/bin/cos-setup")
    ),
    "initrd-without-basename": Breakage(
        "the initrd lacks basename, as real ones did", "COS026", initrd_without("basename")
    ),
    "initrd-without-sort": Breakage("the initrd lacks sort", "COS026", initrd_without("sort")),
    "initrd-other-kernel": Breakage("the initrd was built for another kernel", "COS028", _other_modules),
    "initrd-without-overlay": Breakage("the initrd lacks overlay.ko", "COS029", initrd_without("overlay.ko")),
    "initrd-hostonly": Breakage(
        "the initrd was built for the build container",
        "COS030",
        lambda parts: parts.initrd.update({"usr/lib/dracut/build-parameter.txt": "-H -f /boot/initrd\n"}),
    ),
    "initrd-zstd": Breakage("the kernel cannot unpack zstd", "COS032", _without_zstd),
    "initrd-of-another-generation": Breakage(
        "the initrd is that of elemental init, which a base image brought",
        "COS035",
        lambda parts: _initrd_of("G2" if parts.generation == "G4" else "G4")(parts),
    ),
    "initrds-several": Breakage(
        "the initrd of an older kernel was left behind",
        "COS036",
        writes("boot/elemental.initrd-5.14.21", "an older one\n"),
        "G5",
    ),
    "no-grub-config": Breakage("a step removed grub.cfg", "COS040", _config("grub.cfg", None)),
    "grub-config-empty": Breakage(
        "grub.cfg has no menu entry", "COS041", _config("grub.cfg", "set timeout=10\n")
    ),
    "no-bootargs": Breakage("a step removed bootargs.cfg", "COS042", _config("bootargs.cfg", None)),
    "bootargs-incomplete": Breakage(
        "bootargs.cfg sets no initramfs", "COS043", _bootargs("set initramfs=", "set ramdisk=")
    ),
    "placeholder": Breakage(
        "bootargs.cfg is an unrendered template", "COS044", _bootargs("LABEL=$", "LABEL=@STATE_LABEL@$")
    ),
    "bootargs-v2": Breakage(
        "bootargs.cfg is that of toolkit v2",
        "COS045",
        _config(
            "bootargs.cfg",
            "set kernel=/boot/vmlinuz\nset initramfs=/boot/initrd\nset disk=${state_label}\n"
            'if [ "${mode}" == "recovery" ]; then set disk=${recovery_label}; fi\n'
            'set kernelcmd="root=LABEL=${disk} elemental.image=${img} elemental.mode=${mode}"\n',
        ),
    ),
    "bootargs-next": Breakage(
        "bootargs.cfg is that of the next generation",
        "COS045",
        lambda parts: parts.write(
            f"{toolkit.config_directory(parts.generation)}/bootargs.cfg",
            toolkit.bootargs("G2" if parts.generation in ("G3", "G4") else "G3"),
        ),
    ),
    "no-grub-tools": Breakage(
        "grub2-editenv is called grub-editenv", "COS047", removes("usr/bin/grub2-editenv")
    ),
    "no-systemd": Breakage("a step removed systemd", "COS060", removes("usr/lib/systemd/systemd")),
    "no-elemental": Breakage(
        "a step removed elemental", "COS062", removes("usr/bin/elemental", "usr/bin/yip")
    ),
    "elemental-foreign": Breakage("elemental is for another architecture", "COS062", _foreign_elemental),
    "no-os-release": Breakage(
        "a step removed os-release", "COS064", removes("usr/lib/os-release", "etc/os-release")
    ),
    "no-opt": Breakage("a step removed /opt", "COS065", removes("opt")),
    "no-layout": Breakage("a step removed 00_rootfs.yaml", "COS070", removes("system/oem/00_rootfs.yaml")),
    "hardlink-target-removed": Breakage(
        "a step removed one name of a file that has two", "COS201", _removes_a_name
    ),
    **BASE_BREAKAGES,
    **PROGRAM_BREAKAGES,
    **MENU_BREAKAGES,
    **SYSTEM_BREAKAGES,
    **OPERATION_BREAKAGES,
    **FOREIGN_BREAKAGES,
    **VARIANT_BREAKAGES,
    **ELEMENTAL3_BREAKAGES,
}
"""Kinds of broken derivative by name; the check named in each finds it."""


def _repeated_entry(parts: Parts) -> None:
    parts.write("etc/hosts", "127.0.0.1 localhost\n")
    parts.top["again"] = RawEntry(
        tar_bytes({"etc/hosts": "127.0.0.1 localhost\n"}, parents=False, end_blocks=0)
    )


def _empties(path: str) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        parts.step = f"RUN rm -rf /{path} && mkdir /{path}"
        parts.top = {path: Opaque()}

    return change


def _writes_and_deletes(parts: Parts) -> None:
    parts.write("etc/hosts", "127.0.0.1 localhost\n")
    parts.top["etc/.wh.hosts"] = File()


def _without_live(parts: Parts) -> None:
    listed = str(parts.initrd["usr/lib/dracut/modules.txt"])
    parts.initrd["usr/lib/dracut/modules.txt"] = listed.replace("dmsquash-live\nlivenet\n", "")


def _without_microcode(parts: Parts) -> None:
    parts.microcode = False


DEGRADATIONS: Mapping[str, Breakage] = {
    "repeated-entry": Breakage("a layer has two entries for one path", "COS003", _repeated_entry),
    "whiteout-with-content": Breakage(
        "a whiteout is a file with content", "COS009", writes("etc/.wh.hosts", "gone\n")
    ),
    "repeated-pax-header": Breakage(
        "an entry has two PAX headers, and which name counts depends on the reader",
        "COS006",
        _raw("two", pax_header({"path": "etc/seen"}) + pax_header({"path": "etc/run"}) + tar_header("etc/x")),
    ),
    "overlay-redirect": Breakage(
        "a directory carries an attribute by which overlayfs shows another one",
        "COS008",
        writes("opt/shown", Directory(xattrs={"trusted.overlay.redirect": "/root"})),
    ),
    "no-modules": Breakage("a step removed the kernel's modules", "COS016", removes("usr/lib/modules")),
    "modules-unindexed": Breakage(
        "depmod was not run", "COS017", removes(f"usr/lib/modules/{KERNEL_VERSION}/modules.dep")
    ),
    "initrd-without-findmnt": Breakage("the initrd lacks findmnt", "COS027", initrd_without("findmnt")),
    "initrd-without-rsync": Breakage(
        "the initrd lacks rsync, and the layout needs none", "COS027", initrd_without("rsync")
    ),
    "initrd-without-live": Breakage(
        "the initrd was built without dmsquash-live and livenet", "COS031", _without_live
    ),
    "initrd-without-microcode": Breakage("the initrd brings no microcode", "COS033", _without_microcode),
    "initrd-unaligned": Breakage(
        "an archive was appended to the initrd at an odd offset",
        "COS034",
        _cuts(lambda data: data + bytes((1 - len(data)) % 4) + cpio_archive({"etc/more": "more\n"})),
    ),
    "bootargs-iso-scan": Breakage(
        "bootargs.cfg is that of the old documentation",
        "COS046",
        _bootargs("cos-img/filename=", "iso-scan/filename="),
    ),
    "no-dracut-module": Breakage(
        "a step removed the dracut module", "COS050", removes("usr/lib/dracut/modules.d")
    ),
    "dracut-module-incomplete": Breakage(
        "a step removed a script of the dracut module",
        "COS050",
        lambda parts: parts.remove(
            next(path for path in parts.packages if "modules.d/30" in path and "module-setup" in path)
        ),
    ),
    "no-dracut-config": Breakage(
        "a step removed a drop-in of dracut",
        "COS051",
        removes("etc/dracut.conf.d/50-cos-initrd.conf", "etc/dracut.conf.d/50-elemental-initrd.conf"),
    ),
    "no-dracut": Breakage("a step removed dracut", "COS052", removes("usr/bin/dracut")),
    "no-init-link": Breakage("a step removed /sbin/init", "COS061", removes("usr/sbin/init")),
    "dracut-live-missing": Breakage(
        "a step removed the module that a drop-in names",
        "COS053",
        removes("usr/lib/dracut/modules.d/90livenet"),
    ),
    "dracut-hostonly": Breakage(
        "a later drop-in sets hostonly",
        "COS054",
        writes("etc/dracut.conf.d/99-distribution.conf", 'hostonly="yes"\n'),
    ),
    "machine-id": Breakage(
        "a step started systemd, which made a machine id",
        "COS067",
        writes("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ),
    "no-units": Breakage(
        "a step removed the units of the stages",
        "COS063",
        removes(
            *(
                f"usr/lib/systemd/system/{prefix}-setup-{stage}.service"
                for prefix in ("cos", "elemental")
                for stage in toolkit.STAGES
            )
        ),
    ),
    "no-tmp": Breakage("a step removed /tmp", "COS066", removes("tmp")),
    "no-oem": Breakage("a step removed /oem", "COS066", removes("oem")),
    "cloud-config-broken": Breakage(
        "a cloud-config is no YAML", "COS071", writes("system/oem/03_branding.yaml", "stages: [\n")
    ),
    "cloud-config-misspelt": Breakage(
        "a cloud-config has a wrong key", "COS071", writes("system/oem/03_branding.yaml", "stage: {}\n")
    ),
    "no-default-layout": Breakage(
        "a step removed what says what is kept over a reboot",
        "COS073",
        removes("system/oem/00_rootfs.yaml"),
        "G4",
    ),
    "no-login": Breakage(
        "a step removed 04_accounting.yaml", "COS072", removes("system/oem/04_accounting.yaml")
    ),
    "no-luet": Breakage("a step removed luet", "COS080", removes("usr/bin/luet", "usr/bin/luet-mtree")),
    "luet-config-broken": Breakage(
        "luet.yaml is no YAML", "COS081", writes("etc/luet/luet.yaml", "repositories: {\n")
    ),
    "luet-database-damaged": Breakage(
        "the luet database was cut short",
        "COS082",
        lambda parts: parts.write("var/cache/luet/luet.db", luet_database("bad-trunc-half.db.xz")),
    ),
    "package-incomplete": Breakage(
        "a step removed a file of an installed package", "COS083", removes("etc/cos/config")
    ),
    "no-cosign": Breakage("a step removed cosign", "COS090", removes("usr/bin/cosign")),
    "cosign-key-missing": Breakage(
        "a setting names a key of cosign that is not in the image",
        "COS093",
        writes("etc/environment", "COSIGN_PUBLIC_KEY_LOCATION=/etc/cosign.pub\n"),
    ),
    "no-luet-cosign": Breakage("a step removed luet-cosign", "COS091", removes("usr/bin/luet-cosign")),
    "opaque-directory": Breakage(
        "a step emptied a directory and made it again, as an opaque whiteout", "COS200", _empties("opt")
    ),
    "whiteout-beside-entry": Breakage(
        "a layer deletes a name behind an entry of that name", "COS202", _writes_and_deletes
    ),
    **BASE_DEGRADATIONS,
    **PROGRAM_DEGRADATIONS,
    **MENU_DEGRADATIONS,
    **SYSTEM_DEGRADATIONS,
    **OPERATION_DEGRADATIONS,
    **FOREIGN_DEGRADATIONS,
    **VARIANT_DEGRADATIONS,
    **ELEMENTAL3_DEGRADATIONS,
}
"""Kinds of derivative that boot and can be installed anyway, and what is worse about them."""
