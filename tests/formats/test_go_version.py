"""Versions are ordered as go-version orders them; the expected values are those of its own tests (version_test.go)."""

import pytest

from cosinspect.formats.text.go_version import go_version


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.7rc2", "1.7"),
        ("1.7rc1", "1.7rc2"),
        ("1.2-beta.1", "1.2-beta.2"),
        ("1.2-beta.2", "1.2-beta.11"),
        ("1.2-beta", "1.2-beta.3"),
        ("1.2-alpha.3", "1.2-beta"),
        ("3.0-alpha.3", "3.0-rc.1"),
        ("3.0-alpha3", "3.0-rc1"),
        ("3.0-alpha.1", "3.0-alpha.beta"),
        ("5.4-alpha.beta", "5.4-alpha"),
        ("v3.2-rc.2", "v3.2-rc.1-1-g123"),
    ],
)
def test_prereleases_are_ordered_as_go_version_does(lower, higher):
    assert go_version(lower) < go_version(higher)
    assert not go_version(higher) < go_version(lower)
