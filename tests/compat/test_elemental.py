"""elemental-cli v0.3.1 itself as the judge: the kernel and initrd that it finds, the loaders that it copies, the directories that it makes.

Trees are generated, written to disk as they would be unpacked, and given to its own functions.
"""

import random
import subprocess
import tempfile
from pathlib import Path

import pytest

from cosinspect.checks.deployment import blocked_names
from cosinspect.checks.loaders import iso_loader_faults
from cosinspect.facts.boot_search import INITRD_PREFIXES, KERNEL_PREFIXES, find_by_prefix
from cosinspect.facts.ext2 import data_blocks
from cosinspect.profiles.operations import needs_of
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.usage import measure
from cosinspect.testing import Directory, File, Symlink, tar_bytes
from stacks import index_of

pytestmark = pytest.mark.modules

TREES = 400
NAMES = [
    "vmlinuz",
    "vmlinuz-6.1",
    "vmlinuz-0-rescue",
    "Image",
    "Image-6.1",
    "zImage",
    "image.old",
    "uImage",
    "bzImage",
    "initrd",
    "initrd-6.1",
    "initrd.bak",
    "initramfs-6.1.img",
    "elemental.initrd-6.1",
    "config-6.1",
    "grub",
]
TARGETS = [
    "vmlinuz-6.1",
    "initrd-6.1",
    "Image",
    "gone",
    "../usr/lib/modules/6.1/vmlinuz",
    "../lib/modules/6.1/vmlinuz",
    "/boot/vmlinuz-6.1",
    "/nowhere/vmlinuz",
    "../../../../nowhere/vmlinuz",
    "../boot/vmlinuz-6.1",
    "vmlinuz",
    "initrd",
    ".",
    "..",
    "../usr",
    "../boot/./initrd-6.1",
]
LOADERS = [
    "usr/share/efi/x86_64/shim.efi",
    "usr/share/efi/x86_64/MokManager.efi",
    "usr/share/grub2/x86_64-efi/grub.efi",
]


class Judge:
    """The program, asked one question at a time."""

    def __init__(self, program):
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *fields):
        self._process.stdin.write("\t".join(map(str, fields)) + "\n")
        self._process.stdin.flush()
        kind, *rest = self._process.stdout.readline().rstrip("\n").split("\t")
        assert kind in ("found", "error"), (kind, rest)
        return None if kind == "error" else rest

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def judge():
    source = Path(__file__).parent / "elemental"
    with tempfile.TemporaryDirectory(prefix="elemental") as directory:
        program = Path(directory) / "elemental"
        subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
        found = Judge(program)
        yield found
        found.close()


def written(entries, root):
    """Write a tree to disk as it is."""
    for path, entry in entries.items():
        at = root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, Directory):
            at.mkdir(exist_ok=True)
        elif isinstance(entry, Symlink):
            at.symlink_to(entry.target)
        else:
            at.write_bytes(entry.content if isinstance(entry.content, bytes) else entry.content.encode())


def rootfs_of(entries):
    return Rootfs([index_of(tar_bytes(entries))])


def boot_trees():
    """Trees whose /boot, modules and links differ at random, the same each time."""
    random_ = random.Random(15)
    for _ in range(TREES):
        tree = {"usr/lib/modules/6.1/vmlinuz": File("k"), "lib": Symlink("usr/lib")}
        top = "boot"
        shape = random_.random()
        if shape < 0.1:
            tree["boot"], top = Symlink("usr/boot"), "usr/boot"
        elif shape < 0.15:
            tree["boot"], top = Symlink("/nowhere/boot"), "usr/boot"
        elif shape < 0.18:
            tree["boot"], top = File("no directory"), "usr/boot"
        for name in random_.sample(NAMES, random_.randint(0, 7)):
            kind = random_.random()
            if kind < 0.45:
                entry = File("x")
            elif kind < 0.9:
                entry = Symlink(random_.choice(TARGETS))
            else:
                entry = Directory()
            tree[f"{top}/{name}"] = entry
        yield tree


