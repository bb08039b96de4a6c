"""Boots good derivatives and their mutations, and holds what happens against what the inspection says.

    python -m tests.boots --work DIR [--real DIR] [--only NAME...] [--again] [--table]

Rows that have a result are not booted again; `--table` only writes docs/boots.md. Ends with 1 where a row disagrees and nothing explains it.
Needs root, debootstrap, Go and qemu-system-x86_64; one machine runs at a time.
"""

import argparse
import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from attrs import evolve
from tests.boots.changes import compressed
from tests.boots.cpio import read_cpio
from tests.boots.layouts import Layouts
from tests.boots.rows import ROWS
from tests.boots.table import PAGE, disagreements, write_page
from tests.boots.trees import Trees

from cosinspect.boot.disk import write_disk
from cosinspect.boot.emulator import Machine, find_emulator
from cosinspect.boot.layout import lay_out
from cosinspect.boot.proof import find_accounts, oem_members
from cosinspect.boot.startup import find_startup
from cosinspect.boot.tree import as_installed
from cosinspect.boot.trial import Trial, copy_files, start_machine, try_boot
from cosinspect.cache import Cache, open_directory
from cosinspect.errors import CannotBoot
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import Inspection
from cosinspect.inspection.plan import plan_inspection
from cosinspect.report.report import Capability
from cosinspect.testing import File, Whiteout
from cosinspect.testing.bootfiles import cpio_archive

# Of Debian, not of the toolkits: without a network the service fails and is started again without end.
COMMON = {"etc/systemd/system/systemd-timesyncd.service.d/once.conf": "[Service]\nRestart=no\n"}
RESULTS = Path(__file__).parent / "results.json"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.boots", description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, help="where trees, layouts and disks are kept")
    parser.add_argument(
        "--real", default=os.environ.get("COSINSPECT_REAL_FILES"), help="the toolkits' own files"
    )
    parser.add_argument("--only", nargs="*", choices=list(ROWS), metavar="NAME", help="these rows alone")
    parser.add_argument("--again", action="store_true", help="boot rows again that have a result")
    parser.add_argument(
        "--inspect", action="store_true", help="inspect rows that have a result again, and boot nothing"
    )
    parser.add_argument(
        "--table", action="store_true", help="write the page from the results, and boot nothing"
    )
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.table:
        if arguments.work is None or arguments.real is None:
            parser.error("--work and --real are needed to boot")
        harness = Harness(arguments.work, arguments.real)
        for name in arguments.only or ROWS:
            if arguments.inspect and name in results:
                results = keep(name, {**results[name], **harness.inspect(ROWS[name])})
                continue
            if arguments.inspect or (name in results and not arguments.again):
                continue
            results = keep(name, harness.boot(ROWS[name]))
            print(name, json.dumps(results[name]), flush=True)
    PAGE.write_text(write_page(ROWS, results))
    wrong = disagreements(ROWS, results)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def _entry(tree, path, entry):
    """Give the entry of a layer; a mode stands for the tree's own file, and what is removed has to be there."""
    if isinstance(entry, Whiteout):
        assert os.path.lexists(tree / path), path
    return File((tree / path).read_bytes(), mode=entry) if isinstance(entry, int) else entry


def keep(name, result):
    """Add the result of a row to the file, and give all of them; other processes may add theirs at the same time."""
    with RESULTS.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        results = {**json.loads(file.read() or "{}"), name: result}
        file.truncate(0)
        file.write(json.dumps(results, indent=1, sort_keys=True) + "\n")
    return results


def inspected(image):
    """Inspect an image, and give what the inspection says and its context."""
    inspection = Inspection(image, plan_inspection("auto"))
    results, context = inspection.run_checks()
    report = inspection.report(results)
    said = report.capabilities[Capability.BOOT]
    warned = [
        each.check
        for each in report.failed
        if Capability.BOOT not in each.capabilities and each.level.value == "warning"
    ]
    checks = list(said.because) if said.status.value == "no" else []
    return {"said": said.status.value, "checks": checks, "warned": warned}, context


