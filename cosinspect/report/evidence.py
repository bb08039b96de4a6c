"""The evidence of a finding, as values. `str` makes their text, at the edge.

A check may also return plain text, if only people read it.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from cosinspect.path_walk import Hop

__all__ = [
    "Evidence",
    "Hop",
    "LastLink",
    "LayerStep",
    "Line",
    "Mention",
    "Removal",
    "name_layer",
    "names_layer",
    "shorten_step",
]


class LayerStep(msgspec.Struct, frozen=True, tag="step"):
    """A layer and its build step, None if unknown."""

    layer: int
    created_by: str | None = None

    def __str__(self) -> str:
        return name_layer(self.layer, self.created_by)


class Removal(msgspec.Struct, frozen=True, tag="removal"):
    """A layer removed a path.

    Attributes:
        step: the layer.
        cause: the marker or entry that did it, as a path in the layer: `/boot/.wh.vmlinuz`.
    """

    step: LayerStep
    cause: str

    @property
    def layer(self) -> int:
        """The position of the layer."""
        return self.step.layer

    def __str__(self) -> str:
        return f"{self.step} removed it: {self.cause}"


class LastLink(msgspec.Struct, frozen=True, tag="last-link"):
    """A layer made the last link of a dangling path."""

    step: LayerStep

    @property
    def layer(self) -> int:
        """The position of the layer."""
        return self.step.layer

    def __str__(self) -> str:
        return f"{self.step} made the last link"


class Line(msgspec.Struct, frozen=True, tag="line"):
    """A line of a file, counted from 1; None if unknown."""

    path: str
    number: int | None

    def __str__(self) -> str:
        return self.path if self.number is None else f"{self.path}:{self.number}"


class Mention(msgspec.Struct, frozen=True, tag="mention"):
    """Text that names a layer."""

    text: str
    layer: int

    def __str__(self) -> str:
        return self.text


Evidence: TypeAlias = str | Hop | LayerStep | Removal | LastLink | Line | Mention


def names_layer(evidence: Evidence, position: int) -> bool:
    """Return whether evidence names a layer; the text of a plugin, or of a report that was read again, is searched for it."""
    if isinstance(evidence, str):
        return re.search(rf"\blayer {position}\b", evidence) is not None
    return not isinstance(evidence, Line) and evidence.layer == position


def shorten_step(created_by: str, width: int = 100) -> str:
    """Cut a build step to a width; fold blanks, and remove the shell and builders' markers."""
    text = " ".join(created_by.split()).removesuffix(" # buildkit")
    text = re.sub(r"^(RUN )?/bin/sh -c (?:#\(nop\) *)?", lambda found: found[1] or "", text)
    return text if len(text) <= width else text[: width - 1] + "…"


def name_layer(position: int, created_by: str | None) -> str:
    """Return a layer's position and its build step, if known."""
    return f"layer {position} ({shorten_step(created_by)})" if created_by else f"layer {position}"
