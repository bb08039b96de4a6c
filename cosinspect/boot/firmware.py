"""What installation makes of an image for UEFI firmware: its own shim, GRUB, modules and menu, and the variables that GRUB reads.

The places are those of elemental (toolkit v1: pkg/utils/grub.go; v2: pkg/bootloader/grub.go). Before toolkit v0.10, `grub2-install` of the machine
that installs makes GRUB's core, so it is not of the image, and is not tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from cosinspect.boot.startup import Startup
from cosinspect.errors import CannotBoot
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.profiles import generation_tables
from cosinspect.rootfs.member import Member, directory, text_file
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = ["NO_FIRMWARE", "FirmwareFiles", "firmware_files"]

_MODULES = ("loopback.mod", "squash4.mod", "xzio.mod")
_MODULE_PLACES = ("/boot/grub2/x86_64-efi", "/usr/share/grub*/x86_64-efi", "/usr/lib/grub*/x86_64-efi")
_LOADERS = {
    "shim": ("/usr/lib/elemental/bootloader/shim*", "/usr/share/efi/*/shim.efi", "/boot/efi/EFI/*/shim*.efi"),
    "GRUB": (
        "/usr/lib/elemental/bootloader/grub*",
        "/usr/share/grub2/*-efi/grub.efi",
        "/boot/efi/EFI/*/grub*.efi",
    ),
    "MokManager": (
        "/usr/lib/elemental/bootloader/mm*",
        "/boot/efi/EFI/*/mm*.efi",
        "/usr/share/efi/*/MokManager.efi",
    ),
}
_NAMES = {
    "fedora": ("shimx64.efi", "grubx64.efi", "mmx64.efi"),
    "ubuntu": ("shimx64.efi.signed", "grubx64.efi.signed", "mmx64.efi"),
}
_NAMES_ELSE = ("shim.efi", "grub.efi", "MokManager.efi")
_STUB = """\
search --no-floppy --label --set=root COS_STATE
set prefix=($root)/grub2
configfile ($root)/grub2/grub.cfg
"""
_BLOCK = 1024
MOST_LOADER_BYTES = 16 << 20


@frozen
class FirmwareFiles:
    """What is beside the image's root for firmware.

    Attributes:
        efi: files of the EFI partition by their paths.
        state: files of the state partition.
    """

    efi: Mapping[str, bytes] = field(factory=dict, repr=False)
    state: tuple[Member, ...] = field(default=(), repr=False)


NO_FIRMWARE = FirmwareFiles()


def firmware_files(rootfs: Rootfs, startup: Startup) -> FirmwareFiles:
    """Return what installation writes for firmware.

    Raises:
        CannotBoot: the image lacks a file, or its generation has no boot loader of its own.
    """
    table = generation_tables().get(startup.generation)
    if table is None or startup.table is None or startup.generation not in ("G3", "G4", "G5"):
        raise CannotBoot(
            "expected an image of toolkit v0.10 or newer, whose installation copies shim and GRUB from the image",
            remedy="leave --firmware out: kernel and initrd are started directly then",
        )
    second = startup.generation == "G5"
    menu = next(
        filter(
            None, (_text(rootfs, path) for path in (table.grub_config, table.grub_config_fallback) if path)
        ),
        "",
    )
    if not menu:
        raise CannotBoot("expected the menu that installation copies, found none", where=table.grub_config)
    shim, grub, mok = _loaders_v2(rootfs) if second else _loaders_v1(rootfs)
    modules = _modules(rootfs, all_of=second)
    environment = _environment(startup.table.environment)
    efi = {"EFI/BOOT/bootx64.efi": shim, "EFI/BOOT/grub.efi": grub, "EFI/BOOT/MokManager.efi": mok}
    # A shim of Fedora or Debian looks for this name.
    efi["EFI/BOOT/grubx64.efi"] = grub
    if second:
        efi["EFI/BOOT/grub.cfg"] = menu.encode("utf-8", "surrogateescape")
        efi["grub_oem_env"] = environment
        efi |= {f"EFI/BOOT/x86_64-efi/{name}": body for name, body in modules.items()}
        return FirmwareFiles(efi)
    efi["EFI/BOOT/grub.cfg"] = _STUB.encode()
    state = [directory("/grub2"), text_file("/grub2/grub.cfg", menu), directory("/grub2/x86_64-efi")]
    state += [_file(f"/grub2/x86_64-efi/{name}", body) for name, body in modules.items()]
    return FirmwareFiles(efi, (*state, _file("/grub_oem_env", environment)))


def _loaders_v2(rootfs: Rootfs) -> tuple[bytes, bytes, bytes]:
    found = []
    for what, patterns in _LOADERS.items():
        entry = next(
            (entry for pattern in patterns for entry in rootfs.glob(pattern) if rootfs.exists(entry.path)),
            None,
        )
        if entry is None:
            raise CannotBoot(f"expected {what} at {' or '.join(patterns)}, found none")
        found.append(_body(rootfs, entry.path))
    return found[0], found[1], found[2]


def _loaders_v1(rootfs: Rootfs) -> tuple[bytes, bytes, bytes]:
    """Take shim, GRUB and MokManager from anywhere, by the names of the distribution."""
    released = _text(rootfs, "/etc/os-release") or _text(rootfs, "/usr/lib/os-release")
    names = _NAMES.get(read_env_file(released).values.get("ID", ""), _NAMES_ELSE)
    found: list[bytes] = []
    for name in names:
        entries: Iterable[Entry] = rootfs.glob(f"**/{name}")
        path = next((entry.path for entry in entries if rootfs.exists(entry.path)), None)
        if path is None and name != names[2]:
            raise CannotBoot(f"expected a file {name} in the image, found none")
        found.append(_body(rootfs, path) if path is not None else b"")
    return found[0], found[1], found[2]


def _modules(rootfs: Rootfs, *, all_of: bool) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in _MODULES:
        entries = [entry for place in _MODULE_PLACES for entry in rootfs.glob(f"{place}/{name}")]
        if entries:
            found[name] = _body(rootfs, entries[0].path)
        elif all_of or name == _MODULES[0]:
            raise CannotBoot(f"expected GRUB's module {name} in {' or '.join(_MODULE_PLACES)}, found none")
    return found


def _environment(variables: Mapping[str, str]) -> bytes:
    """Write an environment block as grub2-editenv does."""
    text = "# GRUB Environment Block\n" + "".join(f"{name}={value}\n" for name, value in variables.items())
    return text.encode()[:_BLOCK].ljust(_BLOCK, b"#")


def _text(rootfs: Rootfs, path: str) -> str:
    entry = rootfs.trace(path).entry
    return rootfs.read_text(entry.path) if entry is not None and entry.type == "file" else ""


def _body(rootfs: Rootfs, path: str) -> bytes:
    return rootfs.read_bytes(path, limit=MOST_LOADER_BYTES)


def _file(path: str, body: bytes) -> Member:
    return Member(path, "file", 0o644, size=len(body), content=body)
