"""One layer: its names made plain, its markers set aside, its bodies kept or read again, all of it verified."""

import gzip
import io
import threading
from collections import Counter

import pytest
from attrs import evolve

from cosinspect.errors import (
    ContentError,
    DiffIDMismatch,
    DigestMismatch,
    InvalidLayer,
    LimitExceeded,
    SizeMismatch,
    SourceError,
    TransportError,
)
from cosinspect.globs import path_expression
from cosinspect.layer.layer import Layer
from cosinspect.layer.retain import Retain
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest
from cosinspect.tar.names import normalise
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    Opaque,
    RawEntry,
    RawName,
    Symlink,
    Whiteout,
    pax_header,
    tar_bytes,
    tar_header,
)
from cosinspect.testing.layers import compress
from raw_tar import END, entry, gnu_long, old_gnu_sparse, pax_sparse
from stacks import BytesSource, index_of, layer_of


def paths(entries, **options):
    return [item.path for item in index_of(tar_bytes(entries, parents=False, **options)).entries]


def noted(entries):
    return [(item.kind, item.path) for item in index_of(tar_bytes(entries, parents=False)).irregularities]


def limited(**bounds):
    return evolve(DEFAULT_LIMITS, **bounds)


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", "a"),
        ("a/b", "a/b"),
        ("a/", "a"),
        ("a//", "a"),
        ("./a", "a"),
        ("././a", "a"),
        ("/a", "a"),
        ("//a", "a"),
        ("/./a", "a"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("a/.", "a"),
        ("a/../b", "b"),
        ("a/b/../../c", "c"),
        ("a/..", ""),
        (".", ""),
        ("./", ""),
        ("/", ""),
        ("", ""),
        ("./.", ""),
        ("...", "..."),
        ("a/...", "a/..."),
        (".a", ".a"),
        ("..a/b..", "..a/b.."),
        ("./.a", ".a"),
        ("a ", "a "),
        (" /a", " /a"),
        ("a\\b", "a\\b"),
        ("a\n", "a\n"),
        ("a/..\n", "a/..\n"),
        ("caf\udce9", "caf\udce9"),
    ],
)
def test_names_are_made_plain(name, path):
    assert (path, False) == normalise(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("..", ""),
        ("../", ""),
        ("../a", "a"),
        ("/../a", "a"),
        ("./../a", "a"),
        ("a/../../b", "b"),
        ("../../a/../b", "b"),
        ("a/../../../etc/passwd", "etc/passwd"),
    ],
)
def test_names_that_leave_the_root_are_clamped_to_it_and_noted(name, path):
    assert (path, True) == normalise(name)
    assert [path] == paths([(RawName(name), Directory())])
    assert ("escaping-name", name) in noted([(RawName(name), Directory())])


def test_the_target_of_a_hard_link_is_made_plain_and_that_of_a_symbolic_link_is_not():
    archive = [("h", Hardlink(RawName("./a//b/../c"))), ("s", Symlink("./a//b/../c"))]
    found = index_of(tar_bytes(archive)).entries
    assert ["a/c", "./a//b/../c"] == [item.link for item in found]


def test_a_hard_link_that_leaves_the_root_is_clamped_and_noted():
    archive = [("h", Hardlink(RawName("../../etc/passwd")))]
    assert ["etc/passwd"] == [item.link for item in index_of(tar_bytes(archive)).entries]
    assert [("escaping-hardlink", "h"), ("foreign-hardlink", "h")] == noted(archive)


# -- entries -------------------------------------------------------------------------------------------------------


def test_every_type_of_file_is_an_entry():
    archive = {
        "d": Directory(mode=0o1777, uid=1),
        "f": File(b"abc", mode=0o4755, gid=2, mtime=3, xattrs={"user.x": "y"}),
        "l": Symlink("f"),
        "h": Hardlink("f"),
        "c": Device("char", 1, 3),
        "b": Device("block", 8, 0),
        "p": Fifo(),
    }
    found = {item.path: item for item in index_of(tar_bytes(archive)).entries}
    assert {
        "d": "dir",
        "f": "file",
        "l": "symlink",
        "h": "hardlink",
        "c": "char",
        "b": "block",
        "p": "fifo",
    } == {path: item.type for path, item in found.items()}
    assert (0o1777, 1) == (found["d"].mode, found["d"].uid)
    assert (0o4755, 2, 3, 3, {"user.x": "y"}) == (
        found["f"].mode, found["f"].gid, found["f"].mtime, found["f"].size, found["f"].xattrs,
    )  # fmt: skip
    assert ((1, 3), (8, 0), (0, 0)) == (found["c"].device, found["b"].device, found["f"].device)
    assert ("", "f", "f") == (found["f"].link, found["l"].link, found["h"].link)


