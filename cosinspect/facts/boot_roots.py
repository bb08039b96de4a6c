"""Whether the initrd of a generation finds the image by a command line: `root=`, and the argument that names the image."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from cosinspect.formats.boot.bootargs import leftover_placeholders
from cosinspect.formats.boot.command_line import CommandLine
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.profiles import BootState, BootTable, Generation

__all__ = ["Fit", "Root", "fit_of", "fits", "is_root_wrong", "names_image", "root_of"]


class Root(Enum):
    """What `root=` names."""

    FITTING = auto()
    OTHER = auto()
    MISSING = auto()
    UNKNOWN = auto()


class Fit(Enum):
    """What the initrd of the image makes of a command line.

    Attributes:
        YES: it finds the image.
        SCANS: dracut's own iso-scan loops the image, and the root is found by the image's label.
        ROOT: `root=` names a file system that no deployment makes, in any generation.
        NO: the line is made for another generation, or for none.
    """

    YES = auto()
    SCANS = auto()
    ROOT = auto()
    NO = auto()


def _labels_of(table: BootTable) -> frozenset[str]:
    """Return the label of every file system that a deployment makes."""
    return frozenset((table.root, *table.labels))


def root_of(state: BootState, value: str | None) -> Root:
    """Return what a value of `root=` names in a state; only labels can be judged."""
    if not value:
        return Root.MISSING
    name = value.removeprefix("live:").removeprefix("block:")
    for prefix in ("LABEL=", "CDLABEL="):
        if name.startswith(prefix):
            label = name.removeprefix(prefix).strip('"')
            if "${" in label or leftover_placeholders(label):
                return Root.UNKNOWN
            if not label:
                return Root.MISSING
            return Root.FITTING if label in state.labels else Root.OTHER
    return Root.UNKNOWN


def names_image(line: CommandLine, *arguments: str) -> bool:
    """Return whether a command line has one of a generation's arguments for the image, with a value, in every way.

    Raises:
        GrubBound: there are more ways than are followed.
    """
    return any(all(each.value for each in line.last(name)) for name in arguments)


def is_live(line: CommandLine) -> bool:
    """Return whether dracut's own live module boots by a command line."""
    return all((each.value or "").startswith("live:") for each in line.last("root")) and names_image(
        line, "rd.live.squashimg"
    )


def fits(table: Generation, state: BootState, line: CommandLine) -> bool:
    """Return whether the initrd of a generation finds the image by a command line, in every way.

    A way that is not followed counts as fitting: nothing is said against the line.
    """
    try:
        if table.root_variable == "label" and is_live(line):
            return True
        roots = [root_of(state, each.value) for each in line.last("root")]
        return names_image(line, table.kernel_argument, *table.kernel_argument_else) and all(
            root in {Root.FITTING, Root.UNKNOWN} for root in roots
        )
    except GrubBound:
        return True


def is_root_wrong(table: BootTable, state: BootState, line: CommandLine) -> bool:
    """Return whether `root=` is missing or empty in some way, or names a label that no deployment makes.

    Raises:
        GrubBound: there are more ways than are followed.
    """
    known = _labels_of(table)
    return any(
        root is Root.MISSING or (root is Root.OTHER and _label(each.value or "") not in known)
        for each in line.last("root")
        for root in [root_of(state, each.value)]
    )


def fit_of(
    table: Generation,
    state: BootState,
    line: CommandLine,
    *,
    can_scan: bool,
    is_known_elsewhere: Callable[[], bool],
) -> Fit:
    """Return what the initrd of the image makes of a command line.

    Args:
        table: of the image's generation.
        state: of the machine.
        line: the command line.
        can_scan: whether dracut's iso-scan is in the initrd.
        is_known_elsewhere: returns whether the same bootargs.cfg fits another generation; called only if the result depends on it.

    Raises:
        GrubBound: there are more ways than are followed.
    """
    if fits(table, state, line):
        return Fit.YES
    roots = [root_of(state, each.value) for each in line.last("root")]
    if (
        can_scan
        and table.root_variable == "label"
        and names_image(line, "iso-scan/filename")
        and all(each.value is None for each in line.last("cos-img/filename"))
        and set(roots) <= {Root.FITTING, Root.UNKNOWN}
    ):
        return Fit.SCANS
    if table.boot is not None and is_root_wrong(table.boot, state, line) and not is_known_elsewhere():
        return Fit.ROOT
    return Fit.NO


def _label(value: str) -> str:
    return value.rpartition("LABEL=")[2].strip('"')
