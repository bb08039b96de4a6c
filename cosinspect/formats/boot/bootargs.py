"""`bootargs.cfg`: which kernel, initrd and kernel command line an image of cOS asks GRUB for.

The installed `grub.cfg` sources this file out of the image, with `$img`, `$label` and the like set, and then boots
`$kernel` with `$kernelcmd` and `$initramfs` (elemental-toolkit, packages/grub2/config). Which values these can have is
found out without running the script: every branch counts, as does every function body where it stands. At most
`MAX_VALUES` values are kept of one variable.

The parameters that name the image tell for which generation of the initrd's scripts a command line is made; mixing
them is what keeps images from booting.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import chain, islice, product

from attrs import Factory, define, frozen

from cosinspect.formats.boot.grub import Assignment, Command, GrubScript, read_grub_script
from cosinspect.formats.boot.grub_lexer import VARIABLE
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem

__all__ = [
    "DEFAULT_INITRAMFS",
    "DEFAULT_KERNEL",
    "IMAGE_PARAMETERS",
    "MAX_VALUES",
    "BootArgs",
    "BootMarkers",
    "Parameter",
    "Placeholder",
    "Setting",
    "boot_markers",
    "kernel_parameters",
    "leftover_placeholders",
    "read_boot_args",
]

DEFAULT_KERNEL = "/boot/vmlinuz"
"""What `$kernel` is in every bootargs.cfg that the toolkit ships."""

DEFAULT_INITRAMFS = "/boot/initrd"
"""What `$initramfs` is in every bootargs.cfg that the toolkit ships."""

MAX_VALUES = 64
"""Values of one variable that are followed; further combinations are left out and make a problem."""

IMAGE_PARAMETERS = ("cos-img/filename", "iso-scan/filename", "elemental.image", "rd.live.squashimg")
"""The parameters that name the image to boot, one for each generation of scripts that looks for it."""

# Characters of all values together with variables put in; the kernel's own command line ends at 4 KiB or less.
_FOLLOWED_CHARACTERS = 4 * 1024 * 1024
_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_PARAMETER = re.compile(r'(?:[^\s"]++|"[^"]*+(?:"|\Z))++', re.ASCII)
_CLOSING = frozenset({"fi", "done", "}"})
_OPENING = frozenset({"if", "for", "while", "until", "{"})
_BRANCHING = frozenset({"elif", "else"})

_IMAGE_LABELS = frozenset({"$label", "COS_ACTIVE", "COS_PASSIVE", "COS_SYSTEM"})
_STATE_LABELS = frozenset({"$state_label", "$partlabel", "$recovery_label", "COS_STATE", "COS_RECOVERY"})


@frozen
class Setting:
    """One value that a variable can have when the script ends.

    Attributes:
        value: with the script's own variables put in where they are known; others stay as `$name`.
        line: of the assignment, counted from 1.
        conditions: the constructs around it, outermost first; empty where it always happens.
    """

    value: str
    line: int
    conditions: tuple[str, ...]


@frozen
class Placeholder:
    """An `@NAME@` that a template's rendering should have replaced."""

    name: str
    line: int


@frozen
class BootArgs:
    """What a bootargs.cfg sets; a field is empty where the variable is never set, and GRUB then boots nothing.

    Attributes:
        kernel: the values of `$kernel`, a path in the image each.
        initramfs: the values of `$initramfs`, a path in the image each.
        kernelcmd: the values of `$kernelcmd`.
        placeholders: what is left of the template.
        script: the whole script.
        problems: the script's, and what could not be followed.
    """

    kernel: tuple[Setting, ...]
    initramfs: tuple[Setting, ...]
    kernelcmd: tuple[Setting, ...]
    placeholders: tuple[Placeholder, ...]
    script: GrubScript
    problems: tuple[Problem, ...]

    @property
    def kernel_paths(self) -> tuple[str, ...]:
        """The paths that `$kernel` can be, each once."""
        return tuple(dict.fromkeys(setting.value for setting in self.kernel))

    @property
    def initramfs_paths(self) -> tuple[str, ...]:
        """The paths that `$initramfs` can be, each once."""
        return tuple(dict.fromkeys(setting.value for setting in self.initramfs))


@frozen
class Parameter:
    """A kernel parameter; the value is None where there is no `=`."""

    key: str
    value: str | None


@frozen
class BootMarkers:
    """What a kernel command line tells of the scripts it is made for.

    Attributes:
        image_parameters: those of `IMAGE_PARAMETERS` that it has.
        root: the value of `root=`.
        root_label: the label in it, or the variable that holds it as `$name`.
        oem_label: the value of `rd.cos.oemlabel=` or `elemental.oemlabel=`.
        generations: the generations whose initrd understands it, `G0` to `G5` and `kairos`; empty for none of them.
    """

    image_parameters: tuple[str, ...]
    root: str | None
    root_label: str | None
    oem_label: str | None
    generations: frozenset[str]


def read_boot_args(text: str) -> BootArgs:
    """Read a bootargs.cfg; whatever is wrong with it is in the result's `problems`."""
    script = read_grub_script(text)
    flow = _Flow()
    assigned = {assignment.statement: assignment for assignment in script.assignments}
    for index, statement in enumerate(script.statements):
        if statement.keyword:
            flow.keyword(statement)
        elif index in assigned:
            flow.assign(assigned[index])
        elif statement.name == "unset":
            flow.unset(statement.words[1:])
    return BootArgs(
        kernel=flow.settings("kernel"),
        initramfs=flow.settings("initramfs"),
        kernelcmd=flow.settings("kernelcmd"),
        placeholders=leftover_placeholders(text),
        script=script,
        problems=script.problems + tuple(flow.problems.values()),
    )


