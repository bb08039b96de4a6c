"""Checks that installed distributions add, through entry points of the group `cosinspect.checks`.

An entry point names a check, or several in a list or tuple. A plugin runs with all rights of the process, as every installed distribution
does. A plugin that cannot be loaded, or has an id or a name of another check, prevents every inspection: a silently omitted rule would be
worse.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import Check
from cosinspect.errors import InvalidPlugin

__all__ = ["GROUP", "installed_checks", "plugin_checks"]

GROUP = "cosinspect.checks"


def installed_checks() -> tuple[Check, ...]:
    """Return the catalogue and, after it, the checks of plugins, in the order of their entry points' names.

    Raises:
        InvalidPlugin: a plugin cannot be used; the message names it.
    """
    return _installed(_places())


@lru_cache(maxsize=1)
def _installed(places: tuple[tuple[str, int], ...]) -> tuple[Check, ...]:  # noqa: ARG001 - it is the key
    """Look for plugins once: reading every distribution's metadata takes longer than a cached verdict."""
    return (*CATALOGUE, *plugin_checks(metadata.entry_points(group=GROUP), CATALOGUE))


def _places() -> tuple[tuple[str, int], ...]:
    """Return the directories of distributions, and the time of the last installation in each."""
    found = []
    for place in sys.path:
        try:
            found.append((place, Path(place or ".").stat().st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


def plugin_checks(points: Iterable[metadata.EntryPoint], taken: Sequence[Check]) -> tuple[Check, ...]:
    """Load the checks that entry points name.

    Args:
        points: the entry points.
        taken: checks whose ids and names are taken.

    Raises:
        InvalidPlugin: a plugin cannot be used; the message names it.
    """
    owners = {key: "cosinspect itself" for item in taken for key in (item.id, item.name)}
    found: list[Check] = []
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        plugin = _named(point)
        for item in _load(point, plugin):
            if item.id.startswith("COS") and item.id[3:].isdigit():
                raise InvalidPlugin(f"expected a unique id, {item.id} belongs to the catalogue", where=plugin)
            for key in (item.id, item.name):
                if key in owners:
                    raise InvalidPlugin(
                        f"expected a unique id and name, {key} is taken by {owners[key]}", where=plugin
                    )
                owners[key] = plugin
            found.append(item)
    return tuple(found)


def _load(point: metadata.EntryPoint, plugin: str) -> tuple[Check, ...]:
    try:
        offered = point.load()
        checks = tuple(offered) if isinstance(offered, (list, tuple)) else (offered,)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as fault:  # a plugin's module may raise anything, also SystemExit
        raise InvalidPlugin(
            f"expected checks, loading them raised {type(fault).__name__}: {fault}",
            where=plugin,
            remedy="repair or uninstall it",
        ) from fault
    for item in checks:
        if not isinstance(item, Check):
            raise InvalidPlugin(
                f"expected checks made with cosinspect.checks.base.check, found a {type(item).__name__}",
                where=plugin,
            )
    return checks


def _named(point: metadata.EntryPoint) -> str:
    distribution = f" of {point.dist.name} {point.dist.version}" if point.dist is not None else ""
    return f"plugin {point.name} ({point.value}){distribution}"
