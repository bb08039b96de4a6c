"""A kernel's command line as a boot loader hands it over, where parts of it may depend on what nobody knows.

The kernel parts it at blanks, but not within double quotes (lib/cmdline.c, next_arg); of a parameter that stands there
twice, most readers take the last. A part that is not known is shown as `${name}`.
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
    """What a parameter can be.

    Attributes:
        value: its value, "" for one without a `=`, None if the parameter is not there.
        conditions: what must hold for it, in GRUB's own words.
    """

    value: str | None
    conditions: tuple[str, ...] = ()


@frozen(slots=False)
class CommandLine:
    """A command line.

    Attributes:
        value: the text, with choices where conditions decide it.
        known: the conditions that hold where this line is used.
    """

    value: Value
    known: Knowledge = field(factory=Knowledge, repr=False, eq=False)

    @property
    def text(self) -> str:
        """The line as people read it; of each choice the way on which its condition holds."""
        return " ".join(_BLANK.sub(" ", render(self.value)).split(" ")).strip()

    @cached_property
    def segments(self) -> tuple[Value, ...]:
        """Runs without a blank outside of quotes and choices; a choice may hold blanks."""
        return tuple(_segments(self.value))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter that the line can have, each once, in the order in which they stand.

        Raises:
            GrubBound: there are more ways than are followed.
        """
        work = Work(_WORK)
        found: dict[Parameter, None] = {}
        for segment in self.segments:
            for _, text in leaves(cases((segment,), self.known, work, _shown)):
                found.update(dict.fromkeys(kernel_parameters(text)))
        return tuple(found)

    def last(self, key: str) -> tuple[Possibility, ...]:
        """Return what the last parameter of a name can be.

        Raises:
            GrubBound: there are more ways than are followed.
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
