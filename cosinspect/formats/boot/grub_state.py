"""The state of GRUB while a script runs: variables, menu, arguments, and the conditions of the current branch.

Everything that a branch can change is a variable here, so that two branches are merged variable by variable. The
devices that `loopback` makes, what is loaded, and whether a loop or function ends have names that no script can write.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeAlias

from attrs import define, field, frozen

from cosinspect.formats.boot.grub_syntax import Block
from cosinspect.formats.boot.grub_values import (
    EMPTY,
    Atom,
    Conditional,
    Fork,
    GrubBound,
    Knowledge,
    Plain,
    Symbol,
    Tree,
    Value,
    choose,
    literal,
)

__all__ = [
    "BREAKS",
    "CMDLINE",
    "CONTINUES",
    "INITRD",
    "KERNEL",
    "RETURNS",
    "STOPS",
    "WILDCARDS",
    "FileKind",
    "GrubMachine",
    "MenuChoice",
    "MenuEntry",
    "MenuItem",
    "State",
    "device_of",
]

# Names with a NUL, which no script can write.
KERNEL = "\0kernel"
INITRD = "\0initrd"
CMDLINE = "\0cmdline"
BREAKS = "\0breaks"
CONTINUES = "\0continues"
RETURNS = "\0returns"
STOPS = "\0stops"
WILDCARDS = "\0wildcards"
_LOOP = "\0loop "
_FUNCTION = "\0function "
_UNSET = "\0unset"

MAX_MENU = 2000
"""The most entries of one menu."""


class FileKind(Enum):
    """The kind of entry that GRUB finds at a path."""

    FILE = "file"
    EMPTY_FILE = "empty file"
    DIRECTORY = "directory"


class GrubMachine(Protocol):
    """The disks that GRUB sees.

    A device is named without parentheses. A device that `loopback` made has the name of its file, with the file's device
    in parentheses before the path.
    """

    def search(self, by: str, name: str) -> str | None:
        """Find the first device by `label`, `fs-uuid` or `file`, None if there is none."""

    def kind(self, device: str, path: str) -> FileKind | None:
        """Return the kind of entry at a path, links followed; None if the entry or the device does not exist."""

    def text(self, device: str, path: str) -> str | None:
        """Return a file's content, None if there is none."""

    def environment(self, device: str, path: str) -> dict[str, Value] | None:
        """Return the variables of an environment block as `load_env` reads them, None if there is no such file."""


@frozen(eq=False)
class MenuEntry:
    """A `menuentry` or `submenu` as it was defined.

    Attributes:
        title: the first word.
        id: the value of `--id`, else the title.
        arguments: the words, `$1` and so on in the body.
        body: the commands that it runs.
        submenu: whether it opens a menu.
        file: the file that defined it, in GRUB's name.
        line: in that file, counted from 1.
    """

    title: Value
    id: Value
    arguments: tuple[Value, ...]
    body: Block
    submenu: bool
    file: str
    line: int


@frozen(eq=False)
class MenuChoice:
    """Entries that are defined if a condition holds, and entries that are defined if it does not."""

    atom: Atom
    yes: tuple[MenuItem, ...]
    no: tuple[MenuItem, ...]


MenuItem: TypeAlias = "MenuEntry | MenuChoice"


