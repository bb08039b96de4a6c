"""Watches a machine until it is known how its boot ended.

Time is the guest's own: what the emulator computed, and new kinds of lines. A busy host makes a boot slow, and a guest that waits prints the
same line for ever; neither is taken for the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from cosinspect.boot.console import Console, Phase, Sign
from cosinspect.boot.outcome import BootResult
from cosinspect.boot.proof import Account, Proof, login_commands, read_proof

__all__ = ["Limits", "Watched", "watch"]

_PASSWORD = re.compile(r"[Pp]assword: ?$")
_SHELL = re.compile(r"[#$] ?$")
_PROMPT = re.compile(r"^\S+ login: ?")


class Guest(Protocol):
    """A machine that runs."""

    @property
    def wall(self) -> float:
        """Seconds since it was started."""
        ...

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it took."""
        ...

    @property
    def busy(self) -> bool:
        """Whether it computes at this moment, or would if it got a processor."""
        ...

    @property
    def proof(self) -> str:
        """What came on the second serial port."""
        ...

    def read(self, seconds: float) -> bytes | None:
        """Return what the console printed."""
        ...

    def press(self, text: str) -> None:
        """Type on the console."""
        ...


@frozen
class Limits:
    """When a machine is given up.

    Attributes:
        cpu: seconds of its own work altogether.
        wall: seconds by the clock altogether.
        silent_cpu: seconds of its own work without a new kind of line.
        idle_wall: seconds by the clock without a new kind of line, in which it does next to nothing.
        endless: seconds by the machine's own clock that systemd has waited for something without a limit.
        settle: seconds of its own work that it has once it runs, for its prompt and for an answer.
        answers: whether it runs our commands if it lives; if not, and nobody can log in, a prompt decides nothing.
    """

    cpu: float = 600.0
    wall: float = 6000.0
    silent_cpu: float = 60.0
    idle_wall: float = 130.0
    endless: float = 400.0
    settle: float = 30.0
    answers: bool = True


@frozen
class Watched:
    """How it ended: see `Outcome`."""

    result: BootResult
    reason: str
    login: str
    proof: Proof


@define
class _Dialogue:
    """Logs in, as a person would."""

    accounts: list[Account]
    step: str = "waiting"
    since: float = 0.0
    mark: int = 0
    refused: bool = False
    inside: bool = False

    def go(self, step: str, guest: Guest) -> None:
        self.step, self.since = step, guest.cpu


@define
class _Clock:
    """When something new was last seen, by the guest's work and by the clock, and how busy it was since."""

    seen: object = None
    cpu: float = 0.0
    wall: float = 0.0
    looks: int = 0
    busy: int = 0

    def look(self, seen: object, guest: Guest) -> None:
        if seen != self.seen:
            self.seen, self.cpu, self.wall, self.looks, self.busy = seen, guest.cpu, guest.wall, 0, 0
        self.looks += 1
        self.busy += guest.busy


def watch(
    guest: Guest,
    console: Console,
    accounts: tuple[Account, ...],
    limits: Limits,
    record: Callable[[bytes], object],
) -> Watched:
    """Watch a machine to the end of its boot.

    Args:
        guest: the machine.
        console: what it prints, for the caller as well.
        accounts: who can log in.
        limits: when it is given up.
        record: told of every byte of the console.
    """
    clock, talk = _Clock(), _Dialogue(list(accounts))
    transcript = _Transcript()
    while True:
        data = guest.read(0.5)
        if data is None:
            return _ended(console, guest)
        if data:
            record(data)
            console.feed(data)
            transcript.add(data)
        proof = read_proof(guest.proof)
        told = read_proof(transcript.text) if talk.inside else Proof()
        clock.look((console.kinds, console.phase, len(console.signs), proof, told, talk.step), guest)
        found = (
            _failure(console, guest, clock)
            or _success(console, guest, talk, proof, told, clock, limits)
            or _silence(console, guest, clock, limits, proof, accounts_known=bool(accounts))
        )
        if found is not None:
            return found
        _converse(console, guest, talk, transcript)


@define
class _Transcript:
    """The end of what was printed, with line ends, for blocks that span lines."""

    raw: bytearray = field(factory=bytearray)

    def add(self, data: bytes) -> None:
        self.raw += data
        del self.raw[: -(1 << 16)]

    @property
    def text(self) -> str:
        return self.raw.replace(b"\r", b"").decode("utf-8", "replace")


def _ended(console: Console, guest: Guest) -> Watched:
    """Return what it means that the machine ended by itself."""
    proof = read_proof(guest.proof)
    if console.saw(Sign.PANIC):
        return Watched(BootResult.PANIC, console.line_of(Sign.PANIC), "none", proof)
    if console.saw(Sign.EMERGENCY):
        return _emergency(console, proof)
    how = "switched itself off" if "Power down" in console.line_of(Sign.POWER_OFF) else "restarted"
    if console.phase is Phase.NOTHING and not console.lines(1):
        return Watched(
            BootResult.UNDECIDED, "the emulator ended before the machine printed anything", "none", proof
        )
    return Watched(
        BootResult.RESTARTED, f"the machine {how} in the phase {console.phase.value}", "none", proof
    )


def _emergency(console: Console, proof: Proof) -> Watched:
    order = list(Phase)
    late = order.index(console.phase) >= order.index(Phase.SYSTEM)
    where = BootResult.EMERGENCY_SYSTEM if late else BootResult.EMERGENCY_INITRD
    return Watched(where, console.line_of(Sign.EMERGENCY), "none", proof)


