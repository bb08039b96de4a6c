"""What a small derivative is made of: its layers and the members of its initrd, before they become blobs."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from importlib import resources

from attrs import Factory, define

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
    unified_kernel_image,
)
from cosinspect.testing.derivative import elemental3_files as elemental3
from cosinspect.testing.derivative import elemental_files as elemental
from cosinspect.testing.derivative import foreign_files as foreign
from cosinspect.testing.derivative import programs
from cosinspect.testing.derivative import system_files as system
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.elf_files import elf_file
from cosinspect.testing.layers import Directory, Entry, File, Hardlink, Symlink, Whiteout
from cosinspect.testing.table_writer import EditTable, SeekableFormat

__all__ = [
    "KERNEL_VERSION",
    "Parts",
    "UnifiedParts",
    "initrd_of",
    "luet_database",
    "parts_of",
    "program",
    "unified_of",
]

KERNEL_VERSION = "6.1.0-50-amd64"

# Whose programs are linked as real ones are; those of the others are static, so that a test replaces each by itself.
_LINKED = ("G0", "G1", "G2", "G3", "G4", "G5", "G6")
_MODULE = "usr/lib/dracut/modules.d/30cos-immutable-rootfs"
_COMMANDS = {
    "usr/bin": "mount umount ls ln mkdir rm sort basename findmnt mountpoint rmdir rsync bash realpath lsblk systemctl",
    "usr/sbin": "losetup blkid udevadm",
}


_INSTALL_COMMANDS = "parted partprobe partx sgdisk mkfs.ext2 mkfs.ext4 mkfs.vfat fatlabel e2fsck tune2fs mksquashfs blkid losetup udevadm curl dd"
# What installation, upgrade and reset call beyond that.
_FURTHER_COMMANDS = {
    "usr/bin": "mv cp cat sync chmod tty flock nsenter diff head grep sed",
    "usr/sbin": "wipefs blkdeactivate resize2fs reboot",
}
# What adds partitions in the initrd at the first boot in a cloud.
_FIRSTBOOT_COMMANDS = "parted sgdisk partprobe mkfs.ext4"


def program(architecture: Architecture = "amd64") -> bytes:
    """Make a static program, which does nothing."""
    return elf_file(architecture)


@define
class UnifiedParts:
    """What a unified kernel image is made of besides the derivative's initrd.

    Attributes:
        kernel: the kernel.
        command_line: None if there is none.
        version: the kernel's release.
        os_release: what the boot menu shows.
        architecture: of the program.
        leave_out: names of sections that are not written.
        cut: what is done to the finished program.
    """

    kernel: bytes
    command_line: str | None
    version: str = KERNEL_VERSION
    os_release: str = "ID=cos\nNAME=cOS\n"
    architecture: Architecture = "amd64"
    leave_out: tuple[str, ...] = ()
    cut: Callable[[bytes], bytes] = bytes


@define
class Parts:
    """What a derivative is made of; a breakage changes it.

    Attributes:
        base, kernel, packages, boot: the layers, bottom first, as paths to entries.
        initrd: members of the initrd's main archive.
        compression: of that archive.
        microcode: whether an early archive is in front.
        cut: what is done to the finished initrd.
        top: a last layer, if it has entries.
        step: the step that made it.
        seekable: has every layer bring a table of contents along, of that kind.
        edit_table: changes the last layer's table, which it has then in any case.
        platform: of the image.
        unified: unified kernel images by path, which hold the initrd; where there is one, no other initrd is written.
        initrd_written: whether the initrd is a file of its own.
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
    seekable: SeekableFormat | None = None
    edit_table: EditTable | None = None
    platform: str = ""
    unified: dict[str, UnifiedParts] = Factory(dict)
    initrd_written: bool = True

    @property
    def initrd_path(self) -> str:
        """Where the initrd is, without a leading slash."""
        match self.generation:
            case "G4" | "G5":
                return f"boot/elemental.initrd-{KERNEL_VERSION}"
            case "G6":
                return f"usr/lib/modules/{KERNEL_VERSION}/initrd"
            case "bootc":
                return f"usr/lib/modules/{KERNEL_VERSION}/initramfs.img"
            case _:
                return f"boot/initrd-{KERNEL_VERSION}"

    def remove(self, *paths: str) -> None:
        """Have a last step delete `paths`; nothing is deleted of what is not there."""
        self.step = f"RUN rm -rf {' '.join('/' + path for path in paths)}"
        self.top.update({path: Whiteout() for path in paths if self._has(path)})

    def _has(self, path: str) -> bool:
        names = {*self.base, *self.kernel, *self.packages, *self.boot, *self.unified}
        if self.initrd_written:
            names.add(self.initrd_path)
        return path in names or any(name.startswith(f"{path}/") for name in names)

    def write(self, path: str, entry: Entry) -> None:
        """Have a last step write a file."""
        self.step = f"COPY overlay/{path} /{path}"
        self.top[path] = entry


