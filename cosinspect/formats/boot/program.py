"""Executable files as a kernel reads them: an ELF program, a script with its `#!` line, or neither.

Sources: execve(2), `fs/binfmt_script.c` and `fs/binfmt_elf.c` of Linux 6.1, and the rule of
POSIX shells for a file that execve(2) refuses with ENOEXEC. A `ProgramReader` reads a file once, and keeps little more than a megabyte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from cosinspect.errors import FormatError
from cosinspect.formats.boot.elf import (
    DYNAMIC_BYTES,
    ELF_HEAD_BYTES,
    MAGIC,
    NAME_BYTES,
    Elf,
    Layout,
    Wanted,
    built_in_directories,
    describe,
    interpreter_of,
    is_loader,
    read_layout,
)

__all__ = [
    "Program",
    "ProgramReader",
    "Script",
    "is_candidate",
    "read_interpreter",
    "read_pieces",
    "read_program",
    "read_script",
    "weight_of",
]

SCRIPT_BYTES = 256
"""The bytes of a script that the kernel reads (BINPRM_BUF_SIZE)."""

PREFIX_BYTES = 1024 * 1024
"""The bytes of an ELF file's start that are kept: linkers put the names there."""

WHOLE_BYTES = 128 * 1024 * 1024
"""The bytes that are kept of a file that is read for its own sake."""

STRINGS_BYTES = 4 * 1024 * 1024
"""The longest string table that is kept if headers announce one."""

_BLANKS = b" \t"
_SUFFIX = b".so"
_TAIL = 256
_MOST_NAMES = 10_000
_TERMINATOR = re.compile(rb"[ \t\0]")


