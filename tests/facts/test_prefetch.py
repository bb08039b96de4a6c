"""Initrds that are unpacked ahead: what is found then is what would have been found, and a wrong guess changes nothing."""

import threading

import pytest
from attrs import evolve

from cosinspect import inspect
from cosinspect.cache import Cache, open_directory
from cosinspect.cache.parsed import Parsed
from cosinspect.errors import ContentError, FormatError
from cosinspect.facts.prefetch import InitrdPrefetch
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.image.opening import open_image
from cosinspect.testing import ImageBuilder
from cosinspect.testing.bootfiles import cpio_archive
from cosinspect.testing.derivative import KERNEL_VERSION, derivative_of
from cosinspect.testing.derivative.parts import parts_of

LARGE = 2 << 20


def large(marker, size=LARGE):
    return cpio_archive({"init": "#!/bin/sh\n", "etc/marker": marker, "ballast": bytes(size)})


def begun(image, tmp_path):
    """Read an image, and give what was begun ahead by the path that its name tells."""
    parsed = Parsed()
    with open_image(image.write_layout(tmp_path)) as opened:
        prefetch = InitrdPrefetch(parsed)
        rootfs = opened.read_rootfs(("boot/*", "usr/lib/modules/*/*"), follower=prefetch)
        known = list(parsed._known)
        # What was handed on is kept nowhere else.
        bodies = {(index.origin, data) for index in rootfs.indexes for data in index.contents}
        assert not {key[1:] for key in known} & bodies
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


def test_small_ones_and_others_are_left_for_whoever_asks(tmp_path):
    image = (
        ImageBuilder()
        .layer({"boot/initrd-small": large("a", 10)})
        .layer({"opt/initrd-elsewhere": large("b")})
        .build()
    )

    assert [] == begun(image, tmp_path)


def test_of_several_in_a_layer_the_first_is(tmp_path):
    image = ImageBuilder().layer({"boot/initrd-1": large("first"), "boot/initrd-2": large("2")}).build()

    (found,) = begun(image, tmp_path)

    assert len("first") == found.lookup("etc/marker").size


def damaged(built):
    """The same image with a layer that ends in other bytes, which shows when all else was read."""
    digest = built.layers[0]
    return evolve(built, blobs={**built.blobs, digest: built.blobs[digest][:-1] + b"?"})


@pytest.mark.parametrize("spoil", [damaged, lambda built: built])
def test_what_was_not_verified_is_nobodys_answer_and_is_not_kept(tmp_path, spoil):
    image = spoil(ImageBuilder().layer({"boot/initrd-1": large("a")}, compression="none").build())
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))
    parsed = Parsed(cache)
    with open_image(image.write_layout(tmp_path / "layout"), platform="linux/amd64") as opened:
        failed = False
        try:
            opened.read_rootfs(follower=InitrdPrefetch(parsed))
        except ContentError:
            failed = True
        (key,) = parsed._known

        def ask(parsed):
            return parsed.get(key[0], key[1:], lambda: pytest.fail("not kept"), type=Initrd)

        if failed:
            with pytest.raises(ContentError):
                ask(parsed)
            with pytest.raises(pytest.fail.Exception):
                ask(Parsed(cache))
        else:
            assert ask(parsed).exists("etc/marker")
            assert ask(Parsed(cache)).exists("etc/marker")
    assert failed == (spoil is damaged)


@pytest.mark.parametrize("content", [b"no initrd at all" * 200_000, b"\xfd7zXZ\0\0\1" + bytes(LARGE)])
def test_one_that_cannot_be_unpacked_keeps_nobody_waiting(tmp_path, content):
    parsed = Parsed()
    image = ImageBuilder().layer({"boot/initrd-1": content, "etc/last": "1"}).build()
    with open_image(image.write_layout(tmp_path), platform="linux/amd64") as opened:
        assert opened.read_rootfs(follower=InitrdPrefetch(parsed)).exists("/etc/last")
    (key,) = parsed._known

    with pytest.raises(FormatError):
        parsed.get(key[0], key[1:], lambda: None, type=Initrd)


def test_what_is_known_from_before_is_not_unpacked_again(tmp_path):
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))
    name = ImageBuilder().layer({"boot/initrd-1": large("a")}).build().write_layout(tmp_path / "layout")
    for expected in (1, 0):
        parsed = Parsed(cache)
        prefetch = InitrdPrefetch(parsed)
        followed = []

        class Counting:
            least = prefetch.least

            def follow(self, layer, entry, prefetch=prefetch, followed=followed):
                sink = prefetch.follow(layer, entry)
                followed.extend([] if sink is None else [sink])
                return sink

        with open_image(name, platform="linux/amd64") as opened:
            opened.read_rootfs(follower=Counting())
        (key,) = parsed._known
        assert parsed.get(key[0], key[1:], lambda: None, type=Initrd).exists("etc/marker")
        assert expected == len(followed)


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

    monkeypatch.setattr("cosinspect.facts.prefetch.MOST", 0)
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
