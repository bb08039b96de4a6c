"""Environment files; values and refusals were confirmed by running github.com/subosito/gotenv 1.2.0."""

import pytest

from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.problem import MAX_CHARACTERS


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=", ""),
        ("A=x", "x"),
        ("  A  =  x y  ", "x y"),
        ("export A=x", "x"),
        ("A: x", "x"),
        ("A='x # y'", "x # y"),
        ('A="x # y" # z', "x # y"),
        ("A=x # y", "x"),
        ("A=x#y", "x"),
        ('A="x"y', '"x"y'),
        ("A='x' # 'y'", "x' # 'y"),
        (r'A="a\nb\"c\\d"', 'a\nb"c\\d'),
        (r"A='a\nb'", r"a\nb"),
        (r"A=a\nb", r"a\nb"),
        ("A=x\r", "x"),
        ("A=a=b", "a=b"),
        ("A='$B'", "$B"),
        (r"A=\$B", "$B"),
        ("A=$UNSET|${UNSET}|", "||"),
        ("A=$b", "$b"),
        ('A="x', '"x'),
        ("A='", "'"),
    ],
)
def test_a_value_is_read_as_gotenv_reads_it(line, value):
    assert {"A": value} == dict(read_env_file(line + "\n").values)


def test_a_variable_of_before_is_put_in():
    assert "1-1-" == read_env_file("A=1\nB=$A-${A}-$C\nC=2\n").values["B"]


def test_the_last_assignment_counts_and_comments_do_not():
    found = read_env_file("\ufeff# comment\n\nA=1\n  # A=2\nA=3\n")
    assert ({"A": "3"}, ()) == (dict(found.values), found.problems)


def test_os_release_of_an_image_is_read():
    text = (
        'NAME="cOS"\nVERSION_ID=0.8.2-1\nGRUB_ENTRY_NAME="cOS 0.8"\nHOME_URL="https://example.test/?a=b#c"\n'
    )
    found = read_env_file(text)
    assert () == found.problems
    assert ("cOS 0.8", "https://example.test/?a=b#c") == (
        found.values["GRUB_ENTRY_NAME"],
        found.values["HOME_URL"],
    )


@pytest.mark.parametrize("line", ["A", "A B=1", "A-B=1", "A:1", "=1", "export A", "<xml>", "A B"])
def test_a_line_that_gotenv_refuses_is_a_syntax_problem(line):
    found = read_env_file(f"X=1\n{line}\nY=2\n")
    assert [("syntax", 2)] == [(problem.kind, problem.line) for problem in found.problems]
    assert {"X": "1", "Y": "2"} == dict(found.values)


@pytest.mark.parametrize("line", ['A="x', "A='x", 'A="', "A=\"x'"])
def test_a_quote_without_its_other_end_is_a_problem_of_its_own(line):
    assert ["quote"] == [problem.kind for problem in read_env_file(line).problems]


def test_nothing_is_read_from_a_line_that_is_too_long_on():
    found = read_env_file("A=1\nB=" + "x" * 65536 + "\nC=3\n")
    assert ({"A": "1"}, [("length", 2)]) == (
        dict(found.values),
        [(problem.kind, problem.line) for problem in found.problems],
    )


def test_values_that_grow_without_end_are_a_problem():
    found = read_env_file("A=xxxxxxxx\n" + "A=$A$A\n" * 40)
    assert {"limit"} == {problem.kind for problem in found.problems}
    assert 8 * 1024 * 1024 > len(found.values["A"])


def test_a_text_that_is_too_long_is_a_problem():
    assert "limit" in [problem.kind for problem in read_env_file("A=1\n" * MAX_CHARACTERS).problems]
