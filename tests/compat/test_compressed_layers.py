"""Layers whose compression or media type is odd or damaged, read by containerd and go-containerregistry for real.

The judge has no unpigz, which containerd runs where it is installed and which is kinder to gzip.
"""

import gzip
import itertools
import json
import random
import struct
import zlib

import pytest
import zstandard
from attrs import evolve
from test_readers import ask, fatal, indexed, shown

from cosinspect.compression.codecs import detect
from cosinspect.oci.documents import Platform
from cosinspect.rootfs.overlay import PARTIAL
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import tar_header
from judges import on_disk, ours
from raw_tar import END, padded
from stacks import layer_of
from wild_layers import BASE

pytestmark = pytest.mark.modules

_NOISE = random.Random(7)
ARCHIVE = (
    b"".join(tar_header(f"f{number}", size=2000) + padded(_NOISE.randbytes(2000)) for number in range(20))
    + END
)
LOWER = BASE + END
HALF = 10 * 512 * 5


def member(data, *, flags=0, fields=b"", crc=None, size=None):
    """A gzip member with any header and trailer."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = packer.compress(data) + packer.flush()
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + fields
    return (
        head
        + body
        + struct.pack("<II", zlib.crc32(data) if crc is None else crc, len(data) if size is None else size)
    )


def header_crc(flags, fields=b""):
    return struct.pack("<H", zlib.crc32(b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + fields) & 0xFFFF)


def zstd(data, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


def changed(data, at, value=None):
    return data[:at] + bytes([data[at] ^ 0x55 if value is None else value]) + data[at + 1 :]


SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 7) + b"comment"
GZIP = gzip.compress(ARCHIVE, mtime=0)
ZSTD = zstd(ARCHIVE, write_checksum=True)
FIRST, SECOND = ARCHIVE[:HALF], ARCHIVE[HALF:]
BLOBS = {
    "plain": ARCHIVE,
    "gzip": GZIP,
    "zstd": ZSTD,
    "gzip-members": member(FIRST) + member(SECOND),
    "gzip-name-511": member(ARCHIVE, flags=8, fields=b"n" * 511 + b"\0"),
    "gzip-name-512": member(ARCHIVE, flags=8, fields=b"n" * 512 + b"\0"),
    "gzip-comment-512": member(ARCHIVE, flags=16, fields=b"c" * 512 + b"\0"),
    "gzip-second-name-600": member(FIRST) + member(SECOND, flags=8, fields=b"n" * 600 + b"\0"),
    "gzip-extra": member(ARCHIVE, flags=4, fields=struct.pack("<H", 40000) + bytes(40000)),
    "gzip-header-crc": member(ARCHIVE, flags=2, fields=header_crc(2)),
    "gzip-header-crc-wrong": member(ARCHIVE, flags=2, fields=b"xx"),
    "gzip-reserved-flags": member(ARCHIVE, flags=0xE0),
    "gzip-method": changed(GZIP, 2, 7),
    "gzip-zeros-between": member(FIRST) + bytes(17) + member(SECOND),
    "gzip-zeros-behind": GZIP + bytes(17),
    "gzip-one-zero-behind": GZIP + bytes(1),
    "gzip-empty-member": member(b"") + member(ARCHIVE),
    "gzip-crc": member(ARCHIVE, crc=1),
    "gzip-size": member(ARCHIVE, size=1),
    "gzip-first-crc": member(FIRST, crc=1) + member(SECOND),
    "gzip-garbage-behind": GZIP + b"garbage behind",
    "gzip-zstd-behind": GZIP + ZSTD,
    **{f"gzip-cut-{at}": GZIP[:at] for at in (4, 11, 500, 9000, 20_011, len(GZIP) - 9, len(GZIP) - 8, len(GZIP) - 1)},
    **{f"gzip-changed-{at}": changed(GZIP, at) for at in (600, 5003, 15_007, len(GZIP) - 20)},
    "zstd-skippable-first": SKIPPABLE + ZSTD,
    "zstd-skippable-between": zstd(FIRST) + SKIPPABLE + zstd(SECOND),
    "zstd-skippable-behind": ZSTD + SKIPPABLE,
    "zstd-frames": zstd(FIRST) + zstd(SECOND),
    "zstd-zeros-between": zstd(FIRST) + bytes(9) + zstd(SECOND),
    "zstd-zeros-behind": ZSTD + bytes(9),
    "zstd-checksum": changed(ZSTD, len(ZSTD) - 1),
    "zstd-garbage-behind": ZSTD + b"garbage behind",
    **{f"zstd-cut-{at}": ZSTD[:at] for at in (3, 7, 5000, len(ZSTD) - 1)},
    **{f"plain-cut-{at}": ARCHIVE[:at] for at in (100, 512, 1000, 2560, 7000, 10_240, len(ARCHIVE) - 1024)},
}  # fmt: skip
OCI, DOCKER = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"
TYPES = [OCI, f"{OCI}+gzip", f"{OCI}+zstd", DOCKER, f"{DOCKER}.gzip", f"{DOCKER}.zstd", f"{DOCKER}+gzip"]


def judged(tmp_path, reader, blob, media_type):
    """What the reader refuses and what it leaves behind, with our tree for it."""
    paths = [tmp_path / "lower.tar", tmp_path / "upper"]
    paths[0].write_bytes(LOWER)
    paths[1].write_bytes(blob)
    target = tmp_path / "target"
    target.mkdir()
    refused = ask(reader, target, [paths[0], f"{media_type}={paths[1]}"])
    is_plain = detect(blob[:6]) is None
    upper = layer_of(blob if is_plain else ARCHIVE, blob=blob, position=1)
    upper = evolve(upper, descriptor=evolve(upper.descriptor, media_type=media_type))
    layers = [layer_of(LOWER), upper]
    semantics = Semantics(reader)
    return refused, target, Rootfs([indexed(layer) for layer in layers], layers, semantics=semantics)


@pytest.mark.parametrize("reader", ["elemental", "elemental3"])
@pytest.mark.parametrize("name", BLOBS)
def test_elemental_writes_what_we_say_of_a_compressed_layer(tmp_path, name, reader):
    refused, target, rootfs = judged(tmp_path, reader, BLOBS[name], f"{OCI}+gzip")

    assert bool(refused) == bool(fatal(rootfs)), (refused, rootfs.problems)
    if not refused:
        assert set(on_disk(target)) == {entry.path for entry in rootfs.walk()}
        whole = len(on_disk(target)) == 1 + 6 + 20
        # An archive that is cut between two entries is one without an end mark, which Go accepts.
        assert whole != any(problem.kind == PARTIAL for problem in rootfs.problems) or name.startswith(
            "plain"
        )


@pytest.mark.parametrize("name", BLOBS)
def test_a_node_unpacks_what_we_say_of_a_compressed_layer(tmp_path, name):
    media_type = OCI if name.startswith("plain") else f"{OCI}+gzip"
    refused, target, rootfs = judged(tmp_path, "overlay", BLOBS[name], media_type)

    assert bool(refused) == bool(fatal(rootfs)), (refused, rootfs.problems)
    if not refused:
        assert shown(target, 2, tmp_path / "merged") == ours(rootfs)


@pytest.mark.parametrize(("media_type", "name"), list(itertools.product(TYPES, ["plain", "gzip", "zstd"])))
def test_a_node_goes_by_media_types_as_we_say(tmp_path, media_type, name):
    refused, _, rootfs = judged(tmp_path, "overlay", BLOBS[name], media_type)
    assert bool(refused) == bool(fatal(rootfs)), (refused, rootfs.problems)


WORDS = [
    "amd64",
    "x86_64",
    "x86-64",
    "AMD64",
    "arm64",
    "aarch64",
    "arm",
    "armhf",
    "armel",
    "386",
    "i386",
    "riscv64",
]
VARIANTS = ["", "v1", "v2", "v5", "v6", "v7", "v8", "5", "6", "7", "8", "V7"]
WANTED = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/riscv64",
    "linux/amd64/v2",
]


@pytest.mark.parametrize("wanted", WANTED)
def test_containerd_reads_platforms_in_the_same_words(wanted):
    for system, word, variant in itertools.product(["linux", "Linux", "", "windows"], WORDS, VARIANTS):
        document = json.dumps({"os": system, "architecture": word, "variant": variant})
        ours = Platform.of_document(system, word, variant)
        found = ours.rank(Platform.parse(wanted)) is not None
        theirs = ask("platform", wanted, [document]) == "0"
        # What a machine runs beside its own architecture (386 on amd64, arm on arm64) is another image to us.
        beside = ours.architecture != Platform.parse(wanted).architecture
        assert found == (theirs and not beside), (document, wanted)
