"""A registry inside the process, over real HTTP on the loopback interface, that can be told to fail.

It follows distribution-spec 1.1: pull (manifests, blobs, ranges, tags, referrers), and push as far as skopeo and oras
go (uploads in one piece, in chunks, mounts). Authentication is Basic or Docker's bearer tokens. Nothing touches the
disk, nothing is logged, and what is pushed from Python is served as it is, however little it matches its digest.

It refuses a blob or manifest pushed over HTTP whose bytes are not those of its digest. There is no TLS.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from email.message import Message
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.client import responses
from socket import SHUT_RDWR, socket
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qs, quote, unquote, urlsplit

from attrs import evolve, field, frozen

from cosinspect.testing.images import Built
from cosinspect.testing.layers import digest_of

__all__ = ["BasicAuth", "Fault", "Registry", "Request", "TokenAuth"]

_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_ROUTES = {
    "manifest": re.compile(r"/v2/(.+)/manifests/([^/]+)"),
    "upload": re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)"),
    "blob": re.compile(r"/v2/(.+)/blobs/([^/]+)"),
    "tags": re.compile(r"/v2/(.+)/tags/(list)"),
    "referrers": re.compile(r"/v2/(.+)/referrers/([^/]+)"),
}
_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS"}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@frozen(kw_only=True)
class Request:
    """A request as it came in.

    Attributes:
        method: `GET`, `HEAD` and so on.
        path: the path, without its query.
        query: the query, each name with its values.
        headers: the headers, whose names are looked up in any case.
        body: the body, chunks joined.
    """

    method: str
    path: str
    query: Mapping[str, list[str]] = field(factory=dict)
    headers: Message = field(factory=Message, eq=False)
    body: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class _Response:
    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str | None] = field(factory=dict)
    ranged: bool = False


@frozen
class BasicAuth:
    """Every request must carry this user and password."""

    user: str
    password: str = field(repr=False)


@frozen
class TokenAuth:
    """Every request must carry a token from this registry's own `/token`, for the repository and the action.

    Attributes:
        user: whom tokens are given to; None for nobody but the anonymous.
        password: of the user.
        anonymous: give tokens, for pulling only, to those who do not say who they are.
        identity_token: a refresh token that is taken instead of user and password (OAuth 2, by POST).
        uses: how many requests a token is good for; None for any number.
        seconds: how long a token is good for, as `expires_in` tells the client too.
        service: the service that challenges name.
        realm: where challenges send clients, instead of to this registry's own `/token`.
        clock: what tells the seconds.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    anonymous: bool = field(default=False, kw_only=True)
    identity_token: str | None = field(default=None, kw_only=True, repr=False)
    uses: int | None = field(default=None, kw_only=True)
    seconds: float = field(default=300, kw_only=True)
    service: str = field(default="cosinspect.testing", kw_only=True)
    realm: str | None = field(default=None, kw_only=True)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True, repr=False)


Auth: TypeAlias = BasicAuth | TokenAuth


