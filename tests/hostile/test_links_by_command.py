"""Trees that lead astray, seen through the command: out of the root, round in circles, into /proc, onto devices."""

import itertools
import json
import os
from pathlib import Path

import pytest

from command_runs import SECRET
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    RawEntry,
    RawName,
    Symlink,
    Whiteout,
    tar_header,
)
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of
from stacks import SCALE

UP = "../" * 40


def raw_hardlink(path, target):
    """A hard link to whatever is said."""
    return RawEntry(tar_header(path, typeflag=b"1", linkname=target))


ASTRAY = {
    "loop": Symlink("vmlinuz-loop"),
    "itself": Symlink("."),
    "up": Symlink(".."),
    "root": Symlink("/"),
    "out": Symlink(f"{UP}etc/passwd"),
    "proc": Symlink("/proc/self/root/etc/passwd"),
    "fd": Symlink("/proc/self/fd/0"),
    "environ": Symlink("/proc/self/environ"),
    "zero": Symlink("/dev/zero"),
    "nowhere": Symlink("/nowhere/at/all"),
    "empty link": Symlink("x/" * 2000),
    "directory": Directory(),
    "fifo": Fifo(),
    "null": Device("char", 1, 3),
    "disk": Device("block", 8, 0),
    "overlay's whiteout": Device("char", 0, 0),
    "empty": File(b""),
    "gone": Whiteout(),
    "outer hard link": "../../../etc/shadow",
    "own hard link": Hardlink("boot/vmlinuz-own"),
    "zeros": File(bytes(300_000)),
}
READ = [
    "boot/vmlinuz",
    "boot/vmlinuz-6.1.0-50-amd64",
    "boot/initrd",
    "boot/initrd-6.1.0-50-amd64",
    "boot",
    "etc/os-release",
    "etc/cos/grub.cfg",
    "etc/cos/bootargs.cfg",
    "etc/cos",
    "etc/dracut.conf.d/02-cos-immutable-rootfs.conf",
    "etc/luet/luet.yaml",
    "system/oem",
    "system/oem/00_rootfs.yaml",
    "usr/lib/dracut/modules.d",
    "usr/lib/dracut/modules.d/30cos-immutable-rootfs/module-setup.sh",
    "usr/lib/modules",
    "usr/lib/systemd/systemd",
    "usr/sbin/init",
    "usr/bin/elemental",
    "usr/bin",
    "usr",
    "var/cache/luet/luet.db",
    "etc/shadow",
    "dev",
    "proc",
]
BOOT = {"boot/vmlinuz", "boot/initrd", "boot", "usr"}


