"""From what a name resolves to, to one image: documents verified, a platform chosen, layers matched with their diff_ids."""

import hashlib
import io
import json
import os
import threading

import pytest
from attrs import evolve

from cosinspect.errors import (
    CosinspectError,
    DiffIDMismatch,
    DigestMismatch,
    InvalidImage,
    InvalidManifest,
    LimitExceeded,
    NoMatchingPlatform,
    SizeMismatch,
    SourceError,
    UnsupportedMediaType,
)
from cosinspect.image.image import Image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Descriptor, Digest, Platform
from cosinspect.testing import ImageBuilder, Whiteout, digest_of, image_index

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
AMD64 = Platform("linux", "amd64")


class Memory:
    """A source that holds what was built, counts what it is asked for, and calls it what it is told to."""

    def __init__(self, built, *, media_type=None, size=None):
        self.built = built
        self.media_type = built.media_type if media_type is None else media_type
        self.size = len(built.manifest) if size is None else size
        self.asked = []
        self.closed = False

    def resolve(self):
        return Descriptor(self.media_type, Digest.parse(self.built.digest), self.size)

    def open(self, descriptor):
        self.asked.append(str(descriptor.digest))
        if str(descriptor.digest) not in self.built.blobs:
            raise SourceError("not there")
        return io.BytesIO(self.built.blobs[str(descriptor.digest)])

    def close(self):
        self.closed = True


def image_of(built, **options):
    return Image.open("name", Memory(built), **options)


def small(platform="linux/amd64", **options):
    """An image whose only file says its platform."""
    return ImageBuilder(platform=platform, **options).layer({"platform": platform}).build()


def attestation(image):
    """What BuildKit puts beside an image: a manifest that is none of an image, for the platform unknown/unknown."""
    built = ImageBuilder(platform="unknown/unknown")
    return built.raw_layer(image.manifest, media_type="application/vnd.in-toto+json").build()


def signature(name="signature"):
    """A manifest of another kind of artifact."""
    raw = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/x",
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": digest_of(b"{}"),
                "size": 2,
            },
            "layers": [],
            "annotations": {"name": name},
        }
    ).encode()
    return small().with_manifest(raw)


def without_platforms(document):
    for item in document["manifests"]:
        item.pop("platform", None)


def shown(image):
    return image.read_rootfs().read_text("/platform")


def refused(built, kind, match=None, **options):
    with pytest.raises(kind, match=match) as raised:
        image_of(built, **options)
    assert type(raised.value) is kind
    return raised.value


# -- one image -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_types", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_an_image_has_all_its_parts(media_types, compression):
    base = ImageBuilder(media_types=media_types).layer(
        {"a": "1", "b": "2"}, compression=compression, created_by="one"
    )
    built = (
        base.empty_layer("ENV x").layer({"a": Whiteout()}, compression=compression, created_by="two").build()
    )
    source = Memory(built)
    with Image.open("name", source) as image:
        assert (built.digest, None, AMD64) == (str(image.digest), image.index_digest, image.platform)
        assert built.manifest == image.manifest.raw
        assert built.config == image.config.raw
        assert list(built.layers) == [str(layer.descriptor.digest) for layer in image.layers]
        assert [(0, "one"), (1, "two")] == [(layer.position, layer.created_by) for layer in image.layers]
        assert ["b"] == image.read_rootfs().listdir("/")
        assert not source.closed
    assert source.closed


def test_an_image_without_layers_is_an_empty_tree():
    assert [] == image_of(ImageBuilder().build()).read_rootfs().listdir("/")


def test_a_layer_that_comes_twice_is_read_once():
    base = ImageBuilder().layer({"a": "1"}).layer({"a": Whiteout()}).layer({"a": "1"})
    source = Memory(base.build())
    assert ["a"] == Image.open("name", source).read_rootfs().listdir("/")
    assert 1 == source.asked.count(source.built.layers[0])