class Script(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first line of a script.

    Attributes:
        interpreter: the program that runs it, "" if the line names none.
        argument: the rest of the line, without the blanks around it, None if there is none.
    """

    interpreter: str
    argument: str | None


class Program(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An executable file.

    Attributes:
        elf: the requirements of an ELF file, else None.
        script: the `#!` line, None if there is none.
        text: whether a shell runs a file that is neither as its own script.
    """

    elf: Elf | None = None
    script: Script | None = None
    text: bool = False


def is_candidate(path: str, mode: int) -> bool:
    """Return whether a file of this name and mode may be executed or loaded as a library."""
    return bool(mode & 0o111) or ".so" in path.rpartition("/")[2]


def weight_of(program: Program) -> int:
    """Return the memory of a value, in characters: its texts, and a hundred for itself."""
    weight = 100
    if program.script is not None:
        weight += len(program.script.interpreter) + len(program.script.argument or "")
    if program.elf is not None:
        elf = program.elf
        texts = (elf.interpreter, elf.soname, elf.rpath, elf.runpath, *elf.needed, *elf.directories)
        versions = (version for _, names in elf.wants for version in names)
        weight += sum(len(text or "") + 50 for text in (*texts, *elf.defines, *versions))
    return weight


def read_script(head: bytes) -> Script | None:
    """Read a `#!` line as `load_script` of Linux does; None if there is none, or the kernel refuses it with ENOEXEC.

    A carriage return is not a blank: it belongs to the name or the argument.
    """
    if not head.startswith(b"#!"):
        return None
    buffer = head[:SCRIPT_BYTES].ljust(SCRIPT_BYTES, b"\0")
    line, ended, _ = buffer[2:].partition(b"\n")
    if ended:
        line = line.rstrip(_BLANKS)
    elif not _TERMINATOR.search(line.lstrip(_BLANKS)):
        return None  # the name may be longer than the part that the kernel reads
    else:
        line = line[:-1]
    line = line.lstrip(_BLANKS)
    found = _TERMINATOR.search(line)
    if found is None or found[0] == b"\0":
        name, argument = line[: found.start() if found else len(line)], b""
    else:
        name, argument = line[: found.start()], line[found.end() :].lstrip(_BLANKS).partition(b"\0")[0]
    if not name:
        return None
    return Script(_text(name), _text(argument) if argument else None)


def read_interpreter(head: bytes) -> str | None:
    """Return the program that a script's `#!` line names, or None if there is no such line."""
    script = read_script(head)
    return script.interpreter if script is not None else None


def read_program(data: bytes) -> Program:
    """Read a whole file."""
    reader = ProgramReader(len(data), prefix=len(data))
    reader.feed(data)
    return reader.finish()


def read_pieces(pieces: Iterable[bytes], size: int) -> Program:
    """Read a file again, of which too little was kept. More of it is kept, and it is read only as far as needed."""
    reader = ProgramReader(size, prefix=min(size, WHOLE_BYTES))
    for piece in pieces:
        if not reader.feed(piece):
            break
    return reader.finish()


class ProgramReader:
    """Reads one file in pieces. It never fails; `Elf.problem` names what it could not find."""

    def __init__(self, size: int, *, prefix: int = PREFIX_BYTES) -> None:
        """Read a file of `size` bytes, and keep `prefix` bytes of its start."""
        self._size = size
        self._most = max(prefix, ELF_HEAD_BYTES)
        self._start = bytearray()
        self._at = 0
        self._layout: Layout | None = None
        self._kept: dict[Wanted, bytearray] = {}
        self._names: dict[int, bytes] = {}
        self._tail = b""
        self._decided = False

    def feed(self, data: bytes) -> bool:
        """Take the next piece; return whether more is wanted."""
        if len(self._start) < self._most:
            self._start += data[: self._most - len(self._start)]
        if not self._decided and (len(self._start) >= ELF_HEAD_BYTES or self._at + len(data) >= self._size):
            self._decide()
        for place, held in self._kept.items():
            first = place.offset + len(held) - self._at
            if 0 <= first < len(data):
                held.extend(data[first : place.offset + place.length - self._at])
        if self._layout is not None and self._layout.interpreter and self._at + len(data) > self._most:
            self._note_names(data)
        self._at += len(data)
        if not self._decided:
            return True
        if self._layout is None:
            return False
        last = max((place.offset + place.length for place in self._kept), default=0)
        if self._is_wanted_whole():
            last = min(self._size, self._most)
        return self._at < last

    def finish(self) -> Program:
        """Return the program, after all wanted pieces were taken."""
        if not self._decided:
            self._decide()
        head = bytes(self._start[:ELF_HEAD_BYTES])
        if self._layout is None:
            script = read_script(head[:SCRIPT_BYTES])
            return Program(None, script, script is None and _is_text(head))
        layout = self._layout
        dynamic = bytes(self._kept[layout.dynamic]) if layout.dynamic in self._kept else b""
        interpreter = interpreter_of(layout, self._start)
        if interpreter is None and layout.interpreter in self._kept:
            raw = bytes(self._kept[layout.interpreter]).partition(b"\0")[0]
            interpreter = raw.decode("utf-8", "replace")
        elf = describe(layout, interpreter, dynamic, self._name_at, self._stretch_at)
        places = [place for place in (layout.interpreter, layout.dynamic) if place is not None]
        if layout.end > self._size or any(place.offset + place.length > self._size for place in places):
            elf = msgspec.structs.replace(elf, is_cut=True)
        elif layout.dynamic is not None and len(dynamic) < layout.dynamic.length:
            elf = msgspec.structs.replace(
                elf, problem="its dynamic section is not within the part of the file that is read"
            )
        elif layout.interpreter is not None and interpreter is None:
            elf = msgspec.structs.replace(
                elf, problem="the name of its loader is not within the part of the file that is read"
            )
        if is_loader(elf.soname):
            elf = msgspec.structs.replace(elf, directories=built_in_directories(bytes(self._start)))
        return Program(elf)

    def _decide(self) -> None:
        self._decided = True
        head = bytes(self._start[:ELF_HEAD_BYTES])
        if not head.startswith(MAGIC):
            return
        try:
            self._layout = layout = read_layout(head)
        except FormatError:
            return
        places = [layout.dynamic] if layout.dynamic and layout.dynamic.length <= DYNAMIC_BYTES else []
        # glibc's libc.so.6 is also a program, and has the name far from its start.
        places += (
            [layout.interpreter] if layout.interpreter and layout.interpreter.length <= NAME_BYTES else []
        )
        places += [place for place in layout.tables if place.length <= STRINGS_BYTES]
        for place in places:
            if place.offset + place.length <= self._size and place not in self._kept:
                # Earlier pieces are in the start: the decision is made within it.
                self._kept[place] = bytearray(self._start[place.offset : place.offset + place.length])

    def _note_names(self, data: bytes) -> None:
        """Record texts that look like names of libraries: Go's linker puts them before the section that refers to them, far from the start."""
        start = self._at - len(self._tail)
        data = self._tail + data
        at = data.find(_SUFFIX)
        while at >= 0 and len(self._names) < _MOST_NAMES:
            first = data.rfind(b"\0", max(at - _TAIL, 0), at) + 1
            last = data.find(b"\0", at, at + _TAIL)
            if first and last >= 0:
                self._names[start + first] = data[first:last]
            at = data.find(_SUFFIX, at + 1)
        self._tail = data[-_TAIL:]

    def _is_wanted_whole(self) -> bool:
        """Return whether the file is a small library without a loader of its own: it may be a loader."""
        return self._layout is not None and self._layout.interpreter is None and self._size <= PREFIX_BYTES

    def _stretch_at(self, offset: int, length: int) -> bytes | None:
        for start, held in [(0, self._start), *((place.offset, data) for place, data in self._kept.items())]:
            first = offset - start
            if first >= 0 and first + length <= len(held):
                return bytes(held[first : first + length])
        return None

    def _name_at(self, offset: int) -> bytes | None:
        for start, held in [(0, self._start), *((place.offset, data) for place, data in self._kept.items())]:
            first = offset - start
            if 0 <= first < len(held):
                end = held.find(b"\0", first, first + NAME_BYTES)
                if end >= 0:
                    return bytes(held[first:end])
        return self._names.get(offset)


def _is_text(head: bytes) -> bool:
    """Return whether a shell runs a file as a script: its first line has no NUL (bash's check_binary_file, POSIX 2.9.1.1)."""
    return bool(head) and b"\0" not in head.partition(b"\n")[0][:SCRIPT_BYTES]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
