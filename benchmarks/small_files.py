"""What many small files cost: `python -m benchmarks.small_files [--files N] [--runs N] [--work DIR]`.

The image is made up: 150,000 files of 4,096 bytes in 3 layers, 500 in a directory. Their text compresses to half of its size, about as
the files of a distribution do. Headers are read from an image of as many files of 10 bytes. Each figure is the processor time of a whole process, the median of its runs; the commands take turns.
Peers run where they are installed, on the same image from a registry; one that does not end with status 0 ends the benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.derivative.registry import registry
from cosinspect.testing import tar_header

__all__ = ["CRANE", "FILES", "UMOCI", "Row", "kept_images", "make_image", "rates_of", "rows", "served"]

PYTHON = sys.executable
COSINSPECT = (PYTHON, "-m", "cosinspect")
CRANE, UMOCI = "crane export | tar -t", "skopeo copy + umoci unpack"
FILES, LAYERS, DIRECTORY = 150_000, 3, 500
BODIES = 64
"""Different contents; the next file with the same one is beyond the window of deflate."""
HALF, TINY = 2048, 10

_INDEXING = """
import json, sys, time
from cosinspect import open_image
from cosinspect.checks import CATALOGUE
from cosinspect.layer.retain import Retain
patterns = tuple(dict.fromkeys(pattern for check in CATALOGUE for pattern in check.reads)) if sys.argv[2] else ()
with open_image(sys.argv[1], restartable=False) as image:
    began = time.process_time()
    entries = sum(len(layer.index(Retain(patterns)).entries) for layer in image.layers)
    print(json.dumps([entries, time.process_time() - began]))
