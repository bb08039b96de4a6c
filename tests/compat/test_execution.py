"""The kernel and the loader of the machine that the tests run on judge what can be executed."""

import os
import random
import stat
import subprocess
from pathlib import Path

import pytest
from tests.compat.execution_trees import (
    LOADER,
    TreeMaker,
    executed,
    ldconfig,
    read_tree,
    real_loader,
    write_tree,
)

from cosinspect import open_image
from cosinspect.facts.executables import FoundFile, RootTree
from cosinspect.facts.execution import Execution
from cosinspect.formats.boot.program import read_pieces
from cosinspect.testing import ImageBuilder

TREES = 240
PARTS = 4


@pytest.mark.skipif(
    real_loader() is None or os.geteuid() != 0, reason="needs root, and a machine with glibc on amd64"
)
@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_executed_can_be_executed(tmp_path, part):
    loader = real_loader()
    told = []
    for seed in range(part, TREES, PARTS):
        entries, asked, cached = TreeMaker(random.Random(seed), loader).make()
        top = tmp_path / str(seed)
        top.mkdir()
        write_tree(entries, top)
        if cached:
            ldconfig(top)
            entries = read_tree(top, entries)
        image = ImageBuilder().layer(entries, compression="none").build()
        with open_image(image.write_layout(tmp_path / f"{seed}.image")) as opened:
            execution = Execution(RootTree(opened.read_rootfs()), "amd64", lambda _: "y")
            told += [(top, path, execution.fault(path)) for path in asked]
    outcomes = executed([(top, path) for top, path, _ in told])

    wrong = [
        f"{top.name} {path}: it {'runs' if runs else 'does not run'}, and we say {fault}"
        for (top, path, fault), runs in zip(told, outcomes, strict=True)
        if runs != (fault is None) and not (fault is not None and fault.is_undecided)
    ]
    assert [] == wrong
    assert len(told) / 10 < sum(outcomes) < len(told) * 9 / 10


class Disk:
    """The machine that the tests run on, as a tree."""

    def find(self, path):
        try:
            real = Path(path).resolve(strict=True)
            found = real.stat()
        except (OSError, RuntimeError):
            return None
        kind = "file" if real.is_file() else "dir" if real.is_dir() else "other"
        return FoundFile(str(real), kind, stat.S_IMODE(found.st_mode), found.st_size)

    def absence(self, _path):
        return "it is not there"

    def program(self, path):
        with Path(path).open("rb") as stream:
            return read_pieces(iter(lambda: stream.read(1 << 16), b""), Path(path).stat().st_size)

    def read(self, path):
        return Path(path).read_bytes() if Path(path).is_file() else None

    def names(self, directory):
        return [each.name for each in Path(directory).iterdir()] if Path(directory).is_dir() else ()


@pytest.mark.skipif(real_loader() is None, reason="needs a machine with glibc on amd64")
def test_the_loader_finds_what_the_programs_of_this_machine_need():
    disk = Disk()
    execution = Execution(disk, "amd64")
    dynamic = []
    for directory in ("/usr/bin", "/usr/sbin"):
        for entry in os.scandir(directory):
            if entry.is_symlink() or not entry.is_file() or not entry.stat().st_mode & 0o111:
                continue
            elf = disk.program(entry.path).elf
            if elf is not None and elf.interpreter == LOADER:
                dynamic.append(entry.path)
    command = 'for each; do if "$LD" --list "$each" >/dev/null 2>&1; then echo yes; else echo no; fi; done'
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", *dynamic],
        env={"LD": LOADER},
        capture_output=True,
        text=True,
        check=True,
    )

    assert dynamic
    faults = {path: execution.fault(path) for path in dynamic}
    wrong = [
        f"{path}: the loader says {answer}, and we say {faults[path]}"
        for path, answer in zip(dynamic, done.stdout.split(), strict=True)
        if (answer == "yes") != (faults[path] is None)
    ]
    assert [] == wrong
