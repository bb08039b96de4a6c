"""A mutation that is booted, and the changes it is made of."""

from collections.abc import Callable
from typing import Any

from attrs import Factory, frozen

from cosinspect.testing import File, Symlink, Whiteout


@frozen
class Row:
    """A mutation.

    Attributes:
        name: of the row.
        generation: of the good derivative that is changed.
        summary: what is changed.
        boots: whether it boots, None for what is not known before.
        root: entries of a layer above the good derivative's tree; a number is the mode of a file that stays as it is.
        initrd: changes the members of its initrd.
        entry: of the menu that is started.
        firmware: whether firmware starts Debian's shim and GRUB, put where the toolkit looks for them.
        cpu_seconds: after which it is given up, None for the command's default.
        because: why inspection and boot may differ.
    """

    name: str
    generation: str
    summary: str
    boots: bool | None
    root: dict[str, Any] = Factory(dict)
    initrd: Callable[[dict[str, Any]], object] | None = None
    entry: str = "active"
    firmware: bool = False
    cpu_seconds: float | None = None
    because: str = ""


def without(*names):
    """Take members away, by the ends of their paths; a link's target goes with it."""

    def change(members):
        gone = [path for path in members if any(path == name or path.endswith(f"/{name}") for name in names)]
        assert gone, names
        for path in gone:
            del members[path]

    return change


def emptied(name):
    """Empty the file that a library's name stands for."""

    def change(members):
        path = _real(members, name)
        members[path] = File(b"", mode=members[path].mode)

    return change


def with_mode(name, mode):
    """Change the mode of a file."""

    def change(members):
        path = _real(members, name)
        members[path] = File(members[path].content, mode=mode)

    return change


def _real(members, name):
    path = next(path for path in members if path == name or path.endswith(f"/{name}"))
    while isinstance(members[path], Symlink):
        target = members[path].target.decode()
        path = target.lstrip("/") if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        path = next(
            each
            for each in members
            if each.endswith(path.rpartition("/")[2]) and not isinstance(members[each], Symlink)
        )
    return path


def junk(members):
    members.clear()


def compressed(members):
    """Leave the members, and have the archive compressed: Debian's GRUB has no memory for 114 MB."""


def gone(*paths):
    """Whiteouts of a layer."""
    return {path: Whiteout() for path in paths}
