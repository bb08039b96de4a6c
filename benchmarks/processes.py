"""Whole processes, timed as the operating system accounts for them, in turn.

The commands take turns, so that a machine whose speed drifts is unfair to none. Medians and ratios of one run are comparable, absolute
times of different runs are not.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from attrs import frozen

__all__ = ["COSINSPECT", "IMPORTS", "PYTHON", "Contender", "Cost", "Figure", "compared", "timed"]

PYTHON = sys.executable
COSINSPECT = (PYTHON, "-m", "cosinspect")
IMPORTS = (PYTHON, "-c", "import requests, rich")
PEER_RUNS = 3


@frozen
class Cost:
    """What a contender cost: seconds of wall and processor time, MiB of memory."""

    wall: float
    cpu: float
    memory: float


@frozen
class Contender:
    """Something to time.

    Attributes:
        name: in the tables.
        commands: one behind the other, with {work} for a directory of their own.
        peer: whether it is another program, which runs three times and must end with status 0.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    peer: bool = False


@frozen
class Figure:
    """One row of the table: a value, what it is held against, and whether it is as good as it should be.

    Attributes:
        group: what is measured together.
        name: of the figure.
        value: in `unit`.
        unit: of value and target.
        target: what the value must reach; None for a figure without one.
        at_least: whether a larger value is better.
    """

    group: str
    name: str
    value: float
    unit: str
    target: float | None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def timed(item: Contender, environment: Mapping[str, str] | None = None) -> Cost:
    """Run the commands of a contender once.

    Raises:
        SystemExit: one ends with an error.
    """
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as work:
        wall = cpu = memory = 0.0
        for command in item.commands:
            started = time.monotonic()
            process = subprocess.Popen(
                [part.replace("{work}", work) for part in command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
            )
            with process:
                stderr = process.stderr.read() if process.stderr else b""
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            wall += time.monotonic() - started
            # 1 is our verdict on an image that is not what its profile requires, which takes as long.
            if process.returncode not in ((0,) if item.peer else (0, 1)):
                raise SystemExit(
                    f"{' '.join(command)} ended with {process.returncode}: {stderr.decode(errors='replace')[-500:]}"
                )
            cpu += usage.ru_utime + usage.ru_stime
            memory = max(memory, usage.ru_maxrss / 1024)
        return Cost(wall, cpu, memory)


def compared(
    title: str,
    contenders: Sequence[Contender],
    runs: int,
    *,
    environment: Mapping[str, str] | None = None,
    warm_up: bool = True,
) -> dict[str, Cost]:
    """Run every contender in turn, print a table, and return the medians by name.

    Args:
        title: of the table.
        contenders: what is timed.
        runs: of each, beside one that is not counted; peers run three times at most, and each run counts.
        environment: of the processes; by default that of this one.
        warm_up: whether the first run is not counted.
    """
    costs: dict[str, list[Cost]] = {item.name: [] for item in contenders}
    for number in range(runs + warm_up):
        for item in contenders:
            if item.peer and number >= min(PEER_RUNS, runs):
                continue
            cost = timed(item, environment)
            if number or item.peer or not warm_up:
                costs[item.name].append(cost)
    print(f"\n{title}: {runs} runs, median (least to most)")
    print(f"{'':34}{'wall s':>24}{'cpu s':>9}{'MiB':>7}")
    medians = {}
    for name, found in costs.items():
        walls = sorted(cost.wall for cost in found)
        middle = Cost(
            statistics.median(walls),
            statistics.median(cost.cpu for cost in found),
            max(cost.memory for cost in found),
        )
        medians[name] = middle
        spread = f"{middle.wall:.2f} ({walls[0]:.2f} to {walls[-1]:.2f})"
        print(f"{name:34}{spread:>24}{middle.cpu:9.2f}{middle.memory:7.0f}", flush=True)
    return medians
