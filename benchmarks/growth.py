"""How cost grows with entries, layers and images: `python -m benchmarks.growth [--quick] [--plots DIR] [--json FILE]`.

Images are made up: layers of small files, as an OCI layout. What is asked of each is one inspection without a cache, one with it, and
lookups of random paths; each inspection is a process of its own, so that its memory is its own. The last curve is what the n-th image
on a common base costs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from cosinspect import open_image
from cosinspect.cache import Cache, open_directory
from cosinspect.testing import ImageBuilder
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
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    descriptors, diff_ids = [], []
    for layer in range(layers):
        first, last = entries * layer // layers, entries * (layer + 1) // layers
        diff_id, digest, size = _layer(blobs, range(first, last))
        diff_ids.append(diff_id)
        descriptors.append(
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}
        )
    if differ:
        archive = _header("opt/.wh..wh..opq", 0, b"0") + bytes(2 * BLOCK)
        diff_ids.append(f"sha256:{hashlib.sha256(archive).hexdigest()}")
        descriptors.append(_blob(blobs, archive, "application/vnd.oci.image.layer.v1.tar"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": _blob(blobs, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": descriptors,
    }
    index = {"schemaVersion": 2, "manifests": [_blob(blobs, json.dumps(manifest).encode(), manifest_type)]}
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{directory}"


def _blob(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _layer(blobs: Path, numbers: range) -> tuple[str, str, int]:
    """Write a layer piece by piece; give its diff_id, its digest, its size."""
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    squeeze = zlib.compressobj(1, wbits=31)
    part = blobs / "part"
    with part.open("wb") as file:
        for piece in (*_archive(numbers), None):
            if piece is not None:
                plain.update(piece)
            data = squeeze.compress(piece) if piece is not None else squeeze.flush()
            packed.update(data)
            size += file.write(data)
    part.rename(blobs / packed.hexdigest())
    return f"sha256:{plain.hexdigest()}", f"sha256:{packed.hexdigest()}", size


def path_of(number: int) -> str:
    """Name a file."""
    return f"usr/share/part{number // DIRECTORY:05}/file{number:07}"


def _archive(numbers: range) -> Iterator[bytes]:
    pieces: list[bytes] = []
    for number in numbers:
        if number % DIRECTORY == 0 or number == numbers[0]:
            pieces.append(_header(f"{path_of(number).rpartition('/')[0]}/", 0, b"5"))
        body = b"%d\n" % number
        pieces.append(_header(path_of(number), len(body), b"0") + body.ljust(BLOCK, b"\0"))
        if len(pieces) >= 1000:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces) + bytes(2 * BLOCK)


def _header(name: str, size: int, kind: bytes) -> bytes:
    head = (
        name.encode().ljust(100, b"\0")
        + b"0000644\0"
        + b"0000000\0" * 2
        + b"%011o\0" % size
        + b"00000000000\0"
    )
    tail = kind + bytes(100) + b"ustar\x0000" + bytes(247)
    checksum = sum(head) + 8 * 32 + sum(tail)
    return head + b"%06o\0 " % checksum + tail


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


def many_names(entries: int, layers: int, work: Path) -> list[tuple[str, float, str, float, bool]]:
    """Measure what many names cost: give name, value, unit and target of each figure, and whether it is to be at least that."""
    place = Path(tempfile.mkdtemp(dir=work))
    name = made(place / "image", entries, layers)
    plain = measured(name, None, 1)
    cached = measured(name, place / "cache", 1)
    first, _ = lookups(name, place / "cache", entries)
    tree = json.loads(_python(_TREE, name))
    differing = measured(made(place / "other", entries, layers, differ=True), None, 1)
    shutil.rmtree(place)
    return [
        ("check, peak memory", plain["memory"], "MiB", 300, False),
        ("check, CPU", plain["runs"][0][1], "s", 0, False),
        ("check that fills a cache, peak memory", cached["memory"], "MiB", 300, False),
        ("check of layers that readers read differently, peak memory", differing["memory"], "MiB", 0, False),
        ("full garbage collection with the tree at hand, CPU", 1000 * tree["collection"], "ms", 50, False),
        ("lookups in a cached tree, each path for the first time, a second of CPU", first, "", 50_000, True),
        ("history of a missing path, CPU", 1000 * tree["missing"], "ms", 5, False),
    ]


def _print_table(title: str, figures: list[tuple[str, float, str, float, bool]]) -> None:
    print(f"\n| {title} | value | target | met |\n|---|---|---|---|")
    for name, value, unit, target, at_least in figures:
        wanted = f"{'>=' if at_least else '<='} {target:g}" if target else ""
        met = ("yes" if (value >= target if at_least else value <= target) else "no") if target else ""
        print(f"| {name} | {value:,.{0 if value > 100 else 1}f} {unit} | {wanted} | {met} |")


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
        _print_table(f"{most:,} entries in 20 layers", names)
        if given.names:
            return 0
        print(f"growth with entries, up to {most}")
        figures: dict[str, Any] = {"names": names}
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
