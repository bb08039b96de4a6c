"""How elemental searches: by the host's rules for links, three ways; the rows are what toolkit v2.2.1's own search did."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.facts.boot_search import (
    INITRD_PATTERNS,
    KERNEL_PATTERNS,
    KERNEL_PREFIXES,
    find_by_name,
    find_by_pattern,
    find_by_prefix,
    on_host,
)
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.testing import Directory, File, Symlink, tar_bytes
from stacks import SCALE, index_of

KERNEL = "boot/vmlinuz-6.1"


def tree(entries):
    return Rootfs([index_of(tar_bytes(entries))])


def chain(links):
    names = ["vmlinuz", *(f"hop{number}" for number in range(1, links)), "vmlinuz-6.1"]
    return {f"boot/{name}": Symlink(names[number + 1]) for number, name in enumerate(names[:-1])}


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ({KERNEL: File("k")}, "/boot/vmlinuz-6.1"),
        ({KERNEL: File("k"), "boot/vmlinuz": Symlink("vmlinuz-6.1")}, "/boot/vmlinuz-6.1"),
        ({KERNEL: File("k"), "boot/vmlinuz": Symlink("/boot/vmlinuz-6.1")}, "/boot/vmlinuz-6.1"),
        ({KERNEL: File("k"), **chain(4)}, "/boot/vmlinuz-6.1"),
        ({KERNEL: File("k"), "boot/vmlinuz-0-old": Symlink("gone"), "boot/vmlinuz": Symlink("vmlinuz-6.1")}, "/boot/vmlinuz-6.1"),
        ({"usr/boot/vmlinuz-6.1": File("k"), "boot": Symlink("usr/boot")}, "/boot/vmlinuz-6.1"),
        ({"lib": Symlink("usr/lib"), "usr/lib/modules/6.1/vmlinuz": File("k"), "boot/vmlinuz": Symlink("../lib/modules/6.1/vmlinuz")}, "/lib/modules/6.1/vmlinuz"),
        ({KERNEL: File("k"), "boot/Image": File("i"), "boot/uImage": File("u")}, "/boot/uImage"),
    ],
)  # fmt: skip
def test_the_second_toolkit_finds_the_first_match(entries, path):
    found = find_by_pattern(tree(entries), KERNEL_PATTERNS)

    assert ("", path) == (found.fault, found.path)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({}, "nothing matches"),
        ({KERNEL: File("k"), **chain(5)}, "more than 4 links"),
        ({KERNEL: File("k"), "boot/vmlinuz": Symlink("vmlinuz")}, "more than 4 links"),
        ({KERNEL: File("k"), "boot/Image": Symlink("gone")}, "leads to nothing"),
        ({KERNEL: File("k"), "boot/vmlinuz": Symlink("../../boot/vmlinuz-6.1")}, "climbs above"),
        ({KERNEL: File("k"), "boot/vmlinuz": Symlink("/../boot/vmlinuz-6.1")}, "climbs above"),
        ({"boot/vmlinuz-6.1": Directory()}, "is a dir"),
        ({"usr/boot/vmlinuz-6.1": File("k"), "boot": Symlink("/usr/boot")}, "nothing matches"),
        ({"lib": Symlink("/usr/lib"), "usr/lib/modules/6.1/vmlinuz": File("k"), "boot/vmlinuz": Symlink("../lib/modules/6.1/vmlinuz")}, "absolute"),
    ],
)  # fmt: skip
def test_the_second_toolkit_stops_at_what_it_cannot_copy(entries, why):
    assert why in find_by_pattern(tree(entries), KERNEL_PATTERNS).fault


def test_a_linked_directory_is_not_entered_below_the_base_of_a_pattern():
    """filepath.WalkDir follows its root and no link below it."""
    entries = {"usr/share/grub2/x86_64-efi/grub.efi": File("g")}
    linked = {"usr/lib/x/x86_64-efi/grub.efi": File("g"), "usr/share/grub2": Symlink("../lib/x")}
    below = {"usr/lib/efi/grub.efi": File("g"), "usr/share/grub2/x86_64-efi": Symlink("../../lib/efi")}

    pattern = ("/usr/share/grub2/*-efi/grub.efi",)
    assert "" == find_by_pattern(tree(entries), pattern).fault == find_by_pattern(tree(linked), pattern).fault
    assert "nothing matches" in find_by_pattern(tree(below), pattern).fault
    assert "nothing matches" in find_by_pattern(tree(linked), ("/usr/share/grub*/*-efi/grub.efi",)).fault


def test_the_first_pattern_with_a_match_decides():
    entries = {
        "boot/initrd": File("i"),
        "boot/elemental.initrd-6.1": File("e"),
        "boot/elemental.initrd-5.0": File("o"),
    }

    assert "/boot/elemental.initrd-5.0" == find_by_pattern(tree(entries), INITRD_PATTERNS).path


def test_the_host_leaves_the_image_by_absolute_and_climbing_links():
    root = tree(
        {
            "etc/a": Symlink("/etc/b"),
            "etc/b": File("x"),
            "etc/c": Symlink("../../etc/b"),
            "etc/d": Symlink("b"),
        }
    )

    assert "absolute" in on_host(root, "/etc/a")[1]
    assert "climbs" in on_host(root, "/etc/c")[1]
    assert "/etc/b" == on_host(root, "/etc/d")[0].path
    assert find_by_name(root, "/etc/a").fault
    assert "" == find_by_name(root, "/etc/d").fault


_NAMES = st.sampled_from(
    ["boot", "vmlinuz", "vmlinuz-1", "Image", "usr", "lib", "..", ".", "etc", "ü", "x" * 80]
)
_PATHS = st.lists(_NAMES.filter(lambda name: name not in ("..", ".")), min_size=1, max_size=4).map("/".join)
_LINKS = (
    st.lists(_NAMES, min_size=1, max_size=6)
    .map("/".join)
    .flatmap(lambda path: st.sampled_from([path, f"/{path}"]))
)


@settings(max_examples=150 * SCALE, deadline=None)
@given(
    st.dictionaries(
        _PATHS, st.one_of(_LINKS.map(Symlink), st.just(File("x")), st.just(Directory())), max_size=8
    ),
    st.text(string.printable, max_size=20),
)
def test_any_tree_is_searched_without_a_fault_of_ones_own(entries, path):
    kept = {}
    for name, entry in sorted(entries.items()):
        parents = [name[:at] for at, letter in enumerate(name) if letter == "/"]
        if all(isinstance(kept.get(parent, Directory()), Directory) for parent in parents):
            kept[name] = entry
    root = tree(kept)

    for found in (
        find_by_pattern(root, KERNEL_PATTERNS),
        find_by_pattern(root, ("/*/*", "/usr/*/x/*")),
        find_by_prefix(root, KERNEL_PREFIXES),
        find_by_name(root, f"/{path}"),
    ):
        assert (found.entry is None) == bool(found.why)
        assert found.entry is None or found.path.startswith("/") or found.path == ""
