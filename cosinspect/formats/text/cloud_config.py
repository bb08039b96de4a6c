"""Cloud-config documents: the steps that yip runs at the stages of cOS, and cloud-init's own keys, as values for checks.

`cosinspect.formats.yip` decodes a document as a version of yip does; here its steps become values: the files that
are written, the accounts that get a password, and the conditions. A document that yip refuses has no stages.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Factory, frozen

from cosinspect.errors import FormatError
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.problem import Problem
from cosinspect.formats.text.yaml import load_yaml
from cosinspect.formats.yip.conditions import NOTHING_KNOWN, World, holds
from cosinspect.formats.yip.document import Document, read_document
from cosinspect.formats.yip.go_yaml import Budget
from cosinspect.formats.yip.schema import Yip, yip
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "LAYOUT_FILE",
    "LAYOUT_VARIABLES",
    "CloudConfig",
    "FileContent",
    "Login",
    "Stage",
    "Step",
    "WrittenFile",
    "read_cloud_config",
]

LAYOUT_FILE = "/run/cos/cos-layout.env"
"""The file that the initrd's `cos-immutable-rootfs.service` reads; in G1 to G3 it fails without it."""

LAYOUT_VARIABLES = frozenset(
    {
        *("VOLUMES", "OVERLAY", "RW_PATHS", "MERGE", "DEBUG_RW"),
        *("PERSISTENT_STATE_PATHS", "PERSISTENT_STATE_BIND", "PERSISTENT_STATE_TARGET"),
    }
)
"""The variables of that file (elemental-toolkit, cos-mount-layout.sh)."""

_DEFAULT_ENVIRONMENT_FILE = "/etc/environment"
_EXTENSIONS = (".yaml", ".yml")
# A redirection to a path without expansions, or a `tee` to one.
_WRITING = re.compile(r"""(?:>>?|\btee(?:[ \t]+-a)?[ \t])[ \t]*["']?(/[\w.@/+-]+)""")
_GZIP = frozenset({"gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64"})
# Keys other than `if` that can prevent a step from running.
_GUARDS = ("node", "only_os", "only_os_version", "only_arch", "only_service_manager", "if_files")


@frozen
class FileContent:
    """A file that a step writes; the content is None if its encoding (gzip) is not decoded here."""

    path: str
    content: str | None


@frozen
class Login:
    """A user to whom a step gives a password or keys.

    Attributes:
        user: the name.
        password: whether there is a password that is not locked.
        keys: the number of SSH keys.
        stage: the stage of the step.
        condition: the step's `if`, or None.
        guarded: whether the step depends on another property of the machine.
    """

    user: str
    password: bool
    keys: int
    stage: str
    condition: str | None
    guarded: bool = False

    def holds(self, world: World = NOTHING_KNOWN) -> bool | None:
        """Return whether the step runs; None if that is unknown."""
        return _runs(self.condition, self.guarded, world)


@frozen
class Step:
    """One step of a stage, as far as checks need it.

    Attributes:
        name: of the step, or None.
        condition: its `if`, or None.
        guarded: whether it depends on another property of the machine: `node`, `only_os` and similar keys.
        commands: for the shell.
        files: the files that it writes.
        environment: variables for the environment file.
        environment_file: the file for the variables, or None for /etc/environment.
        hostname: the host name that it sets, or None.
        logins: the accounts that it gives a password or keys.
        datasources: the cloud providers that it asks for the machine's data.
    """

    name: str | None
    condition: str | None
    guarded: bool = False
    commands: tuple[str, ...] = ()
    files: tuple[FileContent, ...] = ()
    environment: Mapping[str, str] = Factory(dict)
    environment_file: str | None = None
    hostname: str | None = None
    logins: tuple[Login, ...] = ()
    datasources: tuple[str, ...] = ()

    def holds(self, world: World = NOTHING_KNOWN) -> bool | None:
        """Return whether the step runs; None if that is unknown."""
        return _runs(self.condition, self.guarded, world)


@frozen
class Stage:
    """The steps of one document for a stage; the stage's name may end in `.before` or `.after`."""

    name: str
    steps: tuple[Step, ...]


