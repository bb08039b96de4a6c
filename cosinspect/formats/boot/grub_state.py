"""The state of GRUB while a script runs: variables, menu, arguments, and what is known on the way that is followed.

Everything that a way can change is a variable here, so that two ways are merged variable by variable: the devices that
`loopback` makes, what is loaded, and whether a loop or a function is being left have names that no script can write.
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
"""Menu entries of one menu."""


class FileKind(Enum):
    """What GRUB finds at a path."""

    FILE = "file"
    EMPTY_FILE = "empty file"
    DIRECTORY = "directory"


class GrubMachine(Protocol):
    """The disks that GRUB sees.

    A device is named without parentheses; one that `loopback` made has the name of its file, the file's own device in
    parentheses before the path.
    """

    def search(self, by: str, name: str) -> str | None:
        """Find the first device by `label`, `fs-uuid` or `file`, None for none."""

    def kind(self, device: str, path: str) -> FileKind | None:
        """Look at a path, links followed, None if there is nothing or no such device."""

    def text(self, device: str, path: str) -> str | None:
        """Read a file, None if there is none."""

    def environment(self, device: str, path: str) -> dict[str, Value] | None:
        """Read a file of variables as `load_env` does, None if there is none."""


@frozen(eq=False)
class MenuEntry:
    """A `menuentry` or `submenu` as it was defined.

    Attributes:
        title: the first word.
        id: of `--id`, the title where there is none.
        arguments: the words, which are `$1` and so on in the body.
        body: what it runs.
        submenu: whether it opens a menu of its own.
        file: which file defined it, as GRUB names it.
        line: where in that file, counted from 1.
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
    """Entries that are defined only where a condition holds, and others where it does not."""

    atom: Atom
    yes: tuple[MenuItem, ...]
    no: tuple[MenuItem, ...]


MenuItem: TypeAlias = "MenuEntry | MenuChoice"


@define
class State:
    """What a script has made so far.

    Attributes:
        variables: by name.
        menu: the entries in their order.
        exported: names that a new context keeps.
        arguments: of the function or entry that runs, None outside of one.
        known: the conditions of the way that is followed.
        loops: loops that are open in the function that runs.
    """

    variables: dict[str, Value] = field(factory=dict)
    menu: tuple[MenuItem, ...] = ()
    exported: frozenset[str] = frozenset()
    arguments: tuple[Value, ...] | None = None
    known: Knowledge = field(factory=Knowledge)
    loops: int = 0

    def get(self, name: str) -> Value:
        """Return a variable; one that is not set is empty, or a symbol where a file of unknown variables was loaded."""
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
        """Take every variable that is not set for unknown from here on."""
        self.variables[_UNSET] = (Symbol(""),)

    def loop(self, device: str) -> Value:
        """Return the file behind a device that `loopback` made, empty if it made none."""
        return self.get(_LOOP + device)

    def set_loop(self, device: str, file: Value) -> None:
        """Make a device of a file, or take it away."""
        self.set(_LOOP + device, file)

    def function(self, name: str) -> Value:
        """Return the number of a function's definition, empty if there is none."""
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
        """Return a state of its own with the same content."""
        return State(dict(self.variables), self.menu, self.exported, self.arguments, self.known, self.loops)

    def split(self, atom: Atom, run: Callable[[State], None]) -> None:
        """Run something where a condition holds and where it does not, and merge what both make.

        Raises:
            GrubBound: the two ways leave other arguments.
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
            raise GrubBound("the arguments of a function depend on what is not known")
        names = dict.fromkeys((*yes.variables, *no.variables))
        # A variable that one way sets and the other does not is what an unset one is there.
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
        """Put an entry behind those that are there.

        Raises:
            GrubBound: the menu has more than are followed.
        """
        if len(self.menu) >= MAX_MENU:
            raise GrubBound("the menu has more entries than are followed")
        self.menu = (*self.menu, entry)


def menus(items: tuple[MenuItem, ...], known: Knowledge) -> Tree[tuple[MenuEntry, ...]]:
    """Return the entries of a menu in every way that is open.

    Raises:
        GrubBound: there are more ways than are followed.
    """
    return _menus(items, known, [256])


def _menus(items: tuple[MenuItem, ...], known: Knowledge, left: list[int]) -> Tree[tuple[MenuEntry, ...]]:
    left[0] -= 1
    if left[0] < 0:
        raise GrubBound("the menu can have more shapes than are followed")
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
    """Part a path into its device, which is `root` where it names none, and what is behind; None if that is not known.

    Only a path whose every part is known is parted.
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
    """Return the symbol of a variable's name wherever everything that is not set is unknown."""
    found: list[str | Symbol | Conditional] = []
    for part in value:
        if isinstance(part, Conditional):
            found.extend(choose(part.atom, _named(part.yes, name), _named(part.no, name)))
        else:
            found.append(Symbol(name))
    return tuple(found)
