"""What an image can be asked to do, what each of that needs, and whether an image has it.

A `Need` is one row of the table of operations (`cosinspect/profiles/operations.toml`): what an operation of one generation of the
toolkit reads from an image, or runs in it, and what happens where that is not so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from attrs import frozen

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
]


class Capability(enum.Enum):
    """What an image can be asked to do."""

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
    """What happens where a need is not met."""

    FAILS = "fails"
    """The command ends with an error."""
    BROKEN = "broken"
    """The command succeeds, and what it makes does not work."""
    WARNING = "warning"
    """A lesser function is missing."""
    IGNORED = "ignored"


DECIDABLE = frozenset({Capability.BOOT, Capability.INSTALL, Capability.VERIFY})
"""The capabilities that checks alone decide; every other one needs rows of the table of operations too."""

NEEDS: Mapping[Capability, frozenset[Capability]] = {
    # An image of a cloud is a disk with the recovery system, which installs the machine at its first boot.
    Capability.AWS: frozenset({Capability.BOOT, Capability.RECOVERY}),
    Capability.GCP: frozenset({Capability.BOOT, Capability.RECOVERY}),
}
"""Capabilities that others take: what costs one of these costs the one that needs it."""

NO_NEEDS = "what it needs is not known for this kind of image"
"""Why a capability is unknown that no row of the table of operations is about."""

ASSUMPTION = "assuming that the machine runs this image"
"""What a `yes` rests on where a need is one of the machine that runs the command."""


@frozen
class Need:
    """One row of the table of operations.

    Attributes:
        operations: the capabilities that it belongs to.
        generations: the generations of the toolkit that have it.
        need: what must hold, one sentence.
        effect: what happens where it does not hold.
        source: who says so: file and line of the program that runs the operation.
        machine: whether the machine that runs the command must have it, not the image that it writes.
        boots: whether every check that decides `boot` looks at it, but for `without`.
        without: ids of checks that decide `boot` and not this.
        checks: ids of the checks that look at it.
        needs: other capabilities that it stands for.
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
        """Whether an operation is lost where the need is not met."""
        return self.effect in (Effect.FAILS, Effect.BROKEN)

    def is_of(self, check: str, capabilities: tuple[Capability, ...]) -> bool:
        """Return whether a check that decides `capabilities` looks at it."""
        return check in self.checks or (
            self.boots and Capability.BOOT in capabilities and check not in self.without
        )


@frozen
class CapabilityResult:
    """Whether the image has a capability, and why.

    Attributes:
        status: yes, no, or unknown.
        because: ids of the checks that say so.
        unknown: what nobody looked at: needs without a check that did, in words.
        assuming: what a `yes` rests on, "" for the image alone.
        effect: of a `no`: whether the operation fails, or only its result does not work; None where no row says.
    """

    status: Status
    because: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    assuming: str = ""
    effect: Effect | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "status": self.status.value,
            "because": list(self.because),
            "unknown": list(self.unknown),
            "assuming": self.assuming,
            "effect": self.effect.value if self.effect is not None else "",
        }
