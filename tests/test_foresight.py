"""Initrds that are unpacked ahead: what is found then is what would have been found, and a wrong guess changes nothing."""

import threading

import pytest

from cosinspect import inspect
from cosinspect.errors import FormatError
from cosinspect.foresight import InitrdForesight
from cosinspect.formats.initrd import Initrd
from cosinspect.opening import open_image
from cosinspect.parsed import Parsed
from cosinspect.testing import ImageBuilder
from cosinspect.testing.bootfiles import cpio_archive
from cosinspect.testing.derivative import KERNEL_VERSION, derivative_of
from cosinspect.testing.derivative_parts import parts_of

LARGE = 2 << 20


def large(marker, size=LARGE):
    return cpio_archive({"init": "#!/bin/sh\n", "etc/marker": marker, "ballast": bytes(size)})


def begun(image, tmp_path):
    """Read an image, and give what was begun ahead by the path that its name tells."""
    parsed = Parsed()
    with open_image(image.write_layout(tmp_path)) as opened:
        foresight = InitrdForesight(parsed)
        opened.rootfs(("boot/*", "usr/lib/modules/*/*"), on_layer=foresight)
        known = list(parsed._known)
        return [parsed.get(*key[:1], key[1:], lambda: None, type=Initrd) for key in known]


@pytest.mark.parametrize(
    "path",
    [
        "boot/initrd-6.1",
        "boot/initramfs-6.1.img",
        "boot/elemental.initrd-6.1",
        "usr/lib/modules/6.1/initramfs.img",
    ],
)
def test_an_initrd_in_its_usual_place_is_unpacked(tmp_path, path):
    (found,) = begun(ImageBuilder().layer({path: large("a")}).build(), tmp_path)

    assert found.exists("etc/marker")


def test_small_ones_others_and_several_in_a_layer_are_left_for_whoever_asks(tmp_path):
    image = (
        ImageBuilder()
        .layer({"boot/initrd-small": large("a", 10)})
        .layer({"opt/initrd-elsewhere": large("b")})
        .layer({"boot/initrd-1": large("c"), "boot/initrd-2": large("d")})
        .build()
    )

    assert [] == begun(image, tmp_path)


def test_no_more_than_two_are(tmp_path):
    builder = ImageBuilder()
    for number in range(4):
        builder = builder.layer({f"boot/initrd-{number}": large(str(number))})

    assert 2 == len(begun(builder.build(), tmp_path))


def test_the_report_is_the_same_with_and_without(tmp_path, monkeypatch):
    """An initrd of a lower layer that was begun, and another one that boots."""
    parts = parts_of("G2", "amd64")
    parts.compression = "none"
    parts.initrd["ballast"] = bytes(LARGE)
    parts.base["boot/initrd-5.4"] = large("of the base")
    name = derivative_of(parts).write_layout(tmp_path)
    with_it = inspect(name)

    monkeypatch.setattr("cosinspect.foresight.MOST", 0)
    assert inspect(name) == with_it
    assert f"/boot/initrd-{KERNEL_VERSION}" in str(with_it.results)


def test_a_file_that_is_no_initrd_is_told_to_whoever_asks():
    parsed = Parsed()

    def fails():
        raise FormatError("no initrd", kind="magic")

    parsed.begin("initrd", ("sha256:a", 0), fails, type=Initrd)

    for _ in range(2):
        with pytest.raises(FormatError, match="no initrd"):
            parsed.get("initrd", ("sha256:a", 0), lambda: pytest.fail("asked again"), type=Initrd)


def test_a_fault_that_is_no_answer_is_raised_where_it_is_asked_for():
    parsed = Parsed()
    asked = threading.Event()

    def fails():
        asked.wait(5)
        raise MemoryError

    parsed.begin("initrd", ("sha256:a", 0), fails, type=Initrd)
    asked.set()

    with pytest.raises(MemoryError):
        parsed.get("initrd", ("sha256:a", 0), lambda: None, type=Initrd)


def test_what_is_known_is_not_begun_again():
    parsed = Parsed()
    assert 1 == parsed.get("kernel", ("sha256:a", 0), lambda: 1, type=int)

    parsed.begin("kernel", ("sha256:a", 0), lambda: 2, type=int)

    assert 1 == parsed.get("kernel", ("sha256:a", 0), lambda: 3, type=int)
