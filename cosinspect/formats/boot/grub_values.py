"""Values of GRUB's variables where not everything is known: text, symbols, and choices between values.

A `Symbol` stands for text that the image does not hold, such as what the disk's environment has. A `Conditional` depends on
a condition that nobody knows before the boot: it keeps what both ways make of a variable, so that ways can be merged
behind the branches that part them. A `Fork` is the same for answers: a tree of conditions with an answer at each end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeAlias, TypeVar

from attrs import define, field, frozen

__all__ = [
    "EMPTY",
    "MAX_DEPTH",
    "MAX_WEIGHT",
    "Atom",
    "Conditional",
    "Fork",
    "GrubBound",
    "Knowledge",
    "Plain",
    "Symbol",
    "Tree",
    "Value",
    "Work",
    "cases",
    "choose",
    "fork",
    "joined",
    "leaves",
    "literal",
    "mapped",
    "render",
]

MAX_WEIGHT = 256 * 1024
"""Characters of one value with all its choices; a kernel's command line ends at 4 KiB or less."""

MAX_DEPTH = 100
"""Choices within each other in one value."""

T = TypeVar("T")
S = TypeVar("S")


class GrubBound(Exception):
    """A bound of the evaluator was reached: what was asked is undecided, and nothing is said against the script."""


@frozen
class Symbol:
    """Text that is not known; one that stands without quotes may be several words, or none."""

    name: str


@frozen(cache_hash=True)
class Atom:
    """A condition that is not known: what is asked, and of what."""

    kind: str
    operands: tuple[Plain, ...]

    def __str__(self) -> str:
        """Show the condition as a test in GRUB's own words."""
        shown = [f'"{render(each)}"' for each in self.operands]
        return f"{shown[0]} {self.kind} {shown[1]}" if len(shown) == 2 else f"{self.kind} {' '.join(shown)}"


@frozen(cache_hash=True)
class Conditional:
    """One of two values, by a condition."""

    atom: Atom
    yes: Value
    no: Value
    weight: int = field(init=False, eq=False, repr=False)
    depth: int = field(init=False, eq=False, repr=False)

    @weight.default
    def _weight(self) -> int:
        return 1 + weight(self.yes) + weight(self.no)

    @depth.default
    def _depth(self) -> int:
        inner = [part.depth for part in (*self.yes, *self.no) if isinstance(part, Conditional)]
        depth = 1 + max(inner, default=0)
        if depth > MAX_DEPTH:
            raise GrubBound("a variable depends on more conditions than are followed")
        return depth


@frozen
class Fork(Generic[T]):
    """One of two answers, by a condition."""

    atom: Atom
    yes: Tree[T]
    no: Tree[T]


Plain: TypeAlias = "tuple[str | Symbol, ...]"
Value: TypeAlias = "tuple[str | Symbol | Conditional, ...]"
Tree: TypeAlias = "T | Fork[T]"

EMPTY: Value = ()


@define
class Work:
    """What an evaluation may still do, in commands and in characters."""

    left: int

    def spend(self, amount: int) -> None:
        """Take away from what is left.

        Raises:
            GrubBound: nothing is left.
        """
        self.left -= amount
        if self.left < 0:
            raise GrubBound("the script runs longer than is followed")


