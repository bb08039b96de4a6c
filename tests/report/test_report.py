"""What results make of capabilities, and capabilities of a verdict; unknown never passes."""

import itertools
import json
from datetime import date

import pytest
from attrs import evolve

from cosinspect import inspect
from cosinspect.checks import CATALOGUE
from cosinspect.report.boot_chain import STAGES
from cosinspect.report.remedy import Remedy
from cosinspect.report.report import (
    DECIDABLE,
    SCHEMA,
    SIGNATURE_TAG,
    Capability,
    CapabilityResult,
    CheckResult,
    Effect,
    Finding,
    Kind,
    LayerSummary,
    Level,
    Need,
    Report,
    Stats,
    Status,
    Verdict,
    Waiver,
    judge,
    shorten_step,
)
from cosinspect.testing import ImageBuilder
from cosinspect.testing.derivative import derivative

BOOT, INSTALL, UPGRADE = Capability.BOOT, Capability.INSTALL, Capability.UPGRADE
UNDECIDABLE = sorted(set(Capability) - DECIDABLE, key=str)
UNKNOWN = ("the needs are not known for this kind of image",)


def result(kind, *capabilities, check="COS001", level=Level.ERROR):
    return CheckResult(check, "a-check", kind, level, capabilities)


def results(*kinds, capability=BOOT):
    return [result(kind, capability, check=f"COS{number:03}") for number, kind in enumerate(kinds)]


def report_of(*found, required=(BOOT,)):
    return Report(
        "oci:x",
        "sha256:" + "0" * 64,
        None,
        "linux/amd64",
        (),
        "own",
        "G2",
        "the second",
        tuple(required),
        tuple(found),
        Stats(0.0, 0, 0),
    )


# -- capabilities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "status", "because"),
    [
        ([Kind.PASS], Status.YES, ["COS000"]),
        ([Kind.PASS, Kind.PASS], Status.YES, ["COS000", "COS001"]),
        ([Kind.PASS, Kind.NOT_APPLICABLE], Status.YES, ["COS000"]),
        ([Kind.PASS, Kind.FAIL, Kind.OPEN, Kind.FAIL], Status.NO, ["COS001", "COS003"]),
        ([Kind.PASS, Kind.OPEN], Status.UNKNOWN, ["COS001"]),
        ([Kind.NOT_APPLICABLE], Status.UNKNOWN, []),
        ([], Status.UNKNOWN, []),
    ],
)
def test_failed_goes_before_open_and_open_before_passed(kinds, status, because):
    assert CapabilityResult(status, tuple(because)) == judge(BOOT, results(*kinds))


@pytest.mark.parametrize("kinds", list(itertools.product(Kind, repeat=3)))
def test_a_capability_is_given_only_where_nothing_speaks_against_it(kinds):
    found = judge(BOOT, results(*kinds))

    if found.status is Status.YES:
        assert not {Kind.FAIL, Kind.OPEN} & set(kinds)
        assert Kind.PASS in kinds
    assert (Kind.FAIL in kinds) == (found.status is Status.NO)


def test_results_that_do_not_decide_a_capability_do_not_count():
    found = [result(Kind.FAIL, INSTALL), result(Kind.OPEN), result(Kind.PASS, BOOT, check="COS002")]

    assert CapabilityResult(Status.YES, ("COS002",)) == judge(BOOT, found)


def test_a_level_does_not_count():
    assert Status.NO == judge(BOOT, [result(Kind.FAIL, BOOT, level=Level.NOTE)]).status


def need(*checks, operation=UPGRADE, effect=Effect.FAILS, **more):
    return Need((operation,), ("G2",), f"needs {' '.join(checks)}", effect, "a source", checks=checks, **more)


def test_a_capability_is_given_where_every_need_is_looked_at_and_met():
    found = results(Kind.PASS, Kind.NOT_APPLICABLE, capability=UPGRADE)

    assert CapabilityResult(Status.YES, ("COS000",)) == judge(
        UPGRADE, found, [need("COS000"), need("COS001")]
    )


def test_a_need_that_no_check_looked_at_is_named():
    found = results(Kind.PASS, capability=UPGRADE)

    expected = CapabilityResult(Status.UNKNOWN, (), ("needs COS009",))
    assert expected == judge(UPGRADE, found, [need("COS000"), need("COS009")])
    assert Status.UNKNOWN == judge(BOOT, results(Kind.PASS), [need("COS009", operation=BOOT)]).status


def test_a_need_of_a_lesser_function_costs_nothing():
    found = results(Kind.PASS, capability=UPGRADE)

    rows = [need("COS000"), need("COS009", effect=Effect.WARNING)]
    assert Status.YES == judge(UPGRADE, found, rows).status


