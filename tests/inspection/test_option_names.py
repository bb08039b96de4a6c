"""The keywords of `inspect`: a wrong one is named before any work."""

import pytest
from attrs import fields

from cosinspect import Options, inspect
from cosinspect.inspection.options import Keywords


def test_every_option_is_a_keyword():
    assert {each.name for each in fields(Options)} == Keywords.__annotations__.keys() - {
        "timeout",
        "plain_http",
        "docker_config",
    }


def test_a_wrong_keyword_is_named_with_the_one_that_is_meant():
    with pytest.raises(TypeError, match="there is no option profil; did you mean profile"):
        inspect("oci:/nowhere", profil="boot")
    with pytest.raises(TypeError, match="there is no option colour; known are access, "):
        inspect("oci:/nowhere", colour=True)


def test_an_option_needs_its_name():
    with pytest.raises(
        TypeError, match="expected options, found 'boot'; a single option has a name: profile='boot'"
    ):
        inspect("oci:/nowhere", "boot")
