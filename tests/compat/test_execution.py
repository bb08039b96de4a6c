"""The kernel and the loader of the machine that the tests run on judge what can be executed."""

import os
import random

import pytest
from tests.compat.execution_trees import TreeMaker, executed, ldconfig, read_tree, real_loader, write_tree

from cosinspect import open_image
from cosinspect.facts.executables import RootTree
from cosinspect.facts.execution import Execution
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
            execution = Execution(RootTree(opened.rootfs()), "amd64", lambda _: "y")
            told += [(top, path, execution.fault(path)) for path in asked]
    outcomes = executed([(top, path) for top, path, _ in told])

    wrong = [
        f"{top.name} {path}: it {'runs' if runs else 'does not run'}, and we say {fault}"
        for (top, path, fault), runs in zip(told, outcomes, strict=True)
        if runs != (fault is None) and not (fault is not None and fault.is_undecided)
    ]
    assert [] == wrong
    assert len(told) / 10 < sum(outcomes) < len(told) * 9 / 10
