"""Compressed members: told by their first bytes, inflated in bounded pieces, never beyond their end."""

import bz2
import gzip
import lzma
import random
import struct
import zlib

import lz4.block
import pytest
import zstandard
from attrs import evolve

from cosinspect.compression.codecs import MAGIC_BYTES, PIECE_BYTES, Compression, detect, inflate
from cosinspect.errors import FormatError
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing import tar_bytes

# Half noise, so that compressed bytes are worth damaging; half repetition, so that there is something to inflate.
CONTENT = random.Random(1).randbytes(40_000) + b"the same again " * 4_000


def gzipped(content, level=6):
    return gzip.compress(content, level, mtime=0)


def legacy_lz4(content):
    """As lz4 -l writes it: a magic number, then blocks of 8 MiB behind their lengths."""
    block = lz4.block.compress(content, store_size=False)
    return struct.pack("<II", 0x184C2102, len(block)) + block


MEMBERS = {
    Compression.GZIP: gzipped(CONTENT),
    Compression.ZSTD: zstandard.ZstdCompressor(write_checksum=True).compress(CONTENT),
    Compression.XZ: lzma.compress(CONTENT),
    Compression.LZMA: lzma.compress(CONTENT, format=lzma.FORMAT_ALONE),
    Compression.BZIP2: bz2.compress(CONTENT),
    Compression.LZ4: legacy_lz4(CONTENT),
}
SKIPPABLE = struct.pack("<II", 0x184D2A50, 5) + b"12345"
each = pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.value)


def portions(data, size):
    """The first portion, and what gives the others."""
    parts = iter([data[at : at + size] for at in range(0, len(data), size)])
    return next(parts, b""), lambda: next(parts, b"")


def drained(kind, data, *, portion=1 << 20, limits=DEFAULT_LIMITS):
    """The inflated bytes and what follows the member."""
    head, read = portions(data, portion)
    out = []
    pieces = inflate(kind, head, read, limits=limits)
    while True:
        try:
            out.append(next(pieces))
        except StopIteration as end:
            return b"".join(out), end.value + b"".join(iter(read, b""))


@each
def test_a_member_is_told_by_its_first_bytes(kind):
    assert kind is detect(MEMBERS[kind][:MAGIC_BYTES])
    assert kind is detect(MEMBERS[kind])


@pytest.mark.parametrize("number", range(16))
def test_every_skippable_frame_is_zstd(number):
    assert Compression.ZSTD is detect(struct.pack("<II", 0x184D2A50 + number, 0))


@pytest.mark.parametrize(
    "prefix",
    [
        b"",
        b"\0" * 6,
        b"\x1f",
        b"BZ",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f",
        b"070701",
        b"\x60\x2a\x4d\x18\0\0",
        tar_bytes({"a": ""}),
    ],
)
def test_what_is_nothing_known_is_plain(prefix):
    assert detect(prefix) is None


@each
@pytest.mark.parametrize("portion", [MAGIC_BYTES, 100, 4096, 1 << 20])
def test_a_member_inflates_to_what_was_compressed_however_it_arrives(kind, portion):
    assert (CONTENT, b"") == drained(kind, MEMBERS[kind], portion=portion)


@pytest.mark.parametrize(
    "kind", [kind for kind in MEMBERS if kind is not Compression.LZ4], ids=lambda kind: kind.value
)
@pytest.mark.parametrize("portion", [MAGIC_BYTES, 4096, 1 << 20])
def test_what_follows_a_member_is_handed_back_untouched(kind, portion):
    follows = b"\0\0next member" * 10
    assert (CONTENT, follows) == drained(kind, MEMBERS[kind] + follows, portion=portion)


def test_a_skippable_frame_inflates_to_nothing():
    assert (b"", b"next") == drained(Compression.ZSTD, SKIPPABLE + b"next")


@each
def test_an_empty_member_inflates_to_nothing(kind):
    empty = {
        Compression.GZIP: gzipped(b""),
        Compression.ZSTD: zstandard.compress(b""),
        Compression.XZ: lzma.compress(b""),
        Compression.LZMA: lzma.compress(b"", format=lzma.FORMAT_ALONE),
        Compression.BZIP2: bz2.compress(b""),
        Compression.LZ4: struct.pack("<I", 0x184C2102),
    }
    assert (b"", b"") == drained(kind, empty[kind])


@each
def test_no_piece_is_empty_for_that_would_be_taken_for_the_end(kind):
    head, read = portions(MEMBERS[kind], 100)
    assert all(inflate(kind, head, read))


@each
def test_a_member_that_ends_early_is_truncated_wherever_it_is_cut(kind):
    member = MEMBERS[kind]
    # Legacy lz4 may end before the length of a block.
    first = 8 if kind is Compression.LZ4 else MAGIC_BYTES
    for cut in {*range(first, 60), *range(60, len(member), 2999), *range(len(member) - 9, len(member))}:
        with pytest.raises(FormatError) as raised:
            drained(kind, member[:cut], portion=1000)
        assert raised.value.kind == "truncated"