@frozen
class Knowledge:
    """The conditions that hold on the way that is followed, and what they say of symbols."""

    atoms: Mapping[Atom, bool] = field(factory=dict)
    symbols: Mapping[str, Plain] = field(factory=dict)

    def assume(self, atom: Atom, holds: bool) -> Knowledge:
        """Add a condition; that a symbol equals a text, or is empty, gives the symbol's value."""
        symbols = dict(self.symbols)
        first = atom.operands[0] if atom.operands else ()
        if len(first) == 1 and isinstance(first[0], Symbol):
            if atom.kind == "=" and holds and all(isinstance(each, str) for each in atom.operands[1]):
                symbols[first[0].name] = atom.operands[1]
            elif atom.kind == "-n" and not holds:
                symbols[first[0].name] = ()
        return Knowledge({**self.atoms, atom: holds}, symbols)

    def holds(self, atom: Atom) -> bool | None:
        """Return whether a condition holds, None if that is not known."""
        return self.atoms.get(atom)

    def resolve(self, value: Value) -> Value:
        """Put in what is known."""
        if not self.atoms or all(isinstance(part, str) for part in value):
            return value
        return joined(self._parts(value))

    def _parts(self, value: Value) -> Iterator[str | Symbol | Conditional]:
        for part in value:
            if isinstance(part, Conditional):
                known = self.atoms.get(part.atom)
                if known is None:
                    yes, no = self.resolve(part.yes), self.resolve(part.no)
                    yield from choose(part.atom, yes, no)
                else:
                    yield from self._parts(part.yes if known else part.no)
            elif isinstance(part, Symbol):
                yield from self.symbols.get(part.name, (part,))
            else:
                yield part


def weight(value: Value) -> int:
    """Return how much a value holds, in characters of all ways together."""
    return sum(
        len(part) if isinstance(part, str) else part.weight if isinstance(part, Conditional) else 1
        for part in value
    )


def literal(text: str) -> Value:
    """Make a value of a text."""
    return (text,) if text else ()


def joined(parts: Iterable[str | Symbol | Conditional]) -> Value:
    """Make a value of parts.

    Raises:
        GrubBound: it holds more than `MAX_WEIGHT`.
    """
    found: list[str | Symbol | Conditional] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    value = tuple(found)
    if weight(value) > MAX_WEIGHT:
        raise GrubBound("a variable holds more than is followed")
    return value


def choose(atom: Atom, yes: Value, no: Value) -> Value:
    """Make a value of two; what both begin and end with stands outside of the choice."""
    if yes == no:
        return yes
    start = 0
    while start < min(len(yes), len(no)) and yes[start] == no[start]:
        start += 1
    if start:
        return joined((*yes[:start], *choose(atom, yes[start:], no[start:])))
    return joined((Conditional(atom, yes, no),))


def fork(atom: Atom, yes: Tree[T], no: Tree[T]) -> Tree[T]:
    """Make a tree of two, or none where both are the same."""
    return yes if yes == no else Fork(atom, yes, no)


def cases(
    values: tuple[Value, ...],
    known: Knowledge,
    work: Work,
    answer: Callable[[tuple[Plain, ...], Knowledge], Tree[T]],
) -> Tree[T]:
    """Ask for an answer in every way that the choices of some values leave open.

    Raises:
        GrubBound: there are more ways than are followed.
    """
    work.spend(1 + sum(map(weight, values)) // 16)
    resolved = tuple(map(known.resolve, values))
    open_choice = next((part for value in resolved for part in value if isinstance(part, Conditional)), None)
    if open_choice is None:
        return answer(resolved, known)  # type: ignore[arg-type]  # no choice is left in them
    atom = open_choice.atom
    return fork(
        atom,
        cases(resolved, known.assume(atom, True), work, answer),
        cases(resolved, known.assume(atom, False), work, answer),
    )


def mapped(tree: Tree[S], change: Callable[[S], Tree[T]]) -> Tree[T]:
    """Put something else in the place of each answer."""
    if isinstance(tree, Fork):
        return fork(tree.atom, mapped(tree.yes, change), mapped(tree.no, change))
    return change(tree)


def leaves(tree: Tree[T], conditions: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], T]]:
    """Yield each answer of a tree with the conditions that lead to it."""
    if isinstance(tree, Fork):
        yield from leaves(tree.yes, (*conditions, str(tree.atom)))
        yield from leaves(tree.no, (*conditions, f"not {tree.atom}"))
    else:
        yield conditions, tree


def render(value: Value) -> str:
    """Show a value: a symbol as `${name}`, of a choice the way on which the condition holds."""
    return "".join(
        part
        if isinstance(part, str)
        else f"${{{part.name}}}"
        if isinstance(part, Symbol)
        else render(part.yes or part.no)
        for part in value
    )
