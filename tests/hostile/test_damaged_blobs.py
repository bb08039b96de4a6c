"""Every blob of a good image damaged in turn, in every way, wherever an image comes from: never a pass.

As in umoci's hardening tests, a loop over what the image has does the damage, so that nothing is forgotten.
"""

import contextlib
import gzip
import itertools
import json
import struct

import pytest
import zstandard

from cosinspect.errors import ContentError, CosinspectError, DigestMismatch, SizeMismatch, SourceError
from cosinspect.image.image import Image
from cosinspect.oci.documents import Digest, Platform
from cosinspect.oci.reference import Reference
from cosinspect.sources.local.docker_archive import DockerArchiveSource
from cosinspect.sources.local.files import ArchiveFiles, DirectoryFiles
from cosinspect.sources.local.layout import DirSource, LayoutSource
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.testing import ImageBuilder, Registry, Symlink, Whiteout, digest_of, image_index, tar_bytes

AMD64 = Platform("linux", "amd64")

# -- a good image --------------------------------------------------------------------------------------------------

FILES = {"etc/motd": b"hello " * 400, "usr/bin/tool": bytes(range(256)) * 40, "bin": Symlink("usr/bin")}
GZIP_TAR = tar_bytes(FILES)
ZSTD_TAR = tar_bytes({"etc/zstd": b"zstd" * 900})


def skippable(size):
    """A zstd frame that stands for nothing."""
    return struct.pack("<II", 0x184D2A50, size) + bytes(size)


GOOD = (
    ImageBuilder(labels={"label": "value"})
    # Both compressed so that another level leaves room for padding.
    .raw_layer(
        gzip.compress(GZIP_TAR, 1, mtime=0),
        media_type="application/vnd.oci.image.layer.v1.tar+gzip",
        diff_id=digest_of(GZIP_TAR),
    )
    .raw_layer(
        zstandard.compress(ZSTD_TAR) + skippable(100),
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
        diff_id=digest_of(ZSTD_TAR),
    )
    .layer({"etc/plain": b"plain" * 100, "etc/motd": Whiteout()}, compression="none")
    .build()
)
INDEX = image_index(GOOD)
TREE = {"/etc/zstd": b"zstd" * 900, "/etc/plain": b"plain" * 100, "/usr/bin/tool": bytes(range(256)) * 40}


# -- where it comes from -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def layout(built, root):
    built.write_layout(root / "layout", "v1")
    with Image.open("layout", LayoutSource(DirectoryFiles(root / "layout"), "v1"), platform=AMD64) as image:
        yield image


@contextlib.contextmanager
def directory(built, root):
    built.write_directory(root / "dir")
    with Image.open("directory", DirSource(DirectoryFiles(root / "dir")), platform=AMD64) as image:
        yield image


@contextlib.contextmanager
def oci_archive(built, root):
    built.write_archive(root / "image.tar", "v1", compression="gzip")
    with Image.open("archive", LayoutSource(ArchiveFiles(root / "image.tar")), platform=AMD64) as image:
        yield image


@contextlib.contextmanager
def docker_archive(built, root):
    built.write_docker_archive(root / "docker.tar", "org/os:v1")
    with Image.open("saved", DockerArchiveSource(ArchiveFiles(root / "docker.tar")), platform=AMD64) as image:
        yield image


@contextlib.contextmanager
def registry(built, _root):
    with Registry() as server:
        reference = Reference.parse(server.push(built, "org/os"))
        source = RegistrySource(reference, sleep=lambda _: None)
        with contextlib.closing(source), Image.open("registry", source, platform=AMD64) as image:
            yield image


PLACES = [
    (layout, INDEX),
    (directory, INDEX),
    (oci_archive, INDEX),
    (docker_archive, GOOD),
    (registry, INDEX),
]
everywhere = pytest.mark.parametrize(
    ("place", "built"), PLACES, ids=lambda item: getattr(item, "__name__", "")
)


def inspected(place, built, root):
    """Everything that an image has, read once while its layers pass by and once more file by file."""
    with place(built, root) as image:
        kept, later = image.read_rootfs(["**"]), image.read_rootfs()
        found = {path: kept.read_bytes(path) for path in TREE}
        assert found == {path: later.read_bytes(path) for path in TREE}
        return found


