"""Waivers cover what somebody answers for, and hide nothing."""

import io
import json
from datetime import date

import pytest
from policies import TODAY, written

from cosinspect import inspect
from cosinspect.cache import Cache, DirectoryStore
from cosinspect.cli import main
from cosinspect.errors import InvalidPolicy
from cosinspect.policy import load_policy
from cosinspect.render import RENDERERS
from cosinspect.report.report import Kind, Status, Verdict
from cosinspect.testing.derivative import derivative, derivative_of
from cosinspect.testing.derivative.parts import parts_of

WAIVED = """
[[waivers]]
check = "COS011"
reason = "known, PLAT-12"
expires = 2026-11-25
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    return derivative("kernel-dangling").write_layout(tmp_path_factory.mktemp("image"))


def waived(broken, tmp_path, text, *, today=TODAY, **options):
    return inspect(broken, policies=[load_policy(written(tmp_path, text))], today=today, **options)


def result_of(report, check):
    return next(each for each in report.results if each.check == check)


def test_the_verdict_leaves_it_out_and_the_report_does_not(broken, tmp_path):
    report = waived(broken, tmp_path, WAIVED)
    result = result_of(report, "COS011")
    assert (Kind.FAIL, True) == (result.kind, result.is_waived)
    assert "known, PLAT-12" == result.findings[0].waiver.reason
    assert Status.NO is next(
        each.status for name, each in report.capabilities.items() if name.value == "boot"
    )
    assert Verdict.PASS is report.verdict
    assert ("own",) == report.policies


def test_it_holds_on_its_last_day_and_no_longer(broken, tmp_path):
    report = waived(broken, tmp_path, WAIVED, today=date(2026, 11, 26))
    waiver = result_of(report, "COS011").findings[0].waiver
    assert waiver.expired
    assert Verdict.FAIL is report.verdict


@pytest.mark.parametrize(
    ("path", "verdict"),
    [("/boot/*", Verdict.PASS), ("/boot/vmlinuz", Verdict.PASS), ("/usr/*", Verdict.FAIL)],
)
def test_it_may_be_for_some_paths(broken, tmp_path, path, verdict):
    assert verdict is waived(broken, tmp_path, WAIVED + f'path = "{path}"\n').verdict


def test_one_that_covers_nothing_is_told(broken, tmp_path):
    report = waived(broken, tmp_path, WAIVED.replace("COS011", "COS020"))
    assert ["COS020"] == [waiver.check for waiver in report.unused]
    assert Verdict.FAIL is report.verdict


def test_what_is_undecided_can_be_waived(tmp_path):
    parts = parts_of("G2", "amd64")
    parts.cut = lambda data: b"\x89LZO\x00\r\n\x1a\n" + data  # which nobody here can unpack
    image = derivative_of(parts).write_layout(tmp_path / "image")
    plain = inspect(image)
    (check, *others) = [result.check for result in plain.results if result.kind is Kind.OPEN]
    text = "".join(WAIVED.replace("COS011", each) for each in (check, *others))
    report = waived(image, tmp_path, text)
    assert Verdict.OPEN is plain.verdict
    assert all(result.is_waived for result in report.results if result.kind is Kind.OPEN)


def test_a_required_signature_cannot_be_waived(broken, tmp_path):
    with pytest.raises(InvalidPolicy, match="a signature cannot be waived"):
        waived(broken, tmp_path, WAIVED.replace("COS011", "COS092"))


@pytest.mark.parametrize("wrong", ["COS999", "kernel-link-dangling", "FLEET001"])
def test_a_waiver_of_a_check_that_there_is_not(broken, tmp_path, wrong):
    with pytest.raises(InvalidPolicy, match=f"there is no check '{wrong}'"):
        waived(broken, tmp_path, WAIVED.replace("COS011", wrong))


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize("today", [TODAY, date(2027, 1, 1)])
def test_every_format_shows_it(broken, tmp_path, form, today):
    report = waived(broken, tmp_path, WAIVED, today=today)
    out = io.StringIO()
    RENDERERS[form].render(report, out)
    text = out.getvalue()
    assert "kernel-link-dangling" in text
    assert "PLAT-12" in text


def test_what_is_kept_of_an_image_is_held_against_the_day_that_is(broken, tmp_path):
    """The results come out of the cache; the waiver's day is looked at each time."""
    cache = Cache(DirectoryStore(tmp_path / "cache"))
    assert Verdict.PASS is waived(broken, tmp_path, WAIVED, cache=cache).verdict
    later = waived(broken, tmp_path, WAIVED, cache=cache, today=date(2027, 1, 1))
    assert (0, Verdict.FAIL) == (later.stats.bytes, later.verdict)
    assert ["results"] == sorted(
        {each.kind for each in cache.store.files()} - {"layer", "tree", "parsed", "comparison"}
    )


# -- the command -------------------------------------------------------------------------------------------------------


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    return main([str(each) for each in argv], stdout=out, stderr=err), out.getvalue(), err.getvalue()


def test_the_command_takes_policies(broken, tmp_path):
    first = written(tmp_path, WAIVED.replace("2026-11-25", "2099-01-01"), "first")
    second = written(tmp_path, '[[labels]]\nid = "OWN001"\nname = "label-missing"\nlabel = "x"\n', "second")
    assert 1 == run(broken)[0]
    status, out, err = run(broken, "--policy", first)
    assert (0, "") == (status, err)
    assert "PLAT-12" in out
    status, out, _ = run(broken, "--policy", first, "--policy", second, "--format", "json")
    document = json.loads(out)
    assert (1, ["first", "second"]) == (status, document["policies"])
    assert ["COS011", "OWN001"] == [each["check"] for each in document["results"] if each["kind"] == "fail"]


def test_explain_knows_the_rules_of_policies(broken, tmp_path):
    policy = written(tmp_path, '[[files]]\nid = "OWN001"\nname = "no-kernel"\npath = "/boot/vmlinuz"\n')
    status, out, _ = run("explain", broken, "OWN001", "--policy", policy)
    assert 0 == status
    assert "vmlinuz-6.1.0-50-amd64 was deleted" in out
    assert 2 == run("explain", broken, "OWN001")[0]


def test_mistakes_are_told_one_a_line_and_nothing_is_fetched(tmp_path):
    policy = written(tmp_path, '[[files]]\nid = "x"\n[[labels]]\nlabel = 7\n')
    status, out, err = run("localhost:1/os:1", "--policy", policy)
    assert (2, "") == (status, out)
    first, *mistakes = err.splitlines()
    assert f"cosinspect: error: {policy}: {len(mistakes)} mistakes" == first
    assert any(line.startswith("  line 2, files[0]") for line in mistakes)
    assert "  line 5, labels[0].label: expected text in quotes, found a whole number" in mistakes
