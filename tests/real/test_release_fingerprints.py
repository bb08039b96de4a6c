"""The files of a release tell its generation by themselves: laid over a root that has nothing of any toolkit."""

import re
from pathlib import Path

import pytest

from accuracy.judges import REAL_FILES
from cosinspect.facts.facts import Facts
from cosinspect.image.opening import open_image
from cosinspect.profiles import Family, generation_tables
from cosinspect.testing import ImageBuilder, Symlink
from real.trees import generation_of, releases

RELEASES = list(releases(Path(REAL_FILES))) if REAL_FILES else []
ROOT = {
    **{name: Symlink(f"usr/{name}") for name in ("bin", "sbin", "lib")},
    "etc/hosts": "127.0.0.1 localhost\n",
    "usr/lib/os-release": "ID=debian\n",
    "usr/lib/systemd/systemd": "a program",
    "usr/bin/elemental": "a program",
}


def version(tag):
    return tuple(int(each) for each in re.findall(r"\d+", tag)[:3])


def recognised(tmp_path, files):
    image = ImageBuilder().layer({**ROOT, **files}).build()
    with open_image(image.write_layout(tmp_path)) as opened:
        return Facts(opened.rootfs(), opened.config).recognised


@pytest.mark.skipif(REAL_FILES is None, reason="COSINSPECT_REAL_FILES names no folder of real files")
@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_the_files_of_a_release_tell_its_generation(tmp_path, release):
    project, _, tag = release.name.partition("/")

    found = recognised(tmp_path, release.files())

    table = generation_tables()[found.name]
    assert generation_of(release) == found.name, found.evidence
    assert (Family.KAIROS if project.startswith("kairos") else Family.TOOLKIT) is table.family
    if project == "elemental-toolkit":
        first, last = map(version, found.releases or table.releases)
        assert first <= version(tag)[: len(first)], found.evidence
        assert version(tag)[: len(last)] <= last, found.evidence


@pytest.mark.skipif(REAL_FILES is None, reason="COSINSPECT_REAL_FILES names no folder of real files")
def test_the_mixture_of_v1_3_is_told_apart(tmp_path):
    by_name = {release.name: release for release in RELEASES}

    mixed = recognised(tmp_path / "1", by_name["elemental-toolkit/v1.3.0"].files())
    second = recognised(tmp_path / "2", by_name["elemental-toolkit/v2.0.0"].files())

    assert ("G5", ("v1.3", "v1.3")) == (mixed.name, mixed.releases)
    assert any(line.endswith("/etc/cos/bootargs.cfg is of toolkit v1.3") for line in mixed.evidence)
    assert ("G5", None) == (second.name, second.releases)


def test_a_root_without_a_toolkit_is_of_no_generation(tmp_path):
    assert "" == recognised(tmp_path, {}).name
