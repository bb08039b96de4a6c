"""What members do to the files that are there: but for the bounds, what Linux 6.1 made of the same bytes."""

from __future__ import annotations

import io

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.boot import initrd_tree
from cosinspect.formats.boot.initrd import Initrd, read_initrd
from cosinspect.formats.boot.initrd_tree import LINK_HOPS, LINK_STEPS, InitrdPaths
from cosinspect.testing.bootfiles import cpio_archive, join_segments
from cosinspect.testing.layers import Device, Directory, File, Symlink
from raw_cpio import DIRECTORY, FILE, SYMLINK, raw_archive, raw_member


def unpack(*archives: bytes) -> Initrd:
    data = join_segments(*archives)
    return read_initrd(io.BytesIO(data), size=len(data), wanted=lambda _: True)


def shape(initrd: Initrd) -> dict[str, str | bytes]:
    """Each path with its body, its target behind an arrow, or its type."""
    return {
        path: initrd.bodies[path]
        if member.type == "file"
        else (f"-> {member.target}" if member.type == "symlink" else member.type)
        for path, member in initrd.members.items()
    }


def test_names_are_taken_from_the_root_and_through_links():
    found = unpack(
        raw_archive(
            raw_member(b".", mode=DIRECTORY),
            raw_member(b"d", mode=DIRECTORY),
            raw_member(b"d/e", mode=DIRECTORY),
            raw_member(b"abs", b"/d/e", SYMLINK),
            raw_member(b"rel", b"d", SYMLINK),
            raw_member(b"up", b"../../d", SYMLINK),
            raw_member(b"rel/e/1", b"1"),
            raw_member(b"abs/2", b"2"),
            raw_member(b"/3", b"3"),
            raw_member(b"./4", b"4"),
            raw_member(b"d/../5", b"5"),
            raw_member(b"../../6", b"6"),
            raw_member(b"d//e//7", b"7"),
            raw_member(b"d/8/", mode=DIRECTORY),
            raw_member(b"up/9", b"9"),
        )
    )
    assert shape(found) == {
        "d": "directory",
        "d/e": "directory",
        "abs": "-> /d/e",
        "rel": "-> d",
        "up": "-> ../../d",
        "d/e/1": b"1",
        "d/e/2": b"2",
        "3": b"3",
        "4": b"4",
        "5": b"5",
        "6": b"6",
        "d/e/7": b"7",
        "d/8": "directory",
        "d/9": b"9",
    }
    assert found.left_out == ()


def test_what_cannot_be_made_is_left_out_and_the_rest_goes_on():
    found = unpack(
        raw_archive(
            raw_member(b"file", b"x"),
            raw_member(b"no/such/directory", b"1"),
            raw_member(b"dangling", b"nowhere", SYMLINK),
            raw_member(b"dangling/2", b"2"),
            raw_member(b"loop", b"loop", SYMLINK),
            raw_member(b"loop/3", b"3"),
            raw_member(b"file/4", b"4"),
            raw_member(b"directory-with-body", b"5", DIRECTORY),
            raw_member(b"file-with-slash/", b"6"),
            raw_member(b"no-type", mode=0o644),
            raw_member(b"n" * 256, b"7"),
            raw_member(b"long-target", b"t" * 4097, SYMLINK),
            raw_member(b"n" * 255, b"8"),
        )
    )
    assert set(shape(found)) == {"file", "dangling", "loop", "n" * 255}
    assert found.left_out == (
        "no/such/directory",
        "dangling/2",
        "loop/3",
        "file/4",
        "directory-with-body",
        "file-with-slash/",
        "no-type",
        "n" * 256,
        "long-target",
    )
    assert found.complete


def test_the_directories_that_every_kernel_makes_first_need_no_member():
    found = unpack(raw_archive(raw_member(b"dev/a", b"1"), raw_member(b"root/b", b"2")))
    assert shape(found) == {"dev/a": b"1", "root/b": b"2"}


def test_an_entry_of_another_type_gives_way_unless_it_is_a_directory_with_entries():
    first = {
        "full/a": "1",
        "full2/a": "1",
        "empty": Directory(),
        "empty2": Directory(),
        "file": "x",
        "link": Symlink("file"),
        "kept": Directory(),
    }
    second = {
        "full": "file",
        "full2": Symlink("file"),
        "empty": "file",
        "empty2": Symlink("file"),
        "link": "now a file",
        "file": Directory(),
        "kept": Directory(mode=0o700),
    }
    found = unpack(cpio_archive(first), cpio_archive(second))
    assert shape(found) == {
        "full": "directory",
        "full/a": b"1",
        "full2": "directory",
        "full2/a": b"1",
        "empty": b"file",
        "empty2": "-> file",
        "link": b"now a file",
        "file": "directory",
        "kept": "directory",
    }
    assert found.left_out == ("full", "full2")
    assert found.members["kept"].mode == 0o700


def test_a_directory_entry_over_a_link_hides_what_the_link_led_to():
    found = unpack(
        cpio_archive({"usr/lib/a": "1", "lib": Symlink("usr/lib"), "lib/b": "2"}),
        cpio_archive({"lib": Directory(), "lib/c": "3"}),
    )
    assert shape(found) == {
        "usr": "directory",
        "usr/lib": "directory",
        "usr/lib/a": b"1",
        "usr/lib/b": b"2",
        "lib": "directory",
        "lib/c": b"3",
    }
    assert not found.exists("lib/a")


