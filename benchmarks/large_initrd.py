"""An image with a large xz initrd, made of this machine's own files: `python -m benchmarks.large_initrd [--runs N] [--work DIR]`.

Its lowest layers are 700 MB of the files below /usr/share and /usr/bin; above them are the layers of the small derivative of
`cosinspect.testing`. The initrd is the derivative's, and behind it an archive of 250 MB of the machine's libraries, compressed by
xz as dracut calls it. It is made once, in a minute or two, and kept.
"""

from __future__ import annotations

import argparse
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from benchmarks.derivative.registry import registry
from benchmarks.made_layout import MadeLayout
from benchmarks.peers import CRANE, DEFAULT_WORK, UMOCI, archive_peers, listing_peers, scanning_peers
from benchmarks.processes import COSINSPECT, PYTHON, Contender, Cost, Figure, compared
from cosinspect.testing import tar_header
from cosinspect.testing.derivative import derivative

__all__ = ["LargeInitrd", "figures", "made"]

GROUP = "large xz initrd"
LAYER_BYTES, INITRD_BYTES = 350_000_000, 250_000_000
LARGEST = 50_000_000
OPTIONS = ("--format", "json", "--no-cache")
CHECK, LIST, FLOOR = "cosinspect check", "cosinspect ls -R", "floor"


@frozen
class LargeInitrd:
    """The image, and what is beside it.

    Attributes:
        name: of the image in a layout.
        initrd: a file with the same initrd, for the floor.
        archive: the image as `docker save` writes it.
    """

    name: str
    initrd: Path
    archive: Path


