"""Where readers of the layers disagree, the worse verdict counts: each case is a row of the table of runtimes."""

import pytest

from cosinspect import inspect
from cosinspect.image.image import Image
from cosinspect.image.opening import open_image
from cosinspect.report.report import Verdict
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import File, Opaque, Symlink, Whiteout
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

KERNEL = "vmlinuz-6.1.0-50-amd64"


def image(tmp_path, top):
    parts = parts_of("G2", "amd64")
    parts.step = "RUN relink"
    parts.top = top
    return derivative_of(parts).write_layout(tmp_path)


def result_of(found, check):
    return next(result for result in found.results if result.check == check)


@pytest.fixture
def relinked(tmp_path):
    # `.wh.f`, then `f`: a new f by the specification and on nodes, none where elemental writes.
    return image(tmp_path, {"boot/.wh.vmlinuz": File(), "boot/vmlinuz": Symlink(KERNEL)})


def test_a_file_that_only_elemental_loses_decides_the_verdict(relinked):
    found = inspect(relinked)

    assert Verdict.FAIL == found.verdict
    [finding] = result_of(found, "COS010").findings
    assert ("/boot/vmlinuz", "elemental") == (finding.path, finding.semantics)
    assert any("COS200" in line for line in finding.evidence)
    assert "/boot/vmlinuz" in {finding.path for finding in result_of(found, "COS200").findings}


def test_who_asks_for_one_reading_gets_its_verdict(relinked):
    assert Verdict.PASS == inspect(relinked, semantics=(Semantics.OCI,)).verdict
    assert Verdict.FAIL == inspect(relinked, semantics=(Semantics.ELEMENTAL,)).verdict


def test_what_an_opaque_whiteout_hides_comes_back_under_elemental_only(tmp_path):
    name = image(tmp_path, {"boot": Opaque(), "boot/only": "x"})
    with open_image(name) as opened:
        assert isinstance(opened, Image)
        trees = {each: opened.read_rootfs(semantics=each) for each in Semantics}

    assert not trees[Semantics.OCI].exists("/boot/vmlinuz")
    assert not trees[Semantics.OVERLAY].exists("/boot/vmlinuz")
    assert trees[Semantics.ELEMENTAL].exists("/boot/vmlinuz")


def test_an_honest_image_is_the_same_to_all(tmp_path):
    found = inspect(image(tmp_path, {"opt/old": "x", "etc/fstab": Whiteout()}))

    assert Verdict.PASS == found.verdict
    assert () == result_of(found, "COS200").findings
