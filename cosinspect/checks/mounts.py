"""Checks on the file systems that a machine mounts by files of the image: the layout, and /etc/fstab."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.cloud_config import READS as CLOUD_CONFIG_READS
from cosinspect.formats.boot.grub_values import GrubBound
from cosinspect.formats.text.fstab import read_fstab
from cosinspect.report.display import counted
from cosinspect.report.evidence import Line
from cosinspect.report.report import Finding, Level

__all__ = ["fstab_mount_unknown", "layout_volume_unknown"]

_ARGUMENT = "rd.cos.mount"
_BY_LABEL = re.compile(r"(?:LABEL=|/dev/disk/by-label/)(.+)")
_BY_ID = re.compile(r"(?:(?:PART)?UUID=|/dev/disk/by-(?:part)?uuid/)(.+)")
# The mount points of the deployment itself, for which the file does not matter.
_DEPLOYED = frozenset({"/", "/boot", "/boot/efi", "/efi", "/sysroot", "/usr", "/var"})


@check(
    id="COS190",
    name="layout-volume-unknown",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The layout mounts a file system that no installation makes.",
    why="""The initrd writes the volume to /etc/fstab of the new root without `nofail`: systemd waits 90 seconds for the device, local-fs.target
        fails, and the boot ends in emergency mode.""",
    remedy="""Let the installation make the file system: name its label in a cloud-config's layout or in /etc/elemental/config.d. Or mount it in a
    later stage.""",
    reads=(*CLOUD_CONFIG_READS, "etc/elemental/**/*.yaml"),
    applies=lambda table: table.fstab_written,
    cure=remedies.from_toolkit("cloud-configs", "install the toolkit's layout"),
)
def layout_volume_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the labels of VOLUMES and rd.cos.mount= with those of the disk."""
    labels = {*context.generation.labels, *context.facts.own_labels}
    count = 0
    for volume, source in _volumes(context):
        count += 1
        what = volume.rsplit(":", 1)[0] if ":/" in volume else volume
        found = _BY_LABEL.fullmatch(what)
        if found is None or "$" in what or found[1] in labels:
            continue
        path = context.facts.bootargs_path if source == _ARGUMENT else None
        entry = context.rootfs.trace(path).entry if path is not None else None
        yield Finding(
            f"expected a label of the disk in {source}, no installation makes a file system with the label {found[1]}",
            path,
            entry.layer if entry is not None else None,
            (f"{source} has {volume}",),
        )
    yield f"the layout mounts {counted(count, 'volume')}"


def _volumes(context: CheckContext) -> Iterator[tuple[str, str]]:
    """Yield the volumes of the layout with their sources.

    Raises:
        Undecided: a command line has more variants than the limit.
    """
    layout = context.cloud_configs.layout(context.boot_world("rootfs"))
    for volume in dict.fromkeys(layout.get("VOLUMES", "").split()):
        yield volume, "VOLUMES"
    seen = set()
    for line in context.facts.command_lines:
        try:
            parameters = line.line.parameters
        except GrubBound as bound:
            raise Undecided(f"the kernel command line is undecided: {bound}") from bound
        for each in parameters:
            if each.key == _ARGUMENT and each.value and each.value not in seen:
                seen.add(each.value)
                yield each.value, _ARGUMENT


@check(
    id="COS191",
    name="fstab-mount-unknown",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The image's /etc/fstab mounts the file system of one machine.",
    why="""An image is deployed to many machines, and no two have the same UUID: systemd waits 90 seconds for the device, local-fs.target fails, and
        the boot ends in emergency mode. Such lines occur in images that were made from the root of a virtual machine.""",
    remedy="Delete the lines, or mount by a label with the option nofail.",
    reads=("etc/fstab",),
    applies=subjects.bootc,
    cure=file_remedies.deletes_line("delete the line"),
)
def fstab_mount_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Look for lines that name a UUID and must succeed, except the root and the mounts of the deployment."""
    found = context.facts.text("/etc/fstab")
    entry = found.trace.entry
    if found.text is None or entry is None:
        raise NotApplicable("there is no /etc/fstab")
    mounts = read_fstab(found.text)
    bad = False
    for mount in mounts:
        where = posixpath.normpath(mount.where)
        if not mount.is_required or where in _DEPLOYED or _BY_ID.fullmatch(mount.what.strip('"')) is None:
            continue
        bad = True
        yield Finding(
            f"expected no file system of one machine in /etc/fstab, found {mount.what} at {mount.where}",
            entry.path,
            entry.layer,
            (Line("/etc/fstab", mount.line), context.step(entry.layer)),
        )
    if not bad:
        yield f"/etc/fstab names {counted(len(mounts), 'file system')}, none by a UUID"
