"""`python -m tests.operations_page` writes docs/operations.md: what each operation of each generation needs of an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cosinspect.profiles.operations import operations
from cosinspect.report.capabilities import ASSUMPTION, Capability, Need

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"


def slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub and Python-Markdown make it."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


TITLES = {
    Capability.INSTALL: "install: a machine is installed from a system that runs this image",
    Capability.UPGRADE: "upgrade: a machine is upgraded to this image",
    Capability.RECOVERY: "recovery: the recovery system is made, boots, and resets the machine",
    Capability.ISO: "iso: an ISO is made of this image, and its live system boots",
    Capability.AWS: "aws: a disk for AWS is made of this image, and installs the machine at its first boot",
    Capability.GCP: "gcp: the same for Google's cloud",
}

CONTENTS = ", ".join(f"[{title.partition(':')[0]}](#{slug(title)})" for title in TITLES.values())
HEAD = f"""# What operations need

Contents: {CONTENTS}

The report says `yes` for an operation if every need of it is met. It says `no` if a need is not met. It says `unknown`, and names the need, if a
check could not decide or no check looks at the need. A need marked **machine** concerns the machine that runs the command. It is checked in the image,
{ASSUMPTION}; the report says so.

| effect | if the need is not met |
|---|---|
| fails | the command fails |
| broken | the command succeeds, but its result does not work |
| warning | a minor function is missing; the operation succeeds |

`iso` does not imply `install` or `recovery`. A medium has its own menu, so an ISO can be made of an image without bootargs.cfg or grub.cfg; its live
system cannot install. If an operation has no rows for a kind of image, it is `unknown`.

`check NEW --from OLD` asks about one upgrade: of a machine that was installed with OLD. The needs marked **machine** are then checked in OLD. The menu of OLD is
evaluated over the files of NEW, because an upgrade keeps the menu; what NEW's cloud-configs write into GRUB's environment counts. OLD's toolkit writes
NEW by the rules of its own release. The upgrade is then required, and the report names both images. Without `--from`, COS280 to COS289 do not apply. What a person
changed on the machine (other partitions, files in /oem, a new menu) is not known. An upgrade that runs the programs of NEW in a container, as an
upgrade plan of Kubernetes does, can install a new menu: if NEW's suc-upgrade does so, COS281 leaves it undecided.

Programs of the build machine (xorriso, mksquashfs, qemu-img) are not part of the image and are not checked. An upgrade also needs the stock
layout, space on the disk, and the tools of the running system. The rows name these tools if the running system is this image.

The rows are data: `cosinspect/profiles/operations.toml`. A test compares them with the catalogue. It fails for a row that no check looks at, and for a
check that decides an operation without a row. This page is generated: `python -m tests.operations_page`. EC is rancher/elemental-cli, ET
rancher/elemental-toolkit, E3 SUSE/elemental, KM kairos-io/kairos, BC bootc-dev/bootc.
"""


def page() -> str:
    """Return the whole page."""
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
