"""Applies the remedies of findings to the broken image that has them, as a further layer, and inspects the result.

A shell and the core utilities of this machine run what needs nothing else, in a directory that holds the image's tree;
systemctl and depmod run there by their own options for another root. What needs the network or dracut cannot run here: the
files of the packages that an instruction names are taken from the good derivative instead, by the lists below.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path

from attrs import evolve, frozen

from cosinspect import inspect
from cosinspect.globs import path_expression
from cosinspect.image.opening import open_image
from cosinspect.report.remedy import Needs, Remedy
from cosinspect.report.report import Finding, Kind, Report
from cosinspect.testing import ImageBuilder
from cosinspect.testing.bootfiles import executable
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, KERNEL_VERSION, builder_of, program
from cosinspect.testing.derivative.breakage import Breakage
from cosinspect.testing.derivative.parts import Parts, initrd_of, parts_of
from cosinspect.testing.derivative.variants import VARIANTS
from cosinspect.testing.entries import Directory, Entry, File, Symlink, Whiteout

KINDS: Mapping[str, Breakage] = {**BREAKAGES, **DEGRADATIONS}


@frozen
class Node:
    """What is at a path."""

    type: str
    mode: int = 0
    content: bytes = b""
    link: str = ""


_MODULES = "usr/lib/modules/**"
_KERNEL = ("boot/vmlinuz*", "boot/config-*", _MODULES)
_SYSTEMD = (
    "usr/lib/systemd/**",
    "usr/bin/{systemctl,journalctl,bootctl,systemd-*}",
    "usr/sbin/{init,udevadm}",
    "usr/lib/udev/**",
    "usr/lib/security/pam_systemd.so",
)
_GRUB = ("usr/share/grub2/**", "usr/lib/grub/**", "usr/lib/grub2/**")
_EFI = (
    *_GRUB,
    "usr/share/efi/**",
    "boot/efi/**",
    "usr/lib/bootupd/updates/EFI/**",
    "usr/lib/elemental/bootloader/**",
)
_LOGIN = ("usr/bin/{login,su}", "etc/pam.d/**", "usr/lib/security/**")
_MENU = ("etc/cos/*", "etc/elemental/*.cfg")

# What packages have, as the lists of files of SUSE, Fedora and the toolkit's definitions name them.
FILES: Mapping[str, tuple[str, ...]] = {
    "kernel-default": _KERNEL,
    "ucode-intel": (),
    "ucode-amd": (),
    "systemd": _SYSTEMD,
    "udev": (
        "usr/lib/systemd/systemd-udevd",
        "usr/lib/udev/**",
        "usr/*bin/udevadm",
        "usr/lib/systemd/system/systemd-udev*",
    ),
    "util-linux": (
        "usr/sbin/{agetty,blkid,losetup,wipefs,fstrim,fsfreeze,sfdisk,partx}",
        "usr/bin/{mount,umount,lsblk,findmnt,mountpoint,flock,nsenter,setpriv,wipefs,fstrim,fsfreeze,blkid,sfdisk}",
        *_LOGIN,
    ),
    "pam": ("usr/lib/security/**", "etc/pam.d/**"),
    "parted": ("usr/sbin/{parted,partprobe}",),
    "gptfdisk": ("usr/sbin/sgdisk",),
    "e2fsprogs": ("usr/sbin/{mkfs.ext2,mkfs.ext3,mkfs.ext4,e2fsck,tune2fs,resize2fs}",),
    "dosfstools": ("usr/*bin/{mkfs.vfat,mkfs.fat,fatlabel}",),
    "xfsprogs": ("usr/*bin/mkfs.xfs",),
    "lvm2": ("usr/*bin/blkdeactivate",),
    "coreutils": (
        "usr/bin/{basename,cat,chmod,cp,dd,head,ln,ls,mkdir,mv,realpath,rm,rmdir,sort,sync,tty,chcon}",
    ),
    "bash": ("usr/bin/bash",),
    "bash-sh": ("usr/bin/sh",),
    "kmod": ("usr/bin/kmod", "usr/sbin/{modprobe,depmod,insmod,lsmod}"),
    "rsync": ("usr/bin/rsync",),
    "dracut": ("usr/bin/dracut", "usr/lib/dracut/modules.d/{90dmsquash-live,90livenet,35network}/**"),
    "policycoreutils": ("usr/sbin/setfiles",),
    "selinux-policy-targeted": ("etc/selinux/**",),
    "grub2": ("usr/sbin/grub2-*", "usr/bin/grub2-*", "usr/share/grub2/**"),
    "grub2-x86_64-efi": (*_GRUB, "usr/share/efi/x86_64/grub.efi"),
    "grub2-i386-pc": ("usr/*/grub*/i386-pc/**",),
    "shim": _EFI,
    "openSUSE-release": ("usr/lib/os-release", "etc/os-release"),
    "snapper": ("usr/bin/snapper", "usr/lib/snapper/**", "usr/share/snapper/**", "etc/snapper/**"),
    "systemd-experimental": ("usr/*bin/systemd-repart",),
    "libkcapi-tools": (),
    "cryptsetup": ("usr/sbin/cryptsetup",),
    "elemental3ctl": ("usr/bin/elemental3ctl",),
    "ignition": (),
    "newt": ("usr/bin/whiptail",),
    "nfs-client": ("usr/sbin/mount.nfs",),
    "sudo": ("usr/bin/sudo",),
    "less": ("usr/bin/less",),
    "skopeo": ("usr/bin/skopeo",),
    "podman": ("usr/bin/podman",),
    "zstd": ("usr/bin/zstd",),
    "libostree": ("usr/bin/ostree",),
    "bootupd": ("usr/bin/bootupctl",),
    "systemd-boot": ("usr/lib/systemd/boot/**",),
    "system/grub-config": _MENU,
    "system/grub2-config": _MENU,
    "system/cos-config": ("etc/cos/config",),
    "system/immutable-rootfs": (
        "usr/lib/dracut/modules.d/30cos-immutable-rootfs/**",
        "etc/dracut.conf.d/02-cos-*",
    ),
    "system/cos-setup": ("usr/lib/systemd/system/cos-*", "etc/systemd/system/**/cos-*", "usr/bin/cos-setup"),
    "system/base-dracut-modules": ("etc/dracut.conf.d/50-cos-initrd.conf", "usr/lib/dracut/modules.d/**"),
    "system/cloud-config": ("system/oem/*",),
    "cloud-config/upgrade_grub_hooks": ("system/oem/*hook*",),
    "toolchain/elemental-cli": ("usr/bin/elemental",),
    "toolchain/yip": ("usr/bin/yip",),
    "toolchain/luet": ("usr/bin/luet*", "etc/luet/**"),
    "utils/installer": ("usr/sbin/cos-*",),
    "meta/cos-verify": ("usr/bin/{cosign,luet-cosign}",),
}
_PROGRAM = Node("file", 0o755, program("amd64"))
# What packages have that good derivatives lack.
FURTHER: Mapping[str, Node] = {
    "usr/bin/whiptail": _PROGRAM,
    "usr/sbin/setfiles": _PROGRAM,
    "usr/sbin/cryptsetup": _PROGRAM,
    "etc/selinux/targeted/policy/policy.33": Node("file", 0o644, b"\x8c\xff\x7c\xf9\x08\0\0\0SE Linux"),
}
# What `elemental init` and kairos-init write.
_INIT = (
    *_MENU,
    "etc/dracut.conf.d/*",
    "system/oem/*",
    "usr/lib/dracut/modules.d/**",
    "usr/lib/systemd/system/{elemental,cos}-*",
    "etc/systemd/system/**/elemental-*",
    "boot/*",
)
_KAIROS = (
    *_MENU,
    "etc/kairos-release",
    "etc/dracut.conf.d/*",
    "system/**",
    "usr/lib/dracut/modules.d/**",
    "usr/bin/{kairos*,immucore,kcrypt*,sudo,less,edgevpn,elemental}",
    "usr/sbin/{suc-upgrade,mount.nfs}",
)


Tree = Mapping[str, Node]


class How(Enum):
    """How the remedies of a breakage were tried."""

    SHELL = "a shell"
    IMAGE = "a program of the image"
    NETWORK = "the network"
    OMITTED = "a step left out"
    BY_HAND = "by hand"


@frozen
class Outcome:
    """What came of the remedies of a breakage.

    Attributes:
        how: the means that the instructions need; the step that is left out if there are none.
        commands: the instructions.
        left: the checks that still fail after the instructions, and that did not fail before.
        left_omitted: the same without the layer that the remedy names, None if it names none.
        checks: the checks that failed.
    """

    how: How
    commands: tuple[str, ...]
    left: tuple[str, ...]
    left_omitted: tuple[str, ...] | None = None
    checks: tuple[str, ...] = ()


def tree_of(name: str) -> Tree:
    """Read the merged tree of an image."""
    with open_image(name) as image:
        rootfs = image.read_rootfs(("**",))
        entries = [entry for entry in rootfs.walk("/") if entry.path != "/"]
        bodies = {place: b"".join(pieces) for place, pieces in rootfs.contents(entries)}
        return {
            entry.path[1:]: Node(
                entry.type,
                entry.mode,
                bodies.get(rootfs.place(entry), b"") if entry.type == "file" and entry.size else b"",
                entry.link,
            )
            for entry in entries
            if entry.type in ("file", "dir", "symlink")
        }


@cache
def _good(name: str, scratch: str) -> tuple[Parts, Tree]:
    """The parts and the tree of a good derivative or variant."""
    parts = VARIANTS[name].parts() if name in VARIANTS else parts_of(name, "amd64")  # type: ignore[arg-type]
    place = Path(scratch) / f"good-{name}"
    return parts, tree_of(builder_of(parts).build().write_layout(place))


def nearest_good(broken: Tree, generation: str, scratch: str) -> tuple[Parts, Tree]:
    """Return the good derivative or variant of a generation that a broken one is made of: the one that differs least."""
    names = [generation, *(name for name, each in VARIANTS.items() if each.generation == generation)]
    found = [_good(name, scratch) for name in names]
    return min(found, key=lambda each: len(each[1].items() ^ broken.items()))


def _match(tree: Tree, patterns: Iterable[str]) -> Iterator[str]:
    expressions = [re.compile(path_expression(pattern)) for pattern in patterns]
    for path in tree:
        if any(each.fullmatch(path) for each in expressions):
            yield path


class Root:
    """A tree in which instructions run: in memory, and in a directory while a command runs; links stay inside it."""

    def __init__(self, directory: Path, tree: Tree) -> None:
        self._top = directory
        self._was = tree
        self._touched: set[str] = set()
        self.now: dict[str, Node] = dict(tree)

    def restore(self, good: Tree, patterns: Iterable[str]) -> None:
        """Write what a good tree has at the paths that match."""
        for path in sorted(_match(good, patterns)):
            self._put(path, good[path])
            if path.endswith("luet.db"):  # which luet writes at every installation
                self._touched.add(path)

    def write(self, path: str, content: bytes) -> None:
        """Write a file."""
        self._put(path.lstrip("/"), Node("file", 0o644, content))

    def read(self, path: str) -> str:
        """Return the text of a file, "" if there is none."""
        node = self.now.get(path)
        return node.content.decode() if node is not None else ""

    def names(self, directory: str) -> list[str]:
        """Return the paths of the files in a directory."""
        return sorted(path for path in self.now if path.rpartition("/")[0] == directory)

    def _put(self, path: str, node: Node) -> None:
        if node.type != "dir":
            for below in [each for each in self.now if each.startswith(f"{path}/")]:
                del self.now[below]
        for above in Path(path).parents:
            if str(above) != "." and self.now.get(str(above), _DIRECTORY).type not in ("dir", "symlink"):
                del self.now[str(above)]
            if str(above) != ".":
                self.now.setdefault(str(above), Node("dir", 0o755))
        self.now[path] = node

    # -- commands ------------------------------------------------------------------------------------------------------

    def run(self, command: str) -> None:
        """Run a command of a shell, with every path in the directory."""
        held: list[str] = []

        def hold(match: re.Match[str]) -> str:  # quoted words are data: no path in them is one of the tree
            held.append(match[0])
            return f"\0{len(held) - 1}\0"

        open_words = re.sub(r"'[^']*'|\"[^\"]*\"", hold, command)
        inside = re.sub(r"(?<![\w'\".~*$-])/(?=[\w*]|\s|$)", f"{self._top}/", open_words)
        whole = re.sub(r"\0(\d+)\0", lambda match: held[int(match[1])], inside)
        self._run(["/bin/sh", "-euc", whole])

    def systemctl(self, words: list[str]) -> None:
        """Run systemctl for this root."""
        self._run(["systemctl", f"--root={self._top}", *words])

    def _run(self, words: list[str]) -> None:
        shutil.rmtree(self._top, ignore_errors=True)
        self._top.mkdir(parents=True)
        for path, node in sorted(self.now.items()):
            self._extract(path, node)
        done = subprocess.run(words, cwd=self._top, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        self.now = dict(sorted(self._read()))

    def _extract(self, path: str, node: Node) -> None:
        place = self._top / path
        if node.type == "dir":
            place.mkdir(parents=True, exist_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        if node.type == "symlink":
            place.symlink_to(self._inside(path, node.link))
        else:
            place.write_bytes(node.content)
            place.chmod(node.mode & 0o7777 | 0o200)

    def _inside(self, path: str, target: str) -> str:
        """Return the target of a link so that it cannot lead out of the directory."""
        if target == "/dev/null":  # by which systemctl knows what is masked
            return target
        climbs = len(re.match(r"(?:\.\./)*", target)[0]) // 3  # type: ignore[index]
        return (
            f"{self._top}{target}"
            if target.startswith("/")
            else target
            if climbs <= path.count("/")
            else "/nowhere"
        )

    def _read(self) -> Iterator[tuple[str, Node]]:
        for directory, directories, files in os.walk(self._top):
            for name in (*directories, *files):
                place = Path(directory) / name
                path = str(place.relative_to(self._top))
                status = place.lstat()
                was = self.now.get(path)
                if stat.S_ISLNK(status.st_mode):
                    target = str(place.readlink())
                    kept = (
                        was is not None and was.type == "symlink" and target == self._inside(path, was.link)
                    )
                    link = was.link if kept and was is not None else target.removeprefix(str(self._top))
                    yield path, Node("symlink", 0o777, link=link)
                elif stat.S_ISDIR(status.st_mode):
                    yield path, Node("dir", stat.S_IMODE(status.st_mode))
                else:
                    mode = stat.S_IMODE(status.st_mode)
                    if was is not None and was.type == "file" and was.mode & 0o7777 | 0o200 == mode:
                        mode = was.mode
                    yield path, Node("file", mode, place.read_bytes())

    # -- the layer -----------------------------------------------------------------------------------------------------

    def changes(self) -> dict[str, Entry]:
        """Return what differs from the first tree, as the entries of a layer."""
        found: dict[str, Entry] = {}
        for path in sorted(self._was.keys() - self.now.keys()):
            above = [str(each) for each in Path(path).parents]
            if not any(each in found or self.now.get(each, _DIRECTORY).type != "dir" for each in above):
                found[path] = Whiteout()
        for path, node in self.now.items():
            was = self._was.get(path)
            if was is None or not _same(was, node) or path in self._touched:
                found[path] = _entry(node)
        # A build lists the directories above what it changed.
        for path in list(found):
            for each in Path(path).parents:
                above_it = self.now.get(str(each))
                if above_it is not None and above_it.type == "dir":
                    found.setdefault(str(each), _entry(above_it))
        return dict(sorted(found.items()))


_DIRECTORY = Node("dir", 0o755)


def _same(was: Node, now: Node) -> bool:
    if was.type != now.type:
        return False
    if was.type == "symlink":
        return was.link == now.link
    return was.type == "dir" or (was.content == now.content and was.mode == now.mode)


def _entry(node: Node) -> Entry:
    if node.type == "symlink":
        return Symlink(node.link)
    if node.type == "dir":
        return Directory(mode=node.mode)
    return File(node.content, mode=node.mode)


def apply(root: Root, instruction: str, good: tuple[Parts, Tree]) -> None:
    """Apply one instruction to a tree.

    Raises:
        AssertionError: a command fails, or a package is unknown to the lists.
    """
    parts, tree = good
    if instruction.startswith("COPY "):
        words = shlex.split(instruction)
        if words[1].startswith("--from="):
            root.restore(tree, [words[-1].lstrip("/")])
        else:
            root.write(words[-1], b"of the build context\n")
        return
    command = re.sub(r"^(--\S+ )+", "", instruction.removeprefix("RUN "))
    for part in re.split(r" && ", command) if _is_replaced(command) else [command]:
        words = shlex.split(part)
        match words[0]:
            case "zypper" | "dnf" | "luet":
                for name in words[1:]:
                    if name not in ("install", "reinstall") and not name.startswith("-"):
                        root.restore({**tree, **FURTHER}, FILES[name])
                if words[0] == "luet":
                    root.restore(tree, ["var/cache/luet/luet.db"])
            case "dracut":
                path, version = words[words.index("-f") + 1 :]
                root.write(path, _initrd(root, parts, version, words))
            case "elemental":
                root.restore(tree, _INIT)
            case "/kairos-init":
                root.restore(tree, _KAIROS if "install" in words else _INIT)
            case "depmod":
                root.restore(tree, [f"usr/lib/modules/{words[-1]}/modules.*"])
            case "bootupctl":
                root.restore(tree, ["usr/lib/bootupd/updates/**"])
            case "sha512hmac" | "cd":
                root.restore(tree, ["usr/lib/modules/*/.vmlinuz.hmac"])
            case "systemctl":
                root.systemctl(words[1:])
            case _:
                root.run(part)


def _initrd(root: Root, parts: Parts, version: str, words: list[str]) -> bytes:
    """Return the good initrd, for another version and with what the drop-ins and the options request beyond it."""
    wanted: dict[str, list[str]] = {}
    for name in root.names("etc/dracut.conf.d"):
        for key, values in re.findall(r'(\w+)\+="([^"]*)"', root.read(name)):
            wanted.setdefault(key, []).extend(values.split())
    modules = wanted.get("add_dracutmodules", []) + [
        words[n + 1] for n, word in enumerate(words) if word == "--add"
    ]
    was = dict(parts.initrd)
    parts.initrd = {path.replace(KERNEL_VERSION, version): entry for path, entry in was.items()}
    listed = "usr/lib/dracut/modules.txt"
    present = str(parts.initrd.get(listed, "")).split()
    parts.initrd[listed] = "\n".join(dict.fromkeys((*present, *modules))) + "\n"
    for driver in wanted.get("add_drivers", []):
        if not any(path.endswith(f"/{driver}.ko") for path in parts.initrd):
            parts.initrd[f"usr/lib/modules/{version}/kernel/{driver}.ko"] = b"\x7fELF"
    for path in wanted.get("install_items", []):
        parts.initrd.setdefault(path.lstrip("/"), executable(program(parts.architecture)))
    try:
        return initrd_of(parts)
    finally:
        parts.initrd = was


def _is_replaced(command: str) -> bool:
    return (
        re.match(r"(zypper|dnf|luet|dracut|elemental|/kairos-init|depmod|bootupctl|cd|systemctl) ", command)
        is not None
    )


def _how(remedies: Iterable[Remedy]) -> How:
    needs = {step.needs for each in remedies for step in each.steps}
    if needs:
        worst = (Needs.NETWORK, Needs.IMAGE)
        return next((How[each.name] for each in worst if each in needs), How.SHELL)
    return How.OMITTED if any(each.omits is not None for each in remedies) else How.BY_HAND


def _left(before: Report, after: Report, checks: Iterable[str]) -> tuple[str, ...]:
    """Return the checks that are not cured, and those that fail now and did not before."""
    were = {result.check for result in before.results if result.kind is Kind.FAIL}
    are = {result.check for result in after.results if result.kind in (Kind.FAIL, Kind.OPEN)}
    return tuple(sorted((are & set(checks)) | (are - were)))


def _mended(
    builder: ImageBuilder, name: str, commands: tuple[str, ...], good: tuple[Parts, Tree], scratch: Path
) -> Report:
    """Inspect an image to which instructions were applied: as a layer, or in a further stage if they say so."""
    root = Root(scratch / "root", tree_of(name))
    for each in commands:
        if not each.startswith(("FROM ", "COPY --from=build")):
            apply(root, each, good)
    if "FROM scratch" in commands:
        one = evolve(builder, _steps=())
        mended = one.layer(
            {path: _entry(node) for path, node in sorted(root.now.items())},
            created_by="COPY --from=build / /",
        )
    else:
        mended = builder.layer(root.changes(), created_by="the remedies", parents=False)
    return inspect(mended.build().write_layout(scratch / "image"))


def attempt(kind: str, generation: str, scratch: Path) -> Outcome | None:
    """Break a derivative, apply the remedies of its findings, and inspect it again; None if it does no harm to the generation."""
    parts = parts_of(generation, "amd64")  # type: ignore[arg-type]
    KINDS[kind].apply(parts)
    builder = builder_of(parts)
    name = builder.build().write_layout(scratch / "broken")
    before = inspect(name)
    checks = [result.check for result in before.failed]
    if not checks:
        return None
    findings: list[Finding] = [finding for result in before.failed for finding in result.findings]
    remedies = [finding.cure for finding in findings if finding.cure is not None]
    commands = tuple(dict.fromkeys(step.text for each in remedies for step in each.steps))
    left: tuple[str, ...] = ()
    if commands:
        good = nearest_good(tree_of(name), generation, str(scratch.parent))
        after = _mended(builder, name, commands, good, scratch / "mended")
        left = _left(before, after, checks)
        # What a first remedy brings to light has one of its own.
        again = tuple(
            dict.fromkeys(
                step
                for result in after.failed
                if result.check in left
                for each in result.findings
                for step in each.remedy_commands
            )
        )
        if left and again:
            commands = (*commands, *again)
            left = _left(before, _mended(builder, name, commands, good, scratch / "again"), checks)
    omitted = None
    # Without the topmost layer it is the good derivative of the generation: once is enough.
    is_own = generation == KINDS[kind].generation
    if is_own and any(each.omits is not None for each in remedies) and parts.top:
        parts.top = {}
        omitted = _left(before, inspect(builder_of(parts).build().write_layout(scratch / "without")), checks)
    return Outcome(_how(remedies), commands, left, omitted, tuple(checks))


_TOOLKITS = ("G0", "G1", "G3", "G4", "G5")


def pairs() -> Iterator[tuple[str, str]]:
    """Yield each breakage with its own generation, and each of the toolkit with one other generation in turn."""
    yield from ((kind, each.generation) for kind, each in KINDS.items())
    toolkit = [kind for kind, each in KINDS.items() if each.generation == "G2"]
    yield from ((kind, _TOOLKITS[number % len(_TOOLKITS)]) for number, kind in enumerate(toolkit))


def further_pairs() -> Iterator[tuple[str, str]]:
    """Yield what `pairs` leaves out: each breakage of the toolkit with every other generation."""
    told = set(pairs())
    for kind, each in KINDS.items():
        if each.generation == "G2":
            yield from ((kind, generation) for generation in _TOOLKITS if (kind, generation) not in told)
