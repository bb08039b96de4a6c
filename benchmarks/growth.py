"""How cost grows with entries, layers and images: `python -m benchmarks.growth [--quick] [--plots DIR] [--json FILE]`.

Images are made up: layers of small files, as an OCI layout. What is asked of each is one inspection without a cache, one with it, and
lookups of random paths; each inspection is a process of its own, so that its memory is its own. The last curve is what the n-th image
on a common base costs.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from attrs import asdict

from benchmarks.made_layout import MadeLayout
from benchmarks.processes import Figure
from cosinspect import open_image
from cosinspect.cache import Cache, open_directory
from cosinspect.testing import ImageBuilder, tar_header
from cosinspect.testing.derivative import derivative

BLOCK = 512
DIRECTORY = 500
"""Files of one directory."""
LOOKUPS = 20_000
ENTRIES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
LAYERS = (1, 5, 20, 60, 127)
IMAGES = 200

_INSPECTION = """
import json, sys, time
from pathlib import Path
from cosinspect import inspect
from cosinspect.cache import Cache, open_directory
name, place, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
cache = Cache(open_directory(Path(place), trusted=True)) if place else None
found = []
for _ in range(times):
    began, worked = time.perf_counter(), time.process_time()
    inspect(name, profile="boot", cache=cache)
    found.append((time.perf_counter() - began, time.process_time() - worked))
# Not what getrusage tells: that begins with the largest size of the process that started this one.
memory = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"runs": found, "memory": memory}))
"""

_INDEXING = """
import json, sys, time
from cosinspect import open_image
with open_image(sys.argv[1]) as image:
    (layer,) = image.layers
    began, worked = time.perf_counter(), time.process_time()
    index = layer.index()
    print(json.dumps([len(index.entries), time.perf_counter() - began, time.process_time() - worked]))
"""


_TREE = """
import gc, json, sys, time
from cosinspect import open_image
with open_image(sys.argv[1]) as image:
    rootfs = image.read_rootfs()
    began = time.process_time()
    gc.collect()
    collection = time.process_time() - began
    paths = [f"usr/share/part00000/none{number}" for number in range(100)]
    began = time.process_time()
    for path in paths:
        rootfs.history(path)
    print(json.dumps({"collection": collection, "missing": (time.process_time() - began) / len(paths)}))
