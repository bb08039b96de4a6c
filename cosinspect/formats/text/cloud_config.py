"""cloud-config documents: what yip runs at the stages of cOS, and cloud-init's own.

yip 0.10 (pkg/schema, pkg/plugins) reads `*.yaml` and `*.yml` with a mapping `stages`; a first line `#cloud-config` makes
it read cloud-init's keys too, as a step of the stage `boot` (`hostname`: of `initramfs`). A document whose values have
the wrong type is not read by yip at all; here the wrong value is left out and is a problem of kind `type`.

Conditions (`if:`) are kept as text: whether they hold is not known before the machine runs. What YAML takes for a
boolean or a number comes out as its value, so that `no` reads `false`, where yip keeps the spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Factory, define, frozen

from cosinspect.errors import FormatError
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem
from cosinspect.formats.text.yaml import load_yaml, parse_yaml
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "LAYOUT_FILE",
    "LAYOUT_VARIABLES",
    "CloudConfig",
    "File",
    "Login",
    "Stage",
    "Step",
    "WrittenFile",
    "read_cloud_config",
]

LAYOUT_FILE = "/run/cos/cos-layout.env"
"""What the initrd's `cos-immutable-rootfs.service` reads, and fails without in G1 to G3."""

LAYOUT_VARIABLES = frozenset(
    {
        *("VOLUMES", "OVERLAY", "RW_PATHS", "MERGE", "DEBUG_RW"),
        *("PERSISTENT_STATE_PATHS", "PERSISTENT_STATE_BIND", "PERSISTENT_STATE_TARGET"),
    }
)
"""What that file may set (elemental-toolkit, cos-mount-layout.sh)."""

_DEFAULT_ENVIRONMENT_FILE = "/etc/environment"
_EXTENSIONS = (".yaml", ".yml")
# A redirection to a path without expansions, or a `tee` to one.
_WRITING = re.compile(r"""(?:>>?|\btee(?:[ \t]+-a)?[ \t])[ \t]*["']?(/[\w.@/+-]+)""")
# `#node-config` is what rancher-sandbox/cloud-init took beside the usual one when yip 0.10 used it.
_CLOUD_INIT_HEADERS = frozenset({"#cloud-config", "#node-config"})


@frozen
class File:
    """A file that a step writes; the content is None where it is encoded."""

    path: str
    content: str | None


@frozen
class Login:
    """A user whom a step gives a password or keys.

    Attributes:
        user: the name.
        password: whether there is a password, and it is not locked.
        keys: how many SSH keys.
        stage: the stage that does it.
        condition: the step's `if`, or None.
    """

    user: str
    password: bool
    keys: int
    stage: str
    condition: str | None


@frozen
class Step:
    """One step of a stage, as far as checks ask for it."""

    name: str | None
    condition: str | None
    commands: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    environment: Mapping[str, str] = Factory(dict)
    environment_file: str | None = None
    hostname: str | None = None
    logins: tuple[Login, ...] = ()
    datasources: tuple[str, ...] = ()


@frozen
class Stage:
    """The steps that one document has for a stage; the name may end in `.before` or `.after`."""

    name: str
    steps: tuple[Step, ...]


@frozen
class WrittenFile:
    """A file that a step writes.

    Attributes:
        path: where.
        variables: what it sets, read as an environment file, or None where that cannot be told.
        stage: the stage that does it.
        condition: the step's `if`, or None.
        means: `environment`, `files` or `commands`.
    """

    path: str
    variables: Mapping[str, str] | None
    stage: str
    condition: str | None
    means: str