def test_a_need_of_the_machine_is_an_assumption():
    found = results(Kind.PASS, capability=UPGRADE)

    assert (
        "assuming that the machine runs this image"
        == judge(UPGRADE, found, [need("COS000", machine=True)]).assuming
    )


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([Effect.FAILS, Effect.BROKEN], Effect.FAILS),
        ([Effect.BROKEN], Effect.BROKEN),
        ([Effect.WARNING], None),
        ([], None),
    ],
)
def test_a_failure_says_whether_the_command_fails_or_its_result_does_not_work(effects, expected):
    found = results(Kind.FAIL, capability=UPGRADE)

    assert expected is judge(UPGRADE, found, [need("COS000", effect=each) for each in effects]).effect


@pytest.mark.parametrize("capability", UNDECIDABLE)
def test_what_has_no_complete_rules_is_never_more_than_unknown(capability):
    assert CapabilityResult(Status.UNKNOWN, (), UNKNOWN) == judge(
        capability, results(Kind.PASS, capability=capability)
    )
    assert Status.NO == judge(capability, results(Kind.FAIL, capability=capability)).status


def test_a_report_judges_every_capability():
    assert set(Capability) == set(report_of().capabilities)


# -- the verdict -----------------------------------------------------------------------------------------------------

KIND_OF = {Status.YES: Kind.PASS, Status.NO: Kind.FAIL, Status.UNKNOWN: Kind.OPEN}


@pytest.mark.parametrize("statuses", list(itertools.product(Status, repeat=2)))
def test_the_verdict_is_that_of_the_worst_required_capability(statuses):
    boot, install = statuses
    found = [result(KIND_OF[boot], BOOT), result(KIND_OF[install], INSTALL)]

    verdict = report_of(*found, required=(BOOT, INSTALL)).verdict

    if Status.NO in statuses:
        assert Verdict.FAIL == verdict
    elif Status.UNKNOWN in statuses:
        assert Verdict.OPEN == verdict
    else:
        assert Verdict.PASS == verdict


@pytest.mark.parametrize("kind", Kind)
def test_what_is_not_required_does_not_change_the_verdict(kind):
    assert Verdict.PASS == report_of(result(Kind.PASS, BOOT), result(kind, INSTALL)).verdict


def test_nothing_required_never_passes():
    assert Verdict.OPEN == report_of(result(Kind.PASS, BOOT), required=()).verdict


def test_nothing_found_out_never_passes():
    assert Verdict.OPEN == report_of().verdict


@pytest.mark.parametrize("capability", UNDECIDABLE)
def test_what_cannot_be_decided_never_passes(capability):
    found = result(Kind.PASS, BOOT, capability)

    assert Verdict.OPEN == report_of(found, required=(BOOT, capability)).verdict


def test_the_gravest_failures_come_first_and_else_the_catalogues_order_stays():
    found = [
        result(Kind.FAIL, check="COS001", level=Level.NOTE),
        result(Kind.FAIL, check="COS002", level=Level.ERROR),
        result(Kind.PASS, check="COS003", level=Level.ERROR),
        result(Kind.FAIL, check="COS004", level=Level.WARNING),
        result(Kind.FAIL, check="COS005", level=Level.ERROR),
    ]

    assert ["COS002", "COS005", "COS004", "COS001"] == [each.check for each in report_of(*found).failed]


def test_two_reports_differ_in_nothing_but_what_they_cost():
    one = report_of(result(Kind.PASS, BOOT))

    assert one == evolve(one, stats=Stats(1.5, 3, 4))
    assert one != evolve(one, digest="sha256:" + "1" * 64)


# -- plain values ----------------------------------------------------------------------------------------------------

# The shape that the interface promises, key by key; a tuple is a list of what is in it.
TEXT, NUMBER, MAYBE_TEXT, MAYBE_NUMBER = (str,), (int, float), (str, type(None)), (int, type(None))
WAIVER = (dict, type(None))
SHAPE = {
    "schema": TEXT,
    "image": {
        "name": TEXT,
        "digest": TEXT,
        "index": MAYBE_TEXT,
        "platform": TEXT,
        "layers": [{"digest": TEXT, "diff_id": TEXT, "size": NUMBER, "created_by": MAYBE_TEXT}],
    },
    "profile": TEXT,
    "policies": [TEXT],
    "profile_asked": TEXT,
    "required": [TEXT],
    "generation": TEXT,
    "generation_title": TEXT,
    "semantics": [TEXT],
    "verdict": TEXT,
    "capabilities": {
        capability: {"status": TEXT, "because": [TEXT], "unknown": [TEXT], "assuming": TEXT, "effect": TEXT}
        for capability in ("boot", "install", "upgrade", "recovery", "iso", "verify", "aws", "gcp")
    },
    "results": [
        {
            "check": TEXT,
            "name": TEXT,
            "kind": TEXT,
            "level": TEXT,
            "capabilities": [TEXT],
            "findings": [
                {
                    "message": TEXT,
                    "path": MAYBE_TEXT,
                    "layer": MAYBE_NUMBER,
                    "evidence": [TEXT],
                    "remedy": MAYBE_TEXT,
                    "remedy_commands": [TEXT],
                    "waiver": WAIVER,
                    "semantics": MAYBE_TEXT,
                }
            ],
            "reason": TEXT,
            "remedy": TEXT,
            "transient": bool,
            "evidence": [TEXT],
            "waiver": WAIVER,
            "tags": [TEXT],
        }
    ],
    "unused_waivers": [dict],
    "provisional": [TEXT],
    "by_table": [int],
    "unread": [int],
    "selected": [TEXT],
    "signature_required": bool,
    "verified_required": bool,
    "signatures": type(None),
    "stats": {"seconds": NUMBER, "bytes": NUMBER, "entries": NUMBER},
}


