"""The boot as a chain of stages from power-on to login: a stage is reached only if the one before it passes."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping

from cosinspect.report.results import Kind

__all__ = ["STAGES", "StageState", "stage_states", "stage_titles"]

STAGES = ("boot-menu", "kernel", "initrd", "system", "settings")
"""The stages from power-on to login: the tags of their checks."""

_TITLES: Mapping[str, tuple[str, ...]] = {
    "bootargs": (
        "GRUB finds its menu, which names what to load",
        "GRUB loads the kernel",
        "the kernel unpacks the initrd, which finds the image on disk",
        "systemd takes over and runs the stages",
        "cloud-configs define mounts and logins",
    ),
    "unified": (
        "systemd-boot finds the unified kernel image",
        "the firmware starts the unified kernel image, which has the kernel in it",
        "the kernel unpacks the initrd, which is the whole system",
        "systemd takes over and runs the stages",
        "cloud-configs define mounts and logins",
    ),
    "ostree": (
        "the boot loader finds the entry of the deployment, or its unified kernel image",
        "the kernel is beside its modules, or in the unified kernel image",
        "the kernel unpacks the initrd, which mounts the deployment of ostree or composefs",
        "systemd takes over",
        "units and accounts define mounts and logins",
    ),
    "elemental3": (
        "GRUB finds the entry of the snapshot, which the installation wrote",
        "GRUB loads the kernel that is beside its modules",
        "the kernel unpacks the initrd, which mounts the snapshot",
        "systemd takes over",
        "units and accounts define mounts and logins",
    ),
}


def stage_titles(kind: str) -> tuple[str, ...]:
    """Return the title of each stage.

    Args:
        kind: what starts the system, as `Generation.starts` names it; GRUB by the toolkit's menu for an unknown one.
    """
    return _TITLES.get(kind, _TITLES["bootargs"])


class StageState(enum.Enum):
    """How far the boot comes at one stage."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    UNDECIDED = "open"
    NOT_REACHED = "notReached"
    """An earlier stage fails, so that a machine does not come this far."""
    NOT_APPLICABLE = "notApplicable"
    """No check looks at it in this kind of image."""


_ORDER = (Kind.FAIL, Kind.OPEN, Kind.PASS)


def stage_states(stages: Iterable[Collection[Kind]]) -> Iterator[StageState]:
    """Yield the state of each stage, from the results of the checks that decide it, first stage first."""
    failed = False
    for kinds in stages:
        worst = next((kind for kind in _ORDER if kind in kinds), Kind.NOT_APPLICABLE)
        if failed and worst is not Kind.NOT_APPLICABLE:
            yield StageState.NOT_REACHED
        else:
            yield StageState(worst.value)
        failed = failed or worst is Kind.FAIL
