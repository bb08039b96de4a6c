"""Checks on the readers of layers: the differences between their trees, and the entries that one refuses.

The other checks use the first reader of the profile. If another reader has another tree, they run again on that tree, and the
worse of both results counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from attrs import evolve

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.oci.documents import Descriptor
from cosinspect.report.display import counted
from cosinspect.report.evidence import Evidence, LayerStep
from cosinspect.report.report import Capability, CheckResult, Finding, Kind, Level
from cosinspect.rootfs.differences import FLATTEN, Comparison, Difference
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.rootfs.tree import LayerProblem

__all__ = [
    "containerd_refuses",
    "elemental_refuses",
    "index_ambiguous",
    "partial_root",
    "readers_disagree",
    "worse",
]

SHOWN = 12
"""Paths of one cause that are reported; `cosinspect diff` lists them all."""

_GRAVITY = (Kind.FAIL, Kind.OPEN, Kind.PASS, Kind.NOT_APPLICABLE)


@check(
    id="COS200",
    name="readers-disagree",
    level=Level.WARNING,
    summary="A machine gets other files than the specification defines.",
    why="""elemental, luet and kairos-agent do not merge layers as the specification requires, and overlayfs cannot always do so:
        deleted files reappear, others are lost. If that affects another check, that check reports it; this check reports the rest.""",
    remedy="Deliver the image as one layer: end the Dockerfile with a stage FROM scratch that copies everything from the previous stage.",
    universal=True,
    cure=remedies.flatten,
)
def readers_disagree(context: CheckContext) -> Iterator[Finding | str]:
    """Group the differences by their causes."""
    if not context.comparisons:
        raise NotApplicable("the profile names one reading of the layers only")
    for comparison in context.comparisons:
        for cause, found in comparison.by_cause():
            first = found[0]
            lines: list[Evidence] = [context.step(cause.layer)]
            lines.append(f"{cause.item}: {cause.explain(comparison.other.semantics)}")
            lines.extend(comparison.describe(each) for each in found[:SHOWN])
            if len(found) > SHOWN:
                names = f"{comparison.first.semantics.value},{comparison.other.semantics.value}"
                lines.append(f"and {len(found) - SHOWN} more: cosinspect diff IMAGE --semantics {names}")
            finding = Finding(_message(comparison, found), first.path, cause.layer, tuple(lines))
            cure = remedies.flatten(context, finding) if cause.remedy == FLATTEN else cause.remedy
            yield evolve(finding, remedy=cure)
        if not comparison.refusals and not comparison.differences:
            yield f"{comparison.other.semantics.reader} gives the same tree"


def _message(comparison: Comparison, found: list[Difference]) -> str:
    reader = comparison.other.semantics.reader
    expected = comparison.first.semantics.reader
    counts: list[str] = []
    for words, group in itertools.groupby(sorted(_outcome(each) for each in found)):
        number = len(list(group))
        counts.append(f"{number} {'path' if number == 1 else 'paths'} {words}")
    return f"expected the tree of {expected}, {reader} has {', '.join(counts)}"


def _outcome(each: Difference) -> str:
    if each.left is None:
        return "too many"
    if each.right is None:
        return "too few"
    return f"with another {', '.join(each.aspects)}"


def _refusals(context: CheckContext, semantics: Semantics) -> Iterator[Finding | str]:
    def is_asked(each: Semantics) -> bool:
        return each is semantics or (each.installs and semantics.installs)

    comparison = next((each for each in context.comparisons if is_asked(each.other.semantics)), None)
    if comparison is None:
        raise NotApplicable(f"the profile does not name the reading {semantics.value}")
    for problem in comparison.refusals:
        evidence = (context.step(problem.layer), f"{problem.kind}: writing stops at this entry")
        path = f"/{problem.path}" if problem.path else None
        yield Finding(problem.message, path, problem.layer, evidence, _REMEDIES.get(problem.kind))
    if comparison.partial is not None:
        yield partial_root(
            comparison.partial, comparison.other, context.step(comparison.partial.layer), context.rootfs
        )
    yield f"{comparison.other.semantics.reader} can write the image"


_REMEDIES = {
    "attribute-refused": "Leave the attribute out, or write it with a tool that knows its form: setcap, setfacl, or tar --xattrs.",
    "layer-refused": "Compress the layer again, and push it with a tool that names its compression in its media type.",
    "long-path": "Give the file a path of at most 4000 bytes: a reader's own directory stands in front of it.",
    "unusable-name": "Give the file a name of at most 255 bytes.",
}
_WRITE_AGAIN = """Write the layer again with a current tar library, whole, and with valid fields in every header; or
    deliver the image as one layer that such a tool wrote.""".replace("\n", " ")


def partial_root(
    problem: LayerProblem, written: Rootfs, step: LayerStep, whole: Rootfs | None = None
) -> Finding:
    """Return the finding for an image of which elemental installs a part.

    Args:
        problem: the problem that ends the writing.
        written: the tree that is installed.
        step: the step that made the layer.
        whole: the expected tree, if it is known.
    """
    count = f"{counted(len(written), 'path is', 'paths are')} written"
    if whole is not None:
        count = f"{len(written)} of {len(whole)} paths are written"
    return Finding(
        f"{written.semantics.reader} installs a part of the image and reports success: {problem.message}",
        f"/{problem.path}" if problem.path else None,
        problem.layer,
        (step, f"{count}, upper layers first; the machine does not boot, or boots without what is missing"),
        _WRITE_AGAIN,
    )


@check(
    id="COS201",
    name="elemental-refuses",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY, Capability.ISO),
    summary="elemental cannot write the image to disk.",
    why="""elemental, luet and kairos-agent read the layers top down into one archive and write that. If an upper layer or a whiteout removes what an entry needs, installation, upgrade and the build of an
        ISO fail. If the archive cannot represent an entry, or a layer cannot be read to its end, the archive
        ends without an error: a part of the image is installed, and elemental reports success.""",
    remedy="""Keep a hard link and its target in one layer, or deliver the image as one layer: end the Dockerfile with a stage FROM scratch
        that copies everything from the previous stage.""",
    universal=True,
    cure=remedies.flatten,
)
def elemental_refuses(context: CheckContext) -> Iterator[Finding | str]:
    """Report problems that elemental has and the first reader does not have."""
    yield from _refusals(context, Semantics.ELEMENTAL)


@check(
    id="COS202",
    name="containerd-refuses",
    level=Level.ERROR,
    capabilities=(Capability.UPGRADE,),
    summary="A node cannot pull the image: containerd on overlayfs refuses a layer.",
    why="""Upgrades that a cluster drives run the image as a container first. containerd writes each layer into a directory of
        its own, where a hard link to a lower layer's file has no target, and a whiteout conflicts with an entry of the
        same name. It relies on media types, and inflates with Go's readers, which are stricter than others.""",
    remedy="""Build the layer again with a tool that writes whiteouts first and keeps hard links within a layer, or deliver the
        image as one layer.""",
    universal=True,
)
def containerd_refuses(context: CheckContext) -> Iterator[Finding | str]:
    """Report problems that a node has and the first reader does not have."""
    yield from _refusals(context, Semantics.OVERLAY)


