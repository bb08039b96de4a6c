"""What images are made of to measure verdicts: single mutations that stop a machine, and variations that do no harm.

A mutation names the check that must find it and the capabilities that it costs; where a command or a file is needed comes from the
toolkit's own scripts and from boots under QEMU, not from what cosinspect says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import frozen

from cosinspect.checks import find_check
from cosinspect.checks.base import decided_by
from cosinspect.profiles.operations import needs_of
from cosinspect.testing import Directory, File, ImageBuilder, Symlink, Whiteout
from cosinspect.testing.bootfiles import compress_initrd, cpio_archive, executable
from cosinspect.testing.derivative import BREAKAGES, KERNEL_VERSION, derivative_of
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.base_breakages import argument
from cosinspect.testing.derivative.operation_breakages import OPERATION_DEGRADATIONS
from cosinspect.testing.derivative.parts import initrd_of, parts_of
from cosinspect.testing.derivative.variants import VARIANTS
from cosinspect.testing.entries import Hardlink

GENERATIONS = ("G0", "G1", "G2", "G3", "G4", "G5")
KINDS = (*GENERATIONS, "G6", "kairos", "bootc")
MODULES = f"usr/lib/modules/{KERNEL_VERSION}"


@frozen
class Case:
    """One image.

    Attributes:
        name: what was done to a good one.
        generation: of the good one.
        build: makes the image.
        check: the check that must fail, and no other; "" for a variation that does no harm.
        loses: names of capabilities that it costs at least.
        source: who says so.
        besides: further checks that may find a part of it.
    """

    name: str
    generation: str
    build: Callable[[], object]
    check: str = ""
    loses: frozenset[str] = frozenset()
    source: str = ""
    besides: tuple[str, ...] = ()


def changed(generation, change, architecture="amd64"):
    """Make an image of changed parts when asked."""

    def build():
        parts = parts_of(generation, architecture)
        change(parts)
        return derivative_of(parts)

    return build


# -- what stops a machine ----------------------------------------------------------------------------------------------

BOOT, INSTALL = frozenset({"boot"}), frozenset({"install"})
BOTH = BOOT | INSTALL

# Of a kind of breakage that is none in another generation, or another one there, and why.
ELSEWHERE = {
    ("initrd-without-root-generator", "G0"): "no script of it queues the image file",
    ("initrd-without-root-generator", "G4"): "no script of it queues the image file",
    ("initrd-without-root-generator", "G5"): "elemental mount does what scripts did",
    ("initrd-without-links", "G0"): "its hooks are files that dracut sources",
    ("initrd-without-basename", "G0"): "its scripts do not call it",
    ("initrd-without-basename", "G3"): "its scripts do not call it",
    ("no-layout", "G0"): "it has no layout file",
    ("volume-unknown", "G0"): "it has no layout file",
    ("volume-unknown", "G5"): "elemental mount reads other settings",
    ("bootargs-v2", "G5"): "is its own",
    ("no-opt", "G4"): "its script goes on without a directory",
    ("no-opt", "G5"): "elemental mount makes directories",
    ("no-layout", "G4"): "it has a default",
    ("no-layout", "G5"): "the layout is in another file",
    ("initrd-without-loop", "G5"): "elemental mount does what scripts did",
    ("initrd-without-basename", "G5"): "elemental mount does what scripts did",
    ("initrd-without-sort", "G5"): "elemental mount does what scripts did",
    **{
        (kind, "G0"): "its hooks are read and not executed"
        for kind in ("initrd-layout-mode", "initrd-layout-empty", "initrd-loop-mode", "initrd-loop-returns")
    },
    ("initrd-layout-mode", "G5"): "elemental mount does what scripts did",
    ("initrd-layout-empty", "G5"): "elemental mount does what scripts did",
    ("settings-malformed", "G0"): "a shell sources the file",
    ("settings-malformed", "G1"): "a shell sources the file",
    ("settings-malformed", "G4"): "its elemental reads other files",
    ("settings-malformed", "G5"): "its elemental reads other files",
    ("hardlink-to-deleted", "G4"): "what is linked to never was there",
    ("hardlink-to-deleted", "G5"): "what is linked to never was there",
    ("attribute-large", "G0"): "its scripts copy without attributes",
    ("attribute-large", "G1"): "its scripts copy without attributes",
}
# Of a variation that does harm in one generation, and why.
ELSEWHERE_HARMFUL = {
    ("os-release only below /usr/lib", "G6"): "elemental3ctl reads /etc/os-release alone",
    ("/boot/vmlinuz: absolute", "G0"): "luet-makeiso opens it on the machine that builds",
    ("/boot/vmlinuz: absolute", "G1"): "luet-makeiso opens it on the machine that builds",
    ("/boot/vmlinuz: climbs above the root", "G0"): "luet-makeiso opens it on the machine that builds",
    ("/boot/vmlinuz: climbs above the root", "G1"): "luet-makeiso opens it on the machine that builds",
    (
        "/boot/vmlinuz: climbs above the root",
        "G5",
    ): "elemental joins links by their text, and leaves the image",
}
# These take a capability that is not boot or install, or a layer as a whole.
_LOSES = dict.fromkeys(
    (
        "COS036",
        "COS040",
        "COS041",
        "COS047",
        "COS048",
        "COS049",
        "COS102",
        "COS106",
        "COS107",
        "COS109",
        "COS113",
        "COS139",
        "COS146",
        "COS163",
        "COS174",
        "COS261",
        "COS262",
        "COS263",
        "COS265",
        "COS269",
        "COS201",
        "COS212",
        "COS214",
        "COS215",
        "COS216",
        *(f"COS{number}" for number in range(235, 248)),
    ),
    INSTALL,
)

# Issues of the field that a kind of breakage is (what was missing there, and was found out by machines that stopped).
ISSUES = {
    "bootc-ostree-absolute": "bootcrew/ubuntu-bootc 4",
    "initrd-without-basename": "elemental-toolkit PR 1662, kairos 630",
    "initrd-removed": "kairos 784, kairos 1300",
    "no-bootargs": "kairos 1770",
    "kernel-removed": "kairos 2461, tunaOS PR 2566",
    "kernel-foreign": "kairos 243",
    "no-os-release": "elemental-toolkit 1805",
    "no-opt": "elemental-toolkit 1311, PR 1475, PR 1499",
    "no-layout": "elemental 829",
    "no-grub-tools": "elemental-toolkit PR 2048, kairos 435",
    "bootargs-next": "elemental-toolkit 1840",
    "bootargs-v2": "elemental-toolkit 1840",
    "initrd-other-kernel": "kairos 4222",
    "kairos-without-release": "kairos 3010",
    "kairos-without-efi": "elemental-cli 219, 391",
    "bootc-two-kernels": "aurora PR 1286, centos-workstation main 4",
    "initrd-hostonly": "elemental-toolkit 785",
    "initrds-several": "elemental 1450",
    "kernel-unversioned": "elemental-toolkit v2, FindKernel",
    "no-sgdisk": "elemental-toolkit PR 1631, 1632",
    "no-dracut-config": "elemental-toolkit PR 1798",
    "too-large": "elemental-toolkit 480, 1136, kairos 1751",
    "unit-without-program": "elemental-toolkit PR 1062",
    "machine-id": "elemental-toolkit 243",
    "no-upgrade-hook": "elemental 632",
    "modules-unindexed": "elemental 674",
    "dracut-module-late": "kairos 2467, 2522",
    "dracut-live-missing": "kairos 776",
    "initrd-without-rsync": "elemental-toolkit PR 2228",
    "kernel-second": "kairos 4222",
    "kairos-without-regexp": "kairos 1947",
    "no-efi-grub": "elemental-cli 219, 391",
}
# Where upstream's own code says so, for kinds of breakage that no issue tells of.
SOURCES = {
    "kairos-without-blkdeactivate": "kairos agent/pkg/elemental, DeactivateDevices; operations.md 8.6",
    "trusted-version-unquoted": "AuroraBoot uki.go findKairosVersion",
    "trusted-kernel-elsewhere": "AuroraBoot uki.go copyKernel",
    "trusted-init": "AuroraBoot uki.go setupDirectoriesAndFiles",
    "uki-other-role": "kairos agent/pkg/uki/common.go copyArtifactSetRole",
    "uki-older-loader": "kairos agent/pkg/uki/common.go upgradeEfiKeysInLoaderEntries",
    "uki-without-boot-program": "AuroraBoot uki.go imageFiles",
    "bootc-ostree-absolute": "bootc lints.rs:623 baseimage-root",
    "bootc-kargs-file": "bootc lints.rs:474 bootc-kargs, test_kargs",
    "bootc-without-prepare-root": "bootc ostree_prepareroot.rs:64 require_config_from_root",
    "bootc-without-filesystem": "bootc install.rs:1715",
    "bootc-without-updates": "bootc bootloader.rs:88 supports_bootupd",
    "bootc-two-shims": "bootupd efi.rs:664 get_efi_vendor",
    "bootc-sealed-on-xfs": "bootc install.rs:1648",
    "bootc-run-directory": "bootc lints.rs:808 nonempty-run-tmp",
    "bootc-tool-in-boot": "bootc lints.rs:758 nonempty-boot",
    "bootc-state-in-var": "bootc lints.rs:697 var-tmpfiles",
    "bootc-user-added": "bootc lints.rs:727 sysusers",
    "bootc-without-version": "image-builder osinfo.go:103",
    "kairos-second-modules": "kairos-init validate.go:301 ValidateKernel",
    "kairos-without-edgevpn": "kairos-init validate.go:54",
}


def _breakages() -> Iterator[Case]:
    for kind, breakage in BREAKAGES.items():
        foreign = breakage.generation != "G2"
        for generation in (breakage.generation,) if foreign else GENERATIONS:
            if (kind, generation) in ELSEWHERE or not find_check(breakage.check).capabilities:
                continue  # the latter cost the image nothing: a rule is broken
            loses = _LOSES.get(breakage.check, BOTH)
            if breakage.check.startswith("COS15") or breakage.check in ("COS130", "COS132"):
                loses = INSTALL
            if breakage.check == "COS137":
                loses = BOOT
            yield Case(
                f"{kind}: {breakage.summary}", generation, changed(generation, breakage.apply), breakage.check, loses,
                ISSUES.get(kind) or SOURCES.get(kind, ""), breakage.besides,
            )  # fmt: skip


def _without_command(name):
    def change(parts):
        for path in [path for path in parts.initrd if path.rpartition("/")[2] == name]:
            del parts.initrd[path]

    return change


# Commands that the scripts of the initrd call: read in the toolkit's sources at v0.8.2, v0.10.3 and v1.1; boots showed which
# of them stop a machine.
CALLED = {
    "G1": "basename losetup mkdir mount umount rm ls mountpoint sort",
    "G2": "basename losetup mkdir mount umount rm ls mountpoint sort",
}


def _commands() -> Iterator[Case]:
    for generation, names in CALLED.items():
        for name in names.split():
            yield Case(
                f"the initrd lacks {name}, which its scripts call", generation,
                changed(generation, _without_command(name)), "COS026", BOTH, "cos-loop-img, cos-mount-layout",
            )  # fmt: skip


def _removed(*paths):
    return lambda parts: parts.remove(*paths)


def _written(path, entry):
    return lambda parts: parts.write(path, entry)


def _cut(cut):
    return lambda parts: setattr(parts, "cut", cut)


def _kernel(change):
    """Change the bytes of the kernel."""

    def apply(parts):
        path = f"boot/vmlinuz-{KERNEL_VERSION}"
        parts.kernel[path] = change(parts.kernel[path])

    return apply


def _linked(name, target):
    return lambda parts: (parts.kernel if "vmlinuz" in name else parts.boot).update({name: Symlink(target)})


WRITABLE = ("home", "opt", "root", "srv", "usr/local", "var")


def _once(old, new):
    return lambda text: text.replace(old, new, 1)


def _in(begin, end):
    """Put the line that sets the kernel into a construct."""
    return lambda text: re.sub(
        r"^set kernel=.*$", lambda line: f"{begin}\n{line[0]}\n{end}", text, flags=re.MULTILINE
    )


FURTHER = [
    ("the kernel is empty", _kernel(lambda _: b""), "COS013", BOTH),
    ("the kernel is 512 zeros", _kernel(lambda _: bytes(512)), "COS013", BOTH),
    ("the kernel is a shell script", _kernel(lambda _: b"#!/bin/sh\n" * 100), "COS013", BOTH),
    ("the kernel lacks its second half", _kernel(lambda data: data[: len(data) // 2]), "COS014", BOTH),
    ("the kernel lacks its last sector", _kernel(lambda data: data[:-512]), "COS014", BOTH),
    ("/boot/vmlinuz points to another version", _linked("boot/vmlinuz", "vmlinuz-5.14.0"), "COS011", BOTH),
    ("/boot/vmlinuz points out of /boot, to nothing", _linked("boot/vmlinuz", "/usr/lib/kernel"), "COS011", BOTH),
    ("/boot/vmlinuz is a directory", lambda parts: parts.kernel.update({"boot/vmlinuz": Directory()}), "COS013", BOTH),
    ("/boot/initrd points to another version", _linked("boot/initrd", "initrd-5.14.0"), "COS021", BOTH),
    ("/boot/initrd points to itself", _linked("boot/initrd", "initrd"), "COS021", BOTH),
    ("the initrd is empty", _cut(lambda _: b""), "COS023", BOTH),
    ("the initrd is text", _cut(lambda _: b"no initrd\n" * 50), "COS023", BOTH),
    ("the initrd is a thousand zeros", _cut(lambda _: bytes(1000)), "COS023", BOTH),
    ("the initrd ends a byte early", _cut(lambda data: data[:-1]), "COS023", BOTH),
    ("the initrd ends in its middle", _cut(lambda data: data[: len(data) * 3 // 4]), "COS023", BOTH),
    ("a byte of the initrd is another", _cut(lambda data: data[:-300] + bytes([data[-300] ^ 1]) + data[-299:]), "COS023", BOTH),
    ("the initrd is a gzip of nothing", _cut(lambda _: b"\x1f\x8b\x08" + bytes(20)), "COS023", BOTH),
    ("grub.cfg is empty", _written("{config}/grub.cfg", ""), "COS041", INSTALL),
    ("grub.cfg is a comment", _written("{config}/grub.cfg", "# nothing\n"), "COS041", INSTALL),
    ("bootargs.cfg is empty", _written("{config}/bootargs.cfg", ""), "COS043", BOTH),
    ("bootargs.cfg sets the kernel in a function that nobody calls", ("bootargs.cfg", _in("function f {", "}")), "COS043", BOTH),
    ("bootargs.cfg sets the kernel where nothing holds", ("bootargs.cfg", _in("if false; then", "fi")), "COS043", BOTH),
    ("bootargs.cfg sets the kernel in a loop over nothing", ("bootargs.cfg", _in("for k in; do", "done")), "COS043", BOTH),
    ("the kernel command line has no root=", ("bootargs.cfg", lambda text: re.sub(r"root=LABEL=\S+ ", "", text)), "COS112", BOTH),
    ("root= is a label that no deployment makes", ("bootargs.cfg", lambda text: re.sub(r"root=LABEL=\S+", "root=LABEL=ROOT", text)), "COS112", BOTH),
    ("the default entry loads no kernel", ("grub.cfg", _once("    linux (", "    #linux (")), "COS113", INSTALL),
    ("the default entry loads no initrd", ("grub.cfg", _once("    initrd (", "    #initrd (")), "COS113", INSTALL),
    ("the default entry sources no bootargs.cfg", ("grub.cfg", _once("    source (", "    #source (")), "COS113", INSTALL),
    ("the default entry loads a kernel that is not there", ("grub.cfg", _once("$kernel ", "/nope ")), "COS113", INSTALL),
    ("the default entry sets the kernel behind the source", ("grub.cfg", _once("    linux (", "    set kernel=/nope\n    linux (")), "COS113", INSTALL),
    ("bootargs.cfg sets a kernel that is not there", "kernel", "COS010", BOTH),
    ("bootargs.cfg sets an initrd that is not there", "initramfs", "COS020", BOTH),
    ("both os-release are links in a circle", lambda parts: parts.top.update(
        {"usr/lib/os-release": Symlink("../../etc/os-release"), "etc/os-release": Symlink("../usr/lib/os-release")}), "COS064", BOTH),
    ("systemd is a link to nothing", _written("usr/lib/systemd/systemd", Symlink("/nowhere")), "COS060", BOTH),
    ("a hard link to a file that no layer has", lambda parts: parts.write("usr/bin/other", Hardlink("usr/bin/none")), "COS002", BOTH),
]  # fmt: skip


def _further() -> Iterator[Case]:
    for name, change, check, loses in FURTHER:
        for generation in ("G2", "G4"):
            yield Case(name, generation, changed(generation, _placed(change, generation)), check, loses)
    for directory in WRITABLE:
        if directory != "var":  # what is below it would go as well
            for generation in ("G1", "G2"):
                check = "COS066" if directory == "usr/local" else "COS065"
                if check == "COS065":
                    yield Case(
                        f"a step removed /{directory}, which the layout makes writable", generation,
                        changed(generation, _removed(directory)), check, BOTH, "elemental-toolkit 1311, PR 1475, PR 1499",
                    )  # fmt: skip


def _placed(change, generation):
    """Fill in what differs between generations."""
    directory = toolkit.config_directory(generation)
    if change in ("kernel", "initramfs"):
        old = "/boot/vmlinuz" if change == "kernel" else "/boot/initrd"
        text = toolkit.bootargs(generation).replace(f"{change}={old}", f"{change}=/boot/elsewhere")
        text = text if "/boot/elsewhere" in text else text.replace(old, "/boot/elsewhere")
        return _written(f"{directory}/bootargs.cfg", text)

    if isinstance(change, tuple):
        name, rewrite = change
        write = toolkit.grub_config if name == "grub.cfg" else toolkit.bootargs
        return _written(f"{directory}/{name}", rewrite(write(generation)))

    def apply(parts):
        change(parts)
        for path in [path for path in parts.top if "{config}" in path]:
            parts.top[path.format(config=directory)] = parts.top.pop(path)

    return apply


def _initrd_without(*names):
    def change(parts):
        for name in names:
            del parts.initrd[name]

    return change


def _crc64(parts):
    """What xz(1) makes unless it is told otherwise, and no kernel unpacks."""
    data = bytearray(compress_initrd(cpio_archive(parts.initrd), "xz"))
    data[7] = 4
    parts.cut = lambda _: bytes(data)


def _cuts_lines(parts):
    """The script of a later release, whose module did not bring the command."""
    path = "usr/sbin/cos-mount-layout"
    parts.initrd[path] = executable(
        toolkit.mount_script().replace("info ", 'kind=$(echo "$1" | cut -d: -f1)\ninfo ', 1)
    )


_HOOK = "usr/lib/dracut/hooks/cmdline/30-parse-cos-cmdline.sh"
_UNITS = "usr/lib/systemd/system"
_ENABLED = "etc/systemd/system"
_LAYOUT = "system/oem/00_rootfs.yaml"
# Rows of a table of boots under QEMU, and what follows from it, for the generations of the luet tree with units.
BOOTED = [
    ("the initrd lacks cos-mount-layout", _initrd_without("usr/sbin/cos-mount-layout"), "COS025"),
    ("the initrd lacks the hook that reads the command line", _initrd_without(_HOOK), "COS025"),
    ("the initrd lacks the unit of the immutable root", _initrd_without(f"{_UNITS}/cos-immutable-rootfs.service"), "COS025"),
    ("the initrd lacks the unit of the stage rootfs", _initrd_without(f"{_UNITS}/cos-setup-rootfs.service"), "COS025"),
    ("the initrd lacks the link of the stage rootfs", _initrd_without(f"{_ENABLED}/initrd-fs.target.requires/cos-setup-rootfs.service"), "COS025"),
    ("the initrd lacks the link of the stage initramfs", _initrd_without(f"{_ENABLED}/initrd.target.requires/cos-setup-initramfs.service"), "COS025"),
    ("the initrd lacks bash, which its scripts name", _without_command("bash"), "COS026"),
    ("the initrd lacks cut, which cos-mount-layout calls (elemental-toolkit 1517)", _cuts_lines, "COS026"),
    ("the initrd is compressed by xz with CRC64", _crc64, "COS023"),
    ("the initrd ends within its microcode", _cut(lambda data: data[:1000]), "COS023"),
    ("/opt is a file", _written("opt", "no directory\n"), "COS065"),
    ("/srv links to nothing", lambda parts: parts.base.update({"srv": Symlink("usr/share/srv")}), "COS065"),
    ("a step removed /system", _removed("system"), "COS070"),
    ("00_rootfs.yaml is no YAML", _written(_LAYOUT, "stages: [\n"), "COS070"),
    ("00_rootfs.yaml is empty", _written(_LAYOUT, ""), "COS070"),
    ("00_rootfs.yaml has other stages only", _written(_LAYOUT, "stages:\n  boot:\n  - name: x\n"), "COS070"),
]  # fmt: skip


def _booted() -> Iterator[Case]:
    for name, change, check in BOOTED:
        for generation in ("G1", "G2"):
            yield Case(name, generation, changed(generation, change), check, BOTH, "boots under QEMU")
    for name, change, check in BOOTED_AGAIN:
        for generation in ("G2", "G5"):
            yield Case(
                name, generation, changed(generation, change), check, BOTH, "second boots, under UML and QEMU"
            )


def _initrd_emptied(name):
    def change(parts):
        path = next(path for path in parts.initrd if path.rpartition("/")[2] == name)
        parts.initrd[path] = ""

    return change


def _initrd_masked(unit):
    return lambda parts: parts.initrd.update({f"etc/systemd/system/{unit}": Symlink("/dev/null")})


def _without_default_target(parts):
    parts.remove("usr/lib/systemd/system/default.target")


def _mounted(what, where="/data", **unit):
    """Have local-fs.target require a mount."""

    def change(parts):
        name = where.strip("/").replace("/", "-") + ".mount"
        lines = "".join(f"{key}={value}\n" for key, value in unit.items())
        parts.write(f"etc/systemd/system/{name}", f"[Unit]\n{lines}[Mount]\nWhat={what}\nWhere={where}\n")
        parts.top[f"etc/systemd/system/local-fs.target.requires/{name}"] = Symlink(f"../{name}")

    return change


_SECURITY = "usr/lib/security"
# Rows of a second table of boots, and what those rows are kinds of.
BOOTED_AGAIN = [
    ("the default target dangles", _written("etc/systemd/system/default.target", Symlink("/lib/systemd/system/none.target")), "COS181"),
    ("there is no default target", _without_default_target, "COS181"),
    ("the default target is masked", _written("etc/systemd/system/default.target", Symlink("/dev/null")), "COS181"),
    ("a step removed basic.target", _removed(f"{_UNITS}/basic.target"), "COS181"),
    ("a step removed sysinit.target", _removed(f"{_UNITS}/sysinit.target"), "COS181"),
    ("basic.target is masked", _written("etc/systemd/system/basic.target", ""), "COS181"),
    ("a drop-in requires a unit that is not there", _written(f"{_ENABLED}/multi-user.target.d/ours.conf", "[Unit]\nRequires=ours.service\n"), "COS181"),
    ("a step removed the rules of udev", _removed("usr/lib/udev/rules.d"), "COS181"),
    ("a mount with an unknown label is required", _mounted("LABEL=DATA"), "COS182"),
    ("a mount of a UUID is required", _mounted("UUID=0c1d"), "COS182"),
    ("a mount by the path of a label is required", _mounted("/dev/disk/by-label/MY\\x20DATA", "/srv/data"), "COS182"),
    ("root is not in /etc/passwd", _written("etc/passwd", "admin:x:1000:1000::/home/admin:/bin/bash\n"), "COS183"),
    ("the shell of root is not in the image", _written("etc/passwd", "root:x:0:0:root:/root:/bin/zsh\n"), "COS183"),
    ("a step removed agetty", _removed("usr/sbin/agetty"), "COS183"),
    ("a step removed login", _removed("usr/bin/login"), "COS183"),
    ("a step removed the units that ask for a login", _removed(f"{_UNITS}/getty@.service", f"{_UNITS}/serial-getty@.service"), "COS183"),
    ("a module of PAM is empty", _written(f"{_SECURITY}/pam_unix.so", ""), "COS183"),
    ("a module that a session requires is not there", _removed(f"{_SECURITY}/pam_limits.so"), "COS183"),
    ("a configuration that login includes is not there", _removed("etc/pam.d/system-auth"), "COS183"),
    ("the initrd lacks systemd-udevd", _initrd_without("usr/lib/systemd/systemd-udevd"), "COS180"),
    ("the rules of disks are empty in the initrd", _initrd_emptied("60-persistent-storage.rules"), "COS180"),
    ("the initrd lacks initrd-switch-root.service", _initrd_without(f"{_UNITS}/initrd-switch-root.service"), "COS180"),
    ("the initrd masks initrd-cleanup.service", _initrd_masked("initrd-cleanup.service"), "COS180"),
    ("the initrd lacks basic.target", _initrd_without(f"{_UNITS}/basic.target"), "COS180"),
    ("the initrd lacks dracut-lib.sh, which its scripts source", _initrd_without("usr/lib/dracut-lib.sh"), "COS180"),
    ("systemd.unit= names no unit", argument("systemd.unit=nosuch.target"), "COS184"),
    ("rd.systemd.unit= names no unit of the initrd", argument("rd.systemd.unit=nosuch.target"), "COS184"),
    ("init= names a directory", argument("init=/usr"), "COS184"),
    ("the index of modules in the initrd is text alone", _initrd_without(f"{MODULES}/modules.dep.bin"), "COS186"),
    ("the index of modules in the initrd is empty", _initrd_emptied("modules.dep.bin"), "COS186"),
    ("the initrd lacks the table by which udev loads drivers", _initrd_without(f"{MODULES}/modules.alias.bin"), "COS186"),
    ("the initrd lacks ext4", _initrd_without(f"{MODULES}/kernel/fs/ext4/ext4.ko"), "COS187"),
    ("the initrd lacks crc32c, which ext4 asks for", _initrd_without(f"{MODULES}/kernel/crypto/crc32c_generic.ko"), "COS187"),
]  # fmt: skip


ISO = frozenset({"iso"})


def _operations() -> Iterator[Case]:
    """What costs an operation and not the boot: the rows of what operations read, and links that leave an unpacked image."""
    for kind, breakage in OPERATION_DEGRADATIONS.items():
        lost = frozenset(
            each.value for each in decided_by(find_check(breakage.check), needs_of(breakage.generation))
        )
        if lost:
            yield Case(
                f"{kind}: {breakage.summary}", breakage.generation, changed(breakage.generation, breakage.apply), breakage.check, lost,
                "what elemental reads: docs/operations.md",
            )  # fmt: skip
    for name, target in LINKED.items():
        for generation in ("G0", "G1", "G5"):
            why = ELSEWHERE_HARMFUL.get((name, generation))
            if why is not None:
                check, lost = ("COS109", INSTALL | ISO) if generation == "G5" else ("COS018", ISO)
                build = changed(generation, _linked("boot/vmlinuz", target))
                yield Case(
                    f"{name}: {why}", generation, build, check, lost, "elemental build-iso, run for real"
                )


def mutations() -> list[Case]:
    """Give every mutation."""
    return [*_breakages(), *_commands(), *_further(), *_booted(), *_operations()]


# -- what does no harm -------------------------------------------------------------------------------------------------


def _layers(parts):
    layers = [parts.base, parts.kernel, parts.packages, {**parts.boot, parts.initrd_path: initrd_of(parts)}]
    return layers if not parts.top else [*layers, parts.top]


def _laid_out(arrange, compression="gzip", **options):
    """Make an image whose files are divided into layers otherwise."""

    def make(generation):
        def build():
            parts = parts_of(generation, "amd64")
            labels = {"containers.bootc": "1"} if generation == "bootc" else {}
            builder = ImageBuilder(platform="linux/amd64", labels=labels)
            for number, entries in enumerate(arrange(_layers(parts))):
                builder = builder.layer(
                    entries, compression=compression, created_by=f"COPY part{number} /", **options
                )
            return builder.build()

        return build

    return make


def _squashed(layers):
    found = {}
    for entries in layers:
        for path, entry in entries.items():
            if isinstance(entry, Whiteout):
                gone = [each for each in found if each == path or each.startswith(f"{path}/")]
                for each in gone:
                    del found[each]
            else:
                found[path] = entry
    return [found]


def _in_pieces(layers):
    (whole,) = _squashed(layers)
    links = {path: entry for path, entry in whole.items() if isinstance(entry, Hardlink)}
    rest = {path: entry for path, entry in whole.items() if path not in links}
    pieces = [dict(list(rest.items())[start : start + 15]) for start in range(0, len(rest), 15)]
    for path, entry in links.items():  # with what they link to
        piece = next(piece for piece in pieces if entry.target in piece)
        piece[path] = entry
    return pieces


def _backwards(layers):
    (whole,) = _squashed(layers)
    links = [path for path, entry in whole.items() if isinstance(entry, Hardlink)]
    order = [path for path in reversed(list(whole)) if path not in links] + links
    return [{path: whole[path] for path in order}]


def _again(layers):
    """Delete the kernel's directory of modules, and make it again in the next layer."""
    modules = {
        path: entry for each in layers for path, entry in each.items() if path.startswith(f"{MODULES}/")
    }
    return [*layers, {MODULES: Whiteout()}, modules]


