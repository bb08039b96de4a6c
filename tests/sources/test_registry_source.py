"""Manifests and blobs read from a registry, whole, broken off and resumed."""

from __future__ import annotations

import pytest
from attrs import evolve

import cosinspect
from cosinspect.blob import read_blob
from cosinspect.errors import (
    DigestMismatch,
    InvalidManifest,
    LimitExceeded,
    SizeMismatch,
    TransportError,
    UnsupportedMediaType,
)
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    ImageIndex,
    Manifest,
    parse_document,
)
from cosinspect.sources.registry import source as registry_module
from cosinspect.testing import Fault, ImageBuilder, Registry, image_index
from registry_client import (
    BLOB,
    BLOB_PATH,
    DESCRIPTOR,
    IMAGE,
    LAYER,
    MANIFEST_PATH,
    client,
    paths,
    read,
    reading,
    serving,
)

# ---- what a good registry gives


def test_a_tag_is_pinned_once_and_its_manifest_is_not_asked_for_again():
    with reading() as (registry, source, _):
        descriptor = source.resolve()

        assert descriptor == Descriptor(IMAGE.media_type, Digest.parse(IMAGE.digest), len(IMAGE.manifest))
        assert source.resolve() is descriptor
        assert read(source, descriptor) == IMAGE.manifest
        assert read(source, descriptor) == IMAGE.manifest
        assert paths(registry) == [MANIFEST_PATH]


def test_a_tag_that_moves_later_does_not_move_the_image():
    with reading() as (registry, source, _):
        descriptor = source.resolve()
        registry.push(ImageBuilder().layer({"other": "x"}).build(), "org/os:v1")

        assert source.resolve() == descriptor
        assert read(source, source.resolve()) == IMAGE.manifest


def test_requests_say_what_they_are_and_what_they_take():
    with reading() as (registry, source, _):
        source.resolve()
        read(source)
        manifest, blob = (request.headers for request in registry.requests)

    assert manifest["Accept"].split(", ") == [*INDEX_TYPES, *MANIFEST_TYPES]
    assert manifest["User-Agent"] == blob["User-Agent"] == f"cosinspect/{cosinspect.__version__}"
    assert manifest["Accept-Encoding"] == blob["Accept-Encoding"] == "identity"
    assert blob["Range"] is None
    assert "Authorization" not in manifest
    assert "Cookie" not in manifest


@pytest.mark.parametrize("size", [1000, 65_536, 10_000_000])
def test_a_blob_comes_as_it_is_in_pieces_no_larger_than_asked_for(size):
    with reading() as (_, source, _):
        assert read(source, size=size) == BLOB


def test_a_blob_that_is_read_in_part_is_let_go_of():
    with reading() as (_, source, _):
        stream = source.open(DESCRIPTOR)
        assert BLOB.startswith(stream.read(100))
        stream.close()
        assert stream.read(100) == b""


def test_an_empty_blob_is_no_special_case():
    empty = IMAGE.replace_blob(IMAGE.layers[0], b"")
    descriptor = evolve(DESCRIPTOR, digest=Digest.of(b""), size=0)
    with Registry() as registry, client(registry) as (source, _):
        registry.push(evolve(empty, blobs={str(descriptor.digest): b"", **empty.blobs}), "org/os:v1")

        assert read(source, descriptor) == b""


def test_an_index_and_its_manifests_are_asked_for_as_manifests():
    index = image_index(IMAGE)
    with Registry() as registry:
        registry.push(index, "org/os:v1")
        with client(registry) as (source, _):
            found = source.resolve()
            document = parse_document(read(source, found), found.media_type)
            assert isinstance(document, ImageIndex)
            (entry,) = document.manifests
            raw = read_blob(source, entry, limit=DEFAULT_LIMITS.manifest_bytes, limit_name="manifest_bytes")

            assert Manifest.from_json(raw, entry.media_type).layers[0].digest == LAYER
        assert paths(registry) == [MANIFEST_PATH, f"/v2/org/os/manifests/{entry.digest}"]


def test_connections_are_used_again():
    seen = set()
    with reading() as (registry, source, _):
        connected = registry._backend.connected
        registry._backend.connected = lambda connection: (
            seen.add(connection.getpeername()),
            connected(connection),
        )
        source.resolve()
        for _ in range(3):
            read(source)

    assert len(seen) == 1


# ---- digests of manifests


def test_a_digest_is_asked_for():
    with reading(name=f"org/os@{IMAGE.digest}") as (registry, source, _):
        assert source.resolve().digest == Digest.parse(IMAGE.digest)
        assert paths(registry) == [f"/v2/org/os/manifests/{IMAGE.digest}"]


