"""The kernels and initrds for tests, judged by the programs that know them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from cosinspect.formats.boot.kernel import describe
from cosinspect.testing.bootfiles import (
    compress_initrd,
    cpio_archive,
    executable,
    join_segments,
    linux_kernel,
    microcode_archive,
    unified_kernel_image,
    zboot_kernel,
)
from cosinspect.testing.layers import Device, Directory, File, Hardlink, Symlink

MEMBERS = {
    "init": executable("#!/bin/sh\n"),
    "usr/bin/a": File("body", mode=0o640, mtime=1_700_000_000),
    "usr/bin/b": Hardlink("usr/bin/a"),
    "bin": Symlink("usr/bin"),
    "run": Directory(mode=0o700),
    "text": "text\n",
}
INFLATE = {
    "gzip": "gzip -dc",
    "xz": "xz -dc --format=xz",
    "zstd": "zstd -dcq",
    "lz4": "lz4 -dc",
    "bzip2": "bzip2 -dc",
    "lzma": "xz -dc --format=lzma",
}


@pytest.mark.parametrize("efi_stub", [True, False])
def test_libmagic_takes_a_kernel_for_one(efi_stub):
    x86 = describe(linux_kernel("6.1.0-50-amd64", "amd64", efi_stub=efi_stub))
    assert x86.startswith("Linux kernel x86 boot executable bzImage, version 6.1.0-50-amd64 (")
    arm64 = describe(linux_kernel("6.1.0-50-arm64", "arm64", efi_stub=efi_stub))
    assert arm64 == "Linux kernel ARM64 boot executable Image, little-endian, 4K pages"


def test_libmagic_takes_the_efi_programs_for_some():
    assert "EFI application" in describe(zboot_kernel(linux_kernel(architecture="arm64")))
    assert "EFI application" in describe(unified_kernel_image(linux_kernel(), b"initrd"))
    assert "EFI application" in describe(linux_kernel(architecture="riscv64"))


def test_a_kernel_has_the_size_that_was_asked_for():
    assert len(linux_kernel(size=100_000)) == 100_000
    assert len(linux_kernel(size=1)) == 32 * 1024


def test_the_same_arguments_are_the_same_bytes():
    assert linux_kernel() == linux_kernel()
    assert compress_initrd(cpio_archive(MEMBERS), "gzip") == compress_initrd(cpio_archive(MEMBERS), "gzip")


@pytest.mark.compat
@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio(1) is not installed")
@pytest.mark.parametrize("checksums", [False, True])
def test_cpio_unpacks_what_was_put_in(tmp_path, checksums):
    archive = cpio_archive(MEMBERS, checksums=checksums)
    command = ["cpio", "-i", "--quiet", "--preserve-modification-time"]
    done = subprocess.run(command, cwd=tmp_path, input=archive, capture_output=True, check=True)
    assert done.stderr == b""
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == sorted(
        [*MEMBERS, "usr", "usr/bin"]
    )
    assert (tmp_path / "init").stat().st_mode == 0o100755
    found = (tmp_path / "usr/bin/a").stat()
    assert (found.st_mode, found.st_nlink, int(found.st_mtime)) == (0o100640, 2, 1_700_000_000)
    assert (tmp_path / "bin/b").read_bytes() == b"body"
    assert (tmp_path / "run").stat().st_mode == 0o040700
    assert (tmp_path / "bin").readlink() == type(tmp_path)("usr/bin")


@pytest.mark.compat
@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio(1) is not installed")
def test_cpio_lists_devices_and_an_archive_without_trailer():
    archive = cpio_archive({"dev/console": Device("char", 5, 1)})
    listed = subprocess.run(["cpio", "-itv", "--quiet"], input=archive, capture_output=True, check=True)
    assert listed.stdout.splitlines()[1].split()[:6] == [b"crw-------", b"1", b"root", b"root", b"5,", b"1"]
    cut = subprocess.run(
        ["cpio", "-it"], input=cpio_archive({"a": ""}, trailer=False), capture_output=True, check=False
    )
    assert cut.stdout == b"a\n"
    assert b"premature end" in cut.stderr


def test_microcode_is_where_kernels_look_for_it():
    archive = microcode_archive("AuthenticAMD")
    assert b"kernel/x86/microcode/AuthenticAMD.bin\0" in archive
    assert b"GenuineIntel" not in archive
    assert b"GenuineIntel" in microcode_archive()


@pytest.mark.compat
@pytest.mark.parametrize("compression", sorted(INFLATE))
def test_the_commands_inflate_what_was_compressed(compression):
    command = INFLATE[compression].split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]}(1) is not installed")
    data = os.urandom(1000) + bytes(9 * 1024 * 1024)  # more than one lz4 block
    compressed = compress_initrd(data, compression)
    assert subprocess.run(command, input=compressed, capture_output=True, check=True).stdout == data


@pytest.mark.compat
@pytest.mark.skipif(shutil.which("xz") is None, reason="xz(1) is not installed")
def test_xz_has_the_check_that_kernels_know(tmp_path):
    (tmp_path / "a.xz").write_bytes(compress_initrd(b"x", "xz"))
    command = ["xz", "--robot", "--list", "a.xz"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert b"\tCRC32\t" in listed


def test_nothing_is_done_to_plain_archives():
    assert compress_initrd(b"plain", "none") == b"plain"


def test_segments_are_joined_at_multiples_of_4():
    assert join_segments(b"abc", b"de", b"fghi") == b"abc\0de\0\0fghi"
