"""What the real cosign left in a registry: the scenes of tests/data/cosign, put into a registry that serves them."""

import json
from pathlib import Path

import requests

from cosinspect import PublicKey

DATA = Path(__file__).parent / "data" / "cosign"
INDEX = json.loads((DATA / "image" / "index.json").read_text())["manifests"][0]
DIGEST = INDEX["digest"]
"""The index that is signed."""
REPOSITORY = "org/os"


def key(name):
    """A public key that signed a scene."""
    return PublicKey.from_pem((DATA / "keys" / f"{name}.pub").read_bytes(), f"{name}.pub")


def push(address, repository, reference, media_type, data):
    """Put a manifest into a registry by HTTP."""
    answer = requests.put(
        f"http://{address}/v2/{repository}/manifests/{reference}",
        data=data,
        headers={"Content-Type": media_type},
        timeout=600,
    )
    answer.raise_for_status()


def push_blob(address, repository, digest, data):
    """Put a blob into a registry by HTTP."""
    started = requests.post(f"http://{address}/v2/{repository}/blobs/uploads/", timeout=600)
    started.raise_for_status()
    location = requests.compat.urljoin(f"http://{address}/", started.headers["Location"])
    requests.put(
        location,
        params={"digest": digest},
        data=data,
        headers={"Content-Type": "application/octet-stream"},
        timeout=600,
    ).raise_for_status()


def push_image(address, repository=REPOSITORY, tag="v1"):
    """Put the signed image into a registry, under a tag, and give its name."""
    blobs = {path.name: path.read_bytes() for path in (DATA / "image" / "blobs" / "sha256").iterdir()}
    documents = {}
    for encoded, data in blobs.items():
        try:
            media_type = json.loads(data).get("mediaType")
        except ValueError:
            media_type = None
        if media_type:
            documents[f"sha256:{encoded}"] = media_type, data
        else:
            push_blob(address, repository, f"sha256:{encoded}", data)
    for digest, (media_type, data) in sorted(documents.items(), key=lambda item: "index" in item[1][0]):
        push(address, repository, digest, media_type, data)
    push(address, repository, tag, *documents[DIGEST])
    return f"{address}/{repository}:{tag}"


def push_scene(address, scene, repository=REPOSITORY):
    """Put what cosign pushed beside the image into a registry."""
    held = json.loads((DATA / scene / "index.json").read_text())
    content = {
        digest: (DATA / scene / digest.replace(":", "-")).read_bytes()
        for digest in [*held["blobs"], *held["manifests"]]
    }
    for digest in held["blobs"]:
        push_blob(address, repository, digest, content[digest])
    for digest, media_type in sorted(held["manifests"].items(), key=lambda item: "index" in item[1]):
        push(address, repository, digest, media_type, content[digest])
    for tag, digest in held["tags"].items():
        push(address, repository, tag, held["manifests"][digest], content[digest])
