"""Saved images: Docker's before 25 and since, podman's and skopeo's; one and several; whole and damaged."""

import gzip
import itertools
import json
import shutil
import subprocess
import tarfile

import pytest
from attrs import evolve

from cosinspect.errors import (
    ContentError,
    CosinspectError,
    DigestMismatch,
    InvalidImage,
    InvalidLayout,
    LimitExceeded,
    NoMatchingPlatform,
)
from cosinspect.image.image import Image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import DOCKER_MANIFEST, Platform
from cosinspect.sources.local.docker_archive import DockerArchiveSource
from cosinspect.sources.local.files import ArchiveFiles
from cosinspect.testing import ImageBuilder, RawName, Symlink, Whiteout, digest_of, image_index, tar_bytes
from cosinspect.testing.layers import compress

STYLES = pytest.mark.parametrize("style", ["legacy", "podman", "docker25"])
AMD64 = Platform("linux", "amd64")
SKOPEO = shutil.which("skopeo")
needs_skopeo = pytest.mark.skipif(not SKOPEO, reason="skopeo is not installed")

IMAGE = (
    ImageBuilder(media_types="docker")
    .layer({"etc/motd": "hello", "gone": "x"}, created_by="FROM")
    .layer({"gone": Whiteout(), "which": "image"}, created_by="RUN")
    .build()
)
OTHER = ImageBuilder().layer({"which": "other"}).build()


def opened(path, selector=None, **options):
    limits = options.get("limits", DEFAULT_LIMITS)
    return Image.open(
        "name", DockerArchiveSource(ArchiveFiles(path, limits=limits), selector, limits=limits), **options
    )


def which(path, selector=None, **options):
    with opened(path, selector, **options) as image:
        return image.read_rootfs().read_text("/which")


def saved(path, style="docker25", image=IMAGE, tag="org/os:v1", **options):
    image.write_docker_archive(path, tag, style=style, **options)
    return path


def members(path):
    """What is in an archive, by name."""
    with tarfile.open(path) as archive:
        return {
            item.name: Symlink(item.linkname) if item.issym() else archive.extractfile(item).read()
            for item in archive
            if not item.isdir()
        }


def rewritten(path, change, **options):
    """Change an archive's members, given as a dictionary, in place."""
    found = members(path)
    change(found)
    path.write_bytes(tar_bytes(found, **options))
    return path


def manifest_of(found):
    return json.loads(found["manifest.json"])


def edit_manifest(path, edit):
    def change(found):
        document = manifest_of(found)
        edit(document)
        found["manifest.json"] = json.dumps(document)

    return rewritten(path, change)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.tar"


# -- one image -----------------------------------------------------------------------------------------------------


@STYLES
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_an_image_is_read_whoever_saved_it(path, style, compression):
    with opened(saved(path, style, compression=compression)) as image:
        assert ["etc", "which"] == sorted(image.read_rootfs().listdir("/"))
        assert IMAGE.config == image.config.raw
        assert ["FROM", "RUN"] == [layer.created_by for layer in image.layers]
        assert AMD64 == image.platform
        assert not any(path.parent.glob("*/"))  # nothing was unpacked


def test_an_archive_of_docker_25_has_the_digest_that_registries_know(path):
    for image in (IMAGE, OTHER):
        assert image.digest == str(opened(saved(path, image=image)).digest)


@pytest.mark.parametrize("style", ["legacy", "podman"])
def test_an_older_archive_gets_a_manifest_of_its_own_that_is_always_the_same(path, style):
    first, second = (opened(saved(path, style)) for _ in range(2))
    assert DOCKER_MANIFEST == first.manifest.media_type
    assert first.digest == second.digest
    # The layers are stored plain: their digests are their diff_ids.
    assert [digest_of(tar) for tar in IMAGE.tars] == [str(layer.descriptor.digest) for layer in first.layers]


@STYLES
def test_a_layer_that_comes_twice_is_read_by_its_link(path, style):
    twice = ImageBuilder().layer({"which": "a"}).layer({"which": Whiteout()}).layer({"which": "a"}).build()
    assert "a" == which(saved(path, style, image=twice))


