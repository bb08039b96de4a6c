"""What an attacker can write into a layer so that a machine gets another image: our word on it, by the command's own checks.

tests/compat has the readers' own word on the same kinds.
"""

import gzip
import struct

import pytest
import zstandard

from cosinspect import inspect
from cosinspect.image.opening import open_image
from cosinspect.report.report import Capability, Status
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.rootfs.xattrs import refused_attribute
from cosinspect.testing import ImageBuilder, Registry, digest_of, image_index, tar_bytes, tar_header
from raw_tar import END, GNU, entry, extended, record
from stacks import layer_of

OCI = "application/vnd.oci.image.layer.v1.tar"
LOWER = {"boot/vmlinuz": "kernel", "boot/grub": "menu", "etc/os": "release"}
INSTALLS = (Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY, Capability.ISO)


def built(upper, *, media_type=OCI, archive=None):
    """An image with a good layer below the one that is given."""
    diff_id = digest_of(upper if archive is None else archive)
    return ImageBuilder().layer(LOWER).raw_layer(upper, media_type=media_type, diff_id=diff_id).build()


def judged(tmp_path, image):
    """Findings by check, and the paths that each reader has."""
    name = image.write_layout(tmp_path)
    report = inspect(name)
    found = {result.check: result.findings for result in report.failed}
    trees = {}
    for semantics in Semantics:
        with open_image(name) as opened:
            if not any("COS005" == check for check in found) or semantics.installs:
                trees[semantics] = {each.path for each in opened.read_rootfs(semantics=semantics).walk()}
    return report, found, trees


BELOW_BOOT = {"/boot/vmlinuz", "/boot/grub"}
GLOBALS = {
    "whiteout": ("boot/.wh.vmlinuz", {semantics: {"/boot/vmlinuz"} for semantics in Semantics}),
    "parent": ("boot", {Semantics.ELEMENTAL: {"/boot", *BELOW_BOOT}}),
    "trailing slash": ("boot/", {Semantics.ELEMENTAL: {"/boot", *BELOW_BOOT}}),
    "opaque": (
        "boot/.wh..wh..opq",
        dict.fromkeys((Semantics.OCI, Semantics.OVERLAY, Semantics.ELEMENTAL3), BELOW_BOOT),
    ),
    "record": ("x", {Semantics.ELEMENTAL: {"/boot/grub"}}),
}


@pytest.mark.parametrize("case", GLOBALS)
def test_a_global_headers_name_acts(tmp_path, case):
    name, gone = GLOBALS[case]
    body = record(b"path", b"boot/grub") if case == "record" else b""
    upper = entry(name, body, typeflag=b"g") + entry("new") + END
    _, found, trees = judged(tmp_path, built(upper))

    whole = {"/", "/boot", "/etc", "/etc/os", "/new", *BELOW_BOOT}
    for semantics, paths in trees.items():
        usual = gone.get(Semantics.ELEMENTAL, set()) if semantics.installs else set()
        assert whole - gone.get(semantics, usual) == paths, semantics
    assert "COS006" in found
    assert ("COS200" in found) == (len({frozenset(paths) for paths in trees.values()}) > 1)


ENDS = {
    "a link with a size": tar_header("l", typeflag=b"2", linkname="etc/os", size=3),
    "a directory with a size": tar_header("l", typeflag=b"5", size=1),
    "a fifo with a size by record": extended(record(b"size", b"7")) + tar_header("l", typeflag=b"6"),
    "a mode": tar_header("l", mode=1 << 21),
    "a negative mode": tar_header("l", mode=-1),
    "a device number on a file": tar_header("l", major=1 << 21),
    "a negative device number on a link": tar_header("l", typeflag=b"2", linkname="x", minor=-1),
    "the name of the root": tar_header("/", typeflag=b"0"),
    "a bad header": tar_header("l", checksum=0),
}


@pytest.mark.parametrize("case", ENDS)
def test_elemental_installs_a_part_and_reports_success(tmp_path, case):
    upper = entry("first") + ENDS[case] + entry("second") + END
    report, found, trees = judged(tmp_path, built(upper))

    (told,) = found["COS201"]
    assert told.message.startswith("elemental installs a part of the image and reports success")
    assert 1 == told.layer
    assert trees[Semantics.ELEMENTAL] <= {"/", "/first", "/l"}
    assert {Status.NO} == {
        report.capabilities[each].status for each in INSTALLS if each in report.capabilities
    }


def test_a_hidden_entry_ends_nothing(tmp_path):
    lower = entry("gone", b"x") + tar_header("l", typeflag=b"2", linkname="x", size=5) + END
    image = ImageBuilder().raw_layer(lower).raw_layer(entry(".wh.l") + END).build()
    _, found, trees = judged(tmp_path, image)

    assert "COS201" not in found
    assert {"/", "/gone"} == trees[Semantics.ELEMENTAL]


def gzip_named(data, name):
    packed = gzip.compress(data, mtime=0)
    return packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:]


