"""OCI layouts written piece by piece: layers that are too large to be made in memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["MadeLayout"]

OCI = "application/vnd.oci.image"


class MadeLayout:
    """An image that is written to a directory, layer by layer.

    Args:
        directory: of the layout; it is created.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._blobs = directory / "blobs/sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._layers: list[dict[str, Any]] = []
        self._diff_ids: list[str] = []

    def add_layer(self, pieces: Iterable[bytes], *, packed: bool = True) -> None:
        """Write a layer: a tar archive in pieces, compressed with gzip or not."""
        plain, hashed, size = hashlib.sha256(), hashlib.sha256(), 0
        deflate = zlib.compressobj(1, wbits=31)
        part = self._blobs / "part"
        with part.open("wb") as file:
            for piece in itertools.chain(pieces, (None,)):
                if piece is not None:
                    plain.update(piece)
                data = piece or b""
                if packed:
                    data = deflate.flush() if piece is None else deflate.compress(piece)
                hashed.update(data)
                size += file.write(data)
        part.rename(self._blobs / hashed.hexdigest())
        self._layers.append(
            {
                "mediaType": f"{OCI}.layer.v1.tar{'+gzip' if packed else ''}",
                "digest": f"sha256:{hashed.hexdigest()}",
                "size": size,
            }
        )
        self._diff_ids.append(f"sha256:{plain.hexdigest()}")

    def finish(self, tag: str = "v1") -> str:
        """Write configuration, manifest and index; return the image's name."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": self._diff_ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self._blob(config, f"{OCI}.config.v1+json"),
            "layers": self._layers,
        }
        described = self._blob(manifest, f"{OCI}.manifest.v1+json")
        described["annotations"] = {"org.opencontainers.image.ref.name": tag}
        index = {"schemaVersion": 2, "manifests": [described]}
        (self._directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self._directory / "index.json").write_text(json.dumps(index))
        return f"oci:{self._directory}:{tag}"

    def _blob(self, document: dict[str, Any], media_type: str) -> dict[str, Any]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self._blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
