"""What many small files cost: `python -m benchmarks.small_files [--files N] [--runs N] [--work DIR]`.

The image is made up: 150,000 files of 4,096 bytes in 3 layers, 500 in a directory. Their text compresses to half of its size, about as
the files of a distribution do. Headers are read from an image of as many files of 10 bytes. Each figure is the processor time of a whole process, the median of its runs; the commands take turns.
Peers run where they are installed, on the same image from a registry; one that does not end with status 0 ends the benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.derivative.registry import registry
from benchmarks.made_layout import MadeLayout
from benchmarks.peers import CRANE, UMOCI, listing_peers
from benchmarks.processes import COSINSPECT, PYTHON, Contender, Figure, compared
from cosinspect.testing import tar_header

__all__ = ["FILES", "figures", "kept_images", "make_image", "rates_of", "served"]

GROUP = "small files"
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


def make_image(directory: Path, files: int = FILES, *, size: int = 2 * HALF) -> str:
    """Write an OCI layout with so many files of `size` bytes, and return its name."""
    noise = random.Random(1)
    bodies = [noise.randbytes(HALF).hex().encode()[:size] for _ in range(BODIES)]
    image = MadeLayout(directory)
    for layer in range(LAYERS):
        image.add_layer(_archive(range(files * layer // LAYERS, files * (layer + 1) // LAYERS), bodies))
    return image.finish()


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


def figures(work: Path, runs: int, *, peers: bool, files: int = FILES) -> Iterator[Figure]:
    """Time listing and checking an image, and reading one of which the headers are half.

    Args:
        work: where the images and other programs are.
        runs: of each command.
        peers: whether other programs run, from a registry.
        files: in the image.
    """
    name, headers = kept_images(work, files)
    options = ("--format", "json", "--no-cache")
    contenders = [
        Contender("floor", ((PYTHON, "-m", "benchmarks.floor", name),)),
        Contender("cosinspect check", ((*COSINSPECT, "check", name, *options),)),
        Contender("cosinspect ls -R", ((*COSINSPECT, "ls", name, "-R", *options),)),
    ]
    with served(name, work) if peers else contextlib.nullcontext("") as reference:
        if reference:
            contenders += listing_peers(reference, work)
        cost = compared(GROUP, contenders, runs, warm_up=False)
    check, listed = cost["cosinspect check"], cost["cosinspect ls -R"]
    yield Figure(GROUP, "cold check, CPU", check.cpu / cost["floor"].cpu, "x floor", 2.0)
    rate = rates_of(headers, runs)
    yield Figure(GROUP, "entries read, with the checks' patterns", rate, "a second", 2e5, at_least=True)
    plain = rates_of(headers, runs, patterns=False)
    yield Figure(GROUP, "entries read, without patterns", plain, "a second", 2.5e5, at_least=True)
    for peer, target in ((CRANE, 3.0), (UMOCI, 5.0)):
        if peer in cost:
            yield Figure(GROUP, f"{peer}, CPU", cost[peer].cpu / listed.cpu, "x ls -R", target, at_least=True)


def rates_of(headers: str, runs: int, *, patterns: bool = True) -> float:
    """Return how many entries of an image are read in a second of one processor, the median of some processes."""
    found = []
    for _ in range(runs):
        command = (PYTHON, "-c", _INDEXING, headers, "patterns" if patterns else "")
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        entries, spent = json.loads(done.stdout)
        found.append(entries / spent)
    return statistics.median(found)


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
        for each in figures(work, given.runs, peers=not given.no_peers, files=given.files):
            print(f"{each.name:44}{each.value:12,.2f} {each.unit}, target {each.target:,g}")


if __name__ == "__main__":
    main()
