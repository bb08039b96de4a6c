"""The stages of the boot: what is behind a failed stage is not reached, whatever its checks say."""

import pytest

from cosinspect.report.boot_chain import StageState, stage_states
from cosinspect.report.results import Kind

PASS, FAIL, OPEN, NONE = Kind.PASS, Kind.FAIL, Kind.OPEN, Kind.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("stages", "states"),
    [
        ([{PASS}, {PASS, NONE}], "pass pass"),
        ([{PASS}, {FAIL, OPEN, PASS}, {PASS}, {OPEN}], "pass fail notReached notReached"),
        ([{OPEN, PASS}, {PASS}, {FAIL}], "open pass fail"),
        ([{FAIL}, {FAIL}], "fail notReached"),
        ([{FAIL}, set(), {NONE}], "fail notApplicable notApplicable"),
        ([], ""),
    ],
)
def test_a_stage_is_reached_if_no_earlier_one_fails(stages, states):
    assert [StageState(word) for word in states.split()] == list(stage_states(stages))
