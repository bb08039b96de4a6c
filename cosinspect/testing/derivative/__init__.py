"""A small derivative: true formats, true names, a few kilobytes, and every way it is known to break.

`image` makes the image, `parts` are what it is made of and may be changed first; `breakages` and `degradations` are what can be done
to it. It may import the rest of `cosinspect.testing`. What is added to a toolkit's files goes to `toolkit_files`, `elemental_files` or
`foreign_files`; a way to break it goes to `breakages`, `system_breakages` or `foreign_breakages`.
"""

from __future__ import annotations

from cosinspect.testing.derivative.breakages import BREAKAGES, DEGRADATIONS, Breakage
from cosinspect.testing.derivative.image import builder_of, derivative, derivative_of
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts, parts_of, program

__all__ = [
    "BREAKAGES",
    "DEGRADATIONS",
    "KERNEL_VERSION",
    "Breakage",
    "Parts",
    "builder_of",
    "derivative",
    "derivative_of",
    "parts_of",
    "program",
]
