"""Documents as image-spec and Docker's schema 2 have them, and every way to mean two things at once."""

import hashlib
import json

import pytest

from cosinspect.errors import InvalidManifest, NoMatchingPlatform, UnsupportedMediaType
from cosinspect.oci.documents import Digest, ImageConfig, ImageIndex, Manifest, Platform, parse_document

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
SCHEMA_1 = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
]
SHA = "sha256:" + "a" * 64


def descriptor(kind, **fields):
    return {"mediaType": kind, "digest": SHA, "size": 7} | fields


def manifest(**fields):
    """A good manifest, with fields changed; None leaves one out."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
    } | fields
    return dump({key: value for key, value in document.items() if value is not None})


def index(*entries, **fields):
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)} | fields
    return dump({key: value for key, value in document.items() if value is not None})


def config(**fields):
    document = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [SHA]},
    } | fields
    return dump({key: value for key, value in document.items() if value is not None})


def dump(document):
    return json.dumps(document).encode()


def platform(text):
    os, architecture, *variant = text.split("/")
    return {"os": os, "architecture": architecture} | ({"variant": variant[0]} if variant else {})


def refused(raw, media_type="", kind=InvalidManifest, match=None):
    with pytest.raises(kind, match=match) as raised:
        parse_document(raw, media_type)
    assert type(raised.value) is kind
    return raised.value


# -- digests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["sha256:" + "0123456789abcdef" * 4, "sha512:" + "0123456789abcdef" * 8])
def test_digests_of_registered_algorithms_are_read_and_written_the_same(text):
    assert text == str(Digest.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64,
        "sha1:" + "a" * 40,
        "md5:" + "a" * 32,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
        "sha256:../../../etc/passwd",
        "sha256:" + "../" * 21 + "a",
        "sha256:" + "٧" * 64,  # noqa: RUF001 - digits to str.isdigit
        "sha256+b64:" + "a" * 64,
    ],
)
def test_everything_else_is_no_digest(text):
    with pytest.raises(InvalidManifest, match="expected a digest"):
        Digest.parse(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_is_that_of_the_bytes(algorithm):
    assert f"{algorithm}:{hashlib.new(algorithm, b'x').hexdigest()}" == str(Digest.of(b"x", algorithm))


# -- manifests -----------------------------------------------------------------------------------------------------


def test_a_manifest_is_read_with_its_bytes():
    raw = manifest(annotations={"a": "b"})
    found = parse_document(raw, OCI_MANIFEST)
    assert isinstance(found, Manifest)
    assert (OCI_MANIFEST, raw, {"a": "b"}) == (found.media_type, found.raw, found.annotations)
    assert (SHA, 7) == (str(found.config.digest), found.config.size)
    assert ["application/vnd.oci.image.layer.v1.tar+gzip"] == [layer.media_type for layer in found.layers]


@pytest.mark.parametrize(
    "declared", ["", OCI_MANIFEST, OCI_MANIFEST + "; charset=utf-8", OCI_MANIFEST.upper()]
)
@pytest.mark.parametrize("said", [None, OCI_MANIFEST])
def test_the_media_type_may_be_said_by_the_document_or_the_server_or_both(declared, said):
    assert OCI_MANIFEST == parse_document(manifest(mediaType=said), declared).media_type


@pytest.mark.parametrize(
    "generic", ["application/json", "application/octet-stream", "text/plain; charset=utf-8"]
)
def test_a_server_that_knows_nothing_of_documents_is_not_believed(generic):
    assert OCI_MANIFEST == parse_document(manifest(), generic).media_type
    assert DOCKER_MANIFEST == parse_document(manifest(mediaType=DOCKER_MANIFEST), generic).media_type
    assert OCI_INDEX == parse_document(index(mediaType=None), generic).media_type


def test_dockers_schema_2_is_read():
    raw = manifest(
        mediaType=DOCKER_MANIFEST,
        config=descriptor(DOCKER_CONFIG),
        layers=[descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
    )
    assert DOCKER_MANIFEST == parse_document(raw, DOCKER_MANIFEST).media_type


@pytest.mark.parametrize(
    ("raw", "declared"),
    [
        (manifest(), OCI_INDEX),
        (manifest(), DOCKER_MANIFEST),
        (manifest(mediaType=DOCKER_MANIFEST), OCI_MANIFEST),
        (index(), OCI_MANIFEST),
        (index(), DOCKER_INDEX),
        (manifest(mediaType=OCI_INDEX), ""),
        (index(mediaType=OCI_MANIFEST), ""),
        (manifest(mediaType=OCI_CONFIG), OCI_MANIFEST),
        (manifest(mediaType=7), OCI_MANIFEST),
        (manifest(mediaType=[OCI_MANIFEST]), ""),
    ],
)
def test_a_document_and_its_sender_must_agree_on_the_media_type(raw, declared):
    refused(raw, declared)


@pytest.mark.parametrize(
    "key", ["manifests", "fslayers", "Manifests", "fsLayers", "MANIFESTS", "manife\u017fts"]
)
@pytest.mark.parametrize("value", [[], None, [descriptor(OCI_MANIFEST)], 7])
def test_a_manifest_that_could_be_an_index_is_refused(key, value):
    document = json.loads(manifest()) | {key: value}
    refused(dump(document), OCI_MANIFEST, match="CVE-2021-41190")


@pytest.mark.parametrize("key", ["layers", "config", "fsLayers", "Layers", "CONFIG", "layer\u017f"])
@pytest.mark.parametrize("value", [[], None, {}, 7])
def test_an_index_that_could_be_a_manifest_is_refused(key, value):
    document = json.loads(index()) | {key: value}
    refused(dump(document), OCI_INDEX, match="CVE-2021-41190")


@pytest.mark.parametrize("declared", ["", OCI_MANIFEST, OCI_INDEX])
def test_a_document_with_the_keys_of_both_is_refused_whatever_it_is_called(declared):
    document = json.loads(manifest(mediaType=None)) | json.loads(index(mediaType=None))
    refused(dump(document), declared, match="CVE-2021-41190")


@pytest.mark.parametrize(
    ("raw", "declared"),
    [
        (b"{}", SCHEMA_1[0]),
        (b"{}", SCHEMA_1[1]),
        (dump({"mediaType": SCHEMA_1[1]}), ""),
        (dump({"schemaVersion": 1, "fsLayers": [], "history": []}), ""),
        (dump({"schemaVersion": 1, "fsLayers": [], "history": []}), "application/json"),
        (manifest(schemaVersion=1), OCI_MANIFEST),
        (index(schemaVersion=1), OCI_INDEX),
    ],
)
def test_schema_1_is_refused_by_name(raw, declared):
    refused(raw, declared, UnsupportedMediaType, "schema 1")


@pytest.mark.parametrize("version", [0, 3, -2, 2.0, "2", True, [2], {}, 10**30])
def test_the_schema_version_is_the_number_2(version):
    with pytest.raises((InvalidManifest, UnsupportedMediaType)):
        parse_document(manifest(schemaVersion=version), OCI_MANIFEST)
    with pytest.raises((InvalidManifest, UnsupportedMediaType)):
        parse_document(index(schemaVersion=version), OCI_INDEX)


def test_the_schema_version_must_be_there():
    refused(manifest(schemaVersion=None), OCI_MANIFEST)
    refused(index(schemaVersion=None), OCI_INDEX)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"manifest"',
        b"{",
        b"{}",
        b"{} {}",
        b"{'schemaVersion': 2}",
        b"\xef\xbb\xbf" + manifest(),
        manifest().decode().encode("utf-16"),
        manifest().decode().encode("utf-32-le"),
        manifest().replace(b"tar+gzip", b"tar\xff"),
        manifest().replace(b"tar+gzip", b"\xed\xa0\x80"),  # a surrogate in UTF-8
        manifest().replace(b"tar+gzip", b"\\ud800"),
        manifest(annotations={"a": "\udc00\ud800"}),
        manifest() + b"\0",
        b"// comment\n" + manifest(),
        manifest()[:-1] + b",}",
        manifest().replace(b": 7", b": NaN"),
        manifest().replace(b": 7", b": Infinity"),
        manifest().replace(b": 7", b": 0x7"),
        manifest().replace(b": 7", b": " + b"9" * 5000),
    ],
)
def test_what_is_no_json_object_in_utf_8_is_refused(raw):
    refused(raw, OCI_MANIFEST)


def nested(key, depth):
    """A good manifest but for one key, which holds lists in lists."""
    value = b"[" * depth + b"]" * depth
    return b'{"%s":%s,%s' % (key.encode(), value, manifest(**{key: None})[1:])


@pytest.mark.parametrize("depth", [2, 100, 900, 2000, 100_000])
@pytest.mark.parametrize("key", ["layers", "config", "mediaType", "annotations"])
def test_lists_in_lists_are_refused_at_any_depth(key, depth):
    refused(nested(key, depth), OCI_MANIFEST)


def test_what_nobody_knows_may_be_nested_but_not_without_bound():
    assert isinstance(parse_document(nested("unknown", 100)), Manifest)
    refused(nested("unknown", 100_000), match="nested too deeply")


@pytest.mark.parametrize(
    "raw",
    [
        manifest()[:-1] + b',"layers":[]}',
        b'{"schemaVersion":2,"schemaVersion":2,' + manifest()[1:],
        manifest().replace(b'"size": 7', b'"size": 7, "size": 7', 1),
        manifest(annotations={"a": "b"}).replace(b'"a"', b'"a": "c", "a"'),
        manifest().replace(b'"size"', b'"\\u0073ize": 7, "size"', 1),
    ],
)
def test_a_key_that_is_there_twice_is_refused(raw):
    refused(raw, OCI_MANIFEST, match="is repeated")


def test_characters_beyond_the_first_plane_may_be_written_as_pairs():
    raw = manifest(annotations={"a": "\N{GRINNING FACE}"})
    assert b"\\ud83d\\ude00" in raw
    assert {"a": "\N{GRINNING FACE}"} == parse_document(raw).annotations


def test_a_key_twice_among_a_great_many_is_found_in_time():
    raw = manifest(annotations={str(number): "" for number in range(50_000)})
    refused(
        raw.replace(b'"annotations": {', b'"annotations": {"49999": "",'), OCI_MANIFEST, match="is repeated"
    )


@pytest.mark.parametrize(
    "raw",
    [
        manifest().replace(b'"layers"', b'"Layers"'),
        manifest().replace(b'"config"', b'"CONFIG"'),
        manifest().replace(b'"size"', b'"Size"', 1),
        manifest().replace(b'"digest"', b'"diGest"'),
        manifest()[:-1] + b',"SchemaVersion":2}',
        manifest()[:-1] + b',"mediatype":"x"}',
        manifest()[:-1] + b',"layer\\u017f":[]}',  # a long s, which Go folds to s
        index(descriptor(OCI_MANIFEST, platform={"OS": "linux", "architecture": "amd64"})),
        index(descriptor(OCI_MANIFEST, Platform=platform("linux/amd64"))),
    ],
)
def test_a_known_key_in_another_case_is_refused(raw):
    refused(raw)


def test_keys_that_nobody_knows_are_passed_over():
    raw = manifest(subject=descriptor(OCI_MANIFEST), x={"Layers": [], "layers": []}, artifactType="a/b")
    assert isinstance(parse_document(raw), Manifest)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", {}),
        ("config", []),
        ("config", "x"),
        ("config", descriptor(OCI_CONFIG, digest="sha256:x")),
        ("config", descriptor(OCI_CONFIG, digest=7)),
        ("config", descriptor(OCI_CONFIG, size=-1)),
        ("config", descriptor(OCI_CONFIG, size=2**63)),
        ("config", descriptor(OCI_CONFIG, size=1.0)),
        ("config", descriptor(OCI_CONFIG, size="7")),
        ("config", descriptor(OCI_CONFIG, size=True)),
        ("config", descriptor(OCI_CONFIG, size=None)),
        ("config", {"mediaType": OCI_CONFIG, "size": 7}),
        ("config", {"mediaType": OCI_CONFIG, "digest": SHA}),
        ("config", {"digest": SHA, "size": 7}),
        ("layers", {}),
        ("layers", "x"),
        ("layers", [None]),
        ("layers", [[]]),
        ("layers", [descriptor("application/vnd.oci.image.layer.v1.tar", digest="x")]),
        ("layers", [descriptor("application/vnd.oci.image.layer.v1.tar", size=-1)]),
        ("annotations", []),
        ("annotations", {"a": 7}),
        ("annotations", {"a": None}),
    ],
)
def test_a_field_of_another_shape_is_refused_and_named(field, value):
    assert field in str(refused(manifest(**{field: value}), OCI_MANIFEST).where)


@pytest.mark.parametrize("field", ["config", "layers"])
def test_a_field_that_is_missing_is_refused(field):
    refused(manifest(**{field: None}), OCI_MANIFEST, match=field)


def test_nulls_that_go_writes_for_nothing_are_read_as_nothing():
    document = json.loads(manifest()) | {"layers": None, "annotations": None}
    document["config"]["annotations"] = None
    document["config"]["platform"] = None
    found = parse_document(dump(document))
    assert ((), {}) == (found.layers, found.annotations)
    # What `umoci init` writes.
    assert () == parse_document(b'{"schemaVersion":2,"manifests":null}', OCI_INDEX).manifests


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ],
)
def test_layers_of_every_media_type_that_tools_write_are_taken(kind):
    assert kind == parse_document(manifest(layers=[descriptor(kind)])).layers[0].media_type


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "foreign"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign"),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "encrypted"),
        ("application/vnd.oci.image.layer.v1.tar+bzip2", "expected a tar layer"),
        ("application/vnd.oci.image.layer.v1.tar+gzip\n", "expected a tar layer"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "expected a tar layer"),
        ("application/vnd.in-toto+json", "expected a tar layer"),
        ("", "expected a tar layer"),
    ],
)
def test_layers_that_cannot_be_read_are_refused_with_the_reason(kind, match):
    layers = [descriptor("application/vnd.oci.image.layer.v1.tar"), descriptor(kind)]
    fault = refused(manifest(layers=layers), OCI_MANIFEST, UnsupportedMediaType, match)
    assert "layers[1]" in fault.where


def test_urls_do_not_make_a_layer_foreign():
    layer = descriptor("application/vnd.oci.image.layer.v1.tar", urls=["https://example.org/layer"])
    assert 1 == len(parse_document(manifest(layers=[layer])).layers)


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.empty.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.docker.plugin.v1+json",
        "",
    ],
)
def test_an_artifact_is_no_image(kind):
    raw = manifest(config=descriptor(kind), artifactType="application/x")
    refused(raw, OCI_MANIFEST, UnsupportedMediaType, "artifact")


@pytest.mark.parametrize("declared", ["text/html", "application/vnd.oci.artifact.manifest.v1+json", "x"])
def test_a_document_of_an_unknown_media_type_is_refused(declared):
    refused(manifest(), declared, UnsupportedMediaType)
    refused(manifest(mediaType=declared), "", UnsupportedMediaType)


# -- indexes -------------------------------------------------------------------------------------------------------


def of(text, **fields):
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return descriptor(OCI_MANIFEST, digest=digest, platform=platform(text), **fields)


def selected(wanted, *entries):
    found = ImageIndex.from_json(index(*entries)).select(Platform.parse(wanted))
    return [str(item.platform) if item.platform else None for item in found]


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], ["linux/amd64"]),
        ("linux/x86_64", ["linux/amd64"], ["linux/amd64"]),
        ("linux/aarch64", ["linux/arm64/v8"], ["linux/arm64/v8"]),
        ("linux/arm64", ["linux/arm64/v8"], ["linux/arm64/v8"]),
        ("linux/arm64/v8", ["linux/arm64"], ["linux/arm64"]),
        ("linux/arm", ["linux/arm/v6", "linux/arm/v7"], ["linux/arm/v7", "linux/arm/v6"]),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v8", "linux/arm/v6"], ["linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v7"], ["linux/arm/v6"]),
        ("linux/amd64", ["linux/amd64/v1"], ["linux/amd64/v1"]),
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64"], ["linux/amd64"]),
        (
            "linux/amd64/v3",
            ["linux/amd64", "linux/amd64/v4", "linux/amd64/v2", "linux/amd64/v3"],
            ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"],
        ),
        ("windows/amd64", ["linux/amd64", "windows/amd64"], ["windows/amd64"]),
        ("linux/riscv64", ["linux/riscv64", "linux/riscv64"], ["linux/riscv64", "linux/riscv64"]),
    ],
)
def test_the_best_platform_is_selected_first(wanted, there, expected):
    assert expected == selected(wanted, *map(of, there))


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("linux/amd64", ["linux/arm64"]),
        ("linux/amd64", ["linux/amd64/v2"]),
        ("linux/arm/v5", ["linux/arm/v6"]),
        ("linux/arm64", ["linux/arm/v8"]),
        ("linux/amd64", ["unknown/unknown"]),
        ("linux/amd64", []),
        ("linux/s390x/z13", ["linux/s390x"]),
    ],
)
def test_where_no_platform_serves_the_error_names_those_there_are(wanted, there):
    with pytest.raises(NoMatchingPlatform) as raised:
        selected(wanted, *map(of, there))
    for name in there:
        assert (name in str(raised.value)) == (not name.startswith("unknown"))


def test_entries_that_name_no_platform_come_last():
    nested = descriptor(OCI_INDEX)
    plain = descriptor(OCI_MANIFEST, digest="sha256:" + "b" * 64)
    empty = descriptor(OCI_MANIFEST, digest="sha256:" + "c" * 64, platform={"os": "", "architecture": ""})
    assert ["linux/amd64", None, None, None] == selected(
        "linux/amd64", nested, plain, empty, of("linux/amd64")
    )


def test_attestations_are_never_selected():
    attestation = of("unknown/unknown", annotations={"vnd.docker.reference.type": "attestation-manifest"})
    assert ["linux/amd64"] == selected("linux/amd64", attestation, of("linux/amd64"))


def test_entries_of_other_media_types_are_passed_over():
    signature = descriptor("application/vnd.dev.sigstore.bundle.v0.3+json")
    assert ["linux/amd64"] == selected("linux/amd64", signature, of("linux/amd64"))
    with pytest.raises(NoMatchingPlatform):
        selected("linux/amd64", signature)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        None,
        [],
        descriptor(OCI_MANIFEST, size=-1),
        descriptor(OCI_MANIFEST, digest="x"),
        descriptor(OCI_MANIFEST, platform="linux/amd64"),
        descriptor(OCI_MANIFEST, platform={"os": 7, "architecture": "amd64"}),
    ],
)
def test_an_entry_of_another_shape_is_refused_and_named(entry):
    good = of("linux/amd64")
    assert "manifests" in str(refused(index(good, entry), OCI_INDEX).where)


# -- platforms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/armhf", "linux/arm"),
        ("linux/i686", "linux/386"),
        ("linux/arm/v7", "linux/arm/v7"),
    ],
)
def test_platforms_are_read_by_all_their_names(text, expected):
    assert expected == str(Platform.parse(text))


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/am d64", "a//b", "linux/é"]
)
def test_everything_else_is_no_platform(text):
    with pytest.raises(InvalidManifest, match="expected a platform"):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("Linux", "x86_64", "linux/amd64"),
        ("Linux", "aarch64", "linux/arm64"),
        ("Darwin", "arm64", "linux/arm64"),
        ("Linux", "armv7l", "linux/arm"),
        ("Linux", "riscv64", "linux/riscv64"),
        ("Windows", "AMD64", "windows/amd64"),
    ],
)
def test_the_platform_of_the_host_is_in_gos_words(monkeypatch, system, machine, expected):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert expected == str(Platform.of_host())


# -- configurations ------------------------------------------------------------------------------------------------


def test_a_configuration_is_read():
    raw = config(
        variant="v2",
        config={"Env": ["A=b"], "Labels": {"l": "m"}, "Cmd": ["sh"]},
        history=[{"created_by": "RUN a"}, {"created_by": "ENV b", "empty_layer": True}],
    )
    found = ImageConfig.from_json(raw)
    assert ("linux/amd64/v2", (SHA,)) == (str(found.platform), tuple(map(str, found.diff_ids)))
    assert (("A=b",), {"l": "m"}, raw) == (found.env, found.labels, found.raw)
    assert ("RUN a",) == found.steps()


@pytest.mark.parametrize(
    "missing", [{"architecture": None}, {"architecture": ""}, {"os": None, "architecture": None}]
)
def test_a_configuration_may_say_no_platform(missing):
    assert ImageConfig.from_json(config(**missing)).platform is None


@pytest.mark.parametrize("system", [None, ""])
def test_a_configuration_without_a_system_is_for_linux(system):
    assert "linux/amd64" == str(ImageConfig.from_json(config(os=system)).platform)


# The word on the left is what containerd reads on the right; tests/compat has its own word on it.
SPELLINGS = [
    ("linux", "x86_64", "", "linux/amd64"),
    ("Linux", "AMD64", "", "linux/amd64"),
    ("", "x86-64", "", "linux/amd64"),
    ("linux", "aarch64", "", "linux/arm64"),
    ("linux", "arm64", "8", "linux/arm64/v8"),
    ("linux", "arm", "7", "linux/arm/v7"),
    ("linux", "armhf", "", "linux/arm/v7"),
    ("linux", "armel", "", "linux/arm/v6"),
    ("linux", "i386", "x", "linux/386"),
    ("macOS", "arm64", "", "darwin/arm64"),
]


@pytest.mark.parametrize(("system", "architecture", "variant", "expected"), SPELLINGS)
def test_a_platform_is_read_in_containerds_words(system, architecture, variant, expected):
    found = Platform.of_document(system, architecture, variant)
    assert (expected, "/".join(part for part in (system, architecture, variant) if part)) == (
        str(found),
        found.written or str(found),
    )


def test_nulls_in_a_configuration_are_read_as_nothing():
    document = json.loads(config())
    document |= {"config": {"Env": None, "Labels": None, "Cmd": None}, "history": None}
    document["rootfs"]["diff_ids"] = None
    found = ImageConfig.from_json(dump(document))
    assert ((), {}, (), ()) == (found.env, found.labels, found.history, found.diff_ids)
    assert () == ImageConfig.from_json(dump(document | {"config": None})).env


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (None, [None, None]),
        ([], [None, None]),
        ([{"created_by": "one"}], [None, None]),
        ([{"created_by": "one"}, {"comment": "two"}], ["one", "two"]),
        ([{"created_by": "one"}, {}], ["one", None]),
        (
            [{"empty_layer": True}, {"created_by": "one"}, {"empty_layer": True}, {"created_by": "two"}],
            ["one", "two"],
        ),
        ([{"created_by": "one"}, {"created_by": "two"}, {"created_by": "three"}], [None, None]),
        ([{"created_by": None, "comment": None, "empty_layer": None}, {"created_by": "two"}], [None, "two"]),
    ],
)
def test_steps_are_named_where_the_history_has_one_for_each_layer(history, expected):
    raw = config(rootfs={"type": "layers", "diff_ids": [SHA, SHA]}, history=history)
    assert tuple(expected) == ImageConfig.from_json(raw).steps()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        config(rootfs=None),
        config(rootfs={}),
        config(rootfs={"type": "layers+base", "diff_ids": [SHA]}),
        config(rootfs={"type": "LAYERS"}),
        config(rootfs={"type": "layers", "diff_ids": ["x"]}),
        config(rootfs={"type": "layers", "diff_ids": [None]}),
        config(rootfs={"type": "layers", "diff_ids": SHA}),
        config(rootfs={"type": "layers", "Diff_IDs": [SHA]}),
        config(os=7),
        config(OS="linux"),
        config(config=[]),
        config(config={"Env": "A=b"}),
        config(config={"Env": [7]}),
        config(config={"env": []}),
        config(config={"Labels": {"a": 7}}),
        config(history={}),
        config(history=["RUN"]),
        config(history=[{"empty_layer": "true"}]),
        config(history=[{"Created_By": "x"}]),
    ],
)
def test_what_is_no_configuration_of_layers_is_refused(raw):
    with pytest.raises(InvalidManifest) as raised:
        ImageConfig.from_json(raw)
    assert raised.value.where.startswith("config")
