"""An image in a registry: its manifest by tag or digest, and blobs as streams that survive a lost connection.

Follows distribution-spec 1.1 ("Pulling manifests", "Pulling blobs"). A tag is resolved once; everything else
is fetched by digest. A blob is never stored, in memory or on disk. Docker's schema 1 is not requested, and
layers are never fetched from `urls`.
"""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from cosinspect.blob import ByteStream
from cosinspect.deadline import Deadline
from cosinspect.errors import (
    DigestMismatch,
    InvalidManifest,
    InvalidReference,
    RegistryError,
    SizeMismatch,
    TransportError,
)
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.descriptor import Descriptor, Digest
from cosinspect.oci.media_types import INDEX_TYPES, MANIFEST_TYPES
from cosinspect.oci.reference import Reference
from cosinspect.sources.config.access import Access
from cosinspect.sources.config.certificates import find_certificates, tls_context
from cosinspect.sources.config.credential import FoundCredential
from cosinspect.sources.config.docker_config import find_credential
from cosinspect.sources.registry.auth import Authenticator, Url
from cosinspect.sources.registry.client import Client, RawResponse, kept_connections
from cosinspect.sources.registry.push import push_blob, push_manifest
from cosinspect.sources.registry.retries import Retries, Timeouts
from cosinspect.sources.registry.transport import TransportMaker

__all__ = ["RegistrySource", "Retries", "Timeouts", "assumes_plain_http"]

DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_RETRIES = Retries()
PROGRESS_BYTES = 16 * 1024 * 1024
"""What a connection must bring before it is lost, so that its loss does not count against the retries."""

