"""All mistakes of a document at once, each with its key and, if possible, its line.

TOML readers keep no positions. The text is therefore searched for the header of a table and for the key below
it, which works for the usual spelling. For inline values, only the key is reported.
"""

from __future__ import annotations

import datetime as dt
import difflib
import enum
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast, get_args, get_origin

import msgspec
from attrs import define, field

from cosinspect.errors import InvalidConfiguration, InvalidPolicy, InvalidProfile
from cosinspect.wire_types import ready

__all__ = ["Key", "Mistakes", "Parser", "read_document"]

Key = tuple[str | int, ...]
"""The position of a value: `("files", 0, "mode")`."""

Parser: TypeAlias = "Callable[[Any], object]"
"""Parses a value of the right type; raises ValueError if it is invalid."""

T = TypeVar("T", bound=msgspec.Struct)

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")
_KEY = re.compile(r"\s*\"?([\w.-]+)\"?\s*=")
MOST = 20
"""The maximum number of reported mistakes."""


MOST_BYTES = 1024 * 1024
"""The maximum size of a document."""


def read_document(path: Path, what: str, kind: type[InvalidProfile]) -> str:
    """Read the text of a document that a person wrote.

    Args:
        path: of the file.
        what: the document in words, such as `profile`.
        kind: the class of the error.

    Raises:
        InvalidProfile: as `kind`: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        reason = fault.strerror if isinstance(fault, OSError) else None
        raise kind(f"the {what} cannot be read: {reason or fault}", where=str(path)) from fault
    if len(raw) > MOST_BYTES:
        raise kind(f"expected at most {MOST_BYTES} bytes", where=str(path))
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise kind(f"the {what} is not UTF-8", where=str(path)) from fault


@define
class Mistakes:
    """Collects the mistakes of one document.

    Attributes:
        where: the document's name.
        kind: the class of the error.
    """

    where: str
    kind: type[InvalidProfile | InvalidConfiguration] = InvalidPolicy
    _lines: dict[Key, int] = field(factory=dict)
    _found: list[tuple[Key, str]] = field(factory=list)

    @classmethod
    def of(
        cls, where: str, text: str, kind: type[InvalidProfile | InvalidConfiguration] = InvalidPolicy
    ) -> Mistakes:
        """Prepare to find the lines of `text`."""
        return cls(where, kind, _key_lines(text))

    def add(self, key: Key, message: str) -> None:
        """Add a mistake; the message says what was expected and what was found."""
        self._found.append((key, message))

    def convert(
        self, kind: type[T], value: object, key: Key, parsers: Mapping[str, Parser] | None = None
    ) -> T | None:
        """Convert a table to a structure, key by key; add every wrong key, and return None if any.

        Args:
            kind: the structure.
            value: the table.
            key: its position.
            parsers: for keys with a syntax; each raises ValueError for an invalid value.
        """
        if not isinstance(value, dict):
            self.add(key, f"expected a table, found {_kind_of(value)}")
            return None
        before = len(self._found)
        fields = {item.name: item for item in msgspec.structs.fields(kind)}
        for name in value.keys() - fields.keys():
            near = difflib.get_close_matches(name, fields, n=1)
            meant = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(fields)}"
            self.add((*key, name), f"there is no such key{meant}")
        made: dict[str, Any] = {}
        for name, item in fields.items():
            if name in value:
                try:
                    if get_origin(item.type) is dict and isinstance(value[name], dict):
                        made[name] = self._items(value[name], get_args(item.type)[1], (*key, name))
                    else:
                        made[name] = _converted(value[name], item.type)
                    if parsers and name in parsers:
                        parsers[name](made[name])
                except (ValueError, RecursionError) as fault:
                    self.add((*key, name), _told(fault))
            elif item.required:
                self.add(key, f"expected the key {name}, it is missing")
        return kind(**made) if len(self._found) == before else None

    def _items(self, table: dict[str, Any], kind: Any, key: Key) -> dict[str, Any]:
        """Convert the values of a table with arbitrary keys; add every wrong one."""
        made = {}
        for name, value in table.items():
            try:
                made[name] = _converted(value, kind)
            except (ValueError, RecursionError) as fault:
                self.add((*key, name), _told(fault))
        return made

    def lines(self) -> tuple[str, ...]:
        """Return what was noted, in the order of the document: the place and what is wrong there."""
        told = sorted((self._line(key) or 0, self._place(key), message) for key, message in self._found)
        return tuple(dict.fromkeys(f"{place}: {message}" for _, place, message in told))

    def end(self) -> None:
        """Raise an error of `kind` with all mistakes, if any."""
        lines = self.lines()
        if not lines:
            return
        more = f"; and {len(lines) - MOST} more" if len(lines) > MOST else ""
        raise self.kind("; ".join(lines[:MOST]) + more, where=self.where, mistakes=lines)

    def _place(self, key: Key) -> str:
        name = ""
        for part in key:
            name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
        line = self._line(key)
        return f"line {line}, {name}" if line is not None else name or "the document"

    def _line(self, key: Key) -> int | None:
        """Return the line of a key, else of its table."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[:-1]
        return None


def _key_lines(text: str) -> dict[Key, int]:
    found: dict[Key, int] = {}
    counts: Counter[str] = Counter()
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            name = header[2]
            table = tuple(name.split("."))
            if header[1] == "[[":
                table = (*table, counts[name])
                counts[name] += 1
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1]), number)
    return found


def _converted(value: object, kind: Any) -> Any:
    """Convert one value; for an enumeration, the message lists its values."""
    (inner,) = get_args(kind) if get_origin(kind) is list else (None,)
    if isinstance(inner, enum.EnumType):
        if not isinstance(value, list):
            raise ValueError(f"expected an array, found {_kind_of(value)}")  # noqa: TRY004 - one kind of mistake
        return [_converted(item, inner) for item in value]
    if isinstance(kind, enum.EnumType):
        known = [str(each.value) for each in cast("type[enum.Enum]", kind)]
        if value not in known:
            raise ValueError(f"expected {' or '.join(known)}, found {str(value)[:40]!r}")
    if kind is dt.date and (not isinstance(value, dt.date) or isinstance(value, dt.datetime)):
        raise ValueError(f"expected a day such as 2027-03-31, found {str(value)[:40]!r}")
    return msgspec.convert(value, ready(kind), builtin_types=(dt.date, dt.datetime))


_KINDS = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "an array",
    "array": "an array",
    "object": "a table",
    "dict": "a table",
    "date": "a day such as 2027-03-31",
    "datetime": "a day with a time",
    "time": "a time",
}
"""What the kinds of TOML values are called; programs call them otherwise."""


def _told(fault: Exception) -> str:
    """Return the fault of a value in the words of TOML."""
    text = re.sub(
        r" - at `\$\[(\d+)\]`", lambda found: f" (number {int(found[1]) + 1} of the array)", str(fault)
    )
    text = text.replace(", got `", ", found `")
    text = re.sub(r"`([a-z]+)(?: \| ([a-z]+))?`", _kinds, text)
    return f"{text[:1].lower()}{text[1:]}"


def _kinds(found: re.Match[str]) -> str:
    names = [name for name in found.groups() if name not in (None, "null")]
    return " or ".join(_KINDS.get(name, f"`{name}`") for name in names)


def _kind_of(value: object) -> str:
    name = type(value).__name__
    return _KINDS.get(name, f"a {name}")