def test_a_later_segment_overrides_an_earlier_one():
    found = unpack(
        cpio_archive({"etc/a": File("old", mode=0o600, uid=7), "etc/b": "kept"}),
        cpio_archive({"etc/a": File("new!", mode=0o755)}),
    )
    member = found.members["etc/a"]
    assert (member.size, member.mode, member.uid, member.segment) == (4, 0o755, 0, 1)
    assert found.bodies == {"etc/a": b"new!", "etc/b": b"kept"}


def hard(name: bytes, body: bytes, inode: int, **fields: int) -> bytes:
    return raw_member(name, body, FILE, ino=inode, nlink=3, **fields)


def test_hard_links_have_the_body_that_any_of_them_brings():
    found = unpack(
        raw_archive(
            hard(b"a", b"", 7),
            hard(b"b", b"last", 7),
            hard(b"c", b"first", 8),
            hard(b"d", b"", 8),
            hard(b"e", b"", 9),
            hard(b"f", b"one", 9),
            hard(b"g", b"three", 9),
            raw_member(b"h", b"no link", ino=7),
            hard(b"i", b"another device", 7, minor=1),
        )
    )
    assert shape(found) == {
        "a": b"last",
        "b": b"last",
        "c": b"first",
        "d": b"first",
        "e": b"three",
        "f": b"three",
        "g": b"three",
        "h": b"no link",
        "i": b"another device",
    }
    assert found.members["a"].size == 4


def test_a_body_is_kept_when_any_of_the_links_is_wanted():
    data = raw_archive(hard(b"a", b"", 7), hard(b"b", b"", 7), hard(b"c", b"body", 7))
    found = read_initrd(io.BytesIO(data), size=len(data), wanted=lambda path: path == "a")
    assert found.read("b") == b"body"


def test_the_links_of_an_archive_end_with_its_trailer():
    linked = unpack(hard(b"a", b"", 7), raw_archive(hard(b"b", b"body", 7)))
    apart = unpack(raw_archive(hard(b"a", b"", 7)), raw_archive(hard(b"b", b"body", 7)))
    assert shape(linked) == {"a": b"body", "b": b"body"}
    assert shape(apart) == {"a": b"", "b": b"body"}


def test_writing_over_one_hard_link_changes_the_others():
    found = unpack(
        raw_archive(hard(b"a", b"", 7), hard(b"b", b"body", 7)), cpio_archive({"b": "overwritten"})
    )
    assert shape(found) == {"a": b"overwritten", "b": b"overwritten"}


def test_a_hard_link_to_what_has_gone_is_left_out():
    found = unpack(
        raw_archive(
            hard(b"same", b"1", 20),
            hard(b"same", b"22", 20),
            hard(b"a", b"x", 7),
            raw_member(b"a", mode=DIRECTORY),
            hard(b"b", b"body", 7),
        )
    )
    assert shape(found) == {"a": "directory"}
    assert found.left_out == ("same", "b")


def test_device_nodes_are_told():
    found = unpack(cpio_archive({"dev/null": Device("char", 1, 3), "dev/vda": Device("block", 254, 0)}))
    assert shape(found) == {"dev": "directory", "dev/null": "character", "dev/vda": "block"}


def test_an_empty_link_leads_to_its_own_directory():
    found = unpack(
        raw_archive(
            raw_member(b"d", mode=DIRECTORY), raw_member(b"d/l", b"", SYMLINK), raw_member(b"d/l/a", b"1")
        )
    )
    assert shape(found) == {"d": "directory", "d/l": "-> ", "d/a": b"1"}


def test_as_many_links_as_linux_follows_are_followed():
    members = {"0": "end"} | {str(number): Symlink(str(number - 1)) for number in range(1, LINK_HOPS + 2)}
    found = unpack(cpio_archive(members))
    assert found.read(str(LINK_HOPS)) == b"end"
    assert found.lookup(str(LINK_HOPS + 1)) is None


def test_paths_that_take_too_long_end_the_reading(monkeypatch):
    # Each name is new, so nothing is remembered, and costs two thousand steps.
    target = b"/".join([b"."] * 2000)
    members = [raw_member(b"d", target, SYMLINK)]
    members += [raw_member(b"d/" * 30 + b"%d/x" % number, b"") for number in range(300)]
    monkeypatch.setattr(initrd_tree, "TREE_STEPS", 1_000_000)
    found = unpack(raw_archive(*members))
    assert [problem.kind for problem in found.problems] == ["limit"]
    assert found.opaque


def test_names_are_bounded(monkeypatch):
    monkeypatch.setattr(initrd_tree, "NAMES_BYTES", 100)
    found = unpack(cpio_archive({"a" * 40: "", "b" * 40: "", "c" * 40: ""}))
    assert list(found.members) == ["a" * 40]
    assert [problem.kind for problem in found.problems] == ["limit"]


def test_a_walk_gives_up_when_its_steps_are_used_up():
    walk = InitrdPaths({}, 10)
    with pytest.raises(FormatError) as caught:
        walk.resolve("a/" * 11, follow=True)
    assert caught.value.kind == "limit"
    assert InitrdPaths({}, LINK_STEPS).resolve("..//./", follow=True) == ""