def test_the_media_type_may_be_left_to_the_document():
    for told in ("", "application/octet-stream"):
        assert AMD64 == Image.open("name", Memory(small(), media_type=told)).platform


@pytest.mark.parametrize("more", [1, -1])
def test_the_size_that_the_source_tells_must_be_right(more):
    built = small()
    with pytest.raises(SizeMismatch):
        Image.open("name", Memory(built, size=len(built.manifest) + more))


@pytest.mark.parametrize(
    ("own", "wanted"),
    [("linux/arm64", "linux/amd64"), ("linux/arm/v7", "linux/arm/v6"), ("windows/amd64", "linux/amd64")],
)
def test_an_image_that_is_alone_must_not_contradict_a_platform_that_was_asked_for(own, wanted):
    built = small(own)
    fault = refused(built, NoMatchingPlatform, platform=Platform.parse(wanted))
    assert own in str(fault)
    # Nobody asked: then it is what it is, on any machine.
    assert own == str(image_of(built).platform)


@pytest.mark.parametrize(
    ("own", "wanted"),
    [("linux/amd64", "linux/amd64"), ("linux/amd64", "linux/amd64/v3"), ("linux/arm/v6", "linux/arm/v7")],
)
def test_an_image_that_is_alone_may_serve_a_better_machine(own, wanted):
    assert own == str(image_of(small(own), platform=Platform.parse(wanted)).platform)


def test_an_image_that_says_no_platform_contradicts_none():
    built = ImageBuilder().layer({"a": ""}).edit_config(lambda config: config.pop("architecture")).build()
    assert image_of(built, platform=AMD64).platform is None


@pytest.mark.parametrize("change", [-1, 1])
def test_layers_and_diff_ids_are_as_many(change):
    def edit(config):
        ids = config["rootfs"]["diff_ids"]
        config["rootfs"]["diff_ids"] = ids + ids[:1] if change > 0 else ids[:-1]

    built = ImageBuilder().layer({"a": "1"}).layer({"b": "2"}).edit_config(edit).build()
    assert "found 2" in str(refused(built, InvalidManifest))


def test_a_configuration_that_belongs_to_other_layers_is_told_when_they_are_read():
    built = ImageBuilder().layer({"a": "1"}, diff_id=digest_of(b"other")).build()
    image = image_of(built)
    with pytest.raises(DiffIDMismatch):
        image.read_rootfs()
    assert ["a"] == image_of(built, verify_diff_ids=False).read_rootfs().listdir("/")


def test_layers_in_another_order_are_told_when_they_are_read():
    built = ImageBuilder().layer({"a": "1"}).layer({"b": "2"})
    with pytest.raises(DiffIDMismatch):
        image_of(built.edit_manifest(lambda manifest: manifest["layers"].reverse()).build()).read_rootfs()


def test_an_artifact_is_no_image():
    refused(signature(), UnsupportedMediaType, "artifact")


def test_what_is_missing_is_the_sources_fault():
    built = small()
    for digest in (built.digest, built.config_digest):
        with pytest.raises(SourceError):
            Image.open("name", Memory(built.replace_blob(digest, None)))
    with pytest.raises(SourceError):
        image_of(built.replace_blob(built.layers[0], None)).read_rootfs()


@pytest.mark.parametrize("limit", ["manifest_bytes", "config_bytes"])
def test_a_document_beyond_its_bound_is_not_read(limit):
    built = small()
    size = len(built.manifest if limit == "manifest_bytes" else built.config)
    image_of(built, limits=evolve(DEFAULT_LIMITS, **{limit: size}))
    fault = refused(built, LimitExceeded, limits=evolve(DEFAULT_LIMITS, **{limit: size - 1}))
    assert (limit, size - 1) == (fault.limit, fault.bound)


def test_an_image_has_as_many_layers_as_it_may_and_not_one_more():
    built = ImageBuilder().layer({"a": "1"}).layer({"b": "2"}).build()
    image_of(built, limits=evolve(DEFAULT_LIMITS, layers=2))
    assert "layers" == refused(built, LimitExceeded, limits=evolve(DEFAULT_LIMITS, layers=1)).limit