# Imported at the first list: asking what a tag means needs no decoder of JSON.
_LISTS = "cosinspect.sources.registry.lists"
_DOCUMENT_TYPES = (*INDEX_TYPES, *MANIFEST_TYPES)
_ACCEPT = {"Accept": ", ".join(_DOCUMENT_TYPES)}
# Docker Hub's images are named after one host and served by another (distribution: DefaultRegistryHost).
_ENDPOINTS = {"docker.io": "registry-1.docker.io"}
_STRONG_ETAG = re.compile(r'"[!#-~]{0,1024}"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


class RegistrySource:
    """One image in a registry, as a `cosinspect.blob.Source`; thread-safe.

    Args:
        reference: the image.
        timeouts: how long requests may take.
        retries: how often they are repeated.
        limits: for manifests, token servers' answers and errors.
        access: how the registry is reached and as whom; by default with the credentials of Docker's configuration.
        deadline: by when everything must be done; by default `limits.seconds` from now.
        transport: makes what carries the requests.
        sleep: waits for a number of seconds.
        clock: returns seconds since any fixed time.

    Raises:
        InvalidReference: the registry's name makes no URL.
    """

    def __init__(
        self,
        reference: Reference,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        retries: Retries = DEFAULT_RETRIES,
        limits: Limits = DEFAULT_LIMITS,
        access: Access | None = None,
        deadline: Deadline | None = None,
        transport: TransportMaker = kept_connections,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reference = reference
        if access is None:
            access = Access()
        self._settings: dict[str, Any] = {
            "access": access,
            "deadline": deadline,
            "timeouts": timeouts,
            "retries": retries,
            "limits": limits,
            "transport": transport,
            "sleep": sleep,
            "clock": clock,
        }
        host = _ENDPOINTS.get(reference.registry, reference.registry)
        certificates = access.certificate_directory or find_certificates(host, access.certificates)
        scheme = "http" if access.plain_http or assumes_plain_http(reference, access) else "https"
        registry = Url.parse(f"{scheme}://{host}")
        if registry is None:
            raise InvalidReference(
                f"expected a registry's host and port, found {host!r:.300}", where=str(reference)
            )
        self._limits = limits
        self._lock = threading.Lock()
        self._resolved: Descriptor | None = None
        self._document = b""
        self._client = Client(
            registry=registry,
            where=str(reference),
            authenticator=Authenticator(
                registry=registry,
                host=reference.registry,
                repository=reference.repository,
                where=str(reference),
                lookup=lambda: _credential(reference, access),
                clock=clock,
                authorization=access.authorization,
            ),
            timeouts=timeouts,
            retries=retries,
            limits=limits,
            sleep=sleep,
            clock=clock,
            tls=tls_context(certificates, verify=access.tls_verify is not False)
            if scheme == "https"
            else None,
            tls_elsewhere=tls_context(certificates, client=False),
            deadline=deadline,
            private_addresses=access.private_addresses,
            transport=transport,
        )

    def resolve(self) -> Descriptor:
        """Ask for the manifest or index that the reference names; further calls return the same answer.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer, or in another content coding than was requested.
            DigestMismatch: its bytes are not those of the digest it sends, or that the reference has.
            LimitExceeded: the document is larger than `Limits.manifest_bytes`.
        """
        with self._lock:
            if self._resolved is None:
                self._resolved = self._pin()
            return self._resolved

    def open(self, descriptor: Descriptor) -> ByteStream:
        """Open a manifest, index or blob by its digest; the bytes are not verified.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer.
            SizeMismatch: it announces another size than the descriptor has.
        """
        with self._lock:
            if self._resolved and descriptor.digest == self._resolved.digest:
                return io.BytesIO(self._document)
        kind = "manifests" if descriptor.media_type in _DOCUMENT_TYPES else "blobs"
        return _BlobStream(
            self._client, self._path(kind, str(descriptor.digest)), descriptor, str(self.reference)
        )

    def open_range(self, descriptor: Descriptor, start: int, stop: int) -> ByteStream | None:
        """Open the bytes from `start` up to `stop` of a blob; None if the registry, or its storage, serves no ranges.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer.
            SizeMismatch: it has another size than the descriptor.
        """
        path = self._path("blobs", str(descriptor.digest))
        try:
            return _BlobStream(self._client, path, descriptor, str(self.reference), (start, stop))
        except _RangeRefusedError:
            return None

    def tags(self) -> tuple[str, ...]:
        """List the repository's tags, in the registry's order.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer, or returns an invalid list.
            LimitExceeded: there are more than `Limits.listed`, or on too many pages.
        """
        found: tuple[str, ...] = import_module(_LISTS).list_tags(
            self._client, self.reference.repository, str(self.reference), self._limits
        )
        return found

    def repositories(self) -> tuple[str, ...]:
        """List the repositories of the image's registry, in its order, if it supports that.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer, or returns an invalid list.
            LimitExceeded: there are more than `Limits.listed`, or on too many pages.
        """
        found: tuple[str, ...] = import_module(_LISTS).list_repositories(
            self._client, self.reference.registry, self._limits
        )
        return found

    def push_blob(self, data: bytes) -> Digest:
        """Push a small blob to the image's repository, unless it exists.

        Raises:
            AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer.
        """
        return push_blob(self._client, self.reference.repository, data, str(self.reference))

    def push_manifest(self, reference: str, media_type: str, raw: bytes) -> bool:
        """Push a manifest or index to the image's repository; return whether the registry lists it with its subject.

        Args:
            reference: a tag, or its digest.
            media_type: of it.
            raw: its bytes.

        Raises:
            AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer.
        """
        where = str(self.reference)
        answer = push_manifest(self._client, self.reference.repository, reference, media_type, raw, where)
        return "OCI-Subject" in answer.headers

    def referrers(self, digest: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """List the manifests that name `digest` as their subject; none if nothing refers to it.

        Without the referrers API, the tag `sha256-<hexadecimal digits>` is read instead, as the distribution
        specification has it. The descriptors are the registry's word: nothing is verified yet.

        Args:
            digest: of a manifest or index in this repository.
            artifact_type: only those of this type; None for all.

        Raises:
            AccessDenied, TooManyRequests, RegistryError: the registry answers with an error.
            TransportError: it does not answer.
            InvalidManifest: its answer is not an index.
            LimitExceeded: there are more than `Limits.listed`, or on too many pages.
        """
        found: tuple[Descriptor, ...] = import_module(_LISTS).list_referrers(
            self._client,
            self.reference.repository,
            digest,
            artifact_type,
            where=str(self.reference),
            limits=self._limits,
        )
        return found

    def beside(self, reference: Reference) -> RegistrySource:
        """Return a source for another image, with the settings of this one; it has to be closed, too.

        Raises:
            InvalidReference: the registry's name makes no URL.
        """
        return RegistrySource(reference, **self._settings)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _path(self, kind: str, name: str) -> str:
        return f"/v2/{self.reference.repository}/{kind}/{name}"

    def _pin(self) -> Descriptor:
        where, wanted = str(self.reference), self.reference.digest
        path = self._path("manifests", self.reference.identifier)
        response, raw = self._client.document(
            path, _ACCEPT, where, limit=self._limits.manifest_bytes, limit_name="manifest_bytes"
        )
        if response.status != 200:
            raise RegistryError("the registry sends a part of the manifest", status=206, where=where)
        if response.encoding:
            raise _encoded(response.encoding, where)
        if wanted is not None:
            _expect(wanted, raw, where, "the reference asks for")
        stated = response.headers.get("Docker-Content-Digest", "").strip()
        if stated:
            _expect(self._stated_digest(stated, where), raw, where, "the registry calls it")
        self._document = raw
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Descriptor(media_type, wanted or Digest.of(raw), len(raw))

    def _stated_digest(self, text: str, where: str) -> Digest:
        try:
            return Digest.parse(text)
        except InvalidManifest as fault:
            shown = self._client.shown(text)[:80] or "something that is not shown"
            raise DigestMismatch(
                f"expected a digest, found {shown!r}", where=f"{where}: Docker-Content-Digest"
            ) from fault


class _RangeRefusedError(Exception):
    """A range was requested, but the registry does not serve ranges."""


class _BlobStream:
    """A blob's bytes, resumed after a lost connection; at most one byte more than its descriptor states.

    With `part`, exactly that range.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        descriptor: Descriptor,
        image: str,
        part: tuple[int, int] | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._size = descriptor.size
        self._where = f"{image}: blob {descriptor.digest}"
        self._headers = _ACCEPT if "/manifests/" in path else {"Accept": "*/*"}
        self._attempts = client.attempts(self._where)
        self._position, self._stop = part or (0, descriptor.size + 1)
        self._part = part is not None
        self._resumed_at = self._position
        self._skip = 0
        self._ended = False
        self._response = self._ask(self._headers) if part is None else self._ask_for_part()
        # RFC 9110, 13.1.5: a weak validator must not be used; without one the digest alone decides.
        validator = self._response.headers.get("ETag", "").strip()
        self._validator = validator if _STRONG_ETAG.fullmatch(validator) else ""
        self._check()

    def read(self, size: int, /) -> bytes:
        """Return at most `size` further bytes, and none only at the end.

        Raises:
            SourceError: the connection was lost too often, or the blob takes too long.
            SizeMismatch: the registry has another size than the descriptor, as it turns out.
        """
        while not self._ended and size > 0:
            if self._part and self._position >= self._stop:
                self.close()
                break
            data, lost = self._receive(min(size, self._skip + self._stop - self._position))
            if data and self._skip:
                skipped = min(self._skip, len(data))
                self._skip -= skipped
                data = data[skipped:]
                if not data:
                    continue
            if data:
                self._position += len(data)
                if self._position > self._size:
                    self.close()  # the caller's verification says what this means
                return data
            if self._position >= self._size or (lost is None and self._response.chunked):
                self.close()
                break
            self._resume(lost)
        return b""

    def close(self) -> None:
        """Close the connection."""
        self._ended = True
        self._response.close()

    def _receive(self, size: int) -> tuple[bytes, TransportError | None]:
        try:
            return self._response.read(size, self._attempts), None
        except TransportError as fault:
            return b"", fault

    def _resume(self, lost: TransportError | None) -> None:
        """Request the missing bytes."""
        self._response.close()
        position, size = self._position, self._size
        if position - self._resumed_at >= PROGRESS_BYTES:
            self._attempts.renew()
        self._resumed_at = position
        reason = lost.message if lost else "the connection was closed"
        self._attempts.pause(
            TransportError(
                f"{reason}, after {position} of {size} bytes",
                where=self._where,
                remedy="check the network and try again",
            )
        )
        headers = dict(self._headers)
        if position:
            headers["Range"] = self._range()
            if self._validator:
                headers["If-Range"] = self._validator
        try:
            self._response = self._ask(headers)
        except RegistryError as fault:
            if fault.status != 416:
                raise
            raise SizeMismatch(
                f"expected {size} bytes, the registry has no more than {position}", where=self._where
            ) from fault
        self._check()

    def _ask(self, headers: Mapping[str, str]) -> RawResponse:
        return self._client.get(self._path, headers, self._attempts)

    def _ask_for_part(self) -> RawResponse:
        try:
            response = self._ask({**self._headers, "Range": self._range()})
        except RegistryError as fault:
            if fault.status == 416:
                raise _RangeRefusedError from fault
            raise
        if response.status != 206:
            response.close()
            raise _RangeRefusedError
        return response

    def _range(self) -> str:
        return f"bytes={self._position}-{self._stop - 1 if self._part else ''}"

    def _check(self) -> None:
        """Compare the headers with the descriptor, and return where the body starts."""
        response, position, size = self._response, self._position, self._size
        if response.status == 206:
            self._check_range(response.headers.get("Content-Range", ""))
            return
        # A server may answer from the beginning for every range (RFC 9110, 14.2).
        self._skip = position
        if response.encoding and response.length != size:
            # Storage often states gzip for an unchanged blob; then the size is right, and the digest decides.
            self.close()
            raise _encoded(response.encoding, self._where)
        if response.length not in (None, size):
            self.close()
            raise SizeMismatch(
                f"expected {size} bytes, the registry announces {response.length}",
                where=self._where,
                remedy="the manifest or the blob was damaged: push the image again",
            )

    def _check_range(self, header: str) -> None:
        position, size = self._position, self._size
        found = _CONTENT_RANGE.fullmatch(header.strip())
        asked = position or self._part
        if not found or not asked or int(found[1]) != position or int(found[2]) >= size:
            self.close()
            raise TransportError(
                f"expected the bytes from {position} on, found {header.strip() or 'a range without a name'!r:.80}",
                where=self._where,
                remedy="the registry or a proxy before it does not serve ranges as RFC 9110 has them",
            )
        if found[3] not in ("*", str(size)):
            self.close()
            raise SizeMismatch(f"expected {size} bytes, the registry has {found[3]}", where=self._where)
        self._skip = 0


def _credential(reference: Reference, access: Access) -> FoundCredential:
    if access.credential is not None:
        return FoundCredential(access.credential, origin="the credentials that were given")
    return find_credential(reference.registry, repository=reference.repository, files=access.auth_files)


def assumes_plain_http(reference: Reference, access: Access) -> bool:
    """Return whether a registry is used without TLS because it is on this machine and TLS is not requested."""
    host = _ENDPOINTS.get(reference.registry, reference.registry)
    url = Url.parse(f"http://{host}/")
    if url is None or not url.is_loopback or access.tls_verify is not None:
        return False
    return access.certificate_directory is None and find_certificates(host, access.certificates) is None


def _expect(digest: Digest, raw: bytes, where: str, whose: str) -> None:
    found = Digest.of(raw, digest.algorithm)
    if found != digest:
        raise DigestMismatch(
            f"{whose} {digest}, but the manifest hashes to {found}",
            where=where,
            remedy="the manifest was damaged or swapped in the registry or on its way: push the image again",
        )


def _encoded(encoding: str, where: str) -> TransportError:
    return TransportError(
        f"expected the bytes as they are stored, found them in the content coding {encoding!r:.40}",
        where=where,
        remedy="the registry or a proxy before it compresses what it serves: turn that off below /v2/",
    )
