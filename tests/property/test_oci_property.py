"""Documents made of anything: only our errors leave, and what is accepted means one thing."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import CosinspectError, InvalidReference
from cosinspect.oci.documents import Digest, ImageConfig, ImageIndex, Manifest, Platform, parse_document
from cosinspect.oci.reference import ImageName, Reference

SHA = "sha256:" + "a" * 64
TYPES = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
    "",
]
KEYS = [
    "schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "artifactType", "digest", "size",
    "platform", "os", "architecture", "variant", "rootfs", "type", "diff_ids", "history", "created_by", "comment",
    "empty_layer", "Env", "Labels", "Layers", "layer\u017f", "fsLayers", "subject", "urls", "data",
]  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 7, -1, 2**63 - 1, 2**63, 2**70, 1.5, 2.0]),
    st.sampled_from([*TYPES, SHA, "sha256:x", "linux", "amd64", "layers", "\ud800"]),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


def descriptors(kind):
    return st.fixed_dictionaries(
        {
            "mediaType": st.sampled_from(TYPES) | st.just(kind),
            "digest": st.just(SHA),
            "size": st.sampled_from([0, 7]),
        },
        optional={"platform": values, "annotations": values},
    )


# Documents that are right but for what a few keys may have been changed to.
documents = st.builds(
    lambda good, changes: good | changes,
    st.one_of(
        st.fixed_dictionaries(
            {
                "schemaVersion": st.just(2),
                "config": descriptors(TYPES[2]),
                "layers": st.lists(descriptors(TYPES[3]), max_size=2),
            },
            optional={"mediaType": st.sampled_from(TYPES)},
        ),
        st.fixed_dictionaries(
            {"schemaVersion": st.just(2), "manifests": st.lists(descriptors(TYPES[1]), max_size=3)},
            optional={"mediaType": st.sampled_from(TYPES)},
        ),
        st.fixed_dictionaries(
            {"rootfs": st.fixed_dictionaries({"type": st.just("layers"), "diff_ids": st.just([SHA])})},
            optional={"os": scalars, "config": values, "history": values},
        ),
    ),
    st.dictionaries(st.sampled_from(KEYS), values, max_size=2),
)


def parse_all(raw, media_type):
    for parse in (
        lambda: parse_document(raw, media_type),
        lambda: Manifest.from_json(raw, media_type),
        lambda: ImageIndex.from_json(raw, media_type),
        lambda: ImageConfig.from_json(raw),
    ):
        try:
            found = parse()
        except CosinspectError:
            continue
        assert found.raw == raw
        yield found


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(TYPES))
def test_arbitrary_bytes_raise_only_our_errors(raw, media_type):
    assert [] == list(parse_all(raw, media_type))


@settings(max_examples=500, deadline=None)
@given(documents | values, st.sampled_from(TYPES) | st.text(max_size=10))
def test_arbitrary_json_raises_only_our_errors_and_means_one_thing(document, media_type):
    raw = json.dumps(document).encode()
    found = list(parse_all(raw, media_type))
    # Never two of: manifest, index.
    assert len({type(item) for item in found} & {Manifest, ImageIndex}) <= 1
    for item in found:
        if isinstance(item, ImageIndex):
            assert not {key.casefold() for key in document} & {"layers", "config", "fslayers"}
            try:
                chosen = item.select(Platform("linux", "amd64"))
            except CosinspectError:
                continue
            assert set(chosen) <= set(item.manifests)
        elif isinstance(item, Manifest):
            assert not {key.casefold() for key in document} & {"manifests", "fslayers"}


@settings(max_examples=500, deadline=None)
@given(documents, st.data())
def test_damaged_json_raises_only_our_errors(document, data):
    raw = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    list(parse_all(bytes(raw), data.draw(st.sampled_from(TYPES))))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"sha(256|512):[0-9a-f]{60,130}"))
def test_a_digest_is_written_as_it_was_read(text):
    try:
        found = Digest.parse(text)
    except CosinspectError:
        return
    assert text == str(found)
    assert len(found.encoded) == {"sha256": 64, "sha512": 128}[found.algorithm]
    assert set(found.encoded) <= set("0123456789abcdef")


@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            [
                "docker://",
                "oci:",
                "dir:",
                "docker-archive:",
                "a",
                "B",
                "1",
                ".",
                "..",
                "/",
                ":",
                "@",
                SHA,
                "-",
                "_",
                "[::1]",
                " ",
            ]
        ),
        max_size=8,
    ).map("".join)
)
def test_an_arbitrary_name_is_refused_or_reads_back(text):
    try:
        found = ImageName.parse(text)
    except InvalidReference:
        return
    assert text == str(found)
    if found.reference is not None:
        assert found.reference == Reference.parse(str(found.reference))
        assert ".." not in found.reference.repository.split("/")
    else:
        assert found.path
