"""Checks on the cloud-configs in the image: the layout that the boot needs, a way to log in, and parts that yip does not read."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.facts.cloud_configs import OWN_DIRECTORY, CloudConfigFile
from cosinspect.report.display import counted
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "cloud_config_covered",
    "cloud_config_directory_refused",
    "cloud_config_invalid",
    "cloud_config_key_unknown",
    "datasource_aws_missing",
    "datasource_gcp_missing",
    "layout_default",
    "layout_missing",
    "login_missing",
    "upgrade_hook_missing",
]

READS = ("{system/oem,oem,usr/local/cloud-config}/**/*.{yaml,yml}",)
_SHOWN = 5
# Stages that change another system than the installed one: the initrd, and the system that runs the installation.
_ELSEWHERE = frozenset(
    [
        "rootfs",
        *(
            f"{when}-{what}"
            for when in ("before", "after")
            for what in ("install", "upgrade", "reset", "disk")
        ),
    ]
)


@check(
    id="COS070",
    name="layout-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="No cloud-config writes the layout file in the stage rootfs.",
    why="""The service that mounts the immutable root reads its environment from it: without the file it fails, and the
        boot ends in dracut's emergency shell.""",
    remedy="Install the toolkit's cloud-configs, or write one in /system/oem that writes the layout file in the stage rootfs.",
    reads=READS,
    cure=remedies.from_toolkit("cloud-configs", "install the toolkit's cloud-configs"),
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
    path = f"{OWN_DIRECTORY}/00_rootfs.yaml"
    layer, evidence = context.removal(path)
    seen = [item.path for item in context.cloud_configs.files]
    listed = f"cloud-configs: {', '.join(seen)}" if seen else "the image has no cloud-config"
    yield Finding(
        f"expected a cloud-config in {OWN_DIRECTORY} that writes {wanted} in the stage rootfs, found none",
        path,
        layer,
        (*evidence, listed, *_passed_over(context), *_never(context)),
    )


def _layout_writer(context: CheckContext) -> str | None:
    """Return the cloud-config that writes the layout in an ordinary boot, None if none does.

    Raises:
        Undecided: one may do it, depending on the machine.
    """
    open_ = ""
    for item, path, runs, condition in _layout_steps(context):
        if runs:
            return item.path
        if runs is None and not open_:
            why = f"if `{_shortened(condition)}`" if condition else "on a condition of the machine"
            open_ = f"{item.path} writes {path} {why}: the condition is unknown before the machine runs"
    unread = context.cloud_configs.unread
    if open_ or unread:
        raise Undecided(open_ or unread)
    return None


def _layout_steps(context: CheckContext) -> Iterator[tuple[CloudConfigFile, str, bool | None, str]]:
    wanted = context.generation.layout_file
    for item in context.cloud_configs.counting:
        for file in item.config.written_files("rootfs"):
            if file.path == wanted:
                yield item, file.path, file.holds(context.boot_world(file.stage)), file.condition or ""


def _never(context: CheckContext) -> tuple[str, ...]:
    """Return the steps that would write the layout, but do not run in an ordinary boot."""
    return tuple(
        f"{item.path} writes {path} if `{_shortened(condition)}`, which does not hold in an ordinary boot"
        for item, path, runs, condition in _layout_steps(context)
        if runs is False
    )


def _shortened(condition: str) -> str:
    text = " ".join(condition.split())
    return text if len(text) <= 100 else text[:97] + "..."


def _passed_over(context: CheckContext) -> tuple[str, ...]:
    """Return the evidence about cloud-configs that do not count; one of them may be the one that is needed."""
    configs = context.cloud_configs
    return (*configs.passed_over(), *(_unseen(context, item) for item in configs.covered if not item.refusal))


def _unseen(context: CheckContext, item: CloudConfigFile) -> str:
    if any(item.path.startswith(f"{top}/") for top in context.generation.kept):
        return f"files of the machine in {item.directory} hide {item.path}"
    return f"an installed machine does not see {item.path}: a partition is mounted over it"