def ours(rootfs):
    found = [find_by_prefix(rootfs, prefixes) for prefixes in (KERNEL_PREFIXES, INITRD_PREFIXES)]
    return None if any(item.entry is None for item in found) else [item.path for item in found]


def test_kernel_and_initrd_are_those_that_elemental_finds(judge, tmp_path):
    outcomes = {True: 0, False: 0}
    for number, tree in enumerate(boot_trees()):
        root = tmp_path / str(number)
        root.mkdir()
        written(tree, root)
        theirs = judge.ask("boot", root)
        if theirs is not None:
            theirs = [path.removeprefix(str(root)) or "/" for path in theirs]
        assert theirs == ours(rootfs_of(tree)), tree
        outcomes[theirs is not None] += 1
    assert min(outcomes.values()) >= 100, outcomes


def loader_trees():
    random_ = random.Random(49)
    for _ in range(200):
        tree = {"usr/lib/shim.efi": File("x"), "usr/share/efi": Directory()}
        for path in LOADERS:
            kind = random_.random()
            if kind < 0.75:
                tree[path] = File("x")
            elif kind < 0.9:
                tree[path] = Symlink(
                    random_.choice(["gone", "../../../lib/shim.efi", "/nowhere/shim.efi", "."])
                )
            elif kind < 0.95:
                tree[path] = Directory()
        yield tree


def test_the_loaders_of_an_iso_are_copied_where_nothing_is_found_amiss(judge, tmp_path):
    outcomes = {True: 0, False: 0}
    for number, tree in enumerate(loader_trees()):
        root = tmp_path / str(number)
        root.mkdir()
        written(tree, root)
        copied = judge.ask("efi", root, "amd64") is not None
        assert copied == (not iso_loader_faults(rootfs_of(tree), "amd64")), tree
        outcomes[copied] += 1
    assert min(outcomes.values()) >= 50, outcomes


def directory_trees():
    random_ = random.Random(212)
    names = [path for need in needs_of("G2") for path in need.paths]
    for _ in range(200):
        tree = {"etc/hosts": File("x"), "usr/share/there": Directory()}
        for path in random_.sample(names, random_.randint(0, 4)):
            kind = random_.random()
            if kind < 0.4:
                tree[path] = Directory()
            elif kind < 0.5:
                tree[path] = File("x")
            elif path == "usr/local":
                tree[path] = Symlink(random_.choice(["gone", "share/there", "../etc/hosts", "local"]))
            else:
                tree[path] = Symlink(random_.choice(["gone", "usr/share/there", "etc/hosts", path]))
        if random_.random() < 0.1:
            tree = {path: entry for path, entry in tree.items() if not path.startswith("usr")}
            tree["usr"] = File("no directory")
        yield tree


def test_directories_are_made_where_no_name_is_in_the_way(judge, tmp_path):
    outcomes = {True: 0, False: 0}
    for number, tree in enumerate(directory_trees()):
        root = tmp_path / str(number)
        root.mkdir()
        written(tree, root)
        made = judge.ask("make", root) is not None
        assert made == (not list(blocked_names(rootfs_of(tree), needs_of("G2")))), tree
        outcomes[made] += 1
    assert min(outcomes.values()) >= 50, outcomes


def test_the_size_of_an_image_is_that_which_elemental_adds_up(judge, tmp_path):
    random_ = random.Random(215)
    for number in range(30):
        tree = {
            f"d{random_.randint(0, 5)}/f{name}": File(bytes(random_.randint(0, 300_000)))
            for name in range(random_.randint(1, 40))
        }
        tree["link"] = Symlink("x" * random_.randint(1, 200))
        root = tmp_path / str(number)
        root.mkdir()
        written(tree, root)
        (size,) = judge.ask("size", root)
        listed = measure(rootfs_of(tree), 4096, data_blocks).listed
        assert int(size) == listed // (1 << 20) + 1
