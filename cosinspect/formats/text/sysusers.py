"""The users and groups that `sysusers.d` files make (sysusers.d(5)), read as bootc reads them (crates/sysusers/src/lib.rs).

Lines of the types `u` and `g` count, and `u!`, which systemd has since version 257; a user also creates a group of its name.
Fields are separated by white space, and may be within double quotes.
"""

from __future__ import annotations

import re

from attrs import frozen

from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem, bounded

__all__ = ["SysusersConf", "read_account_names", "read_sysusers_conf"]

_FIELD = re.compile(r'\s*(?:"([^"]*)"|([^\s"]\S*))')


@frozen
class SysusersConf:
    """The users and groups of a file, and the lines that bootc cannot read (`syntax`)."""

    users: frozenset[str]
    groups: frozenset[str]
    problems: tuple[Problem, ...]


def read_sysusers_conf(text: str) -> SysusersConf:
    """Read a file of `sysusers.d`; the result's `problems` lists its faults."""
    text, problems = bounded(text)
    users: set[str] = set()
    groups: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [quoted or plain for quoted, plain in _FIELD.findall(line)]
        kind, name = (*fields, "", "")[:2]
        if kind in ("u", "u!", "g") and name:
            groups.add(name)
            if kind != "g":
                users.add(name)
        elif kind in ("u", "u!", "g") and len(problems) < MAX_PROBLEMS:
            problems.append(Problem("syntax", f"expected a name, found {line[:60]!r}", number))
    return SysusersConf(frozenset(users), frozenset(groups), tuple(problems))


def read_account_names(text: str) -> tuple[str, ...]:
    """Return the names in a passwd(5) or group(5) file, in order, without lines of NIS and comments."""
    names = (line.partition(":")[0].strip() for line in text.split("\n") if ":" in line)
    return tuple(dict.fromkeys(name for name in names if name and name[0] not in "+-#"))