def test_only_permissions_are_left_of_a_mode_and_only_devices_have_numbers():
    archive = entry("f", mode=0o100644, major=1, minor=2, linkname="stale") + END
    (found,) = index_of(archive).entries
    assert (0o644, (0, 0), "") == (found.mode, found.device, found.link)


def test_an_entry_of_an_unknown_type_is_left_out_and_noted():
    archive = entry("odd", b"x", typeflag=b"7") + entry("good") + END
    found = index_of(archive)
    assert ["good"] == [item.path for item in found.entries]
    assert [("unknown-type", "odd")] == [(item.kind, item.path) for item in found.irregularities]


def test_entries_stay_in_order_and_a_second_one_for_a_path_is_noted():
    archive = [("a", "1"), ("b", "2"), (RawName("./a"), "3"), (RawName("b/"), Directory())]
    assert ["a", "b", "a", "b"] == paths(archive)
    assert [("duplicate-entry", "a"), ("duplicate-entry", "b")] == noted(archive)


def test_an_entry_says_where_it_is():
    archive = entry("a", b"x" * 600) + pax_header({"mtime": "7"}) + entry("b", b"y") + END
    first, second = index_of(archive).entries
    assert (0, 512, 600) == (first.header, first.data, first.stored)
    assert (1536, 3072, 1) == (second.header, second.data, second.stored)
    assert b"y" == archive[second.data : second.data + second.stored]


# -- markers -------------------------------------------------------------------------------------------------------


def test_whiteouts_and_opaque_marks_are_set_aside_with_their_place():
    archive = tar_bytes(
        {"etc/motd": Whiteout(), "gone": Whiteout(), "var/cache": Opaque(), "etc/kept": "x"},
        parents=False,
    )
    found = index_of(archive)
    assert ["etc/kept"] == [item.path for item in found.entries]
    assert [("etc/motd", 0), ("gone", 512)] == [(item.path, item.offset) for item in found.whiteouts]
    assert [("var/cache", 1024)] == [(item.path, item.offset) for item in found.opaques]
    assert () == found.irregularities


@pytest.mark.parametrize(
    ("name", "whiteouts", "opaques", "kinds"),
    [
        ("a/.wh.b", ["a/b"], [], []),
        (".wh..b", [".b"], [], []),
        (".wh....", ["..."], [], []),
        (".wh.b.wh.c", ["b.wh.c"], [], []),
        ("./a/./.wh.b", ["a/b"], [], []),
        (".wh.", [], [], ["invalid-whiteout"]),
        ("a/.wh.", [], [], ["invalid-whiteout"]),
        ("a/.wh..", [], [], ["invalid-whiteout"]),
        ("a/.wh...", [], [], ["invalid-whiteout"]),
        ("a/.wh..wh..opq", [], ["a"], []),
        ("a/.wh..wh.plnk", ["a/.wh.plnk"], [], ["aufs-metadata"]),
        ("a/.wh..wh.aufs", ["a/.wh.aufs"], [], ["aufs-metadata"]),
        ("a/.wh..wh.", ["a/.wh."], [], ["aufs-metadata"]),
        ("a/.wh..wh..opq.b", ["a/.wh..opq.b"], [], ["aufs-metadata"]),
    ],
)
def test_a_marker_is_told_by_its_name(name, whiteouts, opaques, kinds):
    found = index_of(tar_bytes([(RawName(name), "")]))
    assert () == found.entries
    assert whiteouts == [item.path for item in found.whiteouts]
    assert opaques == [item.path for item in found.opaques]
    assert kinds == [item.kind for item in found.irregularities]


@pytest.mark.parametrize("name", ["wh.a", ".wha", "a.wh.b", ".WH.a", ".wh.a/b", ".wh"])
def test_what_does_not_start_like_a_marker_is_none(name):
    assert [name] == paths([(RawName(name), "")])


