"""Images of generations without rules are left undecided: what holds for cOS may be wrong for them."""

import pytest

from cosinspect import inspect
from cosinspect.report import Kind, Verdict
from cosinspect.testing import Directory, ImageBuilder, Symlink

FOREIGN = {
    "bootc": ImageBuilder(labels={"containers.bootc": "1"}).layer({"usr/lib/modules/6.1/vmlinuz": "k"}),
    "kairos": ImageBuilder().layer({"etc/kairos-release": "KAIROS_ID=kairos\n"}),
    "G5": ImageBuilder().layer({"etc/elemental/bootargs.cfg": "set kernel=/boot/vmlinuz\n"}),
    "G4": ImageBuilder().layer({"usr/lib/dracut/modules.d/30elemental-immutable-rootfs": Directory()}),
    "G0": ImageBuilder().layer({"usr/lib/dracut/modules.d/30cos-immutable-rootfs/parse-cos-overlay.sh": ""}),
}


@pytest.mark.parametrize("generation", FOREIGN)
def test_a_known_generation_without_rules_is_undecided(tmp_path, generation):
    report = inspect(FOREIGN[generation].build().write_layout(tmp_path))

    assert generation == report.generation
    assert report.generation_title
    assert Verdict.OPEN == report.verdict
    assert ["COS001"] == [result.check for result in report.results if result.kind is Kind.OPEN]
    assert () == report.failed


def test_an_image_of_no_generation_fails_by_name(tmp_path):
    image = ImageBuilder().layer({"bin": Symlink("usr/bin"), "usr/lib/os-release": "ID=alpine\n"}).build()

    report = inspect(image.write_layout(tmp_path))

    assert "" == report.generation
    assert Verdict.FAIL == report.verdict
    assert "COS001" in [result.check for result in report.failed]