@STYLES
def test_an_image_without_layers_is_an_empty_tree(path, style):
    assert [] == opened(saved(path, style, image=ImageBuilder().build())).read_rootfs().listdir("/")


@pytest.mark.parametrize("style", ["legacy", "podman"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("outer", ["none", "gzip"])
def test_layers_may_be_compressed_inside(path, style, compression, outer):
    def change(found):
        for name in manifest_of(found)[0]["Layers"]:
            if isinstance(found[name], bytes):
                found[name] = compress(found[name], compression)

    rewritten(saved(path, style), change)
    path.write_bytes(compress(path.read_bytes(), outer))
    with opened(path) as image:
        assert "image" == image.read_rootfs().read_text("/which")
        assert {digest_of(compress(tar, compression)) for tar in IMAGE.tars} == {
            str(layer.descriptor.digest) for layer in image.layers
        }


@pytest.mark.parametrize("shift", range(1, 6))
def test_compression_is_seen_however_the_bytes_of_an_archive_arrive(path, shift):
    found = members(saved(path, "podman"))
    for name in manifest_of(found)[0]["Layers"]:
        found[name] = gzip.compress(found[name], mtime=0)
    # Members of 512 bytes that end a little behind the start of each block: so do the pieces of the inflated archive.
    archive = tar_bytes(found)
    cuts = [0, *range(shift, len(archive), 512), len(archive)]
    parts = [archive[start:end] for start, end in itertools.pairwise(cuts)]
    path.write_bytes(b"".join(gzip.compress(part, 1, mtime=0) for part in parts))
    assert "image" == which(path)


# -- several images ------------------------------------------------------------------------------------------------


@pytest.fixture
def several(path, tmp_path):
    """One archive with two images of three names, as `docker save` with several arguments writes it."""
    first, second = (
        members(saved(path, "podman")),
        members(saved(tmp_path / "b.tar", "podman", OTHER, "quay.io/x/y:v2")),
    )
    (one,), (two,) = manifest_of(first), manifest_of(second)
    one["RepoTags"].append("localhost:5000/os:latest")
    path.write_bytes(
        tar_bytes(first | second | {"manifest.json": json.dumps([one, two, {**two, "RepoTags": None}])})
    )
    return path


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("org/os:v1", "image"),
        ("docker.io/org/os:v1", "image"),
        ("index.docker.io/org/os:v1", "image"),
        ("localhost:5000/os", "image"),
        ("localhost:5000/os:latest", "image"),
        ("quay.io/x/y:v2", "other"),
        ("@0", "image"),
        ("@1", "other"),
        ("@2", "other"),
    ],
)
def test_one_of_several_images_is_chosen_by_a_name_or_its_position(several, selector, expected):
    assert expected == which(several, selector)


@pytest.mark.parametrize(
    "selector",
    [None, "org/os", "org/os:v2", "os:v1", "x/y:v2", "@3", "@", "@-1", "@x", "@99999999999", "", "NO:name:"],
)
def test_an_unclear_choice_is_an_error_that_names_the_images(several, selector):
    with pytest.raises(InvalidLayout, match="org/os:v1") as raised:
        opened(several, selector)
    assert "quay.io/x/y:v2" in str(raised.value)


def test_a_name_without_a_tag_means_the_latest(path):
    saved(path, "legacy", tag="os:latest")
    assert "image" == which(path, "os")
    assert "image" == which(path, "docker.io/library/os:latest")


def test_images_without_names_are_chosen_by_position(path):
    def edit(document):
        document.append(document[0] | {"RepoTags": []})
        document[0]["RepoTags"] = None

    edit_manifest(saved(path), edit)
    with pytest.raises(InvalidLayout, match="use @0"):
        opened(path)
    assert "image" == which(path, "@1")


# -- Docker since 25 -----------------------------------------------------------------------------------------------


