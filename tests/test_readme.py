"""README and the pages beside it are executed and compared: a session, Python, tables."""

import io
import re
import shlex
from pathlib import Path

import pytest

from catalogue import PAGE as CHECKS
from catalogue import rows as check_rows
from cosinspect import testing
from cosinspect.cli import main
from cosinspect.commands import COMMANDS
from cosinspect.profiles import load_profile
from cosinspect.report.report import Capability
from cosinspect.testing import Fault, File
from cosinspect.testing.derivative import derivative
from cosinspect.version import PROJECT
from generated import counts, excerpt, settled
from test_architecture import own_imports, room_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
API = (ROOT / "docs" / "api.md").read_text()
TESTING = (ROOT / "docs" / "testing.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
LONGEST = 150
"""Lines of README: who reads it wants to start."""


def blocks(page, marker, language):
    return re.findall(rf"<!-- {marker} -->\n```{language}\n(.*?)```", page, re.DOTALL)


def table(heading, page=README):
    """The cells of the table below a heading or marker."""
    text = page[page.index(heading) :]
    rows = re.search(r"((?:^\|.*\|\n)+)", text, re.MULTILINE)[1].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_session_is_what_the_command_says():
    match = re.search(r"<!-- excerpt: (.*?) -->\n```text\n(.*?)```", README, re.DOTALL)
    out, err = io.StringIO(), io.StringIO()

    status = main(match[1].split(), stdout=out, stderr=err)

    assert 1 == status
    assert f"$ cosinspect {match[1]}" == match[2].splitlines()[0]
    shown = "\n".join(match[2].splitlines()[1:])
    assert settled(shown) == settled(excerpt(out.getvalue()))
    assert all(line in settled(out.getvalue()) for line in settled(shown).splitlines())


def test_it_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= LONGEST
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    assert all(f"({page.name})" in index for page in (ROOT / "docs").glob("*.md") if page.name != "README.md")


def test_ten_commands_lead_from_nothing_to_a_mended_image(tmp_path, monkeypatch):
    (block,) = blocks(README, "ten", "sh")
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert 10 == len(commands)
    # The second installs the checkout, as the command below `start` does.
    assert ["git", "python3", "export", *["cosinspect"] * 7] == [words[0] for words in commands]
    assert PROJECT in block
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSINSPECT_CACHE", "off")
    found = []
    for words in commands[3:]:
        out, err = io.StringIO(), io.StringIO()
        found.append((main(words[1:], stdout=out, stderr=err), out.getvalue()))
        assert "" == err.getvalue()

    assert [0, 1, 0, 0, 0, 0, 1] == [status for status, _ in found]
    for text, (_, shown) in zip(
        (
            "OCI layout",
            "FAIL",
            "was deleted",
            "layer 4",
            "OCI layout",
            "PASS",
            "/boot/vmlinuz-6.1.0-50-amd64",
        ),
        found,
        strict=True,
    ):
        assert text in shown


# The session of the README shows the second.
KINDS = (None, "kernel-dangling")


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        (block, broken)
        for page in (README, API, TESTING)
        for block in blocks(page, "python", "python")
        for broken in (KINDS if "(name" in block else (None,))
    ],
)
def test_the_python_runs(code, broken, tmp_path):
    name = derivative(broken).write_layout(tmp_path)

    exec(compile(code, "README.md", "exec"), {"name": name})


def test_the_session_and_the_python_are_of_one_image():
    assert f"cosinspect demo --broken {KINDS[1]}" in README


def test_the_checks_are_those_of_the_catalogue():
    assert check_rows() == table("| id | name |", CHECKS.read_text())


def test_the_commands_are_those_there_are():
    named = {re.match(r"`(\w+)", row[0])[1] for row in table("| command | does |")}

    assert set(COMMANDS) == named


def test_the_example_profile_loads(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "fleet.toml"
    path.write_text(text)

    profile = load_profile(str(path))

    assert (Capability.BOOT, Capability.INSTALL, Capability.VERIFY) == profile.required


def test_the_floors_are_those_of_the_imports():
    rows = [re.findall(r"`([a-z_]+)/?`", row[0]) for row in table("| floor | holds |", ARCHITECTURE)]
    package = ROOT / "cosinspect"
    there = {
        path.name.removesuffix(".py")
        for path in package.iterdir()
        if not path.name.startswith(("__", "py.typed"))
    }
    level = {room: number for number, rooms in enumerate(rows) for room in rooms}

    assert there == level.keys()
    for path in package.rglob("*.py"):
        own = room_of(path)
        for name in own_imports(path) if own in level else ():
            other = [*name.split("."), ""][1]
            assert other == own or level.get(other, -1) < level[own], f"{path} imports {name}"


def test_the_testing_page_names_every_entry_and_fault():
    named = {name for row in table("<!-- entries -->", TESTING) for name in re.findall(r"`(\w+)`", row[0])}
    faults = {
        name for row in table("<!-- faults -->", TESTING) for name in re.findall(r"`Fault\.(\w+)`", row[0])
    }

    entries = {name for name in testing.__all__ if getattr(testing, name).__module__ == File.__module__}
    assert entries <= named
    assert {name for name, each in vars(Fault).items() if isinstance(each, classmethod)} == faults


def test_the_counts_of_accuracy_are_generated():
    assert counts() in (ROOT / "docs" / "accuracy.md").read_text()