def check_shape(shape, value, where="report"):
    if isinstance(shape, dict):
        assert shape.keys() == value.keys(), where
        for key, inner in shape.items():
            check_shape(inner, value[key], f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for number, item in enumerate(value):
            check_shape(shape[0], item, f"{where}[{number}]")
    else:
        assert isinstance(value, shape), where


@pytest.mark.parametrize("kind", [None, "kernel-dangling", "no-units", "initrd-junk", "no-toolkit"])
def test_a_report_has_the_shape_that_is_promised(tmp_path, kind):
    plain = inspect(derivative(kind).write_layout(tmp_path)).to_dict()

    check_shape(SHAPE, plain)
    assert plain == json.loads(json.dumps(plain))
    assert "cosinspect.report/1" == SCHEMA == plain["schema"]


def test_the_words_of_a_report_are_those_that_are_promised():
    assert ["pass", "fail", "open"] == [verdict.value for verdict in Verdict]
    assert ["yes", "no", "unknown"] == [status.value for status in Status]
    assert ["pass", "fail", "open", "notApplicable"] == [kind.value for kind in Kind]
    assert ["error", "warning", "note"] == [level.value for level in Level]


def test_everything_of_a_report_is_in_its_plain_values():
    finding = Finding("broken", "/boot/vmlinuz", 1, ("one", "two"), Remedy.of("mend it", "RUN true"))
    found = CheckResult(
        "COS011",
        "dangling",
        Kind.FAIL,
        Level.ERROR,
        (BOOT, UPGRADE),
        (finding,),
        "why",
        ("seen",),
        tags=("kernel",),
    )
    report = evolve(
        report_of(found),
        index="sha256:" + "1" * 64,
        layers=(
            LayerSummary("sha256:a", "sha256:b", 3, "RUN x"),
            LayerSummary("sha256:c", "sha256:d", 4, None),
        ),
        stats=Stats(1.23456, 7, 8),
    )

    plain = report.to_dict()

    assert {
        "name": "oci:x",
        "digest": "sha256:" + "0" * 64,
        "index": "sha256:" + "1" * 64,
        "platform": "linux/amd64",
        "layers": [
            {"digest": "sha256:a", "diff_id": "sha256:b", "size": 3, "created_by": "RUN x"},
            {"digest": "sha256:c", "diff_id": "sha256:d", "size": 4, "created_by": None},
        ],
    } == plain["image"]
    assert ("own", ["boot"], "G2", "fail") == (
        plain["profile"],
        plain["required"],
        plain["generation"],
        plain["verdict"],
    )
    more = {"unknown": [], "assuming": "", "effect": ""}
    assert {"status": "no", "because": ["COS011"], **more} == plain["capabilities"]["upgrade"]
    assert {"status": "unknown", "because": [], **more} == plain["capabilities"]["verify"]
    assert [
        {
            "check": "COS011",
            "name": "dangling",
            "kind": "fail",
            "level": "error",
            "capabilities": ["boot", "upgrade"],
            "findings": [
                {
                    "message": "broken",
                    "path": "/boot/vmlinuz",
                    "layer": 1,
                    "evidence": ["one", "two"],
                    "remedy": "mend it: RUN true",
                    "remedy_commands": ["RUN true"],
                    "waiver": None,
                    "semantics": None,
                }
            ],
            "reason": "why",
            "remedy": "",
            "transient": False,
            "evidence": ["seen"],
            "waiver": None,
            "tags": ["kernel"],
        }
    ] == plain["results"]
    assert {"seconds": 1.235, "bytes": 7, "entries": 8} == plain["stats"]


def test_an_image_that_does_not_tell_its_platform_has_none_in_the_report(tmp_path):
    def drop(config):
        del config["os"], config["architecture"]

    image = ImageBuilder().layer({"etc/hosts": ""}).edit_config(drop).build()

    assert "" == inspect(image.write_layout(tmp_path)).to_dict()["image"]["platform"]


# -- steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("RUN rm -rf /boot", "RUN rm -rf /boot"),
        ("/bin/sh -c rm -rf /boot", "rm -rf /boot"),
        ("RUN /bin/sh -c rm -rf /boot # buildkit", "RUN rm -rf /boot"),
        ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD file:abc in /"),
        ('/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'),
        ("RUN  a \\\n\t&& b", "RUN a \\ && b"),
        ("echo /bin/sh -c x", "echo /bin/sh -c x"),
        ("", ""),
    ],
)
def test_a_step_is_shown_without_what_builders_put_around_it(step, shown):
    assert shown == shorten_step(step)