@check(
    id="COS073",
    name="layout-default",
    level=Level.WARNING,
    summary="No cloud-config defines the data that survives a reboot.",
    why="The machine boots with the toolkit's defaults: nothing is mounted for persistent data, and written data is lost.",
    remedy="Install the toolkit's cloud-configs, or write the layout file in the stage rootfs.",
    reads=READS,
    cure=remedies.from_toolkit("cloud-configs", "install the toolkit's cloud-configs"),
)
def layout_default(context: CheckContext) -> Iterator[Finding | str]:
    """Look at every cloud-config's stage rootfs, for generations that boot without a layout."""
    generation = context.generation
    wanted = generation.layout_file
    if generation.layout_required or not wanted:
        raise NotApplicable(
            f"{generation.title} has no default for it" if wanted else "there is no such file"
        )
    writer = _layout_writer(context)
    if writer is not None:
        yield f"{writer} has the layout"
        return
    layer, evidence = context.removal(f"{OWN_DIRECTORY}/00_rootfs.yaml")
    yield Finding(
        f"expected a cloud-config in {OWN_DIRECTORY} that writes {wanted} in the stage rootfs, found none",
        OWN_DIRECTORY,
        layer,
        (*evidence, *_passed_over(context), *_never(context)),
    )


@check(
    id="COS071",
    name="cloud-config-invalid",
    level=Level.WARNING,
    summary="A cloud-config cannot be decoded, or has no stages.",
    why="yip ignores the file, or a part of it, and its configuration has no effect.",
    remedy="""Correct the file: YAML with the key `stages` or a first line `#cloud-config`, and values of the types in yip's documentation.""",
    reads=READS,
    cure=remedies.by_hand(
        "correct the file: YAML with the key `stages`, or a first line `#cloud-config`, and values of the types that yip expects"
    ),
)
def cloud_config_invalid(context: CheckContext) -> Iterator[Finding | str]:
    """Decode every file as the generation's yip does."""
    configs = context.cloud_configs
    if not configs.files:
        raise NotApplicable("the image has no cloud-config")
    missed = _is_missed(context)
    for item in configs.files:
        if item.refusal and missed:
            continue  # it is evidence for a missing layout or login
        for problem in item.config.problems:
            if problem.kind != "unknown-key":
                yield Finding(str(problem), item.path, item.layer, (_read_by(context),))
    if configs.unread:
        raise Undecided(configs.unread)
    yield f"{_read_by(context)} decodes {counted(len(configs.files), 'cloud-config')}"


def _read_by(context: CheckContext) -> str:
    configs = context.cloud_configs
    return f"yip {configs.yip.name}" + (f", as {configs.told_by} names it" if configs.told_by else "")


def _is_missed(context: CheckContext) -> bool:
    """Return whether another check finds no layout or no login, and names the refused files."""
    try:
        layout = context.generation.layout_file and _layout_writer(context) is None
        return bool(layout) or (not context.generation.accounts_installed and _login(context) is None)
    except Undecided:
        return False


