"""Linux kernel images: their kind, architecture and version.

Follows the Linux documentation: `arch/x86/boot.rst` for bzImage, `arch/arm64/booting.rst` and
`arch/riscv/boot-image-header.rst` for Image, and `drivers/firmware/efi/libstub/zboot-header.S` for the self-inflating EFI
program around an Image; for unified kernel images the UAPI group's specification of that name. An Image within gzip, which boot loaders accept,
is read too. Further `arch/s390/boot/head.S` and `ipl_data.c`, `arch/arm/boot/compressed/head.S`,
`arch/loongarch/kernel/head.S` for the kernels of those machines, and the ELF executable that firmware of POWER machines starts.

Refuses everything else, including other EFI programs; `ARCHITECTURES` names the machines whose kernels it knows. libmagic only
describes a refused file in messages (`describe`).
"""

from __future__ import annotations

import codecs
import ctypes
import ctypes.util
import functools
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from cosinspect.compression.codecs import MAGIC_BYTES, Compression, detect, inflate
from cosinspect.errors import FormatError
from cosinspect.formats.boot.elf import read_elf
from cosinspect.formats.boot.pe import PEProgram, read_pe
from cosinspect.limits import KIB, MIB

# pylibmagic (extra magic) has libmagic and its database in a wheel, but importing it puts both and the current directory into the
# environment of every child process. python-magic asks for the library by its bare name; the one loaded first answers.
_SPEC = find_spec("pylibmagic")
_WHEEL = Path(_SPEC.origin).parent if _SPEC is not None and _SPEC.origin is not None else None
_PRELOADED: ctypes.CDLL | None = None
if _WHEEL is not None:
    with suppress(OSError):
        _PRELOADED = ctypes.CDLL(str(_WHEEL / "libmagic.so.1"))


@contextmanager
def _no_search() -> Iterator[None]:
    """Have python-magic load the library by its bare name: `find_library` finds no more, and starts ldconfig, gcc and ld."""
    search = ctypes.util.find_library
    if sys.platform == "linux":
        ctypes.util.find_library = lambda name: None  # noqa: ARG005 - the parameter has this name
    try:
        yield
    finally:
        ctypes.util.find_library = search


_MAGIC: Any = None  # without libmagic, `_describe_simply` describes the bytes
with suppress(ImportError), _no_search():
    import magic

    _MAGIC = magic

__all__ = [
    "ARCHITECTURES",
    "HEAD_BYTES",
    "VERSION_SEARCH_BYTES",
    "Kernel",
    "describe",
    "find_version",
    "read_kernel",
]

ARCHITECTURES = frozenset({"amd64", "386", "arm64", "arm", "riscv64", "loong64", "s390x", "ppc64le", "ppc64"})
"""The machines whose kernels `read_kernel` recognises."""

HEAD_BYTES = 256 * KIB
"""The bytes of a file's start that `read_kernel` needs; x86 has its version within 65 KiB, a unified kernel image usually within this."""

VERSION_SEARCH_BYTES = 512 * MIB
"""The bytes that `find_version` searches."""

_SECTOR = 512
_X86_HEADER_BYTES = 0x268  # up to handover_offset, protocol 2.11
_S390_ENTRY, _S390_MARK = 0x10008, b"S390EP"
_S390_VERSION = 0x10428  # kernel_version in the parameter area
_ARM_MAGIC = 0x016F2818
_LINUX_PE_MAGIC = b"\xcd\x23\x82\x81"
_TEXT_BYTES = 4096
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_VERSION_BYTES = 512
_IMAGE_HEADER_BYTES = 64
_LOADED_HIGH = 1  # loadflags, bit 0
_XLF_KERNEL_64 = 1  # xloadflags, bit 0
_RISCV32_TEXT_OFFSET = 0x400000
_PE_SECTIONS = 96  # the subsystems that a PE loader accepts
_MACHINES = {
    0x014C: "386",
    0x8664: "amd64",
    0xAA64: "arm64",
    0x01C2: "arm",
    0x5064: "riscv64",
    0x6264: "loong64",
}
_ZBOOT_COMPRESSIONS = {
    "gzip": Compression.GZIP,
    "lz4": Compression.LZ4,
    "lzma": Compression.LZMA,
    "lzo": Compression.LZO,
    "xzkern": Compression.XZ,
    "zstd22": Compression.ZSTD,
}
_BANNER = re.compile(rb"Linux version ([0-9][!-~]{0,127}) ")
_BANNER_BYTES = 160
_DESCRIPTION_CHARACTERS = 200


