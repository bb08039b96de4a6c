"""What a machine's disk has, by generation: partitions, their file systems, and where the image's root is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping

from attrs import field, frozen

from cosinspect.boot.ext2 import Ext2
from cosinspect.boot.fat import Fat32
from cosinspect.boot.partitions import EFI_SYSTEM, LINUX
from cosinspect.boot.startup import PLAIN_LABEL, Startup
from cosinspect.rootfs.member import Member, directory

__all__ = ["MEBIBYTE", "Volume", "lay_out"]

MEBIBYTE = 1 << 20
OEM_BYTES = 64 * MEBIBYTE
PERSISTENT_BYTES = 512 * MEBIBYTE
SLACK_BYTES = 64 * MEBIBYTE
_SEED = uuid.UUID("0a7a4a55-0e0c-5b86-8a3a-5a1b1f4b7f11")


@frozen
class Volume:
    """A partition and what is in it.

    Attributes:
        name: of the partition.
        kind: its type.
        system: its file system.
        image: of the image's root, where that is a file in this one: the source of the member that it is, and its own file system.
        holds_root: whether the tree's files are in it, in `image` or in the file system itself.
    """

    name: str
    kind: uuid.UUID
    system: Ext2 | Fat32
    image: tuple[str, Ext2] | None = None
    holds_root: bool = False
    size: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "size", self.system.size)


def lay_out(
    startup: Startup,
    members: Iterable[Member],
    oem: Iterable[Member],
    efi: Mapping[str, bytes],
    beside: Iterable[Member] = (),
) -> tuple[Volume, ...]:
    """Return the partitions of a machine that starts the image.

    Args:
        startup: what is started.
        members: of the tree.
        oem: files of the OEM partition.
        efi: files of the EFI partition.
        beside: files of the state partition beside the image.

    Raises:
        CannotBoot: a file system cannot hold what it should.
    """
    if startup.table is None or startup.state is None:
        root = Ext2(
            members, label=PLAIN_LABEL, uuid=_uuid(PLAIN_LABEL), slack=SLACK_BYTES, lettered_ext4=True
        )
        return (
            Volume("efi", EFI_SYSTEM, Fat32(efi, label="COS_GRUB")),
            Volume("oem", LINUX, _empty("COS_OEM", OEM_BYTES, oem)),
            Volume("root", LINUX, root, holds_root=True),
        )
    label, _, path = startup.state.image.partition(":")
    root = Ext2(members, label=_root_label(startup), uuid=_uuid("root"), slack=SLACK_BYTES)
    return (
        Volume("efi", EFI_SYSTEM, Fat32(efi, label="COS_GRUB")),
        Volume("oem", LINUX, _empty("COS_OEM", OEM_BYTES, oem)),
        _state("recovery", "COS_RECOVERY", label, path, root),
        _state("state", "COS_STATE", label, path, root, beside),
        Volume("persistent", LINUX, _empty("COS_PERSISTENT", PERSISTENT_BYTES)),
    )


def _root_label(startup: Startup) -> str:
    variables = startup.state.variables if startup.state is not None else {}
    return variables.get("label", "COS_ACTIVE")


def _state(
    name: str, label: str, wanted: str, path: str, root: Ext2, beside: Iterable[Member] = ()
) -> Volume:
    """Make the partition that holds the image's file, or the same one without it."""
    if label != wanted:
        return Volume(name, LINUX, _empty(label, OEM_BYTES, beside))
    members = [directory("/"), directory("/lost+found", 0o700), *_image_file(path, root.size)]
    there = {each.path for each in members}
    members += [each for each in beside if each.path not in there]
    system = Ext2(members, label=label, uuid=_uuid(label), slack=SLACK_BYTES, lettered_ext4=True)
    return Volume(name, LINUX, system, ("image", root), holds_root=True)


def _image_file(path: str, size: int) -> Iterator[Member]:
    """Yield the image's file and the directories above it; toolkit v2 has snapshots, and a link to the active one."""
    if path == "/.snapshots/active":
        yield directory("/.snapshots")
        yield directory("/.snapshots/1")
        yield directory("/.snapshots/passives")
        yield Member("/.snapshots/active", "symlink", 0o777, link="1/snapshot.img")
        path = "/.snapshots/1/snapshot.img"
    else:
        parts = path.split("/")[1:-1]
        for count in range(1, len(parts) + 1):
            yield directory("/" + "/".join(parts[:count]))
    yield Member(path, "file", 0o644, size=size, source="image")


def _empty(label: str, size: int, members: Iterable[Member] = ()) -> Ext2:
    every = [directory("/"), directory("/lost+found", 0o700), *members]
    return Ext2(every, label=label, uuid=_uuid(label), size=size, lettered_ext4=True)


def _uuid(name: str) -> bytes:
    return uuid.uuid5(_SEED, name).bytes
