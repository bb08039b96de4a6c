"""Whatever the text: the YAML and luet.yaml readers end, and raise nothing but FormatError."""

import contextlib
import json

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.luet.config import database_paths, parse_config, parse_repository
from cosinspect.formats.text.yaml import load_yaml
from cosinspect.limits import DEFAULT_LIMITS

WORDS = r"""a b 1 0x : ? - [ ] { } , & * &a *a << <<: ! !!int !!binary | > ' " # % --- ... ~ = @ ` \ system: repositories:"""
FRAGMENTS = st.sampled_from([*WORDS.split(), "\n", "\t", "\n  ", ": ", "- ", "\n- ", "\na: "])


@settings(deadline=None, max_examples=400)
@given(
    st.one_of(st.text(max_size=200), st.binary(max_size=200), st.lists(FRAGMENTS, max_size=40).map("".join))
)
def test_arbitrary_text_raises_only_format_errors(text):
    for read in (load_yaml, parse_config, parse_repository):
        with contextlib.suppress(FormatError):
            read(text)


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8), inner, max_size=4
        ),
    ),
    max_leaves=15,
)


@settings(deadline=None, max_examples=200)
@given(JSON_VALUES)
def test_json_is_yaml(value):
    assert value == load_yaml(json.dumps(value))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["&a ", "*a", "&b ", "*b", "[", "]", ",", "x"]), max_size=60).map("".join))
def test_what_is_given_is_never_larger_than_the_limit(text):
    limit = 40
    try:
        value = load_yaml(text, limits=evolve(DEFAULT_LIMITS, parsed_file_bytes=limit))
    except FormatError:
        return
    pending, characters = [value], 0
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, str):
            characters += len(part)
    assert characters <= limit


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40), st.text(max_size=40))
def test_places_are_absolute_and_clean(rootfs, directory):
    config = evolve(parse_config(""), rootfs=rootfs, database_path=directory)

    for path in database_paths(config, {}):
        components = path.split("/")
        assert components[0] == ""
        assert components[-1] == "luet.db"
        assert not {"", ".", ".."} & set(components[1:])