@pytest.mark.parametrize(
    ("marker", "kind"),
    [
        (File(b""), None),
        (File(b"not empty"), "odd-whiteout"),
        (Symlink("x"), "odd-whiteout"),
        (Hardlink("x"), "odd-whiteout"),
        (Device("char", 0, 0), "odd-whiteout"),
        (Fifo(), "odd-whiteout"),
        (Directory(), "whiteout-directory"),
    ],
)
def test_a_whiteout_counts_whatever_it_is_and_an_odd_one_is_noted(marker, kind):
    found = index_of(tar_bytes([(RawName("a/.wh.b"), marker)]))
    assert ["a/b"] == [item.path for item in found.whiteouts]
    assert [kind] * bool(kind) == [item.kind for item in found.irregularities]


def test_a_plain_archive_may_start_with_a_name_that_looks_compressed():
    for name in ("]", "BZh", "BZhou/file"):
        assert [name] == paths({name: "x"})


def test_of_each_kind_only_so_many_irregularities_are_noted():
    archive = (
        pax_header({"a": "b"}, typeflag=b"g") * (DEFAULT_LIMITS.notes_of_a_kind + 10)
        + entry("d/", b"x") * 3
        + END
    )
    found = index_of(archive).irregularities
    assert {
        "global-header": DEFAULT_LIMITS.notes_of_a_kind,
        "slash-on-file": 3,
        "duplicate-entry": 2,
    } == Counter(item.kind for item in found)
    assert "left out" in found[DEFAULT_LIMITS.notes_of_a_kind - 1].message
    assert "left out" not in found[-1].message


def test_what_is_noted_of_a_long_name_is_short():
    archive = tar_bytes([(RawName("../" + "n" * 5000), "")])
    assert [1000] == [len(item.path) for item in index_of(archive).irregularities]


# -- verification --------------------------------------------------------------------------------------------------

ARCHIVE = tar_bytes({"etc/motd": "hello", "usr/bin/tool": b"\x7fELF" + bytes(range(256)) * 300})


class Exchanged(BytesSource):
    """A source that delivers one blob under the name of another, from the second time on."""

    def __init__(self, first, then):
        super().__init__(first)
        self.deliveries = [first]
        self.then = then

    def open(self, descriptor):
        return io.BytesIO(self.deliveries.pop() if self.deliveries else self.then)


def layer_from(source, blob, plain=ARCHIVE, **options):
    return Layer(
        Descriptor(OCI_LAYER, Digest.of(blob), len(blob)), Digest.of(plain), 3, None, source, **options
    )


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_an_index_tells_what_the_layer_was(compression):
    blob = compress(ARCHIVE, compression)
    layer = layer_of(ARCHIVE, blob=blob)
    found = layer.index()
    assert (layer.descriptor, layer.diff_id, len(ARCHIVE)) == (
        found.descriptor, found.diff_id, found.uncompressed_size,
    )  # fmt: skip
    assert Digest.of(blob) == found.descriptor.digest


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_every_damaged_byte_is_the_blobs_fault(compression):
    archive = tar_bytes({"etc/motd": "hello", "x": pax_header({"a": "b"}), "l": Symlink("t" * 120)})
    blob = compress(archive, compression)
    descriptor = Descriptor(OCI_LAYER, Digest.of(blob), len(blob))
    source = BytesSource(blob)
    layer = Layer(descriptor, Digest.of(archive), 0, None, source)
    layer.index()
    step = 1 if compression != "none" else 37
    for at in range(0, len(blob), step):
        source.blobs[descriptor.digest] = blob[:at] + bytes([blob[at] ^ 0x10]) + blob[at + 1 :]
        with pytest.raises(DigestMismatch):
            layer.index()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_blob_cut_or_extended_anywhere_is_the_blobs_fault(compression):
    blob = compress(ARCHIVE, compression)
    source = BytesSource(blob)
    layer = layer_from(source, blob)
    for other in [blob[:at] for at in range(0, len(blob), 97)] + [blob + b"\0", blob + blob]:
        source.blobs[layer.descriptor.digest] = other
        with pytest.raises(SizeMismatch):
            layer.index()


def test_bytes_behind_the_end_of_the_archive_are_verified_too():
    archive = ARCHIVE + b"behind"
    source = BytesSource(archive)
    layer = layer_from(source, archive, archive)
    assert ["data-after-end"] == [item.kind for item in layer.index().irregularities]
    source.blobs[layer.descriptor.digest] = ARCHIVE + b"change"
    with pytest.raises(DigestMismatch):
        layer.index()


