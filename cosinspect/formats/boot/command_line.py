"""A kernel's command line as a boot loader passes it; parts of it may be unknown.

The kernel splits it at blanks outside double quotes (lib/cmdline.c, next_arg). If a parameter occurs twice, most
readers use the last one. An unknown part is shown as `${name}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from attrs import field, frozen

from cosinspect.formats.boot.bootargs import Parameter, kernel_parameters
from cosinspect.formats.boot.grub_values import (
    Conditional,
    GrubBound,
    Knowledge,
    Plain,
    Tree,
    Value,
    Work,
    cases,
    joined,
    leaves,
    render,
    weight,
)

__all__ = ["CommandLine", "Possibility"]

_WORK = 100_000
_BLANK = re.compile(r"[ \t\n\r]+")


@frozen
class Possibility:
    """A value that a parameter can have.

    Attributes:
        value: its value, "" without a `=`, None if the parameter is absent.
        conditions: the conditions under which it has this value, in GRUB's own words.
    """

    value: str | None
    conditions: tuple[str, ...] = ()


@frozen(slots=False)
class CommandLine:
    """A command line.

    Attributes:
        value: the text, with a choice for each condition that decides a part of it.
        known: the conditions that hold where this line is used.
    """

    value: Value
    known: Knowledge = field(factory=Knowledge, repr=False, eq=False)

    @property
    def text(self) -> str:
        """The line as text; each choice is shown as if its condition held."""
        return " ".join(_BLANK.sub(" ", render(self.value)).split(" ")).strip()

    @cached_property
    def segments(self) -> tuple[Value, ...]:
        """The words of the line, split at blanks outside quotes and choices; a choice may contain blanks."""
        return tuple(_segments(self.value))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter that the line can have, each once, in their order.

        Raises:
            GrubBound: there are more variants than the limit.
        """
        work = Work(_WORK)
        found: dict[Parameter, None] = {}
        for segment in self.segments:
            for _, text in leaves(cases((segment,), self.known, work, _shown)):
                found.update(dict.fromkeys(kernel_parameters(text)))
        return tuple(found)

    def last(self, key: str) -> tuple[Possibility, ...]:
        """Return the values that the last parameter of a name can have.

        Raises:
            GrubBound: there are more variants than the limit.
        """
        work = Work(_WORK)
        relevant = [segment for segment in self.segments if _can_have(segment, key)]

        def look(position: int, known: Knowledge) -> Tree[str | None]:
            if position < 0:
                return None

            def answer(plain: tuple[Plain, ...], way: Knowledge) -> Tree[str | None]:
                given = [each for each in kernel_parameters(render(plain[0])) if each.key == key]
                return given[-1].value or "" if given else look(position - 1, way)

            return cases((relevant[position],), known, work, answer)

        tree = look(len(relevant) - 1, self.known)
        return tuple(dict.fromkeys(Possibility(value, conditions) for conditions, value in leaves(tree)))


def _shown(plain: tuple[Plain, ...], _: Knowledge) -> str:
    return render(plain[0])


def _can_have(segment: Value, key: str) -> bool:
    return any(
        _can_have(part.yes, key) or _can_have(part.no, key)
        if isinstance(part, Conditional)
        else not isinstance(part, str) or key[:1] in part
        for part in segment
    )


def _segments(value: Value) -> Iterator[Value]:
    if weight(value) > 64 * 1024:
        raise GrubBound("a command line is longer than is followed")
    current: list[object] = []
    quoted = False
    for part in value:
        if not isinstance(part, str):
            current.append(part)
            continue
        begin = 0
        for position, character in enumerate(part):
            if character == '"':
                quoted = not quoted
            elif character in " \t\n\r" and not quoted:
                current.append(part[begin:position])
                if any(current):
                    yield joined(current)  # type: ignore[arg-type]
                current, begin = [], position + 1
        current.append(part[begin:])
    if any(current):
        yield joined(current)  # type: ignore[arg-type]
