"""Unified kernel images booted by firmware: what starts and what does not is what the checks say of an image that has them.

Needs qemu-system-x86_64, OVMF, mtools, binutils, systemd's stub, a C compiler, and a kernel for amd64 named by COSINSPECT_BOOT_KERNEL. A boot
takes half a minute without hardware acceleration.
"""

import lzma
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.checks import find_check
from cosinspect.report.report import Capability, Kind
from cosinspect.testing import ImageBuilder, Symlink
from cosinspect.testing.bootfiles import compress_initrd, cpio_archive, executable

KERNEL = os.environ.get("COSINSPECT_BOOT_KERNEL")
STUBS = Path("/usr/lib/systemd/boot/efi")
FIRMWARE = Path("/usr/share/OVMF")
PROGRAMS = ("qemu-system-x86_64", "mformat", "mmd", "mcopy", "objcopy", "gcc")
SECONDS = 900
# An emulated timer on a busy host fails the check of the kernel, which says nothing of the image.
COMMAND_LINE = "console=ttyS0 panic=-1 no_timer_check rd.immucore.uki quiet"
ENTRY = "title Kairos\nefi /EFI/kairos/norole.efi\n"
# Prints that it ran, and switches the machine off.
INIT = """\
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
    int out = open("/dev/ttyS0", O_WRONLY);
    dprintf(out < 0 ? 1 : out, "\\nINIT-RAN\\n");
    sleep(1);
    reboot(RB_POWER_OFF);
    return 1;
}
"""

pytestmark = [
    pytest.mark.modules,
    pytest.mark.skipif(
        not KERNEL or not all(map(shutil.which, PROGRAMS)) or not (FIRMWARE / "OVMF_CODE_4M.fd").exists(),
        reason="COSINSPECT_BOOT_KERNEL, QEMU, OVMF, mtools, binutils or gcc is not there",
    ),
]


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    directory = tmp_path_factory.mktemp("init")
    (directory / "init.c").write_text(INIT)
    subprocess.run(["gcc", "-static", "-O1", "-o", directory / "init", directory / "init.c"], check=True)
    return (directory / "init").read_bytes()


def packed(tree):
    return compress_initrd(cpio_archive(tree), "zstd")


def unified(tmp_path, parts):
    """Have objcopy put the sections into systemd's own stub."""
    options = []
    for number, (name, content) in enumerate(parts.items()):
        file = tmp_path / f"part{number}"
        file.write_bytes(content)
        address = 0x20000 + number * 0x10000 if len(content) < 0x10000 else 0x2000000 * (number + 1)
        options += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={address:#x}"]
    out = tmp_path / "os.efi"
    subprocess.run(["objcopy", *options, STUBS / "linuxx64.efi.stub", out], check=True)
    return out.read_bytes()


def starts(tmp_path, files):
    """Say whether firmware comes to the program in the initrd, with these files on its EFI partition."""
    disk, variables, console = (tmp_path / name for name in ("esp.img", "vars.fd", "console"))
    subprocess.run(["truncate", "-s", "128M", disk], check=True)
    subprocess.run(["mformat", "-i", disk, "-F", "::"], check=True)
    made = set()
    for path, content in files.items():
        for at in [at for at, letter in enumerate(path) if letter == "/"]:
            if path[:at] not in made:
                made.add(path[:at])
                subprocess.run(["mmd", "-i", disk, f"::{path[:at]}"], check=True)
        (tmp_path / "file").write_bytes(content.encode() if isinstance(content, str) else content)
        subprocess.run(["mcopy", "-i", disk, tmp_path / "file", f"::{path}"], check=True)
    shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", variables)
    code = f"if=pflash,format=raw,readonly=on,file={FIRMWARE / 'OVMF_CODE_4M.fd'}"
    machine = subprocess.Popen(
        ["qemu-system-x86_64", "-m", "512", "-machine", "q35", "-cpu", "max", "-display", "none", "-net", "none", "-no-reboot",
         "-serial", f"file:{console}", "-drive", code, "-drive", f"if=pflash,format=raw,file={variables}",
         "-drive", f"format=raw,file={disk},if=virtio"]
    )  # fmt: skip
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(1)
            text = console.read_bytes() if console.exists() else b""
            if b"INIT-RAN" in text:
                return True
            if machine.poll() is not None or b"Kernel panic" in text or b"Shell>" in text:
                return False
        return False
    finally:
        machine.kill()
        machine.wait()


# What is other than in a good one: sections and files by name, None for one that is not there.
SECTIONS = {
    "as it is": {},
    "without .uname": {".uname": None},
    "without .osrel": {".osrel": None},
    "without .initrd": {".initrd": None},
    "without .linux": {".linux": None},
    "the kernel is a text": {".linux": b"no kernel\n" * 1000},
    "the initrd is junk": {".initrd": b"junk" * 1000},
}
FILES = {
    "the key uki with an older systemd-boot": {
        "loader/entries/norole.conf": ENTRY.replace("efi ", "uki ", 1)
    },
    "an entry to nothing": {"loader/entries/norole.conf": "title Kairos\nefi /EFI/kairos/active.efi\n"},
    "an entry in other letters": {
        "loader/entries/norole.conf": "title Kairos\nefi \\efi\\KAIROS\\NOROLE.EFI\n"
    },
    "no loader.conf": {"loader/loader.conf": None},
}
INITRDS = {
    "the initrd by gzip": lambda tree: compress_initrd(cpio_archive(tree), "gzip"),
    "the initrd by xz with CRC64": lambda tree: lzma.compress(cpio_archive(tree)),
    "the initrd without init": lambda tree: packed({"usr/bin/immucore": tree["usr/bin/immucore"]}),
    "init leads to nothing": lambda tree: packed({"init": tree["init"]}),
}


@pytest.mark.parametrize("case", [*SECTIONS, *FILES, *INITRDS])
def test_what_starts_is_what_the_checks_say(tmp_path, init, case):
    tree = {"init": Symlink("/usr/bin/immucore"), "usr/bin/immucore": executable(init)}
    parts = {
        ".osrel": b"ID=kairos\nNAME=Kairos\n",
        ".cmdline": COMMAND_LINE.encode(),
        ".uname": b"6.1.0",
        ".linux": Path(KERNEL).read_bytes(),
        ".initrd": INITRDS.get(case, packed)(tree),
    } | SECTIONS.get(case, {})
    files = {
        "EFI/BOOT/BOOTX64.EFI": (STUBS / "systemd-bootx64.efi").read_bytes(),
        "loader/loader.conf": "timeout 0\n",
        "loader/entries/norole.conf": ENTRY,
    } | FILES.get(case, {})
    files["EFI/kairos/norole.efi"] = unified(
        tmp_path, {name: part for name, part in parts.items() if part is not None}
    )
    files = {path: content for path, content in files.items() if content is not None}

    image = ImageBuilder(platform="linux/amd64").layer(files).build()
    found = inspect(image.write_layout(tmp_path / "layout"), profile="kairos")
    grave = [
        each.check
        for each in found.results
        if each.kind is Kind.FAIL and Capability.BOOT in find_check(each.check).capabilities
    ]

    assert starts(tmp_path, files) == (not grave), grave