def test_a_layer_that_the_configuration_does_not_name_is_refused_unless_nobody_asks():
    blob = gzip.compress(ARCHIVE, mtime=0)
    source = BytesSource(blob)
    with pytest.raises(DiffIDMismatch):
        layer_from(source, blob, b"another").index()
    assert layer_from(source, blob, b"another", verify_diff_id=False).index().entries


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (entry("a") + tar_header("b", checksum=1) + END, "checksum"),
        (tar_header("a", size=600) + bytes(100), "ends in the middle"),
        (entry("a") + bytes(512) + entry("b") + END, "lone block"),
    ],
)
def test_an_archive_that_go_cannot_read_is_the_layers_fault_and_says_where(archive, message):
    with pytest.raises(InvalidLayer, match=message) as raised:
        layer_of(archive, blob=gzip.compress(archive, mtime=0), position=7).index()
    assert "layer 7 (sha256:" in str(raised.value)
    assert "byte " in str(raised.value)


def test_an_archive_that_go_cannot_read_and_nobody_asked_for_is_the_blobs_fault():
    broken = ARCHIVE[:512] + b"x" * 512 + ARCHIVE[1024:]
    with pytest.raises(DiffIDMismatch):
        layer_from(BytesSource(broken), broken).index()
    with pytest.raises(DigestMismatch):
        layer_from(Exchanged(broken, b""), ARCHIVE).index()


def test_a_source_that_does_not_deliver_is_not_the_layers_fault():
    class Empty(BytesSource):
        def open(self, descriptor):
            raise SourceError("not there")

    with pytest.raises(SourceError, match="not there"):
        layer_from(Empty(), ARCHIVE).index()


def test_indexing_is_cancelled_from_outside():
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(TransportError, match="cancelled"):
        layer_of(ARCHIVE).index(cancelled=cancelled)


def test_progress_is_told_of_every_compressed_byte():
    blob = gzip.compress(ARCHIVE, mtime=0)
    layer = layer_of(ARCHIVE, blob=blob)
    told = []
    layer.index(progress=lambda which, count: told.append((which, count)))
    assert {layer} == {which for which, _ in told}
    assert len(blob) == sum(count for _, count in told)


# -- bodies --------------------------------------------------------------------------------------------------------


def kept(entries, patterns, **bounds):
    """The paths whose bodies are kept, and that they are right."""
    archive = tar_bytes(entries)
    found = layer_of(archive).index(Retain(patterns, limits=limited(**bounds)))
    held = {item.path: found.contents[item.data] for item in found.entries if item.data in found.contents}
    for item in found.entries:
        if item.path in held:
            assert held[item.path] == archive[item.data : item.data + item.stored]
    assert len(held) == len(found.contents)
    return sorted(held)


TREE = {
    "boot/vmlinuz": "k", "boot/grub2/grub.cfg": "g", "etc/os-release": "o", "etc/a.conf": "1", "etc/d/b.conf": "2",
    "etc/d/e/c.conf": "3", "usr/lib/modules/6.4/x.ko": "m", "a+b": "p", "l": Symlink("etc"), "d": Directory(),
}  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], []),
        (["etc/os-release"], ["etc/os-release"]),
        (["etc/*.conf"], ["etc/a.conf"]),
        (["etc/**/*.conf"], ["etc/a.conf", "etc/d/b.conf", "etc/d/e/c.conf"]),
        (["etc/**"], ["etc/a.conf", "etc/d/b.conf", "etc/d/e/c.conf", "etc/os-release"]),
        (["**/*.conf", "boot/*"], ["boot/vmlinuz", "etc/a.conf", "etc/d/b.conf", "etc/d/e/c.conf"]),
        (["boot/{vmlinuz,grub2/grub.cfg}"], ["boot/grub2/grub.cfg", "boot/vmlinuz"]),
        (["etc/?.conf"], ["etc/a.conf"]),
        (["etc?a.conf", "etc"], []),
        (["a+b"], ["a+b"]),
        (["os-release", "/etc/os-release"], []),
        (["{a+b"], []),
    ],
)
def test_bodies_are_kept_by_globs_of_whole_paths(patterns, expected):
    assert expected == kept(TREE, patterns)


def test_globs_cannot_smuggle_regular_expressions():
    assert "(?:\\(a\\|b\\)\\.\\^\\$\\+)" == path_expression("(a|b).^$+")


