"""luet's configuration, and the path of the database of installed packages that follows from it.

Follows luet 0.16 to 0.36 (`cmd/util/config.go`, `pkg/api/core/types/config.go` and `repository.go`): luet.yaml is read
by viper: the case of keys does not matter, a value of another type is converted if possible, and environment variables
with the prefix `LUET_` override the file. luet ignores a luet.yaml that is not YAML.

Refused: what is not YAML (see `yaml`), and a document that is not a mapping.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from cosinspect.errors import FormatError
from cosinspect.formats.text.yaml import parse_yaml
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "CONFIG_PATH",
    "DATABASE_PATHS",
    "LuetConfig",
    "LuetRepository",
    "database_paths",
    "parse_config",
    "parse_repository",
]

CONFIG_PATH = "/etc/luet/luet.yaml"
"""The path of luet.yaml, unless there is a `.luet.yaml` in the working or home directory."""

DATABASE_PATHS = ("/var/cache/luet/luet.db", "/var/luet/db/luet.db", "/var/db/luet/luet.db")
"""The directories of luet's default, of the bootstrap scripts of cOS and luet, and of luet's documentation."""

_DATABASE_ENGINE = "boltdb"  # with any other, luet keeps its database in memory
_DATABASE_FILE = "luet.db"
_TRUE = frozenset(["1", "t", "T", "true", "TRUE", "True"])  # Go's strconv.ParseBool
_FALSE = frozenset(["0", "f", "F", "false", "FALSE", "False", ""])
_PROBLEMS = 100


@frozen(kw_only=True)
class LuetRepository:
    """A repository of packages.

    Attributes:
        name: how packages refer to it.
        type: `disk`, `http` or `docker`.
        urls: directories, web addresses or image names, in order of preference.
        enable: whether it is in use; see `enabled_for`.
        priority: the smallest number wins.
        verify: whether its images must be signed.
        cached: whether luet keeps its tree next to the database.
        description: one line.
        arch: the architecture, as Go names it, on which it is in use even if `enable` is false.
        reference: the file or tag of its index, if that is not `repository.yaml`.
    """

    name: str = ""
    type: str = ""
    urls: tuple[str, ...] = ()
    enable: bool = False
    priority: int = 0
    verify: bool = False
    cached: bool = False
    description: str = ""
    arch: str = ""
    reference: str = ""

    def enabled_for(self, architecture: str) -> bool:
        """Return whether luet uses it on `architecture`, such as `amd64`."""
        return self.enable or (self.arch != "" and self.arch == architecture)


@frozen(kw_only=True)
class LuetConfig:
    """The settings of luet.yaml, with luet's defaults for missing ones.

    Attributes:
        database_engine: only `boltdb` makes a file.
        database_path: the directory of the database, below `rootfs` even if it is absolute.
        rootfs: where packages are installed.
        repositories: in the order of the file.
        repository_directories: directories of further files with one repository each.
        problems: values that luet cannot read (it then does not start), and repeated keys.
    """

    database_engine: str = _DATABASE_ENGINE
    database_path: str = "/var/cache/luet"
    rootfs: str = "/"
    repositories: tuple[LuetRepository, ...] = ()
    repository_directories: tuple[str, ...] = ("/etc/luet/repos.conf.d",)
    problems: tuple[str, ...] = ()


def parse_config(text: str | bytes, *, limits: Limits = DEFAULT_LIMITS) -> LuetConfig:
    """Read a luet.yaml; an empty one has luet's defaults.

    Raises:
        FormatError: of the kinds that `parse_yaml` names, or `structure` (not a mapping).
    """
    document = parse_yaml(text, limits=limits)
    section = _section(document.value, "luet.yaml")
    section.problems.extend(f"line {problem.line}: {problem.message}" for problem in document.problems)
    system = section.section("system")
    default = LuetConfig()
    return LuetConfig(
        database_engine=system.text("database_engine", default.database_engine),
        database_path=system.text("database_path", default.database_path),
        rootfs=system.text("rootfs", default.rootfs),
        repositories=tuple(_repository(repository, 0) for repository in section.sections("repositories")),
        repository_directories=section.texts("repos_confdir", default.repository_directories),
        problems=tuple(section.problems),
    )


def parse_repository(text: str | bytes, *, limits: Limits = DEFAULT_LIMITS) -> LuetRepository:
    """Read a file of `repository_directories`, which holds one repository.

    Raises:
        FormatError: of the kinds that `parse_yaml` names, or `structure`: not a mapping, or without the name, type and urls
            that luet requires.
    """
    repository = _repository(_section(parse_yaml(text, limits=limits).value, "a repository file"), 9999)
    if not (repository.name and repository.type and repository.urls):
        raise FormatError(
            "expected a repository file with a name, a type and urls; luet ignores this one",
            kind="structure",
            remedy="add what is missing, or remove the file",
        )
    return repository


def database_paths(config: LuetConfig, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the possible paths of the database, likeliest first: as configured, then the known defaults.

    Args:
        config: of the image.
        environment: the variables of the image's configuration; luet read those that `ENV` set.

    Returns:
        Absolute paths in the image, each once, without `.` and `..`. The database may be elsewhere or missing: luet
        has options for its path, and many images remove it.
    """
    # viper ignores an empty variable.
    engine = environment.get("LUET_SYSTEM__DATABASE_ENGINE") or config.database_engine
    directory = environment.get("LUET_SYSTEM__DATABASE_PATH") or config.database_path
    rootfs = environment.get("LUET_SYSTEM__ROOTFS") or config.rootfs
    configured = posixpath.normpath("/" + f"{rootfs}/{directory}/{_DATABASE_FILE}".lstrip("/"))
    places = (configured, *DATABASE_PATHS) if engine == _DATABASE_ENGINE else DATABASE_PATHS
    return tuple(dict.fromkeys(places))


