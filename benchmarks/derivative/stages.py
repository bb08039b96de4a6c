"""The recipe: one stage makes one layer of the image."""

from __future__ import annotations

import hashlib
import inspect
import lzma
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.derivative.chroot import Chroot

__all__ = ["STAGES", "Stage", "keys"]

_HERE = Path(__file__).parent

_SYSTEM = """
    systemd systemd-sysv systemd-timesyncd udev dbus kmod libpam-systemd network-manager openssh-server haveged
    e2fsprogs dosfstools xfsprogs btrfs-progs parted gdisk fdisk mtools xorriso rsync squashfs-tools lvm2 dmsetup cryptsetup-bin
    util-linux procps psmisc lsof pciutils usbutils ethtool iproute2 iputils-ping iptables nftables socat conntrack
    ca-certificates curl wget less vim git jq htop strace tcpdump file sudo bash-completion man-db debianutils
    gzip bzip2 xz-utils zstd tar gnupg tzdata locales python3 python3-yaml python3-requests
    containerd runc nfs-common open-iscsi
"""
_BOOT_LOADER = """
    dracut dracut-network dracut-live grub-common grub2-common grub-pc-bin grub-efi-amd64-bin grub-efi-amd64-signed
    shim-signed efibootmgr
"""
_KERNEL = "linux-image-amd64 intel-microcode amd64-microcode"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the recipe: what it does to the tree, and the instruction that the image's history shows for it."""

    name: str
    apply: Callable[[Chroot], None]
    created_by: str
    opaque: tuple[str, ...] = ()


def _base(chroot: Chroot) -> None:
    chroot.debootstrap()
    for path in ("etc/apt/sources.list", "etc/resolv.conf"):
        chroot.write(path, "")
    chroot.remove("etc/hostname")
    chroot.remove("var/log/bootstrap.log")
    chroot.write("etc/kernel-img.conf", "do_symlinks = no\n")
    chroot.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    chroot.write("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")


def _system(chroot: Chroot) -> None:
    chroot.install(*_SYSTEM.split())
    chroot.run(
        "systemctl set-default multi-user.target\nrm -f /etc/ssh/ssh_host_*\necho uninitialized > /etc/machine-id\n"
        "for name in de_DE en_US fr_FR; do localedef -i $name -f UTF-8 $name.UTF-8; done"
    )
    # Host keys are made on the machine, at the first start.
    chroot.write(
        "etc/systemd/system/ssh.service.d/host-keys.conf",
        "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\n",
    )


def _boot_loader(chroot: Chroot) -> None:
    chroot.install(*_BOOT_LOADER.split())
    chroot.link("usr/sbin/grub2-install", "grub-install")
    chroot.link("usr/bin/grub2-editenv", "grub-editenv")
    chroot.link("usr/bin/grub2-mkimage", "grub-mkimage")


def _kernel(chroot: Chroot) -> None:
    chroot.install(*_KERNEL.split())
    version = _kernel_version(chroot)
    chroot.run(f"depmod -a {version}")
    chroot.link("boot/vmlinuz", f"vmlinuz-{version}")


def _trim(chroot: Chroot) -> None:
    """Removes what an image does not need; it stays in the layers below."""
    for directory in (
        "var/lib/apt/lists",
        "usr/share/man",
        "usr/share/info",
        "usr/share/lintian",
        "var/cache/debconf",
    ):
        for path in sorted((chroot.root / directory).glob("*")):
            chroot.remove(str(path.relative_to(chroot.root)))
    for path in sorted((chroot.root / "usr/share/doc").iterdir()):
        if path.is_dir() and not path.is_symlink() and path.name != "base-files":
            for child in sorted(path.iterdir()):
                if child.name != "copyright":
                    chroot.remove(str(child.relative_to(chroot.root)))
    for path in sorted((chroot.root / "var/cache/apt").rglob("*.*")):
        path.unlink()
    for name in ("usr/sbin/policy-rc.d", "var/log/apt", "var/log/dpkg.log", "var/log/alternatives.log"):
        chroot.remove(name)


def _renewed(chroot: Chroot) -> None:
    """Empties a directory and fills it again with a part of what it had: all of it is new to the layer."""
    directory = chroot.root / _CHARMAPS
    kept = {name: (directory / name).read_bytes() for name in ("UTF-8.gz", "ISO-8859-1.gz", "ISO-8859-15.gz")}
    shutil.rmtree(directory)
    directory.mkdir(mode=0o755)
    for name, content in kept.items():
        (directory / name).write_bytes(content)
    (directory / "aliases").mkdir()
    (directory / "aliases" / "latin1.gz").symlink_to("../ISO-8859-1.gz")


