"""Layers with a table of contents: what is read by it, what is believed, and what is found when archive and table differ.

The fixtures in data/tables were written by stargz-snapshotter and containers/storage, the writers that such layers come from.
"""

import hashlib
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from cosinspect import inspect, open_image
from cosinspect.blob import VerifiedStream
from cosinspect.cache import Cache, open_directory
from cosinspect.cli import main
from cosinspect.errors import FormatError, TableMismatch
from cosinspect.layer.layer import Layer
from cosinspect.layer.retain import Retain
from cosinspect.layer.stream import LayerStream
from cosinspect.layer.toc import read_table
from cosinspect.layer.toc_layer import TableUse, open_by_table
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.report.report import Kind, Verdict
from cosinspect.testing import (
    Device,
    Fault,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    Registry,
    Symlink,
    Whiteout,
    seekable_layer,
    tar_bytes,
)
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of
from stacks import BytesSource

FIXTURES = Path(__file__).parents[1] / "data" / "tables"
ANNOTATIONS = json.loads((FIXTURES / "annotations.json").read_text())
STARGZ = "containerd.io/snapshot/stargz/toc.digest"
CHECKSUM = "io.github.containers.zstd-chunked.manifest-checksum"
POSITION = "io.github.containers.zstd-chunked.manifest-position"
KINDS = ["estargz", "zstd:chunked"]
FILES = {
    "etc/motd": "welcome\n",
    "etc/empty": "",
    "etc/owned": File("x", mode=0o4750, uid=1000, gid=100, mtime=1700000000),
    "etc/link": Symlink("motd"),
    "etc/hard": Hardlink("etc/motd"),
    "dev/null": Device("char", 1, 3),
    "run/pipe": Fifo(),
    "usr/lib/large": bytes(range(256)) * 1000,
    "usr/lib/attr": File("caps", xattrs={"security.capability": b"\x01\0\xff"}),
    "opt/gone": Whiteout(),
}


class NoRanges(BytesSource):
    """A source that delivers blobs, and no parts of them."""

    def open_range(self, descriptor, start, stop):
        return None


def layer_with(blob, annotations, source=BytesSource, **options):
    descriptor = Descriptor(
        "application/vnd.oci.image.layer.v1.tar", Digest.of(blob), len(blob), annotations=annotations
    )
    place = source(blob)
    archive = b"".join(LayerStream(VerifiedStream(BytesSource(blob).open(descriptor), descriptor), None))
    return Layer(descriptor, Digest.of(archive), 0, None, place, **options)


def made(kind, *, edit=None, entries=FILES, source=BytesSource, **options):
    built = seekable_layer(entries, kind=kind, edit_table=edit)
    return layer_with(built.layer.blob, built.annotations, source, **options)


def by_table(layer):
    return open_by_table(layer, TableUse())


def told(layer):
    return [(each.kind, each.path) for each in layer.index().irregularities]


def seen(entry):
    """An entry without where it stands and its time, which writers of tables round."""
    return (
        entry.path,
        entry.type,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        entry.link,
        entry.device,
        entry.xattrs,
    )


def agree(layer):
    """Hold what the table says against what the archive has, contents included."""
    full, quick = layer.index(Retain(["**"])), by_table(layer)
    entries = [each for each in full.entries if each.path != "stargz.index.json"]
    assert [seen(each) for each in entries] == [seen(each) for each in quick.index.entries]
    assert [each.path for each in full.whiteouts] == [each.path for each in quick.index.whiteouts]
    files = [pair for pair in zip(entries, quick.index.entries, strict=True) if pair[0].type == "file"]
    for own, other in files:
        with quick.open(other) as stream:
            assert full.contents.get(own.data, b"") == stream.read()
    digests = quick.content_digests([other for _, other in files])
    wanted = {
        other.data: hashlib.sha256(full.contents.get(own.data, b"")).hexdigest() for own, other in files
    }
    assert wanted == digests
    assert () == full.irregularities
    return quick


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_layers_of_the_fields_own_writers_are_read_by_their_tables(name):
    quick = agree(layer_with((FIXTURES / name).read_bytes(), ANNOTATIONS[name]))

    assert quick.table.fetched < 20_000
    large = next(each for each in quick.table.entries if each.name == "usr/lib/large")
    assert sum(chunk.size for chunk in large.chunks) == large.size
    assert any(len(each.chunks) > 1 for each in quick.table.entries)
    assert ("shared" in name) == any(chunk.inner for each in quick.table.entries for chunk in each.chunks)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_test_package_writes_is_read_as_well(kind):
    agree(made(kind))


