"""Files by name in directories and archives: plain, compressed, linked, damaged."""

import bz2
import gzip
import lzma
import os
import random
import stat
import threading

import pytest
import zstandard
from attrs import evolve

from cosinspect.errors import InvalidLayout, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.sources.local.files import ArchiveFiles, DirectoryFiles, read_file
from cosinspect.testing import Device, Directory, File, Hardlink, RawName, Symlink, tar_bytes
from raw_tar import END, old_gnu_sparse, pax_sparse

NOISE = random.Random(3).randbytes(3_000_000)
CONTENTS = {"first": b"1" * 700, "d/noise": NOISE, "empty": b"", "last": b"z" * 5}
ARCHIVE = tar_bytes(CONTENTS)
COMPRESSED = {
    "plain": ARCHIVE,
    "gzip": gzip.compress(ARCHIVE, 1, mtime=0),
    "gzip members": gzip.compress(ARCHIVE[:1_000_001], 1, mtime=0)
    + gzip.compress(ARCHIVE[1_000_001:], 1, mtime=0),
    "gzip padded": gzip.compress(ARCHIVE, 1, mtime=0) + bytes(1000),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(ARCHIVE),
    "zstd frames": zstandard.compress(ARCHIVE[:1_000_001]) + zstandard.compress(ARCHIVE[1_000_001:]),
    "xz": lzma.compress(ARCHIVE, preset=0),
    "bzip2": bz2.compress(ARCHIVE, 1),
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "archive.tar"


def archive(file, data, **options):
    file.write_bytes(data)
    return ArchiveFiles(file, **options)


def whole(files, name, portion=1 << 20):
    stream = files.open(name)
    try:
        return b"".join(iter(lambda: stream.read(portion), b""))
    finally:
        stream.close()


def open_descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208 - a count


# -- directories ---------------------------------------------------------------------------------------------------


def test_files_of_a_directory_are_found_and_read(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(b"content")
    files = DirectoryFiles(tmp_path)
    assert (7, None, None) == (files.size("d/file"), files.size("d"), files.size("missing"))
    assert b"content" == whole(files, "d/file", 3)
    assert str(tmp_path / "d/file") == files.describe("d/file")


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "dangling", "loop", "socket"])
def test_what_is_no_regular_file_is_an_error_and_never_a_wait(tmp_path, kind):
    path = tmp_path / "x"
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to("x")
        case "socket":
            os.mknod(path, stat.S_IFSOCK)
    files = DirectoryFiles(tmp_path)
    assert files.size("x") is None
    with pytest.raises(InvalidLayout, match="expected a file") as raised:
        files.open("x")
    assert str(path) in str(raised.value)


