"""Reading a layer on from its middle: what comes is what a pass from the beginning gives, and never unverified."""

import hashlib
import io
import random
import zlib

import pytest
import zstandard
from attrs import evolve

from cosinspect import open_image
from cosinspect.errors import DigestMismatch, TransportError
from cosinspect.layer import checkpoints
from cosinspect.layer.checkpoints import MOST, Checkpoint, CheckpointRecorder, Checkpoints
from cosinspect.layer.layer import Layer
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest
from cosinspect.testing import ImageBuilder, Registry
from cosinspect.testing.layers import compress
from cosinspect.testing.tar_writer import tar_bytes
from stacks import BytesSource

NOISE = random.Random(3)
FILES = {f"d/{number:03}": NOISE.randbytes(40_000 + number) for number in range(120)}
ARCHIVE = tar_bytes(FILES)


def several(pack):
    """Members of 300,000 bytes, one behind the other."""
    return b"".join(pack(ARCHIVE[at : at + 300_000]) for at in range(0, len(ARCHIVE), 300_000))


BLOBS = {
    "plain": ARCHIVE,
    "gzip": compress(ARCHIVE, "gzip"),
    "gzip, stored": zlib.compress(ARCHIVE, 0, 31),
    "gzip, members": several(lambda data: compress(data, "gzip")),
    "zstd, frames": several(lambda data: compress(data, "zstd")),
    "zstd, skippable frames": several(
        lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0skip" + compress(data, "zstd")
    ),
}


class Ranges(BytesSource):
    """A source that counts what is asked of it."""

    def __init__(self, *blobs):
        super().__init__(*blobs)
        self.whole = 0
        self.parts = []

    def open(self, descriptor):
        self.whole += 1
        return super().open(descriptor)

    def open_range(self, descriptor, start, stop):
        self.parts.append((start, stop))
        return super().open_range(descriptor, start, stop)


@pytest.fixture(autouse=True)
def close_together(monkeypatch):
    monkeypatch.setattr(checkpoints, "SPACING_BYTES", 200_000)


def layer_of(blob, source=Ranges):
    descriptor = Descriptor(OCI_LAYER, Digest.of(blob), len(blob))
    return Layer(descriptor, Digest.of(ARCHIVE), 0, None, source(blob), checkpoints=Checkpoints())


@pytest.mark.parametrize("form", BLOBS)
def test_each_file_is_read_from_near_it(form):
    layer = layer_of(BLOBS[form])
    index = layer.index()
    size = layer.descriptor.size

    for entry in index.entries:
        with layer.open(entry) as stream:
            assert FILES.get(entry.path, b"") == stream.read()

    near = [stop - start for start, stop in layer.source.parts]
    assert len(near) > len(FILES) * 0.9
    assert max(near) < size / 3
    # Those before the first place, the directory among them, and the pass itself.
    assert layer.source.whole < 15


def test_a_frame_has_no_middle():
    layer = layer_of(zstandard.ZstdCompressor().compress(ARCHIVE))
    index = layer.index()

    with layer.open(index.entries[-1]) as stream:
        assert FILES["d/119"] == stream.read()
    assert [] == layer.source.parts


def test_a_layer_that_was_not_read_is_read_from_its_beginning():
    known = layer_of(BLOBS["gzip"]).index().entries
    layer = layer_of(BLOBS["gzip"])

    with layer.open(known[-1]) as stream:
        assert FILES["d/119"] == stream.read()
    assert (1, []) == (layer.source.whole, layer.source.parts)


@pytest.mark.parametrize("form", BLOBS)
def test_bytes_that_are_others_by_now_are_never_taken_for_verified(form):
    layer = layer_of(BLOBS[form])
    entry = layer.index().entries[60]
    with layer.open(entry) as stream:
        stream.read()
    ((start, stop),) = layer.source.parts
    damaged = bytearray(BLOBS[form])
    damaged[(start + stop) // 2] ^= 1
    layer.source.blobs[layer.descriptor.digest] = bytes(damaged)

    with pytest.raises(DigestMismatch), layer.open(entry) as stream:
        stream.read()


def test_a_source_that_serves_no_parts_is_read_from_the_beginning():
    class Whole(Ranges):
        def open_range(self, descriptor, start, stop):
            return None

    layer = layer_of(BLOBS["gzip"], Whole)
    entry = layer.index().entries[60]

    with layer.open(entry) as stream:
        assert FILES[entry.path] == stream.read()
    assert 2 == layer.source.whole


def test_a_pass_that_was_not_verified_leaves_no_places():
    blob = BLOBS["gzip"]
    layer = layer_of(blob)
    layer.source.blobs[layer.descriptor.digest] = blob[:-1] + b"\1"

    with pytest.raises(DigestMismatch):
        layer.index()
    assert layer.checkpoints.around(1 << 20, 1 << 21) is None


def test_there_are_never_more_places_than_are_kept():
    recorder = CheckpointRecorder()
    at = 0
    while at < 3 * MOST * 200_000:
        at += 1000
        if recorder.is_due(at):
            recorder.note(Checkpoint(at, hashlib.sha256(), 0, at))

    assert MOST / 2 - 1 <= len(recorder.places) < MOST
    gaps = {
        after.plain - before.plain
        for before, after in zip(recorder.places, recorder.places[1:], strict=False)
    }
    assert max(gaps) <= 16 * 200_000


def test_from_a_registry_a_file_costs_its_neighbourhood():
    image = ImageBuilder().layer(FILES).build()
    with Registry() as registry:
        name = registry.push(image, "org/os:v1")
        with open_image(name, platform="linux/amd64") as opened:
            rootfs = opened.read_rootfs()
            before = len(registry.requests)
            assert FILES["d/100"] == rootfs.read_bytes("/d/100")
            (asked,) = registry.requests[before:]
        with open_image(name, platform="linux/amd64", restartable=False) as opened:
            rootfs = opened.read_rootfs()
            before = len(registry.requests)
            assert FILES["d/100"] == rootfs.read_bytes("/d/100")
            (again,) = registry.requests[before:]

    assert asked.headers["Range"].startswith("bytes=")
    assert "Range" not in again.headers


def test_a_source_that_fails_in_the_middle_is_told_as_such():
    class Broken(Ranges):
        def open_range(self, descriptor, start, stop):
            stream = super().open_range(descriptor, start, stop)

            return Lost(stream.getvalue())

    layer = layer_of(BLOBS["gzip"], Broken)
    entry = layer.index().entries[60]

    with pytest.raises(TransportError, match="lost"), layer.open(entry) as stream:
        stream.read()


class Lost(io.BytesIO):
    """A stream whose connection is gone."""

    def read(self, size):
        raise TransportError("the connection was lost", where=f"{size} bytes")


def test_evolving_a_layer_shares_its_places():
    layer = layer_of(BLOBS["gzip"])
    layer.index()

    assert evolve(layer, position=1).checkpoints is layer.checkpoints
