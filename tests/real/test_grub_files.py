"""The GRUB scripts of real toolkits: GRUB's own checker takes them, and an image that has them boots and installs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.formats.boot.grub_syntax import check_grub_script, parse_grub_script
from cosinspect.report.report import Capability, Status
from cosinspect.testing.derivative.image import derivative_of
from cosinspect.testing.derivative.parts import parts_of

REAL = os.environ.get("COSINSPECT_REAL_FILES")
TOP = Path(REAL) if REAL else None
SCRIPTS = sorted(
    path
    for pattern in ("**/grub*.cfg", "**/bootargs.cfg")
    for path in (TOP.glob(pattern) if TOP else ())
    if "{{" not in path.read_text()
    and "@" not in path.read_text().replace("@/.snapshots", "").replace("$@", "")
)
# The tag, and the generation of the derivative that its files are laid over. All of these were released and boot.
TAGS = {
    "v0.5.3": "G0",
    "v0.5.8": "G1",
    "v0.6.8": "G1",
    "v0.7.4": "G1",
    "v0.10.0": "G3",
    "v0.10.7": "G3",
    "v0.11.1": "G4",
    "v1.0.0": "G4",
    "v1.1.8": "G4",
    "v1.3.0": "G5",  # a mix of its own: modules of toolkit v2, the older place of bootargs.cfg
    "v2.0.0": "G5",
    "v2.1.5": "G5",
    "v2.2.1": "G5",
    "v2.3.2": "G5",
}
GRUB_CHECKS = ("COS040", "COS041", "COS042", "COS043", "COS045", *(f"COS{n}" for n in range(112, 118)))

pytestmark = pytest.mark.skipif(
    TOP is None, reason="COSINSPECT_REAL_FILES does not name the folder of real files"
)


def name_of(path):
    return str(path.relative_to(TOP)) if TOP else str(path)


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
@pytest.mark.skipif(not shutil.which("grub-script-check"), reason="grub-script-check is not installed")
def test_grubs_own_checker_and_ours_take_it(path):
    assert 0 == subprocess.run(["grub-script-check", str(path)], check=False, capture_output=True).returncode
    assert check_grub_script(path.read_text()) is None
    assert () == parse_grub_script(path.read_text()).problems


def laid_over(generation, files):
    """Inspect a good derivative whose files of the same kind are these."""
    parts = parts_of(generation, "amd64")
    for path in [path for path in parts.packages if path.endswith(("/grub.cfg", "/bootargs.cfg"))]:
        del parts.packages[path]
    for path, text in files.items():
        parts.packages[path] = text
    return parts


def failed(report):
    return [result.check for result in report.failed if result.check in GRUB_CHECKS]


def in_image(path):
    """Give the path in the image: features have it in their own tree, packages of luet put all below /etc/cos."""
    parts = path.parts
    if "embedded" in parts:
        return "/".join(parts[parts.index("embedded") + 2 :])
    return f"etc/cos/{path.name}"


@pytest.mark.parametrize("tag", TAGS)
def test_an_image_with_the_files_of_a_release_boots_and_installs(tmp_path, tag):
    top = TOP / "elemental-toolkit" / tag
    found = [path for name in ("grub.cfg", "bootargs.cfg") for path in sorted(top.rglob(name))]
    assert {"grub.cfg", "bootargs.cfg"} == {path.name for path in found}
    files = {in_image(path): path.read_text() for path in found}

    report = inspect(derivative_of(laid_over(TAGS[tag], files)).write_layout(tmp_path))

    assert [] == failed(report)
    statuses = report.capabilities
    assert Status.YES == statuses[Capability.BOOT].status
    assert Status.YES == statuses[Capability.INSTALL].status


@pytest.mark.parametrize(
    ("generation", "path"),
    [
        ("G5", "rancher-elemental/etc/elemental/bootargs.cfg"),
        ("kairos", "kairos-packages/grub-config/files/grub.cfg"),
    ],
)
def test_an_image_with_one_real_file_boots_and_installs(tmp_path, generation, path):
    directory = "etc/elemental" if generation == "G5" else "etc/cos"
    parts = parts_of(generation, "amd64")
    parts.packages[f"{directory}/{Path(path).name}"] = (TOP / path).read_text()

    report = inspect(derivative_of(parts).write_layout(tmp_path))

    # Rancher's file has no subpath of a btrfs in its paths, which the table of states leaves open.
    assert [] == failed(report)
    assert Status.YES == report.capabilities[Capability.BOOT].status
