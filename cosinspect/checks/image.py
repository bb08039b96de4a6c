"""Checks on the image as a whole: which toolkit is in it."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, check
from cosinspect.profiles.fingerprints import fingerprints
from cosinspect.report.report import Capability, Finding, Level

__all__ = ["generation_unknown"]


@check(
    id="COS001",
    name="generation-unknown",
    level=Level.ERROR,
    capabilities=(Capability.BOOT, Capability.INSTALL),
    summary="The image has no known cOS toolkit.",
    why="""Nothing in the image mounts the immutable root filesystem or runs the boot stages, so an installed machine is not a derivative.""",
    remedy="""Install a toolkit in the Dockerfile: copy /usr/bin/elemental from the image of elemental-toolkit and run `elemental init`, or run
        kairos-init; or build on an image of bootc.""",
    reads=fingerprints().files,
    universal=True,
)
def generation_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Recognise the generation by its files, and compare it with those of the profile."""
    recognised = context.facts.recognised
    profile = context.profile
    title = profile.title(recognised.name)
    if not recognised.name:
        yield Finding("expected the files of a cOS toolkit, found none of any generation")
    elif (table := context.table) is not None and table.carries:
        yield Finding(
            f"expected the root of a system, found {_article(title)}",
            evidence=recognised.evidence,
            remedy=table.asked,
        )
    elif profile.accepts and recognised.name not in profile.accepts:
        yield Finding(
            f"expected an image of {' or '.join(profile.accepts)} as the profile {profile.name} is for, found {title}",
            evidence=recognised.evidence,
            remedy="Use --profile auto, which selects by the image.",
        )
    else:
        yield f"{recognised.name} shown by {recognised.evidence[0]}"
        yield from recognised.evidence[1:]


def _article(title: str) -> str:
    return f"{'an' if title[0] in 'AEIOaeio' else 'a'} {title}"
