"""What came of a boot, as a value."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import msgspec
from attrs import field, frozen

from cosinspect.boot.proof import Proof
from cosinspect.report.schema import document_schema

__all__ = ["BootResult", "Outcome"]


class BootResult(Enum):
    """How a boot ended."""

    BOOTED = "booted"
    HALF_BOOTED = "half booted"
    EMERGENCY_INITRD = "emergency in the initrd"
    EMERGENCY_SYSTEM = "emergency in the system"
    PANIC = "panic"
    STUCK = "stuck"
    RESTARTED = "restarted"
    FIRMWARE = "not started by the firmware"
    UNDECIDED = "undecided"


class _WireOutcome(msgspec.Struct):
    """An outcome as `Outcome.to_dict` writes it."""

    result: BootResult
    booted: bool | None
    reason: str
    phase: str
    login: Literal["password", "stage", "none"]
    multi_user: str
    system: str
    etc_writable: bool | None
    failed_units: list[str]
    accel: Literal["kvm", "tcg"]
    wall: float
    cpu: float
    entry: str
    layout: list[str]
    command_line: str
    notes: list[str]
    console_telling: list[str]
    console_tail: list[str]


@frozen
class Outcome:
    """What came of a boot.

    Attributes:
        result: how it ended.
        reason: by what that was told, in a sentence without a full stop.
        phase: how far the console says it came.
        login: what proved that it lives: `password` (somebody logged in), `stage` (the image ran our commands), or `none`.
        proof: what the machine said of itself.
        accel: `kvm` or `tcg`.
        wall: seconds by the clock.
        cpu: seconds of the emulator's processor time.
        entry: the entry of the menu.
        layout: the partitions, and what holds the root.
        command_line: what the kernel was given, "" where firmware started it.
        notes: what was different from an installed machine, and from what was asked for.
        telling: lines of the console that name a failure.
        tail: its last lines.
    """

    result: BootResult
    reason: str
    phase: str
    login: str
    proof: Proof
    accel: str
    wall: float = field(eq=False)
    cpu: float = field(eq=False)
    entry: str = "active"
    layout: tuple[str, ...] = ()
    command_line: str = ""
    notes: tuple[str, ...] = ()
    telling: tuple[str, ...] = field(default=(), repr=False)
    tail: tuple[str, ...] = field(default=(), repr=False)

    @property
    def booted(self) -> bool | None:
        """Whether the image boots, None where that was not decided."""
        if self.result is BootResult.UNDECIDED:
            return None
        return self.result is BootResult.BOOTED

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of `to_dict`, the key `boot` of a report."""
        return document_schema(_WireOutcome, title="cosinspect.boot/1")

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return {
            "result": self.result.value,
            "booted": self.booted,
            "reason": self.reason,
            "phase": self.phase,
            "login": self.login,
            "multi_user": self.proof.multi_user,
            "system": self.proof.system,
            "etc_writable": self.proof.etc_writable,
            "failed_units": list(self.proof.failed),
            "accel": self.accel,
            "wall": round(self.wall, 1),
            "cpu": round(self.cpu, 1),
            "entry": self.entry,
            "layout": list(self.layout),
            "command_line": self.command_line,
            "notes": list(self.notes),
            "console_telling": list(self.telling),
            "console_tail": list(self.tail),
        }
