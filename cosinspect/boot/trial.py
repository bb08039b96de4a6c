"""A boot from beginning to end: what is started, its disk, the machine, and what came of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from attrs import evolve, frozen

from cosinspect.boot.console import Console, Phase
from cosinspect.boot.disk import write_disk
from cosinspect.boot.emulator import Emulator, Machine, RunningMachine, find_emulator, kvm_usable
from cosinspect.boot.firmware import NO_FIRMWARE, firmware_files
from cosinspect.boot.layout import lay_out
from cosinspect.boot.outcome import BootResult, Outcome
from cosinspect.boot.proof import Account, find_accounts, oem_members, unit_members
from cosinspect.boot.startup import Startup, find_startup
from cosinspect.boot.tree import as_installed
from cosinspect.boot.watch import Limits, Watched, watch
from cosinspect.errors import CannotBoot
from cosinspect.facts.facts import Facts
from cosinspect.profiles import generation_tables
from cosinspect.rootfs.member import Member
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["Trial", "copy_files", "start_machine", "try_boot"]

TAIL_LINES = 40
KVM_SECONDS = 30
"""By the clock: an accelerator that has not come to the kernel's first line by then does not run."""

_BY_TIMEOUTS = (
    BootResult.EMERGENCY_INITRD, BootResult.EMERGENCY_SYSTEM, BootResult.STUCK, BootResult.HALF_BOOTED
)  # fmt: skip
"""How a boot ends where timeouts of the machine's own fire; without a processor they fire for a good image as well."""


@frozen
class Trial:
    """How a boot is tried.

    Attributes:
        entry: of the menu: `active` or `recovery`.
        firmware: whether the machine's firmware starts the image's own boot loader.
        cpu_seconds: of the machine's own work, after which it is given up; None for what the accelerator usually takes.
        memory: MiB.
        accel: `auto`, `kvm` or `tcg`.
        console: where everything that the machine prints is written, None for nowhere.
        keep: where the disk, kernel and initrd are left, None where they are thrown away.
        anyway: whether to try where nothing is to be expected.
    """

    entry: str = "active"
    firmware: bool = False
    cpu_seconds: float | None = None
    memory: int = 2048
    accel: str = "auto"
    console: Path | None = None
    keep: Path | None = None
    anyway: bool = False


