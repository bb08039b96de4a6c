"""The good derivatives that are booted: Debian, the toolkits' own files at their places, and stand-ins for programs and scripts.

Needs root, debootstrap, dracut's dependencies in Debian's archive, and Go. What is made is kept in a directory and made once.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from cosinspect.testing import File

STANDINS = Path(__file__).parent / "standins"
CLI = Path(__file__).parent.parent / "compat" / "elemental"
PACKAGES = (
    "systemd,systemd-sysv,udev,dbus,kmod,rsync,e2fsprogs,login,passwd,iproute2,iputils-ping,xz-utils,zstd,cpio,curl,"
    "isc-dhcp-client,dmsetup,libpam-systemd,less,procps,systemd-timesyncd"
)
LATER = "dracut dracut-network dracut-live linux-image-cloud-amd64"
"""Installed behind the others: debootstrap would take initramfs-tools along, which dracut excludes."""
NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/i18n", "var/cache/apt", "var/lib/apt/lists", "boot/initrd.img-*", "boot/System.map-*", "debootstrap")  # fmt: skip
LEAN = """\\
omit_dracutmodules+=" bluetooth btrfs cifs crypt dmraid fcoe fcoe-uefi iscsi lunmask lvm mdraid modsign nbd nfs nvdimm nvmf plymouth pollcdrom qemu-net "
omit_drivers+=" .*/drivers/(net|gpu|infiniband|media|nvme|usb|hv|xen|vdpa|vhost|crypto|platform|acpi|hid|iommu|cxl|nvdimm|target|ptp|thermal|edac)/.* .*/net/.* .*/fs/(btrfs|xfs|nfs|nfsd|cifs|smbfs_common|ceph|f2fs|gfs2|ocfs2|dlm|9p|afs|lockd|orangefs|udf|jfs|ntfs3|reiserfs)/.* "
"""
"""A configuration of our own: what this emulator's machines do not have is left out, so that they start sooner."""
LOADERS = ("shim-signed", "shim-helpers-amd64-signed", "grub-efi-amd64-bin", "grub-efi-amd64-signed")
"""Debian's shim, MokManager and GRUB, and GRUB's modules: unpacked, not installed."""


def run(*words, **options):
    subprocess.run([str(word) for word in words], check=True, **options)


def _prune(top):
    """Delete what no boot needs."""
    for pattern in NEEDLESS:
        for path in top.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


