"""All files of a release at their places in the good derivative of its generation: released images boot and install, so this one does."""

from pathlib import Path

import pytest

from accuracy.judges import REAL_FILES, of_files
from real.trees import in_image, releases

RELEASES = list(releases(Path(REAL_FILES))) if REAL_FILES else []


@pytest.mark.skipif(REAL_FILES is None, reason="COSINSPECT_REAL_FILES names no folder of real files")
@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_an_image_of_a_release_boots_and_installs(release):
    assert release.files()
    assert "" == of_files(release)


def test_every_file_has_its_place():
    """A file that is in no image is of a kind that is named."""
    assert in_image("packages/cos-features/features/k3s.yaml") is None
    assert in_image("packages/grub2/config/grub.cfg") == "etc/cos/grub.cfg"
    assert in_image("pkg/features/embedded/autologin/system/oem/x.yaml") == "system/oem/x.yaml"
    with pytest.raises(AssertionError):
        in_image("packages/unknown/file")
