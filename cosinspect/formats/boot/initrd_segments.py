"""The segments of an initrd, unpacked one after the other as the kernel does it.

Follows `unpack_to_rootfs` and `flush_buffer` of `init/initramfs.c` in Linux 6.1, and `lib/earlycpio.c` for files that the
kernel reads before it unpacks. `initrd` describes the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

from attrs import Factory, define, frozen

from cosinspect.compression.codecs import MAGIC_BYTES, Compression, detect, inflate, inflate_stream
from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.formats.boot.cpio import CpioEntry, Window, body_pieces, read_entry, skip_body
from cosinspect.formats.boot.initrd_tree import UnpackedInitrd
from cosinspect.formats.boot.program import ProgramReader, is_candidate, read_program, weight_of
from cosinspect.limits import KIB, MIB, Limits

__all__ = ["BODIES_BYTES", "Segment", "Stream", "Unpacking"]

BODIES_BYTES = 64 * MIB
"""The most bytes of bodies that are kept of one initrd; further bodies are not kept."""

_READ_BYTES = 256 * KIB
_GZIP_HEADER_BYTES, _GZIP_TRAILER_BYTES, _GZIP_DEFLATE, _GZIP_NAME = 10, 8, 8, 8
_XZ_HEADER_BYTES = 12 + 4 * 256  # sizes of the stream's header and of its first block's
_XZ_CHECKS = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}
_XZ_DELTA, _XZ_LZMA2 = 0x03, 0x21
_XZ_BRANCHES = {
    0x04: "X86",
    0x05: "POWERPC",
    0x06: "IA64",
    0x07: "ARM",
    0x08: "ARMTHUMB",
    0x09: "SPARC",
    0x0A: "ARM64",
    0x0B: "RISCV",
}
_MICROCODE = {  # arch/x86/kernel/cpu/microcode
    "kernel/x86/microcode/AuthenticAMD.bin": "AuthenticAMD",
    "kernel/x86/microcode/GenuineIntel.bin": "GenuineIntel",
}
_EARLY = ("kernel/x86/microcode/", "kernel/firmware/acpi/")


class Stream(Protocol):
    """The stream from which an initrd is read."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; empty at the end."""
        ...


@frozen(kw_only=True)
class Segment:
    """One archive, or one compressed member with the archives in it.

    Attributes:
        offset: in the initrd.
        compression: None is plain.
        compressed_size: its bytes in the initrd; None if its end was not found.
        size: its inflated bytes, as far as they were read.
        members: the number of members that were read.
        kind: `microcode` for a plain archive of only files that a kernel reads before it unpacks (CPU microcode, ACPI
            tables), else `archive`.
        trailer: whether its last archive ends with a trailer; kernels do not require one.
        filters: the filters of xz before its compression for which a kernel needs an option: `X86`, `ARM64` and so on, as
            `CONFIG_XZ_DEC_...` names them.
    """

    offset: int
    compression: Compression | None
    compressed_size: int | None
    size: int
    members: int
    kind: str
    trailer: bool
    filters: tuple[str, ...] = ()


@define
class _Draft:
    """A segment that is being read."""

    offset: int
    compression: Compression | None = None
    filters: tuple[str, ...] = ()
    size: int = 0
    members: int = 0
    early: int = 0
    others: int = 0
    trailer: bool = False

    def finish(self, end: int | None) -> Segment:
        early = self.compression is None and self.early and not self.others
        return Segment(
            offset=self.offset,
            compression=self.compression,
            compressed_size=None if end is None else end - self.offset,
            size=self.size,
            members=self.members,
            kind="microcode" if early else "archive",
            trailer=self.trailer,
            filters=self.filters,
        )


