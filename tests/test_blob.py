"""Blobs verified to their last byte, and layers inflated, bounded and verified to theirs."""

import gzip
import hashlib
import io
import random
import struct
import threading
import time
import tracemalloc

import pytest
import zstandard
from attrs import evolve

from cosinspect.blob import VerifiedStream, read_blob
from cosinspect.compression.codecs import Compression
from cosinspect.errors import (
    ContentError,
    CosinspectError,
    DiffIDMismatch,
    DigestMismatch,
    InvalidLayer,
    LimitExceeded,
    SizeMismatch,
    TransportError,
)
from cosinspect.layer.stream import LayerStream
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest
from cosinspect.testing import tar_bytes
from cosinspect.testing.layers import compress
from stacks import BytesSource

CONTENT = random.Random(1).randbytes(700_000)
MIB = 1 << 20


def gzipped(content):
    return gzip.compress(content, mtime=0)  # without a clock, for names of tests are made of it


class Pieces:
    """A stream that gives these pieces, cut where more than what was asked for is in one."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.closed = False

    def read(self, size):
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]

    def close(self):
        self.closed = True


class Broken(Pieces):
    """A stream whose connection is lost behind its pieces."""

    def read(self, size):
        if not self.pieces:
            raise TransportError("the connection was lost")
        return super().read(size)


def described(data, algorithm="sha256"):
    return Descriptor(OCI_LAYER, Digest.of(data, algorithm), len(data))


def stream_of(*pieces, meant=None, algorithm="sha256"):
    return VerifiedStream(Pieces(*pieces), described(b"".join(pieces) if meant is None else meant, algorithm))


# -- blobs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [1, 1000, 10 * MIB])
def test_a_right_blob_is_read_whole(algorithm, size):
    content = CONTENT[:5000]
    stream = stream_of(content[:7], content[7:4000], content[4000:], algorithm=algorithm)
    assert content == b"".join(iter(lambda: stream.read(size), b""))
    assert len(content) == stream.position
    stream.finish()


def test_an_empty_blob_is_one():
    assert b"" == stream_of().read()
    assert b"" == read_blob(BytesSource(b""), described(b""), limit=0, limit_name="x")


@pytest.mark.parametrize("missing", [1, 100, 5000])
def test_a_blob_that_is_too_short_is_an_error_at_its_end(missing):
    stream = stream_of(CONTENT[: 5000 - missing], meant=CONTENT[:5000])
    with pytest.raises(SizeMismatch, match=f"expected 5000 bytes, found {5000 - missing}"):
        stream.finish()


def test_a_blob_that_is_too_long_is_an_error_before_the_rest_is_read():
    raw = Pieces(CONTENT[:5000], b"x", CONTENT)
    stream = VerifiedStream(raw, described(CONTENT[:5000]))
    with pytest.raises(SizeMismatch, match="expected 5000 bytes, found more"):
        stream.finish()
    assert [CONTENT] == raw.pieces


@pytest.mark.parametrize("at", [0, 2500, 4999])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_changed_byte_is_an_error_wherever_it_is(at, algorithm):
    content = CONTENT[:5000]
    changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    stream = stream_of(changed, meant=content, algorithm=algorithm)
    with pytest.raises(DigestMismatch) as raised:
        stream.finish()
    assert str(Digest.of(content, algorithm)) in str(raised.value)
    assert str(Digest.of(changed, algorithm)) in str(raised.value)


def test_nothing_is_verified_before_the_end_was_read():
    stream = stream_of(CONTENT[:10], b"wrong", meant=CONTENT[:15])
    assert CONTENT[:10] == stream.read(10)
    assert b"wrong" == stream.read(10)
    with pytest.raises(DigestMismatch):
        stream.read(10)


@pytest.mark.parametrize("wrong", [CONTENT[:4999], CONTENT[1:5001], CONTENT[:5001]])
def test_an_error_comes_again_for_whoever_did_not_heed_it(wrong):
    stream = stream_of(wrong, meant=CONTENT[:5000])
    for _ in range(3):
        with pytest.raises(ContentError):
            stream.finish()


def test_finish_reads_what_was_left():
    stream = stream_of(CONTENT[:10], b"wrong", meant=CONTENT[:15])
    stream.read(3)
    with pytest.raises(DigestMismatch):
        stream.finish()


def test_closing_closes_what_it_came_from_and_verifies_nothing():
    raw = Pieces(b"wrong")
    with VerifiedStream(raw, described(b"right")) as stream:
        stream.read()
    assert raw.closed


def test_a_small_blob_is_given_whole_and_only_when_it_is_right():
    source = BytesSource(CONTENT)
    assert CONTENT == read_blob(source, described(CONTENT), limit=len(CONTENT), limit_name="x")
    source.blobs[Digest.of(CONTENT)] = CONTENT[:-1] + b"x"
    with pytest.raises(DigestMismatch):
        read_blob(source, described(CONTENT), limit=len(CONTENT), limit_name="x")


def test_a_blob_beyond_its_bound_is_not_even_asked_for():
    with pytest.raises(LimitExceeded) as raised:
        read_blob(BytesSource(), described(CONTENT), limit=len(CONTENT) - 1, limit_name="config_bytes")
    assert ("config_bytes", len(CONTENT) - 1) == (raised.value.limit, raised.value.bound)


# -- layers --------------------------------------------------------------------------------------------------------


def layer(blob, plain=None, *, limits=DEFAULT_LIMITS, piece=100_000, **options):
    """A layer stream over a blob that is what its descriptor says, with the diff_id of `plain`."""
    pieces = [blob[at : at + piece] for at in range(0, len(blob), piece)]
    diff_id = None if plain is None else Digest.of(plain)
    return LayerStream(VerifiedStream(Pieces(*pieces), described(blob)), diff_id, limits=limits, **options)


def skippable(size, number=0):
    return struct.pack("<II", 0x184D2A50 + number, size) + b"s" * size


def unsized(content):
    """A zstd frame that does not say how large its content is."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(content) + stream.flush()