@frozen
class CloudConfig:
    """A cloud-config document.

    Attributes:
        name: of the file.
        kind: `yip`, `cloud-init` (yip's keys count there too) or `other`: nothing that yip would read.
        title: the document's `name`.
        stages: in the order of the document.
        has_stages: whether there is a mapping `stages` at all.
        problems: of kind `type` (yip refuses the whole file), `stages` (a yip document without any does nothing),
            `entity` (the text of an entity is not YAML), or one of `cosinspect.formats.text.yaml`.
    """

    name: str
    kind: str
    title: str | None
    stages: tuple[Stage, ...]
    has_stages: bool
    problems: tuple[Problem, ...]

    def written_files(self, stage: str = "rootfs") -> tuple[WrittenFile, ...]:
        """Give the files that a stage writes, its `.before` and `.after` included, step after step."""
        names = {stage, f"{stage}.before", f"{stage}.after"}
        return tuple(
            file
            for each in self.stages
            if each.name in names
            for step in each.steps
            for file in _written(each.name, step)
        )

    def environment_files(self, stage: str = "rootfs") -> frozenset[str]:
        """Give the paths of the files that a stage writes, environment files among them."""
        return frozenset(file.path for file in self.written_files(stage))

    @property
    def layout(self) -> Mapping[str, str]:
        """The layout variables that the stage rootfs writes to `LAYOUT_FILE`.

        Later steps count over earlier ones, but a step with a condition only adds what was not there: with the files
        that the toolkit ships this is the layout of an ordinary boot, not that of the recovery system.
        """
        variables: dict[str, str] = {}
        for file in self.written_files("rootfs"):
            for key, value in (file.variables or {}).items():
                if file.path == LAYOUT_FILE and key in LAYOUT_VARIABLES:
                    variables[key] = variables.get(key, value) if file.condition else value
        return variables

    @property
    def logins(self) -> tuple[Login, ...]:
        """Every user to whom some stage gives a usable password or a key."""
        return tuple(
            login
            for stage in self.stages
            for step in stage.steps
            for login in step.logins
            if login.password or login.keys
        )

    @property
    def datasources(self) -> frozenset[str]:
        """The providers that some step asks for what a cloud has for the machine (yip's plugin `datasource`)."""
        return frozenset(name for stage in self.stages for step in stage.steps for name in step.datasources)

    @property
    def gives_login(self) -> bool:
        """Whether somebody can log in by what this document sets up."""
        return bool(self.logins)


def read_cloud_config(name: str, text: str, *, limits: Limits = DEFAULT_LIMITS) -> CloudConfig:
    """Read one document of a cloud-config directory.

    Args:
        name: of the file; yip reads it by its extension only.
        text: its content.
        limits: for the YAML in it.

    Raises:
        FormatError: the text is not YAML that is read here; see `cosinspect.formats.text.yaml.parse_yaml`.
    """
    if not name.endswith(_EXTENSIONS):
        return CloudConfig(name, "other", None, (), has_stages=False, problems=())
    document = parse_yaml(text, limits=limits)
    reader = _Reader(limits, list(document.problems))
    cloud_init = text.partition("\n")[0].rstrip() in _CLOUD_INIT_HEADERS
    top = document.value
    if not isinstance(top, dict):
        reader.problem("type", "the document", "a mapping", top)
        return CloudConfig(name, "other", None, (), has_stages=False, problems=tuple(reader.problems))
    steps: dict[str, list[Step]] = {}
    if cloud_init:
        reader.cloud_init(top, steps)
    elif not isinstance(top.get("stages"), dict):
        hint = ", and `stage` is not read" if "stage" in top else ""
        reader.note("stages", f"there is no mapping `stages`{hint}: the document does nothing")
    for stage, entries in reader.mapping(top, "stages", "").items():
        for index, entry in enumerate(reader.items({stage: entries}, stage, "stages")):
            steps.setdefault(stage, []).append(reader.step(stage, entry, f"stages.{stage}[{index}]"))
    return CloudConfig(
        name=name,
        kind="cloud-init" if cloud_init else "yip",
        title=reader.text(top, "name", ""),
        stages=tuple(Stage(stage, tuple(entries)) for stage, entries in steps.items()),
        has_stages=isinstance(top.get("stages"), dict),
        problems=tuple(reader.problems),
    )


def _written(stage: str, step: Step) -> Iterator[WrittenFile]:
    if step.environment:  # without variables yip writes no file
        path = step.environment_file or _DEFAULT_ENVIRONMENT_FILE
        yield WrittenFile(path, step.environment, stage, step.condition, "environment")
    for file in step.files:
        variables = None if file.content is None else read_env_file(file.content).values
        yield WrittenFile(file.path, variables, stage, step.condition, "files")
    for command in step.commands:
        for match in _WRITING.finditer(command):
            yield WrittenFile(match[1], None, stage, step.condition, "commands")


def _usable(password: str | None) -> bool:
    return bool(password) and not str(password).startswith(("!", "*"))


