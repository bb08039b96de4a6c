"""What real binaries made of 29 kinds of tree: the capability `iso` says the same, and the effect says whether the build or the boot fails."""

import pytest

from accuracy.builds import BUILDERS, BUILDS
from cosinspect.inspection.inspection import inspect
from cosinspect.profiles.operations import needs_of
from cosinspect.report.report import Capability, Effect, Kind, Status
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of


def report_of(build, generation, directory):
    parts = parts_of(generation, "amd64")
    build.change(parts)
    return inspect(derivative_of(parts).write_layout(directory))


def prevents(report):
    """The checks that say that no ISO can be made."""
    rows = [
        need
        for need in needs_of(report.generation)
        if Capability.ISO in need.operations and need.effect is Effect.FAILS
    ]
    failed = [
        each for each in report.results if each.kind is Kind.FAIL and Capability.ISO in each.capabilities
    ]
    return [each.check for each in failed if any(row.is_of(each.check, each.capabilities) for row in rows)]


@pytest.mark.parametrize("generation", BUILDERS)
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name.replace("/", "|"))
def test_an_iso_is_made_where_the_binary_made_one(build, generation, tmp_path):
    report = report_of(build, generation, tmp_path)
    found = report.capabilities[Capability.ISO]
    made = generation in build.made

    assert made == (prevents(report) == []), prevents(report)
    assert (Status.YES if made and generation in build.boots else Status.NO) is found.status, found
    if found.status is Status.NO:
        assert (Effect.BROKEN if made else Effect.FAILS) is found.effect


def test_there_are_rows_of_both_kinds_for_every_builder():
    for generation in BUILDERS:
        made = [generation in build.made for build in BUILDS]
        assert any(made)
        assert not all(made)
