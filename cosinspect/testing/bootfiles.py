"""Kernels and initrds for test images: real formats without runnable code.

Kernels have the headers of the Linux documentation (`arch/x86/boot.rst`, `arch/arm64/booting.rst`,
`arch/riscv/boot-image-header.rst`) with EFI stub and version; file(1) recognises them. Initrds are newc cpio
archives in a compression that a kernel can inflate, made from the same values as layers
(`cosinspect.testing.layers`). The same arguments give the same bytes.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import lz4.block
import zstandard

from cosinspect.testing.layers import Device, Directory, File, Hardlink, Symlink

__all__ = [
    "Architecture",
    "InitrdCompression",
    "InitrdEntry",
    "compress_initrd",
    "cpio_archive",
    "efi_program",
    "executable",
    "join_segments",
    "linux_kernel",
    "microcode_archive",
    "unified_kernel_image",
    "zboot_kernel",
]

Architecture: TypeAlias = Literal["amd64", "386", "arm64", "riscv64"]
"""An architecture in the words of Go and OCI."""

InitrdCompression: TypeAlias = Literal["gzip", "xz", "zstd", "lz4", "bzip2", "lzma", "none"]

InitrdEntry: TypeAlias = str | bytes | File | Directory | Symlink | Hardlink | Device
"""A member of an initrd; text or bytes are a regular file of mode 0644."""

_MACHINES = {"386": 0x014C, "amd64": 0x8664, "arm64": 0xAA64, "riscv64": 0x5064}
_PE_START = 0x40
_SETUP_BYTES = 16 * 1024  # 31 sectors after the boot sector
_VERSION_OFFSET = 0x3000
_PAYLOAD_OFFSET = 0x400
_TEXT_OFFSET = 0x1000
_LZ4_BLOCK = 8 * 1024 * 1024


def linux_kernel(
    version: str = "6.1.0-50-amd64",
    architecture: Architecture = "amd64",
    *,
    size: int = 64 * 1024,
    efi_stub: bool = True,
) -> bytes:
    """Make a kernel image: a bzImage for x86, an Image for others.

    Args:
        version: the release; on x86 in the header, elsewhere only in the banner within the body.
        architecture: of the kernel.
        size: in bytes, rounded up to a multiple of 16; at least 32 KiB.
        efi_stub: whether it is also an EFI program.
    """
    size = -(-max(size, 32 * 1024) // 16) * 16
    if architecture in {"amd64", "386"}:
        return _bzimage(version, architecture, size, efi_stub=efi_stub)
    return _image(version, architecture, size, efi_stub=efi_stub)


def zboot_kernel(image: bytes, architecture: Architecture = "arm64") -> bytes:
    """Wrap an Image into an EFI program that inflates it, compressed with gzip."""
    payload = gzip.compress(image, mtime=0)
    kernel = bytearray(_TEXT_OFFSET)
    struct.pack_into("<2s2x4sII8x32s", kernel, 0, b"MZ", b"zimg", _TEXT_OFFSET, len(payload), b"gzip")
    struct.pack_into("<II", kernel, 0x38, 0x818223CD, _PE_START)  # LINUX_PE_MAGIC
    _put_pe(kernel, architecture, [(".text", _TEXT_OFFSET, len(payload))])
    return bytes(kernel) + payload


def unified_kernel_image(
    kernel: bytes,
    initrd: bytes,
    *,
    version: str = "6.1.0-50-amd64",
    architecture: Architecture = "amd64",
    command_line: str | None = None,
    os_release: str = "ID=cos\n",
    profiles: Sequence[str] = (),
    leave_out: Collection[str] = (),
) -> bytes:
    """Make an EFI program with a kernel, an initrd and the kernel's release in separate sections.

    Args:
        kernel: for the section .linux.
        initrd: for the section .initrd.
        version: the kernel's release.
        architecture: of the program.
        command_line: for the section .cmdline, None for no such section.
        os_release: what the boot menu shows.
        profiles: command lines of profiles, the first of which is booted by default.
        leave_out: names of sections that are not written.
    """
    parts = [(".osrel", os_release.encode()), (".uname", version.encode())]
    if command_line is not None:
        parts.append((".cmdline", command_line.encode()))
    parts += [(".linux", kernel), (".initrd", initrd)]
    for number, line in enumerate(profiles):
        parts += [(".profile", f"ID=profile{number}\n".encode()), (".cmdline", line.encode())]
    image = bytearray(_TEXT_OFFSET)
    sections = []
    for name, part in parts:
        if name not in leave_out:
            sections.append((name, len(image), len(part)))
            image += part + bytes(-len(part) % 512)
    image[:2] = b"MZ"
    struct.pack_into("<I", image, 0x3C, _PE_START)
    _put_pe(image, architecture, sections)
    return bytes(image)


def efi_program(architecture: Architecture = "amd64", *, loader: str | None = None) -> bytes:
    """Make an EFI program without runnable code.

    Args:
        architecture: of the program.
        loader: the name that it states as systemd-boot does, such as `systemd-boot 257.8`.
    """
    image = bytearray(_TEXT_OFFSET + 512)
    sections = [(".text", _TEXT_OFFSET, 512)]
    if loader is not None:
        text = f"#### LoaderInfo: {loader} ####".encode()
        sections.append((".sdmagic", len(image), len(text)))
        image += text + bytes(-len(text) % 512)
    image[:2] = b"MZ"
    struct.pack_into("<I", image, 0x3C, _PE_START)
    _put_pe(image, architecture, sections)
    return bytes(image)


def executable(content: str | bytes = "#!/bin/sh\n") -> File:
    """Return a file of mode 0755."""
    return File(content, mode=0o755)


def cpio_archive(
    members: Mapping[str, InitrdEntry], *, trailer: bool = True, checksums: bool = False
) -> bytes:
    """Write a newc archive, padded to 512 bytes as cpio(1) does; missing directories are added in front.

    Args:
        members: paths, without a leading slash, to members, in the order of the archive. The body of a file with hard links is
            at the last of them.
        trailer: whether the archive ends with its trailer.
        checksums: write the variant with checksums, 070702.
    """
    archive = bytearray()
    magic = b"070702" if checksums else b"070701"
    inodes: dict[str, int] = {}
    entries = dict(_with_parents(members))
    links = _link_groups(entries)
    for path, entry in entries.items():
        first = entry.target if isinstance(entry, Hardlink) else path
        group = links.get(str(first), [path])
        inode = inodes.setdefault(group[0], len(inodes) + 1)
        source = entries[group[0]]
        mode, body = _mode_and_body(source)
        if len(group) > 1 and path != group[-1]:
            body = b""
        node = (source.major, source.minor) if isinstance(source, Device) else (0, 0)
        owner = source if not isinstance(source, str | bytes) else File()
        fields = (inode, mode, owner.uid, owner.gid, len(group), owner.mtime, len(body), 0, 0, *node)
        total = sum(body) & 0xFFFFFFFF if checksums and stat.S_ISREG(mode) else 0
        archive += _cpio_member(magic, fields, path.encode("utf-8", "surrogateescape"), body, total)
    if trailer:
        archive += _cpio_member(magic, (0, 0, 0, 0, 1, *[0] * 6), b"TRAILER!!!", b"", 0)
        archive += bytes(-len(archive) % 512)
    return bytes(archive)


def microcode_archive(*vendors: Literal["AuthenticAMD", "GenuineIntel"]) -> bytes:
    """Make the archive that dracut writes before an initrd: microcode of the given CPU vendors, by default of both."""
    members: dict[str, InitrdEntry] = {"early_cpio": "1\n"}
    for vendor in vendors or ("AuthenticAMD", "GenuineIntel"):
        members[f"kernel/x86/microcode/{vendor}.bin"] = b"\x01\x00\x00\x00" * 512
    return cpio_archive(members)


def compress_initrd(data: bytes, compression: InitrdCompression) -> bytes:
    """Compress archives so that a kernel can inflate them: xz with CRC32 and a small dictionary, lz4 in the legacy format."""
    match compression:
        case "none":
            return data
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "xz":
            filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1024 * 1024}]
            return lzma.compress(data, check=lzma.CHECK_CRC32, filters=filters)
        case "zstd":
            return zstandard.ZstdCompressor(level=3).compress(data)
        case "bzip2":
            return bz2.compress(data)
        case "lzma":
            return lzma.compress(data, format=lzma.FORMAT_ALONE)
        case "lz4":
            blocks = (
                lz4.block.compress(data[start : start + _LZ4_BLOCK], store_size=False)
                for start in range(0, len(data), _LZ4_BLOCK)
            )
            return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(block)) + block for block in blocks)


def join_segments(*segments: bytes) -> bytes:
    """Join segments of an initrd, with zero bytes between them so that each starts at a multiple of 4."""
    joined = b""
    for segment in segments:
        joined += bytes(-len(joined) % 4) + segment
    return joined


def _bzimage(version: str, architecture: Architecture, size: int, *, efi_stub: bool) -> bytes:
    kernel = bytearray(size)
    banner = gzip.compress(_banner(version), mtime=0)
    payload = _SETUP_BYTES + _PAYLOAD_OFFSET
    kernel[payload : payload + len(banner)] = banner
    kernel[0x1F1] = _SETUP_BYTES // 512 - 1
    struct.pack_into("<HI", kernel, 0x1F2, 1, (size - _SETUP_BYTES) // 16)  # root_flags, syssize
    struct.pack_into("<H", kernel, 0x1FA, 0xFFFF)  # vid_mode
    struct.pack_into("<H2s4sH", kernel, 0x1FE, 0xAA55, b"\xeb\x6a", b"HdrS", 0x020F)
    struct.pack_into("<H", kernel, 0x20E, _VERSION_OFFSET - 0x200)
    kernel[0x211] = 1  # LOADED_HIGH
    struct.pack_into("<H", kernel, 0x236, 0x7F if architecture == "amd64" else 0)
    struct.pack_into("<II", kernel, 0x248, _PAYLOAD_OFFSET, len(banner))
    text = f"{version} (tests@cosinspect) #1 SMP PREEMPT_DYNAMIC\0".encode()
    kernel[_VERSION_OFFSET : _VERSION_OFFSET + len(text)] = text
    if efi_stub:
        kernel[:2] = b"MZ"
        struct.pack_into("<I", kernel, 0x3C, _PE_START)
        _put_pe(
            kernel,
            architecture,
            [
                (".setup", _TEXT_OFFSET, _SETUP_BYTES - _TEXT_OFFSET),
                (".text", _SETUP_BYTES, size - _SETUP_BYTES),
            ],
        )
    return bytes(kernel)


def _image(version: str, architecture: Architecture, size: int, *, efi_stub: bool) -> bytes:
    kernel = bytearray(size)
    text_offset, flags = (
        (0x200000, 0) if architecture == "riscv64" else (0, 0xA)
    )  # little endian, 4 KiB pages
    struct.pack_into("<QQQ", kernel, 8, text_offset, size, flags)
    if architecture == "riscv64":
        struct.pack_into("<I", kernel, 0x20, 2)  # header version 0.2
        struct.pack_into("<8s4s", kernel, 0x30, b"RISCV", b"RSC\x05")
    else:
        struct.pack_into("<4s", kernel, 0x38, b"ARM\x64")
    banner = _banner(version)
    kernel[0x2000 : 0x2000 + len(banner)] = banner
    if efi_stub:
        kernel[:4] = b"MZ\x40\xfa" if architecture == "arm64" else b"MZ\x00\x00"
        struct.pack_into("<I", kernel, 0x3C, _PE_START)
        _put_pe(kernel, architecture, [(".text", _TEXT_OFFSET, size - _TEXT_OFFSET)])
    return bytes(kernel)


def _banner(version: str) -> bytes:
    return f"Linux version {version} (tests@cosinspect) (gcc) #1 SMP PREEMPT_DYNAMIC\n\0".encode()


def _put_pe(image: bytearray, architecture: Architecture, sections: Sequence[tuple[str, int, int]]) -> None:
    """Put PE headers at `_PE_START`: name, offset and size in the file of each section."""
    wide = architecture != "386"
    optional_bytes = (0x70 if wide else 0x60) + 6 * 8
    header = struct.pack(
        "<4sHHIIIHH", b"PE", _MACHINES[architecture], len(sections), 0, 0, 0, optional_bytes, 0x206
    )
    optional = bytearray(optional_bytes)
    struct.pack_into("<H", optional, 0, 0x20B if wide else 0x10B)
    struct.pack_into("<II", optional, 0x20, 0x1000, 0x200)  # alignment in memory and in the file
    struct.pack_into("<II", optional, 0x38, len(image), 0x1000)  # size of the image and of its headers
    struct.pack_into("<H", optional, 0x44, 10)  # an EFI application
    struct.pack_into("<I", optional, 0x6C if wide else 0x5C, 6)  # data directories
    table = b"".join(
        struct.pack("<8sIIIIIIHHI", name.encode(), size, offset, size, offset, 0, 0, 0, 0, 0x60000020)
        for name, offset, size in sections
    )
    headers = header + optional + table
    image[_PE_START : _PE_START + len(headers)] = headers


def _with_parents(members: Mapping[str, InitrdEntry]) -> Iterator[tuple[str, InitrdEntry]]:
    made: set[str] = set()
    for path, entry in members.items():
        for at, letter in enumerate(path):
            if letter == "/" and path[:at] not in made and path[:at] not in members:
                made.add(path[:at])
                yield path[:at], Directory()
        yield path, entry


def _link_groups(entries: Mapping[str, InitrdEntry]) -> dict[str, list[str]]:
    """Group hard-linked paths by the path of the file itself, which comes first."""
    groups: dict[str, list[str]] = {}
    for path, entry in entries.items():
        if isinstance(entry, Hardlink):
            groups.setdefault(str(entry.target), [str(entry.target)]).append(path)
    return groups


def _mode_and_body(entry: InitrdEntry) -> tuple[int, bytes]:
    match entry:
        case str() | bytes():
            return _mode_and_body(File(entry))
        case File():
            return stat.S_IFREG | entry.mode, entry.content
        case Directory():
            return stat.S_IFDIR | entry.mode, b""
        case Symlink():
            return stat.S_IFLNK | entry.mode, entry.target
        case Device():
            return (stat.S_IFCHR if entry.kind == "char" else stat.S_IFBLK) | entry.mode, b""
        case Hardlink():
            raise ValueError(f"a hard link needs a file to lead to, not another hard link: {entry.target}")


def _cpio_member(magic: bytes, fields: tuple[int, ...], name: bytes, body: bytes, checksum: int) -> bytes:
    header = magic + b"".join(b"%08X" % field for field in (*fields, len(name) + 1, checksum)) + name + b"\0"
    return header + bytes(-len(header) % 4) + body + bytes(-len(body) % 4)