def made(work: Path) -> LargeInitrd:
    """Return the image; make it if it is not there."""
    place = work / "large-initrd"
    layout, initrd, archive = place / "layout", place / "initrd", place / "image.tar"
    if not (layout / "index.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        _write_initrd(initrd)
        image = MadeLayout(layout)
        for directory in ("/usr/share", "/usr/bin"):
            image.add_layer(_archived(_files(Path(directory), LAYER_BYTES)))
        for tar in derivative(None).tars:
            image.add_layer(_with_initrd(tar, initrd))
        image.finish()
    name = f"oci:{layout}:v1"
    if not archive.exists():
        copy = ("skopeo", "copy", "-q", "--insecure-policy", name)
        subprocess.run([*copy, f"docker-archive:{archive}:bench/large-initrd:v1"], check=True)
    return LargeInitrd(name, initrd, archive)


def _files(top: Path, most: int) -> Iterator[Path]:
    """Yield regular files in order until they have so many bytes."""
    total = 0
    for directory, names, files in os.walk(top):
        names.sort()
        for path in (Path(directory, name) for name in sorted(files)):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST or len(os.fsencode(path)) > 100:
                continue
            total += status.st_size
            if total > most:
                return
            yield path


def _archived(paths: Iterator[Path]) -> Iterator[bytes]:
    directories = {Path("/")}
    for path in paths:
        for parent in reversed(path.parents):
            if parent not in directories:
                directories.add(parent)
                yield tar_header(f"{str(parent)[1:]}/", typeflag=b"5", mode=0o755)
        data = path.read_bytes()
        yield tar_header(str(path)[1:], size=len(data)) + data + bytes(-len(data) % 512)
    yield bytes(1024)


def _with_initrd(tar: bytes, initrd: Path) -> Iterator[bytes]:
    """Yield a layer with the large initrd in place of its own."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        own = [item for item in archive if item.isfile() and item.name.startswith("boot/initrd-")]
    if not own:
        yield tar
        return
    (item,) = own
    end = item.offset_data + item.size
    data = initrd.read_bytes()
    yield tar[: item.offset]
    yield tar_header(item.name, size=len(data)) + data + bytes(-len(data) % 512)
    yield tar[end + -end % 512 :]


def _write_initrd(path: Path) -> None:
    for tar in derivative(None).tars:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for item in archive:
                stream = archive.extractfile(item) if item.name.startswith("boot/initrd-") else None
                if stream is not None:
                    own = stream.read()
    names = "\0".join(str(each)[1:] for each in _files(Path("/usr/lib"), INITRD_BYTES))
    cpio = ("cpio", "--null", "--create", "--quiet", "--format=newc", "--directory=/")
    xz = ("xz", "--check=crc32", "--lzma2=dict=1MiB", "-T0")
    with path.with_name("initrd.part").open("wb") as file:
        file.write(own + bytes(-len(own) % 4))
        file.flush()
        with subprocess.Popen(cpio, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as archiver:
            with subprocess.Popen(xz, stdin=archiver.stdout, stdout=file) as compressor:
                assert archiver.stdin is not None
                archiver.stdin.write(os.fsencode(names))
                archiver.stdin.close()
            if archiver.wait() or compressor.returncode:
                raise SystemExit("the initrd cannot be made with cpio and xz")
    path.with_name("initrd.part").rename(path)


def figures(work: Path, runs: int, *, peers: bool) -> Iterator[Figure]:
    """Time the floor, cosinspect and the peers on the image from a registry, and on its archive."""
    image = made(work)
    with registry(work) as address:
        reference = f"{address}/large-initrd:v1"
        copy = ("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", image.name)
        subprocess.run((*copy, f"docker://{reference}"), check=True)
        contenders = [
            Contender(FLOOR, ((PYTHON, "-m", "benchmarks.floor", reference, str(image.initrd)),)),
            Contender(CHECK, ((*COSINSPECT, "check", reference, *OPTIONS),)),
            Contender(LIST, ((*COSINSPECT, "ls", reference, "-R", *OPTIONS),)),
        ]
        if peers:
            contenders += [*listing_peers(reference, work), *scanning_peers(reference, work)]
        costs = compared(f"{GROUP}, registry", contenders, runs)
    yield from beside_the_floor(GROUP, costs)
    yield from beside_peers(GROUP, costs)
    others = archive_peers(image.archive, work) if peers else []
    if others:
        own = Contender(CHECK, ((*COSINSPECT, "check", f"docker-archive:{image.archive}", *OPTIONS),))
        costs = compared(f"{GROUP}, docker-archive", [own, *others], min(runs, 3), warm_up=False)
        yield from beside_peers(GROUP, costs)


def beside_the_floor(group: str, costs: dict[str, Cost]) -> Iterator[Figure]:
    """Hold a check against the floor."""
    floor, check = costs[FLOOR], costs[CHECK]
    yield Figure(group, "cold check, CPU", check.cpu / floor.cpu, "x floor", 1.2)
    yield Figure(group, "cold check, wall", check.wall / floor.wall, "x floor", 1.0)
    yield Figure(group, "cold check, peak memory", check.memory, "MiB", 160)


def beside_peers(group: str, costs: dict[str, Cost]) -> Iterator[Figure]:
    """Hold other programs against a check, and those that only list an image against a list."""
    for name, least in ((CRANE, 3.0), (UMOCI, 5.0)):
        if name in costs and LIST in costs:
            yield Figure(
                group, f"{name}, CPU", costs[name].cpu / costs[LIST].cpu, "x ls -R", least, at_least=True
            )
    for name, cost in costs.items():
        if name not in (FLOOR, CHECK, LIST, CRANE):
            yield Figure(group, f"{name}, wall", cost.wall / costs[CHECK].wall, "x check", 3.0, at_least=True)


def main() -> None:
    """Make the image, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_initrd", description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where the image is kept")
    parser.add_argument("--make", action="store_true", help="only make the image")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command (default: 3)")
    given = parser.parse_args()
    made(given.work)
    for each in () if given.make else figures(given.work, given.runs, peers=True):
        print(f"{each.name:44}{each.value:8.2f} {each.unit}, target {each.target}")


if __name__ == "__main__":
    main()