def _failure(console: Console, guest: Guest, clock: _Clock) -> Watched | None:
    """Return a failure that the console names, once its last lines had time to come."""
    grave = [
        sign for sign in (Sign.PANIC, Sign.EMERGENCY, Sign.FREEZE, Sign.FIRMWARE_END) if console.saw(sign)
    ]
    if not grave or (guest.cpu - clock.cpu < 2 and guest.wall - clock.wall < 5):
        return None
    proof = read_proof(guest.proof)
    if grave[0] is Sign.PANIC:
        return Watched(BootResult.PANIC, console.line_of(Sign.PANIC), "none", proof)
    if grave[0] is Sign.EMERGENCY:
        return _emergency(console, proof)
    if grave[0] is Sign.FREEZE:
        return Watched(BootResult.STUCK, console.line_of(Sign.FREEZE), "none", proof)
    if console.phase in (Phase.NOTHING, Phase.FIRMWARE):
        return Watched(BootResult.FIRMWARE, console.line_of(Sign.FIRMWARE_END), "none", proof)
    return None


def _success(
    console: Console,
    guest: Guest,
    talk: _Dialogue,
    proof: Proof,
    told: Proof,
    clock: _Clock,
    limits: Limits,
) -> Watched | None:
    """Return whether the machine lives, or only looks so."""
    if told.complete:
        late = (
            ""
            if told.multi_user == "active"
            else f", and multi-user.target is {told.multi_user or 'not known'}"
        )
        return Watched(
            BootResult.BOOTED,
            f"{talk.accounts[0].name} logged in, and a shell answered{late}",
            "password",
            told,
        )
    up = proof.complete and proof.multi_user == "active"
    waited = guest.cpu - clock.cpu > limits.settle or guest.wall - clock.wall > 90
    if not talk.accounts:
        if talk.refused:
            return Watched(
                BootResult.HALF_BOOTED, "a login prompt comes, and nobody can log in", "none", proof
            )
        if up and (console.saw(Sign.LOGIN) or waited):
            return Watched(
                BootResult.BOOTED,
                "the image ran our commands, and multi-user.target is reached",
                "stage",
                proof,
            )
        return None
    if up and not console.saw(Sign.LOGIN) and waited:
        return Watched(
            BootResult.HALF_BOOTED, "multi-user.target is reached, and no login prompt comes", "none", proof
        )
    if talk.step != "waiting" and guest.cpu - talk.since > 2 * limits.settle:
        return Watched(
            BootResult.HALF_BOOTED, f"a login prompt comes, and nothing answers ({talk.step})", "none", proof
        )
    return None


def _silence(
    console: Console, guest: Guest, clock: _Clock, limits: Limits, proof: Proof, *, accounts_known: bool
) -> Watched | None:
    """Return a machine up that prints nothing new."""
    silent, idle = guest.cpu - clock.cpu, guest.wall - clock.wall
    resting = idle > limits.idle_wall and clock.busy * 5 < clock.looks
    # systemd prints its wait again and again, which is a little work as well.
    endless = console.waited > limits.endless and silent > 2
    if silent > limits.silent_cpu or resting or endless:
        how = (
            f"it waits for {console.waited} s, and no limit ends that"
            if endless
            else f"it does nothing for {idle:.0f} s"
            if resting
            else f"nothing new on the console for {silent:.0f} s of its own work"
        )
        if console.waiting and console.phase is not Phase.MULTI_USER:
            how += f", waiting for {console.waiting}"
        if console.saw(Sign.LOGIN) and not limits.answers and not accounts_known:
            return Watched(
                BootResult.UNDECIDED, "a login prompt comes; no password is known, and the image runs no command of ours", "none", proof
            )  # fmt: skip
        if console.phase is Phase.MULTI_USER or console.saw(Sign.LOGIN) or proof.complete:
            return Watched(
                BootResult.HALF_BOOTED, f"the system is up, and nobody can log in: {how}", "none", proof
            )
        return Watched(BootResult.STUCK, f"stuck so far: {how}", "none", proof)
    if guest.cpu > limits.cpu or guest.wall > limits.wall:
        spent = f"{guest.cpu:.0f} s of its own work and {guest.wall:.0f} s by the clock"
        return Watched(
            BootResult.UNDECIDED, f"given up after {spent}, in the phase {console.phase.value}", "none", proof
        )
    return None


def _converse(console: Console, guest: Guest, talk: _Dialogue, transcript: _Transcript) -> None:
    """Type what comes next."""
    if not talk.accounts:
        return
    open_line = console.prompt
    match talk.step:
        case "waiting":
            if console.saw(Sign.LOGIN) and console.phase is not Phase.INITRD:
                guest.press(f"{talk.accounts[0].name}\n")
                transcript.raw.clear()
                talk.go("name", guest)
        case "name":
            if _PASSWORD.search(open_line) or "assword:" in transcript.text:
                time.sleep(0.2)
                guest.press(f"{talk.accounts[0].password}\n")
                transcript.raw.clear()
                talk.go("password", guest)
        case "password":
            if "Login incorrect" in transcript.text or "Permission denied" in transcript.text:
                talk.refused = True
                talk.accounts.pop(0)
                talk.go("waiting", guest)
            elif _SHELL.search(open_line):
                transcript.raw.clear()
                talk.inside = True
                guest.press(login_commands())
                talk.go("shell", guest)
            elif _PROMPT.search(open_line) and guest.cpu - talk.since > 1:
                # Logged out at once: the shell is missing, or ends.
                talk.refused = True
                talk.accounts.pop(0)
                talk.go("waiting", guest)
