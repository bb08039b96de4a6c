"""Checks on the cloud-config stages that run in the new root while it is installed, upgraded or reset."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import remedies, subjects
from cosinspect.checks.base import CheckContext, check
from cosinspect.formats.shell.script import read_shell_script
from cosinspect.report.report import Finding, Level

__all__ = ["chroot_hook_invalid"]

_STAGES = tuple(
    f"after-{operation}-chroot{suffix}"
    for operation in ("install", "upgrade", "reset", "disk")
    for suffix in ("", ".before", ".after")
)


@check(
    id="COS213",
    name="chroot-hook-invalid",
    level=Level.WARNING,
    summary="A step that runs in the new root calls a command that is not in the image.",
    why="""elemental runs the stages after-install-chroot, after-upgrade-chroot and after-reset-chroot in the new root. A failure is
    logged, and the operation continues without the effect of the step; with `strict` it ends there.""",
    remedy="Install the command in the image, or give the step a condition (`if:`).",
    reads=("{system/oem,oem,usr/local/cloud-config}/**/*.{yaml,yml}",),
    applies=subjects.deployed_by_elemental,
)
def chroot_hook_invalid(context: CheckContext) -> Iterator[Finding | str]:
    """Read the commands of the stages, and look for every program that they call; steps with a condition are skipped."""
    count = 0
    for item in context.cloud_configs.counting:
        for stage in item.config.stages:
            for step in stage.steps if stage.name in _STAGES else ():
                if step.condition is not None or not step.holds():
                    continue
                for command in step.commands:
                    count += 1
                    yield from _absent(context, item.path, stage.name, command)
    yield f"every command that runs in the new root exists ({count})"


def _absent(context: CheckContext, path: str, stage: str, command: str) -> Iterator[Finding]:
    script = read_shell_script(command)
    if script.problem is not None:
        return
    entry = context.rootfs.trace(path).entry
    for call in script.commands:
        if call.guarded or call.name in script.functions or "$" in call.name:
            continue
        there = (
            context.rootfs.exists(call.name) if "/" in call.name else context.command(call.name) is not None
        )
        if not there:
            finding = Finding(
                f"expected the command {call.name}, which the stage {stage} calls, it is not in the image",
                path,
                entry.layer if entry is not None else None,
                (f"commands: {command[:160]}",),
            )
            yield remedies.with_cure(context, finding, remedies.brings(call.name))
