"""Capabilities: operations of an image, what each needs, and whether an image has it.

A `Need` is one row of the table of operations (`cosinspect/profiles/operations.toml`): what an operation of
one generation reads from an image, or runs in it, and the effect if it is missing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

__all__ = [
    "ASSUMPTION",
    "DECIDABLE",
    "NEEDS",
    "NO_NEEDS",
    "Capability",
    "CapabilityResult",
    "Effect",
    "Need",
    "Status",
    "needs_of_image",
]


class Capability(enum.Enum):
    """An operation that an image can support."""

    BOOT = "boot"
    INSTALL = "install"
    UPGRADE = "upgrade"
    RECOVERY = "recovery"
    ISO = "iso"
    VERIFY = "verify"
    AWS = "aws"
    GCP = "gcp"


class Status(enum.Enum):
    """Whether an image has a capability."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Effect(enum.Enum):
    """The effect of an unmet need."""

    FAILS = "fails"
    """The command ends with an error."""
    BROKEN = "broken"
    """The command succeeds, but its result does not work."""
    WARNING = "warning"
    """A minor function is missing."""
    IGNORED = "ignored"


DECIDABLE = frozenset({Capability.BOOT, Capability.INSTALL, Capability.VERIFY})
"""The capabilities that checks alone decide; the others need rows of the table of operations too."""

NEEDS: Mapping[Capability, frozenset[Capability]] = {
    # The image for a cloud is a disk with the recovery system, which installs the machine at its first boot.
    Capability.AWS: frozenset({Capability.BOOT, Capability.RECOVERY}),
    Capability.GCP: frozenset({Capability.BOOT, Capability.RECOVERY}),
}
"""Capabilities that others require: losing one of these loses the other too."""

NO_NEEDS = "the needs are not known for this kind of image"
"""The reason for `unknown` if the table of operations has no row for a capability."""

ASSUMPTION = "assuming that the machine runs this image"
"""The assumption of a `yes` if a need concerns the machine that runs the command."""


@frozen
class Need:
    """One row of the table of operations.

    Attributes:
        operations: the capabilities that it belongs to.
        generations: the generations to which it applies.
        need: what must be true, in one sentence.
        effect: the effect if it is not met.
        source: file and line of the program that runs the operation.
        machine: whether the machine that runs the command must meet it, not the image that is written.
        boots: whether every check that decides `boot`, except `without`, decides it.
        without: ids of checks that decide `boot` and not this need.
        checks: ids of the checks that decide it.
        needs: other capabilities that it requires.
        tools: commands; each tuple has the alternatives of one command.
        paths: directories of the image, without a leading slash.
    """

    operations: tuple[Capability, ...]
    generations: tuple[str, ...]
    need: str
    effect: Effect
    source: str
    machine: bool = False
    boots: bool = False
    without: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    needs: tuple[Capability, ...] = ()
    tools: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether an unmet need makes the operation `no`."""
        return self.effect in (Effect.FAILS, Effect.BROKEN)

    def is_of(self, check: str, capabilities: tuple[Capability, ...]) -> bool:
        """Return whether a check that decides `capabilities` decides this need."""
        return check in self.checks or (
            self.boots and Capability.BOOT in capabilities and check not in self.without
        )


def needs_of_image(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Return the rows for an upgrade of a machine that runs another image: the needs of an upgrade on the machine are not needs of the new image."""
    found = []
    for need in needs:
        others = tuple(each for each in need.operations if not need.machine or each is not Capability.UPGRADE)
        if others:
            found.append(evolve(need, operations=others))
    return tuple(found)


@frozen
class CapabilityResult:
    """Whether the image has a capability, and why.

    Attributes:
        status: yes, no, or unknown.
        because: ids of the checks that decide it.
        unknown: the needs that no check looked at.
        assuming: the assumption of a `yes`, "" if there is none.
        effect: of a `no`: whether the operation fails, or its result does not work; None if no row states it.
    """

    status: Status
    because: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    assuming: str = ""
    effect: Effect | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the value as plain data."""
        return {
            "status": self.status.value,
            "because": list(self.because),
            "unknown": list(self.unknown),
            "assuming": self.assuming,
            "effect": self.effect.value if self.effect is not None else "",
        }