@check(
    id="COS203",
    name="index-ambiguous",
    level=Level.WARNING,
    summary="Readers of the image index take different images for one platform.",
    why="""containerd reads uname's names of architectures as Go's, and uses the first best match for the platform. elemental, luet and kairos-agent compare the
    names literally. A node then runs another image than the one that is installed; this report is about
        containerd's choice.""",
    remedy="List each platform once in the index, with Go's names: linux/amd64, linux/arm64.",
    universal=True,
)
def index_ambiguous(context: CheckContext) -> Iterator[Finding | str]:
    """Look for other images of the platform in the index, and at the spelling of the platform."""
    choice = context.choice
    if choice is None:
        raise NotApplicable("the image was not chosen from an index")
    for rival in choice.rivals:
        yield Finding(
            f"expected one image for {choice.wanted} in the index, found {choice.taken.digest} and {rival.digest}",
            None,
            None,
            (_written(choice.taken), _written(rival)),
        )
    taken = choice.taken.platform
    if taken is not None and taken.written and not choice.rivals:
        yield Finding(
            f"expected the platform {taken} in the index, found the spelling {taken.written!r:.100}, which elemental does not find",
            None,
            None,
            (_written(choice.taken),),
        )
    yield f"one image for {choice.wanted}"


def _written(item: Descriptor) -> str:
    platform = item.platform
    return f"{item.digest} is for {platform.written or platform if platform is not None else 'no platform'}"


def worse(first: CheckResult, other: CheckResult, semantics: Semantics) -> CheckResult:
    """Return the worse of two results of one check; findings of only the other reader say so."""
    known = {(finding.message, finding.path) for finding in first.findings}
    reading = f"only as {semantics.reader} reads the layers (COS200 readers-disagree has the reason)"
    added = tuple(
        evolve(finding, semantics=semantics.value, evidence=(*finding.grounds, reading))
        for finding in other.findings
        if (finding.message, finding.path) not in known
    )
    if _GRAVITY.index(other.kind) < _GRAVITY.index(first.kind):
        reason = f"{other.reason}, {reading}" if other.reason else ""
        return evolve(other, findings=added, reason=reason)
    return evolve(first, findings=(*first.findings, *added)) if first.kind is Kind.FAIL else first
