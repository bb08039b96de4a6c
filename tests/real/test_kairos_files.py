"""The files that kairos-init and Kairos' packages ship, laid over every layout of Kairos: each passes, as the images that had them boot."""

import os
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.report.report import Kind, Verdict
from cosinspect.testing import File
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.variants import VARIANTS

REAL = os.environ.get("COSINSPECT_REAL_FILES")
TOP = Path(REAL) if REAL else None
TAGS = sorted(path.name for path in (TOP / "kairos-init").iterdir()) if TOP is not None else ["none"]
LAYOUTS = [name for name in VARIANTS if name.startswith("kairos-")]

pytestmark = pytest.mark.skipif(
    TOP is None, reason="COSINSPECT_REAL_FILES does not name the folder of real files"
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tag", TAGS)
def test_an_image_with_real_cloud_configs_and_the_real_menu_passes(tmp_path, tag, layout):
    parts = VARIANTS[layout].parts()
    for path in (TOP / "kairos-init" / tag / "cloudconfigs").iterdir():
        parts.packages[f"system/oem/{path.name}"] = File(path.read_bytes(), mode=0o644)
    if "etc/cos/grub.cfg" in parts.packages:
        menu = TOP / "kairos-packages" / "grub-config" / "files" / "grub.cfg"
        parts.packages["etc/cos/grub.cfg"] = menu.read_text()

    found = inspect(derivative_of(parts).write_layout(tmp_path))

    # Two of the files say `permsisions`, which yip does not read.
    assert {"COS078"} >= {each.check for each in found.results if each.kind in (Kind.FAIL, Kind.OPEN)}
    assert (VARIANTS[layout].recognised, Verdict.PASS) == (found.generation, found.verdict)
