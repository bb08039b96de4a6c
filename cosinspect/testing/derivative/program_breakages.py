"""How a derivative breaks in what it executes: programs, libraries, loaders, interpreters, modes, merged directories."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosinspect.testing.bootfiles import executable
from cosinspect.testing.derivative.breakage import Breakage, initrd_without, removes, writes
from cosinspect.testing.derivative.parts import Parts, program
from cosinspect.testing.derivative.programs import linked_initrd_programs, linked_root_programs
from cosinspect.testing.derivative.toolkit_files import CLOUD_CONFIGS
from cosinspect.testing.entries import Directory, File, Symlink

__all__ = ["PROGRAM_BREAKAGES", "PROGRAM_DEGRADATIONS", "link_programs"]

_RUNNERS = ("elemental", "yip", "kairos-agent")
_LAYOUTS = ("cos-mount-layout", "elemental-mount-layout")
_LOOPS = ("cos-loop-img", "cos-fsck", "elemental-fsck")
_GENERATORS = ("dracut-cos-generator", "dracut-elemental-generator", "dracut-elemental-sysroot-generator")


def link_programs(parts: Parts) -> None:
    """Have the programs of a good derivative linked to libraries, as real ones are."""
    parts.base.update(linked_root_programs(parts.architecture))
    parts.initrd.update(linked_initrd_programs(parts.architecture))


def _linked(change: Callable[[Parts], None]) -> Callable[[Parts], None]:
    """Change a derivative whose programs are linked."""

    def apply(parts: Parts) -> None:
        link_programs(parts)
        change(parts)

    return apply


def _named(parts: Parts, *names: str) -> list[str]:
    return [path for path in parts.initrd if path.rpartition("/")[2] in names]


def _in_initrd(change: Callable[[File], File], *names: str) -> Callable[[Parts], None]:
    """Change files of the initrd by their names."""

    def apply(parts: Parts) -> None:
        for path in _named(parts, *names):
            entry = parts.initrd[path]
            if isinstance(entry, File):
                parts.initrd[path] = change(entry)

    return apply


def _emptied(entry: File) -> File:
    return File(b"", mode=entry.mode)


def _without_x(entry: File) -> File:
    return File(entry.content, mode=0o644)


def _with_returns(entry: File) -> File:
    return File(entry.content.replace(b"\n", b"\r\n"), mode=entry.mode)


def _foreign_mount(parts: Parts) -> None:
    other = program("arm64" if parts.architecture == "amd64" else "amd64")
    _in_initrd(lambda entry: File(other, mode=entry.mode), "mount")(parts)


def _hook_emptied(parts: Parts) -> None:
    for path in parts.initrd:
        if "/hooks/cmdline/" in path:
            parts.initrd[path] = executable("")


def _hook_with_returns(parts: Parts) -> None:
    for path, entry in parts.initrd.items():
        if "/hooks/cmdline/" in path and isinstance(entry, File):
            parts.initrd[path] = _with_returns(entry)


def _replaced(parts: Parts) -> None:
    """Have a layer bring a directory where the base has a link, with nothing lost that a boot needs."""
    parts.base["lib64"] = Symlink("usr/lib64")
    parts.base["usr/lib64/libz.so.1"] = "a library of the base\n"
    parts.step = "ADD driver.tar /"
    parts.top = {"lib64": Directory(), "lib64/driver/firmware.bin": "firmware\n"}


_LAYOUT = CLOUD_CONFIGS["00_rootfs.yaml"].replace('"/etc /root', '"/root')

PROGRAM_BREAKAGES: Mapping[str, Breakage] = {
    "systemd-without-library": Breakage(
        "a step removed a library that systemd is linked to",
        "COS060",
        _linked(removes("usr/lib/systemd/libsystemd-core-252.so")),
    ),
    "systemd-library-empty": Breakage(
        "a step left a library of systemd empty",
        "COS060",
        _linked(writes("usr/lib/systemd/libsystemd-core-252.so", "")),
    ),
    "no-udevd": Breakage(
        "a step removed udev's daemon",
        "COS170",
        removes("usr/lib/systemd/systemd-udevd"),
        besides=("COS100",),
    ),
    "no-sh": Breakage("a step removed the shell", "COS170", removes("usr/bin/sh")),
    "agetty-foreign": Breakage(
        "agetty was copied from an image for another architecture",
        "COS170",
        writes("usr/sbin/agetty", executable(program("riscv64"))),
    ),
    "parted-foreign": Breakage(
        "parted was copied from an image for another architecture",
        "COS174",
        writes("usr/sbin/parted", executable(program("riscv64"))),
    ),
    "initrd-systemd-empty": Breakage(
        "systemd in the initrd is empty", "COS172", _in_initrd(_emptied, "systemd")
    ),
    "initrd-runner-empty": Breakage(
        "what runs the stages in the initrd is empty", "COS172", _in_initrd(_emptied, *_RUNNERS)
    ),
    "initrd-runner-mode": Breakage(
        "what runs the stages in the initrd has mode 0644", "COS172", _in_initrd(_without_x, *_RUNNERS)
    ),
    "initrd-mount-foreign": Breakage(
        "mount in the initrd is for another architecture", "COS172", _foreign_mount
    ),
    "initrd-without-libblkid": Breakage(
        "the initrd lacks a library of a library of systemd",
        "COS172",
        _linked(initrd_without("libblkid.so.1", "libblkid.so.1.1.0")),
    ),
    "initrd-without-loader": Breakage(
        "the initrd lacks the dynamic loader",
        "COS172",
        _linked(initrd_without("ld-musl-x86_64.so.1", "ld-musl-aarch64.so.1")),
    ),
    "initrd-layout-mode": Breakage(
        "the script that mounts the layout has mode 0644 in the initrd",
        "COS172",
        _in_initrd(_without_x, *_LAYOUTS),
    ),
    "initrd-layout-empty": Breakage(
        "the script that mounts the layout is empty in the initrd",
        "COS172",
        _in_initrd(_emptied, *_LAYOUTS),
    ),
    "initrd-loop-mode": Breakage(
        "the script that loops the image has mode 0644 in the initrd",
        "COS172",
        _in_initrd(_without_x, *_LOOPS),
    ),
    "initrd-loop-returns": Breakage(
        "the script that loops the image has carriage returns at its line ends",
        "COS172",
        _in_initrd(_with_returns, *_LOOPS),
    ),
    "initrd-generator-mode": Breakage(
        "the generator has mode 0644 in the initrd, so systemd passes over it",
        "COS172",
        _in_initrd(_without_x, *_GENERATORS),
    ),
    "initrd-hook-empty": Breakage(
        "the hook that reads the command line is empty in the initrd", "COS177", _hook_emptied
    ),
    "initrd-hook-returns": Breakage(
        "the hook that reads the command line has carriage returns at its line ends",
        "COS177",
        _hook_with_returns,
    ),
}
"""What stops a machine: files that are there and cannot be executed, and what they need."""

PROGRAM_DEGRADATIONS: Mapping[str, Breakage] = {
    "kmod-mode": Breakage(
        "a step left kmod without a mode to execute it",
        "COS171",
        lambda parts: parts.write("usr/bin/kmod", File(program(parts.architecture), mode=0o644)),
    ),
    "lib64-replaced": Breakage("a layer replaced the link /lib64 by a directory", "COS173", _replaced),
    "layout-without-etc": Breakage(
        "the layout makes /etc not writable", "COS176", writes("system/oem/00_rootfs.yaml", _LAYOUT)
    ),
}
"""What makes a machine worse that still boots."""
