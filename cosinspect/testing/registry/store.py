"""What a test's registry holds, and its answers as long as nothing goes wrong.

Follows distribution-spec 1.1: pull (manifests, blobs, tags in pages, referrers), and push as far as skopeo and oras go
(uploads in one piece, in chunks, their state and cancelling, mounts); nothing that is stored is deleted. What is put in from Python is served as it is, however little it matches its
digest; a blob or manifest pushed by request is refused where its bytes are not those of its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import evolve

from cosinspect.testing.built_images import Built
from cosinspect.testing.documents import OCI_INDEX
from cosinspect.testing.layers import digest_of
from cosinspect.testing.registry.messages import ROUTES, Request, Response, error_response, json_response

__all__ = ["RegistryStore"]

# image-spec, "Digests".
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


class RegistryStore:
    """What the repositories hold, and the answers of a registry without faults.

    It has no lock of its own.

    Attributes:
        blobs: by repository and digest.
        manifests: by repository and digest, with their media types.
        tags: digests, by repository and tag.
    """

    def __init__(self, *, ranges: bool, referrers: bool) -> None:
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self._uploads: dict[str, bytes] = {}
        self._started = 0
        self._ranges = ranges
        self._referrers = referrers

    def put(self, repository: str, image: Built, tag: str | None) -> None:
        """Take an image and all that belongs to it, unchecked."""
        for digest, data in image.blobs.items():
            if digest in image.manifests:
                self.manifests.setdefault(repository, {})[digest] = image.manifests[digest], data
            else:
                self.blobs.setdefault(repository, {})[digest] = data
        if tag is not None:
            self.tags.setdefault(repository, {})[tag] = image.digest

    def answer(self, request: Request) -> Response:
        """Do what the request asks for and answer it: errors are answers, too."""
        if request.path in ("/v2", "/v2/"):
            return json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})
        reading = request.method in ("GET", "HEAD")
        if request.path == "/v2/_catalog" and reading:
            return self._catalogue(request)
        for kind, route in ROUTES.items():
            hit = route.fullmatch(request.path)
            if not hit:
                continue
            match kind, request.method:
                case "manifest", _ if reading:
                    return self._manifest(hit[1], hit[2])
                case "manifest", "PUT":
                    return self._put_manifest(hit[1], hit[2], request)
                case "blob", _ if reading:
                    return self._blob(hit[1], hit[2])
                case "upload", "POST":
                    return self._start(hit[1], request)
                case "upload", "GET" | "PATCH" | "PUT" | "DELETE":
                    return self._upload(hit[1], hit[2], request)
                case "tags", _ if reading:
                    return self._list(hit[1], request)
                case "referrers", _ if reading and self._referrers:
                    return self._referring(hit[1], hit[2], request)
            return error_response(404 if reading else 405)
        return error_response(404)

    def _manifest(self, repository: str, reference: str) -> Response:
        digest = self.tags.get(repository, {}).get(reference, reference)
        held = self.manifests.get(repository, {}).get(digest)
        if held is None:
            return error_response(404, "MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")
        headers = {"Content-Type": held[0], "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return Response(body=held[1], headers=headers)

    def _blob(self, repository: str, digest: str) -> Response:
        data = self.blobs.get(repository, {}).get(digest)
        if data is None:
            return error_response(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes" if self._ranges else "none",
        }
        return Response(body=data, headers=headers, ranged=self._ranges)

    def _catalogue(self, request: Request) -> Response:
        # Not of the specification; distribution has it, and registries that came after it.
        return _page(request, sorted(self.manifests), "repositories", {})

    def _list(self, repository: str, request: Request) -> Response:
        if repository not in self.manifests:
            return error_response(404, "NAME_UNKNOWN", f"there is no repository {repository}")
        return _page(request, sorted(self.tags.get(repository, {})), "tags", {"name": repository})

    def _referring(self, repository: str, digest: str, request: Request) -> Response:
        if not _DIGEST.fullmatch(digest):
            return error_response(400, "DIGEST_INVALID", f"expected a digest, found {digest!r:.100}")
        wanted = request.query.get("artifactType", [""])[0]
        found = []
        for name, (media_type, data) in self.manifests.get(repository, {}).items():
            document = _document(data)
            if _subject(document) != digest:
                continue
            entry = {"mediaType": media_type, "digest": name, "size": len(data)}
            config = document.get("config") or {}
            entry["artifactType"] = document.get("artifactType") or config.get("mediaType", "")
            entry |= {"annotations": document["annotations"]} if "annotations" in document else {}
            if wanted in ("", entry["artifactType"]):
                found.append(entry)
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        headers = {"Content-Type": OCI_INDEX}
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        return json_response(index, headers=headers)

    def _put_manifest(self, repository: str, reference: str, request: Request) -> Response:
        digest = reference if ":" in reference else digest_of(request.body)
        if not _matches(digest, request.body):
            return error_response(400, "DIGEST_INVALID", f"the manifest's digest is not {digest}")
        media_type = request.headers.get("Content-Type", "application/octet-stream")
        self.manifests.setdefault(repository, {})[digest] = media_type, request.body
        if reference != digest:
            self.tags.setdefault(repository, {})[reference] = digest
        subject = _subject(_document(request.body)) if self._referrers else None
        return _created(
            f"/v2/{repository}/manifests/{digest}", digest, {"OCI-Subject": subject} if subject else {}
        )

    def _start(self, repository: str, request: Request) -> Response:
        source = self.blobs.get(request.query.get("from", [""])[0], {})
        mounted = source.get(request.query.get("mount", [""])[0])
        if mounted is not None:
            return self._put_blob(repository, request.query["mount"][0], mounted)
        if "digest" in request.query:
            return self._put_blob(repository, request.query["digest"][0], request.body)
        self._started += 1
        upload = f"{self._started}"
        self._uploads[upload] = b""
        return self._going(repository, upload)

    def _upload(self, repository: str, upload: str, request: Request) -> Response:
        if upload not in self._uploads:
            return error_response(404, "BLOB_UPLOAD_UNKNOWN", f"there is no upload {upload}")
        if request.method == "GET":
            return evolve(self._going(repository, upload), status=204)
        if request.method == "DELETE":
            del self._uploads[upload]
            return Response(status=204)
        chunk = request.headers.get("Content-Range")
        if chunk is not None and not self._continues(upload, chunk, request.body):
            return evolve(self._going(repository, upload), status=416)
        self._uploads[upload] += request.body
        if request.method == "PATCH":
            return self._going(repository, upload)
        digest = request.query.get("digest", [""])[0]
        return self._put_blob(repository, digest, self._uploads.pop(upload))

    def _continues(self, upload: str, chunk: str, body: bytes) -> bool:
        """Whether a chunk begins where the upload ends: others must be refused ("Pushing a blob in chunks")."""
        at = len(self._uploads[upload])
        return chunk == f"{at}-{at + len(body) - 1}"

    def _going(self, repository: str, upload: str) -> Response:
        headers = {
            "Location": f"/v2/{repository}/blobs/uploads/{upload}",
            "Range": f"0-{max(0, len(self._uploads[upload]) - 1)}",
        }
        return Response(status=202, headers=headers)

    def _put_blob(self, repository: str, digest: str, data: bytes) -> Response:
        if not _matches(digest, data):
            return error_response(400, "DIGEST_INVALID", f"the blob's digest is not {digest}")
        self.blobs.setdefault(repository, {})[digest] = data
        return _created(f"/v2/{repository}/blobs/{digest}", digest, {})


def _created(location: str, digest: str, more: Mapping[str, str]) -> Response:
    return Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest, **more})


def _matches(digest: str, data: bytes) -> bool:
    algorithm, _, digits = digest.partition(":")
    return algorithm in ("sha256", "sha512") and hashlib.new(algorithm, data).hexdigest() == digits


def _document(data: bytes) -> dict[str, Any]:
    """A manifest as JSON, or nothing if it is not one."""
    with contextlib.suppress(ValueError):
        document = json.loads(data)
        if isinstance(document, dict):
            return document
    return {}


def _subject(document: Mapping[str, Any]) -> str | None:
    subject = document.get("subject")
    return subject.get("digest") if isinstance(subject, dict) else None


def _page(request: Request, every: list[str], key: str, further: Mapping[str, str]) -> Response:
    """Answer with the part of a sorted list that was requested, and a link to what follows."""
    last = request.query.get("last", [""])[0]
    left = [each for each in every if each > last]
    count = request.query.get("n", [str(len(left))])[0]
    if not re.fullmatch(r"[0-9]{1,9}", count):
        return error_response(400, "UNSUPPORTED", f"expected a number of {key}, found {count!r:.40}")
    page = left[: int(count)]
    headers = {}
    if page and len(page) < len(left):
        headers["Link"] = f'<{request.path}?n={len(page)}&last={quote(page[-1])}>; rel="next"'
    return json_response({**further, key: page}, headers=headers)
