"""The table of operations and the catalogue say the same: no row without a check, no check of an operation without a row."""

from typing import get_args

import pytest

from cosinspect import inspect
from cosinspect.checks import CATALOGUE, find_check
from cosinspect.errors import InvalidProfile
from cosinspect.profiles.operations import needs_of, operations, read_operations
from cosinspect.report.report import Capability, Level, Status
from cosinspect.testing.derivative.image import derivative
from cosinspect.testing.derivative.toolkit_files import GenerationName

ROWS = operations()
GENERATIONS = sorted(get_args(GenerationName))
"""Those that the small derivative is made of; there are rows for more kinds of image."""
OPERATIONS = sorted({capability for need in ROWS for capability in need.operations}, key=str)


def named(need):
    return f"{need.operations[0].value}-{need.generations[0]}-{need.need[:40]}"


@pytest.mark.parametrize("need", ROWS, ids=named)
def test_every_row_is_looked_at_by_checks_that_there_are(need):
    assert need.source
    assert need.need.endswith(".")
    assert need.boots or need.checks or need.needs, "a row that nobody looks at makes its operations unknown"
    for check in (*need.checks, *need.without):
        assert find_check(check) is not None, check


@pytest.mark.parametrize("need", [need for need in ROWS if need.decides], ids=named)
def test_what_a_row_loses_its_checks_decide(need):
    for name in need.checks:
        check = find_check(name)
        assert set(need.operations) <= set(check.capabilities), (name, need.operations)


@pytest.mark.parametrize("check", CATALOGUE, ids=lambda check: check.id)
def test_every_operation_that_a_check_decides_has_a_row_that_names_it(check):
    rows = {
        capability
        for need in ROWS
        if need.decides and need.is_of(check.id, check.capabilities)
        for capability in need.operations
    }
    alone = {Capability.BOOT, Capability.VERIFY}
    assert set(check.capabilities) - alone <= rows, (
        f"{check.id} decides what no row of operations.toml names it for"
    )


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_operation_with_rows_is_looked_at_for_every_generation_that_has_them(generation, tmp_path):
    found = inspect(derivative(generation=generation).write_layout(tmp_path))

    for capability in {each for need in needs_of(generation) for each in need.operations}:
        result = found.capabilities[capability]
        assert Status.YES == result.status, (capability, result)
        assert result.because


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("generation", ["G0", "G1", "G2", "G3", "G4", "G5"])
def test_a_good_derivative_can_do_everything(generation, architecture, tmp_path):
    found = inspect(derivative(generation=generation, architecture=architecture).write_layout(tmp_path))

    lacks = {name.value: each for name, each in found.capabilities.items() if each.status is not Status.YES}
    assert {} == lacks
    assert "assuming that the machine runs this image" == found.capabilities[Capability.UPGRADE].assuming


@pytest.mark.parametrize("generation", ["kairos", "bootc"])
def test_of_what_has_no_rows_it_is_said_that_it_is_not_known(generation, tmp_path):
    found = inspect(derivative(generation=generation).write_layout(tmp_path))

    for capability in (Capability.RECOVERY, Capability.ISO, Capability.AWS, Capability.GCP):
        result = found.capabilities[capability]
        assert Status.UNKNOWN == result.status
        assert ("the needs are not known for this kind of image",) == result.unknown


@pytest.mark.parametrize(
    "text",
    [
        "need = 1",
        "[[need]]\noperations = []\ngenerations = ['G2']\nneed = 'x.'\neffect = 'fails'\nsource = 's'",
        "[[need]]\noperations = ['iso']\ngenerations = []\nneed = 'x.'\neffect = 'fails'\nsource = 's'",
        "[[need]]\noperations = ['fly']\ngenerations = ['G2']\nneed = 'x.'\neffect = 'fails'\nsource = 's'",
        "[[need]]\noperations = ['iso']\ngenerations = ['G2']\nneed = 'x.'\neffect = 'perhaps'\nsource = 's'",
        "[[need]]\noperations = ['iso']\ngenerations = ['G2']\nneed = ' '\neffect = 'fails'\nsource = 's'",
        "[[need]]\noperations = ['iso']\ngenerations = ['G2']\nneed = 'x.'\neffect = 'fails'\nsource = 's'\nmore = 1",
        "[[need",
    ],
)
def test_a_malformed_table_is_refused(text):
    with pytest.raises(InvalidProfile):
        read_operations(text)


def test_the_levels_of_checks_that_cost_boot_or_install_are_errors():
    """What costs only other operations may be a warning: it changes no verdict that does not ask for them."""
    for check in CATALOGUE:
        if {Capability.BOOT, Capability.INSTALL} & set(check.capabilities):
            assert Level.ERROR is check.level, check.id
