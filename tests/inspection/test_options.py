"""Options as one value, and the keywords of `inspect` that stand for them."""

from pathlib import Path

import attrs
import pytest

from cosinspect import DEFAULT_LIMITS, Access, Options, inspect
from cosinspect.errors import LimitExceeded
from cosinspect.inspection.options import Keywords
from cosinspect.testing.derivative import derivative


def test_each_option_is_a_keyword():
    named = {field.name for field in attrs.fields(Options)}
    assert named | {"timeout", "plain_http", "docker_config"} == set(Keywords.__annotations__)


def test_options_and_keywords_say_the_same(tmp_path):
    name = derivative("kernel-removed").write_layout(tmp_path)
    options = Options(profile="boot", only=["COS010"])
    said = [inspect(name, options), inspect(name, profile="boot", only=["COS010"])]
    said.append(inspect(name=name, options=Options(only=["COS020"]), profile="boot", only=["COS010"]))
    results = [(report.profile, report.selected, report.results) for report in said]
    assert results[0] == results[1] == results[2]


def test_keywords_that_stand_for_a_part():
    own = Access(private_addresses=True)
    assert Options().but().access == Access()
    assert Options(access=own).but(plain_http=True).access == Access(private_addresses=True, plain_http=True)
    assert Options(access=own).but(access=None).access == own
    assert Options().but(docker_config="/d", plain_http=True).access == Access(
        auth_files=(Path("/d"),), plain_http=True
    )
    assert Options().but(access=own, plain_http=True).access == own
    assert Options().but(timeout=7).limits == attrs.evolve(DEFAULT_LIMITS, seconds=7)


def test_a_timeout_ends_the_inspection(tmp_path):
    with pytest.raises(LimitExceeded, match="within 0 s"):
        inspect(derivative().write_layout(tmp_path), timeout=0)


def test_an_option_that_there_is_not_is_an_error():
    with pytest.raises(TypeError, match="colour"):
        inspect("oci:/nowhere", colour="red")