@frozen(kw_only=True)
class Kernel:
    """The content of a kernel's header.

    Attributes:
        kind: `bzImage`, `zImage`, `Image`, `zboot`, `uki`, or `vmlinux` for an ELF executable.
        architecture: as Go and OCI name it, or None if the header does not say.
        version: the release, such as `6.1.0-50-amd64`; None if the header has none.
        version_string: the header's whole text about the version, with builder and date.
        efi_stub: whether firmware can start it as an EFI program.
        compression: of the kernel proper, or None if it is plain or the header does not say.
        payload_offset: where the compressed kernel proper is in the file, or None.
        payload_size: of the compressed kernel proper in bytes, or None.
        size_told: the least size of the file by its header, in bytes; None if the header does not say, and for an Image
            within gzip.
        problems: its faults, as sentences without a full stop.
    """

    kind: str
    architecture: str | None
    version: str | None = None
    version_string: str | None = None
    efi_stub: bool = False
    compression: Compression | None = None
    payload_offset: int | None = None
    payload_size: int | None = None
    size_told: int | None = None
    problems: tuple[str, ...] = ()


def read_kernel(head: bytes, *, size: int) -> Kernel:
    """Read the header of a kernel image.

    Args:
        head: its first `HEAD_BYTES` bytes, or all if it is shorter.
        size: of the whole file, in bytes.

    Raises:
        FormatError: it is empty (`empty`), not a kernel (`magic`), ends within its header (`truncated`), or is gzip data that
            cannot be inflated (`corrupt`).
    """
    if not head:
        raise FormatError("expected a kernel and found an empty file", kind="empty", offset=0)
    if detect(head[:MAGIC_BYTES]) is not Compression.GZIP:
        kernel = _read_plain(head)
        return evolve(kernel, problems=(*kernel.problems, *_missing_bytes(kernel, size)))
    inner = _inflate_head(head)
    try:
        kernel = _read_plain(inner)
    except FormatError as fault:
        raise FormatError(
            f"expected a kernel within the gzip data: {fault.message}", kind=fault.kind, offset=0
        ) from fault
    return evolve(kernel, compression=Compression.GZIP, payload_offset=0, payload_size=size, size_told=None)


def find_version(chunks: Iterable[bytes]) -> str | None:
    """Find the release in the banner `Linux version ...` of a kernel proper; None if there is no banner.

    Args:
        chunks: the inflated kernel proper in pieces; read up to the banner or `VERSION_SEARCH_BYTES`.
    """
    seen = 0
    tail = b""
    for chunk in chunks:
        text = tail + chunk
        match = _BANNER.search(text)
        if match is not None:
            return match[1].decode("ascii")
        tail = text[-_BANNER_BYTES:]
        seen += len(chunk)
        if seen >= VERSION_SEARCH_BYTES:
            break
    return None


def describe(head: bytes) -> str:
    """Describe bytes in a few words, for messages. It never fails; threads wait for each other."""
    if not head:
        return "empty"
    teller = _libmagic()
    text = ""
    if teller is not None:
        # A failure of libmagic is not an error: the description only decorates a message.
        with suppress(_MAGIC.MagicException):
            text = str(teller.from_buffer(head[:HEAD_BYTES]))
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words[:_DESCRIPTION_CHARACTERS] or _describe_simply(head)


def _describe_simply(head: bytes) -> str:
    """Describe bytes without libmagic's database."""
    compression = detect(head[:MAGIC_BYTES])
    if compression is not None:
        return f"{compression.value} compressed data"
    if head.startswith(b"\x7fELF"):
        return "an ELF file"
    if not head.strip(b"\0"):
        return "zeros"
    sample = head[:_TEXT_BYTES]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut
    except UnicodeDecodeError:
        return "data"
    return "data" if _CONTROL.search(sample) else "text"


@functools.cache
def _libmagic() -> Any:
    if _MAGIC is None:
        return None
    database = None
    # Only the library of the wheel reads the database of the wheel; another library may have been loaded before this module.
    if _WHEEL is not None and _PRELOADED is not None and _MAGIC.version() == _PRELOADED.magic_version():
        database = str(_WHEEL / "magic.mgc")
    try:
        return _MAGIC.Magic(magic_file=database)
    except _MAGIC.MagicException:
        return None