def _repository(section: _Section, priority: int) -> LuetRepository:
    return LuetRepository(
        name=section.text("name"),
        type=section.text("type"),
        urls=section.texts("urls"),
        enable=section.flag("enable"),
        priority=section.number("priority", priority),
        verify=section.flag("verify"),
        cached=section.flag("cached"),
        description=section.text("description"),
        arch=section.text("arch"),
        reference=section.text("reference"),
    )


def _section(value: Any, what: str) -> _Section:
    if not isinstance(value, dict) and value is not None:
        raise FormatError(
            f"expected {what} to be a mapping, found a {type(value).__name__}", kind="structure"
        )
    return _Section(_folded(value or {}), "", [])


def _folded(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in mapping.items() if value is not None}


@define
class _Section:
    """A mapping whose values are converted to luet's types as viper does."""

    values: dict[str, Any]
    path: str
    problems: list[str] = field(repr=False)

    def section(self, name: str) -> _Section:
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            self._wrong(name, "a mapping")
            value = {}
        return _Section(_folded(value), f"{self.path}{name}.", self.problems)

    def sections(self, name: str) -> list[_Section]:
        value = self.values.get(name, [])
        # viper takes a single value as a list of one.
        items = [value] if isinstance(value, dict) else value
        if not isinstance(items, list):
            self._wrong(name, "a list of mappings")
            return []
        found = []
        for index, item in enumerate(items):
            if isinstance(item, dict):
                found.append(_Section(_folded(item), f"{self.path}{name}[{index}].", self.problems))
            else:
                self._wrong(f"{name}[{index}]", "a mapping")
        return found

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name, default)
        if isinstance(value, (dict, list)):
            self._wrong(name, "a text")
            return default
        return _text(value)

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)
        ):
            self._wrong(name, "a list of texts")
            return default
        if isinstance(value, list):
            return tuple(_text(item) for item in value if item is not None)
        return tuple(_text(value).split(",")) if value != "" else ()

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if isinstance(value, (bool, int, float)):
            return bool(value)
        if isinstance(value, str) and value in _TRUE | _FALSE:
            return value in _TRUE
        self._wrong(name, "true or false")
        return False

    def number(self, name: str, default: int = 0) -> int:
        value = self.values.get(name, default)
        try:
            if isinstance(value, (bool, int, float)):
                return int(value)
            if isinstance(value, str):
                return int(value or "0", 0)
        except (ValueError, OverflowError):
            pass
        self._wrong(name, "a number")
        return default

    def _wrong(self, name: str, wanted: str) -> None:
        if len(self.problems) < _PROBLEMS:
            self.problems.append(f"{self.path}{name} is not {wanted}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)