def test_a_long_step_is_cut_to_the_width():
    assert "x" * 100 == shorten_step("x" * 100)
    assert "x" * 99 + "…" == shorten_step("x" * 101)
    assert "xxxx…" == shorten_step("x" * 101, 5)


WAIVER_TODAY = Waiver("COS011", "known", date(2027, 1, 1))
WAIVER_EXPIRED = evolve(WAIVER_TODAY, expired=True)


def failing(*waivers, capabilities=(Capability.BOOT,), level=Level.ERROR, reason=""):
    findings = tuple(Finding(f"finding {number}", waiver=waiver) for number, waiver in enumerate(waivers))
    return CheckResult("COS011", "x", Kind.FAIL, level, capabilities, findings, reason)


PASSING = CheckResult("COS010", "y", Kind.PASS, Level.ERROR, (Capability.BOOT,))


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([PASSING, failing(None)], Verdict.FAIL),
        ([PASSING, failing(WAIVER_TODAY)], Verdict.PASS),
        ([PASSING, failing(WAIVER_EXPIRED)], Verdict.FAIL),
        ([PASSING, failing(WAIVER_TODAY, None)], Verdict.FAIL),  # each finding needs one
        ([PASSING, failing(WAIVER_TODAY, reason="the check crashed")], Verdict.FAIL),
        ([failing(WAIVER_TODAY)], Verdict.OPEN),  # nothing speaks for it
        ([PASSING, failing(None, capabilities=())], Verdict.FAIL),  # an error that stands by itself
        ([PASSING, failing(WAIVER_TODAY, capabilities=())], Verdict.PASS),
        ([PASSING, failing(None, capabilities=(), level=Level.WARNING)], Verdict.PASS),
        ([PASSING, evolve(failing(capabilities=()), kind=Kind.OPEN)], Verdict.OPEN),
        ([PASSING, evolve(failing(capabilities=()), kind=Kind.OPEN, waiver=WAIVER_TODAY)], Verdict.PASS),
        ([PASSING, evolve(failing(capabilities=()), kind=Kind.OPEN, waiver=WAIVER_EXPIRED)], Verdict.OPEN),
    ],
)
def test_waivers_and_errors_of_their_own_count_in_the_verdict(results, verdict):
    made = report_of(*results)

    assert verdict is made.verdict
    decisive = any(made.is_decisive(each) for each in results if each.kind is not Kind.PASS)
    assert (verdict is Verdict.PASS) == (not decisive and not made.unconfirmed)


def test_a_waiver_does_not_change_what_an_image_can_do():
    """It says that somebody answers for it, not that the machine boots."""
    made = report_of(PASSING, failing(WAIVER_TODAY))

    assert Status.NO is made.capabilities[Capability.BOOT].status


def test_the_chain_of_the_boot_is_made_of_tags_that_checks_have():
    tagged = {tag: {item.id for item in CATALOGUE if tag in item.tags} for tag in STAGES}

    assert all(tagged.values())
    assert {"COS010", "COS011"} <= tagged["kernel"]
    assert {"COS020", "COS024"} <= tagged["initrd"]
    assert {"COS040", "COS043"} <= tagged["boot-menu"]
    assert {"COS060", "COS069"} <= tagged["system"]
    assert {"COS070", "COS071"} <= tagged["settings"]
    assert ["COS092"] == [item.id for item in CATALOGUE if SIGNATURE_TAG in item.tags]


def test_a_result_has_the_tags_of_its_check(tmp_path):
    found = inspect(derivative().write_layout(tmp_path))

    assert [item.tags for item in CATALOGUE] == [result.tags for result in found.results]


@pytest.mark.parametrize(
    ("effect", "decides"), [(Effect.FAILS, True), (Effect.BROKEN, True), (Effect.WARNING, False)]
)
def test_a_need_decides_unless_it_only_warns(effect, decides):
    assert decides is need("COS000", effect=effect).decides
