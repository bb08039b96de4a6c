import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.formats.boot.program import (
    Program,
    ProgramReader,
    Script,
    is_candidate,
    read_program,
    read_script,
)
from cosinspect.testing.elf_files import LOADERS, elf_file, loader_file

LOADER = "/lib64/ld-linux-x86-64.so.2"


def in_pieces(data, size, prefix=4096):
    reader = ProgramReader(len(data), prefix=prefix)
    for at in range(0, len(data), size):
        if not reader.feed(data[at : at + size]):
            break
    return reader.finish()


@pytest.mark.parametrize("architecture", LOADERS)
def test_what_a_program_asks_for(architecture):
    data = elf_file(
        architecture,
        interpreter=f"/{LOADERS[architecture]}",
        needed=["liba.so.1", "libb.so"],
        runpath="$ORIGIN/lib",
    )

    elf = read_program(data).elf

    assert architecture == elf.machine
    assert f"/{LOADERS[architecture]}" == elf.interpreter
    assert ("liba.so.1", "libb.so") == elf.needed
    assert (None, "$ORIGIN/lib") == (elf.rpath, elf.runpath)
    assert elf.loadable
    assert not elf.problem


def test_a_library_has_a_name_and_a_loader_its_directories():
    library = read_program(elf_file(soname="libx.so.1", rpath="/opt/lib", no_default=True)).elf
    loader = read_program(loader_file("amd64", ["/lib/x86_64-linux-gnu", "/lib"])).elf

    assert ("libx.so.1", "/opt/lib", True) == (library.soname, library.rpath, library.no_default)
    assert library.is_shared
    assert () == library.directories
    assert ("/lib/x86_64-linux-gnu", "/lib") == loader.directories
    assert not read_program(elf_file()).elf.is_shared


@pytest.mark.parametrize("size", [1, 7, 100, 5000, 1 << 20])
def test_pieces_of_any_size_are_the_same_file(size):
    for data in (
        elf_file(interpreter=LOADER, needed=["liba.so.1"], soname="x"),
        b"#!/bin/sh -e\nexit\n",
        b"\0" * 50,
        b"",
    ):
        assert read_program(data) == in_pieces(data, size)


def far_behind(data, gap):
    """Move what a program refers to behind a gap, as large ones have it: the table of names, the loader's name, the dynamic section."""
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    moved = bytearray(data)
    headers = bytes(moved[: table + count * 56])
    found = bytearray(headers + bytes(gap) + moved[len(headers) :])
    for number in range(count):
        at = table + number * 56
        kind, _, offset, address, _, length, memory, _ = struct.unpack_from("<IIQQQQQQ", found, at)
        if kind == 1:
            struct.pack_into("<QQ", found, at + 32, length + gap, memory + gap)
        elif offset > table:
            struct.pack_into("<QQQ", found, at + 8, offset + gap, address + gap, address + gap)
        if kind == 2:
            for pair in range(offset + gap, offset + gap + length, 16):
                tag, value = struct.unpack_from("<QQ", found, pair)
                if tag in (5, 6):
                    struct.pack_into("<Q", found, pair + 8, value + gap)
    return bytes(found)


@pytest.mark.parametrize("size", [1000, 65536, 1 << 22])
def test_names_are_found_far_behind_what_is_kept(size):
    """Of a large program the start is kept, and further in only what looks like a library's name, or is known to be asked for."""
    data = far_behind(elf_file(interpreter=LOADER, needed=["liba.so.1", "libb.so"]), 3 << 20)

    found = in_pieces(data, size, prefix=1 << 16)

    assert read_program(data) == found
    assert (LOADER, ("liba.so.1", "libb.so"), "") == (
        found.elf.interpreter,
        found.elf.needed,
        found.elf.problem,
    )


def test_what_is_out_of_reach_is_said():
    data = far_behind(elf_file(soname="name-without-ending", needed=["odd"]), 3 << 20)

    assert "not within the part" in in_pieces(data, 65536, prefix=1 << 16).elf.problem
    assert ("odd",) == read_program(data).elf.needed


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_program_that_was_cut_short_is_known_for_one(part):
    data = elf_file(interpreter=LOADER, needed=["liba.so.1"] * 20)

    assert read_program(data[: int(len(data) * part)]).elf.is_cut
    assert not read_program(data).elf.is_cut


@pytest.mark.parametrize(
    ("head", "script"),
    [
        (b"#!/bin/sh\n", Script("/bin/sh", None)),
        (b"#! /bin/sh -e \n", Script("/bin/sh", "-e")),
        (b"#!/usr/bin/env  bash -x\n", Script("/usr/bin/env", "bash -x")),
        (b"#!/bin/sh\r\n", Script("/bin/sh\r", None)),
        (b"#!/bin/sh -e\r\n", Script("/bin/sh", "-e\r")),
        (b"#!/bin/sh", Script("/bin/sh", None)),
        (b"#!/bin/sh\0-x\n", Script("/bin/sh", None)),
        (b"#!\n/bin/sh", None),
        (b"#!   \n", None),
        (b"#!/" + b"x" * 300, None),
        (b"#!/bin/sh " + b"x" * 300, Script("/bin/sh", "x" * 245)),
        (b"#!" + b" " * 300 + b"/bin/sh\n", None),
    ],
)
def test_the_first_line_of_a_script_is_what_the_kernel_makes_of_it(head, script):
    assert script == read_script(head)


def test_what_is_neither_may_be_a_text_for_a_shell():
    assert Program(text=True) == read_program(b"echo hello\n")
    assert Program() == read_program(b"\1\0\2\n")
    assert Program() == read_program(b"")


def test_candidates_are_what_may_be_executed_or_loaded():
    assert is_candidate("usr/bin/x", 0o755)
    assert is_candidate("usr/lib/libx.so.1", 0o644)
    assert not is_candidate("etc/passwd", 0o644)
    assert not is_candidate("etc/ld.so.conf.d/x.conf", 0o644)


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=600),
    st.sampled_from([b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"#!"]),
    st.integers(1, 300),
)
def test_arbitrary_bytes_are_some_program(rest, start, size):
    data = start + rest
    found = in_pieces(data, size)
    assert found.elf is None or data.startswith(b"\x7fELF")
    assert found.script is None or data.startswith(b"#!")


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_damaged_programs_are_some_program(seed, count):
    rng = random.Random(seed)
    data = bytearray(elf_file(interpreter=LOADER, needed=["liba.so.1"], runpath="/x"))
    for _ in range(count):
        data[rng.randrange(4, len(data))] = rng.randrange(256)
    assert read_program(bytes(data)) is not None