@define
class _Reader:
    """Takes values of the types that yip's schema wants, and notes the others."""

    limits: Limits
    problems: list[Problem]

    def note(self, kind: str, message: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(kind, message, None))

    def problem(self, kind: str, where: str, expected: str, found: Any) -> None:
        self.note(kind, f"{where[:200].lstrip('.')}: expected {expected}, found {type(found).__name__}")

    def text(self, mapping: Mapping[str, Any], key: str, where: str) -> str | None:
        value = mapping.get(key)
        if isinstance(value, bool):
            return str(value).lower()
        if value is None or isinstance(value, (str, int, float)):
            return None if value is None else str(value)
        self.problem("type", f"{where}.{key}", "text", value)
        return None

    def items(self, mapping: Mapping[str, Any], key: str, where: str) -> list[Any]:
        value = mapping.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self.problem("type", f"{where}.{key}", "a list", value)
        return []

    def texts(self, mapping: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        found = (self.text({key: item}, key, where) for item in self.items(mapping, key, where))
        return tuple(text for text in found if text is not None)

    def mapping(self, mapping: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        value = mapping.get(key)
        if value is None or isinstance(value, dict):
            return value or {}
        self.problem("type", f"{where}.{key}", "a mapping", value)
        return {}

    def mappings(self, mapping: Mapping[str, Any], key: str, where: str) -> Iterator[dict[str, Any]]:
        for item in self.items(mapping, key, where):
            yield self.mapping({key: item}, key, where)

    def step(self, stage: str, entry: Any, where: str) -> Step:
        step = self.mapping({"": entry}, "", where)
        condition = self.text(step, "if", where)
        environment = self.mapping(step, "environment", where)
        return Step(
            name=self.text(step, "name", where),
            condition=condition,
            commands=self.texts(step, "commands", where),
            files=self._files(step, "files", where),
            environment={key: self.text(environment, key, where) or "" for key in environment},
            environment_file=self.text(step, "environment_file", where),
            hostname=self.text(step, "hostname", where),
            datasources=self.texts(
                self.mapping(step, "datasource", where), "providers", f"{where}.datasource"
            ),
            logins=tuple(
                Login(user, password, keys, stage, condition)
                for user, password, keys in self._logins(step, where)
            ),
        )

    def cloud_init(self, top: dict[str, Any], steps: dict[str, list[Step]]) -> None:
        """Make cloud-init's keys the steps that yip makes of them."""
        shared = len(self.texts(top, "ssh_authorized_keys", ""))
        found = []
        for user in self.items(top, "users", ""):
            if isinstance(user, dict):
                keys = len(self.texts(user, "ssh_authorized_keys", "users")) + shared
                found.append((self.text(user, "name", "users") or "", self._password(user, "users"), keys))
        if not found and shared:
            found = [("root", False, shared)]
        step = Step(
            name="cloud-init",
            condition=None,
            commands=self.texts(top, "runcmd", ""),
            files=self._files(top, "write_files", ""),
            logins=tuple(Login(user, password, keys, "boot", None) for user, password, keys in found),
        )
        steps["boot"] = [step]
        if hostname := self.text(top, "hostname", ""):
            steps["initramfs"] = [Step("cloud-init", None, hostname=hostname)]

    def _files(self, step: Mapping[str, Any], key: str, where: str) -> tuple[File, ...]:
        return tuple(
            File(
                self.text(file, "path", where) or "",
                None if self.text(file, "encoding", where) else self.text(file, "content", where) or "",
            )
            for file in self.mappings(step, key, where)
        )

    def _password(self, user: Mapping[str, Any], where: str) -> bool:
        return user.get("lock_passwd") is not True and _usable(self.text(user, "passwd", where))

    def _logins(self, step: Mapping[str, Any], where: str) -> Iterator[tuple[str, bool, int]]:
        users = self.mapping(step, "users", where)
        for name in users:
            user = self.mapping(users, name, where)
            yield name, self._password(user, where), len(self.texts(user, "ssh_authorized_keys", where))
        keys = self.mapping(step, "authorized_keys", where)
        for name in keys:
            yield name, False, len(self.texts(keys, name, where))
        for entry in self.mappings(step, "ensure_entities", where):
            try:
                entity = load_yaml(self.text(entry, "entity", where) or "", limits=self.limits)
            except FormatError as fault:
                self.note("entity", f"{where[:200]}.ensure_entities: {fault}")
                continue
            if isinstance(entity, dict) and entity.get("kind") == "shadow":
                password = self.text(entity, "password", where)
                yield self.text(entity, "username", where) or "", _usable(password), 0