@define(eq=False)
class Unpacking:
    """An initrd that is being unpacked.

    Attributes:
        stream: the initrd.
        left: the bytes of it that are not read yet.
        wanted: returns whether to keep the body of a path.
        files: the files so far.
        segments: the segments so far; the last one may be incomplete.
        microcode: the CPU vendors whose microcode is where a kernel looks for it.
        count: the number of members so far.
        plain_so_far: whether all segments so far are plain.
        inflated: the inflated bytes of compressed segments so far.
        bodies: the bytes that are kept so far.
        programs_left: the characters that are left for requirements of programs.
        fault_offset: the position of reading in the initrd; within a compressed segment, the start of that segment.
        broken: the exception that the stream raised.
    """

    stream: Stream
    left: int
    wanted: Callable[[str], bool]
    limits: Limits
    files: UnpackedInitrd = Factory(UnpackedInitrd)
    segments: list[Segment] = Factory(list)
    microcode: set[str] = Factory(set)
    count: int = 0
    plain_so_far: bool = True
    inflated: int = 0
    bodies: int = 0
    programs_left: int = Factory(lambda self: self.limits.program_characters, takes_self=True)
    fault_offset: int = 0
    window: Window = Factory(lambda self: Window(self.fetch), takes_self=True)
    broken: Exception | None = None

    def fetch(self) -> bytes:
        """Return the next bytes of the initrd."""
        try:
            piece = self.stream.read(min(_READ_BYTES, self.left))
        except Exception as fault:
            self.broken = fault
            raise
        self.left -= len(piece)
        return piece

    def run(self) -> FormatError | None:
        """Read segment by segment; return the fault that ended reading early."""
        try:
            self.unpack()
        except FormatError as fault:
            if self.broken is not None:
                # An error of the stream is not a fault of the initrd, even if a codec reports it as one.
                raise self.broken from None
            return fault
        return None

    def unpack(self) -> None:
        """Read segments up to the end.

        Raises:
            FormatError: a kernel stops here, or a bound is reached.
        """
        window = self.window
        while True:
            window.skip_zeros()
            head = window.peek(MAGIC_BYTES)
            self.fault_offset = window.offset
            if not head:
                break
            if len(self.segments) >= self.limits.initrd_segments:
                raise FormatError(
                    f"the initrd has more than {self.limits.initrd_segments} segments", kind="limit"
                )
            if head[:1] == b"0" and window.offset % 4 == 0:
                self.read_plain()
            else:
                self.read_compressed(head)
        if self.left:
            raise FormatError(
                f"the initrd ends at offset {window.offset}, {self.left} bytes early", kind="truncated"
            )

    def read_plain(self) -> None:
        """Read a plain archive, and verify the offset of what follows."""
        draft = _Draft(self.window.offset)
        end = None
        try:
            self.read_archive(self.window, draft)
            end = self.window.offset
        finally:
            draft.size = self.window.offset - draft.offset
            self.segments.append(draft.finish(end))
        self.window.skip_zeros()
        rest = self.window.peek(1)
        if rest and self.window.offset % 4:
            self.fault_offset = self.window.offset
            raise _misaligned(self.window.offset)

    def read_compressed(self, head: bytes) -> None:
        """Read a compressed segment, which holds archives and nothing else."""
        start = self.window.offset
        kind = _compression(head, start)
        self.plain_so_far = False
        header = self.window.peek(_XZ_HEADER_BYTES)
        draft = _Draft(start, kind)
        first = not self.segments
        end = None
        pieces = self.inflate(kind, draft)
        inner = Window(lambda: next(pieces, b""))
        try:
            if kind is Compression.XZ:
                _check_xz(header, start)
                draft.filters = _xz_filters(header, start)
            if not first:
                inner.skip_zeros()
            elif not inner.peek(1):
                raise FormatError(f"the {kind.value} data at offset {start} holds no archive", kind="magic")
            while inner.peek(1):
                spend()
                self.read_archive(inner, draft)
                inner.skip_zeros()
            end = self.window.offset
        finally:
            self.segments.append(draft.finish(end))

    def inflate(self, kind: Compression, draft: _Draft) -> Generator[bytes, None, None]:
        """Yield the inflated bytes of the member at the window's offset, and move the window past it."""
        gzip = kind is Compression.GZIP
        if gzip:
            self.pass_gzip_header()
            pieces = inflate_stream(self.window.rest(), self.window.piece)
        else:
            pieces = inflate(kind, self.window.rest(), self.window.piece, limits=self.limits)
        while True:
            try:
                piece = next(pieces)
            except StopIteration as stop:
                self.window.give_back(stop.value)
                if gzip:
                    self.window.skip(_GZIP_TRAILER_BYTES)  # the kernel compares neither checksum nor size
                return
            self.inflated += len(piece)
            draft.size += len(piece)
            if self.inflated > self.limits.initrd_bytes:
                raise FormatError(
                    f"the initrd inflates to more than {self.limits.initrd_bytes} bytes", kind="limit"
                )
            if piece:
                yield piece

    def pass_gzip_header(self) -> None:
        """Skip the header of a gzip member as Linux does (`lib/decompress_inflate.c`): ten bytes and a name.

        Fields of other flags are inflated as if they were data.

        Raises:
            FormatError: the method is unknown (`corrupt`), or the name is not terminated (`truncated`).
        """
        header = self.window.take(_GZIP_HEADER_BYTES)
        if header[2] != _GZIP_DEFLATE:
            raise FormatError(f"expected gzip data of method 8, found method {header[2]}", kind="corrupt")
        while header[3] & _GZIP_NAME and self.window.take(1) != b"\0":
            pass

    def read_archive(self, window: Window, draft: _Draft) -> None:
        """Read members up to a trailer, the end, or bytes that are not a header."""
        while window.peek(1):
            if draft.compression is None and (window.peek(1) != b"0" or window.offset % 4):
                return
            if draft.compression is None:
                self.fault_offset = window.offset
            entry = read_entry(window)
            draft.trailer = entry is None
            if entry is None:
                self.files.forget_links()
                return
            self.add(window, entry, draft)
            window.skip_zeros()

    def add(self, window: Window, entry: CpioEntry, draft: _Draft) -> None:
        """Read one member's body, and create the member."""
        if self.count >= self.limits.initrd_entries:
            raise FormatError(f"the initrd has more than {self.limits.initrd_entries} members", kind="limit")
        self.note_early(entry, draft)
        place = self.files.place(entry)
        wanted = place is not None and entry.type == "file" and self.wanted(place)
        linked = self.files.linked(entry)
        candidate = place is not None and entry.type == "file" and is_candidate(place, entry.mode)
        keeps = (wanted or (linked is not None and linked.wanted)) and self.has_room(entry)
        looks = candidate and not keeps and self.programs_left > 0
        reader = ProgramReader(entry.size) if looks and entry.size > _READ_BYTES else None
        pieces: list[bytes] = []
        wrong_sum = None
        try:
            if keeps or looks:
                more = True
                for piece in body_pieces(window, entry):
                    if reader is None:
                        pieces.append(piece)
                    else:
                        more = more and reader.feed(piece)
            else:
                skip_body(window, entry)
        except FormatError as fault:
            if fault.kind != "checksum":
                raise
            wrong_sum = fault  # the kernel stops after the file, which it has written by then
        whole, program = b"".join(pieces), None
        if candidate and (keeps or looks):
            program = read_program(whole) if reader is None else reader.finish()
        if looks and program is not None:
            self.programs_left -= weight_of(program)
        body = whole if keeps else None
        self.bodies += len(body or b"")
        draft.members += 1
        self.count += 1
        if place is not None:
            self.files.write(
                entry, place, segment=len(self.segments), body=body, wanted=wanted, program=program
            )
        if wrong_sum is not None:
            raise wrong_sum

    def has_room(self, entry: CpioEntry) -> bool:
        """Return whether the limits allow a member's body to be kept."""
        return entry.size <= min(self.limits.initrd_body_bytes, BODIES_BYTES - self.bodies)

    def note_early(self, entry: CpioEntry, draft: _Draft) -> None:
        """Count the members that a kernel reads before it unpacks."""
        if entry.type == "directory":
            return
        if entry.name != "early_cpio" and not entry.name.startswith(_EARLY):
            draft.others += 1
            return
        draft.early += 1
        # The kernel looks for these by their exact names, and not after the first compressed segment.
        if self.plain_so_far and entry.type == "file" and entry.size and entry.name in _MICROCODE:
            self.microcode.add(_MICROCODE[entry.name])


