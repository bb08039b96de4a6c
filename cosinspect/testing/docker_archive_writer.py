"""Images written as `docker save` (legacy, and since Docker 25), `podman save` and skopeo write them.

Members, their order, links and modes are those of the programs; names follow containers-transports(5). The
same image gives the same bytes. Nothing is verified, because tests need hostile images; but only a valid
digest becomes a member's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from cosinspect.testing.documents import Document, dump
from cosinspect.testing.entries import Entry, File, Symlink
from cosinspect.testing.layers import Compression, compress, digest_of
from cosinspect.testing.layout_writer import REF_NAME, layout_files, split_digest
from cosinspect.testing.tar_writer import tar_bytes

__all__ = ["ArchivedImage", "DockerArchiveStyle", "write_docker_archive"]

DockerArchiveStyle: TypeAlias = Literal["legacy", "podman", "docker25"]
"""The program that writes it: Docker's before 25, podman's and skopeo's, or Docker's since 25."""


class ArchivedImage(Protocol):
    """An image in these archives."""

    @property
    def config(self) -> bytes:
        """The configuration."""
        ...

    @property
    def config_digest(self) -> str:
        """The configuration's digest."""
        ...

    @property
    def blobs(self) -> Mapping[str, bytes]:
        """Everything by digest, documents included."""
        ...

    @property
    def layers(self) -> Sequence[str]:
        """The digests of the layers, lowest first."""
        ...

    @property
    def tars(self) -> Sequence[bytes]:
        """The layers uncompressed, lowest first."""
        ...

    def descriptor(self) -> Document:
        """Return the descriptor of the manifest."""
        ...


def write_docker_archive(
    image: ArchivedImage,
    file: str | PathLike[str],
    tag: str,
    *,
    style: DockerArchiveStyle,
    compression: Compression,
) -> str:
    """Write one image under one tag, and return its name, `docker-archive:FILE:TAG`.

    Raises:
        ValueError: the tag has no tag, there is no such style or compression, or a digest is none.
    """
    repository, colon, name = tag.rpartition(":")
    if not colon or "/" in name:
        raise ValueError(f"{tag!r} names no tag: write repository:tag")
    members: dict[str, Entry]
    if style == "docker25":
        members = _docker25(image, tag, name)
    elif style == "legacy":
        members = _legacy(image, repository, name)
    elif style == "podman":
        members = _podman(image, repository, name)
    else:
        raise ValueError(f"a docker archive's style is 'legacy', 'podman' or 'docker25', not {style!r}")
    Path(file).write_bytes(compress(tar_bytes(members), compression))
    return f"docker-archive:{Path(file)}:{tag}"


def _docker25(image: ArchivedImage, tag: str, name: str) -> dict[str, Entry]:
    """What containerd exports for Docker 25 and later."""
    annotations = {"io.containerd.image.name": _full_name(tag), REF_NAME: name}
    blobs = ["/".join(("blobs", *split_digest(digest))) for digest in (image.config_digest, *image.layers)]
    manifest = [{"Config": blobs[0], "RepoTags": [tag], "Layers": blobs[1:]}]
    files = layout_files(image.blobs, image.descriptor(), annotations) | {"manifest.json": dump(manifest)}
    return dict(sorted(files.items()))


def _legacy(image: ArchivedImage, repository: str, name: str) -> dict[str, Entry]:
    """What Docker wrote before 25, in the order in which it walked its directory."""
    members: dict[str, Entry] = dict(_config_file(image))
    first: dict[str, str] = {}
    chain = _v1_images(image)
    for (identifier, document), tar in zip(chain, image.tars, strict=True):
        members |= {f"{identifier}/VERSION": b"1.0", f"{identifier}/json": document}
        owner = first.setdefault(digest_of(tar), identifier)
        members[f"{identifier}/layer.tar"] = tar if owner == identifier else Symlink(f"../{owner}/layer.tar")
    layers = [f"{identifier}/layer.tar" for identifier, _ in chain]
    members["manifest.json"] = _docker_manifest(image, f"{repository}:{name}", layers)
    members["repositories"] = dump({repository: {name: chain[-1][0]}} if chain else {})
    return dict(sorted(members.items(), key=lambda member: member[0].split("/")))


def _podman(image: ArchivedImage, repository: str, name: str) -> dict[str, Entry]:
    """What podman and skopeo write, in the order in which they write it."""
    full = _full_name(repository)
    layers = [f"{split_digest(digest_of(tar))[1]}.tar" for tar in image.tars]
    members: dict[str, Entry] = dict(zip(layers, image.tars, strict=True))
    members |= _config_file(image)
    chain = _v1_images(image)
    for (identifier, document), layer in zip(chain, layers, strict=True):
        members[f"{identifier}/layer.tar"] = Symlink(f"../{layer}")
        members |= {f"{identifier}/VERSION": b"1.0", f"{identifier}/json": document}
    members["manifest.json"] = _docker_manifest(image, f"{full}:{name}", layers)
    members["repositories"] = dump({full: {name: chain[-1][0]}} if chain else {})
    return {
        path: File(entry, mode=0o444) if isinstance(entry, bytes) else entry
        for path, entry in members.items()
    }


def _v1_images(image: ArchivedImage) -> list[tuple[str, bytes]]:
    """Identifier and document that Docker gave each layer when an image was a chain of layers."""
    config = json.loads(image.config)
    chain, parent = "", ""
    images = []
    for number, tar in enumerate(image.tars, 1):
        chain = digest_of(f"{chain} {digest_of(tar)}".encode()) if chain else digest_of(tar)
        document: Document = {"parent": parent} if parent else {}
        document |= {"created": config.get("created"), "layer_id": chain}
        if number == len(image.tars):
            document |= {key: config.get(key) for key in ("architecture", "config", "os")}
        parent = split_digest(digest_of(dump(document)))[1]
        images.append((parent, dump({"id": parent} | document)))
    return images


def _config_file(image: ArchivedImage) -> dict[str, bytes]:
    data = image.blobs.get(image.config_digest)
    return {} if data is None else {f"{split_digest(image.config_digest)[1]}.json": data}


def _docker_manifest(image: ArchivedImage, tag: str, layers: list[str]) -> bytes:
    config = f"{split_digest(image.config_digest)[1]}.json"
    return dump([{"Config": config, "RepoTags": [tag], "Layers": layers}])


def _full_name(repository: str) -> str:
    """A repository with its registry, as Docker completes it."""
    registry, slash, _ = repository.partition("/")
    if not slash:
        return f"docker.io/library/{repository}"
    return repository if re.search(r"[.:]|^localhost$", registry) else f"docker.io/{repository}"
