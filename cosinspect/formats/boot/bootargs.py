"""Boot arguments: the toolkit's paths of kernel and initrd, words of a command line, placeholders that a template left.

`grub_evaluator` evaluates a bootargs.cfg together with the menu that sources it.
"""

from __future__ import annotations

import re
from itertools import islice

from attrs import frozen

from cosinspect.formats.text.problem import MAX_PROBLEMS

__all__ = [
    "DEFAULT_INITRAMFS",
    "DEFAULT_KERNEL",
    "Parameter",
    "Placeholder",
    "kernel_parameters",
    "leftover_placeholders",
]

DEFAULT_KERNEL = "/boot/vmlinuz"
"""The value of `$kernel` in every bootargs.cfg that the toolkit ships."""

DEFAULT_INITRAMFS = "/boot/initrd"
"""The value of `$initramfs` in every bootargs.cfg that the toolkit ships."""

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_PARAMETER = re.compile(r'(?:[^\s"]++|"[^"]*+(?:"|\Z))++', re.ASCII)


@frozen
class Placeholder:
    """An `@NAME@` that rendering the template should have replaced."""

    name: str
    line: int


@frozen
class Parameter:
    """A kernel parameter; the value is None if there is no `=`."""

    key: str
    value: str | None


def kernel_parameters(kernelcmd: str) -> tuple[Parameter, ...]:
    """Split a kernel command line as the kernel does: at blanks, but not within double quotes."""
    parameters = []
    for match in _PARAMETER.finditer(kernelcmd):
        key, equals, value = match[0].replace('"', "").partition("=")
        parameters.append(Parameter(key, value if equals else None))
    return tuple(parameters)


def leftover_placeholders(text: str) -> tuple[Placeholder, ...]:
    """Find placeholders that rendering the template should have replaced, in a file of any format: the first `MAX_PROBLEMS`."""
    found = (
        Placeholder(match[1], number)
        for number, line in enumerate(text.split("\n"), 1)
        for match in _PLACEHOLDER.finditer(line)
    )
    return tuple(islice(found, MAX_PROBLEMS))