def covered(place, built):
    """The blobs that a digest covers there: skopeo's directories have nothing that vouches for their manifest.json."""
    return [digest for digest in built.blobs if place is not directory or digest != built.digest]


# -- damage --------------------------------------------------------------------------------------------------------


def flips(blob):
    for at in sorted({0, 1, 4, 9, len(blob) // 3, len(blob) // 2, len(blob) - 5, len(blob) - 1}):
        yield f"byte {at} changed", blob[:at] + bytes([blob[at] ^ 0x21]) + blob[at + 1 :]


def cuts(blob):
    for length in (0, 1, len(blob) // 2, len(blob) - 1):
        yield f"cut to {length}", blob[:length]


def extensions(blob):
    for name, more in {"a NUL": b"\0", "a newline": b"\n", "zeros": bytes(512), "itself": blob}.items():
        yield f"extended by {name}", blob + more


def others(blob):
    """Other valid blobs of the same kind and length."""
    if blob[:1] == b"{":
        yield (
            "keys in another order",
            json.dumps(
                dict(reversed(json.loads(blob).items())), separators=(",", ":"), ensure_ascii=False
            ).encode(),
        )
    elif blob[:2] == b"\x1f\x8b":
        plain = gzip.decompress(blob)
        yield "recompressed", padded_gzip(plain, len(blob))
        yield "another layer", padded_gzip(plain.replace(b"hello", b"hullo"), len(blob))
    elif blob[:4] == b"\x28\xb5\x2f\xfd":
        plain = zstandard.decompress(blob)
        yield "recompressed", padded_zstd(plain, len(blob))
        yield "another layer", padded_zstd(plain.replace(b"zstdzstd", b"ztsdztsd"), len(blob))
    else:
        yield "another layer", blob.replace(b"plainplain", b"planeplane")


def padded_gzip(plain, length):
    """The best that gzip can do, filled up with a file name in the header."""
    best = gzip.compress(plain, 9, mtime=0)
    name = b"n" * (length - len(best) - 1) + b"\0"
    return best[:3] + b"\x08" + best[4:10] + name + best[10:]


def padded_zstd(plain, length):
    """A frame at another level, filled up with a skippable one."""
    frame = zstandard.ZstdCompressor(level=19).compress(plain)
    return frame + skippable(length - len(frame) - 8)


def damages(blob):
    for make in (flips, cuts, extensions, others):
        yield from make(blob)


# -- never a pass --------------------------------------------------------------------------------------------------


@everywhere
def test_the_good_image_passes(place, built, tmp_path):
    assert TREE == inspected(place, built, tmp_path)


def test_the_damage_is_done():
    for blob in INDEX.blobs.values():
        kinds = dict(damages(blob))
        assert blob not in kinds.values()
        assert len(kinds) >= 15
        for name in ("recompressed", "another layer", "keys in another order"):
            assert len(kinds.get(name, blob)) == len(blob)
    # A layer that is recompressed inflates to the right bytes: nothing but the digest of the blob can tell.
    recompressed = [(blob, name, other) for blob in INDEX.blobs.values() for name, other in others(blob)]
    assert gzip.decompress(recompressed[0][2]) == gzip.decompress(recompressed[0][0])


@everywhere
def test_a_damaged_blob_is_always_an_error_of_its_content(place, built, tmp_path):
    passed = []
    for number, digest in enumerate(covered(place, built)):
        blob = built.blobs[digest]
        for name, wrong in damages(blob):
            root = tmp_path / f"{number} {name}"
            root.mkdir()
            try:
                inspected(place, built.replace_blob(digest, wrong), root)
            except (SizeMismatch, DigestMismatch) as fault:
                expected = DigestMismatch if len(wrong) == len(blob) else (SizeMismatch, DigestMismatch)
                if isinstance(fault, expected) and digest in str(fault):
                    continue
                passed.append((digest, name, fault))
            except CosinspectError as fault:
                passed.append((digest, name, fault))
            else:
                passed.append((digest, name, "passed"))
    assert [] == passed


@everywhere
def test_a_missing_blob_is_always_an_error_of_its_source(place, built, tmp_path):
    # Docker saves an image for one platform without the others' manifests, and its own list tells the rest.
    needed = [digest for digest in built.blobs if place is not docker_archive or digest != built.digest]
    for number, digest in enumerate(needed):
        root = tmp_path / str(number)
        root.mkdir()
        with pytest.raises(SourceError):
            inspected(place, built.replace_blob(digest, None), root)


@everywhere
def test_blobs_that_changed_places_are_always_an_error_of_their_content(place, built, tmp_path):
    pairs = list(itertools.permutations(covered(place, built), 2))
    for number, (one, two) in enumerate(pairs):
        root = tmp_path / str(number)
        root.mkdir()
        wrong = built.replace_blob(one, built.blobs[two]).replace_blob(two, built.blobs[one])
        with pytest.raises(ContentError):
            inspected(place, wrong, root)


def test_a_layer_that_is_exchanged_behind_our_back_is_an_error_of_its_content(tmp_path):
    with layout(INDEX, tmp_path) as image:
        rootfs = image.read_rootfs()
        for path, content in TREE.items():
            layer = image.layers[rootfs.lstat(path).layer].descriptor.digest
            blob = tmp_path / "layout/blobs" / layer.algorithm / layer.encoded
            good = blob.read_bytes()
            for _, wrong in damages(good):
                blob.write_bytes(wrong)
                with pytest.raises(ContentError):
                    rootfs.read_bytes(path)
            blob.write_bytes(good)
            assert content == rootfs.read_bytes(path)


# -- what no digest covers -----------------------------------------------------------------------------------------


def test_a_damaged_list_of_images_leads_to_the_same_image_or_to_an_error(tmp_path):
    name = INDEX.write_layout(tmp_path, "v1")
    assert name == f"oci:{tmp_path}:v1"
    for file in ("index.json", "oci-layout"):
        good = (tmp_path / file).read_bytes()
        outcomes = set()
        for at in range(len(good)):
            (tmp_path / file).write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])
            try:
                image = Image.open(name, LayoutSource(DirectoryFiles(tmp_path), "v1"), platform=AMD64)
            except CosinspectError:
                outcomes.add("error")
            else:
                assert GOOD.digest == str(image.digest)
                outcomes.add("same")
        assert "error" in outcomes
        (tmp_path / file).write_bytes(good)


def test_a_damaged_list_of_saved_images_leads_to_the_same_layers_or_to_an_error(tmp_path):
    path = tmp_path / "docker.tar"
    GOOD.write_docker_archive(path, "org/os:v1", style="podman")
    archive = path.read_bytes()
    start = archive.index(b'[{"Config"')
    end = archive.index(b"]}]", start) + 3
    for at in range(start, end):
        path.write_bytes(archive[:at] + bytes([archive[at] ^ 0x01]) + archive[at + 1 :])
        with (
            contextlib.suppress(CosinspectError),
            Image.open("x", DockerArchiveSource(ArchiveFiles(path))) as image,
        ):
            assert GOOD.config == image.config.raw
            assert TREE == {path: image.read_rootfs().read_bytes(path) for path in TREE}


def test_a_damaged_header_of_an_archive_is_an_error_or_makes_no_difference(tmp_path):
    path = tmp_path / "image.tar"
    GOOD.write_archive(path, "v1")
    archive = path.read_bytes()
    for at in [*range(0, 512, 3), *range(1536, 2048, 3)]:
        path.write_bytes(archive[:at] + bytes([archive[at] ^ 0x01]) + archive[at + 1 :])
        with contextlib.suppress(CosinspectError), Image.open("x", LayoutSource(ArchiveFiles(path))) as image:
            assert GOOD.digest == str(image.digest)
            assert TREE == {path: image.read_rootfs().read_bytes(path) for path in TREE}


@pytest.mark.parametrize("where", ["digest", "size"])
def test_a_manifest_by_a_wrong_descriptor_is_an_error_even_where_the_bytes_are_right(tmp_path, where):
    GOOD.write_layout(tmp_path, "v1")
    document = json.loads((tmp_path / "index.json").read_bytes())
    item = document["manifests"][0]
    if where == "size":
        item["size"] += 1
    else:
        other = Digest.of(b"other")
        item["digest"] = str(other)
        (tmp_path / "blobs/sha256" / other.encoded).write_bytes(GOOD.manifest)
    (tmp_path / "index.json").write_text(json.dumps(document))
    with pytest.raises(ContentError):
        Image.open("x", LayoutSource(DirectoryFiles(tmp_path)))
