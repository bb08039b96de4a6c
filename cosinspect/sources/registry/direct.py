"""Requests without a proxy, each on a connection of its own, by the standard library alone.

To ask what a tag means now, a warm command sends one request; importing requests and urllib3 takes longer than that and
everything else it does. Here such a request is sent with `http.client`. Whatever is not usual goes the usual way: a proxy,
another method, a URL that would be rewritten, and each fault, which is so named by the one place that names them.

Trust is that of requests: certifi's authorities, or the bundle in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from cosinspect.sources.registry.answer_heads import HeadInTime
from cosinspect.sources.registry.auth import Url
from cosinspect.sources.registry.retries import Failure, Timeouts
from cosinspect.sources.registry.transport import (
    AnswerLostError,
    Destination,
    HttpAnswer,
    HttpTransport,
    TransportMaker,
)

__all__ = ["DirectTransport"]

_METHODS = ("GET", "POST")
# urllib3 escapes and normalises targets of any other form.
_TARGET = re.compile(
    r"(?:/(?!\.)(?:[A-Za-z0-9._~:@!$&'()*+,;=-]|%[0-9A-F]{2})*)+(?:\?[A-Za-z0-9._~:@!$&'()*+,;=/?%-]*)?"
)
_ORIGIN = re.compile(r"https?://[^/?#]+")


class DirectTransport:
    """Sends usual requests itself, and passes every other request to another transport.

    Args:
        destination: what it connects to.
        usual: makes the other transport when it is needed; from then on that carries everything.
        environment: of the process; it names proxies and the bundle of certificates.
    """

    def __init__(
        self, destination: Destination, *, usual: TransportMaker, environment: Mapping[str, str]
    ) -> None:
        self._destination = destination
        self._make_usual = usual
        self._environment = environment
        self._usual: HttpTransport | None = None
        self._contexts: dict[bool, ssl.SSLContext] = {}

    def send(
        self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> HttpAnswer | Failure:
        """Send a request; return its answer when the head is complete, or why there is none."""
        target = _ORIGIN.sub("", url.text, count=1)
        if (
            self._usual is None
            and method in _METHODS
            and _TARGET.fullmatch(target)
            and (url.is_loopback or not _may_have_proxy(self._environment))
        ):
            try:
                return self._send(method, url, target, headers, body, timeouts)
            except (OSError, ValueError, http.client.HTTPException):
                pass  # the other transport says what is wrong
        if self._usual is None:
            self._usual = self._make_usual(self._destination)
        return self._usual.send(method, url, headers, body, timeouts)

    def close(self) -> None:
        """Close the idle connections."""
        if self._usual is not None:
            self._usual.close()

    def _send(
        self,
        method: str,
        url: Url,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
    ) -> HttpAnswer:
        made = self._connect(url, timeouts.connect)
        connection = HeadInTime(url.host, url.port, timeout=timeouts.read)
        connection.sock = made
        try:
            made.settimeout(timeouts.read)
            # http.client would name the port in `Host` even if it is the one of HTTPS.
            connection.request(
                method, target, body, {"Host": url.authority, "Connection": "close", **headers}
            )
            return _DirectAnswer(connection.getresponse(), connection)
        except BaseException:
            connection.close()
            raise

    def _connect(self, url: Url, seconds: float) -> socket.socket:
        own = self._destination.is_registry(url)
        guard = self._destination.guard
        made = socket.create_connection((url.host, url.port), seconds)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            (guard.meet_registry if own else guard.meet_other)(made.getpeername()[0])
            if url.scheme == "https":
                return self._context(own=own).wrap_socket(made, server_hostname=url.host)
        except BaseException:
            made.close()
            raise
        return made

    def _context(self, *, own: bool) -> ssl.SSLContext:
        if own not in self._contexts:
            given = self._destination.tls if own else None
            self._contexts[own] = _trusting(given or self._destination.tls_elsewhere, self._environment)
        return self._contexts[own]


class _DirectAnswer:
    def __init__(self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = _Headers(response.getheaders())
        self._left = response.length
        self._response = response
        self._connection = connection

    def read(self, size: int) -> bytes:
        # Python before 3.12.2 does not count what read1 returns, and waits for more after the end.
        wanted = size if self._left is None else min(size, self._left)
        try:
            data = self._response.read1(wanted) if wanted else b""
        except TimeoutError:
            raise AnswerLostError(silent=True) from None
        except (OSError, ValueError, http.client.HTTPException):
            raise AnswerLostError(silent=False) from None
        if self._left is not None:
            self._left -= len(data)
        return data

    def close(self) -> None:
        self._response.close()
        self._connection.close()


class _Headers(Mapping[str, str]):
    """Headers by name, in any case; those of one name are joined."""

    def __init__(self, sent: list[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in sent:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _may_have_proxy(environment: Mapping[str, str]) -> bool:
    """Return whether a proxy may be set for some host, in the environment or, where systems have them, settings."""
    return sys.platform in ("darwin", "win32") or any(
        value and name.lower().endswith("_proxy") and name.lower() != "no_proxy"
        for name, value in environment.items()
    )


def _trusting(given: ssl.SSLContext | None, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Return what TLS is spoken with: with the authorities that requests trusts, unless nothing is verified.

    Raises:
        OSError: the bundle cannot be read, or is no bundle.
    """
    if given is not None and given.verify_mode is ssl.CERT_NONE:
        return given
    bundle = (
        environment.get("REQUESTS_CA_BUNDLE")
        or environment.get("CURL_CA_BUNDLE")
        or import_module("certifi").where()
    )
    files, directory = (None, bundle) if Path(bundle).is_dir() else (bundle, None)
    if given is not None:
        given.load_verify_locations(files, directory)
        return given
    context = ssl.create_default_context(cafile=files, capath=directory)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context
