"""How segments follow each other: what is accepted and refused here is what Linux 6.1 accepts and refuses."""

from __future__ import annotations

import io
import lzma
import shutil
import struct
import subprocess
import zlib

import pytest
import zstandard
from attrs import evolve

from cosinspect.compression.codecs import Compression
from cosinspect.errors import FormatError, TransportError
from cosinspect.formats.boot import initrd_segments
from cosinspect.formats.boot.initrd import Initrd, read_initrd
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.testing.bootfiles import (
    compress_initrd,
    cpio_archive,
    executable,
    join_segments,
    microcode_archive,
)
from cosinspect.testing.layers import Directory
from raw_cpio import TRAILER, raw_archive, raw_member

MAIN = cpio_archive({"init": executable(), "usr/bin/tool": "x" * 5000})
EXTRA = cpio_archive({"extra": "1"})
COMPRESSIONS = ("gzip", "xz", "zstd", "lz4", "bzip2", "lzma")
COMMANDS = {
    "gzip": "gzip -c",
    "xz": "xz -c --check=crc32",
    "zstd": "zstd -c -q",
    "lz4": "lz4 -l -c",
    "bzip2": "bzip2 -c",
    "lzma": "xz -c --format=lzma",
}


def read(data: bytes, *, size: int | None = None, limits: Limits = DEFAULT_LIMITS) -> Initrd:
    return read_initrd(
        io.BytesIO(data), size=len(data) if size is None else size, wanted=lambda _: True, limits=limits
    )


def fault(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        read(data)
    return caught.value


def kinds(initrd: Initrd) -> list[str]:
    return [problem.kind for problem in initrd.problems]


def unaligned(main: bytes) -> bytes:
    """Zero bytes that leave the end of `main` at no multiple of 4."""
    return bytes((3 - len(main)) % 4)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_initrd_is_read(compression):
    data = compress_initrd(MAIN, compression)
    initrd = read(data)
    (segment,) = initrd.segments
    assert (segment.offset, segment.compression, segment.kind) == (0, Compression(compression), "archive")
    assert (segment.compressed_size, segment.size, segment.members) == (len(data), len(MAIN), 4)
    assert segment.trailer
    assert initrd.read("usr/bin/tool") == b"x" * 5000
    assert initrd.complete


@pytest.mark.compat
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_the_commands_compress_is_read(compression):
    command = COMMANDS[compression].split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]}(1) is not installed")
    large = cpio_archive(
        {"init": executable(), "large": bytes(range(256)) * 40_000}
    )  # more than one lz4 block
    data = subprocess.run(command, input=large, capture_output=True, check=True).stdout
    initrd = read(data)
    assert initrd.complete
    assert initrd.members["large"].size == 256 * 40_000
    assert initrd.segments[0].compressed_size == len(data)