def test_one_damaged_layer_among_many_fails_the_whole():
    base = ImageBuilder()
    for number in range(12):
        base = base.layer({f"f{number}": bytes([number]) * 100_000})
    built = base.build()
    for digest in built.layers:
        image = image_of(built.replace_blob(digest, built.blobs[digest][:-1] + b"x"))
        with pytest.raises(DigestMismatch, match=digest):
            image.read_rootfs()


# -- indexes -------------------------------------------------------------------------------------------------------

ARM64, ARM_V6, ARM_V7, RISCV = "linux/arm64", "linux/arm/v6", "linux/arm/v7", "linux/riscv64"


@pytest.mark.parametrize("media_types", ["oci", "docker"])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        (ARM64, ARM64),
        ("linux/arm64/v8", ARM64),
        ("linux/arm", ARM_V7),
        (ARM_V6, ARM_V6),
    ],
)
def test_an_image_is_chosen_from_an_index(media_types, wanted, expected):
    images = [small(platform, media_types=media_types) for platform in (ARM_V6, "linux/amd64", ARM_V7, ARM64)]
    built = image_index(*images, media_types=media_types)
    image = image_of(built, platform=Platform.parse(wanted))
    assert expected == shown(image) == str(image.platform)
    assert built.digest == str(image.index_digest)
    assert str(image.digest) in {item.digest for item in images}