@pytest.mark.parametrize("name", [f"org/os@{IMAGE.digest}", f"org/os:v1@{IMAGE.digest}"])
def test_a_manifest_that_is_not_of_the_digest_asked_for_is_refused(name):
    swapped = Fault(content=b"{}", fields={"Docker-Content-Digest": None})
    with (
        reading(swapped, name=name) as (_, source, _),
        pytest.raises(DigestMismatch, match=IMAGE.digest),
    ):
        source.resolve()


def test_a_digest_of_another_algorithm_is_computed_with_it():
    digest = Digest.of(IMAGE.manifest, "sha512")
    named = Fault(content=IMAGE.manifest, code=200, fields={"Docker-Content-Digest": str(digest)})
    with reading(named, name=f"org/os@{digest}") as (_, source, _):
        assert source.resolve().digest == digest
        assert read(source, source.resolve()) == IMAGE.manifest


@pytest.mark.parametrize("stated", [f"sha256:{'0' * 64}", f"sha512:{'0' * 128}", "md5:0", "sha256:../../x"])
def test_a_manifest_that_contradicts_its_digest_header_is_refused(stated):
    fault = Fault.header(MANIFEST_PATH, "Docker-Content-Digest", stated)
    with reading(fault) as (_, source, _), pytest.raises(DigestMismatch):
        source.resolve()


def test_a_registry_need_not_say_the_digest():
    with reading(Fault.header(MANIFEST_PATH, "Docker-Content-Digest", None)) as (_, source, _):
        assert str(source.resolve().digest) == IMAGE.digest


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", UnsupportedMediaType),
        ("application/vnd.oci.image.index.v1+json", InvalidManifest),
        ("text/html", UnsupportedMediaType),
        ("Application/VND.oci.image.manifest.v1+json; charset=utf-8", None),
        ("application/json", None),
    ],
)
def test_the_content_type_is_handed_on(content_type, error):
    with reading(Fault.content_type(MANIFEST_PATH, content_type)) as (_, source, _):
        found = source.resolve()
        raw = read(source, found)
    if error:
        with pytest.raises(error):
            parse_document(raw, found.media_type)
    else:
        assert isinstance(parse_document(raw, found.media_type), Manifest)


@pytest.mark.parametrize("length", [None, "5000"])
def test_a_manifest_is_bounded_with_and_without_its_length(length):
    limits = evolve(DEFAULT_LIMITS, manifest_bytes=1000)
    fault = Fault(content=b" " * 5000, fields={"Content-Length": length})
    with reading(fault, limits=limits) as (_, source, _), pytest.raises(LimitExceeded) as caught:
        source.resolve()

    assert (caught.value.limit, caught.value.bound) == ("manifest_bytes", 1000)


def test_a_manifest_that_is_broken_off_is_asked_for_again():
    with reading(Fault.truncate(MANIFEST_PATH, 10), Fault.drop()) as (registry, source, slept):
        assert read(source, source.resolve()) == IMAGE.manifest
        assert paths(registry) == [MANIFEST_PATH] * 3
        assert slept == [0.5, 1.0]


# ---- blobs that break off


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("length", [True, False])
def test_a_blob_that_breaks_off_is_resumed_where_it_broke(ranges, length):
    cuts = (100_000, 50_000, 120_000) if ranges else (100_000, 50_000, 200_000)
    fields = {} if length else {"Content-Length": None}
    faults = [Fault(path="*/blobs/*", cut=cut, fields=fields) for cut in cuts]
    with reading(*faults, ranges=ranges) as (registry, source, slept):
        assert read(source, size=30_000) == BLOB
        asked = [request.headers["Range"] for request in registry.requests]

    reached = [100_000, 150_000, 270_000] if ranges else [100_000, 100_000, 200_000]
    assert asked == [None, *(f"bytes={position}-" for position in reached)]
    assert slept == [0.5, 1.0, 2.0]


def test_a_blob_that_keeps_breaking_off_is_given_up():
    with reading(Fault.truncate("*/blobs/*", 10, times=None)) as (registry, source, _):
        with pytest.raises(TransportError, match=f"after 40 of {len(BLOB)} bytes") as caught:
            read(source)

        assert len(registry.requests) == 4
        assert caught.value.where == f"{registry.address}/org/os:v1: blob {LAYER}"


def test_a_connection_that_brought_enough_does_not_count_against_the_retries(monkeypatch):
    monkeypatch.setattr(registry_module, "PROGRESS_BYTES", 10_000)
    with reading(Fault.truncate("*/blobs/*", 10_000, times=None)) as (registry, source, slept):
        assert read(source) == BLOB
        assert len(registry.requests) > 20
        assert set(slept) == {0.5}


