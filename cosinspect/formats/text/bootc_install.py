"""Settings of `bootc install`: the TOML files below bootc/install (bootc, crates/lib/src/install/config.rs).

For each setting, the file whose name sorts last counts. Other keys of [install] are skipped, because releases have different ones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import msgspec
from attrs import evolve, frozen

from cosinspect.errors import FormatError
from cosinspect.wire_types import ready

__all__ = ["BootcInstall", "merge_bootc_install", "read_bootc_install"]

FILESYSTEMS = ("xfs", "ext4", "btrfs")
BLOCKS = ("direct", "tpm2-luks")
BOOTLOADERS = ("grub", "grub-cc", "systemd", "none")


@frozen
class BootcInstall:
    """The settings of one file, or of several together.

    Attributes:
        filesystem: the type of the root filesystem, "" if it is not set.
        bootloader: `grub`, `grub-cc`, `systemd` or `none`, "" if it is not set.
        block: the storage that the root may use, the default first: `direct` or `tpm2-luks`; None if it is not set.
        architectures: the architectures of the file, as Rust names them (`x86_64`); None for all.
    """

    filesystem: str = ""
    bootloader: str = ""
    block: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None


class _Root(msgspec.Struct, forbid_unknown_fields=True):
    type: str = ""


class _Filesystems(msgspec.Struct, forbid_unknown_fields=True):
    root: _Root | None = None


class _Install(msgspec.Struct, rename="kebab"):
    root_fs_type: str = ""
    filesystem: _Filesystems | None = None
    block: tuple[str, ...] | None = None
    match_architectures: tuple[str, ...] | None = None
    bootloader: str = ""


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    install: _Install | None = None


def read_bootc_install(text: str) -> BootcInstall:
    """Read one file.

    Raises:
        FormatError: it is not TOML (`syntax`), or a setting is not of its type (`type`).
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        raise FormatError(f"expected TOML: {fault}", kind="syntax") from fault
    try:
        document = msgspec.convert(values, ready(_Document))
    except msgspec.ValidationError as fault:
        raise FormatError(f"bootc refuses the settings: {fault}", kind="type") from fault
    found = document.install or _Install()
    root = found.filesystem.root if found.filesystem is not None else None
    filesystem = (root.type if root is not None else "") or found.root_fs_type
    for what, value, known in (
        ("filesystem", filesystem, FILESYSTEMS),
        ("boot loader", found.bootloader, BOOTLOADERS),
        *(("block setup", each, BLOCKS) for each in found.block or ()),
    ):
        if value and value not in known:
            raise FormatError(
                f"expected the {what} to be one of {', '.join(known)}, found {value[:60]!r}", kind="type"
            )
    return BootcInstall(filesystem, found.bootloader, found.block, found.match_architectures)


def merge_bootc_install(files: Iterable[BootcInstall], architecture: str) -> BootcInstall:
    """Merge files in the order of their names, for an architecture as Rust names it."""
    merged = BootcInstall()
    for each in files:
        if each.architectures is None or architecture in each.architectures:
            merged = evolve(
                merged,
                filesystem=each.filesystem or merged.filesystem,
                bootloader=each.bootloader or merged.bootloader,
                block=merged.block if each.block is None else each.block,
            )
    return merged
