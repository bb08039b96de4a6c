"""Layers written for tests, judged by tarfile, GNU tar and umoci (Go's reader)."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    Opaque,
    RawEntry,
    RawName,
    Symlink,
    Whiteout,
    build_layer,
    digest_of,
    pax_header,
    tar_bytes,
    tar_header,
)
from cosinspect.testing.layers import compress

FORMATS = pytest.mark.parametrize("form", ["pax", "gnu"])
needs_tar = pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar is not installed")
needs_umoci = pytest.mark.skipif(not shutil.which("umoci"), reason="umoci is not installed")


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", errorlevel=2) as tar:
        return tar.getmembers()


def names(archive):
    return [member.name for member in members(archive)]


def member(archive, name):
    return next(member for member in members(archive) if member.name == name)


def content(archive, name):
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        return tar.extractfile(name).read()


def header_names(archive):
    """Names as they stand in the first header field, of an archive without bodies."""
    blocks = [archive[at : at + 512] for at in range(0, len(archive), 512)]
    return [block[:100].rstrip(b"\0") for block in blocks if block.strip(b"\0")]


@FORMATS
def test_each_kind_of_entry_is_read_back_as_it_was_written(form):
    archive = tar_bytes(
        {
            "text": "hällo",
            "bytes": b"\0\xff",
            "file": File("x", mode=0o4755, uid=12, gid=34, mtime=56),
            "dir": Directory(mode=0o1777, uid=1, gid=2, mtime=3),
            "link": Symlink("/usr/../lib"),
            "hard": Hardlink("/text"),
            "null": Device("char", 1, 3, mode=0o666),
            "sda1": Device("block", 8, 1),
            "pipe": Fifo(mode=0o600),
        },
        format=form,
    )

    read = {
        m.name: (m.type, m.mode, m.uid, m.gid, m.mtime, m.size, m.linkname, m.devmajor, m.devminor)
        for m in members(archive)
    }

    assert read == {
        "text": (b"0", 0o644, 0, 0, 0, 6, "", 0, 0),
        "bytes": (b"0", 0o644, 0, 0, 0, 2, "", 0, 0),
        "file": (b"0", 0o4755, 12, 34, 56, 1, "", 0, 0),
        "dir": (b"5", 0o1777, 1, 2, 3, 0, "", 0, 0),
        "link": (b"2", 0o777, 0, 0, 0, 0, "/usr/../lib", 0, 0),
        "hard": (b"1", 0o644, 0, 0, 0, 0, "text", 0, 0),
        "null": (b"3", 0o666, 0, 0, 0, 0, "", 1, 3),
        "sda1": (b"4", 0o600, 0, 0, 0, 0, "", 8, 1),
        "pipe": (b"6", 0o600, 0, 0, 0, 0, "", 0, 0),
    }
    assert "hällo".encode() == content(archive, "text")
    assert content(archive, "bytes") == b"\0\xff"


@FORMATS
@pytest.mark.parametrize(
    "path",
    [
        "n" * 100,
        "n" * 101,
        "d" * 155 + "/" + "n" * 100,
        "d" * 156 + "/" + "n" * 100,
        "d" * 60 + "/" + "e" * 60 + "/" + "n" * 101,
        "a/" * 300 + "deep",
        "gr\u00fcn/\u20ac",
        os.fsdecode(b"caf\xe9/\xff\xfe"),
        os.fsdecode(b"\xff" * 300),
    ],
)
def test_a_name_of_any_length_and_encoding_survives(form, path):
    archive = tar_bytes({path: "content", "last": Symlink(path)}, format=form, parents=False)

    first, last = members(archive)

    assert path == first.name
    assert path == last.linkname
    assert content(archive, path) == b"content"


@FORMATS
@pytest.mark.parametrize(
    ("field", "value"),
    [("uid", 8**7 - 1), ("uid", 8**7), ("gid", 2**32 - 2), ("mtime", 8**11), ("mtime", -86400)],
)
def test_a_number_too_large_for_octal_digits_survives(form, field, value):
    archive = tar_bytes({"f": File("x", **{field: value})}, format=form)

    assert value == getattr(member(archive, "f"), field)


def test_ustar_is_enough_for_a_short_name_and_for_a_long_one_that_splits():
    short = tar_bytes({"f": ""}, end_blocks=0)
    split = tar_bytes({"d" * 155 + "/" + "n" * 100: ""}, parents=False, end_blocks=0)

    assert (len(short), len(split)) == (512, 512)


def test_extended_attributes_are_pax_records_that_may_hold_any_byte():
    value = b"\x01\x00\n= \xff"
    archive = tar_bytes({"f": File("x", xattrs={"security.capability": value, "user.note": "hi"})})

    records = pax_records(archive)

    assert {b"SCHILY.xattr.security.capability": value, b"SCHILY.xattr.user.note": b"hi"} == records
    assert content(archive, "f") == b"x"


def pax_records(archive):
    """The records of the first header, read by their lengths alone."""
    assert archive[156:157] == b"x"
    body = archive[512 : 512 + int(archive[124:135], 8)]
    records = {}
    while body:
        length = int(body.partition(b" ")[0])
        record, body = body[:length], body[length:]
        key, _, value = record.partition(b" ")[2].partition(b"=")
        assert value.endswith(b"\n")
        records[key] = value[:-1]
    return records


@pytest.mark.parametrize("value_length", range(85, 105))
def test_the_length_of_a_pax_record_counts_its_own_digits(value_length):
    archive = pax_header({"k": "v" * value_length})

    assert {b"k": b"v" * value_length} == pax_records(archive)


def test_pax_records_hold_the_numbers_that_ustar_cannot_and_no_others():
    entry = File("", uid=8**7 - 1, gid=8**7, mtime=8**11)

    assert pax_records(tar_bytes({"f": entry})) == {b"gid": b"2097152", b"mtime": b"8589934592"}


def test_the_order_of_extended_attributes_changes_nothing():
    one, two = ({"user.a": "1", "user.b": "2"}, {"user.b": "2", "user.a": "1"})

    assert tar_bytes({"f": File(xattrs=one)}) == tar_bytes({"f": File(xattrs=two)})


def test_the_gnu_format_refuses_extended_attributes():
    with pytest.raises(ValueError, match="extended attributes"):
        tar_bytes({"f": File("x", xattrs={"user.a": "b"})}, format="gnu")


def test_entries_keep_their_order_and_may_come_twice():
    archive = tar_bytes([("b", "1"), ("a", "2"), ("b", Directory())])

    assert [(m.name, m.type) for m in members(archive)] == [("b", b"0"), ("a", b"0"), ("b", b"5")]


def test_missing_parents_are_written_once_before_their_first_child():
    archive = tar_bytes({"a/b/c": "", "a/b/d": "", "a/e": Symlink("b")})

    assert header_names(archive) == [b"a/", b"a/b/", b"a/b/c", b"a/b/d", b"a/e"]


def test_parents_that_the_layer_has_itself_are_left_to_it():
    archive = tar_bytes({"lib": Symlink("usr/lib"), "lib/new": "", "d/f": "", "d": Directory(mode=0o700)})

    assert header_names(archive) == [b"lib", b"lib/new", b"d/f", b"d/"]


def test_parents_stay_implied_when_they_are_not_wanted():
    assert header_names(tar_bytes({"a/b/c": ""}, parents=False)) == [b"a/b/c"]


def test_a_whiteout_stands_at_the_path_that_it_deletes():
    archive = tar_bytes({"etc/motd": Whiteout(), "gone": Whiteout()})

    assert header_names(archive) == [b"etc/", b"etc/.wh.motd", b".wh.gone"]


def test_a_directory_that_is_deleted_and_made_again_gets_an_entry():
    assert header_names(tar_bytes({"d": Whiteout(), "d/new": ""})) == [b".wh.d", b"d/", b"d/new"], (
        "a whiteout is no entry of its path"
    )


def test_an_opaque_mark_lies_in_its_directory():
    archive = tar_bytes({"d": Opaque(), "/": Opaque()})

    assert header_names(archive) == [b"d/", b"d/.wh..wh..opq", b".wh..wh..opq"]


def test_a_raw_name_is_written_as_it_stands():
    spelt = [b"./a", b"/abs", b"a/../b", b"c//d", b" e", b"dir", b"file/", b"x/.wh.y", b"z/.wh..wh..opq", b""]
    archive = tar_bytes(
        [
            *((RawName(name), "") for name in spelt[:5]),
            (RawName("dir"), Directory()),
            (RawName("file/"), File("")),
            (RawName("x/y"), Whiteout()),
            (RawName("z"), Opaque()),
            (RawName(""), File("")),
        ],
        end_blocks=0,
    )

    blocks = [archive[at : at + 100].rstrip(b"\0") for at in range(0, len(archive), 512)]
    assert spelt == blocks


def test_a_raw_name_serves_as_the_target_of_a_hard_link():
    archive = tar_bytes([("f", ""), ("h", Hardlink(RawName("/../f")))])

    assert member(archive, "h").linkname == "/../f"


def test_leading_and_trailing_slashes_do_not_matter_and_the_root_may_be_a_directory():
    archive = tar_bytes({"/": Directory(mode=0o700), "/etc/": Directory(), "//f": ""})

    assert header_names(archive) == [b"./", b"etc/", b"f"]


@pytest.mark.parametrize("path", ["", "a/../b", "./a", "a//b", "a/.", "..", "a\0b"])
def test_a_path_that_can_only_be_a_mistake_is_refused_with_the_way_to_mean_it(path):
    with pytest.raises(ValueError, match=r"RawName|RawEntry"):
        tar_bytes({path: "x"})


@pytest.mark.parametrize("entry", ["x", Whiteout(), Symlink("x")])
def test_the_root_is_refused_as_anything_but_a_directory(entry):
    with pytest.raises(ValueError, match="root of a layer"):
        tar_bytes({"/": entry})


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 1024 + 1024), ({"end_blocks": 0}, 1024), ({"end_blocks": 1}, 1536), ({"pad_to": 10240}, 10240)],
)
def test_the_end_mark_and_the_padding_can_be_chosen(options, size):
    archive = tar_bytes({"f": "x"}, **options)

    assert size == len(archive)
    assert archive[1024:] == bytes(size - 1024)
    assert names(archive) == ["f"]


def test_trailing_bytes_follow_everything():
    archive = tar_bytes({"f": "x"}, trailing=b"behind the end")

    assert tar_bytes({"f": "x"}) + b"behind the end" == archive


def test_the_same_entries_are_the_same_bytes():
    entries = {"etc/os-release": "ID=cos\n", "é": File("x", xattrs={"user.b": "1", "user.a": "2"})}

    assert build_layer(dict(entries)) == build_layer(list(entries.items()))


def test_a_layer_has_the_digests_of_its_blob_and_of_its_archive():
    layer = build_layer({"f": "x"})

    assert "sha256:" + hashlib.sha256(layer.blob).hexdigest() == layer.digest
    assert "sha256:" + hashlib.sha256(gzip.decompress(layer.blob)).hexdigest() == layer.diff_id


def test_digest_of_nothing_is_the_one_that_everybody_knows():
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_gzip_names_no_file_no_time_and_no_system():
    blob = compress(b"data", "gzip")

    # RFC 1952, 2.3: magic, deflate, no flags, no time, no extra flags at this level, system unknown.
    assert blob[:8] == bytes.fromhex("1f8b0800 00000000")
    assert blob[9] == 255
    assert gzip.decompress(blob) == b"data"


def test_zstd_and_no_compression_give_the_archive_back():
    assert zstandard.ZstdDecompressor().decompress(compress(b"data", "zstd")) == b"data"
    assert compress(b"data", "none") == b"data"


def test_an_option_that_does_not_exist_is_no_option_that_is_ignored():
    with pytest.raises(TypeError, match="parent"):
        ImageBuilder().layer({"a/b": ""}, parent=False)


def test_unknown_formats_and_compressions_are_refused():
    with pytest.raises(ValueError, match="'pax' or 'gnu'"):
        tar_bytes({}, format="v7")
    with pytest.raises(ValueError, match="'gzip', 'zstd' or 'none'"):
        compress(b"", "xz")


def test_raw_bytes_are_put_in_as_they_are():
    header = tar_header("odd", typeflag=b"Z", size=3, checksum=0o123)
    archive = tar_bytes([("f", ""), ("unused", RawEntry(header + b"abc".ljust(512, b"\0"))), ("g", "")])

    assert archive[512:515] == b"odd"
    assert archive[512 + 156 : 512 + 157] == b"Z"
    assert archive[512 + 148 : 512 + 156] == b"000123\0 "
    assert archive[1024:1027] == b"abc"
    assert archive[1536:1537] == b"g"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (0, b"00000000000\0"),
        (8**11 - 1, b"77777777777\0"),
        (8**11, bytes.fromhex("800000000000000200000000")),
        (-1, b"\xff" * 12),
    ],
)
def test_numbers_beyond_octal_digits_are_gnu_base_256(value, field):
    assert field == tar_header("f", size=value)[124:136]


COMPONENTS = st.binary(min_size=1, max_size=180).filter(
    lambda part: part not in (b".", b"..") and not {0, ord("/")} & set(part)
)


@FORMATS
@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(COMPONENTS, min_size=1, max_size=4),
    body=st.binary(max_size=1030),
    numbers=st.fixed_dictionaries(
        {"uid": st.integers(0, 2**32), "gid": st.integers(0, 2**32), "mtime": st.integers(-(2**40), 2**40)}
    ),
)
def test_tarfile_reads_back_any_file(form, parts, body, numbers):
    path = os.fsdecode(b"/".join(parts))

    archive = tar_bytes({path: File(body, **numbers), "behind": ""}, format=form, parents=False)

    first, second = members(archive)
    assert path == first.name
    assert body == content(archive, path)
    assert numbers == {key: getattr(first, key) for key in numbers}
    assert second.name == "behind"


def listing(archive):
    done = subprocess.run(
        ["tar", "--list", "--verbose", "--numeric-owner", "--quoting-style=literal"],
        input=archive,
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
    )
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.compat
@needs_tar
@FORMATS
def test_gnu_tar_lists_what_was_written(form):
    long = "d" * 80 + "/" + "n" * 120
    archive = tar_bytes(
        {
            long: File("x", mode=0o600, uid=3_000_000, gid=5),
            os.fsdecode(b"\xff"): Directory(),
            "null": Device("char", 1, 3),
            "hard": Hardlink(long),
        },
        format=form,
        parents=False,
    )

    lines = [(line[0], line[1], line[5:]) for line in listing(archive)]

    assert [
        (b"-rw-------", b"3000000/5", [long.encode()]),
        (b"drwxr-xr-x", b"0/0", [b"\xff/"]),
        (b"crw-------", b"0/0", [b"null"]),
        (b"hrw-r--r--", b"0/0", [b"hard", b"link", b"to", long.encode()]),
    ] == lines


@pytest.mark.compat
@needs_tar
@FORMATS
def test_gnu_tar_extracts_what_was_written(form, tmp_path):
    archive = tar_bytes(
        {"etc/os-release": "ID=cos\n", "bin": Symlink("usr/bin"), "h": Hardlink("etc/os-release")},
        format=form,
    )

    subprocess.run(["tar", "-x", "--no-same-owner", "-C", tmp_path], input=archive, check=True)

    assert (tmp_path / "etc/os-release").read_text() == "ID=cos\n"
    assert str((tmp_path / "bin").readlink()) == "usr/bin"
    assert (tmp_path / "h").samefile(tmp_path / "etc/os-release")


@pytest.mark.compat
@needs_tar
def test_hostile_headers_are_what_the_parsers_are_known_to_disagree_about():
    """GNU tar takes the last PAX header, and no V7 prefix."""
    body = b"x".ljust(512, b"\0")
    archive = tar_bytes(
        [
            ("", RawEntry(pax_header({"path": "first"}))),
            ("", RawEntry(pax_header({"path": "second"}))),
            ("f", "x"),
            ("", RawEntry(tar_header("vmlinuz", size=1, prefix=b"boot", magic=b"") + body)),
        ]
    )

    assert [line[5] for line in listing(archive)] == [b"second", b"vmlinuz"]


@pytest.mark.compat
@needs_umoci
def test_umoci_unpacks_layers_as_the_specification_says(tmp_path):
    image = (
        ImageBuilder()
        .layer(
            {
                "etc/motd": "old",
                "etc/keep": File("kept", mode=0o640),
                "d/old": "1",
                "o/old/deep": "2",
                "n" * 120: "long",
                os.fsdecode(b"\xff"): "binary",
            }
        )
        .layer(
            {
                "etc/motd": Whiteout(),
                "d": Whiteout(),
                "d/new": "3",
                "o": Opaque(),
                "o/new": "4",
                "h": Hardlink("o/new"),
            },
            format="gnu",
        )
        .build()
    )
    image.write_layout(tmp_path / "layout", "v1")

    command = ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle"]
    subprocess.run(command, check=True, capture_output=True)

    root = tmp_path / "bundle/rootfs"
    files = {
        str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()
    }
    assert {
        "etc/keep": "kept",
        "d/new": "3",
        "o/new": "4",
        "h": "4",
        "n" * 120: "long",
        os.fsdecode(b"\xff"): "binary",
    } == files
    assert stat.S_IMODE((root / "etc/keep").stat().st_mode) == 0o640
    assert (root / "h").samefile(root / "o/new")
