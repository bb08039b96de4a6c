"""Fingerprints are data that is checked when it is read: every generation has one, and what is malformed is refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.errors import InvalidProfile
from cosinspect.profiles import generation_tables
from cosinspect.profiles.fingerprints import fingerprints, read_fingerprints
from cosinspect.profiles.tables import read_generations

TABLE = '[[fingerprint]]\ngeneration = "G1"\n'


def test_every_generation_has_a_fingerprint():
    assert set(generation_tables()) == {each.generation for each in fingerprints().fingerprint}


def test_files_that_are_read_are_named_without_a_slash():
    assert {"etc/os-release", "etc/kairos-release"} <= set(fingerprints().files)
    assert not any(path.startswith("/") for path in fingerprints().files)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fingerprint = 3", "malformed"),
        ('[[fingerprint]]\ngeneration = "G9"\nall = [{ path = "/a" }]', "there is no generation 'G9'"),
        (TABLE, "no condition that must hold"),
        (TABLE + 'none = [{ path = "/a" }]', "no condition that must hold"),
        (TABLE + "all = [{}]", "names one thing, found nothing"),
        (TABLE + 'all = [{ words = "x" }]', "names one thing, found nothing"),
        (TABLE + 'all = [{ path = "/a", link = "/b" }]', "names one thing, found path and link"),
        (TABLE + 'all = [{ path = "/a", more = "/b" }]', "malformed"),
        (TABLE + 'all = [{ text = "a" }]', "names no files to look for text in"),
        (TABLE + 'all = [{ setting = "A" }]', "names no files to look for setting in"),
        (TABLE + 'all = [{ trace = "a" }]', "there are no traces 'a'"),
        (TABLE + 'all = [{ trace = "a" }]\n[traces]\na = [{ trace = "a" }]', "there are no traces 'a'"),
        (TABLE + 'all = [{ files_of = "mine" }]', "malformed"),
    ],
)
def test_a_malformed_fingerprint_is_refused(text, said):
    with pytest.raises(InvalidProfile) as refused:
        read_fingerprints(text, generation_tables())

    assert said in str(refused.value)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for read in (lambda: read_fingerprints(text, {}), lambda: read_generations(text)):
        with pytest.raises(InvalidProfile):
            read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[A]", "malformed"),
        ('[A]\ntitle = "a"\nfamily = "toolkit"', "one table with usual = true"),
        ('[A]\ntitle = "a"\nfamily = "other"\nusual = true', "malformed"),
        ('[A]\ntitle = "a"\nfamily = "toolkit"\nusual = true\nmore = 1', "malformed"),
        ('[A]\ntitle = "a"\nfamily = "toolkit"\nusual = true\noperations = ["B"]', "no generation 'B'"),
    ],
)
def test_a_malformed_table_is_refused(text, said):
    with pytest.raises(InvalidProfile) as refused:
        read_generations(text)

    assert said in str(refused.value)
