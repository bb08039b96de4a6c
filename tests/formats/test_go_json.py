"""JSON as Go's encoding/json decodes it; each expectation was confirmed by running that."""

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.text.go_json import JSON_DEPTH, decode_json, fold_fields


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\xe2\x82"', "\ufffd\ufffd"),  # one for each byte, where Python puts one for both
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),  # a surrogate in UTF-8
        (b'"\\ud800"', "\ufffd"),
        (b'"\\udc00\\ud800x"', "\ufffd\ufffdx"),
        (b'"\\ud800\\n"', "\ufffd\n"),
        (b'"\\ud800\\ud800\\udc00"', "\ufffd\U00010000"),
        (b'"\\uD83D\\uDE00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'["\\\\", "\\ud800"]', ["\\", "\ufffd"]),
        (b' {"a": [1, null, true]} ', {"a": [1, None, True]}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_text_is_read_as_go_reads_it(data, value):
    assert value == decode_json(data)
    assert value == decode_json(memoryview(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a"}',
        b"01",
        b"1.",
        b"NaN",
        b'"\t"',
        b'"\\q"',
        b"'a'",
        b"[1,]",
        b"{} {}",
        b'"\\ud800',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_go_refuses_is_refused(data):
    with pytest.raises(FormatError) as raised:
        decode_json(data)

    assert raised.value.kind == "json"


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[]" * (depth % 2) + b"]}" * (depth // 2)


def test_nesting_ends_at_the_same_depth_wherever_it_is_called_from():
    assert decode_json(nested(JSON_DEPTH)) is not None
    with pytest.raises(FormatError) as raised:
        decode_json(nested(JSON_DEPTH + 1))

    assert raised.value.kind == "depth"


@pytest.mark.parametrize("data", [b"[" * 1_000_000, b'{"a":' * 1_000_000, nested(1_000_000)])
def test_nesting_without_end_is_refused(data):
    with pytest.raises(FormatError) as raised:
        decode_json(data)

    assert raised.value.kind == "depth"


def test_brackets_in_text_and_side_by_side_are_no_nesting():
    assert decode_json(b'["%s"]' % (b'[{\\"' * 1000)) == ['[{"' * 1000]
    assert decode_json(b"[" + b"[]," * 1000 + b"{}]") == [[]] * 1000 + [{}]


@pytest.mark.parametrize(
    "data", [b'"' + b'\\"' * 200_000, b"[" * 101 + b'"' * 200_001, b'["' + b"\\" * 200_001]
)
def test_open_text_is_looked_at_once(data):
    with pytest.raises(FormatError):
        decode_json(data)


def test_fields_are_found_in_any_case_and_null_leaves_them_alone():
    record = {"Name": "a", "LABELS": {"K": "v"}, "licen\u017fe": "MIT", "\u212aind": "k", "version": None}

    assert fold_fields(record) == {"name": "a", "labels": {"K": "v"}, "license": "MIT", "kind": "k"}


def test_the_last_spelling_of_a_field_counts_unless_it_is_null():
    assert fold_fields({"name": "a", "NAME": "b", "Name": None}) == {"name": "b"}
