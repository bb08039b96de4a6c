import pytest

from cosinspect.formats.text.problem import MAX_CHARACTERS, Problem
from cosinspect.formats.text.systemd import ExecCommand, exec_commands, read_unit

UNIT = """\
# a unit of our own
[Unit]
Description=Run the stage
 After = a.service b.service
After=c.service

[Service]
Type=oneshot
ExecStart=/usr/bin/elemental run-stage rootfs
ExecStartPre=-/usr/bin/ln -sf -t / /sysroot/system
Environment=A=1 \\
; a comment in between
   B=2 \\
   C=3
[Install]
RequiredBy=initrd-fs.target
"""


def service(*lines: str) -> tuple[ExecCommand, ...]:
    return exec_commands(read_unit("[Service]\n" + "\n".join(lines)))


def test_values_are_told_by_section_and_key():
    unit = read_unit(UNIT)
    assert ("a.service b.service", "c.service") == unit.values("Unit", "After")
    assert ("initrd-fs.target", "Run the stage") == (
        unit.last("Install", "RequiredBy"),
        unit.last("Unit", "Description"),
    )
    assert ((), None) == (unit.values("Unit", "Before"), unit.last("Mount", "What"))
    assert () == unit.problems


def test_a_continued_line_is_one_and_comments_in_between_do_not_count():
    assert ["A=1", "B=2", "C=3"] == (read_unit(UNIT).last("Service", "Environment") or "").split()


def test_an_escaped_backslash_continues_nothing():
    assert ("a\\\\",) == read_unit("[S]\nA=a\\\\\nB=b\n").values("S", "A")


def test_an_empty_assignment_takes_away_what_was_before():
    unit = read_unit("[Service]\nExecStart=/a\nExecStart=\nExecStart=/b\nUser=\n")
    assert (("/b",), ()) == (unit.values("Service", "ExecStart"), unit.values("Service", "User"))


def test_a_section_may_come_twice():
    assert ("1", "2") == read_unit("[A]\nk=1\n[B]\n[A]\nk=2\n").values("A", "k")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Unit]\nnonsense\n", Problem("assignment", "expected KEY=VALUE, a section or a comment", 2)),
        ("\nA=1\n[Unit]\n", Problem("section", "expected a section, found an assignment", 2)),
        (
            "[Unit\nA=1\n",
            Problem(
                "section", "the section's name has no closing bracket, so systemd does not read the rest", 1
            ),
        ),
    ],
)
def test_what_systemd_warns_of_is_a_problem(text, problem):
    assert (problem,) == read_unit(text).problems


def test_a_text_that_is_too_long_is_a_problem():
    assert ["limit"] == [problem.kind for problem in read_unit("#" * (MAX_CHARACTERS + 1)).problems]


def test_programs_are_told_in_the_order_in_which_they_run():
    assert (
        ExecCommand("ExecStartPre", "/usr/bin/ln", ("-sf", "-t", "/", "/sysroot/system"), may_fail=True),
        ExecCommand("ExecStart", "/usr/bin/elemental", ("run-stage", "rootfs"), may_fail=False),
    ) == exec_commands(read_unit(UNIT))


@pytest.mark.parametrize(
    ("value", "path", "arguments", "may_fail"),
    [
        ("/bin/a", "/bin/a", (), False),
        ("-/bin/a b", "/bin/a", ("b",), True),
        ("@/bin/a name b", "/bin/a", ("b",), False),
        ("+!:-/bin/a", "/bin/a", (), True),
        ("!!/bin/a", "/bin/a", (), False),
        ("a b", "a", ("b",), False),
        ('"/bin/a b" "c d" \'e\'f', "/bin/a b", ("c d", "ef"), False),
        (r"/bin/a b\x c\sd \;", "/bin/a", ("bx", "c d", ";"), False),
        ("/bin/%p $A ${B}", "/bin/%p", ("$A", "${B}"), False),
        ('/bin/a "b', "/bin/a", ("b",), False),
    ],
)
def test_a_command_line_is_taken_apart(value, path, arguments, may_fail):
    assert (ExecCommand("ExecStart", path, arguments, may_fail),) == service(f"ExecStart={value}")


def test_a_semicolon_separates_commands():
    assert [("/bin/a", ("x",)), ("/bin/b", ())] == [
        (command.path, command.arguments) for command in service("ExecStart=/bin/a x ; -/bin/b ;")
    ]


def test_other_sections_start_nothing():
    assert () == exec_commands(read_unit("[Unit]\nExecStart=/bin/a\n"))
