"""JUnit XML, read by a parser of another project, since the format has no standard."""

import io
import xml.dom.minidom

import pytest
from attrs import evolve
from handmade import KERNEL, report
from junitparser import Error, Failure, JUnitXml, Skipped
from strangers import nasty, waived

from cosinspect.render.junit import JunitRenderer
from cosinspect.report.report import Capability, Level, Verdict


def rendered(made):
    stream = io.StringIO()
    JunitRenderer().render(made, stream)
    return stream.getvalue()


def suite_of(made):
    document = JUnitXml.fromstring(rendered(made).encode())
    (suite,) = list(document)
    return document, suite


def outcome(case):
    return type(case.result[0]) if case.result else None


def cases(made):
    return {case.name.split()[0]: case for case in suite_of(made)[1]}


def test_a_test_for_each_check():
    made = report()
    document, suite = suite_of(made)

    assert [f"{each.check} {each.name}" for each in made.results] == [case.name for case in suite]
    assert (9, 1, 0, 2) == (document.tests, document.failures, document.errors, document.skipped)
    assert (9, 1, 0, 2) == (suite.tests, suite.failures, suite.errors, suite.skipped)
    assert "fail" == {item.name: item.value for item in suite.properties()}["verdict"]


def test_a_failure_tells_everything():
    (failure,) = cases(report())["COS011"].result

    assert isinstance(failure, Failure)
    assert "expected a kernel at /boot/vmlinuz, its link leads to nothing" == failure.message
    assert "- layer 1 (zypper clean && rm -f /boot/vmlinuz-*) removed it" in failure.text
    assert "remedy: Keep the kernel that the link names." in failure.text


def test_what_the_verdict_does_not_hang_on_is_told_and_passes():
    case = cases(report())["COS063"]

    assert outcome(case) is None
    assert "cos-setup-boot.service" in case.system_out


def test_what_is_undecided_and_required_is_an_error():
    made = report(required=(Capability.UPGRADE,))

    assert Error is outcome(cases(made)["COS082"])
    assert outcome(cases(report())["COS082"]) is None


@pytest.mark.parametrize("made", [report(), waived(), nasty(), report(required=(Capability.VERIFY,))])
def test_it_is_red_exactly_where_the_command_fails(made):
    _, suite = suite_of(made)

    assert (made.verdict is Verdict.PASS) == (suite.failures + suite.errors == 0)


def test_an_error_that_decides_no_capability_is_red():
    made = report(evolve(KERNEL, capabilities=(), level=Level.ERROR), required=(Capability.VERIFY,))

    assert Failure is outcome(cases(made)["COS011"])


def test_what_is_waived_is_skipped_with_its_reason():
    (skipped,) = cases(waived())["COS011"].result

    assert isinstance(skipped, Skipped)
    assert "waived until 2027-03-31: the kernel comes with the next layer, see PLAT-12" == skipped.message
    assert "a waiver of COS012 matches nothing" in rendered(waived())


def test_strangers_cannot_leave_their_place():
    """Another parser reads the same; nothing that XML forbids is in it."""
    made = nasty()
    text = rendered(made)
    there = len(made.results) + len(made.unconfirmed)
    elements = [node.tagName for node in xml.dom.minidom.parseString(text.encode()).getElementsByTagName("*")]

    assert there == elements.count("testcase")
    assert {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "skipped", "error", "system-out",
    } >= set(elements)  # fmt: skip
    assert all(character.isprintable() or character == "\n" for character in text)
