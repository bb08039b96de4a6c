"""GRUB's expansion of words to arguments: variables are replaced, and unquoted text is split at blanks.

The rules are those of grub-core/script/execute.c and argv.c (2.06). An empty variable makes no argument without quotes,
and an empty argument within quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field

from cosinspect.deadline import spend
from cosinspect.formats.boot.grub_state import State
from cosinspect.formats.boot.grub_syntax import GrubWord
from cosinspect.formats.boot.grub_tokens import Part, PartKind
from cosinspect.formats.boot.grub_values import (
    EMPTY,
    Atom,
    Conditional,
    GrubBound,
    Symbol,
    Value,
    joined,
    literal,
)

__all__ = ["arguments", "command_line", "has_wildcard", "open_condition"]

_BLANKS = re.compile(r"([ \t\n\r]+)")
_SPECIAL = frozenset("#*@")
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "'": "\\'"})


def open_condition(words: tuple[GrubWord, ...], state: State) -> Atom | None:
    """Return a condition that decides where unquoted words end, None if all ends are known."""
    for word in words:
        spend()
        for part in word.parts:
            if part.kind is not PartKind.VARIABLE:
                continue
            for value in _variable(part.text, state):
                for piece in value:
                    if isinstance(piece, Conditional):
                        return piece.atom
        if len(word.parts) == 1 and word.parts[0].kind is PartKind.VARIABLE:
            for value in _variable(word.parts[0].text, state):
                if len(value) == 1 and isinstance(value[0], Symbol):
                    atom = Atom("-n", ((value[0],),))
                    if state.known.holds(atom) is None:
                        return atom
    return None


def has_wildcard(words: tuple[GrubWord, ...], state: State) -> bool:
    """Return whether a word may be a pattern for file names, as it is if the module `regexp` is loaded."""
    for word in words:
        text = "".join(part.text for part in word.parts if part.kind is PartKind.TEXT)
        for part in word.parts:
            if part.kind is PartKind.VARIABLE:
                text += "".join(
                    each for value in _variable(part.text, state) for each in value if isinstance(each, str)
                )
        if text.startswith(("/", "(")) and ("*" in text or "?" in text):
            return True
    return False


def arguments(words: tuple[GrubWord, ...], state: State) -> tuple[Value, ...]:
    """Make arguments of words whose conditions are all decided."""
    result = _Arguments()
    for word in words:
        result.next()
        for part in word.parts:
            if part.kind in {PartKind.TEXT, PartKind.QUOTED}:
                if part.text or part.kind is PartKind.QUOTED:
                    result.append(literal(part.text))
            elif part.kind is PartKind.QUOTED_VARIABLE:
                _append_quoted(part, state, result)
            else:
                for index, value in enumerate(_variable(part.text, state)):
                    if index:
                        result.next()
                    result.append_split(value)
    return result.finished()


def command_line(words: tuple[GrubWord, ...], state: State) -> Value:
    """Join words to a kernel command line, as GRUB's loaders do.

    An argument with a blank is quoted with double quotes, and quotes and backslashes get a backslash. Unquoted text is
    not split here, since the kernel splits it at the same blanks.
    """
    parts: list[str | Symbol | Conditional] = []
    for word in words:
        pieces: list[str | Symbol | Conditional] = []
        quoted = False
        for part in word.parts:
            if part.kind in {PartKind.TEXT, PartKind.QUOTED}:
                pieces.append(part.text.translate(_ESCAPED))
                quoted = quoted or _BLANKS.search(part.text) is not None
                continue
            for index, value in enumerate(_variable(part.text, state)):
                if index:
                    pieces.append(" ")
                if part.kind is PartKind.QUOTED_VARIABLE and _has_blank(value):
                    quoted = True
                pieces.extend(_escaped(value))
        if parts and pieces:
            parts.append(" ")
        parts.extend(('"', *pieces, '"') if quoted else pieces)
    return joined(parts)


def _has_blank(value: Value) -> bool:
    return any(
        _BLANKS.search(part) is not None
        if isinstance(part, str)
        else isinstance(part, Conditional) and (_has_blank(part.yes) or _has_blank(part.no))
        for part in value
    )


def _escaped(value: Value) -> Iterator[str | Symbol | Conditional]:
    for part in value:
        if isinstance(part, str):
            yield part.translate(_ESCAPED)
        elif isinstance(part, Conditional):
            yield Conditional(part.atom, tuple(_escaped(part.yes)), tuple(_escaped(part.no)))
        else:
            yield part


def _variable(name: str, state: State) -> tuple[Value, ...]:
    """Return a variable's values: several for `$@` and `$*`, one for every other."""
    if not (name in _SPECIAL or name.isdigit()):
        return (state.get(name),)
    if state.arguments is None:
        return (EMPTY,)
    if name == "#":
        return (literal(str(len(state.arguments))),)
    if name in {"*", "@"}:
        return tuple(map(state.known.resolve, state.arguments))
    number = int(name[:9])
    found = state.arguments[number - 1] if 0 < number <= len(state.arguments) else EMPTY
    return (state.known.resolve(found),)


def _append_quoted(part: Part, state: State, result: _Arguments) -> None:
    for index, value in enumerate(_variable(part.text, state)):
        if index and part.text == "*":
            result.append(literal(" "))
        elif index:
            result.next()
        result.append(value)


@define
class _Arguments:
    """Arguments while they are built; None is an argument without text, which the next word replaces."""

    found: list[list[str | Symbol | Conditional] | None] = field(factory=list)

    def next(self) -> None:
        if not self.found or self.found[-1] is not None:
            self.found.append(None)

    def append(self, value: Value) -> None:
        last = self.found[-1]
        if last is None:
            last = self.found[-1] = []
        last.extend(value)

    def append_split(self, value: Value) -> None:
        """Append unquoted text: blanks within it separate arguments, blanks at its two ends do not."""
        begun = gap = False
        for part in value:
            if isinstance(part, Conditional):
                raise GrubBound("where a word ends depends on a value that is unknown before the boot")
            text = part if isinstance(part, str) else None
            for piece in (part,) if text is None else _BLANKS.split(text):
                if piece == "":
                    continue
                if isinstance(piece, str) and _BLANKS.fullmatch(piece):
                    gap = begun
                    continue
                if gap:
                    self.next()
                self.append((piece,))
                begun, gap = True, False

    def finished(self) -> tuple[Value, ...]:
        if self.found and self.found[-1] is None:
            self.found.pop()
        return tuple(joined(each) for each in self.found if each is not None)