class Trees:
    """Makes what is booted, in a directory.

    Args:
        work: where it is kept.
        real: the toolkits' configuration files, by release.
    """

    def __init__(self, work, real):
        self.work = Path(work)
        self.real = Path(real)

    def debian(self):
        """Give the directory with Debian's files."""
        top = self.work / "debian"
        if (top / "made").exists():
            return top
        if not (top / "usr/bin/dracut").exists():
            mirror = "http://deb.debian.org/debian"
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", top, mirror)
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run(
                "chroot",
                top,
                "apt-get",
                "install",
                "-y",
                "--no-install-recommends",
                *LATER.split(),
                env=environment,
            )
        _prune(top)
        (top / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (top / "etc/machine-id").write_text("")
        (top / "made").touch()
        return top

    def elemental(self):
        """Give the program that runs stages by the code of elemental-cli."""
        program = self.work / "elemental"
        if not program.exists():
            source = self.work / "elemental-source"
            shutil.copytree(CLI, source, dirs_exist_ok=True)
            shutil.copy(STANDINS / "elemental.go.txt", source / "main.go")
            run(
                "go",
                "build",
                "-ldflags",
                "-s -w",
                "-o",
                program,
                ".",
                cwd=source,
                env={**os.environ, "CGO_ENABLED": "0"},
            )
        return program

    def loaders(self, generation):
        """Give the entries of a layer with shim, GRUB, MokManager and GRUB's modules, where the toolkit looks for them."""
        top = self.work / "loaders"
        if not (top / "usr").exists():
            packages = self.work / "loaders-packages"
            packages.mkdir(exist_ok=True)
            run("apt-get", "download", *LOADERS, cwd=packages)
            for package in packages.glob("*.deb"):
                run("dpkg-deb", "-x", package, top)
        bodies = {
            "shim.efi": (top / "usr/lib/shim/shimx64.efi.signed").read_bytes(),
            "MokManager.efi": (top / "usr/lib/shim/mmx64.efi.signed").read_bytes(),
            "grub.efi": (top / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed").read_bytes(),
        }
        places = {"shim.efi": "usr/share/efi/x86_64", "MokManager.efi": "usr/share/efi/x86_64"}
        entries = {
            f"{places.get(name, 'usr/share/grub2/x86_64-efi')}/{name}": File(body)
            for name, body in bodies.items()
        }
        if generation == "G5":
            place = "usr/lib/elemental/bootloader"
            entries = {
                f"{place}/{name.replace('MokManager', 'mm')}": File(body) for name, body in bodies.items()
            }
        modules = top / "usr/lib/grub/x86_64-efi"
        return entries | {
            f"usr/share/grub2/x86_64-efi/{name}": File((modules / name).read_bytes())
            for name in ("loopback.mod", "squash4.mod", "xzio.mod")
        }

    def image(self, generation):
        """Give the archive of a good derivative's tree."""
        archive = self.work / f"{generation}.tar"
        if archive.exists():
            return archive
        top = self.work / generation
        if top.exists():
            shutil.rmtree(top)
        run("cp", "-a", "--reflink=auto", self.debian(), top)
        (top / "made").unlink()
        shutil.copy(self.elemental(), top / "usr/bin/elemental")
        if generation == "bootc":
            self._ostree(top)
        else:
            {"G2": self._second, "G4": self._fourth, "G5": self._fifth}[generation](top)
        (top / "etc/dracut.conf.d/99-lean.conf").write_text(LEAN)
        for unit in (
            "apt-daily.timer",
            "apt-daily-upgrade.timer",
            "e2scrub_all.timer",
            "e2scrub_reap.service",
            "systemd-timesyncd.service",
            "fstrim.timer",
            "dpkg-db-backup.timer",
        ):
            for link in (top / "etc/systemd/system").rglob(unit):
                link.unlink()
        version = next((top / "usr/lib/modules").iterdir()).name
        name = self._boot_files(top, generation, version)
        self._in(top, "dracut", "--force", "--no-compress", "--no-early-microcode", f"/{name}", version)
        made = (
            ("usr/local", "tmp", "run")
            if generation == "bootc"
            else ("oem", "system/oem", "usr/local", "tmp", "run")
        )
        for path in made:
            (top / path).mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part")
        run("tar", "-C", top, "--numeric-owner", "--one-file-system", "-cf", part, ".")
        part.rename(archive)
        (self.work / f"{generation}.json").write_text(json.dumps({"version": version, "initrd": name}))
        return archive

    def _boot_files(self, top, generation, version):
        """Put the kernel where the generation has it, and give the initrd's path."""
        if generation == "bootc":
            modules = f"usr/lib/modules/{version}"
            (top / f"boot/vmlinuz-{version}").rename(top / modules / "vmlinuz")
            for path in (top / "boot").iterdir():
                path.unlink()
            return f"{modules}/initramfs.img"
        (top / "boot/vmlinuz").symlink_to(f"vmlinuz-{version}")
        name = f"elemental.initrd-{version}" if generation != "G2" else f"initrd-{version}"
        (top / "boot/initrd").symlink_to(name)
        return f"boot/{name}"

    def _in(self, top, *words):
        """Run a program of a tree."""
        for path in ("dev", "proc"):
            run("mount", "--bind", f"/{path}", top / path)
        try:
            run("chroot", top, *words, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        finally:
            for path in ("dev", "proc"):
                run("umount", top / path)

    # -- generations -----------------------------------------------------------------------------------------------

    def _put(self, top, place, *sources, mode=0o644):
        for source in sources:
            target = top / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() or place.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                target = target / source.name
            shutil.copy(source, target)
            target.chmod(mode)

    def _enable(self, top, prefix, links, units):
        for unit, target in links.items():
            link = top / "etc/systemd/system" / target / f"{prefix}-{unit}.service"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"/{units}/{prefix}-{unit}.service")

    def _second(self, top):
        real, own = self.real / "elemental-toolkit/v0.8.2/packages", STANDINS / "G2"
        module = "usr/lib/dracut/modules.d/30cos-immutable-rootfs/"
        self._put(top, module, *sorted(own.glob("*.sh")), mode=0o755)
        self._put(top, module, real / "immutable-rootfs/30cos-immutable-rootfs/cos-immutable-rootfs.service")
        confs = ("immutable-rootfs/02-cos-immutable-rootfs.conf", "cos-setup/02-cos-setup-initramfs.conf", "base-dracut-modules/50-cos-initrd.conf")  # fmt: skip
        self._put(top, "etc/dracut.conf.d/", *(real / each for each in confs))
        units = "usr/lib/systemd/system"
        self._put(
            top,
            f"{units}/",
            *sorted((real / "cos-setup").glob("*.service")),
            real / "cos-setup/cos-setup-reconcile.timer",
        )
        self._enable(top, "cos-setup", _LUET_LINKS, units)
        self._put(
            top,
            "system/oem/",
            *sorted((real / "cloud-config/oem").glob("*.yaml")),
            own / "00_rootfs.yaml",
            mode=0o600,
        )
        menus = self.real / "elemental-toolkit/v0.7.4/packages/grub2/config"
        self._put(top, "etc/cos/", menus / "bootargs.cfg", menus / "grub.cfg")

    def _fourth(self, top):
        real, own = self.real / "elemental-toolkit/v1.1.8/pkg/features/embedded", STANDINS / "G4"
        for feature in sorted(real.iterdir()):
            shutil.copytree(feature, top, dirs_exist_ok=True, symlinks=True)
        module = "usr/lib/dracut/modules.d/30elemental-immutable-rootfs/"
        self._put(top, module, *sorted(own.glob("*.sh")), mode=0o755)
        self._enable(top, "elemental-setup", _LUET_LINKS, "usr/lib/systemd/system")
        self._without_fsck(top / "etc/cos/bootargs.cfg")

    def _fifth(self, top):
        real, own = self.real / "elemental-toolkit/v2.3.2/pkg/features/embedded", STANDINS / "G5"
        for feature in sorted(real.iterdir()):
            if feature.name not in ("autologin", "arm-firmware", "boot-assessment"):
                shutil.copytree(feature, top, dirs_exist_ok=True, symlinks=True)
        modules = "usr/lib/dracut/modules.d"
        for module, name, files in (
            ("10elemental-setup", "setup", ("oem-generator.sh",)),
            ("20elemental-sysroot", "sysroot", ("elemental-cmdline.sh", "sysroot-generator.sh")),
            ("30elemental-rootfs", "rootfs", ()),
        ):
            self._put(top, f"{modules}/{module}/module-setup.sh", own / f"{name}-module-setup.sh", mode=0o755)
            for file in files:
                self._put(top, f"{modules}/{module}/{file}", own / file, mode=0o755)
        self._put(top, "usr/bin/elemental-mount", own / "elemental-mount.sh", mode=0o755)
        (top / "etc/elemental/config.yaml").write_text("reboot: false\n")
        self._enable(top, "elemental-setup", _SNAPSHOT_LINKS, "etc/systemd/system")
        self._enable(top, "elemental", {"rootfs": "initrd-fs.target.wants"}, "etc/systemd/system")
        self._without_fsck(top / "etc/elemental/bootargs.cfg")

    def _ostree(self, top):
        """Add Debian's ostree with its dracut module; bootc itself is no package of Debian 12."""
        self._in(
            top, "sh", "-c", "apt-get update && apt-get install -y --no-install-recommends ostree ostree-boot"
        )
        _prune(top)
        (top / "usr/bin/elemental").unlink()
        (top / "etc/dracut.conf.d/ostree.conf").write_text('add_dracutmodules+=" ostree "\n')
        (top / "sysroot").mkdir()
        (top / "ostree").symlink_to("sysroot/ostree")

    def _without_fsck(self, path):
        """Leave out what makes a boot a matter of chance (a mount and a check of the same partition race)."""
        path.write_text(path.read_text().replace(" fsck.mode=force fsck.repair=yes", ""))


_LUET_LINKS = {
    "rootfs": "initrd-fs.target.requires",
    "initramfs": "initrd.target.requires",
    "fs": "sysinit.target.wants",
    "boot": "multi-user.target.wants",
    "network": "multi-user.target.wants",
}
_SNAPSHOT_LINKS = {
    "pre-rootfs": "initrd-root-device.target.wants",
    "rootfs": "initrd-root-fs.target.wants",
    "initramfs": "initrd.target.wants",
    "fs": "sysinit.target.wants",
    "boot": "multi-user.target.wants",
    "network": "multi-user.target.wants",
}
