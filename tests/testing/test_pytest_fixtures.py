"""The fixtures for other people's tests, in a run of pytest as they have it."""

import pytest

CONFTEST = 'pytest_plugins = ["cosinspect.testing.pytest"]\n'
TESTS = """
import urllib.request

import pytest

from cosinspect import inspect
from cosinspect.testing import Whiteout


def test_a_good_one_passes(cosinspect_image, cosinspect_derivative):
    assert inspect(cosinspect_image(cosinspect_derivative())).passed
    assert cosinspect_derivative() is cosinspect_derivative()


def test_without_kernel(cosinspect_image, cosinspect_derivative):
    report = inspect(cosinspect_image(cosinspect_derivative(top={"boot/vmlinuz": Whiteout()}, generation="G4")))
    assert not report.passed


def test_entries(cosinspect_image, cosinspect_registry):
    name = cosinspect_image({"etc/motd": "hello"})
    assert name.startswith(cosinspect_registry.address)
    assert not inspect(name).passed


def test_a_typing_mistake(cosinspect_derivative):
    with pytest.raises(ValueError, match="did you mean"):
        cosinspect_derivative("kernel-danglin")
"""

pytest_plugins = ["pytester"]


def test_they_work_where_they_are_asked_for(pytester: pytest.Pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)

    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_nobody_gets_them_unasked(pytester: pytest.Pytester):
    pytester.makepyfile("def test(cosinspect_registry): pass")

    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)
