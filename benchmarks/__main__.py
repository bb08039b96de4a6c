"""Time cosinspect, the floor and the peers installed on one image, in turn, in one run: `python -m benchmarks`.

`--quick` does so on a made-up image and holds the ratios against `baseline.json`: one that is half as much again as it was
is a regression, and the status is 1.

Each figure is a whole process as the operating system accounts for it: wall time, processor time, the largest resident
memory. The commands take turns, so that a machine whose speed drifts is unfair to none; quote the medians and ratios.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from attrs import asdict, frozen

from benchmarks.derivative.registry import registry
from benchmarks.seekable import fetched
from benchmarks.small_files import CRANE, UMOCI, kept_images, rates_of, rows, served
from benchmarks.start import starts
from cosinspect import inspect, open_image
from cosinspect.cache import Cache, open_directory
from cosinspect.testing import ImageBuilder, Registry

DEFAULT_WORK = Path(os.environ.get("COSINSPECT_BENCH_DIR") or Path.home() / ".cache/cosinspect-bench")
PYTHON = sys.executable
COSINSPECT = (PYTHON, "-m", "cosinspect")
BASELINE = Path(__file__).with_name("baseline.json")
REGRESSION = 1.5
LISTERS = {UMOCI: 5.0, CRANE: 3.0}
"""Programs that do no more than list an image, and how much more processor time than `ls -R` they should take."""
IMPORTS = (PYTHON, "-c", "import requests, rich")


@frozen
class Cost:
    """What one process cost: seconds of wall and processor time, MiB of memory."""

    wall: float
    cpu: float
    memory: float


@frozen
class Contender:
    """Something to time: a name and the commands it takes, one behind the other, or in a pipe.

    Attributes:
        name: in the tables.
        commands: with {work} for a directory of their own.
        peer: whether it is another program, which must end with status 0 and is timed twice only: each takes half a minute.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    peer: bool = False