def try_boot(
    rootfs: Rootfs, facts: Facts, trial: Trial, tell: Callable[[str], object] = lambda _: None
) -> Outcome:
    """Boot an image.

    Args:
        rootfs: its merged tree, with its layers.
        facts: what is known of it.
        trial: how.
        tell: told in a few words what is done.

    Raises:
        CannotBoot: it cannot be tried.
        CosinspectError: a layer cannot be had again.
        OSError: a file cannot be written.
    """
    emulator = find_emulator(facts.architecture)
    startup = find_startup(rootfs, facts, trial.entry, anyway=trial.anyway, firmware=trial.firmware)
    if trial.accel == "kvm" and not kvm_usable(emulator.architecture):
        raise CannotBoot(
            "expected /dev/kvm to be usable for this architecture, it is not", remedy="use --accel tcg"
        )
    with _directory(trial.keep) as place:
        tell("writing the disk")
        own_unit = unit_members(rootfs, emulator.port) if startup.state is None else ()
        layout = _write(rootfs, startup, trial, place, tuple(oem_members(emulator.port)), own_unit)
        machine = Machine(place / "disk.img", place, trial.memory, "tcg")
        if not trial.firmware:
            copy_files(rootfs, (startup.kernel,), place / "kernel")
            copy_files(rootfs, startup.initrds, place / "initrd")
            line = startup.shown_line.replace("console=ttyS0", f"console={emulator.serial}")
            machine = evolve(machine, kernel=place / "kernel", initrd=place / "initrd", command_line=line)
        accounts = find_accounts(rootfs)
        outcome = start_machine(
            emulator, machine, trial, accounts, tell, answers=startup.state is not None or bool(own_unit)
        )
    return evolve(
        outcome,
        entry=trial.entry,
        layout=layout,
        command_line=machine.command_line,
        notes=(*startup.notes, *outcome.notes),
    )


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """Yield a private directory, which is removed unless it shall be kept."""
    if keep is not None:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("disk.img", "kernel", "initrd"):
            (keep / name).unlink(missing_ok=True)
        yield keep
        return
    place = Path(tempfile.mkdtemp(prefix="cosinspect-boot-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write(
    rootfs: Rootfs,
    startup: Startup,
    trial: Trial,
    place: Path,
    oem: tuple[Member, ...],
    beside: tuple[Member, ...],
) -> tuple[str, ...]:
    """Write the disk, and say what is on it."""
    own = firmware_files(rootfs, startup) if trial.firmware else NO_FIRMWARE
    volumes = lay_out(startup, chain(as_installed(rootfs), beside), oem, own.efi, own.state)
    table = generation_tables().get(startup.generation)
    bound = table.image_mebibytes if table is not None and startup.table is not None else 0
    for volume in volumes:
        if (
            volume.image is not None
            and bound
            and volume.image[1].size > (bound + 64) << 20
            and not trial.anyway
        ):
            raise CannotBoot(
                f"expected a tree for an image of {bound} MiB, as installation makes it, found {volume.image[1].size >> 20} MiB",
                remedy="make the image smaller, or try it all the same (--anyway)",
            )
    write_disk(place / "disk.img", volumes, rootfs)
    return tuple(
        f"{volume.name}: {getattr(volume.system, 'label', '') or 'FAT'}"
        + (
            f" with {startup.state.image.partition(':')[2]}"
            if volume.image is not None and startup.state is not None
            else ""
        )
        for volume in volumes
    )


def copy_files(rootfs: Rootfs, paths: tuple[str, ...], target: Path) -> None:
    """Write files of the image one after the other, as a boot loader loads initrds: each at a multiple of four bytes."""
    with target.open("wb") as out:
        for path in paths:
            with rootfs.open(path) as stream:
                while piece := stream.read(1 << 20):
                    out.write(piece)
            out.write(bytes(-out.tell() % 4))


def start_machine(
    emulator: Emulator,
    machine: Machine,
    trial: Trial,
    accounts: tuple[Account, ...],
    tell: Callable[[str], object] = lambda _: None,
    *,
    answers: bool = True,
) -> Outcome:
    """Start a machine with the accelerator that runs it, and watch it to the end of its boot.

    Args:
        emulator: which one.
        machine: what it is made of.
        trial: how it is tried.
        accounts: who can log in.
        tell: told in a few words what is done.
        answers: whether the machine runs our commands if it lives.

    Raises:
        CannotBoot: no accelerator that is allowed runs it.
    """
    notes: list[str] = []
    if trial.accel != "tcg" and kvm_usable(emulator.architecture):
        outcome, _ = _once(emulator, evolve(machine, accel="kvm"), trial, accounts, tell, answers=answers)
        if outcome is not None:
            return outcome
        if trial.accel == "kvm":
            raise CannotBoot("/dev/kvm opens, and no machine runs by it", remedy="use --accel tcg")
        notes.append("/dev/kvm opens, and no machine runs by it: started again without it")
    elif trial.accel == "auto":
        notes.append("without /dev/kvm everything is computed, which takes some ten times as long")
    outcome, waited = _once(emulator, machine, trial, accounts, tell, answers=answers)
    if outcome is not None and outcome.result in _BY_TIMEOUTS and waited > outcome.cpu:
        notes.append(
            f"{outcome.result.value} on a busy computer, where the machine waited {waited:.0f} s for a processor: "
            "started again with a clock that follows its instructions"
        )
        outcome, _ = _once(emulator, evolve(machine, counted=True), trial, accounts, tell, answers=answers)
    if outcome is None:
        raise CannotBoot("the emulator ended before the machine printed anything")
    return evolve(outcome, notes=tuple(notes))


def _once(
    emulator: Emulator,
    machine: Machine,
    trial: Trial,
    accounts: tuple[Account, ...],
    tell: Callable[[str], object],
    *,
    answers: bool,
) -> tuple[Outcome | None, float]:
    """Run the machine once, and return the seconds that it waited for a processor; no outcome where the accelerator does not run it."""
    console = Console()
    kvm = machine.accel == "kvm"
    seconds = trial.cpu_seconds or (120.0 if kvm else 600.0)
    limits = Limits(
        seconds, 10 * seconds, silent_cpu=60.0, idle_wall=200.0 if kvm else 130.0, answers=answers
    )
    log = trial.console.open("wb") if trial.console is not None else None
    tell(f"starting the machine ({machine.accel})")
    try:
        with RunningMachine(emulator, machine) as guest:
            record: Callable[[bytes], object] = log.write if log is not None else lambda _: None
            if kvm and not _comes_up(guest, console, record, firmware=machine.kernel is None):
                return None, 0.0
            found = watch(guest, console, accounts, limits, record)
            if found.result is BootResult.UNDECIDED and console.phase is Phase.NOTHING and guest.complaint:
                raise CannotBoot(f"the emulator fails: {guest.complaint}")
            return _outcome(found, console, machine.accel, guest.wall, guest.cpu), guest.waited
    finally:
        if log is not None:
            log.close()


def _comes_up(
    guest: RunningMachine, console: Console, record: Callable[[bytes], object], *, firmware: bool
) -> bool:
    """Return whether the machine comes to the kernel's first line, or to the firmware's where that starts it."""
    while guest.wall < KVM_SECONDS:
        data = guest.read(0.5)
        if data is None:
            return False
        record(data)
        console.feed(data)
        if console.phase not in (Phase.NOTHING, *(() if firmware else (Phase.FIRMWARE,))):
            return True
    return False


def _outcome(found: Watched, console: Console, accel: str, wall: float, cpu: float) -> Outcome:
    # The machine's own word counts where its console does not say it.
    phase = Phase.MULTI_USER if found.proof.multi_user == "active" else console.phase
    return Outcome(
        found.result, found.reason, phase.value, found.login, found.proof, accel, wall, cpu,
        telling=tuple(console.telling), tail=console.lines(TAIL_LINES),
    )  # fmt: skip
