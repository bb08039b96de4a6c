"""Checks on images for clouds: a disk with the recovery system, which asks the cloud for user data in its initrd and installs the machine."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, subjects
from cosinspect.checks.base import CheckContext, Undecided, check
from cosinspect.checks.initrd import READS, about, drivers_in, opened
from cosinspect.checks.live import drivers_of
from cosinspect.report.report import Capability, Finding, Level

__all__ = ["aws_drivers_missing", "gcp_drivers_missing"]


def _one_of(
    context: CheckContext, alternatives: tuple[tuple[tuple[str, ...], ...], ...], cloud: str
) -> Iterator[Finding | str]:
    """Look for all groups of drivers of one alternative; one driver of each group is enough."""
    for path, initrd in opened(context):
        present = drivers_in(context, initrd)
        best: list[tuple[str, ...]] | None = None
        open_ = False
        for groups in alternatives:
            found = {names: [drivers_of(context, present, name) for name in names] for names in groups}
            absent = [names for names, each in found.items() if not any(each)]
            if not absent:
                yield f"{path} has drivers of {cloud} for disk and network"
                return
            open_ = open_ or any(None in found[names] for names in absent)
            best = absent if best is None or len(absent) < len(best) else best
        listed = ", ".join(" or ".join(names) for names in best or [])
        if open_:
            raise Undecided(
                f"{listed} are not in {path}, and it is unknown whether the kernel has them built in"
            )
        yield about(
            context, path, f"expected the drivers {listed} in the initrd for {cloud}, found none of them"
        )


@check(
    id="COS224",
    name="aws-drivers-missing",
    level=Level.WARNING,
    capabilities=(Capability.AWS,),
    summary="Neither the initrd nor the kernel has the drivers of AWS.",
    why="The first boot asks AWS for user data in the initrd: without a network card or a disk the machine is never installed.",
    remedy="Make dracut add the drivers ena and nvme to the initrd.",
    reads=READS,
    applies=subjects.toolkit,
    cure=boot_remedies.needs_drivers("ena", "nvme"),
)
def aws_drivers_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for ena and nvme (Nitro), or for Xen's."""
    yield from _one_of(context, ((("ena",), ("nvme",)), (("xen_netfront",), ("xen_blkfront",))), "AWS")


@check(
    id="COS225",
    name="gcp-drivers-missing",
    level=Level.WARNING,
    capabilities=(Capability.GCP,),
    summary="Neither the initrd nor the kernel has the drivers of Google's cloud.",
    why="The first boot asks the cloud for user data in the initrd: without a network card or a disk the machine is never installed.",
    remedy="Make dracut add the drivers virtio_net and virtio_scsi to the initrd.",
    reads=READS,
    applies=subjects.toolkit,
    cure=boot_remedies.needs_drivers("virtio_net", "virtio_scsi"),
)
def gcp_drivers_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for virtio_net or gve, and for virtio_scsi or nvme."""
    yield from _one_of(context, ((("virtio_net", "gve"), ("virtio_scsi", "nvme")),), "Google's cloud")
