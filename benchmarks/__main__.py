"""Time cosinspect, the floor and the peers installed on one image, in turn, in one run: `python -m benchmarks`.

Each figure is a whole process as the operating system accounts for it: wall time, processor time, the largest resident
memory. The commands take turns, so that a machine whose speed drifts is unfair to none; quote the medians and ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from benchmarks.derivative.registry import registry
from cosinspect.testing import ImageBuilder, Registry

DEFAULT_WORK = Path(os.environ.get("COSINSPECT_BENCH_DIR") or Path.home() / ".cache/cosinspect-bench")


@frozen
class Cost:
    """What one process cost: seconds of wall and processor time, MiB of memory."""

    wall: float
    cpu: float
    memory: float


@frozen
class Contender:
    """Something to time: a name and the commands it takes, one behind the other."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    slow: bool = False


def main() -> None:
    """Parse arguments, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=DEFAULT_WORK, help="where benchmarks.derivative put its image"
    )
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default: 5)")
    parser.add_argument(
        "--tags", nargs="+", default=["gzip", "zstd"], help="which images (default: gzip zstd)"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave skopeo and umoci out")
    parser.add_argument(
        "--short", action="store_true", help="a small made-up image, no peers: does it run at all?"
    )
    arguments = parser.parse_args()
    if arguments.short:
        with _small() as reference:
            _compare(reference, _contenders(reference, peers=False), 2)
        return
    if not (arguments.work / "layout/index.json").exists():
        parser.error(
            f"there is no image in {arguments.work}: make it with python -m benchmarks.derivative --push"
        )
    with registry(arguments.work) as address:
        for tag in arguments.tags:
            reference = f"{address}/derivative:{tag}"
            _compare(reference, _contenders(reference, peers=not arguments.no_peers), arguments.runs)


@contextlib.contextmanager
def _small() -> Iterator[str]:
    entries = {f"usr/share/{n % 50}/{n}": os.urandom(512) * 8 for n in range(2000)}
    image = ImageBuilder().layer(entries).layer({"etc/os-release": "ID=small\n"}).build()
    with Registry() as served:
        yield served.push(image, "bench/small:v1")


def _contenders(reference: str, *, peers: bool) -> list[Contender]:
    python = sys.executable
    cosinspect = (python, "-m", "cosinspect")
    found = [
        Contender("floor", ((python, "-m", "benchmarks.floor", reference),)),
        Contender(
            "cosinspect ls -R", ((*cosinspect, "ls", reference, "-R", "--format", "json", "--no-cache"),)
        ),
        Contender("cosinspect check", ((*cosinspect, "check", reference, "--format", "json", "--no-cache"),)),
    ]
    if peers and shutil.which("skopeo") and shutil.which("umoci") and ":gzip" in reference:
        copy = (
            "skopeo",
            "copy",
            "-q",
            "--src-tls-verify=false",
            f"docker://{reference}",
            "oci:{work}/layout:x",
        )
        unpack = ("umoci", "raw", "unpack", "--image", "{work}/layout:x", "{work}/rootfs")
        found.append(Contender("skopeo copy + umoci unpack", (copy, unpack), slow=True))
    return found


def _compare(reference: str, contenders: list[Contender], runs: int) -> None:
    costs: dict[str, list[Cost]] = {item.name: [] for item in contenders}
    for number in range(runs + 1):
        for item in contenders:
            if item.slow and number > 1:
                continue  # half a minute each: two runs tell enough
            cost = _time(item)
            if number or item.slow:
                costs[item.name].append(cost)
    floor = statistics.median(cost.wall for cost in costs["floor"])
    floor_cpu = statistics.median(cost.cpu for cost in costs["floor"])
    print(f"\n{reference.partition('/')[2]}: {runs} runs, median (least to most)")
    print(f"{'':28}{'wall s':>24}{'x floor':>9}{'cpu s':>9}{'x floor':>9}{'MiB':>7}")
    for name, found in costs.items():
        walls = sorted(cost.wall for cost in found)
        wall, cpu = statistics.median(walls), statistics.median(cost.cpu for cost in found)
        spread = f"{wall:.2f} ({walls[0]:.2f} to {walls[-1]:.2f})"
        memory = max(cost.memory for cost in found)
        print(f"{name:28}{spread:>24}{wall / floor:9.2f}{cpu:9.2f}{cpu / floor_cpu:9.2f}{memory:7.0f}")


def _time(item: Contender) -> Cost:
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as work:
        wall = cpu = memory = 0.0
        for command in item.commands:
            started = time.monotonic()
            process = subprocess.Popen(
                [part.replace("{work}", work) for part in command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            stderr = process.stderr.read() if process.stderr else b""
            _, status, usage = os.wait4(process.pid, 0)
            wall += time.monotonic() - started
            if process.stderr:
                process.stderr.close()
            code = os.waitstatus_to_exitcode(status)
            process.returncode = code
            if code not in (0, 1):  # 1: the image is not what its profile wants, which takes as long
                raise SystemExit(
                    f"{' '.join(command)} ended with {code}: {stderr.decode(errors='replace')[-500:]}"
                )
            cpu += usage.ru_utime + usage.ru_stime
            memory = max(memory, usage.ru_maxrss / 1024)
        return Cost(wall, cpu, memory)


if __name__ == "__main__":
    main()
