"""One way in which a derivative breaks, and the means by which most of them are made."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.parts import Parts
from cosinspect.testing.entries import Entry

__all__ = ["Breakage", "initrd_without", "removes", "writes"]


@frozen
class Breakage:
    """One way in which a derivative breaks.

    Attributes:
        summary: what was done to it.
        check: the id of the check that must find it.
        apply: does it.
        generation: of the derivative that it is made for; most are for others too.
        besides: the ids of further checks that find a part of it. No other check may fail.
    """

    summary: str
    check: str
    apply: Callable[[Parts], None]
    generation: toolkit.GenerationName = "G2"
    besides: tuple[str, ...] = ()

    @property
    def checks(self) -> list[str]:
        """The ids of every check that fails, sorted."""
        return sorted((self.check, *self.besides))


def removes(*paths: str) -> Callable[[Parts], None]:
    """Have a last step delete paths."""
    return lambda parts: parts.remove(*paths)


def writes(path: str, entry: Entry) -> Callable[[Parts], None]:
    """Have a last step write a file."""
    return lambda parts: parts.write(path, entry)


def initrd_without(*names: str) -> Callable[[Parts], None]:
    """Leave members out of the initrd, named by path or by file name."""

    def apply(parts: Parts) -> None:
        for name in [path for path in parts.initrd if path in names or path.rpartition("/")[2] in names]:
            del parts.initrd[name]

    return apply