@check(
    id="COS077",
    name="cloud-config-directory-refused",
    level=Level.ERROR,
    summary="One cloud-config that cannot be decoded prevents its whole directory from running.",
    why="""From yip 1.0 on, a directory is decoded before anything in it runs. If one file is refused, the machine boots without the layout, the
        accounts and the network that the directory's other files configure.""",
    remedy="Correct or delete the file. Check it with the yip of the image's generation.",
    reads=READS,
    cure=remedies.deletes("correct or delete the file"),
)
def cloud_config_directory_refused(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a refused file, for versions of yip in which it stops the directory."""
    configs = context.cloud_configs
    if not configs.files:
        raise NotApplicable("the image has no cloud-config")
    if not configs.yip.whole_directory:
        raise NotApplicable(f"yip {configs.yip.name} skips single files")
    item = configs.stopping.get(OWN_DIRECTORY)
    if item is None:
        yield f"every file in {OWN_DIRECTORY} can be decoded"
        return
    others = [each.path for each in configs.files if each.directory == OWN_DIRECTORY and not each.refusal]
    listed = (
        (f"not run: {', '.join(others[:_SHOWN])}" + (" and others" if len(others) > _SHOWN else ""),)
        if others
        else ()
    )
    yield Finding(
        f"expected files that yip decodes in {OWN_DIRECTORY}, found one that it refuses; nothing of the directory runs",
        item.path,
        item.layer,
        (item.refusal, *listed, _read_by(context)),
    )


@check(
    id="COS078",
    name="cloud-config-key-unknown",
    level=Level.NOTE,
    summary="A cloud-config has a key that yip does not read.",
    why="yip ignores keys that its structures do not have, without a message in the log: the key has no effect.",
    remedy="Correct the key's spelling; keys are compared with their case. A key of a newer yip has no effect in this generation.",
    reads=READS,
)
def cloud_config_key_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Look for keys that were skipped."""
    configs = context.cloud_configs
    if not configs.files:
        raise NotApplicable("the image has no cloud-config")
    for item in configs.files:
        keys = [problem.message for problem in item.config.problems if problem.kind == "unknown-key"]
        if keys and not any(problem.kind == "stages" for problem in item.config.problems):
            yield Finding(
                f"expected keys that yip reads, found {counted(len(keys), 'other')}",
                item.path,
                item.layer,
                (*keys[:_SHOWN], _read_by(context)),
            )


@check(
    id="COS079",
    name="cloud-config-covered",
    level=Level.WARNING,
    summary="A cloud-config of the image is in a place that an installed machine does not see.",
    why="""In the stage rootfs the initrd reads the image's /system/oem only. From initramfs on the machine's own partitions are mounted at /oem and
        over /usr/local: a live system runs the image's files there, an installed machine does not.""",
    remedy="Move the file to /system/oem.",
    reads=READS,
    cure=file_remedies.moves_to("/system/oem"),
)
def cloud_config_covered(context: CheckContext) -> Iterator[Finding | str]:
    """Look for files in the directories that partitions cover."""
    configs = context.cloud_configs
    if not configs.files:
        raise NotApplicable("the image has no cloud-config")
    covered = [
        item
        for item in configs.covered
        if not any(item.path.startswith(f"{top}/") for top in context.generation.kept)
    ]
    for item in covered:
        yield Finding(
            f"expected no cloud-config in {item.directory}, which an installed machine does not see",
            item.path,
            item.layer,
            () if item.layer is None else (context.step(item.layer),),
        )
    if not covered:
        yield "no cloud-config is below a mount point"


@check(
    id="COS072",
    name="login-missing",
    level=Level.WARNING,
    summary="Nobody can log in.",
    why="The machine boots to a login prompt that refuses every login: no account has a password or a key.",
    remedy="Add an account to a cloud-config, with a password or a key.",
    reads=(*READS, "etc/shadow"),
    cure=remedies.from_toolkit(
        "cloud-configs", "install the toolkit's cloud-configs, which have an account for root,"
    ),
)
def login_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a password or key in the cloud-configs, and for a password in /etc/shadow."""
    if context.generation.accounts_installed:
        raise NotApplicable(f"installation creates the accounts of {context.generation.family.title()}")
    found = _login(context)
    if found is not None:
        yield found
        return
    if not context.cloud_configs.files:
        raise NotApplicable("the image has no cloud-config")
    yield Finding(
        f"expected a cloud-config in {OWN_DIRECTORY} or /etc/shadow to give an account a password or a key, found none",
        evidence=_passed_over(context),
        remedy=_ACCOUNTS if context.deployment.configured else None,
    )


_ACCOUNTS = "Add an account to a cloud-config in /system/oem (RUN elemental init cloud-config-defaults writes one for root), or a key."


def _login(context: CheckContext) -> str | None:
    """Return what provides a login on an installed machine, None if nothing does.

    Raises:
        Undecided: a cloud-config may do it, depending on the machine.
    """
    shadow = context.facts.text("/etc/shadow").text or ""
    for line in shadow.splitlines():
        fields = line.split(":")
        if len(fields) > 1 and fields[1].startswith("$"):
            return "/etc/shadow gives an account a password"
    open_ = ""
    for item in context.cloud_configs.counting:
        for login in item.config.logins:
            if login.stage.partition(".")[0] in _ELSEWHERE:
                continue
            runs = login.holds(context.boot_world(login.stage))
            if runs:
                return f"{item.path} gives an account a password or a key"
            if runs is None and not open_:
                why = (
                    f"if `{_shortened(login.condition)}`"
                    if login.condition
                    else "on a condition of the machine"
                )
                open_ = f"{item.path} gives an account a password or a key {why}: the condition is unknown before the machine runs"
    unread = context.cloud_configs.unread
    if open_ or unread:
        raise Undecided(open_ or unread)
    return None


def _asks(context: CheckContext, provider: str) -> Iterator[Finding | str]:
    if (table := context.derivative) is not None and table.datasources_built_in:
        raise NotApplicable(f"the agent of {table.family.title()} asks the cloud itself")
    configs = context.cloud_configs
    if not configs.files:
        raise NotApplicable("the image has no cloud-config")
    named: set[str] = set()
    for item in configs.counting:
        asked = item.config.datasources()
        if provider in asked:
            yield f"{item.path} asks {provider}"
            return
        named |= asked
    if configs.unread:
        raise Undecided(configs.unread)
    others = f"they ask {', '.join(sorted(named))}" if named else "none asks a provider"
    yield Finding(
        f"expected a cloud-config with the datasource provider {provider}, found none",
        OWN_DIRECTORY,
        evidence=(others, *_passed_over(context)),
    )


@check(
    id="COS074",
    name="datasource-aws-missing",
    level=Level.NOTE,
    capabilities=(Capability.AWS,),
    summary="No cloud-config fetches the machine's user data and keys from AWS.",
    why="A machine on AWS boots without the keys and the user data of its instance.",
    remedy="Add a step with the datasource provider aws to a cloud-config.",
    reads=READS,
    cure=file_remedies.writes(
        "add a step that asks AWS",
        "/system/oem/15_datasource_aws.yaml",
        "stages:",
        "  network:",
        "    - datasource:",
        '        providers: ["aws"]',
    ),
)
def datasource_aws_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the provider in every cloud-config."""
    yield from _asks(context, "aws")


@check(
    id="COS075",
    name="datasource-gcp-missing",
    level=Level.NOTE,
    capabilities=(Capability.GCP,),
    summary="No cloud-config fetches the machine's user data and keys from Google's cloud.",
    why="A machine on GCP boots without the keys and the user data of its instance.",
    remedy="Add a step with the datasource provider gcp to a cloud-config.",
    reads=READS,
    cure=file_remedies.writes(
        "add a step that asks Google's cloud",
        "/system/oem/15_datasource_gcp.yaml",
        "stages:",
        "  network:",
        "    - datasource:",
        '        providers: ["gcp"]',
    ),
)
def datasource_gcp_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the provider in every cloud-config."""
    yield from _asks(context, "gcp")


@check(
    id="COS076",
    name="upgrade-hook-missing",
    level=Level.WARNING,
    summary="No cloud-config sets the labels for an older menu that this image's bootargs.cfg needs.",
    why="""An upgrade does not replace the menu on a disk. A menu of toolkit v0.9 or before does not set state_label: the upgraded machine boots with an
        empty `root=LABEL=`, and stays in the initrd.""",
    remedy="""Install the cloud-config that writes the labels to /grub_oem_env after an upgrade, if machines with an older menu are upgraded to this
        image.""",
    reads=READS,
    applies=lambda table: table.deployment.upgrade_hook != "",
    cure=remedies.from_toolkit("hook", "install the cloud-config of the toolkit"),
)
def upgrade_hook_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for a step after an upgrade that writes GRUB's environment."""
    configs = context.cloud_configs
    if not configs.files:
        raise NotApplicable("the image has no cloud-config")
    for item in configs.counting:
        steps = [step for stage in item.config.stages if "upgrade" in stage.name for step in stage.steps]
        if any("grub" in command for step in steps if step.holds() is not False for command in step.commands):
            yield f"{item.path} has a step for GRUB after an upgrade"
            return
    if configs.unread:
        raise Undecided(configs.unread)
    path = context.deployment.upgrade_hook
    yield Finding(
        "expected a cloud-config with a step for GRUB in a stage of the upgrade, found none",
        path,
        *context.removal(path),
    )
