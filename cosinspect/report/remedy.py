"""A remedy as a value: what to do in words, and the instructions of a Containerfile that do it.

The text contains the instructions, because most formats print text alone. Programs read the steps.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from typing import TypeAlias

from attrs import field, frozen

__all__ = ["Instruction", "Needs", "Remedy", "RemedyLike", "as_remedy", "share_packages"]


class Needs(enum.Enum):
    """What an instruction requires besides the files of the image."""

    NOTHING = "nothing"
    """A shell and the core utilities."""
    IMAGE = "a program of the image"
    NETWORK = "the network"
    CONTEXT = "a file of the build context"


# Programs that fetch packages or files.
_NETWORK = frozenset(("apk", "apt-get", "curl", "dnf", "/kairos-init", "luet", "zypper"))
# Programs of the image that make files of what the image has.
_IMAGE = frozenset(
    (
        "bootupctl",
        "depmod",
        "dracut",
        "elemental",
        "mkinitfs",
        "sha512hmac",
        "systemctl",
        "update-ca-certificates",
    )
)


@frozen
class Instruction:
    """One instruction of a Containerfile.

    Attributes:
        text: the instruction as it is written: `RUN ln -sf vmlinuz-6.1.0 /boot/vmlinuz`.
        packages: the packages at its end that it installs; empty if it installs none, or in a report that was read again.
    """

    text: str
    packages: tuple[str, ...] = field(default=(), eq=False)

    @property
    def command(self) -> str:
        """The shell command of a `RUN`, "" for another instruction."""
        return self.text.removeprefix("RUN ") if self.text.startswith("RUN ") else ""

    @property
    def needs(self) -> Needs:
        """What it requires besides the files of the image."""
        if self.text.startswith(("FROM scratch", "COPY --from=build ")):
            return Needs.NOTHING
        if not self.command:
            return Needs.NETWORK if "--from=" in self.text else Needs.CONTEXT
        command = re.sub(r"^(--\S+ )+", "", self.command)
        programs = {part.split(maxsplit=1)[0] for part in re.split(r"&&|;", command) if part.strip()}
        if programs & _NETWORK:
            return Needs.NETWORK
        return Needs.IMAGE if programs & _IMAGE else Needs.NOTHING

    def __str__(self) -> str:
        return self.text


@frozen
class Remedy:
    """What to do about a finding.

    Attributes:
        text: what to do, with the steps in it.
        steps: the steps, added after the last one of the image in this order.
        omits: the position of a layer; the image has the finding no more if the step that made the layer is left out. None if that is not known.
    """

    text: str
    steps: tuple[Instruction, ...] = ()
    omits: int | None = None

    @property
    def lead(self) -> str:
        """The text without the steps."""
        return self.text.removesuffix(_joined(self.steps)).removesuffix(": ")

    @classmethod
    def of(cls, lead: str, *steps: str | Instruction, omits: int | None = None) -> Remedy:
        """Return a remedy of a sentence and instructions.

        Args:
            lead: what to do, without a full stop if instructions follow.
            steps: the instructions.
            omits: the layer whose step can be left out instead.
        """
        made = tuple(each if isinstance(each, Instruction) else Instruction(each) for each in steps)
        return cls(f"{lead}: {_joined(made)}" if made else lead, made, omits)

    def __str__(self) -> str:
        return self.text


def share_packages(remedies: Iterable[Remedy | None]) -> tuple[Remedy | None, ...]:
    """Return remedies, with one instruction for all packages where several differ in the packages alone."""
    found = tuple(remedies)
    alike: dict[tuple[str, str], list[Remedy]] = {}
    for each in found:
        if each is not None and len(each.steps) == 1 and each.steps[0].packages:
            alike.setdefault(_without_packages(each), []).append(each)
    shared: dict[str, Remedy] = {}
    for (lead, command), group in alike.items():
        packages = tuple(dict.fromkeys(name for each in group for name in each.steps[0].packages))
        step = Instruction(f"{command} {' '.join(packages)}", packages)
        shared |= {each.text: Remedy.of(lead, step, omits=each.omits) for each in group}
    return tuple(shared.get(each.text, each) if each is not None else None for each in found)


def _without_packages(remedy: Remedy) -> tuple[str, str]:
    """Return what a remedy with one instruction says, and the instruction without its packages."""
    (step,) = remedy.steps
    return remedy.lead, step.text.removesuffix(" ".join(step.packages)).rstrip()


RemedyLike: TypeAlias = "Remedy | str | None"


def as_remedy(given: RemedyLike) -> Remedy | None:
    """Return a remedy of plain text as a value; a value is returned as it is."""
    return Remedy(given) if isinstance(given, str) else given


def _joined(steps: tuple[Instruction, ...]) -> str:
    return ", then ".join(each.text for each in steps)
