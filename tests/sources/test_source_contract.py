"""The contract of `cosinspect.blob.Source`, run by every source: a new transport adds one line to `PLACES`."""

import gzip
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from attrs import evolve

from cosinspect.blob import read_blob
from cosinspect.errors import ContentError, CosinspectError, InvalidImage, InvalidLayout, SourceError
from cosinspect.image.opening import open_source, resolve_digest
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest, parse_document
from cosinspect.oci.reference import Reference, Transport
from cosinspect.sources.config.access import Access
from cosinspect.sources.local.files import ArchiveFiles, DirectoryFiles
from cosinspect.sources.registry.mirrors import Candidate, MirroredSource
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.testing import ImageBuilder, Registry, tar_bytes

IMAGE = (
    ImageBuilder()
    .layer({"which": "first", "noise": bytes(range(256)) * 2000})
    .layer({"etc/motd": "hello"})
    .layer({"empty": ""}, compression="none")
    .build()
)
LAYER = Digest.parse(IMAGE.layers[0])


def mirrored(image, place):
    """A registry that is asked after one that has nothing."""
    parsed = Reference.parse(place.registry.push(image, "org/os:v1"))
    return MirroredSource(
        [
            Candidate("empty", lambda: RegistrySource(evolve(parsed, repository="org/none"))),
            Candidate("own", lambda: RegistrySource(parsed)),
        ]
    )


PLACES = {
    "registry": (Transport.DOCKER, lambda image, at: open_source(at.registry.push(image, "org/os:v1"))),
    "mirrors": (Transport.DOCKER, mirrored),
    "layout": (Transport.OCI, lambda image, at: open_source(image.write_layout(at.path / "layout"))),
    "archive": (Transport.OCI_ARCHIVE, lambda image, at: open_source(image.write_archive(at.path / "o.tar"))),
    "directory": (Transport.DIR, lambda image, at: open_source(image.write_directory(at.path / "dir"))),
    "saved": (
        Transport.DOCKER_ARCHIVE,
        lambda image, at: open_source(
            image.write_docker_archive(at.path / "d.tar", "o/s:1", style="docker25")
        ),
    ),
    "saved by older Docker": (
        Transport.DOCKER_ARCHIVE,
        lambda image, at: open_source(image.write_docker_archive(at.path / "d.tar", "o/s:1", style="legacy")),
    ),
}
MADE_UP = {"saved by older Docker"}
"""Places that keep no manifest and store layers uncompressed: the source makes the manifest up."""


class Place:
    """Where a test puts its image."""

    def __init__(self, path, registry):
        self.path = path
        self.registry = registry


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


@pytest.fixture(params=PLACES)
def place(request):
    return request.param


@pytest.fixture
def source_of(place, tmp_path, registry):
    """Put an image somewhere, and open the source that finds it there."""
    opened = []

    def make(image):
        opened.append(PLACES[place][1](image, Place(tmp_path, registry)))
        return opened[-1]

    yield make
    for source in opened:
        source.close()


def descriptors(source):
    """Every descriptor of an image: of its manifest, configuration and layers."""
    pinned = source.resolve()
    manifest = parse_document(whole(source.open(pinned)), pinned.media_type)
    return [pinned, manifest.config, *manifest.layers]


def whole(stream, portion=1 << 16):
    try:
        return b"".join(iter(lambda: stream.read(portion), b""))
    finally:
        stream.close()


TREE = {"one": b"1" * 700, "d/two": bytes(range(256)) * 300, "empty": b""}


def written(directory):
    for name, data in TREE.items():
        path = directory / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return DirectoryFiles(directory / "files")


def archived(directory, compress=bytes):
    path = directory / "files.tar"
    path.write_bytes(compress(tar_bytes(TREE)))
    return ArchiveFiles(path)


