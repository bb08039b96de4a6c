"""Attacks on time and memory, with the default limits: each ends in its time, under 1 GiB, in a status that says what it is.

Time is the processor's, memory what was resident. The few that cost little are in the normal run, all of them under
`-m modules`; `python -m tests.hostile.measure` prints the same.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from attacks import ATTACKS
from measure import GRACE, MOST_MEBIBYTES, run

SECONDS = 10.0
CHEAP = (
    "one layer of 100,000 entries, 200 times",
    "YAML: 20 files of aliases of aliases",
    "a manifest of 4 MiB, nested",
)


def assert_bounded(name, place):
    found = run(name, place, SECONDS)
    assert found.status in (0, 1, 3), found
    assert found.mebibytes < MOST_MEBIBYTES, found
    assert found.seconds <= SECONDS + GRACE, found


def test_the_page_has_attacks_that_there_are_and_none_that_is_not_bounded():
    page = (Path(__file__).parents[2] / "docs/limits.md").read_text().partition("<!-- attacks -->")[2]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    assert {row[1] for row in rows} <= ATTACKS.keys()
    assert all(float(row[2]) <= SECONDS + GRACE and int(row[3]) < MOST_MEBIBYTES for row in rows)


@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_attack_is_bounded(name, tmp_path):
    assert_bounded(name, tmp_path)


@pytest.mark.modules
@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {*CHEAP}))
def test_an_attack_is_bounded(name, tmp_path):
    assert_bounded(name, tmp_path)
