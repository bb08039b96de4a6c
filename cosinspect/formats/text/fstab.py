"""File systems that a system mounts at boot: fstab(5), read as glibc's getmntent(3), which systemd's generator calls.

Sources: fstab(5), `misc/mntent_r.c` of glibc, systemd-fstab-generator(8).
"""

from __future__ import annotations

import re

from attrs import frozen

from cosinspect.formats.text.problem import bounded

__all__ = ["MAX_MOUNTS", "Mount", "read_fstab"]

MAX_MOUNTS = 1000
"""The most lines that are read; further lines are left out."""

_BLANKS = re.compile(r"[ \t]+")
_ESCAPED = re.compile(r"\\(040|011|012|134|\\)")
_CHARACTERS = {"040": " ", "011": "\t", "012": "\n", "134": "\\", "\\": "\\"}


@frozen
class Mount:
    """A line of the file.

    Attributes:
        what: the device, or a name of it (`LABEL=`, `UUID=`).
        where: the mount point.
        type: of the file system, "" if the line ends before it.
        options: in order.
        line: counted from 1.
    """

    what: str
    where: str
    type: str
    options: tuple[str, ...]
    line: int

    @property
    def is_required(self) -> bool:
        """Whether the boot ends in emergency mode if it cannot be mounted."""
        # A carriage return at the line's end belongs to its last field, so `nofail\r` is not `nofail`.
        return self.type != "swap" and not {"nofail", "noauto", "x-systemd.automount"}.intersection(
            self.options
        )


def read_fstab(text: str) -> tuple[Mount, ...]:
    """Return the mounts of a file in order; comments and lines without a mount point are left out."""
    found = []
    for number, raw in enumerate(bounded(text)[0].split("\n"), 1):
        line = raw.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        fields = [_unescaped(each) for each in _BLANKS.split(line.rstrip(" \t"))]
        if len(fields) < 2:
            continue
        what, where, kind, options, *_ = (*fields, "", "")
        found.append(Mount(what, where, kind, tuple(filter(None, options.split(","))), number))
        if len(found) >= MAX_MOUNTS:
            break
    return tuple(found)


def _unescaped(field: str) -> str:
    return _ESCAPED.sub(lambda match: _CHARACTERS[match[1]], field)
