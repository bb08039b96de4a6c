"""Time cosinspect, the floor and the peers on the same images, in turn, in one run: `python -m benchmarks`.

`--quick` does so on a made-up image and holds the ratios against `baseline.json`: one that is half as much again as it was
is a regression, and the status is 1.

The figures are ratios of whole processes; quote them with the table of the run that they are from. `python -m benchmarks.tables FILE`
writes the figures of `--json FILE` into the pages.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
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

from benchmarks import large_initrd, small_files
from benchmarks.derivative.registry import registry
from benchmarks.growth import many_names
from benchmarks.peers import DEFAULT_WORK, archive_peers, listing_peers, scanning_peers
from benchmarks.processes import COSINSPECT, IMPORTS, PYTHON, Contender, Figure, compared
from benchmarks.seekable import fetched
from benchmarks.small_files import kept_images, rates_of
from benchmarks.start import starts
from benchmarks.tables import machine, record, table
from cosinspect import inspect, open_image
from cosinspect.cache import Cache, open_directory
from cosinspect.testing import ImageBuilder, Registry

BASELINE = Path(__file__).with_name("baseline.json")
REGRESSION = 1.5
ROWS = ("start", "large-initrd", "small-files", "names")
FORMS = ("gzip", "zstd", "oci", "dir", "docker-archive")


def main() -> None:
    """Parse arguments, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where images and peers are kept")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default: 5)")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=(*ROWS, *FORMS, "warm", "tables"),
        default=list(ROWS),
        metavar="ROWS",
        help=f"which rows: {', '.join(ROWS)} (the default), which need no other image; "
        f"{', '.join(FORMS)}, warm, tables, of the image that benchmarks.derivative made",
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
    work, rows = arguments.work, set(arguments.rows)
    if rows - set(ROWS) and not (work / "layout/index.json").exists():
        parser.error(f"there is no image in {work}: make it with python -m benchmarks.derivative --push")
    work.mkdir(parents=True, exist_ok=True)
    figures = []
    for each in _figures(work, arguments.runs, rows, peers=not arguments.no_peers):
        figures.append(each)
        if arguments.json:  # also if a later row fails
            arguments.json.write_text(json.dumps(record(figures), indent=1) + "\n")
    print(f"\n{machine()}\n")
    print(table(figures))


def _figures(work: Path, runs: int, rows: set[str], *, peers: bool) -> Iterator[Figure]:
    if "start" in rows:
        yield from starts(max(runs, 9))
    if "large-initrd" in rows:
        yield from large_initrd.figures(work, runs, peers=peers)
    if "small-files" in rows:
        yield from small_files.figures(work, runs, peers=peers)
    if "names" in rows:
        yield from _names(work)
    forms = [form for form in FORMS if form in rows]
    if forms:
        yield from _derivative(work, runs, forms, peers=peers)
    if "warm" in rows:
        yield from _warm(f"oci:{work}/layout:gzip", runs)
    if "tables" in rows and shutil.which("go"):
        for each in fetched(work):
            name = f"bytes fetched, {each.form} ({each.wire / each.total:.0%} of the layers)"
            yield Figure("tables of contents", name, each.wire / each.asked, "x tables and bodies", 1.05)


def _names(work: Path) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir=work, prefix="names-") as place:
        yield from many_names(1_000_000, 20, Path(place))


def _derivative(work: Path, runs: int, forms: list[str], *, peers: bool) -> Iterator[Figure]:
    (initrd,) = (work / "stages/10-identity/boot").glob("initrd-*")
    with registry(work) as address:
        names = _forms(work, f"{address}/derivative")
        for form in forms:
            group, reference = f"derivative, {form}", names[form]
            contenders = [_floor(reference, initrd), *_ours(reference)]
            if peers and form == "gzip":
                contenders += [*listing_peers(reference, work), *scanning_peers(reference, work)]
            if peers and form == "docker-archive":
                contenders += archive_peers(Path(reference.partition(":")[2]), work)
            costs = compared(group, contenders, runs)
            yield from large_initrd.beside_the_floor(group, costs)
            yield from large_initrd.beside_peers(group, costs)


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
        costs = compared("small", contenders, 5)
    floor, imports = costs["floor"], costs["imports"]
    ratios = {
        "check, CPU, x floor": costs["cosinspect check"].cpu / floor.cpu,
        "check, wall, x floor": costs["cosinspect check"].wall / floor.wall,
        "ls -R, CPU, x floor": costs["cosinspect ls -R"].cpu / floor.cpu,
        "warm, CPU, x imports": costs["warm"].cpu / imports.cpu,
    }
    ratios.update((f"{row.name}, x imports", row.value) for row in starts(5))
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
        contenders = [Contender("imports", (IMPORTS,)), Contender("cosinspect check, warm", (check,))]
        costs = compared("warm", contenders, runs)
        warm, imports = costs["cosinspect check, warm"], costs["imports"]
        yield Figure("warm", "whole command, wall", warm.wall / imports.wall, "x imports", 0.5)
        cache = Cache(open_directory(Path(directory), trusted=True))
        times = []
        for _ in range(max(runs, 5) + 1):
            started = time.perf_counter()
            inspect(name, cache=cache)
            times.append((time.perf_counter() - started) * 1000)
        yield Figure("warm", "inside a process", statistics.median(times[1:]), "ms", 15)
        yield _lookups(name, cache)


def _lookups(name: str, cache: Cache) -> Figure:
    with open_image(name, cache=cache) as image:
        rootfs = image.read_rootfs()
        paths = [entry.path for entry in rootfs.walk()][:: max(1, len(rootfs) // 5000)]
        started = time.perf_counter()
        for path in paths:
            rootfs.trace(path)
        rate = len(paths) / (time.perf_counter() - started)
        return Figure("warm", "lookups of paths", rate, "a second", 1e5, at_least=True)


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


if __name__ == "__main__":
    main()
