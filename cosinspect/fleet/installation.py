"""Which cosinspect a process has: two of them judge alike if version, code and checks are the same."""

from __future__ import annotations

from typing import Self, TypedDict

from attrs import frozen

from cosinspect.cache.code import code_digest
from cosinspect.checks.plugins import installed_checks
from cosinspect.version import __version__

__all__ = ["Described", "Installation", "describe_installation"]

SHOWN = 12
"""Characters of a digest that a message has."""


class Described(TypedDict):
    """An installation as plain values, which processes of other versions can exchange."""

    version: str
    code: str
    checks: list[str]


def describe_installation() -> Described:
    """Return what this process has; runs on the workers of a cluster."""
    return Described(
        version=__version__, code=code_digest().hex(), checks=sorted(check.id for check in installed_checks())
    )


@frozen
class Installation:
    """What a process judges with.

    Attributes:
        version: of cosinspect.
        code: digest of its source and of the tables that it brings.
        checks: ids of its own checks and of those of plugins.
    """

    version: str
    code: str
    checks: frozenset[str]

    @classmethod
    def here(cls) -> Self:
        """Return the installation of this process."""
        return cls.of(describe_installation())

    @classmethod
    def of(cls, described: Described) -> Self:
        """Return the installation that another process describes."""
        return cls(described["version"], described["code"], frozenset(described["checks"]))

    def difference(self, other: Installation) -> str | None:
        """Return what another installation has that this one does not, in one phrase; None where both judge alike."""
        if other.version != self.version:
            return f"expected cosinspect {self.version}, found {other.version}"
        if other.checks != self.checks:
            missing, further = sorted(self.checks - other.checks), sorted(other.checks - self.checks)
            told = [f"lacks {', '.join(missing[:5])}"] * bool(missing)
            told += [f"has also {', '.join(further[:5])}"] * bool(further)
            return f"expected the same checks, but it {' and '.join(told)}"
        if other.code != self.code:
            return (
                f"expected the rules {self.code[:SHOWN]}, found {other.code[:SHOWN]} under the same version"
            )
        return None
