"""GRUB scripts; which texts GRUB refuses was confirmed with grub-script-check of GRUB 2.06."""

import pytest

from cosinspect.formats.boot.grub import MAX_COMMANDS, MAX_NESTING, Source, read_grub_script
from cosinspect.formats.boot.grub_lexer import expand, unquote
from cosinspect.formats.text.problem import MAX_CHARACTERS, MAX_PROBLEMS

MENU = """\
# a menu of our own
set timeout=10
if [ "${saved}" ]; then
  set default="${saved}"
elif [ -n "$other" ]; then
  set default='$other'   # kept as it is
else
  set default=cos
fi
menuentry "${display_name} (one)" --class os --id cos {
  set img=/cOS/active.img
  loopback loop0 /$img
  source (loop0)/etc/cos/bootargs.cfg
  linux (loop0)$kernel $kernelcmd ${extra}
  initrd (loop0)$initramfs
}
submenu 'More entries' {
  menuentry "Second" $menuentry_id_option 'second-id' { configfile /grubmenu }
}
"""


def kinds(text: str) -> list[str]:
    return [problem.kind for problem in read_grub_script(text).problems]


def test_assignments_are_told_with_line_value_and_conditions():
    found = [
        (a.name, a.raw, a.value, a.line, a.conditions)
        for a in read_grub_script(MENU).assignments
        if a.name != "img"
    ]
    first = 'if [ "${saved}" ]'
    assert [
        ("timeout", "10", "10", 2, ()),
        ("default", '"${saved}"', "${saved}", 4, (first,)),
        ("default", "'$other'", r"\$other", 6, ('elif [ -n "$other" ]',)),
        ("default", "cos", "cos", 8, (f"else of {first}",)),
    ] == found


def test_menu_entries_have_title_id_and_their_own_commands():
    one, more, second = read_grub_script(MENU).entries
    assert ("${display_name} (one)", "cos", False, 10) == (one.title, one.id, one.submenu, one.line)
    assert ["set", "loopback", "source", "linux", "initrd"] == [command.name for command in one.commands]
    assert ("linux", "(loop0)$kernel", "$kernelcmd", "${extra}") == one.commands[3].words
    assert ("More entries", None, True) == (more.title, more.id, more.submenu)
    assert ["menuentry"] == [command.name for command in more.commands]
    assert ("Second", "second-id", False) == (second.title, second.id, second.submenu)
    assert ["configfile"] == [command.name for command in second.commands]


def test_sourced_files_are_told_with_the_entry_that_reads_them():
    assert (
        Source("(loop0)/etc/cos/bootargs.cfg", 13, ("menuentry cos",)),
        Source("/grubmenu", 18, ("submenu More entries", "menuentry second-id")),
    ) == read_grub_script(MENU).sourced


def test_a_good_script_has_no_problems():
    assert () == read_grub_script(MENU).problems


def test_statements_keep_reserved_words_and_commands_do_not():
    script = read_grub_script("if a; then b; fi\n")
    assert ["if", "a", "then", "b", "fi"] == [statement.name for statement in script.statements]
    assert ["a", "b"] == [command.name for command in script.commands]


def test_functions_and_loops_are_conditions():
    script = read_grub_script("function f {\n  a\n}\nfor i in 1 2; do b; done\nwhile c; do d; done\n")
    assert frozenset({"f"}) == script.functions
    assert [
        ("a", ("function f",)),
        ("b", ("for i in 1 2",)),
        ("c", ()),
        ("d", ("while c",)),
    ] == [(command.name, command.conditions) for command in script.commands]
    assert () == script.problems


def test_a_function_may_open_its_block_on_the_next_line():
    script = read_grub_script("function f\n{\n  set a=1\n}\n")
    assert (frozenset({"f"}), ()) == (script.functions, script.problems)


def test_a_bare_assignment_is_one_but_an_argument_is_not():
    script = read_grub_script("a=1\necho b=2\nset c=3 d=4\n")
    assert ["a", "c"] == [assignment.name for assignment in script.assignments]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("plain", "plain"),
        ("'a $b \\c'", r"a \$b \\c"),
        ('"a $b"', "a $b"),
        (r'"\$a \" \\ \n"', r'\$a " \\ \\n'),
        ('"one \\\n two"', "one  two"),
        (r"a\ b", "a b"),
        (r"\$a", r"\$a"),
        ("a\\\nb", "ab"),
        ("""x"y"'z'""", "xyz"),
        ('$"text"', "text"),
    ],
)
def test_quoting_is_removed_and_variables_are_kept(raw, value):
    assert value == unquote(raw)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$a-${a}", "1-1"),
        ("$unset|", "|"),
        (r"\$a", "$a"),
        (r"\\$a", r"\1"),
        ("$a1", ""),
        ("$1x", "ex"),
        ("$?$ ${", "0$ ${"),
    ],
)
def test_expansion_leaves_what_is_unset_empty(value, text):
    assert text == expand(value, {"a": "1", "1": "e", "?": "0"})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('set a="b\n', "quote"),
        ("set a='b\n", "quote"),
        ("fi\n", "unbalanced"),
        ("}\n", "unbalanced"),
        ("if a; then b; }\n", "unbalanced"),
        ("if a; b; fi\n", "unbalanced"),
        ("menuentry a {\n b\n", "unclosed"),
        ("if a; then b\n", "unclosed"),
        ("then\n", "keyword"),
        ("if a; then b; else c; else d; fi\n", "keyword"),
        ("case x\n", "keyword"),
        ("[[ a ]]\n", "keyword"),
        ("if a; then fi\n", "empty"),
        ("menuentry x {\n}\n", "empty"),
        ("{ a; }\n", "block"),
        ("a | b\n", "operator"),
        ("a && b\n", "operator"),
        ("a > b\n", "operator"),
        ("echo $\n", "variable"),
        ("echo $(a)\n", "variable"),
        ("function f() { a; }\n", "function"),
        ("function f\nb\n", "function"),
        ("set a\n", "assignment"),
    ],
)
def test_what_grub_stumbles_over_is_a_problem(text, kind):
    assert kind in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "a#b\n",
        'a #b "\n',
        "echo if then fi\n",
        "if ! a; then b; fi\n",
        "menuentry a { if b; then c; fi }\n",
        "a \\\n b\n",
        'echo "#" $x $1 $? $@ $# $*\n',
        "set\n",
        "menuentry x { y\n}\n",
    ],
)
def test_what_grub_accepts_is_none(text):
    assert [] == kinds(text)


def test_reading_goes_on_after_a_fault():
    script = read_grub_script("fi\nset kernel=/boot/vmlinuz\n")
    assert ["kernel"] == [assignment.name for assignment in script.assignments]


def test_problems_are_limited_in_number():
    assert MAX_PROBLEMS == len(kinds("fi\n" * (MAX_PROBLEMS + 50)))


@pytest.mark.parametrize(
    "text",
    [
        "if " * (MAX_NESTING + 2),
        "menuentry x {\n" * (MAX_NESTING + 2),
        "a\n" * (MAX_COMMANDS + 1),
        "a" * (MAX_CHARACTERS + 1),
    ],
    ids=["ifs", "blocks", "commands", "characters"],
)
def test_limits_are_problems(text):
    assert "limit" in kinds(text)
