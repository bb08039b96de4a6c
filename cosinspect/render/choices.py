"""What a reader chooses about a report beside its format: the parts that are listed."""

from __future__ import annotations

import enum

from attrs import frozen

from cosinspect.formats.text.containerfile import Containerfile

__all__ = ["DEFAULT_CHOICES", "Choices", "ReportPart"]


class ReportPart(enum.Enum):
    """A part of the text report that is counted, or shortened, unless it is asked for."""

    PASSED = "passed"
    """The checks that pass, with their evidence."""
    NOT_APPLICABLE = "not-applicable"
    """The ids of the checks that do not apply."""
    NOTES = "notes"
    """The evidence and the remedies of notes."""


@frozen
class Choices:
    """The choices of a reader.

    Attributes:
        show: the parts of the text report that are listed.
        containerfile: the Containerfile of the image; SARIF and annotations place findings on its lines.
        all_rules: whether SARIF lists the rules of all checks, not only of those with results.
    """

    show: frozenset[ReportPart] = frozenset()
    containerfile: Containerfile | None = None
    all_rules: bool = False


DEFAULT_CHOICES = Choices()
