"""What a fleet costs: `python -m benchmarks.fleet [--images N] [--bases N] [--mib N]`.

Makes images over a few base layers, each with a small layer of its own, serves them from a registry of its own process, and scans them:
cold, once more with the cache, and gone on with. The bytes that were served are held against those of the unique layers.
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
from collections import Counter
from pathlib import Path

from cosinspect.testing import ImageBuilder, Registry
from cosinspect.testing.derivative.parts import initrd_of, parts_of


def _image(base: int, number: int, filler: bytes) -> ImageBuilder:
    """Make a derivative over one of the bases, which differ in their first layer and have the same toolkit."""
    parts = parts_of("G2", "amd64")
    return (
        ImageBuilder(platform="linux/amd64")
        .layer({**parts.base, "usr/share/base": filler}, created_by=f"ADD base-{base}.tar /")
        .layer(parts.kernel, created_by="RUN zypper in -y kernel-default")
        .layer(parts.packages, created_by="RUN luet install -y meta/cos-minimal")
        .layer({**parts.boot, parts.initrd_path: initrd_of(parts)}, created_by="RUN dracut")
        .layer({"etc/issue": f"machine {number}\n"}, created_by=f"RUN echo machine {number}", parents=False)
    )


def _scan(directory: Path, names: list[str], *arguments: str) -> tuple[float, float]:
    """Run the command, and give its wall and processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cosinspect", "scan", "--from", "-", "--cache", "cache", "-q", *arguments],
        cwd=directory,
        input="\n".join(names),
        text=True,
        check=False,
    )
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"the scan ended with status {done.returncode}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what a fleet costs")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--bases", type=int, default=40)
    parser.add_argument("--mib", type=float, default=4.0, help="of each base")
    given = parser.parse_args()
    chance = random.Random(1)
    fillers = [chance.randbytes(int(given.mib * 1024 * 1024)) for _ in range(given.bases)]
    directory = Path(tempfile.mkdtemp(prefix="cosinspect-fleet-"))
    try:
        with Registry() as registry:
            names = []
            for number in range(given.images):
                base = number % given.bases
                image = _image(base, number, fillers[base]).build()
                names.append(registry.push(image, f"fleet/os{number}:v1"))
            made = time.strftime("%H:%M:%S")
            print(
                f"{given.images} images over {given.bases} bases of {given.mib:g} MiB, made at {made}",
                flush=True,
            )
            _measure(registry, directory, names)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _measure(registry: Registry, directory: Path, names: list[str]) -> None:
    cold, cold_work = _scan(directory, names, "-o", "scan.jsonl")
    records = [json.loads(line) for line in (directory / "scan.jsonl").read_text().splitlines()]
    layers = {layer["digest"]: layer["size"] for record in records for layer in record["layers"]}
    asked = Counter(
        each.path.rpartition("/")[2]
        for each in registry.requests
        if each.method == "GET" and "/blobs/" in each.path
    )
    unique, served = sum(layers.values()), sum(asked[digest] * size for digest, size in layers.items())
    every = sum(layer["size"] for record in records for layer in record["layers"])
    print(f"  {len(layers)} layers, {unique / 1e6:.1f} MB; all images' layers together {every / 1e6:.1f} MB")
    print(f"  served {served / 1e6:.1f} MB, {served / unique:.3f} of the unique ones")
    warm, warm_work = _scan(directory, names, "-o", "again.jsonl")
    resumed, resumed_work = _scan(directory, names, "-o", "again.jsonl", "--resume")
    for word, wall, work in (
        ("cold", cold, cold_work),
        ("with the cache", warm, warm_work),
        ("gone on with", resumed, resumed_work),
    ):
        count = len(names)
        print(
            f"  {word:<15}{wall:7.1f} s, {count / wall:6.1f} images a second, {1000 * work / count:6.1f} ms of processors each"
        )
    first, second = (
        sorted((directory / f"{name}.jsonl").read_bytes().splitlines()) for name in ("scan", "again")
    )
    print(f"  the same lines each time: {first == second}")


if __name__ == "__main__":
    sys.exit(main())
