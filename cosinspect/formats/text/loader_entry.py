"""Entries of a boot menu by the Boot Loader Specification, type 1: `loader/entries/*.conf`, and `loader/loader.conf`.

Each line is a key, white space and a value; a `#` begins a line of comment. systemd-boot reads the value up to
the line's end. Of several values of a key that may occur once, it uses the last one.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROGRAM_KEYS", "read_loader_entry"]

PROGRAM_KEYS = ("efi", "uki", "linux")
"""The keys that name the program that an entry starts; systemd-boot supports `uki` since version 259."""


def read_loader_entry(text: str) -> Mapping[str, str]:
    """Read an entry, or loader.conf, as its values by key."""
    found: dict[str, str] = {}
    for raw in text.split("\n"):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, *value = line.split(maxsplit=1)
        found[key] = value[0] if value else ""
    return found