FILES = {
    "directory": written,
    "archive": archived,
    "archive in gzip": lambda directory: archived(directory, gzip.compress),
    "archive in zstd": lambda directory: archived(directory, zstandard.compress),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_are_found_by_name_wherever_they_are(kind, tmp_path):
    """The contract of `cosinspect.sources.local.files.Files`, on which the local sources stand."""
    files = FILES[kind](tmp_path)
    for name, data in TREE.items():
        assert (files.size(name), files.doubt(name)) == (len(data), "")
        assert name in files.describe(name)
        for start in (0, 5, len(data), len(data) + 1):
            assert whole(files.open(name, start)) == data[start:]
    for name in ("none", "d", "d/none", "one/x"):
        assert files.size(name) is None
        with pytest.raises(InvalidLayout):
            files.open(name)


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_every_transport_is_held_to_the_contract():
    assert {transport for transport, _ in PLACES.values()} == set(Transport)


def test_a_name_is_resolved_once_and_means_what_is_there(source_of, place):
    source = source_of(IMAGE)
    pinned = source.resolve()
    assert source.resolve() == pinned
    data = whole(source.open(pinned))
    assert (len(data), digest_of(data)) == (pinned.size, str(pinned.digest))
    if place not in MADE_UP:
        assert str(pinned.digest) == IMAGE.digest


def test_every_blob_comes_byte_for_byte(source_of):
    source = source_of(IMAGE)
    for descriptor in descriptors(source):
        data = whole(source.open(descriptor))
        assert (len(data), digest_of(data)) == (descriptor.size, str(descriptor.digest))


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_no_read_gives_more_than_is_asked_for(source_of, portion):
    source = source_of(IMAGE)
    descriptor = descriptors(source)[1]
    stream = source.open(descriptor)
    parts = list(iter(lambda: stream.read(portion), b""))
    stream.close()
    assert max(map(len, parts)) <= portion
    assert digest_of(b"".join(parts)) == str(descriptor.digest)


def test_a_part_is_that_part_or_is_not_served(source_of):
    source = source_of(IMAGE)
    for descriptor in descriptors(source)[1:]:
        data = whole(source.open(descriptor))
        for start, stop in [(0, 1), (3, min(200, len(data))), (len(data) - 5, len(data))]:
            stream = source.open_range(descriptor, start, stop)
            if stream is not None:
                assert whole(stream) == data[start:stop]


def test_several_threads_read_at_once(source_of):
    source = source_of(IMAGE)
    wanted = descriptors(source) * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: digest_of(whole(source.open(each), 1000)), wanted))
    assert found == [str(each.digest) for each in wanted]


def test_what_is_not_there_is_an_error_of_the_source(source_of):
    source = source_of(IMAGE)
    source.resolve()
    missing = Descriptor(OCI_LAYER, Digest.of(b"nobody has this"), 15)
    with pytest.raises(SourceError):
        whole(source.open(missing))


@pytest.mark.parametrize("place", [each for each in PLACES if each not in MADE_UP], indirect=True)
def test_damage_is_found_by_whoever_reads_and_is_no_fault_of_the_place(source_of):
    """What older Docker saves has no digest of what it stores."""
    data = IMAGE.blobs[str(LAYER)]
    damaged = data[:-20] + bytes(byte ^ 1 for byte in data[-20:])
    source = source_of(IMAGE.replace_blob(IMAGE.layers[0], damaged))
    with pytest.raises(ContentError):
        read_blob(source, descriptors(source)[2], limit=1 << 20, limit_name="config_bytes")


def test_a_stream_may_be_left_early_and_nothing_stays_open(source_of):
    source = source_of(IMAGE)
    wanted = descriptors(source)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    for _ in range(3):
        for descriptor in wanted:
            stream = source.open(descriptor)
            stream.read(1)
            stream.close()
    source.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208 - a registry's connections may wait for their end


def test_an_image_that_is_not_there_is_an_error_that_says_where(place, tmp_path, registry):
    transport, _ = PLACES[place]
    path = tmp_path / "nothing"
    name = (
        f"{registry.address}/org/nothing:v1" if transport is Transport.DOCKER else f"{transport.value}:{path}"
    )
    with pytest.raises((SourceError, InvalidImage)) as caught:
        resolve_digest(name, access=Access())
    assert isinstance(caught.value, CosinspectError)
    assert "nothing" in str(caught.value)
