"""The file system that is written: what e2fsck, debugfs and dissect.extfs read of it is the tree that was asked for."""

import os
import shutil
import stat
import subprocess

import pytest
from dissect.extfs import ExtFS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.boot import ext2
from cosinspect.boot.ext2 import Ext2
from cosinspect.boot.sinks import Extent, Region, SparseFile
from cosinspect.errors import CannotBoot
from cosinspect.rootfs.member import Member, directory, text_file

CHECK = shutil.which("e2fsck", path="/sbin:/usr/sbin:/usr/bin")
DEBUG = shutil.which("debugfs", path="/sbin:/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(not CHECK or not DEBUG, reason="e2fsprogs are not installed")
LOST = directory("/lost+found", 0o700)
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo"}  # fmt: skip


def written(path, members, contents=None, **options):
    """Write a file system to a file."""
    system = Ext2(members, **options)
    path.unlink(missing_ok=True)
    with SparseFile(path, system.size) as file:
        system.write_structure(file)
        for member, extents in system.contents:
            if member.content is None:
                system.write_content(file, extents, iter([contents[member.source]]))
    return system


def checked(path):
    """Have e2fsck look at a file system, which it may not change."""
    done = subprocess.run([CHECK, "-fn", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def read(path):
    """Give what dissect.extfs reads, by path."""
    found = {}
    with path.open("rb") as stream:
        waiting = [("/", ExtFS(stream).root)]
        while waiting:
            at, inode = waiting.pop()
            kind = KINDS[stat.S_IFMT(inode.inode.i_mode)]
            raw = inode.inode
            owner = (
                raw.i_uid | raw.i_uid_high << 16,
                raw.i_gid | raw.i_gid_high << 16,
            )
            body = inode.open().read() if kind == "file" else inode.link if kind == "symlink" else None
            found[at] = (kind, stat.S_IMODE(raw.i_mode), owner, body, inode.inum)
            if kind == "dir":
                for name, below in inode.listdir().items():
                    if name not in (".", ".."):
                        waiting.append((f"{at.rstrip('/')}/{name}", below))
    return found


TEXTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
RAW = st.binary(min_size=1, max_size=255).map(
    lambda name: name.translate(None, b"/\0").decode("utf-8", "surrogateescape")
)
NAMES = st.one_of(TEXTS, RAW, st.just("n" * 255)).filter(
    lambda name: (
        name not in ("", ".", "..", "lost+found") and len(name.encode("utf-8", "surrogateescape")) <= 255
    )
)
IDS = st.sampled_from([0, 1, 65534, 65535, 65536, 70000, 0xFFFFFFFE])


@st.composite
def trees(draw):
    """Draw the members of a tree, the root first."""
    members, directories, paths = (
        [directory("/", draw(st.sampled_from([0o755, 0o700]))), LOST],
        ["/"],
        {"/", "/lost+found"},
    )
    for number in range(draw(st.integers(0, 25))):
        path = f"{draw(st.sampled_from(directories)).rstrip('/')}/{draw(NAMES)}"
        if path in paths:
            continue
        paths.add(path)
        kind = draw(
            st.sampled_from(
                ["file", "file", "file", "dir", "dir", "symlink", "char", "block", "fifo", "again"]
            )
        )
        mode = draw(st.integers(0, 0o7777))
        owner = (draw(IDS), draw(IDS))
        mtime = draw(st.integers(-(1 << 40), 1 << 40))
        files = [each for each in members if each.type == "file"]
        if kind == "again" and files:
            first = draw(st.sampled_from(files))
            members.append(
                Member(
                    path,
                    "file",
                    first.mode,
                    first.uid,
                    first.gid,
                    first.size,
                    first.mtime,
                    identity=first.identity,
                    content=first.content,
                )
            )
        elif kind == "symlink":
            members.append(
                Member(
                    path,
                    "symlink",
                    0o777,
                    *owner,
                    mtime=mtime,
                    link=draw(st.sampled_from(["x", "a" * 59, "b" * 60, "/c" * 500, "é" * 29])),
                )
            )
        elif kind in ("char", "block"):
            members.append(
                Member(
                    path,
                    kind,
                    mode,
                    *owner,
                    mtime=mtime,
                    device=(draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1))),
                )
            )
        elif kind == "dir":
            directories.append(path)
            members.append(Member(path, "dir", mode, *owner, mtime=mtime))
        elif kind == "fifo":
            members.append(Member(path, "fifo", mode, *owner, mtime=mtime))
        else:
            size = draw(st.sampled_from([0, 1, 4095, 4096, 4097, 12 * 4096, 12 * 4096 + 1, 200_000]))
            body = draw(st.binary(min_size=min(size, 20), max_size=min(size, 20))).ljust(
                size, draw(st.sampled_from([b"\0", b"x"]))
            )
            attributes = draw(
                st.dictionaries(
                    st.sampled_from(["user.a", "user.bb", "security.capability", "security.selinux"]),
                    st.text(max_size=50),
                    max_size=3,
                )
            )
            members.append(
                Member(
                    path, "file", mode, *owner, size, mtime, xattrs=attributes, identity=number, content=body
                )
            )
    return members


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=trees(), ext4=st.booleans(), size=st.sampled_from([0, 8 << 20, 300 << 20]))
def test_any_tree_comes_back_as_it_was(tmp_path, members, ext4, size):
    path = tmp_path / "system.img"
    written(path, members, label="A_LABEL", lettered_ext4=ext4, size=size)
    checked(path)
    found = read(path)
    assert set(found) == {each.path for each in members}
    numbers = {}
    for each in members:
        kind, mode, owner, body, number = found[each.path]
        assert (kind, owner) == (each.type, (each.uid, each.gid))
        assert mode == (0o777 if each.type == "symlink" else each.mode)
        if each.type == "file":
            assert body == each.content
            if each.identity is not None:
                assert numbers.setdefault(each.identity, number) == number
        if each.type == "symlink":
            assert body == each.link


