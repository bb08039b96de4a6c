"""Upgrades between releases, with their own menus, boot arguments and hooks: a machine keeps the menu of the release it was installed with.

Each expectation has its reason in the files of the releases: which files of boot arguments a menu sources, which variables
it sets, and whether it reads /grub_oem_env.
"""

import os
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.report.report import Kind
from cosinspect.testing.derivative.image import derivative_of
from cosinspect.testing.derivative.parts import parts_of

REAL = os.environ.get("COSINSPECT_REAL_FILES")
TOP = Path(REAL or "none") / "elemental-toolkit"
TAGS = {
    "v0.5.3": "G0",
    "v0.7.4": "G1",
    "v0.10.7": "G3",
    "v1.1.8": "G4",
    "v2.0.0": "G5",
    "v2.1.5": "G5",
    "v2.3.2": "G5",
}
HOOK = "01_upgrade_grub_hook.yaml"

pytestmark = pytest.mark.skipif(REAL is None, reason="COSINSPECT_REAL_FILES names no folder of real files")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A good derivative with the files of each release."""
    top = tmp_path_factory.mktemp("releases")
    return {tag: image(tag, top / tag) for tag in TAGS}


def image(tag, directory):
    """Build the image with the menu, the boot arguments and the hook of a release, and none of another."""
    parts = parts_of(TAGS[tag], "amd64")
    own = ("/grub.cfg", "/bootargs.cfg", f"/{HOOK}")
    for name in [name for name in parts.packages if name.endswith(own)]:
        del parts.packages[name]
    for path in sorted((TOP / tag).rglob("*.cfg")):
        if path.name in ("grub.cfg", "bootargs.cfg"):
            _, inside, name = str(path).partition("/etc/")
            parts.packages[f"etc/{name}" if inside else f"etc/cos/{path.name}"] = path.read_bytes()
    for path in (TOP / tag).rglob(HOOK):
        parts.packages[f"system/oem/{HOOK}"] = path.read_bytes()
    directory.mkdir()
    return derivative_of(parts).write_layout(directory)


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        # Both menus set `label`, and the boot arguments of both read it.
        ("v0.5.3", "v0.7.4", Kind.PASS, ""),
        # The menu of v0.10 reads the labels from /grub_oem_env, which installation writes; `label` is kept for older images.
        ("v0.10.7", "v1.1.8", Kind.PASS, ""),
        ("v0.10.7", "v0.7.4", Kind.PASS, ""),
        # v0.7.4 sets no state_label, and v1.1.8 has no hook that writes it.
        ("v0.7.4", "v1.1.8", Kind.FAIL, "expected root=LABEL=COS_STATE for G4, found root=LABEL="),
        # v0.10.7 has the hook; the menu of v0.7.4 reads /grub_oem_env, but scripts run that upgrade.
        ("v0.7.4", "v0.10.7", Kind.OPEN, "scripts of the machine"),
        # The menu of v0.5.3 reads no environment, so the hook does not help.
        ("v0.5.3", "v0.10.7", Kind.FAIL, "expected root=LABEL=COS_STATE for G3, found root=LABEL="),
        # v1.1.8 and v2.0.0 source etc/cos/bootargs.cfg alone; from v2.1 on the file is below etc/elemental.
        ("v1.1.8", "v2.3.2", Kind.FAIL, "expected a file of boot arguments"),
        ("v2.0.0", "v2.3.2", Kind.FAIL, "expected a file of boot arguments"),
        # v2.1.5 sources both places.
        ("v2.1.5", "v2.3.2", Kind.PASS, ""),
        ("v2.1.5", "v2.0.0", Kind.PASS, ""),
        # The menu of v2 sets no `img` for the active snapshot, which cos-img/filename= needs.
        ("v2.3.2", "v1.1.8", Kind.FAIL, "expected cos-img/filename for G4"),
    ],
)
def test_a_machine_keeps_the_menu_of_its_release(images, old, new, kind, words):
    report = inspect(images[new], upgrade_from=images[old], only=("COS281",))

    (result,) = report.results
    assert kind is result.kind
    assert words in " ".join([result.reason, *(each.message for each in result.findings)])


def test_the_mode_of_toolkit_v2_is_empty_under_the_menu_of_v1(images):
    report = inspect(images["v2.0.0"], upgrade_from=images["v1.1.8"], only=("COS282",))

    (finding,) = report.results[0].findings
    assert "expected elemental.mode=active" in finding.message
