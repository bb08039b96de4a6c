"""Wild stacks of layers, written to disk by the very code that nodes and elemental run: the trees are the same.

The judge is a program around containerd's `archive.Apply` and go-containerregistry's `mutate.Extract`, in the versions
that elemental-toolkit has; what it wrote for each layer is then mounted by the kernel's overlayfs.
"""

import atexit
import functools
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.errors import InvalidLayer
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    RawName,
    Symlink,
    tar_bytes,
)
from judges import on_disk, ours
from stacks import SCALE, layer_of
from wild_layers import PATHS
from wild_layers import STACKS as WILD_STACKS

pytestmark = pytest.mark.modules
WILD = settings(deadline=None, max_examples=150 * SCALE, suppress_health_check=list(HealthCheck))

BASE = [
    (RawName("a"), Directory()),
    (RawName("a/x"), File("base")),
    (RawName("a/b"), Directory(mode=0o700, gid=5)),
    (RawName("a/b/x"), File("base", mode=0o600)),
    (RawName("lib"), Symlink("a")),
    (RawName("t"), File("base")),
]
MARKERS = "a/.wh.x .wh.a .wh.lib lib/.wh.x lib/.wh.b .wh.t .wh.u c/.wh.lib a/.wh..wh..opq .wh..wh..opq lib/.wh..wh..opq"
ODD_NAMES = (
    "/a/x ./a/x a/../t ../t /.wh.t /t a//x c/ a/.wh. .wh.. a/b/.wh... .wh..wh.plnk/1 .wh..wh.aufs .wh.d/k ."
)
TARGETS = [
    "a",
    "/a",
    "a/b",
    "../a",
    "lib",
    "/c/lib",
    "..",
    "../../..",
    "t",
    "lib/b",
    "c",
    "u",
    "c/../a",
    "lib/../t",
]
FILES = st.builds(
    File, st.sampled_from(["1", "two"]), mode=st.sampled_from([0o644, 0o4755]), uid=st.sampled_from([0, 7])
)
DIRECTORIES = st.builds(Directory, mode=st.sampled_from([0o755, 0o700, 0o1777]), gid=st.sampled_from([0, 7]))
HARDLINKS = st.builds(Hardlink, st.sampled_from(PATHS), mode=st.sampled_from([0o644, 0o640]))
LEAVES = st.one_of(
    FILES,
    DIRECTORIES,
    DIRECTORIES,
    HARDLINKS,
    st.builds(Symlink, st.sampled_from(TARGETS)),
    st.just(Device("char", 0, 0)),
    st.just(Device("char", 1, 3)),
    st.just(Fifo()),
)
ENTRIES = st.one_of(
    st.tuples(st.sampled_from(PATHS).map(RawName), LEAVES),
    st.tuples(st.sampled_from(PATHS).map(RawName), FILES),
    st.tuples(st.sampled_from(MARKERS.split()).map(RawName), st.just(File(""))),
    st.tuples(st.sampled_from(ODD_NAMES.split()).map(RawName), st.one_of(FILES, DIRECTORIES)),
)
LAYERS = st.lists(ENTRIES, max_size=6)
STACKS = st.one_of(
    st.lists(LAYERS, min_size=1, max_size=3).map(lambda layers: [BASE, *layers]),
    st.lists(LAYERS, min_size=1, max_size=4),
)


ELEMENTAL3 = "elemental3"
"""The reader of Elemental 3, in the versions of SUSE/elemental."""


@functools.cache
def _judge(folder):
    directory = tempfile.TemporaryDirectory(prefix="readers")
    program = Path(directory.name) / "readers"
    subprocess.run(["go", "build", "-o", program, "."], cwd=Path(__file__).parent / folder, check=True)
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end():
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
        directory.cleanup()

    atexit.register(end)
    return process


def ask(reader, target, archives):
    """Have the judge write layers; gives what it refused, "" if nothing."""
    process = _judge("readers_elemental3" if reader == ELEMENTAL3 else "readers")
    process.stdin.write("\t".join([reader, str(target), *map(str, archives)]) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline().rstrip("\n")
    assert answer
    return "" if answer == "ok" else answer


def archives_of(stack):
    return [tar_bytes(layer, parents=False) for layer in stack]


def written(archives, work):
    paths = [Path(work) / f"{number}.tar" for number in range(len(archives))]
    for path, archive in zip(paths, archives, strict=True):
        path.write_bytes(archive)
    return paths


def merged(archives, semantics):
    layers = [layer_of(archive, position=number) for number, archive in enumerate(archives)]
    return Rootfs([indexed(layer) for layer in layers], layers, semantics=semantics)


def indexed(layer):
    """The index of a layer, or of what can be read of it."""
    try:
        return layer.index()
    except InvalidLayer as fault:
        return layer.salvage(fault)


def fatal(rootfs):
    return [problem for problem in rootfs.problems if problem.fatal]


def elemental_agrees(archives, reader="elemental"):
    """Hold our tree for elemental against what its reader writes."""
    rootfs = merged(archives, Semantics.ELEMENTAL3 if reader == ELEMENTAL3 else Semantics.ELEMENTAL)
    with tempfile.TemporaryDirectory() as work:
        target = Path(work) / "root"
        target.mkdir()
        refused = ask(reader, target, written(archives, work))

        assert bool(refused) == bool(fatal(rootfs)), (refused, fatal(rootfs))
        if not refused:
            assert on_disk(target) == ours(rootfs)


def a_node_agrees(archives):
    """Hold our tree for a node against what containerd writes and overlayfs shows."""
    rootfs = merged(archives, Semantics.OVERLAY)
    with tempfile.TemporaryDirectory() as work:
        own = Path(work) / "layers"
        own.mkdir()
        refused = ask("overlay", own, written(archives, work))

        assert bool(refused) == bool(fatal(rootfs)), (refused, fatal(rootfs))
        if not refused:
            assert shown(own, len(archives), Path(work) / "merged") == ours(rootfs)


def shown(own, count, merged_directory):
    """What overlayfs makes of so many directories."""
    merged_directory.mkdir()
    (own / "empty").mkdir()  # overlayfs wants two
    lowers = ":".join(str(own / str(number)) for number in reversed(range(count)))
    options = f"ro,lowerdir={own / 'empty'}:{lowers}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged_directory], check=True)
    try:
        return on_disk(merged_directory)
    finally:
        subprocess.run(["umount", merged_directory], check=True)


@WILD
@given(STACKS)
def test_elemental_writes_the_same_tree(stack):
    elemental_agrees(archives_of(stack))


@WILD
@given(STACKS)
def test_elemental_3_writes_the_same_tree(stack):
    elemental_agrees(archives_of(stack), ELEMENTAL3)


@WILD
@given(WILD_STACKS)
def test_elemental_3_writes_the_same_tree_of_any_headers(stack):
    elemental_agrees([each.data for each in stack], ELEMENTAL3)


@WILD
@given(STACKS)
def test_a_node_shows_the_same_tree(stack):
    a_node_agrees(archives_of(stack))


@WILD
@given(WILD_STACKS)
def test_elemental_writes_the_same_tree_of_any_headers(stack):
    elemental_agrees([each.data for each in stack])


@WILD
@given(WILD_STACKS)
def test_a_node_shows_the_same_tree_of_any_headers(stack):
    a_node_agrees([each.data for each in stack])
