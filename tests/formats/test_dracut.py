"""dracut's configuration; how values read and join was confirmed by sourcing such files with bash 5.2."""

import pytest

from cosinspect.formats.boot.dracut import DracutAssignment, merge, read_build_parameters, read_dracut_conf
from cosinspect.formats.text.problem import MAX_CHARACTERS

COS = 'hostonly_cmdline="no"\nhostonly="no"\ncompress="xz"\nomit_dracutmodules+=" multipath "\nadd_dracutmodules+=" livenet dmsquash-live "\n'


def settings(**files: str):
    """The settings of drop-ins under /etc, a name's `_` standing for `-`."""
    return merge(
        {
            f"/etc/dracut.conf.d/{name.lstrip('_').replace('_', '-')}.conf": read_dracut_conf(text)
            for name, text in files.items()
        }
    )


def test_assignments_are_told_in_order():
    conf = read_dracut_conf("# comment\na=1\n\nb+=' x y ' # more\n")
    assert (DracutAssignment("a", "1", False, 2), DracutAssignment("b", " x y ", True, 4)) == conf.assignments
    assert () == conf.problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", ""),
        ("plain", "plain"),
        ("'a b'", "a b"),
        ('"a b"', "a b"),
        ("\"a\"'b'c", "abc"),
        (r'"a \" \\ \n"', r'a " \ \n'),
        (r"a\ b", "a b"),
        ('"a\nb"', "a\nb"),
        ("a\\\nb", "ab"),
        ('"a\\\nb"', "ab"),
        ("a#b", "a#b"),
        ("a=b", "a=b"),
    ],
)
def test_values_lose_their_quoting_as_in_bash(written, value):
    (assignment,) = read_dracut_conf(f"key={written}\n").assignments
    assert value == assignment.value


def test_several_assignments_may_share_a_line():
    assert [("a", "1"), ("b", "2"), ("c", "3")] == [
        (each.key, each.value) for each in read_dracut_conf("a=1 b=2;c=3").assignments
    ]


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("a=1\nif true; then\n", "command", 2),
        ("a=(1 2)\n", "command", 1),
        ("a=1 && b=2\n", "command", 1),
        ("export a\n", "command", 1),
        ("a=$b\n", "expansion", 1),
        ('\na="`b`"\n', "expansion", 2),
        ("a='b\n", "quote", 1),
        ('a=1\nb="\n', "quote", 2),
        ("a=" + "b" * MAX_CHARACTERS, "limit", 1),
    ],
)
def test_what_needs_a_shell_is_a_problem(text, kind, line):
    assert (kind, line) in [(problem.kind, problem.line) for problem in read_dracut_conf(text).problems]


@pytest.mark.parametrize("text", ["a='$b `c`'\n", r"a=\$b" + "\n", 'a="#"\n'])
def test_what_is_quoted_needs_none(text):
    assert () == read_dracut_conf(text).problems


def test_reading_goes_on_after_a_command():
    assert ["b"] == [each.key for each in read_dracut_conf("if true; then a=1; fi\nb=2\n").assignments]


def test_the_toolkit_s_drop_in_is_understood():
    found = settings(_50_cos_initrd=COS)
    assert (("livenet", "dmsquash-live"), ("multipath",)) == (
        found.words("add_dracutmodules"),
        found.omit_dracutmodules,
    )
    assert (False, "xz", None) == (found.hostonly, found.compress, found.values.get("early_microcode"))


def test_a_later_file_overrides_and_adds():
    found = settings(_99_site='hostonly=yes\nadd_dracutmodules+=" nfs "\n', _50_cos_initrd=COS)
    assert (True, ("livenet", "dmsquash-live", "nfs")) == (found.hostonly, found.words("add_dracutmodules"))
    assert ("/etc/dracut.conf.d/99-site.conf",) == found.origins["hostonly"]
    assert ("/etc/dracut.conf.d/50-cos-initrd.conf", "/etc/dracut.conf.d/99-site.conf") == found.origins[
        "add_dracutmodules"
    ]


def test_files_go_by_their_numbers():
    assert "ten" == settings(_10_b="compress=ten\n", _9_a="compress=nine\n").compress


def test_values_without_blanks_around_run_together():
    found = settings(a='install_items+="/bin/a"\n', b='install_items+="/bin/b"\n')
    assert ("/bin/a/bin/b",) == found.words("install_items")


def test_dracut_conf_comes_before_its_drop_ins_and_etc_hides_usr_lib():
    found = merge(
        {
            "/usr/lib/dracut/dracut.conf.d/20-a.conf": read_dracut_conf(
                "compress=hidden\nearly_microcode=yes\n"
            ),
            "/etc/dracut.conf.d/20-a.conf": read_dracut_conf("compress=shown\n"),
            "/etc/dracut.conf": read_dracut_conf("compress=first\nhostonly=no\n"),
            "/usr/lib/dracut/dracut.conf.d/30-b.conf": read_dracut_conf("force_add_dracutmodules=x\n"),
            "/etc/dracut.conf.d/40-c.conf.bak": read_dracut_conf("compress=not-read\n"),
        }
    )
    assert ("shown", False, None) == (found.compress, found.hostonly, found.values.get("early_microcode"))
    assert ("x",) == found.words("force_add_dracutmodules")


@pytest.mark.parametrize(
    ("text", "hostonly"),
    [("hostonly=yes", True), ("hostonly=-h", True), ("hostonly=no", False), ("hostonly=", False), ("", None)],
)
def test_hostonly_is_what_dracut_takes_for_it(text, hostonly):
    assert hostonly is settings(a=text).hostonly


@pytest.mark.parametrize(
    ("text", "hostonly"),
    [
        (" --force -H --xz", True),
        (" --hostonly", True),
        (" --no-hostonly --no-hostonly-cmdline --xz -f", False),
        (" -N -H", True),
        (" --host-only -N", False),
        (" --hostonly-cmdline --add '-H'", None),
        ("", None),
    ],
)
def test_build_parameters_tell_hostonly(text, hostonly):
    assert hostonly is read_build_parameters(text).hostonly


def test_build_parameters_keep_options_with_their_values():
    found = read_build_parameters(
        " --kver '6.1.0' -f --add 'cos-immutable-rootfs dmsquash-live' -a 'nfs' --omit=x\n"
    )
    assert (
        ("--kver", "6.1.0"),
        ("-f", None),
        ("--add", "cos-immutable-rootfs dmsquash-live"),
        ("-a", "nfs"),
        ("--omit", "x"),
    ) == found.options
    assert ("cos-immutable-rootfs", "dmsquash-live", "nfs") == found.values("--add", "-a")