def test_microcode_compressed_archive_and_appended_archive_are_three_segments():
    micro = microcode_archive() + bytes(1000)  # dracut pads its first archive
    main = compress_initrd(MAIN, "xz")
    initrd = read(join_segments(micro, main, EXTRA))
    extra_offset = -(-(len(micro) + len(main)) // 4) * 4
    assert [(s.offset, s.compression, s.kind) for s in initrd.segments] == [
        (0, None, "microcode"),
        (len(micro), Compression.XZ, "archive"),
        (extra_offset, None, "archive"),
    ]
    assert initrd.microcode == ("AuthenticAMD", "GenuineIntel")
    assert initrd.has_init
    assert initrd.exists("extra")
    assert initrd.complete


def test_microcode_counts_only_in_front_and_by_its_exact_name():
    micro = microcode_archive("GenuineIntel")
    assert read(join_segments(EXTRA, micro)).microcode == ("GenuineIntel",)
    assert read(join_segments(compress_initrd(EXTRA, "gzip"), micro)).microcode == ()
    assert read(compress_initrd(micro, "gzip")).microcode == ()
    dotted = raw_archive(raw_member(b"./kernel/x86/microcode/GenuineIntel.bin", b"x"))
    empty = raw_archive(raw_member(b"kernel/x86/microcode/GenuineIntel.bin"))
    assert read(dotted).microcode == read(empty).microcode == ()


def test_microcode_is_found_where_no_directory_is_made_for_it():
    initrd = read(raw_archive(raw_member(b"kernel/x86/microcode/AuthenticAMD.bin", b"x")) + MAIN)
    assert initrd.microcode == ("AuthenticAMD",)
    assert initrd.left_out == ("kernel/x86/microcode/AuthenticAMD.bin",)


def test_an_archive_with_anything_else_in_it_is_no_microcode():
    tables = cpio_archive({"kernel/firmware/acpi/dsdt.aml": "x"})
    mixed = cpio_archive({"kernel/x86/microcode/GenuineIntel.bin": "x", "init": executable()})
    only_directories = cpio_archive({"kernel/x86/microcode": Directory()})
    assert [read(data).segments[0].kind for data in (tables, mixed, only_directories)] == [
        "microcode",
        "archive",
        "archive",
    ]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("zeros", [4, 8, 513])
def test_zeros_between_segments_do_not_matter_when_the_next_is_aligned(compression, zeros):
    main = compress_initrd(MAIN, compression)
    initrd = read(main + bytes(zeros + (-(len(main) + zeros)) % 4) + EXTRA)
    assert initrd.complete
    assert initrd.read("extra") == b"1"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_appended_archive_that_is_not_aligned_is_not_unpacked(compression):
    main = compress_initrd(MAIN, compression) + bytes(4)
    main += unaligned(main)
    initrd = read(main + EXTRA)
    assert kinds(initrd) == ["alignment"]
    assert initrd.problems[0].offset == len(main)
    assert "zero bytes" in str(initrd.problems[0].remedy)
    assert initrd.has_init
    assert not initrd.exists("extra")
    assert not initrd.complete


@pytest.mark.parametrize("compression", ["none", *COMPRESSIONS])
def test_behind_a_plain_archive_everything_must_be_aligned(compression):
    initrd = read(MAIN + b"\0" + compress_initrd(EXTRA, compression))
    assert kinds(initrd) == ["alignment"]
    assert read(MAIN + bytes(4) + compress_initrd(EXTRA, compression)).complete


def test_behind_a_compressed_segment_another_needs_no_alignment():
    main = compress_initrd(MAIN, "gzip")
    initrd = read(main + unaligned(main) + compress_initrd(EXTRA, "xz"))
    assert initrd.complete
    assert initrd.exists("extra")


def test_lz4_has_no_end_of_its_own_so_four_zeros_must_follow_it():
    main = compress_initrd(MAIN, "lz4")
    assert kinds(read(main + EXTRA)) == ["corrupt"]
    assert read(join_segments(main + bytes(4), EXTRA)).complete


def test_a_trailer_is_not_needed():
    open_end = cpio_archive({"init": executable()}, trailer=False)
    assert read(open_end).complete
    assert not read(open_end).segments[0].trailer
    assert read(open_end + EXTRA).complete
    assert list(read(open_end + compress_initrd(EXTRA, "xz")).members) == ["init", "extra"]
    assert read(compress_initrd(open_end, "xz")).complete


def test_archives_may_follow_each_other_within_a_compressed_segment():
    initrd = read(compress_initrd(MAIN + bytes(512) + EXTRA, "xz"))
    assert initrd.complete
    assert initrd.exists("extra")
    assert len(initrd.segments) == 1


def test_within_a_compressed_segment_archives_must_be_aligned_too():
    initrd = read(compress_initrd(MAIN + b"\0" + EXTRA, "xz"))
    assert kinds(initrd) == ["alignment"]
    assert initrd.problems[0].offset == 0


def test_a_compressed_segment_holds_archives_and_nothing_else():
    assert kinds(read(compress_initrd(MAIN + b"junk", "xz") + EXTRA)) == ["magic"]
    assert kinds(read(MAIN + compress_initrd(compress_initrd(EXTRA, "gzip"), "xz"))) == ["magic"]
    assert fault(compress_initrd(b"junk", "xz")).kind == "magic"


def test_the_first_segment_must_begin_with_an_archive():
    assert fault(compress_initrd(bytes(4) + MAIN, "gzip")).kind == "magic"
    assert fault(compress_initrd(b"", "gzip") + bytes(3) + MAIN).kind == "magic"
    assert read(MAIN + compress_initrd(bytes(4) + EXTRA, "gzip")).complete
    assert read(MAIN + compress_initrd(b"", "gzip")).complete


def test_an_archive_cannot_go_on_in_the_next_compressed_member():
    frame = zstandard.ZstdCompressor().compress
    split = read(MAIN + frame(EXTRA[:100]) + frame(EXTRA[100:]))
    assert kinds(split) == ["truncated"]
    apart = read(MAIN + frame(cpio_archive({"a": ""}, trailer=False)) + frame(EXTRA))
    assert apart.complete
    assert len(apart.segments) == 3


@pytest.mark.parametrize("check", [lzma.CHECK_CRC64, lzma.CHECK_SHA256])
def test_xz_with_a_check_that_kernels_do_not_know_is_not_unpacked(check):
    initrd = read(join_segments(MAIN, lzma.compress(EXTRA, check=check)))
    assert kinds(initrd) == ["xz-check"]
    assert "--check=crc32" in str(initrd.problems[0].remedy)
    assert initrd.segments[1].compression is Compression.XZ
    assert not initrd.exists("extra")


def test_xz_without_a_check_is_unpacked():
    assert read(lzma.compress(MAIN, check=lzma.CHECK_NONE)).complete


def test_a_skippable_zstd_frame_is_no_start_of_a_segment():
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"abcd"
    assert kinds(read(MAIN + skippable + compress_initrd(EXTRA, "zstd"))) == ["magic"]


def test_lzo_cannot_be_told():
    initrd = read(microcode_archive() + b"\x89LZO\x00\x0d\x0a\x1a\x0a" + bytes(100))
    assert kinds(initrd) == ["unsupported"]
    assert initrd.opaque
    assert initrd.segments[1].compression is Compression.LZO
    assert fault(b"\x89LZO\x00\x0d\x0a\x1a\x0a" + bytes(100)).kind == "unsupported"


def test_junk_behind_keeps_what_was_unpacked_before():
    for data in (MAIN + b"junkjunk", compress_initrd(MAIN, "xz") + b"junk"):
        initrd = read(data)
        assert kinds(initrd) == ["magic"]
        assert initrd.has_init
        assert not initrd.opaque


def test_a_wrong_checksum_ends_the_unpacking():
    summed = cpio_archive({"a": "12345", "b": "12345", "c": ""}, checksums=True)
    wrong = summed.replace(b"b\x0012345", b"b\x0012346")
    assert wrong != summed
    assert read(summed).complete
    initrd = read(wrong + EXTRA)
    assert kinds(initrd) == ["checksum"]
    assert list(initrd.members) == ["a", "b"]  # which is written before its sum is known
    assert initrd.read("b") == b"12346"  # as init/initramfs.c writes it, do_copy


def test_nothing_at_all_is_refused():
    assert fault(b"").kind == "empty"
    assert fault(b"\x00\x00\x01").kind == "magic"
    assert fault(b"no initrd, this").kind == "magic"
    assert fault(b"070707" + b"0" * 70).kind == "unsupported"
    assert fault(b"\0" + MAIN).kind == "alignment"
    assert fault(MAIN[:50]).kind == "truncated"
    assert fault(compress_initrd(MAIN, "xz")[:50]).kind == "truncated"


def test_zeros_or_a_trailer_alone_are_an_empty_initrd():
    assert read(bytes(1000)).is_empty
    assert read(TRAILER).is_empty
    assert read(TRAILER).complete
    assert not read(MAIN).is_empty


def test_cut_in_the_microcode_it_has_no_init_and_says_so():
    micro = microcode_archive()
    data = join_segments(micro, compress_initrd(MAIN, "xz"))
    initrd = read(data[: len(micro) - 1500])
    assert kinds(initrd) == ["truncated"]
    assert not initrd.has_init
    assert [segment.kind for segment in initrd.segments] == ["microcode"]
    assert initrd.segments[0].compressed_size is None


def test_cut_behind_the_microcode_it_is_complete_but_has_no_init():
    micro = microcode_archive()
    initrd = read(join_segments(micro, compress_initrd(MAIN, "xz"))[: len(micro)])
    assert initrd.complete
    assert not initrd.has_init


@pytest.mark.parametrize("compression", ["none", *COMPRESSIONS])
def test_cut_anywhere_it_is_never_taken_for_whole(compression):
    body = bytes(range(256)) * 20
    main = compress_initrd(cpio_archive({"init": executable(), "tool": body}, trailer=True), compression)
    data = join_segments(microcode_archive("GenuineIntel"), main)
    start = len(data) - len(main)
    for length in range(start + 1, start + len(main.rstrip(b"\0")), 61):
        initrd = read(data[:length])
        whole = initrd.complete and initrd.exists("tool")
        # A plain archive may end behind any member, or within the padding of its trailer.
        assert not whole or (compression == "none" and initrd.read("tool") == body), length
        # Whoever gives the size that the file should have is told in every case.
        assert not read(data[:length], size=len(data)).complete, length


@pytest.mark.parametrize("compression", ["gzip", "xz", "bzip2"])
def test_damage_within_a_compressed_segment_is_told(compression):
    main = bytearray(compress_initrd(cpio_archive({"init": bytes(range(256)) * 20}), compression))
    main[len(main) // 2] ^= 0xFF
    initrd = read(join_segments(MAIN, bytes(main)))
    assert kinds(initrd) == ["corrupt"]
    assert initrd.problems[0].offset == len(MAIN)
    assert initrd.exists("usr/bin/tool")


def test_nothing_beyond_the_size_is_read():
    stream = io.BytesIO(MAIN + b"what follows in the layer")
    assert read_initrd(stream, size=len(MAIN), wanted=lambda _: False).complete
    assert stream.read() == b"what follows in the layer"


def test_a_stream_that_ends_early_is_told():
    initrd = read(MAIN, size=len(MAIN) + 100)
    assert kinds(initrd) == ["truncated"]
    assert initrd.has_init


class BrokenStream:
    """Gives some bytes and then raises."""

    def __init__(self, data: bytes, fault: Exception) -> None:
        self.stream = io.BytesIO(data)
        self.fault = fault

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, 200))
        if not data:
            raise self.fault
        return data