HALF = len(CONTENT) // 2
WAYS = {
    "plain": CONTENT,
    "gzip": gzipped(CONTENT),
    "gzip with a name": b"\x1f\x8b\x08\x08" + gzipped(CONTENT)[4:10] + b"layer.tar\0" + gzipped(CONTENT)[10:],
    "gzip, two members": gzipped(CONTENT[:HALF]) + gzipped(CONTENT[HALF:]),
    "gzip, many members": b"".join(gzipped(CONTENT[at : at + 999]) for at in range(0, len(CONTENT), 999)),
    "gzip, empty members": gzipped(b"") * 3 + gzipped(CONTENT) + gzipped(b"") * 3,
    "gzip, padded": gzipped(CONTENT) + bytes(100_000),
    "gzip, padded between": gzipped(CONTENT[:HALF]) + bytes(7) + gzipped(CONTENT[HALF:]) + bytes(1),
    "zstd": zstandard.compress(CONTENT),
    "zstd, no size": unsized(CONTENT),
    "zstd, two frames": zstandard.compress(CONTENT[:HALF]) + zstandard.compress(CONTENT[HALF:]),
    "zstd, many frames": b"".join(zstandard.compress(CONTENT[at : at + 999]) for at in range(0, len(CONTENT), 999)),
    "zstd, skippable first": skippable(0) + skippable(5, 3) + zstandard.compress(CONTENT),
    "zstd, skippable between": unsized(CONTENT[:HALF]) + skippable(300_000, 15) + zstandard.compress(CONTENT[HALF:]),
    "zstd, skippable last": zstandard.compress(CONTENT) + skippable(40),
    "zstd, padded": zstandard.compress(CONTENT) + bytes(513),
}  # fmt: skip


