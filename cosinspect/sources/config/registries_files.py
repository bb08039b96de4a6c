"""Files of registries.conf, read into the values of `registries_conf` (containers-registries.conf(5), version 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosinspect.errors import InvalidAccess
from cosinspect.sources.config.registries_conf import Mirror, RegistriesConf, RegistryRule

if TYPE_CHECKING:
    from cosinspect.sources.config.registries_wire import WireConf

__all__ = ["load_registries_conf"]

_MAX_BYTES = 1024 * 1024
_VERSION_1 = re.compile(r"registries\.(search|insecure|block)")


def load_registries_conf(paths: Iterable[Path]) -> RegistriesConf:
    """Read configuration files; later ones override earlier ones; missing ones are ignored.

    Raises:
        InvalidAccess: a file cannot be read, or is invalid.
    """
    rules: dict[str, RegistryRule] = {}
    search: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    seen = []
    for path in paths:
        document = _read(path)
        if document is None:
            continue
        seen.append(str(path))
        if _has_only_aliases(document):
            aliases.update(document.get("aliases", {}))
            continue
        wire = _converted(document, path)
        for rule in _rules(wire, str(path)):
            rules[rule.prefix] = rule
        if wire.unqualified_search_registries is not None:
            search = tuple(wire.unqualified_search_registries)
        aliases.update(wire.aliases)
    return RegistriesConf(tuple(rules.values()), search, aliases, ", ".join(seen))


def _rules(wire: WireConf, where: str) -> Iterator[RegistryRule]:
    for each in wire.registry:
        prefix = (each.prefix or each.location).rstrip("/")
        if not prefix:
            raise InvalidAccess("expected a prefix or a location of each registry, found none", where=where)
        if bool(each.location) == prefix.startswith("*."):
            expected = "no location" if each.location else "a location"
            raise InvalidAccess(f"expected {expected} beside the prefix {prefix}", where=where)
        mirrors = tuple(
            Mirror(
                item.location.rstrip("/"),
                item.insecure,
                "digest-only" if each.mirror_by_digest_only else item.pull_from_mirror,
            )
            for item in each.mirror
        )
        yield RegistryRule(prefix, each.location.rstrip("/"), each.insecure, each.blocked, mirrors, where)


def _has_only_aliases(document: Mapping[str, Any]) -> bool:
    """Return whether a file needs no types: distributions ship one of comments and one of aliases, and msgspec takes long to import."""
    aliases = document.get("aliases", {})
    return (
        not document.keys() - {"aliases"}
        and isinstance(aliases, dict)
        and all(isinstance(name, str) for name in aliases.values())
    )


def _converted(document: Mapping[str, Any], path: Path) -> WireConf:
    try:
        found: WireConf = import_module("cosinspect.sources.config.registries_wire").convert_conf(document)
    except ValueError as fault:  # other keys and types
        raise InvalidAccess(f"expected a registries.conf: {fault}", where=str(path)) from fault
    return found


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise InvalidAccess(f"expected at most {_MAX_BYTES} bytes", where=str(path))
        document: dict[str, Any] = import_module("tomllib").loads(raw.decode())
        if any(_VERSION_1.fullmatch(f"registries.{key}") for key in _table(document, "registries")):
            raise InvalidAccess(
                "expected version 2 of registries.conf, found version 1",
                where=str(path),
                remedy="use [[registry]] tables instead of [registries.search] and similar ones",
            )
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise InvalidAccess(f"expected a file that can be read: {fault.strerror}", where=str(path)) from fault
    except (ValueError, RecursionError) as fault:  # no UTF-8, no TOML
        raise InvalidAccess(f"expected a registries.conf: {fault}", where=str(path)) from fault
    return document


def _table(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
