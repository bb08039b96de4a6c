"""Checks of installed distributions, found by the interpreter's own metadata."""

import io
import re
import sys
from pathlib import Path

import pytest
from policies import TODAY, written

from cosinspect import inspect
from cosinspect.cache import Cache, DirectoryStore
from cosinspect.checks.plugins import installed_checks
from cosinspect.cli import main
from cosinspect.errors import InvalidPlugin
from cosinspect.policy import load_policy
from cosinspect.report.report import Kind, Verdict
from cosinspect.testing import ImageBuilder
from cosinspect.testing.derivative import derivative

MANUAL = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()


def block(mark):
    return re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", MANUAL, re.DOTALL)[1]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution as pip leaves one: a module and its metadata in a directory on the path."""
    names = []

    def installed(code, *, module="fleet_checks", value="CHECKS", name="fleet"):
        site = tmp_path / "site"
        metadata = site / f"{module}-1.2.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[cosinspect.checks]\n{name} = {module}:{value}\n")
        (site / f"{module}.py").write_text(code)
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(str(site))
        names.append(module)

    yield installed
    for module in names:
        sys.modules.pop(module, None)


CHECK = """
from cosinspect.checks.base import check
from cosinspect.report.report import Finding, Level, Capability

@check(id="{id}", name="{name}", level=Level.ERROR, summary="x", why="x", remedy="do x", universal=True)
def CHECKS(context):
    {body}
"""


def plugin(check="OWN100", name="own-check", body="yield 'seen'"):
    return CHECK.format(id=check, name=name, body=body)


def test_the_example_of_the_manual_works(install, tmp_path):
    install(block("plugin"))
    image = ImageBuilder().layer({"etc/hostname": "baked\n"}).build().write_layout(tmp_path / "image")
    found = next(each for each in inspect(image).results if each.check == "FLEET100")
    assert (Kind.FAIL, "/etc/hostname", 0) == (found.kind, found.findings[0].path, found.findings[0].layer)
    out = io.StringIO()
    assert 0 == main(["checks"], stdout=out)
    assert "FLEET100" in out.getvalue()


def test_the_example_policy_of_the_manual_works(tmp_path):
    path = tmp_path / "fleet.toml"
    path.write_text(block("policy"))
    report = inspect(derivative().write_layout(tmp_path / "image"), policies=[load_policy(path)], today=TODAY)
    kinds = {each.check: each.kind for each in report.results if each.check.startswith("FLEET")}
    assert {
        "FLEET001": Kind.NOT_APPLICABLE,
        "FLEET002": Kind.PASS,
        "FLEET003": Kind.PASS,
        "FLEET004": Kind.FAIL,
        "FLEET005": Kind.PASS,
    } == kinds


def test_one_that_crashes_is_undecided_and_never_a_pass(install, tmp_path):
    install(plugin(body="raise RuntimeError('oh'); yield"))
    report = inspect(derivative().write_layout(tmp_path / "image"))
    found = next(each for each in report.results if each.check == "OWN100")
    assert (Kind.OPEN, "the check crashed: RuntimeError: oh") == (found.kind, found.reason)
    assert Verdict.OPEN is report.verdict


def test_its_level_can_be_changed_and_its_findings_waived(install, tmp_path):
    install(plugin(body="yield Finding('expected y, found x')"))
    image = derivative().write_layout(tmp_path / "image")
    assert Verdict.FAIL is inspect(image).verdict
    for text in (
        '[levels]\nOWN100 = "note"\n',
        '[[waivers]]\ncheck = "OWN100"\nreason = "known"\nexpires = 2099-01-01\n',
    ):
        assert Verdict.PASS is inspect(image, policies=[written(tmp_path, text)], today=TODAY).verdict


def test_what_a_plugin_said_is_not_kept(install, tmp_path):
    """Nobody knows what its code depends on."""
    install(plugin())
    cache = Cache(DirectoryStore(tmp_path / "cache"))
    inspect(derivative().write_layout(tmp_path / "image"), cache=cache)
    assert "results" not in {each.kind for each in cache.store.files()}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(3)", "loading them raised SystemExit: 3"),
        ("CHECKS = (", "loading them raised SyntaxError"),
        ("OTHER = 1", "loading them raised AttributeError"),
        ("CHECKS = [1]", "found a int"),
        (plugin(check="COS500"), "COS500 belongs to the catalogue"),
        (plugin(name="kernel-missing"), "kernel-missing is taken by cosinspect itself"),
    ],
)
def test_one_that_cannot_be_used_keeps_every_inspection_from_being_made(install, code, expected):
    install(code)
    with pytest.raises(InvalidPlugin) as told:
        installed_checks()
    assert expected in str(told.value)
    assert "plugin fleet (fleet_checks:CHECKS) of fleet_checks 1.2" in str(told.value)
    err = io.StringIO()
    assert 3 == main(["localhost:1/os:1"], stderr=err)
    assert 1 == err.getvalue().count("\n")


def test_two_with_one_id(install):
    install(plugin())
    install(plugin(name="other"), module="other_checks", name="other")
    with pytest.raises(InvalidPlugin, match="OWN100 is taken by plugin fleet"):
        installed_checks()
