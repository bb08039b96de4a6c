"""The follower of links held to the kernel's (openat2(2) with RESOLVE_IN_ROOT) and to `os.path.realpath`, in a real directory."""

import ctypes
import errno
import os
import struct
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.path_walk import PathWalk

SYS_OPENAT2 = 437
RESOLVE_IN_ROOT = 0x10
PROBLEMS = {errno.ENOENT: "missing", errno.ENOTDIR: "not-a-directory", errno.ELOOP: "loop"}
LIBC = ctypes.CDLL(None, use_errno=True)

# Names of a tree: directories, files, and links whose targets make chains, loops, climbs and dangling ends.
TREE = {
    "d": None, "d/e": None, "d/e/f": b"", "file": b"", "d/up": "..", "d/abs": "/d/e", "d/self": "self",
    "a": "b", "b": "c/", "c": "/d", "loop": "pool", "pool": "d/../loop", "out": "../../d", "gone": "d/none",
    "under": "file/x", "dot": "./d/.", "slash": "file/", "root": "/", "back": "d/e/../../file", "d/e/far": "../../a/e",
}  # fmt: skip
PATHS = st.lists(
    st.sampled_from(["", ".", "..", "x", *{part for name in TREE for part in name.split("/")}]), max_size=7
).map("/".join)


class Disk:
    """A real directory as a walk asks for it."""

    def is_directory(self, node):
        return node.is_dir() and not node.is_symlink()

    def child(self, directory, name):
        found = directory / name
        return found if found.exists() or found.is_symlink() else None

    def target(self, node):
        return os.readlink(node) if node.is_symlink() else None  # noqa: PTH115 - the target as it is written


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    top = tmp_path_factory.mktemp("root")
    for name, what in TREE.items():
        path = top / name
        if what is None:
            path.mkdir()
        elif isinstance(what, bytes):
            path.write_bytes(what)
        else:
            path.symlink_to(what) if name not in ("b", "slash") else os.symlink(what, path)  # noqa: PTH211 - keeps the slash
    return top


def asked(top, path, *, follow):
    """Ask the kernel: the real path below the root, or the problem."""
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    how = struct.pack("QQQ", flags, 0, RESOLVE_IN_ROOT)
    directory = os.open(top, os.O_PATH)
    try:
        found = LIBC.syscall(SYS_OPENAT2, directory, path.encode(), how, len(how))
        if found < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOSYS, errno.EPERM):
                pytest.skip("the kernel has no openat2, or none for us")
            return PROBLEMS[number]
        real = os.readlink(f"/proc/self/fd/{found}")  # noqa: PTH115
        os.close(found)
        return "/" + os.path.relpath(real, top).removeprefix(".").lstrip("/") if real != str(top) else "/"
    finally:
        os.close(directory)


@given(PATHS, st.booleans())
def test_a_path_leads_where_the_kernel_goes(top, path, follow):
    walk = PathWalk(Disk(), top, path, follow=follow)
    node = walk.end()
    expected = asked(top, path or ".", follow=follow)
    assert (walk.problem or walk.at or "/") == expected
    if node is not None:
        assert node == top / walk.at.lstrip("/")


@given(PATHS)
def test_a_path_by_letters_is_what_realpath_makes_of_it(top, path):
    """Where nothing leads above the root, and no link is absolute: `realpath` knows no root."""
    real = PurePosixPath(os.path.realpath(top / path))
    walk = PathWalk(Disk(), top, path, by_letters=True)
    seen = [step.target or "" for step in walk]
    if walk.problem or any(target.startswith("/") for target in seen) or not real.is_relative_to(top):
        return
    if "out" in path or path.startswith("..") or "/.." in path:
        return
    assert Path(walk.at or "/") == Path("/") / real.relative_to(top)


def test_so_many_links_and_no_more(tmp_path):
    (tmp_path / "0").touch()
    for number in range(1, 42):
        (tmp_path / f"{number}").symlink_to(f"{number - 1}")
    assert PathWalk(Disk(), tmp_path, "40").end() == tmp_path / "0"
    over = PathWalk(Disk(), tmp_path, "41")
    assert over.end() is None
    assert (over.problem, over.links, over.at) == ("loop", 40, "/1")
    assert asked(tmp_path, "40", follow=True) == "/0"
    assert asked(tmp_path, "41", follow=True) == "loop"
