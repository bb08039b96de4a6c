"""YAML as go-yaml v2 reads it; the scalars and structures were confirmed by running gopkg.in/yaml.v2 2.4.0."""

import math

import pytest
from attrs import evolve

from cosinspect.errors import FormatError
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem
from cosinspect.formats.text.yaml import YAML_DEPTH, load_yaml, parse_yaml
from cosinspect.limits import DEFAULT_LIMITS


def fault(text: str | bytes, **options) -> FormatError:
    with pytest.raises(FormatError) as raised:
        load_yaml(text, **options)
    return raised.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("yes", True),
        ("On", True),
        ("y", True),
        ("NO", False),
        ("off", False),
        ("yEs", "yEs"),
        ("0", 0),
        ("0644", 0o644),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("08", 8.0),
        ("+12", 12),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("99999999999999999999", 1e20),
        ("1.5", 1.5),
        (".5", 0.5),
        ("._5", "._5"),
        ("1e3", 1000.0),
        ("1e400", "1e400"),
        ("-.inf", -math.inf),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("10:20", "10:20"),
        ("2001-01-01", "2001-01-01"),
        ("'yes'", "yes"),
        ('"1"', "1"),
        ("|\n 1\n", "1\n"),
        ("!!str 1", "1"),
        ('!!int "5"', 5),
        ("!!float 1", 1.0),
        ("! 5", "5"),
        ("!foo 5", "5"),
        ("!!binary aGVsbG8=", "hello"),
    ],
)
def test_scalars_are_those_of_go_yaml(text, value):
    found = load_yaml(text)

    assert (type(value), value) == (type(found), found)


def test_not_a_number_is_a_float():
    assert math.isnan(load_yaml(".nan"))


def test_collections_are_lists_and_dicts_with_text_keys():
    assert load_yaml("a: [1, {b: }]\non:\n- 2\n1: x\n~: z\n") == {
        "a": [1, {"b": None}],
        "on": [2],
        "1": "x",
        "~": "z",
    }


@pytest.mark.parametrize(
    "text", ["a: \xe9", "a: \xe9".encode(), "\ufeffa: \xe9".encode(), "a: \xe9".encode("utf-16")]
)
def test_text_and_its_encodings_are_the_same_document(text):
    assert load_yaml(text) == {"a": "\xe9"}


def test_the_last_of_repeated_keys_counts_and_is_told():
    document = parse_yaml("a: 1\nb: 2\na: 3\n")

    assert document.value == {"a": 3, "b": 2}
    assert document.problems == (Problem("repeated-key", "the key 'a' is repeated, the last one counts", 3),)


@pytest.mark.parametrize("rest", ["---\nb: 2\n", "--- [\n", "...\n}\n"])
def test_only_the_first_document_is_read(rest):
    document = parse_yaml(f"a: 1\n{rest}")

    assert document.value == {"a": 1}
    assert [problem.kind for problem in document.problems] == ["further-document"]


def test_problems_are_not_kept_without_end():
    assert len(parse_yaml("a: 1\n" * 1000).problems) == MAX_PROBLEMS


def test_aliases_stand_for_their_node():
    assert load_yaml("a: &x [1]\nb: *x\nc: &k name\n? *k\n: 2\n") == {
        "a": [1],
        "b": [1],
        "c": "name",
        "name": 2,
    }


def test_merged_keys_give_way_to_those_of_the_mapping_and_of_earlier_ones():
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 0}\n'<<': text\n"

    assert load_yaml(text)["z"] == {"a": 0, "b": 2, "c": 4}
    assert load_yaml(text)["<<"] == "text", "quoted it is a key like any other"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("syntax", "a: b: c"),
        ("syntax", "\tx"),
        ("syntax", "[1, 2"),
        ("syntax", "a\x00b"),
        ("syntax", "a:\n- b\n-c"),
        ("encoding", b"a: \xff"),
        ("encoding", b"\xff\xfea"),
        ("encoding", "\ud800"),
        ("alias", "*x"),
        ("cycle", "&a [*a]"),
        ("cycle", "&a {b: {c: *a}}"),
        ("cycle", "- &a x\n- &a [*a]"),
        ("key", "[a]: 1"),
        ("key", "? {a: 1}\n: 2"),
        ("key", "a: &x [1]\n? *x\n: 2"),
        ("merge", "<<: 5"),
        ("merge", "<<: [{a: 1}, 2]"),
        ("scalar", "!!int 1.5"),
        ("scalar", "!!bool x"),
        ("scalar", "!!binary '*'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_kind(kind, text):
    assert kind == fault(text).kind


def test_a_fault_is_told_with_line_and_column():
    assert fault("a: 1\nb: *x\n").where == "line 2, column 4"
    assert fault("a: 1\nb: [\n").where == "line 3, column 1"


def test_no_tag_makes_an_object():
    assert load_yaml("!!python/object/apply:os.system [x]") == ["x"]
    assert load_yaml("!!python/name:os.system x") == "x"


# Limits


def test_text_beyond_the_limit_is_refused():
    small = evolve(DEFAULT_LIMITS, parsed_file_bytes=10)

    assert load_yaml("a: 4567890", limits=small) == {"a": 4567890}
    assert fault("a: 45678901", limits=small).kind == "limit"


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "[[a], "])
def test_nesting_beyond_the_limit_is_refused(opening):
    assert fault(opening * 1_000_000).kind == "depth"


def test_nesting_up_to_the_limit_is_read():
    assert load_yaml("[" * YAML_DEPTH + "]" * YAML_DEPTH) is not None
    assert fault("[" * (YAML_DEPTH + 1) + "]" * (YAML_DEPTH + 1)).kind == "depth"


def test_nesting_through_aliases_counts():
    half = YAML_DEPTH // 2
    text = f"- &a {'[' * half}{']' * half}\n- "

    assert load_yaml(text + "[" * (half - 1) + "*a" + "]" * (half - 1)) is not None
    assert fault(text + "[" * half + "*a" + "]" * half).kind == "depth"


def test_more_nodes_than_the_limit_are_refused():
    assert fault("- a\n" * DEFAULT_LIMITS.yaml_nodes).kind == "limit"


def test_aliases_cannot_multiply_nodes():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert fault("\n".join(lines)).kind == "limit"


def test_aliases_cannot_multiply_text():
    assert fault("a: &a " + "x" * 100_000 + "\nb: [" + "*a," * 1000 + "]").kind == "limit"


def test_merged_keys_cannot_multiply():
    lines = [
        f"m0: &m0 {{{', '.join(f'k{n}: 1' for n in range(1000))}}}",
        *[f"n{n}: {{<<: *m0}}" for n in range(1000)],
    ]

    assert fault("\n".join(lines)).kind == "limit"