"""


@frozen
class Row:
    """One figure: what it is, its value, and what it must reach."""

    name: str
    value: float
    unit: str
    target: float
    at_least: bool


def make_image(directory: Path, files: int = FILES, *, size: int = 2 * HALF) -> str:
    """Write an OCI layout with so many files of `size` bytes, and return its name."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    noise = random.Random(1)
    bodies = [noise.randbytes(HALF).hex().encode()[:size] for _ in range(BODIES)]
    layers, diff_ids = [], []
    for layer in range(LAYERS):
        numbers = range(files * layer // LAYERS, files * (layer + 1) // LAYERS)
        diff_id, descriptor = _write_layer(blobs, numbers, bodies)
        layers.append(descriptor)
        diff_ids.append(diff_id)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": _write_blob(blobs, json.dumps(config).encode(), f"{oci}.config.v1+json"),
        "layers": layers,
    }
    described = _write_blob(blobs, json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{directory}:v1"


def _write_blob(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _write_layer(blobs: Path, numbers: range, bodies: list[bytes]) -> tuple[str, dict[str, Any]]:
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    deflate = zlib.compressobj(1, wbits=31)
    part = blobs / "part"
    with part.open("wb") as file:
        for piece in (*_archive(numbers, bodies), None):
            if piece is not None:
                plain.update(piece)
            data = deflate.flush() if piece is None else deflate.compress(piece)
            packed.update(data)
            size += file.write(data)
    part.rename(blobs / packed.hexdigest())
    media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    descriptor = {"mediaType": media_type, "digest": f"sha256:{packed.hexdigest()}", "size": size}
    return f"sha256:{plain.hexdigest()}", descriptor


def _archive(numbers: range, bodies: list[bytes]) -> Iterator[bytes]:
    parents = ["usr/", "usr/share/"]
    yield b"".join(tar_header(name, typeflag=b"5", mode=0o755) for name in parents)
    for number in numbers:
        directory = f"usr/share/part{number // DIRECTORY:05}/"
        if number == numbers[0] or number % DIRECTORY == 0:
            yield tar_header(directory, typeflag=b"5", mode=0o755)
        body = bodies[number % BODIES]
        yield tar_header(f"{directory}file{number:07}", size=len(body)) + body + bytes(-len(body) % 512)
    yield bytes(1024)


def rows(name: str, headers: str, runs: int, *, peers: str = "") -> Iterator[Row]:
    """Time listing and checking an image, and reading one of which the headers are half.

    Args:
        name: of the image.
        headers: the name of an image of as many files that have next to no content.
        runs: of each command.
        peers: the image's name in a registry that other programs can read, "" to leave them out.
    """
    options = ("--format", "json", "--no-cache")
    commands: dict[str, tuple[tuple[str, ...], ...]] = {
        "floor": ((PYTHON, "-m", "benchmarks.floor", name),),
        "check": ((*COSINSPECT, "check", name, *options),),
        "ls -R": ((*COSINSPECT, "ls", name, "-R", *options),),
        **(_peers(peers) if peers else {}),
    }
    seconds: dict[str, list[float]] = {each: [] for each in commands}
    for _ in range(runs):
        for each, pipeline in commands.items():
            seconds[each].append(_processor_seconds(pipeline))
    cost = {each: statistics.median(found) for each, found in seconds.items()}
    yield Row("check, CPU", cost["check"] / cost["floor"], "x floor", 2.0, at_least=False)
    yield Row(
        "entries read, one core, with the checks' patterns",
        rates_of(headers, runs),
        "a second",
        2e5,
        at_least=True,
    )
    plain = rates_of(headers, runs, patterns=False)
    yield Row("entries read, one core, without patterns", plain, "a second", 2.5e5, at_least=True)
    for peer, target in ((CRANE, 3.0), (UMOCI, 5.0)):
        if peer in cost:
            yield Row(f"{peer}, CPU", cost[peer] / cost["ls -R"], "x ls -R", target, at_least=True)


def rates_of(headers: str, runs: int, *, patterns: bool = True) -> float:
    """Return how many entries of an image are read in a second of one processor, the median of some processes."""
    found = []
    for _ in range(runs):
        command = (PYTHON, "-c", _INDEXING, headers, "patterns" if patterns else "")
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        entries, spent = json.loads(done.stdout)
        found.append(entries / spent)
    return statistics.median(found)


def _peers(reference: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    if shutil.which("crane"):
        piped = f"set -o pipefail; crane export --insecure {reference} - | tar -t > /dev/null"
        found[CRANE] = (("bash", "-c", piped),)
    if shutil.which("skopeo") and shutil.which("umoci"):
        copy = (
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--src-tls-verify=false",
            f"docker://{reference}",
        )
        found[UMOCI] = (
            (*copy, "oci:{work}/layout:x"),
            ("umoci", "raw", "unpack", "--image", "{work}/layout:x", "{work}/rootfs"),
        )
    return found


def _processor_seconds(pipeline: tuple[tuple[str, ...], ...]) -> float:
    total = 0.0
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as work:
        for command in pipeline:
            process = subprocess.Popen(
                [part.replace("{work}", work) for part in command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            with process:
                stderr = process.stderr.read() if process.stderr else b""
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            # 1 is the verdict of a check on an image that is no operating system.
            if process.returncode not in ((0, 1) if "check" in command else (0,)):
                raise SystemExit(
                    f"{' '.join(command)} ended with {process.returncode}: {stderr.decode(errors='replace')[-500:]}"
                )
            total += usage.ru_utime + usage.ru_stime
    return total


@contextlib.contextmanager
def served(name: str, work: Path) -> Iterator[str]:
    """Serve an image from a registry if programs that need one are installed; give its name there, "" without."""
    if not (shutil.which("docker-registry") and shutil.which("skopeo")):
        yield ""
        return
    with registry(work) as address:
        reference = f"{address}/small-files:v1"
        copy = ("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", name)
        subprocess.run((*copy, f"docker://{reference}"), check=True)
        yield reference


def kept_images(work: Path, files: int = FILES, *, only_headers: bool = False) -> tuple[str, str]:
    """Return the names of the image of small files and of that of headers; each is made if it is not there."""
    names = []
    for kind, size in (("small-files", 2 * HALF), ("headers", TINY)):
        layout = work / f"{kind}-{files}"
        if not (layout / "index.json").exists() and not (only_headers and size != TINY):
            make_image(layout, files, size=size)
        names.append(f"oci:{layout}:v1")
    return names[0], names[1]


def main() -> None:
    """Make the image, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_files", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help=f"number of files (default: {FILES})")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command (default: 3)")
    parser.add_argument("--work", type=Path, help="where the image is kept; by default it is made anew")
    parser.add_argument("--no-peers", action="store_true", help="leave other programs out")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = given.work or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cosinspect-bench-"))
        )
        name, headers = kept_images(work, given.files)
        peers = "" if given.no_peers else stack.enter_context(served(name, work))
        print("| figure | value | target | met |\n|---|---|---|---|")
        for row in rows(name, headers, given.runs, peers=peers):
            met = row.value >= row.target if row.at_least else row.value <= row.target
            sign = ">=" if row.at_least else "<="
            print(
                f"| {row.name} | {row.value:,.2f} {row.unit} | {sign} {row.target:,g} | {'yes' if met else 'no'} |"
            )


if __name__ == "__main__":
    main()
