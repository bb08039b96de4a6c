"""Shell scripts. The reader was also held against mvdan.cc/sh on some 1600 scripts of a Debian system."""

import pytest

from cosinspect.formats.shell.script import (
    MAX_NESTING,
    ProgramCall,
    functions,
    read_shell_script,
)
from cosinspect.formats.shell.words import BASH_BUILTINS, BUILTINS, DASH_BUILTINS, RESERVED_WORDS
from cosinspect.formats.text.problem import MAX_CHARACTERS


def commands(script):
    """The external commands that a script surely calls."""
    return read_shell_script(script).commands


def names(script: str) -> list[str]:
    return [command.name for command in commands(script)]


def guards(script: str) -> dict[str, bool]:
    return {command.name: command.guarded for command in commands(script)}


BOOT_SCRIPT = """\
#!/bin/bash
# finds the disk that holds the image; it's called by udev
type note >/dev/null 2>&1 || . /lib/dracut-lib.sh

function findDisk {
    local candidate found="none"
    for candidate in /dev/disk/by-label/*; do
        found=$(basename "${candidate}")
        [ -e "/run/seen-${found}" ] && continue
        > "/run/seen-${found}"
        mount -o "${mode:-ro}" "${candidate}" "${where}" || continue
        case "${found}" in
            STATE*) \\
                losetup -f "${where}/${image//\\//_}" ;;
            *)
                umount "${where}" ;;
        esac
    done
    echo -e "${found// /\\\\n}" | sort -u
}

declare where="/run/where"
declare modes=("ro" "rw") # it's either
[[ -z ${image} ]] && exit 1
mkdir -p "${where}"
findDisk
note "done: $(date +"%H:%M")"
exit 0
"""


def test_a_boot_script_s_commands_are_told_in_order_with_their_lines():
    assert [
        ProgramCall("basename", 8, guarded=False),
        ProgramCall("mount", 11, guarded=False),
        ProgramCall("losetup", 14, guarded=False),
        ProgramCall("umount", 16, guarded=False),
        ProgramCall("sort", 19, guarded=False),
        ProgramCall("mkdir", 25, guarded=False),
        ProgramCall("date", 27, guarded=False),
        ProgramCall("note", 27, guarded=True),
    ] == list(commands(BOOT_SCRIPT))


