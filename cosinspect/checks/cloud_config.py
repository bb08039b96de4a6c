"""Checks on the cloud-configs in the image: the layout the boot needs, and a way to log in."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.facts.facts import CLOUD_CONFIG_DIRECTORIES
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "cloud_config_invalid",
    "datasource_aws_missing",
    "datasource_gcp_missing",
    "layout_default",
    "layout_missing",
    "login_missing",
    "upgrade_hook_missing",
]

READS = ("{system/oem,oem,usr/local/cloud-config}/**/*.{yaml,yml}",)


@check(
    id="COS070",
    name="layout-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="No cloud-config writes the layout file in the stage rootfs.",
    why="""The service that mounts the immutable root reads its environment from it: without the file it fails, and the
        boot ends in dracut's emergency shell.""",
    remedy="Install system/cloud-config, or write one with stages.rootfs and environment_file: /run/cos/cos-layout.env.",
    reads=READS,
)
def layout_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at every cloud-config's stage rootfs."""
    wanted = context.generation.layout_file
    if not context.generation.layout_required:
        raise NotApplicable(f"{context.generation.title} boots without one")
    writer = _layout_writer(context)
    if writer is not None:
        yield f"{writer} writes {wanted}"
        return
    path = f"{CLOUD_CONFIG_DIRECTORIES[0]}/00_rootfs.yaml"
    layer, evidence = context.removal(path)
    seen = [item.path for item in context.facts.cloud_configs]
    listed = f"cloud-configs: {', '.join(seen)}" if seen else "the image has no cloud-config"
    yield Finding(
        f"expected a cloud-config that writes {wanted} in the stage rootfs, found none",
        path,
        layer,
        (*evidence, listed, *_refused(context)),
    )


def _layout_writer(context: CheckContext) -> str | None:
    wanted = context.generation.layout_file
    for item in context.facts.cloud_configs:
        if item.config is None or item.refusal:
            continue
        written = {*item.config.environment_files("rootfs")}
        written.update(file.path for file in item.config.written_files("rootfs"))
        if wanted in written if wanted.startswith("/") else any(path.endswith(wanted) for path in written):
            return item.path
    return None


def _refused(context: CheckContext) -> tuple[str, ...]:
    """Tell of the cloud-configs that are passed over, any of which may be the one that is looked for."""
    return tuple(
        f"{item.path} is passed over: {item.refusal}" for item in context.facts.cloud_configs if item.refusal
    )


@check(
    id="COS073",
    name="layout-default",
    level=Level.WARNING,
    summary="No cloud-config says what is kept over a reboot.",
    why="The machine boots with the toolkit's defaults: nothing is mounted for persistent data, and what is written is lost.",
    remedy="Install the toolkit's cloud-configs (elemental init), or write the layout file in the stage rootfs.",
    reads=(*READS, "etc/elemental/config.d/*.yaml"),
)
def layout_default(context: CheckContext) -> Iterator[Finding | str]:
    """Look at every cloud-config's stage rootfs, where the boot does not depend on it."""
    generation = context.generation
    wanted = generation.layout_file
    if generation.layout_required or not wanted:
        raise NotApplicable(
            f"{generation.title} has no default for it" if wanted else "there is no such file"
        )
    writer = _layout_writer(context)
    if writer is None and not wanted.startswith("/") and context.rootfs.exists(f"/etc/elemental/{wanted}"):
        writer = f"/etc/elemental/{wanted}"
    if writer is not None:
        yield f"{writer} has the layout"
        return
    layer, evidence = context.removal(f"{CLOUD_CONFIG_DIRECTORIES[0]}/00_rootfs.yaml")
    yield Finding(
        f"expected a cloud-config that writes {wanted} in the stage rootfs, found none",
        CLOUD_CONFIG_DIRECTORIES[0],
        layer,
        (*evidence, *_refused(context)),
    )


@check(
    id="COS071",
    name="cloud-config-invalid",
    level=Level.WARNING,
    summary="A cloud-config cannot be parsed, or has no stages.",
    why="elemental skips it, and what it configures does not happen.",
    remedy="Mend the YAML: a mapping with the key `stages`, or a first line `#cloud-config`.",
    reads=READS,
)
def cloud_config_invalid(context: CheckContext) -> Iterator[Finding | str]:
    """Parse every file."""
    context.require_toolkit()
    if not context.facts.cloud_configs:
        raise NotApplicable("the image has no cloud-config")
    layout = context.generation.layout_file
    missed = (layout and _layout_writer(context) is None) or _login(context) is None
    for item in context.facts.cloud_configs:
        if item.refusal and missed:
            continue  # it is evidence for what is missed
        entry = context.rootfs.trace(item.path).entry
        layer = entry.layer if entry is not None else None
        if item.fault is not None:
            yield Finding(str(item.fault), item.path, layer)
        for problem in item.config.problems if item.config is not None else ():
            yield Finding(str(problem), item.path, layer)


