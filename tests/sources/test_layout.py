"""Images in layouts and in skopeo's directories, found by name, digest or for being the only one."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from attrs import evolve

from cosinspect.errors import (
    ContentError,
    DigestMismatch,
    InvalidLayout,
    InvalidManifest,
    LimitExceeded,
    NoMatchingPlatform,
    SizeMismatch,
)
from cosinspect.image.image import Image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Digest, Platform
from cosinspect.oci.reference import ImageName, Transport
from cosinspect.sources.local.files import ArchiveFiles, DirectoryFiles
from cosinspect.sources.local.layout import DirSource, LayoutSource
from cosinspect.testing import ImageBuilder, RawName, Whiteout, image_index, tar_bytes

AMD64 = Platform("linux", "amd64")
SKOPEO = shutil.which("skopeo")
UMOCI = shutil.which("umoci")
needs_skopeo = pytest.mark.skipif(not SKOPEO, reason="skopeo is not installed")
needs_umoci = pytest.mark.skipif(not UMOCI, reason="umoci is not installed")

FIRST = ImageBuilder().layer({"which": "first"}).layer({"other": "x"}, compression="zstd").build()
SECOND = ImageBuilder(media_types="docker").layer({"which": "second"}, compression="none").build()
ARM = ImageBuilder(platform="linux/arm64").layer({"which": "arm"}).build()


def opened(name, **options):
    """Open an image by its name, as the command does."""
    parsed = ImageName.parse(name)
    path = Path(parsed.path)
    limits = options.get("limits", DEFAULT_LIMITS)
    if parsed.transport is Transport.DIR:
        return Image.open(name, DirSource(DirectoryFiles(path), limits), **options)
    local = DirectoryFiles if parsed.transport is Transport.OCI else ArchiveFiles
    return Image.open(name, LayoutSource(local(path), parsed.selector, parsed.digest, limits), **options)


def which(name, **options):
    with opened(name, **options) as image:
        return image.read_rootfs().read_text("/which")


def edit_index(directory, edit):
    document = json.loads((directory / "index.json").read_bytes())
    edit(document)
    (directory / "index.json").write_text(json.dumps(document))


@pytest.fixture
def layout(tmp_path):
    """A layout with two images under names of their own."""
    directory = tmp_path / "layout"
    FIRST.write_layout(directory, "v1")
    SECOND.write_layout(directory, "org/os:v2")
    return directory


# -- layouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [FIRST, SECOND], ids=["oci", "docker"])
def test_the_only_image_of_a_layout_needs_no_name(tmp_path, image):
    name = image.write_layout(tmp_path / "layout", None)
    with opened(name) as found:
        assert (image.digest, None) == (str(found.digest), found.index_digest)
        assert found.read_rootfs().read_text("/which") in ("first", "second")


def test_one_of_several_images_is_chosen_by_its_name(layout):
    assert "first" == which(f"oci:{layout}:v1")
    assert "second" == which(f"oci:{layout}:org/os:v2")


def test_one_of_several_images_is_chosen_by_its_digest(layout):
    assert "first" == which(f"oci:{layout}@{FIRST.digest}")
    assert "second" == which(f"oci:{layout}@{SECOND.digest}")


def test_an_image_may_be_called_by_what_containerd_calls_it(layout):
    def edit(document):
        document["manifests"][0]["annotations"] = {"io.containerd.image.name": "docker.io/org/os:v7"}

    edit_index(layout, edit)
    assert "first" == which(f"oci:{layout}:docker.io/org/os:v7")
    assert "first" == which(f"oci:{layout}:org/os:v7")


@pytest.mark.parametrize("selector", ["", ":v3", ":v", ":org/os", "@sha256:" + "0" * 64])
def test_an_unclear_choice_is_an_error_that_names_the_images(layout, selector):
    with pytest.raises(InvalidLayout, match="v1") as raised:
        opened(f"oci:{layout}{selector}")
    assert "org/os:v2" in str(raised.value)
    assert str(layout / "index.json") in str(raised.value)


def test_two_images_of_one_name_are_an_error(layout):
    def edit(document):
        for item in document["manifests"]:
            item["annotations"] = {"org.opencontainers.image.ref.name": "v1"}

    edit_index(layout, edit)
    with pytest.raises(InvalidLayout, match="expected one image, found 2"):
        opened(f"oci:{layout}:v1")


def test_one_image_of_several_names_needs_none(tmp_path):
    FIRST.write_layout(tmp_path, "v1")
    FIRST.write_layout(tmp_path, "latest")
    assert "first" == which(f"oci:{tmp_path}")
    assert "first" == which(f"oci:{tmp_path}:latest")


def test_a_manifest_that_the_index_does_not_list_is_found_by_its_digest(layout):
    edit_index(layout, lambda document: document["manifests"].pop(0))
    assert "first" == which(f"oci:{layout}@{FIRST.digest}")


def test_an_index_in_a_layout_offers_its_platforms(tmp_path):
    index = image_index(FIRST, ARM)
    name = index.write_layout(tmp_path, "v1")
    assert "first" == which(name, platform=AMD64)
    with opened(f"oci:{tmp_path}@{index.digest}", platform=Platform("linux", "arm64")) as image:
        assert (index.digest, ARM.digest) == (str(image.index_digest), str(image.digest))
    with pytest.raises(NoMatchingPlatform, match="linux/amd64, linux/arm64"):
        opened(name, platform=Platform("linux", "riscv64"))


def platforms(document):
    for item, architecture in zip(document["manifests"], ("amd64", "arm64"), strict=False):
        item["platform"] = {"os": "linux", "architecture": architecture}
        item.pop("annotations", None)


def test_index_json_may_itself_be_the_index_of_one_image(tmp_path):
    FIRST.write_layout(tmp_path, "a")
    ARM.write_layout(tmp_path, "b")
    edit_index(tmp_path, platforms)
    with opened(f"oci:{tmp_path}", platform=Platform("linux", "arm64")) as image:
        assert "arm" == image.read_rootfs().read_text("/which")
        assert Digest.of((tmp_path / "index.json").read_bytes()) == image.index_digest
    assert "first" == which(f"oci:{tmp_path}", platform=AMD64)


def test_attestations_in_index_json_are_no_further_images(tmp_path):
    FIRST.write_layout(tmp_path, "a")
    ARM.write_layout(tmp_path, "b")

    def edit(document):
        platforms(document)
        for digit in "12":
            attestation = {"os": "unknown", "architecture": "unknown"}
            document["manifests"].append(
                document["manifests"][0] | {"platform": attestation, "digest": "sha256:" + digit * 64}
            )

    edit_index(tmp_path, edit)
    assert "arm" == which(f"oci:{tmp_path}", platform=Platform("linux", "arm64"))


def test_two_images_for_one_platform_are_two_images(tmp_path):
    FIRST.write_layout(tmp_path, "a")
    SECOND.write_layout(tmp_path, "b")

    def edit(document):
        for item in document["manifests"]:
            item["platform"] = {"os": "linux", "architecture": "amd64"}

    edit_index(tmp_path, edit)
    with pytest.raises(InvalidLayout, match="expected one image, found 2"):
        opened(f"oci:{tmp_path}", platform=AMD64)


@pytest.mark.parametrize(
    "text", [None, '{"imageLayoutVersion":"1.0.0"}', '{"imageLayoutVersion":"1.1.0","x":1}']
)
def test_versions_of_the_layout_that_are_read(layout, text):
    (layout / "oci-layout").unlink()
    if text is not None:
        (layout / "oci-layout").write_text(text)
    assert "first" == which(f"oci:{layout}:v1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "x",
        '{"imageLayoutVersion":"2.0.0"}',
        '{"imageLayoutVersion":1}',
        "[" * 100_000,
    ],
)
def test_versions_of_the_layout_that_are_refused(layout, text):
    (layout / "oci-layout").write_text(text)
    with pytest.raises(InvalidLayout, match="imageLayoutVersion"):
        opened(f"oci:{layout}:v1")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schemaVersion":2}', '{"schemaVersion":2,"manifests":[],"layers":[]}']
)
def test_an_index_json_that_is_no_index_is_refused(layout, text):
    (layout / "index.json").write_text(text)
    with pytest.raises(InvalidManifest):
        opened(f"oci:{layout}:v1")


def test_an_index_json_beyond_its_bound_is_refused(layout):
    with pytest.raises(LimitExceeded):
        opened(f"oci:{layout}:v1", limits=evolve(DEFAULT_LIMITS, manifest_bytes=100))


@pytest.mark.parametrize("manifests", [[], None])
def test_a_layout_without_images_is_told(layout, manifests):
    edit_index(layout, lambda document: document.update(manifests=manifests))
    with pytest.raises(InvalidLayout, match="the layout has none"):
        opened(f"oci:{layout}")


def test_a_directory_that_is_no_layout_is_told_with_a_way_out(tmp_path):
    with pytest.raises(InvalidLayout, match="docker-archive:"):
        opened(f"oci:{tmp_path}")
    with pytest.raises(InvalidLayout):
        opened(f"oci:{tmp_path / 'missing'}")


@pytest.mark.parametrize("which_one", ["digest", "config_digest", "layer"])
def test_a_blob_that_is_missing_is_the_layouts_fault(layout, which_one):
    digest = FIRST.layers[0] if which_one == "layer" else getattr(FIRST, which_one)
    path = layout / "blobs" / digest.replace(":", "/")
    path.unlink()
    with pytest.raises(InvalidLayout, match="expected a blob") as raised:
        which(f"oci:{layout}:v1")
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("field", ["digest", "size"])
def test_a_layout_that_lies_about_its_manifest_is_told(layout, field):
    def edit(document):
        item = document["manifests"][0]
        item[field] = item["size"] + 1 if field == "size" else SECOND.digest

    edit_index(layout, edit)
    with pytest.raises(ContentError) as raised:
        opened(f"oci:{layout}:v1")
    assert isinstance(raised.value, SizeMismatch | DigestMismatch)


def test_blobs_may_be_links_for_their_bytes_are_verified(layout, tmp_path):
    blob = layout / "blobs" / FIRST.layers[0].replace(":", "/")
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    assert "first" == which(f"oci:{layout}:v1")
    (tmp_path / "elsewhere").write_bytes(b"root:x:0:0:root:/root:/bin/bash\n")
    with pytest.raises(ContentError):
        which(f"oci:{layout}:v1")


def test_resolving_says_what_the_index_says(layout):
    found = LayoutSource(DirectoryFiles(layout), "v1").resolve()
    assert (FIRST.media_type, FIRST.digest, len(FIRST.manifest)) == (
        found.media_type,
        str(found.digest),
        found.size,
    )


# -- layouts in archives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layout_in_an_archive_is_read_without_unpacking_it(tmp_path, compression):
    name = FIRST.write_archive(tmp_path / "image.tar", "v1", compression=compression)
    assert "first" == which(name)
    assert "first" == which(f"oci-archive:{tmp_path / 'image.tar'}")
    assert "first" == which(f"oci-archive:{tmp_path / 'image.tar'}@{FIRST.digest}")
    with pytest.raises(InvalidLayout, match="v1"):
        opened(f"oci-archive:{tmp_path / 'image.tar'}:v2")
    assert ["image.tar"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["index.json", "./index.json", "x/../index.json", "oci-layout"])
def test_an_archive_with_two_files_of_a_documents_name_is_refused(tmp_path, name):
    path = tmp_path / "image.tar"
    FIRST.write_archive(path, "v1")
    with tarfile.open(path) as archive:
        found = {item.name: archive.extractfile(item).read() for item in archive if item.isreg()}
    again = found[name.rpartition("/")[2]]
    path.write_bytes(tar_bytes([*found.items(), (RawName(name), again)]))
    with pytest.raises(InvalidLayout, match="readers take different ones"):
        which(f"oci-archive:{path}")


def test_an_index_in_an_archive_offers_its_platforms(tmp_path):
    name = image_index(FIRST, ARM).write_archive(tmp_path / "image.tar", "v1", compression="gzip")
    assert "arm" == which(name, platform=Platform("linux", "arm64"))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_damaged_blob_in_an_archive_is_told(tmp_path, compression):
    layer = FIRST.layers[0]
    damaged = FIRST.replace_blob(layer, FIRST.blobs[layer][:-1] + b"x")
    name = damaged.write_archive(tmp_path / "image.tar", "v1", compression=compression)
    with pytest.raises(DigestMismatch, match=layer):
        which(name)


# -- directories ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [FIRST, SECOND], ids=["oci", "docker"])
def test_an_image_in_a_directory_is_read(tmp_path, image):
    with opened(image.write_directory(tmp_path / "dir")) as found:
        assert image.digest == str(found.digest)
        assert found.read_rootfs().read_text("/which") in ("first", "second")


def test_an_index_in_a_directory_offers_its_platforms(tmp_path):
    name = image_index(FIRST, ARM).write_directory(tmp_path / "dir")
    assert "arm" == which(name, platform=Platform("linux", "arm64"))


def test_a_directory_that_skopeo_did_not_write_is_told_with_a_way_out(tmp_path):
    with pytest.raises(InvalidLayout, match="use oci:"):
        opened(f"dir:{tmp_path}")


def test_a_blob_that_is_missing_from_a_directory_is_told(tmp_path):
    name = FIRST.write_directory(tmp_path)
    (tmp_path / FIRST.layers[0].partition(":")[2]).unlink()
    with pytest.raises(InvalidLayout, match="expected a blob"):
        which(name)


def test_a_damaged_blob_in_a_directory_is_told(tmp_path):
    name = FIRST.write_directory(tmp_path)
    path = tmp_path / FIRST.layers[0].partition(":")[2]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        which(name)


# -- what other programs write -------------------------------------------------------------------------------------

LAYERS = [{"which": "one", "gone": "x", "d/kept": "y"}, {"gone": Whiteout(), "which": "two"}]


def skopeo(*arguments):
    subprocess.run([SKOPEO, "--insecure-policy", *arguments], check=True, capture_output=True)


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize("media_types", ["oci", "docker"])
@pytest.mark.parametrize(
    "target",
    [
        "oci:{0}/layout:v1",
        "oci:{0}/layout",
        "oci-archive:{0}/a.tar:v1",
        "oci-archive:{0}/a.tar",
        "dir:{0}/dir",
    ],
)
def test_what_skopeo_writes_is_read(tmp_path, media_types, target):
    base = ImageBuilder(media_types=media_types)
    for layer in LAYERS:
        base = base.layer(layer)
    built = base.build()
    target = target.format(tmp_path)
    skopeo("copy", built.write_directory(tmp_path / "source"), target)
    with opened(target) as image:
        rootfs = image.read_rootfs()
        assert ["d", "which"] == sorted(rootfs.listdir("/"))
        assert ("two", "y") == (rootfs.read_text("/which"), rootfs.read_text("/d/kept"))
        if target.startswith("dir:") or media_types == "oci":
            assert built.digest == str(image.digest)


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_skopeo_compresses_is_read(tmp_path, form):
    built = ImageBuilder().layer(LAYERS[0], compression="none").build()
    target = f"dir:{tmp_path / 'dir'}"
    skopeo(
        "copy",
        "--dest-compress",
        f"--dest-compress-format={form}",
        built.write_directory(tmp_path / "source"),
        target,
    )
    with opened(target) as image:
        assert "one" == image.read_rootfs().read_text("/which")
        assert image.manifest.layers[0].media_type.endswith(form)


@pytest.mark.compat
@needs_skopeo
def test_an_index_that_skopeo_copies_whole_is_read(tmp_path):
    built = image_index(FIRST, ARM)
    source, target = built.write_layout(tmp_path / "source", "v1"), f"dir:{tmp_path / 'dir'}"
    skopeo("copy", "--all", source, target)
    with opened(target, platform=Platform("linux", "arm64")) as image:
        assert (built.digest, ARM.digest) == (str(image.index_digest), str(image.digest))
        assert "arm" == image.read_rootfs().read_text("/which")


@pytest.mark.compat
@needs_umoci
def test_what_umoci_makes_is_read(tmp_path):
    layout = tmp_path / "layout"
    subprocess.run([UMOCI, "init", "--layout", layout], check=True)
    with pytest.raises(InvalidLayout, match="the layout has none"):
        opened(f"oci:{layout}")
    subprocess.run([UMOCI, "new", "--image", f"{layout}:v1"], check=True)
    assert [] == opened(f"oci:{layout}:v1").read_rootfs().listdir("/")
    (tmp_path / "file").write_text("umoci")
    subprocess.run(
        [UMOCI, "insert", "--rootless", "--image", f"{layout}:v1", tmp_path / "file", "/etc/which"],
        check=True,
    )
    with opened(f"oci:{layout}:v1") as image:
        assert "umoci" == image.read_rootfs().read_text("/etc/which")
