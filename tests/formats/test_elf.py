import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.boot.elf import ELF_HEAD_BYTES, read_elf
from cosinspect.formats.boot.program import read_interpreter, read_program
from cosinspect.formats.boot.symbol_versions import MAX_VERSIONS, defined_versions, wanted_versions
from cosinspect.testing.elf_files import elf_file

LOADER = b"/lib64/ld-linux-x86-64.so.2\0"


def elf64(machine: int, *, order: str = "<", interpreter: bytes | None = LOADER, table: int = 64) -> bytes:
    """A 64-bit executable's head with two program headers, the second of which may be PT_INTERP."""
    ident = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + b"\x01" + bytes(9)
    header = ident + struct.pack(order + "HHIQQQIHHHHHH", 2, machine, 1, 0, table, 0, 0, 64, 56, 2, 64, 0, 0)
    text = table + 2 * 56
    load = struct.pack(order + "IIQQQQQQ", 1, 5, 0, 0, 0, 0x1000, 0x1000, 0x1000)
    kind, size = (3, len(interpreter)) if interpreter is not None else (4, 0)
    second = struct.pack(order + "IIQQQQQQ", kind, 4, text, 0, 0, size, size, 1)
    return header + bytes(table - 64) + load + second + (interpreter or b"")


def elf32(machine: int, *, order: str = "<") -> bytes:
    ident = b"\x7fELF\x01" + (b"\x01" if order == "<" else b"\x02") + b"\x01" + bytes(9)
    header = ident + struct.pack(order + "HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    name = b"/lib/ld-linux.so.2\0"
    return header + struct.pack(order + "IIIIIIII", 3, 84, 0, 0, len(name), len(name), 4, 1) + name


@pytest.mark.parametrize(
    ("head", "machine", "bits", "little"),
    [
        (elf64(62), "amd64", 64, True),
        (elf64(183), "arm64", 64, True),
        (elf64(243), "riscv64", 64, True),
        (elf64(21), "ppc64le", 64, True),
        (elf64(21, order=">"), "ppc64", 64, False),
        (elf64(22, order=">"), "s390x", 64, False),
        (elf64(258), "loong64", 64, True),
        (elf32(3), "386", 32, True),
        (elf32(40), "arm", 32, True),
        (elf32(8, order=">"), "mips", 32, False),
        (elf32(62), None, 32, True),
        (elf64(9999), None, 64, True),
    ],
)
def test_the_machine_is_named_as_a_platform_names_it(head, machine, bits, little):
    found = read_elf(head)
    assert (machine, bits, little) == (found.machine, found.bits, found.little_endian)


def test_the_interpreter_is_found():
    assert ("/lib64/ld-linux-x86-64.so.2", True) == (read_elf(elf64(62)).interpreter, True)
    assert "/lib/ld-linux.so.2" == read_elf(elf32(40)).interpreter


def test_a_static_program_has_no_interpreter_and_that_is_known():
    found = read_elf(elf64(62, interpreter=None))
    assert (None, True) == (found.interpreter, found.interpreter_known)


@pytest.mark.parametrize(
    "head",
    [elf64(62)[:70], elf64(62)[:-5], elf64(62, table=2 * ELF_HEAD_BYTES)[:ELF_HEAD_BYTES]],
    ids=["headers cut", "name cut", "headers far away"],
)
def test_an_interpreter_out_of_reach_is_not_known(head):
    found = read_elf(head)
    assert ("amd64", None, False) == (found.machine, found.interpreter, found.interpreter_known)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "magic"),
        (b"#!/bin/sh\n", "magic"),
        (b"\x7fELF", "truncated"),
        (elf64(62)[:63], "truncated"),
        (elf32(40)[:51], "truncated"),
        (b"\x7fELF\x07\x01" + bytes(60), "magic"),
        (b"\x7fELF\x02\x00" + bytes(60), "magic"),
    ],
)
def test_what_is_no_elf_header_is_refused(head, kind):
    with pytest.raises(FormatError) as raised:
        read_elf(head)
    assert kind == raised.value.kind


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (b"#!/bin/sh\n", "/bin/sh"),
        (b"#! /usr/bin/env python3\nprint()", "/usr/bin/env"),
        (b"#!\t/bin/bash -e", "/bin/bash"),
        (b"#!\n/bin/sh", None),
        (b"#!", None),
        (b"# !/bin/sh\n", None),
        (b"\x7fELF", None),
        (b"#!/" + b"x" * 500 + b"\n", None),
    ],
)
def test_a_script_names_its_interpreter(head, interpreter):
    assert interpreter == read_interpreter(head)


def test_versions_of_symbols_are_read():
    program = read_program(
        elf_file(
            interpreter="/lib64/ld-linux-x86-64.so.2",
            needed=["libc.so.6", "libm.so.6"],
            wants={"libc.so.6": ["GLIBC_2.38", "GLIBC_2.2.5"], "libm.so.6": ["GLIBC_2.29"]},
            weak=["GLIBC_2.29"],
        )
    ).elf
    library = read_program(
        elf_file("s390x", soname="libc.so.6", shared=True, defines=["GLIBC_2.2", "GLIBC_2.36"])
    ).elf

    assert (("libc.so.6", ("GLIBC_2.38", "GLIBC_2.2.5")), ("libm.so.6", ())) == program.wants
    assert ("libc.so.6", "GLIBC_2.2", "GLIBC_2.36") == library.defines
    assert program.versions_known
    assert library.versions_known


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_any_bytes_are_a_table_of_versions_or_none(data, at, count):
    def read(offset, length):
        found = data[offset : offset + length]
        return found if len(found) == length else None

    def name_at(offset):
        return data[offset : offset + 10] if offset < len(data) else None

    for table in (wanted_versions, defined_versions):
        found = table("<", at, count, read, name_at)
        assert found is None or len(found) <= MAX_VERSIONS


def test_a_table_of_versions_that_refers_to_itself_is_bounded():
    record = struct.pack("<HHIII", 1, 65535, 0, 16, 16)

    assert wanted_versions("<", 0, 2**32 - 1, lambda _at, _length: record, lambda _: b"x") is None
