"""What is put into a repository: small blobs and manifests (distribution-spec 1.1, "Pushing blobs", "Pushing manifests")."""

from __future__ import annotations

from urllib.parse import urlsplit

from cosinspect.errors import NotFound, TransportError
from cosinspect.oci.descriptor import Digest
from cosinspect.sources.registry.client import Client, RawResponse

__all__ = ["push_blob", "push_manifest"]

_BYTES = {"Content-Type": "application/octet-stream"}


def push_blob(client: Client, repository: str, data: bytes, where: str) -> Digest:
    """Push a blob to a repository, unless it exists.

    Raises:
        SourceError: the registry refuses it.
    """
    digest = Digest.of(data)
    where = f"{where}: {digest}"
    try:
        client.send("HEAD", f"/v2/{repository}/blobs/{digest}", {}, b"", where, accept=(200,))
    except NotFound:
        started = client.send("POST", f"/v2/{repository}/blobs/uploads/", _BYTES, b"", where, accept=(202,))
        location = started.headers.get("Location", "")
        if not location:
            raise TransportError("the registry does not say where an upload goes on", where=where) from None
        mark = "&" if urlsplit(location).query else "?"
        client.send("PUT", f"{location}{mark}digest={digest}", _BYTES, data, where, accept=(201, 204))
    return digest


def push_manifest(
    client: Client, repository: str, reference: str, media_type: str, raw: bytes, where: str
) -> RawResponse:
    """Push a manifest or index under a tag or its digest; return whether the registry understood `subject`.

    Raises:
        SourceError: the registry refuses it.
    """
    path = f"/v2/{repository}/manifests/{reference}"
    return client.send(
        "PUT", path, {"Content-Type": media_type}, raw, f"{where}: {reference}", accept=(200, 201)
    )
