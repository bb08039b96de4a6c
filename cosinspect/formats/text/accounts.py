"""Accounts of a system: passwd(5), and accounts that systemd-sysusers creates from sysusers.d(5)."""

from __future__ import annotations

from attrs import frozen

from cosinspect.formats.text.problem import bounded

__all__ = ["DEFAULT_SHELL", "PasswdEntry", "read_passwd", "read_sysusers"]

DEFAULT_SHELL = "/bin/sh"
"""The program that login starts for an account without a shell (passwd(5))."""

_FIELDS = 7
_MAX_ACCOUNTS = 10_000


@frozen
class PasswdEntry:
    """An account.

    Attributes:
        name: of the account.
        uid: its number, None if systemd-sysusers chooses it.
        shell: the program that login starts.
    """

    name: str
    uid: int | None
    shell: str


def read_passwd(text: str) -> tuple[PasswdEntry, ...]:
    """Return the accounts of a passwd file as glibc reads it: invalid lines and comments are left out.

    Blanks and carriage returns at the end of a line belong to the shell's name.
    """
    found = []
    for line in bounded(text)[0].split("\n"):
        fields = line.lstrip(" \t").split(":")
        if len(fields) < _FIELDS or not fields[0] or fields[0][0] in "#+-":
            continue
        if not (fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10):
            continue
        found.append(PasswdEntry(fields[0], int(fields[2]), fields[6] or DEFAULT_SHELL))
        if len(found) >= _MAX_ACCOUNTS:
            break
    return tuple(found)


def read_sysusers(text: str) -> tuple[PasswdEntry, ...]:
    """Return the accounts that the `u` lines of a sysusers.d file create; names with specifiers are left out."""
    found = []
    for line in bounded(text)[0].split("\n"):
        words = line.split(None, 3)
        if len(words) < 3 or words[0].rstrip("!") != "u" or "%" in words[1]:
            continue
        number = words[2].partition(":")[0]
        rest = words[3].split('"') if len(words) > 3 else []
        behind = (rest[2] if len(rest) > 2 else " ".join(rest[:1]).partition(" ")[2]).split()
        shell = behind[1] if len(behind) > 1 and behind[1] != "-" else ""
        uid = int(number) if number.isascii() and number.isdigit() and len(number) <= 10 else None
        # systemd-sysusers gives root a shell, and other accounts nologin.
        found.append(
            PasswdEntry(words[1], uid, shell or (DEFAULT_SHELL if uid == 0 else "/usr/sbin/nologin"))
        )
        if len(found) >= _MAX_ACCOUNTS:
            break
    return tuple(found)
