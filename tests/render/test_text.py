"""The report for people: what it says first, what it leaves out, and that it is harmless."""

import io
import re
from itertools import pairwise

import handmade
import pytest
from attrs import evolve
from handmade import report

from cosinspect.render import Choices, ReportPart, chosen_renderer
from cosinspect.report.report import Capability, Effect, Finding, Kind, Need

BOOT, INSTALL, UPGRADE, ISO = (
    Capability.BOOT,
    Capability.INSTALL,
    Capability.UPGRADE,
    Capability.ISO,
)
LONG = "a sentence of many words " * 12


def rendered(found=None, show=frozenset(), **options):
    stream = io.StringIO()
    chosen_renderer("text", Choices(show=show)).render(found or report(), stream, **options)
    return stream.getvalue()


def passing(*capabilities):
    return evolve(handmade.LINKS, check="COS001", capabilities=capabilities, evidence=("seen",))


def test_the_whole_text_is_frozen(golden):
    golden("report.txt", rendered())


@pytest.mark.parametrize(
    ("results", "required", "first"),
    [
        ([passing(BOOT)], (BOOT,), "PASS  quay.io/org/os:v1 can boot"),
        ([passing(BOOT, INSTALL)], (BOOT, INSTALL), "PASS  quay.io/org/os:v1 can boot and install"),
        ([handmade.KERNEL], (BOOT, INSTALL), "FAIL  quay.io/org/os:v1 cannot boot, cannot install"),
        (
            [handmade.KERNEL],
            (BOOT, ISO),
            "FAIL  quay.io/org/os:v1 cannot boot, unknown whether it can make an ISO",
        ),
        ([handmade.DATABASE], (UPGRADE,), "UNDECIDED  quay.io/org/os:v1 unknown whether it can upgrade"),
        (
            [passing(BOOT), handmade.DATABASE],
            (BOOT, INSTALL, UPGRADE),
            "UNDECIDED  quay.io/org/os:v1 unknown whether it can install or upgrade",
        ),
    ],
)
def test_the_first_line_is_the_verdict_in_words(results, required, first):
    assert first == rendered(report(*results, required=required)).splitlines()[0]


def test_the_last_line_is_the_verdict_again():
    lines = rendered().splitlines()

    assert "" == lines[-2]
    assert lines[0] == lines[-1]


def test_a_pass_takes_few_lines_however_many_checks_there_are():
    many = [evolve(passing(*Capability), check=f"COS{number:03}") for number in range(200)]

    text = rendered(report(*many))

    assert len(text.splitlines()) <= 18
    assert "\n200 checks pass (--show passed)\n" in text


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ((1, 0), "1 check passes (--show passed)"),
        ((2, 1), "2 checks pass, 1 does not apply (--show passed,not-applicable)"),
        ((0, 1), "1 check does not apply (--show not-applicable)"),
        ((0, 2), "2 checks do not apply (--show not-applicable)"),
        ((1, 2), "1 check passes, 2 do not apply (--show passed,not-applicable)"),
    ],
)
def test_the_rest_is_counted_with_the_right_number_of_the_noun(counts, line):
    passes, others = counts
    results = [evolve(passing(BOOT), check=f"COS{number:03}") for number in range(passes)]
    results += [evolve(handmade.TOOLS, check=f"COS{number:03}") for number in range(900, 900 + others)]

    assert f"\n{line}\n" in rendered(report(*results))


def test_the_same_reason_of_several_capabilities_is_printed_once():
    text = rendered(report(evolve(handmade.KERNEL, capabilities=(BOOT, INSTALL, UPGRADE, ISO))))
    capabilities = text[text.index("Capabilities") : text.index("What fails")]

    assert "  no       boot (required), install (required), upgrade, iso, aws, gcp\n" in capabilities
    assert 1 == capabilities.count("COS011")


