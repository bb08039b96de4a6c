"""GRUB's menu: the entry that it starts, its fallback entries, and the files that each loads.

Variables name entries by the rules of grub-core/normal/menu.c (2.06, with names in `fallback` as distributions have
it): an id, else a title, else a number; a name that matches none means the first entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

from attrs import frozen

from cosinspect.formats.boot.command_line import CommandLine
from cosinspect.formats.boot.grub_commands import COMMANDS
from cosinspect.formats.boot.grub_evaluator import Evaluator
from cosinspect.formats.boot.grub_state import (
    CMDLINE,
    INITRD,
    KERNEL,
    STOPS,
    GrubMachine,
    MenuEntry,
    State,
    menus,
)
from cosinspect.formats.boot.grub_syntax import GrubScript
from cosinspect.formats.boot.grub_values import (
    EMPTY,
    Fork,
    GrubBound,
    Knowledge,
    Plain,
    Tree,
    Value,
    cases,
    leaves,
    literal,
    render,
)

__all__ = ["GrubBoot", "GrubMenu", "open_menu", "run_grub_script"]

T = TypeVar("T")

MAX_SUBMENUS = 5
"""The most submenus within each other that a default may name."""

_NUMBER = re.compile(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)")
_EXPORTED = frozenset({"root", "prefix", "chosen", "grub_platform", "grub_cpu", "pager", "config_file"})


@frozen
class GrubBoot:
    """The files and the command line that an entry loads.

    Attributes:
        entry: the title, "" if no entry was run.
        id: the entry's id.
        file: the file that defines the entry, in GRUB's name.
        line: in that file, counted from 1.
        kernel: the kernel file, its device in parentheses, None if nothing is loaded.
        initrds: the initrd files.
        command_line: the kernel's command line.
        conditions: the conditions of all this, in GRUB's own words; empty if it always holds.
    """

    entry: str
    id: str
    file: str
    line: int
    kernel: str | None
    initrds: tuple[str, ...]
    command_line: CommandLine
    conditions: tuple[str, ...] = ()


@frozen(eq=False)
class GrubMenu:
    """A menu after its configuration has run.

    Attributes:
        evaluator: the evaluator that ran it, with the files that it read.
        state: the variables and entries.
    """

    evaluator: Evaluator
    state: State

    @property
    def entries(self) -> tuple[MenuEntry, ...]:
        """Every entry that the menu can have, each once.

        Raises:
            GrubBound: the menu has more variants than the limit.
        """
        found: dict[int, MenuEntry] = {}
        for _, entries in leaves(menus(self.state.menu, self.state.known)):
            found.update({id(entry): entry for entry in entries})
        return tuple(found.values())

    def default(self) -> tuple[GrubBoot, ...]:
        """Return what the default entry loads, one result for each combination of open conditions.

        Raises:
            GrubBound: a bound was reached.
        """
        return tuple(self._chosen(self.state.get("default"), self.state, 0))

    def fallbacks(self) -> tuple[GrubBoot, ...]:
        """Return what the fallback entries load.

        Raises:
            GrubBound: a bound was reached.
        """
        found: list[GrubBoot] = []
        for name in render(self.state.get("fallback")).split():
            found.extend(self._chosen(literal(name), self.state, 0, strict=True))
        return tuple(found)

    def choose(self, *names: str) -> tuple[GrubBoot, ...]:
        """Return what the first of some ids, titles or numbers that the menu has loads; empty if it has none of them.

        Raises:
            GrubBound: a bound was reached.
        """
        for name in names:
            found = tuple(self._chosen(literal(name), self.state, 0, strict=True))
            if found:
                return found
        return ()

    def _chosen(self, name: Value, state: State, depth: int, *, strict: bool = False) -> Iterator[GrubBoot]:
        """Run the entry that a name means, for every combination of open conditions."""
        if depth > MAX_SUBMENUS:
            raise GrubBound("submenus are nested more than the evaluator's limit")
        for known, entries in _ways(menus(state.menu, state.known), state.known):
            named = cases((name,), known, self.evaluator.work, lambda plain, _: render(plain[0]))
            for way, text in _ways(named, known):
                index, rest = _entry_number(entries, text, way)
                if strict and index is None:
                    continue
                inside = state.copied()
                inside.known = way
                if not entries:
                    if depth == 0:
                        yield _outcome(None, inside, EMPTY, EMPTY)
                    continue
                position = index if index is not None and index < len(entries) else 0
                yield from self._run(entries[position], rest, inside, depth)

    def _run(self, entry: MenuEntry, rest: str, state: State, depth: int) -> Iterator[GrubBoot]:
        state.set("chosen", entry.id)
        if entry.submenu:
            state.exported |= _EXPORTED
            state.enter_context()
            state.set("default", literal(rest))
        self.evaluator.run_entry(entry.body, entry.arguments, state, entry.file)
        if entry.submenu and state.menu:
            yield from self._chosen(literal(rest), state, depth + 1)
            return
        yield from _outcomes(entry, state, self.evaluator)


def open_menu(
    machine: GrubMachine, device: str, path: str, variables: Mapping[str, Value]
) -> GrubMenu | None:
    """Run a configuration file; return None if it does not exist.

    Args:
        machine: the disks.
        device: of the file.
        path: of the file.
        variables: the variables that GRUB has set before it reads the file.

    Raises:
        GrubBound: a bound was reached.
    """
    evaluator = Evaluator(machine, COMMANDS)
    state = State(dict(variables), exported=_EXPORTED)
    if not evaluator.run_file(device, path, state):
        return None
    return GrubMenu(evaluator, state)


def run_grub_script(
    machine: GrubMachine, script: GrubScript, variables: Mapping[str, Value]
) -> tuple[tuple[GrubBoot, ...], Evaluator]:
    """Run a script that loads a kernel without a menu; return what it loads under each combination of conditions, and the files that it read.

    Raises:
        GrubBound: a bound was reached.
    """
    evaluator = Evaluator(machine, COMMANDS)
    state = State(dict(variables))
    evaluator.run_script(script, state, "")
    return tuple(_outcomes(None, state, evaluator)), evaluator


def _outcomes(entry: MenuEntry | None, state: State, evaluator: Evaluator) -> Iterator[GrubBoot]:
    """Yield what is loaded under each combination of conditions."""

    def answer(plain: tuple[Plain, ...], _: Knowledge) -> tuple[Plain, ...]:
        return plain

    loaded = cases(
        (state.get(KERNEL), state.get(INITRD), state.get(STOPS)), state.known, evaluator.work, answer
    )
    for known, (kernel, initrds, stopped) in _ways(loaded, state.known):
        way = state.copied()
        way.known = known
        left = render(stopped) in {"exit", "halt", "reboot", "normal_exit", "fwsetup"}
        yield _outcome(entry, way, EMPTY if left else kernel, EMPTY if left else initrds)


def _outcome(entry: MenuEntry | None, state: State, kernel: Value, initrds: Value) -> GrubBoot:
    return GrubBoot(
        entry=render(state.known.resolve(entry.title)) if entry else "",
        id=render(state.known.resolve(entry.id)) if entry else "",
        file=entry.file if entry else "",
        line=entry.line if entry else 0,
        kernel=render(kernel) or None,
        initrds=tuple(render(initrds).split(" ")) if initrds else (),
        command_line=CommandLine(state.get(CMDLINE), state.known),
        conditions=tuple(str(atom) if holds else f"not {atom}" for atom, holds in state.known.atoms.items()),
    )


def _ways(tree: Tree[T], known: Knowledge) -> Iterator[tuple[Knowledge, T]]:
    if isinstance(tree, Fork):
        yield from _ways(tree.yes, known.assume(tree.atom, True))
        yield from _ways(tree.no, known.assume(tree.atom, False))
    else:
        yield known, tree


def _entry_number(entries: tuple[MenuEntry, ...], name: str, known: Knowledge) -> tuple[int | None, str]:
    """Return the number of the entry that a name means, and the rest of the name for its submenu."""
    first, rest = _first_part(name)
    for values in (
        [render(known.resolve(entry.id)) for entry in entries],
        [render(known.resolve(entry.title)) for entry in entries],
    ):
        if first in values:
            return values.index(first), rest
    number = _NUMBER.match(name)
    if number is None:
        return None, rest
    value = int(number[1], 16 if number[1][:2].lower() == "0x" else 10)
    return (value if value < len(entries) else None), rest


def _first_part(name: str) -> tuple[str, str]:
    """Split a name at the first `>` that is not doubled."""
    match = re.match(r"((?:[^>]|>>)*)>(?!>)(.*)", name, re.DOTALL)
    return (match[1].replace(">>", ">"), match[2]) if match else (name.replace(">>", ">"), "")
