"""cloud-config documents: what yip runs at the stages of cOS, and cloud-init's own keys, as checks ask for them.

`cosinspect.formats.yip` decodes a document as a version of yip does; here its steps become values that tell which files
are written, who gets a password, and on which condition. A document that yip refuses has no stages.
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
_GZIP = frozenset({"gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64"})
# What keeps a step from running beside its `if`.
_GUARDS = ("node", "only_os", "only_os_version", "only_arch", "only_service_manager", "if_files")


@frozen
class FileContent:
    """A file that a step writes; the content is None if it is encoded and that is not undone here (gzip)."""

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
        guarded: whether the step depends on anything else that only the machine shows.
    """

    user: str
    password: bool
    keys: int
    stage: str
    condition: str | None
    guarded: bool = False

    def holds(self, world: World = NOTHING_KNOWN) -> bool | None:
        """Return whether the step runs; None if that is not known."""
        return _runs(self.condition, self.guarded, world)


@frozen
class Step:
    """One step of a stage, as far as checks ask for it.

    Attributes:
        name: of the step, or None.
        condition: its `if`, or None.
        guarded: whether it depends on anything else that only the machine shows: `node`, `only_os` and their like.
        commands: for the shell.
        files: that it writes.
        environment: variables for the environment file.
        environment_file: where they go, or None for /etc/environment.
        hostname: that it sets, or None.
        logins: the accounts that it gives a password or keys.
        datasources: the providers that it asks for what a cloud has for the machine.
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
        """Return whether the step runs; None if that is not known."""
        return _runs(self.condition, self.guarded, world)


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
        variables: what it sets, read as an environment file, or None if that cannot be told.
        stage: the stage that does it.
        condition: the step's `if`, or None.
        means: `environment`, `files` or `commands`.
        guarded: whether the step depends on anything else that only the machine shows.
    """

    path: str
    variables: Mapping[str, str] | None
    stage: str
    condition: str | None
    means: str
    guarded: bool = False

    def holds(self, world: World = NOTHING_KNOWN) -> bool | None:
        """Return whether the step runs; None if that is not known."""
        return _runs(self.condition, self.guarded, world)


@frozen
class CloudConfig:
    """A cloud-config document.

    Attributes:
        name: of the file.
        kind: `yip`, `cloud-init` (yip's keys count there too) or `other`: no file that yip reads.
        title: the document's `name`.
        stages: in the order of the document; none where yip refuses it.
        problems: of kind `type` or `syntax` (yip refuses the whole file), `lost-stages` (a document of cloud-init whose
            `stages` are skipped), `stages` (a yip document without any does nothing), `unknown-key`,
            `repeated-key`, `further-document`, or `entity` (the text of an entity is not YAML).
        bound: why nothing is known of it: a bound of this reader was reached. "" else.
    """

    name: str
    kind: str
    title: str | None
    stages: tuple[Stage, ...]
    problems: tuple[Problem, ...]
    bound: str = ""

    @property
    def refusal(self) -> str:
        """Why yip refuses the whole file, "" if it takes it."""
        return next((str(problem) for problem in self.problems if problem.kind in {"type", "syntax"}), "")

    def written_files(self, stage: str = "rootfs") -> tuple[WrittenFile, ...]:
        """Return the files that a stage writes, its `.before` and `.after` included, step after step."""
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

        Later steps count over earlier ones, but a step of which it is not known whether it runs only adds what was not
        there.
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
        """Every user to whom some stage gives a usable password or a key."""
        return tuple(
            login
            for stage in self.stages
            for step in stage.steps
            for login in step.logins
            if login.password or login.keys
        )

    def datasources(self, world: World = NOTHING_KNOWN) -> frozenset[str]:
        """Return the providers that some step asks for what a cloud has for the machine, unless it never runs."""
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
    """Read one document of a cloud-config directory; nothing is raised, whatever the text is.

    Args:
        name: of the file; yip reads it by its extension only.
        text: its content.
        version: of yip.
        limits: for the YAML in it.
        budget: for the values in it; one of its own without it.
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
        yield Problem("lost-stages", f"its `stages` are passed over: {message}", None)
    refused = document.value is None
    empty = document.empty or document.cloud_init or (document.value or {}).get("stages")
    if not refused and not empty:
        hint = ", and `stage` is not read" if "stage" in document.unknown else ""
        yield Problem("stages", f"there is no mapping `stages`{hint}: the document does nothing", None)
    for key in document.unknown:
        yield Problem("unknown-key", f"the key {key} is not read", None)
    for key in document.repeated:
        yield Problem("repeated-key", f"the key {key} again, the last one counts", None)
    if document.rest is not None and not refused:
        yield Problem("further-document", "what follows the first document is not read", document.rest)


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
