"""Checks on what verifies signatures when packages and images are installed."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, check
from cosinspect.checks.grub import find_command
from cosinspect.report import Capability, Finding, Level

__all__ = ["cosign_missing", "luet_cosign_missing"]


def _look_for(context: CheckContext, name: str) -> Iterator[Finding | str]:
    context.require_toolkit()
    found = find_command(context, name)
    if found is None:
        yield context.missing(f"/usr/bin/{name}", f"expected the command {name}, it is not in the image")
    else:
        yield f"{found} is there"


@check(
    id="COS090",
    name="cosign-missing",
    level=Level.NOTE,
    capabilities=(Capability.VERIFY,),
    summary="cosign is not in the image.",
    why="Signatures of upgrades cannot be verified on the machine.",
    remedy="Install meta/cos-verify, if upgrades are to be verified.",
)
def cosign_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command in PATH."""
    yield from _look_for(context, "cosign")


@check(
    id="COS091",
    name="luet-cosign-missing",
    level=Level.NOTE,
    capabilities=(Capability.VERIFY,),
    summary="luet's plugin for cosign is not in the image.",
    why="luet installs packages without looking at their signatures; a plugin must be in PATH.",
    remedy="Install meta/cos-verify, if packages are to be verified.",
)
def luet_cosign_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command in PATH."""
    yield from _look_for(context, "luet-cosign")
