"""Options from variables and configuration files: one rule, a clear order, and every mistake at once."""

import argparse
import io
from pathlib import Path

import pytest

from cosinspect.cli import main
from cosinspect.commands import COMMANDS
from cosinspect.commands.command import STATUS_MEANINGS
from cosinspect.commands.settings import USER_ONLY, OptionSources, long_options, user_file, variable_of
from cosinspect.errors import InvalidConfiguration


def parsed(command, words, environment=(), directory=None, user=None, monkeypatch=None, tmp_path=None):
    """Parse arguments of a command with variables and the text of two files."""
    environment = dict(environment)
    if tmp_path is not None:
        monkeypatch.chdir(tmp_path)
        environment["XDG_CONFIG_HOME"] = str(tmp_path / "home")
    if directory is not None:
        Path("cosinspect.toml").write_text(directory)
    if user is not None:
        place = user_file(environment)
        place.parent.mkdir(parents=True)
        place.write_text(user)
    parser = argparse.ArgumentParser()
    COMMANDS[command].configure(parser)
    return OptionSources.of(environment).parse(parser, words, command)


@pytest.fixture
def files(monkeypatch, tmp_path):
    return lambda *given, **more: parsed(*given, monkeypatch=monkeypatch, tmp_path=tmp_path, **more)


def test_the_order_is_arguments_variables_directory_user(files):
    user = "jobs = 2\nprofile = 'user'\nformat = 'json'\ntimeout = 5\nplain-http = true\n"
    found = files(
        "check",
        ["x", "--profile", "argument"],
        environment={"COSINSPECT_PROFILE": "variable", "COSINSPECT_FORMAT": "junit"},
        directory="profile = 'directory'\nformat = 'sarif'\ntimeout = 4\n",
        user=user,
    )

    assert ("argument", "junit", 4.0, 2, True) == (
        found.profile, found.format, found.timeout, found.jobs, found.plain_http
    )  # fmt: skip


@pytest.mark.parametrize(("command", "jobs"), [("check", 3), ("ls", 5), ("cat", 2)])
def test_the_table_of_a_command_is_for_it_alone(files, command, jobs):
    words = ["x", "/a"] if command == "cat" else ["x"]
    assert jobs == files(command, words, directory="jobs = 2\n[check]\njobs = 3\n[ls]\njobs = 5\n").jobs


def test_lists_replace_and_are_split_as_in_a_shell(files):
    variables = {"COSINSPECT_POLICY": "a.toml 'b c.toml'"}

    assert ["a.toml", "b c.toml"] == files("check", ["x"], environment=variables).policy
    assert ["d.toml"] == parsed("check", ["x", "--policy", "d.toml"], variables).policy
    assert [] == parsed("check", ["x"]).policy


def test_a_list_with_commas_may_be_an_array(files):
    assert ("COS010", "COS011") == files("check", ["x"], directory="only = ['COS010', 'COS011']\n").only


def test_a_flag_can_be_set_back(files):
    found = files("check", ["x"], {"COSINSPECT_FAST": "false"}, user="fast = true\ntls-verify = false\n")

    assert (False, False) == (found.fast, found.tls_verify)


def test_an_argument_replaces_what_excludes_it(files):
    found = files("check", ["x", "--no-cache"], {"COSINSPECT_CACHE": "/a"}, user="cache = '/b'\n")

    assert (None, True) == (found.cache, found.no_cache)


def test_a_required_option_may_come_from_a_variable():
    assert "/c" == parsed("serve", [], {"COSINSPECT_CONFIG": "/c"}).config
    with pytest.raises(SystemExit):
        parsed("serve", [], {"COSINSPECT_CHECK": "true"})


