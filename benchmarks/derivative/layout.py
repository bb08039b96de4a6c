"""An OCI image layout, written file by file."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.derivative.layer import Layer

__all__ = ["BuiltLayer", "Layout"]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"

_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LUET_NOLOCK=true",
    "COSIGN_EXPERIMENTAL=1",
    "COSIGN_REPOSITORY=registry.example.org/signatures",
)


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer with what the history says of it. `created` is in the form of RFC 3339."""

    layer: Layer
    created_by: str
    created: str


class Layout:
    """A layout directory that grows: blobs are added, tags are set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs = path / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, digest: str) -> Path:
        """Where the blob of that digest lies."""
        return self.blobs / digest.removeprefix("sha256:")

    def tag_image(self, tag: str, layers: Sequence[BuiltLayer], compression: str = "gzip") -> str:
        """Writes configuration and manifest of an image of `layers` and sets the tag; gives the manifest's digest."""
        config = self._add(_json(_configuration(layers)))
        descriptors = [
            self._zstd(built.layer) if compression == "zstd" else (built.layer.digest, built.layer.size)
            for built in layers
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": config[0], "size": config[1]},
            "layers": [
                {"mediaType": f"{_LAYER}+{compression}", "digest": digest, "size": size}
                for digest, size in descriptors
            ],
        }
        digest, size = self._add(_json(manifest))
        self._set(tag, digest, size)
        return digest

    def prune(self) -> None:
        """Removes the blobs that no tag leads to: layers of stages that have been run again since."""
        index = json.loads((self.path / "index.json").read_bytes())
        needed = {entry["digest"] for entry in index["manifests"]}
        for digest in tuple(needed):
            manifest = json.loads(self.blob(digest).read_bytes())
            needed |= {manifest["config"]["digest"], *(entry["digest"] for entry in manifest["layers"])}
        for path in self.blobs.iterdir():
            if f"sha256:{path.name}" not in needed:
                path.unlink()

    def _set(self, tag: str, digest: str, size: int) -> None:
        index = self.path / "index.json"
        known = json.loads(index.read_bytes())["manifests"] if index.exists() else []
        name = "org.opencontainers.image.ref.name"
        kept = [entry for entry in known if entry["annotations"][name] != tag]
        kept.append({"mediaType": _MANIFEST, "digest": digest, "size": size, "annotations": {name: tag}})
        index.write_bytes(
            _json(
                {"schemaVersion": 2, "manifests": sorted(kept, key=lambda entry: str(entry["annotations"]))}
            )
        )

    def _add(self, data: bytes) -> tuple[str, int]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blob(digest).write_bytes(data)
        return digest, len(data)

    def _zstd(self, layer: Layer) -> tuple[str, int]:
        """The layer compressed anew, by the zstd program; made once."""
        note = self.path.parent / "zstd" / layer.digest.removeprefix("sha256:")
        if note.exists() and self.blob(note.read_text()).exists():
            digest = note.read_text()
            return digest, self.blob(digest).stat().st_size
        note.parent.mkdir(exist_ok=True)
        partial = self.blobs / "zstd.partial"
        with partial.open("wb") as out, gzip.open(self.blob(layer.digest)) as plain:
            packer = subprocess.Popen(["zstd", "-q", "-3", "-T0", "-c"], stdin=subprocess.PIPE, stdout=out)
            assert packer.stdin is not None
            while data := plain.read(1 << 20):
                packer.stdin.write(data)
            packer.stdin.close()
            if packer.wait():
                raise RuntimeError(f"zstd ended with {packer.returncode}")
        with partial.open("rb") as packed:
            digest = f"sha256:{hashlib.file_digest(packed, 'sha256').hexdigest()}"
        partial.rename(self.blob(digest))
        note.write_text(digest)
        return digest, self.blob(digest).stat().st_size


def _configuration(layers: Sequence[BuiltLayer]) -> dict[str, Any]:
    history: list[dict[str, Any]] = []
    for position, built in enumerate(layers):
        history.append({"created": built.created, "created_by": built.created_by})
        if position == 0:
            history += [
                {"created": built.created, "created_by": f"ENV {entry}", "empty_layer": True}
                for entry in _ENVIRONMENT[1:]
            ]
    history.append({"created": layers[-1].created, "created_by": 'CMD ["/bin/bash"]', "empty_layer": True})
    return {
        "created": layers[-1].created,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": list(_ENVIRONMENT),
            "Cmd": ["/bin/bash"],
            "Labels": {"org.opencontainers.image.title": "benchmark derivative"},
        },
        "rootfs": {"type": "layers", "diff_ids": [built.layer.diff_id for built in layers]},
        "history": history,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