_CHARMAPS = "usr/share/i18n/charmaps"
_ODD = "usr/share/derivative"


def _odd(chroot: Chroot) -> None:
    """Everything that a tar can hold and a careless reader drops."""
    top = chroot.root / _ODD
    (top / "links").mkdir(parents=True)
    (top / "links" / "first").write_bytes(b"one file, three names\n" * 512)
    for name in ("second", "../third"):
        os.link(top / "links" / "first", top / "links" / name)
    # New names of files of the layers below.
    os.link(chroot.root / "usr/bin/less", top / "links" / "less")
    os.link(chroot.root / "etc/debian_version", chroot.root / "etc/derivative_base")
    for name, target in (
        ("relative", "../third"),
        ("absolute", f"/{_ODD}/third"),
        ("climbs", "../../../../../../../../usr/bin/less"),
        ("dangles", "no/such/file"),
        ("loops", "loops"),
        ("directory", "/usr/share/i18n"),
        ("long", "./" * 80 + "first"),
    ):
        (top / "links" / name).symlink_to(target)
    (top / "names").mkdir()
    for raw in (
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"latin-1-\xe9\xff",
        "日本語".encode(),
        b"line\nbreak",
        b" blank ",
        b"back\\slash",
        b"-dash",
        b"n" * 255,
    ):
        Path(os.fsdecode(os.fsencode(top / "names") + b"/" + raw)).write_bytes(raw)
    deep = top.joinpath(*(["deep-" + "x" * 45] * 6))
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("a path of more than 256 bytes\n")
    (top / "empty").write_bytes(b"")
    (top / "empty-directory").mkdir(mode=0o700)
    os.mkfifo(top / "fifo", 0o620)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "block", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    for name, mode, owner in (
        ("setuid", 0o4755, 0),
        ("setgid", 0o2755, 8),
        ("sticky", 0o1644, 65534),
        ("big-owner", 0o600, 3_000_000),
    ):
        path = top / name
        path.write_text(f"#!/bin/sh\n# {name}\n")
        os.chown(path, owner, owner)
        path.chmod(mode)
    (top / "attributes").write_text("extended\n")
    os.setxattr(top / "attributes", "user.origin", b"benchmark")
    os.setxattr(top / "attributes", "user.bytes", bytes(range(256)))
    # VFS_CAP_REVISION_2 with the effective bit; permitted: CAP_NET_RAW (bit 13), CAP_NET_BIND_SERVICE (bit 10).
    (top / "capable").write_text("#!/bin/sh\n")
    os.setxattr(
        top / "capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13 | 1 << 10, 0, 0, 0)
    )
    (top / "current").mkdir()
    for number in range(20):
        (top / "current" / f"theme-{number:02}").write_text(f"{number}\n" * 100)
    (top / "notes").write_text("a file, until the next layer\n")


def _replaced(chroot: Chroot) -> None:
    """A directory becomes a link, a file becomes a directory, a link becomes a file."""
    top = chroot.root / _ODD
    (top / "current").rename(top / "themes")
    (top / "current").symlink_to("themes")
    (top / "notes").unlink()
    (top / "notes" / "2022").mkdir(parents=True)
    (top / "notes" / "2022" / "april").write_text("now a directory\n")
    (top / "links" / "dangles").unlink()
    (top / "links" / "dangles").write_text("no longer\n")
    (top / "third").write_text("its own file now\n")


def _cos(chroot: Chroot) -> None:
    root = chroot.root
    for source in sorted((_HERE / "rootfs").rglob("*")):
        relative = source.relative_to(_HERE / "rootfs")
        target = root / relative
        if source.is_dir():
            target.mkdir(exist_ok=True)
            continue
        shutil.copyfile(source, target)
        executable = source.suffix == ".sh" or relative.parent.name == "sbin"
        target.chmod(0o600 if relative.parts[0] == "system" else 0o755 if executable else 0o644)
    _compile("elemental.c", root / "usr/bin/elemental")
    for name in ("luet", "cosign", "luet-cosign"):
        _compile("tool.c", root / "usr/bin" / name)
    database = root / "var/cache/luet/luet.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(lzma.decompress((_HERE / "luet-0.20.6-minimal.db.xz").read_bytes()))
    database.chmod(0o600)
    chroot.write("var/db/cos/meta_cos-minimal_0.9-2", "")
    chroot.run(
        "cp /usr/share/systemd/tmp.mount /etc/systemd/system/tmp.mount\n"
        "systemctl enable cos-setup-rootfs.service cos-setup-initramfs.service cos-setup-fs.service cos-setup-boot.service "
        "cos-setup-network.service cos-setup-reconcile.timer"
    )
    for path in ("oem", "system", "opt", "srv", "home", "root", "usr/local", "var"):
        (root / path).mkdir(exist_ok=True)


