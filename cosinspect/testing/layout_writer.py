"""Images and indexes written as OCI layouts, as archives of them, and as skopeo's `dir:` transport; layouts read again.

Follows image-spec, image-layout.md, and containers-transports(5) for names and for `dir:`. Nothing is
verified, because tests need hostile images; but no digest becomes a path outside the target directory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Protocol

from cosinspect.testing.documents import OCI_INDEX, Document, dump
from cosinspect.testing.layers import Compression, compress, digest_of
from cosinspect.testing.tar_writer import tar_bytes

__all__ = [
    "REF_NAME",
    "Content",
    "layout_files",
    "read_layout",
    "split_digest",
    "write_archive",
    "write_directory",
    "write_layout",
]

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation with the reference of an entry in a layout's index."""

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+")


class Content(Protocol):
    """An image or index for writers: a document, and its blobs."""

    @property
    def digest(self) -> str:
        """The digest of the document."""
        ...

    @property
    def blobs(self) -> Mapping[str, bytes]:
        """Everything by digest, documents included."""
        ...

    @property
    def manifests(self) -> Mapping[str, str]:
        """The digests of `blobs` that are manifests or indexes, with their media types."""
        ...

    def descriptor(self) -> Document:
        """Return the descriptor of the document."""
        ...


def write_layout(content: Content, directory: str | PathLike[str], ref: str | None) -> str:
    """Add `content` to a layout, created if necessary, and return its name, `oci:DIRECTORY[:REF]`.

    An earlier entry with the reference is removed from the index; its blobs stay.

    Raises:
        ValueError: a digest is invalid, so there is no file name for it.
    """
    root = Path(directory)
    files = layout_files(content.blobs, content.descriptor(), _ref(ref))
    index = json.loads(files.pop("index.json"))
    if (root / "index.json").exists():
        others = json.loads((root / "index.json").read_bytes())["manifests"]
        mine = index["manifests"]
        names = [other.get("annotations", {}).get(REF_NAME) for other in others]
        index["manifests"] = [
            other for other, name in zip(others, names, strict=True) if name is None or name != ref
        ] + mine
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "index.json").write_bytes(dump(index))
    return _name("oci", root, ref)


def read_layout(directory: str | PathLike[str], ref: str | None) -> tuple[Document, dict[str, bytes]]:
    """Return the descriptor of an image in a layout, and all blobs of the image by digest.

    Args:
        directory: the layout.
        ref: the reference or digest of an entry; None for the only entry.

    Raises:
        ValueError: it is not such a layout, or it has no such image, or several.
    """
    root = Path(directory)
    try:
        descriptor = _entry(json.loads((root / "index.json").read_bytes())["manifests"], ref)
        raw = _blob(root, descriptor["digest"])
        manifest = json.loads(raw)
        _require_image(manifest)
        digests = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
        blobs = {digest: _blob(root, digest) for digest in digests}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as fault:
        raise ValueError(f"{root}: expected an OCI layout with an image: {fault}") from fault
    return descriptor, {**blobs, descriptor["digest"]: raw}


def _entry(entries: list[Document], ref: str | None) -> Document:
    names = [(each.get("annotations", {}).get(REF_NAME), each["digest"]) for each in entries]
    found = [each for each, known in zip(entries, names, strict=True) if ref is None or ref in known]
    if len(found) != 1:
        known = ", ".join(name or digest for name, digest in names) or "nothing"
        raise ValueError(f"expected one image{f' named {ref}' if ref else ''}, the layout has {known}")
    return found[0]


def _require_image(manifest: Document) -> None:
    if "manifests" in manifest:
        inner = ", ".join(each["digest"] for each in manifest["manifests"]) or "nothing"
        raise ValueError(f"expected an image, found an index of {inner}: copy one of them to a layout")


def _blob(root: Path, digest: str) -> bytes:
    data = root.joinpath("blobs", *split_digest(digest)).read_bytes()
    if digest.startswith("sha256:") and digest_of(data) != digest:
        raise ValueError(f"the blob {digest} has other bytes")
    return data


def write_archive(
    content: Content, file: str | PathLike[str], ref: str | None, compression: Compression
) -> str:
    """Write a layout as one archive, and return its name, `oci-archive:FILE[:REF]`.

    Raises:
        ValueError: a digest is invalid, so there is no file name for it; or there is no such compression.
    """
    files = layout_files(content.blobs, content.descriptor(), _ref(ref))
    Path(file).write_bytes(compress(tar_bytes(files), compression))
    return _name("oci-archive", Path(file), ref)


def write_directory(content: Content, directory: str | PathLike[str]) -> str:
    """Write manifest.json, version, and blobs by their digits, and return the name, `dir:DIRECTORY`.

    Raises:
        ValueError: a digest is invalid, so there is no file name for it.
    """
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    for digest, data in content.blobs.items():
        digits = split_digest(digest)[1]
        name = f"{digits}.manifest.json" if digest in content.manifests else digits
        (root / ("manifest.json" if digest == content.digest else name)).write_bytes(data)
    (root / "version").write_bytes(b"Directory Transport Version: 1.1\n")
    return _name("dir", root, None)


def layout_files(
    blobs: Mapping[str, bytes], descriptor: Document, annotations: Mapping[str, str]
) -> dict[str, bytes]:
    """Return the files of a layout with one entry, `descriptor` under `annotations`, in the order of their names.

    Raises:
        ValueError: a digest is invalid, so there is no file name for it.
    """
    files = {"/".join(("blobs", *split_digest(digest))): data for digest, data in blobs.items()}
    entry = descriptor | ({"annotations": dict(annotations)} if annotations else {})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    files |= {"index.json": dump(index), "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    return dict(sorted(files.items()))


def split_digest(digest: str) -> tuple[str, str]:
    """Return algorithm and digits, neither of which can leave a directory.

    Raises:
        ValueError: it is not a digest.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest, so there is no file name for it")
    algorithm, _, digits = digest.partition(":")
    return algorithm, digits


def _ref(ref: str | None) -> dict[str, str]:
    return {} if ref is None else {REF_NAME: ref}


def _name(transport: str, path: Path, ref: str | None) -> str:
    return f"{transport}:{path}" if ref is None else f"{transport}:{path}:{ref}"
