"""A result in plain lines, for the formats without a layout of their own.

Every line is harmless text without line breaks (`cosinspect.report.display.printable`). Each format escapes
further characters itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.report.capabilities import NO_NEEDS, Capability, CapabilityResult, Status
from cosinspect.report.display import counted, printable
from cosinspect.report.evidence import names_layer
from cosinspect.report.report import CheckResult, Finding, Kind, Report, Verdict, Waiver, name_layer
from cosinspect.report.undecided import remedy_of

__all__ = [
    "finding_lines",
    "generation_words",
    "joined",
    "layer_of",
    "reasons",
    "result_lines",
    "sentence",
    "standing",
    "unknown_line",
    "unknown_reason",
    "verdict_words",
    "waiver_line",
]


_ABILITIES = {
    Capability.BOOT: "boot",
    Capability.INSTALL: "install",
    Capability.UPGRADE: "upgrade",
    Capability.RECOVERY: "recover",
    Capability.ISO: "make an ISO",
    Capability.VERIFY: "be verified",
    Capability.AWS: "run on AWS",
    Capability.GCP: "run on GCP",
}
_SIGNED = {
    Status.YES: "is signed",
    Status.NO: "is not signed by a trusted signer",
    Status.UNKNOWN: "unknown whether it is signed",
}


def unknown_line(result: CapabilityResult) -> str:
    """Return the needs of a capability that no check looked at, "" if there is none."""
    if not result.unknown:
        return ""
    told = "; ".join(need.rstrip(".") for need in result.unknown)
    return told if result.unknown == (NO_NEEDS,) else f"no check looked at: {told}"


def unknown_reason(report: Report, result: CapabilityResult, *, most: int | None = None) -> str:
    """Return why a capability is unknown although no check is undecided, "" if one is.

    Args:
        report: of the image.
        result: the capability's.
        most: the number of needs that are named, None for all; more are counted.
    """
    if result.because:
        return ""
    if report.selected:
        return f"not asked: only {joined(list(report.selected), 'and')} ran"
    if not result.unknown:
        return "no check confirms it"
    if most is not None and len(result.unknown) > most:
        named = "; ".join(need.rstrip(".") for need in result.unknown[:most])
        return f"no check looked at: {named}; and {counted(len(result.unknown) - most, 'more need')}"
    return unknown_line(result)


def generation_words(report: Report) -> str:
    """Return what the image is, with the id of its generation: `cOS toolkit v0.10 (G3)`."""
    if not report.generation and report.generation_title:
        return report.generation_title
    if not report.generation:
        return "none found: not a known kind of derivative"
    if report.generation.lower() == report.generation_title.lower() or not report.generation_title:
        return report.generation_title or report.generation
    return f"{report.generation_title} ({report.generation})"


def sentence(report: Report) -> str:
    """Return the verdict in one line: `fail: quay.io/org/os:v1 (profile cos): boot no, install no`."""
    label = "undecided" if report.verdict is Verdict.OPEN else report.verdict.value
    profile = " + ".join([report.profile, *report.policies])
    return printable(f"{label}: {report.name} (profile {profile}): {standing(report)}")


def verdict_words(report: Report) -> str:
    """Return what the image can do, or why it does not pass, in words: `cannot boot, unknown whether it can install`."""
    capabilities = report.capabilities

    def those(status: Status) -> list[str]:
        return [_ABILITIES[item] for item in report.required if capabilities[item].status is status]

    # An image passes without a required capability only if waivers accept the findings.
    accepted = ", which waivers accept" if report.verdict is Verdict.PASS else ""
    said = [f"cannot {joined(lost, 'or')}{accepted}"] if accepted and (lost := those(Status.NO)) else []
    said = said or [f"cannot {ability}" for ability in those(Status.NO)]
    if report.selected:
        said.append(f"as far as {joined(list(report.selected), 'and')} can tell")
        if unasked := those(Status.UNKNOWN):
            said.append(f"not asked whether it can {joined(unasked, 'or')}")
    elif unknown := those(Status.UNKNOWN):
        said.append(f"unknown whether it can {joined(unknown, 'or')}{accepted}")
    if able := those(Status.YES) if report.verdict is Verdict.PASS else []:
        said = [f"can {joined(able, 'and')}", *said]
    broken = [
        each
        for each in report.failed
        if report.is_decisive(each) and not each.capabilities and each not in report.forbidden
    ]
    if broken:
        said.append(f"breaks {counted(len(broken), 'further rule')}")
    if report.forbidden:
        said.append(f"{counted(len(report.forbidden), 'warning')}, which strict forbids")
    if any(result.is_waived for result in report.results) and not any(
        accepted and accepted in each for each in said
    ):
        said.append("with waivers")
    if report.signature_required:
        said.append(_SIGNED[report.signed])
    if report.provisional:
        said.append("provisionally")
    return ", ".join(said)


def standing(report: Report) -> str:
    """Return the reasons of the verdict: `boot no, install no, provisional, 2 waived`."""
    statuses = {item.value: report.capabilities[item].status for item in report.required}
    if report.signature_required:
        statuses["signed"] = report.signed
    found = ", ".join(f"{name} {status.value}" for name, status in statuses.items())
    if report.selected:
        found = f"{found}, as far as {', '.join(report.selected)} can tell"
    if report.forbidden:
        found = f"{found}, {counted(len(report.forbidden), 'warning')}, which strict forbids"
    if report.provisional:
        found = f"{found}, provisional"
    waived = sum(finding.is_waived for result in report.results for finding in result.findings)
    waived += sum(result.kind is Kind.OPEN and result.is_waived for result in report.results)
    return f"{found}, {waived} waived" if waived else found


def layer_of(report: Report, finding: Finding) -> str:
    """Return the layer of a finding and its step, "" if it has none or its evidence names it."""
    position = finding.layer
    if position is None or any(names_layer(each, position) for each in finding.grounds):
        return ""
    layers = report.layers
    step = layers[position].created_by if position < len(layers) else None
    return name_layer(position, step)


def finding_lines(report: Report, finding: Finding) -> Iterator[str]:
    """Return the lines of a finding: defect, place, evidence, remedy, waiver."""
    yield printable(finding.message)
    place = " in ".join(part for part in (finding.path, layer_of(report, finding)) if part)
    if place:
        yield printable(f"at {place}")
    for line in finding.evidence:
        yield printable(f"- {line}")
    if finding.remedy:
        yield printable(f"remedy: {finding.remedy}")
    if finding.waiver:
        yield waiver_line(finding.waiver)


def result_lines(report: Report, result: CheckResult) -> Iterator[str]:
    """Return the lines of a result: its findings, or why it is undecided and what to do about it."""
    for finding in result.findings:
        yield from finding_lines(report, finding)
    if result.reason:
        yield printable(result.reason)
    if result.kind is Kind.OPEN:
        yield printable(f"remedy: {remedy_of(result, provisional=report.provisional)}")
    if result.waiver:
        yield waiver_line(result.waiver)


def waiver_line(waiver: Waiver) -> str:
    """Return a line about a waiver: its reason and its last day."""
    if waiver.expired:
        return printable(f"its waiver expired on {waiver.expires.isoformat()}: {waiver.reason}")
    return printable(f"waived until {waiver.expires.isoformat()}: {waiver.reason}")


def reasons(report: Report) -> Iterator[str]:
    """Return why the image does not pass, one line for each deciding result."""
    for kind in (Kind.FAIL, Kind.OPEN):
        for result in report.results:
            if result.kind is kind and report.is_decisive(result):
                standing = [finding.message for finding in result.findings if not finding.is_waived]
                said = standing[0] if standing else result.reason
                yield printable(f"{result.check} {result.name}: {said}")


def joined(words: list[str], conjunction: str) -> str:
    """Return words as people list them: `boot, install and upgrade`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"