@frozen
class WrittenFile:
    """A file that a step writes.

    Attributes:
        path: where.
        variables: the file's variables if it is read as an environment file, or None if they are unknown.
        stage: the stage of the step.
        condition: the step's `if`, or None.
        means: `environment`, `files` or `commands`.
        guarded: whether the step depends on another property of the machine.
    """

    path: str
    variables: Mapping[str, str] | None
    stage: str
    condition: str | None
    means: str
    guarded: bool = False

    def holds(self, world: World = NOTHING_KNOWN) -> bool | None:
        """Return whether the step runs; None if that is unknown."""
        return _runs(self.condition, self.guarded, world)


@frozen
class CloudConfig:
    """A cloud-config document.

    Attributes:
        name: of the file.
        kind: `yip`, `cloud-init` (yip's keys count there too) or `other`: a file that yip does not read.
        title: the document's `name`.
        stages: in the order of the document; empty if yip refuses it.
        problems: of kind `type` or `syntax` (yip refuses the whole file), `lost-stages` (a document of cloud-init whose
            `stages` are skipped), `stages` (a yip document without any does nothing), `unknown-key`,
            `repeated-key`, `further-document`, or `entity` (the text of an entity is not YAML).
        bound: the bound of this reader that was reached, so that nothing is known; "" if none was.
    """

    name: str
    kind: str
    title: str | None
    stages: tuple[Stage, ...]
    problems: tuple[Problem, ...]
    bound: str = ""

    @property
    def refusal(self) -> str:
        """Why yip refuses the whole file, "" if it accepts it."""
        return next((str(problem) for problem in self.problems if problem.kind in {"type", "syntax"}), "")

    def written_files(self, stage: str = "rootfs") -> tuple[WrittenFile, ...]:
        """Return the files that a stage writes, with its `.before` and `.after`, step after step."""
        names = {stage, f"{stage}.before", f"{stage}.after"}
        return tuple(
            file
            for each in self.stages
            if each.name in names
            for step in each.steps
            for file in _written(each.name, step)
        )

    def layout(self, world: World = NOTHING_KNOWN) -> Mapping[str, str]:
        """Return the layout variables that the stage rootfs writes to `LAYOUT_FILE`.

        Later steps override earlier ones. A step that may not run only adds missing variables.
        """
        variables: dict[str, str] = {}
        for file in self.written_files("rootfs"):
            runs = file.holds(world)
            if file.path != LAYOUT_FILE or runs is False:
                continue
            for key, value in (file.variables or {}).items():
                if key in LAYOUT_VARIABLES:
                    variables[key] = value if runs else variables.get(key, value)
        return variables

    @property
    def logins(self) -> tuple[Login, ...]:
        """Every user to whom a stage gives a usable password or a key."""
        return tuple(
            login
            for stage in self.stages
            for step in stage.steps
            for login in step.logins
            if login.password or login.keys
        )

    def datasources(self, world: World = NOTHING_KNOWN) -> frozenset[str]:
        """Return the cloud providers that a step asks for the machine's data, unless the step never runs."""
        return frozenset(
            name
            for stage in self.stages
            for step in stage.steps
            if step.datasources and step.holds(world) is not False
            for name in step.datasources
        )


def read_cloud_config(
    name: str,
    text: str | bytes,
    *,
    version: str | Yip = "0.10",
    limits: Limits = DEFAULT_LIMITS,
    budget: Budget | None = None,
) -> CloudConfig:
    """Read one document of a cloud-config directory; no text raises an error.

    Args:
        name: of the file; yip decides by its extension whether to read it.
        text: its content.
        version: of yip.
        limits: for the YAML in it.
        budget: for the values in it; by default a new one.
    """
    if not name.endswith(_EXTENSIONS):
        return CloudConfig(name, "other", None, (), problems=())
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    release = version if isinstance(version, Yip) else yip(version)
    document = read_document(raw, release, limits=limits, budget=budget)
    problems = list(_problems(document))
    value = document.value or {}
    stages = tuple(
        Stage(stage, tuple(_step(stage, step, limits, problems) for step in steps or ()))
        for stage, steps in (value.get("stages") or {}).items()
    )
    return CloudConfig(
        name=name,
        kind="cloud-init" if document.cloud_init else "yip",
        title=value.get("name") or None,
        stages=stages,
        problems=tuple(problems),
        bound=document.bound,
    )


