"""Whatever a text file holds, its reader ends with a value or a FormatError; and what was put in comes out."""

import contextlib
import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.boot.bootargs import kernel_parameters, leftover_placeholders
from cosinspect.formats.boot.dracut import merge, read_build_parameters, read_dracut_conf
from cosinspect.formats.boot.elf import read_elf
from cosinspect.formats.boot.go_program import read_go_modules
from cosinspect.formats.boot.grub_commands import COMMANDS
from cosinspect.formats.boot.grub_evaluator import Evaluator
from cosinspect.formats.boot.grub_menu import GrubMenu
from cosinspect.formats.boot.grub_syntax import check_grub_script, parse_grub_script
from cosinspect.formats.boot.grub_values import GrubBound, render
from cosinspect.formats.boot.loader_cache import read_loader_cache
from cosinspect.formats.boot.module_index import (
    read_builtin,
    read_dependencies,
    read_index,
    read_soft_dependencies,
)
from cosinspect.formats.boot.program import read_interpreter
from cosinspect.formats.packages.apk import read_apk_installed
from cosinspect.formats.packages.dpkg import read_dpkg_status
from cosinspect.formats.packages.package_url import package_url
from cosinspect.formats.packages.pacman import database_path, read_pacman_desc
from cosinspect.formats.shell.script import read_shell_script
from cosinspect.formats.text.accounts import read_passwd, read_sysusers
from cosinspect.formats.text.build_manifest import read_build_manifest
from cosinspect.formats.text.cloud_config import read_cloud_config
from cosinspect.formats.text.containerfile import read_containerfile
from cosinspect.formats.text.fstab import read_fstab
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.pam import passes, read_stack
from cosinspect.formats.text.systemd import exec_commands, read_unit
from cosinspect.formats.toc import parse_chunked_footer, parse_stargz_footer, parse_toc
from cosinspect.render.step_lines import match_steps
from grub_machine import Machine, run


def cloud_config(text: str) -> None:
    for version in ("0.10", "1.9", "1.25"):
        config = read_cloud_config("a.yaml", text, version=version)
        assert not (config.stages and config.refusal)
        config.written_files()


def grub_run(text: str) -> None:
    """A script ends, and whatever it does is a state or a bound."""
    try:
        state = run(text, unknown=["x", "y"])
    except GrubBound:
        return
    for name in state.variables:
        render(state.get(name))
    GrubMenu(Evaluator(Machine(), COMMANDS), state)


def system(text: str) -> None:
    """Files that a login, mounts and drivers need."""
    assert all(account.name for account in (*read_passwd(text), *read_sysusers(text)))
    read_fstab(text)
    passes(read_stack("login", "auth", lambda _: text), lambda _: True)
    for read in (read_dependencies, read_builtin, read_soft_dependencies):
        read(text)
    read_go_modules([text.encode("utf-8", "surrogateescape")])


def containerfile(text: str) -> None:
    with contextlib.suppress(FormatError):
        found = read_containerfile("Containerfile", text.encode("utf-8", "surrogateescape"))
        lines = [line for each in found.instructions for line in (each.first, each.last)]
        assert all(1 <= line <= text.count("\n") + text.count("\r") + 1 for line in lines)
        match_steps(found, [text, "RUN true", None])


def build_manifest(text: str) -> None:
    with contextlib.suppress(FormatError):
        read_build_manifest(text)


def packages(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    for read in (lambda data: read_dpkg_status(data)[0], read_apk_installed):
        with contextlib.suppress(FormatError):
            assert all(each.name and package_url(each, "debian", "12") for each in read(data))
    with contextlib.suppress(FormatError):
        assert read_pacman_desc(data).identity
    database_path(text)


READERS = {
    "system": system,
    "packages": packages,
    "build-manifest": build_manifest,
    "containerfile": containerfile,
    "grub": lambda text: (parse_grub_script(text), check_grub_script(text)),
    "grub-run": grub_run,
    "kernelcmd": lambda text: (kernel_parameters(text), leftover_placeholders(text)),
    "shell": read_shell_script,
    "dracut": lambda text: merge({"/etc/dracut.conf": read_dracut_conf(text)}),
    "build-parameter": read_build_parameters,
    "environment": read_env_file,
    "unit": lambda text: exec_commands(read_unit(text)),
    "cloud-config": cloud_config,
}

# Text in which the signs that these formats live on are common.
signs = st.sampled_from(
    [
        *"(){}[]<>|&;$`'\"\\#=:-+,.\n\t \0é@!*?",
        *(
            "if ",
            "then\n",
            "fi\n",
            "do ",
            "done\n",
            "case x in ",
            "esac",
            "set a=",
            "menuentry x {",
            "${",
            "$((",
            "<<E\n",
        ),
        *(
            "function f ",
            "f() ",
            "[[ ",
            "]]",
            "#cloud-config\n",
            "stages:\n",
            "  boot:\n",
            "  - ",
            "&a ",
            "*a",
            "[S]\n",
            "ExecStart=",
        ),
    ]
)
texts = st.one_of(st.text(max_size=60), st.lists(signs, max_size=40).map("".join))


@pytest.mark.parametrize("name", READERS)
def test_arbitrary_text_ends_in_a_value_or_a_format_error(name):
    @settings(deadline=None, max_examples=60)
    @given(texts)
    def check(text):
        try:
            READERS[name](text)
        except FormatError:
            assert name == "cloud-config"

    check()


GOOD_SCRIPT = """\
type log || . /lib/lib.sh
function find { local x=$(one "$1" | two); case "$x" in a*) three ;; esac; }
a=(1 "2" '3'); for i in "${a[@]}"; do [ -e "$i" ] && four <<E > /dev/null || exit 1
body's
E
done
"""


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(GOOD_SCRIPT) - 1), signs, st.booleans())
def test_a_mutated_script_ends_and_tells_only_names_that_stand_in_it(position, sign, replace):
    script = GOOD_SCRIPT[:position] + sign + GOOD_SCRIPT[position + replace :]
    for command in read_shell_script(script).commands:
        assert command.name.strip(".-") == "" or command.name[0] in "/_" or command.name[0].isalnum()
        assert 1 <= command.line <= script.count("\n") + 1


