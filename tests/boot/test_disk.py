"""A whole disk: partitions and file systems as sfdisk, fsck.fat, e2fsck and dissect.extfs read them, the tree as it was merged."""

import json
import os
import shutil
import stat
import subprocess
import tarfile

import pytest
from dissect.extfs import ExtFS

from cosinspect.boot.disk import write_disk
from cosinspect.boot.fat import Fat32
from cosinspect.boot.layout import lay_out
from cosinspect.boot.proof import find_accounts, oem_members
from cosinspect.boot.sinks import SparseFile
from cosinspect.boot.startup import find_startup
from cosinspect.boot.tree import CREATED, as_installed
from cosinspect.errors import CannotBoot
from cosinspect.facts.facts import Facts
from cosinspect.image.opening import open_image
from cosinspect.testing import Device, File, Hardlink, ImageBuilder, RawEntry, Symlink, Whiteout
from cosinspect.testing.derivative import derivative, derivative_of, parts_of

KINDS = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char"}
TOOLS = {
    name: shutil.which(name, path="/sbin:/usr/sbin:/usr/bin")
    for name in ("sfdisk", "fsck.vfat", "e2fsck", "debugfs")
}
pytestmark = pytest.mark.skipif(
    not all(TOOLS.values()), reason="sfdisk, dosfstools or e2fsprogs are not installed"
)


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def disk_of(image, tmp_path, entry="active", *, contents=True):
    """Write the disk of an image; give its path, its partitions with their offsets, and the merged tree."""
    with open_image(image.write_layout(tmp_path / "layout")) as opened:
        rootfs = opened.rootfs()
        facts = Facts(rootfs, opened.config)
        startup = find_startup(rootfs, facts, entry)
        volumes = lay_out(
            startup, as_installed(rootfs), tuple(oem_members()), {"EFI/BOOT/bootx64.efi": b"MZ" * 5000}
        )
        disk = tmp_path / "disk.img"
        write_disk(disk, volumes, rootfs)
        expected = {}
        for each in rootfs.walk("/") if contents else ():
            body = (
                rootfs.read_bytes(each.path)
                if each.type == "file"
                else each.link
                if each.type == "symlink"
                else None
            )
            mode = 0o777 if each.type == "symlink" else each.mode
            expected[each.path] = (each.type, mode, each.uid, each.gid, body, dict(each.xattrs))
    table = json.loads(run(TOOLS["sfdisk"], "--json", disk))["partitiontable"]["partitions"]
    return disk, {each["name"]: (each["start"] * 512, each["size"] * 512) for each in table}, expected