@frozen
class Figure:
    """One row of the table: a value, what it is held against, and whether it is as good as it should be."""

    name: str
    value: float
    unit: str
    target: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def main() -> None:
    """Parse arguments, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=DEFAULT_WORK, help="where benchmarks.derivative put its image"
    )
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default: 5)")
    parser.add_argument(
        "--forms",
        nargs="+",
        metavar="NAME",
        help="only these: gzip, zstd, oci, dir, docker-archive, small-files, warm, start, tables",
    )
    parser.add_argument("--no-peers", action="store_true", help="leave other programs out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a small made-up image, no peers; fails where a ratio is 1.5 times that of baseline.json",
    )
    parser.add_argument(
        "--update-baseline", action="store_true", help="with --quick: keep the ratios as the new ones"
    )
    arguments = parser.parse_args()
    # As pip leaves it: a checkout may hold no compiled modules, and every command would compile them anew.
    compileall.compile_dir(str(files("cosinspect")), quiet=1)
    if arguments.quick:
        sys.exit(_quick(update=arguments.update_baseline))
    if not (arguments.work / "layout/index.json").exists():
        parser.error(
            f"there is no image in {arguments.work}: make it with python -m benchmarks.derivative --push"
        )
    figures = list(
        _figures(arguments.work, arguments.runs, arguments.forms or [], peers=not arguments.no_peers)
    )
    print(
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}\n"
    )
    print("| figure | value | target | met |\n|---|---|---|---|")
    for each in figures:
        sign = ">=" if each.at_least else "<="
        print(
            f"| {each.name} | {each.value:.2f} {each.unit} | {sign} {each.target:g} | {'yes' if each.met else 'no'} |"
        )
    if arguments.json:
        values = [{**asdict(each), "met": each.met} for each in figures]
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")


def _figures(work: Path, runs: int, only: list[str], *, peers: bool) -> Iterator[Figure]:
    (initrd,) = (work / "stages/10-identity/boot").glob("initrd-*")
    with registry(work) as address:
        for name, reference in _forms(work, f"{address}/derivative").items():
            if only and name not in only:
                continue
            contenders = [_floor(reference, initrd), *_ours(reference)]
            if peers and name == "gzip":
                contenders.extend(_peers(reference))
            if peers and name == "docker-archive":
                contenders.extend(_archive_peers(reference.partition(":")[2]))
            costs = _compare(name, contenders, runs)
            floor, check = costs.pop("floor"), costs["cosinspect check"]
            yield Figure(
                f"cold verdict, {name}: wall",
                check.wall / floor.wall,
                "x floor",
                1.0 if name == "gzip" else 1.2,
            )
            yield Figure(f"cold verdict, {name}: CPU", check.cpu / floor.cpu, "x floor", 1.2)
            yield Figure(f"cold verdict, {name}: memory", check.memory, "MiB", 160)
            for other, cost in costs.items():
                if not other.startswith("cosinspect"):
                    yield Figure(other, cost.wall / check.wall, "x cosinspect check", 3.0, at_least=True)
                if other in LISTERS:
                    ratio = cost.cpu / costs["cosinspect ls -R"].cpu
                    yield Figure(f"{other}: CPU", ratio, "x ls -R", LISTERS[other], at_least=True)
    if not only or "small-files" in only:
        name, headers = kept_images(work)
        with served(name, work) if peers else contextlib.nullcontext("") as reference:
            for each in rows(name, headers, runs, peers=reference):
                yield Figure(f"small files: {each.name}", each.value, each.unit, each.target, each.at_least)
    if not only or "warm" in only:
        yield from _warm(f"oci:{work}/layout:gzip", runs)
    if not only or "start" in only:
        for row in starts(runs):
            yield Figure(f"{row.name}: CPU", row.ratio, "x import requests, rich", row.target)
    if (not only or "tables" in only) and shutil.which("go"):
        for each in fetched(work):
            yield Figure(
                f"bytes fetched by tables of contents, {each.form} ({each.wire / each.total:.0%} of the layers)",
                each.wire / each.asked,
                "x tables and bodies",
                1.05,
            )


def _quick(*, update: bool) -> int:
    """Measure the ratios on a small image, and say whether none of them is much worse than it was."""
    with _small() as reference, tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as cache:
        warm = (*COSINSPECT, "check", reference, "--format", "json", "--cache", cache)
        subprocess.run(warm, stdout=subprocess.DEVNULL, check=False)
        contenders = [
            _floor(reference, None),
            *_ours(reference),
            Contender("warm", (warm,)),
            Contender("imports", (IMPORTS,)),
        ]
        costs = _compare("small", contenders, 5)
    floor, imports = costs["floor"], costs["imports"]
    ratios = {
        "check, CPU, x floor": costs["cosinspect check"].cpu / floor.cpu,
        "check, wall, x floor": costs["cosinspect check"].wall / floor.wall,
        "ls -R, CPU, x floor": costs["cosinspect ls -R"].cpu / floor.cpu,
        "warm, CPU, x imports": costs["warm"].cpu / imports.cpu,
    }
    ratios.update((f"{row.name}, CPU, x imports", row.ratio) for row in starts(5))
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as work:
        _, headers = kept_images(Path(work), _QUICK_FILES, only_headers=True)
        ratios["entries read with patterns, CPU, x imports"] = (
            _QUICK_FILES / rates_of(headers, 5) / imports.cpu
        )
    if update:
        BASELINE.write_text(
            json.dumps({name: round(value, 2) for name, value in ratios.items()}, indent=1) + "\n"
        )
    baseline = json.loads(BASELINE.read_text())
    print("\n| ratio | now | baseline | |\n|---|---|---|---|")
    worse = 0
    for name, value in ratios.items():
        regressed = value > REGRESSION * baseline[name]
        worse += regressed
        print(f"| {name} | {value:.2f} | {baseline[name]:.2f} | {'REGRESSED' if regressed else ''} |")
    return 1 if worse else 0


_QUICK_FILES = 30_000


def _forms(work: Path, repository: str) -> dict[str, str]:
    """Give the image in every form, by names; those that are missing are made with skopeo."""
    plain, archive = work / "plain", work / "image.tar"
    source = f"oci:{work}/layout:gzip"
    copy = ("skopeo", "copy", "-q", "--insecure-policy")
    if not plain.exists():
        subprocess.run([*copy, "--dest-decompress", source, f"dir:{plain}"], check=True)
    if not archive.exists():
        subprocess.run([*copy, source, f"docker-archive:{archive}:bench/derivative:v1"], check=True)
    return {
        "gzip": f"{repository}:gzip",
        "zstd": f"{repository}:zstd",
        "oci": source,
        "dir": f"dir:{plain}",
        "docker-archive": f"docker-archive:{archive}",
    }


def _warm(name: str, runs: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as directory:
        check = (*COSINSPECT, "check", name, "--format", "json", "--cache", directory)
        subprocess.run(check, stdout=subprocess.DEVNULL, check=False)
        costs = _compare(
            "warm", [Contender("imports", (IMPORTS,)), Contender("cosinspect check, warm", (check,))], runs
        )
        warm, imports = costs["cosinspect check, warm"], costs["imports"]
        yield Figure("warm verdict, whole command", warm.wall / imports.wall, "x import requests, rich", 2.0)
        cache = Cache(open_directory(Path(directory), trusted=True))
        times = []
        for _ in range(max(runs, 5) + 1):
            started = time.perf_counter()
            inspect(name, cache=cache)
            times.append((time.perf_counter() - started) * 1000)
        yield Figure("warm verdict, inside a process", statistics.median(times[1:]), "ms", 15)
        yield _lookups(name, cache)


def _lookups(name: str, cache: Cache) -> Figure:
    with open_image(name, cache=cache) as image:
        rootfs = image.read_rootfs()
        paths = [entry.path for entry in rootfs.walk()][:: max(1, len(rootfs) // 5000)]
        started = time.perf_counter()
        for path in paths:
            rootfs.trace(path)
        return Figure(
            "lookups of paths, warm",
            len(paths) / (time.perf_counter() - started),
            "a second",
            1e5,
            at_least=True,
        )


@contextlib.contextmanager
def _small() -> Iterator[str]:
    noise = random.Random(1)
    entries = {f"usr/share/{n % 50}/{n}": noise.randbytes(512) * 6 for n in range(20_000)}
    image = ImageBuilder().layer(entries).layer({"etc/os-release": "ID=small\n"}).build()
    with Registry() as served:
        yield served.push(image, "bench/small:v1")


def _floor(reference: str, initrd: Path | None) -> Contender:
    command = (PYTHON, "-m", "benchmarks.floor", reference)
    return Contender("floor", ((*command, str(initrd)) if initrd is not None else command,))


def _ours(reference: str) -> list[Contender]:
    options = ("--format", "json", "--no-cache")
    return [
        Contender("cosinspect ls -R", ((*COSINSPECT, "ls", reference, "-R", *options),)),
        Contender("cosinspect check", ((*COSINSPECT, "check", reference, *options),)),
    ]


def _peers(reference: str) -> list[Contender]:
    """What a script does today; none of them looks at anything yet."""
    found = []
    if shutil.which("skopeo") and shutil.which("umoci"):
        copy = (
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--src-tls-verify=false",
            f"docker://{reference}",
            "oci:{work}/layout:x",
        )
        unpack = ("umoci", "raw", "unpack", "--image", "{work}/layout:x", "{work}/rootfs")
        found.append(Contender(UMOCI, (copy, unpack), peer=True))
    if shutil.which("crane"):
        piped = f"set -o pipefail; crane export --insecure {reference} - | tar -t > /dev/null"
        found.append(Contender(CRANE, (("bash", "-c", piped),), peer=True))
    if shutil.which("syft"):
        scan = (
            "env",
            "SYFT_REGISTRY_INSECURE_USE_HTTP=true",
            "SYFT_CHECK_FOR_APP_UPDATE=false",
            *("syft", "-q", f"registry:{reference}", "-o", "json"),
        )
        found.append(Contender("syft", (scan,), peer=True))
    return found


def _archive_peers(archive: str) -> list[Contender]:
    """Those that read no registry without a daemon."""
    found = []
    if shutil.which("dive"):
        found.append(Contender("dive --ci", (("dive", f"docker-archive://{archive}", "--ci"),), peer=True))
    if shutil.which("container_inspector_squash"):
        squash = ("container_inspector_squash", archive, "{work}/rootfs")
        made = ("mkdir", "{work}/rootfs")
        found.append(Contender("container-inspector, squash", (made, squash), peer=True))
    return found


def _compare(title: str, contenders: list[Contender], runs: int) -> dict[str, Cost]:
    costs: dict[str, list[Cost]] = {item.name: [] for item in contenders}
    for number in range(runs + 1):
        for item in contenders:
            if item.peer and number > 1:
                continue
            cost = _time(item)
            if number or item.peer:
                costs[item.name].append(cost)
    print(f"\n{title}: {runs} runs, median (least to most)")
    print(f"{'':28}{'wall s':>24}{'cpu s':>9}{'MiB':>7}")
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
        print(f"{name:28}{spread:>24}{middle.cpu:9.2f}{middle.memory:7.0f}", flush=True)
    return medians


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
            # 1 is our verdict on an image that is not what its profile wants, which takes as long.
            if code and (code != 1 or item.peer):
                raise SystemExit(
                    f"{' '.join(command)} ended with {code}: {stderr.decode(errors='replace')[-500:]}"
                )
            cpu += usage.ru_utime + usage.ru_stime
            memory = max(memory, usage.ru_maxrss / 1024)
        return Cost(wall, cpu, memory)


if __name__ == "__main__":
    main()
