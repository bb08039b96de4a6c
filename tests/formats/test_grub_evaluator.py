"""What scripts do; GRUB itself judges the same on random scripts in tests/compat/test_grub.py."""

import pytest

from cosinspect.formats.boot.grub_values import Conditional, GrubBound, Symbol, render
from grub_machine import run


def value(text, name="x", **given):
    return render(run(text, **given).get(name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set x=1", "1"),
        ("x=1", "1"),
        ("set x=1 y=2", "1"),
        ("set x='a b'", "a b"),
        ('y=1; set x="$y$y"', "11"),
        ("x=1; unset x", ""),
        ("function f { set x=1; }", ""),
        ("function f { set x=1; }\nf", "1"),
        ("function f { set x=$2; }\nf a b", "b"),
        ('function f { set x="$#:$*"; }\nf a "b c"', "2:a b c"),
        ("function f { return; set x=1; }\nf", ""),
        ("function f { set x=1; return 1; }\nif f; then x=2; fi", "1"),
        ("if false; then set x=1; fi", ""),
        ("if true; then set x=1; fi", "1"),
        ("if nosuch; then set x=1; fi", "1"),  # a command that is not there succeeds
        ("if ! true; then set x=1; else set x=2; fi", "2"),
        ("if [ ]; then set x=1; fi", "1"),
        ('if [ "" ]; then set x=1; fi', ""),
        ('if [ "$y" ]; then set x=1; fi', ""),
        ("if [ $y ]; then set x=1; fi", "1"),  # without quotes nothing is left, and nothing is true
        ("if [ a = a -a b != c ]; then set x=1; fi", "1"),
        ("if [ a = b -o b = b ]; then set x=1; fi", "1"),
        ('if [ -z "$y" ]; then set x=1; fi', "1"),
        ("if [ 10 -gt 9 ]; then set x=1; fi", "1"),
        ("if [ 10 > 9 ]; then set x=1; fi", ""),  # `>` is no word: GRUB refuses the line
        ('if [ 10 ">" 9 ]; then set x=1; fi', ""),
        ("if [ v-11 -pgt v-2 ]; then set x=1; fi", "1"),
        ("if test == m; then set x=1; fi", "1"),  # two words that are not empty
        ("for i in a b c; do set x=$x$i; done", "abc"),
        ("for i in a b c; do if [ $i = b ]; then continue; fi; set x=$x$i; done", "ac"),
        ("for i in a b c; do if [ $i = b ]; then break; fi; set x=$x$i; done", "a"),
        ("for i in a b; do for j in 1 2; do set x=$x$i$j; break 2; done; done", "a1"),
        ('y="a b"; for i in $y; do set x=$x.$i; done', ".a.b"),
        ('y="a b"; for i in "$y"; do set x="$x.$i"; done', ".a b"),
        ('while [ "$x" != 111 ]; do set x=1$x; done', "111"),
        ('until [ "$x" = 111 ]; do set x=1$x; done', "111"),
        ('eval "set x=1"', "1"),
        ("y='set x=2'; eval $y", "2"),
        ('regexp --set=x "(a+)" baac', "aa"),
        ('regexp --set=2:x "(a)(b)" ab', "b"),
        ('regexp --set=x "(q)" baac', ""),
        ("source /more.cfg", "sourced"),
        (". (hd0)/more.cfg", "sourced"),
        ("source /nosuch.cfg", ""),
        ("load_env -f /env; set x=$loaded", "yes"),
        ("load_env -f /env other; set x=$loaded", ""),
        ("search --set=x --label STATE", "hd1"),
        ("search --label STATE --set x", "hd1"),
        ("search --set --label STATE; set x=$root", "hd1"),
        ("search --set=x --label NOPE", ""),
        ("search --file --set=x /disk.img", "hd0"),
        ("search.fs_label STATE x", "hd1"),
        ("loopback l /disk.img; if [ -e (l) ]; then set x=1; fi", ""),
        ("loopback l /nosuch; set x=$?", "1"),
        ('if [ -f /more.cfg -a -d /dir -a ! -e /nosuch ]; then set x="1"; fi', "1"),
        ("if [ -s /empty ]; then set x=1; else set x=0; fi", "0"),
        ("set x=a$z$z", "a"),
        ("set x=1;;\nset x=2", "2"),
    ],
)
def test_a_script_leaves(text, expected):
    files = {
        "(hd0)/more.cfg": "set x=sourced\n",
        "(hd0)/env": {"loaded": "yes", "other": "no"},
        "(hd0)/disk.img": "disk",
        "(hd0)/dir/file": "file",
        "(hd0)/empty": "",
    }
    assert expected == value(text, files=files, labels={"STATE": "hd1"})


def test_what_is_not_known_stays_a_symbol():
    assert (("root=LABEL=", Symbol("label")),) == (
        run('set x="root=LABEL=$label"', unknown=["label"]).get("x"),
    )


def test_both_ways_of_an_open_condition_are_kept():
    state = run('set x=0\nif [ "$m" = one ]; then set x=1; fi', unknown=["m"])
    ((part,),) = (state.get("x"),)
    assert isinstance(part, Conditional)
    assert (("1",), ("0",)) == (part.yes, part.no)


def test_a_condition_that_was_asked_is_known_on_its_way():
    text = """\
if [ "$m" = one ]; then
  if [ "$m" = two ]; then set x=never; fi
  if [ "$m" = one ]; then set x=1; fi
  if [ -n "$m" ]; then set x=$x$m; fi
fi
"""
    ((part,),) = (run(text, unknown=["m"]).get("x"),)
    assert (("1one",), ()) == (part.yes, part.no)


def test_independent_conditions_add_up():
    text = "".join(f'if [ "$m{n}" = y ]; then set a{n}=" x{n}"; fi\n' for n in range(60))
    text += 'set x="root' + "".join(f"$a{n}" for n in range(60)) + '"\n'
    parts = run(text, unknown=[f"m{n}" for n in range(60)]).get("x")
    assert 61 == len(parts)


def test_a_function_that_is_defined_on_one_way_is_called_on_it():
    text = 'function f { set x=old; }\nif [ "$m" = y ]; then eval "function f { set x=new; }"; fi\nf\n'
    ((part,),) = (run(text, unknown=["m"]).get("x"),)
    assert (("new",), ("old",)) == (part.yes, part.no)


def test_a_break_on_one_way_leaves_the_loop_there():
    text = 'for i in a b c; do if [ "$m" = $i ]; then break; fi; set x=$x$i; done\n'
    state = run(text, unknown=["m"])
    assert "" == render(state.get("x")[:0])
    assert {"", "a", "ab", "abc"} >= set(ends(state.get("x")))
    assert {"", "abc"} <= set(ends(state.get("x")))


def ends(value):
    (first, *rest) = value or ("",)
    heads = [first] if isinstance(first, str) else [*ends(first.yes), *ends(first.no)]
    return [head + tail for head in heads for tail in (ends(tuple(rest)) if rest else [""])]


@pytest.mark.parametrize(
    "text",
    [
        "while true; do set x=1; done",
        "function f { f; }\nf",
        "x=ab\n" + "set x=$x$x\n" * 40,
        'while [ "$m" != "$x" ]; do set x=a$x; done',
        "blscfg",
        'regexp "(a*)*b" aaaa',
        "source $m",
        "insmod regexp\nlinux /boot/vmlinuz-*",
        "$m x",
    ],
)
def test_what_cannot_be_followed_is_a_bound_and_no_answer(text):
    with pytest.raises(GrubBound):
        run(text, unknown=["m"])