@each
def test_damage_is_an_error_or_changes_bytes_but_never_a_crash(kind):
    member = bytearray(MEMBERS[kind])
    for at in range(0, len(member), 997):
        member[at] ^= 0xFF
        try:
            drained(kind, bytes(member))
        except FormatError as fault:
            assert fault.kind in {"corrupt", "truncated", "memory"}  # noqa: PT017 - not every damage is one
        member[at] ^= 0xFF


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.ZSTD, Compression.XZ, Compression.BZIP2])
def test_formats_with_a_checksum_notice_damage_to_the_content(kind):
    member = bytearray(MEMBERS[kind])
    for at in range(len(member) // 3, len(member) // 2, 499):
        member[at] ^= 0x01
        with pytest.raises(FormatError):
            drained(kind, bytes(member))
        member[at] ^= 0x01


def test_a_compression_that_nobody_here_reads_is_named():
    with pytest.raises(FormatError, match="lzo") as raised:
        drained(Compression.LZO, b"\x89LZO\x00\r\n\x1a\n")
    assert raised.value.kind == "unsupported"


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.XZ, Compression.BZIP2, Compression.LZMA])
def test_pieces_are_bounded_however_much_is_in_few_bytes(kind):
    zeros = bytes(20 * PIECE_BYTES)
    bomb = {
        Compression.GZIP: lambda: gzipped(zeros, 9),
        Compression.XZ: lambda: lzma.compress(zeros, preset=0),
        Compression.BZIP2: lambda: bz2.compress(zeros),
        Compression.LZMA: lambda: lzma.compress(zeros, format=lzma.FORMAT_ALONE, preset=0),
    }[kind]()
    head, read = portions(bomb, 1 << 20)
    sizes = [len(piece) for piece in inflate(kind, head, read)]
    assert len(zeros) == sum(sizes)
    assert max(sizes) <= PIECE_BYTES


def test_pieces_of_zstd_are_bounded_by_its_smallest_blocks():
    bomb = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    data = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(100)) + bomb.flush()
    assert len(data) < 8192
    head, read = portions(data, 1 << 20)
    sizes = [len(piece) for piece in inflate(Compression.ZSTD, head, read)]
    assert 100 << 20 == sum(sizes)
    assert max(sizes) <= 17 << 20


@pytest.mark.parametrize("kind", [Compression.ZSTD, Compression.GZIP])
def test_honest_data_does_not_come_in_crumbs(kind):
    content = random.Random(2).randbytes(2_000_000)
    member = gzipped(content) if kind is Compression.GZIP else zstandard.compress(content)
    head, read = portions(member, 256 * 1024)
    assert sum(1 for _ in inflate(kind, head, read)) < 40


def with_window(log):
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(CONTENT) + stream.flush()


def test_a_zstd_window_beyond_the_bound_is_refused_by_name():
    assert (CONTENT, b"") == drained(Compression.ZSTD, with_window(27))
    with pytest.raises(FormatError, match="window") as raised:
        drained(Compression.ZSTD, with_window(28))
    assert raised.value.kind == "memory"
    assert (CONTENT, b"") == drained(
        Compression.ZSTD, with_window(28), limits=evolve(DEFAULT_LIMITS, zstd_window_bytes=1 << 28)
    )


def test_an_xz_dictionary_beyond_the_bound_is_refused_by_name():
    member = bytearray(MEMBERS[Compression.XZ])
    # The block's header follows the stream's twelve bytes: size, flags, filter, size of its properties, dictionary.
    assert bytes([0x21, 1]) == member[14:16]
    member[16] = 40  # 4 GiB less one byte
    length = 4 * (member[12] + 1)
    struct.pack_into("<I", member, 12 + length - 4, zlib.crc32(member[12 : 12 + length - 4]))
    with pytest.raises(FormatError) as raised:
        drained(Compression.XZ, bytes(member))
    assert raised.value.kind == "memory"


def test_members_can_be_inflated_side_by_side():
    content = [random.Random(number).randbytes(300_000) for number in range(4)]
    streams = [
        inflate(Compression.ZSTD, member[:1000], iter([member[1000:], b""]).__next__)
        for member in map(zstandard.compress, content)
    ]
    found = [b""] * 4
    while any(len(out) < 300_000 for out in found):
        found = [out + next(stream, b"") for out, stream in zip(found, streams, strict=True)]
    assert content == found


def test_a_reader_that_fails_is_not_taken_for_damage():
    def fail():
        raise FormatError("the reader's own", kind="own")

    with pytest.raises(FormatError, match="the reader's own"):
        list(inflate(Compression.GZIP, MEMBERS[Compression.GZIP][:100], fail))
