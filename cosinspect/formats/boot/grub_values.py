"""Values of GRUB's variables, some of them unknown: text, symbols, and choices between values.

A `Symbol` stands for text that the image does not hold, such as a variable of the disk's environment block. A
`Conditional` depends on a condition that is unknown before the boot: it keeps a variable's value in both branches, so
that branches can be merged. A `Fork` is the same for answers: a tree of conditions with an answer at each leaf.
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
"""The most characters of one value with all its choices; a kernel command line has at most 4 KiB."""

MAX_DEPTH = 100
"""The deepest nesting of choices in one value."""

T = TypeVar("T")
S = TypeVar("S")


class GrubBound(Exception):
    """A bound of the evaluator is reached: the question is undecided, and the script may be correct."""


@frozen
class Symbol:
    """Text that is unknown; without quotes it may be several words, or none."""

    name: str


@frozen(cache_hash=True)
class Atom:
    """A condition that is unknown: the operator and its operands."""

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
            raise GrubBound("a variable depends on more conditions than the evaluator's limit")
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
    """The work that is left to an evaluation, in commands and characters."""

    left: int

    def spend(self, amount: int) -> None:
        """Subtract from the work that is left.

        Raises:
            GrubBound: nothing is left.
        """
        self.left -= amount
        if self.left < 0:
            raise GrubBound("the script runs more commands than the evaluator's limit")


@frozen
class Knowledge:
    """The conditions of the current branch, and the values of symbols that follow from them."""

    atoms: Mapping[Atom, bool] = field(factory=dict)
    symbols: Mapping[str, Plain] = field(factory=dict)

    def assume(self, atom: Atom, holds: bool) -> Knowledge:
        """Add a condition; if it says that a symbol equals a text or is empty, the symbol has this value."""
        symbols = dict(self.symbols)
        first = atom.operands[0] if atom.operands else ()
        if len(first) == 1 and isinstance(first[0], Symbol):
            if atom.kind == "=" and holds and all(isinstance(each, str) for each in atom.operands[1]):
                symbols[first[0].name] = atom.operands[1]
            elif atom.kind == "-n" and not holds:
                symbols[first[0].name] = ()
        return Knowledge({**self.atoms, atom: holds}, symbols)

    def holds(self, atom: Atom) -> bool | None:
        """Return whether a condition holds, None if that is unknown."""
        return self.atoms.get(atom)

    def resolve(self, value: Value) -> Value:
        """Replace known symbols and conditions."""
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
    """Return the characters of a value, over all its choices."""
    return sum(
        len(part) if isinstance(part, str) else part.weight if isinstance(part, Conditional) else 1
        for part in value
    )


def literal(text: str) -> Value:
    """Return the value of a text."""
    return (text,) if text else ()


def joined(parts: Iterable[str | Symbol | Conditional]) -> Value:
    """Return the value of some parts.

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
        raise GrubBound("a variable is longer than the evaluator's limit")
    return value


def choose(atom: Atom, yes: Value, no: Value) -> Value:
    """Return a choice of two values; their common beginning and end are outside of the choice."""
    if yes == no:
        return yes
    start = 0
    while start < min(len(yes), len(no)) and yes[start] == no[start]:
        start += 1
    if start:
        return joined((*yes[:start], *choose(atom, yes[start:], no[start:])))
    return joined((Conditional(atom, yes, no),))


def fork(atom: Atom, yes: Tree[T], no: Tree[T]) -> Tree[T]:
    """Return a tree of two answers; without a condition if both are equal."""
    return yes if yes == no else Fork(atom, yes, no)


def cases(
    values: tuple[Value, ...],
    known: Knowledge,
    work: Work,
    answer: Callable[[tuple[Plain, ...], Knowledge], Tree[T]],
) -> Tree[T]:
    """Return the answers to a question for every combination of the choices of some values.

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
    """Return a tree with each answer replaced."""
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
    """Return a value as text: a symbol as `${name}`, a choice as if its condition held."""
    return "".join(
        part
        if isinstance(part, str)
        else f"${{{part.name}}}"
        if isinstance(part, Symbol)
        else render(part.yes or part.no)
        for part in value
    )
