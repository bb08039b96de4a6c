"""`cosinspect layers`: what each layer does, as text and as JSON."""

import io
import json

import pytest

from cosinspect import cli
from cosinspect.testing import Hardlink, ImageBuilder, Symlink, Whiteout

FIRST = {
    "etc/motd": "hello\n" * 100,
    "usr/bin/sh": "x" * 3000,
    "usr/bin/bash": Hardlink("usr/bin/sh"),
    "boot/vmlinuz-6.4": "k" * 5000,
    "boot/vmlinuz": Symlink("vmlinuz-6.4"),
}
SECOND = {"boot/vmlinuz-6.4": Whiteout(), "boot/vmlinuz-6.5": "n" * 6000, "etc/motd": "hi\n"}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    builder = ImageBuilder().layer(FIRST, created_by="ADD rootfs.tar /")
    builder = builder.layer(SECOND, created_by="/bin/sh -c zypper up\x1b[2J")
    return builder.layer({"etc/\x1b": Symlink("a")}).build().write_layout(tmp_path_factory.mktemp("image"))


def run(*argv):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2))
    status = cli.main([str(word) for word in argv], stdout=out, stderr=err)
    out.flush()
    err.flush()
    return status, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()


def test_each_layer_has_a_line(image):
    status, out, err = run("layers", image)

    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (0, "") == (status, err)
    assert lines[2] == "layer size contents added changed removed wasted step"
    assert lines[3].endswith(" bytes 8.6 kB 5 0 0 5.6 kB ADD rootfs.tar /")
    assert lines[4].endswith(" bytes 6.0 kB 1 1 1 0 bytes zypper up\\x1b[2J")
    assert lines[5].endswith(" bytes 0 bytes 1 0 0 0 bytes (not named)")
    assert "wasted: 5.6 kB of 14.6 kB are replaced or removed by later layers" in lines
    # Of /etc/motd, dive needs the smaller copy: (3000 + 3 + 6000) / 14603.
    assert "efficiency: 61.7 % as dive counts it, 5.6 kB wasted" in lines
    assert lines[-2:] == [
        "5.0 kB /boot/vmlinuz-6.4 layer 0, removed by layer 1",
        "600 bytes /etc/motd layer 0, replaced by layer 1",
    ]


def test_lines_end_at_the_width(image):
    assert max(map(len, run("layers", image)[1].splitlines()[2:])) <= 100


def test_the_largest_are_listed_first(image):
    assert run("layers", image, "--top", "1")[1].splitlines()[-2:] == [
        "     5.0 kB  /boot/vmlinuz-6.4  layer 0, removed by layer 1",
        "  and 1 more; --top 2 lists them",
    ]
    assert "/boot/vmlinuz-6.4" not in run("layers", image, "--top", "0")[1]


@pytest.mark.parametrize("semantics", ["oci", "overlay", "elemental", "elemental3"])
def test_programs_get_json(image, semantics):
    status, out, err = run("layers", image, "--format", "json", "--semantics", semantics)

    assert (0, "") == (status, err)
    found = json.loads(out)
    assert found["schema"] == "cosinspect.layers/1"
    assert found["semantics"] == semantics
    assert [(each["added"], each["changed"], each["removed"]) for each in found["layers"]] == [
        (5, 0, 0),
        (1, 1, 1),
        (1, 0, 0),
    ]
    assert (found["content_bytes"], found["wasted_bytes"], found["wasted_files"]) == (14603, 5600, 2)
    assert found["wasted"][0] == {
        "path": "/boot/vmlinuz-6.4",
        "size": 5000,
        "layer": 0,
        "gone": 1,
        "action": "removed",
    }
    assert found["dive"]["wasted_bytes"] == 5603


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--top", "-1"], 2, "--top: expected a number from 0 to 1000000, found '-1'"),
        (["--top", "many"], 2, "--top: expected a number from 0 to 1000000, found 'many'"),
        (["/etc"], 2, "expected nothing more, found /etc"),
        (["--semantics", "oci,overlay"], 2, "expected one semantics"),
    ],
)
def test_wrong_use_is_refused(image, words, status, message):
    done, out, err = run("layers", image, *words)

    assert (status, "") == (done, out)
    assert message in err


def test_a_name_that_is_not_utf_8_is_escaped(tmp_path):
    builder = ImageBuilder().layer({"a\udcff": "1"}).layer({"a\udcff": "2"})
    name = builder.build().write_layout(tmp_path / "image")

    found = json.loads(run("layers", name, "--format", "json")[1])

    assert found["wasted"][0]["path"].isprintable()
    assert found["escaped"]
    assert "/a\\xff  layer 0, replaced by layer 1" in run("layers", name)[1]


def test_an_image_that_is_not_there_is_3(tmp_path):
    assert run("layers", f"oci:{tmp_path}/nothing")[0] == 3
