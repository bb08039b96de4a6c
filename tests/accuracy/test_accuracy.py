"""Every mutation is caught by the right check with the right capability, and nothing else is said; no variation raises an alarm."""

from collections import Counter
from pathlib import Path

import pytest

from accuracy import judges
from accuracy.cases import ELSEWHERE, GENERATIONS, ISSUES, KINDS, SOURCES, mutations, variations
from accuracy.measure import RIGHT, Outcome, judge, table
from cosinspect.checks import CATALOGUE
from cosinspect.report.report import Capability
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS

MUTATIONS, VARIATIONS = mutations(), variations()
PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"


def named(case):
    return f"{case.generation}-{case.name}".replace("/", "|")


@pytest.mark.parametrize("case", MUTATIONS, ids=named)
def test_a_mutation_is_caught_by_the_right_check_alone(case):
    outcome = judge(case)
    assert RIGHT[0] == outcome.verdict, (case.check, outcome.failed, outcome.lost)


@pytest.mark.parametrize("case", VARIATIONS, ids=named)
def test_a_variation_raises_no_alarm(case):
    outcome = judge(case)
    assert RIGHT[1] == outcome.verdict, outcome.failed


def test_there_are_enough_of_both_and_none_twice():
    assert len({case.name for case in MUTATIONS}) >= 120
    assert len(VARIATIONS) >= 60
    assert 1 == max(Counter(named(case) for case in (*MUTATIONS, *VARIATIONS)).values())
    assert set(KINDS) == {case.generation for case in MUTATIONS} == {case.generation for case in VARIATIONS}


def test_cases_name_what_there_is():
    known, capabilities = {item.id for item in CATALOGUE}, {each.value for each in Capability}
    assert all(case.check in known and case.loses and case.loses <= capabilities for case in MUTATIONS)
    assert {kind for kind, _ in ELSEWHERE} | ISSUES.keys() | SOURCES.keys() <= {
        **BREAKAGES,
        **DEGRADATIONS,
    }.keys()
    assert {generation for _, generation in ELSEWHERE} <= set(GENERATIONS)


def test_the_page_has_the_table_and_every_issue():
    """The table as it is while the tests above pass."""
    outcomes = [
        Outcome(case, RIGHT[0 if case.check else 1], (), frozenset()) for case in (*MUTATIONS, *VARIATIONS)
    ]
    page = PAGE.read_text()
    assert "\n".join(table(outcomes)) in page
    every = {**BREAKAGES, **DEGRADATIONS}
    for kind, issue in ISSUES.items():
        assert f"| {issue} | {every[kind].summary} | {every[kind].check} |" in page


def test_the_page_has_a_row_for_every_judge():
    """Folders of others may have more rows than those that were there when the page was written."""
    page = PAGE.read_text()
    own = [each for each in judges.judges() if each.name not in ("files of releases", "reports of others")]
    for row in judges.table(own):
        assert row in page
    assert page.count("\n| files of releases |") == page.count("\n| reports of others |") == 1
