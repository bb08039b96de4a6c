"""Reading from the top down: a report early where upper layers settle it, and never another one than all layers give."""

import pytest
from test_tables import run

from cosinspect import inspect
from cosinspect.cache import Cache, open_directory
from cosinspect.errors import InvalidProfile
from cosinspect.report.report import Kind, Status, Verdict
from cosinspect.testing import Directory, ImageBuilder, Opaque, Registry, Symlink, Whiteout
from cosinspect.testing.derivative import BREAKAGES, derivative

RULES = """
name = "fleet"
[levels]
[[files]]
id = "FLEET1"
name = "motd-missing"
path = "/etc/motd"
[[files]]
id = "FLEET2"
name = "key-shipped"
path = "/etc/keys/private.pem"
exists = false
"""
GONE = {"etc": Directory(), "etc/motd": Whiteout()}
BASE = {"usr/share/ballast": bytes(range(256)) * 4000, "etc/base": "1", "etc/keys/private.pem": "secret"}


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(RULES)
    return path


def image(*upper):
    """A base with what nobody asks for, and layers on it, as overlayfs' differences are: parents listed."""
    builder = ImageBuilder(platform="linux/amd64").layer(BASE)
    for entries in upper:
        builder = builder.layer(entries)
    return builder.build()


def both(built, tmp_path, policy, only, **options):
    """Inspect in both ways, and hold the results against each other."""
    name = built.write_layout(tmp_path / "layout")
    rules = {"profile": "boot", "policies": [policy], "only": only}
    whole, fast = inspect(name, **rules), inspect(name, fast=True, **rules, **options)
    for own, other in zip(whole.results, fast.results, strict=True):
        assert own.kind is other.kind or other.kind is Kind.OPEN
    assert fast.verdict in (whole.verdict, Verdict.OPEN)
    assert not whole.provisional
    return fast


def results(report):
    return {result.check: result.kind for result in report.results}


@pytest.mark.parametrize(
    ("upper", "kind", "unread"),
    [
        ([{"etc/motd": "hello\n"}, {"opt/new": "1"}], Kind.PASS, (0,)),
        ([GONE], Kind.FAIL, (0,)),
        ([{"etc": Directory(), "etc/": Opaque()}], Kind.FAIL, ()),
        ([{"opt/new": "1"}], Kind.FAIL, ()),
    ],
)
def test_layers_that_can_change_nothing_are_not_read(tmp_path, policy, upper, kind, unread):
    fast = both(image(*upper), tmp_path, policy, ["FLEET1"]) if unread or kind is Kind.FAIL else None

    assert fast is not None
    assert {"FLEET1": kind} == results(fast)
    assert unread == fast.unread
    assert bool(unread) == fast.provisional
    assert unread == () or fast.stats.bytes < 1000


def test_a_failure_of_what_the_verdict_hangs_on_is_enough(tmp_path, policy):
    """The other rule could only be decided by the base."""
    fast = both(image(GONE), tmp_path, policy, ["FLEET1", "FLEET2"])

    assert {"FLEET1": Kind.FAIL, "FLEET2": Kind.OPEN} == results(fast)
    assert Verdict.FAIL == fast.verdict
    assert (0,) == fast.unread
    assert "layer 0, not read" in next(each.reason for each in fast.results if each.kind is Kind.OPEN)
    assert 1 == fast.failed[0].findings[0].layer  # the whiteout's


def test_what_only_the_base_tells_has_it_read(tmp_path, policy):
    fast = both(image({"etc/motd": "hello\n"}), tmp_path, policy, ["FLEET1", "FLEET2"])

    assert {"FLEET1": Kind.PASS, "FLEET2": Kind.FAIL} == results(fast)
    assert not fast.provisional


def test_a_layer_that_writes_through_a_directory_it_does_not_list_settles_nothing(tmp_path, policy):
    built = (
        ImageBuilder(platform="linux/amd64")
        .layer({"usr/motd": "base\n", "etc": Symlink("usr")}, parents=False)
        .layer({"etc/motd": Whiteout()}, parents=False)
        .build()
    )

    fast = both(built, tmp_path, policy, ["FLEET1"])

    assert {"FLEET1": Kind.FAIL} == results(fast)
    assert not fast.provisional


