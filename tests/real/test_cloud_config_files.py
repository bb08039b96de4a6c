"""The cloud-configs that the toolkits ship, by tag, in the good derivative of their generation: they count as they do on a machine."""

import os
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.formats.yip.conditions import holds
from cosinspect.report.report import Kind
from cosinspect.testing import File
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

REAL = os.environ.get("COSINSPECT_REAL_FILES")
TOP = Path(REAL or "none") / "elemental-toolkit"
GENERATIONS = {
    "v0.5.3": "G0",
    **dict.fromkeys(("v0.5.8", "v0.6.8", "v0.7.4"), "G1"),
    **dict.fromkeys(("v0.8.2", "v0.9.7"), "G2"),
    **dict.fromkeys(("v0.10.0", "v0.10.7"), "G3"),
    **dict.fromkeys(("v0.11.1", "v1.0.0", "v1.1.8"), "G4"),
    **dict.fromkeys(("v1.3.0", "v2.0.0", "v2.1.5", "v2.2.1", "v2.3.2"), "G5"),
}
OWN = [*(f"COS07{number}" for number in range(10)), "COS120", "COS121", "COS122", "COS123", "COS220"]
# The releases say `permsisions` in 08_boot_assessment.yaml, which no yip reads; v1.3.0 has a key twice.
TOLD = {
    **{tag: {"COS078"} for tag in ("v0.9.7", "v0.10.0", "v0.10.7", "v0.11.1", "v1.0.0", "v1.1.8")},
    "v1.3.0": {"COS071"},
}

pytestmark = pytest.mark.skipif(REAL is None, reason="COSINSPECT_REAL_FILES names no folder of real files")


def files(tag):
    found = {}
    for folder in (
        "packages/cloud-config/oem",
        *(f"pkg/features/embedded/{name}/system/oem" for name in FEATURES),
    ):
        for path in sorted((TOP / tag / folder).glob("*.yaml")):
            found[f"system/oem/{path.name}"] = File(path.read_bytes(), mode=0o600)
    return found


# Some releases render these from templates, which are not among their files.
RENDERED = {"00_rootfs.yaml", "05_network.yaml", "06_recovery.yaml"}
FEATURES = ("cloud-config-defaults", "cloud-config-essentials", "boot-assessment")


# Where the layout is not rendered from a template.
WITH_LAYOUT = {
    tag
    for tag, generation in GENERATIONS.items()
    if generation in {"G1", "G3", "G4"} and "system/oem/00_rootfs.yaml" in files(tag)
} or {"none"}


def derivative_with(tag):
    generation = GENERATIONS[tag]
    parts = parts_of(generation, "amd64")
    real = files(tag)
    rendered = set() if "system/oem/00_rootfs.yaml" in real else RENDERED
    for name in [name for name in parts.packages if name.startswith("system/oem/")]:
        if name.rpartition("/")[2] not in rendered:
            del parts.packages[name]
    # The datasource is in a file of the release that is rendered; the derivative has it in another.
    parts.packages |= {f"{name[:-5]}_real.yaml" if rendered else name: file for name, file in real.items()}
    return derivative_of(parts)


@pytest.mark.parametrize("tag", GENERATIONS)
def test_the_cloud_configs_of_a_release_are_in_order(tmp_path, tag):
    assert files(tag)
    found = inspect(derivative_with(tag).write_layout(tmp_path))

    own = [each for each in found.results if each.check in OWN]
    assert [] == [(each.check, each.reason) for each in own if each.kind is Kind.OPEN]
    assert TOLD.get(tag, set()) == {each.check for each in own if each.kind is Kind.FAIL}


@pytest.mark.parametrize("tag", sorted(WITH_LAYOUT))
def test_the_layout_of_a_release_is_that_of_an_ordinary_boot(tmp_path, tag):
    """In recovery the persistent partition is not mounted; that step's condition does not hold in an ordinary boot."""
    found = inspect(derivative_with(tag).write_layout(tmp_path))
    seen = [line for each in found.results if each.check in {"COS070", "COS073"} for line in each.evidence]
    assert any("00_rootfs.yaml" in line for line in seen)


def test_no_condition_of_the_toolkits_is_taken_as_the_same_on_every_machine():
    """Each asks for something that machines differ in: a condition that never holds would be a step that nobody needs."""
    conditions = set()
    for path in Path(REAL).rglob("*.yaml"):
        for line in path.read_text(errors="replace").splitlines():
            name, _, text = line.strip().removeprefix("- ").partition(": ")
            if name == "if" and text[:1] in {"'", '"'}:
                conditions.add(text.partition(" #")[0].strip()[1:-1])
    assert len(conditions) > 40
    assert {None} == {holds(condition) for condition in conditions}
