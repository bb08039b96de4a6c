"""systemd's units in a tree of files, as systemd finds them: by search path and alias, with their drop-ins and links.

By systemd 252 (`src/shared/unit-file.c`, `src/core/load-dropin.c`, systemd.unit(5)). Generators are not run: what they would make
(mounts of fstab, getty instances of serial consoles) is not here.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Protocol

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.errors import LimitExceeded
from cosinspect.formats.text.systemd import Unit, read_unit
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["SEARCH_PATH", "Dependency", "FileTree", "Placement", "UnitTree"]

SEARCH_PATH = (
    "/etc/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Directories that can be in an image, the first one first; the others of systemd are below /run."""

_LINKS = 8
_REQUIRES = ("Requires", "BindsTo", "Requisite")
_WANTS = ("Wants", "Upholds")


class FileTree(Protocol):
    """A tree of files: the root of an image, or an initrd."""

    def names(self, directory: str, /) -> Iterable[str]:
        """Return the names in a directory, links followed; none if there is no such directory."""
        ...

    def link(self, path: str, /) -> str | None:
        """Return the target of the symbolic link at a path, None if there is none."""
        ...

    def size(self, path: str, /) -> int | None:
        """Return the bytes of the regular file at a path, links followed; None if there is none."""
        ...

    def text(self, path: str, /) -> str | None:
        """Return the text of the file at a path, links followed; None if it cannot be read."""
        ...


@frozen
class Placement:
    """Where systemd finds a unit.

    Attributes:
        name: that was requested.
        path: of the file, or of the link that ends nowhere; "" if there is neither.
        id: the name of the unit's file, another one than `name` for an alias or an instance.
        masked: whether it is an empty file or a link to /dev/null.
        dangling: whether a link leads to no file.
    """

    name: str
    path: str
    id: str
    masked: bool = False
    dangling: bool = False

    @property
    def is_there(self) -> bool:
        """Whether systemd can load it."""
        return bool(self.path) and not self.masked and not self.dangling

    @property
    def reason(self) -> str:
        """Why systemd cannot load it, in words; "" if it can."""
        if self.masked:
            return f"{self.path} masks it"
        if self.dangling:
            return f"{self.path} leads to nothing"
        return "" if self.path else "it is not there"


@frozen
class Dependency:
    """A unit that another one pulls in.

    Attributes:
        name: of the unit that is pulled in.
        by: of the requiring unit; "" for the start.
        required: whether the whole way from the start to it is made of requirements, so that the start fails without it.
        placement: its place.
    """

    name: str
    by: str
    required: bool
    placement: Placement


