"""A report whose image was made by somebody who knows the formats, and one with waivers."""

from __future__ import annotations

from datetime import date

from attrs import evolve
from handmade import KERNEL, LINKS, MICROCODE, report

from cosinspect.checks import CATALOGUE
from cosinspect.report.report import Capability, CheckResult, Finding, Kind, LayerSummary, Level, Waiver

NASTY = (
    "/boot/\x00\x1b]0;title\x07\r\n::stop-commands::x\n::error::owned%0A::add-mask::y\ufffe\udcff",
    "/usr/</failure></testcase>]]>&amp;<script>alert(1)</script><!--",
    "/x|y```\n```\n# owned ![p](http://evil.example/p.png) [click](javascript:1) <img src=x> @someone `` ~~~",
    "/{0} {1} {{ ${state_label}: a,b=c [link](0) \u202egnp.exe\u2028next",
)


def nasty():
    """Every field that strangers can fill, filled by one."""
    findings = tuple(Finding(text, text, 1, (text, text), text) for text in NASTY)
    results = (
        CheckResult(
            "COS011", "kernel-link-dangling", Kind.FAIL, Level.ERROR, (Capability.BOOT,), findings, NASTY[0]
        ),
        CheckResult(
            "COS012", "kernel-links-too-deep", Kind.OPEN, Level.ERROR, (Capability.BOOT,), (), NASTY[1]
        ),
        CheckResult("COS033", "microcode-missing", Kind.FAIL, Level.NOTE, (), findings[2:]),
        CheckResult("COS047", "grub-tools-missing", Kind.NOT_APPLICABLE, Level.ERROR, (), (), NASTY[3]),
        CheckResult("COS064", "os-release-missing", Kind.PASS, Level.ERROR, (), (), "", NASTY),
    )
    layers = tuple(LayerSummary("sha256:" + "1" * 64, "sha256:" + "a" * 64, 1, text) for text in NASTY)
    return evolve(report(*results, name="oci:" + NASTY[2]), layers=layers, platform=NASTY[1])


def rules(made):
    """The report with the catalogue's word on its checks."""
    found = {item.id: item.rule for item in CATALOGUE}
    return evolve(made, rules=tuple(found[result.check] for result in made.results))


ACCEPTED = Waiver("COS011", "the kernel comes with the next layer, see PLAT-12", date(2027, 3, 31))
EXPIRED = Waiver("COS033", "no microcode yet", date(2026, 1, 31), expired=True)
UNUSED = Waiver("COS012", "was once needed", date(2027, 3, 31), "/boot/*")


def waived():
    """One check waived, one waiver expired, one without use."""
    kernel = evolve(KERNEL, findings=tuple(evolve(each, waiver=ACCEPTED) for each in KERNEL.findings))
    microcode = evolve(MICROCODE, findings=tuple(evolve(each, waiver=EXPIRED) for each in MICROCODE.findings))
    return evolve(report(kernel, microcode, LINKS), unused=(UNUSED,), policies=("fleet",))
