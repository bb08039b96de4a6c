"""Checks on the image as a whole: which toolkit is in it."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, Undecided, check
from cosinspect.report import Capability, Finding, Level

__all__ = ["generation_unknown"]


@check(
    id="COS001",
    name="generation-unknown",
    level=Level.ERROR,
    capabilities=(Capability.BOOT, Capability.INSTALL),
    summary="The image carries no cOS toolkit that is known.",
    why="""Nothing in the image mounts the immutable root filesystem or runs the boot stages, so what is installed
        from it is no derivative.""",
    remedy="Install the toolkit in the Dockerfile: RUN luet install -y meta/cos-minimal",
    reads=("etc/systemd/system/cos-setup-boot.service", "{usr/,}lib/systemd/system/cos-setup-boot.service"),
    universal=True,
)
def generation_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Find out the generation, and say so where this version has no rules for it."""
    generation = context.facts.generation
    table = context.profile.generations.get(generation)
    if table is not None:
        yield f"generation {generation}: {table.title}"
    elif generation:
        raise Undecided(
            f"the image is of generation {generation} ({context.profile.title(generation)}), for which there are no rules yet"
        )
    else:
        yield Finding("expected the files of a cOS toolkit, found none of any generation")
