"""Key files: the INI dialect of GLib, in which ostree has its settings (`prepare-root.conf`).

Follows `gkeyfile.c` of GLib 2.74 (`g_key_file_load_from_data`): a line that is neither a comment, a group nor `key=value`, or
a key before the first group, makes the whole file invalid. Of several values of a key the last one counts.

Not supported: translations (`key[de]=...`), which are keys of that name here, and the key `Encoding`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from cosinspect.errors import FormatError

__all__ = ["KeyFile", "read_key_file"]

_SPACE = " \t\n\r\f\v"  # g_ascii_isspace
_GROUP = re.compile(r"\[([^\[\]\x00-\x1f\x7f]*)\][ \t\r\f\v]*")
_KEY = re.compile(r"[^\[\]=]+(?:\[[\w.@-]*\])?")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@frozen
class KeyFile:
    """The groups of a key file, each with its raw values by key."""

    groups: Mapping[str, Mapping[str, str]]

    def string(self, group: str, key: str) -> str | None:
        """Return a value as `g_key_file_get_string` does, None if it is not set.

        Raises:
            FormatError: it has an unknown escape (`syntax`).
        """
        value = self.groups.get(group, {}).get(key)
        return None if value is None else _ESCAPE.sub(_unescaped, value)

    def boolean(self, group: str, key: str) -> bool | None:
        """Return a value as `g_key_file_get_boolean` does, None if it is not set.

        Raises:
            FormatError: it is not true, false, 1 or 0 (`type`).
        """
        value = self.groups.get(group, {}).get(key)
        if value is None:
            return None
        found = _BOOLEANS.get(value.rstrip(_SPACE))
        if found is None:
            raise FormatError(f"expected {key} to be true or false, found {value[:60]!r}", kind="type")
        return found


def read_key_file(text: str) -> KeyFile:
    """Read a key file.

    Raises:
        FormatError: GLib refuses the file (`syntax`).
    """
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r").lstrip(_SPACE)
        if not line or line.startswith("#"):
            continue
        found = _GROUP.fullmatch(line)
        if found is not None and found[1]:
            group = groups.setdefault(found[1], {})
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip(_SPACE)
        if not equals or _KEY.fullmatch(key) is None:
            raise FormatError(
                f"expected a group, a comment or key=value in line {number}, found {line[:60]!r}",
                kind="syntax",
            )
        if group is None:
            raise FormatError(
                f"expected a group before the first key, found {key[:60]!r} in line {number}", kind="syntax"
            )
        group[key] = value.lstrip(_SPACE)
    return KeyFile(groups)


def _unescaped(found: re.Match[str]) -> str:
    if found[1] not in _ESCAPES:
        raise FormatError(f"expected an escape of key files, found {found[0]!r}", kind="syntax")
    return _ESCAPES[found[1]]