@pytest.mark.parametrize(
    "content_range", [None, "", "bytes 0-9/10", f"bytes 99999-{len(BLOB) - 1}/*", "bytes 100000-99999999/*", "items 1-2/3"]
)  # fmt: skip
def test_a_range_that_was_not_asked_for_is_refused(content_range):
    part = Fault(path="*/blobs/*", code=206, content=BLOB[100_000:], fields={"Content-Range": content_range})
    with (
        reading(Fault.truncate("*/blobs/*", 100_000), part) as (_, source, _),
        pytest.raises(TransportError, match="ranges"),
    ):
        read(source)


def test_a_resumed_blob_of_another_size_is_refused():
    fields = {"Content-Range": f"bytes 100000-{len(BLOB) - 1}/{len(BLOB) + 1}"}
    other = Fault(path="*/blobs/*", code=206, content=BLOB[100_000:], fields=fields)
    with (
        reading(Fault.truncate("*/blobs/*", 100_000), other) as (_, source, _),
        pytest.raises(SizeMismatch),
    ):
        read(source)
    with (
        reading(Fault.truncate("*/blobs/*", 100_000), Fault.status(416)) as (_, source, _),
        pytest.raises(SizeMismatch, match="no more than 100000"),
    ):
        read(source)


def test_a_part_that_nobody_asked_for_is_refused():
    part = Fault(path="*/blobs/*", code=206, fields={"Content-Range": "bytes 0-9/10"})
    with reading(part) as (_, source, _), pytest.raises(TransportError, match="ranges"):
        source.open(DESCRIPTOR)


@pytest.mark.parametrize("fault", [Fault.oversend(BLOB_PATH, b"more"), Fault.swap(BLOB_PATH, BLOB[:-1])])
def test_a_length_that_is_not_the_descriptors_ends_it_before_a_byte_is_read(fault):
    with (
        reading(fault) as (_, source, _),
        pytest.raises(SizeMismatch, match=f"expected {len(BLOB)} bytes"),
    ):
        source.open(DESCRIPTOR)


def test_one_byte_too_many_is_fetched_and_no_more():
    fault = Fault(path=BLOB_PATH, extra=b"x" * 1000, fields={"Content-Length": None})
    with reading(fault) as (registry, source, _):
        stream = source.open(DESCRIPTOR)
        pieces = list(iter(lambda: stream.read(1_000_000), b""))

        assert b"".join(pieces) == BLOB + b"x"
        assert len(registry.requests) == 1


def chunks(*pieces, end=True):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


def test_a_body_in_chunks_is_read_to_its_end():
    half = len(BLOB) // 2
    with (
        serving(lambda connection, _: connection.sendall(chunks(BLOB[:half], BLOB[half:]))) as address,
        client(address) as (source, _),
    ):
        assert read(source) == BLOB


def test_a_body_in_chunks_that_ends_too_early_is_too_short_and_not_lost():
    with (
        serving(lambda connection, _: connection.sendall(chunks(BLOB[:-1]))) as address,
        client(address) as (source, slept),
        pytest.raises(SizeMismatch),
    ):
        read(source)
    assert slept == []


def test_a_body_in_chunks_that_breaks_off_is_resumed():
    def answer(connection, request):
        if "Range: bytes=1000-" in request:
            rest = len(BLOB) - 1000
            connection.sendall(
                f"HTTP/1.1 206 Partial Content\r\nContent-Length: {rest}\r\n"
                f"Content-Range: bytes 1000-{len(BLOB) - 1}/{len(BLOB)}\r\n\r\n".encode()
                + BLOB[1000:]
            )
        else:
            connection.sendall(chunks(BLOB[:1000], end=False))

    with serving(answer) as address, client(address) as (source, slept):
        assert read(source) == BLOB
        assert slept == [0.5]


def test_a_damaged_blob_is_found_by_its_digest():
    with reading(Fault.corrupt(BLOB_PATH, 1000)) as (_, source, _), pytest.raises(DigestMismatch):
        read(source)


# ---- content codings


def test_a_blob_that_is_only_called_gzip_is_read_as_it_is():
    with reading(Fault.header(BLOB_PATH, "Content-Encoding", "gzip")) as (_, source, _):
        assert read(source) == BLOB


@pytest.mark.parametrize(
    ("path", "ask"), [(MANIFEST_PATH, lambda source: source.resolve()), (BLOB_PATH, read)]
)
def test_an_answer_that_was_compressed_on_its_way_is_refused_by_that_name(path, ask):
    fault = Fault(path=path, content=b"\x1f\x8bcompressed", fields={"Content-Encoding": "gzip"})
    with reading(fault) as (_, source, _), pytest.raises(TransportError, match="content coding 'gzip'"):
        ask(source)
