"""What an initrd tells of itself, from archives written member by member."""

from __future__ import annotations

import io
import shutil
import subprocess

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.boot.initrd import Initrd, read_initrd
from cosinspect.testing.bootfiles import (
    InitrdEntry,
    compress_initrd,
    cpio_archive,
    executable,
    join_segments,
    microcode_archive,
)
from cosinspect.testing.layers import Directory, Symlink

# As dracut 059 lays one out on a merged-usr system.
DRACUT: dict[str, InitrdEntry] = {
    "bin": Symlink("usr/bin"),
    "init": Symlink("usr/lib/systemd/systemd"),
    "lib": Symlink("usr/lib"),
    "sbin": Symlink("usr/sbin"),
    "usr/bin/basename": executable("elf"),
    "usr/lib/dracut/build-parameter.txt": " --no-hostonly -f\n",
    "usr/lib/dracut/modules.txt": "bash\nsystemd\n\ncos-immutable-rootfs\n",
    "usr/lib/dracut/hooks/cmdline/30-parse-cos-cmdline.sh": executable("#!/bin/sh\nbasename x\n"),
    "usr/lib/modules/6.1.0-50-amd64/modules.dep": "",
    "usr/lib/systemd/systemd": executable("elf"),
    "usr/sbin/cos-loop-img": executable("#!/bin/sh\nlosetup\n"),
    "etc/systemd/system/initrd.target.requires/x.service": Symlink("../../../nowhere/x.service"),
}


def unpack(members: dict[str, InitrdEntry], *, wanted=lambda _: False) -> Initrd:
    data = compress_initrd(cpio_archive(members), "zstd")
    return read_initrd(io.BytesIO(data), size=len(data), wanted=wanted)


def test_paths_are_looked_up_through_links_of_directories():
    initrd = unpack(DRACUT)
    assert [initrd.lookup(path).path for path in ("sbin/cos-loop-img", "/bin/basename", "/init", "lib")] == [
        "usr/sbin/cos-loop-img",
        "usr/bin/basename",
        "usr/lib/systemd/systemd",
        "usr/lib",
    ]
    assert initrd.lookup("usr/sbin/basename") is None
    assert initrd.lookup("init/basename") is None


def test_a_link_itself_is_found_even_where_it_dangles():
    initrd = unpack(DRACUT)
    link = "etc/systemd/system/initrd.target.requires/x.service"
    assert initrd.lookup(link) is None
    assert not initrd.exists(link)
    assert initrd.lookup(link, follow=False).target == "../../../nowhere/x.service"
    assert initrd.lookup("lib/dracut/modules.txt", follow=False).path == "usr/lib/dracut/modules.txt"


def test_directories_are_listed():
    initrd = unpack(DRACUT)
    assert initrd.listdir("") == ("bin", "etc", "init", "lib", "sbin", "usr")
    assert initrd.listdir("/lib/dracut/hooks/cmdline/") == ("30-parse-cos-cmdline.sh",)
    assert initrd.listdir("usr/bin/basename") == initrd.listdir("nowhere") == ()


def test_only_wanted_bodies_are_kept_and_read_through_links():
    asked = []
    initrd = unpack(DRACUT, wanted=lambda path: asked.append(path) or path.startswith("usr/sbin/"))
    assert initrd.read("sbin/cos-loop-img") == b"#!/bin/sh\nlosetup\n"
    assert "usr/sbin/cos-loop-img" in asked
    assert "init" not in asked  # links and directories have no body
    for path, kind in {
        "bin/basename": "unread",
        "nowhere": "missing",
        "etc": "type",
        "etc/systemd/system/initrd.target.requires/x.service": "missing",
    }.items():
        with pytest.raises(FormatError) as caught:
            initrd.read(path)
        assert (caught.value.kind, caught.value.where) == (kind, path)


def test_an_empty_file_is_read_without_having_been_wanted():
    assert unpack(DRACUT).read("lib/modules/6.1.0-50-amd64/modules.dep") == b""


def test_dracut_tells_what_it_was_made_of():
    initrd = unpack(DRACUT)
    assert initrd.dracut_modules == ("bash", "systemd", "cos-immutable-rootfs")
    assert initrd.build_parameters == "--no-hostonly -f"
    assert initrd.kernel_versions == ("6.1.0-50-amd64",)
    assert not initrd.squashed


@pytest.mark.parametrize("top", ["lib", "usr/lib", "lib64", "usr/lib64"])
def test_dracut_may_stand_in_any_library_directory(top):
    initrd = unpack({f"{top}/dracut/modules.txt": "bash\n"})
    assert initrd.dracut_modules == ("bash",)
    assert initrd.build_parameters is None


def test_other_makers_tell_nothing():
    initrd = unpack({"init": executable(), "conf/initramfs.conf": "x"})
    assert initrd.dracut_modules is None
    assert initrd.kernel_versions == ()


def test_kernel_versions_are_directories_below_any_of_the_two():
    initrd = unpack(
        {"lib/modules/5.14": Directory(), "usr/lib/modules/6.4": Directory(), "usr/lib/modules/README": "x"}
    )
    assert initrd.kernel_versions == ("5.14", "6.4")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"init": executable()}, True),
        ({"init": Symlink("sbin/init"), "sbin/init": executable()}, True),
        ({"init": Symlink("/sbin/init"), "sbin/init": executable()}, True),
        ({"init": "not executable"}, False),
        ({"init": Symlink("sbin/init")}, False),
        ({"init": Directory()}, False),
        ({"sbin/init": executable()}, False),
    ],
)
def test_init_must_be_an_executable_file(members, expected):
    assert unpack(members).has_init is expected


@pytest.mark.parametrize(
    "path", ["squash-root.img", "squashfs-root.img", "erofs-root.img", "squash/root.img"]
)
def test_a_root_squashed_within_is_told(path):
    assert unpack({"init": executable(), path: "hsqs"}).squashed


@pytest.mark.compat
@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio(1) is not installed")
def test_cpio_lists_the_same_members():
    archive = cpio_archive(DRACUT)
    listed = subprocess.run(["cpio", "-it", "--quiet"], input=archive, capture_output=True, check=True).stdout
    data = join_segments(microcode_archive(), compress_initrd(archive, "xz"))
    initrd = read_initrd(io.BytesIO(data), size=len(data), wanted=lambda _: False)
    found = {path for path, member in initrd.members.items() if member.segment == 1}
    assert found == set(listed.decode().splitlines())
