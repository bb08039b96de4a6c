"""A configuration with the content of its files, read at one moment: rulebooks, keys and tokens."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec
from attrs import evolve, field, frozen

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.configuration import Configuration, Guarded, load_configuration
from cosinspect.server.rules import Rulebooks

__all__ = ["Settings", "Stamp"]

TOKEN_BYTES = 4096

Stamp = tuple[tuple[int, int, int] | None, ...]
"""The state of files: for each its time of change, inode and size, None if it does not exist."""

FIXED = {"listen": None, "inspections": ("database", "keep", "workers")}
"""Tables and their keys (None: all) that do not change until the process ends."""


@frozen
class Settings:
    """The settings of a server until the next reload.

    Attributes:
        configuration: of the file.
        books: the rulebooks of its rules; each rule's key is computed.
        notifications_token: "" if requests need none.
        harbor_token: "" if requests need none.
        files: the configuration and every file that it names, except certificates.
        stamp: of `files`, taken before they were read.
        restart: keys whose new values take effect only after a restart.
    """

    configuration: Configuration
    books: Rulebooks
    notifications_token: str = field(default="", repr=False)
    harbor_token: str = field(default="", repr=False)
    files: tuple[Path, ...] = ()
    stamp: Stamp = ()
    restart: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a configuration and its files. It blocks: call it outside of an event loop.

        Raises:
            InvalidConfiguration: a file cannot be read, or has mistakes; the message has every mistake.
        """
        file = Path(path)
        before = stamp_of([file])
        configuration = load_configuration(file)
        files = (file, *_named(configuration))
        stamp = (*before, *stamp_of(files[1:]))
        books = Rulebooks(configuration.rules, configuration.inspections.platform)
        for rule in configuration.rules:
            books.key(rule)
        return cls(
            configuration,
            books,
            _token(configuration.notifications),
            _token(configuration.harbor),
            files,
            stamp,
        )

    def after(self, before: Configuration) -> Self:
        """Return the settings with the values of `before` for keys that do not change while the process runs."""
        changed: list[str] = []
        kept = {}
        for name, keys in FIXED.items():
            old, new = getattr(before, name), getattr(self.configuration, name)
            fixed = keys or [each.name for each in msgspec.structs.fields(old)]
            differing = [key for key in fixed if getattr(old, key) != getattr(new, key)]
            changed += [f"{name}.{key}" for key in differing]
            kept[name] = msgspec.structs.replace(new, **{key: getattr(old, key) for key in differing})
        return evolve(self, configuration=evolve(self.configuration, **kept), restart=tuple(changed))


def stamp_of(files: Iterable[Path]) -> Stamp:
    """Return the state of files without reading them."""
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _named(configuration: Configuration) -> list[Path]:
    found = [guarded.token_file for guarded in (configuration.notifications, configuration.harbor) if guarded]
    for rule in configuration.rules:
        if rule.profile.endswith(".toml"):
            found.append(rule.profile)
        found += [*rule.policies, *rule.verify_keys, *rule.attestation_keys]
    return [Path(name) for name in dict.fromkeys(found) if name is not None]


def _token(guarded: Guarded | None) -> str:
    if guarded is None or guarded.token_file is None:
        return ""
    try:
        with Path(guarded.token_file).open(encoding="utf-8") as file:
            token = file.read(TOKEN_BYTES).strip()
    except (OSError, ValueError) as fault:
        raise InvalidConfiguration(f"the token cannot be read: {fault}", where=guarded.token_file) from fault
    if not token:
        raise InvalidConfiguration("expected a token, the file is empty", where=guarded.token_file)
    return token
