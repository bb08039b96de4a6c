"""The large derivative as eStargz and as zstd:chunked, made by the writers of the field, and what is fetched of it.

`python -m benchmarks.seekable` makes both (some minutes, cached; it needs Go, which downloads the writers) and prints what an
inspection by tables of contents fetches, as the registry counts it, beside the tables and bodies that it asked for.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from benchmarks.derivative.registry import registry
from cosinspect import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.layer.toc import read_table
from cosinspect.layer.toc_layer import TableLayer

__all__ = ["FORMS", "Fetched", "fetched", "make"]

FORMS = {"estargz": "estargz", "chunked": "zstd:chunked"}
"""The forms by the tag that they get."""

WRITERS = Path(__file__).parents[1] / "tests/compat/seekable"
MEDIA = "application/vnd.oci.image.layer.v1.tar+"


@frozen
class Fetched:
    """What came over the wire, and what was asked for.

    Attributes:
        form: the tag.
        wire: bytes of blobs that the registry sent.
        asked: bytes of tables, and of the chunks of the files that checks read, each once.
        total: bytes of all layers.
        requests: for blobs.
    """

    form: str
    wire: int
    asked: int
    total: int
    requests: int


def make(work: Path) -> Path:
    """Give the layout that has both forms, by tag; it is made if it is not there."""
    layout = work / "seekable"
    if (layout / "index.json").exists():
        return layout
    scratch = work / "seekable.part"
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "blobs/sha256").mkdir(parents=True)
    source = work / "layout"
    (manifest,) = _manifests(source, "gzip")
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as directory:
        program = Path(directory) / "seekable"
        subprocess.run(["go", "build", "-o", program, "."], cwd=WRITERS, check=True)
        entries = [_image(source, manifest, scratch, tag, program, Path(directory)) for tag in FORMS]
    (scratch / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (scratch / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    scratch.rename(layout)
    return layout


def _manifests(layout: Path, tag: str) -> Iterator[dict[str, Any]]:
    for each in json.loads((layout / "index.json").read_bytes())["manifests"]:
        if each["annotations"]["org.opencontainers.image.ref.name"] == tag:
            yield json.loads(_blob(layout, each["digest"]).read_bytes())


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def _image(
    source: Path, manifest: dict[str, Any], target: Path, tag: str, program: Path, scratch: Path
) -> dict[str, Any]:
    """Write one form of the image, and give its line of the index."""
    config = json.loads(_blob(source, manifest["config"]["digest"]).read_bytes())
    layers, diff_ids = [], []
    for each in manifest["layers"]:
        archive, made, plain = scratch / "layer.tar", scratch / "layer", scratch / "plain"
        with gzip.open(_blob(source, each["digest"])) as packed, archive.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
        command = [program, FORMS[tag], archive, made]
        annotations = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        inflate = ["gzip", "-dc"] if tag == "estargz" else ["zstd", "-dc"]
        with made.open("rb") as packed, plain.open("wb") as out:
            subprocess.run(inflate, stdin=packed, stdout=out, check=True)
        diff_ids.append(f"sha256:{_sha256(plain)}")
        layers.append(_keep(target, made, MEDIA + ("gzip" if tag == "estargz" else "zstd")))
        layers[-1]["annotations"] = annotations
    config["rootfs"]["diff_ids"] = diff_ids
    described = _write(target, json.dumps(config).encode(), manifest["config"]["mediaType"])
    document = {**manifest, "config": described, "layers": layers}
    entry = _write(target, json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json")
    return {**entry, "annotations": {"org.opencontainers.image.ref.name": tag}}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _keep(target: Path, path: Path, media: str) -> dict[str, Any]:
    digest = f"sha256:{_sha256(path)}"
    size = path.stat().st_size
    shutil.move(path, _blob(target, digest))
    return {"mediaType": media, "digest": digest, "size": size}


def _write(target: Path, data: bytes, media: str) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _blob(target, digest).write_bytes(data)
    return {"mediaType": media, "digest": digest, "size": len(data)}


def fetched(work: Path) -> Iterator[Fetched]:
    """Inspect both forms by their tables of contents, from the registry, every check run."""
    layout = make(work)
    log = work / "registry.log"
    with registry(work, access_log=True) as address:
        for tag in FORMS:
            copy = ("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false")
            target = f"docker://{address}/seekable:{tag}"
            subprocess.run([*copy, f"oci:{layout}:{tag}", target], check=True)
            name = f"{address}/seekable:{tag}"
            with open_image(name) as image:
                layers = {str(layer.descriptor.digest): layer.descriptor.size for layer in image.layers}
                tables = sum(read_table(layer.source, layer.descriptor).fetched for layer in image.layers)
            before = log.stat().st_size if log.exists() else 0
            with _listening() as bodies:
                report = inspect(name, trust_tables=True)
            if not report.provisional:
                raise SystemExit(f"{name} was read whole")
            with log.open("rb") as stream:
                stream.seek(before)
                answers = _answers(stream.read().decode(), layers)
            yield Fetched(tag, sum(answers), tables + bodies.asked, sum(layers.values()), len(answers))


def _answers(log: str, layers: dict[str, int]) -> list[int]:
    """Give the bytes of each answer for a layer, as the registry's log has them."""
    found = []
    for line in log.splitlines():
        answer = re.search(r'"GET /v2/[^ ]*/blobs/(sha256:[0-9a-f]{64}) HTTP/1.1" 20[06] (\d+)', line)
        if answer and answer[1] in layers:
            found.append(int(answer[2]))
    return found


class _listening:  # noqa: N801 - a context
    """Counts what is asked for: tables, and the compressed bytes of files, each file once."""

    def __enter__(self) -> Self:
        self.asked = 0
        seen: set[tuple[str, int]] = set()
        self._open = TableLayer.open

        def counted(layer: TableLayer, entry: Any) -> Any:
            key = (str(layer.table.digest), entry.data)
            if key not in seen:
                seen.add(key)
                listed = layer.table.entries[entry.data]
                for chunk in listed.chunks:
                    if not chunk.zeros:
                        self.asked += layer.table.end_of(listed, chunk) - chunk.offset
            return self._open(layer, entry)

        TableLayer.open = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        TableLayer.open = self._open  # type: ignore[method-assign]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seekable", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache/cosinspect-bench")
    arguments = parser.parse_args()
    for each in fetched(arguments.work):
        sys.stdout.write(f"{each}\n")


if __name__ == "__main__":
    main()