@pytest.mark.parametrize("path", READ)
def test_whatever_stands_where_a_check_reads(command, tmp_path, path):
    for number, (how, entry) in enumerate(ASTRAY.items()):
        # Every path and every way has its turn; COSINSPECT_TEST_SCALE=2 combines all of them.
        if SCALE == 1 and path not in BOOT and (number + READ.index(path)) % 3:
            continue
        parts = parts_of("G2", "amd64")
        parts.write(path, raw_hardlink(path, entry) if isinstance(entry, str) else entry)
        if isinstance(entry, Symlink) and entry.target == b"vmlinuz-loop":
            parts.top[path] = Symlink(Path(path).name)
        name = derivative_of(parts).write_layout(tmp_path / str(number))
        run = command("check", name, "--format", "json")
        report = json.loads(run.text) if run.out else None
        assert run.status in (0, 1, 3)
        if path in BOOT and not (isinstance(entry, Directory) and path in ("boot", "usr")):
            assert run.status in (1, 3), (how, run)
        if report is not None and run.status == 0:
            assert report["verdict"] == "pass"
        asked = (["cat", f"/{path}"], ["history", f"/{path}"], ["ls", f"/{path}"])
        for word, *arguments in (asked[number // 3 % 3],):
            found = command(word, name, *arguments)
            assert found.status in (0, 1, 3), (how, found)
            assert b"root:x:0:0" not in found.out
        if number % 4 == 0:
            command("ls", name, "-R")
            command("packages", name)


@pytest.fixture
def host_file(tmp_path):
    """A file of this machine that no image may reach."""
    path = tmp_path / "host" / "secret"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


def test_no_link_reaches_a_file_of_this_machine(command, tmp_path, host_file):
    cwd = Path.cwd()
    ways = [
        str(host_file),
        f"{UP}{host_file}",
        f"/proc/self/root{host_file}",
        f"/proc/self/cwd/{os.path.relpath(host_file, cwd)}",
        f"/proc/1/root{host_file}",
        f"//{host_file}",
        f"/./..//{host_file}",
        f"file://{host_file}",
        "/dev/fd/0",
        "~/secret",
    ]
    entries = {f"links/l{number}": Symlink(way) for number, way in enumerate(ways)}
    entries |= {f"links/d{number}": Symlink(str(Path(way).parent)) for number, way in enumerate(ways)}
    entries |= {
        f"links/h{number}": raw_hardlink(f"links/h{number}", way[:99]) for number, way in enumerate(ways)
    }
    built = ImageBuilder().layer(entries).build()
    name = built.write_layout(tmp_path / "layout")
    assert 0 == command("ls", name, "-R").status
    for number, way in enumerate(ways):
        for path in (
            f"/links/l{number}",
            f"/links/d{number}/secret",
            f"/links/h{number}",
            way,
            f"/{UP}{way}",
        ):
            assert command("cat", name, path).status in (1, 2), path
            assert command("ls", name, path).status in (0, 1, 2)
            assert command("history", name, path).status in (0, 1, 2)


def test_no_name_is_written_out_of_the_root(command, tmp_path):
    """Names that leave the root are told; whatever they are clamped to stays inside the image."""
    target = tmp_path / "outside"
    names = [
        f"{UP}{target}",
        str(target),
        f"a/{UP}{target}",
        f"./{target}",
        f"a/./../..{target}",
        "..",
        "../..",
        "/",
    ]
    for number, raw in enumerate(names):
        built = ImageBuilder().layer({RawName(raw): "out", "etc/inside": "in"}).build()
        name = built.write_layout(tmp_path / str(number))
        for word, *arguments in (
            ["check"],
            ["ls", "-R"],
            ["cat", "/etc/inside"],
            ["cat", raw],
            ["history", raw],
        ):
            assert command(word, name, *arguments).status in (0, 1, 3)
        assert not target.exists()


def test_parents_that_are_links_end(command, tmp_path):
    """Directories that lead to each other, above and below, while layers write through them."""
    loops = [
        {"a": Symlink("b"), "b": Symlink("a")},
        {"a": Symlink("a/a")},
        {"a": Symlink("/a/../a")},
        {"a/b": Symlink("../a"), "a/c": Symlink("b/b/b/b/b/b")},
        {f"l{number}": Symlink(f"l{number + 1}") for number in range(60)},
        {f"l{number}": Symlink(f"l{number + 1}/l{number + 1}") for number in range(40)},
        {"a": Symlink("/proc/self"), "proc/self": Symlink("/a")},
    ]
    above = {"a/x": "1", "a/b/x": "2", "b/x": Whiteout(), "l0/x": "3", "proc/self/x": "4"}
    for number, (below, top) in enumerate(
        itertools.product(loops, [{path: entry} for path, entry in above.items()])
    ):
        built = ImageBuilder().layer(below).layer(top, parents=False).build()
        name = built.write_layout(tmp_path / str(number))
        for word, *arguments in (
            ["check"],
            ["ls", "-R"],
            ["cat", "/a/x"],
            ["history", "/a/b/x"],
            ["ls", "/l0/x"],
        ):
            assert command(word, name, *arguments).status in (0, 1, 3)


def test_what_claims_to_be_large_ends(command, tmp_path):
    """A header of many gigabytes that nothing follows, and a sparse one that would fill the disk."""
    for number, (typeflag, size) in enumerate(
        itertools.product([b"0", b"x", b"L", b"g", b"K", b"7"], [2**33 - 1, 2**62])
    ):
        header = tar_header("huge", typeflag=typeflag, size=size)
        built = ImageBuilder().layer({RawName("x"): RawEntry(header)}).build()
        name = built.write_layout(tmp_path / str(number))
        for word in ("check", "ls", "packages"):
            assert command(word, name).status in (1, 3)