def _compile(source: str, target: Path) -> None:
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", str(target), str(_HERE / source)], check=True)
    target.chmod(0o755)


def _initrd(chroot: Chroot) -> None:
    version = _kernel_version(chroot)
    chroot.run(
        f"dracut --force --reproducible /boot/initrd-{version} {version}\nchmod 0644 /boot/initrd-{version}"
    )
    chroot.link("boot/initrd", f"initrd-{version}")
    chroot.remove("var/tmp/dracut.log")
    chroot.remove("var/log/dracut.log")


def _identity(chroot: Chroot) -> None:
    # /etc/os-release was a link into usr/lib, which keeps what Debian says.
    chroot.remove("etc/os-release")
    chroot.write(
        "etc/os-release",
        'NAME="Benchmark derivative"\nID=cos\nID_LIKE=debian\nVERSION="1.0"\nVERSION_ID=1.0\n'
        'PRETTY_NAME="Benchmark derivative 1.0"\nGRUB_ENTRY_NAME="Benchmark derivative"\n',
    )
    chroot.write("etc/machine-id", "uninitialized\n", 0o444)
    chroot.link("etc/resolv.conf", "../run/NetworkManager/resolv.conf")


def _kernel_version(chroot: Chroot) -> str:
    (modules,) = (chroot.root / "usr/lib/modules").iterdir()
    return modules.name


STAGES = (
    Stage("base", _base, "/bin/sh -c #(nop) ADD rootfs.tar in / "),
    Stage(
        "system",
        _system,
        f"RUN /bin/sh -c apt-get update && apt-get install -y {' '.join(_SYSTEM.split())} # buildkit",
    ),
    Stage(
        "boot-loader",
        _boot_loader,
        f"RUN /bin/sh -c apt-get install -y {' '.join(_BOOT_LOADER.split())} # buildkit",
    ),
    Stage("kernel", _kernel, f"RUN /bin/sh -c apt-get install -y {_KERNEL} # buildkit"),
    Stage(
        "trim",
        _trim,
        "RUN /bin/sh -c rm -rf /var/lib/apt/lists/* /usr/share/man/* /usr/share/info/* # buildkit",
    ),
    Stage("renewed", _renewed, f"COPY charmaps /{_CHARMAPS} # buildkit", opaque=(_CHARMAPS,)),
    Stage("odd", _odd, f"COPY odd /{_ODD} # buildkit"),
    Stage(
        "replaced",
        _replaced,
        f"RUN /bin/sh -c cd /{_ODD} && mv current themes && ln -s themes current # buildkit",
    ),
    Stage(
        "cos",
        _cos,
        "RUN /bin/sh -c luet install -y meta/cos-verify && luet install --plugin luet-cosign -y meta/cos-minimal # buildkit",
    ),
    Stage("initrd", _initrd, "RUN /bin/sh -c mkinitrd # buildkit"),
    Stage("identity", _identity, "COPY os-release /etc/os-release # buildkit"),
)


def keys() -> list[str]:
    """A key for each stage: it changes with the recipe's code and data, as far as that stage or one before it uses them."""
    chain = hashlib.sha256()
    for name in ("chroot.py", "layer.py", "snapshot.py"):
        chain.update((_HERE / name).read_bytes())
    result = []
    for stage in STAGES:
        chain.update(
            f"{stage.name}\n{stage.created_by}\n{stage.opaque}\n{inspect.getsource(stage.apply)}".encode()
        )
        if stage.apply is _cos:
            for path in sorted(_HERE.rglob("*")):
                if path.is_file() and path.suffix not in {".py", ".pyc"}:
                    chain.update(str(path.relative_to(_HERE)).encode() + b"\0" + path.read_bytes())
        result.append(chain.hexdigest())
    return result
