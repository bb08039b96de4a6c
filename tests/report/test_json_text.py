"""JSON of names that are not UTF-8: a strict reader accepts it, and what was put in comes out."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.report.json_text import json_text, restored

# Text as names have it: bytes decoded with surrogate escapes, backslashes and what looks like an escape.
names = st.binary(max_size=8).map(lambda raw: raw.decode("utf-8", "surrogateescape")) | st.sampled_from(
    ["\\xff", "\\\\", "a~b/c", "\\\udcff", "\ud800", "\U0001f600", "\\u1234\udc80"]
)
values = st.recursive(
    names | st.none() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b/c", "~d"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(["x", "y/z"]), values))
def test_a_strict_reader_accepts_it_and_everything_comes_back(document):
    text = json_text(document)

    assert text.isascii()
    assert json.loads(text) == msgspec.json.decode(text)  # msgspec refuses lone surrogates
    assert document == restored(json.loads(text))


def test_only_strings_that_need_it_are_escaped():
    assert {"a": "\\xff", "b": "\\xff", "escaped": ["/b"]} == json.loads(
        json_text({"a": "\\xff", "b": "\udcff"})
    )
    assert {"a": "\\\\\\xff", "escaped": ["/a"]} == json.loads(json_text({"a": "\\\udcff"}))
    assert {"a": "\U0001f600"} == json.loads(json_text({"a": "\U0001f600"}))


def test_each_document_of_a_list_has_its_own_escapes():
    assert [{"a": "\\xff", "escaped": ["/a"]}, {"a": "b"}] == json.loads(
        json_text([{"a": "\udcff"}, {"a": "b"}])
    )


@pytest.mark.parametrize(
    "escaped", ["/a", 1, [1], ["a"], ["/b"], ["/a/0"], ["/list/x"], ["/list/9"], ["/number"]]
)
def test_a_list_of_escapes_that_does_not_fit_is_refused(escaped):
    with pytest.raises(ValueError, match="expected "):
        restored({"a": "x", "list": [], "number": 1, "escaped": escaped})