def debugfs(path, request):
    return subprocess.run([DEBUG, "-R", request, path], capture_output=True, text=True, check=True).stdout


def test_attributes_devices_and_times_as_debugfs_reads_them(tmp_path):
    path = tmp_path / "system.img"
    access = (
        b"\x02\0\0\0"
        b"\1\0\6\0\xff\xff\xff\xff"
        b"\2\0\4\0\xe8\3\0\0"
        b"\4\0\4\0\xff\xff\xff\xff"
        b"\x10\0\4\0\xff\xff\xff\xff"
        b"\x20\0\4\0\xff\xff\xff\xff"
    )
    capability = b"\x01\0\0\x02\0\x20\0\0" + bytes(12)
    attributes = {
        "user.note": "hello",
        "security.capability": capability.decode(),
        "system.posix_acl_access": access.decode("utf-8", "surrogateescape"),
        "trusted.overlay.opaque": "y",
    }
    members = [
        directory("/"), LOST,
        Member("/far", "file", size=1, mtime=5_000_000_000, content=b"x", xattrs=attributes),
        Member("/same", "file", size=1, content=b"y", xattrs=attributes),
        Member("/large", "block", device=(259, 70_000)),
        Member("/small", "char", device=(5, 1)),
    ]  # fmt: skip
    written(path, members)
    checked(path)
    told = debugfs(path, "stat /far")
    assert 'user.note (5) = "hello"' in told
    assert "security.capability (20) = " + capability.hex(" ") in told
    assert "trusted.overlay.opaque" in told
    assert "2128" in told.partition("mtime:")[2].splitlines()[0]
    assert "system.posix_acl_access (28)" in told
    assert "number: 259:70000" in debugfs(path, "stat /large")
    assert "number: 05:01" in debugfs(path, "stat /small")


def test_large_files_have_pointers_of_three_depths(tmp_path):
    path = tmp_path / "system.img"
    size = (5 << 30) + 4097
    system = Ext2(
        [directory("/"), LOST, Member("/hole", "file", size=size, source="hole"), text_file("/end", "end")]
    )
    with SparseFile(path, system.size) as file:
        system.write_structure(file)
        extents = {member.path: found for member, found in system.contents}["/hole"]
        system.write_piece(file, extents, size - 3, b"end")
    checked(path)
    assert path.stat().st_blocks * 512 < 32 << 20
    with path.open("rb") as stream:
        body = ExtFS(stream).get("/hole").open()
        body.seek(size - 5)
        assert body.read() == b"\0\0end"


def test_thousands_of_names_in_one_directory(tmp_path):
    path = tmp_path / "system.img"
    written(path, [directory("/"), LOST, *(text_file(f"/{'n' * 200}{number}", "") for number in range(2000))])
    checked(path)
    assert len(read(path)) == 2002


def test_an_image_within_an_image_lies_in_several_stretches(tmp_path):
    path, inner_path = tmp_path / "outer.img", tmp_path / "inner.img"
    inner = Ext2([directory("/"), LOST, text_file("/etc", "inner")], size=400 << 20, label="INNER")
    outer = Ext2([directory("/"), LOST, Member("/active.img", "file", size=inner.size, source="image")])
    with SparseFile(path, outer.size) as file:
        outer.write_structure(file)
        extents = next(extents for _, extents in outer.contents)
        assert len(extents) > 2
        inner.write_structure(
            Region(file, [Extent(each.first * 4096, each.count * 4096) for each in extents])
        )
    checked(path)
    subprocess.run([DEBUG, "-R", f"dump /active.img {inner_path}", path], check=True, capture_output=True)
    os.truncate(inner_path, inner.size)
    checked(inner_path)
    assert read(inner_path)["/etc"][3] == b"inner"


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (Member("/" + "n" * 256, "file"), "a name of 1 to 255 bytes"),
        (Member("/" + "é" * 128, "file"), "a name of 1 to 255 bytes"),
        (Member("/..", "file"), "a name of 1 to 255 bytes"),
        (Member("/l", "symlink", link="x" * 4096), "a link's target"),
        (Member("/l", "symlink", link=""), "a link's target"),
        (Member("/u", "file", uid=1 << 32), "a user from 0"),
        (Member("/g", "file", gid=-1), "a group from 0"),
        (Member("/d", "char", device=(4096, 0)), "a device number"),
        (Member("/s", "file", size=1 << 50, source="s"), "GiB together"),
        (Member("/s", "file", size=-1, source="s"), "a size of at least 0"),
        (Member("/x", "file", xattrs={"user.a": "x" * 5000}), "extended attributes"),
        (Member("/x", "file", xattrs={"user.a": "x" * 2000, "user.b": "y" * 2100}), "extended attributes"),
    ],
)
def test_what_ext2_cannot_hold_is_refused_with_a_reason(member, told):
    with pytest.raises(CannotBoot, match=told) as raised:
        Ext2([directory("/"), member])
    assert raised.value.where == member.path


def test_more_files_than_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(ext2, "MOST_INODES", 1000)
    endless = (text_file(f"/{number}", "") for number in range(10_000_000))
    with pytest.raises(CannotBoot, match="at most 1000 files"):
        Ext2(_chain(directory("/"), endless))


def _chain(first, others):
    yield first
    yield from others


def test_more_subdirectories_than_ext2_takes_are_refused(monkeypatch):
    monkeypatch.setattr(ext2, "MOST_LINKS", 50)
    with pytest.raises(CannotBoot, match="at most 48 subdirectories"):
        Ext2(_chain(directory("/"), (directory(f"/{number}") for number in range(100))))