@pytest.mark.parametrize(
    "kind", [None, *list(BREAKAGES)[::9], "kernel-dangling", "layer-damaged", "no-systemd"]
)
def test_a_derivative_gets_the_verdict_that_all_its_layers_give(tmp_path, kind):
    name = derivative(kind).write_layout(tmp_path)

    whole, fast = inspect(name), inspect(name, fast=True)

    assert whole.verdict == fast.verdict
    decided = {result.check: result for result in fast.results if result.kind is not Kind.OPEN}
    for result in whole.results:
        assert fast.provisional or decided.get(result.check, result) == result


def test_what_was_decided_early_is_not_kept_as_known(tmp_path, policy):
    name = image(GONE).write_layout(tmp_path / "layout")
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))
    rules = {"profile": "boot", "policies": [policy], "only": ["FLEET1", "FLEET2"], "cache": cache}

    assert inspect(name, fast=True, **rules).provisional
    whole = inspect(name, **rules)
    assert {"FLEET1": Kind.FAIL, "FLEET2": Kind.FAIL} == results(whole)
    assert not inspect(name, fast=True, **rules).provisional


def test_only_some_checks_confirm_no_capability(tmp_path):
    name = derivative().write_layout(tmp_path)

    report = inspect(name, only=["COS010", "COS060"])

    assert ("COS010", "COS060") == report.selected
    assert ["COS010", "COS060"] == [result.check for result in report.results]
    assert Verdict.PASS == report.verdict
    assert Status.YES not in {found.status for found in report.capabilities.values()}
    broken = inspect(derivative("kernel-removed").write_layout(tmp_path / "broken"), only=["COS010"])
    assert Verdict.FAIL == broken.verdict
    with pytest.raises(InvalidProfile, match="there is no check 'COS999'"):
        inspect(name, only=["COS999"])


def test_both_kinds_of_reading_less_go_together(tmp_path, policy):
    built = (
        ImageBuilder(platform="linux/amd64")
        .seekable_layer(BASE)
        .seekable_layer({"etc/motd": "hello\n"})
        .seekable_layer({"opt/new": "1"})
        .build()
    )

    fast = both(built, tmp_path, policy, ["FLEET1"], trust_tables=True)

    assert ((0,), (1, 2)) == (fast.unread, fast.by_table)
    assert ("layers 1-2 read by the table of contents only", "layer 0 not read") == fast.reservations


def test_the_registry_is_not_asked_for_more_than_was_needed(policy):
    with Registry() as registry:
        built = image({"etc/motd": "hello\n"}, {"opt/new": "1"})
        name = registry.push(built, "org/os:v1")
        report = inspect(name, profile="boot", policies=[policy], only=["FLEET1"], fast=True, jobs=1)
        asked = {request.path.rpartition("/")[2] for request in registry.requests}

    assert (0,) == report.unread
    assert set(built.layers[1:]) <= asked


@pytest.mark.parametrize(
    ("ids", "said"), [(",", "expected ids of checks"), ("COS999", "there is no check 'COS999'")]
)
def test_ids_that_are_none_are_told(tmp_path, ids, said):
    name = derivative().write_layout(tmp_path)

    status, out, err = run("check", name, "--only", ids)

    assert (2, "") == (status, out)
    assert said in " ".join(err.split())


def test_the_command_says_what_it_did_not_read(tmp_path, policy):
    name = image({"etc/motd": "hello\n"}).write_layout(tmp_path / "layout")
    common = ("check", name, "--profile", "boot", "--policy", str(policy), "--only", "FLEET1", "--no-cache")

    status, out, _ = run(*common, "--fast")

    text = " ".join(out.split())
    assert 0 == status
    assert "as far as FLEET1 can tell, not asked whether it can boot, provisionally" in text
    assert "provisional layer 0 not read" in text
    status, _, err = run(*common, "--fast", "--verify", "full")
    assert 2 == status
    assert "exclude each other" in err