def test_an_index_in_an_archive_leads_to_the_image_that_was_chosen(path):
    arm = ImageBuilder(platform="linux/arm64").layer({"which": "arm"}).build()
    index = image_index(IMAGE, arm)

    def change(found):
        for digest, blob in index.blobs.items():
            found[f"blobs/{digest.replace(':', '/')}"] = blob
        found["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index.descriptor()]})

    rewritten(saved(path), change)
    assert IMAGE.digest == str(opened(path).digest)
    with pytest.raises(NoMatchingPlatform):
        opened(path, platform=Platform("linux", "arm64"))


def test_an_index_that_names_itself_without_end_is_looked_at_once(path):
    def repeat(document):
        document["manifests"] *= 200

    index = ImageBuilder(platform="linux/arm64").layer({"x": ""}).build()
    for _ in range(3):
        index = image_index(index, edit=repeat)

    def change(found):
        for digest, blob in index.blobs.items():
            found[f"blobs/{digest.replace(':', '/')}"] = blob
        mine = json.loads(found["index.json"])["manifests"]
        found["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index.descriptor(), *mine]})

    assert IMAGE.digest == str(opened(rewritten(saved(path), change)).digest)


def test_manifests_that_were_not_saved_are_passed_over(path):
    def change(found):
        document = json.loads(found["index.json"])
        document["manifests"].insert(0, document["manifests"][0] | {"digest": digest_of(b"not saved")})
        found["index.json"] = json.dumps(document)

    assert IMAGE.digest == str(opened(rewritten(saved(path), change)).digest)


def test_where_the_layout_does_not_have_the_image_the_older_list_counts(path):
    def change(found):
        found["index.json"] = json.dumps({"schemaVersion": 2, "manifests": []})

    with opened(rewritten(saved(path), change)) as image:
        assert "image" == image.read_rootfs().read_text("/which")
        assert DOCKER_MANIFEST == image.manifest.media_type


# -- what is wrong -------------------------------------------------------------------------------------------------


@STYLES
@pytest.mark.parametrize("what", ["config", "layer 0", "layer 1", "manifest.json"])
def test_a_file_that_is_missing_is_the_archives_fault(path, style, what):
    def change(found):
        (item,) = manifest_of(found)
        name = {"config": item["Config"], "manifest.json": "manifest.json"}.get(what) or item["Layers"][
            int(what[-1])
        ]
        del found[name]

    rewritten(saved(path, style), change)
    with pytest.raises(InvalidLayout) as raised:
        which(path)
    assert str(path) in str(raised.value)


@STYLES
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("at", [0, 700, -1])
def test_a_damaged_layer_is_told(path, style, number, at):
    def change(found):
        name = manifest_of(found)[0]["Layers"][number]
        layer = bytearray(found[name])
        layer[min(at, len(layer) - 1)] ^= 0x10
        found[name] = bytes(layer)

    rewritten(saved(path, style), change)
    with pytest.raises(DigestMismatch):
        which(path)


@STYLES
def test_layers_that_changed_places_are_told(path, style):
    edit_manifest(saved(path, style), lambda document: document[0]["Layers"].reverse())
    # Where there is a layout as well, some readers go by the one list and some by the other.
    with pytest.raises(InvalidLayout if style == "docker25" else ContentError):
        which(path)


@STYLES
def test_a_damaged_configuration_is_told(path, style):
    def change(found):
        name = manifest_of(found)[0]["Config"]
        found[name] = found[name].replace(digest_of(IMAGE.tars[0]).encode(), digest_of(b"other").encode())

    rewritten(saved(path, style), change)
    with pytest.raises(ContentError):
        which(path)


@pytest.mark.parametrize("style", ["legacy", "podman"])
def test_as_many_layers_as_the_configuration_names_are_wanted(path, style):
    edit_manifest(saved(path, style), lambda document: document[0]["Layers"].pop())
    with pytest.raises(InvalidLayout, match="expected 2 layers"):
        opened(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[null]",
        "[{}]",
        '[{"Config": 7, "Layers": []}]',
        '[{"Config": "x", "Layers": "y"}]',
        '[{"Config": "x", "Layers": [7]}]',
        '[{"Config": "x", "RepoTags": "y"}]',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_a_manifest_json_that_is_none_is_refused(path, text):
    rewritten(saved(path, "podman"), lambda found: found.update({"manifest.json": text}))
    with pytest.raises(InvalidLayout, match=r"manifest\.json"):
        opened(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rootfs":{"type":"layers","diff_ids":["x"]}}', b"\xff"])
def test_a_configuration_that_is_none_is_refused(path, text):
    edit_manifest(saved(path, "podman"), lambda document: document[0].update(Config="config.json"))
    rewritten(path, lambda found: found.update({"config.json": text}))
    with pytest.raises(InvalidImage):
        opened(path)


@pytest.mark.parametrize("name", ["{}.json", "{}", "sha256:{}", "blobs/sha256/{}"])
def test_a_configuration_is_what_its_name_says_it_is(path, name):
    name = name.format(digest_of(IMAGE.config).partition(":")[2])
    edit_manifest(saved(path, "podman"), lambda document: document[0].update(Config=name))
    rewritten(path, lambda found: found.update({name: IMAGE.config}))
    assert "image" == which(path)
    rewritten(path, lambda found: found.update({name: IMAGE.config.replace(b"FROM", b"FORM")}))
    with pytest.raises(DigestMismatch):
        opened(path)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../../etc/passwd", "manifest.json", "", ".", "no/such"]
)
@pytest.mark.parametrize("key", ["Config", "Layers"])
def test_names_never_lead_out_of_the_archive(path, key, name):
    def edit(document):
        document[0][key] = name if key == "Config" else [name] * 2

    edit_manifest(saved(path, "podman"), edit)
    with pytest.raises(CosinspectError) as raised:
        which(path)
    assert isinstance(raised.value, InvalidLayout | InvalidImage | ContentError)
    assert "root:" not in str(raised.value)


def test_an_archive_of_another_kind_is_told_with_a_way_out(path):
    IMAGE.write_archive(path, "v1")
    with pytest.raises(InvalidLayout, match="oci-archive:"):
        opened(path)


@pytest.mark.parametrize("limit", ["manifest_bytes", "config_bytes"])
def test_documents_beyond_their_bounds_are_refused(path, limit):
    with pytest.raises(LimitExceeded):
        opened(saved(path, "podman"), limits=evolve(DEFAULT_LIMITS, **{limit: 100}))


def test_names_in_the_archive_may_be_written_in_other_ways(path):
    with tarfile.open(saved(path, "podman")) as archive:
        entries = [
            (RawName("./" + item.name), archive.extractfile(item).read()) for item in archive if item.isreg()
        ]
    path.write_bytes(tar_bytes(entries))
    assert "image" == which(path)


# -- what readers take differently ---------------------------------------------------------------------------------


def _both(tmp_path, style):
    """The members of an archive of `IMAGE`, and of one of `OTHER`, as pairs."""
    archives = []
    for number, image in enumerate((IMAGE, OTHER)):
        archives.append(members(saved(tmp_path / f"{number}.tar", style, image=image)))
    return archives


def _repeated(tmp_path, style, name):
    """An archive with everything of both images, and a second list of images, that of `IMAGE`, under this name."""
    first, second = _both(tmp_path, style)
    pairs = [(RawName(key), value) for key, value in {**first, **second}.items()]
    return tar_bytes([*pairs, (RawName(name), first["manifest.json"])])


TWICE = pytest.mark.parametrize(
    "name", ["manifest.json", "./manifest.json", "x/../manifest.json", "/manifest.json", "../manifest.json"]
)


@TWICE
@pytest.mark.parametrize("style", ["legacy", "podman"])
def test_two_lists_of_images_are_refused(path, tmp_path, style, name):
    path.write_bytes(_repeated(tmp_path, style, name))
    with pytest.raises(InvalidLayout, match="readers take different ones"):
        which(path)


@pytest.mark.compat
@needs_skopeo
@TWICE
def test_skopeo_takes_the_first_list_of_images_with_exactly_that_name(path, tmp_path, name):
    path.write_bytes(_repeated(tmp_path, "podman", name))
    target = tmp_path / "dir"
    subprocess.run(
        [SKOPEO, "--insecure-policy", "copy", f"docker-archive:{path}", f"dir:{target}"],
        check=True,
        capture_output=True,
    )
    document = json.loads((target / "manifest.json").read_bytes())
    assert document["config"]["digest"] == digest_of(OTHER.config)


@pytest.mark.parametrize("name", ["x/../manifest.json", "/manifest.json"])
def test_a_list_of_images_in_an_odd_spelling_is_refused(path, name):
    found = members(saved(path, "podman"))
    path.write_bytes(
        tar_bytes([(RawName(key if key != "manifest.json" else name), found[key]) for key in found])
    )
    with pytest.raises(InvalidLayout, match="found it written"):
        which(path)


def test_a_second_layer_or_configuration_of_a_name_is_refused(path):
    for key in ("Config", "Layers"):
        found = members(saved(path, "podman"))
        item = manifest_of(found)[0]
        name = item[key] if key == "Config" else item[key][0]
        path.write_bytes(tar_bytes([*found.items(), (RawName(name), b"other")]))
        with pytest.raises(InvalidLayout, match="found two"):
            which(path)


@STYLES
@pytest.mark.parametrize("key", ["config", "layers", "CONFIG", "repotags", "layer\u017f"])
def test_keys_in_another_case_are_refused_for_go_takes_them(path, style, key):
    def edit(document):
        document[0][key] = document[0].get("Config", "")

    edit_manifest(saved(path, style), edit)
    with pytest.raises(InvalidLayout, match="stands for"):
        which(path)


@STYLES
def test_a_key_that_is_there_twice_is_refused(path, style):
    def change(found):
        config = manifest_of(found)[0]["Config"]
        found["manifest.json"] = found["manifest.json"].replace(
            b'{"', b'{"Config":"%s","' % config.encode(), 1
        )

    rewritten(saved(path, style), change)
    with pytest.raises(InvalidLayout, match="twice"):
        which(path)


def test_a_configuration_beside_the_layout_is_refused(path):
    def change(found):
        document = manifest_of(found)
        digest = document[0]["Config"].rpartition("/")[2]
        found[f"evil/{digest}"] = OTHER.config
        document[0]["Config"] = f"evil/{digest}"
        found["manifest.json"] = json.dumps(document)

    rewritten(saved(path), change)
    with pytest.raises(InvalidLayout, match="skopeo loads that one"):
        which(path)


# -- what other programs write -------------------------------------------------------------------------------------


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize("media_types", ["oci", "docker"])
def test_what_skopeo_saves_is_read(tmp_path, media_types):
    base = ImageBuilder(media_types=media_types).layer({"gone": "x", "d/kept": "y"})
    built = base.layer({"gone": Whiteout(), "which": "skopeo"}).build()
    source = built.write_directory(tmp_path / "source")
    for number, tag in enumerate(("org/os:v1", "localhost:5000/os:v2")):
        target = tmp_path / f"{number}.tar"
        subprocess.run(
            [SKOPEO, "--insecure-policy", "copy", source, f"docker-archive:{target}:{tag}"],
            check=True,
            capture_output=True,
        )
        with opened(target, tag) as image:
            assert ["d", "which"] == sorted(image.read_rootfs().listdir("/"))
            assert "skopeo" == image.read_rootfs().read_text("/which")
            assert built.config == image.config.raw
        with pytest.raises(InvalidLayout, match=tag):
            opened(target, "org/os:v9")


@pytest.mark.compat
@needs_skopeo
@STYLES
def test_what_we_read_skopeo_reads_too(path, tmp_path, style):
    target = tmp_path / "dir"
    subprocess.run(
        [SKOPEO, "--insecure-policy", "copy", f"docker-archive:{saved(path, style)}", f"dir:{target}"],
        check=True,
        capture_output=True,
    )
    document = json.loads((target / "manifest.json").read_bytes())
    with opened(path) as image:
        assert document["config"]["digest"] == str(image.manifest.config.digest)
        assert len(document["layers"]) == len(image.layers)