@define
class State:
    """The effects of a script so far.

    Attributes:
        variables: by name.
        menu: the entries in their order.
        exported: names that a new context keeps.
        arguments: of the function or entry that runs, None outside.
        known: the conditions of the current branch.
        loops: the number of open loops in the function that runs.
    """

    variables: dict[str, Value] = field(factory=dict)
    menu: tuple[MenuItem, ...] = ()
    exported: frozenset[str] = frozenset()
    arguments: tuple[Value, ...] | None = None
    known: Knowledge = field(factory=Knowledge)
    loops: int = 0

    def get(self, name: str) -> Value:
        """Return a variable; an unset one is empty, or a symbol if a file with unknown variables was loaded."""
        value = self.variables.get(name)
        if value is not None:
            return self.known.resolve(value)
        if _UNSET not in self.variables or name.startswith("\0"):
            return EMPTY
        return _named(self.known.resolve(self.variables[_UNSET]), name)

    def set(self, name: str, value: Value) -> None:
        """Set a variable."""
        self.variables[name] = value

    def open(self) -> None:
        """Treat every variable that is not set as unknown from here on."""
        self.variables[_UNSET] = (Symbol(""),)

    def loop(self, device: str) -> Value:
        """Return the file of a device that `loopback` made, empty if it made none."""
        return self.get(_LOOP + device)

    def set_loop(self, device: str, file: Value) -> None:
        """Make a device of a file, or take it away."""
        self.set(_LOOP + device, file)

    def function(self, name: str) -> Value:
        """Return the number of a function's definition, empty if it is not defined."""
        return self.get(_FUNCTION + name)

    def set_function(self, name: str, number: int) -> None:
        """Define a function."""
        self.set(_FUNCTION + name, literal(str(number)))

    def enter_context(self) -> None:
        """Open the context of another menu: only exported variables are kept."""
        self.variables = {
            name: value
            for name, value in self.variables.items()
            if name.startswith("\0") or name in self.exported
        }
        self.menu = ()

    def copied(self) -> State:
        """Return a copy."""
        return State(dict(self.variables), self.menu, self.exported, self.arguments, self.known, self.loops)

    def split(self, atom: Atom, run: Callable[[State], None]) -> None:
        """Run something under a condition and under its opposite, and merge both results.

        Raises:
            GrubBound: the two branches leave different arguments.
        """
        ways = []
        for holds in (True, False):
            way = self.copied()
            way.known = self.known.assume(atom, holds)
            run(way)
            ways.append(way)
        self._merge(atom, *ways)

    def _merge(self, atom: Atom, yes: State, no: State) -> None:
        if yes.arguments != no.arguments or yes.loops != no.loops:
            raise GrubBound("the arguments of a function depend on a value that is unknown before the boot")
        names = dict.fromkeys((*yes.variables, *no.variables))
        # A variable that only one branch sets has the value of an unset variable in the other.
        self.variables = {
            name: choose(
                atom,
                yes.variables.get(name, yes.get(name)),
                no.variables.get(name, no.get(name)),
            )
            for name in names
        }
        shared = 0
        while shared < min(len(yes.menu), len(no.menu)) and yes.menu[shared] is no.menu[shared]:
            shared += 1
        self.menu = yes.menu[:shared]
        if len(yes.menu) > shared or len(no.menu) > shared:
            self.menu = (*self.menu, MenuChoice(atom, yes.menu[shared:], no.menu[shared:]))
        self.exported = yes.exported | no.exported
        self.arguments = yes.arguments

    def add_entry(self, entry: MenuEntry) -> None:
        """Append an entry.

        Raises:
            GrubBound: the menu has more entries than the limit.
        """
        if len(self.menu) >= MAX_MENU:
            raise GrubBound("the menu has more entries than the evaluator's limit")
        self.menu = (*self.menu, entry)


def menus(items: tuple[MenuItem, ...], known: Knowledge) -> Tree[tuple[MenuEntry, ...]]:
    """Return the entries of a menu for every combination of open conditions.

    Raises:
        GrubBound: there are more ways than are followed.
    """
    return _menus(items, known, [256])


def _menus(items: tuple[MenuItem, ...], known: Knowledge, left: list[int]) -> Tree[tuple[MenuEntry, ...]]:
    left[0] -= 1
    if left[0] < 0:
        raise GrubBound("the menu has more variants than the evaluator's limit")
    for index, item in enumerate(items):
        if isinstance(item, MenuChoice):
            before, after = items[:index], items[index + 1 :]
            held = known.holds(item.atom)
            if held is not None:
                return _menus((*before, *(item.yes if held else item.no), *after), known, left)
            return Fork(
                item.atom,
                _menus((*before, *item.yes, *after), known.assume(item.atom, True), left),
                _menus((*before, *item.no, *after), known.assume(item.atom, False), left),
            )
    return tuple(item for item in items if isinstance(item, MenuEntry))


def device_of(path: Plain, root: Plain) -> tuple[str, str] | None:
    """Split a path into its device, by default `$root`, and the rest; None if they are unknown.

    Only a path whose parts are all known is split.
    """
    if not all(isinstance(part, str) for part in (*path, *root)):
        return None
    text = "".join(map(str, path))
    if text.startswith("("):
        device, closed, rest = text[1:].partition(")")
        if not closed:
            return "", text
        return device or "".join(map(str, root)), rest
    return "".join(map(str, root)), text


def _named(value: Value, name: str) -> Value:
    """Return the symbol of a variable's name, for states in which every unset variable is unknown."""
    found: list[str | Symbol | Conditional] = []
    for part in value:
        if isinstance(part, Conditional):
            found.extend(choose(part.atom, _named(part.yes, name), _named(part.no, name)))
        else:
            found.append(Symbol(name))
    return tuple(found)
