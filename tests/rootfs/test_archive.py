"""The exported tree, unpacked by GNU tar, bsdtar, sqfstar, Go and umoci: it is the merged tree, and umoci's own."""

import hashlib
import io
import os
import shutil
import subprocess

import pytest
from attrs import evolve
from hypothesis import given, settings

from cosinspect import open_image
from cosinspect.errors import ContentError
from cosinspect.rootfs.archive import _aligned, write_archive
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.tar.writer import END, ArchiveEntry, write_header
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    RawEntry,
    Registry,
    Symlink,
    Whiteout,
    tar_bytes,
)
from go_judge import go_reads, needs_go
from judges import IS_ROOT, UMOCI, on_disk, ours, umoci_unpack
from random_stacks import STACKS
from random_stacks import index_of as items_index
from raw_tar import pax_sparse
from stacks import SCALE, index_of, layer_of

LONG = "d" * 90 + "/" + "e" * 120 + "/" + "f" * 240
ODD = "g\udcff" * 80
LOWER = {
    "/": Directory(mode=0o711),
    "usr/bin/sh": File("sh", mode=0o4755),
    "usr/bin/bash": Hardlink("usr/bin/sh"),
    "usr/gone": Hardlink("usr/bin/sh"),
    "bin": Symlink("usr/bin"),
    "big/ids": File("x", uid=3_000_000, gid=2_097_152, mtime=5),
    "old": File("x", mtime=1),
    "tmp": Directory(mode=0o1777, mtime=1_714_564_800),
}
UPPER = {
    "dev/null": Device("char", 1, 3, mode=0o666),
    "dev/sda": Device("block", 8, 0),
    "run/pipe": Fifo(mode=0o600),
    LONG: "long",
    "p" * 150: "no slash to split at",
    "q" * 100: "the longest that fits",
    ODD: "not UTF-8, and long",
    "short\udcff": "not UTF-8",
    "caf\u00e9": Symlink("\udcfe" * 120),
    "far": Symlink("t/" * 90),
    "etc/empty": "",
    "etc/zeros": b"\0" * 5000,
    "etc/block": b"b" * 512,
    "xattr": File("x", xattrs={"user.note": b"\xfe\0=\n", "security.capability": b"\1\0\0\2" + bytes(16)}),
    "tmp/new": "x",
    "usr/gone": Whiteout(),
    "sparse": RawEntry(pax_sparse("1.0", b"sparse", [(4096, 5), (20_000, 3)], 40_000, b"hellobye")),
}


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    builder = ImageBuilder().layer(LOWER).layer(UPPER, parents=False)
    return builder.build().write_layout(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def listing(name):
    with open_image(name) as image:
        return ours(image.read_rootfs())


@pytest.fixture(scope="module")
def archive(name):
    with open_image(name) as image:
        return exported(image.read_rootfs())


def exported(rootfs):
    out = io.BytesIO()
    write_archive(rootfs, out.write)
    return out.getvalue()


def unpacked(command, archive, tmp_path):
    target = tmp_path / "tree"
    target.mkdir()
    done = subprocess.run([*command, target], input=archive, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return target


needs_root = pytest.mark.skipif(not IS_ROOT, reason="owners and devices need root")
TAR = (
    "tar",
    "--extract",
    "--delay-directory-restore",
    "--xattrs",
    "--xattrs-include=*",
    "--numeric-owner",
    "--same-permissions",
    "--directory",
)


@needs_root
def test_gnu_tar_unpacks_the_merged_tree(archive, listing, tmp_path):
    tree = unpacked(TAR, archive, tmp_path)

    assert on_disk(tree) == listing
    assert os.getxattr(tree / "xattr", "user.note") == b"\xfe\0=\n"
    assert os.getxattr(tree / "xattr", "security.capability") == b"\1\0\0\2" + bytes(16)
    assert [int((tree / path).stat().st_mtime) for path in ("tmp", "old", "big/ids")] == [
        1_714_564_800,
        1,
        5,
    ]


@needs_root
@pytest.mark.skipif(not shutil.which("bsdtar"), reason="bsdtar (libarchive-tools) is not installed")
def test_bsdtar_unpacks_the_merged_tree(archive, listing, tmp_path):
    tree = unpacked(("bsdtar", "-x", "-p", "-f", "-", "-C"), archive, tmp_path)

    assert on_disk(tree) == listing
    assert os.getxattr(tree / "xattr", "user.note") == b"\xfe\0=\n"


@needs_root
@pytest.mark.skipif(not shutil.which("sqfstar"), reason="sqfstar (squashfs-tools) is not installed")
def test_sqfstar_makes_a_file_system_of_it(archive, listing, tmp_path):
    image = tmp_path / "image.squashfs"
    subprocess.run(
        ["sqfstar", "-quiet", "-no-progress", image], input=archive, check=True, capture_output=True
    )
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", tmp_path / "tree", image],
        check=True,
        capture_output=True,
    )

    # sqfstar does not read the entry of the root.
    assert {**on_disk(tmp_path / "tree"), "/": listing["/"]} == listing


@needs_root
@pytest.mark.skipif(UMOCI is None, reason="umoci is not installed")
def test_umoci_unpacks_the_same(name, archive, tmp_path):
    layout, _, reference = name.removeprefix("oci:").rpartition(":")

    assert umoci_unpack(layout, reference, tmp_path / "umoci") == ""
    assert on_disk(unpacked(TAR, archive, tmp_path)) == on_disk(tmp_path / "umoci")


@needs_root
@needs_go
@pytest.mark.modules
def test_crane_exports_the_same(tmp_path):
    """crane knows no layers' irregularities, so this image has none."""
    subprocess.run(
        ["go", "install", "github.com/google/go-containerregistry/cmd/crane@v0.21.9"],
        env={**os.environ, "GOBIN": str(tmp_path), "GOFLAGS": "-mod=mod"},
        check=True,
    )
    upper = {path: entry for path, entry in UPPER.items() if not isinstance(entry, RawEntry)}
    image = (
        ImageBuilder()
        .layer(LOWER)
        .layer({**upper, "etc/empty": "y", "bin": Directory(), "bin/x": "x"})
        .build()
    )
    with Registry() as registry:
        name = registry.push(image, "a/b:c")
        crane = subprocess.run(
            [tmp_path / "crane", "export", name, "-"], check=True, capture_output=True
        ).stdout
        with open_image(name) as opened:
            archive = exported(opened.read_rootfs())
    for directory in ("theirs", "own"):
        (tmp_path / directory).mkdir()

    assert on_disk(unpacked(TAR, archive, tmp_path / "own")) == on_disk(
        unpacked(TAR, crane, tmp_path / "theirs")
    )


@needs_go
def test_go_reads_what_was_written(archive, listing):
    read = go_reads(archive)

    assert read.error is None
    seen = {f"/{entry.name.strip('/')}" if entry.name != "./" else "/": entry for entry in read.entries}
    assert seen.keys() == listing.keys()
    assert len(seen) == len(read.entries)
    for path, entry in seen.items():
        there = listing[path]
        if entry.type == "0":
            assert (entry.content, entry.mode, entry.uid, entry.gid) == (
                there.text,
                there.mode,
                there.uid,
                there.gid,
            )
        assert (
            entry.type
            in {"file": "01", "dir": "5", "symlink": "2", "char": "3", "block": "4", "fifo": "6"}[there.type]
        )
    assert seen["/sparse"].size == 40_000
    assert seen["/far"].link == "t/" * 90


@given(STACKS)
@settings(max_examples=40 * SCALE)
def test_the_archive_as_the_only_layer_is_the_same_tree(stack):
    """Under every semantics; the reader of the archive is judged by Go elsewhere."""
    indexes = [items_index(layer) for layer in stack]
    for semantics in Semantics:
        rootfs = Rootfs(indexes, [_Kept(index) for index in indexes], semantics=semantics)
        again = Rootfs([index_of(exported(rootfs))])

        assert ours(again) == ours(rootfs)
        assert not again.problems


class _Kept:
    """The bodies of a layer of random items."""

    def __init__(self, index):
        self._index = index

    def contents(self, entries, *, holes):
        for entry in entries:
            yield entry, iter([self._index.contents[entry.data]])


def test_a_hole_of_terabytes_takes_no_time():
    raw = pax_sparse("1.0", b"sparse", [(1 << 41, 5)], 1 << 42, b"hello")
    layer = layer_of(tar_bytes({"sparse": RawEntry(raw)}))

    data = exported(Rootfs([layer.index()], [layer]))

    assert len(data) < 5000
    (entry,) = [each for each in index_of(data).entries if each.type == "file"]
    assert (entry.size, entry.sparse) == (1 << 42, ((1 << 41, 512), (1 << 42, 0)))


def test_an_archive_of_a_layer_that_changed_is_not_complete(tmp_path):
    built = ImageBuilder().layer({"a": "1" * 5000, "b": "2" * 5000}, compression="none").build()
    with open_image(built.write_layout(tmp_path / "image")) as image:
        rootfs = image.read_rootfs()
        (layer,) = image.layers
        blob = tmp_path / "image" / "blobs" / "sha256" / layer.descriptor.digest.encoded
        blob.write_bytes(blob.read_bytes().replace(b"2222", b"3333"))
        out = io.BytesIO()
        with pytest.raises(ContentError) as raised:
            write_archive(rootfs, out.write)

    assert f"do not use the {len(out.getvalue())} bytes already written" in str(raised.value)
    done = subprocess.run(["tar", "-t"], input=out.getvalue(), capture_output=True, check=False)
    assert done.returncode == 2
    assert b"Unexpected EOF" in done.stderr


@needs_go
def test_what_no_file_system_of_today_has_is_written_all_the_same():
    early = write_header(ArchiveEntry(name=b"a", mtime=-5, uid=1 << 40, device=(1 << 22, 1 << 23)))
    (entry,) = go_reads(early + END).entries

    assert (entry.mtime, entry.uid) == (-5, 1 << 40)


def test_gnu_tar_makes_the_holes(tmp_path):
    raw = pax_sparse("1.0", b"sparse", [(4096, 5), (100_000_000, 3)], 200_000_000, b"hellobye")
    layer = layer_of(tar_bytes({"sparse": RawEntry(raw)}))
    data = exported(Rootfs([layer.index()], [layer]))

    file = unpacked(("tar", "-x", "-C"), data, tmp_path) / "sparse"

    assert (file.stat().st_size, len(data) < 10_000) == (200_000_000, True)
    assert file.stat().st_blocks < 100
    with file.open("rb") as stream:
        assert stream.read(4102) == bytes(4096) + b"hello\0"
        stream.seek(100_000_000)
        assert stream.read(4) == b"bye\0"


@pytest.mark.parametrize(
    ("regions", "size", "blocks", "moved"),
    [
        ([(0, 5)], 5, [(0, 5)], [(0, 5)]),
        ([(600, 5)], 9000, [(512, 512)], [(88, 5)]),
        ([(600, 5), (700, 1), (1500, 600)], 9000, [(512, 2048 - 0)], [(88, 5), (188, 1), (988, 600)]),
        ([(600, 5), (8800, 100)], 8999, [(512, 512), (8704, 295)], [(88, 5), (608, 100)]),
    ],
)
def test_regions_are_blocks(regions, size, blocks, moved):
    assert _aligned(tuple(regions), size) == (tuple(blocks), tuple(moved))


def test_the_same_entry_gives_the_same_bytes():
    entry = ArchiveEntry(name=b"a", xattrs={"user.b": "1", "user.a": "2"})
    other = evolve(entry, xattrs={"user.a": "2", "user.b": "1"})

    assert write_header(entry) == write_header(other)
    assert (
        hashlib.sha256(write_header(ArchiveEntry(name=b"a"))).hexdigest()
        == hashlib.sha256(tar_bytes({"a": ""})[:512]).hexdigest()
    )