def parts_of(generation: toolkit.GenerationName, architecture: Architecture) -> Parts:
    """Lay out a good derivative of a generation."""
    parts = Parts(generation, architecture)
    runs = executable(program(architecture))
    parts.base = {
        "bin": Symlink("usr/bin"),
        "sbin": Symlink("usr/sbin"),
        "lib": Symlink("usr/lib"),
        **system.root_files(runs=runs),
        "usr/lib/systemd/systemd": runs,
        "usr/sbin/init": Symlink("../lib/systemd/systemd"),
        "usr/lib/os-release": 'NAME="cOS"\nID=cos\nVERSION=1\nPRETTY_NAME="A small derivative"\nGRUB_ENTRY_NAME="derivative"\n',
        "etc/os-release": Symlink("../usr/lib/os-release"),
        "etc/shadow": File("root:*:19000:0:99999:7:::\n", mode=0o600),
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/machine-id": "uninitialized\n",
        "usr/bin/dracut": executable("#!/bin/bash\n"),
        "usr/sbin/grub2-install": runs,
        "usr/bin/grub2-editenv": runs,
        "var/cache/zypp/solv/index": "a cache\n",
        "opt/old/file": "left by the base\n",
        **{f"{top}/{name}": runs for top, names in _COMMANDS.items() for name in names.split()},
        **{f"usr/sbin/{name}": runs for name in _INSTALL_COMMANDS.split()},
        **{f"{top}/{name}": runs for top, names in _FURTHER_COMMANDS.items() for name in names.split()},
        **(programs.root_programs(architecture) if generation in _LINKED else {}),
        **{
            f"usr/lib/dracut/modules.d/{name}/module-setup.sh": executable("#!/bin/bash\n")
            for name in ("35network", "90dmsquash-live", "90livenet")
        },
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
        f"boot/config-{KERNEL_VERSION}": "CONFIG_OVERLAY_FS=m\nCONFIG_SQUASHFS_XZ=y\nCONFIG_SQUASHFS_ZLIB=y\n"
        + "".join(f"CONFIG_RD_{name}=y\n" for name in ("GZIP", "BZIP2", "LZMA", "XZ", "LZ4", "ZSTD")),
        "boot/vmlinuz": Symlink(f"vmlinuz-{KERNEL_VERSION}"),
        **{f"{modules}/{name}": body for name, body in system.module_files().items()},
        f"{modules}/kernel/fs/overlayfs/overlay.ko": b"\x7fELF",
        "var/cache/zypp": Whiteout(),
        "opt/old": Whiteout(),
    }
    parts.packages = _packages(generation, architecture, runs)
    parts.boot = {"boot/initrd": Symlink(parts.initrd_path.rpartition("/")[2])}
    parts.initrd = _initrd_members(generation, runs)
    if generation in _LINKED:
        parts.initrd |= programs.initrd_programs(architecture)
    if generation in ("G6", "bootc"):
        _keep_kernel_with_modules(parts)
    if generation == "G6":
        modules = f"usr/lib/modules/{KERNEL_VERSION}"
        parts.kernel[f"{modules}/.vmlinuz.hmac"] = f"{'0' * 128}  vmlinuz\n"
    parts.microcode = architecture == "amd64"
    return parts