@pytest.mark.parametrize("compression", ["none", "xz", "zstd", "lz4"])
@pytest.mark.parametrize(
    "broken", [OSError("disk"), TransportError("lost"), FormatError("the layer's gzip data", kind="corrupt")]
)
def test_what_the_stream_raises_is_no_fault_of_the_initrd(compression, broken):
    data = compress_initrd(MAIN, compression)
    with pytest.raises(type(broken)) as caught:
        read_initrd(BrokenStream(data[:400], broken), size=len(data) + 400, wanted=lambda _: False)
    assert caught.value is broken


def test_members_are_bounded():
    initrd = read(MAIN, limits=evolve(DEFAULT_LIMITS, initrd_entries=2))
    assert kinds(initrd) == ["limit"]
    assert initrd.opaque
    assert len(initrd.members) == 2


def test_inflated_bytes_are_bounded_zeros_between_archives_too():
    limits = evolve(DEFAULT_LIMITS, initrd_bytes=3 * 1024 * 1024)
    assert read(compress_initrd(MAIN + bytes(1024 * 1024), "xz"), limits=limits).complete
    for bomb in (
        MAIN + bytes(4 * 1024 * 1024),
        cpio_archive({"init": executable(), "large": bytes(4 * 1024 * 1024)}),
    ):
        initrd = read(compress_initrd(bomb, "xz"), limits=limits)
        assert kinds(initrd) == ["limit"]
        assert not initrd.exists("large")
    with pytest.raises(FormatError, match="larger than"):
        read(bytes(4 * 1024 * 1024), limits=limits)


