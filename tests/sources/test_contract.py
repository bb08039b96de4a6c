"""The contract of `cosinspect.blob.Source`: every source passes the same tests, by the name of its transport."""

import threading

import pytest

from cosinspect.blob import read_blob
from cosinspect.deadline import Deadline
from cosinspect.errors import CosinspectError
from cosinspect.image import opening
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Descriptor, Digest, Manifest
from cosinspect.oci.reference import ImageName
from cosinspect.sources.config.access import Access
from cosinspect.testing import ImageBuilder, Registry

IMAGE = ImageBuilder().layer({"etc/motd": "hello\n"}).layer({"big": bytes(range(256)) * 400}).build()
LIMIT = 1 << 22


def registry(_, request):
    served = Registry()
    request.addfinalizer(served.close)
    return served.__enter__().push(IMAGE, "org/os:v1")


SOURCES = {
    "docker": registry,
    "oci": lambda directory, _: IMAGE.write_layout(directory / "layout"),
    "oci-archive": lambda directory, _: IMAGE.write_archive(directory / "os.tar"),
    "docker-archive": lambda directory, _: IMAGE.write_docker_archive(directory / "os.tar", "org/os:v1"),
    "dir": lambda directory, _: IMAGE.write_directory(directory / "dir"),
}
"""For each transport: writes or serves the image, and returns its name."""


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    name = ImageName.parse(SOURCES[request.param](tmp_path, request))
    found = opening._source(name, Access(), DEFAULT_LIMITS, Deadline(30))
    yield found
    found.close()


@pytest.fixture
def manifest(source):
    descriptor = source.resolve()
    return Manifest.from_json(
        read_blob(source, descriptor, limit=LIMIT, limit_name="manifest_bytes"), descriptor.media_type
    )


def drained(stream):
    parts = []
    while part := stream.read(1000):
        parts.append(part)
    stream.close()
    return b"".join(parts)


def test_resolving_twice_gives_the_same_descriptor(source):
    assert source.resolve() == source.resolve()


def test_every_blob_has_the_bytes_of_its_descriptor(source, manifest):
    for descriptor in (manifest.config, *manifest.layers):
        body = drained(source.open(descriptor))
        assert descriptor.size == len(body)
        assert descriptor.digest == Digest.of(body)


def test_a_range_has_exactly_its_bytes_or_the_source_has_none(source, manifest):
    descriptor = manifest.layers[-1]
    whole = drained(source.open(descriptor))
    stream = source.open_range(descriptor, 10, 200)
    assert stream is None or whole[10:200] == drained(stream)


def test_an_unknown_blob_is_an_error_of_ours(source):
    source.resolve()
    unknown = Descriptor("application/octet-stream", Digest.of(b"unknown"), 7)
    with pytest.raises(CosinspectError):
        drained(source.open(unknown))


def test_a_stream_that_is_closed_early_leaves_the_source_usable(source, manifest):
    stream = source.open(manifest.layers[0])
    stream.read(1)
    stream.close()
    assert drained(source.open(manifest.layers[0]))


def test_several_threads_may_read_at_once(source, manifest):
    found, errors = [], []

    def read():
        try:
            found.append([Digest.of(drained(source.open(layer))) for layer in manifest.layers])
        except CosinspectError as fault:
            errors.append(fault)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [] == errors
    assert [[layer.digest for layer in manifest.layers]] * 4 == found


def test_closing_twice_does_nothing(source):
    source.resolve()
    source.close()
    source.close()
