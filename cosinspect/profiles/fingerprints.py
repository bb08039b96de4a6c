"""The fingerprints of the generations: by which files, labels and settings each is recognised. Data, in `fingerprints.toml`.

`cosinspect.facts.generation` holds an image against them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Literal

import msgspec

from cosinspect.errors import InvalidProfile
from cosinspect.profiles.tables import generation_tables, resource_text
from cosinspect.wire_types import ready

__all__ = ["Condition", "Fingerprint", "Fingerprints", "fingerprints", "read_fingerprints"]

_KEYS = ("path", "link", "label", "setting", "text", "initrd", "files_of", "trace")


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that an image has, in exactly one of the first eight attributes; see `fingerprints.toml`.

    Attributes:
        path: what is there, links followed; a pattern.
        link: a symbolic link.
        label: a label of the image's configuration.
        setting: a key of an environment file; a pattern.
        text: a part of a file; "" for any file that is not empty.
        initrd: a path of the initrd.
        files_of: a search for boot files that finds all of them.
        trace: the name of conditions one of which holds.
        values: the values of a label or of a setting that count, in lower case; empty if any does.
        files: the files that a setting or a text is looked for in; those of a text may be patterns.
        beside: the path without which the initrd is not opened.
        words: what the report says of it besides.
    """

    path: str = ""
    link: str = ""
    label: str = ""
    setting: str = ""
    text: str | None = None
    initrd: str = ""
    files_of: Literal["", "elemental3"] = ""
    trace: str = ""
    values: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    beside: str = ""
    words: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The attributes that name what is looked for."""
        return tuple(
            key
            for key in _KEYS
            if getattr(self, key) not in ("", None) or (key == "text" and self.text == "")
        )


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What shows a generation.

    Attributes:
        generation: its name.
        all: conditions each of which holds.
        any: conditions one of which holds; empty for none.
        none: conditions none of which holds.
        releases: the first and the last release that it shows, None if it shows no more than the generation.
    """

    generation: str
    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()
    releases: tuple[str, str] | None = None


class Fingerprints(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every fingerprint, the one that decides first.

    Attributes:
        traces: conditions by a name that fingerprints refer to.
        fingerprint: the fingerprints.
    """

    traces: dict[str, tuple[Condition, ...]] = {}
    fingerprint: tuple[Fingerprint, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The files whose text is read, as paths without the leading slash."""
        every = [item for items in self.traces.values() for item in items]
        every += [item for each in self.fingerprint for item in (*each.all, *each.any, *each.none)]
        return tuple(dict.fromkeys(path.lstrip("/") for item in every for path in item.files))


def read_fingerprints(text: str, generations: Mapping[str, object]) -> Fingerprints:
    """Read fingerprints from TOML.

    Args:
        text: the document.
        generations: the names of generations that have a table.

    Raises:
        InvalidProfile: the document is malformed, a fingerprint is of no such generation or has no condition, or a condition names nothing
            or two things to look for.
    """
    where = "fingerprints.toml"
    try:
        found = msgspec.convert(tomllib.loads(text), ready(Fingerprints))
    except (ValueError, msgspec.ValidationError, RecursionError) as fault:
        raise InvalidProfile(f"the fingerprints are malformed: {fault}", where=where) from fault
    for each in found.fingerprint:
        if each.generation not in generations:
            raise InvalidProfile(f"there is no generation {each.generation[:60]!r}", where=where)
        if not each.all and not each.any:
            raise InvalidProfile(
                f"a fingerprint of {each.generation} has no condition that must hold", where=where
            )
    conditions = [item for items in found.traces.values() for item in items]
    conditions += [item for each in found.fingerprint for item in (*each.all, *each.any, *each.none)]
    for item in conditions:
        if len(item.keys) != 1:
            named = " and ".join(item.keys) or "nothing"
            raise InvalidProfile(f"expected a condition that names one thing, found {named}", where=where)
        if item.trace and any(other.trace for other in found.traces.get(item.trace, (item,))):
            raise InvalidProfile(f"there are no traces {item.trace[:60]!r} of plain conditions", where=where)
        if (item.setting or item.text is not None) and not item.files:
            raise InvalidProfile(f"a condition names no files to look for {item.keys[0]} in", where=where)
    return found


@cache
def fingerprints() -> Fingerprints:
    """Return the fingerprints that come with the package."""
    return read_fingerprints(resource_text("fingerprints.toml"), generation_tables())