class UnitTree:
    """The units of one tree."""

    def __init__(self, files: FileTree, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Look into `files` when asked; each directory and unit is read once."""
        self._files = files
        self._limits = limits
        self._units: dict[str, Unit] = {}
        self._places: dict[str, Placement] = {}

    @cached_property
    def _directories(self) -> Mapping[str, frozenset[str]]:
        return {top: frozenset(self._files.names(top)) for top in SEARCH_PATH}

    def find(self, name: str) -> Placement:
        """Return where a unit is: its own file, its alias, or its template."""
        known = self._places.get(name)
        if known is None:
            known = self._places[name] = self._find(name)
        return known

    def _find(self, name: str) -> Placement:
        found = self._named(name, name, 0)
        if not found.path and "@" in name:
            prefix, _, rest = name.partition("@")
            template = f"{prefix}@.{rest.rpartition('.')[2]}"
            if template != name:
                found = self._named(name, template, 0)
        return found

    def _named(self, asked: str, name: str, hops: int) -> Placement:
        for top, names in self._directories.items():
            if name not in names:
                continue
            path = f"{top}/{name}"
            target = self._files.link(path)
            size = self._files.size(path)
            if target is None:
                if size is not None:
                    return Placement(asked, path, name, masked=not size)
                continue  # a directory
            where = posixpath.normpath(posixpath.join(top, target))
            if where == "/dev/null":
                return Placement(asked, path, name, masked=True)
            alias = where.rpartition("/")[2]
            if where.startswith(tuple(f"{each}/" for each in SEARCH_PATH)) and alias != name:
                # An alias has the name of its target.
                if hops >= _LINKS:
                    return Placement(asked, path, name, dangling=True)
                found = self._named(asked, alias, hops + 1)
                return found if found.path else Placement(asked, path, name, dangling=True)
            if size is not None:
                return Placement(asked, path, name, masked=not size)
            if alias == name and where.startswith(tuple(f"{each}/" for each in SEARCH_PATH)):
                continue  # a link to the same name further down: that one is looked for as well
            return Placement(asked, path, name, dangling=True)
        return Placement(asked, "", name)

    def unit(self, name: str) -> Unit:
        """Return a unit with its drop-ins; an empty one if it is missing."""
        known = self._units.get(name)
        if known is None:
            place = self.find(name)
            text = (self._files.text(place.path) or "") if place.is_there else ""
            drops = (self._files.text(path) or "" for path in self._drop_ins({name, place.id}))
            known = self._units[name] = read_unit("\n".join([text, *drops]))
        return known

    def _drop_ins(self, names: set[str]) -> Iterator[str]:
        found: dict[str, str] = {}
        kind = next(iter(names)).rpartition(".")[2]
        for owner in (*sorted(names), kind):
            spend()
            for top, entries in self._directories.items():
                if f"{owner}.d" not in entries:
                    continue
                for drop in self._files.names(f"{top}/{owner}.d"):
                    if drop.endswith(".conf"):
                        found.setdefault(drop, f"{top}/{owner}.d/{drop}")
        for drop in sorted(found):
            if self._files.link(found[drop]) != "/dev/null":
                yield found[drop]

    def pulled_in(self, name: str) -> Iterator[tuple[str, bool]]:
        """Return the units that a unit pulls in, each with whether it is required."""
        unit = self.unit(name)
        for required, keys, kind in ((True, _REQUIRES, "requires"), (False, _WANTS, "wants")):
            for key in keys:
                for value in unit.values("Unit", key):
                    yield from ((word, required) for word in value.split() if "%" not in word)
            for owner in sorted({name, self.find(name).id}):
                for top, entries in self._directories.items():
                    directory = f"{owner}.{kind}"
                    if directory in entries:
                        # The link's name counts; its target does not matter, unless it masks.
                        yield from (
                            (link, required)
                            for link in sorted(self._files.names(f"{top}/{directory}"))
                            if "." in link and self._files.link(f"{top}/{directory}/{link}") != "/dev/null"
                        )
        implicit = name.endswith((".service", ".socket", ".timer", ".path"))
        if implicit and (unit.last("Unit", "DefaultDependencies") or "yes").lower() not in (
            "no",
            "false",
            "0",
            "off",
        ):
            yield "sysinit.target", True

    def started_by(self, name: str) -> tuple[Dependency, ...]:
        """Return what a start of `name` pulls in, itself first; each unit once, as required if any way to it is.

        Raises:
            LimitExceeded: it pulls in more than `Limits.units`.
        """
        required: dict[str, Dependency] = {}
        wanted: dict[str, Dependency] = {}
        waiting = deque([Dependency(name, "", True, self.find(name))])
        seen = {(name, True)}
        while waiting:
            spend()
            if len(required) + len(wanted) >= self._limits.units:
                raise LimitExceeded(
                    f"expected {name} to start at most {self._limits.units} units, found more",
                    limit="units",
                    bound=self._limits.units,
                    where=name,
                )
            need = waiting.popleft()
            known = required if need.required else wanted
            if need.name in required or need.name in known:
                continue
            known[need.name] = need
            if not need.placement.is_there:
                continue
            for other, must in self.pulled_in(need.name):
                spend()
                further = (other, need.required and must)
                if further not in seen:
                    seen.add(further)
                    waiting.append(Dependency(other, need.name, further[1], self.find(other)))
        return (*required.values(), *(need for each, need in wanted.items() if each not in required))