def test_segments_are_bounded():
    limits = evolve(DEFAULT_LIMITS, initrd_segments=3)
    assert read(EXTRA * 3, limits=limits).complete
    assert kinds(read(EXTRA * 4, limits=limits)) == ["limit"]


def test_bodies_are_bounded_each_and_together(monkeypatch):
    data = cpio_archive({"a": "x" * 11, "b": "x" * 10, "c": "x" * 10, "d": "x" * 10})
    monkeypatch.setattr(initrd_segments, "BODIES_BYTES", 25)
    initrd = read(data, limits=evolve(DEFAULT_LIMITS, initrd_body_bytes=10))
    assert list(initrd.bodies) == ["b", "c"]
    assert initrd.complete
    with pytest.raises(FormatError) as caught:
        initrd.read("a")
    assert caught.value.kind == "unread"


# -- what Linux 6.1 unpacks: each of these was given to one in QEMU ----------------------------------------------------


def gzipped(flags=0, header=b"", *, checksum=None):
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflater.compress(EXTRA) + deflater.flush()
    found = zlib.crc32(EXTRA) if checksum is None else checksum
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + header + body + struct.pack("<II", found, len(EXTRA))


def xzed(*filters):
    lzma2 = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20}
    return lzma.compress(EXTRA, check=lzma.CHECK_CRC32, filters=[*filters, lzma2])


