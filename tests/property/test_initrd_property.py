"""Initrds that strangers wrote, and honest ones joined in every way."""

from __future__ import annotations

import io

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.boot.cpio import Window, read_archive
from cosinspect.formats.boot.initrd import Initrd, read_initrd
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing.bootfiles import (
    InitrdCompression,
    compress_initrd,
    cpio_archive,
    executable,
    join_segments,
    microcode_archive,
)
from cosinspect.testing.layers import Directory, Symlink
from raw_cpio import DIRECTORY, FILE, SYMLINK, TRAILER, raw_member

LIMITS = evolve(DEFAULT_LIMITS, initrd_bytes=4 * 1024 * 1024, initrd_entries=1000)
COMPRESSIONS: list[InitrdCompression] = ["none", "gzip", "xz", "zstd", "lz4", "bzip2", "lzma"]
MAIN = cpio_archive(
    {"init": executable(), "bin": Symlink("usr/bin"), "usr/bin/tool": "x" * 700, "run": Directory()}
)
GOOD = [compress_initrd(MAIN, compression) for compression in COMPRESSIONS]
GOOD.append(join_segments(microcode_archive("GenuineIntel"), GOOD[2] + bytes(4), MAIN))

quick = settings(deadline=None, max_examples=100)

names = st.sampled_from([b"a", b"b", b"l", b"a/x", b"b/y", b"l/z", b"../a", b"", b".", b"a/", b"dev/n"])
targets = st.sampled_from([b"a", b"l", b"/b", b"../a/..", b"", b"a/x"])
numbers = st.integers(0, 2**32 - 1)
members = st.one_of(
    st.builds(raw_member, names, st.binary(max_size=20), st.just(FILE), nlink=st.integers(1, 2)),
    st.builds(raw_member, names, st.just(b""), st.just(DIRECTORY)),
    st.builds(raw_member, names, targets, st.just(SYMLINK)),
    st.builds(raw_member, names, st.binary(max_size=9), numbers, size=numbers, namesize=numbers),
    st.just(TRAILER),
    st.just(bytes(4)),
)


def read(data: bytes) -> Initrd:
    return read_initrd(io.BytesIO(data), size=len(data), wanted=lambda _: True, limits=LIMITS)


def check(data: bytes) -> None:
    """Read it or refuse it; every answer about what was read must be one."""
    try:
        initrd = read(data)
    except FormatError:
        return
    for path, member in initrd.members.items():
        assert initrd.lookup(path, follow=False) == member
        assert path == member.path
        assert not path.startswith("/")
        parent = path.rpartition("/")[0]
        assert parent in {"", "dev", "root"} or initrd.members[parent].type == "directory"
        initrd.lookup(path)
        if member.type == "file":
            assert len(initrd.read(path)) == member.size
    assert initrd.kernel_versions is not None
    assert initrd.complete is (not initrd.problems)


@quick
@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_only_format_errors(data):
    check(data)


@quick
@given(st.lists(members, max_size=8), st.sampled_from(["none", "gzip", "zstd"]))
def test_arbitrary_members_make_a_tree_that_holds_together(parts, compression):
    check(compress_initrd(b"".join(parts), compression))


@quick
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3),
    st.integers(0, 10_000),
)
def test_changed_and_cut_initrds_raise_only_format_errors(good, changes, length):
    data = bytearray(good)
    for offset, value in changes:
        at = offset % len(good)
        data[at : at + len(value)] = value
    check(bytes(data[:length]))


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from(COMPRESSIONS),
            st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=50), min_size=1),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_joined_segments_are_all_read_and_the_last_wins(segments):
    # lz4 has no end of its own: only zeros end it.
    parts = [compress_initrd(cpio_archive(files), kind) + bytes(4) for kind, files in segments]
    initrd = read(join_segments(*parts))
    expected: dict[str, bytes] = {}
    for _, files in segments:
        expected |= files
    assert initrd.bodies == expected
    assert [(s.compression.value if s.compression else "none") for s in initrd.segments] == [
        kind for kind, _ in segments
    ]
    assert initrd.complete


@quick
@given(st.lists(st.binary(max_size=40)), st.integers(0, 60), st.data())
def test_a_window_gives_the_same_bytes_in_any_pieces(pieces, count, data):
    whole = b"".join(pieces)
    stream = iter([piece for piece in pieces if piece])
    window = Window(lambda: next(stream, b""))
    taken = b""
    while window.peek(1):
        size = min(data.draw(st.integers(1, 60)), len(whole) - window.offset)
        assert window.peek(count) == whole[window.offset :][:count]
        before = window.offset
        if data.draw(st.booleans()):
            taken += window.take(size)
        else:
            window.skip(size)
            taken += whole[before : before + size]
        assert window.offset == before + size
    assert taken == whole


@quick
@given(st.lists(members, max_size=6), st.integers(1, 200))
def test_archives_raise_only_format_errors(parts, size):
    stream = io.BytesIO(b"".join(parts))
    try:
        entries = list(read_archive(Window(lambda: stream.read(size))))
    except FormatError:
        return
    assert all(entry.offset % 4 == 0 for entry in entries)