def test_a_boot_script_s_functions_and_sources_are_told():
    script = read_shell_script(BOOT_SCRIPT)
    assert (frozenset({"findDisk"}), ("/lib/dracut-lib.sh",), None) == (
        script.functions,
        script.sourced,
        script.problem,
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("one two three", ["one"]),
        ("one; two & three\nfour", ["one", "two", "three", "four"]),
        ("one && two || three | four |& five", ["one", "two", "three", "four", "five"]),
        ("one &&\n\n two", ["one", "two"]),
        ("one \\\n two\nthree", ["one", "three"]),
        ("o\\\nne two", ["one"]),
        ("one;two", ["one", "two"]),
        ("/sbin/one -x; ./two; three/four; ~/five; ../six", ["/sbin/one"]),
        ("'one' x; \"two\" y; \\three z; f'ou'r", ["one", "two", "three", "four"]),
        ('$one x; ${two}; one$x; "$three"; `four`; $(five)', ["four", "five"]),
        ("# one\ntwo # three\nfour#five six", ["two"]),
        ("A=1 one; B=2; C=$(two) three D=4", ["one", "two", "three"]),
        ("a[0]=one two; b+=three four", ["two", "four"]),
        ("a=(one $(two) # three\n four) five", ["two", "five"]),
        ("declare -a a=(one two); three", ["three"]),
        ("> file one; 2>&1 two >| x <> y; three <<< word four >&2", ["one", "two", "three"]),
        ("one &> file; two &>> file; three {fd}> file four", ["one", "two", "three"]),
        ("one < <(two) > >(three); four <(five | six)", ["one", "two", "three", "four", "five", "six"]),
        ("one <<END\ntwo $(three)\nEND\nfour", ["one", "four"]),
        ("one <<'A B' <<-C\ntwo\nA B\n\tthree\n\tC\nfour", ["one", "four"]),
        ("one <<END | two\nthree'\nEND\n", ["one", "two"]),
        ("x=$(one <<END\ntwo)\nEND\n); three", ["one", "three"]),
        (
            "if one; then two; elif three; then four; else five; fi; six",
            ["one", "two", "three", "four", "five", "six"],
        ),
        ("if ! one; then two; fi > x 2>&1 || three", ["one", "two", "three"]),
        ("for one in two three; do four; done | five", ["four", "five"]),
        ("for one\ndo two; done; for three in x\ndo four\ndone", ["two", "four"]),
        ("for ((i = 0; i < 3; i++)); do one; done", ["one"]),
        ("for ((;;)) { one; }; two", ["one", "two"]),
        ("select one in two; do three; done", ["three"]),
        ("while one; do two; done < three; until four; do five; done", ["one", "two", "four", "five"]),
        (
            "case one in two) three;; (four|five) six;& *) seven;;& esac; eight",
            ["three", "six", "seven", "eight"],
        ),
        ("case $(one) in\n# two)\n'three') four ;;\n\"fi\"ve) ;; esac\nsix", ["one", "four", "six"]),
        ("x=$(case a in a) one;; esac); two", ["one", "two"]),
        ("case x in esac) one;; esac; two", []),
        ("case x in @(a|b)) one;; [!a-z]*) two;; esac", ["one", "two"]),
        ("(one; (two)) && { three; { four; } }", ["one", "two", "three", "four"]),
        ("if (one) then { two; } fi", ["one", "two"]),
        ("((one = two)); three; echo $((four + $(five)))", ["three", "five"]),
        ("[[ one == two && -n $(three) ]] && four", ["three", "four"]),
        ("[[ $x =~ ^(a|b)[[:space:]]*$ ]] || one", ["one"]),
        ("[[ a && # one ]]\n b ]] && two", ["two"]),
        (
            'echo "one $(two "$(three)" \'four)\') `five \\`six\\`` $((1)) ${x:-$(seven)}"',
            ["two", "three", "five", "seven", "six"],
        ),
        ("echo 'one $(two)' \"\\$(three) \\`four\\`\" $'it\\'s $(five)' $\"$(six)\"", ["six"]),
        ("echo ${x#it'}'} ${x:-'}'} \"${x:-'}\" \"${x%'}'}\"; one", ["one"]),
        ('echo ${x:-"}"} "${x:-"a } b"}"; one', ["one"]),
        ("time one; time -p two; ! three", ["one", "three"]),
        ('exec one two; exec 3>&1; exec -a x three; exec "$@"', ["one", "three"]),
        ("command one; command -p two; command -- three; builtin four", ["one", "two", "three"]),
        ("which one", ["which"]),
        ("rm !(one); @(two|three)", ["rm"]),
        ("coproc one { two; }", []),
        ("trap 'one' EXIT; eval two; test three; . four; source five", []),
        ("in-between; 7z x; 123; -x; a,b; a=b; {a,b}; a*; [a-z]", ["in-between", "7z"]),
        ("mkfs.ext4; e2fsck; foo_bar; g++", ["mkfs.ext4", "e2fsck", "foo_bar", "g++"]),
    ],
)
def test_words_in_command_position_are_told(script, expected):
    assert sorted(expected) == sorted(names(script))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("f() { one; }", {"f"}),
        ("f () ( one )", {"f"}),
        ("f()\n{\n one\n}", {"f"}),
        ("function f { one; }", {"f"}),
        ("function f() { one; }", {"f"}),
        ("function f\n{\n one\n}", {"f"}),
        ("f() if one; then two; fi", {"f"}),
        ("f-g() { one; }; f.h() { two; }", {"f-g", "f.h"}),
        ("if one; then f() { two; }; fi", {"f"}),
        ("alias ll='one -l' k=two", {"ll", "k"}),
        ("echo 'f() { one; }'", set()),
    ],
)
def test_functions_are_told_in_every_syntax(script, expected):
    assert frozenset(expected) == functions(script)


def test_a_function_of_the_script_is_no_external_command():
    assert ["two"] == names("one; one() { two; }; one")


def test_a_name_is_told_once_at_its_first_call():
    assert (ProgramCall("one", 2, guarded=False),) == commands("\nx=`one`; one\none\n")