def _problems(document: Document) -> Iterator[Problem]:
    for message in document.refusals:
        yield Problem("type" if document.parsed else "syntax", message, None)
    for message in document.lost_stages:
        yield Problem("lost-stages", f"its `stages` are skipped: {message}", None)
    refused = document.value is None
    empty = document.empty or document.cloud_init or (document.value or {}).get("stages")
    if not refused and not empty:
        hint = ", and `stage` is not read" if "stage" in document.unknown else ""
        yield Problem(
            "stages", f"expected a mapping `stages`, found none{hint}: the document has no effect", None
        )
    for key in document.unknown:
        yield Problem("unknown-key", f"the key {key} is not read", None)
    for key in document.repeated:
        yield Problem("repeated-key", f"the key {key} is repeated, the last one counts", None)
    if document.rest is not None and not refused:
        yield Problem("further-document", "the documents after the first are not read", document.rest)


def _runs(condition: str | None, guarded: bool, world: World) -> bool | None:
    runs = holds(condition, world)
    return None if guarded and runs is not False else runs


def _step(stage: str, step: Mapping[str, Any], limits: Limits, problems: list[Problem]) -> Step:
    condition = step.get("if") or None
    guarded = any(step.get(guard) for guard in _GUARDS)
    return Step(
        name=step.get("name") or None,
        condition=condition,
        guarded=guarded,
        commands=tuple(step.get("commands") or ()),
        files=tuple(FileContent(file.get("path", ""), _content(file)) for file in step.get("files") or ()),
        environment=step.get("environment") or {},
        environment_file=step.get("environment_file") or None,
        hostname=step.get("hostname") or None,
        datasources=tuple((step.get("datasource") or {}).get("providers") or ()),
        logins=tuple(
            Login(user, password, keys, stage, condition, guarded)
            for user, password, keys in _logins(stage, step, limits, problems)
        ),
    )


def _content(file: Mapping[str, Any]) -> str | None:
    encoding, content = file.get("encoding", ""), file.get("content", "")
    if encoding in {"b64", "base64"}:
        try:
            return base64.b64decode(re.sub(r"[\r\n]", "", content).encode(), validate=True).decode()
        except (binascii.Error, ValueError):
            return None
    return None if encoding in _GZIP else content


def _logins(
    stage: str, step: Mapping[str, Any], limits: Limits, problems: list[Problem]
) -> Iterator[tuple[str, bool, int]]:
    for name, user in (step.get("users") or {}).items():
        password = not user.get("lock_passwd") and _usable(user.get("passwd"))
        yield name, password, len(user.get("ssh_authorized_keys") or ())
    for name, keys in (step.get("authorized_keys") or {}).items():
        yield name, False, len(keys or ())
    for entry in step.get("ensure_entities") or ():
        try:
            entity = load_yaml(entry.get("entity", ""), limits=limits)
        except FormatError as fault:
            problems.append(Problem("entity", f"stages.{stage[:80]}: ensure_entities: {fault}", None))
            continue
        if isinstance(entity, dict) and entity.get("kind") == "shadow":
            yield str(entity.get("username") or ""), _usable(entity.get("password")), 0


def _written(stage: str, step: Step) -> Iterator[WrittenFile]:
    if step.environment:  # without variables yip writes no file
        path = step.environment_file or _DEFAULT_ENVIRONMENT_FILE
        yield WrittenFile(path, step.environment, stage, step.condition, "environment", step.guarded)
    for file in step.files:
        variables = None if file.content is None else read_env_file(file.content).values
        yield WrittenFile(file.path, variables, stage, step.condition, "files", step.guarded)
    for command in step.commands:
        for match in _WRITING.finditer(command):
            yield WrittenFile(match[1], None, stage, step.condition, "commands", step.guarded)


def _usable(password: Any) -> bool:
    return bool(password) and not str(password).startswith(("!", "*"))
