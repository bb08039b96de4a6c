import pytest

from cosinspect.formats.boot.bootargs import Parameter
from cosinspect.formats.boot.command_line import CommandLine, Possibility
from cosinspect.formats.boot.grub_values import Atom, Conditional, GrubBound, Symbol

FIRST, SECOND = (Atom("=", ((Symbol(name),), ("y",))) for name in ("m", "n"))


def choice(yes, no, atom=FIRST):
    return Conditional(atom, (yes,) if yes else (), (no,) if no else ())


def test_a_line_is_parted_at_blanks_but_not_within_quotes():
    line = CommandLine(('quiet  root=LABEL=x\tdyndbg="file a b" ', Symbol("extra")))
    assert 'quiet root=LABEL=x dyndbg="file a b" ${extra}' == line.text
    assert (Possibility("file a b"),) == line.last("dyndbg")
    assert [Parameter("quiet", None), Parameter("root", "LABEL=x")] == list(line.parameters[:2])


def test_the_last_of_several_counts():
    assert (Possibility("b"),) == CommandLine(("root=a root=b",)).last("root")


def test_a_parameter_can_be_there_or_not():
    line = CommandLine(("quiet ", choice("root=a x=1", ""), " y"))
    assert (Possibility("a", ('"${m}" = "y"',)), Possibility(None, ('not "${m}" = "y"',))) == line.last(
        "root"
    )


def test_two_parts_of_one_condition_go_together():
    line = CommandLine((choice("root=a", ""), " ", choice("", "root=b")))
    assert {"a", "b"} == {each.value for each in line.last("root")}


def test_independent_conditions_do_not_multiply():
    atoms = [Atom("=", ((Symbol(f"m{n}"),), ("y",))) for n in range(80)]
    value = ("root=a", *(part for n, atom in enumerate(atoms) for part in (" ", choice(f"x{n}=1", "", atom))))
    assert (Possibility("a"),) == CommandLine(value).last("root")
    assert 81 == len(CommandLine(value).parameters)


def test_a_value_in_parts_is_put_together():
    line = CommandLine(("root=LABEL=", choice("A", "B"), choice("1", "2", SECOND)))
    assert ["LABEL=A1", "LABEL=A2", "LABEL=B1", "LABEL=B2"] == [each.value for each in line.last("root")]


def test_more_ways_than_are_followed_are_a_bound():
    atoms = [Atom("=", ((Symbol(f"m{n}"),), ("y",))) for n in range(40)]
    with pytest.raises(GrubBound):
        CommandLine(("root=", *(choice("a", "b", atom) for atom in atoms))).last("root")