PLAIN = entry("first") + entry("second") + END
PACKED = gzip.compress(PLAIN, mtime=0)
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 2) + b"xx"
COMPRESSED = {
    # name: blob, media type, whether COS202 tells, how many of first and second elemental has
    "gzip": (PACKED, f"{OCI}+gzip", False, 2),
    "a name of 511 bytes": (gzip_named(PLAIN, b"n" * 511), f"{OCI}+gzip", False, 2),
    "a name of 512 bytes": (gzip_named(PLAIN, b"n" * 512), f"{OCI}+gzip", True, 0),
    "zeros behind": (PACKED + bytes(17), f"{OCI}+gzip", True, 2),
    "zeros between": (gzip.compress(PLAIN[:512]) + bytes(9) + gzip.compress(PLAIN[512:]), f"{OCI}+gzip", True, 1),
    "zstd": (zstandard.compress(PLAIN), f"{OCI}+zstd", False, 2),
    "zeros behind zstd": (zstandard.compress(PLAIN) + bytes(9), f"{OCI}+zstd", True, 2),
    "a skippable frame first": (SKIPPABLE + zstandard.compress(PLAIN), f"{OCI}+zstd", False, 0),
    "gzip called plain": (PACKED, OCI, True, 2),
    "plain called gzip": (PLAIN, f"{OCI}+gzip", False, 2),
    "gzip called zstd": (PACKED, f"{OCI}+zstd", False, 2),
    "Docker's zstd": (zstandard.compress(PLAIN), "application/vnd.docker.image.rootfs.diff.tar.zstd", True, 2),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPRESSED)
def test_each_reader_inflates_in_its_own_way(tmp_path, case):
    blob, media_type, refused, count = COMPRESSED[case]
    _, found, trees = judged(tmp_path, built(blob, media_type=media_type, archive=PLAIN))

    assert refused == ("COS202" in found)
    assert (count < 2) == ("COS201" in found)
    assert count == len(trees[Semantics.ELEMENTAL] & {"/first", "/second"})
    assert {"/first", "/second"} <= trees[Semantics.OCI]


@pytest.mark.parametrize("at", [len(PACKED) - 8, len(PACKED) - 1, 40])
def test_a_damaged_layer_is_told_with_what_elemental_makes_of_it(tmp_path, at):
    blob = PACKED[:at]
    _, found, trees = judged(tmp_path, built(blob, media_type=f"{OCI}+gzip", archive=PLAIN))

    assert "COS005" in found
    whole = {"/first", "/second"} <= trees[Semantics.ELEMENTAL]
    # Behind the archive's end mark nobody reads who stops at it.
    assert whole == (at > 40)
    assert ("COS201" in found) == (not whole)


def test_an_attribute_that_linux_refuses_is_told_for_both_readers(tmp_path):
    upper = extended(record(b"SCHILY.xattr.security.capability", b"x" * 20)) + entry("f") + END
    _, found, _ = judged(tmp_path, built(upper))

    assert {"COS201", "COS202"} <= set(found)


CAPABILITY = "\x00\x00\x00\x02" + "\0" * 16
ACL = "\2\0\0\0\1\0\6\0" + "\udcff" * 4 + "\4\0\4\0" + "\udcff" * 4 + "\x20\0\4\0" + "\udcff" * 4


@pytest.mark.parametrize(
    ("name", "value", "kind", "refused"),
    [
        ("security.capability", CAPABILITY, "file", False),
        ("security.capability", "\x00\x00\x00\x01" + "\0" * 8, "file", True),
        ("security.capability", "\x01\x00\x00\x03" + "\0" * 20, "file", False),
        ("security.capability", CAPABILITY + "x", "file", True),
        ("security.capability", "", "file", False),
        ("user.a", "v" * 65536, "file", False),
        ("user.a", "v" * 65537, "file", True),
        ("user.", "v", "file", True),
        ("user.", "v", "symlink", False),
        ("", "v", "file", True),
        ("user." + "n" * 250, "v", "file", False),
        ("user." + "n" * 251, "v", "file", True),
        ("trusted." + "n" * 300, "v", "file", False),
        ("nothing.known", "v", "file", False),
        ("system.posix_acl_access", ACL, "file", False),
        ("system.posix_acl_access", ACL[:-1], "file", True),
        ("system.posix_acl_access", ACL[:4] + ACL[12:] + ACL[4:12], "file", True),
        ("system.posix_acl_default", ACL, "dir", False),
        ("system.posix_acl_default", ACL, "file", True),
        ("system.posix_acl_default", ACL, "symlink", False),
    ],
)  # fmt: skip
def test_attributes_that_linux_refuses(name, value, kind, refused):
    assert refused == (refused_attribute({name: value}, kind) is not None)


