"""Image layouts of large archives, and of mutations as one layer above them: no archive is read into memory."""

import hashlib
import json
import os
from pathlib import Path

from cosinspect.testing import build_layer

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of_file(path):
    """Hash a file, once: the hash is kept beside it."""
    kept = Path(f"{path}.sha256")
    if not kept.exists():
        with path.open("rb") as stream:
            kept.write_text(hashlib.file_digest(stream, "sha256").hexdigest())
    return kept.read_text()


class Layouts:
    """Writes layouts whose blobs of archives are links to these.

    Args:
        work: where they are kept.
    """

    def __init__(self, work):
        self.work = Path(work)

    def write(self, name, archive, entries, step, labels=None):
        """Write the image of an archive and of entries above it, and give its name for cosinspect."""
        top = self.work / "layouts" / name
        blobs = top / "blobs/sha256"
        blobs.mkdir(parents=True, exist_ok=True)

        def blob(data):
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return f"sha256:{digest}", len(data)

        base = digest_of_file(archive)
        if not (blobs / base).exists():
            os.link(archive, blobs / base)
        layers = [{"mediaType": _LAYER, "digest": f"sha256:{base}", "size": archive.stat().st_size}]
        diffs, history = [f"sha256:{base}"], [{"created_by": "COPY tree /"}]
        if entries:
            layer = build_layer(entries, compression="none")
            digest, size = blob(layer.blob)
            layers.append({"mediaType": _LAYER, "digest": digest, "size": size})
            diffs.append(digest)
            history.append({"created_by": step})
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": labels or {}},
            "rootfs": {"type": "layers", "diff_ids": diffs},
            "history": history,
        }
        digest, size = blob(json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest, "size": size},
            "layers": layers,
        }
        digest, size = blob(json.dumps(manifest).encode())
        index = {"schemaVersion": 2, "manifests": [{"mediaType": _MANIFEST, "digest": digest, "size": size}]}
        (top / "index.json").write_text(json.dumps(index))
        (top / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return f"oci:{top}"