class Harness:
    """Boots rows."""

    def __init__(self, work, real):
        self.work = work
        self.trees = Trees(work, real)
        self.layouts = Layouts(work)
        self.cache = Cache(open_directory(work / "cache", trusted=True))

    def boot(self, row):
        """Inspect and boot a row, and give what came of it."""
        name = self.image(row)
        with open_image(name, cache=self.cache) as image:
            found, context = inspected(image)
            found["date"] = time.strftime("%Y-%m-%d")
            try:
                outcome = self.start(row, context)
            except CannotBoot as fault:
                return {
                    **found,
                    "result": "cannot be tried",
                    "booted": False,
                    "reason": str(fault),
                    "cpu": 0,
                    "wall": 0,
                    "accel": "",
                }
        keys = ("result", "booted", "reason", "phase", "login", "multi_user", "cpu", "wall", "accel")
        return {
            **found,
            **{key: outcome.to_dict()[key] for key in keys},
            "telling": list(outcome.telling[:4]),
        }

    def inspect(self, row):
        """Inspect a row, and give what the inspection says."""
        with open_image(self.image(row), cache=self.cache) as image:
            return inspected(image)[0]

    def image(self, row):
        """Write the layout of a row."""
        archive = self.trees.image(row.generation)
        tree = self.work / row.generation
        loaders = self.trees.loaders(row.generation) if row.firmware else {}
        above = {path: _entry(tree, path, entry) for path, entry in row.root.items()}
        entries = {**COMMON, **loaders, **above}
        if row.initrd is not None:
            path = json.loads((self.work / f"{row.generation}.json").read_text())["initrd"]
            archive_of = (self.work / row.generation / path).read_bytes()
            if row.initrd is compressed:
                body = gzip.compress(archive_of, 1, mtime=0)
            else:
                members = read_cpio(archive_of)
                row.initrd(members)
                body = cpio_archive(members) if members else b"junk" * 100_000
            entries[path] = File(body, mode=0o600)
        shutil.rmtree(self.work / "layouts" / row.name, ignore_errors=True)
        labels = {"containers.bootc": "1"} if row.generation == "bootc" else {}
        return self.layouts.write(row.name, archive, entries, f"RUN {row.name}", labels)

    def start(self, row, context):
        """Start the machine of a row; where only the initrd differs, from the good derivative's disk."""
        rootfs, facts = context.rootfs, context.facts
        logs = self.work / "consoles"
        logs.mkdir(exist_ok=True)
        trial = Trial(
            row.entry,
            row.firmware,
            row.cpu_seconds,
            accel="tcg",
            console=logs / f"{row.name}.log",
            anyway=True,
        )
        if row.root or row.firmware or row.entry != "active" or row.generation == "bootc":
            return try_boot(rootfs, facts, trial)
        emulator = find_emulator("amd64")
        startup = find_startup(rootfs, facts, "active", anyway=True)
        place = Path(tempfile.mkdtemp(prefix="boot-", dir=self.work))
        try:
            disk = place / "disk.img"
            kept = self.work / f"{row.generation}.disk"
            if not kept.exists():
                write_disk(disk, lay_out(startup, as_installed(rootfs), tuple(oem_members()), {}), rootfs)
                subprocess.run(["cp", "--sparse=always", "--reflink=auto", disk, kept], check=True)
            else:
                subprocess.run(["cp", "--sparse=always", "--reflink=auto", kept, disk], check=True)
            copy_files(rootfs, (startup.kernel,), place / "kernel")
            copy_files(rootfs, startup.initrds, place / "initrd")
            machine = Machine(
                disk, place, 2048, "tcg", place / "kernel", place / "initrd", startup.shown_line
            )
            return evolve(start_machine(emulator, machine, trial, find_accounts(rootfs)), entry="active")
        finally:
            shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