@check(
    id="COS072",
    name="login-missing",
    level=Level.WARNING,
    summary="Nobody can log in.",
    why="The machine boots to a login prompt that refuses everyone: no account has a password or a key.",
    remedy="Add an account to a cloud-config (system/cloud-config has root with a password), or a key.",
    reads=(*READS, "etc/shadow"),
)
def login_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a password or key in the cloud-configs, and for a password in /etc/shadow."""
    context.require_toolkit()
    if context.facts.generation.startswith("kairos"):
        raise NotApplicable("Kairos is given its accounts when it is installed")
    found = _login(context)
    if found is not None:
        yield found
        return
    if not context.facts.cloud_configs:
        raise NotApplicable("the image has no cloud-config")
    yield Finding(
        "expected a cloud-config or /etc/shadow to give an account a password or a key, none does",
        evidence=_refused(context),
    )


def _login(context: CheckContext) -> str | None:
    for item in context.facts.cloud_configs:
        if item.config is not None and not item.refusal and item.config.gives_login:
            return f"{item.path} gives an account a password or a key"
    shadow = context.facts.text("/etc/shadow").text or ""
    for line in shadow.splitlines():
        fields = line.split(":")
        if len(fields) > 1 and fields[1].startswith("$"):
            return "/etc/shadow gives an account a password"
    return None


def _asks(context: CheckContext, provider: str) -> Iterator[Finding | str]:
    if context.facts.generation.startswith("kairos"):
        raise NotApplicable("the agent of Kairos asks by itself")
    _ = context.generation
    if not context.facts.cloud_configs:
        raise NotApplicable("the image has no cloud-config")
    named: set[str] = set()
    for item in context.facts.cloud_configs:
        if item.config is None or item.refusal:
            continue
        if provider in item.config.datasources:
            yield f"{item.path} asks {provider}"
            return
        named |= item.config.datasources
    others = f"they ask {', '.join(sorted(named))}" if named else "none asks any"
    yield Finding(
        f"expected a cloud-config with the datasource provider {provider}, found none",
        CLOUD_CONFIG_DIRECTORIES[0],
        evidence=(others, *_refused(context)),
    )


@check(
    id="COS074",
    name="datasource-aws-missing",
    level=Level.NOTE,
    capabilities=(Capability.AWS,),
    summary="No cloud-config asks AWS for the machine's user data and keys.",
    why="A machine on AWS boots, and gets neither the keys nor the user data that it was started with.",
    remedy="Add a step with datasource: {providers: [aws]} to a cloud-config's stage, as 00_rootfs.yaml of the toolkit has it.",
    reads=READS,
)
def datasource_aws_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the provider in every cloud-config."""
    yield from _asks(context, "aws")


@check(
    id="COS075",
    name="datasource-gcp-missing",
    level=Level.NOTE,
    capabilities=(Capability.GCP,),
    summary="No cloud-config asks Google's cloud for the machine's user data and keys.",
    why="A machine on GCP boots, and gets neither the keys nor the user data that it was started with.",
    remedy="Add a step with datasource: {providers: [gcp]} to a cloud-config's stage, as 00_rootfs.yaml of the toolkit has it.",
    reads=READS,
)
def datasource_gcp_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the provider in every cloud-config."""
    yield from _asks(context, "gcp")


@check(
    id="COS076",
    name="upgrade-hook-missing",
    level=Level.WARNING,
    summary="No cloud-config tells an older menu the labels that this image's bootargs.cfg needs.",
    why="""The menu on a disk is not renewed by an upgrade. One of toolkit v0.9 or before sets no state_label: the upgraded machine boots with an
        empty `root=LABEL=`, and stays in the initrd.""",
    remedy="Install cloud-config/upgrade_grub_hooks, which writes the labels to /grub_oem_env after an upgrade, if such machines are upgraded to it.",
    reads=READS,
    generations=("G3",),
)
def upgrade_hook_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a step behind an upgrade that has to do with GRUB's environment."""
    if not context.facts.cloud_configs:
        raise NotApplicable("the image has no cloud-config")
    for item in context.facts.cloud_configs:
        if item.config is None or item.refusal:
            continue
        steps = [step for stage in item.config.stages if "upgrade" in stage.name for step in stage.steps]
        if any("grub" in command for step in steps for command in step.commands):
            yield f"{item.path} has a step for GRUB behind an upgrade"
            return
    yield Finding(
        "expected a cloud-config with a step for GRUB in a stage of the upgrade, found none",
        f"{CLOUD_CONFIG_DIRECTORIES[0]}/01_upgrade_grub_hook.yaml",
        *context.removal(f"{CLOUD_CONFIG_DIRECTORIES[0]}/01_upgrade_grub_hook.yaml"),
    )
