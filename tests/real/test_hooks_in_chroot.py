"""The hooks of real releases that run in the new root: what they call is asked for, and costs no capability where it is missing."""

from pathlib import Path

import pytest

from accuracy.judges import REAL_FILES
from cosinspect import inspect
from cosinspect.report.report import Level, Status
from cosinspect.testing.derivative import derivative_of
from real.trees import laid_over, releases

RELEASES = [each for each in releases(Path(REAL_FILES)) if "/v2." in each.name] if REAL_FILES else []
# The first release that has the hook of boot assessment.
SINCE = "elemental-toolkit/v2.1"


@pytest.mark.skipif(REAL_FILES is None, reason="COSINSPECT_REAL_FILES names no folder of real files")
@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_hook_that_calls_grep_is_told_where_the_image_has_none(tmp_path, release):
    """Boot assessment calls `grep` in the new root; without it the shell takes its failure for `not found` and writes the line again."""
    parts = laid_over(release)
    whole = inspect(derivative_of(parts).write_layout(tmp_path / "whole"))
    del parts.base["usr/bin/grep"]
    without = inspect(derivative_of(parts).write_layout(tmp_path / "without"))

    def hooks(report):
        return next(result for result in report.results if result.check == "COS213")

    assert () == hooks(whole).findings
    assert (release.name >= SINCE) == bool(hooks(without).findings)
    assert Level.WARNING is hooks(without).level
    assert {Status.YES} == {each.status for each in without.capabilities.values()}