def test_a_table_is_found_by_the_footer_where_no_annotation_says_where():
    built = seekable_layer(FILES, kind="zstd:chunked")
    annotations = {CHECKSUM: built.annotations[CHECKSUM]}

    agree(layer_with(built.layer.blob, annotations))


def test_a_layer_without_annotations_is_read_whole_and_compared_with_nothing():
    built = seekable_layer(FILES, kind="estargz", edit_table=lambda table: table["entries"].pop())
    layer = layer_with(built.layer.blob, {})

    assert by_table(layer) is None
    assert [] == told(layer)


# -- tables that lie -------------------------------------------------------------------------------------------------


def entry_of(table, name):
    return next(each for each in table["entries"] if each["name"] == name)


def sets(name, **values):
    return lambda table: entry_of(table, name).update(values)


def exchanged(table):
    """Have a name show another file's content, which is in the layer as well."""
    one, other = entry_of(table, "etc/motd"), entry_of(table, "usr/lib/attr")
    for key in ("offset", "size", "digest", "chunkSize", "chunkDigest"):
        one[key] = other[key]


def chunk_exchanged(table):
    first, second = [each for each in table["entries"] if each["name"] == "usr/lib/large"][:2]
    second.update(offset=first["offset"], chunkDigest="sha256:" + "1" * 64)


def repeated(table):
    table["entries"].append(dict(entry_of(table, "etc/empty")))


