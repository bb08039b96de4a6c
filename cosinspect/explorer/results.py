"""The results of the checks as the explorer shows them; imported when they run, because the checks take long to import."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from cosinspect.errors import CosinspectError
from cosinspect.explorer.pages import FindingPage
from cosinspect.explorer.views import Views
from cosinspect.inspection.explanation import Explainer, Explanation
from cosinspect.inspection.inspection import Inspection
from cosinspect.policy import Plan
from cosinspect.report.display import counted, printable
from cosinspect.report.lines import sentence

__all__ = ["CheckedImage", "check_image"]


@frozen
class CheckedImage:
    """What the checks found.

    Attributes:
        headline: the verdict and the number of findings.
        findings: most severe first.
    """

    headline: str
    findings: tuple[FindingPage, ...]
    _explainer: Explainer = field(repr=False)

    def path(self, path: str) -> Iterator[str]:
        """Yield the chain from what reads a path to what each layer did to it."""
        try:
            yield from _explanation(self._explainer.path(path))
        except CosinspectError as fault:
            yield printable(str(fault))

    def boot(self) -> Iterator[str]:
        """Yield how the image boots, stage by stage, and where it fails."""
        for each in self._explainer.boot():
            yield printable(each.headline)
            yield from _explanation(each)


def check_image(views: Views, plan: Plan) -> CheckedImage:
    """Run the checks on an image whose layers were read.

    Raises:
        CosinspectError: it cannot be decided.
    """
    inspection = Inspection(views.image, plan)
    results, context = inspection.run_checks(known=views.rootfs.indexes)
    report = inspection.report(results)
    findings = tuple(
        FindingPage(
            f"{result.check} {result.name} ({result.level.value})",
            printable(finding.message),
            finding.path,
            finding.layer,
            printable(finding.remedy or ""),
        )
        for result in report.failed
        for finding in result.findings
    )
    headline = f"{printable(sentence(report))}  {counted(len(findings), 'finding')}"
    return CheckedImage(headline, findings, Explainer(report, context, plan.checks))


def _explanation(each: Explanation) -> Iterator[str]:
    for cause in each.causes:
        yield f"  {printable(cause.text)}"
        if cause.layer is not None:
            yield f"    in layer {cause.layer}" + (f", {printable(cause.step)}" if cause.step else "")
    for check, name, kind in each.checks:
        yield f"  read by {check} {name}: {kind}"
