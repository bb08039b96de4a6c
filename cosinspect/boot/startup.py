"""What is started: the kernel, the initrd and the command line that GRUB makes of an image, or what bootc has beside its modules."""

from __future__ import annotations

from attrs import frozen

from cosinspect.errors import CannotBoot
from cosinspect.facts.boot_menu import Loaded, StateBoot
from cosinspect.facts.facts import Facts
from cosinspect.profiles import BootState, BootTable, generation_tables
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["PLAIN_LABEL", "Startup", "find_startup"]

PLAIN_LABEL = "COSINSPECT_ROOT"
"""Of the file system that the tree is written to where the image's generation has no disk of its own."""

_SHOWN = ("console=ttyS0", "systemd.show_status=1", "systemd.log_target=console", "panic=-1")
"""What the command line gets in addition: the machine speaks on its serial port, and a panic ends it."""
_HUSHED = ("quiet", "splash", "rhgb", "splash=silent")


@frozen
class Startup:
    """What a machine is started with.

    Attributes:
        generation: of the image, "" where none is evident.
        table: how the generation's menu starts it, None where the tree is the root of a plain disk.
        state: the state of the machine that the menu starts.
        kernel: path in the image.
        initrds: paths in the image, in their order.
        command_line: as the menu makes it.
        notes: what is different from a machine that was installed.
    """

    generation: str
    table: BootTable | None
    state: BootState | None
    kernel: str
    initrds: tuple[str, ...]
    command_line: str
    notes: tuple[str, ...] = ()

    @property
    def shown_line(self) -> str:
        """The command line that the emulator is given: the same, but spoken on the serial port."""
        words = [
            word
            for word in self.command_line.split()
            if word not in _HUSHED and not word.startswith("panic=")
        ]
        return " ".join([*words, *(word for word in _SHOWN if word not in words)])


def find_startup(
    rootfs: Rootfs, facts: Facts, entry: str, *, anyway: bool = False, firmware: bool = False
) -> Startup:
    """Find out what an entry of the menu starts.

    Args:
        rootfs: the image's tree.
        facts: what is known of it.
        entry: `active` or `recovery`.
        anyway: whether any kernel and initrd are taken where the entry starts none.
        firmware: whether firmware starts the menu, so that `anyway` leaves it to GRUB to fail.

    Raises:
        CannotBoot: nothing is there to start, or the entry is not known for this kind of image.
    """
    generation = facts.generation
    table = generation_tables().get(generation)
    if generation in ("uki", "kairos-trusted"):
        raise CannotBoot(
            "the image has no kernel and initrd of its own to start: it is the source or the content of an EFI partition",
            remedy="boot the unified kernel image that is made of it",
        )
    if generation == "G6" or table is None or table.boot is None:
        return _plain(rootfs, facts, entry)
    try:
        return _by_menu(rootfs, facts, table.boot, entry)
    except CannotBoot:
        if not anyway:
            raise
        boot = _state(facts.boot_states, entry) if firmware else None
        if boot is not None:
            return Startup(facts.generation, table.boot, boot.state, "", (), "")
        return _plain(rootfs, facts, "active")


def _by_menu(rootfs: Rootfs, facts: Facts, table: BootTable, entry: str) -> Startup:
    boot = _state(facts.boot_states, entry)
    if boot is None:
        if entry != "active":
            raise CannotBoot(f"the menu of this generation has no entry {entry!r}")
        return _plain(rootfs, facts, entry)
    if boot.bound:
        raise CannotBoot(f"it is undecided what GRUB loads: {boot.bound}")
    way = _way(boot, entry)
    if way.kernel is None or way.kernel.path is None or not way.kernel.is_there:
        raise CannotBoot("GRUB finds no kernel to load", where=way.kernel.name if way.kernel else None)
    missing = [each.name for each in way.initrds if each.path is None or not each.is_there]
    if missing or not way.initrds:
        raise CannotBoot("GRUB finds no initrd to load", where=missing[0] if missing else None)
    line = way.boot.command_line.text
    if "${" in line:
        raise CannotBoot(f"the command line is not known before the boot: {line}")
    notes = () if not way.boot.conditions else (f"as if {' and '.join(way.boot.conditions)}",)
    return Startup(
        facts.generation,
        table,
        boot.state,
        way.kernel.path,
        tuple(each.path or "" for each in way.initrds),
        line,
        notes,
    )


def _state(states: tuple[StateBoot, ...], entry: str) -> StateBoot | None:
    """Return the first state of an entry in which an image file is the root, the one that a machine starts by default."""
    wanted = [each for each in states if each.state.recovery == (entry == "recovery")]
    return next((each for each in wanted if not each.state.image.endswith("/")), None)


def _way(boot: StateBoot, entry: str) -> Loaded:
    complete = [way for way in boot.ways if way.is_complete]
    chosen = next(iter(complete or boot.ways), None)
    if chosen is None:
        raise CannotBoot(f"the menu has no entry for {entry!r}")
    return chosen


def _plain(rootfs: Rootfs, facts: Facts, entry: str) -> Startup:
    """Start the tree as the root of a plain disk: it proves kernel, initrd and system, and no deployment."""
    if entry != "active":
        raise CannotBoot(
            f"expected an image of the toolkit for the entry {entry!r}, found another kind",
            remedy="leave --entry out",
        )
    kernel = next((each for each in facts.kernels if each.kernel is not None), None)
    path = kernel.path if kernel is not None else ""
    initrd = next((each.path for each in facts.booted_initrds if each.initrd is not None), "")
    if not path:
        found = rootfs.glob("/usr/lib/modules/*/vmlinuz")
        path = found[0].path if found else ""
    if not path:
        raise CannotBoot("the image has no kernel that could be started")
    if not initrd:
        raise CannotBoot("the image has no initrd that could be started")
    note = "partial: the tree is the root of a plain disk, as nothing deploys this kind of image without root"
    # Deployment writes SELinux's labels; a tree from layers has none.
    line = f"root=LABEL={PLAIN_LABEL} rw enforcing=0"
    return Startup(facts.generation, None, None, path, (initrd,), line, (note,))