def _read_plain(head: bytes) -> Kernel:
    if head[0x1FE:0x200] == b"\x55\xaa" and head[0x202:0x206] == b"HdrS":
        return _read_x86(head)
    if head[:2] == b"MZ" and head[4:8] == b"zimg":
        return _read_zboot(head)
    if head[0x38:0x3C] in {b"ARM\x64", b"RSC\x05"}:
        return _read_image(head)
    if head[_S390_ENTRY : _S390_ENTRY + len(_S390_MARK)] == _S390_MARK:
        return _read_s390(head)
    if len(head) >= 0x30 and struct.unpack_from("<I", head, 0x24)[0] == _ARM_MAGIC:
        return _read_arm(head)
    pe = _read_pe(head)
    if pe is not None and head[0x38:0x3C] == _LINUX_PE_MAGIC:
        return Kernel(kind="Image", architecture=pe.architecture, efi_stub=True, size_told=pe.stored_end)
    if pe is not None:
        if pe.section(".linux") is not None:
            return _read_uki(head, pe)
        raise FormatError("expected a kernel, found an EFI program without one", kind="magic", offset=0)
    if (power := _read_power(head)) is not None:
        return power
    raise FormatError(f"expected a kernel and found {describe(head)}", kind="magic", offset=0)


def _read_x86(head: bytes) -> Kernel:
    if len(head) < _X86_HEADER_BYTES:
        raise _cut_header("x86 boot", _X86_HEADER_BYTES, len(head))
    setup_sectors = head[0x1F1] or 4
    (paragraphs,) = struct.unpack_from("<I", head, 0x1F4)
    (protocol,) = struct.unpack_from("<H", head, 0x206)
    (version_pointer,) = struct.unpack_from("<H", head, 0x20E)
    (extended_flags,) = struct.unpack_from("<H", head, 0x236)
    payload_offset, payload_size = struct.unpack_from("<II", head, 0x248)
    setup = (setup_sectors + 1) * _SECTOR
    pe = _read_pe(head)
    architecture = None
    if protocol >= 0x20C:  # the header has extended flags since 2.12
        architecture = "amd64" if extended_flags & _XLF_KERNEL_64 else "386"
    elif pe is not None:
        architecture = pe.architecture
    version_string, problems = _x86_version(head, version_pointer, setup)
    payload = setup + payload_offset if protocol >= 0x208 and payload_size else None
    told = setup
    if protocol >= 0x204:  # before 2.04 the upper half of syssize has no meaning
        told += paragraphs * 16
    return Kernel(
        kind="bzImage" if head[0x211] & _LOADED_HIGH else "zImage",
        architecture=architecture,
        version=_first_word(version_string),
        version_string=version_string,
        efi_stub=pe is not None,
        compression=detect(head[payload : payload + MAGIC_BYTES]) if payload is not None else None,
        payload_offset=payload,
        payload_size=payload_size if payload is not None else None,
        size_told=max(told, payload + payload_size if payload is not None else 0),
        problems=(*problems, *_missing_stub(head, pe)),
    )


def _x86_version(head: bytes, pointer: int, setup: int) -> tuple[str | None, tuple[str, ...]]:
    if not pointer:
        return None, ()
    offset = pointer + _SECTOR
    if offset >= setup:
        return None, (
            f"the header says that the version is at offset {offset}, which is after the setup code",
        )
    text, nul, _ = head[offset : offset + _VERSION_BYTES].partition(b"\0")
    version = _printable(text) if nul else None
    if not version:
        return None, (f"there is no version at offset {offset}, which the header names",)
    return version, ()


def _read_image(head: bytes) -> Kernel:
    if len(head) < _IMAGE_HEADER_BYTES:
        raise _cut_header("Image", _IMAGE_HEADER_BYTES, len(head))
    pe = _read_pe(head)
    (text_offset,) = struct.unpack_from("<Q", head, 8)
    architecture: str | None = "arm64"
    if head[0x38:0x3C] == b"RSC\x05":
        # The header is the same for 32 and 64 bits, except the offset at which the kernel is loaded.
        architecture = "riscv64" if text_offset != _RISCV32_TEXT_OFFSET else None
        if pe is not None:
            architecture = pe.architecture
    return Kernel(
        kind="Image",
        architecture=architecture,
        efi_stub=pe is not None,
        size_told=pe.stored_end if pe is not None else None,
        problems=_missing_stub(head, pe),
    )


