"""A report as an in-toto statement of the type test-result, and the content of such a statement.

https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md, v0.1. Readers must ignore
unknown fields, so the whole report is in a field of our own.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from attrs import field, frozen

from cosinspect.errors import FormatError, InvalidManifest
from cosinspect.formats.signing.in_toto import read_statement
from cosinspect.formats.signing.signed_json import read_signed_json
from cosinspect.oci.documents import Digest
from cosinspect.report.report import Kind, Report, Verdict

__all__ = ["TEST_RESULT", "TestResult", "read_test_result", "statement_of"]

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
"""The predicate type."""

_STATEMENT = "https://in-toto.io/Statement/v1"


def statement_of(report: Report, rules: str) -> bytes:
    """Return a report as a statement about the named digest, which may be that of an index.

    Args:
        report: of the inspection.
        rules: digest of the rulebook.
    """
    passed: list[str] = []
    warned: list[str] = []
    failed: list[str] = []
    for result in report.results:
        name = f"{result.check} {result.name}"
        decisive = report.is_decisive(result)
        if result.kind is Kind.PASS:
            passed.append(name)
        elif result.kind is Kind.FAIL or (result.kind is Kind.OPEN and decisive):
            (failed if decisive else warned).append(name)
    results = {Verdict.PASS: "WARNED" if warned else "PASSED"}
    digest = Digest.parse(report.index or report.digest)
    statement = {
        "_type": _STATEMENT,
        "subject": [
            {"name": _repository(report.name), "digest": {digest.algorithm: digest.encoded}},
        ],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": results.get(report.verdict, "FAILED"),
            "configuration": [
                {"name": "cosinspect rules", "digest": {"sha256": rules}},
                {
                    "name": f"profile {' + '.join([report.profile, *report.policies])}",
                    "digest": {"sha256": rules},
                },
            ],
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
            "cosinspect": report.to_dict(),
        },
    }
    # `ascii`, since names of files need not be UTF-8.
    return msgspec.json.encode(_plain(statement))


@frozen
class TestResult:
    """The content of a statement.

    Attributes:
        subjects: the digests of its subjects.
        result: PASSED, WARNED or FAILED.
        failed: names of the tests that failed.
        warned: names of those that warned.
        rules: digest of the rulebook, "" if another tool made it.
        report: as `Report.to_dict` returns it, None if another tool made it.
    """

    subjects: tuple[Digest, ...]
    result: str
    failed: tuple[str, ...]
    warned: tuple[str, ...]
    rules: str
    report: dict[str, Any] | None = field(repr=False, hash=False)


class _WireResource(msgspec.Struct):
    name: str = ""
    digest: dict[str, str] = {}


class _WirePredicate(msgspec.Struct, rename="camel"):
    result: str
    configuration: list[_WireResource]
    warned_tests: list[str] = []
    failed_tests: list[str] = []
    cosinspect: dict[str, Any] | None = None


class _Wire(msgspec.Struct, rename="camel"):
    predicate: _WirePredicate


def read_test_result(raw: bytes) -> TestResult:
    """Read a statement of the type test-result.

    Raises:
        FormatError: of kind `json`, `fields` or `type`: the input is not such a statement.
    """
    statement = read_statement(raw)
    if statement.predicate_type != TEST_RESULT:
        raise FormatError(
            f"expected {TEST_RESULT}, found {statement.predicate_type[:200]!r}",
            kind="type",
            where="statement.predicateType",
        )
    predicate = read_signed_json(raw, _Wire, "statement").predicate
    if predicate.result not in ("PASSED", "WARNED", "FAILED"):
        raise FormatError(
            f"expected PASSED, WARNED or FAILED, found {predicate.result[:60]!r}",
            kind="fields",
            where="statement.predicate.result",
        )
    own = [
        each.digest.get("sha256", "") for each in predicate.configuration if each.name == "cosinspect rules"
    ]
    subjects = []
    for subject in statement.subjects:
        for algorithm, encoded in subject.digests.items():
            # A digest of an unknown algorithm identifies no image here.
            with contextlib.suppress(InvalidManifest):
                subjects.append(Digest.parse(f"{algorithm}:{encoded}"))
    return TestResult(
        tuple(subjects),
        predicate.result,
        tuple(predicate.failed_tests),
        tuple(predicate.warned_tests),
        own[0] if own else "",
        predicate.cosinspect,
    )


def _repository(name: str) -> str:
    """Return a name without tag and digest: the digest identifies the subject."""
    bare = name.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}" if slash else bare


def _plain(value: Any) -> Any:
    """Return plain data whose text is UTF-8; other bytes in names are escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