LIES = {
    "mode": ("etc/motd", sets("etc/motd", mode=0o4755)),
    "owner": ("etc/motd", sets("etc/motd", uid=7)),
    "group": ("etc/motd", sets("etc/motd", gid=7)),
    "time": ("etc/owned", sets("etc/owned", modtime="2001-01-01T00:00:00Z")),
    "link": ("etc/link", sets("etc/link", linkName="shadow")),
    "hard-link": ("etc/hard", sets("etc/hard", linkName="etc/owned")),
    "device": ("dev/null", sets("dev/null", devMinor=4)),
    "attribute": ("usr/lib/attr", sets("usr/lib/attr", xattrs={"security.capability": "AA=="})),
    "type": ("run/pipe", sets("run/pipe", type="reg")),
    "digest": ("usr/lib/attr", sets("usr/lib/attr", digest="sha256:" + "0" * 64)),
    "content": ("etc/motd", exchanged),
    "chunk": ("usr/lib/large", chunk_exchanged),
    "zeros": ("usr/lib/large", sets("usr/lib/large", chunkType="zeros")),
    "left-out": ("etc/motd", lambda table: table["entries"].remove(entry_of(table, "etc/motd"))),
    "added": ("etc/shadow", lambda table: table["entries"].append({"type": "reg", "name": "etc/shadow"})),
    "twice": ("etc/empty", repeated),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", LIES)
def test_a_full_read_finds_every_lie(kind, lie):
    path, edit = LIES[lie]

    assert [("table-differs", path)] == told(made(kind, edit=edit))


@pytest.mark.parametrize("source", [BytesSource, NoRanges])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_read_finds_it_whether_the_source_serves_parts_or_not(kind, source):
    assert [("table-differs", "etc/motd")] == told(made(kind, edit=LIES["mode"][1], source=source))
    assert [] == told(made(kind, source=source))


UNREADABLE = {
    "version": lambda table: table.update(version=2),
    "unknown-field": lambda table: table["entries"][0].update(NAME="etc/passwd"),
    "unknown-type": lambda table: table["entries"][0].update(type="door"),
    "negative": lambda table: entry_of(table, "etc/motd").update(offset=-1),
    "behind-the-table": lambda table: entry_of(table, "etc/motd").update(offset=1 << 40),
    "chunk-too-long": lambda table: entry_of(table, "etc/motd").update(chunkSize=1 << 40),
    "gap": lambda table: entry_of(table, "usr/lib/large").update(chunkSize=7),
    "time": lambda table: table["entries"][0].update(modtime="yesterday"),
    "attribute": lambda table: table["entries"][0].update(xattrs={"a": "%"}),
    "digest": lambda table: entry_of(table, "etc/motd").update(digest="md5:00"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", UNREADABLE)
def test_a_table_that_cannot_be_read_is_not_believed_and_found(kind, change):
    layer = made(kind, edit=UNREADABLE[change])

    assert by_table(layer) is None
    assert [("table-unreadable", "")] == told(layer)


def test_annotations_that_do_not_fit_the_layer_are_found():
    stargz, chunked = (seekable_layer(FILES, kind=kind) for kind in KINDS)
    other = "sha256:" + "0" * 64
    cases = [
        (stargz, {STARGZ: other}),
        (stargz, {STARGZ: "no digest"}),
        (chunked, chunked.annotations | {CHECKSUM: other}),
        (chunked, chunked.annotations | {POSITION: "1:2:3"}),
        (chunked, chunked.annotations | {POSITION: "1:2:3:4"}),
        (chunked, chunked.annotations | {POSITION: f"{1 << 50}:9:9:1"}),
        (stargz, chunked.annotations),
        (chunked, stargz.annotations),
    ]
    for built, annotations in cases:
        layer = layer_with(built.layer.blob, annotations)
        assert by_table(layer) is None
        assert [("table-unreadable", "")] == told(layer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_beyond_its_bound_is_refused(kind):
    layer = made(kind)
    size = len(seekable_layer(FILES, kind=kind).table)

    def refused(bound):
        limits = evolve(DEFAULT_LIMITS, table_bytes=bound)
        try:
            read_table(layer.source, layer.descriptor, limits=limits)
        except FormatError as fault:
            return fault.kind
        return None

    assert "limit" == refused(size // 4)
    assert refused(size + 2048) is None  # the archive around it


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_beyond_chunk_bytes_is_not_inflated(kind):
    layer = made(kind, limits=evolve(DEFAULT_LIMITS, chunk_bytes=64 * 1024))
    quick = by_table(layer)
    large = next(each for each in quick.index.entries if each.path == "usr/lib/large")
    assert 256_000 == len(quick.open(large).read())

    quick = by_table(evolve(layer, limits=evolve(DEFAULT_LIMITS, chunk_bytes=64 * 1024 - 1)))
    with pytest.raises(TableMismatch, match=r"at most 65535 bytes"):
        quick.open(large).read()


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_that_is_another_one_is_never_given_out(kind):
    built = seekable_layer(FILES, kind=kind)
    layer = layer_with(built.layer.blob, built.annotations)
    quick = by_table(layer)
    entry = next(each for each in quick.index.entries if each.path == "etc/motd")
    chunk = quick.table.entries[entry.data].chunks[0]
    for at in range(chunk.offset, quick.table.end_of(quick.table.entries[entry.data], chunk)):
        damaged = bytearray(built.layer.blob)
        damaged[at] ^= 0x41
        layer.source.blobs[layer.descriptor.digest] = bytes(damaged)
        try:
            content = quick.open(entry).read()
        except TableMismatch:
            assert quick.use.mismatch is not None
        else:
            assert b"welcome\n" == content  # a byte of no consequence, such as a header's time


def test_a_name_that_is_not_utf8_differs_since_json_has_no_such_names():
    """The writers put U+FFFD in its place, and whoever goes by the table sees that."""

    def replaced(table):
        for each in table["entries"]:
            each["name"] = each["name"].encode("utf-8", "replace").decode().replace("?", "\ufffd")

    layer = made("zstd:chunked", edit=replaced, entries={b"etc/\xff": "x"})

    assert [("table-differs", "etc/\udcff"), ("table-differs", "etc/\ufffd")] == told(layer)


# -- inspections -----------------------------------------------------------------------------------------------------


def parts_with(kind, edit=None):
    """The parts of a derivative whose layers have tables, with half a megabyte that no check asks for."""
    parts = parts_of("G2", "amd64")
    parts.seekable = kind
    parts.edit_table = edit
    parts.base["usr/share/ballast"] = b"".join(hashlib.sha256(b"%d" % at).digest() for at in range(16_000))
    parts.write("etc/motd", "welcome\n")
    return parts


def image_with(kind, edit=None):
    return derivative_of(parts_with(kind, edit))


def plain(report):
    """A report without what it cost, and what it says of its own standing."""
    found = report.to_dict()
    return {key: found[key] for key in found if key not in ("stats", "provisional", "by_table", "image")}


@pytest.mark.parametrize("kind", KINDS)
def test_an_inspection_by_tables_says_the_same_for_a_fraction_and_is_provisional(kind):
    image = image_with(kind)
    with Registry() as registry:
        name = registry.push(image, "cos/seekable:v1")
        whole = inspect(name)
        quick = inspect(name, trust_tables=True)

    assert Verdict.PASS == whole.verdict == quick.verdict
    assert not whole.provisional
    assert (0, 1, 2, 3, 4) == quick.by_table
    assert ("layers 0-4 read by the table of contents only",) == quick.reservations
    told = {each["check"]: each for each in plain(whole)["results"]}
    for each in plain(quick)["results"]:
        # It is the one that compares tables with layers.
        assert each["check"] == "COS111" or each == told[each["check"]]
    assert quick.stats.bytes < whole.stats.bytes / 2
    assert Kind.PASS == next(each for each in whole.results if each.check == "COS111").kind
    assert Kind.NOT_APPLICABLE == next(each for each in quick.results if each.check == "COS111").kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_broken_is_broken_by_tables_as_well(kind, tmp_path):
    parts = parts_with(kind)
    parts.remove("boot/vmlinuz")
    name = derivative_of(parts).write_layout(tmp_path)

    quick = inspect(name, trust_tables=True)

    assert ["COS010"] == [each.check for each in quick.failed]
    assert plain(inspect(name))["verdict"] == plain(quick)["verdict"] == "fail"


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_that_demands_verified_passes_nothing_provisional(kind, tmp_path):
    name = image_with(kind).write_layout(tmp_path)
    profile = tmp_path / "strict.toml"
    profile.write_text('name = "strict"\nrequired = ["boot"]\nverified_required = true\n')

    assert Verdict.OPEN == inspect(name, profile=str(profile), trust_tables=True).verdict
    assert Verdict.PASS == inspect(name, profile=str(profile)).verdict


@pytest.mark.parametrize("refusal", ["ignores", "416"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_registry_that_serves_no_ranges_costs_bytes_and_no_verdict(kind, refusal):
    refused = Fault.status(416)
    with Registry(
        ranges=refusal != "ignores",
        mishap=lambda request: refused if refusal == "416" and "Range" in request.headers else None,
    ) as registry:
        name = registry.push(image_with(kind), "cos/seekable:v1")
        whole = inspect(name)
        degraded = inspect(name, trust_tables=True)

    assert plain(whole) == plain(degraded)
    assert not degraded.provisional


@pytest.mark.parametrize("kind", KINDS)
def test_a_lying_table_is_an_error_for_who_reads_the_layer_and_believed_by_who_trusts_it(kind, tmp_path):
    name = image_with(kind, LIES["mode"][1]).write_layout(tmp_path)

    whole, quick = inspect(name), inspect(name, trust_tables=True)

    assert ["COS111"] == [each.check for each in whole.failed]
    assert Verdict.FAIL == whole.verdict
    assert (Verdict.PASS, True) == (quick.verdict, quick.provisional)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_turns_out_to_be_wrong_has_everything_read(kind, tmp_path):
    """The os-release is asked for, and its chunk does not hash to what the table says."""
    parts = parts_with(kind, lambda table: entry_of(table, "usr/lib/os-release").update(
        chunkDigest="sha256:" + "0" * 64, digest="sha256:" + "0" * 64
    ))  # fmt: skip
    parts.write("usr/lib/os-release", parts.base["usr/lib/os-release"])
    name = derivative_of(parts).write_layout(tmp_path)

    report = inspect(name, trust_tables=True)

    assert not report.provisional
    assert ["COS111"] == [each.check for each in report.failed]


def test_what_is_only_believed_is_never_cached_as_known(tmp_path):
    name = image_with("estargz", LIES["mode"][1]).write_layout(tmp_path / "layout")
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))

    for _ in range(2):
        assert inspect(name, trust_tables=True, cache=cache).provisional
    assert ["COS111"] == [each.check for each in inspect(name, cache=cache).failed]
    # What is known by now is no longer provisional.
    assert not inspect(name, trust_tables=True, cache=cache).provisional


def test_annotations_are_part_of_what_a_cached_layer_is_known_by(tmp_path):
    built = seekable_layer(FILES, kind="estargz", edit_table=LIES["mode"][1])
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))

    def lint(annotations):
        builder = ImageBuilder().raw_layer(
            built.layer.blob, diff_id=built.layer.diff_id, annotations=annotations
        )
        name = builder.build().write_layout(tmp_path / str(len(annotations)))
        with open_image(name, platform="linux/amd64", cache=cache) as image:
            return [each.kind for each in image.read_rootfs().indexes[0].irregularities]

    assert [] == lint({})
    assert ["table-differs"] == lint(built.annotations)
    assert [] == lint({})


# -- the command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2))
    status = main(list(arguments), stdout=out, stderr=err)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return status, *texts


def test_the_command_says_that_it_is_provisional(tmp_path):
    name = image_with("estargz").write_layout(tmp_path)

    status, out, _ = run("check", name, "--trust-toc")

    assert 0 == status
    assert ", provisionally" in " ".join(out.split())
    assert "provisional layers 0-4 read by the table of contents only" in " ".join(out.split())
    for name_of in ("json", "sarif", "junit", "markdown", "html"):
        assert (
            "layers 0-4 read by the table of contents only"
            in run("check", name, "--trust-toc", "--format", name_of)[1]
        )
        assert "table of contents only" not in run("check", name, "--format", name_of)[1]


def test_files_are_listed_and_shown_by_tables(tmp_path):
    name = image_with("zstd:chunked").write_layout(tmp_path)

    assert run("ls", name, "-R") == run("ls", name, "-R", "--trust-toc")
    assert "welcome\n" == run("cat", name, "/etc/motd", "--trust-toc")[1]


def test_wrong_use_is_told(tmp_path):
    name = image_with("estargz").write_layout(tmp_path)

    status, _, err = run("check", name, "--trust-toc", "--verify", "full")

    assert 2 == status
    assert "exclude each other" in err


# -- judges ----------------------------------------------------------------------------------------------------------


@pytest.mark.modules
@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")
def test_the_fields_own_programs_write_what_is_read_here_and_read_what_is_written_here(tmp_path):
    program = tmp_path / "seekable"
    source = Path(__file__).parents[1] / "compat" / "seekable"
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
    built = seekable_layer(FILES, kind="estargz")
    archive = tmp_path / "archive.tar"
    archive.write_bytes(tar_bytes(FILES))

    for form in (["estargz"], ["zstd:chunked"]):
        command = [program, form[0], archive, tmp_path / "layer"]
        annotations = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        agree(layer_with((tmp_path / "layer").read_bytes(), annotations))

    (tmp_path / "own").write_bytes(built.layer.blob)
    command = [program, "verify", tmp_path / "own", built.annotations[STARGZ]]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert "sha256:" + hashlib.sha256(b"welcome\n").hexdigest() == found["etc/motd"]
    assert "sha256:" + hashlib.sha256(FILES["usr/lib/large"]).hexdigest() == found["usr/lib/large"]