def cut(disk, place, target):
    """Copy a partition, its holes left out."""
    start, size = place
    with disk.open("rb") as whole, target.open("wb") as part:
        part.truncate(size)
        at = start
        while at < start + size:
            try:
                at = os.lseek(whole.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = min(os.lseek(whole.fileno(), at, os.SEEK_HOLE), start + size)
            while at < end:
                body = os.pread(whole.fileno(), min(end - at, 1 << 20), at)
                os.pwrite(part.fileno(), body, at - start)
                at += len(body)
    return target


@pytest.mark.parametrize(
    ("generation", "entry", "partition", "path"),
    [
        ("G2", "active", "state", "/cOS/active.img"),
        ("G4", "recovery", "recovery", "/cOS/recovery.img"),
        ("G5", "active", "state", "/.snapshots/1/snapshot.img"),
    ],
)
def test_the_tree_on_the_disk_is_the_merged_one(tmp_path, generation, entry, partition, path):
    parts = parts_of(generation, "amd64")
    parts.write("opt/second", Hardlink("opt/first"))
    parts.top["opt/first"] = File(
        "one body", mode=0o4711, uid=70_000, gid=100_000, xattrs={"user.note": "kept"}
    )
    parts.top["opt/link"] = Symlink("a" * 100)
    parts.top["opt/device"] = Device("char", 5, 1)
    parts.top["opt/large"] = File(b"0123456789" * 30_000)
    parts.top = dict(sorted(parts.top.items()))
    disk, places, expected = disk_of(derivative_of(parts), tmp_path, entry)
    assert list(places) == ["efi", "oem", "recovery", "state", "persistent"]
    run(TOOLS["sfdisk"], "--verify", disk)
    run(TOOLS["fsck.vfat"], "-n", cut(disk, places["efi"], tmp_path / "efi"))
    for name in ("oem", "recovery", "state", "persistent"):
        run(TOOLS["e2fsck"], "-fn", f"{disk}?offset={places[name][0]}")
    inner = tmp_path / "inner"
    run(TOOLS["debugfs"], "-R", f"dump {path} {inner}", f"{disk}?offset={places[partition][0]}")
    run(TOOLS["e2fsck"], "-fn", inner)
    found = {}
    with inner.open("rb") as stream:
        waiting = [("/", ExtFS(stream).root)]
        while waiting:
            at, node = waiting.pop()
            raw = node.inode
            kind = KINDS[stat.S_IFMT(raw.i_mode)]
            body = node.open().read() if kind == "file" else node.link if kind == "symlink" else None
            owner = (raw.i_uid | raw.i_uid_high << 16, raw.i_gid | raw.i_gid_high << 16)
            found[at] = (
                kind,
                stat.S_IMODE(raw.i_mode),
                *owner,
                body,
                {each.name: each.value.decode() for each in node.xattr},
            )
            if kind == "dir":
                waiting += [
                    (f"{at.rstrip('/')}/{name}", below)
                    for name, below in node.listdir().items()
                    if name not in (".", "..")
                ]
    added = {*CREATED, "/lost+found"}
    assert {path: each for path, each in found.items() if path in expected or path not in added} == expected
    assert set(CREATED) <= {*found, *(path for path in CREATED if path in expected)}


def test_an_efi_partition_holds_files_with_long_names(tmp_path):
    files = {
        f"EFI/a longer name {number}/File{number}.txt": bytes([number]) * (number * 3000)
        for number in range(40)
    }
    files |= {"BOOT.CFG": b"short", "x" * 200: b"long", "empty": b""}
    system = Fat32(files, label="COS_GRUB")
    path = tmp_path / "efi"
    with SparseFile(path, system.size) as file:
        system.write(file)
    assert "41 files" not in run(TOOLS["fsck.vfat"], "-n", "-v", path)
    told = run(TOOLS["fsck.vfat"], "-n", path)
    assert "84 files" in told or " files" in told
    if shutil.which("mdir"):
        listed = run("mdir", "-b", "-/", "-i", path, "::")
        assert all(f"::/{name}" in listed for name in files)


@pytest.mark.parametrize("names", [("a:b",), ("Same", "same"), ("x" * 300,), ("..",)])
def test_what_fat_cannot_hold_is_refused(names):
    with pytest.raises(CannotBoot):
        Fat32(dict.fromkeys(names, b""))


def test_accounts_are_those_of_the_images_own_cloud_configs(tmp_path):
    text = "stages:\n  initramfs:\n  - users:\n      kairos:\n        passwd: kairos\n      other:\n        passwd: $6$hash\n"
    entity = 'x:\n  entity: |\n    kind: "shadow"\n    username: "root"\n    password: "cos"\n'
    image = ImageBuilder().layer({"system/oem/a.yaml": text, "system/oem/b.yaml": entity}).build()
    with open_image(image.write_layout(tmp_path / "layout")) as opened:
        assert [(each.name, each.password) for each in find_accounts(opened.rootfs())] == [
            ("root", "cos"),
            ("kairos", "kairos"),
        ]


def test_nothing_is_started_where_grub_finds_nothing(tmp_path):
    image = derivative("kernel-dangling")
    with open_image(image.write_layout(tmp_path / "layout")) as opened:
        rootfs = opened.rootfs()
        with pytest.raises(CannotBoot, match="no kernel"):
            find_startup(rootfs, Facts(rootfs, opened.config), "active")


def test_a_disk_without_space_is_refused_before_it_is_made(tmp_path, monkeypatch):
    free = os.statvfs_result((4096, 4096, 0, 1000, 1000, 0, 0, 0, 0, 255))
    monkeypatch.setattr("cosinspect.boot.disk.os.statvfs", lambda _: free)
    with pytest.raises(CannotBoot, match="MiB for the machine's disk, found 3 MiB free") as raised:
        disk_of(derivative(), tmp_path)
    assert "--keep" in raised.value.remedy
    assert not (tmp_path / "disk.img").exists()


def sparse(path, size):
    """The header and the map of a file of which the last byte alone is in the archive, as GNU tar writes them."""
    told = {"major": "1", "minor": "0", "name": path, "realsize": str(size)}
    member = tarfile.TarInfo("GNUSparseFile.0/file")
    member.size = 513
    member.pax_headers = {f"GNU.sparse.{name}": value for name, value in told.items()}
    kept = f"1\n{size - 1}\n1\n".encode().ljust(512, b"\0")
    return RawEntry(member.tobuf(tarfile.PAX_FORMAT) + kept + b"x".ljust(512, b"\0"))


@pytest.mark.parametrize(
    ("size", "told"),
    [(1 << 40, "at most 64 GiB together"), (40 << 30, r"expected \d{5} MiB for the machine's disk")],
)
def test_a_size_that_a_layer_only_claims_takes_no_disk(tmp_path, monkeypatch, size, told):
    free = os.statvfs_result((4096, 4096, 0, 1 << 22, 1 << 22, 0, 0, 0, 0, 255))
    monkeypatch.setattr("cosinspect.boot.disk.os.statvfs", lambda _: free)
    parts = parts_of("G2", "amd64")
    parts.top["opt/huge"] = sparse("opt/huge", size)
    with pytest.raises(CannotBoot, match=told):
        disk_of(derivative_of(parts), tmp_path)
    assert not (tmp_path / "disk.img").exists()


def test_a_file_with_holes_is_written_with_its_holes(tmp_path):
    parts = parts_of("G2", "amd64")
    parts.top["opt/holes"] = sparse("opt/holes", 96 << 20)
    disk, places, _ = disk_of(derivative_of(parts), tmp_path, contents=False)
    assert disk.stat().st_blocks * 512 < 90 << 20
    inner = tmp_path / "inner"
    run(TOOLS["debugfs"], "-R", f"dump /cOS/active.img {inner}", f"{disk}?offset={places['state'][0]}")
    assert "Size: 100663296" in run(TOOLS["debugfs"], "-R", "stat /opt/holes", inner)
    run(TOOLS["e2fsck"], "-fn", inner)


def test_a_plain_tree_is_the_root_of_a_plain_disk(tmp_path):
    parts = parts_of("bootc", "amd64")
    parts.top["gone"] = Whiteout()
    _, places, _ = disk_of(derivative_of(parts), tmp_path)
    assert list(places) == ["efi", "oem", "root"]
