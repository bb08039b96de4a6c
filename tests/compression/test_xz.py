"""xz streams of many blocks, unpacked side by side: liblzma, reading one after the other, is the judge of every byte and fault."""

import lzma
import random
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.compression import codecs as compression
from cosinspect.compression import xz as xz_blocks
from cosinspect.compression.codecs import Compression, inflate
from cosinspect.compression.xz import are_sized
from cosinspect.errors import FormatError

BLOCK = 256 * 1024
CONTENT = b"".join(b"%07d " % n for n in range(200_000))


def packed(*options, content=CONTENT):
    command = ["xz", "-c", "-T2", f"--block-size={BLOCK}", *options]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


STREAM = packed("--check=crc32")


def read(data, portion=1 << 16):
    """Give what comes of a stream: bytes, and what is left behind it, or the kind of fault."""
    portions = iter([data[at : at + portion] for at in range(0, len(data), portion)])
    head = next(portions, b"")
    found, pieces = bytearray(), inflate(Compression.XZ, head, lambda: next(portions, b""))
    while True:
        try:
            found += next(pieces)
        except StopIteration as over:
            return bytes(found), over.value + b"".join(portions)
        except FormatError as fault:
            return bytes(found), fault.kind


def one_after_the_other(data):
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    found = bytearray()
    try:
        found += decoder.decompress(data, BLOCK)
        while not decoder.eof and not decoder.needs_input:
            found += decoder.decompress(b"", BLOCK)
    except lzma.LZMAError:
        return bytes(found), "corrupt"
    return bytes(found), decoder.unused_data if decoder.eof else "truncated"


@pytest.mark.parametrize("check", ["none", "crc32", "crc64", "sha256"])
@pytest.mark.parametrize("portion", [997, 1 << 16, 1 << 30])
def test_blocks_are_read_in_their_order_up_to_the_end_of_the_stream(check, portion):
    data = packed(f"--check={check}") + b"and what follows"

    assert are_sized(data[:1024])
    assert (CONTENT, b"and what follows") == read(data, portion)


def test_other_filters_are_liblzmas_business():
    data = packed("--check=crc32", "--x86", "--lzma2=dict=64KiB")

    assert are_sized(data)
    assert (CONTENT, b"") == read(data)


@pytest.mark.parametrize(
    "data", [lzma.compress(CONTENT), packed(content=b"small"), b"", b"\xfd7zXZ\0", STREAM[:12]]
)
def test_what_has_no_sizes_or_is_small_is_read_in_one_go(data):
    assert not are_sized(data)


def test_it_is_really_done_side_by_side(monkeypatch):
    seen = []
    real = xz_blocks._unpacked
    monkeypatch.setattr(xz_blocks, "_unpacked", lambda *given: seen.append(1) or real(*given))

    assert (CONTENT, b"") == read(STREAM)
    assert -(-len(CONTENT) // BLOCK) == len(seen)


@pytest.mark.parametrize("at", [*range(12, 40), *range(-48, 0)])
def test_a_byte_that_is_another_is_found_wherever_it_is(at):
    damaged = bytearray(STREAM)
    damaged[at] ^= 0x10

    found, fault = read(bytes(damaged))

    expected, other = one_after_the_other(bytes(damaged))
    assert isinstance(fault, str) == isinstance(other, str)
    assert found[: len(expected)] == expected[: len(found)]
    assert isinstance(fault, str) or found == expected


@settings(max_examples=150)
@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_damage_anywhere_ends_as_liblzma_has_it(at, change):
    damaged = bytearray(STREAM)
    damaged[at] ^= change

    found, fault = read(bytes(damaged))

    expected, other = one_after_the_other(bytes(damaged))
    assert isinstance(other, str) == isinstance(fault, str)
    assert found == expected or isinstance(fault, str)
    assert CONTENT.startswith(found) or fault == "corrupt"


@settings(max_examples=100)
@given(st.integers(1024, len(STREAM) - 1))
def test_a_stream_that_is_cut_gives_all_that_is_there_and_is_truncated(end):
    assert one_after_the_other(STREAM[:end]) == read(STREAM[:end])
    assert "truncated" == read(STREAM[:end])[1]


def test_an_index_of_other_blocks_is_refused():
    fewer = packed("--check=crc32", content=CONTENT[: 3 * BLOCK])
    backward = 4 * (int.from_bytes(fewer[-8:-4], "little") + 1)
    own = 4 * (int.from_bytes(STREAM[-8:-4], "little") + 1)
    mixed = STREAM[: -12 - own] + fewer[-12 - backward :]

    assert (CONTENT, "corrupt") == read(mixed)
    assert "corrupt" == one_after_the_other(mixed)[1]


def test_streams_one_behind_the_other_are_two_members():
    pieces = compression.inflate_members(Compression.XZ, STREAM + STREAM, lambda: b"")

    assert CONTENT + CONTENT == b"".join(pieces)


def test_blocks_with_and_without_sizes_are_not_guessed_at():
    """The first block as it is, then one of a stream without sizes."""
    header = 4 * STREAM[12] + 4
    packed_size, at = xz_blocks._varint(STREAM[12:], 2)
    assert at
    end = 12 + header + packed_size + -packed_size % 4 + 4
    single = lzma.compress(CONTENT, check=lzma.CHECK_CRC32)

    found, fault = read(STREAM[:end] + single[12:])

    assert found.startswith(CONTENT[:BLOCK])
    assert "unsupported" == fault


def test_more_blocks_than_any_honest_file_has_end_it(monkeypatch):
    monkeypatch.setattr(xz_blocks, "_MOST_BLOCKS", 3)

    assert "limit" == read(STREAM)[1]


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_arbitrary_bytes_behind_an_honest_head_raise_nothing_else(tail, seed):
    cut = random.Random(seed).randrange(12, len(STREAM))

    read(STREAM[:cut] + tail)
