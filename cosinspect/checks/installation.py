"""Checks on what writes an image to disk from a system that runs it: installers, upgraders and the first boot."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import remedies, subjects
from cosinspect.checks.base import CheckContext, check
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "firstboot_missing",
    "installer_missing",
    "upgrader_missing",
]


def _wrapper(context: CheckContext, name: str, does: str) -> Iterator[Finding | str]:
    for command in ("elemental", name):
        found = context.command(command)
        if found is not None:
            yield f"{found} {does}"
            return
    yield context.missing(
        f"/usr/sbin/{name}", f"expected the command {name} or elemental, neither is in the image"
    )


@check(
    id="COS107",
    name="installer-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="The image has no installer.",
    why="A system that runs it, such as a live ISO, cannot write it to a disk.",
    remedy="Install the toolkit's installer.",
    applies=subjects.installed_by_scripts,
    cure=remedies.from_toolkit("installer", "install the installer"),
)
def installer_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for cos-installer or elemental."""
    yield from _wrapper(context, "cos-installer", "installs")


@check(
    id="COS108",
    name="upgrader-missing",
    level=Level.WARNING,
    capabilities=(Capability.UPGRADE,),
    summary="The image has no command that upgrades.",
    why="A machine that runs it cannot be upgraded to the next image.",
    remedy="Install the toolkit's installer, which has cos-upgrade.",
    applies=subjects.installed_by_scripts,
    cure=remedies.from_toolkit("installer", "install the upgrader"),
)
def upgrader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for cos-upgrade or elemental."""
    yield from _wrapper(context, "cos-upgrade", "upgrades")


@check(
    id="COS110",
    name="firstboot-missing",
    level=Level.NOTE,
    capabilities=(Capability.AWS, Capability.GCP),
    summary="There is no grubenv that boots the recovery system first.",
    why="The image for a cloud is a disk with only the recovery system: it cannot be built without /etc/cos/grubenv_firstboot.",
    remedy="Install the toolkit's GRUB environment block with next_entry=recovery.",
    reads=("etc/cos/grubenv_firstboot",),
    applies=lambda table: table.deployment.firstboot_environment != "",
    cure=remedies.from_toolkit("firstboot", "install the toolkit's environment block"),
)
def firstboot_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file that `elemental build-disk` copies."""
    path = context.deployment.firstboot_environment
    if context.rootfs.exists(path):
        yield f"{path} is there"
    else:
        yield context.missing(path, f"expected {path}, it is not there")