def test_a_small_file_is_given_whole_and_a_large_one_not(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    files = DirectoryFiles(tmp_path)
    assert b"12345" == read_file(files, "x", limit=5)
    with pytest.raises(LimitExceeded, match="at most 4 bytes"):
        read_file(files, "x", limit=4)


# -- archives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPRESSED)
def test_files_of_an_archive_are_found_and_read_however_it_is_compressed(file, name):
    files = archive(file, COMPRESSED[name])
    assert {path: len(content) for path, content in CONTENTS.items()} == {
        path: files.size(path) for path in CONTENTS
    }
    assert CONTENTS == {path: whole(files, path) for path in CONTENTS}
    assert files.size("missing") is None
    assert files.size("d") is None
    with pytest.raises(InvalidLayout, match=r"missing in .*archive\.tar"):
        files.open("missing")


@pytest.mark.parametrize("portion", [1, 6, 511, 100_000])
def test_a_file_is_read_in_any_portions(file, portion):
    files = archive(file, COMPRESSED["gzip"])
    assert CONTENTS["first"] == whole(files, "first", portion)
    assert CONTENTS["last"] == whole(files, "last", portion)


@pytest.mark.parametrize("name", ["plain", "zstd"])
def test_several_files_are_read_at_once(file, name):
    files = archive(file, COMPRESSED[name])
    found = {}
    threads = [
        threading.Thread(
            target=lambda path=path, number=number: found.update({(path, number): whole(files, path, 5000)})
        )
        for path in CONTENTS
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(path, number): CONTENTS[path] for path in CONTENTS for number in range(3)} == found


def test_no_descriptor_stays_open(file):
    before = open_descriptors()
    for data in COMPRESSED.values():
        files = archive(file, data)
        whole(files, "last")
    assert before == open_descriptors()


@pytest.mark.parametrize("written", ["x", "./x", "/x", "a/../x"])
@pytest.mark.parametrize("asked", ["x", "./x", "/x"])
def test_names_are_compared_as_they_are_meant(file, written, asked):
    files = archive(file, tar_bytes([(RawName(written), "content")]))
    assert b"content" == whole(files, asked)


def test_links_are_followed_inside_the_archive(file):
    files = archive(
        file,
        tar_bytes(
            {
                "layers/one/layer.tar": "content",
                "layers/two/layer.tar": Symlink("../one/layer.tar"),
                "three.tar": Symlink("layers/two/layer.tar"),
                "hard.tar": Hardlink("layers/one/layer.tar"),
                "of-link.tar": Hardlink("three.tar"),
            }
        ),
    )
    for name in ("layers/two/layer.tar", "three.tar", "hard.tar", "of-link.tar"):
        assert (7, b"content") == (files.size(name), whole(files, name))


@pytest.mark.parametrize(
    "entries",
    [
        {"x": Symlink("x")},
        {"x": Symlink("y"), "y": Symlink("x")},
        {"x": Symlink("nowhere")},
        {"x": Symlink("/etc/passwd")},
        {"x": Symlink("../../../../../../etc/passwd")},
        {"x": Hardlink("nowhere")},
        {"x": Hardlink("y"), "y": "later"},
        {"x": Directory()},
        {"x": Device("char", 1, 5)},
        {f"x{number}": Symlink(f"x{number + 1}") for number in range(50)}
        | {"x": Symlink("x0"), "x50": "far"},
    ],
)
def test_a_link_that_leads_to_no_file_of_the_archive_is_none(file, entries):
    files = archive(file, tar_bytes(entries))
    assert files.size("x") is None
    with pytest.raises(InvalidLayout):
        files.open("x")


def test_the_last_of_several_members_of_one_name_counts_as_for_whoever_unpacks_them(file):
    files = archive(file, tar_bytes([("x", "first"), ("y", "other"), (RawName("./x"), "last")]))
    assert b"last" == whole(files, "x")


@pytest.mark.parametrize(
    "data", [old_gnu_sparse(b"x", ((0, 5),), 10, b"abcde"), pax_sparse("1.0", b"x", ((0, 5),), 10, b"abcde")]
)
def test_a_sparse_member_is_refused_for_its_bytes_are_not_its_content(file, data):
    with pytest.raises(InvalidLayout, match="sparse"):
        archive(file, data + END)


@pytest.mark.parametrize("missing", [512, 1024])
def test_an_archive_without_its_end_mark_is_read(file, missing):
    assert CONTENTS["last"] == whole(archive(file, ARCHIVE[:-missing]), "last")


@pytest.mark.parametrize(
    "data",
    [b"x", b"PK\3\4" * 300, NOISE[:5000], ARCHIVE[:700], ARCHIVE[:2_000_000], b"\x89LZO\0\r\n\x1a\n" * 99],
)
def test_what_is_no_archive_is_refused(file, data):
    with pytest.raises(InvalidLayout, match="expected a tar archive") as raised:
        archive(file, data)
    assert str(file) in str(raised.value)


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz", "bzip2"])
def test_a_compressed_archive_that_is_cut_or_damaged_is_refused(file, name):
    data = COMPRESSED[name]
    damaged = bytearray(data)
    damaged[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    for wrong in (data[: len(data) // 2], data[:-1], data + b"junk!!", bytes(damaged)):
        with pytest.raises(InvalidLayout):
            archive(file, wrong)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_what_is_no_regular_file_is_no_archive(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(InvalidLayout, match="expected an image archive"):
        ArchiveFiles(path)


def test_an_empty_file_is_an_archive_of_nothing(file):
    assert archive(file, b"").size("index.json") is None


# -- bounds --------------------------------------------------------------------------------------------------------


def test_an_archive_has_as_many_files_as_it_may_and_not_one_more(file):
    data = tar_bytes({"a": "", "b": "", "c": ""})
    archive(file, data, limits=evolve(DEFAULT_LIMITS, entries=3))
    with pytest.raises(LimitExceeded):
        archive(file, data, limits=evolve(DEFAULT_LIMITS, entries=2))


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz", "bzip2"])
def test_an_archive_inflates_as_far_as_it_may_and_not_one_byte_more(file, name):
    archive(file, COMPRESSED[name], limits=evolve(DEFAULT_LIMITS, inflated_bytes=len(ARCHIVE)))
    with pytest.raises(LimitExceeded, match=r"archive\.tar") as raised:
        archive(file, COMPRESSED[name], limits=evolve(DEFAULT_LIMITS, inflated_bytes=len(ARCHIVE) - 1))
    assert "inflated_bytes" == raised.value.limit


@pytest.mark.parametrize("path", ["d/noise", "last"])
def test_a_file_that_is_damaged_behind_our_back_is_an_error_of_the_source(file, path):
    files = archive(file, COMPRESSED["gzip"])
    damaged = bytearray(COMPRESSED["gzip"])
    damaged[100_000:100_200] = bytes(200)
    file.write_bytes(bytes(damaged))
    before = open_descriptors()
    with pytest.raises(InvalidLayout):
        whole(files, path)
    assert before == open_descriptors()


@pytest.mark.parametrize("name", ["plain", "gzip"])
def test_a_file_that_is_gone_behind_our_back_is_an_error_of_the_source(file, name):
    files = archive(file, COMPRESSED[name])
    file.unlink()
    with pytest.raises(InvalidLayout):
        whole(files, "last")


def test_modes_make_no_difference(file):
    files = archive(file, tar_bytes({"x": File(b"content", mode=0)}))
    assert b"content" == whole(files, "x")
