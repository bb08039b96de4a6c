"""What judges that nobody here wrote say of images, and where the reports differ from it: boots, builds, files, and reports of others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from accuracy.boots import NOT_EXPRESSED, QEMU, UML, Boot
from accuracy.builds import BUILDERS, BUILDS, Build
from cosinspect.inspection.inspection import inspect
from cosinspect.profiles.operations import needs_of
from cosinspect.report.report import Capability, Effect, Kind, Level, Report, Status, Verdict
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of
from real.trees import Release, laid_over, releases

REAL_FILES = os.environ.get("COSINSPECT_REAL_FILES")
CASES = os.environ.get("COSINSPECT_CASES")
# What the releases themselves have: a misspelt `permissions`, which no yip reads, and a key twice; from toolkit v2 on a forced check of
# file systems that races with the mount of the state partition, as boots showed; Rancher's accounts come with the machine's registration.
TOLD = {"COS071", "COS078", "COS228"}
TOLD_OF = {"rancher-elemental": {"COS072"}}
SETTLED = {
    "16-initrd-modules-without-index": "it takes the good derivative as it is, which has had the index in its initrd since; COS186 asks for it",
}
"""Reports of others whose program cannot end well any more, each with the reason."""


@frozen
class Judge:
    """One who says what is true.

    Attributes:
        name: what the page calls it.
        rows: each by its name, with what inspects its image and says where the report differs; "" for nowhere.
        not_expressed: rows of the source that are no image here, each with the reason.
    """

    name: str
    rows: Sequence[tuple[str, Callable[[], str]]]
    not_expressed: tuple[tuple[str, str], ...] = ()

    def wrong(self) -> Iterator[str]:
        """Inspect the image of every row, and give those that are judged wrongly, with the difference."""
        for name, differs in self.rows:
            if found := differs():
                yield f"{self.name}, {name}: {found}"


def report_of(image) -> Report:
    """Inspect an image of the testing kit."""
    with tempfile.TemporaryDirectory() as directory:
        return inspect(image.write_layout(directory))


def failed(report: Report) -> list[str]:
    """Give the checks that failed."""
    return [each.check for each in report.results if each.kind is Kind.FAIL]


def of_boot(row: Boot) -> str:
    """Hold `boot` against what the machine did."""
    report = report_of(row.build())
    status = report.capabilities[Capability.BOOT].status
    if status is not (Status.YES if row.boots else Status.NO):
        return f"boot is {status.value}: {failed(report)}"
    if row.told and not set(failed(report)) & set(row.told):
        return f"none of {row.told} speaks: {failed(report)}"
    grave = [each.check for each in report.results if each.kind is Kind.FAIL and each.level is not Level.NOTE]
    if row.boots and not row.told and grave:
        return f"something is told of a machine that runs: {grave}"
    return ""


def prevents(report: Report) -> list[str]:
    """Give the checks that say that no ISO can be made."""
    rows = [
        need
        for need in needs_of(report.generation)
        if Capability.ISO in need.operations and need.effect is Effect.FAILS
    ]
    lost = [each for each in report.results if each.kind is Kind.FAIL and Capability.ISO in each.capabilities]
    return [each.check for each in lost if any(row.is_of(each.check, each.capabilities) for row in rows)]


def of_build(build: Build, generation: str) -> str:
    """Hold `iso` against what the binary did, and against what boots of what it made."""
    parts = parts_of(generation, "amd64")
    build.change(parts)
    report = report_of(derivative_of(parts))
    found, made = report.capabilities[Capability.ISO], generation in build.made
    if made != (prevents(report) == []):
        return f"the binary {'made an ISO' if made else 'made none'}: {prevents(report)}"
    if found.status is not (Status.YES if made and generation in build.boots else Status.NO):
        return f"iso is {found.status.value}: {failed(report)}"
    if found.status is Status.NO and found.effect is not (Effect.BROKEN if made else Effect.FAILS):
        return f"the effect is {found.effect}"
    return ""


def of_files(release: Release) -> str:
    """Hold the verdict against the release, which was made into images that boot and install."""
    report = report_of(derivative_of(laid_over(release)))
    allowed = TOLD | TOLD_OF.get(release.name, set())
    told = [each for each in failed(report) if each not in allowed]
    undecided = [each.check for each in report.results if each.kind is Kind.OPEN]
    statuses = {each: report.capabilities[each].status for each in (Capability.BOOT, Capability.INSTALL)}
    if told or undecided or report.verdict is not Verdict.PASS or set(statuses.values()) != {Status.YES}:
        return f"{report.verdict.value}, failed {told}, undecided {undecided}"
    return ""


def of_case(path: Path) -> str:
    """Run a report's program, which ends with 1 where it is judged wrongly."""
    run = subprocess.run(
        [sys.executable, str(path / "case.py")], check=False, capture_output=True, text=True, timeout=600
    )
    return "" if run.returncode == 0 else (run.stdout[-1500:] + run.stderr[-500:]).strip()


def judges() -> list[Judge]:
    """Give every judge that is at hand: files and reports of others are where their variables name a folder."""
    boots, machine = tuple(NOT_EXPRESSED.items()), "User Mode Linux"
    found = [
        Judge("boots under QEMU", [(row.name, lambda row=row: of_boot(row)) for row in QEMU]),
        Judge(f"boots under {machine}", [(row.name, lambda row=row: of_boot(row)) for row in UML], boots),
        Judge(
            "`elemental build-iso`, three binaries",
            [
                (f"{build.name}, {name}", lambda build=build, name=name: of_build(build, name))
                for build in BUILDS
                for name in BUILDERS
            ],
        ),
    ]
    if REAL_FILES:
        rows = [(each.name, lambda each=each: of_files(each)) for each in releases(Path(REAL_FILES))]
        found.append(Judge("files of releases", rows))
    if CASES:
        paths = [path for path in sorted(Path(CASES).iterdir()) if (path / "case.py").is_file()]
        rows = [(path.name, lambda path=path: of_case(path)) for path in paths if path.name not in SETTLED]
        settled = tuple((path.name, SETTLED[path.name]) for path in paths if path.name in SETTLED)
        found.append(Judge("reports of others", rows, settled))
    return found


def table(found: Sequence[Judge], wrong: Sequence[str] = ()) -> list[str]:
    """Give the table in Markdown: a row for each judge, as many wrong as `wrong` names."""
    lines = ["| judge | rows | right | wrong | not expressed |", "|---|---|---|---|---|"]
    for each in found:
        bad = sum(line.startswith(f"{each.name}, ") for line in wrong)
        rows = len(each.rows)
        lines.append(f"| {each.name} | {rows} | {rows - bad} | {bad} | {len(each.not_expressed)} |")
    return lines