def _keep_kernel_with_modules(parts: Parts) -> None:
    """Put kernel and initrd where ostree and Elemental 3 look for them, and nowhere else."""
    modules = f"usr/lib/modules/{KERNEL_VERSION}"
    parts.kernel[f"{modules}/vmlinuz"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.kernel[f"{modules}/config"] = parts.kernel.pop(f"boot/config-{KERNEL_VERSION}")
    del parts.kernel["boot/vmlinuz"]
    parts.boot = {}


def _packages(generation: toolkit.GenerationName, architecture: Architecture, runs: File) -> dict[str, Entry]:
    efi = {"amd64": "x86_64-efi", "arm64": "arm64-efi"}.get(architecture, f"{architecture}-efi")
    if generation == "bootc":
        return {**foreign.bootc_files(architecture, runs=runs), "opt/new": "kept\n"}
    if generation == "G6":
        return {**elemental3.image_files(architecture, runs=runs), "opt/new": Directory()}
    own: dict[str, Entry] = {
        f"{toolkit.config_directory(generation)}/bootargs.cfg": toolkit.bootargs(generation),
        f"{toolkit.config_directory(generation)}/grub.cfg": toolkit.grub_config(generation),
        "usr/bin/cosign": runs,
        "opt/new": "kept by the packages\n",
    }
    if generation == "kairos":
        return {**own, **foreign.kairos_files(efi=efi, runs=runs)}
    own |= {
        f"system/oem/{name}": File(text, mode=0o600)
        for name, text in toolkit.cloud_configs(generation).items()
    }
    if generation in ("G4", "G5"):
        return {**own, **elemental.image_files(second=generation == "G5", efi=efi, runs=runs)}
    boot_files = {
        **{
            f"usr/share/grub2/{efi}/{name}.mod": b"\x7fELF"
            for name in ("normal", "loopback", "squash4", "xzio")
        },
        f"usr/share/grub2/{efi}/grub.efi": b"MZ grub",
        f"usr/share/efi/{toolkit.SHARE.get(efi, efi)}/shim.efi": b"MZ shim",
        f"usr/share/efi/{toolkit.SHARE.get(efi, efi)}/MokManager.efi": b"MZ mok",
    }
    return {**own, **boot_files, **_luet_packages(generation, runs)}


def _module(generation: toolkit.GenerationName) -> dict[str, Entry]:
    """The dracut module of the luet tree."""
    found: dict[str, Entry] = {
        "module-setup.sh": executable(toolkit.module_setup(generation)),
        "cos-generator.sh": executable(toolkit.generator()),
    }
    if generation == "G0":
        hooks = {path.rpartition("/")[2][3:]: text for path, text in toolkit.first_hooks().items()}
        return {**found, **{name: executable(text) for name, text in hooks.items()}}
    third = "cos-fsck" if generation == "G3" else "cos-loop-img"
    return {
        **found,
        "cos-immutable-rootfs.service": _mount_unit(),
        "cos-mount-layout.sh": executable(toolkit.mount_script()),
        "parse-cos-cmdline.sh": executable(toolkit.hook(generation)),
        f"{third}.sh": executable(toolkit.loop_script(generation)),
    }


def _luet_packages(generation: toolkit.GenerationName, runs: File) -> dict[str, Entry]:
    units = "usr/lib/systemd/system"
    enabled = "etc/systemd/system"
    links = [
        ("sysinit.target.wants", "fs"),
        ("multi-user.target.wants", "boot"),
        ("multi-user.target.wants", "network"),
    ]
    first = generation == "G0"
    stages = toolkit.STAGES[2:] if first else toolkit.STAGES
    configs = {} if first else toolkit.DRACUT_CONFIGS
    if not first:
        links += [("initrd-fs.target.requires", "rootfs"), ("initrd.target.requires", "initramfs")]
    found: dict[str, Entry] = {
        **{f"{_MODULE}/{name}": entry for name, entry in _module(generation).items()},
        **{f"etc/dracut.conf.d/{name}": text for name, text in configs.items()},
        **{f"{units}/cos-setup-{stage}.service": toolkit.setup_unit(stage, generation) for stage in stages},
        f"{units}/cos-setup-reconcile.timer": "[Timer]\nOnBootSec=5min\n",
        **{
            f"{enabled}/{top}/cos-setup-{stage}.service": Symlink(f"/{units}/cos-setup-{stage}.service")
            for top, stage in links
        },
        f"{enabled}/multi-user.target.wants/cos-setup-reconcile.timer": Symlink(
            f"/{units}/cos-setup-reconcile.timer"
        ),
        "etc/cos/grubenv_firstboot": "# GRUB Environment Block\nnext_entry=recovery\n",
        "etc/cos/config": "UPGRADE_IMAGE=quay.io/org/os:latest\n",
        "etc/luet/luet.yaml": "repositories:\n- name: cos\n  type: docker\n  enable: true\n  cached: true\n  urls: [quay.io/org/packages]\n",
        "usr/bin/luet": runs,
        "usr/bin/luet-cosign": runs,
        "usr/bin/luet-mtree": Hardlink("usr/bin/luet", mode=0o755),
        "var/db/cos/meta_cos-minimal_0.9-2": "",
        "var/cache/luet/luet.db": File(luet_database("luet-0.20.6-minimal.db.xz"), mode=0o600),
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
    }
    # The database is one that luet 0.20.6 wrote for a derivative of G2, which carries yip beside elemental.
    found["usr/bin/yip"] = runs
    if generation in ("G0", "G1"):
        found["usr/bin/cos-setup"] = executable('#!/bin/bash\nexec yip -s "$1" /system/oem /oem\n')
    else:
        found["usr/bin/elemental"] = runs
    return found


def _mount_unit() -> str:
    return "[Unit]\nDescription=Immutable root\nDefaultDependencies=no\n\n[Service]\nType=oneshot\nExecStart=/sbin/cos-mount-layout\n"


def _initrd_members(generation: toolkit.GenerationName, runs: File) -> dict[str, InitrdEntry]:
    modules = f"usr/lib/modules/{KERNEL_VERSION}"
    own = {
        "G4": "elemental-immutable-rootfs",
        "G6": "btrfs\nignition",
        "kairos": "immucore",
        "bootc": "ostree",
    }
    own["G5"] = "elemental-setup\nelemental-sysroot\nelemental-rootfs"
    module = own.get(generation, "cos-immutable-rootfs")
    common: dict[str, InitrdEntry] = {
        "bin": Symlink("usr/bin"),
        "sbin": Symlink("usr/sbin"),
        "lib": Symlink("usr/lib"),
        "init": Symlink("usr/lib/systemd/systemd"),
        **system.initrd_base(runs=runs),
        "usr/lib/systemd/systemd": runs,
        "usr/lib/systemd/systemd-fsck": runs,
        "usr/lib/dracut-lib.sh": toolkit.dracut_library(),
        "usr/lib/dracut/modules.txt": f"bash\nsystemd\nnetwork\ndm\ndmsquash-live\nlivenet\nrootfs-block\n{module}\nbase\n",
        "usr/lib/dracut/build-parameter.txt": f"--no-hostonly --xz -f /boot/initrd-{KERNEL_VERSION} {KERNEL_VERSION}\n",
        "usr/sbin/initqueue": executable(),
        "etc/hosts": "127.0.0.1 localhost\n",
        **{f"{top}/{name}": runs for top, names in _COMMANDS.items() for name in names.split()},
        **{f"{modules}/{path}": b"\x7fELF" for path in system.MODULES},
        **{f"{modules}/{name}": body for name, body in system.module_files().items()},
        **{f"usr/sbin/{name}": runs for name in _FIRSTBOOT_COMMANDS.split()},
    }  # fmt: skip
    match generation:
        case "G4" | "G5":
            return {**common, **elemental.initrd_files(second=generation == "G5", runs=runs)}
        case "G6":
            own_modules: dict[str, tuple[str, ...]] = {"kernel/fs/btrfs/btrfs.ko": ()}
            index = system.module_files({**system.MODULES, **own_modules})
            common |= {f"{modules}/{name}": body for name, body in index.items()}
            return {**common, **elemental3.initrd_files(KERNEL_VERSION, runs=runs)}
        case "kairos":
            return {**common, **foreign.kairos_initrd_files(runs=runs)}
        case "bootc":
            return {**common, "usr/lib/ostree/ostree-prepare-root": runs}
        case _:
            return {**common, **_luet_members(generation, runs)}


def _luet_members(generation: toolkit.GenerationName, runs: File) -> dict[str, InitrdEntry]:
    units = "usr/lib/systemd/system"
    hooks = "usr/lib/dracut/hooks"
    runners = ("yip", "cos-setup") if generation in ("G0", "G1") else ("elemental",)
    found: dict[str, InitrdEntry] = {
        "usr/lib/systemd/system-generators/dracut-cos-generator": executable(toolkit.generator()),
        **{f"usr/bin/{name}": runs for name in runners},
    }
    if generation == "G0":
        texts = toolkit.first_hooks().items()
        return {**found, **{f"{hooks}/{path}": executable(text) for path, text in texts}}
    third = "cos-fsck" if generation == "G3" else "cos-loop-img"
    return {
        **found,
        f"{hooks}/cmdline/30-parse-cos-cmdline.sh": executable(toolkit.hook(generation)),
        "usr/sbin/cos-mount-layout": executable(toolkit.mount_script()),
        f"usr/sbin/{third}": executable(toolkit.loop_script(generation)),
        f"{units}/cos-immutable-rootfs.service": _mount_unit(),
        # dracut's link, wrong in its target and right in its name, as it really is.
        f"{units}/initrd-fs.target.requires/cos-immutable-rootfs.service": Symlink("../../../../../../cos-immutable-rootfs.service"),
        f"{units}/cos-setup-rootfs.service": toolkit.setup_unit("rootfs", generation),
        f"{units}/cos-setup-initramfs.service": toolkit.setup_unit("initramfs", generation),
        "etc/systemd/system/initrd-fs.target.requires/cos-setup-rootfs.service": Symlink(f"/{units}/cos-setup-rootfs.service"),
        "etc/systemd/system/initrd.target.requires/cos-setup-initramfs.service": Symlink(f"/{units}/cos-setup-initramfs.service"),
    }  # fmt: skip


def initrd_of(parts: Parts) -> bytes:
    """Pack the initrd, microcode in front."""
    main = compress_initrd(cpio_archive(parts.initrd), parts.compression)
    return parts.cut(join_segments(microcode_archive(), main) if parts.microcode else main)


def unified_of(parts: Parts) -> dict[str, bytes]:
    """Make the unified kernel images, each with the derivative's initrd."""
    initrd = initrd_of(parts) if parts.unified else b""
    return {
        path: each.cut(
            unified_kernel_image(
                each.kernel,
                initrd,
                version=each.version,
                architecture=each.architecture,
                command_line=each.command_line,
                os_release=each.os_release,
                leave_out=each.leave_out,
            )
        )
        for path, each in parts.unified.items()
    }


def luet_database(name: str) -> bytes:
    """Return one of the databases that come with the package: `luet-0.20.6-minimal.db.xz`, `bad-trunc-half.db.xz`."""
    return lzma.decompress((resources.files("cosinspect.testing") / "data" / name).read_bytes())
