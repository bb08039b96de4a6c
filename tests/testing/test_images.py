"""Images built for tests: their documents, their lies, and their files as skopeo reads them."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile

import attrs
import pytest
import zstandard

from cosinspect.testing import ImageBuilder, Symlink, Whiteout, image_index, tar_bytes

needs_skopeo = pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
STYLES = pytest.mark.parametrize("style", ["legacy", "podman", "docker25"])
FAMILIES = pytest.mark.parametrize("family", ["oci", "docker"])


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def builder(**options):
    return (
        ImageBuilder(**options)
        .layer({"etc/os-release": "ID=cos\n", "bin": Symlink("usr/bin")}, created_by="ADD rootfs /")
        .empty_layer("ENV A=1")
        .layer({"etc/motd": Whiteout()}, created_by="RUN rm /etc/motd")
    )


def test_the_documents_describe_the_blobs():
    image = builder(
        platform="linux/arm/v7", env=["A=1"], labels={"l": "grün"}, cmd=["sh"], entrypoint=["/init"]
    ).build()
    config = json.loads(image.config)
    manifest = json.loads(image.manifest)

    assert config == {
        "created": "1970-01-01T00:00:00Z",
        "architecture": "arm",
        "variant": "v7",
        "os": "linux",
        "config": {"Env": ["A=1"], "Entrypoint": ["/init"], "Cmd": ["sh"], "Labels": {"l": "grün"}},
        "rootfs": {
            "type": "layers",
            "diff_ids": [sha256(gzip.decompress(image.blobs[digest])) for digest in image.layers],
        },
        "history": [
            {"created": "1970-01-01T00:00:00Z", "created_by": "ADD rootfs /"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "ENV A=1", "empty_layer": True},
            {"created": "1970-01-01T00:00:00Z", "created_by": "RUN rm /etc/motd"},
        ],
    }
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": sha256(image.config),
            "size": len(image.config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": digest,
                "size": len(image.blobs[digest]),
            }
            for digest in image.layers
        ],
    }
    assert sha256(image.manifest) == image.digest
    assert {digest: sha256(data) for digest, data in image.blobs.items()} == {
        digest: digest for digest in (*image.layers, image.config_digest, image.digest)
    }


@pytest.mark.parametrize(
    ("family", "compression", "media_type"),
    [
        ("oci", "none", "application/vnd.oci.image.layer.v1.tar"),
        ("oci", "gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("oci", "zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("docker", "none", "application/vnd.docker.image.rootfs.diff.tar"),
        ("docker", "gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ("docker", "zstd", "application/vnd.docker.image.rootfs.diff.tar.zstd"),
    ],
)
def test_a_layers_media_type_tells_its_compression(family, compression, media_type):
    unpack = {"none": bytes, "gzip": gzip.decompress, "zstd": zstandard.ZstdDecompressor().decompress}

    image = ImageBuilder(media_types=family).layer({"f": "x"}, compression=compression).build()

    assert media_type == json.loads(image.manifest)["layers"][0]["mediaType"]
    assert tar_bytes({"f": "x"}) == unpack[compression](image.blobs[image.layers[0]])


def test_docker_documents_have_dockers_types():
    image = builder(media_types="docker").build()
    manifest = json.loads(image.manifest)

    assert image.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest["mediaType"] == image.media_type
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"


def test_building_twice_gives_the_same_image():
    assert builder().build() == builder().build()


def test_a_builder_is_not_changed_by_what_is_built_on_it():
    base = ImageBuilder().layer({"f": "x"})
    before = base.build()

    base.layer({"g": "y"}).annotation("a", "b").edit_config(dict.clear).edit_manifest(dict.clear)

    assert before == base.build()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        base.platform = "linux/arm64"


def test_annotations_stand_where_they_were_put():
    image = ImageBuilder().layer({"f": "x"}, annotations={"on": "layer"}).annotation("on", "manifest").build()
    manifest = json.loads(image.manifest)

    assert manifest["annotations"] == {"on": "manifest"}
    assert manifest["layers"][0]["annotations"] == {"on": "layer"}


def test_edits_change_the_documents_before_their_digests_are_taken():
    image = (
        ImageBuilder()
        .edit_config(lambda config: config.pop("rootfs"))
        .edit_config(lambda config: config.update(os="plan9"))
        .edit_manifest(lambda manifest: manifest.update(artifactType="x/y"))
        .build()
    )

    assert "rootfs" not in json.loads(image.config)
    assert json.loads(image.config)["os"] == "plan9"
    assert json.loads(image.manifest)["artifactType"] == "x/y"
    assert json.loads(image.manifest)["config"]["digest"] == sha256(image.config)
    assert sha256(image.manifest) in image.blobs


def test_a_layer_may_lie_about_its_type_and_its_content():
    image = ImageBuilder().layer({"f": "x"}, media_type="text/plain", diff_id="sha256:no").build()

    assert json.loads(image.manifest)["layers"][0]["mediaType"] == "text/plain"
    assert json.loads(image.config)["rootfs"]["diff_ids"] == ["sha256:no"]


def test_a_raw_layer_is_any_bytes_at_all():
    image = ImageBuilder().raw_layer(b"no tar", media_type="text/plain").build()

    assert image.layers == (sha256(b"no tar"),)
    assert image.blobs[image.layers[0]] == b"no tar"
    assert json.loads(image.config)["rootfs"]["diff_ids"] == [sha256(b"no tar")]


def test_another_manifest_has_another_digest_over_the_same_blobs():
    honest = builder().build()

    image = honest.with_manifest(b"{}", media_type="application/json")

    assert sha256(b"{}") == image.digest
    assert image.manifests == {image.digest: "application/json"}
    assert set(honest.blobs) - {honest.digest} == set(image.blobs) - {image.digest}
    assert image.blobs[image.digest] == b"{}"
    assert honest.digest not in image.blobs


def test_a_replaced_blob_keeps_the_digest_that_it_no_longer_has():
    honest = builder().build()

    image = honest.replace_blob(honest.layers[0], b"other")

    assert image.blobs[honest.layers[0]] == b"other"
    assert honest.blobs[honest.layers[0]] != b"other"
    assert honest.digest == image.digest


def test_a_blob_can_be_missing():
    honest = builder().build()

    assert honest.layers[1] not in honest.replace_blob(honest.layers[1], None).blobs


def test_replacing_a_blob_that_is_not_there_is_a_mistake():
    with pytest.raises(ValueError, match="no blob sha256:0"):
        builder().build().replace_blob("sha256:0", b"")


@pytest.mark.parametrize("platform", ["linux", "/amd64", "linux/"])
def test_a_platform_that_is_none_is_refused(platform):
    with pytest.raises(ValueError, match="a platform is"):
        ImageBuilder(platform=platform).build()


def test_media_types_of_no_family_are_refused():
    with pytest.raises(ValueError, match="'oci' or 'docker', not 'appc'"):
        ImageBuilder(media_types="appc").build()
    with pytest.raises(ValueError, match="'oci' or 'docker', not 'appc'"):
        image_index(media_types="appc")


def test_one_string_is_no_command():
    with pytest.raises(TypeError, match=r"write \['sh -c'\]"):
        ImageBuilder(cmd="sh -c")


@FAMILIES
def test_an_index_names_each_image_with_the_platform_of_its_configuration(family):
    amd = builder(media_types=family).build()
    arm = builder(media_types=family, platform="linux/arm/v7").build()

    index = image_index(amd, arm, media_types=family, annotations={"a": "b"})
    document = json.loads(index.manifest)

    assert document["manifests"] == [
        {
            "mediaType": amd.media_type,
            "digest": amd.digest,
            "size": len(amd.manifest),
            "platform": {"architecture": "amd64", "os": "linux"},
        },
        {
            "mediaType": arm.media_type,
            "digest": arm.digest,
            "size": len(arm.manifest),
            "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
        },
    ]
    assert document["annotations"] == {"a": "b"}
    assert index.media_type == document["mediaType"]
    assert ("oci" if "oci" in index.media_type else "docker") == family
    assert index.blobs == {**amd.blobs, **arm.blobs, sha256(index.manifest): index.manifest}


def test_indexes_nest():
    image = builder().build()
    inner = image_index(image)

    outer = image_index(inner)

    assert json.loads(outer.manifest)["manifests"] == [inner.descriptor()]
    assert set(outer.manifests) == {outer.digest, inner.digest, image.digest}
    assert set(image.blobs) < set(outer.blobs)


def test_an_index_lies_as_an_image_does():
    image = builder().build()

    index = image_index(image, edit=lambda document: document.update(layers=[]))
    broken = index.replace_blob(image.digest, b"x").with_manifest(b"[]")

    assert json.loads(index.manifest)["layers"] == []
    assert broken.blobs[image.digest] == b"x"
    assert broken.manifests == {image.digest: image.media_type, sha256(b"[]"): index.media_type}
    assert index.digest not in broken.blobs


def test_one_layout_takes_several_images(tmp_path):
    one, two = builder().build(), builder(platform="linux/arm64").build()

    names = [one.write_layout(tmp_path / "l", "one"), image_index(two).write_layout(tmp_path / "l", "two")]
    one.write_layout(tmp_path / "l", None)
    two.write_layout(tmp_path / "l", "one")

    index = json.loads((tmp_path / "l/index.json").read_bytes())
    assert names == [f"oci:{tmp_path}/l:one", f"oci:{tmp_path}/l:two"]
    assert [(entry["digest"], entry.get("annotations", {})) for entry in index["manifests"]] == [
        (image_index(two).digest, {"org.opencontainers.image.ref.name": "two"}),
        (one.digest, {}),
        (two.digest, {"org.opencontainers.image.ref.name": "one"}),
    ]
    stored = {path.name: path.read_bytes() for path in (tmp_path / "l/blobs/sha256").iterdir()}
    assert stored == {name[7:]: data for name, data in {**one.blobs, **image_index(two).blobs}.items()}
    assert json.loads((tmp_path / "l/oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


@pytest.mark.parametrize("digest", ["sha256:../../evil", "../x:00", "sha256", "sha256:", "a/b:c"])
def test_no_digest_leads_out_of_the_directory(digest, tmp_path):
    image = attrs.evolve(builder().build(), blobs={digest: b"x"})

    for write in (image.write_layout, image.write_directory, image.write_archive):
        with pytest.raises(ValueError, match="is no digest"):
            write(tmp_path / "d")
    assert not list(tmp_path.rglob("*evil*"))


def members(file):
    with tarfile.open(file) as tar:
        return {m.name: m.linkname or (tar.extractfile(m).read() if m.isfile() else None) for m in tar}


def test_a_legacy_archive_has_a_directory_for_each_layer_and_links_for_those_that_come_twice(tmp_path):
    image = ImageBuilder().layer({"f": "x"}).layer({"g": "y"}).layer({"f": "x"}, compression="zstd").build()

    name = image.write_docker_archive(tmp_path / "a.tar", "org/os:v1", style="legacy")

    found = members(tmp_path / "a.tar")
    (entry,) = json.loads(found["manifest.json"])
    first, second, third = entry["Layers"]
    assert name == f"docker-archive:{tmp_path}/a.tar:org/os:v1"
    assert entry["RepoTags"] == ["org/os:v1"]
    assert found[entry["Config"]] == image.config
    assert found[first] == tar_bytes({"f": "x"})
    assert found[second] == tar_bytes({"g": "y"})
    assert found[third] == f"../{first}"
    for layer in (first, second, third):
        identifier, _, file = layer.partition("/")
        assert file == "layer.tar"
        assert found[f"{identifier}/VERSION"] == b"1.0"
        assert json.loads(found[f"{identifier}/json"])["id"] == identifier
    assert json.loads(found["repositories"]) == {"org/os": {"v1": third.partition("/")[0]}}


def test_a_podman_archive_has_layers_by_diff_id_and_links_to_them(tmp_path):
    image = builder().build()
    diff_ids = json.loads(image.config)["rootfs"]["diff_ids"]

    image.write_docker_archive(tmp_path / "a.tar", "os:v1", style="podman")

    found = members(tmp_path / "a.tar")
    (entry,) = json.loads(found["manifest.json"])
    links = [value for name, value in found.items() if name.endswith("/layer.tar")]
    assert entry["RepoTags"] == ["docker.io/library/os:v1"]
    assert entry["Layers"] == [f"{diff_id[7:]}.tar" for diff_id in diff_ids]
    assert [sha256(found[layer]) for layer in entry["Layers"]] == diff_ids
    assert links == [f"../{layer}" for layer in entry["Layers"]]


@pytest.mark.parametrize(
    ("tag", "full"),
    [
        ("os:v1", "docker.io/library/os:v1"),
        ("org/os:v1", "docker.io/org/os:v1"),
        ("localhost/os:v1", "localhost/os:v1"),
        ("quay.io/org/os:v1", "quay.io/org/os:v1"),
        ("registry:5000/os:v1", "registry:5000/os:v1"),
    ],
)
def test_an_archive_of_docker_25_is_a_layout_with_dockers_manifest(tmp_path, tag, full):
    image = builder().build()

    image.write_docker_archive(tmp_path / "a.tar", tag)

    found = members(tmp_path / "a.tar")
    (entry,) = json.loads(found["manifest.json"])
    (described,) = json.loads(found["index.json"])["manifests"]
    assert entry == {
        "Config": f"blobs/sha256/{image.config_digest[7:]}",
        "RepoTags": [tag],
        "Layers": [f"blobs/sha256/{digest[7:]}" for digest in image.layers],
    }
    assert described["digest"] == image.digest
    assert described["annotations"] == {
        "io.containerd.image.name": full,
        "org.opencontainers.image.ref.name": "v1",
    }
    assert {name: found[f"blobs/sha256/{name[7:]}"] for name in image.blobs} == image.blobs


def test_archives_are_the_same_bytes_each_time_and_may_be_compressed(tmp_path):
    for file, compression in (("a", "none"), ("b", "none"), ("c", "gzip")):
        builder().build().write_archive(tmp_path / file, compression=compression)
        builder().build().write_docker_archive(tmp_path / f"d{file}", "o:v", compression=compression)

    for kind in ("", "d"):
        plain = (tmp_path / f"{kind}a").read_bytes()
        assert plain == (tmp_path / f"{kind}b").read_bytes()
        assert plain == gzip.decompress((tmp_path / f"{kind}c").read_bytes())


@pytest.mark.parametrize(("tag", "style"), [("os", "legacy"), ("r:5000/os", "legacy"), ("os:v1", "docker26")])
def test_a_docker_archive_needs_a_tag_and_a_style_that_exists(tmp_path, tag, style):
    with pytest.raises(ValueError, match=r"repository:tag|style is"):
        builder().build().write_docker_archive(tmp_path / "a", tag, style=style)


def skopeo(*arguments):
    command = ["skopeo", "--insecure-policy", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


@pytest.mark.compat
@needs_skopeo
@STYLES
@FAMILIES
def test_skopeo_reads_docker_archives_to_the_same_configuration_and_layers(tmp_path, style, family):
    image = (
        builder(media_types=family)
        .layer({"etc/os-release": "ID=cos\n", "bin": Symlink("usr/bin")}, created_by="again")
        .build()
    )

    name = image.write_docker_archive(tmp_path / "a.tar", "org/os:v1", style=style)
    skopeo("copy", name, f"dir:{tmp_path}/d")

    manifest = json.loads((tmp_path / "d/manifest.json").read_bytes())
    blobs = [(tmp_path / "d" / layer["digest"][7:]).read_bytes() for layer in manifest["layers"]]
    plain = [gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob for blob in blobs]
    assert manifest["config"]["digest"] == image.config_digest
    assert [sha256(blob) for blob in plain] == json.loads(image.config)["rootfs"]["diff_ids"]


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize(
    ("form", "family"),
    [
        ("write_layout", "oci"),
        ("write_archive", "oci"),
        ("write_directory", "oci"),
        ("write_directory", "docker"),  # skopeo looks for nothing but OCI manifests in a layout
    ],
)
def test_skopeo_copies_what_was_written_without_changing_a_byte(tmp_path, form, family):
    image = builder(media_types=family).build()
    index = image_index(
        image, builder(media_types=family, platform="linux/arm64").build(), media_types=family
    )

    for built in (image, index):
        name = getattr(built, form)(tmp_path / f"source-{built.digest[7:15]}")
        target = tmp_path / f"target-{built.digest[7:15]}"
        skopeo("copy", "--all", "--preserve-digests", name, f"dir:{target}")

        assert built.manifest == (target / "manifest.json").read_bytes()
        for digest, data in built.blobs.items():
            file = f"{digest[7:]}.manifest.json" if digest in built.manifests else digest[7:]
            assert digest == built.digest or data == (target / file).read_bytes()


@pytest.mark.compat
@needs_skopeo
def test_the_directory_form_is_the_one_that_skopeo_writes(tmp_path):
    index = image_index(builder().build(), builder(platform="linux/arm64").build())

    skopeo("copy", "--all", index.write_layout(tmp_path / "layout"), f"dir:{tmp_path}/theirs")
    index.write_directory(tmp_path / "ours")

    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / side).iterdir()} for side in ("ours", "theirs")
    )
    assert theirs == ours


@pytest.mark.compat
@needs_skopeo
def test_skopeo_refuses_a_layer_that_is_not_what_its_digest_says(tmp_path):
    honest = builder().build()
    name = honest.replace_blob(honest.layers[0], honest.blobs[honest.layers[1]]).write_layout(tmp_path / "l")

    with pytest.raises(subprocess.CalledProcessError) as failed:
        skopeo("copy", name, f"dir:{tmp_path}/d")

    assert b"digest" in failed.value.stderr.lower()
