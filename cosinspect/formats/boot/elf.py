"""What starts an executable file: an ELF header (System V ABI, chapter 4) or a `#!` line (execve(2))."""

from __future__ import annotations

import struct

from attrs import frozen

from cosinspect.errors import FormatError

__all__ = ["ELF_HEAD_BYTES", "Elf", "read_elf", "read_interpreter"]

ELF_HEAD_BYTES = 4096
"""As much of a file's start as linkers need for the headers and the interpreter's name."""

_MAGIC = b"\x7fELF"
_PT_INTERP = 3
_SCRIPT_BYTES = 256  # BINPRM_BUF_SIZE: what the kernel looks at

# e_machine, whether 64 bits, whether little-endian -> the image specification's architecture, which is Go's GOARCH.
_ARCHITECTURES = {
    (62, True, True): "amd64",
    (3, False, True): "386",
    (183, True, True): "arm64",
    (40, False, True): "arm",
    (243, True, True): "riscv64",
    (21, True, True): "ppc64le",
    (21, True, False): "ppc64",
    (22, True, False): "s390x",
    (258, True, True): "loong64",
    (8, False, False): "mips",
    (8, False, True): "mipsle",
    (8, True, False): "mips64",
    (8, True, True): "mips64le",
}


@frozen
class Elf:
    """The header of an ELF file."""

    machine: str | None
    """The architecture as an image's platform names it, such as `amd64` or `arm64`; None for others."""
    bits: int
    little_endian: bool
    interpreter: str | None
    """The dynamic loader that it asks for, or None."""
    interpreter_known: bool
    """Whether the bytes at hand held the program headers, so that no interpreter means a static program."""


def read_elf(head: bytes) -> Elf:
    """Read the header of an ELF file.

    Args:
        head: the file's start; with `ELF_HEAD_BYTES` of it the interpreter is found too.

    Raises:
        FormatError: this is no ELF file (`magic`), or it ends within its header (`truncated`).
    """
    if not head.startswith(_MAGIC):
        raise FormatError(f"expected an ELF header, found {head[:4]!r}", kind="magic", offset=0)
    if len(head) < (64 if head[4:5] == b"\x02" else 52):
        raise FormatError("the ELF header ends early", kind="truncated", offset=len(head))
    if head[4] not in {1, 2} or head[5] not in {1, 2}:
        raise FormatError(
            f"the ELF class {head[4]} or byte order {head[5]} does not exist", kind="magic", offset=4
        )
    wide, little = head[4] == 2, head[5] == 1
    order = "<" if little else ">"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    known, interpreter = _interpreter(head, order, order + ("Q" if wide else "I"), wide=wide)
    return Elf(_ARCHITECTURES.get((machine, wide, little)), 64 if wide else 32, little, interpreter, known)


def read_interpreter(head: bytes) -> str | None:
    """Give the program that a script's `#!` line names, or None where there is no such line."""
    if not head.startswith(b"#!"):
        return None
    words = head[2:_SCRIPT_BYTES].partition(b"\n")[0].split(maxsplit=1)
    return words[0].decode(errors="replace") if words else None


def _interpreter(head: bytes, order: str, word: str, *, wide: bool) -> tuple[bool, str | None]:
    (table,) = struct.unpack_from(word, head, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
    needed = 56 if wide else 32
    for at in range(table, table + size * count, max(size, 1)):
        if size < needed or at + needed > len(head):
            return False, None
        if struct.unpack_from(order + "I", head, at)[0] == _PT_INTERP:
            (offset,) = struct.unpack_from(word, head, at + (8 if wide else 4))
            (length,) = struct.unpack_from(word, head, at + (32 if wide else 16))
            if offset + length > len(head):
                return False, None
            return True, head[offset : offset + length].rstrip(b"\0").decode(errors="replace")
    return size >= needed or not count, None
