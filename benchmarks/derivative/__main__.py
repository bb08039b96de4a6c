"""``python -m benchmarks.derivative``: makes the image, pushes it, serves it."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.derivative.chroot import Chroot, PackageSource, host_source
from benchmarks.derivative.layer import Layer, bare_link, write
from benchmarks.derivative.layout import BuiltLayer, Layout
from benchmarks.derivative.registry import REPOSITORY, push, registry
from benchmarks.derivative.snapshot import Entry, changes, scan
from benchmarks.derivative.stages import STAGES, Stage, keys
from benchmarks.derivative.verify import initrd_lacks, unpack_differences

_PACKAGE_OF = {
    "debootstrap": "debootstrap",
    "skopeo": "skopeo",
    "docker-registry": "docker-registry",
    "zstd": "zstd",
    "gcc": "gcc libc6-dev",
    "unshare": "util-linux",
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Done:
    """What is noted of a stage that was run."""

    key: str
    layer: Layer
    created: str
    seconds: float


class _Build:
    """The stages under one directory: a tree and a note for each that is done."""

    def __init__(self, work: Path, source: PackageSource, *, keep_trees: bool) -> None:
        self._keep_trees = keep_trees
        self._stages = work / "stages"
        self._build = work / "build"
        self._source = source
        self.layout = Layout(work / "layout")
        for directory in (self._stages, self._build):
            directory.mkdir(parents=True, exist_ok=True)

    def tree(self, position: int) -> Path:
        return self._stages / f"{position:02}-{STAGES[position].name}"

    def _note(self, position: int) -> Path:
        return self.tree(position).with_suffix(".json")

    def _done(self, position: int, key: str) -> _Done | None:
        note = self._note(position)
        if not note.exists():
            return None
        fields = json.loads(note.read_bytes())
        done = _Done(**{**fields, "layer": Layer(**fields["layer"])})
        return done if done.key == key and self.layout.blob(done.layer.digest).exists() else None

    def run(self) -> list[BuiltLayer]:
        """Runs what is not done yet and gives the layers.

        One tree goes from stage to stage, unless all are kept: a stage that is begun again needs the tree before it.
        """
        wanted = keys()
        done = [self._done(position, key) for position, key in enumerate(wanted)]
        first = next((position for position, state in enumerate(done) if state is None), len(STAGES))
        while first and not self.tree(first - 1).exists():
            first -= 1  # the tree went on to a later stage, or was removed: make that one again too
        previous = scan(self.tree(first - 1)) if 0 < first < len(STAGES) else {}
        for position in range(first, len(STAGES)):
            done[position], previous = self._run(position, wanted[position], previous)
        return [
            BuiltLayer(state.layer, stage.created_by, state.created)
            for stage, state in zip(STAGES, done, strict=True)
            if state is not None
        ]

    def _run(self, position: int, key: str, previous: dict[str, Entry]) -> tuple[_Done, dict[str, Entry]]:
        stage: Stage = STAGES[position]
        start = time.monotonic()
        tree = self.tree(position)
        self._note(position).unlink(missing_ok=True)
        for leftover in (tree, tree.with_suffix(".partial")):
            shutil.rmtree(leftover, ignore_errors=True)
        partial = tree.with_suffix(".partial")
        if position and self._keep_trees:
            subprocess.run(
                ["cp", "-a", "--reflink=auto", str(self.tree(position - 1)), str(partial)], check=True
            )
        elif position:
            self.tree(position - 1).rename(partial)
        stage.apply(Chroot(partial, self._build, self._source))
        current = scan(partial)
        layer = write(partial, changes(previous, current, stage.opaque), self.layout.blobs)
        partial.rename(tree)
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done = _Done(key, layer, now, round(time.monotonic() - start, 1))
        self._note(position).write_text(json.dumps(dataclasses.asdict(done), indent=1))
        print(
            f"{stage.name:12} {done.seconds:6.1f} s  {layer.size / 1e6:7.1f} MB of {layer.unpacked / 1e6:7.1f} MB, "
            f"{layer.entries} entries, {layer.whiteouts} whiteouts",
            flush=True,
        )
        return done, current


def _check_host(*, verify: bool) -> None:
    wanted = _PACKAGE_OF | ({"umoci": "umoci"} if verify else {})
    missing = [package for program, package in wanted.items() if shutil.which(program) is None]
    if missing:
        sys.exit(f"missing programs; as root: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("must run as root: it makes devices, owners and a chroot")


_TAGS = ("gzip", "zstd", "crosslink")


def _build(work: Path, mirror: str | None, *, keep_trees: bool) -> _Build:
    start = time.monotonic()
    build = _Build(work, host_source(mirror), keep_trees=keep_trees)
    layers = build.run()
    build.layout.tag_image("gzip", layers)
    build.layout.tag_image("zstd", layers, "zstd")
    across = bare_link("usr/share/derivative/links/across", "usr/bin/less", build.layout.blobs)
    build.layout.tag_image(
        "crosslink", [*layers, BuiltLayer(across, "COPY --link across / # buildkit", layers[-1].created)]
    )
    build.layout.prune()
    paths = scan(build.tree(len(STAGES) - 1))
    size = sum(entry.size for entry in paths.values() if entry.path == (entry.same_file or (entry.path,))[0])
    print(
        f"{build.layout.path}: {', '.join(_TAGS)}; {len(layers)} layers, {sum(b.layer.size for b in layers) / 1e6:.1f} MB packed, "
        f"{sum(b.layer.unpacked for b in layers) / 1e6:.1f} MB of tar; {len(paths)} paths, {size / 1e6:.1f} MB of files; "
        f"{time.monotonic() - start:.1f} s"
    )
    return build


def _verify(build: _Build, work: Path) -> None:
    tree = build.tree(len(STAGES) - 1)
    seconds, differences = unpack_differences(build.layout.path, "gzip", tree, work)
    print(
        f"umoci unpack: {seconds:.1f} s, {len(differences)} differences to the tree", *differences, sep="\n  "
    )
    lacking = initrd_lacks(tree)
    print(f"initrd: {'lacks ' + ', '.join(lacking) if lacking else 'holds all that it should'}")
    if differences or lacking:
        sys.exit(1)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.derivative", description=__doc__)
    default = os.environ.get("COSINSPECT_BENCH_DIR") or Path.home() / ".cache" / "cosinspect-bench"
    parser.add_argument(
        "--work", type=Path, default=Path(default), help="where everything is kept (default: %(default)s)"
    )
    parser.add_argument("--mirror", help="Debian mirror; default: the host's own package sources")
    parser.add_argument(
        "--keep-trees", action="store_true", help="keep the tree of every stage: quicker to change the recipe"
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare umoci's tree with the one built, look into the initrd"
    )
    parser.add_argument(
        "--push", action="store_true", help="push to a registry on loopback, print the references"
    )
    parser.add_argument("--serve", action="store_true", help="serve what was pushed, until interrupted")
    parser.add_argument(
        "--port", type=int, help="port of the registry; default: a free one, the same from then on"
    )
    arguments = parser.parse_args()
    work: Path = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if arguments.push or arguments.verify or not arguments.serve:
        _check_host(verify=arguments.verify)
        build = _build(work, arguments.mirror, keep_trees=arguments.keep_trees)
        if arguments.verify:
            _verify(build, work)
    if not (arguments.push or arguments.serve):
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with registry(work, arguments.port) as address:
        if arguments.push:
            for tag in _TAGS:
                push(build.layout.path, tag, address)
        for tag in _TAGS:
            print(f"{address}/{REPOSITORY}:{tag}", flush=True)
        if not arguments.serve:
            print("served by: python -m benchmarks.derivative --serve")
            return
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    _main()
