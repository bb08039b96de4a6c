"""The boot as a chain of stages from power-on to login: a stage is reached only if the one before it passes."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator

from cosinspect.report.results import Kind

__all__ = ["BOOT_CHAIN", "StageState", "stage_states"]

BOOT_CHAIN: tuple[tuple[str, str], ...] = (
    ("GRUB finds its menu, which names what to load", "boot-menu"),
    ("GRUB loads the kernel", "kernel"),
    ("the kernel unpacks the initrd, which finds the image on disk", "initrd"),
    ("systemd takes over and runs the stages", "system"),
    ("cloud-configs define mounts and logins", "settings"),
)
"""The stages from power-on to login, and the tag of the checks of each stage."""


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