@frozen(kw_only=True)
class Fault:
    """What goes wrong with the next requests that match; made by the class methods, consumed by the registry.

    All of them take `path`, a shell pattern over the request's path (`*` crosses slashes), `method` (`*` for any) and
    `times`, how many requests it spoils (None for all). The first fault of the list that matches is the one that is
    used. A request that is only challenged for credentials uses none up.
    """

    path: str = "*"
    method: str = "GET"
    times: int | None = 1
    code: int | None = None
    content: bytes | None = field(default=None, repr=False)
    flip: int | None = None
    extra: bytes = field(default=b"", repr=False)
    fields: Mapping[str, str | None] = field(factory=dict)
    cut: int | None = None
    wait: float | None = None
    silent: bool = False

    @classmethod
    def status(
        cls,
        code: int,
        path: str = "*",
        *,
        headers: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        method: str = "GET",
        times: int | None = 1,
    ) -> Fault:
        """Answer with this status, and an error document of the specification unless a body is given."""
        content = _error(code).body if body is None else body
        fields = {"Content-Type": "application/json", **(headers or {})}
        return cls(path=path, method=method, times=times, code=code, content=content, fields=fields)

    @classmethod
    def truncate(cls, path: str, after: int, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Promise the whole body, send its first `after` bytes, and close the connection."""
        return cls(path=path, method=method, times=times, cut=after)

    @classmethod
    def corrupt(cls, path: str, at: int, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Turn over the bits of one byte, at this offset of the whole document or blob."""
        return cls(path=path, method=method, times=times, flip=at)

    @classmethod
    def drop(cls, path: str = "*", *, method: str = "GET", times: int | None = 1) -> Fault:
        """Close the connection without an answer."""
        return cls(path=path, method=method, times=times, silent=True)

    @classmethod
    def stall(
        cls,
        path: str,
        seconds: float,
        *,
        after: int | None = None,
        method: str = "GET",
        times: int | None = 1,
    ) -> Fault:
        """Keep silent for so long, before the answer or in its body behind `after` bytes; closing ends it."""
        return cls(path=path, method=method, times=times, wait=seconds, cut=after)

    @classmethod
    def redirect(
        cls, path: str, location: str, *, status: int = 307, method: str = "GET", times: int | None = 1
    ) -> Fault:
        """Send the client to `location`, in which `{path}` is the path that was asked for."""
        return cls(
            path=path, method=method, times=times, code=status, content=b"", fields={"Location": location}
        )

    @classmethod
    def header(
        cls, path: str, name: str, value: str | None, *, method: str = "GET", times: int | None = 1
    ) -> Fault:
        """Answer with this header, or with None without it; no `Content-Length` means that closing ends the body."""
        return cls(path=path, method=method, times=times, fields={name: value})

    @classmethod
    def content_type(cls, path: str, value: str, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Answer with this `Content-Type`."""
        return cls.header(path, "Content-Type", value, method=method, times=times)

    @classmethod
    def swap(cls, path: str, body: bytes, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Answer with these bytes instead, under the same digest and type."""
        return cls(path=path, method=method, times=times, content=body)

    @classmethod
    def oversend(cls, path: str, extra: bytes, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Answer with these bytes behind the right ones, and a `Content-Length` that counts them."""
        return cls(path=path, method=method, times=times, extra=extra)


def _error(status: int, code: str = "", message: str = "") -> _Response:
    name = code or _CODES.get(status, "UNKNOWN")
    return _json(
        {"errors": [{"code": name, "message": message or responses.get(status, "error")}]}, status=status
    )


def _json(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> _Response:
    body = json.dumps(document, separators=(",", ":")).encode()
    return _Response(
        status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})}
    )


def _spoiled(response: _Response, fault: Fault, path: str) -> _Response:
    body = response.body if fault.content is None else fault.content
    if fault.flip is not None:
        at = range(len(body))[fault.flip]
        body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    own = {} if fault.code else response.headers
    given = {name: value and value.replace("{path}", path) for name, value in fault.fields.items()}
    return evolve(
        response,
        status=fault.code or response.status,
        body=body + fault.extra,
        headers={**own, **given},
        ranged=response.ranged and not fault.code,
    )


def _part(response: _Response, request: Request) -> _Response:
    """What a request for a range gets of a blob (RFC 9110, 14): all of it where the range cannot be understood."""
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    if not wanted or not any(wanted.groups()):
        return response
    if request.headers.get("If-Range", response.headers["ETag"]) != response.headers["ETag"]:
        return response
    first, last = wanted.groups()
    size = len(response.body)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        return evolve(_error(416), headers={"Content-Range": f"bytes */{size}"})
    return evolve(
        response,
        status=206,
        body=response.body[start : end + 1],
        headers={**response.headers, "Content-Range": f"bytes {start}-{end}/{size}"},
    )


@frozen(kw_only=True)
class _Token:
    scopes: frozenset[tuple[str, str]]
    expires: float
    uses: int | None


class _Gate:
    """Who may do what: challenges, and the tokens that answer them."""

    def __init__(self, auth: Auth | None) -> None:
        self._auth = auth
        self._tokens: dict[str, _Token] = {}

    def challenge(self, request: Request, address: str) -> _Response | None:
        """Give the 401 that the request deserves, or None where it may pass."""
        match self._auth:
            case None:
                return None
            case BasicAuth(user, password):
                if _credentials(request) == (user, password):
                    return None
                return _challenge('Basic realm="cosinspect.testing"')
            case TokenAuth() as auth:
                return self._bearer(auth, request, address)

    def _bearer(self, auth: TokenAuth, request: Request, address: str) -> _Response | None:
        repository = next(
            (hit[1] for route in _ROUTES.values() if (hit := route.fullmatch(request.path))), ""
        )
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        realm = auth.realm or f"http://{address}/token"
        demand = f'Bearer realm="{realm}",service="{auth.service}"'
        if repository:
            demand += f',scope="repository:{repository}:{"pull" if action == "pull" else "pull,push"}"'
        kind, _, name = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return _challenge(demand)
        token = self._tokens.get(name)
        if not token or token.uses == 0 or auth.clock() >= token.expires:
            return _challenge(demand + ',error="invalid_token"')
        if repository and (repository, action) not in token.scopes:
            return _challenge(demand + ',error="insufficient_scope"')
        if token.uses is not None:
            self._tokens[name] = evolve(token, uses=token.uses - 1)
        return None

    def issue(self, request: Request) -> _Response:
        """Answer at the token endpoint: GET with Basic credentials (Docker), or POST of a form (OAuth 2)."""
        auth = self._auth
        if not isinstance(auth, TokenAuth):
            return _error(404)
        asked = request.query
        credentials = _credentials(request)
        refreshed = False
        if request.method == "POST":
            asked = parse_qs(request.body.decode("utf-8", "replace"))
            form = {name: values[0] for name, values in asked.items()}
            refreshed = auth.identity_token is not None and form.get("refresh_token") == auth.identity_token
            if form.get("grant_type") == "password":
                credentials = form.get("username", ""), form.get("password", "")
            elif not refreshed:
                return _error(401, message="the refresh token is not known")
        known = refreshed or (auth.user is not None and credentials == (auth.user, auth.password))
        if not known and (credentials or not auth.anonymous):
            return _error(401, message="user or password is not known")
        scopes = _scopes(" ".join(asked.get("scope", ())))
        if not known:
            scopes = frozenset((repository, action) for repository, action in scopes if action == "pull")
        name = f"cosinspect-testing-token-{len(self._tokens) + 1}"
        self._tokens[name] = _Token(scopes=scopes, expires=auth.clock() + auth.seconds, uses=auth.uses)
        return _json({"token": name, "access_token": name, "expires_in": int(auth.seconds)})


def _challenge(demand: str) -> _Response:
    response = _error(401)
    return evolve(response, headers={**response.headers, "WWW-Authenticate": demand})


def _credentials(request: Request) -> tuple[str, str] | None:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _scopes(text: str) -> frozenset[tuple[str, str]]:
    """`repository:NAME:pull,push` and so on, as pairs of name and action."""
    found = re.findall(r"repository:(\S+):([a-z*,]+)", text)
    return frozenset((repository, action) for repository, actions in found for action in actions.split(","))


class _Store:
    """What the repositories hold, and the answers of a registry without faults."""

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

    def answer(self, request: Request) -> _Response:
        if request.path in ("/v2", "/v2/"):
            return _json({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})
        reading = request.method in ("GET", "HEAD")
        for kind, route in _ROUTES.items():
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
                case "upload", "PATCH" | "PUT":
                    return self._upload(hit[1], hit[2], request)
                case "tags", _ if reading:
                    return self._list(hit[1], request)
                case "referrers", _ if reading and self._referrers:
                    return self._referring(hit[1], hit[2], request)
            return _error(404 if reading else 405)
        return _error(404)

    def _manifest(self, repository: str, reference: str) -> _Response:
        digest = self.tags.get(repository, {}).get(reference, reference)
        held = self.manifests.get(repository, {}).get(digest)
        if held is None:
            return _error(404, "MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")
        headers = {"Content-Type": held[0], "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return _Response(body=held[1], headers=headers)

    def _blob(self, repository: str, digest: str) -> _Response:
        data = self.blobs.get(repository, {}).get(digest)
        if data is None:
            return _error(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes" if self._ranges else "none",
        }
        return _Response(body=data, headers=headers, ranged=self._ranges)

    def _list(self, repository: str, request: Request) -> _Response:
        if repository not in self.manifests:
            return _error(404, "NAME_UNKNOWN", f"there is no repository {repository}")
        last = request.query.get("last", [""])[0]
        tags = [tag for tag in sorted(self.tags.get(repository, {})) if tag > last]
        page = tags[: int(request.query.get("n", [str(len(tags))])[0])]
        headers = {}
        if page and len(page) < len(tags):
            headers["Link"] = f'</v2/{repository}/tags/list?n={len(page)}&last={quote(page[-1])}>; rel="next"'
        return _json({"name": repository, "tags": page}, headers=headers)

    def _referring(self, repository: str, digest: str, request: Request) -> _Response:
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
        index = {"schemaVersion": 2, "mediaType": _OCI_INDEX, "manifests": found}
        headers = {"Content-Type": _OCI_INDEX}
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        return _json(index, headers=headers)

    def _put_manifest(self, repository: str, reference: str, request: Request) -> _Response:
        digest = reference if ":" in reference else digest_of(request.body)
        if not _matches(digest, request.body):
            return _error(400, "DIGEST_INVALID", f"the manifest's digest is not {digest}")
        media_type = request.headers.get("Content-Type", "application/octet-stream")
        self.manifests.setdefault(repository, {})[digest] = media_type, request.body
        if reference != digest:
            self.tags.setdefault(repository, {})[reference] = digest
        subject = _subject(_document(request.body)) if self._referrers else None
        return _created(
            f"/v2/{repository}/manifests/{digest}", digest, {"OCI-Subject": subject} if subject else {}
        )

    def _start(self, repository: str, request: Request) -> _Response:
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

    def _upload(self, repository: str, upload: str, request: Request) -> _Response:
        if upload not in self._uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", f"there is no upload {upload}")
        self._uploads[upload] += request.body
        if request.method == "PATCH":
            return self._going(repository, upload)
        digest = request.query.get("digest", [""])[0]
        return self._put_blob(repository, digest, self._uploads.pop(upload))

    def _going(self, repository: str, upload: str) -> _Response:
        headers = {
            "Location": f"/v2/{repository}/blobs/uploads/{upload}",
            "Range": f"0-{max(0, len(self._uploads[upload]) - 1)}",
        }
        return _Response(status=202, headers=headers)

    def _put_blob(self, repository: str, digest: str, data: bytes) -> _Response:
        if not _matches(digest, data):
            return _error(400, "DIGEST_INVALID", f"the blob's digest is not {digest}")
        self.blobs.setdefault(repository, {})[digest] = data
        return _created(f"/v2/{repository}/blobs/{digest}", digest, {})


def _created(location: str, digest: str, more: Mapping[str, str]) -> _Response:
    return _Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest, **more})


def _matches(digest: str, data: bytes) -> bool:
    algorithm, _, digits = digest.partition(":")
    return algorithm in ("sha256", "sha512") and hashlib.new(algorithm, data).hexdigest() == digits


def _document(data: bytes) -> dict[str, Any]:
    """A manifest as JSON, or nothing of it where it is none."""
    with contextlib.suppress(ValueError):
        document = json.loads(data)
        if isinstance(document, dict):
            return document
    return {}


def _subject(document: Mapping[str, Any]) -> str | None:
    subject = document.get("subject")
    return subject.get("digest") if isinstance(subject, dict) else None


class _Backend:
    """What the server's threads share."""

    def __init__(self, gate: _Gate, store: _Store, faults: Iterable[Fault]) -> None:
        self.store = store
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.faults: list[Fault] = list(faults)
        self.closing = threading.Event()
        self.address = ""
        self._gate = gate
        self._connections: set[socket] = set()

    def answer(self, request: Request) -> tuple[_Response, Fault]:
        with self.lock:
            self.requests.append(request)
            if request.path == "/token":
                response = self._gate.issue(request)
            else:
                challenge = self._gate.challenge(request, self.address)
                if challenge:
                    return challenge, _NO_FAULT
                response = self.store.answer(request)
            fault = self._next_fault(request)
        response = _spoiled(response, fault, request.path)
        whole = not response.ranged or response.status != HTTPStatus.OK
        return response if whole or request.method == "HEAD" else _part(response, request), fault

    def _next_fault(self, request: Request) -> Fault:
        for number, fault in enumerate(self.faults):
            if fnmatchcase(request.method, fault.method) and fnmatchcase(request.path, fault.path):
                if fault.times is not None:
                    left = [evolve(fault, times=fault.times - 1)] if fault.times > 1 else []
                    self.faults[number : number + 1] = left
                return fault
        return _NO_FAULT

    def connected(self, connection: socket) -> None:
        with self.lock:
            self._connections.add(connection)
            if self.closing.is_set():
                self.disconnect()

    def disconnected(self, connection: socket) -> None:
        with self.lock:
            self._connections.discard(connection)

    def disconnect(self) -> None:
        with self.lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(SHUT_RDWR)


_NO_FAULT = Fault(times=None)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection. http.server is made for subclasses and has no other way in."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes, and would wait for each other

    def __init__(self, backend: _Backend, connection: socket, client: Any, server: Any) -> None:
        self._backend = backend
        super().__init__(connection, client, server)

    def setup(self) -> None:
        super().setup()
        self._backend.connected(self.connection)

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client that goes away is its own business
            super().handle()

    def finish(self) -> None:
        self._backend.disconnected(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        pass

    def _serve(self) -> None:
        target = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(target.path),
            query=parse_qs(target.query, keep_blank_values=True),
            headers=self.headers,
            body=self._body(),
        )
        response, fault = self._backend.answer(request)
        stalled = fault.wait is not None and fault.cut is None
        if fault.silent or (stalled and self._backend.closing.wait(fault.wait)):
            self.close_connection = True
            return
        self._send_head(response)
        if self.command == "HEAD":
            return
        self.wfile.write(response.body[: fault.cut])
        if fault.cut is None or fault.cut >= len(response.body):
            return
        if fault.wait is None or self._backend.closing.wait(fault.wait):
            self.close_connection = True
            return
        self.wfile.write(response.body[fault.cut :])

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815  # the names are http.server's

    def _send_head(self, response: _Response) -> None:
        fields: dict[str, tuple[str, str | None]] = {}
        length = str(len(response.body))
        for name, value in {"Content-Length": length, **response.headers}.items():
            fields[name.lower()] = name, value
        if fields["content-length"][1] != length:
            fields["connection"] = "Connection", "close"  # nothing else would end this body
        self.send_response(response.status)
        for name, value in fields.values():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self._line().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self._line()
        while self._line().strip():
            pass  # trailers
        return b"".join(chunks)

    def _line(self) -> bytes:
        line = self.rfile.readline(4096)
        if not line:
            raise ConnectionResetError("the client went away in the middle of a chunked body")
        return line


class Registry:
    """A registry that serves while its `with` block runs.

    >>> with Registry() as registry:
    ...     name = registry.push(ImageBuilder().layer({"etc/motd": "hi"}).build(), "org/os:v1")

    Args:
        auth: what requests must carry; nothing unless given.
        faults: what goes wrong, in this order; more can be added with `inject`.
        ranges: whether blobs can be asked for in part.
        referrers: whether there is a referrers API; without one clients look for the tag instead.
    """

    def __init__(
        self,
        *,
        auth: Auth | None = None,
        faults: Iterable[Fault] = (),
        ranges: bool = True,
        referrers: bool = True,
    ) -> None:
        self._backend = _Backend(_Gate(auth), _Store(ranges=ranges, referrers=referrers), faults)
        self._server: http.server.ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._backend.address:
            raise RuntimeError("a registry serves once: make another")
        handler = functools.partial(_Handler, self._backend)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        server.request_queue_size = 128  # clients that fetch layers side by side connect all at once
        server.daemon_threads = False  # closing waits for them
        server.server_bind()
        server.server_activate()
        self._backend.address = f"127.0.0.1:{server.server_port}"
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection, stalled ones too, and wait for the threads; a second call does nothing."""
        server, self._server = self._server, None
        if server and self._thread:
            self._backend.closing.set()
            server.shutdown()
            self._thread.join()
            self._backend.disconnect()
            server.server_close()

    @property
    def address(self) -> str:
        """Host and port, as they stand in an image name.

        Raises:
            RuntimeError: the `with` block has not been entered.
        """
        if not self._backend.address:
            raise RuntimeError("the registry has no address before its `with` block")
        return self._backend.address

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in the order in which they came in."""
        with self._backend.lock:
            return tuple(self._backend.requests)

    @property
    def unused_faults(self) -> tuple[Fault, ...]:
        """The faults that no request has met often enough yet."""
        with self._backend.lock:
            return tuple(self._backend.faults)

    def inject(self, *faults: Fault) -> None:
        """Let these go wrong too, after those that are waiting."""
        with self._backend.lock:
            self._backend.faults.extend(faults)

    def push(self, image: Built, name: str) -> str:
        """Store an image or index with all that belongs to it, unchecked, and give its full name.

        Args:
            image: what to store.
            name: `org/os:v1`, or without a tag, in which case the full name ends in the digest.
        """
        repository, colon, tag = name.partition(":")
        with self._backend.lock:
            self._backend.store.put(repository, image, tag if colon else None)
        return f"{self.address}/{repository}" + (f":{tag}" if colon else f"@{image.digest}")

    def read(self, name: str) -> bytes:
        """Give what is stored as `org/os:v1` or `org/os@sha256:...`: a manifest, or a blob.

        Raises:
            KeyError: nothing is.
        """
        repository, at, digest = name.partition("@")
        store = self._backend.store
        with self._backend.lock:
            if not at:
                repository, _, tag = name.partition(":")
                digest = store.tags[repository][tag]
            held = store.manifests.get(repository, {}).get(digest)
            return held[1] if held else store.blobs[repository][digest]
