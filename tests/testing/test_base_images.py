"""Images on the base of others: those of the kit, and those that other tools write; umoci judges."""

import json
import shutil
import subprocess

import pytest

from cosinspect import inspect, open_image
from cosinspect.testing import BuiltImage, Directory, ImageBuilder, Symlink, Whiteout, image_index
from cosinspect.testing.derivative import derivative

needs_umoci = pytest.mark.skipif(not shutil.which("umoci"), reason="umoci is not installed")


def umoci(*words):
    done = subprocess.run(["umoci", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("family", ["oci", "docker"])
def test_a_builder_of_an_image_builds_the_same_image(family):
    image = (
        ImageBuilder(platform="linux/arm/v7", env=["A=1"], labels={"l": "x"}, cmd=["sh"], media_types=family)
        .layer({"etc/motd": "hello\n"}, created_by="ADD rootfs /", annotations={"a": "b"})
        .empty_layer("ENV A=1")
        .seekable_layer({"etc/issue": "x"}, kind="zstd:chunked")
        .annotation("c", "d")
        .edit_config(lambda config: config["config"].update(User="nobody") or config.update(author="me"))
        .build()
    )

    again = ImageBuilder.from_image(image).build()

    assert json.loads(image.manifest) == json.loads(again.manifest) | {
        "config": json.loads(image.manifest)["config"]
    }
    assert json.loads(image.config) == json.loads(again.config)
    assert image.tars == again.tars


def test_a_layer_more_breaks_a_good_image(tmp_path):
    good = ImageBuilder.from_image(derivative())
    broken = good.layer({"boot/vmlinuz": Whiteout()}, created_by="RUN rm /boot/vmlinuz").build()

    assert inspect(good.build().write_layout(tmp_path / "good")).passed
    report = inspect(broken.write_layout(tmp_path / "broken"))

    assert not report.passed
    assert any(
        "RUN rm /boot/vmlinuz" in str(finding.evidence) for each in report.failed for finding in each.findings
    )


@needs_umoci
def test_umoci_reads_it_and_writes_a_base(tmp_path):
    layout = tmp_path / "layout"
    umoci("init", "--layout", str(layout))
    umoci("new", "--image", f"{layout}:base")
    (tmp_path / "file").write_text("by umoci\n")
    umoci("insert", "--rootless", "--image", f"{layout}:base", str(tmp_path / "file"), "/etc/file")

    base = BuiltImage.read_layout(layout, "base")
    image = ImageBuilder.from_image(base).layer({"etc/motd": "more\n"}).build()
    name = image.write_layout(layout, "more")

    umoci("unpack", "--rootless", "--image", f"{layout}:more", str(tmp_path / "bundle"))
    assert (tmp_path / "bundle/rootfs/etc/file").read_text() == "by umoci\n"
    assert (tmp_path / "bundle/rootfs/etc/motd").read_text() == "more\n"
    with open_image(name) as opened:
        assert opened.read_rootfs().read_text("/etc/file") == "by umoci\n"


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: (root / "index.json").unlink(), "No such file"),
        (lambda root: (root / "index.json").write_text("{}"), "manifests"),
        (lambda root: next((root / "blobs/sha256").iterdir()).write_bytes(b"x"), "has other bytes"),
        (lambda root: derivative().write_layout(root, "other"), "the layout has latest, other"),
    ],
)
def test_what_is_no_layout_with_one_image_is_refused(break_it, said, tmp_path):
    ImageBuilder().layer({"a": "b"}).build().write_layout(tmp_path)
    break_it(tmp_path)

    with pytest.raises(ValueError, match=said):
        BuiltImage.read_layout(tmp_path)


def test_an_index_is_refused_with_the_images_in_it(tmp_path):
    image = ImageBuilder().layer({"a": "b"}).build()
    image_index(image).write_layout(tmp_path)

    with pytest.raises(ValueError, match=f"found an index of {image.digest}"):
        BuiltImage.read_layout(tmp_path)
    assert BuiltImage.read_layout(image.write_layout(tmp_path, "one").split(":")[1], "one") == image


def test_an_image_whose_layers_are_not_those_of_its_configuration_is_no_base():
    image = ImageBuilder().layer({"a": "b"}).edit_config(lambda config: config.pop("rootfs")).build()

    with pytest.raises(ValueError, match="expected the manifest and the configuration of an image"):
        ImageBuilder.from_image(image)


def test_a_derivative_takes_a_last_layer_and_checks_what_it_is_given(tmp_path):
    image = derivative(top={"/etc/motd": "hello\n", "srv/data": Directory()}, generation="G5")
    with open_image(image.write_layout(tmp_path)) as opened:
        assert opened.layers[-1].created_by == "COPY etc/motd srv/data /"
        assert opened.read_rootfs().read_text("/etc/motd") == "hello\n"
    own = derivative("kernel-dangling", top={"etc/vendor": Symlink("os-release")}, created_by="RUN ln -s ...")
    with open_image(own.write_layout(tmp_path, "own")) as opened:
        assert opened.layers[-1].created_by == "RUN ln -s ..."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"broken": "kernel-danglin"}, "did you mean 'kernel-dangling'"),
        ({"generation": "G7"}, "known are G0, G1"),
        ({"generation": "kairo"}, "did you mean .kairos."),
        ({"architecture": "amd46"}, "did you mean 'amd64'"),
        ({"top": {"etc/../motd": ""}}, "expected a path in the image"),
        ({"top": {"/": ""}}, "expected a path in the image"),
    ],
)
def test_a_wrong_argument_is_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        derivative(**arguments)
