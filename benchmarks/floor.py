"""The floor: what reading an image costs whoever verifies it, unpacks its initrd, and does nothing else.

`requests` or files, inflation by isal or zstandard, sha256 of what comes over the wire, the initrd decompressed once, one
thread, nothing parsed: a reader that has to see every byte cannot be much faster.

`python -m benchmarks.floor HOST:PORT/REPOSITORY:TAG|oci:DIR:TAG|dir:DIR|docker-archive:FILE [INITRD]`
"""

from __future__ import annotations

import hashlib
import json
import lzma
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import zstandard
from isal import igzip_lib

ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
READ_BYTES = 256 * 1024
XZ = b"\xfd7zXZ\0"


def main() -> None:
    """Read every layer of the image that the first argument names, and the initrd that the second one is."""
    layers, total = 0, 0
    for digest, read in _layers(sys.argv[1]):
        layers += 1
        total += inflate(read, digest.removeprefix("sha256:"))
    if len(sys.argv) > 2:
        data = Path(sys.argv[2]).read_bytes()
        total += len(lzma.decompress(memoryview(data)[data.index(XZ) :]))
    print(f"{layers} layers, {total} bytes inflated")


def _layers(name: str) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Give each layer's digest, "" where the transport has none, and how to read it."""
    kind, _, rest = name.partition(":")
    if kind == "oci":
        directory, _, tag = rest.rpartition(":")
        blobs = Path(directory) / "blobs/sha256"
        index = json.loads((Path(directory) / "index.json").read_bytes())
        digest = next(
            item["digest"]
            for item in index["manifests"]
            if item["annotations"]["org.opencontainers.image.ref.name"] == tag
        )
        yield from _files(json.loads((blobs / digest[7:]).read_bytes()), blobs)
    elif kind == "dir":
        yield from _files(json.loads((Path(rest) / "manifest.json").read_bytes()), Path(rest))
    elif kind == "docker-archive":
        with tarfile.open(rest) as archive:
            listed = archive.extractfile("manifest.json")
            names = json.load(listed)[0]["Layers"] if listed is not None else []
            for each in names:
                with _member(archive, each) as read:
                    yield "", read
    else:
        yield from _registry(name)


def _files(manifest: dict[str, Any], directory: Path) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    for layer in manifest["layers"]:
        with (directory / layer["digest"][7:]).open("rb", buffering=0) as stream:
            yield layer["digest"], stream.read


@contextmanager
def _member(archive: tarfile.TarFile, name: str) -> Iterator[Callable[[int], bytes]]:
    stream = archive.extractfile(name)
    if stream is None:
        raise SystemExit(f"{name} is no file")
    with stream:
        yield stream.read


def _registry(name: str) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    host, _, rest = name.partition("/")
    repository, _, tag = rest.rpartition(":")
    session = requests.Session()
    base = f"http://{host}/v2/{repository}"
    manifest = session.get(f"{base}/manifests/{tag}", headers={"Accept": ACCEPT}, timeout=30).json()
    for layer in manifest["layers"]:
        digest = layer["digest"]
        with session.get(f"{base}/blobs/{digest}", stream=True, timeout=30) as response:
            yield digest, response.raw.read


def inflate(read: Callable[[int], bytes], expected: str) -> int:
    """Inflate one blob, verify its digest if there is one, and give its uncompressed size."""
    hasher = hashlib.sha256()
    total = 0
    decoder: Any = None
    first = True
    while data := read(READ_BYTES):
        hasher.update(data)
        if first:
            first = False
            if data[:2] == b"\x1f\x8b":
                decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            elif data[:4] == b"\x28\xb5\x2f\xfd":
                decoder = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
        total += len(data) if decoder is None else len(decoder.decompress(data))
    if expected and hasher.hexdigest() != expected:
        raise SystemExit(f"expected sha256:{expected}, found sha256:{hasher.hexdigest()}")
    return total


if __name__ == "__main__":
    main()
