"""Unified kernel images: what is in their sections, in one pass where that is possible, and what is wrong with them."""

import io
import struct

import pytest

from cosinspect.errors import FormatError
from cosinspect.facts.facts import unpack_initrd
from cosinspect.formats.boot.pe import read_pe
from cosinspect.formats.boot.unified_kernel import read_unified_kernel
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing.bootfiles import (
    compress_initrd,
    cpio_archive,
    efi_program,
    executable,
    linux_kernel,
    unified_kernel_image,
)

INITRD = compress_initrd(cpio_archive({"init": executable(), "usr/bin/immucore": executable()}), "zstd")


def read(data, opened=None):
    def source():
        if opened is not None:
            opened.append(1)
        return io.BytesIO(data)

    return read_unified_kernel(
        source, size=len(data), unpack=lambda stream, size: unpack_initrd(stream, size, DEFAULT_LIMITS)
    )


def test_kernel_initrd_and_texts_are_read():
    data = unified_kernel_image(linux_kernel(), INITRD, command_line=" quiet ", os_release="ID=kairos\n")
    found = read(data)

    assert "6.1.0-50-amd64" == found.kernel.version
    assert found.initrd.has_init
    assert found.initrd.exists("usr/bin/immucore")
    assert ("quiet", "ID=kairos\n", "6.1.0-50-amd64") == (
        found.command_line,
        found.texts[".osrel"],
        found.texts[".uname"],
    )
    assert () == found.problems


def test_a_file_is_opened_once_for_its_headers_and_once_for_its_sections_at_most():
    opened = []
    read(unified_kernel_image(linux_kernel(size=1 << 20), INITRD, command_line="x"), opened)

    assert len(opened) <= 2


def test_the_first_profile_is_booted_and_takes_the_place_of_what_all_share():
    found = read(
        unified_kernel_image(linux_kernel(), INITRD, command_line="shared", profiles=["a", "b", "c"])
    )

    assert ("a", ("b", "c")) == (found.command_line, found.profiles)
    assert found.initrd.has_init


def test_what_a_section_holds_in_place_of_its_name_is_a_value():
    found = read(unified_kernel_image(b"no kernel" * 100, b"no initrd" * 100))

    assert (None, None) == (found.kernel, found.initrd)
    assert ("magic", "magic") == (found.kernel_fault.kind, found.initrd_fault.kind)


def test_a_section_beyond_the_end_is_a_problem():
    data = unified_kernel_image(linux_kernel(), INITRD)
    found = read(data[:-500])

    (problem,) = found.problems
    assert problem.startswith("the section .initrd ends at byte")
    assert found.initrd is None or found.initrd.problems


def test_a_program_without_these_sections_holds_nothing():
    found = read(efi_program(loader="systemd-boot 259.1"))

    assert (None, None, "") == (found.kernel, found.initrd, found.command_line)
    assert "systemd-boot 259.1" in found.texts[".sdmagic"]


def test_what_is_no_program_is_refused():
    with pytest.raises(FormatError):
        read(b"#!/bin/sh\n")


def test_sections_that_lie_over_each_other_are_a_bound():
    """Each of them would be another pass over the file."""
    data = bytearray(unified_kernel_image(linux_kernel(), INITRD, command_line="x", profiles=["p"] * 30))
    found = read_pe(bytes(data), size=len(data))
    table = found.headers_bytes - 40 * len(found.sections)
    for number, section in enumerate(found.sections):
        if section.name == ".cmdline":
            at = table + 40 * number
            struct.pack_into("<I", data, at + 8, 60_000)
            struct.pack_into("<II", data, at + 16, 60_000, 0x1000 + number)

    with pytest.raises(FormatError) as caught:
        read(bytes(data))
    assert "limit" == caught.value.kind
