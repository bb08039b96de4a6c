"""A report that was written as JSON is read back as the report that it was."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect import Report, inspect
from cosinspect.errors import InvalidReport
from cosinspect.oci.documents import Digest
from cosinspect.report.json_text import json_text
from cosinspect.report.report import Verdict
from cosinspect.signatures.outcome import RejectedSignature, Verification, VerifiedSignature
from cosinspect.testing.derivative import derivative

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"
POLICY = """
name = "fleet"
[[waivers]]
check = "COS011"
reason = "known"
expires = 2999-01-31
[[waivers]]
check = "COS012"
reason = "matches nothing"
expires = 2999-01-31
"""


def read_back(report):
    plain = json.loads(json.dumps(report.to_dict()))
    again = Report.from_dict(plain)
    assert plain == again.to_dict()
    assert (report.verdict, report.capabilities, report.passed) == (
        again.verdict,
        again.capabilities,
        again.passed,
    )
    assert (report.results, report.failed, report.layers) == (again.results, again.failed, again.layers)
    assert (report.unconfirmed, report.signed, report.reservations) == (
        again.unconfirmed,
        again.signed,
        again.reservations,
    )
    return again


@pytest.mark.parametrize("generation", ["G0", "G2", "G5", "kairos", "bootc"])
@pytest.mark.parametrize("broken", [False, True])
def test_of_every_generation(tmp_path, generation, broken):
    kinds = {"kairos": "kairos-udev-masked", "bootc": "bootc-var-run"}
    kind = kinds.get(generation, "kernel-dangling") if broken else None
    report = inspect(derivative(kind, generation=generation).write_layout(tmp_path))

    assert broken is (not read_back(report).passed)


def test_one_with_waivers(tmp_path):
    policy = tmp_path / "fleet.toml"
    policy.write_text(POLICY)
    report = inspect(derivative("kernel-dangling").write_layout(tmp_path / "image"), policies=[policy])

    assert {"COS011", "COS012"} == {
        waiver.check for waiver in (*read_back(report).unused, *report.results[9].waivers)
    }


def test_one_of_some_checks_alone(tmp_path):
    report = inspect(derivative("no-tmp").write_layout(tmp_path), only=["COS010", "COS066"])

    assert ("COS010", "COS066") == read_back(report).selected


@pytest.mark.parametrize("signed", [True, False])
def test_one_of_which_a_signature_is_required(tmp_path, signed):
    verified = (VerifiedSignature("sha256-1.sig", "simple-signing", "cosign.pub", {"a": "b"}),)
    rejected = (RejectedSignature("sha256-2.sig", "not by anybody who is trusted"),)
    found = Verification(Digest.of(b""), "org/os", ("cosign.pub",), verified if signed else (), rejected)
    report = inspect(derivative().write_layout(tmp_path))
    report = evolve(report, signatures=found, signature_required=True, verified_required=True, by_table=(0,))

    again = read_back(report)

    assert found == again.signatures
    assert (Verdict.OPEN if signed else Verdict.FAIL) == again.verdict


def test_the_golden_report():
    plain = json.loads(GOLDEN.read_text())

    assert plain == json.loads(json_text(Report.from_dict(plain).to_dict()))


def test_a_report_of_an_earlier_version_has_what_it_has():
    plain = json.loads(GOLDEN.read_text())
    for key in ("generation_title", "verified_required", "unused_waivers", "semantics"):
        del plain[key]
    for result in plain["results"]:
        del result["tags"]
    for capability in plain["capabilities"].values():
        del capability["unknown"], capability["assuming"], capability["effect"]
    del plain["capabilities"]["aws"]

    report = Report.from_dict(plain)

    assert plain["verdict"] == report.verdict.value
    assert "unknown" == report.to_dict()["capabilities"]["aws"]["status"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "cosinspect.report/2"}, {"verdict": "maybe"}, {"results": [{}]}, {"image": None}, {"required": ["fly"]},
        {"signatures": {"subject": "x"}}, {"stats": 5}, {"capabilities": {"boot": {"status": "yes"}}},
        {"signatures": {"subject": "md5:0", "repository": "", "trusted": [], "verified": [], "rejected": [], "trouble": ""}},
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(change):
    with pytest.raises(InvalidReport, match="expected a report with the schema"):
        Report.from_dict(json.loads(GOLDEN.read_text()) | change)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_values_of_other_types_are_a_report_or_an_error(data):
    plain = json.loads(GOLDEN.read_text())
    place = plain
    key = data.draw(st.sampled_from(sorted(plain)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JSON)
    with suppress(InvalidReport):
        Report.from_dict(plain).to_dict()
