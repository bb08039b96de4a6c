"""A small derivative: true formats, true names, a few hundred kilobytes, and every way it is known to break.

`derivative()` has everything that the checks ask of an image that boots and can be installed. `BREAKAGES` are the ways
in which derivatives really broke; each names the check that must find it.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable, Mapping
from importlib import resources

from attrs import Factory, define, frozen

from cosinspect.testing import toolkit_files as toolkit
from cosinspect.testing.bootfiles import (
    Architecture,
    InitrdCompression,
    InitrdEntry,
    compress_initrd,
    cpio_archive,
    executable,
    join_segments,
    linux_kernel,
    microcode_archive,
)
from cosinspect.testing.images import BuiltImage, ImageBuilder
from cosinspect.testing.layers import Directory, Entry, File, Hardlink, Opaque, Symlink, Whiteout

__all__ = ["BREAKAGES", "KERNEL_VERSION", "Breakage", "derivative", "program"]

KERNEL_VERSION = "6.1.0-50-amd64"

_MODULE = "usr/lib/dracut/modules.d/30cos-immutable-rootfs"
_STAGES = ("rootfs", "initramfs", "fs", "boot", "network", "reconcile")
_MACHINES = {"amd64": 62, "386": 3, "arm64": 183, "riscv64": 243}
_COMMANDS = {
    "usr/bin": "mount umount ls ln mkdir rm sort basename findmnt mountpoint rsync bash realpath lsblk systemctl",
    "usr/sbin": "losetup blkid udevadm",
}


def program(architecture: Architecture = "amd64") -> bytes:
    """Make the header of a static program; nothing runs in it."""
    bits = 1 if architecture == "386" else 2
    identity = b"\x7fELF" + bytes([bits, 1, 1, 0]) + bytes(8)
    if bits == 1:
        return identity + struct.pack(
            "<HHIIIIIHHHHHH", 2, _MACHINES[architecture], 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0
        )
    return identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, _MACHINES[architecture], 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0
    )


@define
class Parts:
    """What a derivative is made of; a breakage changes it.

    Attributes:
        base, kernel, packages, boot: the layers, bottom first, as paths to entries.
        initrd: members of the initrd's main archive.
        compression: of that archive.
        microcode: whether an early archive stands in front.
        cut: what is done to the finished initrd.
        top: a last layer, if it has entries.
        step: the step that made it.
        platform: of the image.
    """

    generation: toolkit.GenerationName
    architecture: Architecture
    base: dict[str, Entry] = Factory(dict)
    kernel: dict[str, Entry] = Factory(dict)
    packages: dict[str, Entry] = Factory(dict)
    boot: dict[str, Entry] = Factory(dict)
    initrd: dict[str, InitrdEntry] = Factory(dict)
    compression: InitrdCompression = "xz"
    microcode: bool = True
    cut: Callable[[bytes], bytes] = Factory(lambda: bytes)
    top: dict[str, Entry] = Factory(dict)
    step: str = ""
    platform: str = ""

    def remove(self, *paths: str) -> None:
        """Have a last step delete `paths`."""
        self.step = f"RUN rm -rf {' '.join('/' + path for path in paths)}"
        self.top.update({path: Whiteout() for path in paths})

    def write(self, path: str, entry: Entry) -> None:
        """Have a last step write a file."""
        self.step = f"COPY overlay/{path} /{path}"
        self.top[path] = entry


@frozen
class Breakage:
    """One way in which a derivative breaks.

    Attributes:
        summary: what was done to it.
        check: the id of the check that must find it, and no other.
        apply: does it.
    """

    summary: str
    check: str
    apply: Callable[[Parts], None]


def derivative(
    broken: str | None = None,
    *,
    generation: toolkit.GenerationName = "G2",
    architecture: Architecture = "amd64",
) -> BuiltImage:
    """Make a derivative, broken in one of the ways of `BREAKAGES` or not at all.

    Raises:
        KeyError: there is no such breakage.
    """
    parts = _parts(generation, architecture)
    if broken is not None:
        BREAKAGES[broken].apply(parts)
    builder = (
        ImageBuilder(
            platform=parts.platform or f"linux/{architecture}", labels={"flavor": "demo"}, cmd=["/bin/bash"]
        )
        .layer(parts.base, created_by="ADD base.tar /")
        .empty_layer("ENV COSIGN_EXPERIMENTAL=1")
        .layer(
            parts.kernel,
            created_by="RUN zypper in -y kernel-default && rm -rf /var/cache/zypp",
            compression="zstd",
        )
        .layer(parts.packages, created_by="RUN luet install -y meta/cos-minimal meta/cos-verify")
        .layer(
            {**parts.boot, f"boot/initrd-{KERNEL_VERSION}": _initrd(parts)},
            created_by=f"RUN dracut -f /boot/initrd-{KERNEL_VERSION} {KERNEL_VERSION}",
        )
    )
    if parts.top:
        # Parents written again would replace the links that they are; a real diff lists what it changed.
        builder = builder.layer(parts.top, created_by=parts.step, parents=False)
    return builder.build()


def _parts(generation: toolkit.GenerationName, architecture: Architecture) -> Parts:
    parts = Parts(generation, architecture)
    runs = executable(program(architecture))
    parts.base = {
        "bin": Symlink("usr/bin"),
        "sbin": Symlink("usr/sbin"),
        "lib": Symlink("usr/lib"),
        "usr/lib/systemd/systemd": runs,
        "usr/sbin/init": Symlink("../lib/systemd/systemd"),
        "usr/lib/os-release": 'NAME="cOS"\nID=cos\nVERSION=1\nPRETTY_NAME="A small derivative"\nGRUB_ENTRY_NAME="derivative"\n',
        "etc/os-release": Symlink("../usr/lib/os-release"),
        "etc/shadow": File("root:*:19000:0:99999:7:::\n", mode=0o600),
        "etc/hosts": "127.0.0.1 localhost\n",
        "usr/bin/dracut": executable("#!/bin/bash\n"),
        "usr/sbin/grub2-install": runs,
        "usr/bin/grub2-editenv": runs,
        "var/cache/zypp/solv/index": "a cache\n",
        "opt/old/file": "left by the base\n",
        **{f"{top}/{name}": runs for top, names in _COMMANDS.items() for name in names.split()},
        **{
            name: Directory()
            for name in (
                "boot",
                "dev",
                "home",
                "oem",
                "opt",
                "proc",
                "root",
                "run",
                "srv",
                "sys",
                "usr/local",
            )
        },
        "tmp": Directory(mode=0o1777),
    }
    modules = f"usr/lib/modules/{KERNEL_VERSION}"
    parts.kernel = {
        f"boot/vmlinuz-{KERNEL_VERSION}": linux_kernel(KERNEL_VERSION, architecture),
        f"boot/config-{KERNEL_VERSION}": "CONFIG_OVERLAY_FS=m\n"
        + "".join(f"CONFIG_RD_{name}=y\n" for name in ("GZIP", "BZIP2", "LZMA", "XZ", "LZ4", "ZSTD")),
        "boot/vmlinuz": Symlink(f"vmlinuz-{KERNEL_VERSION}"),
        f"{modules}/modules.dep": "kernel/fs/overlayfs/overlay.ko:\n",
        f"{modules}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
        f"{modules}/kernel/fs/overlayfs/overlay.ko": b"\x7fELF",
        "var/cache/zypp": Whiteout(),
        "opt": Opaque(),
    }
    parts.packages = _packages(generation, runs)
    parts.boot = {"boot/initrd": Symlink(f"initrd-{KERNEL_VERSION}")}
    parts.initrd = _initrd_members(generation, runs)
    parts.microcode = architecture == "amd64"
    return parts


def _packages(generation: toolkit.GenerationName, runs: File) -> dict[str, Entry]:
    units = "usr/lib/systemd/system"
    enabled = "etc/systemd/system"
    third = "cos-fsck" if generation == "G3" else "cos-loop-img"
    found: dict[str, Entry] = {
        f"{_MODULE}/module-setup.sh": executable(toolkit.module_setup(generation)),
        f"{_MODULE}/cos-generator.sh": executable(toolkit.generator()),
        f"{_MODULE}/cos-immutable-rootfs.service": _mount_unit(),
        f"{_MODULE}/cos-mount-layout.sh": executable(toolkit.mount_script()),
        f"{_MODULE}/parse-cos-cmdline.sh": executable(toolkit.hook(generation)),
        f"{_MODULE}/{third}.sh": executable(toolkit.loop_script(generation)),
        **{f"etc/dracut.conf.d/{name}": text for name, text in toolkit.DRACUT_CONFIGS.items()},
        **{f"{units}/cos-setup-{stage}.service": toolkit.setup_unit(stage, generation) for stage in _STAGES},
        f"{units}/cos-setup-reconcile.timer": "[Timer]\nOnBootSec=5min\n",
        f"{enabled}/initrd-fs.target.requires/cos-setup-rootfs.service": Symlink(
            "/usr/lib/systemd/system/cos-setup-rootfs.service"
        ),
        f"{enabled}/initrd.target.requires/cos-setup-initramfs.service": Symlink(
            "/usr/lib/systemd/system/cos-setup-initramfs.service"
        ),
        f"{enabled}/sysinit.target.wants/cos-setup-fs.service": Symlink(
            "/usr/lib/systemd/system/cos-setup-fs.service"
        ),
        f"{enabled}/multi-user.target.wants/cos-setup-boot.service": Symlink(
            "/usr/lib/systemd/system/cos-setup-boot.service"
        ),
        "etc/cos/bootargs.cfg": toolkit.bootargs(generation),
        "etc/cos/grub.cfg": toolkit.grub_config(),
        "etc/cos/grubenv_firstboot": "# GRUB Environment Block\nnext_entry=recovery\n",
        "etc/cos/config": "UPGRADE_IMAGE=quay.io/org/os:latest\n",
        "etc/luet/luet.yaml": "repositories:\n- name: cos\n  type: docker\n  enable: true\n  cached: true\n  urls: [quay.io/org/packages]\n",
        **{f"system/oem/{name}": File(text, mode=0o600) for name, text in toolkit.CLOUD_CONFIGS.items()},
        "usr/bin/luet": runs,
        "usr/bin/luet-cosign": runs,
        "usr/bin/luet-mtree": Hardlink("usr/bin/luet"),
        "usr/bin/cosign": runs,
        "var/db/cos/meta_cos-minimal_0.9-2": "",
        "var/cache/luet/luet.db": File(_database("luet-0.20.6-minimal.db.xz"), mode=0o600),
        **{
            f"usr/sbin/{name}": executable()
            for name in (
                "cos",
                "suc-upgrade",
                "cos-installer",
                "cos-upgrade",
                "cos-reset",
                "cos-deploy",
                "cos-rebrand",
            )
        },
        "opt/new": "kept by the packages\n",
    }
    # The database is one that luet 0.20.6 wrote for a derivative of G2, which carries yip beside elemental.
    found["usr/bin/yip"] = runs
    if generation == "G1":
        found["usr/bin/cos-setup"] = executable('#!/bin/bash\nexec yip -s "$1" /system/oem /oem\n')
    else:
        found["usr/bin/elemental"] = runs
    return found


def _mount_unit() -> str:
    return "[Unit]\nDescription=Immutable root\nDefaultDependencies=no\n\n[Service]\nType=oneshot\nExecStart=/sbin/cos-mount-layout\n"


def _initrd_members(generation: toolkit.GenerationName, runs: File) -> dict[str, InitrdEntry]:
    units = "usr/lib/systemd/system"
    modules = f"usr/lib/modules/{KERNEL_VERSION}/kernel"
    third = "cos-fsck" if generation == "G3" else "cos-loop-img"
    runners = ("yip", "cos-setup") if generation == "G1" else ("elemental",)
    return {
        "bin": Symlink("usr/bin"),
        "sbin": Symlink("usr/sbin"),
        "lib": Symlink("usr/lib"),
        "init": Symlink("usr/lib/systemd/systemd"),
        "usr/lib/systemd/systemd": runs,
        "usr/lib/systemd/systemd-fsck": runs,
        "usr/lib/dracut-lib.sh": toolkit.dracut_library(),
        "usr/lib/dracut/modules.txt": "bash\nsystemd\nnetwork\ndm\ndmsquash-live\nlivenet\nrootfs-block\ncos-immutable-rootfs\nbase\n",
        "usr/lib/dracut/build-parameter.txt": f"--no-hostonly --xz -f /boot/initrd-{KERNEL_VERSION} {KERNEL_VERSION}\n",
        "usr/lib/dracut/hooks/cmdline/30-parse-cos-cmdline.sh": executable(toolkit.hook(generation)),
        "usr/lib/systemd/system-generators/dracut-cos-generator": executable(toolkit.generator()),
        "usr/sbin/cos-mount-layout": executable(toolkit.mount_script()),
        f"usr/sbin/{third}": executable(toolkit.loop_script(generation)),
        "usr/sbin/initqueue": executable(),
        f"{units}/cos-immutable-rootfs.service": _mount_unit(),
        # dracut's link, wrong in its target and right in its name, as it really is.
        f"{units}/initrd-fs.target.requires/cos-immutable-rootfs.service": Symlink("../../../../../../cos-immutable-rootfs.service"),
        f"{units}/cos-setup-rootfs.service": toolkit.setup_unit("rootfs", generation),
        f"{units}/cos-setup-initramfs.service": toolkit.setup_unit("initramfs", generation),
        "etc/systemd/system/initrd-fs.target.requires/cos-setup-rootfs.service": Symlink(f"/{units}/cos-setup-rootfs.service"),
        "etc/systemd/system/initrd.target.requires/cos-setup-initramfs.service": Symlink(f"/{units}/cos-setup-initramfs.service"),
        "etc/hosts": "127.0.0.1 localhost\n",
        **{f"usr/bin/{name}": runs for name in runners},
        **{f"{top}/{name}": runs for top, names in _COMMANDS.items() for name in names.split()},
        **{f"{modules}/{path}.ko": b"\x7fELF" for path in (
            "fs/overlayfs/overlay", "drivers/block/loop", "drivers/block/virtio_blk", "drivers/ata/ahci",
            "drivers/nvme/host/nvme", "drivers/scsi/sd_mod", "drivers/md/dm-mod",
        )},
    }  # fmt: skip


def _initrd(parts: Parts) -> bytes:
    main = compress_initrd(cpio_archive(parts.initrd), parts.compression)
    return parts.cut(join_segments(microcode_archive(), main) if parts.microcode else main)


def _database(name: str) -> bytes:
    return lzma.decompress((resources.files("cosinspect.testing") / "data" / name).read_bytes())


# -- breakages -------------------------------------------------------------------------------------------------------


def _removes(*paths: str) -> Callable[[Parts], None]:
    return lambda parts: parts.remove(*paths)


def _writes(path: str, entry: Entry) -> Callable[[Parts], None]:
    return lambda parts: parts.write(path, entry)


def _initrd_without(*names: str) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        for name in [path for path in parts.initrd if path in names or path.rpartition("/")[2] in names]:
            del parts.initrd[name]

    return apply


def _initrd_with(**changes: InitrdEntry) -> Callable[[Parts], None]:
    return lambda parts: parts.initrd.update(
        {name.replace("__", "/"): entry for name, entry in changes.items()}
    )


def _cuts(cut: Callable[[bytes], bytes]) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        parts.cut = cut

    return apply


def _without_cos(parts: Parts) -> None:
    for path in [path for path in parts.initrd if "cos" in path]:
        del parts.initrd[path]
    listed = str(parts.initrd["usr/lib/dracut/modules.txt"])
    parts.initrd["usr/lib/dracut/modules.txt"] = listed.replace("cos-immutable-rootfs\n", "")


def _without_toolkit(parts: Parts) -> None:
    _without_cos(parts)
    parts.packages = {"opt/new": "no toolkit here\n"}


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
    parts.kernel[f"boot/config-{KERNEL_VERSION}"] = (
        "CONFIG_OVERLAY_FS=m\nCONFIG_RD_XZ=y\n# CONFIG_RD_ZSTD is not set\n"
    )


def _foreign_elemental(parts: Parts) -> None:
    other: Architecture = "arm64" if parts.architecture == "amd64" else "amd64"
    parts.write("usr/bin/elemental", executable(program(other)))


def _dangling_hardlink(parts: Parts) -> None:
    parts.write("usr/bin/tool", Hardlink("usr/bin/nowhere"))


def _bootargs(old: str, new: str) -> Callable[[Parts], None]:
    return lambda parts: parts.write(
        "etc/cos/bootargs.cfg", toolkit.bootargs(parts.generation).replace(old, new)
    )


BREAKAGES: Mapping[str, Breakage] = {
    "no-toolkit": Breakage(
        "nothing of the toolkit is in the image",
        "COS001",
        _without_toolkit,
    ),
    "dangling-hardlink": Breakage("a layer links to a file that is not there", "COS002", _dangling_hardlink),
    "kernel-removed": Breakage("a step removed /boot/vmlinuz", "COS010", _removes("boot/vmlinuz")),
    "kernel-dangling": Breakage(
        "a step removed the kernel that /boot/vmlinuz points to",
        "COS011",
        _removes(f"boot/vmlinuz-{KERNEL_VERSION}"),
    ),
    "kernel-loop": Breakage(
        "/boot/vmlinuz points to itself", "COS011", _writes("boot/vmlinuz", Symlink("vmlinuz"))
    ),
    "kernel-deep": Breakage(
        "/boot/vmlinuz lies behind eight links",
        "COS012",
        _long_chain("boot/vmlinuz", f"vmlinuz-{KERNEL_VERSION}"),
    ),
    "kernel-junk": Breakage(
        "the kernel is a text file",
        "COS013",
        _writes(f"boot/vmlinuz-{KERNEL_VERSION}", "not a kernel\n" * 400),
    ),
    "kernel-truncated": Breakage(
        "the kernel was cut short",
        "COS014",
        lambda parts: parts.write(
            f"boot/vmlinuz-{KERNEL_VERSION}", linux_kernel(KERNEL_VERSION, parts.architecture)[:40000]
        ),
    ),
    "kernel-foreign": Breakage("the kernel is for another architecture", "COS015", _foreign_kernel),
    "initrd-removed": Breakage("a step removed /boot/initrd", "COS020", _removes("boot/initrd")),
    "boot-emptied": Breakage(
        "the initrd the link points to was removed", "COS021", _removes(f"boot/initrd-{KERNEL_VERSION}")
    ),
    "initrd-deep": Breakage(
        "/boot/initrd lies behind eight links",
        "COS022",
        _long_chain("boot/initrd", f"initrd-{KERNEL_VERSION}"),
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
        "the initrd lacks cos-loop-img", "COS025", _initrd_without("cos-loop-img")
    ),
    "initrd-without-generator": Breakage(
        "the initrd lacks the generator", "COS025", _initrd_without("dracut-cos-generator")
    ),
    "initrd-without-links": Breakage(
        "the initrd has the units of the stages but not the links that start them",
        "COS025",
        _initrd_without(
            "etc/systemd/system/initrd-fs.target.requires/cos-setup-rootfs.service",
            "etc/systemd/system/initrd.target.requires/cos-setup-initramfs.service",
        ),
    ),
    "initrd-without-elemental": Breakage(
        "the initrd lacks elemental", "COS025", _initrd_without("usr/bin/elemental")
    ),
    "initrd-without-basename": Breakage(
        "the initrd lacks basename, as real ones did", "COS026", _initrd_without("basename")
    ),
    "initrd-without-sort": Breakage("the initrd lacks sort", "COS026", _initrd_without("sort")),
    "initrd-other-kernel": Breakage("the initrd was built for another kernel", "COS028", _other_modules),
    "initrd-without-overlay": Breakage(
        "the initrd lacks overlay.ko", "COS029", _initrd_without("overlay.ko")
    ),
    "initrd-hostonly": Breakage(
        "the initrd was built for the build container",
        "COS030",
        lambda parts: parts.initrd.update({"usr/lib/dracut/build-parameter.txt": "-H -f /boot/initrd\n"}),
    ),
    "initrd-zstd": Breakage("the kernel cannot unpack zstd", "COS032", _without_zstd),
    "no-grub-config": Breakage("a step removed grub.cfg", "COS040", _removes("etc/cos/grub.cfg")),
    "grub-config-empty": Breakage(
        "grub.cfg has no menu entry", "COS041", _writes("etc/cos/grub.cfg", "set timeout=10\n")
    ),
    "no-bootargs": Breakage("a step removed bootargs.cfg", "COS042", _removes("etc/cos/bootargs.cfg")),
    "bootargs-incomplete": Breakage(
        "bootargs.cfg sets no initramfs", "COS043", _bootargs("set initramfs=/boot/initrd\n", "")
    ),
    "placeholder": Breakage(
        "bootargs.cfg is an unrendered template", "COS044", _bootargs("COS_OEM", "@OEM_LABEL@")
    ),
    "bootargs-v2": Breakage(
        "bootargs.cfg is that of toolkit v2",
        "COS045",
        _writes(
            "etc/cos/bootargs.cfg",
            'set kernel=/boot/vmlinuz\nset initramfs=/boot/initrd\nset kernelcmd="root=LABEL=${state_label} elemental.image=${img}"\n',
        ),
    ),
    "bootargs-next": Breakage(
        "bootargs.cfg is that of the next generation",
        "COS045",
        lambda parts: parts.write(
            "etc/cos/bootargs.cfg", toolkit.bootargs("G3" if parts.generation != "G3" else "G2")
        ),
    ),
    "no-grub-tools": Breakage(
        "grub2-editenv is called grub-editenv", "COS047", _removes("usr/bin/grub2-editenv")
    ),
    "no-systemd": Breakage("a step removed systemd", "COS060", _removes("usr/lib/systemd/systemd")),
    "no-elemental": Breakage(
        "a step removed elemental", "COS062", _removes("usr/bin/elemental", "usr/bin/yip")
    ),
    "elemental-foreign": Breakage("elemental is for another architecture", "COS062", _foreign_elemental),
    "no-os-release": Breakage(
        "a step removed os-release", "COS064", _removes("usr/lib/os-release", "etc/os-release")
    ),
    "no-opt": Breakage("a step removed /opt", "COS065", _removes("opt")),
    "no-layout": Breakage("a step removed 00_rootfs.yaml", "COS070", _removes("system/oem/00_rootfs.yaml")),
}
"""Kinds of broken derivative by name; the check named in each finds it."""
