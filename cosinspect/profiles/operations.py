"""The table of operations: what each operation of each generation of the toolkit needs of an image. Data, in TOML.

The rows are values of `cosinspect.report.capabilities.Need`. A row names the checks that look at it; a test compares them with the
catalogue, so that a row without a check, and a check that no row names, is seen.
"""

from __future__ import annotations

import tomllib
from functools import cache

import msgspec

from cosinspect.errors import InvalidProfile
from cosinspect.profiles.tables import resource_text
from cosinspect.report.capabilities import Capability, Effect, Need
from cosinspect.wire_types import ready

__all__ = ["needs_of", "operations", "read_operations"]


class _WireNeed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    operations: tuple[Capability, ...]
    generations: tuple[str, ...]
    need: str
    effect: Effect
    source: str
    machine: bool = False
    boots: bool = False
    without: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    needs: tuple[Capability, ...] = ()
    tools: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()


class _WireOperations(msgspec.Struct, forbid_unknown_fields=True):
    need: list[_WireNeed]


def read_operations(text: str) -> tuple[Need, ...]:
    """Read a table of operations from TOML.

    Raises:
        InvalidProfile: it is malformed, or a row is of no operation, of no generation, or is looked at by nothing.
    """
    where = "operations.toml"
    try:
        wire = msgspec.convert(tomllib.loads(text), ready(_WireOperations))
    except (ValueError, msgspec.ValidationError, RecursionError) as fault:
        raise InvalidProfile(f"the table of operations is malformed: {fault}", where=where) from fault
    needs = tuple(Need(**msgspec.structs.asdict(row)) for row in wire.need)
    for need in needs:
        if not need.operations or not need.generations or not need.need.strip():
            raise InvalidProfile(
                f"a row names no operation, no generation or no need: {need.need!r}", where=where
            )
    return needs


@cache
def operations() -> tuple[Need, ...]:
    """Return the table that comes with the package."""
    return read_operations(resource_text("operations.toml"))


@cache
def needs_of(*generations: str) -> tuple[Need, ...]:
    """Return the rows that hold for any of these generations, in the order of the table; none if they have no rows."""
    return tuple(need for need in operations() if not set(generations).isdisjoint(need.generations))
