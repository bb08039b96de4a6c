"""Unified kernel images: a kernel, an initrd, a command line and more in the sections of one EFI program.

Follows the UAPI group's specification of that name: sections before the first `.profile` are shared by all profiles. Sections
after a `.profile` belong to it and replace shared ones. The first profile is booted by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TypeAlias

from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.boot.initrd_segments import Stream
from cosinspect.formats.boot.kernel import HEAD_BYTES, Kernel, read_kernel
from cosinspect.formats.boot.pe import PE_HEAD_BYTES, PEProgram, PESection, read_pe
from cosinspect.limits import KIB, MIB

__all__ = ["SectionFault", "UnifiedKernel", "read_unified_kernel"]

_TEXTS = (".cmdline", ".osrel", ".uname", ".sdmagic")
_TEXT_BYTES = 64 * KIB
_MOST_PROFILES = 100
_MOST_OPENED = 8  # each opening may read a whole layer; two suffice for the output of linkers
_MOST_PROBLEMS = 20
_SKIP_BYTES = MIB

Open: TypeAlias = "Callable[[], AbstractContextManager[Stream]]"
Unpack: TypeAlias = "Callable[[Stream, int], Initrd]"


@frozen
class SectionFault:
    """The reason why a section does not hold what its name says.

    Attributes:
        kind: one word for the class of the fault, as `FormatError.kind`.
        message: what was expected and found, as one sentence without a full stop.
    """

    kind: str
    message: str


@frozen(kw_only=True)
class UnifiedKernel:
    """The content of an EFI program's sections.

    Attributes:
        program: its headers.
        texts: the sections of the first profile that are text, by name: `.cmdline`, `.osrel`, `.uname`, and systemd's `.sdmagic`; without NUL bytes
            at their ends; bytes that are not UTF-8 are surrogate escapes.
        profiles: the command lines of the profiles after the first, None for a profile without its own.
        kernel: of the section `.linux`, None if the section is missing or not a kernel.
        kernel_fault: why the section is not a kernel.
        initrd: of the section `.initrd`, None if the section is missing or cannot be unpacked.
        initrd_fault: why the section cannot be unpacked.
        problems: the file's faults, as sentences without a full stop.
    """

    program: PEProgram
    texts: Mapping[str, str]
    profiles: tuple[str | None, ...] = ()
    kernel: Kernel | None = None
    kernel_fault: SectionFault | None = None
    initrd: Initrd | None = None
    initrd_fault: SectionFault | None = None
    problems: tuple[str, ...] = ()

    @property
    def command_line(self) -> str:
        """The command line of the first profile, "" if there is none."""
        return self.texts.get(".cmdline", "").strip()

    def has(self, name: str) -> bool:
        """Return whether a section exists and is not empty."""
        section = self.program.section(name)
        return section is not None and section.size > 0


def read_unified_kernel(source: Open, *, size: int, unpack: Unpack) -> UnifiedKernel:
    """Read the sections of an EFI program.

    Args:
        source: opens the file at its start; it is called again for sections that are not in the order of the file.
        size: of the file, in bytes.
        unpack: reads an initrd from a stream and its size; it raises FormatError.

    Raises:
        FormatError: it is not an EFI program, or a limit is reached; kinds as for `read_pe`.
    """
    with ExitStack() as stack:
        file = _ForwardFile(source, stack)
        head = file.window(0, min(size, PE_HEAD_BYTES)).take()
        program = read_pe(head, size=size)
        first = _first_profile(program)
        lines = [
            next(iter(_named(each, ".cmdline")), None) for each in _further_profiles(program)[:_MOST_PROFILES]
        ]
        wanted = {*_named(first, *_TEXTS, ".linux", ".initrd"), *filter(None, lines)}
        texts: dict[PESection, str] = {}
        kernel: Kernel | None = None
        initrd: Initrd | None = None
        kernel_fault: SectionFault | None = None
        initrd_fault: SectionFault | None = None
        # In the order of the file, so that it is read once.
        for section in sorted(wanted, key=lambda each: (each.offset, each.size)):
            if section.name == ".initrd":
                try:
                    initrd = unpack(file.window(section.offset, section.size), section.size)
                except FormatError as fault:
                    initrd_fault = SectionFault(fault.kind, fault.message)
            elif section.name == ".linux":
                start = file.window(section.offset, min(section.size, HEAD_BYTES)).take()
                try:
                    kernel = read_kernel(start, size=section.size)
                except FormatError as fault:
                    kernel_fault = SectionFault(fault.kind, fault.message)
            else:
                texts[section] = _text(file, section)
    return UnifiedKernel(
        program=program,
        texts={section.name: texts[section] for section in _named(first, *_TEXTS)},
        profiles=tuple(None if line is None else texts[line].strip() for line in lines),
        kernel=kernel,
        kernel_fault=kernel_fault,
        initrd=initrd,
        initrd_fault=initrd_fault,
        problems=tuple(
            f"the section {section.name} ends at byte {section.end}, the file has {size} bytes"
            for section in program.sections
            if section.end > size
        )[:_MOST_PROBLEMS],
    )


def _first_profile(program: PEProgram) -> tuple[PESection, ...]:
    """Return the sections that are booted by default: those of the first profile, then the shared ones."""
    starts = _profile_starts(program)
    if not starts:
        return program.sections
    end = starts[1] if len(starts) > 1 else len(program.sections)
    return program.sections[starts[0] : end] + program.sections[: starts[0]]


def _further_profiles(program: PEProgram) -> list[tuple[PESection, ...]]:
    ends = [*_profile_starts(program)[1:], len(program.sections)]
    return [program.sections[start:end] for start, end in itertools.pairwise(ends)]


def _profile_starts(program: PEProgram) -> list[int]:
    return [number for number, section in enumerate(program.sections) if section.name == ".profile"]


def _named(sections: tuple[PESection, ...], *names: str) -> list[PESection]:
    """Return the first section of each name."""
    found: dict[str, PESection] = {}
    for section in sections:
        if section.name in names:
            found.setdefault(section.name, section)
    return list(found.values())


def _text(file: _ForwardFile, section: PESection) -> str:
    data = file.window(section.offset, min(section.size, _TEXT_BYTES)).take()
    return data.rstrip(b"\0").decode("utf-8", "surrogateescape")


class _ForwardFile:
    """A file that can only be read forward; it is opened again to go back."""

    def __init__(self, source: Open, stack: ExitStack) -> None:
        self._source = source
        self._stack = stack
        self._stream: Stream | None = None
        self._opened = 0
        self._at = 0

    def window(self, offset: int, size: int) -> _Window:
        """Return a stream of `size` bytes from an offset; it invalidates earlier streams."""
        if self._stream is None or offset < self._at:
            self._opened += 1
            if self._opened > _MOST_OPENED:
                raise FormatError("the sections overlap, and not all of them are read", kind="limit")
            self._stack.close()
            self._stream = self._stack.enter_context(self._source())
            self._at = 0
        while self._at < offset and self.read(min(offset - self._at, _SKIP_BYTES)):
            pass
        return _Window(self, size)

    def read(self, size: int) -> bytes:
        """Return at most `size` further bytes; empty at the end."""
        data = self._stream.read(size) if self._stream is not None and size else b""
        self._at += len(data)
        return data


class _Window:
    """A bounded part of a file as a stream."""

    def __init__(self, file: _ForwardFile, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; empty at the end."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data

    def take(self) -> bytes:
        """Return the whole part; it is shorter only if the file ends."""
        found = bytearray()
        while piece := self.read(self._left):
            found += piece
        return bytes(found)
