"""The path by which GRUB reaches a file of bootargs.cfg; shared by the checks of the kernel and the initrd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cosinspect.checks.base import CheckContext, Undecided, links_of
from cosinspect.report.report import Capability, Finding
from cosinspect.rootfs.rootfs import Trace

__all__ = [
    "BOOTS",
    "BOOTS_FROM_DISK",
    "GRUB_LINK_LIMIT",
    "LOADER_READS",
    "dangling",
    "missing",
    "require_known",
    "too_deep",
]

BOOTS = (Capability.BOOT, Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY, Capability.ISO)
"""The capabilities that an image without a boot loses."""

LOADER_READS = ("etc/ld.so.cache", "etc/ld-musl-*.path")
"""The files that dynamic loaders read to find libraries."""
BOOTS_FROM_DISK = (Capability.BOOT, Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY)
"""The capabilities that a wrong bootargs.cfg loses: an ISO has its own menu and does not read it."""

GRUB_LINK_LIMIT = 7
"""The number of symbolic links that GRUB follows for one path, including directories (GRUB 2.06, seen at 7 and 8)."""


def require_known(context: CheckContext, variable: str) -> None:
    """Leave a check undecided if GRUB loads a file whose name is unknown before the boot.

    Raises:
        Undecided: the value of `variable` is unknown, or a bound was reached.
    """
    if context.facts.boot_bound:
        raise Undecided(f"the files that GRUB loads are undecided: {context.facts.boot_bound}")
    path = context.facts.unknown_paths.get(variable)
    if path is not None:
        raise Undecided(f"GRUB loads {path} as {variable}, which depends on variables of the machine")


def missing(context: CheckContext, what: str, traces: Iterable[Trace]) -> Iterator[Finding | str]:
    """Yield findings for missing paths; `dangling` handles broken links.

    Raises:
        Undecided: the file is missing, and a unified kernel image may be booted instead.
    """
    traces = tuple(traces)
    unified = context.facts.unified_kernels
    if unified and traces and all(trace.entry is None and not trace.hops for trace in traces):
        raise Undecided(
            f"there is no {what} at {traces[0].path}, and {unified[0]} has one that this check does not read"
        )
    for trace in traces:
        if trace.entry is not None:
            yield f"{what} {trace.chain} (layer {trace.entry.layer})"
        elif not trace.hops:
            yield context.broken(trace, f"expected the {what} at {trace.path}, it is missing")


def dangling(context: CheckContext, what: str, traces: Iterable[Trace]) -> Iterator[Finding | str]:
    """Yield findings for dangling links, resolved as GRUB's ext2 driver does: absolute ones start at the image's root."""
    for trace in traces:
        if trace.entry is None and trace.hops:
            how = "they form a loop" if trace.problem == "loop" else f"{trace.at} does not exist"
            yield context.broken(
                trace, f"expected the {what} behind {trace.path}, the links are dangling: {how}"
            )


def too_deep(traces: Iterable[Trace]) -> Iterator[Finding | str]:
    """Yield findings for paths with more links than GRUB follows."""
    for trace in traces:
        if trace.entry is not None and len(trace.hops) > GRUB_LINK_LIMIT:
            yield Finding(
                f"expected at most {GRUB_LINK_LIMIT} links, found {len(trace.hops)}",
                trace.path,
                trace.hops[-1].layer,
                links_of(trace),
            )