def test_whiteouts_links_and_directories_have_no_bodies():
    assert [] == kept(
        {"a": Whiteout(), "b": Opaque(), "c": Symlink("x"), "d": Directory(), "e": Hardlink("c")}, ["**"]
    )


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"retained_file_bytes": 3}, ["a", "c"]),
        ({"retained_bytes": 6}, ["a", "c"]),
        ({"retained_bytes": 3}, ["a"]),
        ({"retained_bytes": 2}, ["c"]),
        ({"retained_bytes": 0}, []),
        ({"retained_file_bytes": 0}, []),
        ({"retained_bytes": 10}, ["a", "b", "c"]),
    ],
)
def test_what_does_not_fit_the_budget_is_not_kept(bounds, expected):
    assert expected == kept({"a": "123", "b": "12345", "c": "12"}, ["**"], **bounds)


def test_the_budget_is_one_for_all_layers():
    retain = Retain(["**"], limits=limited(retained_bytes=5))
    first = layer_of(tar_bytes({"a": "123"})).index(retain)
    second = layer_of(tar_bytes({"b": "456"})).index(retain)
    assert [b"123"] == list(first.contents.values())
    assert {} == second.contents


def test_a_sparse_file_is_not_kept_for_its_bytes_are_not_its_content():
    archive = old_gnu_sparse(b"s", ((5, 5),), 100, b"abcde") + END
    assert {} == layer_of(archive).index(Retain(["**"])).contents


# -- the second pass -----------------------------------------------------------------------------------------------


def opened(layer, path):
    (found,) = (item for item in layer.index().entries if item.path == path)
    return layer.open(found)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 4096, 1 << 20, -1])
def test_a_file_is_read_again_in_any_portions(compression, size):
    layer = layer_of(ARCHIVE, blob=compress(ARCHIVE, compression))
    with opened(layer, "usr/bin/tool") as file:
        content = file.read(size) if size < 0 else b"".join(iter(lambda: file.read(size), b""))
        assert b"" == file.read(10)
    assert b"\x7fELF" + bytes(range(256)) * 300 == content


def test_an_empty_file_and_an_entry_without_content_read_as_nothing():
    layer = layer_of(tar_bytes({"empty": "", "link": Symlink("x"), "next": "content"}))
    for path in ("empty", "link"):
        with opened(layer, path) as file:
            assert b"" == file.read()


def test_every_file_of_a_layer_is_read_right():
    contents = {f"f{number}": bytes([number]) * (number * 37 % 1500) for number in range(60)}
    layer = layer_of(tar_bytes(contents), blob=gzip.compress(tar_bytes(contents), mtime=0))
    for item in layer.index().entries:
        with layer.open(item) as file:
            assert contents[item.path] == file.read()


SPARSE = {
    "old": old_gnu_sparse,
    "0.0": lambda *rest: pax_sparse("0.0", *rest),
    "0.1": lambda *rest: pax_sparse("0.1", *rest),
    "1.0": lambda *rest: pax_sparse("1.0", *rest),
}


