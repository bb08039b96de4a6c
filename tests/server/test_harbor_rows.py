"""What Harbor stores of a report: PostgreSQL, with the unique key of Harbor's migrations, judges the items.

Harbor's code is no Go module that can be had; what it does with a report is in its source (pkg/scan/postprocessors,
report_converters.go and dao/scan/vulnerability.go): a row for each id, scanner, package and version, looked up before it is made.
"""

import json
import subprocess

import pytest
from attrs import evolve

from cosinspect.report.capabilities import Capability
from cosinspect.report.report import CheckResult, Finding, Kind, Level, Report, Verdict
from cosinspect.server.configuration import parse_configuration
from cosinspect.server.harbor import Scanner
from cosinspect.server.verdicts import Decided
from postgresql import needs_postgresql, postgresql

BASE = '[listen]\nplain_http = true\n[harbor]\n[[rules]]\nprofile = "cos"\n'


def scanner(directory, text=BASE):
    return Scanner(parse_configuration(text, directory=directory), None)


def report(*results, verdict=Verdict.FAIL, digest="0"):
    """A report with these results, as a document has it."""
    plain = {
        "schema": "cosinspect.report/1",
        "image": {
            "name": "a.example/org/os@x",
            "digest": f"sha256:{digest * 64}",
            "index": None,
            "platform": "",
            "layers": [],
        },
        "profile": "cos",
        "policies": [],
        "profile_asked": "cos",
        "required": ["boot"],
        "generation": "G2",
        "verdict": verdict.value,
        "capabilities": {},
        "results": [],
        "signature_required": False,
        "signatures": None,
        "stats": {"seconds": 0.0, "bytes": 0, "entries": 0},
    }
    found = evolve(Report.from_dict(plain), results=results)
    document = found.to_dict() | {"verdict": verdict.value}
    return Decided(
        f"sha256:{digest * 64}", "r", verdict, "it is undecided", json.dumps(document).encode(), 0.0
    )


def result(check, kind, *findings, decides=True):
    capabilities = (Capability.BOOT,) if decides else (Capability.INSTALL,)
    reason = "the registry is slow" if kind is Kind.OPEN else ""
    return CheckResult(check, "a-check", kind, Level.ERROR, capabilities, tuple(findings), reason)


def items(directory, decided, text=BASE):
    made = scanner(directory, text)
    return made._report(decided, made.configuration.rules[0])


def test_each_undecided_check_is_an_item_and_the_gravest(tmp_path):
    decided = report(result("COS011", Kind.OPEN), result("COS012", Kind.OPEN), verdict=Verdict.OPEN)

    found = items(tmp_path, decided)

    assert [(each["id"], each["severity"]) for each in found["vulnerabilities"]] == [
        ("COS011", "Critical"),
        ("COS012", "Critical"),
    ]
    assert "cannot be decided: the registry is slow" in found["vulnerabilities"][0]["description"]
    assert found["severity"] == "Critical"


@pytest.mark.parametrize(
    ("text", "fail", "undecided"),
    [
        (BASE, "Critical", "Critical"),
        (BASE + 'mode = "warn"\n', "High", "High"),
        (BASE + '[admission]\nundecided = "admit"\n', "Critical", "High"),
    ],
)
def test_what_the_rules_admit_has_nothing_critical(tmp_path, text, fail, undecided):
    failed = report(result("COS011", Kind.FAIL, Finding("broken", "/boot/vmlinuz")))
    opened = report(result("COS011", Kind.OPEN), verdict=Verdict.OPEN)
    passed = report(result("COS011", Kind.FAIL, Finding("odd", "/a"), decides=False), verdict=Verdict.PASS)

    assert items(tmp_path, failed, text)["severity"] == fail
    assert items(tmp_path, opened, text)["severity"] == undecided
    assert items(tmp_path, passed, text)["severity"] == "High"


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.OPEN])
def test_a_verdict_that_no_check_explains_is_an_item(tmp_path, verdict):
    (item,) = items(tmp_path, report(verdict=verdict))["vulnerabilities"]

    assert (item["id"], item["severity"], item["description"]) == (
        "COSINSPECT-VERDICT",
        "Critical",
        "it is undecided",
    )


@pytest.fixture
def database():
    """Run statements in a database of one's own; each must succeed."""
    with postgresql() as server:

        def ask(text):
            command = ["psql", "-d", server.address, "-qAt", "-v", "ON_ERROR_STOP=1"]
            done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()

        yield ask


def quoted(text):
    assert "\0" not in text
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.modules
@needs_postgresql
def test_no_two_images_share_a_row_and_each_item_has_one(tmp_path, database):
    long = "/" + "/".join(f"{number:x}" * 40 for number in range(90))
    findings = (
        Finding("first", "/boot/vmlinuz"),
        Finding("second", "/boot/vmlinuz"),
        Finding("long", long),
        Finding("also long", long + "2"),
        Finding("not UTF-8", "/a\udcff\x00'"),
        Finding("nowhere"),
    )
    database(
        "CREATE TABLE vulnerability_record (id serial PRIMARY KEY, cve_id text NOT NULL, registration_uuid text NOT NULL, "
        "package text NOT NULL, package_version text NOT NULL, severity text, description text, fixed_version text, "
        "UNIQUE (cve_id, registration_uuid, package, package_version));"
    )
    for digest in "ab":
        found = items(tmp_path, report(result("COS011", Kind.FAIL, *findings), digest=digest))[
            "vulnerabilities"
        ]
        assert len(found) == 5, "two findings of one check at one path are one item"
        assert "first" in found[0]["description"]
        assert "second" in found[0]["description"]
        for each in found:
            values = (each["id"], "uuid", each["package"], each["version"])
            values += (each["severity"], each["description"], each["fix_version"])
            database(
                "INSERT INTO vulnerability_record (cve_id, registration_uuid, package, package_version, severity, description, "
                f"fixed_version) VALUES ({', '.join(map(quoted, values))});"
            )
    assert database("SELECT count(*) FROM vulnerability_record;") == ["10"]
    assert database("SELECT count(*) FROM vulnerability_record WHERE package LIKE '%@sha256:%';") == ["10"]
