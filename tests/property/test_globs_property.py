"""Globs held to other readers of the same dialect: `fnmatch` for names and components, `glob` in a real directory for paths."""

import fnmatch
import glob
import itertools
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.globs import alternatives, component_expression, name_matches, path_expression

TEXT = st.text(alphabet="ab-![]^*?\\&~|.\n", max_size=8)
NAMES = ("a", "b", "ab", ".a", "a.b", "[a]", "a\nb", "{a,b}")


@given(TEXT, TEXT)
def test_a_component_means_what_it_means_to_fnmatch(pattern, name):
    expected = re.fullmatch(fnmatch.translate(pattern), name) is not None
    assert expected == (re.fullmatch(component_expression(pattern), name) is not None)
    assert (expected or name == pattern) == name_matches(name, pattern)


@given(st.text(alphabet="ab/*?[]!", max_size=8), st.text(alphabet="ab/", max_size=8))
def test_a_slash_is_a_character_of_a_name(pattern, name):
    assert (fnmatch.fnmatchcase(name, pattern) or name == pattern) == name_matches(name, pattern)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    top = tmp_path_factory.mktemp("tree")
    for above, name in itertools.product(("", "a/", "a/b/", "ab/.a/"), NAMES):
        path = top / above / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("") if name not in ("a", "b", "ab") else path.mkdir()
    return top


COMPONENTS = st.sampled_from(["a", "b", "*", "?", "a*", "*b", "[ab]", "[!a]", "**", ".a", "[[]a]", "*.*"])


@given(st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join))
def test_a_path_matches_where_a_real_directory_has_it(tree, pattern):
    found = glob.glob(pattern, root_dir=tree, recursive=True, include_hidden=True)  # noqa: PTH207 - Path.glob has another dialect
    expected = {os.path.normpath(each) for each in found} - {"."}
    names = {
        os.path.relpath(os.path.join(top, name), tree)  # noqa: PTH118
        for top, directories, files in os.walk(tree)
        for name in (*directories, *files)
    }
    matching = {each for each in names if re.fullmatch(path_expression(pattern), each)}
    # `a/**` is the directory itself to `glob`; a component has nothing of that.
    assert matching <= expected
    assert {each for each in expected - matching if not pattern.endswith("**")} == set()


@given(TEXT)
def test_braces_are_choices(text):
    plain = text.replace(",", "")
    assert alternatives("x{" + plain + ",b}y") == tuple(dict.fromkeys(["x" + plain + "y", "xby"]))


def test_braces_as_bash_expands_them():
    assert alternatives("{a,b}{c,d}") == ("ac", "ad", "bc", "bd")
    assert alternatives("{a,{b,c}}d") == ("ad", "bd", "cd")
    assert alternatives("{a}") == ("{a}",)
    assert alternatives("{a,b") == ("{a,b",)
    assert alternatives("a,b}") == ("a,b}",)
    assert alternatives("{etc,usr/lib}/x") == ("etc/x", "usr/lib/x")


def test_no_glob_takes_long():
    started = time.process_time()
    assert not name_matches("a" * 4000, "*a" * 12 + "b")
    assert not re.fullmatch(path_expression("*a" * 12 + "b"), "a" * 4000)
    assert len(alternatives("{a,b}" * 30)) == 1
    assert time.process_time() - started < 2


@pytest.mark.parametrize("name", ["]", "!", "a", "b"])
@pytest.mark.parametrize("pattern", ["[!]]", "[]]", "[!]a]", "[]!]", "[!!]"])
def test_a_bracket_first_in_a_set_is_a_member_as_in_fnmatch(pattern, name):
    assert fnmatch.fnmatchcase(name, pattern) == name_matches(name, pattern)