"""


def made(directory: Path, entries: int, layers: int, *, differ: bool = False) -> str:
    """Make an image of so many small files in so many layers, and give its name; with a layer on top that readers read differently."""
    image = MadeLayout(directory)
    for layer in range(layers):
        image.add_layer(_archive(range(entries * layer // layers, entries * (layer + 1) // layers)))
    if differ:
        image.add_layer([tar_header("opt/.wh..wh..opq"), bytes(2 * BLOCK)], packed=False)
    return image.finish()


def path_of(number: int) -> str:
    """Name a file."""
    return f"usr/share/part{number // DIRECTORY:05}/file{number:07}"


def _archive(numbers: range) -> Iterator[bytes]:
    pieces: list[bytes] = []
    for number in numbers:
        if number % DIRECTORY == 0 or number == numbers[0]:
            pieces.append(tar_header(f"{path_of(number).rpartition('/')[0]}/", typeflag=b"5", mode=0o755))
        body = b"%d\n" % number
        pieces.append(tar_header(path_of(number), size=len(body)) + body.ljust(BLOCK, b"\0"))
        if len(pieces) >= 1000:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces) + bytes(2 * BLOCK)


def measured(name: str, cache: Path | None, times: int) -> dict[str, Any]:
    """Inspect in a process of its own; give wall and processor seconds of each time, and its memory in MiB."""
    found: dict[str, Any] = json.loads(_python(_INSPECTION, name, str(cache or ""), str(times)))
    return found


def _python(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def lookups(name: str, cache: Path, entries: int) -> tuple[float, float]:
    """Look random paths up in a tree that is kept, each for the first time and once more; give how many a second of CPU."""
    chosen = [path_of(number) for number in random.Random(1).sample(range(entries), min(LOOKUPS, entries))]
    with open_image(name, cache=Cache(open_directory(cache, trusted=True))) as image:
        rootfs = image.read_rootfs()
        rootfs.lstat(f"/{chosen[0]}")
        found = []
        for _ in range(2):
            began = time.process_time()
            for path in chosen:
                rootfs.lstat(f"/{path}")
            found.append(len(chosen) / (time.process_time() - began))
        return found[0], found[1]


def curve(points: Iterator[tuple[int, int]], work: Path) -> list[dict[str, Any]]:
    """Measure images of so many entries in so many layers."""
    found = []
    for entries, layers in points:
        place = Path(tempfile.mkdtemp(dir=work))
        name = made(place / "image", entries, layers)
        cold = measured(name, None, 1)
        cache = place / "cache"
        measured(name, cache, 1)
        warm = measured(name, cache, 6)
        first, again = lookups(name, cache, entries)
        row = {
            "entries": entries,
            "layers": layers,
            "cold": cold["runs"][0][0],
            "cold_cpu": cold["runs"][0][1],
            "memory": cold["memory"],
            "warm": sorted(wall for wall, _ in warm["runs"][1:])[2],
            "lookups": first,
            "lookups_again": again,
        }
        if layers == 1:
            count, wall, cpu = json.loads(_python(_INDEXING, name))
            row |= {"indexed": count / wall, "indexed_cpu": count / cpu}
        print(
            f"  {entries:>9} entries, {layers:>3} layers: cold {row['cold']:6.2f} s, {row['memory']:5.0f} MiB, "
            f"warm {1000 * row['warm']:6.1f} ms, {first:8.0f} lookups a second, {again:8.0f} again"
            + (f", {row['indexed']:8.0f} entries a second" if layers == 1 else ""),
            flush=True,
        )
        found.append(row)
        shutil.rmtree(place)
    return found


def many_names(entries: int, layers: int, work: Path) -> list[Figure]:
    """Measure what many names cost."""
    group = f"{entries:,} entries in {layers} layers"
    place = Path(tempfile.mkdtemp(dir=work))
    name = made(place / "image", entries, layers)
    plain = measured(name, None, 1)
    cached = measured(name, place / "cache", 1)
    first, _ = lookups(name, place / "cache", entries)
    tree = json.loads(_python(_TREE, name))
    differing = measured(made(place / "other", entries, layers, differ=True), None, 1)
    shutil.rmtree(place)
    collection, missing = 1000 * tree["collection"], 1000 * tree["missing"]
    return [
        Figure(group, "check, peak memory", plain["memory"], "MiB", 300),
        Figure(group, "check, CPU", plain["runs"][0][1], "s", None),
        Figure(group, "check that fills a cache, peak memory", cached["memory"], "MiB", 300),
        Figure(
            group,
            "check of layers that readers read differently, peak memory",
            differing["memory"],
            "MiB",
            None,
        ),
        Figure(group, "full garbage collection with the tree at hand, CPU", collection, "ms", 50),
        Figure(
            group,
            "lookups in a cached tree, each path for the first time",
            first,
            "a second of CPU",
            5e4,
            at_least=True,
        ),
        Figure(group, "history of a missing path, CPU", missing, "ms", 5),
    ]


def siblings(count: int, work: Path) -> list[float]:
    """Inspect images on a common base one after the other, with one cache; give what each took."""
    place = Path(tempfile.mkdtemp(dir=work))
    cache = Cache(open_directory(place / "cache", trusted=True))
    inspect = import_module("cosinspect").inspect
    found = []
    base = derivative()
    for number in range(count):
        builder = ImageBuilder(platform="linux/amd64")
        for tar in base.tars:
            builder = builder.raw_layer(tar)
        image = builder.layer({f"etc/machine{number}": f"{number}\n"}).build()
        name = image.write_layout(place / f"image{number}")
        began = time.perf_counter()
        inspect(name, profile="cos", cache=cache)
        found.append(time.perf_counter() - began)
    shutil.rmtree(place)
    return found


def plot(figures: dict[str, Any], directory: Path) -> None:
    """Draw the curves (extra `bench`)."""
    pyplot = import_module("matplotlib.pyplot")
    directory.mkdir(parents=True, exist_ok=True)
    for title, key in (("entries", "entries"), ("layers", "layers")):
        rows = figures[title]
        figure, (cold, warm) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
        at = [row[key] for row in rows]
        cold.plot(at, [row["cold"] for row in rows], marker="o", clip_on=False)
        cold.set(title=f"cold, by {title}", xlabel=title, ylabel="seconds", ylim=(0, None))
        warm.plot(at, [1000 * row["warm"] for row in rows], marker="o", color="tab:green", clip_on=False)
        warm.set(title=f"warm, by {title}", xlabel=title, ylabel="milliseconds", ylim=(0, None))
        figure.savefig(directory / f"{title}.svg")
    figure, axes = pyplot.subplots(figsize=(9, 3), layout="constrained")
    axes.plot([1000 * seconds for seconds in figures["images"]])
    axes.set(title="the n-th image on a common base", xlabel="n", ylabel="milliseconds", ylim=(0, None))
    figure.savefig(directory / "images.svg")


def main() -> int:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description="how cost grows")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--plots", type=Path, help="where drawings go (extra bench)")
    parser.add_argument("--json", type=Path, help="where figures go")
    parser.add_argument("--names", action="store_true", help="only what many names cost")
    given = parser.parse_args()
    share = 10 if given.quick else 1
    work = Path(tempfile.mkdtemp(prefix="cosinspect-growth-"))
    try:
        most = ENTRIES[-1] // share
        names = many_names(most, 20, work)
        for each in names:
            print(f"{each.name:64}{each.value:12,.1f} {each.unit}, target {each.target}")
        if given.names:
            return 0
        print(f"growth with entries, up to {most}")
        figures: dict[str, Any] = {"names": [asdict(each) for each in names]}
        figures["entries"] = curve(((entries // share, 1) for entries in ENTRIES), work)
        print(f"growth with layers, {most} entries")
        figures["layers"] = curve(((most, layers) for layers in LAYERS), work)
        print("images on a common base")
        figures["images"] = siblings(IMAGES // share, work)
        first, rest = figures["images"][0], sorted(figures["images"][1:])
        print(f"  the first {1000 * first:.1f} ms, the others' median {1000 * rest[len(rest) // 2]:.1f} ms")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process {peak:.0f} MiB")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    if given.plots:
        plot(figures, given.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
