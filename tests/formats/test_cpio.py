"""The cpio reader, against archives that cpio(1) wrote and bytes written out by hand."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.boot.cpio import PATH_BYTES, Window, body_pieces, read_archive, read_entry
from raw_cpio import TRAILER
from raw_cpio import raw_member as member

# From the description of the format: magic, inode, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor,
# rdevmajor, rdevminor, namesize, check.
HELLO = (
    b"070701"
    b"0000000A"
    b"000081A4"
    b"000003E8"
    b"00000064"
    b"00000001"
    b"65920080"
    b"00000005"
    b"00000008"
    b"00000011"
    b"00000000"
    b"00000000"
    b"00000006"
    b"00000000"
    b"hello\0"
    b"world\0\0\0"
)
needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio(1) is not installed")


def window(data: bytes, piece: int = 1 << 20) -> Window:
    stream = io.BytesIO(data)
    return Window(lambda: stream.read(piece))


def read(data: bytes, piece: int = 1 << 20) -> list[tuple[str, bytes]]:
    """Names and bodies; the target is the body of a symbolic link."""
    view = window(data, piece)
    return [
        (
            entry.name,
            b"".join(body_pieces(view, entry)) if entry.target is None else os.fsencode(entry.target),
        )
        for entry in read_archive(view)
    ]


def fault(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        read(data)
    return caught.value


def test_every_field_of_a_header_is_read():
    view = window(HELLO)
    entry = read_entry(view)
    assert entry is not None
    assert (entry.name, entry.mode, entry.uid, entry.gid) == ("hello", 0o100644, 1000, 100)
    assert (entry.inode, entry.nlink, entry.mtime, entry.size) == (10, 1, 0x65920080, 5)
    assert (entry.device, entry.node, entry.checksum, entry.offset) == ((8, 17), (0, 0), None, 0)
    assert (entry.type, entry.target) == ("file", None)
    assert b"".join(body_pieces(view, entry)) == b"world"
    assert len(HELLO) == view.offset


def test_the_trailer_ends_the_archive_and_nothing_behind_it_is_read():
    view = window(HELLO + TRAILER + HELLO)
    assert [entry.name for entry in read_archive(view)] == ["hello"]
    assert len(HELLO + TRAILER) == view.offset


def test_the_trailer_may_be_missing_as_kernels_allow():
    assert read(HELLO) == [("hello", b"world")]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 110, 4096])
def test_the_size_of_pieces_makes_no_difference(piece):
    data = HELLO + bytes(16) + member(b"link", b"hello", 0o120777) + TRAILER
    assert read(data, piece) == [("hello", b"world"), ("link", b"hello")]


def test_bodies_that_are_not_taken_are_passed():
    data = member(b"a", b"1" * 5) + member(b"b", b"2" * 300_000) + member(b"c", b"3") + TRAILER
    assert [entry.name for entry in read_archive(window(data, 4096))] == ["a", "b", "c"]


def test_bodies_may_be_taken_in_part():
    view = window(member(b"a", b"12345") + member(b"b", b"x") + TRAILER)
    assert [(entry.name, view.take(min(2, entry.size))) for entry in read_archive(view)] == [
        ("a", b"12"),
        ("b", b"x"),
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFREG, "file"),
        (stat.S_IFDIR, "directory"),
        (stat.S_IFLNK, "symlink"),
        (stat.S_IFCHR, "character"),
        (stat.S_IFBLK, "block"),
        (stat.S_IFIFO, "fifo"),
        (stat.S_IFSOCK, "socket"),
        (0, "unknown"),
    ],
)
def test_types_follow_the_mode(mode, expected):
    entry = read_entry(window(member(b"x", mode=mode)))
    assert entry is not None
    assert expected == entry.type


def test_names_end_at_the_first_nul_and_may_be_no_utf8():
    assert [entry.name for entry in read_archive(window(member(b"a\0b")))] == ["a"]
    assert [os.fsencode(entry.name) for entry in read_archive(window(member(b"\xff\xfe")))] == [b"\xff\xfe"]


def test_a_device_node_tells_which():
    entry = read_entry(window(member(b"console", mode=stat.S_IFCHR | 0o600, rmajor=5, rminor=1)))
    assert entry is not None
    assert entry.node == (5, 1)


def test_a_name_as_long_as_kernels_take_is_read_and_a_longer_one_passed_over():
    longest = b"n" * (PATH_BYTES - 1)
    assert [longest.decode(), "b"] == [name for name, _ in read(member(longest, b"1") + member(b"b"))]
    assert [name for name, _ in read(member(longest + b"n", b"1") + member(b"b"))] == ["", "b"]
    assert [name for name, _ in read(member(b"", namesize=0)[:112] + member(b"b"))] == ["", "b"]


def test_a_link_target_longer_than_kernels_take_is_not_told():
    entries = list(read_archive(window(member(b"l", b"t" * (PATH_BYTES + 1), 0o120777) + member(b"b"))))
    assert [(entry.name, entry.target) for entry in entries] == [("l", None), ("b", None)]


def test_cut_anywhere_within_a_member_it_is_truncated():
    data = HELLO + member(b"link", b"target", 0o120777)
    whole = {
        0,
        len(HELLO),
        len(HELLO) - 1,
        len(HELLO) - 2,
        len(HELLO) - 3,
    }  # padding may be missing at the end
    padding = {len(data) - 1, len(data) - 2}
    for length in set(range(len(data))) - whole - padding:
        assert fault(data[:length]).kind == "truncated", length


def test_sizes_that_reach_beyond_the_end_are_truncated():
    assert fault(member(b"a", b"xx", size=0xFFFFFFFF) + TRAILER).kind == "truncated"
    assert fault(member(b"a", namesize=0xFFFFFFFF) + TRAILER).kind == "truncated"


def test_what_is_no_header_is_told_with_its_offset():
    found = fault(HELLO + b"junk" * 40)
    assert ("magic", len(HELLO)) == (found.kind, found.offset)


def test_a_header_counts_only_at_a_multiple_of_4():
    found = fault(HELLO + b"\0" + HELLO)
    assert ("alignment", len(HELLO) + 1) == (found.kind, found.offset)


def test_digits_must_be_hexadecimal():
    assert fault(HELLO.replace(b"000081A4", b"0x0081A4")).kind == "header"
    assert fault(HELLO.replace(b"000081A4", b"  0081A4")).kind == "header"


def test_a_name_must_end_with_nul():
    assert fault(HELLO.replace(b"hello\0", b"hello!")).kind == "name"


@pytest.mark.parametrize("magic", [b"070707", b"\xc7\x71", b"\x71\xc7"])
def test_older_formats_are_refused_by_name(magic):
    found = fault(magic + HELLO)
    assert found.kind == "unsupported"
    assert "newc" in str(found.remedy)


def test_checksums_are_verified_whether_the_body_is_taken_or_not():
    good = member(b"a", b"ab", magic=b"070702", check=ord("a") + ord("b"))
    wrong = good.replace(b"ab\0\0", b"ac\0\0")
    assert read(good) == [("a", b"ab")]
    assert [entry.name for entry in read_archive(window(good))] == ["a"]
    assert fault(wrong).kind == "checksum"
    with pytest.raises(FormatError, match="add up to"):
        list(read_archive(window(wrong)))


def make_tree(root):
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(b"#!/bin/sh\n" * 1000)
    (root / "usr/bin/tool").chmod(0o755)
    os.link(root / "usr/bin/tool", root / "usr/bin/other")
    (root / "usr/empty").write_bytes(b"")
    (root / "bin").symlink_to("usr/bin")
    (root / "with space").write_bytes(b"x")


def packed(root, kind):
    names = b"\0".join(sorted(os.fsencode(path.relative_to(root)) for path in root.rglob("*")))
    command = ["cpio", "--null", "-o", "-H", kind, "--quiet"]
    return subprocess.run(command, cwd=root, input=names, capture_output=True, check=True).stdout


@pytest.mark.compat
@needs_cpio
@pytest.mark.parametrize("kind", ["newc", "crc"])
def test_what_cpio_packs_is_read_as_it_was(tmp_path, kind):
    make_tree(tmp_path)
    view = window(packed(tmp_path, kind))
    bodies = {}
    for entry in read_archive(view):
        there = tmp_path / entry.name
        found = there.lstat()
        assert (found.st_mode, found.st_uid, found.st_nlink) == (entry.mode, entry.uid, entry.nlink)
        assert int(found.st_mtime) == entry.mtime
        if entry.type == "symlink":
            assert str(there.readlink()) == entry.target
        bodies[entry.name] = b"".join(body_pieces(view, entry))
        if entry.size and entry.type == "file":
            assert there.read_bytes() == bodies[entry.name]
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == set(bodies)
    # Of hard links, the one that was packed last has the body.
    assert [bodies["usr/bin/other"], bodies["usr/bin/tool"]] == [b"", b"#!/bin/sh\n" * 1000]


@pytest.mark.compat
@needs_cpio
@pytest.mark.parametrize("kind", ["odc", "bin"])
def test_what_cpio_packs_in_older_formats_is_refused(tmp_path, kind):
    make_tree(tmp_path)
    assert fault(packed(tmp_path, kind)).kind == "unsupported"