ARRANGEMENTS = {
    "one layer": _laid_out(_squashed),
    "one layer, zstd": _laid_out(_squashed, "zstd"),
    "one layer, not compressed": _laid_out(_squashed, "none"),
    "many layers": _laid_out(_in_pieces),
    "one layer, files in the opposite order": _laid_out(_backwards),
    "a directory deleted and made again": _laid_out(_again),
    "an empty layer on top": _laid_out(lambda layers: [*layers, {}]),
}


def _compressed(how):
    return lambda parts: setattr(parts, "compression", how)


def _initrd_gone(*names):
    """Leave out of the initrd what is there."""
    return lambda parts: [parts.initrd.pop(name, None) for name in names]


VARIATIONS = {
    "initrd: no default.target": _initrd_gone(f"{_UNITS}/default.target"),
    "initrd: no /sysroot, no accounts": _initrd_gone("sysroot", "etc/passwd", "etc/group"),
    "the PAM service login is that of other": lambda parts: parts.base.update(
        {"etc/pam.d/other": parts.base.pop("etc/pam.d/login")}
    ),
    "units in /etc in place of those of the package": _written(
        f"{_ENABLED}/multi-user.target", "[Unit]\nRequires=basic.target\n"
    ),
    "the default target is an alias by name": _written(
        f"{_ENABLED}/default.target", Symlink("/lib/systemd/system/multi-user.target")
    ),
    "a mount of its own that is only wanted": _written(
        f"{_ENABLED}/local-fs.target.wants/data.mount", Symlink("../data.mount")
    ),
    "local-fs.target is not there": _removed(f"{_UNITS}/local-fs.target"),
    **{f"initrd: {how}": _compressed(how) for how in ("none", "gzip", "zstd", "lz4", "bzip2", "lzma")},
    "initrd without microcode": None,
    "zeros behind the initrd": _cut(lambda data: data + bytes(4096)),
    "another name in /etc": _written("etc/motd", "hello\n"),
    "a changed mode of a file": _written("etc/hosts", File("127.0.0.1 localhost\n", mode=0o600)),
    "os-release only below /usr/lib": _removed("etc/os-release"),
    "dracut is not there any more": None,
    "an unrelated kernel module": _written(f"{MODULES}/kernel/fs/xfs/xfs.ko", b"\x7fELF"),
}
LINKED = {
    "/boot/vmlinuz: absolute": f"/boot/vmlinuz-{KERNEL_VERSION}",
    "/boot/vmlinuz: climbs above the root": f"../../../../boot/vmlinuz-{KERNEL_VERSION}",
    "/boot/vmlinuz: by the directory's own name": f"../boot/./vmlinuz-{KERNEL_VERSION}",
}