class Pieces:
    """Builds scripts of which it is known what they call."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def simple(self, draw) -> str:
        name = f"cmd{len(self.called)}"
        self.called.append(name)
        arguments = [
            draw(
                st.sampled_from(
                    ["arg", "'if then fi (x'", '"; word"', "$x", "${y:-z}", "\\;", "-x", "in", "{}", "a=b"]
                )
            )
        ]
        if draw(st.booleans()):
            arguments.append(f'"$({self.simple(draw)})"')
        written = draw(
            st.sampled_from([name, f"'{name}'", f'"{name}"', f"V=1 {name}", f"> out {name}", f"\\{name}"])
        )
        return f"{written} {' '.join(arguments)}"

    def script(self, draw, depth: int) -> str:
        if depth == 0:
            return self.simple(draw)
        first, second = self.script(draw, depth - 1), self.script(draw, depth - 1)
        return draw(
            st.sampled_from(
                [
                    f"{first}; {second}",
                    f"{first} && {second}",
                    f"{first} | {second}",
                    f"{first} # it's {{ a comment\n{second}",
                    f"if {first}; then {second}; fi",
                    f"while {first}\ndo\n{second}\ndone",
                    f"for word in x 'y z'; do {first}; done; {second}",
                    f"case word in a|'b c') {first};; (*) {second} ;; esac",
                    f"( {first}) && {{ {second}; }}",
                    f"x=$( {first}); {second}",
                    f"[[ a =~ ^(b|c)$ ]] || {first}\n{second}",
                    f"list=(word $( {first})); {second}",
                    f"cat <<'END'\nword {first.splitlines()[0]}\nEND\n{first}; {second}",
                    f"func() {{ {first}\n}}; {second}",
                    f"{first} < <( {second})",
                    f"((word = 1)); {first}; echo $((1 + 2)) 2>&1; {second}",
                ]
            )
        )


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_script_tells_all_that_it_calls_and_nothing_else(data):
    pieces = Pieces()
    script = pieces.script(data.draw, 3)
    found = read_shell_script(script)
    assert found.problem is None
    assert set(pieces.called) == {command.name for command in found.commands} - {"cat"}


@settings(deadline=None)
@given(st.text(max_size=40))
@example("\\")
@example("$x${y}'\"")
def test_any_text_can_be_quoted_for_grub_and_comes_out(text):
    text = text.replace("\0", "").replace("\r", "").replace("\n#", "\n")
    double = '"' + "".join("\\" + c if c in '\\$"' else c for c in text) + '"'
    assert text == render(run(f"set key={double}\n", x="wrong", y="wrong").get("key"))
    single = "'" + text.replace("'", "'\\''") + "'"
    assert text == render(run(f"set key={single}\n", x="wrong", y="wrong").get("key"))


@settings(deadline=None)
@given(st.text(max_size=40))
@example("'$")
@example("'`")
def test_any_text_can_be_quoted_for_dracut_and_comes_out(text):
    conf = read_dracut_conf(f"key={shlex.quote(text)}\n")
    assert [text] == [assignment.value for assignment in conf.assignments]
    assert () == conf.problems


names = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
plain = st.text(st.characters(exclude_characters="\"'\\$#\n\r", exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(deadline=None)
@given(st.dictionaries(names, plain, max_size=6))
def test_plain_variables_come_out_of_an_environment_file(variables):
    text = "".join(f'{name}="{value}"\n' for name, value in variables.items())
    found = read_env_file(text)
    assert (variables, ()) == (found.values, found.problems)


@settings(deadline=None)
@given(
    st.dictionaries(names, st.lists(plain.map(lambda text: f"x{text}x"), min_size=1, max_size=3), max_size=5)
)
def test_values_come_out_of_a_unit(keys):
    text = "[Unit]\n" + "".join(f"{key} = {value}\n" for key, values in keys.items() for value in values)
    unit = read_unit(text)
    assert {key: tuple(values) for key, values in keys.items()} == unit.sections["Unit"]


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"#!"]))
def test_arbitrary_bytes_are_an_executable_s_head_or_refused(rest, start):
    head = start + rest
    interpreter = read_interpreter(head)
    assert interpreter is None or head.startswith(b"#!")
    with contextlib.suppress(FormatError):
        found = read_elf(head)
        assert found.bits in {32, 64}
        assert found.interpreter is None or found.interpreter_known


@pytest.mark.parametrize(
    "read",
    [
        read_index,
        read_loader_cache,
        parse_toc,
        lambda data: parse_stargz_footer(data, 1 << 20),
        lambda data: parse_chunked_footer(data, 1 << 20),
    ],
)
@pytest.mark.parametrize(
    "start", [b"", b"\xb0\x07\xf4\x57\0\2\0\1", b"glibc-ld.so.cache1.1", b'{"version":1,"entries":[']
)
def test_arbitrary_bytes_are_an_index_or_refused(read, start):
    @settings(deadline=None, max_examples=40)
    @given(st.binary(max_size=200))
    def check(rest):
        with contextlib.suppress(FormatError):
            read(start + rest)

    check()
