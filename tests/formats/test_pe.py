"""EFI programs: what binutils wrote and reads is read alike, and what is none is refused by kind."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.boot.pe import PE_HEAD_BYTES, read_pe
from cosinspect.testing.bootfiles import efi_program, linux_kernel, unified_kernel_image

needs_binutils = pytest.mark.skipif(not shutil.which("objcopy"), reason="binutils is not installed")
STUBS = sorted(Path("/usr/lib/systemd/boot/efi").glob("*.efi*"))
needs_stub = pytest.mark.skipif(not STUBS, reason="systemd-boot-efi is not installed")


def sections(data):
    found = read_pe(data[:PE_HEAD_BYTES], size=len(data))
    return [(section.name, section.size, section.offset) for section in found.sections]


def by_objdump(path):
    """The sections as binutils has them: name, size and offset in the file."""
    out = subprocess.run(["objdump", "-h", path], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\s*\d+ (\S+)\s+([0-9a-f]{8})\s+\S+\s+\S+\s+([0-9a-f]{8})", out, re.MULTILINE)
    return [(name, int(size, 16), int(offset, 16)) for name, size, offset in rows]


@needs_binutils
@needs_stub
@pytest.mark.compat
@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.name)
def test_programs_of_systemd_are_read_as_binutils_reads_them(stub):
    found = read_pe(stub.read_bytes()[:PE_HEAD_BYTES], size=stub.stat().st_size)

    assert by_objdump(stub) == sections(stub.read_bytes())
    assert ("amd64", 64, 10) == (found.architecture, found.bits, found.subsystem)


@needs_binutils
@needs_stub
@pytest.mark.compat
@pytest.mark.parametrize("sizes", [(1, 1), (511, 513), (512, 512), (100_003, 70_001)])
def test_a_unified_kernel_image_of_objcopy_is_read_byte_by_byte(tmp_path, sizes):
    stub = next(path for path in STUBS if path.name == "linuxx64.efi.stub")
    contents = {
        ".osrel": b"ID=cos\n",
        ".cmdline": b"rd.immucore.uki quiet",
        ".uname": b"6.1.0-50-amd64",
        ".linux": b"L" * sizes[0],
        ".initrd": b"I" * sizes[1],
    }
    options, address = [], 0x2000000
    for name, content in contents.items():
        file = tmp_path / name[1:]
        file.write_bytes(content)
        options += [
            "--add-section",
            f"{name}={file}",
            "--change-section-vma",
            f"{name}={address:#x}",
        ]
        address += 0x1000000
    out = tmp_path / "os.efi"
    subprocess.run(["objcopy", *options, stub, out], check=True)

    data = out.read_bytes()
    found = read_pe(data[:PE_HEAD_BYTES], size=len(data))

    own = [(section.name, section.offset) for section in found.sections]
    assert [(name, offset) for name, _, offset in by_objdump(out)] == own
    for name, content in contents.items():
        section = found.section(name)
        assert content == data[section.offset : section.end].rstrip(b"\0")
        again = tmp_path / "again"
        subprocess.run(["objcopy", "-O", "binary", f"--only-section={name}", out, again], check=True)
        assert again.read_bytes().rstrip(b"\0") == content
    assert found.end <= len(data)


@needs_binutils
@pytest.mark.compat
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_what_the_testing_kit_writes_is_what_binutils_reads(tmp_path, architecture):
    path = tmp_path / "os.efi"
    path.write_bytes(
        unified_kernel_image(
            linux_kernel(architecture=architecture),
            b"initrd" * 1000,
            architecture=architecture,
            command_line="quiet",
            profiles=["debug", "rescue"],
        )
    )

    # Without support for the machine objdump reads nothing, and that it says.
    out = subprocess.run(["objdump", "-h", path], capture_output=True, text=True, check=False)
    if out.returncode:
        assert "not recognized" in out.stderr
        assert architecture != "amd64"
    else:
        assert by_objdump(path) == sections(path.read_bytes())


def test_the_content_of_a_section_ends_before_its_padding():
    data = unified_kernel_image(b"kernel", b"initrd", command_line="quiet splash")
    found = read_pe(data, size=len(data))

    section = found.section(".cmdline")
    assert b"quiet splash" == data[section.offset : section.end]
    assert found.section(".dtb") is None


def test_a_section_larger_in_memory_than_in_the_file_ends_with_its_data():
    data = bytearray(efi_program())
    at = data.index(b".text\0\0\0")
    struct.pack_into("<I", data, at + 8, 0x100000)

    assert 512 == read_pe(bytes(data), size=len(data)).section(".text").size


@pytest.mark.parametrize("architecture", ["amd64", "386", "arm64", "riscv64"])
def test_the_machine_is_told_in_the_words_of_go(architecture):
    data = efi_program(architecture)

    assert architecture == read_pe(data, size=len(data)).architecture


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "magic"),
        (b"\x7fELF" + bytes(100), "magic"),
        (b"MZ", "truncated"),
        (b"MZ" + bytes(62), "magic"),
        (efi_program()[:80], "truncated"),
        (efi_program().replace(b"PE\0\0", b"NE\0\0"), "magic"),
        (efi_program().replace(b"\x0b\x02", b"\x0b\x03", 1), "magic"),
    ],
)
def test_what_is_no_program_is_refused_by_kind(data, kind):
    with pytest.raises(FormatError) as caught:
        read_pe(data, size=len(data))
    assert kind == caught.value.kind


def test_headers_that_are_not_at_hand_are_a_bound_and_no_defect():
    data = efi_program()
    with pytest.raises(FormatError) as caught:
        read_pe(data[:70], size=len(data))
    assert "limit" == caught.value.kind


def test_more_sections_than_are_read_are_a_bound():
    data = bytearray(efi_program())
    struct.pack_into("<H", data, 0x46, 2000)
    with pytest.raises(FormatError) as caught:
        read_pe(bytes(data), size=len(data))
    assert "limit" == caught.value.kind
