"""`ls --in` and `cat --in`: into initrds and unified kernel images; cpio and objcopy say what is in them."""

import io
import json
import subprocess

import pytest

from cosinspect import cli
from cosinspect.report.json_text import restored
from cosinspect.testing import Device, File, Hardlink, ImageBuilder, Symlink
from cosinspect.testing.bootfiles import (
    compress_initrd,
    cpio_archive,
    join_segments,
    linux_kernel,
    microcode_archive,
    unified_kernel_image,
)

MEMBERS = {
    "bin": Symlink("usr/bin"),
    "usr/bin/sh": File(b"#!" + bytes(range(256)), mode=0o755),
    "usr/lib/\udcff": File("odd"),
    "usr/bin/bash": Hardlink("usr/bin/sh"),
    "dev/console": Device("char", 5, 1),
    "etc/empty": "",
    "etc/sh": Symlink("/bin/sh"),
    "etc/gone": Symlink("nowhere"),
}
INITRD = join_segments(microcode_archive("GenuineIntel"), compress_initrd(cpio_archive(MEMBERS), "zstd"))
UNIFIED = unified_kernel_image(
    linux_kernel(),
    INITRD,
    command_line="root=LABEL=COS quiet",
    os_release="ID=cos\n",
    profiles=["one", "two"],
)


def run(*argv):
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    status = cli.main([str(word) for word in argv], stdout=streams[0], stderr=streams[1])
    for stream in streams:
        stream.flush()
    return status, streams[0].buffer.getvalue(), streams[1].buffer.getvalue().decode()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    files = {
        "boot/initrd-6.1": INITRD,
        "boot/initrd": Symlink("initrd-6.1"),
        "boot/cut": INITRD[:-20],
        "boot/linux.efi": UNIFIED,
        "etc/motd": "hello\n",
        "boot/empty": "",
        "boot/lzo": join_segments(b"\x89LZO\0\r\n\x1a\n" + bytes(40)),
    }
    return ImageBuilder().layer(files).build().write_layout(tmp_path_factory.mktemp("image"))


def names(*argv):
    status, out, err = run("ls", *argv, "--format", "json")
    assert (0, "") == (status, err)
    return [restored(json.loads(line))["path"] for line in out.splitlines()]


def test_the_files_of_an_initrd_are_those_that_cpio_lists(image):
    archive = cpio_archive(MEMBERS)
    done = subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True, check=True)
    listed = {f"/{name}" for name in done.stdout.decode("utf-8", "surrogateescape").splitlines()}

    found = names(image, "-R", "--in", "/boot/initrd")

    assert {name for name in found if not name.startswith(("/kernel", "/early"))} == listed
    assert "/kernel/x86/microcode/GenuineIntel.bin" in found


def test_a_directory_is_reached_through_links(image):
    status, out, _ = run("ls", image, "--in", "/boot/initrd", "/bin")

    assert status == 0
    assert out.decode().splitlines()[1].split() == [
        "-rwxr-xr-x",
        "0:0",
        "258",
        "1970-01-01T00:00:00Z",
        "/usr/bin/sh",
        "[segment",
        "1]",
    ]
    assert names(image, "--in", "/boot/initrd", "/etc") == ["/etc/empty", "/etc/gone", "/etc/sh"]
    assert names(image, "--in", "/boot/initrd", "/etc/gone") == ["/etc/gone"]
    assert names(image, "-R", "--in", "/boot/initrd", "/etc")[0] == "/etc"
    assert b" 5, 1 " in run("ls", image, "--in", "/boot/initrd", "/dev")[1]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/usr/bin/sh", b"#!" + bytes(range(256))),
        ("/bin/bash", b"#!" + bytes(range(256))),
        ("bin/sh", b"#!" + bytes(range(256))),
        ("/etc/sh", b"#!" + bytes(range(256))),
        ("/etc/empty", b""),
        ("/usr/lib/\udcff", b"odd"),
    ],
)
def test_a_file_of_an_initrd_is_written(image, path, content):
    assert run("cat", image, "--in", "/boot/initrd", path) == (0, content, "")


def test_the_sections_are_those_that_objcopy_takes_out(image, tmp_path):
    (tmp_path / "linux.efi").write_bytes(UNIFIED)
    sections = names(image, "--in", "/boot/linux.efi")
    assert sections[:5] == ["/.osrel", "/.uname", "/.cmdline", "/.linux", "/.initrd"]

    for name in (".osrel", ".uname", ".linux", ".initrd"):
        subprocess.run(
            ["objcopy", "-O", "binary", f"--only-section={name}", tmp_path / "linux.efi", tmp_path / "part"],
            check=True,
        )
        status, out, err = run("cat", image, "--in", "/boot/linux.efi", name)
        assert (0, "") == (status, err)
        assert out == (tmp_path / "part").read_bytes()[: len(out)]
        assert out.rstrip(b"\0") == (tmp_path / "part").read_bytes().rstrip(b"\0")
    assert run("cat", image, "--in", "/boot/linux.efi", "cmdline")[1] == b"root=LABEL=COS quiet"


def test_the_initrd_of_a_unified_kernel_image_is_one_further(image):
    within = ("--in", "/boot/linux.efi", "--in", ".initrd")

    assert names(image, *within, "/usr/bin") == ["/usr/bin/bash", "/usr/bin/sh"]
    assert run("cat", image, *within, "/bin/sh") == (0, b"#!" + bytes(range(256)), "")


def test_what_is_not_unpacked_is_said(image):
    status, out, err = run("ls", image, "--in", "/boot/cut")

    assert status == 0
    assert b"/kernel" in out
    assert err.startswith("cosinspect: warning: /boot/cut: ")
    assert err.endswith("; the kernel unpacks what is in front of it\n")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["ls", "--in", "/etc/motd"], 1, "/etc/motd: expected an initrd or an EFI program, found neither"),
        (["ls", "--in", "/nowhere"], 1, "/nowhere is not there"),
        (["ls", "--in", "/etc"], 1, "/etc: expected an initrd or an EFI program, found a dir"),
        (["ls", "--in", "/boot/empty"], 1, "expected an initrd or an EFI program, found"),
        (["ls", "--in", "/boot/lzo"], 3, "/boot/lzo: "),
        (
            ["ls", "--in", "/boot/initrd", "/nothing"],
            1,
            "/boot/initrd: /nothing: expected a file, it is not there",
        ),
        (
            ["cat", "--in", "/boot/initrd", "/etc"],
            1,
            "/boot/initrd: /etc: expected a regular file, found a dir",
        ),
        (["cat", "--in", "/boot/initrd", "/"], 1, "/boot/initrd: /: expected a regular file, found a dir"),
        (["cat", "--in", "/boot/initrd", "/etc/gone"], 1, "expected a file, it is not there"),
        (["cat", "--in", "/boot/linux.efi", ".none"], 1, "expected one of its sections .osrel, .uname, "),
        (
            ["ls", "--in", "/boot/linux.efi", "--in", ".osrel"],
            1,
            ".osrel: expected an initrd or an EFI program",
        ),
        (["ls", "--in"], 2, "--in: expected a value"),
    ],
)
def test_what_cannot_be_looked_into_is_said(image, words, status, message):
    done, out, err = run(words[0], image, *words[1:])

    assert (status, b"") == (done, out)
    assert message in err
    assert "b'" not in err
    assert err.count("\n") == 1