def _bootc_file(path, entry):
    return lambda parts: parts.packages.update({path: entry})


def _prepare_root_in_etc(parts):
    parts.packages["etc/ostree/prepare-root.conf"] = parts.packages.pop("usr/lib/ostree/prepare-root.conf")


def _listed_in_var(path, entry, line):
    def change(parts):
        parts.packages |= {path: entry, "usr/lib/tmpfiles.d/own.conf": f"{line}\n"}

    return change


def _trusted_with_relative_link(parts):
    """As SUSE and Fedora have it: the name in /boot is the link itself, which the tool follows."""
    VARIANTS["kairos-trusted"].apply(parts)
    parts.kernel[f"{MODULES}/vmlinuz"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.kernel["boot/vmlinuz"] = Symlink(f"../{MODULES}/vmlinuz")


def _older_entry(parts):
    """The key and the boot loader of releases before systemd 259."""
    VARIANTS["uki-artefact"].apply(parts)
    parts.base["loader/entries/norole.conf"] = "title Kairos\nefi \\EFI\\KAIROS\\NOROLE.EFI\n"


PREPARE_ROOT = "usr/lib/ostree/prepare-root.conf"
# What upstream's own rules let pass.
HARMLESS = [
    ("composefs is maybe", "bootc", _bootc_file(PREPARE_ROOT, "[composefs]\nenabled = maybe\n"), "ostree_prepareroot.rs:166"),
    ("composefs is signed", "bootc", _bootc_file(PREPARE_ROOT, "[composefs]\nenabled=signed\n"), "ostree_prepareroot.rs:166"),
    ("the root is transient", "bootc", _bootc_file(PREPARE_ROOT, "[root]\ntransient = true\n"), "ostree_prepareroot.rs:166"),
    ("prepare-root.conf is in /etc", "bootc", _prepare_root_in_etc, "ostree_prepareroot.rs load_config_from_root"),
    ("an empty log that tmpfiles.d lists", "bootc", _listed_in_var("var/log", Directory(), "d /var/log 0755"), "lints.rs test_varlog"),
    ("a path of /var with a blank, escaped", "bootc", _listed_in_var("var/a b", Directory(), r"d /var/a\x20b 0755"), "crates/tmpfiles test_tmpfiles_entry_get_path"),
    ("a path of /var in quotes", "bootc", _listed_in_var("var/a b", Directory(), 'd "/var/a b" 0755'), "crates/tmpfiles test_tmpfiles_entry_get_path"),
    ("the resolver of a container runtime in /run", "bootc", _bootc_file("run/systemd/resolve/stub-resolv.conf", ""), "lints.rs test_runtime_only_dirs"),
    ("its directories alone", "bootc", _bootc_file("run/systemd/resolve", Directory()), "lints.rs test_runtime_only_dirs"),
    ("a file in kargs.d that is no TOML by its name", "bootc", _bootc_file("usr/lib/bootc/kargs.d/README", "garbage\n"), "bootc_kargs.rs test_get_kargs_in_root"),
    ("kernel arguments for another architecture", "bootc", _bootc_file("usr/lib/bootc/kargs.d/20-arm.toml", 'kargs = ["a"]\nmatch-architectures = ["aarch64"]\n'), "bootc_kargs.rs test_arch"),
    ("the root filesystem by its older key", "bootc", _bootc_file("usr/lib/bootc/install/00-defaults.toml", '[install]\nroot-fs-type = "btrfs"\n[install.filesystem.root]\ntype = "ext4"\n'), "install/config.rs canonicalize"),
    ("settings of installation in /etc", "bootc", _bootc_file("etc/bootc/install/10-own.toml", '[install]\nkargs = ["quiet"]\n'), "install/config.rs load_config"),
    ("a group that sysusers.d makes", "bootc", _bootc_file("etc/group", "root:x:0:\nbin:x:1:\nwheel:x:10:\n"), "crates/sysusers test_missing"),
    ("/boot/vmlinuz leads to the modules by a relative link", "kairos", _trusted_with_relative_link, "AuroraBoot uki.go copyKernel"),
    ("an entry with the key efi, in other letters", "kairos", _older_entry, "kairos agent/pkg/uki/install.go artifactFromConf"),
]  # fmt: skip


def variations() -> list[Case]:
    """Give every variation that does no harm."""
    found = []
    for generation in KINDS:
        found.append(Case("as it is", generation, changed(generation, lambda _: None)))
        found.append(Case("for arm64", generation, changed(generation, lambda _: None, "arm64")))
        found.extend(Case(name, generation, make(generation)) for name, make in ARRANGEMENTS.items())
        found.extend(
            Case(name, generation, changed(generation, change))
            for name, change in VARIATIONS.items()
            if change is not None and (name, generation) not in ELSEWHERE_HARMFUL
        )
        if generation not in ("G6", "bootc"):
            found.extend(
                Case(name, generation, changed(generation, _linked("boot/vmlinuz", target)))
                for name, target in LINKED.items()
                if (name, generation) not in ELSEWHERE_HARMFUL
            )
    found.extend(
        Case(
            f"{name}: {variant.summary}, {architecture}",
            variant.generation,
            lambda variant=variant, architecture=architecture: derivative_of(variant.parts(architecture)),
        )
        for name, variant in VARIANTS.items()
        for architecture in ("amd64", "arm64")
    )
    found.extend(
        Case(name, generation, changed(generation, change), source=source)
        for name, generation, change, source in HARMLESS
    )
    for (kind, generation), why in ELSEWHERE.items():
        # Without a layout of its own the fourth generation keeps nothing over a reboot, which is told (COS073).
        if not kind.startswith("hardlink") and (kind, generation) != ("no-layout", "G4"):
            name = f"{kind}, which is no harm there: {why}"
            found.append(Case(name, generation, changed(generation, BREAKAGES[kind].apply)))
    return found
