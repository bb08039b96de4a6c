"""Programs of small derivatives: static ones, and those that are linked as real ones are, with a loader and libraries of libraries.

The loader is musl's, as on Alpine and Hadron: what a test adds for glibc's finds no loader but the one that the test brings along.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosinspect.testing.bootfiles import Architecture, executable
from cosinspect.testing.elf_files import elf_file
from cosinspect.testing.entries import File, Symlink

__all__ = ["initrd_programs", "linked_initrd_programs", "linked_root_programs", "root_programs"]

_MUSL = {"amd64": "x86_64", "386": "i386", "arm64": "aarch64", "riscv64": "riscv64"}
_SHARED = "libsystemd-shared-252.so"
_CORE = "libsystemd-core-252.so"

# What each library is linked to, as systemd 252's are.
_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "usr/lib/libblkid.so.1": (),
    "usr/lib/libmount.so.1": ("libblkid.so.1",),
    "usr/lib/libkmod.so.2": (),
    "usr/lib/libpam.so.0": (),
    f"usr/lib/systemd/{_SHARED}": ("libmount.so.1", "libblkid.so.1"),
    f"usr/lib/systemd/{_CORE}": ("libpam.so.0", "libkmod.so.2", "libmount.so.1"),
}
_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "usr/lib/systemd/systemd": (_CORE, _SHARED),
    "usr/bin/udevadm": ("libblkid.so.1", "libkmod.so.2"),  # as eudev's, which images without systemd keep
    # No link: where both directories are one it would lead to itself.
    "usr/sbin/udevadm": ("libblkid.so.1", "libkmod.so.2"),
    "usr/bin/kmod": ("libkmod.so.2",),
    "usr/bin/mount": ("libmount.so.1",),
    "usr/bin/dash": (),
    "usr/bin/login": ("libpam.so.0",),
    "usr/sbin/agetty": (),
}
_LINKS: Mapping[str, str] = {
    "usr/lib/systemd/systemd-udevd": "../../bin/udevadm",
    "usr/sbin/modprobe": "/bin/kmod",
    "usr/bin/sh": "dash",
}
_NOT_IN_INITRD = ("usr/bin/login", "usr/sbin/agetty")


def root_programs(architecture: Architecture) -> dict[str, File | Symlink]:
    """Make what the root executes between the start of systemd and a login, as static programs."""
    runs = executable(elf_file(architecture))
    return {**dict.fromkeys(_PROGRAMS, runs), **{path: Symlink(target) for path, target in _LINKS.items()}}


def initrd_programs(architecture: Architecture) -> dict[str, File | Symlink]:
    """Make what the initrd executes before it switches to the root, as static programs."""
    return _of_initrd(root_programs(architecture))


def linked_root_programs(architecture: Architecture) -> dict[str, File | Symlink]:
    """Make the same programs of the root linked to libraries, which come with them."""
    name = _MUSL[architecture]
    loader = f"/lib/ld-musl-{name}.so.1"
    own = f"libc.musl-{name}.so.1"
    found: dict[str, File | Symlink] = {
        f"usr{loader}": executable(elf_file(architecture, soname=own, shared=True)),
        f"usr/lib/{own}": Symlink(loader.rpartition("/")[2]),
    }
    for path, needed in _LIBRARIES.items():
        base = path.rpartition("/")[2]
        body = File(elf_file(architecture, soname=base, needed=(*needed, own), runpath=_runpath(needed)))
        if base.endswith(".so"):
            found[path] = body
        else:
            found[f"{path}.1.0"] = body
            found[path] = Symlink(f"{base}.1.0")
    for path, needed in _PROGRAMS.items():
        found[path] = executable(
            elf_file(architecture, interpreter=loader, needed=(*needed, own), runpath=_runpath(needed))
        )
    return {**found, **{path: Symlink(target) for path, target in _LINKS.items()}}


def linked_initrd_programs(architecture: Architecture) -> dict[str, File | Symlink]:
    """Make the same programs of the initrd linked to libraries, which come with them."""
    return _of_initrd(linked_root_programs(architecture))


def _of_initrd(programs: dict[str, File | Symlink]) -> dict[str, File | Symlink]:
    return {path: entry for path, entry in programs.items() if path not in _NOT_IN_INITRD}


def _runpath(needed: tuple[str, ...]) -> str | None:
    return "/usr/lib/systemd" if any(name.startswith("libsystemd") for name in needed) else None