def test_the_host_chooses_where_nobody_does(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert RISCV == shown(image_of(image_index(small(), small(RISCV))))


def test_where_there_is_no_image_for_a_platform_the_error_names_those_there_are():
    built = image_index(small(), small(ARM64), attestation(small()))
    fault = refused(built, NoMatchingPlatform, platform=Platform.parse(RISCV))
    assert "linux/amd64, linux/arm64" in str(fault)
    assert "unknown" not in str(fault)


def test_attestations_beside_an_image_are_passed_over():
    built = image_index(attestation(small()), small(), attestation(small()))
    assert "linux/amd64" == shown(image_of(built, platform=AMD64))


def test_an_index_in_an_index_is_searched_too():
    inner = image_index(small(ARM64), small())
    built = image_index(image_index(small(RISCV)), inner)
    image = image_of(built, platform=AMD64)
    assert "linux/amd64" == shown(image)
    assert built.digest == str(image.index_digest)


def test_an_entry_that_says_its_platform_goes_before_an_index_that_does_not():
    other = ImageBuilder().layer({"platform": "nested"}).build()
    assert "linux/amd64" == shown(image_of(image_index(image_index(other), small()), platform=AMD64))


def test_where_nothing_serves_the_error_names_platforms_of_inner_indexes_too():
    built = image_index(image_index(small(ARM64)), image_index(small(RISCV)))
    fault = refused(built, NoMatchingPlatform, platform=AMD64)
    assert "linux/arm64, linux/riscv64" in str(fault)


def test_entries_that_say_no_platform_are_asked_for_it():
    built = image_index(small(ARM64), small(RISCV), small(), edit=without_platforms)
    assert "linux/amd64" == shown(image_of(built, platform=AMD64))
    assert "linux/arm64, linux/riscv64" in str(
        refused(
            image_index(small(ARM64), small(RISCV), edit=without_platforms),
            NoMatchingPlatform,
            platform=AMD64,
        )
    )


def test_artifacts_beside_images_are_passed_over():
    built = image_index(signature(), small(), edit=without_platforms)
    assert "linux/amd64" == shown(image_of(built, platform=AMD64))


def test_an_index_of_nothing_but_artifacts_is_no_image():
    built = image_index(signature("a"), signature("b"), edit=without_platforms)
    refused(built, UnsupportedMediaType, "artifact", platform=AMD64)


def test_an_artifact_for_the_platform_itself_is_an_error():
    def edit(document):
        document["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}

    refused(image_index(signature(), edit=edit), UnsupportedMediaType, "artifact", platform=AMD64)


def test_an_empty_index_has_no_image():
    refused(image_index(), NoMatchingPlatform, platform=AMD64)


def test_an_index_that_lies_about_a_media_type_is_refused():
    def edit(document):
        document["manifests"][0]["mediaType"] = OCI_INDEX

    refused(image_index(small(), edit=edit), InvalidManifest, "CVE-2021-41190", platform=AMD64)


@pytest.mark.parametrize("field", ["digest", "size"])
def test_an_index_that_lies_about_a_manifest_is_refused(field):
    def edit(document):
        entry = document["manifests"][0]
        entry[field] = digest_of(b"x") if field == "digest" else entry["size"] + 1

    with pytest.raises(CosinspectError) as raised:
        image_of(image_index(small(), edit=edit), platform=AMD64)
    assert isinstance(raised.value, SourceError if field == "digest" else SizeMismatch)


def nested(image, depth):
    for _ in range(depth):
        image = image_index(image)
    return image


def test_indexes_are_nested_as_deeply_as_they_may_and_not_one_more():
    limits = evolve(DEFAULT_LIMITS, index_depth=3)
    assert "linux/amd64" == shown(image_of(nested(small(), 3), platform=AMD64, limits=limits))
    assert "index_depth" == refused(nested(small(), 4), LimitExceeded, platform=AMD64, limits=limits).limit


def test_an_index_that_multiplies_itself_is_looked_at_once():
    # Three levels that name the next one a hundred times each are a million ways to the bottom.
    def repeat(document):
        document["manifests"] *= 100

    built = small(ARM64)
    for _ in range(3):
        built = image_index(built, edit=repeat)
    source = Memory(built)
    with pytest.raises(NoMatchingPlatform):
        Image.open("name", source, platform=AMD64)
    assert 3 == len(source.asked)


def test_an_index_of_too_many_candidates_is_given_up():
    def edit(document):
        document["manifests"] = [
            {"mediaType": OCI_MANIFEST, "size": len(manifest), "digest": digest_of(manifest)}
            for manifest in manifests
        ]

    base = signature()
    manifests = [base.manifest + b" " * number for number in range(DEFAULT_LIMITS.candidates + 1)]
    built = image_index(base, edit=edit)
    built = evolve(built, blobs=dict(built.blobs) | {digest_of(manifest): manifest for manifest in manifests})
    source = Memory(built)
    with pytest.raises(LimitExceeded) as raised:
        Image.open("name", source, platform=AMD64)
    assert ("candidates", DEFAULT_LIMITS.candidates) == (raised.value.limit, raised.value.bound)
    assert len(source.asked) <= DEFAULT_LIMITS.candidates + 1


# -- each field wrong in turn --------------------------------------------------------------------------------------

GOOD = ImageBuilder().layer({"a": "1" * 1000}).layer({"b": "2" * 1000}).annotation("k", "v").build()
WRONG = {
    "schemaVersion": [1, 3, "2", None],
    "mediaType": [OCI_INDEX, "application/x", 7],
    "config": [None, {}, []],
    "config.mediaType": ["application/x", OCI_MANIFEST, None],
    "config.digest": [digest_of(b"x"), "sha256:x", GOOD.layers[0], None],
    "config.size": [0, -1, 1, 10**6, 2**70, "7", None],
    "layers": [{}, [], "x", 7],
    "layers.0.mediaType": ["application/x", "application/vnd.oci.image.layer.nondistributable.v1.tar", None],
    "layers.0.digest": [digest_of(b"x"), "sha256:x", GOOD.layers[1], GOOD.config_digest, None],
    "layers.0.size": [0, -1, 1, 10**6, 2**70, "7", None],
    "layers.1.digest": [digest_of(b"x"), GOOD.layers[0], GOOD.digest],
    "layers.1.size": [0, 10**6],
    "annotations": [[], {"k": 7}],
}
WRONG_CONFIG = {
    "rootfs": [None, {}, [], "x"],
    "rootfs.type": ["x", None, 7],
    "rootfs.diff_ids": [[], {}, "x", None],
    "rootfs.diff_ids.0": [digest_of(b"x"), "x", GOOD.layers[0], None, 7],
    "rootfs.diff_ids.1": [digest_of(GOOD.tars[0])],
    "os": [7, []],
    "architecture": [7, []],
    "history": [{}, "x", [7]],
    "config": [[], "x"],
}


def changed(document, path, value):
    """The document with one field changed, None leaving it out."""
    document = json.loads(document)
    *parents, last = path.split(".")
    holder = document
    for key in parents:
        holder = holder[int(key) if isinstance(holder, list) else key]
    if isinstance(holder, list):
        holder[int(last)] = value
    elif value is None:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(document).encode()


def cases(table):
    return [
        pytest.param(path, value, id=f"{path}={value!r:.30}")
        for path, values in table.items()
        for value in values
    ]


def test_the_good_image_passes():
    assert ["a", "b"] == image_of(GOOD, platform=AMD64).read_rootfs().listdir("/")


@pytest.mark.parametrize(("path", "value"), cases(WRONG))
def test_every_wrong_field_of_a_manifest_ends_in_an_error(path, value):
    built = GOOD.with_manifest(changed(GOOD.manifest, path, value))
    with pytest.raises(CosinspectError) as raised:
        image_of(built, platform=AMD64).read_rootfs()
    # The manifest's own digest is right, so nothing but it, or what it leads to, can be blamed.
    assert isinstance(
        raised.value, InvalidImage | SizeMismatch | DiffIDMismatch | SourceError | LimitExceeded
    )


@pytest.mark.parametrize(("path", "value"), cases(WRONG_CONFIG))
def test_every_wrong_field_of_a_configuration_ends_in_an_error(path, value):
    config = changed(GOOD.config, path, value)
    manifest = changed(GOOD.manifest, "config.digest", digest_of(config))
    manifest = changed(manifest, "config.size", len(config))
    built = GOOD.with_manifest(manifest)
    built = evolve(built, blobs=dict(built.blobs) | {digest_of(config): config})
    with pytest.raises((InvalidManifest, DiffIDMismatch)):
        image_of(built, platform=AMD64).read_rootfs()


def test_a_digest_of_another_algorithm_is_as_good():
    sha512 = "sha512:" + hashlib.sha512(GOOD.blobs[GOOD.layers[0]]).hexdigest()
    built = GOOD.with_manifest(changed(GOOD.manifest, "layers.0.digest", sha512))
    built = evolve(built, blobs=dict(built.blobs) | {sha512: GOOD.blobs[GOOD.layers[0]]})
    assert ["a", "b"] == image_of(built).read_rootfs().listdir("/")
    damaged = evolve(built, blobs=dict(built.blobs) | {sha512: GOOD.blobs[GOOD.layers[0]][:-1] + b"x"})
    with pytest.raises(DigestMismatch):
        image_of(damaged).read_rootfs()


# -- side by side ----------------------------------------------------------------------------------------------------


class Meeting(Memory):
    """A source whose layers are only given to as many readers as shall read at once."""

    def __init__(self, built, readers):
        super().__init__(built)
        self.layers = {layer["digest"] for layer in json.loads(built.manifest)["layers"]}
        self.barrier = threading.Barrier(readers, timeout=600)
        self.threads = set()

    def open(self, descriptor):
        if str(descriptor.digest) in self.layers:
            self.threads.add(threading.current_thread().name)
            self.barrier.wait()
        return super().open(descriptor)


@pytest.mark.parametrize("jobs", [1, 3])
def test_as_many_layers_are_read_side_by_side_as_were_asked_for(jobs):
    builder = ImageBuilder()
    for number in range(3):
        builder = builder.layer({f"file{number}": os.urandom(2000)})
    source = Meeting(builder.build(), jobs)

    assert 4 == len(Image.open("name", source, jobs=jobs).read_rootfs())
    assert jobs == len(source.threads)
