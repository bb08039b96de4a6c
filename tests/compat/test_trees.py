"""Honest stacks of layers, as tools write them, merged by umoci and by the kernel's overlayfs: the trees are the same."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.image.opening import open_image
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    Opaque,
    Symlink,
    Whiteout,
)
from judges import IS_ROOT, UMOCI, Overlay, on_disk, ours, umoci_unpack
from stacks import SCALE

pytestmark = [
    pytest.mark.compat,
    pytest.mark.skipif(not IS_ROOT, reason="owners, devices and mounts need root"),
]
SOME = settings(deadline=None, max_examples=25 * SCALE, suppress_health_check=list(HealthCheck))

NAMES = ["a", "b", "lib", "usr", "caf\u00e9"]
MODES = st.sampled_from([0o755, 0o700, 0o1777, 0o2755])
FILES = st.builds(
    File,
    st.sampled_from(["", "1", "two"]),
    mode=st.sampled_from([0o644, 0o4755, 0o600]),
    uid=st.sampled_from([0, 1000]),
)
LEAVES = st.one_of(
    FILES,
    FILES,
    st.builds(Symlink, st.sampled_from(["a", "usr/lib", "/usr", "../b", "nowhere"])),
    st.builds(Device, st.just("char"), st.just(1), st.just(3)),
    st.builds(Fifo),
    st.builds(Whiteout),
)


@st.composite
def layers(draw, *, links=True):
    """A layer as a tool that compares trees writes it: parents first, each path once, nothing below what is no directory."""
    found = {}

    def fill(prefix, depth):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)):
            path = f"{prefix}{name}"
            if depth < 3 and draw(st.booleans()):
                found[path] = Directory(mode=draw(MODES), gid=draw(st.sampled_from([0, 50])))
                if draw(st.integers(0, 4)) == 0:
                    found[f"{path}/"] = Opaque()
                fill(f"{path}/", depth + 1)
            else:
                found[path] = draw(LEAVES)

    fill("", 0)
    files = [path for path, entry in found.items() if isinstance(entry, File)]
    if links and files and draw(st.booleans()):
        found["hard"] = Hardlink(draw(st.sampled_from(files)))
    entries = []
    for path, entry in found.items():
        entries.append((path.removesuffix("/"), entry))
    return entries


def image_of(stack):
    builder = ImageBuilder()
    for number, layer in enumerate(stack):
        builder = builder.layer(layer, created_by=f"step {number}", parents=False)
    return builder.build()


def tree_of(name):
    with open_image(name) as image:
        return ours(image.read_rootfs(["**"]))


@pytest.mark.skipif(UMOCI is None, reason="umoci is not installed")
@SOME
@given(st.lists(layers(), min_size=1, max_size=4))
def test_umoci_unpacks_the_same_tree(stack):
    with tempfile.TemporaryDirectory() as work:
        name = image_of(stack).write_layout(Path(work) / "layout", "x")
        error = umoci_unpack(Path(work) / "layout", "x", Path(work) / "rootfs")
        assert "" == error

        found = tree_of(name)
        judged = on_disk(Path(work) / "rootfs")
        del found["/"], judged["/"]  # umoci makes the root itself
        assert judged == found


@SOME
@given(st.lists(layers(), min_size=1, max_size=4))
def test_the_kernel_shows_the_same_tree(stack):
    image = image_of(stack)
    with tempfile.TemporaryDirectory() as work:
        name = image.write_layout(Path(work) / "layout", "x")
        archives = []
        for number, tar in enumerate(image.tars):
            archives.append(Path(work) / f"{number}.tar")
            archives[-1].write_bytes(tar)

        with Overlay(archives, Path(work) / "overlay") as merged:
            judged = on_disk(merged)
        found = tree_of(name)
        del found["/"], judged["/"]
        assert judged == found
