"""Every mistake of a server's configuration and of the files that it names, found without a server.

`cosinspect.server.configuration` reads the configuration alone. This module also reads its files, and notes what can never
apply: a glob that no name matches, a rule after one that matches everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from cosinspect.errors import CosinspectError, InvalidConfiguration, InvalidPolicy
from cosinspect.extras import install_hint
from cosinspect.inspection.rulebook import load_keys, load_rulebook
from cosinspect.mistakes import Key, Mistakes
from cosinspect.policy import load_policy
from cosinspect.server.certificate import require_certificate, require_pair
from cosinspect.server.configuration import read_document
from cosinspect.server.postgresql_store import is_postgresql, require_address
from cosinspect.server.settings import TOKEN_BYTES
from cosinspect.server.spellings import parse_document, read_text

__all__ = ["examine"]

_GLOB = frozenset("*?[")
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


def examine(path: str) -> tuple[str, ...]:
    """Return every mistake of a configuration and of the files that it names, a line each; empty if a server can start with it."""
    try:
        document = parse_document(read_text(path), path)
    except InvalidConfiguration as fault:
        return (str(fault),)
    mistakes = Mistakes.of(path, read_text(path), InvalidConfiguration)
    directory = Path(path).parent
    read_document(document, mistakes, directory, thorough=True)
    _Examiner(mistakes, directory).examine(document)
    return tuple(f"{path}: {line}" for line in mistakes.lines())


class _Examiner:
    """Reads the files that a configuration names; values of a wrong type were noted before, and are skipped."""

    def __init__(self, mistakes: Mistakes, directory: Path) -> None:
        self._mistakes = mistakes
        self._directory = directory

    def examine(self, document: dict[str, Any]) -> None:
        self._certificates(_table(document, "listen"))
        self._inspections(_table(document, "inspections"))
        for name in ("notifications", "harbor"):
            for path in self._there(_table(document, name), "token_file"):
                self._try((name, "token_file"), _require_token, path)
        every = None
        for number, rule in enumerate(_tables(document, "rules")):
            key = ("rules", number)
            if every is not None:
                self._mistakes.add(
                    key,
                    f"rules[{every}] matches every image, so this rule never applies; put it before that one",
                )
            elif all(
                "*" in _texts(rule.get(name, ["*"])) for name in ("registries", "repositories", "namespaces")
            ):
                every = number
            self._globs(rule, key)
            self._files(rule, key)
        self._kinds(_tables(document, "kinds"))

    def _kinds(self, kinds: list[dict[str, Any]]) -> None:
        for number, kind in enumerate(kinds):
            key = ("kinds", number)
            group, name = kind.get("group", ""), kind.get("kind", "")
            if isinstance(group, str) and "/" in group:
                self._mistakes.add(
                    (*key, "group"), f"expected a group without version, found {group[:60]!r}; leave out /..."
                )
            if isinstance(name, str) and name and not name[0].isupper():
                self._mistakes.add(
                    (*key, "kind"),
                    f"expected a kind such as Plan, found {name[:60]!r}; write its kind, no resource",
                )

    # -- TLS and places ----------------------------------------------------------------------------------------------

    def _certificates(self, listen: dict[str, Any]) -> None:
        certificates = list(self._there(listen, "certificate"))
        keys = list(self._there(listen, "key"))
        for path in certificates:
            self._try(("listen", "certificate"), require_certificate, path)
            for key in keys:
                self._try(("listen", "key"), require_pair, path, key)
        for path in self._there(listen, "client_ca"):
            self._try(("listen", "client_ca"), require_certificate, path)

    def _inspections(self, inspections: dict[str, Any]) -> None:
        database = inspections.get("database")
        if isinstance(database, str) and is_postgresql(database):
            self._try(("inspections", "database"), require_address, database)
        cache = inspections.get("cache")
        if not isinstance(cache, str):
            return
        key = ("inspections", "cache")
        if "://" in cache:
            self._try(key, _require_store, cache)
        elif (self._directory / cache).is_file():
            self._mistakes.add(key, f"expected a directory, this is a file: {self._directory / cache}")

    # -- rules -------------------------------------------------------------------------------------------------------

    def _globs(self, rule: dict[str, Any], key: Key) -> None:
        for glob in _texts(rule.get("registries", [])):
            if not glob or "/" in glob or "@" in glob or glob != glob.strip():
                self._mistakes.add(
                    (*key, "registries"),
                    f"expected a glob of hosts such as quay.io, found {glob[:60]!r}, which matches none; "
                    "move the part after the host to repositories",
                )
        registries = _texts(rule.get("registries", []))
        hub_only = bool(registries) and all(each.lower() in _DOCKER_HUB for each in registries)
        for glob in _texts(rule.get("repositories", [])):
            place = (*key, "repositories")
            if not glob or glob != glob.lower() or glob[0] == "/" or set(":@ ").intersection(glob):
                self._mistakes.add(
                    place,
                    f"expected a glob of repositories such as org/os*, found {glob[:60]!r}, which matches none; "
                    "write it in lower case, without tag, digest and leading slash",
                )
            elif hub_only and "/" not in glob and not _GLOB.intersection(glob):
                self._mistakes.add(
                    place,
                    f"expected library/{glob[:60]}, as Docker Hub's repositories without owner are called",
                )
        for glob in _texts(rule.get("namespaces", [])):
            if glob != glob.lower() or "/" in glob or " " in glob:
                self._mistakes.add(
                    (*key, "namespaces"),
                    f"expected a glob of namespaces such as fleet-*, found {glob[:60]!r}, which matches none",
                )

    def _files(self, rule: dict[str, Any], key: Key) -> None:
        profile = rule.get("profile", "auto")
        policies = list(self._there(rule, "policies"))
        good = True
        for path in policies:
            good &= self._try((*key, "policies"), load_policy, path)
        if isinstance(profile, str):
            if profile.endswith(".toml"):
                profile = next(self._there(rule, "profile"), None)
            if profile is not None:
                good &= self._try((*key, "profile"), load_rulebook, profile)
                if good and policies:  # two valid values may contradict each other
                    self._try((*key, "policies"), load_rulebook, profile, policies)
        for name in ("verify_keys", "attestation_keys"):
            for path in self._there(rule, name):
                self._try((*key, name), load_keys, [path])

    # -- what all of these do ------------------------------------------------------------------------------------------

    def _there(self, table: dict[str, Any], name: str) -> Iterator[str]:
        """Yield the existing files that a key names; missing ones were noted before."""
        given = table.get(name)
        for text in [given] if isinstance(given, str) else _texts(given):
            try:
                path = self._directory / text
                if path.is_file():
                    yield str(path)
            except ValueError:  # a NUL
                continue

    def _try(self, key: Key, read: Callable[..., object], *arguments: object) -> bool:
        """Read something, and note its mistakes; return True if there are none."""
        try:
            read(*arguments)
        except InvalidPolicy as fault:
            for line in fault.mistakes or (fault.message,):
                self._mistakes.add(key, f"{fault.where}: {line}" if fault.where else line)
        except (CosinspectError, ValueError) as fault:
            self._mistakes.add(key, str(fault))
        except OSError as fault:
            self._mistakes.add(key, f"{fault.filename}: the file cannot be read: {fault.strerror}")
        else:
            return True
        return False


def _require_token(path: str) -> None:
    try:
        text = Path(path).read_bytes()[:TOKEN_BYTES].decode().strip()
    except UnicodeDecodeError as fault:
        raise ValueError(f"{path}: expected a token in UTF-8, found other bytes") from fault
    if not text:
        raise ValueError(f"{path}: expected a token, the file is empty")
    if not text.isprintable() or " " in text:
        raise ValueError(f"{path}: expected one token, found blanks or line breaks in it")


def _require_store(url: str) -> None:
    # Loaded by its name: the extra may be missing.
    try:
        module = import_module("cosinspect.cache.shared")
    except ImportError as fault:
        raise ValueError(
            f"expected the Python package {fault.name} for a cache by URL, it is not installed; {install_hint('cache')}"
        ) from fault
    module.open_shared(url, None)


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _tables(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name)
    return [each if isinstance(each, dict) else {} for each in found] if isinstance(found, list) else []


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
