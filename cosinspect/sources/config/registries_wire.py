"""The types of registries.conf as they are on the wire (containers-registries.conf(5), version 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cosinspect.sources.config.registries_conf import Pull
from cosinspect.wire_types import ready

__all__ = ["WireConf", "WireMirror", "WireRegistry", "convert_conf"]


class WireMirror(msgspec.Struct, rename="kebab"):
    """`[[registry.mirror]]`."""

    location: str
    insecure: bool = False
    pull_from_mirror: Pull = "all"


class WireRegistry(msgspec.Struct, rename="kebab"):
    """`[[registry]]`."""

    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirror: list[WireMirror] = []


class WireConf(msgspec.Struct, rename="kebab"):
    """One file."""

    registry: list[WireRegistry] = []
    unqualified_search_registries: list[str] | None = None
    aliases: dict[str, str] = {}


def convert_conf(document: Mapping[str, Any]) -> WireConf:
    """Convert a document of TOML.

    Raises:
        msgspec.ValidationError: a key has a value of another type.
    """
    return msgspec.convert(document, ready(WireConf))
