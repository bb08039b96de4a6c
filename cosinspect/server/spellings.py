"""The forms of texts in a server's configuration, and the reading of its text."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cosinspect.errors import CosinspectError, InvalidConfiguration
from cosinspect.kubernetes_images import path_of
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import Reference

__all__ = [
    "check_address",
    "check_addresses",
    "check_hosts",
    "check_path",
    "check_paths",
    "check_platform",
    "parse_document",
    "read_text",
]

_MAX_BYTES = 1024 * 1024


def read_text(path: str | os.PathLike[str]) -> str:
    """Read the text of a configuration.

    Raises:
        InvalidConfiguration: it cannot be read, is too large, or is not text.
    """
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        reason = fault.strerror if isinstance(fault, OSError) else None
        raise InvalidConfiguration(
            f"the configuration cannot be read: {reason or fault}", where=str(path)
        ) from fault
    if len(raw) > _MAX_BYTES:
        raise InvalidConfiguration(f"expected at most {_MAX_BYTES} bytes", where=str(path))
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise InvalidConfiguration("the configuration is not UTF-8", where=str(path)) from fault


def parse_document(text: str, where: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        InvalidConfiguration: the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        raise InvalidConfiguration(f"expected TOML: {fault}", where=where) from fault


def check_address(text: str) -> None:
    """Require a host and a port.

    Raises:
        ValueError: the text is not one.
    """
    host, colon, port = text.rpartition(":")
    if not host or not colon or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise ValueError(f"expected HOST:PORT, found {text[:60]!r}")


def check_addresses(addresses: dict[str, str]) -> None:
    """Require hosts.

    Raises:
        ValueError: it is something else.
    """
    check_hosts((*addresses, *addresses.values()))


def check_hosts(hosts: Iterable[str]) -> None:
    """Require hosts, each with an optional port.

    Raises:
        ValueError: it is something else.
    """
    for host in hosts:
        try:
            found = Reference.parse(f"{host if ':' in host else f'{host}:443'}/os").registry
        except CosinspectError:
            found = ""
        if found not in (host, f"{host}:443"):
            raise ValueError(f"expected a host with an optional port such as core:8080, found {host[:60]!r}")


def check_platform(text: str | None) -> None:
    """Require a platform such as linux/amd64, or nothing.

    Raises:
        ValueError: it is something else.
    """
    try:
        _ = Platform.parse(text) if text is not None else None
    except CosinspectError as fault:
        raise ValueError(fault.message) from fault


def check_path(text: str | None) -> None:
    """Require a JSONPath, or nothing.

    Raises:
        ValueError: it is something else.
    """
    if text is not None:
        path_of(text)


def check_paths(texts: list[str]) -> None:
    """Require JSONPaths.

    Raises:
        ValueError: it is something else.
    """
    for text in texts:
        path_of(text)