def _read_s390(head: bytes) -> Kernel:
    version = None
    if len(head) >= _S390_VERSION + 8:
        (pointer,) = struct.unpack_from(">Q", head, _S390_VERSION)
        text, nul, _ = head[pointer : pointer + _VERSION_BYTES].partition(b"\0")
        version = _printable(text) if nul and text[:1].isdigit() else None
    return Kernel(kind="bzImage", architecture="s390x", version=_first_word(version), version_string=version)


def _read_arm(head: bytes) -> Kernel:
    start, end = struct.unpack_from("<II", head, 0x28)
    return Kernel(
        kind="zImage",
        architecture="arm",
        efi_stub=_read_pe(head) is not None,
        size_told=end - start if end > start else None,
    )


def _read_power(head: bytes) -> Kernel | None:
    """Read an ELF executable that starts without a loader; None for other files and other machines."""
    try:
        elf = read_elf(head)
    except FormatError:
        return None
    if elf.machine not in ("ppc64le", "ppc64") or elf.interpreter is not None:
        return None
    return Kernel(kind="vmlinux", architecture=elf.machine)


def _read_zboot(head: bytes) -> Kernel:
    if len(head) < _IMAGE_HEADER_BYTES:
        raise _cut_header("EFI zboot", _IMAGE_HEADER_BYTES, len(head))
    offset, size = struct.unpack_from("<II", head, 8)
    name = head[0x18:0x38].partition(b"\0")[0].decode("ascii", "replace")
    pe = _read_pe(head)
    return Kernel(
        kind="zboot",
        architecture=pe.architecture if pe is not None else None,
        efi_stub=pe is not None,
        compression=_ZBOOT_COMPRESSIONS.get(name) or detect(head[offset : offset + MAGIC_BYTES]),
        payload_offset=offset,
        payload_size=size,
        size_told=max(offset + size, pe.stored_end if pe is not None else 0),
        problems=_missing_stub(head, pe),
    )


def _read_uki(head: bytes, pe: PEProgram) -> Kernel:
    version = None
    named = pe.section(".uname")
    if named is not None and named.size <= _VERSION_BYTES and named.end <= len(head):
        version = _first_word(_printable(head[named.offset : named.end].rstrip(b"\0\n")))
    return Kernel(
        kind="uki",
        architecture=pe.architecture,
        version=version,
        version_string=version,
        efi_stub=True,
        size_told=pe.stored_end,
    )


def _read_pe(head: bytes) -> PEProgram | None:
    """Read the headers of a PE program; None if there are none, or they are not within `head`."""
    try:
        return read_pe(head, size=len(head))
    except FormatError:
        return None


def _missing_stub(head: bytes, pe: PEProgram | None) -> tuple[str, ...]:
    if head[:2] != b"MZ" or pe is not None:
        return ()
    return ("it begins like an EFI program, but has no EFI header at the offset that it names",)


def _inflate_head(head: bytes) -> bytes:
    inner = bytearray()
    # Only the head of the member is available, so it always ends too early.
    fault = None
    try:
        for piece in inflate(Compression.GZIP, head, lambda: b""):
            inner += piece
            if len(inner) >= HEAD_BYTES:
                break
    except FormatError as caught:
        fault = caught
    if not inner:
        raise FormatError(
            f"expected a kernel within gzip data: {fault.message if fault is not None else 'it is empty'}",
            kind="corrupt",
            offset=0,
        ) from fault
    return bytes(inner[:HEAD_BYTES])


def _missing_bytes(kernel: Kernel, size: int) -> tuple[str, ...]:
    if kernel.size_told is None or size >= kernel.size_told:
        return ()
    return (f"expected {kernel.size_told} bytes, as the header says, found {size}",)


def _printable(text: bytes) -> str | None:
    """Return text that can be shown and compared unchanged, else None: no kernel has such a release."""
    decoded = text.decode("ascii", "replace")
    return decoded if text.isascii() and decoded.isprintable() else None


def _first_word(text: str | None) -> str | None:
    words = text.split(maxsplit=1) if text else ()
    return words[0] if words else None


def _cut_header(name: str, expected: int, found: int) -> FormatError:
    return FormatError(
        f"expected {expected} bytes of {name} header and found {found}", kind="truncated", offset=found
    )