@pytest.mark.parametrize(
    "look",
    [
        "command -v one",
        "command -V one",
        "type one >/dev/null 2>&1",
        "type -p two one",
        "hash one 2>/dev/null",
        "which one",
        "[ -x /usr/bin/one ]",
        "[ -n x -a -x /usr/bin/one ]",
        "test -e /sbin/one",
        "[[ -f /bin/one ]]",
        'x="$(command -v one)"',
    ],
)
def test_a_command_that_the_script_looks_for_is_guarded(look):
    found = guards(f"if {look}; then one; two; fi")
    assert (True, "two" in look) == (found["one"], found["two"])


def test_a_test_for_some_other_file_guards_nothing():
    assert {"one": False} == guards("[ -e /etc/one ] && [ -d /bin/one ] && one")


def test_a_guard_holds_for_the_absolute_path_too():
    assert {"/sbin/one": True} == guards("[ -x /sbin/one ] && /sbin/one")


def test_what_initqueue_is_told_to_run_is_called():
    script = '/sbin/initqueue --settled --unique --name job /sbin/find-image "$1"\ninitqueue --online two x\n'
    assert ["/sbin/initqueue", "/sbin/find-image", "initqueue", "two"] == names(script)


def test_an_initqueue_job_with_expansions_is_not_told():
    assert ["/sbin/initqueue"] == names("/sbin/initqueue --settled $job")


@pytest.mark.parametrize(
    ("script", "kind", "expected"),
    [
        ("one\necho 'two\nthree\n", "quote", ["one"]),
        ("one\necho `two\n", "quote", ["one"]),
        ('one\necho "$(two)\nthree\n', "unclosed", ["one"]),
        ("one\nx=$(two\nthree\n", "unclosed", ["one"]),
        ("one\nif two; then three\n", "unclosed", ["one"]),
        ("one\n{ two; three }\n", "unclosed", ["one"]),
        ("one\nf() {\n two\n", "unclosed", ["one"]),
        ("one\n)two\n", "syntax", ["one"]),
        ("one\nfi\ntwo\n", "syntax", ["one"]),
        ("one (two)\nthree\n", "syntax", []),
        ("one\nif two; done; three\n", "syntax", ["one"]),
        ("one\nimport(two)\nthree\n", "syntax", ["one"]),
        ("one\n(two; case three in ; four\n", "syntax", ["one"]),
        ("one\ntwo >\nthree\n", "syntax", ["one"]),
        ("one\n" + "$(" * (MAX_NESTING + 1), "limit", ["one"]),
        ("one\n" * (MAX_CHARACTERS // 4 + 1), "limit", []),
    ],
)
def test_what_cannot_be_followed_ends_the_reading_and_tells_nothing_unsure(script, kind, expected):
    found = read_shell_script(script)
    assert found.problem is not None
    assert (kind, expected) == (found.problem.kind, [command.name for command in found.commands])


def test_a_problem_names_its_line():
    problem = read_shell_script("one\n\nx='\n").problem
    assert problem is not None
    assert 3 == problem.line


def test_what_follows_an_unconditional_exit_is_not_read():
    assert ["one"] == names("one\nexit 0\n\0\x07garbage 'that is no script\n")


@pytest.mark.parametrize(
    "line", ["one && exit", "one || exit 1", "{ exit; }", "if one; then exit; fi", "(exit)", "x=$(exit)"]
)
def test_a_conditional_or_inner_exit_ends_nothing(line):
    assert "two" in names(f"{line}\ntwo\n")


def test_builtins_and_reserved_words_are_never_told():
    script = "\n".join(sorted(BUILTINS - {"exit", "exec", "[", "alias"}))
    assert [] == names(script)
    assert not BUILTINS & RESERVED_WORDS
    assert {"cd", "echo", "[", "test", "printf", "kill"} <= BASH_BUILTINS & DASH_BUILTINS
    assert "declare" not in DASH_BUILTINS


@pytest.mark.parametrize(
    ("piece", "characters"),
    [
        *((piece, 1_000_000) for piece in ("(", "`", "${", "$(", '"', "'", "\\")),
        *((piece, 100_000) for piece in ("$((", '"$(', '"${', "${a:-'", "a=(", "((", "[[ ", "<<a ", "<(")),
        *((piece, 100_000) for piece in ("{ ", "a;", "`a`", "a[$(", "case x in ", "`\\`", "$'", "&>")),
    ],
)
def test_a_great_lot_of_anything_ends(piece, characters):
    script = "one\n" + piece * (characters // len(piece))
    assert names(script) in (["one"], ["one", "a"])
