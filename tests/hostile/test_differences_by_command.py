"""`diff` and `--semantics` with images that want to mislead, crash or hold up whoever compares."""

import json

import pytest
from test_damage_by_command import GOOD, assert_told, damages
from test_names_by_command import EVIL

from cosinspect.testing import ImageBuilder, Opaque, Symlink, Whiteout
from cosinspect.testing.derivative import derivative
from raw_tar import END, entry

READINGS = [
    ("diff", ()),
    ("diff", ("--semantics", "oci,elemental", "--format", "json")),
    ("check", ("--semantics", "elemental")),
    ("ls", ("-R", "--semantics", "overlay")),
    ("history", ("/boot/initrd", "--semantics", "elemental")),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return GOOD.write_layout(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("number", range(len(GOOD.blobs)))
def test_no_damage_is_unseen_by_any_reading(command, tmp_path, good, number):
    digest, blob = list(GOOD.blobs.items())[number]
    name = GOOD.write_layout(tmp_path / "layout")
    place = tmp_path / "layout/blobs/sha256" / digest.removeprefix("sha256:")
    for how, wrong in damages(blob)[number % 3 :: 3]:
        place.write_bytes(wrong)
        assert_told(command, READINGS, name, digest, how)
        run = command("diff", name, good)
        assert (3, b"") == (run.status, run.out), (how, run)
        # Of the second image a layer that the first one has need not be read again.
        run = command("diff", good, name)
        assert run.status in ({0, 3} if digest in GOOD.layers else {3}), (how, run)


def test_no_name_is_written_raw_where_readers_differ(command, tmp_path, good):
    builder = ImageBuilder()
    for text in EVIL.values():
        name = text.replace("/", "\u2044")
        builder = builder.layer({f"srv/{name}/f": "x", f"srv/{name} l": Symlink(text)})
        builder = builder.layer({f"srv/{name}": Opaque()}, created_by="RUN rm")
    image = builder.build().write_layout(tmp_path)

    for arguments in ((image,), (image, "-R"), (image, good), (image, "--format", "json")):
        run = command("diff", *arguments)
        assert 1 == run.status
        assert len(run.out) > 1000


def test_layers_that_a_reader_refuses_end_in_its_refusal(command, tmp_path):
    nobody = entry("h", typeflag=b"1", linkname="nowhere") + END
    beside = entry("f", b"new") + entry(".wh.f") + END
    for number, archive in enumerate((nobody, beside, entry("../up") + END, entry("a/" * 400 + "f") + END)):
        built = ImageBuilder().layer({"f": "old"}).raw_layer(archive).build()
        name = built.write_layout(tmp_path / str(number))
        for word, arguments in READINGS[:4]:
            run = command(word, name, *arguments)
            assert run.status != 0 or word in ("ls", "diff"), run


def test_many_causes_of_many_differences_take_no_time(command, tmp_path):
    directories = 4000
    lower = {f"d{number}/f": "x" for number in range(directories)}
    upper = {f"d{number}": Opaque() for number in range(directories)}
    built = ImageBuilder().layer(lower).layer(upper).layer({"d0": Whiteout()}).build()

    run = command("diff", built.write_layout(tmp_path), "--semantics", "oci,elemental", "--format", "json")

    assert 1 == run.status
    assert directories - 1 == run.text.count('"kind": "opaque-whiteout"')


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 0),
        (("--semantics", "oci"), 2),
        (("--semantics", "oci,nobody"), 2),
        (("OTHER", "--semantics", "oci,elemental"), 2),
        (("oci:/nowhere",), 3),
    ],
)
def test_the_exit_status_tells_same_differing_wrong_use_and_undecided(command, good, arguments, status):
    run = command("diff", good, *(good if word == "OTHER" else word for word in arguments))

    assert status == run.status


def test_two_images_are_summarised(command, tmp_path, good):
    other = derivative("kernel-removed").write_layout(tmp_path)

    run = command("diff", good, other)
    same = command("diff", good, good)

    assert 1 == run.status
    assert "- /boot/vmlinuz" in run.text
    assert (0, True) == (same.status, "the same tree" in same.text)


def test_a_refusal_is_told_with_layer_path_and_remedy(command, tmp_path):
    name = derivative("hardlink-target-removed").write_layout(tmp_path)

    run = command("diff", name, "--semantics", "oci,elemental")
    told = json.loads(command("diff", name, "--semantics", "oci,elemental", "--format", "json").text)

    assert 1 == run.status
    assert "elemental refuses the image" in run.text
    assert "layer 2 (" in run.text
    assert "remedy: Deliver the image as one layer" in run.text
    [refusal] = told["comparisons"][0]["refusals"]
    assert (2, "/usr/bin/unpigz") == (refusal["layer"], refusal["path"])
    assert refusal["remedy"]