def test_a_condition_of_some_capabilities_stands_below_all_that_are_yes():
    rows = tuple(
        Need(
            (operation,),
            ("G2",),
            "the machine has it",
            Effect.FAILS,
            "x.go:1",
            machine=True,
            checks=("COS001",),
        )
        for operation in (INSTALL, UPGRADE)
    )
    found = evolve(report(passing(BOOT, INSTALL, UPGRADE)), needs=rows)

    assert (
        "  yes      boot (required), install (required), upgrade\n"
        "             install, upgrade: assuming that the machine runs this image\n"
    ) in rendered(found)


def test_a_selection_of_checks_says_what_was_not_asked():
    text = rendered(evolve(report(passing(BOOT)), selected=("COS001",)))

    assert (
        "PASS  quay.io/org/os:v1 as far as COS001 can tell, not asked whether it can boot or install\n"
        in text
    )
    assert (
        "  unknown  boot (required), install (required), upgrade, recovery, iso, verify, aws, gcp\n"
        "             not asked: only COS001 ran\n"
    ) in text


def test_many_needs_that_no_check_looked_at_are_counted():
    rows = tuple(
        Need((UPGRADE,), ("G2",), f"Need {number}.", Effect.FAILS, "x.go:1", checks=("COS999",))
        for number in range(5)
    )
    found = evolve(report(passing(BOOT, INSTALL, UPGRADE)), needs=rows)

    assert "no check looked at: Need 0; Need 1; and 3 more needs\n" in rendered(found)


def test_parts_that_are_asked_for_are_listed():
    brief, whole = rendered(), rendered(show=frozenset(ReportPart))

    for line in (
        "  COS040  /etc/cos/grub.cfg is there",
        "Not applicable (2)  COS047, COS062",
        "remedy: Install ucode-intel.",
    ):
        assert line not in brief
        assert line in whole
    assert "COS033 microcode-missing  expected microcode in the initrd, found none\n" in brief
    assert "--show" not in whole


def test_a_check_of_a_lower_level_that_decides_the_verdict_is_among_what_fails():
    decisive = evolve(handmade.UNITS, capabilities=(BOOT,))

    text = rendered(report(decisive))

    assert "What fails (1)\n  COS063 cos-units-missing  warning, breaks boot\n" in text
    assert "Warnings" not in text


def test_sections_stand_in_the_order_of_their_weight():
    text = rendered(show=frozenset(ReportPart))
    headings = ["Capabilities", "What fails", "Undecided", "Warnings", "Notes", "Passed", "Not applicable"]

    places = [text.index(f"\n{heading}") for heading in headings]

    assert all(earlier < later for earlier, later in pairwise(places))


def test_sections_without_content_are_left_out():
    text = rendered(report(passing(BOOT, INSTALL)))

    for heading in ("What fails", "Undecided", "Warnings", "Notes", "Not applicable"):
        assert heading not in text


def test_a_capability_without_known_needs_says_so():
    assert "  recovery, iso\n             the needs are not known for this kind of image\n" in re.sub(
        " {11}rec", "  rec", rendered()
    )


def test_an_unknown_generation_says_what_that_means():
    assert "generation  none found: not a known kind of derivative\n" in rendered(report(generation=""))


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_prose_stays_within_the_width_and_paths_stay_whole(width):
    path = "/" + "deep/" * 40 + "file"
    result = evolve(handmade.KERNEL, findings=(Finding(LONG, path, 1, (LONG,), LONG),))
    silent = [
        evolve(handmade.LINKS, check=f"COS{number:03}", name=f"defect-{number}") for number in range(200, 240)
    ]

    lines = rendered(
        report(result, evolve(handmade.DATABASE, reason=LONG), *silent), width=width
    ).splitlines()

    # The rows of a digest and of the path hold one word that is longer than some of these widths.
    wide = [line for line in lines if len(line) > width and "sha256:" not in line]
    assert [path] == [line.split()[-1] for line in wide if path in line]
    assert all(path in line for line in wide)
    assert [] == [line for line in lines if line != line.rstrip()]