def kernel_parameters(kernelcmd: str) -> tuple[Parameter, ...]:
    """Split a kernel command line as the kernel does: at blanks, but not within double quotes."""
    parameters = []
    for match in _PARAMETER.finditer(kernelcmd):
        key, equals, value = match[0].replace('"', "").partition("=")
        parameters.append(Parameter(key, value if equals else None))
    return tuple(parameters)


def boot_markers(kernelcmd: str) -> BootMarkers:
    """Tell which generation of cOS scripts a kernel command line is made for."""
    parameters = {parameter.key: parameter.value for parameter in kernel_parameters(kernelcmd)}
    found = tuple(key for key in IMAGE_PARAMETERS if key in parameters)
    root = parameters.get("root")
    label = root.rpartition("LABEL=")[2] if root and "LABEL=" in root else None
    if label and label.startswith("${") and label.endswith("}"):
        label = "$" + label[2:-1]
    return BootMarkers(
        image_parameters=found,
        root=root,
        root_label=label,
        oem_label=parameters.get("rd.cos.oemlabel", parameters.get("elemental.oemlabel")),
        generations=frozenset(_generations(found, root or "", label)),
    )


def leftover_placeholders(text: str) -> tuple[Placeholder, ...]:
    """Find what a template's rendering should have replaced, in a file of whatever format: the first `MAX_PROBLEMS`."""
    found = (
        Placeholder(match[1], number)
        for number, line in enumerate(text.split("\n"), 1)
        for match in _PLACEHOLDER.finditer(line)
    )
    return tuple(islice(found, MAX_PROBLEMS))


def _generations(found: tuple[str, ...], root: str, label: str | None) -> set[str]:
    if "elemental.image" in found:
        return {"G5"}
    if "cos-img/filename" in found:
        if label in _STATE_LABELS:
            return {"G3", "G4"}
        return {"G1", "G2", "kairos"} if label in _IMAGE_LABELS else {"G1", "G2", "G3", "G4", "kairos"}
    if "rd.live.squashimg" in found and root.startswith("live:"):
        return {"G0", "G1", "G2", "kairos"}
    return {"G0"} if "iso-scan/filename" in found else set()


@define
class _Scope:
    """A construct that may run or not, and what its branches assign; None stands for what was there before."""

    changes: dict[str, tuple[Setting | None, ...]] = Factory(dict)
    branches: list[dict[str, tuple[Setting | None, ...]]] = Factory(list)
    exhaustive: bool = False


@define
class _Flow:
    """The values that variables can have, statement after statement."""

    scopes: list[_Scope] = Factory(lambda: [_Scope()])
    budget: int = _FOLLOWED_CHARACTERS
    problems: dict[str, Problem] = Factory(dict)

    def keyword(self, statement: Command) -> None:
        if statement.name in _OPENING:
            self.scopes.append(_Scope())
        elif statement.name in _BRANCHING:
            scope = self.scopes[-1]
            scope.branches.append(scope.changes)
            scope.changes = {}
            scope.exhaustive = statement.name == "else"
        elif statement.name in _CLOSING and len(self.scopes) > 1:
            self._merge(self.scopes.pop(), statement.line)

    def assign(self, assignment: Assignment) -> None:
        values = self._values(assignment)
        self.scopes[-1].changes[assignment.name] = tuple(
            Setting(value, assignment.line, assignment.conditions) for value in values
        )

    def unset(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.scopes[-1].changes[name] = (None,)

    def settings(self, name: str) -> tuple[Setting, ...]:
        while len(self.scopes) > 1:  # a script that ends too early
            self._merge(self.scopes.pop(), 1)
        return tuple(setting for setting in self._known(name) if setting is not None)

    def _known(self, name: str) -> tuple[Setting | None, ...]:
        for scope in reversed(self.scopes):
            if name in scope.changes:
                return scope.changes[name]
        return (None,)

    def _merge(self, scope: _Scope, line: int) -> None:
        branches = [*scope.branches, scope.changes]
        options: dict[str, list[tuple[Setting | None, ...]]] = {}
        for branch in branches:
            for name, values in branch.items():
                options.setdefault(name, []).append(values)
        for name, changed in options.items():
            if not scope.exhaustive or len(changed) < len(branches):
                changed.insert(0, self._known(name))
            values = tuple(dict.fromkeys(chain.from_iterable(changed)))
            if len(values) > MAX_VALUES:
                self._give_up(f"`{name}` can have more than {MAX_VALUES} values", line)
            self.scopes[-1].changes[name] = values[:MAX_VALUES]

    def _values(self, assignment: Assignment) -> list[str]:
        """Every value that the assignment can give, with the variables put in that the script itself sets."""
        value = assignment.value
        names = Counter(m["name"] or m["braced"] for m in VARIABLE.finditer(value) if not m["literal"])
        known = {name: options for name in names if (options := self._known(name)) != (None,)}
        if not known:
            return [value]
        combinations = list(islice(product(*known.values()), MAX_VALUES + 1))
        longest = len(value) + sum(
            names[name] * max(len(one.value) if one else 0 for one in options)
            for name, options in known.items()
        )
        self.budget -= longest * len(combinations)
        if len(combinations) > MAX_VALUES or self.budget < 0:
            self._give_up(f"`{assignment.name}` has more values than are followed", assignment.line)
            return [value]
        return list(
            dict.fromkeys(_substituted(value, dict(zip(known, one, strict=True))) for one in combinations)
        )

    def _give_up(self, message: str, line: int) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.setdefault(message, Problem("limit", message, line))


def _substituted(value: str, settings: Mapping[str, Setting | None]) -> str:
    def one(match: re.Match[str]) -> str:
        setting = settings.get(match["name"] or match["braced"] or "")
        return match[0] if setting is None else setting.value

    return VARIABLE.sub(one, value)
