import pytest

from cosinspect.formats.boot.bootargs import (
    MAX_VALUES,
    Parameter,
    Placeholder,
    boot_markers,
    kernel_parameters,
    leftover_placeholders,
    read_boot_args,
)
from cosinspect.formats.text.problem import MAX_PROBLEMS

TWO_WAYS = """\
set kernel=/boot/vmlinuz
if [ -n "$recoverylabel" ]; then
  set kernelcmd="root=live:LABEL=$recoverylabel rd.live.dir=/ rd.live.squashimg=$img"
else
  set kernelcmd="root=LABEL=$label cos-img/filename=$img rd.cos.oemlabel=COS_OEM"
fi
set initramfs=/boot/initrd
"""


def values(text: str, name: str = "kernelcmd") -> list[str]:
    return [setting.value for setting in getattr(read_boot_args(text), name)]


def test_every_branch_gives_a_value_with_its_line_and_condition():
    bootargs = read_boot_args(TWO_WAYS)
    condition = 'if [ -n "$recoverylabel" ]'
    assert [
        ("root=live:LABEL=$recoverylabel rd.live.dir=/ rd.live.squashimg=$img", 3, (condition,)),
        ("root=LABEL=$label cos-img/filename=$img rd.cos.oemlabel=COS_OEM", 5, (f"else of {condition}",)),
    ] == [(setting.value, setting.line, setting.conditions) for setting in bootargs.kernelcmd]
    assert (("/boot/vmlinuz",), ("/boot/initrd",)) == (bootargs.kernel_paths, bootargs.initramfs_paths)
    assert ((), ()) == (bootargs.problems, bootargs.placeholders)


def test_what_is_never_set_has_no_value():
    bootargs = read_boot_args("set kernel=/boot/Image\n")
    assert (("/boot/Image",), (), ()) == (bootargs.kernel_paths, bootargs.initramfs_paths, bootargs.kernelcmd)


def test_the_script_s_own_variables_are_put_in():
    text = "set base=quiet\nset kernelcmd='root=x'\nset kernelcmd=\"$kernelcmd ${base} $img\"\n"
    assert ["root=x quiet $img"] == values(text)


def test_a_later_assignment_replaces_and_a_conditional_one_adds():
    assert ["b"] == values("set kernelcmd=a\nset kernelcmd=b\n")
    assert ["a", "b"] == values("set kernelcmd=a\nif x; then set kernelcmd=b; fi\n")


def test_branches_that_all_assign_leave_nothing_of_before():
    assert ["b", "c", "d"] == values(
        "set kernelcmd=a\nif x; then set kernelcmd=b; elif y; then set kernelcmd=c; else set kernelcmd=d; fi\n"
    )


def test_a_branch_that_does_not_assign_keeps_what_was():
    assert ["a", "b"] == values("set kernelcmd=a\nif x; then set kernelcmd=b; else echo; fi\n")


def test_the_same_variable_has_the_same_value_throughout_one_value():
    text = "if x; then set v=1; else set v=2; fi\nset kernelcmd=$v-$v\n"
    assert ["1-1", "2-2"] == values(text)


def test_a_function_counts_where_it_stands():
    text = """\
function setConsole { if [ -e x ]; then set console=ttyS0; fi }
function setAll {
  set base="root=LABEL=$label"
  setConsole
  set kernelcmd="$base console=${console}"
}
setAll
"""
    assert {"root=LABEL=$label console=${console}", "root=LABEL=$label console=ttyS0"} == set(values(text))


def test_unset_takes_a_value_away():
    assert [] == values("set kernelcmd=a\nunset kernelcmd\n")


def test_a_continued_value_is_one_line():
    assert ["a     b"] == values('set kernelcmd="a \\\n    b"\n')


def test_more_values_than_are_followed_are_a_problem():
    branches = "set kernel=/boot/first\n" + "".join(
        f"if x; then set kernel=/boot/{n}; fi\n" for n in range(MAX_VALUES + 1)
    )
    bootargs = read_boot_args(branches)
    assert MAX_VALUES == len(bootargs.kernel_paths)
    assert ["limit"] == [problem.kind for problem in bootargs.problems]


def test_values_that_grow_without_end_are_a_problem():
    bootargs = read_boot_args("set kernelcmd=xxxxxxxx\n" + "set kernelcmd=$kernelcmd$kernelcmd\n" * 40)
    assert {"limit"} == {problem.kind for problem in bootargs.problems}


def test_parameters_are_split_as_the_kernel_splits_them():
    assert (
        Parameter("quiet", None),
        Parameter("root", "LABEL=$label"),
        Parameter("dyndbg", "file a b"),
        Parameter("empty", ""),
        Parameter("cos-img/filename", "$img"),
    ) == kernel_parameters('quiet  root=LABEL=$label\tdyndbg="file a b" empty= "cos-img/filename=$img"')


@pytest.mark.parametrize(
    ("kernelcmd", "generations"),
    [
        ("root=LABEL=$label iso-scan/filename=$img", {"G0"}),
        ("root=LABEL=$label cos-img/filename=$img panic=5", {"G1", "G2", "kairos"}),
        ("root=LABEL=${label} cos-img/filename=$img", {"G1", "G2", "kairos"}),
        ("root=LABEL=COS_ACTIVE cos-img/filename=/cOS/active.img", {"G1", "G2", "kairos"}),
        ("root=LABEL=$state_label cos-img/filename=$img", {"G3", "G4"}),
        ("root=LABEL=${recovery_label} cos-img/filename=$img", {"G3", "G4"}),
        ("root=LABEL=COS_STATE cos-img/filename=$img", {"G3", "G4"}),
        ("root=/dev/sda2 cos-img/filename=$img", {"G1", "G2", "G3", "G4", "kairos"}),
        ("root=LABEL=${state_label} elemental.image=${img} elemental.mode=${mode}", {"G5"}),
        ("root=live:LABEL=$recoverylabel rd.live.dir=/ rd.live.squashimg=$img", {"G0", "G1", "G2", "kairos"}),
        ("root=LABEL=root quiet", set()),
        ("", set()),
    ],
)
def test_the_image_parameter_and_the_root_tell_the_generation(kernelcmd, generations):
    assert frozenset(generations) == boot_markers(kernelcmd).generations


def test_markers_keep_the_labels():
    markers = boot_markers("root=live:CDLABEL=$recoverylabel rd.live.squashimg=$img rd.cos.oemlabel=COS_OEM")
    assert ("live:CDLABEL=$recoverylabel", "$recoverylabel", "COS_OEM") == (
        markers.root,
        markers.root_label,
        markers.oem_label,
    )
    assert ("rd.live.squashimg",) == markers.image_parameters
    assert "$oem_label" == boot_markers("elemental.oemlabel=$oem_label").oem_label


def test_leftover_placeholders_are_found_with_their_lines():
    text = "a@b.example\nset x=@OEM_LABEL@\n# @lower@ @A@\n"
    assert (Placeholder("OEM_LABEL", 2), Placeholder("A", 3)) == leftover_placeholders(text)
    assert (Placeholder("OEM_LABEL", 2),) == read_boot_args(text.replace("@A@", "")).placeholders


def test_leftover_placeholders_are_limited_in_number():
    assert MAX_PROBLEMS == len(leftover_placeholders("@A@" * 500))
