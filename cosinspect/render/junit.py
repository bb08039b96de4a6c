"""A report as JUnit XML, which every CI system shows as a test report: a suite for the image, a test for each check.

A test fails if its check makes the verdict fail. It is an error if the verdict needs the check and the check
is undecided. It is skipped if the check does not apply or its findings are waived. Findings of lower level
are in the output of passed tests, so that a report is red exactly if the exit status is not 0. The format has
no standard; this is the common subset of Ant's task, Maven's Surefire and their readers (Jenkins, GitLab).
"""

from __future__ import annotations

from typing import TextIO
from xml.etree import ElementTree as ET

from cosinspect.report.display import printable
from cosinspect.report.lines import result_lines, sentence, waiver_line
from cosinspect.report.report import CheckResult, Finding, Kind, Report

__all__ = ["JunitRenderer"]


class JunitRenderer:
    """Writes one document; ignores colour and width."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        suite = ET.Element("testsuite", name=printable(report.name))
        properties = ET.SubElement(suite, "properties")
        for name, value in _properties(report).items():
            ET.SubElement(properties, "property", name=name, value=printable(value))
        counts = dict.fromkeys(("failures", "errors", "skipped"), 0)
        for result in report.results:
            _case(report, result, suite, counts)
        for capability in report.unconfirmed:
            counts["errors"] += 1
            case = ET.SubElement(
                suite, "testcase", classname="cosinspect", name=f"capability {capability.value}", time="0"
            )
            ET.SubElement(case, "error", message="no check confirms it", type="undecided")
        for waiver in report.unused:
            ET.SubElement(suite, "system-out").text = printable(
                f"a waiver of {waiver.check} matches nothing: {waiver.reason}"
            )
        tests = len(report.results) + len(report.unconfirmed)
        totals = {"tests": str(tests), **{name: str(count) for name, count in counts.items()}}
        suite.attrib.update(totals, time=report.stats.long_seconds)
        root = ET.Element("testsuites", {"name": "cosinspect", **totals, "time": suite.attrib["time"]})
        root.append(suite)
        ET.indent(root)
        stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        stream.write(ET.tostring(root, encoding="unicode", short_empty_elements=True) + "\n")


def _properties(report: Report) -> dict[str, str]:
    return {
        "digest": report.digest,
        "platform": report.platform,
        "profile": report.profile,
        "policies": ", ".join(report.policies),
        "generation": report.generation,
        **({"upgrade_from": report.upgrade_from.line} if report.upgrade_from is not None else {}),
        "verdict": report.verdict.value,
        **({"provisional": ", ".join(report.reservations)} if report.provisional else {}),
        **{
            f"capability.{capability.value}": result.status.value
            for capability, result in report.capabilities.items()
        },
    }


def _case(report: Report, result: CheckResult, suite: ET.Element, counts: dict[str, int]) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"cosinspect.{printable(report.profile)}",
        name=f"{result.check} {result.name}",
        time="0",
    )
    lines = "\n".join(result_lines(report, result)) or "\n".join(map(printable, result.evidence))
    if result.kind is Kind.NOT_APPLICABLE:
        counts["skipped"] += 1
        ET.SubElement(case, "skipped", message=printable(result.reason))
    elif result.is_waived:
        counts["skipped"] += 1
        ET.SubElement(case, "skipped", message="; ".join(map(waiver_line, result.waivers)))
        ET.SubElement(case, "system-out").text = lines
    elif report.is_decisive(result) and result.kind is Kind.FAIL:
        counts["failures"] += 1
        first = next((each for each in result.findings if not each.is_waived), Finding(result.reason))
        failure = ET.SubElement(case, "failure", message=printable(first.message), type=result.level.value)
        failure.text = lines
    elif report.is_decisive(result) and result.kind is Kind.OPEN:
        counts["errors"] += 1
        error = ET.SubElement(case, "error", message=printable(result.reason), type="undecided")
        error.text = sentence(report)
    elif lines:
        ET.SubElement(case, "system-out").text = lines