def _compression(head: bytes, offset: int) -> Compression:
    kind = detect(head)
    # The kernel knows two bytes of each magic number, and of zstd's only the one that starts a frame.
    if kind is not None and not (kind is Compression.ZSTD and head[:2] != b"\x28\xb5"):
        return kind
    if head.startswith(b"0707"):
        raise _misaligned(offset)
    raise FormatError(
        f"expected a cpio header or compressed data at offset {offset} and found the bytes {head.hex(' ')}",
        kind="magic",
        offset=offset,
    )


def _check_xz(head: bytes, offset: int) -> None:
    check = head[7] if len(head) > 7 else 0
    if check not in {0, 1}:
        name = _XZ_CHECKS.get(check, f"number {check}")
        raise FormatError(
            f"the xz data at offset {offset} has the integrity check {name}; kernels support only CRC32",
            kind="xz-check",
            offset=offset,
            remedy="compress it with xz --check=crc32",
        )


def _xz_filters(head: bytes, offset: int) -> tuple[str, ...]:
    """Return the filters of the first block that need a kernel option of their own.

    Raises:
        FormatError: kernels do not support a filter, or so many filters (`xz-filter`).
    """
    block = head[12:]
    if len(block) < 4 or not block[0]:
        return ()  # there is no block, or it is cut
    block = block[: 4 * (block[0] + 1)]
    flags, at = block[1], 2
    for bit in (0x40, 0x80):  # sizes that a header may state
        if flags & bit:
            _, at = _xz_number(block, at)
    found: list[str] = []
    for _ in range((flags & 3) + 1):
        identity, at = _xz_number(block, at)
        length, at = _xz_number(block, at)
        if identity == _XZ_LZMA2:
            break
        at += length
        name = _XZ_BRANCHES.get(identity)
        if name is None or length or found:
            what = "delta" if identity == _XZ_DELTA else name or f"number {identity}"
            raise FormatError(
                f"the xz data at offset {offset} has the filter {what}; kernels support LZMA2 with at most one branch filter before it",
                kind="xz-filter",
                offset=offset,
                remedy="compress it with xz --check=crc32 --lzma2=dict=1MiB",
            )
        found.append(name)
    return tuple(found)


def _xz_number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number with seven bits in each byte, and its end; 0 and the end if it is cut."""
    value = 0
    for shift in range(0, 63, 7):
        if at >= len(data):
            return 0, at
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            break
    return value, at


def _misaligned(offset: int) -> FormatError:
    return FormatError(
        f"expected the next archive of the initrd at a multiple of 4 and found it at offset {offset}",
        kind="alignment",
        offset=offset,
        remedy="put zero bytes between the two archives",
    )
