"""Odd initrds, each handed to a real kernel in a machine of its own: what it unpacks, and what our reader says it does."""

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from cosinspect.errors import FormatError
from cosinspect.formats.boot.initrd import read_initrd
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing.bootfiles import compress_initrd, cpio_archive, executable
from cosinspect.testing.elf_files import elf_file
from raw_cpio import TRAILER, raw_member

QEMU = shutil.which("qemu-system-x86_64")
PACKAGE = "linux-image-cloud-amd64"
SECONDS = 120
ENDS = (
    "Attempted to kill init",
    "No working init",
    "Unable to mount root fs",
    "Requested init",
    "Failed to execute",
)
# What a kernel is built with is a matter of its configuration, and another check's.
CANNOT_READ = {"unsupported", "limit"}

pytestmark = [
    pytest.mark.modules,
    pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed"),
]

MAIN = cpio_archive({"init": executable(elf_file()), "etc/padding": os.urandom(5000)})
OTHER = cpio_archive({"etc/early": "a file of another archive\n"})
NAMED = gzip.compress(MAIN, mtime=0)


def xz(data=MAIN, *, check=lzma.CHECK_CRC32, filters=(), dictionary=1 << 20):
    chain = [*filters, {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": dictionary}]
    return lzma.compress(data, check=check, filters=chain)


def branch(name):
    return [{"id": getattr(lzma, f"FILTER_{name}")}]


def gz(flags, extra=b"", *, data=MAIN, crc=None, length=None, reserved=0):
    """A gzip member with flags set and what they announce."""
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = body.compress(data) + body.flush()
    ending = struct.pack(
        "<II", zlib.crc32(data) if crc is None else crc, len(data) if length is None else length
    )
    return b"\x1f\x8b\x08" + bytes([flags | reserved]) + bytes(6) + extra + packed + ending


def tool(*command, data=MAIN):
    """What a program of the field makes of the archive, None where it is not installed."""
    if shutil.which(command[0]) is None:
        return None
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def zst(data=MAIN, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


def aligned(*parts):
    joined = b""
    for part in parts:
        joined += bytes(-len(joined) % 4) + part
    return joined


CASES = {
    "plain": lambda: MAIN,
    "plain-without-trailer": lambda: (
        MAIN[: -len(TRAILER)].rstrip(b"\0") + bytes(512) if MAIN.endswith(TRAILER) else MAIN
    ),
    "plain-with-sums": lambda: (
        raw_member(b"init", elf_file(), 0o100755, magic=b"070702", check=sum(elf_file())) + TRAILER
    ),
    "plain-with-a-wrong-sum": lambda: raw_member(b"init", elf_file(), 0o100755, magic=b"070702") + TRAILER,
    "plain-with-a-wrong-sum-before": lambda: raw_member(b"a", b"text", magic=b"070702") + MAIN,
    "plain-old-format": lambda: b"070707" + MAIN[6:],
    "plain-cut-in-a-header": lambda: OTHER + MAIN[:60],
    "plain-cut-in-init": lambda: MAIN[:200],
    "plain-two-with-zeros": lambda: OTHER + bytes(1024) + MAIN,
    "plain-second-not-aligned": lambda: OTHER + bytes(-len(OTHER) % 4 + 2) + MAIN,
    "plain-behind-junk": lambda: OTHER + b"junk" + MAIN,
    "gzip": lambda: NAMED,
    "gzip-name": lambda: gz(8, b"initrd\0"),
    "gzip-extra": lambda: gz(4, b"\4\0abcd"),
    "gzip-comment": lambda: gz(16, b"words\0"),
    "gzip-header-sum": lambda: gz(2, b"\0\0"),
    "gzip-reserved": lambda: gz(0, reserved=0x80),
    "gzip-wrong-sum": lambda: gz(0, crc=1),
    "gzip-wrong-length": lambda: gz(0, length=1),
    "gzip-without-end": lambda: NAMED[:-8],
    "gzip-cut": lambda: NAMED[: len(NAMED) // 2],
    "gzip-two": lambda: aligned(gzip.compress(OTHER, mtime=0), NAMED),
    "gzip-two-not-aligned": lambda: gzip.compress(OTHER + bytes(1), mtime=0) + b"\0" + NAMED,
    "gzip-then-junk": lambda: NAMED + b"junk",
    "gzip-then-plain": lambda: aligned(gzip.compress(OTHER, mtime=0), MAIN),
    "gzip-empty-then-plain": lambda: aligned(gzip.compress(b"", mtime=0), MAIN),
    "bzip2": lambda: bz2.compress(MAIN),
    "bzip2-small-blocks": lambda: bz2.compress(MAIN, 1),
    "bzip2-two": lambda: aligned(bz2.compress(OTHER), bz2.compress(MAIN)),
    "bzip2-cut": lambda: bz2.compress(MAIN)[:-200],
    "lzma": lambda: compress_initrd(MAIN, "lzma"),
    "lzma-cut": lambda: lzma.compress(MAIN, format=lzma.FORMAT_ALONE)[:-300],
    "lzma-other-properties": lambda: lzma.compress(
        MAIN, format=lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "lc": 1, "lp": 2, "pb": 0}]
    ),
    "xz-crc32": xz,
    "xz-none": lambda: xz(check=lzma.CHECK_NONE),
    "xz-crc64": lambda: xz(check=lzma.CHECK_CRC64),
    "xz-sha256": lambda: xz(check=lzma.CHECK_SHA256),
    "xz-x86": lambda: xz(filters=branch("X86")),
    "xz-arm": lambda: xz(filters=branch("ARM")),
    "xz-powerpc": lambda: xz(filters=branch("POWERPC")),
    "xz-delta": lambda: xz(filters=[{"id": lzma.FILTER_DELTA, "dist": 4}]),
    "xz-two": lambda: aligned(xz(OTHER), xz()),
    "xz-then-junk": lambda: xz() + b"junk",
    "xz-cut": lambda: xz()[:-40],
    "xz-large-dictionary": lambda: xz(dictionary=64 << 20),
    "xz-blocks": lambda: tool("xz", "-c", "--check=crc32", "--block-size=4096", "-T2"),
    "xz-tool-default": lambda: tool("xz", "-c"),
    "lzo": lambda: tool("lzop", "-c"),
    "lzo-best": lambda: tool("lzop", "-9", "-c"),
    "lzo-without-sums": lambda: tool("lzop", "-F", "-c"),
    "lz4-legacy": lambda: compress_initrd(MAIN, "lz4"),
    "lz4-tool": lambda: tool("lz4", "-l", "-c", "-9"),
    "lz4-frame": lambda: lz4.frame.compress(MAIN),
    "lz4-legacy-two": lambda: aligned(compress_initrd(OTHER, "lz4"), compress_initrd(MAIN, "lz4")),
    "lz4-legacy-cut": lambda: compress_initrd(MAIN, "lz4")[:-100],
    "zstd": zst,
    "zstd-sum": lambda: zst(write_checksum=True),
    "zstd-without-length": lambda: zst(write_content_size=False),
    "zstd-window-256-mib": lambda: tool("zstd", "-q", "--long=28", "-c"),
    "zstd-skippable-first": lambda: b"\x50\x2a\x4d\x18" + struct.pack("<I", 8) + bytes(8) + zst(),
    "zstd-two": lambda: aligned(zst(OTHER), zst()),
    "zstd-cut": lambda: zst()[:-100],
    "zstd-then-junk": lambda: zst() + b"junk",
    "unknown": lambda: b"ABCD" + MAIN,
    "empty": lambda: b"",
}


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    """A kernel of Debian and its configuration, unpacked and not installed."""
    named = os.environ.get("COSINSPECT_TEST_KERNEL")
    if named:
        top = Path(named)
    else:
        top = tmp_path_factory.mktemp("kernel")
        listed = subprocess.run(
            ["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=False
        ).stdout
        found = re.search(r"linux-image-\d\S+-cloud-amd64", listed)
        if found is None:
            pytest.skip("no package list has a kernel")
        got = subprocess.run(
            ["apt-get", "download", f"{found[0]}"], cwd=top, capture_output=True, check=False
        )
        if got.returncode:
            pytest.skip("the kernel's package cannot be had")
        for package in top.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, top], check=True)
        top /= "boot"
    (image,) = top.glob("vmlinuz-*")
    (config,) = top.glob("config-*")
    return image, config.read_text()


def booted(image, initrd):
    """Boot a kernel with an initrd; give whether /init was run to its end, and whether the kernel complained of the unpacking."""
    command = [
        QEMU, "-accel", "tcg", "-m", "640", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
        "-kernel", image, "-initrd", initrd, "-append", "console=ttyS0 loglevel=7 panic=-1 no_timer_check mitigations=off",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as hung:
        # Behind gzip data without its last eight bytes the kernel reads on for ever.
        if b"Trying to unpack rootfs" not in (hung.stdout or b""):
            raise
        return False, True
    text = done.stdout.decode(errors="replace")
    assert any(each in text for each in ENDS), text[-2000:] + done.stderr.decode(errors="replace")
    # It exits at once, for which the kernel panics.
    return "Attempted to kill init" in text, "Initramfs unpacking failed" in text


def read(data, config):
    """What is said of it: whether it starts and whether unpacking stops early, None where the format cannot be read."""
    try:
        found = read_initrd(io.BytesIO(data), size=len(data), wanted=lambda _: False, limits=DEFAULT_LIMITS)
    except FormatError as fault:
        return None if fault.kind in CANNOT_READ else (False, True)
    if found.opaque:
        return None
    options = {f"CONFIG_XZ_DEC_{name}" for segment in found.segments for name in segment.filters}
    if any(f"{option}=y\n" not in config for option in options):
        return False, True
    whole = all(segment.compressed_size is not None for segment in found.segments)
    between = whole and all(problem.kind in ("alignment", "magic") for problem in found.problems)
    return found.has_init and (between or not found.problems), bool(found.problems)


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_unpacks_what_our_reader_says(kernel, tmp_path, name):
    image, config = kernel
    data = CASES[name]()
    if data is None:
        pytest.skip("the program that writes this is not installed")
    path = tmp_path / "initrd"
    path.write_bytes(data)

    told = read(data, config)
    if not data:
        assert told == (False, True)
        return
    judged = booted(image, path)

    if told is not None:
        # A kernel may start what it has of one that is cut; nobody should rely on that.
        cut = judged == (True, True) and told == (False, True)
        assert cut or judged[0] == told[0], (judged, told)
        # Of what is cut the kernel says nothing, and where it complains there is a reason.
        assert told[1] or not judged[1], (judged, told)
