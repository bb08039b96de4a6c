"""All files of a release at their places in the good derivative of its generation: released images boot and install, so this one does."""

import os
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.report.report import Capability, Kind, Status, Verdict
from cosinspect.testing.derivative import derivative_of
from real.trees import in_image, laid_over, releases

REAL = os.environ.get("COSINSPECT_REAL_FILES")
RELEASES = list(releases(Path(REAL))) if REAL else []
# What the releases themselves have: a misspelt `permissions`, which no yip reads, and a key twice; from toolkit v2 on a forced check of
# file systems that races with the mount of the state partition, as boots showed; Rancher's accounts come with the machine's registration.
TOLD = {"COS071", "COS078", "COS228"}
TOLD_OF = {"rancher-elemental": {"COS072"}}

pytestmark = pytest.mark.skipif(REAL is None, reason="COSINSPECT_REAL_FILES names no folder of real files")


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_an_image_of_a_release_boots_and_installs(release, tmp_path):
    assert release.files()
    report = inspect(derivative_of(laid_over(release)).write_layout(tmp_path))

    allowed = TOLD | TOLD_OF.get(release.name, set())
    failed = [each for each in report.results if each.kind is Kind.FAIL and each.check not in allowed]
    told = {each.check: [(f.path, f.message) for f in each.findings] for each in failed}
    assert {} == told
    assert [] == [(each.check, each.reason) for each in report.results if each.kind is Kind.OPEN]
    assert Verdict.PASS is report.verdict
    for each in (Capability.BOOT, Capability.INSTALL):
        assert Status.YES is report.capabilities[each].status


def test_every_file_has_its_place():
    """A file that is in no image is of a kind that is named."""
    assert in_image("packages/cos-features/features/k3s.yaml") is None
    assert in_image("packages/grub2/config/grub.cfg") == "etc/cos/grub.cfg"
    assert in_image("pkg/features/embedded/autologin/system/oem/x.yaml") == "system/oem/x.yaml"
    with pytest.raises(AssertionError):
        in_image("packages/unknown/file")
