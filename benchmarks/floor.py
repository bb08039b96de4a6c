"""The floor: what reading an image from a registry costs whoever verifies it and does nothing else.

`requests`, inflation by isal or zstandard, sha256 of what comes over the wire, one thread, nothing parsed: a reader
that has to see every byte cannot be much faster. Run as `python -m benchmarks.floor HOST:PORT/REPOSITORY:TAG`.
"""

from __future__ import annotations

import hashlib
import sys

import requests
import zstandard
from isal import igzip_lib

ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
READ_BYTES = 256 * 1024


def main() -> None:
    """Read every layer of the image that the first argument names."""
    host, _, rest = sys.argv[1].partition("/")
    repository, _, tag = rest.rpartition(":")
    session = requests.Session()
    base = f"http://{host}/v2/{repository}"
    manifest = session.get(f"{base}/manifests/{tag}", headers={"Accept": ACCEPT}, timeout=30).json()
    total = 0
    for layer in manifest["layers"]:
        digest = layer["digest"]
        with session.get(f"{base}/blobs/{digest}", stream=True, timeout=30) as response:
            total += inflate(response.raw, digest.removeprefix("sha256:"))
    print(f"{len(manifest['layers'])} layers, {total} bytes inflated")


def inflate(raw: object, expected: str) -> int:
    """Inflate one blob, verify its digest, and give its uncompressed size."""
    hasher = hashlib.sha256()
    total = 0
    decoder = None
    while data := raw.read(READ_BYTES):  # type: ignore[attr-defined]  # urllib3's response
        hasher.update(data)
        if decoder is None:
            gzip = data[:2] == b"\x1f\x8b"
            decoder = (
                igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
                if gzip
                else zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
            )
        total += len(decoder.decompress(data))
    if hasher.hexdigest() != expected:
        raise SystemExit(f"expected sha256:{expected}, found sha256:{hasher.hexdigest()}")
    return total


if __name__ == "__main__":
    main()
