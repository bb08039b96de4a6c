"""The luet databases of an image: their places and their content."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from cosinspect.cache.parsed import Parsed
from cosinspect.errors import CosinspectError, FormatError, LimitExceeded
from cosinspect.formats.luet.config import LuetConfig, database_paths, parse_config
from cosinspect.formats.luet.database import LuetDatabase, read_database
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import ImageConfig
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = ["LUET_CONFIG", "READS", "LuetDatabaseFile", "explain_fault", "find_databases", "luet_config"]

LUET_CONFIG = "/etc/luet/luet.yaml"
READS = ("etc/luet/luet.yaml", "**/luet.db")
"""Globs of what is read here."""


@frozen
class LuetDatabaseFile:
    """A file called `luet.db`, read or found unreadable.

    Attributes:
        path: in the image.
        layer: position of the layer that gave it.
        database: what it holds, None if it cannot be read.
        problems: why not, or what was noticed on the way.
    """

    path: str
    layer: int
    database: LuetDatabase | None
    problems: tuple[str, ...]


def luet_config(rootfs: Rootfs) -> LuetConfig | None:
    """Read the image's luet.yaml, None if it has none.

    Raises:
        FormatError: it is not YAML, or not a configuration.
        CosinspectError: it cannot be read.
    """
    trace = rootfs.trace(LUET_CONFIG)
    if trace.entry is None or trace.entry.type != "file":
        return None
    return parse_config(rootfs.read_text(LUET_CONFIG))


def find_databases(
    rootfs: Rootfs, config: ImageConfig, *, limits: Limits = DEFAULT_LIMITS, parsed: Parsed | None = None
) -> tuple[LuetDatabaseFile, ...]:
    """Read every luet database of an image: at the configured path, at the usual paths, and at any other.

    Args:
        rootfs: the merged tree.
        config: the image configuration, whose environment may name a place.
        limits: bounds for what is read.
        parsed: what is known of files that were read before.

    Raises:
        SourceError: a layer cannot be had again.
        ContentError: a layer is another one now.
    """
    try:
        settings = luet_config(rootfs) or LuetConfig()
    except (FormatError, LimitExceeded):
        settings = LuetConfig()
    environment: Mapping[str, str] = {
        name: value for name, _, value in (text.partition("=") for text in config.env)
    }
    found: dict[str, LuetDatabaseFile] = {}
    paths = [*database_paths(settings, environment), *(entry.path for entry in rootfs.glob("/**/luet.db"))]
    for path in paths:
        entry = rootfs.trace(path).entry
        if entry is not None and entry.type == "file" and entry.path not in found:
            found[entry.path] = _read(rootfs, entry, limits, parsed or Parsed(limits=limits))
    return tuple(found.values())


def _read(rootfs: Rootfs, entry: Entry, limits: Limits, parsed: Parsed) -> LuetDatabaseFile:
    path, layer = entry.path, entry.layer

    def read() -> LuetDatabase:
        data = rootfs.read_bytes(path, limit=limits.database_bytes, limit_name="database_bytes")
        return read_database(data, limits=limits)

    if not entry.size:
        return LuetDatabaseFile(path, layer, None, ("the file is empty; luet makes a new database of it",))
    try:
        database = parsed.get("luet-database", rootfs.origin(entry), read, type=LuetDatabase)
    except (FormatError, LimitExceeded) as fault:
        return LuetDatabaseFile(path, layer, None, (explain_fault(fault),))
    problems = database.problems
    if not database.is_storm:
        problems = (*problems, "a bolt database of another program, not luet's")
    if database.is_migration_broken:
        problems = (
            *problems,
            "luet 0.30.0 or 0.30.1 spoilt the index: luet lists nothing, the records are all there",
        )
    return LuetDatabaseFile(path, layer, database, problems)


def explain_fault(fault: CosinspectError) -> str:
    """Return why a database cannot be read, for people."""
    kind = f"{fault.kind}: " if isinstance(fault, FormatError) else ""
    return f"unreadable: {kind}{fault.message}"