@pytest.mark.parametrize("version", SPARSE)
@pytest.mark.parametrize("size", [-1, 1, 100, 700_000])
@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        (((0, 5),), b"abcde"),
        (((5, 5),), bytes(5) + b"abcde"),
        (((0, 2), (10, 3)), b"ab" + bytes(8) + b"cde"),
        (((2, 1), (3, 4), (9, 0), (9, 0)), b"\0\0abcde\0\0"),
        (((3_000_000, 5),), bytes(3_000_000) + b"abcde"),
        (((0, 5), (1_500_000, 0)), b"abcde" + bytes(1_500_000 - 5)),
    ],
)
def test_a_sparse_file_is_read_with_its_holes(version, size, stretches, expected):
    archive = SPARSE[version](b"s", stretches, len(expected), b"abcde") + entry("next", b"next") + END
    layer = layer_of(archive)
    step = max(size, len(expected) // 50) if size > 0 else size
    with opened(layer, "s") as file:
        assert expected == (file.read() if size < 0 else b"".join(iter(lambda: file.read(step), b"")))
    with opened(layer, "next") as file:
        assert b"next" == file.read()


def test_a_hole_of_any_size_takes_no_memory():
    archive = old_gnu_sparse(b"s", ((2**32, 1),), 2**32 + 1, b"x") + END
    with opened(layer_of(archive), "s") as file:
        first = file.read(10)
        assert len(file.read(1 << 30)) <= 1 << 20
    assert bytes(10) == first


def test_closing_verifies_what_comes_behind_the_file():
    changed = ARCHIVE[:-1] + b"x"
    layer = layer_from(Exchanged(ARCHIVE, changed), ARCHIVE)
    file = opened(layer, "etc/motd")
    assert b"hello" == file.read()
    with pytest.raises(DigestMismatch):
        file.close()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_file_is_never_believed_if_the_blob_is_another_the_second_time(compression):
    blob = compress(ARCHIVE, compression)
    other = compress(ARCHIVE.replace(b"hello", b"hullo"), compression)
    damaged = bytearray(blob)
    damaged[len(blob) // 2] ^= 0xFF
    for wrong in (other, bytes(damaged), blob[:-1], blob[: len(blob) // 2], blob + b"x", b""):
        for path in ("etc/motd", "usr/bin/tool"):
            layer = layer_from(Exchanged(blob, wrong), blob)
            with pytest.raises(ContentError), opened(layer, path) as file:
                file.read()


def test_a_reader_that_heeds_no_error_is_told_again():
    blob = gzip.compress(ARCHIVE, mtime=0)
    damaged = bytearray(blob)
    damaged[40] ^= 0xFF
    layer = layer_from(Exchanged(blob, bytes(damaged)), blob)
    file = opened(layer, "usr/bin/tool")
    with pytest.raises(DigestMismatch):
        file.read()
    with pytest.raises(DigestMismatch):
        file.close()


def test_an_error_inside_the_block_is_not_replaced_by_another():
    layer = layer_from(Exchanged(ARCHIVE, ARCHIVE[:-1]), ARCHIVE)
    with pytest.raises(KeyError), opened(layer, "etc/motd"):
        raise KeyError("mine")


def test_closing_twice_is_closing_once():
    file = opened(layer_of(ARCHIVE), "etc/motd")
    file.close()
    file.close()


# -- bounds --------------------------------------------------------------------------------------------------------


def exceeded(archive, **bounds):
    with pytest.raises(LimitExceeded) as raised:
        layer_of(archive, limits=limited(**bounds)).index()
    assert bounds == {raised.value.limit: raised.value.bound}
    assert str(Digest.of(archive)) in str(raised.value)


def test_a_layer_has_as_many_entries_as_it_may_and_not_one_more():
    archive = tar_bytes({"a": "", "b": Whiteout(), "c": RawEntry(entry("odd", typeflag=b"7"))})
    assert 1 == len(layer_of(archive, limits=limited(entries=3)).index().entries)
    exceeded(archive, entries=2)


@pytest.mark.parametrize("name", ["n" * 50, "é" * 25, "\udce9" * 50, "d/" * 24 + "nn"])
def test_a_path_has_as_many_bytes_as_it_may_and_not_one_more(name):
    archive = tar_bytes({name: ""}, parents=False)
    assert name == layer_of(archive, limits=limited(path_bytes=50)).index().entries[0].path
    exceeded(archive, path_bytes=49)


def test_a_path_has_as_many_components_as_it_may_and_not_one_more():
    archive = tar_bytes({"d/" * 9 + "f": ""}, parents=False)
    assert 1 == len(layer_of(archive, limits=limited(path_depth=10)).index().entries)
    exceeded(archive, path_depth=9)


def test_a_path_is_measured_when_it_was_made_plain():
    archive = tar_bytes([(RawName("./" * 200 + "a/" + "../a/" * 200 + "f"), "")], parents=False)
    found = layer_of(archive, limits=limited(path_bytes=3, path_depth=2)).index()
    assert ["a/f"] == [item.path for item in found.entries]


def test_an_extended_header_beyond_its_bound_ends_the_layer():
    exceeded(tar_bytes({"n" * 2000: ""}), pax_bytes=1000)


def test_a_layer_beyond_its_bound_ends_there():
    exceeded(tar_bytes({"f": bytes(10_000)}), inflated_bytes=5000)


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(gnu_long(b"n" * 1000) + entry(), id="names"),
        pytest.param(gnu_long(b"t" * 1000, b"K") + entry(typeflag=b"2"), id="targets"),
        pytest.param(pax_header({"SCHILY.xattr.user.x": "v" * 1000}) + entry(), id="attributes"),
        pytest.param(old_gnu_sparse(b"s", [(at, 0) for at in range(40)], 40, b""), id="maps"),
    ],
)
def test_what_an_index_keeps_is_bounded_however_small_the_blob_is(archive):
    limits = evolve(DEFAULT_LIMITS, metadata_characters=5000)
    assert 1 == len(layer_of(archive + END, limits=limits).index().entries)
    with pytest.raises(LimitExceeded) as raised:
        layer_of(archive * 10 + END, limits=limits).index()
    assert ("metadata_characters", 5000) == (raised.value.limit, raised.value.bound)
