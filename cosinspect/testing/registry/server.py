"""A registry inside the process, over real HTTP on the loopback interface, that can be told to fail.

It follows distribution-spec 1.1: pull (manifests, blobs, ranges, tags, referrers), and push as far as skopeo and oras
go. Authentication is Basic or Docker's bearer tokens. Here are the server and its connections; the answers are those of
`registry_store`, the challenges of `registry_auth`, and what spoils an answer is in `registry_faults`. Nothing touches
the disk, nothing is logged, and what is pushed from Python is served as it is, however little it matches its digest.

It refuses a blob or manifest pushed over HTTP whose bytes are not those of its digest. There is no TLS.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socket import SHUT_RDWR, socket
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from cosinspect.testing.built_images import Built
from cosinspect.testing.registry.auth import Auth, BasicAuth, TokenAuth, TokenGate
from cosinspect.testing.registry.faults import NO_FAULT, Fault, spoiled, take_fault
from cosinspect.testing.registry.messages import Request, Response, partial_response
from cosinspect.testing.registry.store import RegistryStore

__all__ = ["BasicAuth", "Fault", "Registry", "Request", "TokenAuth"]


Mishap: TypeAlias = "Callable[[Request], Fault | None]"


class _Backend:
    """What the server's threads share."""

    def __init__(
        self, gate: TokenGate, store: RegistryStore, faults: Iterable[Fault], mishap: Mishap | None
    ) -> None:
        self.store = store
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.faults: list[Fault] = list(faults)
        self.closing = threading.Event()
        self.address = ""
        self._mishap = mishap
        self._gate = gate
        self._connections: set[socket] = set()

    def answer(self, request: Request) -> tuple[Response, Fault]:
        with self.lock:
            self.requests.append(request)
            if request.path == "/token":
                response = self._gate.issue(request)
            else:
                challenge = self._gate.challenge(request, self.address)
                if challenge:
                    return challenge, NO_FAULT
                response = self.store.answer(request)
            fault = take_fault(self.faults, request)
            if fault is NO_FAULT and self._mishap:
                fault = self._mishap(request) or NO_FAULT
        response = spoiled(response, fault, request.path)
        whole = not response.ranged or response.status != HTTPStatus.OK
        return response if whole or request.method == "HEAD" else partial_response(response, request), fault

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

    def _send_head(self, response: Response) -> None:
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
        mishap: chooses what goes wrong with a request that meets none of these faults, or None; called for one request
            at a time.
        ranges: whether blobs can be asked for in part.
        referrers: whether there is a referrers API; without one clients look for the tag instead.
    """

    def __init__(
        self,
        *,
        auth: Auth | None = None,
        faults: Iterable[Fault] = (),
        mishap: Mishap | None = None,
        ranges: bool = True,
        referrers: bool = True,
    ) -> None:
        self._backend = _Backend(
            TokenGate(auth), RegistryStore(ranges=ranges, referrers=referrers), faults, mishap
        )
        self._server: http.server.ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._backend.address:
            raise RuntimeError("a registry serves once: make another")
        handler = functools.partial(_Handler, self._backend)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        server.request_queue_size = 128  # clients that fetch layers in parallel connect all at once
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
        """Host and port, as they are in an image name.

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
        """Return what is stored as `org/os:v1` or `org/os@sha256:...`: a manifest, or a blob.

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