def test_a_hard_link_is_found_by_the_letters_of_its_way(tmp_path):
    """As runtimes join it: what does not exist counts as a directory where dots lead out of it."""
    upper = (
        entry("etc/passwd", b"root")
        + tar_header("up", typeflag=b"2", linkname="upandout/../../../etc")
        + tar_header("h", typeflag=b"1", linkname="up/passwd")
        + END
    )
    _, found, trees = judged(tmp_path, ImageBuilder().raw_layer(upper).build())

    assert not {"COS002", "COS201", "COS202"} & set(found)
    # Elemental 3 leaves the symbolic link out, so that the hard link has no target.
    assert {each for each in Semantics if each is not Semantics.ELEMENTAL3} == {
        each for each, paths in trees.items() if "/h" in paths
    }


def test_two_images_for_one_platform_are_told():
    one, other = (
        ImageBuilder(platform="linux/amd64").layer({"which": word}).build() for word in ("one", "other")
    )

    def respell(document):
        document["manifests"][1]["platform"]["architecture"] = "x86_64"

    for edit, expected in ((None, 1), (respell, 1)):
        index = image_index(one, other, edit=edit) if edit else image_index(one, other)
        with Registry() as registry:
            report = inspect(registry.push(index, "o/o:v1"), platform="linux/amd64")
        told = [result for result in report.failed if result.check == "COS203"]
        assert expected == len(told)
        assert one.digest in told[0].findings[0].message


def test_a_platform_in_other_words_is_told_and_read():
    index = image_index(
        ImageBuilder(platform="linux/arm64").layer({"a": ""}).build(),
        edit=lambda document: document["manifests"][0]["platform"].update(architecture="aarch64"),
    )
    with Registry() as registry:
        report = inspect(registry.push(index, "o/o:v1"), platform="linux/arm64")
    (told,) = [result for result in report.failed if result.check == "COS203"]
    assert "which elemental does not find" in told.findings[0].message


def test_names_that_no_file_system_stores(tmp_path):
    for name in ("n" * 256, "é" * 128):
        upper = tar_bytes([(name, "x")], parents=False)
        _, found, trees = judged(tmp_path / name[:3], built(upper))
        assert "COS002" in found
        assert not any(name in path for path in trees[Semantics.OCI])


def trees_of(*archives):
    """The paths of each reader's tree, and its fatal problems, without an inspection."""
    layers = [layer_of(archive, position=number) for number, archive in enumerate(archives)]
    found = {each: Rootfs([layer.index() for layer in layers], layers, semantics=each) for each in Semantics}
    return (
        {each: {entry.path for entry in rootfs.walk()} for each, rootfs in found.items()},
        {
            each: [problem.kind for problem in rootfs.problems if problem.fatal]
            for each, rootfs in found.items()
        },
    )


@pytest.mark.parametrize("name", ["a/.wh.x", "a/.wh..wh..opq"])
def test_elemental_3_leaves_out_a_whiteout_that_is_a_link_out_of_the_root(name):
    lower = tar_header("a", typeflag=b"5") + entry("a/x") + END
    trees, _ = trees_of(lower, tar_header(name, typeflag=b"2", linkname="../../../x") + END)

    assert "/a/x" in trees[Semantics.ELEMENTAL3]
    assert "/a/x" not in trees[Semantics.OVERLAY]


@pytest.mark.parametrize("name", [".wh.c:x", ".wh.\\x", ".wh..."])
def test_what_a_whiteout_deletes_leads_elemental_3_out_of_no_root(name):
    trees, _ = trees_of(entry(name) + entry("last") + END)

    assert "/last" in trees[Semantics.ELEMENTAL3]


@pytest.mark.parametrize(("records", "long"), [(600, True), (400, True), (200, False)])
def test_a_long_link_counts_where_elemental_writes_it_again(records, long):
    """Go's writer has room for 1 MiB."""
    link = entry("././@LongLink", b"./" * 400_000 + b"f\0", typeflag=b"K", magic=GNU)
    archive = (
        entry("f")
        + extended(record(b"comment", b"c" * records * 1024))
        + link
        + tar_header("h", typeflag=b"1")
    )
    _, problems = trees_of(archive + END)

    assert {each: ["header-long"] if long and each.installs else [] for each in Semantics} == problems


@pytest.mark.parametrize(("length", "refused"), [(3999, False), (4000, False), (4001, True), (4100, True)])
@pytest.mark.parametrize("through", [False, True])
def test_a_path_that_linux_does_not_find_is_refused_by_all(length, refused, through):
    far = "/".join(["n" * 199] * 30)[: length - 1] + "y"
    archive = extended(record(b"path", far.encode())) + tar_header("f")
    if through:
        archive = (
            extended(record(b"path", far[:1999].encode())) + tar_header("d", typeflag=b"5")
            + extended(record(b"linkpath", far[:1999].encode())) + tar_header("l", typeflag=b"2")
            + extended(record(b"path", b"l" + far[1999:].encode())) + tar_header("f")
        )  # fmt: skip
    trees, problems = trees_of(archive + END)

    # elemental passes over what stands below a link of the same layer.
    for reader in [each for each in Semantics if not (through and each.installs)]:
        assert problems[reader] == (["long-path"] if refused else [])
        assert (f"/{far}" in trees[reader]) != refused
