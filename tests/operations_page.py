"""`python -m tests.operations_page` writes docs/operations.md: what each operation of each generation needs of an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cosinspect.profiles.operations import operations
from cosinspect.report.capabilities import ASSUMPTION, Capability, Need

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"

TITLES = {
    Capability.INSTALL: "install: a machine is installed from a system that runs this image",
    Capability.UPGRADE: "upgrade: a machine is upgraded to this image",
    Capability.RECOVERY: "recovery: the recovery system is made, boots, and resets the machine",
    Capability.ISO: "iso: an ISO is made of this image, and its live system boots",
    Capability.AWS: "aws: a disk for AWS is made of this image, and installs the machine at its first boot",
    Capability.GCP: "gcp: the same for Google's cloud",
}

HEAD = f"""# What operations need

An image *can* do an operation where every need of it holds: the report says `yes`. It says `no` where one does not hold, and `unknown` where a
check could not decide, or where no check looked at a need; it then names the need. A need of the kind **machine** is one of the machine that
runs the command: it is looked at in the image, {ASSUMPTION}, and the report says so.

| effect | where the need is not met |
|---|---|
| fails | the command ends with an error |
| broken | the command succeeds, and what it makes does not work |
| warning | a lesser function is missing; the operation is not lost |

`install` and `recovery` do not follow from `iso`: a medium has a menu of its own, so an ISO can be made of an image without bootargs.cfg or
grub.cfg, and its live system cannot install. Of an operation without rows for a kind of image nothing is known, and it is `unknown`.

What programs of the build machine do (xorriso, mksquashfs, qemu-img) is not in the image and decides nothing here. An upgrade also needs the stock
layout, room on the disk, and the tools of the system that runs it; rows say so where that system is one of this image.

The rows are data: `cosinspect/profiles/operations.toml`. A test compares them with the catalogue: a row that no check looks at is seen, and a check that
decides an operation without a row is seen. This page is generated: `python -m tests.operations_page`. EC is rancher/elemental-cli, ET
rancher/elemental-toolkit, E3 SUSE/elemental, KM kairos-io/kairos, BC bootc-dev/bootc.
"""


def page() -> str:
    """Give the whole page."""
    return HEAD + "".join(f"\n{line}" for line in _sections())


def _sections() -> Iterator[str]:
    for capability, title in TITLES.items():
        yield f"## {title}\n"
        yield "| generations | need | effect | checks | source |"
        yield "|---|---|---|---|---|"
        for need in operations():
            if capability in need.operations:
                yield f"| {_generations(need)} | {need.need}{_more(need)} | {need.effect.value} | {_checks(need)} | {need.source} |"
        yield ""


def _generations(need: Need) -> str:
    runs: list[list[str]] = []
    for name in need.generations:
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _follows(before: str, name: str) -> bool:
    numbered = before[0] == name[0] == "G"
    return numbered and int(name[1:]) == int(before[1:]) + 1


def _more(need: Need) -> str:
    told = []
    if need.machine:
        told.append("(machine)")
    if need.tools:
        told.append("Commands: " + ", ".join(" or ".join(names) for names in need.tools) + ".")
    if need.paths:
        told.append("Names: " + ", ".join(f"/{path}" for path in need.paths) + ".")
    return "".join(f" {each}" for each in told)


def _checks(need: Need) -> str:
    told = []
    if need.boots:
        left = f" but {', '.join(need.without)}" if need.without else ""
        told.append(f"all that decide boot{left}")
    told.extend(f"all that decide {each.value}" for each in need.needs)
    return ", ".join([*told, *need.checks])


if __name__ == "__main__":
    PAGE.write_text(page())
