"""Kernel headers: built field by field, and cut or changed; libmagic has the second word."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import threading

import pytest

from cosinspect.compression.codecs import Compression, inflate
from cosinspect.errors import FormatError
from cosinspect.formats.boot import kernel as kernel_module
from cosinspect.formats.boot.kernel import HEAD_BYTES, Kernel, describe, find_version, read_kernel
from cosinspect.testing.bootfiles import linux_kernel, unified_kernel_image, zboot_kernel


def read(data: bytes) -> Kernel:
    return read_kernel(data[:HEAD_BYTES], size=len(data))


def fault(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        read(data)
    return caught.value


def changed(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def bzimage(*, protocol: int = 0x20F, extended_flags: int = 1, load_flags: int = 1) -> bytes:
    """The least that Documentation/arch/x86/boot.rst calls a kernel, without an EFI stub."""
    data = bytearray(32 * 1024)
    data[0x1F1] = 31
    struct.pack_into("<I", data, 0x1F4, 1024)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x206, protocol)
    struct.pack_into("<H", data, 0x20E, 0x1000)
    data[0x211] = load_flags
    struct.pack_into("<H", data, 0x236, extended_flags)
    data[0x1200:0x1220] = b"5.14.21-150400-default (x@y) #1\0"
    return bytes(data)


def test_a_bzimage_tells_version_architecture_and_payload():
    kernel = read(linux_kernel("6.1.0-50-amd64", "amd64"))
    assert (kernel.kind, kernel.architecture, kernel.version) == ("bzImage", "amd64", "6.1.0-50-amd64")
    assert kernel.version_string == "6.1.0-50-amd64 (tests@cosinspect) #1 SMP PREEMPT_DYNAMIC"
    assert kernel.efi_stub
    assert kernel.compression is Compression.GZIP
    assert kernel.problems == ()


def test_the_version_stands_512_bytes_behind_where_the_header_points():
    kernel = read(bzimage())
    assert kernel.version == "5.14.21-150400-default"
    assert not kernel.efi_stub
    assert kernel.payload_offset is None


@pytest.mark.parametrize(
    ("fields", "kind", "architecture"),
    [
        ({}, "bzImage", "amd64"),
        ({"extended_flags": 0}, "bzImage", "386"),
        ({"extended_flags": 0x7F}, "bzImage", "amd64"),
        ({"protocol": 0x20B, "extended_flags": 1}, "bzImage", None),  # before 2.12 those bits mean nothing
        ({"load_flags": 0}, "zImage", "amd64"),
    ],
)
def test_flags_tell_the_kind_and_architecture(fields, kind, architecture):
    kernel = read(bzimage(**fields))
    assert (kernel.kind, kernel.architecture) == (kind, architecture)


def test_before_protocol_2_12_the_efi_stub_tells_the_architecture():
    data = changed(linux_kernel(architecture="amd64"), 0x206, b"\x0b\x02")
    assert read(data).architecture == "amd64"


@pytest.mark.parametrize(
    ("offset", "value", "expected"),
    [
        (0x20E, b"\0\0", ()),
        (0x20E, b"\xff\xff", ("after the setup code",)),
        (0x1200, b"\0", ("there is no version",)),
        (0x1200, b"\xff\xfe", ("there is no version",)),
        (0x1200, b"x" * 600, ("there is no version",)),
    ],
)
def test_a_version_that_cannot_be_read_is_none(offset, value, expected):
    kernel = read(changed(bzimage(), offset, value))
    assert kernel.version is None
    assert len(kernel.problems) == len(expected)
    for problem, words in zip(kernel.problems, expected, strict=True):
        assert words in problem


@pytest.mark.parametrize("architecture", ["amd64", "386", "arm64", "riscv64"])
def test_a_kernel_shorter_than_its_header_tells_is_told(architecture):
    data = linux_kernel(architecture=architecture)
    assert read(data).problems == ()
    (problem,) = read(data[:-16]).problems
    assert f"found {len(data) - 16}" in problem
    assert str(len(data)) in problem
    assert read(data + b"signature").problems == ()  # as Secure Boot appends one


def test_without_setup_sectors_there_are_four():
    data = changed(bzimage(), 0x1F1, b"\0")
    assert read(data).size_told == 5 * 512 + 1024 * 16


@pytest.mark.parametrize("efi_stub", [True, False])
@pytest.mark.parametrize("architecture", ["arm64", "riscv64"])
def test_an_image_tells_its_architecture_and_no_version(architecture, efi_stub):
    data = linux_kernel("6.4.0", architecture, efi_stub=efi_stub)
    kernel = read(data)
    assert (kernel.kind, kernel.architecture, kernel.version) == ("Image", architecture, None)
    assert kernel.efi_stub is efi_stub
    assert find_version([data]) == "6.4.0"


def test_a_32_bit_riscv_image_is_not_taken_for_64_bits():
    data = changed(linux_kernel(architecture="riscv64", efi_stub=False), 8, struct.pack("<Q", 0x400000))
    assert read(data).architecture is None


def test_an_image_within_gzip_is_read_from_its_head():
    data = gzip.compress(linux_kernel("6.4.0", "arm64", size=4 * 1024 * 1024) + bytes(range(256)) * 4096)
    kernel = read_kernel(data[:3000], size=len(data))
    assert (kernel.kind, kernel.architecture, kernel.compression) == ("Image", "arm64", Compression.GZIP)
    assert (kernel.payload_offset, kernel.payload_size) == (0, len(data))
    assert kernel.problems == ()
    assert find_version(inflate(Compression.GZIP, data, lambda: b"")) == "6.4.0"


def test_gzip_of_anything_else_is_no_kernel():
    assert fault(gzip.compress(b"hello\n" * 100)).kind == "magic"
    assert fault(gzip.compress(gzip.compress(linux_kernel(architecture="arm64")))).kind == "magic"
    assert fault(gzip.compress(b"")).kind == "corrupt"
    assert fault(gzip.compress(linux_kernel())[:12]).kind == "corrupt"


def test_a_zboot_kernel_tells_where_its_image_is():
    data = zboot_kernel(linux_kernel("6.8.0", "arm64"), "arm64")
    kernel = read(data)
    assert (kernel.kind, kernel.architecture, kernel.compression) == ("zboot", "arm64", Compression.GZIP)
    payload = data[kernel.payload_offset : kernel.payload_offset + kernel.payload_size]
    assert find_version(inflate(kernel.compression, payload, lambda: b"")) == "6.8.0"
    assert len(read(data[:-1]).problems) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"zstd22\0", Compression.ZSTD), (b"xzkern\0", Compression.XZ), (b"other\0\0", Compression.GZIP)],
)
def test_zboot_names_its_compression_or_the_payload_tells(name, expected):
    assert read(changed(zboot_kernel(b"image"), 0x18, name)).compression is expected


def test_a_unified_kernel_image_is_told_with_its_release():
    data = unified_kernel_image(linux_kernel(), b"initrd", version="6.6.1-cos")
    kernel = read(data)
    assert (kernel.kind, kernel.architecture, kernel.version) == ("uki", "amd64", "6.6.1-cos")
    assert len(read(data[:-2048]).problems) == 1


@pytest.mark.parametrize("release", ["6.1\x1b[2J", "6.1\n6.2", "6.1\xa0"])
def test_a_release_that_no_kernel_has_is_none(release):
    data = unified_kernel_image(linux_kernel(), b"initrd", version=release)
    kernel = read_kernel(data[:HEAD_BYTES], size=len(data))
    assert (kernel.version, kernel.version_string) == (None, None)


def test_an_efi_program_without_a_kernel_is_none():
    data = unified_kernel_image(linux_kernel(), b"initrd").replace(b".linux\0", b".other\0")
    assert "EFI program" in fault(data).message


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "empty", "empty"),
        (b"hello, this is text\n", "magic", "ASCII text"),
        (b"\x7fELF\x02\x01\x01" + bytes(57), "magic", "ELF 64-bit"),
        (bytes(100_000), "magic", "data"),
        (b"\xfd7zXZ\0\0\x04" + bytes(100), "magic", "XZ compressed data"),
        (bzimage()[:0x250], "truncated", "616 bytes"),
        (b"MZ", "magic", "expected a kernel"),
    ],
)
def test_what_is_no_kernel_is_refused_and_described(data, kind, words):
    found = fault(data)
    assert found.kind == kind
    assert words in found.message


@pytest.mark.parametrize("architecture", ["amd64", "386", "arm64", "riscv64"])
def test_a_header_cut_anywhere_is_refused_or_reported(architecture):
    data = linux_kernel(architecture=architecture)
    for length in [*range(0x400), *range(0x400, len(data), 997)]:
        try:
            kernel = read(data[:length])
        except FormatError:
            continue
        assert kernel.problems, length


def test_versions_are_found_across_pieces():
    body = b"x" * 100 + b"Linux version 6.1.0-50-arm64 (a@b) #1\n" + b"x" * 100
    for size in (1, 3, 50, 1000):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        assert find_version(pieces) == "6.1.0-50-arm64"


def test_format_strings_and_endless_names_are_no_version():
    assert find_version([b"Linux version %s (%s)\n"]) is None
    assert find_version([b"Linux version 6" + b"x" * 1000 + b" (a@b)"]) is None
    assert find_version([]) is None


def test_the_search_for_a_version_is_bounded(monkeypatch):
    monkeypatch.setattr(kernel_module, "VERSION_SEARCH_BYTES", 1000)
    taken = []
    assert find_version(taken.append(number) or bytes(100) for number in range(50)) is None
    assert len(taken) == 10


def test_descriptions_are_short_and_of_one_line():
    text = describe(b"#!/bin/" + b"x" * 500 + b"\n")
    assert len(text) <= 200
    assert "\n" not in text
    assert describe(b"") == "empty"


def test_descriptions_come_from_several_threads():
    found = []
    threads = [threading.Thread(target=lambda: found.append(describe(b"hello\n"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["ASCII text"] * 8


def test_descriptions_do_without_libmagic(monkeypatch):
    monkeypatch.setattr(kernel_module, "_MAGIC", None)
    kernel_module._libmagic.cache_clear()
    told = {
        b"hello\n": "text",
        "grün".encode()[:-2]: "text",
        b"\xff\xfe": "data",
        b"a\x00b": "data",
        bytes(9): "zeros",
        b"\x7fELF\x02": "an ELF file",
        gzip.compress(b""): "gzip compressed data",
    }
    assert told == {head: describe(head) for head in told}
    kernel_module._libmagic.cache_clear()


def test_the_environment_is_left_as_it_is_and_no_program_is_started():
    # Importing pylibmagic itself would change LD_LIBRARY_PATH and MAGIC for every program that is started later;
    # importing python-magic itself starts ldconfig, twice.
    script = (
        "import os, sys; before = dict(os.environ); started = [];"
        "sys.addaudithook(lambda event, of: started.append(of) if event == 'subprocess.Popen' else None);"
        "from cosinspect.formats.boot.kernel import describe;"
        "assert 'text' in describe(b'hello'); assert before == dict(os.environ); assert started == [], started"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_library_that_was_loaded_before_is_used_with_its_own_database():
    script = (
        "import magic; magic.from_buffer(b'x'); from cosinspect.formats.boot.kernel import describe;"
        "assert 'text' in describe(b'hello there'), describe(b'hello there')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if "failed to find libmagic" in done.stderr:
        pytest.skip("this system has no libmagic of its own")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
