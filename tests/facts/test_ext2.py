"""mke2fs as the judge: what a new file system holds, and whether a tree fits into it."""

import re
import shutil
import subprocess

import pytest

from cosinspect.facts.ext2 import data_blocks, geometry
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.usage import measure
from cosinspect.testing import Directory, File, Hardlink, Symlink, tar_bytes
from stacks import index_of

needs_mke2fs = pytest.mark.skipif(not shutil.which("mke2fs"), reason="e2fsprogs is not installed")

# The file that e2fsprogs 1.42 to 1.47.0 ships, so that the machine's own does not decide.
CONFIGURATION = """\
[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
blocksize = 4096
inode_size = 256
inode_ratio = 16384
[fs_types]
small = {
    blocksize = 1024
    inode_ratio = 4096
}
"""
SIZES = (
    8,
    31,
    64,
    129,
    255,
    257,
    258,
    300,
    400,
    511,
    512,
    513,
    600,
    768,
    1000,
    1153,
    2048,
    2474,
    3072,
    3240,
    8192,
)


def made(path, mebibytes, *options, tmp_path):
    configuration = tmp_path / "mke2fs.conf"
    configuration.write_text(CONFIGURATION)
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(mebibytes << 20)
    command = ["mke2fs", "-q", "-F", "-t", "ext2", "-L", "COS_ACTIVE", *options, str(path)]
    return subprocess.run(
        command,
        env={"MKE2FS_CONFIG": str(configuration), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        check=False,
    )


def told(path):
    text = subprocess.run(["dumpe2fs", "-h", path], capture_output=True, text=True, check=True).stdout
    return tuple(
        int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1])
        for name in ("Block size", "Free blocks", "Free inodes")
    )


@needs_mke2fs
@pytest.mark.parametrize("mebibytes", SIZES)
def test_a_new_file_system_holds_what_mke2fs_says(mebibytes, tmp_path):
    path = tmp_path / "image"
    assert 0 == made(path, mebibytes, tmp_path=tmp_path).returncode

    found = geometry(mebibytes)

    assert told(path) == (found.block, found.blocks, found.inodes)


def test_an_image_of_the_second_generation_has_as_many_inodes_as_the_facts_say():
    assert 196_608 == geometry(3072).inodes + 11


def test_no_size_takes_long():
    assert geometry((1 << 24) - 1).blocks > 1 << 31
    assert (0, 0) == (geometry(1 << 24).blocks, geometry(1 << 24).inodes) == (geometry(1 << 60).blocks, 0)


def tree_of(count, size, directories=1):
    entries = {f"d{number}": Directory() for number in range(directories)}
    entries |= {f"d{number % directories}/{number:06}": File(b"x" * size) for number in range(count)}
    return entries


def written(entries, root):
    root.mkdir()
    for path, entry in entries.items():
        at = root / path
        if isinstance(entry, Directory):
            at.mkdir()
        elif isinstance(entry, Symlink):
            at.symlink_to(entry.target)
        elif isinstance(entry, Hardlink):
            at.hardlink_to(root / entry.target)
        else:
            at.write_bytes(entry.content)
    return root


def usage_of(entries, block):
    return measure(Rootfs([index_of(tar_bytes(entries))]), block, data_blocks)


# Sizes of files around the places where ext2 needs another indirect block, and a directory of more than one block.
TREES = {
    "small files": tree_of(300, 100, 3),
    "twelve blocks": tree_of(20, 12 << 10),
    "thirteen blocks": tree_of(20, (12 << 10) + 1),
    "one indirect block": tree_of(3, (12 + 256) << 10),
    "two indirect blocks": tree_of(3, ((12 + 256) << 10) + 1),
    "double indirection": tree_of(2, 2 << 20),
    "empty files": tree_of(500, 0),
    "links": {**tree_of(1, 10), **{f"l{n}": Symlink("x" * n) for n in (1, 59, 60, 61, 500)}},
    "names": {**tree_of(5, 5000), **{f"h{n}": Hardlink("d0/000000") for n in range(5)}},
}


@needs_mke2fs
@pytest.mark.parametrize("name", TREES)
def test_a_tree_takes_the_blocks_and_inodes_that_mke2fs_gives_it(name, tmp_path):
    entries, path = TREES[name], tmp_path / "image"
    root = written(entries, tmp_path / "root")
    assert 0 == made(path, 16, "-d", str(root), tmp_path=tmp_path).returncode
    room = geometry(16)
    block, blocks, inodes = told(path)

    usage = usage_of(entries, block)

    assert room.inodes - inodes == usage.inodes
    assert usage.blocks <= room.blocks - blocks <= usage.most_blocks, (usage, room.blocks - blocks)
    assert usage.blocks == room.blocks - blocks


@needs_mke2fs
@pytest.mark.parametrize("more", [0, 1])
def test_a_tree_at_the_edge_fits_and_one_file_more_does_not(more, tmp_path):
    """By the number of files: 8 MiB have so many inodes, and no more."""
    room = geometry(8)
    entries = tree_of(room.inodes - 1 + more, 0)
    root = written(entries, tmp_path / "root")

    done = made(tmp_path / "image", 8, "-d", str(root), tmp_path=tmp_path)

    usage = usage_of(entries, room.block)
    fits = usage.inodes <= room.inodes and usage.blocks <= room.blocks
    assert fits == (done.returncode == 0) == (more == 0), done.stderr


@needs_mke2fs
@pytest.mark.parametrize("more", [0, 1])
def test_a_file_at_the_edge_fits_and_one_block_more_does_not(more, tmp_path):
    room = geometry(8)
    free = room.blocks - 1  # its directory takes one
    size = next(size for size in range(free, 0, -1) if data_blocks(size * room.block, room.block) <= free)
    entries = tree_of(1, (size + more) * room.block)
    root = written(entries, tmp_path / "root")

    done = made(tmp_path / "image", 8, "-d", str(root), tmp_path=tmp_path)

    usage = usage_of(entries, room.block)
    assert (usage.blocks <= room.blocks) == (done.returncode == 0) == (more == 0), done.stderr