def test_what_comes_from_the_image_cannot_reach_the_terminal():
    evil = "\x1b]0;title\x07\x9b2J\u202e\r\n\ufeff"
    result = evolve(
        handmade.KERNEL, findings=(Finding(evil, evil, 1, (evil,), evil),), name="kernel-link-dangling"
    )
    others = [evolve(handmade.DATABASE, reason=evil), evolve(handmade.GRUB, evidence=(evil,))]

    found = report(result, *others, platform=f"linux/{evil}", name=f"oci:{evil}")
    found = evolve(found, layers=tuple(evolve(layer, created_by=evil) for layer in found.layers))

    text = rendered(found)
    assert [] == [line for line in text.split("\n") if not line.isprintable()]
    assert 8 <= text.count("\\x1b]0;title\\x07\\x9b2J\\u202e\\r\\n\\ufeff")


def test_without_colour_there_is_no_escape_whatever_the_environment(monkeypatch):
    plain = rendered()
    for name, value in {
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
        "COLUMNS": "20",
        "CLICOLOR_FORCE": "1",
    }.items():
        monkeypatch.setenv(name, value)

    assert plain == rendered()


def test_colour_adds_escapes_and_no_other_character(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")  # whoever calls has decided
    coloured = rendered(color=True)

    assert "\x1b[1;31mFAIL" in coloured
    assert rendered() == re.sub(r"\x1b\[[0-9;]*m", "", coloured)


def test_a_step_is_named_where_no_evidence_names_it():
    finding = evolve(handmade.KERNEL.findings[0], evidence=("something else",))

    text = rendered(report(evolve(handmade.KERNEL, findings=(finding,))))

    assert "at /boot/vmlinuz in layer 1 (zypper clean && rm -f /boot/vmlinuz-*)\n" in text


def test_a_layer_that_the_report_does_not_have_is_only_numbered():
    finding = Finding("expected x, found y", "/x", 99)

    assert "at /x in layer 99\n" in rendered(report(evolve(handmade.KERNEL, findings=(finding,))))


def test_a_remedy_that_all_findings_share_is_said_once():
    findings = [Finding(f"expected {number}, it is not there", remedy="Install it.") for number in range(3)]

    assert 1 == rendered(report(evolve(handmade.KERNEL, findings=findings))).count("remedy: Install it.")


def test_many_findings_and_much_evidence_are_counted_instead_of_shown():
    findings = [
        Finding(f"defect {number:02}", evidence=tuple(f"seen {number} {line:02}" for line in range(30)))
        for number in range(25)
    ]

    text = rendered(report(evolve(handmade.KERNEL, findings=tuple(findings))))

    assert [f"defect {number:02}" for number in range(10)] == re.findall(r"defect \d\d", text)
    assert "and 15 more, see the JSON report" in text
    assert 10 == text.count("- and 18 more\n")


def test_findings_that_differ_in_their_messages_only_share_place_and_evidence():
    findings = (
        Finding("expected a, it is not there", "/boot/initrd", 1, ("layer 1 made it",)),
        Finding("expected b, it is not there", "/boot/initrd", 1, ("layer 1 made it",)),
        Finding("expected c, it is not there", "/boot/other", 1, ("layer 1 made it",)),
    )

    text = rendered(report(evolve(handmade.KERNEL, findings=findings)))

    assert (
        "    expected a, it is not there\n"
        "    expected b, it is not there\n"
        "      at /boot/initrd\n"
        "       - layer 1 made it\n"
        "    expected c, it is not there\n"
        "      at /boot/other\n"
        "       - layer 1 made it\n"
    ) in text


def test_evidence_of_another_layer_does_not_hide_the_one_that_is_to_blame():
    finding = Finding("expected x, found y", "/x", 1, ("/x -> y (layer 10)",))

    assert "at /x in layer 1 (zypper" in rendered(report(evolve(handmade.KERNEL, findings=(finding,))))


def test_ids_in_a_row_are_written_as_a_range():
    numbers = [1, 2, 3, 5, 7, 8, 40]
    results = [
        evolve(handmade.TOOLS, check=f"COS{number:03}", kind=Kind.NOT_APPLICABLE) for number in numbers
    ]

    assert "Not applicable (7)  COS001-003, COS005, COS007-008, COS040\n" in rendered(
        report(*results), show=frozenset(ReportPart)
    )