@pytest.mark.parametrize("blob", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("piece", [100_000, 4096, 1013])
def test_a_layer_is_the_same_however_it_is_stored_and_however_it_arrives(blob, piece):
    stream = layer(blob, CONTENT, piece=piece)
    pieces = list(stream)
    assert CONTENT == b"".join(pieces)
    assert all(pieces)  # an empty one would be taken for the end
    assert len(CONTENT) == stream.uncompressed_size


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_layer_that_arrives_byte_by_byte_is_the_same(name):
    plain = CONTENT[:3000]
    blob = gzipped(plain) if name == "gzip" else zstandard.compress(plain)
    assert plain == b"".join(layer(blob, plain, piece=1))


def test_the_compression_is_told_by_the_bytes_and_never_by_the_media_type():
    for name, kind in {"plain": None, "gzip": Compression.GZIP, "zstd": Compression.ZSTD}.items():
        for said in (OCI_LAYER, OCI_LAYER + "+gzip", OCI_LAYER + "+zstd"):
            descriptor = evolve(described(WAYS[name]), media_type=said)
            stream = LayerStream(VerifiedStream(Pieces(WAYS[name]), descriptor), Digest.of(CONTENT))
            stream.finish()
            assert kind is stream.compression


@pytest.mark.parametrize("blob", [b"", b"a", b"\x1f", b"abcde"])
def test_a_layer_shorter_than_any_magic_number_is_plain(blob):
    stream = layer(blob, blob)
    assert blob == b"".join(stream)
    assert stream.compression is None


@pytest.mark.parametrize(
    "trailing",
    [b"x", b"junk behind the end", b"\0\0\0x", bytes(5000) + b"x", zstandard.compress(b"x"), b"BZh91AY"],
)
def test_what_stands_behind_gzip_and_is_none_is_an_error(trailing):
    with pytest.raises(InvalidLayer, match="expected another gzip member or the end"):
        layer(WAYS["gzip"] + trailing, CONTENT).finish()


@pytest.mark.parametrize("trailing", [b"x", b"\0\0\0x", gzipped(b"x"), b"\x28\xb5\x2f"])
def test_what_stands_behind_zstd_and_is_none_is_an_error(trailing):
    with pytest.raises(InvalidLayer, match="expected another zstd member or the end"):
        layer(WAYS["zstd"] + trailing, CONTENT).finish()


@pytest.mark.parametrize("trailing", [b"\x1f\x8b", b"\x1f\x8b\x08\0", gzipped(b"more")[:-1]])
def test_a_member_that_ends_early_is_an_error_even_if_it_is_the_second(trailing):
    with pytest.raises(InvalidLayer, match="ends in the middle"):
        layer(WAYS["gzip"] + trailing, CONTENT).finish()


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd, no size", "gzip, many members"])
@pytest.mark.parametrize("cut", [1, 7, 1000, HALF])
def test_a_layer_that_was_published_too_short_is_an_error(name, cut):
    with pytest.raises(InvalidLayer):
        layer(WAYS[name][:-cut], CONTENT).finish()


@pytest.mark.parametrize("name", ["xz", "bzip2"])
def test_compressions_that_no_runtime_reads_are_refused_by_name(name):
    blob = {"xz": b"\xfd7zXZ\x00" + CONTENT, "bzip2": b"BZh91AY" + CONTENT}[name]
    with pytest.raises(InvalidLayer, match=f"expected gzip, zstd or no compression, found {name}"):
        layer(blob, blob).finish()


@pytest.mark.parametrize("blob", WAYS.values(), ids=WAYS)
def test_a_layer_that_is_not_what_the_configuration_names_is_an_error(blob):
    with pytest.raises(DiffIDMismatch) as raised:
        layer(blob, CONTENT + b"x").finish()
    assert str(Digest.of(CONTENT)) in str(raised.value)


def test_a_diff_id_may_be_of_another_algorithm_or_left_unchecked():
    stream = LayerStream(stream_of(CONTENT), Digest.of(CONTENT, "sha512"))
    stream.finish()
    stream = LayerStream(stream_of(CONTENT), Digest.of(b"", "sha512"))
    with pytest.raises(DiffIDMismatch, match="sha512:" + hashlib.sha512(CONTENT).hexdigest()):
        stream.finish()
    layer(WAYS["gzip"], None).finish()


# -- whose fault it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("at", [0, 3, 5000, -9, -1])
def test_a_changed_byte_is_the_blobs_fault_and_not_the_layers(blob, at):
    changed = bytearray(blob)
    changed[at] ^= 0x55
    stream = LayerStream(VerifiedStream(Pieces(bytes(changed)), described(blob)), Digest.of(CONTENT))
    with pytest.raises(ContentError) as raised:
        stream.finish()
    assert isinstance(raised.value, DigestMismatch)


@pytest.mark.parametrize("blob", WAYS.values(), ids=WAYS)
def test_a_blob_that_was_cut_on_its_way_is_the_blobs_fault(blob):
    stream = LayerStream(VerifiedStream(Pieces(blob[:-3]), described(blob)), Digest.of(CONTENT))
    with pytest.raises(SizeMismatch):
        stream.finish()


@pytest.mark.parametrize("blob", WAYS.values(), ids=WAYS)
def test_a_lost_connection_is_the_sources_fault(blob):
    stream = LayerStream(VerifiedStream(Broken(blob[: len(blob) // 2]), described(blob)), Digest.of(CONTENT))
    with pytest.raises(TransportError):
        stream.finish()


def test_damage_that_was_published_is_the_layers_fault_and_says_where():
    damaged = bytearray(WAYS["gzip"])
    damaged[300_000] ^= 0xFF
    with pytest.raises(InvalidLayer, match="compressed byte") as raised:
        layer(bytes(damaged), CONTENT).finish()
    assert str(Digest.of(bytes(damaged))) in str(raised.value)


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (lambda: layer(WAYS["gzip"] + b"junk", CONTENT), InvalidLayer),
        (lambda: layer(WAYS["gzip"][:-1], CONTENT), InvalidLayer),
        (lambda: layer(CONTENT, b""), DiffIDMismatch),
        (lambda: layer(CONTENT, CONTENT, limits=evolve(DEFAULT_LIMITS, inflated_bytes=10)), LimitExceeded),
        (lambda: LayerStream(stream_of(CONTENT, meant=CONTENT[1:] + b"x"), None), DigestMismatch),
    ],
)
def test_a_layer_that_failed_once_never_passes(stream, kind):
    failing = stream()
    with pytest.raises(kind):
        list(failing)
    for _ in range(2):
        with pytest.raises(kind):
            failing.finish()


def test_closing_a_layer_closes_what_it_came_from():
    raw = Pieces(CONTENT)
    LayerStream(VerifiedStream(raw, described(CONTENT)), None).close()
    assert raw.closed


def test_reading_is_cancelled_from_outside():
    cancelled = threading.Event()
    stream = layer(CONTENT, CONTENT, cancelled=cancelled)
    next(stream)
    cancelled.set()
    with pytest.raises(TransportError, match="cancelled"):
        stream.finish()


# -- bounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "gzip", "zstd"])
def test_a_layer_may_have_as_many_bytes_as_it_may_and_not_one_more(name):
    layer(WAYS[name], CONTENT, limits=evolve(DEFAULT_LIMITS, inflated_bytes=len(CONTENT))).finish()
    with pytest.raises(LimitExceeded) as raised:
        layer(WAYS[name], CONTENT, limits=evolve(DEFAULT_LIMITS, inflated_bytes=len(CONTENT) - 1)).finish()
    assert ("inflated_bytes", len(CONTENT) - 1) == (raised.value.limit, raised.value.bound)


def bomb(kind, mebibytes):
    """Zeros, compressed as far as they go, made without ever having them all."""
    if kind == "zstd":
        stream = zstandard.ZstdCompressor(level=3).compressobj()
        return b"".join(stream.compress(bytes(MIB)) for _ in range(mebibytes)) + stream.flush()
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6) as stream:
        for _ in range(mebibytes):
            stream.write(bytes(MIB))
    return out.getvalue()


@pytest.fixture(scope="module")
def bombs():
    return {kind: bomb(kind, 200) for kind in ("gzip", "zstd")}


def test_a_zstd_bomb_is_told_by_its_ratio(bombs):
    assert len(bombs["zstd"]) < 10_000
    limits = evolve(DEFAULT_LIMITS, inflated_ratio=1100)
    stream = layer(bombs["zstd"], limits=limits)
    with pytest.raises(LimitExceeded) as raised:
        stream.finish()
    assert ("inflated_ratio", 1100) == (raised.value.limit, raised.value.bound)
    assert stream.uncompressed_size < 64 * MIB


def test_a_gzip_bomb_is_told_by_its_size(bombs):
    stream = layer(bombs["gzip"], limits=evolve(DEFAULT_LIMITS, inflated_bytes=50 * MIB))
    with pytest.raises(LimitExceeded, match="raise the limit"):
        stream.finish()
    assert stream.uncompressed_size <= 51 * MIB


def test_a_small_layer_of_zeros_is_no_bomb():
    plain = bytes(10 * MIB)
    layer(zstandard.compress(plain), plain).finish()


def test_a_window_larger_than_it_may_be_is_a_limit_and_no_damage():
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = stream.compress(CONTENT) + stream.flush()
    with pytest.raises(LimitExceeded) as raised:
        layer(blob, CONTENT).finish()
    assert ("zstd_window_bytes", 128 * MIB) == (raised.value.limit, raised.value.bound)
    layer(blob, CONTENT, limits=evolve(DEFAULT_LIMITS, zstd_window_bytes=256 * MIB)).finish()


@pytest.mark.parametrize(("kind", "most"), [("gzip", 8 * MIB), ("zstd", 48 * MIB)])
def test_memory_stays_small_however_much_a_layer_inflates_to(bombs, kind, most):
    limits = evolve(DEFAULT_LIMITS, inflated_ratio=1 << 30)
    stream = layer(bombs[kind], limits=limits)
    tracemalloc.start()
    try:
        stream.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 200 * MIB == stream.uncompressed_size
    assert peak < most


@pytest.mark.parametrize("member", [gzipped(b""), zstandard.compress(b""), skippable(0)])
def test_a_great_many_empty_members_take_time_in_proportion_to_their_bytes(member):
    def took(size):
        stream = layer(member * (size // len(member)), piece=MIB)
        start = time.process_time()
        stream.finish()
        return time.process_time() - start

    took(10_000)
    # Four times the bytes: four times the time, with room for noise, where the square would be sixteen.
    assert took(MIB) < 10 * max(took(MIB // 4), 0.01)


def test_what_a_layer_holds_is_of_no_concern_here():
    plain = tar_bytes({"etc/motd": "hello"})
    assert plain == b"".join(layer(compress(plain, "gzip"), plain))
    with pytest.raises(CosinspectError):
        layer(compress(plain, "gzip"), b"x").finish()
