import pytest

from cosinspect.formats.boot.grub_syntax import (
    MAX_DEPTH,
    MAX_STATEMENTS,
    For,
    Function,
    If,
    SimpleCommand,
    check_grub_script,
    parse_grub_script,
    walk_commands,
)
from cosinspect.formats.boot.grub_tokens import MAX_WORD
from cosinspect.formats.text.problem import MAX_CHARACTERS, MAX_PROBLEMS

# Each was given to grub-script-check 2.06; tests/compat/test_grub.py gives it thousands more.
TAKEN = (
    "a",
    "a;",
    "if a; then b; fi",
    "if a\nthen b\nelif c\nthen d\nelse e\nfi",
    "for i in; do a; done",
    "while a; do b; done",
    "until a\ndo\nb\ndone",
    "function f { a; }\nf",
    "function f\n{\na\n}\nf",
    "menuentry x { a }",
    "menuentry x --id y { a; b\n\n}",
    "echo if then fi done in",
    "# it's a comment\na",
    "#it's a comment\na",
    "a \\\n b",
    "a 'b\nc'",
    'a "$x ${y} \\$z"',
    "a $1 $@ $* $# $? ${10}",
    "a\\ b",
    'a $"translated"',
    "! a",
    "a\t\tb\r\n",
)
REFUSED = (
    "",
    "# nothing",
    "function f { a; }",  # nothing is run
    ";",
    "a;;",
    "a;;b",
    "a & b",
    "a && b",
    "a | b",
    "a > b",
    "{ a }",
    "a }",
    "if a; then fi",
    "if a; then b;",
    "if a then b; fi",
    "else",
    "fi",
    "for x y; do a; done",
    "for 1 in a; do b; done",
    "function f { a }",
    "function 1 { a; }",
    "menuentry x\n{ a }",
    "menuentry x { }",
    "case x in esac",
    "[[ a ]]",
    "a '",
    'a "',
    "a \\",
    "a $",
    'a "$"',
    'a "${x"',
    "a ${x",
    "a $-",
    "if a; then function f { b; }; fi",
    "if a;\n; then b; fi",
)


@pytest.mark.parametrize("text", TAKEN)
def test_grub_takes(text):
    assert check_grub_script(text) is None


@pytest.mark.parametrize("text", REFUSED)
def test_grub_refuses(text):
    assert check_grub_script(text) is not None


def test_a_problem_has_its_line_and_names_what_was_found():
    (problem,) = parse_grub_script("a\nb;;\nc\n").problems
    assert ("syntax", 2, "expected the end of the command, found `;;`") == (
        problem.kind,
        problem.line,
        problem.message,
    )


def test_the_boot_loader_goes_on_behind_a_script_that_it_refuses():
    script = parse_grub_script("a\nb ;;\nc\n")
    assert ["a", "c"] == [command.words[0].raw for command in script.statements]


def test_a_construct_that_is_refused_is_left_out_up_to_the_line_of_the_fault():
    script = parse_grub_script("if a\nthen b;;\nfi\nc\n")
    assert ["c"] == [command.words[0].raw for command in script.statements]
    assert [2, 3] == [problem.line for problem in script.problems]


def test_the_boot_loader_drops_carriage_returns_and_skips_comments_even_within_quotes():
    script = parse_grub_script("if a; then\r\nb 'x\r\n# not there\r\ny'\r\nfi\r\n")
    (found,) = script.statements
    assert isinstance(found, If)
    ((_, (command,)),) = found.branches
    assert "'x\n\ny'" == command.words[1].raw


def test_a_line_ends_at_a_nul():
    assert ["a"] == [word.raw for each in parse_grub_script("a\0b\n").statements for word in each.words]


def test_statements_are_what_they_say():
    script = parse_grub_script("for i in a b; do c; done\nfunction f { d; }\nmenuentry x { e }\n")
    loop, function, entry = script.statements
    assert isinstance(loop, For)
    assert isinstance(function, Function)
    assert isinstance(entry, SimpleCommand)
    assert entry.block is not None
    assert {"c", "d", "menuentry", "e"} == {each.words[0].raw for each in walk_commands(script.scripts)}


@pytest.mark.parametrize(
    "text",
    [
        "a\n" * (MAX_STATEMENTS + 1),
        "if a; then\n" * (MAX_DEPTH + 1) + "b\n" + "fi\n" * (MAX_DEPTH + 1),
        "#" * (MAX_CHARACTERS + 1),
    ],
    ids=["statements", "depth", "characters"],
)
def test_a_bound_is_told_as_one(text):
    script = parse_grub_script(text)
    assert script.is_bounded
    assert "limit" == script.problems[-1].kind


def test_a_word_longer_than_grubs_buffer_is_refused():
    assert check_grub_script("a" * MAX_WORD) is None
    assert check_grub_script("a" * (MAX_WORD + 1)) is not None


def test_problems_are_limited_in_number():
    assert MAX_PROBLEMS == len(parse_grub_script(";\n" * (MAX_PROBLEMS + 5)).problems)
