"""What a machine's serial console says: lines, new kinds of lines, and the signs of how far a boot came.

Signs are the words of Linux, systemd 240 to 257 and dracut 044 to 106; each was seen on a real console.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum

from attrs import frozen

__all__ = ["Console", "Phase", "Sign", "clean"]

MOST_LINE_BYTES = 4096
MOST_KINDS = 20_000
TAIL_LINES = 400

_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_]|[ -/][0-~])")
_STAMP = re.compile(r"^\[ *\d+\.\d+\]\s?(?:\[ *T\d+\] )?")
_WAITING = re.compile(r"(?:A (?:start|stop) job is running for|Job .* running)")
_DIGITS = re.compile(r"[0-9a-f]*\d[0-9a-f]*", re.IGNORECASE)
_WAITED = re.compile(
    r"(?:A start job is running for|Job) (.+?)(?:(?:…start|…art|/start)? running)?(?: \((.+)\)|$)"
)
_ENDLESS = re.compile(r"^(?:(\d+)h ?)?(?:(\d+)min ?)?(?:(\d+)s)? / no limit$")


class Phase(Enum):
    """How far a boot came."""

    NOTHING = "nothing"
    FIRMWARE = "firmware"
    KERNEL = "kernel"
    INITRD = "initrd"
    SYSTEM = "system"
    MULTI_USER = "multi-user"


class Sign(Enum):
    """What a line means for the boot."""

    PANIC = "panic"
    EMERGENCY = "emergency"
    FREEZE = "freeze"
    LOGIN = "login"
    POWER_OFF = "power off"
    FIRMWARE_END = "firmware end"


_PHASES: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    (Phase.FIRMWARE, re.compile(r"^(?:BdsDxe|SeaBIOS|GNU GRUB|Welcome to GRUB|\s*Booting `)")),
    (Phase.KERNEL, re.compile(r"^Linux version \d")),
    (Phase.INITRD, re.compile(r"^Run /init as init process|running in initrd|In initrd|in initial RAM disk")),
    # Not that the unit which switches is started: it may fail.
    (Phase.SYSTEM, re.compile(r"Switching root|Stopped .*initrd-switch-root\.service")),
    # Not "Startup finished in": systemd prints it in an initrd as well, behind emergency.target.
    (Phase.MULTI_USER, re.compile(r"Reached target.*(?:multi-user\.target|Multi-User System)")),
)
_SIGNS: tuple[tuple[Sign, re.Pattern[str]], ...] = (
    (
        Sign.PANIC,
        re.compile(r"Kernel panic - not syncing|VFS: Unable to mount root fs|---\[ end Kernel panic"),
    ),
    (
        Sign.EMERGENCY,
        re.compile(
            r"Entering emergency mode|You are in (?:emergency|rescue) mode|Give root password for maintenance"
            r"|Press Enter for maintenance|Cannot open access to console, the root account is locked"
            r"|^Run /bin/sh as init process|dracut: FATAL|dracut: Refusing to continue|Reached target.*(?:emergency|rescue)\.target"
        ),
    ),
    (Sign.FREEZE, re.compile(r"Freezing execution")),
    (Sign.LOGIN, re.compile(r"(?:^|[\w.-] )login: ?$")),
    (Sign.POWER_OFF, re.compile(r"^reboot: |^ACPI: PM: Preparing to enter system sleep state S5")),
    (
        Sign.FIRMWARE_END,
        re.compile(
            r"you need to load the kernel first|^grub> ?$|^grub rescue>|UEFI Interactive Shell|^Shell> |No bootable (?:device|option)|invalid magic number"
        ),
    ),
)
_TELLING = re.compile(
    r"Failed to start|Failed to mount|Dependency failed|Timed out waiting|Kernel panic|Unable to mount|unpacking failed|is corrupt"
    r"|Failed to execute|No working init|command not found|cannot execute|[Ee]xec format error|FATAL|does not exist|Login incorrect|not syncing|error while loading"
    r"|^error: "
)
"""Lines that say why, which a report shows before the last ones."""


@frozen
class _Seen:
    sign: Sign
    line: str


class Console:
    """Reads what a machine prints.

    Attributes:
        phase: how far it came.
        signs: what was seen, in order, each once.
        telling: lines that name a failure, the first ones.
        kinds: how many kinds of lines there were; numbers do not make a kind, nor do lines that only say that something waits.
        waiting: what systemd says it waits for, "" where it does not say.
        waited: seconds by the machine's own clock that systemd has waited for it, where it says that no limit ends the wait.
    """

    def __init__(self) -> None:
        self.phase = Phase.NOTHING
        self.signs: list[_Seen] = []
        self.telling: list[str] = []
        self.waiting = ""
        self.waited = 0
        self._kinds: set[str] = set()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._open = b""

    @property
    def kinds(self) -> int:
        """How many kinds of lines there were."""
        return len(self._kinds)

    @property
    def text(self) -> str:
        """The last lines, the open one among them."""
        return "\n".join([*self._tail, clean(self._open)])

    @property
    def prompt(self) -> str:
        """The line that has no end yet."""
        return clean(self._open)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._open += data
        *lines, self._open = re.split(rb"[\r\n]+", self._open)
        for line in lines:
            self._take(clean(line))
        if len(self._open) > MOST_LINE_BYTES:
            self._take(clean(self._open))
            self._open = b""
        elif self._open:
            self._look(_STAMP.sub("", clean(self._open)))

    def saw(self, sign: Sign) -> bool:
        """Return whether a sign was seen."""
        return any(each.sign is sign for each in self.signs)

    def line_of(self, sign: Sign) -> str:
        """Return the line that a sign was seen in, "" if there is none."""
        return next((each.line for each in self.signs if each.sign is sign), "")

    def lines(self, count: int) -> tuple[str, ...]:
        """Return the last lines that say something."""
        found = [
            line for line in [*self._tail, clean(self._open)] if line.strip() and not _WAITING.search(line)
        ]
        return tuple(found[-count:])

    def _take(self, line: str) -> None:
        if not line.strip():
            return
        self._tail.append(line)
        plain = _STAMP.sub("", line)
        waited = _WAITED.search(plain) if _WAITING.search(plain) else None
        if waited:
            endless = _ENDLESS.match(waited[2] or "")
            hours, minutes, seconds = (int(part or 0) for part in endless.groups()) if endless else (0, 0, 0)
            self.waiting = waited[1].strip()
            self.waited = 3600 * hours + 60 * minutes + seconds
        if not _WAITING.search(plain) and len(self._kinds) < MOST_KINDS:
            self._kinds.add(_DIGITS.sub("#", plain)[:120])
        if _TELLING.search(plain) and len(self.telling) < 40 and plain not in self.telling:
            self.telling.append(plain)
        self._look(plain)

    def _look(self, plain: str) -> None:
        order = list(Phase)
        for phase, pattern in _PHASES:
            if order.index(phase) > order.index(self.phase) and pattern.search(plain):
                self.phase = phase
        for sign, pattern in _SIGNS:
            if not self.saw(sign) and pattern.search(plain):
                self.signs.append(_Seen(sign, plain))


def clean(data: bytes) -> str:
    """Return a line as text: escape sequences and control characters taken out."""
    text = _ESCAPES.sub(b"", data[: 4 * MOST_LINE_BYTES]).decode("utf-8", "replace")
    return "".join(each if each.isprintable() else " " if each == "\t" else "" for each in text)[
        :MOST_LINE_BYTES
    ]