def test_another_file_or_none_takes_the_place_of_both(files, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("jobs = 7\ncreds = 'env://TOKEN'\n")

    found = files(
        "check", ["x"], {"COSINSPECT_CONFIG_FILE": str(other)}, directory="jobs = 2\n", user="jobs = 3\n"
    )
    assert (7, "env://TOKEN") == (found.jobs, found.creds)
    assert 4 == parsed("check", ["x"], {"COSINSPECT_CONFIG_FILE": "off"}).jobs


MISTAKES = """\
profile = 3
jobs = 900
format = "xml"
plat = "linux/amd64"
workers = 3
fast = "yes"
policy = [["a"]]
ls = 3
[check]
only = []
nonsense = 1
"""


def test_every_mistake_of_a_file_is_reported_with_its_line(files):
    with pytest.raises(InvalidConfiguration) as caught:
        files("check", ["x"], directory=MISTAKES)

    assert "cosinspect.toml" == caught.value.where
    assert [
        "line 2, jobs: expected a number from 1 to 64, found '900'",
        "line 3, format: expected one of text, json, sarif, junit, github, markdown, html, found 'xml'",
        "line 4, plat: there is no such option; did you mean platform?",
        "line 6, fast: expected true or false, found 'yes'",
        "line 7, policy: expected one value, found an array",
        "line 8, ls: expected a table [ls] with options of the command ls",
        "line 10, check.only: expected ids of checks with commas between them, found ''",
        "line 11, check.nonsense: there is no such option; cosinspect help check lists the options",
    ] == list(caught.value.mistakes)


@pytest.mark.parametrize("option", sorted(USER_ONLY))
def test_what_sends_secrets_trusts_or_writes_is_not_taken_from_a_directory(monkeypatch, tmp_path, option):
    command = next(name for name in COMMANDS if option in long_options(_parser(name)))
    monkeypatch.chdir(tmp_path)
    Path("cosinspect.toml").write_text(f"{option} = 'x'\n")
    with pytest.raises(InvalidConfiguration, match="the file of a directory may be anybody's"):
        OptionSources.of({}).parse(_parser(command), [], command)


def _parser(command):
    """The parser of a command that requires nothing."""
    parser = argparse.ArgumentParser()
    COMMANDS[command].configure(parser)
    for action in parser._actions:
        action.required = False
        if not action.option_strings:
            action.nargs, action.choices = "*", None
    return parser


@pytest.mark.parametrize("command", COMMANDS)
def test_the_rule_holds_for_every_option(command):
    options = long_options(_parser(command))
    names = [variable_of(name) for name in options]

    assert len(set(names)) == len(names)
    assert all(name.removeprefix("COSINSPECT_").replace("_", "").isalnum() for name in names)
    for name, action in options.items():
        if action.nargs == 0:
            found = OptionSources({variable_of(name): "true"}).parse(_parser(command), [], command)
            assert getattr(found, action.dest)


@pytest.mark.parametrize(
    ("variables", "status", "message"),
    [
        ({"COSINSPECT_JOBS": "x"}, 2, "environment, COSINSPECT_JOBS: expected a number from 1 to 64, found 'x'\n"),
        ({"COSINSPECT_FAST": "maybe"}, 2, "COSINSPECT_FAST: expected true or false, found 'maybe'\n"),
        ({"COSINSPECT_POLICY": "'a"}, 2, "COSINSPECT_POLICY: expected values with blanks between them, quoted as in a shell"),
        ({"COSINSPECT_CONFIG_FILE": "/absent"}, 2, "expected a configuration file, found nothing there"),
        ({"COSINSPECT_JOBES": "2"}, 3, "warning: the variable COSINSPECT_JOBES is not an option of this command; did you mean COSINSPECT_JOBS?\n"),
        ({"COSINSPECT_CONFIG_FILE": "/dev/null"}, 2, "/dev/null: expected a file, found something else"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(monkeypatch, variables, status, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out, err = io.StringIO(), io.StringIO()

    assert status == main(["oci:/absent"], stdout=out, stderr=err)
    assert message in err.getvalue()
    assert "" == out.getvalue()


PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_page_names_what_a_directory_may_not_set():
    assert all(f"`{option}`" in PAGE for option in USER_ONLY)


def test_the_pages_and_the_help_have_the_same_table_of_statuses():
    out = io.StringIO()
    main(["--help"], stdout=out)
    for status, meaning in STATUS_MEANINGS.items():
        assert f"| {status} | {meaning}" in PAGE
        assert f"| {status} | {meaning}" in README
        assert f"  {status:<3}  {meaning}\n" in out.getvalue()