UNPACKED = {
    "gzip with a name": gzipped(8, b"initrd\0"),
    "gzip that says it is text": gzipped(1),
    "gzip with a reserved flag": gzipped(0x20),
    "gzip with another checksum": gzipped(checksum=1),
    "xz with a filter for x86": xzed({"id": lzma.FILTER_X86}),
}
NOT_UNPACKED = {
    "gzip with an extra field": gzipped(4, b"\x04\0ab\0\0"),
    "gzip with a comment": gzipped(16, b"note\0"),
    "gzip with a checksum of its header": gzipped(2, b"\x12\x34"),
    "gzip of another method": b"\x1f\x8b\x07" + gzipped()[3:],
    "xz with a delta filter": xzed({"id": lzma.FILTER_DELTA, "dist": 1}),
    "xz with two filters": xzed({"id": lzma.FILTER_X86}, {"id": lzma.FILTER_ARM}),
    "xz with a filter that starts later": xzed({"id": lzma.FILTER_X86, "start_offset": 4096}),
}


@pytest.mark.parametrize("kind", UNPACKED)
def test_what_linux_unpacks_is_unpacked(kind):
    found = read(join_segments(MAIN, UNPACKED[kind], MAIN))
    assert found.exists("extra")
    assert found.complete


@pytest.mark.parametrize("kind", NOT_UNPACKED)
def test_what_linux_does_not_unpack_is_not_unpacked(kind):
    found = read(join_segments(MAIN, NOT_UNPACKED[kind]))
    assert not found.exists("extra")
    assert found.problems


def test_the_filters_of_xz_that_need_an_option_of_the_kernel_are_named():
    (segment,) = read(xzed({"id": lzma.FILTER_ARM})).segments
    assert segment.filters == ("ARM",)
