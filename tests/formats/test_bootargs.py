from cosinspect.formats.boot.bootargs import Parameter, Placeholder, kernel_parameters, leftover_placeholders
from cosinspect.formats.text.problem import MAX_PROBLEMS


def test_parameters_are_split_as_the_kernel_splits_them():
    assert (
        Parameter("quiet", None),
        Parameter("root", "LABEL=$label"),
        Parameter("dyndbg", "file a b"),
        Parameter("empty", ""),
        Parameter("cos-img/filename", "$img"),
    ) == kernel_parameters('quiet  root=LABEL=$label\tdyndbg="file a b" empty= "cos-img/filename=$img"')


def test_leftover_placeholders_are_found_with_their_lines():
    text = "a@b.example\nset x=@OEM_LABEL@\n# @lower@ @A@\n"
    assert (Placeholder("OEM_LABEL", 2), Placeholder("A", 3)) == leftover_placeholders(text)


def test_leftover_placeholders_are_limited_in_number():
    assert MAX_PROBLEMS == len(leftover_placeholders("@A@" * 500))
